"""Import statements: from what stands for each name to the text of the statements.

A statement is split by new home, one statement each, in the order of their names, at the old place.
Names go into an import of the same home that the block already has, where nothing but imports bind
them and no comment would have to leave its line.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace

from codemods.edits import put
from codemods.guards import suite_of
from codemods.migration import Migration, NewImport
from codemods.transforms.import_layout import ImportLayout, Item, parse_import

Statement = ast.Import | ast.ImportFrom


@dataclass(eq=False)
class _Place:
    """Where a statement stands.

    alone: it has its line to itself, save a comment behind it.
    start, end: the span that is replaced; with the comment where the statement stands alone.
    """

    statement: Statement
    alone: bool
    start: int
    end: int
    indent: str

    @classmethod
    def of(cls, migration: Migration, statement: Statement) -> _Place:
        document = migration.document
        start, end = document.span(statement)
        indent = document.text[document.line_start(start) : start]
        rest = document.text[end : document.line_end(end)]
        alone = not indent.strip() and (not rest.strip() or rest.lstrip().startswith("#"))
        if alone and rest.strip():
            end += len(rest)
        return cls(statement, alone, start, end, indent if not indent.strip() else "")


@dataclass(eq=False)
class _Output:
    """A statement to be: one of those that replace `place`, or an existing one that is extended."""

    place: _Place
    layout: ImportLayout
    is_new: bool = True
    changed: bool = False


@dataclass(eq=False)
class _Suite:
    """A list of statements, and the outputs planned for it."""

    statements: list[ast.stmt]
    outputs: dict[Statement, list[_Output]] = field(default_factory=dict)


def rewrite_imports(migration: Migration) -> None:
    """Turn `migration.imports` into edits of the statements."""
    changed: dict[Statement, dict[int, list[NewImport]]] = {}
    for imported, news in migration.imports.items():
        spelled = [replace(new, module=imported.spell(new.module)) for new in news]
        changed.setdefault(imported.statement, {})[imported.position] = spelled
    suites: dict[int, _Suite] = {}
    for extended in migration.additions:
        if extended not in changed:
            statements = _suite_around(migration, extended)
            suite = suites.setdefault(id(statements), _Suite(statements))
            suite.outputs[extended] = [_extended(migration, extended)]
    for statement in sorted(changed, key=lambda node: (node.lineno, node.col_offset)):
        statements = _suite_around(migration, statement)
        suite = suites.setdefault(id(statements), _Suite(statements))
        _replace_statement(migration, suite, statement, changed[statement])
    for suite in suites.values():
        for statement, outputs in suite.outputs.items():
            _write(migration, statement, outputs)


def _suite_around(migration: Migration, statement: Statement) -> list[ast.stmt]:
    parent = migration.scopes.parents[statement]
    return suite_of(parent, statement) or [statement]


def _replace_statement(
    migration: Migration,
    suite: _Suite,
    statement: Statement,
    news: dict[int, list[NewImport]],
) -> None:
    place = _Place.of(migration, statement)
    text = migration.document.text[place.start : place.end]
    layout = parse_import(text, migration.document.newline_at(place.start))
    groups, plain = _regroup(statement, layout, news)
    layouts = _plain_parts(statement, layout, plain)
    if isinstance(statement, ast.Import):
        trailing = "" if plain else layout.trailing
        layout = replace(layout, head="from ", between=" import ", trailing=trailing)
    layouts += _from_parts(migration, suite, place, layout, groups)
    if isinstance(statement, ast.ImportFrom):
        for name in sorted(migration.additions.get(statement, ())):
            layouts = [_with(part, name, statement.module) for part in layouts]
    if place.alone:
        layouts = [part.wrapped(place.indent) for part in layouts]
    suite.outputs[statement] = [_Output(place, part) for part in layouts]


def _extended(migration: Migration, statement: ast.ImportFrom) -> _Output:
    """A statement of which nothing changes but that it imports more."""
    output = _as_it_stands(migration, statement)
    layout = output.layout
    for name in sorted(migration.additions[statement]):
        layout = layout.with_item(name, None)
    output.layout = layout.wrapped(output.place.indent) if output.place.alone else layout
    output.changed = True
    return output


def _as_it_stands(migration: Migration, statement: Statement) -> _Output:
    place = _Place.of(migration, statement)
    newline = migration.document.newline_at(place.start)
    layout = parse_import(migration.document.text[place.start : place.end], newline)
    return _Output(place, layout, is_new=False)


def _with(layout: ImportLayout, name: str, module: str | None) -> ImportLayout:
    """The statement with one name more if it is that of the module."""
    return layout.with_item(name, None) if layout.module == module else layout


_Groups = dict[str, list[tuple[int, Item]]]
"""The names to import from each module, with the position of the name each stands for."""


def _regroup(
    statement: Statement, layout: ImportLayout, news: dict[int, list[NewImport]]
) -> tuple[_Groups, list[Item]]:
    """The names by the module they come from now, and the modules that are imported whole."""
    groups: _Groups = {}
    plain: list[Item] = []
    for position, item in enumerate(layout.items):
        alias = statement.names[position]
        if isinstance(statement, ast.Import):
            old = NewImport(alias.name, None, alias.asname)
        else:
            assert statement.module is not None
            old = NewImport(statement.module, alias.name, alias.asname)
        for number, new in enumerate(news.get(position, [old])):
            # Comments stay with the first of the names that stand for one.
            kept = item if number == 0 else replace(item, lead=(), comment="", gap=" ")
            if new.name is None:
                plain.append(kept.renamed(new.module, new.asname))
            else:
                named = kept.renamed(new.name, new.asname)
                groups.setdefault(new.module, []).append((position, named))
    return groups, plain


def _plain_parts(
    statement: Statement, layout: ImportLayout, plain: list[Item]
) -> list[ImportLayout]:
    """`import` statements for whole modules: one each where the old statement named one."""
    if not plain:
        return []
    if isinstance(statement, ast.ImportFrom):
        bare = (replace(item, lead=(), comment="", gap="") for item in plain)
        return [ImportLayout("import", "", " ", (item,), newline=layout.newline) for item in bare]
    if len(layout.items) > 1:
        return [replace(layout, items=tuple(plain))]
    return [
        replace(layout, items=(item,), trailing=layout.trailing if number == 0 else "")
        for number, item in enumerate(plain)
    ]


def _from_parts(
    migration: Migration, suite: _Suite, place: _Place, layout: ImportLayout, groups: _Groups
) -> list[ImportLayout]:
    """`from` imports for the names that no other statement of the block takes."""
    may_move = place.alone and not (
        layout.header or layout.closing or layout.trailing or place.statement in migration.additions
    )
    rest: _Groups = {}
    for module in sorted(groups):
        named = groups[module]
        host = _host(migration, suite, place.statement, module) if may_move else None
        if host is None or not _take(migration, host, [item for _, item in named], place):
            rest[module] = named
    if len(rest) == 1 and len(groups) == 1:
        # Nothing is split off: the statement keeps its layout to the last blank.
        [(module, named)] = rest.items()
        return [replace(layout, module=module, items=tuple(item for _, item in named))]
    end = len(layout.items) - 1
    return [
        layout.part(
            module,
            [item for _, item in named],
            first=number == 0,
            last=any(at == end for at, _ in named),
        )
        for number, (module, named) in enumerate(rest.items())
    ]


def _host(migration: Migration, suite: _Suite, statement: Statement, module: str) -> _Output | None:
    """The import of `module` in the same block that can take more names."""
    at = suite.statements.index(statement) if statement in suite.statements else -1
    for position, other in enumerate(suite.statements):
        if other is statement or not isinstance(other, ast.ImportFrom) or at < 0:
            continue
        if position > at and not all(
            isinstance(between, (ast.Import, ast.ImportFrom))
            for between in suite.statements[at:position]
        ):
            return None
        for output in suite.outputs.get(other, ()):
            fits = output.layout.module == module and output.place.alone
            if fits and _is_in_same_part(migration, output, statement):
                return output
        if other in suite.outputs or other.level or other.module != module:
            continue
        if other.names[0].name == "*" or _is_changing(migration, other):
            continue
        if not _Place.of(migration, other).alone:
            continue
        output = _as_it_stands(migration, other)
        if not _is_in_same_part(migration, output, statement):
            continue
        suite.outputs[other] = [output]
        return output
    return None


def _is_in_same_part(migration: Migration, output: _Output, statement: Statement) -> bool:
    document = migration.document
    return document.part_of(output.place.start) == document.part_of(document.span(statement)[0])


def _is_changing(migration: Migration, statement: ast.ImportFrom) -> bool:
    return statement in migration.additions or any(
        imported.statement is statement for imported in migration.imports
    )


def _take(migration: Migration, host: _Output, items: list[Item], place: _Place) -> bool:
    """Put the names into the host's statement if that is safe; say whether they are there now."""
    scope = migration.scopes.scope_of[place.statement]
    layout = host.layout
    known = {item.asname or item.name: item for item in layout.items}
    for item in items:
        local = item.asname or item.name
        if item.has_comment:
            return False
        if local in known:
            if (known[local].name, known[local].asname) != (item.name, item.asname):
                return False
            continue
        # Bound twice, the order of the two might matter.
        if len(scope.bindings.get(local, ())) > 1:
            return False
        layout = layout.with_item(item.name, item.asname)
    if layout is not host.layout:
        host.layout, host.changed = layout.wrapped(host.place.indent), True
    return True


def _write(migration: Migration, statement: Statement, outputs: list[_Output]) -> None:
    document = migration.document
    place = outputs[0].place if outputs else _Place.of(migration, statement)
    if outputs and not outputs[0].is_new:
        if outputs[0].changed:
            text = outputs[0].layout.render(place.indent)
            migration.edits.append(put(place.start, place.end, text))
        return
    if not outputs:
        start, end = document.line_start(place.start), document.line_end(place.end)
        newline = document.newline_at(place.start)
        if document.text.startswith(newline, end):
            end += len(newline)
        migration.edits.append(put(start, end, ""))
        return
    separator = document.newline_at(place.start) + place.indent if place.alone else "; "
    text = separator.join(output.layout.render(place.indent) for output in outputs)
    migration.edits.append(put(place.start, place.end, text))
