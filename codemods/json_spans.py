"""Where in the text of a notebook the strings stand that make up the source of each cell."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Span:
    """A JSON string: its quotes' place in the text, what it says, and whether a list holds it."""

    start: int
    end: int
    value: str
    in_list: bool


def strings_of_cells(text: str) -> list[tuple[Span, ...]]:
    """The strings of `source` of every cell, in order.  The text is known to be valid JSON."""
    cells: list[tuple[Span, ...]] = []
    for key, start in _members(text, _skip_space(text, 0)):
        if key == "cells":
            # JSON's last one of two equal keys counts.
            cells = [_source(text, item) for item in _items(text, start)]
    return cells


def _source(text: str, at: int) -> tuple[Span, ...]:
    if text[at] != "{":
        return ()
    spans: tuple[Span, ...] = ()
    for key, start in _members(text, at):
        if key != "source":
            continue
        if text[start] == '"':
            spans = (_string(text, start, in_list=False),)
        elif text[start] == "[":
            items = list(_items(text, start))
            if any(text[item] != '"' for item in items):
                raise ValueError("a line of a cell is not a string")
            spans = tuple(_string(text, item, in_list=True) for item in items)
        else:
            raise ValueError("the source of a cell is neither a string nor a list")
    return spans


def _string(text: str, start: int, *, in_list: bool) -> Span:
    value, end = _DECODER.raw_decode(text, start)
    return Span(start, end, value, in_list)


def _members(text: str, at: int) -> list[tuple[str, int]]:
    """(key, where its value begins) of each member of the object that begins at `at`."""
    found: list[tuple[str, int]] = []
    at = _skip_space(text, at + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _skip_space(text, _skip_space(text, at) + 1)
        found.append((key, at))
        at = _skip_space(text, _DECODER.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _skip_space(text, at + 1)
    return found


def _items(text: str, at: int) -> list[int]:
    """Where each item of the list that begins at `at` begins."""
    found: list[int] = []
    at = _skip_space(text, at + 1)
    while text[at] != "]":
        found.append(at)
        at = _skip_space(text, _DECODER.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _skip_space(text, at + 1)
    return found


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
