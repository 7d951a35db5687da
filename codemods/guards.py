"""Code that runs only with one release of the library, or that asks which release is there.

Rewriting such code breaks the branch that was right.  A check that merely asks whether the library
is installed (`if has_triton_kernels():`) is no guard: its branch is rewritten like any other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from codemods.old_names import LIBRARY
from codemods.references import References
from codemods.scopes import Scopes

# `version` or `legacy` as a word of an identifier, not as the tail of "conversion".
_RELEASE_WORD = re.compile(r"(?:^|[^a-zA-Z])(?:version|legacy)|Version|Legacy|VERSION|LEGACY")
_VERSION_LITERAL = re.compile(r"^[~=<>! v]*\d+\.\d+")
# Versions of these say nothing about the library (that of triton does: they ship together).
_OTHER_PROJECTS = re.compile(
    r"(?:^|_)(?:sys|platform|py|python|torch|cuda|hip|rocm|numpy|np|transformers)(?:_|$)", re.I
)
_SUBMODULE = re.compile(r"^triton_kernels\.\w+")
_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "AttributeError", "Exception"}
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@dataclass(frozen=True)
class Guard:
    """Why a place is left: `line` is that of the test, `reason` continues "left alone: "."""

    line: int
    reason: str


class Guards:
    """Finds the guard around a node of one file."""

    def __init__(self, scopes: Scopes, references: References) -> None:
        self._scopes = scopes
        self._references = references
        self._release_tests: dict[str, bool] = {}

    def around(self, node: ast.AST) -> Guard | None:
        """The innermost test of the library's release that decides whether `node` runs."""
        for parent, child in self._scopes.ancestors(node):
            if isinstance(parent, (ast.If, ast.IfExp, ast.While)) and child is not parent.test:
                if self.is_release_test(parent.test):
                    return Guard(parent.lineno, self._text(parent.test))
            elif isinstance(parent, ast.Match) and self.is_release_test(parent.subject):
                return Guard(parent.lineno, self._text(parent.subject))
            for earlier in self._siblings_before(parent, child):
                if (
                    isinstance(earlier, ast.If)
                    and isinstance(earlier.body[-1], _LEAVES)
                    and self.is_release_test(earlier.test)
                ):
                    return Guard(earlier.lineno, self._text(earlier.test))
        return None

    def is_release_test(self, test: ast.expr) -> bool:
        """Whether an expression asks which release of the library is installed."""
        return any(self._asks_release(node, test) for node in ast.walk(test))

    def _asks_release(self, node: ast.AST, test: ast.expr) -> bool:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return bool(_SUBMODULE.match(node.value)) or (
                bool(_VERSION_LITERAL.match(node.value)) and not self._names_other_project(test)
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "hasattr" and len(node.args) == 2:
                owner = node.args[0]
                return (
                    self._references.use_at(owner) is not None
                    or ast.unparse(owner).partition(".")[0] == LIBRARY
                )
        if isinstance(node, (ast.Name, ast.Attribute)):
            word = node.id if isinstance(node, ast.Name) else node.attr
            if _RELEASE_WORD.search(word) and not self._names_other_project(test):
                return True
            return isinstance(node, ast.Name) and self._holds_release_test(node.id)
        return False

    def _names_other_project(self, test: ast.expr) -> bool:
        words = [
            node.id if isinstance(node, ast.Name) else str(getattr(node, "attr", ""))
            for node in ast.walk(test)
        ]
        strings = [
            node.value
            for node in ast.walk(test)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        if any("triton" in word.lower() for word in (*words, *strings)):
            return False
        return any(_OTHER_PROJECTS.search(word) for word in (*words, *strings))

    def _holds_release_test(self, name: str) -> bool:
        """Whether the module assigns `name` the outcome of a release test."""
        if name not in self._release_tests:
            self._release_tests[name] = False  # ends `a = b; b = a`
            self._release_tests[name] = any(
                self.is_release_test(value) for value in self._values_of(name)
            )
        return self._release_tests[name]

    def _values_of(self, name: str) -> Iterator[ast.expr]:
        for binding in self._scopes.module.bindings.get(name, ()):
            statement = self._scopes.parents.get(binding)
            if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
                yield statement.value

    def _siblings_before(self, parent: ast.AST, child: ast.AST) -> list[ast.stmt]:
        suite = suite_of(parent, child)
        return [] if suite is None else suite[: suite.index(child)]  # type: ignore[arg-type]

    @staticmethod
    def _text(test: ast.expr) -> str:
        text = ast.unparse(test)
        return f"runs only where `{text if len(text) <= 60 else text[:57] + '...'}` decides"


def suite_of(parent: ast.AST, child: ast.AST) -> list[ast.stmt] | None:
    """The list of statements of `parent` that holds `child`."""
    for field in ("body", "orelse", "finalbody"):
        suite = getattr(parent, field, None)
        if isinstance(suite, list) and child in suite:
            return suite
    return None


@dataclass(frozen=True)
class TryBranch:
    """An import inside a `try` that catches a failing import, and what its siblings do."""

    statement: ast.Try
    in_handler: bool

    def other_branches(self) -> list[ast.stmt]:
        """The statements that run instead of the branch in question."""
        if self.in_handler:
            return self.statement.body
        return [
            node
            for handler in self.statement.handlers
            if _catches_import_errors(handler)
            for node in handler.body
        ]


def try_branches(scopes: Scopes, node: ast.AST) -> Iterator[TryBranch]:
    """The `try` statements around `node`, up to the function, that catch a failing import."""
    for parent, child in scopes.ancestors(node):
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return
        if not isinstance(parent, ast.Try):
            continue
        if not any(_catches_import_errors(handler) for handler in parent.handlers):
            continue
        if child in parent.body:
            yield TryBranch(parent, in_handler=False)
        elif isinstance(child, ast.ExceptHandler) and _catches_import_errors(child):
            yield TryBranch(parent, in_handler=True)


def _catches_import_errors(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    return bool(names & _IMPORT_ERRORS)
