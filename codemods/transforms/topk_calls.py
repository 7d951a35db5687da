"""Calls of `topk`: its result is one SparseMatrix, and `return_bitmatrix` is no more."""

from __future__ import annotations

import ast
from itertools import chain, count

from codemods.edits import put
from codemods.migration import Migration
from codemods.references import Use
from codemods.transforms.calls import (
    CallPlan,
    argument_of,
    edit_call,
    why_arguments_are_unknown,
)

_PARAMETERS = ("x", "k", "apply_softmax", "dim", "return_bitmatrix", "y_indx", "n_rows")
_FIELDS = ("vals", "indx", "mask")
_LOCAL = "sparse"
"""Name for the matrix, with a number behind it where the file uses that name."""


def unpacked_to(migration: Migration, call: ast.Call) -> int | None:
    """The number of names to which an assignment unpacks the call's result."""
    parent = migration.scopes.parents.get(call)
    if not isinstance(parent, ast.Assign) or parent.value is not call:
        return None
    for target in parent.targets:
        if isinstance(target, (ast.Tuple, ast.List)):
            starred = any(isinstance(element, ast.Starred) for element in target.elts)
            return None if starred else len(target.elts)
    return None


def unpack_fields(migration: Migration, use: Use, call: ast.Call) -> str:
    """`a, b, c = topk(...)` -> `sparse = topk(...)` and `a, b, c = sparse.vals, ...` behind it."""
    statement = migration.scopes.parents[call]
    assert isinstance(statement, ast.Assign)
    if len(statement.targets) > 1:
        return "its result is assigned to several targets"
    flag = argument_of(call, _PARAMETERS.index("return_bitmatrix"), "return_bitmatrix")
    if flag is not None and not _is_true(flag[1]):
        return "whether it returned a bitmatrix is not certain"
    scope = migration.scopes.scope_of[use.root]
    if scope.is_class:
        return "the matrix would become an attribute of the class"
    document = migration.document
    [target] = statement.targets
    start, end = document.span(target)
    text = document.text[start:end]
    if "\n" in text or "\r" in text:
        return "its targets are spread over several lines"
    taken = migration.references.bound_names() | migration.new_names
    names = (f"{_LOCAL}_{number}" for number in count(2))
    local = next(name for name in chain([_LOCAL], names) if name not in taken)
    migration.new_names.add(local)
    fields = ", ".join(f"{local}.{field}" for field in _FIELDS)
    migration.edits.append(put(start, end, local))
    _append(migration, statement, f"{text} = {fields}")
    return ""


def _append(migration: Migration, statement: ast.stmt, text: str) -> None:
    """Put a statement behind another: on a line of its own if that one has its line to itself."""
    document = migration.document
    start, end = document.span(statement)
    indent = document.text[document.line_start(start) : start]
    line_end = document.line_end(end)
    rest = document.text[end:line_end].strip()
    if indent.strip() or (rest and not rest.startswith("#")):
        migration.edits.append(put(end, end, f"; {text}"))
        return
    newline = document.newline_at(end)
    migration.edits.append(put(line_end, line_end, f"{newline}{indent}{text}"))


def drop_return_bitmatrix(migration: Migration, use: Use, call: ast.Call) -> str:
    """Drop the argument where it is True; those behind it are passed by keyword."""
    reason = why_arguments_are_unknown(call)
    if reason:
        return reason
    at = _PARAMETERS.index("return_bitmatrix")
    if len(call.args) > len(_PARAMETERS):
        return "it has more positional arguments than any release took"
    flag = argument_of(call, at, "return_bitmatrix")
    if flag is None or not _is_true(flag[1]):
        return "that argument is not simply True, so it may be y_indx, or have been False"
    position = flag[0]
    name = tuple((number, _PARAMETERS[number]) for number in range(at + 1, len(call.args)))
    migration.settled_calls.add(call)
    edit_call(migration, call, CallPlan(drop=position, name=name))
    return ""


def _is_true(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is True
