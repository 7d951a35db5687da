"""What a rewrite must not have done to the names of a file: its scopes before and after."""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Iterator

from codemods.references import References
from codemods.scopes import Scope, Scopes
from codemods.targets import Target

_Reads = Counter[tuple[int, str, int]]
"""(scope that reads, name, scope that binds it; -1 = none), how often."""


def faults(before: References, after: References, target: Target) -> list[str]:
    """What is wrong with the names of a rewritten file; empty where all is well.

    A new import must exist in the target.  No name may have become undefined, hide one that was
    read, or be bound to two things; and whatever was not renamed is read from where it was.
    """
    found = []
    expanded = {star.target for star in before.stars}
    known = {imported.target for imported in before.imports}
    new = {imported.target for imported in after.imports if imported.prefix == "triton_kernels"}
    missing = sorted(
        path
        for path in new - known
        if path.rpartition(".")[0] not in expanded and not target.exists(path)
    )
    if missing:
        found.append(f"the target has no {', '.join(missing)}")
    old_scopes, new_scopes = before.scopes, after.scopes
    if len(old_scopes.all) != len(new_scopes.all):
        return [*found, "a scope came or went"]
    if not before.stars:
        undefined = sorted(new_scopes.undefined() - old_scopes.undefined())
        if undefined:
            found.append(f"names became undefined: {', '.join(undefined)}")
    changed: set[str] = set()
    for old, scope in zip(old_scopes.all, new_scopes.all, strict=True):
        changed |= old.bindings.keys() ^ scope.bindings.keys()
        hidden = sorted(_hidden(old_scopes, old, scope.bindings.keys() - old.bindings.keys()))
        if hidden:
            found.append(f"names would hide others: {', '.join(hidden)}")
        doubled = sorted(_doubled(old, scope))
        if doubled:
            found.append(f"names would be bound to two things: {', '.join(doubled)}")
    surplus = _reads(new_scopes, changed) - _reads(old_scopes, changed)
    moved = sorted(
        {
            name
            for _, name, owner in surplus
            if owner < 0 or (new_scopes.all[owner], name) not in after.by_binding
        }
    )
    if moved:
        found.append(f"names would be read from elsewhere: {', '.join(moved)}")
    return found


def _hidden(scopes: Scopes, scope: Scope, added: set[str]) -> Iterator[str]:
    """Those of the names, newly bound in a scope, that were read there and bound further out."""
    if not added:
        return
    for node in scopes.reads:
        if node.id not in added:
            continue
        reader = scopes.scope_of[node]
        if not _is_within(reader, scope):
            continue
        owner = scopes.resolve(node.id, reader)
        if (owner is None and hasattr(builtins, node.id)) or (
            owner is not None and _is_within(scope, owner)
        ):
            yield node.id


def _is_within(scope: Scope, outer: Scope) -> bool:
    current: Scope | None = scope
    while current is not None:
        if current is outer:
            return True
        current = current.parent
    return False


def _doubled(old: Scope, new: Scope) -> Iterator[str]:
    """Names that are bound once more than before, and not each time by the same import."""
    for name, bindings in new.bindings.items():
        before = old.bindings.get(name, ())
        if len(bindings) > max(1, len(before)) and len({_meaning(b, name) for b in bindings}) > 1:
            yield name


def _meaning(binding: ast.AST, name: str) -> object:
    if isinstance(binding, ast.Import):
        for alias in binding.names:
            if alias.asname is None and alias.name.partition(".")[0] == name:
                return name
            if alias.asname == name:
                return alias.name
    if isinstance(binding, ast.ImportFrom):
        for alias in binding.names:
            if (alias.asname or alias.name) == name:
                return f"{'.' * binding.level}{binding.module}.{alias.name}"
    return binding


def _reads(scopes: Scopes, changed: set[str]) -> _Reads:
    """The reads of all names but the changed ones."""
    index = {scope: number for number, scope in enumerate(scopes.all)}
    counted: _Reads = Counter()
    for node in scopes.reads:
        if node.id not in changed:
            reader = scopes.scope_of[node]
            owner = scopes.resolve(node.id, reader)
            counted[index[reader], node.id, -1 if owner is None else index[owner]] += 1
    return counted
