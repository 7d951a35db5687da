"""Edits of spans of a text, which may lie inside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Replace `text[start:end]` by `replace(text[start:end])`.

    Edits inside the span are made first, so `replace` sees their result.  An empty span is a place
    to insert something at, outside the spans that begin or end there.
    """

    start: int
    end: int
    replace: Callable[[str], str]

    def moved(self, by: int) -> Edit:
        """The same edit of a text that begins elsewhere."""
        return Edit(self.start + by, self.end + by, self.replace)


def put(start: int, end: int, text: str) -> Edit:
    """Replace a span by a fixed text."""
    return Edit(start, end, lambda _: text)


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Make all edits.  Raises ValueError where two overlap and neither holds the other."""
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end > edit.start, -edit.end))
    position = 0

    def within(start: int, end: int, last: int) -> str:
        """The new text of a span; edits that begin before `last` belong to it."""
        nonlocal position
        pieces, at = [], start
        while position < len(ordered) and ordered[position].start < last:
            edit = ordered[position]
            if edit.end > end or edit.start < at:
                raise ValueError(f"edits overlap at {edit.start}")
            position += 1
            inside = within(edit.start, edit.end, edit.end)
            pieces += [text[at : edit.start], edit.replace(inside)]
            at = edit.end
        return "".join([*pieces, text[at:end]])

    return within(0, len(text), len(text) + 1)
