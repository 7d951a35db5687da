"""Calls whose arguments change with their function: what can be rewritten, and why not."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from codemods.edits import Edit
from codemods.migration import Migration
from triton_kernels.moves import CallChange

# Expressions that may be dropped: evaluating them has no effect worth keeping.
_WITHOUT_EFFECT = (
    ast.Name,
    ast.Attribute,
    ast.Constant,
    ast.Subscript,
    ast.Slice,
    ast.Tuple,
    ast.UnaryOp,
    ast.BinOp,
    ast.unaryop,
    ast.operator,
    ast.expr_context,
)


@dataclass(frozen=True)
class CallPlan:
    """How one call is rewritten.

    drop: position among the arguments, positional ones first, as they stand; None drops nothing.
    rename: (old keyword, new keyword) pairs that occur in the call.
    name: (position, keyword) of positional arguments that are passed by keyword from now on.
    add: (position among what then is there, keyword, source text) of arguments that come in.
    """

    drop: int | None = None
    rename: tuple[tuple[str, str], ...] = ()
    name: tuple[tuple[int, str], ...] = ()
    add: tuple[tuple[int, str, str], ...] = ()

    @property
    def changes(self) -> bool:
        return self.drop is not None or bool(self.rename or self.name or self.add)


def plan_call(call: ast.Call, change: CallChange) -> CallPlan | str:
    """The plan for a call of the old function, or the reason why there is none."""
    reason = why_arguments_are_unknown(call)
    if reason:
        return reason
    if len(call.args) > len(change.parameters):
        return "it has more positional arguments than any release took"
    if change.ambiguous_at and len(call.args) == change.ambiguous_at:
        return (
            f"its positional argument {change.ambiguous_at} means different things in different "
            "releases"
        )
    given: dict[str, ast.expr] = dict(zip(change.parameters, call.args, strict=False))
    for keyword in call.keywords:
        assert keyword.arg is not None
        if keyword.arg not in change.parameters:
            return f"no release had a parameter {keyword.arg!r}"
        given[keyword.arg] = keyword.value
    for parameter, text in change.refuse:
        if parameter in given and ast.unparse(given[parameter]) == text:
            return f"{parameter}={text} has no equivalent"
    dropped, needed = change.drop
    rename = tuple(
        pair for pair in change.rename if any(word.arg == pair[0] for word in call.keywords)
    )
    if dropped not in given:
        return CallPlan(None, rename)
    value = given[dropped]
    if needed and ast.unparse(value) != needed:
        return f"{dropped}={ast.unparse(value)} has no equivalent"
    if not needed and not has_no_effect(value):
        return f"dropping {dropped}={ast.unparse(value)} would drop a call"
    return CallPlan(_position(call, dropped, change), rename)


def why_arguments_are_unknown(call: ast.Call) -> str:
    """Why nobody can tell which parameter each argument is for ("" = anybody can)."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return "its positional arguments are unpacked from a sequence"
    if any(keyword.arg is None for keyword in call.keywords):
        return "its keyword arguments are unpacked from a mapping"
    return ""


def has_no_effect(value: ast.expr) -> bool:
    """Whether nothing is lost when an expression is not evaluated."""
    return all(isinstance(node, _WITHOUT_EFFECT) for node in ast.walk(value))


def argument_of(call: ast.Call, position: int, name: str) -> tuple[int, ast.expr] | None:
    """(position in the call's text, value) of the argument for a parameter."""
    if len(call.args) > position:
        return position, call.args[position]
    for number, keyword in enumerate(call.keywords):
        if keyword.arg == name:
            return len(call.args) + number, keyword.value
    return None


def edit_call(migration: Migration, call: ast.Call, plan: CallPlan) -> None:
    """Have a call rewritten by its plan."""
    start, end = migration.document.span(call)
    newline = migration.document.newline_at(start)
    migration.edits.append(Edit(start, end, _Rewriter(plan, newline)))


@dataclass(frozen=True)
class _Rewriter:
    plan: CallPlan
    newline: str

    def __call__(self, text: str) -> str:
        # LibCST is imported by the first file that needs it.
        from codemods.transforms.call_layout import rewrite_call

        return rewrite_call(text, self.plan, self.newline)


def _position(call: ast.Call, parameter: str, change: CallChange) -> int:
    """Where in the call's text the argument for `parameter` stands, counted from its first."""
    for position, keyword in enumerate(call.keywords):
        if keyword.arg == parameter:
            return len(call.args) + position
    return change.parameters.index(parameter)
