"""Old names in strings, comments and docstrings: seen and reported, never touched."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right

from codemods.migration import Migration
from codemods.references import LIBRARY
from triton_kernels import moves

OLD_PATH = re.compile(
    r"(?<![\w.])(?:"
    + "|".join(re.escape(path) for path in sorted(moves.BY_OLD_MODULE, key=len, reverse=True))
    + r")(?:\.[A-Za-z_]\w*)*(?!\w)"
)
"""The dotted path of a removed module, or of something in it, not as the tail of a longer path."""


def report_text(migration: Migration) -> None:
    """Report every mention of an old path that no statement or expression accounts for."""
    text = migration.document.text
    matches = [match for match in OLD_PATH.finditer(text) if moves_row(match.group())]
    if not matches:
        return
    handled = sorted({*migration.spans, *_statements(migration)})
    strings = _Strings(migration)
    names = _names(migration)
    for match in matches:
        move = moves_row(match.group())
        if move is None or move.code not in migration.codes:
            continue
        literal = strings.around(match.start())
        if literal is None and (match.start() in names or _covered(handled, match.start())):
            continue
        if literal is not None and literal.value == match.group():
            migration.left(
                literal, move, f"the string {match.group()!r} names what is no longer there"
            )
        else:
            migration.prose(match.start(), move, f"{match.group()} is mentioned in passing")


def moves_row(path: str) -> moves.Move | None:
    """The row of an old name or of the removed module that it lies in."""
    while path:
        move = moves.BY_OLD_NAME.get(path) or moves.BY_OLD_MODULE.get(path)
        if move is not None:
            return move
        path = path.rpartition(".")[0]
    return None


def _statements(migration: Migration) -> list[tuple[int, int]]:
    """The spans of the imports of the library: their names have findings of their own."""
    document = migration.document
    return [document.span(imported.statement) for imported in migration.references.imports]


def _names(migration: Migration) -> set[int]:
    """Where names stand: what they mean was decided by scope, and may be nothing of ours."""
    return {
        migration.document.span(node)[0]
        for node in migration.scopes.scope_of
        if isinstance(node, ast.Name) and node.id == LIBRARY
    }


def _covered(spans: list[tuple[int, int]], offset: int) -> bool:
    return any(start <= offset < end for start, end in spans)


class _Strings:
    """The string literals of a file, by offset."""

    def __init__(self, migration: Migration) -> None:
        document = migration.document
        parents = migration.scopes.parents
        found: dict[tuple[int, int], ast.Constant] = {}
        for node in parents:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                owner: ast.expr = node
                # The parts of an f-string have no positions of their own before Python 3.12.
                while isinstance(parent := parents.get(owner), (ast.JoinedStr, ast.FormattedValue)):
                    owner = parent
                found[document.span(owner)] = node
        self._found = sorted(found.items(), key=lambda item: item[0])
        self._starts = [start for (start, _), _ in self._found]

    def around(self, offset: int) -> ast.Constant | None:
        at = bisect_right(self._starts, offset) - 1
        if at < 0:
            return None
        (_, end), node = self._found[at]
        return node if offset < end else None
