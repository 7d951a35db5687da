"""Calls of the library whose form changed: keywords, positions, unpacking."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable

from codemods.migration import Migration
from codemods.old_names import is_removed_module
from codemods.references import Use
from codemods.transforms.activation import move_reduction_n
from codemods.transforms.bitmatrix import rewrite_bitmatrix
from codemods.transforms.topk_calls import drop_return_bitmatrix, unpack_fields, unpacked_to
from triton_kernels import moves
from triton_kernels.moves import Codemod, Form, Move

Rewriter = Callable[[Migration, Use, ast.Call], str]
"""Rewrites a call, or says why it cannot be ("" = done)."""

# How the forms are rewritten that the table says are.
_REWRITERS: dict[str, Rewriter] = {
    "TKM120": rewrite_bitmatrix,
    "TKM121": rewrite_bitmatrix,
    "TKM301": unpack_fields,
    "TKM302": drop_return_bitmatrix,
    "TKM310": drop_return_bitmatrix,
    "TKM311": drop_return_bitmatrix,
    "TKM312": drop_return_bitmatrix,
    "TKM320": move_reduction_n,
    "TKM321": move_reduction_n,
}


def _any_call(call: ast.Call) -> bool:
    return True


def _block_sizes_as_hist(call: ast.Call) -> bool:
    hist = _argument(call, 1, "expt_hist")
    return isinstance(hist, ast.Attribute) and hist.attr == "block_sizes"


def _old_bitmatrix(call: ast.Call) -> bool:
    if any(keyword.arg in ("dtype", None) for keyword in call.keywords):
        return False
    return len(call.args) < 2 or isinstance(call.args[1], (ast.List, ast.Tuple))


def _none_as_hist(call: ast.Call) -> bool:
    hist = _argument(call, 0, "expt_hist")
    return isinstance(hist, ast.Constant) and hist.value is None


def _four_arguments(call: ast.Call) -> bool:
    return len(call.args) + len(call.keywords) == 4


# A row of form CALL says in words which calls it means; here the words are code.
_PREDICATES: dict[str, Callable[[ast.Call], bool]] = {
    "TKM109": _any_call,
    "TKM111": _block_sizes_as_hist,
    "TKM121": _old_bitmatrix,
    "TKM308": _none_as_hist,
    "TKM309": _four_arguments,
    "TKM314": _any_call,
}

_BY_CALLABLE: dict[str, list[Move]] = defaultdict(list)
for _move in moves.MOVES:
    if (
        _move.form in (Form.CALL, Form.KEYWORD, Form.POSITION, Form.UNPACK)
        and _move.codemod is not Codemod.EXPLAINS
    ):
        _BY_CALLABLE[_move.old].append(_move)


def migrate_forms(migration: Migration) -> None:
    """Decide on the old forms of calls of the library's functions and records."""
    for use in migration.references.uses:
        rows = _BY_CALLABLE.get(use.path)
        call = call_of(migration, use) if rows and use.certain else None
        if rows is None or call is None:
            continue
        if is_removed_module(use.path) and migration.document.span(use.node) in migration.spans:
            continue  # what the call goes through stays, and that has been said
        for row in rows:
            move = migration.selected(row)
            if move is not None and _shows(migration, call, move):
                if not migration.is_silenced(call, move.code):
                    _migrate(migration, use, call, move)


def _migrate(migration: Migration, use: Use, call: ast.Call, move: Move) -> None:
    guard = migration.guards.around(call)
    if guard is not None:
        migration.guarded(call, move, guard)
        return
    if not migration.rewrites(move):
        migration.left(call, move, f"{move.old_text}: {migration.why_not(move)}")
        return
    reason = _REWRITERS[move.code](migration, use, call)
    if reason:
        migration.left(call, move, f"{move.old_text}: {reason}")
    else:
        migration.changed(call, move, f"{move.old_text} -> {move.new}")


def call_of(migration: Migration, use: Use) -> ast.Call | None:
    """The call of the use, a kernel's launch `kernel[grid](...)` included."""
    callee: ast.AST = use.node
    parent = migration.scopes.parents.get(callee)
    if isinstance(parent, ast.Subscript) and parent.value is callee:
        callee, parent = parent, migration.scopes.parents.get(parent)
    return parent if isinstance(parent, ast.Call) and parent.func is callee else None


def _shows(migration: Migration, call: ast.Call, move: Move) -> bool:
    """Whether the call has the old form."""
    if move.form is Form.UNPACK:
        return unpacked_to(migration, call) == int(move.detail)
    if call in migration.settled_calls:
        return False
    if move.form is Form.KEYWORD:
        return any(keyword.arg == move.detail for keyword in call.keywords)
    if move.form is Form.POSITION:
        starred = any(isinstance(argument, ast.Starred) for argument in call.args)
        return not starred and len(call.args) > int(move.detail)
    return _PREDICATES[move.code](call)


def _argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    if len(call.args) > position:
        return call.args[position]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
