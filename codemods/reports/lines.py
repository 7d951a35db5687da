"""Lines of text with a style for each part."""

from __future__ import annotations

from collections.abc import Iterable

Line = tuple[tuple[str, str], ...]
"""Pieces of one line: text and its style in rich's words ("" = none)."""


def line(*pieces: str | tuple[str, str]) -> Line:
    return tuple((piece, "") if isinstance(piece, str) else piece for piece in pieces)


def printable(name: str) -> str:
    r"""A file name as one line of text: what is no UTF-8, and control characters, as `\x1b`."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain(lines: Iterable[Line]) -> str:
    """The lines without colours, each ended."""
    return "".join("".join(text for text, _ in pieces) + "\n" for pieces in lines)
