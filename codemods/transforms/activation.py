"""`FusedActivation(FnSpecs(...), args, 2)`: the 2 goes to `FnSpecs(..., reduction_n=2)`."""

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

_SPECS = frozenset(
    f"triton_kernels.{module}.FnSpecs" for module in ("matmul_ogs", "reduce", "specialize")
)
_MOST_POSITIONS = 4
"""Positional arguments of `FnSpecs` before `reduction_n`."""


def move_reduction_n(migration: Migration, use: Use, call: ast.Call) -> str:
    """Move the argument, or say why it cannot be moved.

    The `FnSpecs(...)` must stand in the call, or be assigned once to a name that is read only here.
    """
    reason = why_arguments_are_unknown(call)
    if reason:
        return reason
    moved, given = argument_of(call, 2, "reduction_n"), argument_of(call, 0, "specs")
    if moved is None or given is None or len(call.args) + len(call.keywords) > 3:
        return "its arguments are not those of any release"
    position, value = moved
    specs = given[1]
    made = _made_by(migration, specs)
    if made is None:
        return "the FnSpecs that it is given is made elsewhere, or used for more than this"
    reason = why_arguments_are_unknown(made)
    if reason:
        return f"of the FnSpecs call in line {made.lineno}, {reason}"
    if len(made.args) > _MOST_POSITIONS or any(
        keyword.arg == "reduction_n" for keyword in made.keywords
    ):
        return f"the FnSpecs call in line {made.lineno} has a reduction_n already"
    if not has_no_effect(value) or (made is not specs and not isinstance(value, ast.Constant)):
        return f"reduction_n={ast.unparse(value)} cannot be evaluated elsewhere"
    if migration.is_silenced(made, "TKM320"):
        return f"the FnSpecs call in line {made.lineno} is to be ignored"
    start, end = migration.document.span(value)
    edit_call(migration, call, CallPlan(drop=position))
    end_of_specs = len(made.args) + len(made.keywords)
    text = migration.document.text[start:end]
    edit_call(migration, made, CallPlan(add=((end_of_specs, "reduction_n", text),)))
    return ""


def _made_by(migration: Migration, specs: ast.expr) -> ast.Call | None:
    """The `FnSpecs(...)` that makes the value of an expression, and makes it for this alone."""
    if isinstance(specs, ast.Name):
        scopes = migration.scopes
        scope = scopes.scope_of[specs]
        if scopes.resolve(specs.id, scope) is not scope or scope.is_class:
            return None
        bindings = scope.bindings[specs.id]
        readers = [
            node
            for node in scopes.reads
            if node.id == specs.id and scopes.resolve(node.id, scopes.scope_of[node]) is scope
        ]
        statement = scopes.parents.get(bindings[0])
        if (
            len(bindings) != 1
            or readers != [specs]
            or not isinstance(statement, ast.Assign)
            or statement.targets != [bindings[0]]
            or specs.id in migration.references.exported
        ):
            return None
        specs = statement.value
    if not isinstance(specs, ast.Call) or (not specs.args and not specs.keywords):
        return None
    use = migration.references.use_at(specs.func)
    return specs if use is not None and use.certain and use.path in _SPECS else None
