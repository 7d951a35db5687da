"""Names imported from the old module: where each goes, with the calls that change on the way.

`from triton_kernels.routing import a, b as c`, the star form included.  A name is carried over as
a whole: where some use of it in the file could not follow, its import stays (or goes to the
row's fallback, which takes every use as it is).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from codemods.findings import Bucket
from codemods.guards import Guard, try_branches
from codemods.migration import Migration, NewImport
from codemods.old_names import LIBRARY, is_removed_module
from codemods.references import Binding, ImportedName, Use
from codemods.transforms.calls import CallPlan, edit_call, plan_call
from codemods.transforms.siblings import imports_new_home, is_in_other_branch, is_probe
from triton_kernels import moves
from triton_kernels.moves import Move


@dataclass(frozen=True)
class Stay:
    """Why an import of the old module stays as it is."""

    bucket: Bucket
    reason: str


def migrate_names(migration: Migration) -> None:
    """Decide on every `from`-import of a name of a removed module."""
    for binding, imports in list(migration.references.by_binding.items()):
        olds = [imported for imported in imports if _is_old_name(imported)]
        if not olds:
            continue
        if olds[0].is_star:
            _migrate_star(migration, olds)
        else:
            _migrate_binding(migration, binding, olds)


def _is_old_name(imported: ImportedName) -> bool:
    return (
        isinstance(imported.statement, ast.ImportFrom)
        and imported.loads != LIBRARY
        and (imported.is_star or imported.target not in moves.BY_OLD_MODULE)
        and (imported.target in moves.BY_OLD_NAME or is_removed_module(imported.loads))
    )


def _migrate_binding(migration: Migration, binding: Binding, olds: list[ImportedName]) -> None:
    move = migration.row(olds[0].target)
    if move is None:
        if olds[0].target not in moves.BY_OLD_NAME:
            _report_unknown(migration, olds)
        return
    uses = _uses_of(migration, binding)
    silenced = [each for each in olds if migration.is_silenced(each.alias, move.code)]
    stays = {
        imported: why_import_stays(migration, imported)
        for imported in olds
        if imported not in silenced
    }
    free = [imported for imported, stay in stays.items() if stay is None]
    for imported, stay in stays.items():
        if stay is not None:
            say_stay(migration, imported.alias, move, stay)
    if not free:
        return
    resolved = free == olds and migration.references.only_imported(binding)
    news = _destination(migration, move, binding, uses, resolved=resolved)
    if isinstance(news, str):
        for imported in free:
            migration.left(imported.alias, move, f"{move.old_text} stays: {news}")
        return
    for imported in free:
        migration.imports[imported] = [news]
        new = imported.spell(news.path)
        migration.changed(imported.alias, move, f"{move.old_text} -> {new}")
    migration.introduced.add(news.path)


def _destination(
    migration: Migration,
    move: Move,
    binding: Binding,
    uses: list[Use],
    *,
    resolved: bool,
) -> NewImport | str:
    """What to import instead, or why nothing can be; edits the calls that change.

    resolved: the name means the old one, and nothing else, wherever it is used.
    """
    if not migration.rewrites(move):
        return migration.why_not(move)
    line = migration.patches.line_for(move.old)
    if line and binding[0] is not migration.scopes.module:
        return f"line {line} patches the old module, which would miss it"
    local = binding[1]
    if move.call is None:
        return _import_as(move.new, local)
    calls = {use: _call_of(migration, use) for use in uses}
    plans, reason = plan_uses(migration, move, calls, resolved=resolved)
    if move.fallback:
        is_value = None in calls.values()
        exported = binding[0] is migration.scopes.module and local in migration.references.exported
        if reason or is_value or exported or not resolved or not uses:
            return _import_as(move.fallback, local)
        new = move.new.rpartition(".")[2]
        renames = local == move.old.rpartition(".")[2] and new not in _other_names(migration, move)
        edit_calls(migration, move, plans)
        if not renames:
            return _import_as(move.new, local)
        for use in uses:
            migration.retoken(use.root, new)
        return _import_as(move.new, new)
    if reason:
        return reason
    edit_calls(migration, move, plans)
    return _import_as(move.new, local)


def plan_uses(
    migration: Migration, move: Move, uses: dict[Use, ast.Call | None], *, resolved: bool
) -> tuple[dict[ast.Call, CallPlan], str]:
    """The plan for each call among the uses, and why some use cannot follow ("" = all can).

    uses: with the call of each, None where it is handed on as a value.
    resolved: the uses mean the old function and nothing else.  Where they might not, a call that
    would have to change cannot.  Neither can any, where the function is handed on as a value in a
    file whose other calls name a parameter that goes.
    """
    change = move.call
    assert change is not None
    plans: dict[ast.Call, CallPlan] = {}
    handed_on = False
    for use, call in uses.items():
        if call is None:
            handed_on = True
            continue
        plan = plan_call(call, change)
        line = call.lineno
        if isinstance(plan, str):
            return {}, f"the call in line {line} cannot be rewritten: {plan}"
        if plan.changes and not (resolved and use.certain):
            return {}, f"the call in line {line} would change, but may mean another function"
        if plan.changes and not migration.can_edit(use.node):
            return {}, f"the call in line {line} stands in an f-string"
        if plan.changes and migration.is_silenced(call, move.code):
            return {}, f"the call in line {line} is to be ignored"
        plans[call] = plan
    if handed_on or not resolved:
        known = {id(_call_of(migration, use)) for use in migration.references.uses}
        for node in migration.scopes.parents:
            if (
                isinstance(node, ast.Call)
                and id(node) not in known
                and change.drop[0] in {keyword.arg for keyword in node.keywords}
            ):
                return {}, (
                    f"it is handed on as a value, and the call in line {node.lineno} passes "
                    f"{change.drop[0]}"
                )
    return plans, ""


def edit_calls(migration: Migration, move: Move, plans: dict[ast.Call, CallPlan]) -> None:
    """Make the edits of the planned calls."""
    for call, plan in plans.items():
        migration.settled_calls.add(call)
        if not plan.changes:
            continue
        assert move.call is not None
        edit_call(migration, call, plan)
        words = [f"argument {move.call.drop[0]} dropped"] if plan.drop is not None else []
        words += [f"argument {old} renamed to {new}" for old, new in plan.rename]
        migration.changed(call, move, f"{move.old_text}: {', '.join(words)}")


def _call_of(migration: Migration, use: Use) -> ast.Call | None:
    """The call whose function is exactly this use."""
    parent = migration.scopes.parents.get(use.node)
    return parent if isinstance(parent, ast.Call) and parent.func is use.node else None


def _uses_of(migration: Migration, binding: Binding) -> list[Use]:
    return [use for use in migration.references.uses if use.binding == binding]


def _import_as(path: str, local: str) -> NewImport:
    module, _, name = path.rpartition(".")
    return NewImport(module, name, None if name == local else local)


def _other_names(migration: Migration, move: Move) -> set[str]:
    """Names that the file uses for something else than the new function."""
    references = migration.references
    same = {imported.local for imported in references.imports if imported.target == move.new}
    return set(references.bound_names()) - same


def _report_unknown(migration: Migration, olds: list[ImportedName]) -> None:
    for imported in olds:
        move = migration.module_row(imported.loads)
        if move is not None:
            message = f"{imported.target}: no release is known to have had this name"
            migration.left(imported.alias, move, message)


def _migrate_star(migration: Migration, stars: list[ImportedName]) -> None:
    """Expand `from triton_kernels.routing import *` to the names that the file uses."""
    star = stars[0]
    module_move = migration.module_row(star.loads)
    if module_move is None:
        return
    if migration.is_silenced(star.alias, module_move.code):
        return
    stay = why_import_stays(migration, star)
    if stay is not None:
        say_stay(migration, star.alias, module_move, stay)
        return
    used: dict[str, list[Use]] = {}
    for use in migration.references.uses:
        if use.path in moves.BY_OLD_NAME and use.binding[0] is star.binding[0]:
            if use.binding[1] == use.path.rpartition(".")[2] and use.root.id == use.binding[1]:
                used.setdefault(use.binding[1], []).append(use)
    names = set(used) | {
        name
        for name in migration.references.exported
        if f"{star.loads}.{name}" in moves.BY_OLD_NAME
    }
    certain = all(use.certain for uses in used.values() for use in uses)
    if len(stars) > 1 or not names or not certain or star.loads != moves.OLD_MODULE:
        reason = "the file uses none of its names" if not names else "nobody can say what it binds"
        migration.left(star.alias, module_move, f"from {star.loads} import *: {reason}")
        return
    news: list[NewImport] = []
    for name in sorted(names):
        move = migration.row(f"{star.loads}.{name}")
        new: NewImport | str = "not selected"
        binding = (star.binding[0], name)
        if move is not None:
            uses = used.get(name, [])
            new = _destination(migration, move, binding, uses, resolved=True)
        if isinstance(new, str):
            news.append(NewImport(star.loads, name))
            if move is not None:
                migration.left(star.alias, move, f"{move.old_text} stays: {new}")
        else:
            news.append(new)
            migration.introduced.add(new.path)
    migration.imports[star] = news
    migration.changed(
        star.alias, module_move, f"from {star.loads} import * -> {', '.join(sorted(names))}"
    )


def why_import_stays(migration: Migration, imported: ImportedName) -> Stay | Guard | None:
    """Why an old import must not be touched, if so: a guard, a migrated sibling, a probe."""
    guard = migration.guards.around(imported.statement)
    if guard is not None:
        return guard
    for branch in try_branches(migration.scopes, imported.statement):
        if imports_new_home(migration, branch.other_branches()):
            return Stay(
                Bucket.ALREADY_NEW,
                "the other branch of this `try` imports from the new homes",
            )
        if not branch.in_handler and is_probe(migration, imported, branch):
            return Stay(
                Bucket.FOR_A_PERSON,
                "the file tests whether this import worked, which tells it the library's release; "
                "the facade makes it work",
            )
    if is_in_other_branch(migration, imported):
        return Stay(
            Bucket.ALREADY_NEW, "the other branch of this `if` imports it from its new home"
        )
    return None


def say_stay(migration: Migration, node: ast.AST, move: Move, stay: Stay | Guard) -> None:
    """Report an import that stays."""
    if isinstance(stay, Guard):
        migration.guarded(node, move, stay)
    elif stay.bucket is Bucket.ALREADY_NEW:
        migration.already_new(node, move, f"{move.old_text} left alone: {stay.reason}")
    else:
        migration.left(node, move, f"{move.old_text} stays: {stay.reason}")
