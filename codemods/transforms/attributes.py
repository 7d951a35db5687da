"""Attributes of the library's records that were renamed or went.

Rewritten where the file proves what the object is (`provenance`), reported where the name speaks
for the library.  A word that other code uses, too, counts only where its surroundings do.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from codemods import targets
from codemods.edits import put
from codemods.findings import Bucket
from codemods.migration import Migration
from codemods.transforms.provenance import Provenance
from triton_kernels import moves
from triton_kernels.moves import Codemod, Form, Move

_ROWS: dict[str, list[Move]] = {}
for _move in moves.MOVES:
    if _move.form is Form.ATTRIBUTE and _move.codemod is not Codemod.EXPLAINS:
        _ROWS.setdefault(_move.detail, []).append(_move)

_KIND_OF_CLASS = {"ExptData": "RaggedTensorMetadata"}
"""What `provenance` calls a class of the table, where that is not its own name."""

_BY_BLOCK_SIZE = frozenset({"TKM105", "TKM106"})
"""Dicts, later methods, by block size."""

_SORTED_INDX = {
    ("row_sorted_indx", "pr8375"): "combine_indx",
    ("row_sorted_indx", "3.6"): "dispatch_indx",
    ("col_sorted_indx", "pr8375"): "dispatch_indx",
    ("col_sorted_indx", "3.6"): "combine_indx",
}
"""What a field of `BitmatrixMetadata` means by the release the code is written for."""


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


def migrate_attributes(migration: Migration) -> None:
    """Decide on old attributes in a file that imports the library."""
    if not migration.references.imports:
        return
    provenance = Provenance(migration)
    nodes = [
        node
        for node in migration.scopes.parents
        if isinstance(node, ast.Attribute) and node.attr in _ROWS
    ]
    for node in nodes:
        for row in _ROWS[node.attr]:
            move = migration.selected(row)
            if move is not None and not migration.is_silenced(node, move.code):
                _migrate(migration, provenance, node, move)


def _migrate(migration: Migration, provenance: Provenance, node: ast.Attribute, move: Move) -> None:
    class_name = move.old.rpartition(".")[2]
    kind = provenance.kind_of(node.value)
    proven = kind == _KIND_OF_CLASS.get(class_name, class_name) or _is_of_class(
        migration, node, f"{move.old}.{move.detail}"
    )
    evidence = _EVIDENCE.get(node.attr)
    if not proven and evidence is not None and not evidence(migration, node):
        return
    if _is_right_already(migration, node, proven=proven):
        return
    guard = migration.guards.around(node)
    if guard is not None:
        migration.guarded(node, move, guard)
        return
    new = _new_name(migration, node, move)
    reason = move.why
    if new:
        reason = _why_not(migration, node, move, proven=proven)
    if reason:
        migration.left(node, move, f"{move.old_text}: {reason}")
        return
    _rewrite(migration, node, move, new)
    migration.changed(node, move, f"{move.old_text} -> {new}")


def _is_of_class(migration: Migration, node: ast.Attribute, path: str) -> bool:
    """Whether the attribute is read from the class itself, whose path the file spells."""
    whole: ast.AST = node
    while isinstance(parent := migration.scopes.parents.get(whole), ast.Attribute):
        whole = parent
    use = migration.references.use_at(whole)
    return (
        use is not None
        and use.certain
        and f"{use.path}.".startswith(f"{path}.")
        and use.node_for(path) is node
    )


def _is_right_already(migration: Migration, node: ast.Attribute, *, proven: bool) -> bool:
    """Whether the field means in the target what the code, as the user says, means by it."""
    return (
        proven
        and node.attr in ("row_sorted_indx", "col_sorted_indx")
        and migration.options.written_for == "3.6"
        and migration.target.name == targets.UPSTREAM_3_6
    )


def _new_name(migration: Migration, node: ast.Attribute, move: Move) -> str:
    """The attribute's new name; "" where it has none that is certain."""
    if migration.target.name == targets.BUNDLED:
        sorted_indx = _SORTED_INDX.get((node.attr, migration.options.written_for), "")
        if sorted_indx:
            return sorted_indx
    if not migration.rewrites(move):
        return ""
    return move.new.rpartition(".")[2].partition("(")[0]


def _why_not(migration: Migration, node: ast.Attribute, move: Move, *, proven: bool) -> str:
    """Why a renamed attribute cannot be rewritten here ("" = it can)."""
    if not proven:
        return f"the file does not prove what the object is; {move.why}"
    if not isinstance(node.ctx, ast.Load):
        return "the field is assigned to"
    if migration.token_span(node) is None:
        return "it stands in an f-string"
    if any(found.bucket in (Bucket.GUARDED, Bucket.ALREADY_NEW) for found in migration.findings):
        return "the file runs with another release of the library, too, which has the old name"
    if move.code in _BY_BLOCK_SIZE:
        parent = migration.scopes.parents.get(node)
        called = isinstance(parent, ast.Call) and parent.func is node
        if not called and _brackets(migration, node) is None:
            return "it is used as a dict, and the new form is a method"
    if move.detail == "metadata" and _between(migration, node) is None:
        return "it is spread over several lines"
    return ""


def _rewrite(migration: Migration, node: ast.Attribute, move: Move, new: str) -> None:
    brackets = _brackets(migration, node) if move.code in _BY_BLOCK_SIZE else None
    if brackets is not None:
        opening, closing = brackets
        migration.edits += [put(opening, opening + 1, "("), put(closing, closing + 1, ")")]
    between = _between(migration, node) if move.detail == "metadata" else None
    if between is not None:
        # `sparse.mask.metadata` -> `sparse.mask_metadata`
        migration.edits.append(put(*between, f".{new}"))
    else:
        migration.retoken(node, new)


def _brackets(migration: Migration, node: ast.Attribute) -> tuple[int, int] | None:
    """Where the brackets of `node[block_size]` stand, if it is that and is only read."""
    parent = migration.scopes.parents.get(node)
    if (
        not isinstance(parent, ast.Subscript)
        or parent.value is not node
        or not isinstance(parent.ctx, ast.Load)
        or isinstance(parent.slice, (ast.Slice, ast.Tuple, ast.Starred))
    ):
        return None
    text = migration.document.text
    _, opening = migration.document.span(node)
    _, end = migration.document.span(parent)
    if text[opening : opening + 1] != "[" or text[end - 1] != "]":
        return None
    return opening, end - 1


def _between(migration: Migration, node: ast.Attribute) -> tuple[int, int] | None:
    """The span of `.mask.metadata` behind the sparse matrix, if that is all there is to it."""
    owner = node.value
    if not isinstance(owner, ast.Attribute) or owner.attr != "mask":
        return None
    _, start = migration.document.span(owner.value)
    _, end = migration.document.span(node)
    return (start, end) if migration.document.text[start:end] == ".mask.metadata" else None
