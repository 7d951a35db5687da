"""Attributes of the library's records that were renamed or went: seen and reported.

What an object is cannot be known from a file alone, so a word that other code uses too counts only
where its surroundings speak for the library.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from codemods.migration import Migration
from triton_kernels import moves
from triton_kernels.moves import Codemod, Form, Move

_ROWS: dict[str, list[Move]] = {}
for _move in moves.MOVES:
    if _move.form is Form.ATTRIBUTE and _move.codemod is not Codemod.EXPLAINS:
        _ROWS.setdefault(_move.detail, []).append(_move)


def _owner_is(*words: str) -> Callable[[Migration, ast.Attribute], bool]:
    """The attribute is read from something of one of these names."""

    def test(migration: Migration, node: ast.Attribute) -> bool:
        owner = node.value
        if isinstance(owner, ast.Attribute):
            return owner.attr in words
        return isinstance(owner, ast.Name) and owner.id in words

    return test


def _called_with(word: str) -> Callable[[Migration, ast.Attribute], bool]:
    """The attribute is called with this keyword argument."""

    def test(migration: Migration, node: ast.Attribute) -> bool:
        call = migration.scopes.parents.get(node)
        return isinstance(call, ast.Call) and any(each.arg == word for each in call.keywords)

    return test


# Words that mean something else in most code, and what tells ours.
_EVIDENCE: dict[str, Callable[[Migration, ast.Attribute], bool]] = {
    "hist": _owner_is("expt_data"),
    "sum": _called_with("partials_block_size"),
    "metadata": _owner_is("mask", "bitmatrix"),
    "scratchpad": _owner_is("mask", "bitmatrix"),
}


def report_attributes(migration: Migration) -> None:
    """Report old attributes in a file that imports the library."""
    if not migration.references.imports:
        return
    for node in migration.scopes.parents:
        if not isinstance(node, ast.Attribute) or node.attr not in _ROWS:
            continue
        evidence = _EVIDENCE.get(node.attr)
        if evidence is not None and not evidence(migration, node):
            continue
        for move in _ROWS[node.attr]:
            if move.code not in migration.codes:
                continue
            guard = migration.guards.around(node)
            if guard is not None:
                migration.guarded(node, move, guard)
            else:
                migration.left(node, move, f"{move.old_text}: {move.why}")
