"""ONE file: bytes in, (new bytes, findings) out.  A pure function, the heart, used by all else.

What a file says of the library is found on Python's own syntax tree, by scope.  What changes is
rewritten statement by statement with LibCST and put back as spans, so that every byte outside the
rewritten statements stays.  Then the result is checked; a file that fails keeps its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from codemods import findings, targets
from codemods.document import Document, UnusableFile
from codemods.edits import apply_edits
from codemods.findings import Finding
from codemods.migration import Migration
from codemods.transforms.attributes import report_attributes
from codemods.transforms.forms import report_forms
from codemods.transforms.modules import migrate_modules
from codemods.transforms.names import migrate_names
from codemods.transforms.strings import report_text


@dataclass(frozen=True)
class SourceOptions:
    """What a migration of one file depends on besides its bytes.

    codes: the codes that may be rewritten and reported; the others are left alone in silence.
    target: what the rewritten code will run on, see `codemods.targets`.
    unsafe: make the rewrites that are right in all likelihood, too.
    written_for: the release that the code was written for where names of two releases mean
        opposite things, "pr8375" or "3.6"; "" = unknown.
    vendored: dotted prefixes of copies of the library that are treated as the library.
    """

    codes: frozenset[str]
    target: str = targets.BUNDLED
    unsafe: bool = False
    written_for: str = ""
    vendored: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceResult:
    """new: the rewritten bytes, or None where nothing changes.  failed: no rewrite was possible."""

    new: bytes | None
    findings: tuple[Finding, ...] = ()
    failed: bool = False


class _CheckFailed(Exception):
    """The rewritten text does not pass one of the checks."""


def mentions_library(data: bytes) -> bool:
    """Whether the bytes can concern us at all: False means the file is never parsed."""
    return b"triton_kernels" in data


def migrate_source(data: bytes, options: SourceOptions) -> SourceResult:
    """Migrate one Python file.  Never raises on account of what the file holds."""
    try:
        migration = _decide(Document.decode(data), options)
        text = _rewrite(migration)
        found = tuple(sorted(migration.findings))
        if text == migration.document.text:
            return SourceResult(None, found)
        _check(migration, text, options)
        return SourceResult(migration.document.encode(text), found)
    except UnusableFile as error:
        return SourceResult(None, (error.finding,), failed=True)
    except Exception as error:  # a defect of ours must not end the run, nor change the file
        message = f"the rewrite was given up: {type(error).__name__}: {error}"
        return SourceResult(None, (findings.UNVERIFIED.finding(message),), failed=True)


def _decide(document: Document, options: SourceOptions) -> Migration:
    """What is to be done with a file, and what is to be said of it."""
    migration = Migration.of(document, options.codes)
    migrate_names(migration)
    migrate_modules(migration)
    report_forms(migration)
    report_attributes(migration)
    report_text(migration)
    return migration


def _rewrite(migration: Migration) -> str:
    if migration.imports:
        # LibCST is imported by the first file that needs it.
        from codemods.transforms.imports import rewrite_imports

        rewrite_imports(migration)
    return apply_edits(migration.document.text, migration.edits)


def _check(migration: Migration, text: str, options: SourceOptions) -> None:
    """Raise _CheckFailed unless the new text can be trusted."""
    missing = sorted(path for path in migration.introduced if not targets.exists(path))
    if missing:
        raise _CheckFailed(f"the target has no {', '.join(missing)}")
    encoded = migration.document.encode(text)
    try:
        again = _decide(Document.decode(encoded), options)
    except UnusableFile as error:
        raise _CheckFailed(error.finding.message) from None
    if again.imports or again.edits:
        raise _CheckFailed("a second run would change it again")
    undefined = again.scopes.undefined() - migration.scopes.undefined()
    if undefined and not migration.references.stars:
        raise _CheckFailed(f"names became undefined: {', '.join(sorted(undefined))}")
