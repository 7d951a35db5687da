"""`Bitmatrix(words, shape, shape_max, scratchpad)`: a dtype came in second place, scratch went."""

from __future__ import annotations

import ast

from codemods.migration import Migration
from codemods.references import Use
from codemods.transforms.calls import (
    CallPlan,
    argument_of,
    edit_call,
    has_no_effect,
    why_arguments_are_unknown,
)

_PARAMETERS = ("storage", "shape", "shape_max", "scratchpad")
_BIT = "triton_kernels.tensor.BIT"
_HOME = "triton_kernels.tensor"


def rewrite_bitmatrix(migration: Migration, use: Use, call: ast.Call) -> str:
    """Rewrite the call and import `BIT` beside `Bitmatrix`, or say why that cannot be."""
    reason = why_arguments_are_unknown(call)
    if reason:
        return reason
    if len(call.args) > len(_PARAMETERS) or (not call.args and not call.keywords):
        return "its arguments are not those of any release"
    dropped = argument_of(call, 3, "scratchpad")
    if dropped is not None and not has_no_effect(dropped[1]):
        return f"dropping scratchpad={ast.unparse(dropped[1])} would drop a call"
    has_dtype = any(keyword.arg == "dtype" for keyword in call.keywords)
    if has_dtype and len(call.args) > 1:
        return "its arguments are not those of any release"
    add: tuple[tuple[int, str, str], ...] = ()
    if not has_dtype:
        bit = _bit(migration, use)
        if not bit.replace(".", "_").isidentifier():
            return bit
        add = ((1, "dtype", bit),)
    name = tuple((at, _PARAMETERS[at]) for at in range(1, len(call.args)))
    migration.settled_calls.add(call)
    edit_call(migration, call, CallPlan(dropped[0] if dropped else None, (), name, add))
    return ""


def _bit(migration: Migration, use: Use) -> str:
    """How the call can spell `BIT`, imported where that is needed; else a sentence: why not."""
    if isinstance(use.node, ast.Attribute):
        migration.introduced.add(_BIT)
        return f"{ast.unparse(use.node.value)}.BIT"
    references, scopes = migration.references, migration.scopes
    reader = scopes.scope_of[use.root]
    for imported in references.imports:
        scope, local = imported.binding
        if imported.target == _BIT and scopes.resolve(local, reader) is scope:
            if references.only_imported(imported.binding):
                return local
    if "BIT" in references.bound_names():
        return "the file uses the name BIT for something else"
    statements: list[ast.ImportFrom] = []
    for imported in references.by_binding.get(use.binding, ()):
        statement = imported.statement
        if not isinstance(statement, ast.ImportFrom) or imported.loads != _HOME:
            return "BIT cannot be imported beside it"
        if imported.is_star:
            return "BIT cannot be imported beside it"
        if migration.guards.around(statement) is not None:
            return "one of its imports is for another release"
        statements.append(statement)
    if not statements:
        return "BIT cannot be imported beside it"
    for statement in statements:
        migration.additions.setdefault(statement, set()).add("BIT")
    migration.introduced.add(_BIT)
    return "BIT"
