"""Old paths as strings: `import_module("triton_kernels.routing")`, `patch(...)`, `find_spec(...)`.

A string is rewritten where all of it is an old path, the call that takes it is known, and whatever
is reached through it lies in one new home.  The others are reported with what to write.
"""

from __future__ import annotations

import ast
from collections import defaultdict

from codemods.migration import Migration
from codemods.old_names import LIBRARY, row_of
from codemods.references import Use, in_library
from codemods.transforms.modules import Chain, Stay, carry_out, plan_chain, rename_part
from codemods.transforms.patches import called_word, patch_strings
from triton_kernels import moves
from triton_kernels.moves import Move

_GIVES_MODULE = frozenset({"import_module", "importorskip"})
_GIVES_OBJECT = frozenset({"resolve_name", "locate", "import_string"})
_ASKS = frozenset({"find_spec", "find_loader", "_has_module", "is_module_available"})


def migrate_dynamic_imports(migration: Migration) -> None:
    """Decide on every string that is an old path, and on paths that are put together."""
    patched = {literal for literal, _ in patch_strings(migration)}
    for literal in migration.old_strings:
        located = migration.references.locate(str(literal.value))
        move = migration.selected(row_of(located[0])) if located else None
        if located is None or move is None or migration.is_silenced(literal, move.code):
            continue
        path, prefix = located
        annotation = migration.scopes.quoted.get(literal)
        if annotation is not None and migration.references.use_at(annotation) is not None:
            continue  # it is a use like any other
        guard = migration.guards.around(literal)
        if guard is not None:
            migration.guarded(literal, move, guard)
            continue
        call = migration.scopes.parents.get(literal)
        word = called_word(call) if isinstance(call, ast.Call) and literal in call.args else ""
        assert isinstance(call, ast.Call) or not word
        if word in _GIVES_MODULE and path in moves.BY_OLD_MODULE:
            assert isinstance(call, ast.Call)
            _migrate_module_string(migration, literal, path, prefix, call, move)
        elif literal in patched:
            _migrate_path(migration, literal, path, prefix, move, is_patch=True)
        elif path in moves.BY_OLD_NAME and (word in _GIVES_OBJECT or annotation is not None):
            _migrate_path(migration, literal, path, prefix, move, is_patch=False)
        elif word in _ASKS:
            what = "whether the old module is there, which tells the library's release"
            migration.left(literal, move, f"the file asks {what}; the facade makes it so")
        else:
            migration.left(
                literal, move, f"the string {literal.value!r} names what is no longer there"
            )
    if "import_module" in migration.document.text:
        _report_composed(migration)


def _migrate_path(
    migration: Migration,
    literal: ast.Constant,
    path: str,
    prefix: str,
    move: Move,
    *,
    is_patch: bool,
) -> None:
    """A string that names an object of the old module."""
    new = move.fallback if move.call is not None and move.fallback and not is_patch else move.new
    known = path in moves.BY_OLD_NAME and migration.rewrites(move)
    if is_patch:
        if not known:
            what = f"the string {path!r} patches what is no longer there"
            migration.left(literal, move, what)
            return
        if not migration.options.unsafe:
            migration.left(
                literal,
                move,
                f"{path!r} is patched; write {new!r} once all that reads it there is migrated "
                "(--unsafe rewrites it)",
            )
            return
    if not known or migration.string_span(literal) is None:
        migration.left(literal, move, f"the string {path!r} names what is no longer there")
        return
    migration.respell(literal, _spelled(new, prefix))
    migration.introduced.add(new)
    migration.changed(literal, move, f"{path!r} -> {new!r}")


def _migrate_module_string(
    migration: Migration,
    literal: ast.Constant,
    path: str,
    prefix: str,
    call: ast.Call,
    move: Move,
) -> None:
    """`import_module("triton_kernels.routing")`, with what is read from the module it gives."""
    uses = _uses_of_result(migration, call, path)
    if not uses:
        migration.left(literal, move, f"{path!r} is loaded, and nobody sees what is used of it")
        return
    for use in uses:
        migration.references.learn(use)
    chains = [plan_chain(migration, use) for use in uses]
    reason = _why_module_stays(migration, literal, path, chains)
    if reason:
        migration.left(literal, move, reason)
        for use, chain in zip(uses, chains, strict=True):
            if isinstance(chain, Chain):
                text = chain.move.old_text
                migration.left(
                    use.node, chain.move, f"{text} stays: its module is loaded as it was"
                )
            elif chain is not None:
                chain.say(migration, use.node)
        return
    moved = [chain for chain in chains if isinstance(chain, Chain)]
    home = moved[0].home
    for chain in moved:
        carry_out(migration, chain)
        rename_part(migration, chain)
    migration.respell(literal, _spelled(home, prefix))
    migration.introduced.add(home)
    migration.changed(literal, move, f"{path!r} -> {home!r}")


def _spelled(path: str, prefix: str) -> str:
    """A path as it is called here, where the library may have the name of a copy."""
    return prefix + path.removeprefix(LIBRARY) if in_library(path) else path


def _why_module_stays(
    migration: Migration, literal: ast.Constant, path: str, chains: list[Chain | Stay | None]
) -> str:
    """Why a module that is loaded by its name cannot be loaded by another ("" = it can)."""
    homes: dict[str, set[str]] = defaultdict(set)
    for chain in chains:
        if not isinstance(chain, Chain):
            return f"{path!r} is loaded, and what is read from it has no new home to go to"
        homes[chain.home].add(chain.move.old.rpartition(".")[2])
    if len(homes) > 1:
        parts = (
            f"{home!r} for {', '.join(sorted(names))}" for home, names in sorted(homes.items())
        )
        return f"{path!r} is loaded; load {'; '.join(parts)}"
    if migration.string_span(literal) is None:
        return f"{path!r} is loaded by a string that is not a plain one"
    return ""


def _uses_of_result(migration: Migration, call: ast.Call, path: str) -> list[Use]:
    """What is read of the module that a call gives; empty where not all of it can be seen."""
    scopes = migration.scopes
    parent = scopes.parents.get(call)
    scope = scopes.module
    if isinstance(parent, ast.Attribute):
        root = ast.Name("", ast.Load())  # no name stands for it
        return [Use(parent, root, f"{path}.{parent.attr}", (scope, ""), certain=True)]
    if not isinstance(parent, ast.Assign) or len(parent.targets) != 1:
        return []
    [target] = parent.targets
    if not isinstance(target, ast.Name):
        return []
    owner = next((each for each in scopes.all if target in each.bindings.get(target.id, ())), None)
    if owner is None or owner.bindings[target.id] != [target]:
        return []
    uses = []
    for node in scopes.reads:
        if node.id != target.id or scopes.resolve(node.id, scopes.scope_of[node]) is not owner:
            continue
        parent = scopes.parents.get(node)
        if not isinstance(parent, ast.Attribute) or not isinstance(parent.ctx, ast.Load):
            return []
        uses.append(Use(parent, node, f"{path}.{parent.attr}", (owner, target.id), certain=True))
    return uses


def _report_composed(migration: Migration) -> None:
    """Report module names that are put together when the program runs."""
    move = migration.selected(moves.BY_OLD_MODULE[moves.OLD_MODULE])
    if move is None:
        return
    for call in migration.scopes.parents:
        if (
            isinstance(call, ast.Call)
            and called_word(call) in _GIVES_MODULE
            and call.args
            and isinstance(call.args[0], (ast.BinOp, ast.JoinedStr))
        ):
            pieces = [
                node.value
                for node in ast.walk(call.args[0])
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
            if any(
                piece.endswith(".routing") or piece.startswith(f"{LIBRARY}.") for piece in pieces
            ):
                what = "the name of a module is put together here, and may be that of the old one"
                migration.left(call, move, what)
