"""ONE file: bytes in, (new bytes, findings) out.  A pure function, the heart, used by all else.

What does the work is imported by the first file that has work, since most trees have none.
"""

from __future__ import annotations

from dataclasses import dataclass

from codemods import findings
from codemods.file_kinds import is_pin_file, mentions_library
from codemods.findings import Finding
from codemods.options import SourceOptions

__all__ = [
    "SourceOptions",
    "SourceResult",
    "mentions_library",
    "migrate_file",
    "migrate_source",
]


@dataclass(frozen=True)
class SourceResult:
    """new: the rewritten bytes, or None where nothing changes.  failed: no rewrite was possible."""

    new: bytes | None
    findings: tuple[Finding, ...] = ()
    failed: bool = False


def migrate_file(data: bytes, name: str, options: SourceOptions) -> SourceResult:
    """Migrate one file of any kind, which its name (or path, or suffix) tells.

    A notebook is migrated cell by cell, a file that pins dependencies is only reported on, and
    everything else is Python.
    """
    if name.endswith(".ipynb"):
        from codemods.notebook import migrate_notebook

        return migrate_notebook(data, options)
    if is_pin_file(name):
        from codemods.pins import report_pins

        if findings.PIN.code not in options.codes:
            return SourceResult(None)
        return SourceResult(None, report_pins(data, name, options.target))
    return migrate_source(data, options)


def migrate_source(data: bytes, options: SourceOptions) -> SourceResult:
    """Migrate one Python file.  Never raises on account of what the file holds."""
    from codemods.document import UnusableFile
    from codemods.engine import migrate

    try:
        new, found = migrate(data, options)
        return SourceResult(new, found)
    except UnusableFile as error:
        return SourceResult(None, (error.finding,), failed=True)
    except Exception as error:  # a defect of ours must not end the run, nor change the file
        return given_up(error)


def given_up(error: Exception) -> SourceResult:
    """The result for a file whose rewrite failed on account of the tool itself."""
    message = f"the rewrite was given up: {type(error).__name__}: {error}"
    return SourceResult(None, (findings.UNVERIFIED.finding(message),), failed=True)
