"""The old module as an object: `import triton_kernels.routing`, and what is reached through it.

`triton_kernels.routing.RoutingData`, `alias.RoutingData` and `getattr(alias, "RoutingData")` are
rewritten where they stand, each place on its own, and the import follows: it names the new homes,
and the old module too while some place still needs it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field

from codemods.edits import put
from codemods.guards import Guard
from codemods.migration import Migration, NewImport
from codemods.old_names import LIBRARY, is_removed_module, old_name_in
from codemods.references import Binding, ImportedName, Use, in_library
from codemods.transforms.calls import CallPlan, plan_call
from codemods.transforms.names import edit_calls, plan_uses, say_stay, why_import_stays
from codemods.transforms.patches import called_word, is_assigned
from triton_kernels import moves
from triton_kernels.moves import Move


@dataclass(frozen=True)
class Chain:
    """A use of the old module that goes to a new home.

    module: the expression that means the old module.
    name: what names the part of it: an attribute, or the string that `getattr` is given.
    path: the new dotted path.
    plans: the calls that change with it.
    """

    use: Use
    module: ast.expr
    name: ast.Attribute | ast.Constant
    path: str
    move: Move
    plans: dict[ast.Call, CallPlan]

    @property
    def home(self) -> str:
        return self.path.rpartition(".")[0]


@dataclass(frozen=True)
class Stay:
    """Why a use of the old module stays: a guard, or the whole of what is to be said."""

    move: Move
    message: str = ""
    guard: Guard | None = None

    def say(self, migration: Migration, node: ast.AST) -> None:
        if self.guard is not None:
            migration.guarded(node, self.move, self.guard)
        else:
            migration.left(node, self.move, self.message)


@dataclass
class Chains:
    """What became of the uses of one binding.

    needs_old: some use still goes through the old module.
    """

    moved: list[Chain] = field(default_factory=list)
    needs_old: bool = False

    @property
    def homes(self) -> list[str]:
        return sorted({chain.home for chain in self.moved})


def migrate_modules(migration: Migration) -> None:
    """Decide on every use of a removed module as an object, and on its imports."""
    uses: dict[Binding, list[Use]] = defaultdict(list)
    for use in migration.references.uses:
        if use.node is not use.root or is_removed_module(use.path):
            uses[use.binding].append(use)
    for binding, imports in list(migration.references.by_binding.items()):
        if all(imported.binds_package or imported.target == LIBRARY for imported in imports):
            _migrate_package(migration, imports, uses[binding])
        elif any(_is_module(imported) for imported in imports):
            olds = [imported for imported in imports if _is_module(imported)]
            _migrate_alias(migration, olds, uses[binding])


def _is_module(imported: ImportedName) -> bool:
    return imported.target in moves.BY_OLD_MODULE and not imported.is_star


def _migrate_alias(migration: Migration, imports: list[ImportedName], uses: list[Use]) -> None:
    """`import triton_kernels.routing as r` and `from triton_kernels import routing`."""
    move = migration.module_row(imports[0].target)
    if move is None or any(migration.is_silenced(each.alias, move.code) for each in imports):
        return
    stays = [why_import_stays(migration, each) for each in imports]
    stay = next((each for each in stays if each is not None), None)
    if stay is not None:
        for imported in imports:
            say_stay(migration, imported.alias, move, stay)
        return
    chains = sort_chains(migration, uses)
    if not chains.moved:
        reason = "used in a way that needs the module itself" if uses else "nothing is used of it"
        for imported in imports:
            migration.left(imported.alias, move, f"{move.old_text} stays: {reason}")
        return
    locals_of_homes = _name_homes(migration, imports[0], chains)
    for chain in chains.moved:
        named = locals_of_homes[chain.home]
        migration.retoken(chain.use.root, named.asname or _leaf(chain.home))
        rename_part(migration, chain)
    for imported in imports:
        news = [locals_of_homes[home] for home in chains.homes]
        kept = [_old_import(imported)] if chains.needs_old else []
        migration.imports[imported] = kept + news
        homes = ", ".join(map(imported.spell, chains.homes))
        migration.changed(imported.alias, move, f"{move.old_text} -> {homes}")
        migration.introduced.update(chains.homes)


def _name_homes(
    migration: Migration, imported: ImportedName, chains: Chains
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
        return {homes[0]: _import_of_module(homes[0], alias)}
    taken = migration.references.bound_names()
    named = {}
    for home in homes:
        leaf = _leaf(home)
        named[home] = _import_of_module(home, leaf if leaf not in taken else f"{LIBRARY}_{leaf}")
    return named


def _import_of_module(home: str, local: str) -> NewImport:
    """`from package import module`, or `import module` where it lies in no package."""
    package, _, leaf = home.rpartition(".")
    asname = None if local == leaf else local
    return NewImport(package, leaf, asname) if package else NewImport(leaf, None, asname)


def _migrate_package(migration: Migration, imports: list[ImportedName], uses: list[Use]) -> None:
    """`import triton_kernels` and `import triton_kernels.routing`, with chains from the package."""
    chains = sort_chains(migration, uses)
    helpers = {
        home: _import_of_module(home, _leaf(home)) for home in chains.homes if not in_library(home)
    }
    for chain in chains.moved:
        if chain.home in helpers:
            start, _ = migration.document.span(chain.use.root)
            _, end = migration.document.span(chain.module)
            migration.edits.append(put(start, end, _leaf(chain.home)))
        else:
            assert isinstance(chain.module, ast.Attribute)
            migration.retoken(chain.module, chain.home.removeprefix(f"{LIBRARY}."))
        rename_part(migration, chain)
    olds = [imported for imported in imports if is_removed_module(imported.loads)]
    missing = [home for home in chains.homes if home not in helpers]
    for imported in olds:
        move = migration.module_row(imported.loads)
        if move is None or migration.is_silenced(imported.alias, move.code):
            continue
        stay = why_import_stays(migration, imported)
        if stay is not None:
            say_stay(migration, imported.alias, move, stay)
        elif not chains.moved:
            reason = "its uses need it" if chains.needs_old else "nothing is used of it"
            migration.left(imported.alias, move, f"{move.old_text} stays: {reason}")
        else:
            kept = [_old_import(imported)] if chains.needs_old else []
            news = _not_loaded(imports, missing, instead=imported) + list(helpers.values())
            migration.imports[imported] = kept + news or [NewImport(LIBRARY, None)]
            homes = ", ".join(map(imported.spell, chains.homes))
            migration.changed(imported.alias, move, f"{move.old_text} -> {homes}")
    migration.introduced.update(chains.homes)
    if chains.moved and not any(imported in migration.imports for imported in olds):
        # The package alone was imported: the new homes have to be, too.
        first = next((each for each in imports if in_library(each.loads)), imports[0])
        news = _not_loaded(imports, missing) + list(helpers.values())
        if news:
            migration.imports[first] = [_old_import(first), *news]


def _not_loaded(
    imports: list[ImportedName], homes: list[str], instead: ImportedName | None = None
) -> list[NewImport]:
    """Imports of the homes that no other import of the same binding loads."""
    loaded = {imported.loads for imported in imports if imported is not instead}
    return [
        NewImport(home, None)
        for home in homes
        if not any(module == home or module.startswith(f"{home}.") for module in loaded)
    ]


def _old_import(imported: ImportedName) -> NewImport:
    """The import as it stands."""
    alias, statement = imported.alias, imported.statement
    if isinstance(statement, ast.Import):
        return NewImport(alias.name, None, alias.asname)
    assert statement.module is not None
    return NewImport(statement.module, alias.name, alias.asname)


def rename_part(migration: Migration, chain: Chain) -> None:
    """Give the part of the module its new name where it stands."""
    if isinstance(chain.name, ast.Constant):
        migration.respell(chain.name, _leaf(chain.path))
    else:
        migration.retoken(chain.name, _leaf(chain.path))


def sort_chains(migration: Migration, uses: list[Use]) -> Chains:
    """Decide on each use of a removed module, and edit the calls that change."""
    chains = Chains()
    for use in uses:
        if not is_removed_module(use.path):
            continue
        chain = plan_chain(migration, use)
        if isinstance(chain, Chain):
            carry_out(migration, chain)
            chains.moved.append(chain)
            continue
        chains.needs_old = True
        if isinstance(chain, Stay):
            chain.say(migration, use.node)
    return chains


def plan_chain(migration: Migration, use: Use) -> Chain | Stay | None:
    """Where a use goes, or why it stays; None where nothing is to be said."""
    literal = asked_for(migration, use)
    path = use.path if literal is None else f"{use.path}.{literal.value!s}"
    old = old_name_in(path)
    move = migration.row(old) if old else migration.module_row(use.path)
    if move is None or migration.is_silenced(use.node, move.code):
        return None
    guard = migration.guards.around(use.node)
    if guard is not None:
        return Stay(move, guard=guard)
    name: ast.expr | None = literal if literal is not None else use.node_for(old) if old else None
    if not isinstance(name, (ast.Attribute, ast.Constant)):
        return Stay(move, _what_is_left(migration, use, move))
    module = use.node if isinstance(name, ast.Constant) else name.value
    reason = _why_chain_stays(migration, use, move, name)
    plans: dict[ast.Call, CallPlan] = {}
    new = move.new
    if not reason and move.call is not None:
        call = call_of(migration, use, name)
        if move.fallback and (call is None or isinstance(plan_call(call, move.call), str)):
            new = move.fallback
        else:
            plans, reason = plan_uses(migration, move, {use: call}, resolved=True)
    if reason:
        return Stay(move, f"{move.old_text} stays: {reason}")
    return Chain(use, module, name, new, move, plans)


def carry_out(migration: Migration, chain: Chain) -> None:
    """Edit the calls of a chain that goes, and say so."""
    edit_calls(migration, chain.move, chain.plans)
    migration.changed(chain.use.node, chain.move, f"{chain.move.old_text} -> {chain.path}")
    migration.introduced.add(chain.path)


def asked_for(migration: Migration, use: Use) -> ast.Constant | None:
    """The string of `getattr(use, "name")`."""
    call = migration.scopes.parents.get(use.node)
    if (
        use.path in moves.BY_OLD_MODULE
        and isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "getattr"
        and call.args[:1] == [use.node]
        and len(call.args) > 1
    ):
        literal = call.args[1]
        if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
            return literal
    return None


def _begins_with_package(migration: Migration, use: Use) -> bool:
    imports = migration.references.by_binding.get(use.binding, ())
    return any(each.binds_package or each.target == LIBRARY for each in imports)


def call_of(migration: Migration, use: Use, name: ast.Attribute | ast.Constant) -> ast.Call | None:
    """The call of what a use names, `getattr(use, "name")(...)` included."""
    callee: ast.AST | None = name
    if isinstance(name, ast.Constant):
        callee = migration.scopes.parents.get(use.node)
    call = migration.scopes.parents.get(callee) if callee is not None else None
    return call if isinstance(call, ast.Call) and call.func is callee else None


def _what_is_left(migration: Migration, use: Use, move: Move) -> str:
    if use.path != move.old:
        name = use.path.removeprefix(f"{move.old}.")
        return f"{use.path}: no release is known to have had {name}"
    call = migration.scopes.parents.get(use.node)
    if isinstance(call, ast.Call) and called_word(call) == "hasattr":
        return f"{use.path}: the file asks what the old module has, which tells a release"
    return f"{use.path}: the module itself is handed on or changed"


def _why_chain_stays(
    migration: Migration, use: Use, move: Move, name: ast.Attribute | ast.Constant
) -> str:
    if is_assigned(use):
        return "assigning to it changes the library, and only in the old module"
    if not migration.rewrites(move):
        return migration.why_not(move)
    if not use.certain:
        return "the name it begins with may mean something else"
    if not migration.can_edit(use.node):
        return "it stands in an f-string"
    if isinstance(name, ast.Constant) and migration.string_span(name) is None:
        return "the string that names it is not a plain one"
    if not in_library(move.new) and _begins_with_package(migration, use):
        start, end = migration.document.span(use.node)
        if not migration.document.text[start:end].replace(".", "_").isidentifier():
            return "it is spread over several lines"
    line = migration.patches.line_for(move.old)
    if line:
        return f"line {line} patches the old module, which would miss it"
    return ""


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]
