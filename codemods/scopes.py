"""Which binding a name refers to: Python's scoping rules on a syntax tree, and no more.

The walk keeps its own stack, so a file with deeply nested expressions cannot exhaust Python's.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field

Comprehension = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
Function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(eq=False)
class Scope:
    """A module, class, function or comprehension, and what binds names in it."""

    node: ast.AST
    parent: Scope | None
    bindings: dict[str, list[ast.AST]] = field(default_factory=dict)
    declared_global: set[str] = field(default_factory=set)
    declared_nonlocal: set[str] = field(default_factory=set)

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)


@dataclass(eq=False)
class Scopes:
    """The scopes of a file.

    module: the outermost one.
    parents: every node's parent.
    scope_of: for each name that is read, and each import, the scope it stands in.
    """

    module: Scope
    parents: dict[ast.AST, ast.AST]
    scope_of: dict[ast.AST, Scope]
    reads: list[ast.Name]

    @classmethod
    def of(cls, tree: ast.Module) -> Scopes:
        module = Scope(tree, None)
        scopes = cls(module, {}, {}, [])
        stack: list[tuple[ast.AST, Scope]] = [(node, module) for node in reversed(tree.body)]
        scopes.parents.update((node, tree) for node in tree.body)
        while stack:
            node, scope = stack.pop()
            children = list(scopes._enter(node, scope))
            scopes.parents.update((child, node) for child, _ in children)
            stack.extend(reversed(children))
        return scopes

    def resolve(self, name: str, scope: Scope) -> Scope | None:
        """The scope whose binding `name`, read in `scope`, refers to; None: built in or unknown."""
        if name in scope.declared_global:
            return self.module
        current: Scope | None = scope
        while current is not None:
            visible = current is scope or not current.is_class
            if visible and name in current.bindings and name not in current.declared_nonlocal:
                return current
            current = current.parent
        return None

    def undefined(self) -> set[str]:
        """Names that are read and that neither the file nor Python binds."""
        return {
            node.id
            for node in self.reads
            if self.resolve(node.id, self.scope_of[node]) is None and not hasattr(builtins, node.id)
        }

    def ancestors(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """(parent, the child through which it is reached), from the innermost outwards."""
        while (parent := self.parents.get(node)) is not None:
            yield parent, node
            node = parent

    def _bind(self, name: str, node: ast.AST, scope: Scope) -> None:
        if name in scope.declared_global:
            scope = self.module
        elif name in scope.declared_nonlocal:
            owner = scope.parent and self.resolve(name, scope.parent)
            scope = owner or scope
        scope.bindings.setdefault(name, []).append(node)

    def _enter(self, node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
        """Record what `node` binds or reads; give its children and their scopes, in order."""
        if isinstance(node, ast.Name):
            self.scope_of[node] = scope
            if isinstance(node.ctx, ast.Load):
                self.reads.append(node)
            else:
                self._bind(node.id, node, scope)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self.scope_of[node] = scope
            for alias in node.names:
                local = alias.asname or alias.name
                if isinstance(node, ast.Import) and alias.asname is None:
                    local = alias.name.partition(".")[0]
                self._bind(local, node, scope)
        elif isinstance(node, ast.Global):
            scope.declared_global.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            scope.declared_nonlocal.update(node.names)
        elif isinstance(node, Function):
            yield from self._enter_function(node, scope)
        elif isinstance(node, ast.ClassDef):
            self._bind(node.name, node, scope)
            inner = Scope(node, scope)
            for outer in (*node.decorator_list, *node.bases, *node.keywords):
                yield outer, scope
            for child in (*getattr(node, "type_params", ()), *node.body):
                yield child, inner
        elif isinstance(node, Comprehension):
            yield from self._enter_comprehension(node, scope)
        elif isinstance(node, ast.NamedExpr):
            # `:=` binds in the scope around a comprehension, whose own names stay inside.
            owner = scope
            while isinstance(owner.node, Comprehension) and owner.parent is not None:
                owner = owner.parent
            yield node.value, scope
            yield node.target, owner
        else:
            bound = getattr(node, "name", None) or getattr(node, "rest", None)
            if isinstance(bound, str):  # `except ... as name`, `case ... as name`, `[T]`
                self._bind(bound, node, scope)
            for child in ast.iter_child_nodes(node):
                yield child, scope

    def _enter_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope
    ) -> Iterator[tuple[ast.AST, Scope]]:
        inner = Scope(node, scope)
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
        for argument in every:
            self._bind(argument.arg, argument, inner)
        if isinstance(node, ast.Lambda):
            body: list[ast.AST] = [node.body]
        else:
            self._bind(node.name, node, scope)
            for decorator in node.decorator_list:
                yield decorator, scope
            for child in getattr(node, "type_params", ()):
                yield child, inner
            if node.returns is not None:
                yield node.returns, scope
            body = list(node.body)
        for default in (*arguments.defaults, *(d for d in arguments.kw_defaults if d)):
            yield default, scope
        for argument in every:
            if argument.annotation is not None:
                yield argument.annotation, scope
        for child in body:
            yield child, inner

    def _enter_comprehension(
        self,
        node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp,
        scope: Scope,
    ) -> Iterator[tuple[ast.AST, Scope]]:
        inner = Scope(node, scope)
        for position, generator in enumerate(node.generators):
            yield generator.iter, scope if position == 0 else inner
            yield generator.target, inner
            for condition in generator.ifs:
                yield condition, inner
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for part in parts:
            yield part, inner
