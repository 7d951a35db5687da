"""The old module as an object: `import triton_kernels.routing`, and what is reached through it.

`triton_kernels.routing.RoutingData` and `alias.RoutingData` are rewritten where they stand, each
place on its own, and the import follows: it names the new homes, and the old module too while some
place still needs it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field

from codemods.migration import Migration, NewImport
from codemods.references import LIBRARY, Binding, ImportedName, Use
from codemods.transforms.calls import plan_call
from codemods.transforms.names import (
    edit_calls,
    is_removed_module,
    plan_uses,
    say_stay,
    why_import_stays,
)
from triton_kernels import moves
from triton_kernels.moves import Codemod, Move


@dataclass
class _Chains:
    """What became of the uses of one binding.

    moved: (use, the part of it that is the old name, new dotted path) of those to rewrite.
    needs_old: some use still goes through the old module.
    """

    moved: list[tuple[Use, ast.Attribute, str]] = field(default_factory=list)
    needs_old: bool = False

    @property
    def homes(self) -> list[str]:
        return sorted({path.rpartition(".")[0] for _, _, path in self.moved})


def migrate_modules(migration: Migration) -> None:
    """Decide on every use of a removed module as an object, and on its imports."""
    uses: dict[Binding, list[Use]] = defaultdict(list)
    for use in migration.references.uses:
        if use.node is not use.root or is_removed_module(use.path):
            uses[use.binding].append(use)
    for binding, imports in list(migration.references.by_binding.items()):
        targets = {imported.target for imported in imports}
        if targets == {LIBRARY}:
            _migrate_package(migration, imports, uses[binding])
        elif any(_is_module(imported) for imported in imports):
            olds = [imported for imported in imports if _is_module(imported)]
            _migrate_alias(migration, olds, uses[binding])


def _is_module(imported: ImportedName) -> bool:
    return imported.target in moves.BY_OLD_MODULE and not imported.is_star


def _migrate_alias(migration: Migration, imports: list[ImportedName], uses: list[Use]) -> None:
    """`import triton_kernels.routing as r` and `from triton_kernels import routing`."""
    move = migration.module_row(imports[0].target)
    if move is None:
        return
    stays = [why_import_stays(migration, each) for each in imports]
    stay = next((each for each in stays if each is not None), None)
    if stay is not None:
        for imported in imports:
            say_stay(migration, imported.alias, move, stay)
        return
    chains = _sort_chains(migration, uses)
    if not chains.moved:
        reason = "used in a way that needs the module itself" if uses else "nothing is used of it"
        for imported in imports:
            migration.left(imported.alias, move, f"{move.old_text} stays: {reason}")
        return
    locals_of_homes = _name_homes(migration, imports[0], chains)
    for use, node, path in chains.moved:
        home, _, name = path.rpartition(".")
        migration.retoken(use.root, locals_of_homes[home].asname or _leaf(home))
        migration.retoken(node, name)
    for imported in imports:
        news = [locals_of_homes[home] for home in chains.homes]
        kept = [_old_import(imported)] if chains.needs_old else []
        migration.imports[imported] = kept + news
        homes = ", ".join(chains.homes)
        migration.changed(imported.alias, move, f"{move.old_text} -> {homes}")
        migration.introduced.update(chains.homes)


def _name_homes(
    migration: Migration, imported: ImportedName, chains: _Chains
) -> dict[str, NewImport]:
    """How each new home is imported.

    A single one takes over the alias.  Several, and one whose alias stays with the old module,
    come under their own names, or where the file uses such a name, under a longer one.
    """
    alias = imported.alias.asname
    homes = chains.homes
    if len(homes) == 1 and alias is not None and not chains.needs_old:
        if isinstance(imported.statement, ast.Import):
            return {homes[0]: NewImport(homes[0], None, alias)}
        package, _, leaf = homes[0].rpartition(".")
        return {homes[0]: NewImport(package, leaf, alias)}
    taken = migration.references.bound_names()
    named = {}
    for home in homes:
        package, _, leaf = home.rpartition(".")
        local = leaf if leaf not in taken else f"{LIBRARY}_{leaf}"
        named[home] = NewImport(package, leaf, None if local == leaf else local)
    return named


def _migrate_package(migration: Migration, imports: list[ImportedName], uses: list[Use]) -> None:
    """`import triton_kernels` and `import triton_kernels.routing`, with chains from the package."""
    chains = _sort_chains(migration, uses)
    for _, node, path in chains.moved:
        home, _, name = path.rpartition(".")
        old_module = node.value
        assert isinstance(old_module, ast.Attribute)
        migration.retoken(old_module, home.removeprefix(f"{LIBRARY}."))
        migration.retoken(node, name)
    olds = [imported for imported in imports if is_removed_module(imported.loads)]
    for imported in olds:
        move = migration.module_row(imported.loads)
        if move is None:
            continue
        stay = why_import_stays(migration, imported)
        if stay is not None:
            say_stay(migration, imported.alias, move, stay)
        elif not chains.moved:
            reason = "its uses need it" if chains.needs_old else "nothing is used of it"
            migration.left(imported.alias, move, f"{move.old_text} stays: {reason}")
        else:
            kept = [_old_import(imported)] if chains.needs_old else []
            migration.imports[imported] = kept + _missing(imports, chains, instead=imported)
            if not migration.imports[imported]:
                migration.imports[imported] = [NewImport(LIBRARY, None)]
            homes = ", ".join(chains.homes)
            migration.changed(imported.alias, move, f"{move.old_text} -> {homes}")
    migration.introduced.update(chains.homes)
    if chains.moved and not any(imported in migration.imports for imported in olds):
        # The package alone was imported: the new homes have to be, too.
        first = imports[0]
        missing = _missing(imports, chains)
        if missing:
            migration.imports[first] = [_old_import(first), *missing]


def _missing(
    imports: list[ImportedName], chains: _Chains, instead: ImportedName | None = None
) -> list[NewImport]:
    """Imports of the homes that no other import of the same binding loads."""
    loaded = {imported.loads for imported in imports if imported is not instead}
    return [
        NewImport(home, None)
        for home in chains.homes
        if not any(module == home or module.startswith(f"{home}.") for module in loaded)
    ]


def _old_import(imported: ImportedName) -> NewImport:
    """The import as it stands."""
    alias = imported.alias
    if isinstance(imported.statement, ast.Import):
        return NewImport(alias.name, None, alias.asname)
    return NewImport(imported.loads, alias.name, alias.asname)


def _sort_chains(migration: Migration, uses: list[Use]) -> _Chains:
    """Decide on each use of a removed module, and edit the calls that change."""
    chains = _Chains()
    patched = next((use for use in uses if is_removed_module(use.path) and _is_patch(use)), None)
    for use in uses:
        if not is_removed_module(use.path):
            continue
        outcome = _sort_chain(migration, use, patched)
        if outcome is None:
            chains.needs_old = True
        else:
            node, path = outcome
            chains.moved.append((use, node, path))
    return chains


def _is_patch(use: Use) -> bool:
    """Whether the use assigns to the old module, or to something in it."""
    return isinstance(use.node, ast.Attribute) and not isinstance(use.node.ctx, ast.Load)


def _sort_chain(
    migration: Migration, use: Use, patched: Use | None
) -> tuple[ast.Attribute, str] | None:
    """(the part of the use that is the old name, its new path), or None where it stays."""
    old = _old_name_in(use.path)
    move = migration.row(old) if old else migration.module_row(use.path)
    if move is None:
        return None
    guard = migration.guards.around(use.node)
    if guard is not None:
        migration.guarded(use.node, move, guard)
        return None
    node = use.node_for(old) if old else None
    if not isinstance(node, ast.Attribute):
        name = use.path.removeprefix(f"{move.old}.")
        what = (
            f"{use.path}: the module itself is handed on or changed"
            if use.path == move.old
            else f"{use.path}: no release is known to have had {name}"
        )
        migration.left(use.node, move, what)
        return None
    reason = _why_chain_stays(migration, use, move)
    if not reason and patched is not None:
        reason = f"line {patched.node.lineno} patches the old module, which would miss it"
    if reason:
        migration.left(use.node, move, f"{move.old_text} stays: {reason}")
        return None
    new = _new_path(migration, use, node, move)
    if new is None:
        return None
    migration.changed(use.node, move, f"{move.old_text} -> {new}")
    migration.introduced.add(new)
    return node, new


def _old_name_in(path: str) -> str:
    """The longest prefix of a dotted path that is a row of the table ("" = none)."""
    while path:
        if path in moves.BY_OLD_NAME:
            return path
        path = path.rpartition(".")[0]
    return ""


def _why_chain_stays(migration: Migration, use: Use, move: Move) -> str:
    if _is_patch(use):
        return "assigning to it changes the library, and only in the old module"
    if move.codemod is not Codemod.REWRITES:
        return move.why
    if not use.certain:
        return "the name it begins with may mean something else"
    if not migration.can_edit(use.node):
        return "it stands in an f-string"
    return ""


def _new_path(migration: Migration, use: Use, node: ast.Attribute, move: Move) -> str | None:
    """Where the old name is found now; edits the call where its arguments change."""
    if move.call is None:
        return move.new
    parent = migration.scopes.parents.get(node)
    call = parent if isinstance(parent, ast.Call) and parent.func is node else None
    if move.fallback and (call is None or isinstance(plan_call(call, move.call), str)):
        return move.fallback
    plans, reason = plan_uses(migration, move.call, [use], resolved=True)
    if reason:
        migration.left(use.node, move, f"{move.old_text} stays: {reason}")
        return None
    edit_calls(migration, move, plans)
    return move.new


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]
