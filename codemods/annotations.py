"""Expressions inside text that only type checkers read: string annotations and type comments.

They are parsed into nodes whose positions are those of the words in the file, so that everything
that can be said of, or done to, an expression works for them, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codemods.document import Document

TYPE_COMMENT = re.compile(r"#[ \t]*type:[ \t]*(?!ignore\b)(?P<type>[^#\r\n]*[^#\s])")
_SIGNATURE = re.compile(r"\((?P<parameters>.*)\)[ \t]*->[ \t]*(?P<returns>.+)", re.S)


def quoted_types(annotation: ast.expr) -> Iterator[tuple[ast.Constant, ast.expr]]:
    """The strings of an annotation that hold types, each with the expression it spells."""
    stack: list[ast.AST] = [annotation]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            expression = _parse_quoted(node)
            if expression is not None:
                yield node, expression
        elif isinstance(node, ast.Subscript):
            name = _last_word(node.value)
            stack.append(node.value)
            if name == "Annotated" and isinstance(node.slice, ast.Tuple) and node.slice.elts:
                stack.append(node.slice.elts[0])
            elif name != "Literal":
                stack.append(node.slice)
        else:
            stack.extend(ast.iter_child_nodes(node))


def commented_types(document: Document) -> Iterator[tuple[int, ast.expr]]:
    """(line, expression) of each type in a type comment that holds a dotted name."""
    if "type:" not in document.text:
        return
    for match in TYPE_COMMENT.finditer(document.text):
        if "." not in match["type"]:
            continue
        start = match.start("type")
        signature = _SIGNATURE.fullmatch(match["type"])
        parts = [(start, match["type"])]
        if signature is not None:
            parts = [(start + signature.start(name), signature[name]) for name in (1, 2)]
        line, _ = document.position(start)
        head = document.text[document.line_start(start) : start]
        for at, text in parts:
            column = len((head + document.text[start:at]).encode())
            expression = _parse_at(text, line, column)
            if expression is not None:
                yield line, expression


def _parse_quoted(constant: ast.Constant) -> ast.expr | None:
    assert isinstance(constant.value, str)
    if not constant.value.strip() or constant.end_col_offset is None:
        return None
    around = 0
    if constant.lineno == constant.end_lineno:
        # Quotes and prefix; a string with escapes is not found where this says, and so not edited.
        around = constant.end_col_offset - constant.col_offset - len(constant.value.encode())
    shift = {2: 1, 3: 2, 6: 3, 7: 4}.get(around, 0)
    return _parse_at(constant.value, constant.lineno, constant.col_offset + shift)


def _parse_at(text: str, line: int, column: int) -> ast.expr | None:
    """The expression that a text spells, its nodes positioned from there on."""
    try:
        expression = ast.parse(f"({text})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(expression):
        if isinstance(node, ast.expr):
            assert node.end_lineno is not None and node.end_col_offset is not None
            if node.lineno == 1:
                node.col_offset += column - 1
            if node.end_lineno == 1:
                node.end_col_offset += column - 1
            node.lineno += line - 1
            node.end_lineno += line - 1
    return expression


def _last_word(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
