"""Candidates in, outcomes out: transformation, vetoes, writing, in this order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from codemods import targets, vetoes, worktree
from codemods.discovery import Discovery, Tree
from codemods.findings import (
    CHANGED_MEANWHILE,
    STUCK,
    UNWRITABLE,
    WITHHELD,
    Bucket,
    Finding,
    Severity,
)
from codemods.outcomes import FileOutcome, Status, Texts
from codemods.pool import Task, Transform, available_cores, migrate_all
from codemods.progress import Progress
from codemods.run import RunOptions, interruptible
from codemods.vetoes import Vetoes, Work, below, work_tree_of
from codemods.writing import Change, ChangedMeanwhile, Written, write_all

if TYPE_CHECKING:
    from codemods.helper_module import Place


@dataclass(frozen=True)
class _NewFile:
    """A helper module to be written, and the tree of the first file that asks for it."""

    place: Place
    tree: Tree
    text: bytes

    @property
    def name(self) -> str:
        """Its path relative to the tree; it may lie above."""
        return below(self.tree.root, self.place.location)

    @property
    def shown(self) -> str:
        argument = self.tree.argument
        folder = os.path.dirname(argument) if self.tree.is_file else argument
        return os.path.normpath(os.path.join(folder, self.name)).replace(os.sep, "/")


def treat(
    found: Discovery,
    options: RunOptions,
    transform: Transform | None,
    progress: Progress,
    before_writing: Callable[[Sequence[Texts]], None],
) -> list[FileOutcome]:
    """Migrate the candidates.  Everything is computed before anything is written.

    Arguments as those of `codemods.run.run`.  Raises Interrupted.
    """
    roots = worktree.Roots()
    with interruptible(lambda: "no file was written"):
        work = _migrate(found, options, transform, roots, progress)
        vetoed = _vetoes(work, options, roots)
        accepted = [w for w in work if w.after is not None and w.location not in vetoed]
        new_files = _new_files(accepted)
        changes = [Change(new.place.location, None, new.text) for new in new_files]
        changes += [Change(w.location, w.candidate.data, w.after or b"") for w in accepted]
        texts = _texts(changes, roots, found.roots) if options.keep_texts else {}
        if options.write:
            before_writing(list(texts.values()))
    with interruptible(lambda: _what_was_written(changes)):
        written = Written()
        if options.write:
            progress.begin("writing", len(changes))
            written = write_all(changes, keep_going=options.keep_going, on_done=progress.advance)
        shown = {w.location: w.candidate.tree.shown(w.candidate.name) for w in work}
        shown |= {new.place.location: new.shown for new in new_files}
        troubles = vetoed | _troubles(written, shown)
        outcomes = [_outcome(item, troubles.get(item.location), texts) for item in work]
        outcomes += [_created(new, troubles.get(new.place.location), texts) for new in new_files]
        return outcomes


def _migrate(
    found: Discovery,
    options: RunOptions,
    transform: Transform | None,
    roots: worktree.Roots,
    progress: Progress,
) -> list[Work]:
    """What the transform makes of each candidate, sorted by name."""
    if transform is None:
        from codemods.source import migrate_file

        transform = migrate_file
    places: list[Place | None] = [None] * len(found.candidates)
    if targets.target_for(options.target).needs_helper:
        from codemods.helper_module import place_for

        places = [
            place_for(c.location, work_tree_of(roots, c.location), c.tree.root)
            for c in found.candidates
        ]
    base = options.source
    tasks = [
        Task(c.data, c.name, base if place is None else replace(base, helper=place.module))
        for c, place in zip(found.candidates, places, strict=True)
    ]
    progress.begin("migrating", len(tasks))
    results = migrate_all(
        tasks, transform, jobs=options.jobs or available_cores(), on_done=progress.advance
    )
    work = [Work(*each) for each in zip(found.candidates, results, places, strict=True)]
    return sorted(work, key=lambda item: (item.candidate.name, item.candidate.tree.argument))


def _vetoes(work: Sequence[Work], options: RunOptions, roots: worktree.Roots) -> Vetoes:
    found: Vetoes = {}
    if options.verify_imports:
        found |= vetoes.not_importable(work)
    if any(item.helper for item in work):
        found |= vetoes.helper_taken(work)
    if options.write and not options.allow_dirty:
        found |= vetoes.uncommitted(work, roots)
    return found


def _new_files(work: Iterable[Work]) -> list[_NewFile]:
    """The helper modules that these rewrites need and that are not there yet."""
    new: dict[str, _NewFile] = {}
    for item in work:
        if item.helper is not None and item.helper.location not in new:
            from codemods.helper_module import TEXT, is_missing

            if is_missing(item.helper):
                tree = item.candidate.tree
                new[item.helper.location] = _NewFile(item.helper, tree, TEXT.encode())
    return list(new.values())


def _texts(
    changes: Iterable[Change], roots: worktree.Roots, arguments: Sequence[str]
) -> dict[str, Texts]:
    """The bytes of each change, by location; `arguments` are those of the run, absolute."""
    texts = {}
    for change in changes:
        # As in git's own patches, paths begin at the root of the work tree.
        root = work_tree_of(roots, change.location) or os.path.commonpath(arguments)
        path = below(root, change.location)
        texts[change.location] = Texts(path, change.before, change.after)
    return texts


def _troubles(written: Written, shown: Mapping[str, str]) -> dict[str, Finding]:
    """What to say of the files that were not written, by location."""
    troubles: dict[str, Finding] = {}
    for location, error in written.failures.items():
        if isinstance(error, ChangedMeanwhile):
            troubles[location] = CHANGED_MEANWHILE.finding(f"not written: {error}")
        else:
            troubles[location] = UNWRITABLE.finding(f"cannot be written: {error}")
    for location, error in written.stuck.items():
        troubles[location] = STUCK.finding(f"holds the new text and was not put back: {error}")
    if written.withheld:
        cause = shown[next(iter(written.failures))]
        for location in written.withheld:
            troubles[location] = WITHHELD.finding(f"not written, since {cause} could not be")
    return troubles


def _what_was_written(changes: Sequence[Change]) -> str:
    """How many files hold their new bytes, by the disk itself."""
    count = 0
    for change in changes:
        try:
            with open(change.location, "rb") as file:
                count += file.read() == change.after
        except OSError:
            continue
    return f"{count} of {len(changes)} files were written" if count else "no file was written"


def _outcome(item: Work, trouble: Finding | None, texts: Mapping[str, Texts]) -> FileOutcome:
    findings = _sorted(item.result.findings)
    kept: Texts | None = None
    status: Status = "failed" if item.result.failed else "unchanged"
    if trouble is not None:
        status = "skipped" if trouble.code == WITHHELD.code else "failed"
        findings = (trouble, *_as_left(findings))
    elif item.after is not None:
        status, kept = "rewritten", texts.get(item.location)
    tree, name = item.candidate.tree, item.candidate.name
    return FileOutcome(name, tree.argument, tree.shown(name), status, findings, kept)


def _created(new: _NewFile, trouble: Finding | None, texts: Mapping[str, Texts]) -> FileOutcome:
    name, argument = new.name, new.tree.argument
    if trouble is None:
        kept = texts.get(new.place.location)
        return FileOutcome(name, argument, new.shown, "created", (), kept)
    status: Status = "skipped" if trouble.code == WITHHELD.code else "failed"
    return FileOutcome(name, argument, new.shown, status, (trouble,))


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda f: (f.line, f.column, f.code, f.message)))


def _as_left(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings of a file whose rewrite did not reach the disk."""
    return tuple(
        replace(finding, bucket=Bucket.FOR_A_PERSON, severity=Severity.WARNING)
        if finding.bucket is Bucket.CHANGED
        else finding
        for finding in findings
    )
