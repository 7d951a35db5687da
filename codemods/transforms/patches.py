"""Places that replace a part of the old module: what goes through it must stay there.

`routing.sort_tokens = f`, `setattr(routing, "sort_tokens", f)`, `patch.object(routing, "topk")` and
`patch("triton_kernels.routing.routing")`: a use that is moved to a new home would miss them.
"""

from __future__ import annotations

import ast

from codemods.migration import Migration, Patches
from codemods.old_names import LIBRARY, is_removed_module
from codemods.references import Use
from triton_kernels import moves

_SETTERS = frozenset({"setattr", "delattr", "object", "multiple"})
_BY_STRING = frozenset({"patch", "setattr", "delattr"})


def find_patches(migration: Migration) -> Patches:
    """The places of a file that patch the old module."""
    patches = Patches()
    for use in migration.references.uses:
        if not is_removed_module(use.path) or not _through_module(migration, use):
            continue
        if is_assigned(use) or _is_set(migration, use):
            patches.module = patches.module or use.node.lineno
    if not migration.options.unsafe:  # else the strings are rewritten, too
        for literal, call in patch_strings(migration):
            located = migration.references.locate(str(literal.value))
            if located is not None:
                patches.names.setdefault(located[0], call.lineno)
    return patches


def patch_strings(migration: Migration) -> list[tuple[ast.Constant, ast.Call]]:
    """The strings that name a part of the old module to replace, and their calls."""
    return [
        (literal, call)
        for literal in migration.old_strings
        if isinstance(call := migration.scopes.parents.get(literal), ast.Call)
        and literal in call.args[:1]
        and called_word(call) in _BY_STRING
    ]


def called_word(call: ast.Call) -> str:
    """The last word of what is called: `patch` of `mock.patch(...)`."""
    callee = call.func
    return callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")


def is_assigned(use: Use) -> bool:
    """Whether the use is what an assignment or `del` changes."""
    return isinstance(use.node, ast.Attribute) and not isinstance(use.node.ctx, ast.Load)


def _is_set(migration: Migration, use: Use) -> bool:
    call = migration.scopes.parents.get(use.node)
    return isinstance(call, ast.Call) and use.node in call.args and called_word(call) in _SETTERS


def _through_module(migration: Migration, use: Use) -> bool:
    """Whether the use begins with a module, and not with a name imported from one."""
    return any(
        each.target in moves.BY_OLD_MODULE or each.target == LIBRARY or each.binds_package
        for each in migration.references.by_binding.get(use.binding, ())
        if not each.is_star
    )
