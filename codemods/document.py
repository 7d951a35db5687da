"""The text of one file: bytes to text and back, and positions of the parser to offsets in it."""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import tokenize
import warnings
from bisect import bisect_right
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from codemods import findings
from codemods.findings import Finding

_NEWLINE = re.compile(r"\r\n|\r|\n")
_CONFLICT = re.compile(r"^<{7}(?: |$)", re.M)
_ASK_LIBCST = (
    "import sys; sys.path[:] = sys.argv[1:]; import libcst; libcst.parse_module(sys.stdin.read())"
)


class UnusableFile(Exception):
    """The file cannot be treated; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(frozen=True)
class Document:
    """A decoded file.

    text: every character of the file, line endings as they stand, without a byte order mark.
    encoding: what `tokenize.detect_encoding` made of cookie and mark.
    parts: where each part of the text begins, if it is put together from the cells of a notebook;
        statements of two parts are never joined.
    """

    text: str
    encoding: str
    has_bom: bool
    parts: tuple[int, ...] = ()

    @classmethod
    def of_parts(cls, texts: Sequence[str]) -> Document:
        """The texts as one, each on lines of its own."""
        parts: list[int] = []
        length = 0
        for text in texts:
            parts.append(length)
            length += len(text) + 1
        whole = "".join(f"{text}\n" for text in texts)
        return cls(whole, "utf-8", False, tuple(parts))

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in _NEWLINE.finditer(self.text))]

    def part_of(self, offset: int) -> int:
        """The number of the part that an index into `text` lies in."""
        return bisect_right(self.parts, offset) - 1

    @classmethod
    def decode(cls, data: bytes) -> Document:
        """Decode as Python itself would.  Raises UnusableFile."""
        if b"\0" in data:
            line = data.count(b"\n", 0, data.index(b"\0")) + 1
            raise UnusableFile(findings.UNDECODABLE.finding("the file holds a NUL byte", line, 1))
        try:
            # Python finds the cookie after it has made all line endings the same.
            lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data
            encoding, _ = tokenize.detect_encoding(io.BytesIO(lines).readline)
            has_bom = data.startswith(BOM_UTF8)
            body = data[len(BOM_UTF8) :] if has_bom else data
            text = body.decode(encoding)
            lossless = text.encode(encoding if not has_bom else "utf-8") == body
        except (SyntaxError, UnicodeError, LookupError) as error:
            raise UnusableFile(
                findings.UNDECODABLE.finding(f"the file cannot be decoded: {error}")
            ) from None
        if not lossless:
            raise UnusableFile(
                findings.UNDECODABLE.finding(f"encoding {encoding} does not give back its bytes")
            )
        return cls(text, "utf-8" if has_bom else encoding, has_bom)

    def encode(self, text: str) -> bytes:
        """`text` as bytes of this file's encoding, with its byte order mark."""
        return (BOM_UTF8 if self.has_bom else b"") + text.encode(self.encoding)

    def parse(self) -> ast.Module:
        """The syntax tree.  Raises UnusableFile."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes are not our business
                return ast.parse(self.text)
        except SyntaxError as error:
            raise UnusableFile(self._refusal(error)) from None
        except (RecursionError, MemoryError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise UnusableFile(
                findings.UNPARSABLE.finding(f"the file cannot be parsed: {reason}")
            ) from None

    def _refusal(self, error: SyntaxError) -> Finding:
        """Tell broken code from code that only a later Python understands."""
        line, column = error.lineno or 0, error.offset or 0
        conflict = _CONFLICT.search(self.text)
        if conflict is not None:
            line, column = self.position(conflict.start())
            return findings.UNPARSABLE.finding("the file holds a merge conflict", line, column)
        if not _is_later_python(self.text):
            return findings.UNPARSABLE.finding(
                f"the file does not parse: {error.msg}", line, column
            )
        return findings.NEWER_SYNTAX.finding(
            f"this Python does not parse the file, a later one does: {error.msg}", line, column
        )

    def offset(self, line: int, utf8_column: int) -> int:
        """Index into `text` of a position as the parser gives it (1-based line, UTF-8 bytes)."""
        start = self._line_starts[line - 1]
        head = self.text[start : start + utf8_column]
        if head.isascii():
            return start + utf8_column
        line_text = self.text[start : start + utf8_column].encode()[:utf8_column]
        return start + len(line_text.decode())

    def span(self, node: ast.expr | ast.stmt | ast.alias | ast.arg) -> tuple[int, int]:
        """Start and end of a node as indices into `text`."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno, node.end_col_offset),
        )

    def offset_of_line(self, line: int) -> int:
        """Where a line, counted from 1, begins."""
        return self._line_starts[line - 1]

    def position(self, offset: int) -> tuple[int, int]:
        """1-based line and column, in characters, of an index into `text`."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line_start(self, offset: int) -> int:
        return self._line_starts[bisect_right(self._line_starts, offset) - 1]

    def line_end(self, offset: int) -> int:
        """Index of the line ending (or of the end of the text) of the line that holds `offset`."""
        match = _NEWLINE.search(self.text, offset)
        return match.start() if match else len(self.text)

    def newline_at(self, offset: int) -> str:
        """The line ending in use around `offset`: that line's own, else the one before it."""
        match = _NEWLINE.search(self.text, offset)
        if match is None:
            before = list(_NEWLINE.finditer(self.text, 0, offset))
            match = before[-1] if before else None
        return match.group() if match else "\n"


def _is_later_python(text: str) -> bool:
    """Whether LibCST, which knows later grammars than the running Python, parses the text.

    It is asked in a process of its own: its native parser overruns the stack on deep nesting.
    """
    import subprocess  # takes longer than all of this module, and is seldom needed

    answer = subprocess.run(
        [sys.executable, "-c", _ASK_LIBCST, *sys.path],
        input=text.encode("utf-8", "surrogatepass"),
        env={**os.environ, "PYTHONUTF8": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return answer.returncode == 0
