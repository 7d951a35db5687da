"""Jupyter notebooks: the code cells are migrated, every other byte stays.

The cells form one module, in their order.  Lines that are IPython's (`%magic`, `!shell`, `help?`)
are hidden from the parser by text of the same length, so that what is found has its true place.
Only the JSON strings of lines that change are written anew.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from codemods import findings
from codemods.document import Document, UnusableFile
from codemods.edits import Edit, apply_edits
from codemods.engine import check, edits_of, examine
from codemods.findings import Finding
from codemods.json_spans import Span, strings_of_cells
from codemods.migration import Migration
from codemods.options import SourceOptions
from codemods.source import SourceResult, given_up

_MAGIC = re.compile(
    r"^(?P<head>[ \t]*(?:[\w \t,.\[\]]+=[ \t]*)?)(?P<magic>[%!?].*|[\w.*]+\?\??[ \t]*)$"
)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
# Magics of a whole cell that leave it Python.
_PYTHON_CELL = re.compile(r"%%(?:time|timeit|capture|prun|python3?)\b")


@dataclass(frozen=True)
class Cell:
    """A code cell: its number among all cells, from 1, and the JSON strings that make its text."""

    number: int
    spans: tuple[Span, ...]

    @property
    def text(self) -> str:
        return "".join(span.value for span in self.spans)


def migrate_notebook(data: bytes, options: SourceOptions) -> SourceResult:
    """Migrate the code cells of one notebook.  Never raises on account of what the file holds."""
    try:
        text = data.decode("utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8")
        cells = _code_cells(text)
    except (ValueError, RecursionError) as error:
        message = f"the notebook cannot be read: {str(error) or type(error).__name__}"
        found = findings.NO_NOTEBOOK.finding(message)
        return SourceResult(None, (found,), failed=True)
    try:
        return _migrate(data, text, cells, options)
    except UnusableFile as error:
        return SourceResult(None, (error.finding,), failed=True)
    except Exception as error:  # a defect of ours must not end the run, nor change the file
        return given_up(error)


def _migrate(data: bytes, text: str, cells: list[Cell], options: SourceOptions) -> SourceResult:
    document, troubles = _document(cells)
    migration = examine(document, options)
    places = _Places(text, cells, document)
    found = [places.of_trouble(cell, finding) for cell, finding in troubles]
    if migration is None:
        return SourceResult(None, tuple(sorted(found)))
    edits = edits_of(migration)
    found += [places.of(finding) for finding in migration.findings]
    if not edits:
        return SourceResult(None, tuple(sorted(found)))
    texts = [_apply(migration, number, cell.text, edits) for number, cell in enumerate(cells)]
    new = text
    for cell, changed in reversed(list(zip(cells, texts, strict=True))):
        if changed != cell.text:
            new = _put(new, cell, changed)
    if [cell.text for cell in _code_cells(new)] != texts:
        raise ValueError("the new cells do not read as they were written")
    check(migration, _document(_code_cells(new))[0])
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    return SourceResult(mark + new.encode(), tuple(sorted(found)))


def _code_cells(text: str) -> list[Cell]:
    """The cells of Python code.  Raises ValueError where the text is no notebook."""
    notebook = json.loads(text)
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("it has no list of cells")
    if not _is_python(notebook.get("metadata")):
        return []
    spans = strings_of_cells(text)
    return [
        Cell(number, spans[number - 1])
        for number, cell in enumerate(notebook["cells"], 1)
        if isinstance(cell, dict) and cell.get("cell_type") == "code" and spans[number - 1]
    ]


def _is_python(metadata: object) -> bool:
    """Whether the notebook says that its language is Python, or says nothing."""
    languages = []
    for key, field in (("kernelspec", "language"), ("language_info", "name")):
        part = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(part, dict) and isinstance(part.get(field), str):
            languages.append(part[field].lower())
    return not languages or any("python" in language for language in languages)


def _document(cells: list[Cell]) -> tuple[Document, list[tuple[Cell, Finding]]]:
    """The cells as one module, and what is to be said of those that cannot be in it."""
    texts: list[str] = []
    troubles: list[tuple[Cell, Finding]] = []
    for cell in cells:
        masked = _without_magics(cell.text)
        error = _syntax_error(masked)
        if error is not None:
            masked = re.sub(r"[^\r\n]", "#", masked)
            if "triton_kernels" in cell.text:
                line, reason = error
                message = f"the cell does not parse: {reason}"
                troubles.append((cell, findings.UNPARSABLE.finding(message, line, 1)))
        texts.append(masked)
    return Document.of_parts(texts), troubles


def _syntax_error(text: str) -> tuple[int, str] | None:
    """(line, reason) where the text is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return error.lineno or 1, str(error.msg)
    except (RecursionError, MemoryError, ValueError) as error:
        return 1, str(error) or type(error).__name__
    return None


def _without_magics(text: str) -> str:
    """The text with IPython's lines made into Python of the same length."""
    lines = _lines(text)
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("%%") and not _PYTHON_CELL.match(first):
        return "".join(_as_comment(line) for line in lines)
    masked: list[str] = []
    continued = False
    for line in lines:
        body = line.rstrip("\r\n")
        match = None if continued else _MAGIC.match(body)
        if continued:
            masked.append(_as_comment(line))
        elif match is not None:
            # `0#` reads as a statement, or as the value of an assignment.
            magic = match["magic"]
            hidden = "0#"[: len(magic)] + magic[2:]
            masked.append(match["head"] + hidden + line[len(body) :])
        else:
            masked.append(line)
        continued = (continued or match is not None) and body.endswith("\\")
    return "".join(masked)


def _lines(text: str) -> list[str]:
    """The lines as Python counts them, with their endings."""
    return _LINE.findall(text)


def _as_comment(line: str) -> str:
    return "#" + line[1:] if line.strip() else line


def _apply(migration: Migration, number: int, text: str, edits: list[Edit]) -> str:
    """One cell's text with the edits that lie in it."""
    start = migration.document.parts[number]
    end = start + len(text)
    own = []
    for edit in edits:
        if migration.document.part_of(edit.start) == number:
            # A statement that goes takes its line ending along, which the last one does not have.
            own.append(replace(edit, end=min(edit.end, end)).moved(-start))
    return apply_edits(text, own)


def _put(text: str, cell: Cell, changed: str) -> str:
    """The notebook with another text in a cell; unchanged strings of its list stay as they are."""
    plain = not text.isascii()
    spans = cell.spans
    if not spans[0].in_list:
        [span] = spans
        return text[: span.start] + _quoted(changed, plain) + text[span.end :]
    lines = changed.splitlines(keepends=True)
    old = [span.value for span in spans]
    separator = text[spans[0].end : spans[1].start] if len(spans) > 1 else ", "
    matcher = SequenceMatcher(None, old, lines, autojunk=False)
    pieces: list[str] = []
    for kind, first, last, new_first, new_last in matcher.get_opcodes():
        if kind == "equal":
            pieces += [text[span.start : span.end] for span in spans[first:last]]
        else:
            pieces += [_quoted(line, plain) for line in lines[new_first:new_last]]
    return text[: spans[0].start] + separator.join(pieces) + text[spans[-1].end :]


def _quoted(value: str, plain: bool) -> str:
    return json.dumps(value, ensure_ascii=not plain)


class _Places:
    """Where in the notebook's own text a place of a cell stands."""

    def __init__(self, text: str, cells: list[Cell], document: Document) -> None:
        self._cells = cells
        self._document = document
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def of(self, finding: Finding) -> Finding:
        """A finding about the module of all cells, as one about the file."""
        if not finding.line:
            return finding
        offset = self._document.offset_of_line(finding.line) + finding.column - 1
        number = self._document.part_of(offset)
        inside = offset - self._document.parts[number]
        return self._moved(self._cells[number], inside, finding)

    def of_trouble(self, cell: Cell, finding: Finding) -> Finding:
        """A finding about one cell, by a line of it, as one about the file."""
        lines = _lines(cell.text)
        return self._moved(cell, len("".join(lines[: finding.line - 1])), finding)

    def _moved(self, cell: Cell, inside: int, finding: Finding) -> Finding:
        ends = list(_running_ends(cell))
        at = min(bisect_right(ends, inside), len(cell.spans) - 1)
        span = cell.spans[at]
        before = span.value[: inside - (ends[at - 1] if at else 0)]
        offset = span.start + 1 + len(json.dumps(before, ensure_ascii=False)) - 2
        line = bisect_right(self._starts, offset)
        column = offset - self._starts[line - 1] + 1
        message = f"cell {cell.number}: {finding.message}"
        return replace(finding, line=line, column=column, message=message)


def _running_ends(cell: Cell) -> Iterator[int]:
    total = 0
    for span in cell.spans:
        total += len(span.value)
        yield total
