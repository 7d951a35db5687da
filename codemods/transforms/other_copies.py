"""The library as it comes to be there: pinned, from the kernels hub, or another in its place.

All of it is left, and said.
"""

from __future__ import annotations

import ast
import re

from codemods.findings import ALIASED_PACKAGE, HUB_COPY, PIN
from codemods.migration import Migration
from codemods.old_names import LIBRARY
from codemods.pins import pin_in
from codemods.transforms.patches import called_word

_HUB_NAME = re.compile(r"(?:^|/)[\w.-]*triton[_-]kernels$")


def report_other_copies(migration: Migration) -> None:
    """Say where a file loads a copy of the library, or makes its name mean one."""
    text = migration.document.text
    if "get_kernel" in text:
        _report_hub(migration)
    if "sys.modules" in text:
        _report_aliases(migration)
    if "git+" in text:
        _report_pins(migration)


def _report_hub(migration: Migration) -> None:
    for call in migration.scopes.parents:
        if not isinstance(call, ast.Call) or called_word(call) != "get_kernel" or not call.args:
            continue
        name = call.args[0]
        value = name.value if isinstance(name, ast.Constant) else None
        if isinstance(value, str) and _HUB_NAME.search(value):
            message = f"{value} is a copy from the kernels hub, with modules of its own"
            migration.note(call, HUB_COPY, message)


def _report_aliases(migration: Migration) -> None:
    for node in migration.scopes.parents:
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            modules, key = node.value, node.slice
        elif isinstance(node, ast.Call) and called_word(node) == "setdefault" and node.args:
            assert isinstance(node.func, (ast.Attribute, ast.Name))
            modules = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            key = node.args[0]
        else:
            continue
        if ast.unparse(modules) == "sys.modules" and _names_library(key):
            message = f"sys.modules[{ast.unparse(key)}] puts another package in its place"
            migration.note(node, ALIASED_PACKAGE, message)


def _report_pins(migration: Migration) -> None:
    for literal in migration.strings:
        assert isinstance(literal.value, str)
        pin = pin_in(literal.value, migration.target.name) if "git+" in literal.value else None
        if pin is not None and not isinstance(migration.scopes.parents.get(literal), ast.Expr):
            severity, message = pin
            migration.note(literal, PIN, message, severity)


def _names_library(key: ast.expr) -> bool:
    if isinstance(key, ast.JoinedStr) and key.values:
        first = key.values[0]
        return isinstance(first, ast.Constant) and str(first.value).startswith(f"{LIBRARY}.")
    return isinstance(key, ast.Constant) and str(key.value) == LIBRARY
