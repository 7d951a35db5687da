"""The way of one text: examined, rewritten, checked.

What it says of the library is found on Python's own syntax tree, by scope.  What changes is
rewritten statement by statement with LibCST and put back as spans, so that every byte outside the
rewritten statements stays.  Then the result is checked; a file that fails keeps its bytes.
"""

from __future__ import annotations

from codemods.checks import faults
from codemods.document import Document, UnusableFile
from codemods.edits import Edit, apply_edits
from codemods.findings import Finding
from codemods.migration import Migration
from codemods.old_names import LIBRARY, path_pattern
from codemods.options import SourceOptions
from codemods.transforms import decide, has_work


class CheckFailed(Exception):
    """The rewritten text does not pass one of the checks."""


def migrate(data: bytes, options: SourceOptions) -> tuple[bytes | None, tuple[Finding, ...]]:
    """The new bytes of a Python file, None where nothing changes, and what is to be said of it.

    Raises UnusableFile and CheckFailed.
    """
    document = Document.decode(data)
    migration = examine(document, options)
    if migration is None:
        return None, ()
    edits = edits_of(migration)
    found = tuple(sorted(migration.findings))
    if not edits:
        return None, found
    new = document.encode(apply_edits(document.text, edits))
    check(migration, Document.decode(new))
    return new, found


def examine(document: Document, options: SourceOptions) -> Migration | None:
    """What is to be done with a text and said of it; None where it has nothing to do with us.

    Raises UnusableFile.
    """
    # As the tail of a longer path the name is that of another package's module.
    if not path_pattern((LIBRARY, *options.vendored)).search(document.text):
        return None
    tree = document.parse()
    if not has_work(document.text, options.vendored):
        return None
    migration = Migration.of(document, tree, options)
    decide(migration)
    return migration


def edits_of(migration: Migration) -> list[Edit]:
    """The edits that make the migration, those that change nothing left out."""
    if migration.imports or migration.additions:
        # LibCST is imported by the first file that needs it.
        from codemods.transforms.imports import rewrite_imports

        rewrite_imports(migration)
    return migration.edits


def check(migration: Migration, document: Document) -> None:
    """Raise CheckFailed unless the new text can be trusted.

    It parses; all that it newly imports exists in the target; each name means what it meant; and a
    second run leaves it as it is.
    """
    target = migration.target
    missing = sorted(path for path in migration.introduced if not target.exists(path))
    if missing:
        raise CheckFailed(f"the target has no {', '.join(missing)}")
    try:
        again = examine(document, migration.options) or Migration.of(
            document, document.parse(), migration.options
        )
    except UnusableFile as error:
        raise CheckFailed(error.finding.message) from None
    if again.changes:
        raise CheckFailed("a second run would change it again")
    found = faults(migration.references, again.references, target)
    if found:
        raise CheckFailed("; ".join(found))
