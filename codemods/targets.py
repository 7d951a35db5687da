"""What the rewritten code will run on, and which names it can import there.

The target's modules are read as text: nothing of it is imported, so neither torch nor triton need
be there.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import triton_kernels

BUNDLED = "bundled"
"""The library that is distributed with the codemods."""

_ROOT = Path(triton_kernels.__file__).parent


def exists(path: str) -> bool:
    """Whether `triton_kernels.module` or `triton_kernels.module.name` can be imported."""
    if _module_file(path) is not None:
        return True
    module, _, name = path.rpartition(".")
    file = _module_file(module)
    return file is not None and name in _names(file)


def _module_file(module: str) -> Path | None:
    package, *rest = module.split(".")
    if package != triton_kernels.__name__:
        return None
    base = _ROOT.joinpath(*rest)
    for candidate in (base.with_suffix(".py") if rest else None, base / "__init__.py"):
        if candidate is not None and candidate.is_file():
            return candidate
    return None


@cache
def _names(file: Path) -> frozenset[str]:
    """The names that a module binds at its top level, `if` and `try` included."""
    names: set[str] = set()
    stack: list[ast.AST] = list(ast.parse(file.read_text(encoding="utf-8")).body)
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
