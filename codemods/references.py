"""What in a file refers to the library: its imports, and every expression that means a name of it.

A name counts only where Python's scoping rules lead from it to an import of `triton_kernels`.  A
local variable, a parameter, a vendored copy or another package of a similar name never does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from codemods.old_names import LIBRARY as LIBRARY
from codemods.scopes import Scope, Scopes

Binding = tuple[Scope, str]
"""A scope, and a name that it binds."""


@dataclass(eq=False)
class ImportedName:
    """One name of one import statement of the library.

    position: which of the statement's names it is.
    binding: where it is bound, and as what (`*` for a star import).
    target: the dotted path that the bound name means; `import a.b` binds `a`.
    loads: the dotted path of what the import makes sure is loaded.
    prefix: what the library is called here: its own name, or where a vendored copy of it lies.
        Paths are told as if it were its own name.
    """

    statement: ast.Import | ast.ImportFrom
    position: int
    alias: ast.alias
    binding: Binding
    target: str
    loads: str
    prefix: str = LIBRARY

    @property
    def local(self) -> str:
        return self.binding[1]

    @property
    def is_star(self) -> bool:
        return self.alias.name == "*"

    @property
    def binds_package(self) -> bool:
        """Whether it is `import triton_kernels` or of something in it, with no `as`."""
        return isinstance(self.statement, ast.Import) and self.alias.asname is None

    def spell(self, path: str) -> str:
        """A dotted path of the library as this file calls it."""
        return self.prefix + path.removeprefix(LIBRARY) if in_library(path) else path


@dataclass(eq=False)
class Use:
    """An expression that means `path`, the longest dotted path that it spells.

    root: the name it begins with.  node: the whole of it; `root` itself, or an attribute.
    certain: every binding of the root's name imports the same thing.
    """

    node: ast.expr
    root: ast.Name
    path: str
    binding: Binding
    certain: bool

    def node_for(self, path: str) -> ast.expr | None:
        """The part of the expression that means `path`, a prefix of this use's path."""
        node: ast.expr = self.node
        for _ in range(self.path.count(".") - path.count(".")):
            if not isinstance(node, ast.Attribute):
                return None
            node = node.value
        return node


class References:
    """The imports of the library and the uses of what they bind, in the order of the file.

    vendored: dotted prefixes of copies that count as the library.
    """

    def __init__(self, tree: ast.Module, scopes: Scopes, vendored: Sequence[str] = ()) -> None:
        self.scopes = scopes
        # The longest first: a copy may lie inside another's name.
        self._prefixes = (LIBRARY, *sorted(vendored, key=len, reverse=True))
        self._roots = {prefix.partition(".")[0] for prefix in self._prefixes}
        self.imports: list[ImportedName] = list(self._find_imports(tree))
        self.by_binding: dict[Binding, list[ImportedName]] = {}
        for imported in self.imports:
            self.by_binding.setdefault(imported.binding, []).append(imported)
        self.stars = [imported for imported in self.imports if imported.is_star]
        self.uses: list[Use] = sorted(
            self._find_uses(), key=lambda use: (use.root.lineno, use.root.col_offset)
        )
        self._by_node: dict[ast.AST, Use] = {use.node: use for use in self.uses}
        self.exported: frozenset[str] = frozenset(self._find_exported(tree))

    def bound_names(self) -> frozenset[str]:
        """Every name that any scope of the file binds or reads."""
        return self._bound_names

    @cached_property
    def _bound_names(self) -> frozenset[str]:
        names = {node.id for node in self.scopes.scope_of if isinstance(node, ast.Name)}
        names |= {node.arg for node in self.scopes.parents if isinstance(node, ast.arg)}
        names |= {
            node.name
            for node in self.scopes.parents
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }
        for node in self.scopes.scope_of:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        return frozenset(names)

    def is_placeholder(self, binding: ast.AST) -> bool:
        """Whether a binding only says that the import failed: `name = None`."""
        parent = self.scopes.parents.get(binding)
        value = getattr(parent, "value", None) if isinstance(parent, ast.Assign) else None
        if isinstance(parent, ast.AnnAssign):
            value = parent.value
            if value is None:
                return True  # a bare annotation binds nothing
        return isinstance(value, ast.Constant) and value.value is None

    def only_imported(self, binding: Binding) -> bool:
        """Whether nothing but imports of one thing, and placeholders, bind the name."""
        scope, name = binding
        imported = self.by_binding[binding]
        statements = [known.statement for known in imported]
        return len({known.target for known in imported}) == 1 and all(
            node in statements or self.is_placeholder(node) for node in scope.bindings.get(name, ())
        )

    def locate(self, path: str) -> tuple[str, str] | None:
        """(path as if the library had its own name, what it is called), or None: not in it."""
        for prefix in self._prefixes:
            if path == prefix or path.startswith(f"{prefix}."):
                return LIBRARY + path[len(prefix) :], prefix
        return None

    def _find_imports(self, tree: ast.Module) -> Iterator[ImportedName]:
        for statement, scope in self.scopes.scope_of.items():
            if isinstance(statement, ast.Import):
                for position, alias in enumerate(statement.names):
                    yield from self._of_import(statement, position, alias, scope)
            elif isinstance(statement, ast.ImportFrom):
                yield from self._of_from(statement, scope)

    def _of_import(
        self, statement: ast.Import, position: int, alias: ast.alias, scope: Scope
    ) -> Iterator[ImportedName]:
        located = self.locate(alias.name)
        root = alias.name.partition(".")[0]
        if located is None:
            # `import vllm` makes a copy inside vllm reachable, too.
            if alias.asname is None and root in self._roots:
                binding = self._binding(scope, root)
                yield ImportedName(statement, position, alias, binding, root, alias.name)
            return
        loads, prefix = located
        target = loads if alias.asname else root
        binding = self._binding(scope, alias.asname or root)
        yield ImportedName(statement, position, alias, binding, target, loads, prefix)

    def _of_from(self, statement: ast.ImportFrom, scope: Scope) -> Iterator[ImportedName]:
        if statement.level or statement.module is None:
            return
        for position, alias in enumerate(statement.names):
            star = alias.name == "*"
            located = self.locate(statement.module if star else f"{statement.module}.{alias.name}")
            if located is None:
                continue
            target, prefix = located
            loads = target if star else target.rpartition(".")[0] or LIBRARY
            binding = self._binding(scope, alias.asname or alias.name)
            yield ImportedName(statement, position, alias, binding, target, loads, prefix)

    def _binding(self, scope: Scope, name: str) -> Binding:
        if name in scope.declared_global:
            return self.scopes.module, name
        return scope, name

    def _find_uses(self) -> Iterator[Use]:
        # A name that no import binds is of interest where a star import may have bound it.
        names = {name for _, name in self.by_binding}
        for node in self.scopes.reads:
            if node.id not in names and not self.stars:
                continue
            use = self._use_of(node)
            if use is not None:
                yield use

    def _use_of(self, node: ast.Name) -> Use | None:
        binding, path, certain = self._meaning(node)
        if binding is None:
            return None
        expression: ast.expr = node
        while isinstance(parent := self.scopes.parents.get(expression), ast.Attribute):
            expression = parent
            path += f".{parent.attr}"
        if not in_library(path):
            located = self.locate(path)
            if located is None:
                return None
            path, _ = located
        return Use(expression, node, path, binding, certain)

    def use_at(self, node: ast.AST) -> Use | None:
        """The use that is exactly this expression."""
        return self._by_node.get(node)

    def learn(self, use: Use) -> None:
        """Take note of a use that no import statement leads to."""
        self._by_node[use.node] = use

    def _meaning(self, node: ast.Name) -> tuple[Binding | None, str, bool]:
        owner = self.scopes.resolve(node.id, self.scopes.scope_of[node])
        if owner is None:
            # Only a star import can have bound it; with several, nobody knows which.
            if len(self.stars) == 1:
                star = self.stars[0]
                certain = not self._has_other_star(star)
                return (star.binding[0], node.id), f"{star.target}.{node.id}", certain
            return None, "", False
        imported = self.by_binding.get((owner, node.id))
        if not imported:
            return None, "", False
        binding = (owner, node.id)
        return binding, imported[0].target, self.only_imported(binding)

    def _has_other_star(self, star: ImportedName) -> bool:
        return any(
            isinstance(node, ast.ImportFrom)
            and node is not star.statement
            and any(alias.name == "*" for alias in node.names)
            for node in self.scopes.scope_of
        )

    def _find_exported(self, tree: ast.Module) -> Iterator[str]:
        """The names in the module's `__all__`."""
        for statement in tree.body:
            targets: list[ast.expr] = []
            if isinstance(statement, ast.Assign):
                targets = statement.targets
            elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
                targets = [statement.target]
            value = getattr(statement, "value", None)
            if value is None or not any(
                isinstance(target, ast.Name) and target.id == "__all__" for target in targets
            ):
                continue
            for node in ast.walk(value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def in_library(path: str) -> bool:
    return path == LIBRARY or path.startswith(f"{LIBRARY}.")
