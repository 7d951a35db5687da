"""Calls whose arguments change with their function: what can be rewritten, and why not."""

from __future__ import annotations

import ast
from dataclasses import dataclass

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
    """

    drop: int | None
    rename: tuple[tuple[str, str], ...]

    @property
    def changes(self) -> bool:
        return self.drop is not None or bool(self.rename)


def plan_call(call: ast.Call, change: CallChange) -> CallPlan | str:
    """The plan for a call of the old function, or the reason why there is none."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return "its positional arguments are unpacked from a sequence"
    if any(keyword.arg is None for keyword in call.keywords):
        return "its keyword arguments are unpacked from a mapping"
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
    if not needed and not all(isinstance(node, _WITHOUT_EFFECT) for node in ast.walk(value)):
        return f"dropping {dropped}={ast.unparse(value)} would drop a call"
    return CallPlan(_position(call, dropped, change), rename)


def _position(call: ast.Call, parameter: str, change: CallChange) -> int:
    """Where in the call's text the argument for `parameter` stands, counted from its first."""
    for position, keyword in enumerate(call.keywords):
        if keyword.arg == parameter:
            return len(call.args) + position
    return change.parameters.index(parameter)
