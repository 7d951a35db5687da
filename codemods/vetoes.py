"""Why a rewrite that passed its own checks must not be made: what only the whole run can see.

Uncommitted work that git could not give back, another file where the helper belongs, imports that
do not work here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codemods import worktree
from codemods.findings import HELPER_TAKEN, NOT_IMPORTABLE, UNCOMMITTED, Finding

if TYPE_CHECKING:
    from codemods.discovery import Candidate
    from codemods.helper_module import Place
    from codemods.source import SourceResult

Vetoes = dict[str, Finding]
"""By the location of a file, why it must keep its old bytes."""


@dataclass(frozen=True)
class Work:
    """A candidate with what the transform made of it.

    place: where the helper module of the file's package belongs, where the target needs one.
    """

    candidate: Candidate
    result: SourceResult
    place: Place | None = None

    @property
    def location(self) -> str:
        return self.candidate.location

    @property
    def after(self) -> bytes | None:
        """The new bytes, None where they are the old ones."""
        return None if self.result.new == self.candidate.data else self.result.new

    @property
    def helper(self) -> Place | None:
        """The place of the helper, where the rewrite brings in an import of it."""
        if self.place is None or self.after is None:
            return None
        name = self.place.module.encode()
        return self.place if self.after.count(name) > self.candidate.data.count(name) else None


def work_tree_of(roots: worktree.Roots, location: str) -> str | None:
    """The root of the work tree that a file lies in; None outside any, and where git fails."""
    try:
        return roots.root_of(os.path.dirname(location))
    except worktree.GitFailed:
        return None


def below(root: str, location: str) -> str:
    return os.path.relpath(location, root).replace(os.sep, "/")


def uncommitted(work: Iterable[Work], roots: worktree.Roots) -> Vetoes:
    """Files to be rewritten that git could not give back."""
    vetoes: Vetoes = {}
    by_root: dict[str, dict[str, str]] = {}
    for item in work:
        if item.after is None:
            continue
        try:
            root = roots.root_of(os.path.dirname(item.location))
        except worktree.GitFailed as error:
            vetoes[item.location] = _not_committed(str(error))
            continue
        if root is not None:
            by_root.setdefault(root, {})[below(root, item.location)] = item.location
    for root, locations in by_root.items():
        try:
            reasons = worktree.uncommitted(root, list(locations))
        except worktree.GitFailed as error:
            reasons = dict.fromkeys(locations, str(error))
        for name, reason in reasons.items():
            vetoes[locations[name]] = _not_committed(reason)
    return vetoes


def _not_committed(reason: str) -> Finding:
    return UNCOMMITTED.finding(f"not rewritten, for it may hold uncommitted work: {reason}")


def helper_taken(work: Iterable[Work]) -> Vetoes:
    """Files whose helper cannot be written, for something else has its name."""
    from codemods.helper_module import HelperTaken, is_missing

    vetoes: Vetoes = {}
    for item in work:
        if item.helper is None:
            continue
        try:
            is_missing(item.helper)
        except HelperTaken as error:
            vetoes[item.location] = HELPER_TAKEN.finding(f"not rewritten: {error}")
    return vetoes


def not_importable(work: Sequence[Work]) -> Vetoes:
    """Files with a new import that does not work here, those of their helper included."""
    from codemods.helper_module import TEXT
    from codemods.import_check import failures, new_imports

    wanted = {
        item.location: new_imports(item.candidate.data, item.after)
        | (new_imports(b"", TEXT.encode()) if item.helper else frozenset())
        for item in work
        if item.after is not None
    }
    failed = failures(imported for imports in wanted.values() for imported in imports)
    vetoes: Vetoes = {}
    for location, imports in wanted.items():
        reasons = [
            f"{'.'.join(filter(None, imported))} ({failed[imported]})"
            for imported in sorted(imports)
            if imported in failed
        ]
        if reasons:
            message = f"not rewritten, for an import does not work here: {', '.join(reasons)}"
            vetoes[location] = NOT_IMPORTABLE.finding(message)
    return vetoes
