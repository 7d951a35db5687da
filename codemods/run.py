"""Trees of files in, outcomes out: discovery, transformation, guard, writing, in this order."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from codemods import worktree
from codemods.discovery import Candidate, Discovery, Trouble, discover
from codemods.findings import (
    CHANGED_MEANWHILE,
    UNCOMMITTED,
    UNREADABLE,
    UNWRITABLE,
    Bucket,
    Finding,
    Severity,
)
from codemods.pool import Transform, available_cores, migrate_all
from codemods.progress import NoProgress, Progress
from codemods.source import SourceOptions, SourceResult, migrate_source
from codemods.writing import ChangedMeanwhile, NotWritten, Writer

Status = Literal["rewritten", "unchanged", "failed", "skipped"]

INPUT_OUTPUT = frozenset(
    problem.code for problem in (UNREADABLE, UNWRITABLE, UNCOMMITTED, CHANGED_MEANWHILE)
)
"""Codes that say: the file could not be read, or must not or could not be written."""

TARGET = "bundled"
"""What the migrated code will run on: this distribution."""


@dataclass(frozen=True)
class RunOptions:
    """codes: see `SourceOptions`.  exclude: gitignore patterns.  write: False only says what
    would be.  keep_texts: keep old and new bytes of rewritten files, for a diff.  jobs: processes
    at most, 0 = one a core."""

    codes: frozenset[str]
    exclude: tuple[str, ...] = ()
    gitignore: bool = True
    allow_dirty: bool = False
    write: bool = True
    keep_texts: bool = False
    jobs: int = 0


@dataclass(frozen=True)
class Texts:
    """The bytes of a rewritten file, and its path from where a patch would be applied."""

    patch_path: str
    before: bytes
    after: bytes


@dataclass(frozen=True)
class FileOutcome:
    """What became of one file that mentions the library, or that could not be read.

    path: relative to `argument`, with "/".  shown: what the user would call the file.
    status: what was done or, in a run that does not write, what would be.
    """

    path: str
    argument: str
    shown: str
    status: Status
    findings: tuple[Finding, ...] = ()
    texts: Texts | None = None


@dataclass(frozen=True)
class Summary:
    """seen: files found.  searched: files read.  mentioning: files that hold the library's name.
    buckets: mentions of old names by where they ended; each mention is in just one."""

    seen: int
    searched: int
    mentioning: int
    rewritten: int
    unchanged: int
    failed: int
    skipped: int
    buckets: dict[Bucket, int]
    seconds: float

    @property
    def mentions(self) -> int:
        return sum(self.buckets.values())


@dataclass(frozen=True)
class RunOutcome:
    """files: sorted by path.  nested: repositories inside the arguments that were not entered."""

    arguments: tuple[str, ...]
    files: tuple[FileOutcome, ...]
    summary: Summary
    written: bool
    nested: tuple[str, ...] = ()


class Interrupted(Exception):
    """The user stopped the run; the text says what was written.  Every file is old or new."""


@dataclass(frozen=True)
class _Work:
    """A candidate with what the transform made of it."""

    candidate: Candidate
    result: SourceResult

    @property
    def after(self) -> bytes | None:
        """The new bytes, None where they are the old ones."""
        return None if self.result.new == self.candidate.data else self.result.new


def run(
    arguments: Sequence[str],
    options: RunOptions,
    *,
    transform: Transform = migrate_source,
    progress: Progress | None = None,
) -> RunOutcome:
    """Migrate files and folders.  Everything is computed before anything is written.

    Raises MissingPath and BadPattern (nothing was read), and Interrupted.
    """
    started = time.perf_counter()
    progress = progress or NoProgress()
    roots = worktree.Roots()
    with _interruptible(lambda: "no file was written"):
        found = discover(arguments, options.exclude, options.gitignore, progress)
        progress.begin("migrating", len(found.candidates))
        results = migrate_all(
            [candidate.data for candidate in found.candidates],
            SourceOptions(codes=options.codes),
            transform,
            jobs=options.jobs or available_cores(),
            on_done=progress.advance,
        )
        work = [_Work(*pair) for pair in zip(found.candidates, results, strict=True)]
        work.sort(key=lambda item: (item.candidate.name, item.candidate.tree.argument))
        blocked = _uncommitted(work, roots) if options.write and not options.allow_dirty else {}
    pending = [w for w in work if w.after is not None and w.candidate.location not in blocked]
    pending = pending if options.write else []
    with _interruptible(lambda: f"{_written(pending)} of {len(pending)} files were written"):
        failures = blocked | _write(pending, progress)
        patch_path = partial(_patch_path, roots, found.roots) if options.keep_texts else None
        outcomes = [_outcome(w, failures.get(w.candidate.location), patch_path) for w in work]
        outcomes += [_unreadable(trouble) for trouble in found.troubles]
        return _summed_up(arguments, options, found, outcomes, time.perf_counter() - started)


def _summed_up(
    arguments: Sequence[str],
    options: RunOptions,
    found: Discovery,
    outcomes: list[FileOutcome],
    seconds: float,
) -> RunOutcome:
    outcomes.sort(key=lambda outcome: (outcome.path, outcome.argument))
    statuses = Counter(outcome.status for outcome in outcomes)
    summary = Summary(
        seen=found.seen,
        searched=found.searched,
        mentioning=len(found.candidates),
        rewritten=statuses["rewritten"],
        unchanged=statuses["unchanged"],
        failed=statuses["failed"],
        skipped=statuses["skipped"],
        buckets=_buckets(finding for outcome in outcomes for finding in outcome.findings),
        seconds=seconds,
    )
    return RunOutcome(
        arguments=tuple(arguments),
        files=tuple(outcomes),
        summary=summary,
        written=options.write,
        nested=tuple(sorted(found.nested)),
    )


def _uncommitted(work: Iterable[_Work], roots: worktree.Roots) -> dict[str, Finding]:
    """Of the files to be rewritten, by location, those that git could not give back, and why."""
    blocked: dict[str, Finding] = {}
    by_root: dict[str, dict[str, Candidate]] = {}
    for item in work:
        if item.after is None:
            continue
        location = item.candidate.location
        try:
            root = roots.root_of(os.path.dirname(location))
        except worktree.GitFailed as error:
            blocked[location] = _not_committed(str(error))
            continue
        if root is not None:
            by_root.setdefault(root, {})[_below(root, location)] = item.candidate
    for root, candidates in by_root.items():
        try:
            reasons = worktree.uncommitted(root, list(candidates))
        except worktree.GitFailed as error:
            reasons = dict.fromkeys(candidates, str(error))
        for name, reason in reasons.items():
            blocked[candidates[name].location] = _not_committed(reason)
    return blocked


def _not_committed(reason: str) -> Finding:
    return UNCOMMITTED.finding(f"not rewritten, for it may hold uncommitted work: {reason}")


def _write(work: Sequence[_Work], progress: Progress) -> dict[str, Finding]:
    """Write files; the findings, by location, of those that keep their old bytes."""
    failures: dict[str, Finding] = {}
    writer = Writer()
    progress.begin("writing", len(work))
    for item in work:
        candidate = item.candidate
        try:
            writer.write(candidate.location, candidate.data, item.after or b"")
        except ChangedMeanwhile as error:
            failures[candidate.location] = CHANGED_MEANWHILE.finding(f"not rewritten: {error}")
        except NotWritten as error:
            failures[candidate.location] = UNWRITABLE.finding(f"cannot be written: {error}")
        progress.advance(1)
    return failures


def _written(work: Iterable[_Work]) -> int:
    """How many files hold their new bytes, by the disk itself."""
    count = 0
    for item in work:
        try:
            with open(item.candidate.location, "rb") as file:
                count += file.read() == item.after
        except OSError:
            continue
    return count


def _outcome(
    item: _Work, failure: Finding | None, patch_path: Callable[[str], str] | None
) -> FileOutcome:
    """patch_path: what a patch calls the file at a location; None: keep no texts."""
    candidate, after = item.candidate, item.after
    findings = _sorted(item.result.findings)
    texts = None
    status: Status = "failed" if item.result.failed else "unchanged"
    if failure is not None:
        status, findings = "failed", (failure, *_as_left(findings))
    elif after is not None:
        status = "rewritten"
        if patch_path is not None:
            texts = Texts(patch_path(candidate.location), candidate.data, after)
    tree, name = candidate.tree, candidate.name
    return FileOutcome(name, tree.argument, tree.shown(name), status, findings, texts)


def _unreadable(trouble: Trouble) -> FileOutcome:
    tree, name = trouble.tree, trouble.name
    reason = trouble.error.strerror or str(trouble.error)
    finding = UNREADABLE.finding(f"cannot be read: {reason}")
    return FileOutcome(name, tree.argument, tree.shown(name), "failed", (finding,))


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


def _buckets(findings: Iterable[Finding]) -> dict[Bucket, int]:
    counts = Counter(finding.bucket for finding in findings)
    return {bucket: counts[bucket] for bucket in Bucket}


def _patch_path(roots: worktree.Roots, arguments: Sequence[str], location: str) -> str:
    """From the root of the work tree, as in git's own patches; else from all arguments' folder."""
    try:
        root = roots.root_of(os.path.dirname(location))
    except worktree.GitFailed:
        root = None
    return _below(root or os.path.commonpath(arguments), location)


def _below(root: str, location: str) -> str:
    return os.path.relpath(location, root).replace(os.sep, "/")


@contextmanager
def _interruptible(what_was_written: Callable[[], str]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted: {what_was_written()}") from error
