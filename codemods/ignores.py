"""`# triton-kernels: ignore[TKM001]`: places that their author wants left, in silence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codemods.document import Document

_COMMENT = re.compile(r"#[ \t]*triton-kernels:[ \t]*ignore\b(?:\[(?P<codes>[^\]\r\n]*)\])?")


class Ignores:
    """The comments of one file: for each line, the codes that are ignored there.

    A bare `ignore` is for all codes; one with an empty or unknown list is for none.
    """

    def __init__(self, document: Document) -> None:
        self._lines: dict[int, re.Match[str]] = {}
        if "triton-kernels:" in document.text:
            for match in _COMMENT.finditer(document.text):
                line, _ = document.position(match.start())
                self._lines[line] = match

    def __bool__(self) -> bool:
        return bool(self._lines)

    def silence(self, code: str, *lines: int) -> bool:
        """Whether a comment on one of the lines is for the code."""
        return any(
            _is_for(match, code) for line in lines if (match := self._lines.get(line)) is not None
        )


def is_ignored(line: str, code: str) -> bool:
    """Whether a line holds a comment that is for the code."""
    match = _COMMENT.search(line)
    return match is not None and _is_for(match, code)


def _is_for(match: re.Match[str], code: str) -> bool:
    codes = match["codes"]
    return codes is None or code in [word.strip() for word in codes.split(",")]
