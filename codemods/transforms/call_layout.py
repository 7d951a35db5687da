"""The layout of one call: an argument taken out with LibCST, comments and line breaks kept."""

from __future__ import annotations

import libcst as cst

from codemods.transforms.calls import CallPlan


def rewrite_call(text: str, plan: CallPlan, newline: str) -> str:
    """The text of a call, rewritten."""
    config = cst.PartialParserConfig(default_newline=newline)
    # The parentheses allow a call whose function is spread over lines.
    call = cst.parse_expression(f"({text})", config)
    assert isinstance(call, cst.Call)
    arguments = list(call.args)
    for position, argument in enumerate(arguments):
        for old, new in plan.rename:
            if argument.keyword is not None and argument.keyword.value == old:
                keyword = argument.keyword.with_changes(value=new)
                arguments[position] = argument.with_changes(keyword=keyword)
    if plan.drop is not None:
        arguments, opening = _without(arguments, plan.drop, call.whitespace_before_args)
        call = call.with_changes(whitespace_before_args=opening)
    call = call.with_changes(args=arguments)
    return cst.Module([], default_newline=newline).code_for_node(call)[1:-1]


def _without(
    arguments: list[cst.Arg],
    position: int,
    opening: cst.BaseParenthesizableWhitespace,
) -> tuple[list[cst.Arg], cst.BaseParenthesizableWhitespace]:
    """The arguments less one, and the white space after the opening parenthesis.

    The space before the dropped argument goes with it; a comment there stays, and so does one
    behind it.
    """
    gone = arguments[position]
    after = gone.comma.whitespace_after if isinstance(gone.comma, cst.Comma) else None
    is_last = position == len(arguments) - 1
    if is_last and after is None:
        after = gone.whitespace_after_arg
    assert after is not None
    if position == 0:
        before = opening
    else:
        comma = arguments[position - 1].comma
        assert isinstance(comma, cst.Comma)
        before = comma.whitespace_after
    kept = _merge(before, after, is_last=is_last)
    rest = arguments[:position] + arguments[position + 1 :]
    if position == 0:
        return rest, kept
    previous = arguments[position - 1]
    keeps_comma = not is_last or isinstance(gone.comma, cst.Comma) or _has_comment(kept)
    if keeps_comma:
        previous = previous.with_changes(comma=cst.Comma(whitespace_after=kept))
    else:
        previous = previous.with_changes(comma=cst.MaybeSentinel.DEFAULT, whitespace_after_arg=kept)
    rest[position - 1] = previous
    return rest, opening


def _merge(
    before: cst.BaseParenthesizableWhitespace,
    after: cst.BaseParenthesizableWhitespace,
    *,
    is_last: bool,
) -> cst.BaseParenthesizableWhitespace:
    """The white space that remains of that before and that after a dropped argument."""
    begins_line = isinstance(before, cst.ParenthesizedWhitespace)
    if not _has_comment(before):
        if not _has_comment(after):
            return before if begins_line and not is_last else after
        if not begins_line:
            return after
    if not isinstance(after, cst.ParenthesizedWhitespace):
        return before
    assert isinstance(before, cst.ParenthesizedWhitespace)
    lines = list(before.empty_lines)
    if after.first_line.comment is not None:
        lines.append(
            cst.EmptyLine(
                indent=False, whitespace=before.last_line, comment=after.first_line.comment
            )
        )
    return before.with_changes(empty_lines=[*lines, *after.empty_lines], last_line=after.last_line)


def _has_comment(space: cst.BaseParenthesizableWhitespace) -> bool:
    return isinstance(space, cst.ParenthesizedWhitespace) and (
        space.first_line.comment is not None or any(line.comment for line in space.empty_lines)
    )
