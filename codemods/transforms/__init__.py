"""What is decided about one file, one concern a file of this package."""

from __future__ import annotations

import re
from collections.abc import Iterator

from codemods.migration import Migration
from codemods.old_names import LIBRARY, import_pattern, old_path_pattern
from codemods.transforms.attributes import migrate_attributes
from codemods.transforms.dynamic import migrate_dynamic_imports
from codemods.transforms.forms import migrate_forms
from codemods.transforms.modules import migrate_modules
from codemods.transforms.names import migrate_names
from codemods.transforms.other_copies import report_other_copies
from codemods.transforms.patches import find_patches
from codemods.transforms.strings import report_text
from triton_kernels import moves
from triton_kernels.moves import Form


def decide(migration: Migration) -> None:
    """Say what is to be done with every place of a file that has to do with the library."""
    migration.patches = find_patches(migration)
    migrate_names(migration)
    migrate_modules(migration)
    migrate_dynamic_imports(migration)
    migrate_forms(migration)
    migrate_attributes(migration)
    report_text(migration)
    report_other_copies(migration)


def has_work(text: str, vendored: tuple[str, ...]) -> bool:
    """Whether a text may hold anything to act on or to speak of.

    A file that only asks whether the library is there, say, is worth no look at its scopes.
    """
    if old_path_pattern(vendored).search(text) or _ELSEWHERE.search(text):
        return True
    if not import_pattern((LIBRARY, *vendored)).search(text):
        return False
    return _TRIGGERS.search(text) is not None


def _words() -> Iterator[str]:
    """A word of every old form: a file without any of them has nothing to do."""
    for move in moves.MOVES:
        if move.form is Form.ATTRIBUTE:
            yield move.detail
        elif move.form is Form.NAME and move.old.rpartition(".")[0] in moves.BY_OLD_MODULE:
            yield move.old.split(".")[-2]
        else:
            yield move.old.rpartition(".")[2]


_TRIGGERS = re.compile(rf"\b(?:{'|'.join(sorted(set(_words())))})\b")
_ELSEWHERE = re.compile(r"get_kernel|import_module|sys\.modules|git\+")
"""Forms that concern us in files that do not import the library."""
