"""What the branches beside an old import do: import the new home, or find out about the release."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from codemods.guards import TryBranch
from codemods.migration import Migration
from codemods.old_names import LIBRARY, is_removed_module
from codemods.references import ImportedName, in_library


def imports_new_home(
    migration: Migration, statements: Iterable[ast.AST], local: str | None = None
) -> bool:
    """Whether the statements import something from the library as it is now.

    local: only what is bound to this name counts.
    """
    inside = {node for statement in statements for node in ast.walk(statement)}
    return any(
        imported.statement in inside
        and in_library(imported.loads)
        and imported.loads != LIBRARY
        and not is_removed_module(imported.loads)
        and not is_removed_module(imported.target)
        and local in (None, imported.local)
        for imported in migration.references.imports
    )


def is_in_other_branch(migration: Migration, imported: ImportedName) -> bool:
    """Whether the other branch of an `if` around the import binds its name to the new home."""
    for parent, child in migration.scopes.ancestors(imported.statement):
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return False
        if isinstance(parent, ast.If):
            other = parent.orelse if child in parent.body else parent.body
            if imports_new_home(migration, other, imported.local):
                return True
    return False


def is_probe(migration: Migration, imported: ImportedName, branch: TryBranch) -> bool:
    """Whether the file asks if the import worked in order to choose the code for a release.

    The handler marks the name, or a flag, and the file asks for the mark.  Asking for the name only
    to raise where it is missing is no such thing, and a flag counts where a branch that it chooses
    imports the library as it is now.
    """
    if any(
        not _only_raises(migration, test) for test in _tests_of_name(migration, imported, branch)
    ):
        return True
    return any(
        imports_new_home(migration, _where_missing(test))
        for test in _tests_of_flags(migration, imported, branch)
    )


def _tests_of_name(
    migration: Migration, imported: ImportedName, branch: TryBranch
) -> Iterator[tuple[ast.expr, ast.AST]]:
    """(test, what it decides) for tests of a name that the handler binds where it is missing."""
    scope, local = imported.binding
    inside = {node for statement in branch.other_branches() for node in ast.walk(statement)}
    if not any(node in inside for node in scope.bindings.get(local, ())):
        return
    for use in migration.references.uses:
        if use.binding != imported.binding or use.node is not use.root:
            continue
        test: ast.expr = use.node
        parent = migration.scopes.parents.get(test)
        if isinstance(parent, ast.Compare):
            if not any(isinstance(operator, (ast.Is, ast.IsNot)) for operator in parent.ops):
                continue
            test, parent = parent, migration.scopes.parents.get(parent)
        elif isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
            test, parent = parent, migration.scopes.parents.get(parent)
        elif isinstance(parent, (ast.If, ast.IfExp, ast.While, ast.Assert)):
            if parent.test is not test:
                continue
        elif not isinstance(parent, (ast.BoolOp, ast.UnaryOp)):
            continue
        if parent is not None:
            yield test, parent


def _only_raises(migration: Migration, test: tuple[ast.expr, ast.AST]) -> bool:
    """Whether all that a test of a name does is to raise where the name is missing."""
    condition, decided = test
    if isinstance(decided, ast.Assert):
        return True
    if not isinstance(decided, ast.If) or decided.test is not condition:
        return False
    is_missing = isinstance(condition, ast.UnaryOp) or (
        isinstance(condition, ast.Compare) and isinstance(condition.ops[0], ast.Is)
    )
    suite = decided.body if is_missing else decided.orelse
    return bool(suite) and isinstance(suite[-1], ast.Raise)


def _tests_of_flags(
    migration: Migration, imported: ImportedName, branch: TryBranch
) -> Iterator[ast.If]:
    """The `if` statements that test a name which says whether the import worked."""
    scope = imported.binding[0]
    inside = {node for statement in branch.other_branches() for node in ast.walk(statement)}
    flags = {
        name
        for name, bindings in scope.bindings.items()
        if any(node in inside and _assigns_constant(migration, node) for node in bindings)
    }
    if not flags:
        return
    for node in migration.scopes.parents:
        if isinstance(node, ast.If) and any(
            isinstance(word, ast.Name) and word.id in flags for word in ast.walk(node.test)
        ):
            yield node


def _where_missing(decided: ast.If) -> list[ast.stmt]:
    """What an `if` on a flag runs where the import failed; both branches where nobody can tell."""
    if isinstance(decided.test, ast.Name):
        return decided.orelse
    if isinstance(decided.test, ast.UnaryOp) and isinstance(decided.test.op, ast.Not):
        return decided.body
    return [*decided.body, *decided.orelse]


def _assigns_constant(migration: Migration, node: ast.AST) -> bool:
    parent = migration.scopes.parents.get(node)
    return isinstance(parent, ast.Assign) and isinstance(parent.value, ast.Constant)
