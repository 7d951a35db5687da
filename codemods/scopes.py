"""Which binding a name refers to: Python's scoping rules on a syntax tree, and no more.

The walk keeps its own stack, so a file with deeply nested expressions cannot exhaust Python's.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field

from codemods.annotations import quoted_types

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
    parents: every node's parent; that of an expression in a string annotation is the string.
    scope_of: for each name that is read, and each import, the scope it stands in.
    reads: the names that are read, those in string annotations included.
    all: every scope, in the order in which a reader enters them.
    quoted: the expression that each string annotation spells.
    """

    module: Scope
    parents: dict[ast.AST, ast.AST]
    scope_of: dict[ast.AST, Scope]
    reads: list[ast.Name]
    all: list[Scope]
    quoted: dict[ast.Constant, ast.expr] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: ast.Module) -> Scopes:
        module = Scope(tree, None)
        scopes = cls(module, {}, {}, [], [module])
        for node in tree.body:
            scopes.parents[node] = tree
        scopes._walk([(node, module) for node in reversed(tree.body)])
        return scopes

    def add_comment(self, line: int, expression: ast.expr) -> None:
        """Take in the expression of a type comment in a line."""
        scope = self.module
        for inner in self.all:
            node = inner.node
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                if node.lineno <= line <= (node.end_lineno or 0):
                    scope = inner
        self.parents[expression] = scope.node
        self._walk([(expression, scope)])

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

    def _walk(self, stack: list[tuple[ast.AST, Scope]]) -> None:
        # Most of the time that a file takes is spent here.
        parents, scope_of, reads = self.parents, self.scope_of, self.reads
        while stack:
            node, scope = stack.pop()
            fields = _PLAIN.get(type(node))
            if fields is not None:
                # Most nodes bind nothing and open no scope: their children, the first on top.
                for name in fields:
                    value = getattr(node, name)
                    if type(value) is list:
                        for child in reversed(value):
                            if child is not None:
                                parents.setdefault(child, node)
                                stack.append((child, scope))
                    elif value is not None:
                        parents.setdefault(value, node)
                        stack.append((value, scope))
            elif isinstance(node, ast.Name):
                scope_of[node] = scope
                if isinstance(node.ctx, ast.Load):
                    reads.append(node)
                else:
                    self._bind(node.id, node, scope)
            else:
                children = list(self._enter(node, scope))
                for child, _ in children:
                    parents.setdefault(child, node)
                children.reverse()
                stack += children

    def _bind(self, name: str, node: ast.AST, scope: Scope) -> None:
        if name in scope.declared_global:
            scope = self.module
        elif name in scope.declared_nonlocal:
            owner = scope.parent and self.resolve(name, scope.parent)
            scope = owner or scope
        scope.bindings.setdefault(name, []).append(node)

    def _open(self, node: ast.AST, scope: Scope) -> Scope:
        inner = Scope(node, scope)
        self.all.append(inner)
        return inner

    def _enter(self, node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
        """Record what `node` binds or reads; give its children and their scopes, in order."""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self.scope_of[node] = scope
            for alias in node.names:
                self.parents[alias] = node
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
            inner = self._open(node, scope)
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
        elif isinstance(node, ast.AnnAssign):
            yield node.target, scope
            yield from self._enter_annotation(node.annotation, scope)
            if node.value is not None:
                yield node.value, scope
        else:
            bound = getattr(node, "name", None) or getattr(node, "rest", None)
            if isinstance(bound, str):  # `except ... as name`, `case ... as name`, `[T]`
                self._bind(bound, node, scope)
            for child in ast.iter_child_nodes(node):
                yield child, scope

    def _enter_annotation(
        self, annotation: ast.expr, scope: Scope
    ) -> Iterator[tuple[ast.AST, Scope]]:
        yield annotation, scope
        for literal, expression in quoted_types(annotation):
            self.parents[expression] = literal
            self.quoted[literal] = expression
            yield expression, scope

    def _enter_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope
    ) -> Iterator[tuple[ast.AST, Scope]]:
        inner = self._open(node, scope)
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
                yield from self._enter_annotation(node.returns, scope)
            body = list(node.body)
        for default in (*arguments.defaults, *(d for d in arguments.kw_defaults if d)):
            yield default, scope
        for argument in every:
            self.parents[argument] = node
            if argument.annotation is not None:
                self.parents[argument.annotation] = argument
                yield from self._enter_annotation(argument.annotation, scope)
        for child in body:
            yield child, inner

    def _enter_comprehension(
        self,
        node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp,
        scope: Scope,
    ) -> Iterator[tuple[ast.AST, Scope]]:
        inner = self._open(node, scope)
        for position, generator in enumerate(node.generators):
            yield generator.iter, scope if position == 0 else inner
            yield generator.target, inner
            for condition in generator.ifs:
                yield condition, inner
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for part in parts:
            yield part, inner


_PLAIN: dict[type[ast.AST], tuple[str, ...]] = {
    kind: tuple(
        name
        for name in reversed(kind._fields)
        if name not in ("ctx", "op", "ops", "attr", "arg", "conversion", "type_comment")
    )
    for kind in (
        *(ast.Attribute, ast.Call, ast.Expr, ast.Assign, ast.keyword, ast.Subscript, ast.BinOp),
        *(ast.Compare, ast.If, ast.Return, ast.Tuple, ast.List, ast.BoolOp, ast.UnaryOp, ast.Dict),
        *(ast.JoinedStr, ast.FormattedValue, ast.For, ast.While, ast.With, ast.withitem, ast.Set),
        *(ast.Raise, ast.Assert, ast.IfExp, ast.Slice, ast.AugAssign, ast.Try, ast.Starred),
        *(ast.Await, ast.Yield, ast.YieldFrom, ast.Delete, ast.Pass, ast.Break, ast.Continue),
    )
}
"""Nodes that bind nothing and open no scope, with the fields of their children, the last first."""
_PLAIN[ast.Constant] = ()
