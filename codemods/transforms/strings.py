"""Old names in comments, docstrings and messages: seen and reported, never touched."""

from __future__ import annotations

import ast
from bisect import bisect_right

from codemods.migration import Migration
from codemods.old_names import row_of


def report_text(migration: Migration) -> None:
    """Report every mention of an old path that no statement or expression accounts for."""
    if not migration.old_paths:
        return
    handled = sorted({*migration.spans, *_statements(migration)})
    strings = Strings(migration)
    names = _names(migration)
    whole = set(migration.old_strings)
    for match in migration.old_paths:
        located = migration.references.locate(match.group())
        move = migration.selected(row_of(located[0])) if located else None
        if move is None:
            continue
        literal = strings.around(match.start())
        if literal is None and (match.start() in names or _covered(handled, match.start())):
            continue
        if literal is not None and (literal in whole or _covered_exactly(handled, match.start())):
            continue
        migration.prose(match.start(), move, f"{match.group()} is mentioned in passing")


def _statements(migration: Migration) -> list[tuple[int, int]]:
    """The spans of the imports of the library: their names have findings of their own."""
    document = migration.document
    return [document.span(imported.statement) for imported in migration.references.imports]


def _names(migration: Migration) -> set[int]:
    """Where names stand: what they mean was decided by scope, and may be nothing of ours."""
    roots = {match["prefix"].partition(".")[0] for match in migration.old_paths}
    return {
        migration.document.span(node)[0]
        for node in migration.scopes.scope_of
        if isinstance(node, ast.Name) and node.id in roots
    }


def _covered(spans: list[tuple[int, int]], offset: int) -> bool:
    return any(start <= offset < end for start, end in spans)


def _covered_exactly(spans: list[tuple[int, int]], offset: int) -> bool:
    """Whether an expression in a string begins there: it has a finding of its own."""
    return any(start == offset for start, _ in spans)


class Strings:
    """The string literals of a file, by offset."""

    def __init__(self, migration: Migration) -> None:
        document = migration.document
        parents = migration.scopes.parents
        found: dict[tuple[int, int], ast.Constant] = {}
        for node in migration.strings:
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
