"""The layout of one call: arguments taken out, named and put in with LibCST, its style kept."""

from __future__ import annotations

import libcst as cst

from codemods.transforms.calls import CallPlan

_EQUAL = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))


def rewrite_call(text: str, plan: CallPlan, newline: str) -> str:
    """The text of a call, rewritten."""
    config = cst.PartialParserConfig(default_newline=newline)
    # The parentheses allow a call whose function is spread over lines.
    call = cst.parse_expression(f"({text})", config)
    assert isinstance(call, cst.Call)
    arguments = list(call.args)
    for position, word in plan.name:
        arguments[position] = arguments[position].with_changes(keyword=cst.Name(word), equal=_EQUAL)
    for position, argument in enumerate(arguments):
        for old, new in plan.rename:
            if argument.keyword is not None and argument.keyword.value == old:
                keyword = argument.keyword.with_changes(value=new)
                arguments[position] = argument.with_changes(keyword=keyword)
    if plan.drop is not None:
        arguments, opening = _without(arguments, plan.drop, call.whitespace_before_args)
        call = call.with_changes(whitespace_before_args=opening)
    for position, word, value in plan.add:
        added = cst.Arg(cst.parse_expression(value), cst.Name(word), equal=_EQUAL)
        arguments = _with(arguments, position, added, call.whitespace_before_args)
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


def _with(
    arguments: list[cst.Arg],
    position: int,
    added: cst.Arg,
    opening: cst.BaseParenthesizableWhitespace,
) -> list[cst.Arg]:
    """The arguments with one more, which is not the first; a comment stays with what it follows."""
    previous = arguments[position - 1]
    is_last = position == len(arguments)
    before = opening
    if position > 1:
        comma = arguments[position - 2].comma
        assert isinstance(comma, cst.Comma)
        before = comma.whitespace_after
    if not isinstance(previous.comma, cst.Comma):
        # The last one, with no comma behind it: what follows it closes the call.
        separator = _without_comment(before) if position > 1 else _between(before)
        closing = previous.whitespace_after_arg
        if isinstance(separator, cst.ParenthesizedWhitespace) and _has_comment(closing):
            assert isinstance(closing, cst.ParenthesizedWhitespace)
            separator = separator.with_changes(first_line=closing.first_line)
            closing = _without_comment(closing)
        previous = previous.with_changes(
            comma=cst.Comma(whitespace_after=separator), whitespace_after_arg=_NOTHING
        )
        return [*arguments[:-1], previous, added.with_changes(whitespace_after_arg=closing)]
    after = previous.comma.whitespace_after
    separator = after
    if is_last:
        separator = _between(before)
        if isinstance(separator, cst.ParenthesizedWhitespace) and _has_comment(after):
            assert isinstance(after, cst.ParenthesizedWhitespace)
            separator = separator.with_changes(first_line=after.first_line)
    added = added.with_changes(comma=cst.Comma(whitespace_after=_without_comment(after)))
    previous = previous.with_changes(comma=cst.Comma(whitespace_after=separator))
    return [*arguments[: position - 1], previous, added, *arguments[position:]]


_NOTHING = cst.SimpleWhitespace("")


def _between(
    before: cst.BaseParenthesizableWhitespace,
) -> cst.BaseParenthesizableWhitespace:
    """White space between two arguments in the style of that before one."""
    if isinstance(before, cst.ParenthesizedWhitespace):
        return _without_comment(before)
    return cst.SimpleWhitespace(" ")


def _without_comment(
    space: cst.BaseParenthesizableWhitespace,
) -> cst.BaseParenthesizableWhitespace:
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return space
    line = space.first_line.with_changes(comment=None, whitespace=_NOTHING)
    return space.with_changes(first_line=line, empty_lines=[])


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
