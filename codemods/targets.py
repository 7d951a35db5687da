"""What the rewritten code will run on: where a row's name goes there, and what can be imported.

The rewriting engine asks a `Target`, got with `target_for(options.target, helper)`:

- `adapt(move)`: the row as it is for this target.  `new`, `fallback` and `call` say where the name
  goes and how its calls change there, `codemod` whether anything can be done, `advice` what to do
  by hand.  A row that means the same everywhere comes back as it is.
- `destination(move)`: the dotted path that the row's name has there, or None where it has none.
- `exists(path)`: whether a dotted path can be imported there.

Paths of what the target has no home for begin with `HELPER`.  A target that knows the helper module
of the file in hand (`codemods.helper_module.Place.module`) spells that instead.

A target's modules are read as text or listed: nothing of it is imported, so neither torch nor
triton need be there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import triton_kernels

if TYPE_CHECKING:
    from triton_kernels.moves import Move

BUNDLED = "bundled"
"""The library that is distributed with the codemods."""
UPSTREAM_3_6 = "upstream-3.6"
"""The released 3.6.0, with nothing of this distribution installed."""

NAMES = (BUNDLED, UPSTREAM_3_6)
HELPER = "{helper}"
"""Stands for the dotted path of the helper module, where that depends on the file."""

_ROOT = os.path.dirname(triton_kernels.__file__)


@dataclass(frozen=True)
class Target:
    """The library that is distributed with the codemods.

    helper: dotted path of the module that holds what the target has no home for.
    """

    name: str = BUNDLED
    helper: str = HELPER

    @property
    def needs_helper(self) -> bool:
        """Whether anything goes to a helper module."""
        return False

    def adapt(self, move: Move) -> Move:
        """The row as it is for this target."""
        return move

    def destination(self, move: Move) -> str | None:
        """The dotted path that a row's name has in this target, None where it has none."""
        from triton_kernels.moves import Codemod, Form

        adapted = self.adapt(move)
        goes = adapted.codemod in (Codemod.REWRITES, Codemod.REWRITES_UNSAFE)
        return adapted.new if goes and adapted.form is Form.NAME else None

    def exists(self, path: str) -> bool:
        """Whether `module` or `module.name` can be imported there."""
        return exists(path)


@dataclass(frozen=True)
class Upstream36(Target):
    """The release 3.6.0.  What it lacks goes to a helper module (`codemods.helper_module`)."""

    name: str = UPSTREAM_3_6

    @property
    def needs_helper(self) -> bool:
        return True

    def adapt(self, move: Move) -> Move:
        from codemods.upstream_3_6 import DIFFERENCES

        difference = DIFFERENCES.get(move.code)
        if difference is None:
            return move
        return replace(
            move,
            new=self._here(difference.new, move.new),
            fallback=self._here(difference.fallback, move.fallback),
            remedy=self._here(difference.remedy, move.remedy),
            call=difference.call or move.call,
            codemod=difference.codemod or move.codemod,
        )

    def exists(self, path: str) -> bool:
        from codemods.helper_module import NAMES as HELPER_NAMES
        from codemods.upstream_3_6 import MODULES_3_6_0

        module, _, name = path.rpartition(".")
        if self.helper in (path, module):
            return path == self.helper or name in HELPER_NAMES
        return any(
            known == path or known.startswith(f"{path}.") for known in MODULES_3_6_0
        ) or name in MODULES_3_6_0.get(module, ())

    def _here(self, text: str | None, otherwise: str) -> str:
        return otherwise if text is None else text.replace(HELPER, self.helper)


def target_for(name: str, helper: str = "") -> Target:
    """The target of a name in `NAMES`; ValueError for any other.

    helper: dotted path of the helper module ("" = not known, `HELPER` stands for it).
    """
    known = {BUNDLED: Target, UPSTREAM_3_6: Upstream36}
    if name not in known:
        raise ValueError(f"target: one of {', '.join(NAMES)} was expected, not {name!r}")
    return known[name](name, helper or HELPER)


def exists(path: str) -> bool:
    """Whether `triton_kernels.module` or `triton_kernels.module.name` of ours can be imported."""
    if _module_file(path) is not None:
        return True
    module, _, name = path.rpartition(".")
    file = _module_file(module)
    return file is not None and name in _names(file)


def _module_file(module: str) -> str | None:
    package, *rest = module.split(".")
    if package != triton_kernels.__name__:
        return None
    base = os.path.join(_ROOT, *rest)
    files = [f"{base}.py"] if rest else []
    return next(filter(os.path.isfile, [*files, os.path.join(base, "__init__.py")]), None)


@cache
def _names(file: str) -> frozenset[str]:
    """The names that a module binds at its top level, `if` and `try` included."""
    import ast

    with open(file, encoding="utf-8") as stream:
        stack: list[ast.AST] = list(ast.parse(stream.read()).body)
    names: set[str] = set()
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        else:
            stack.extend(ast.iter_child_nodes(node))
    return frozenset(names)
