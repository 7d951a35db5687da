"""The layout of one import statement: taken apart with LibCST, put together again.

Comments travel with their name: the one behind a name on its line, and the lines above it that
hold nothing else.  A name keeps its spelling, the statement its style (one line, one name a line,
several names a line), its indentation and its line endings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import libcst as cst

_PRAGMA = re.compile(
    r"#\s*(?:noqa|triton-kernels:|type:|pyright:|mypy:|pylint:|ruff:|isort:|pragma:|fmt:)", re.I
)
_FITS = 88


class LayoutError(Exception):
    """The statement is laid out in a way that cannot be kept."""


@dataclass(frozen=True)
class Item:
    """One name of an import statement.

    code: the text, `routing as r`.  name, asname: its parts.
    lead: the comment lines above it, as they stand.
    indent: white space before it where it begins a line, else None.
    gap: white space before it where it does not begin a line.
    comment: the comment behind it, with the white space before the comment.
    """

    code: str
    name: str
    asname: str | None = None
    lead: tuple[str, ...] = ()
    indent: str | None = None
    gap: str = " "
    comment: str = ""

    @property
    def has_comment(self) -> bool:
        return bool(self.lead or self.comment)

    def renamed(self, name: str, asname: str | None) -> Item:
        """The same place and comments, another name."""
        if (name, asname) == (self.name, self.asname):
            return self
        code = name if asname is None else f"{name} as {asname}"
        return replace(self, code=code, name=name, asname=asname)


@dataclass(frozen=True)
class ImportLayout:
    """A `from ... import ...` or `import ...` statement, taken apart.

    head: the text before the module's name (`from `); between: from there to the first name.
    items: the names.
    parenthesised, trailing_comma: the style.
    header: the comment behind the opening parenthesis, with the white space before it.
    closing: the comment lines before the closing parenthesis.
    close_indent: white space before that parenthesis where it begins a line, else None.
    trailing: the comment behind the statement, with the white space before it.
    newline: the line ending in use.
    shrunk: names were taken out, so that one left alone may go on the first line.
    """

    head: str
    module: str
    between: str
    items: tuple[Item, ...]
    parenthesised: bool = False
    trailing_comma: bool = False
    header: str = ""
    closing: tuple[str, ...] = ()
    close_indent: str | None = None
    trailing: str = ""
    newline: str = "\n"
    shrunk: bool = False

    def part(self, module: str, items: Sequence[Item], *, first: bool, last: bool) -> ImportLayout:
        """The statement that imports some of the names from a new home, in the same style.

        The comments of the statement itself stay with the first part, those at the end of its
        list with the last; what speaks to linters stands on every part.
        """
        opening = self.items[0].indent
        items = [replace(items[0], indent=opening, gap=""), *items[1:]]
        return replace(
            self,
            module=module,
            items=tuple(items),
            header=self.header if first or _PRAGMA.search(self.header) else "",
            trailing=self.trailing if first or _PRAGMA.search(self.trailing) else "",
            closing=self.closing if last else (),
            shrunk=len(items) < len(self.items),
        )

    def with_item(self, name: str, asname: str | None) -> ImportLayout:
        """The statement with one name more: in order where the names stand in order, else last."""
        order = _order_of(self.items)
        at = len(self.items)
        if order is not None:
            at = sum(order(item.name) <= order(name) for item in self.items)
        model = self.items[-1] if len(self.items) > 1 else self.items[0]
        item = replace(model, lead=(), comment="", gap=" ").renamed(name, asname)
        items = [*self.items[:at], item, *self.items[at:]]
        if at == 0:
            items[:2] = [replace(items[0], gap=self.items[0].gap), replace(items[1], gap=" ")]
        return replace(self, items=tuple(items))

    def wrapped(self, indent: str) -> ImportLayout:
        """The statement with one name a line in parentheses, where it got too long for its line."""
        is_flat = (
            not self.parenthesised and self.head.startswith("from") and "\n" not in self.between
        )
        if not is_flat or self.trailing or len(indent) + len(self.render(indent)) <= _FITS:
            return self
        deeper = indent + ("\t" if "\t" in indent else "    ")
        return replace(
            self,
            items=tuple(replace(item, indent=deeper) for item in self.items),
            parenthesised=True,
            trailing_comma=True,
            close_indent=indent,
            shrunk=False,
        )

    def render(self, indent: str) -> str:
        """The statement as text; `indent` is that of the line it begins."""
        prefix = self.head + self.module + self.between
        if not self.parenthesised:
            names = "".join(
                ("" if position == 0 else "," + item.gap) + item.code
                for position, item in enumerate(self.items)
            )
            return prefix + names + self.trailing
        if self.shrunk and len(self.items) == 1 and not self._list_has_comments():
            flat = prefix + self.items[0].code + self.trailing
            if len(indent) + len(flat) <= _FITS:
                return flat
        return prefix + "(" + self.header + self._render_list(indent) + ")" + self.trailing

    def _list_has_comments(self) -> bool:
        return bool(self.header or self.closing) or any(item.has_comment for item in self.items)

    def _render_list(self, indent: str) -> str:
        fallback = next((item.indent for item in self.items if item.indent is not None), None)
        if fallback is None:
            fallback = indent + "    "
        text, must_break = "", bool(self.header)
        for position, item in enumerate(self.items):
            if item.indent is not None or item.lead or must_break:
                text += self.newline + "".join(line + self.newline for line in item.lead)
                text += fallback if item.indent is None else item.indent
            else:
                text += "" if position == 0 else item.gap or " "
            is_last = position == len(self.items) - 1
            text += item.code + ("" if is_last and not self.trailing_comma else ",") + item.comment
            must_break = bool(item.comment)
        if self.close_indent is not None or self.closing or must_break:
            text += self.newline + "".join(line + self.newline for line in self.closing)
            text += indent if self.close_indent is None else self.close_indent
        return text


def parse_import(text: str, newline: str) -> ImportLayout:
    """Take apart the text of one import statement, with the comment behind it if there is one.

    Raises LayoutError where a comment stands where it could not be kept.
    """
    config = cst.PartialParserConfig(default_newline=newline)
    try:
        line = cst.parse_statement(text, config)
    except cst.ParserSyntaxError as error:
        raise LayoutError(str(error)) from None
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
        raise LayoutError("not one simple statement")
    statement = line.body[0]
    code = cst.Module([], default_newline=newline).code_for_node
    trailing = ""
    if line.trailing_whitespace.comment is not None:
        trailing = code(line.trailing_whitespace.with_changes(newline=cst.Newline("")))
        trailing = trailing.rstrip("\r\n")
    if isinstance(statement, cst.Import):
        layout = _plain_import(statement, trailing, newline, code)
    elif isinstance(statement, cst.ImportFrom):
        layout = _from_import(statement, trailing, newline, code)
    else:
        raise LayoutError("not an import")
    if _comments(text) != _comments(layout.render("")):
        raise LayoutError("a comment stands where it would be lost")
    return layout


def _plain_import(
    statement: cst.Import, trailing: str, newline: str, code: Callable[[cst.CSTNode], str]
) -> ImportLayout:
    items = []
    gap = ""
    for alias in statement.names:
        items.append(_item(alias, code, gap=gap))
        gap = code(alias.comma.whitespace_after) if isinstance(alias.comma, cst.Comma) else " "
    between = code(statement.whitespace_after_import)
    return ImportLayout("import", "", between, tuple(items), trailing=trailing, newline=newline)


def _from_import(
    statement: cst.ImportFrom, trailing: str, newline: str, code: Callable[[cst.CSTNode], str]
) -> ImportLayout:
    assert statement.module is not None
    head = "from" + code(statement.whitespace_after_from)
    between = (
        code(statement.whitespace_before_import)
        + "import"
        + code(statement.whitespace_after_import)
    )
    module = code(statement.module)
    if isinstance(statement.names, cst.ImportStar):
        items = (Item("*", "*", gap=""),)
        return ImportLayout(head, module, between, items, trailing=trailing, newline=newline)
    parenthesised = statement.lpar is not None
    before: cst.BaseParenthesizableWhitespace = cst.SimpleWhitespace("")
    if statement.lpar is not None:
        before = statement.lpar.whitespace_after
    header = _comment_of(before, code)
    found: list[Item] = []
    for alias in statement.names:
        item = _item(alias, code, gap=_gap_of(before), lead=_lead_of(before, code))
        if isinstance(before, cst.ParenthesizedWhitespace):
            item = replace(item, indent=code(before.last_line))
        if isinstance(alias.comma, cst.Comma):
            before = alias.comma.whitespace_after
        elif statement.rpar is not None:
            before = statement.rpar.whitespace_before
        found.append(replace(item, comment=_comment_of(before, code)))
    closes_line = isinstance(before, cst.ParenthesizedWhitespace)
    return ImportLayout(
        head,
        module,
        between,
        tuple(found),
        parenthesised=parenthesised,
        trailing_comma=parenthesised and isinstance(statement.names[-1].comma, cst.Comma),
        header=header,
        closing=_lead_of(before, code),
        close_indent=code(before.last_line)
        if isinstance(before, cst.ParenthesizedWhitespace) and closes_line
        else None,
        trailing=trailing,
        newline=newline,
    )


def _item(
    alias: cst.ImportAlias,
    code: Callable[[cst.CSTNode], str],
    *,
    gap: str,
    lead: tuple[str, ...] = (),
) -> Item:
    asname = None
    if alias.asname is not None:
        asname = code(alias.asname.name)
    text = code(alias.with_changes(comma=cst.MaybeSentinel.DEFAULT))
    return Item(text, code(alias.name), asname, lead=lead, gap=gap)


def _comment_of(
    space: cst.BaseParenthesizableWhitespace, code: Callable[[cst.CSTNode], str]
) -> str:
    """The comment on the rest of the line, with the white space before it."""
    if not isinstance(space, cst.ParenthesizedWhitespace) or space.first_line.comment is None:
        return ""
    return code(space.first_line.whitespace) + code(space.first_line.comment)


def _lead_of(
    space: cst.BaseParenthesizableWhitespace, code: Callable[[cst.CSTNode], str]
) -> tuple[str, ...]:
    """The lines between, that hold a comment or nothing, without their line endings."""
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return ()
    return tuple(code(line).rstrip("\r\n") for line in space.empty_lines)


def _gap_of(space: cst.BaseParenthesizableWhitespace) -> str:
    return space.value if isinstance(space, cst.SimpleWhitespace) else " "


def _comments(text: str) -> list[str]:
    """The comments of an import statement: it holds no strings, so a `#` begins one."""
    return sorted(match.group().rstrip() for match in re.finditer(r"#[^\r\n]*", text))


def _order_of(items: Sequence[Item]) -> Callable[[str], tuple[int, str]] | None:
    """The order in which the names stand, of those that import sorters know; None if in none."""

    def by_type(name: str) -> tuple[int, str]:
        rank = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
        return rank, name

    def by_case(name: str) -> tuple[int, str]:
        return 0, name

    def folded(name: str) -> tuple[int, str]:
        return 0, name.casefold()

    names = [item.name for item in items]
    for order in (by_type, by_case, folded):
        if names == sorted(names, key=order):
            return order
    return None
