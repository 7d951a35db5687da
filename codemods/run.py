"""Trees of files in, outcomes out: `codemods.treatment` treats what is found, all is summed up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codemods import targets
from codemods.discovery import Discovery, TooLarge, Trouble, discover
from codemods.file_kinds import needles_of
from codemods.findings import TOO_LARGE, UNREADABLE, Bucket
from codemods.outcomes import FileOutcome, RunOutcome, Summary, Texts
from codemods.progress import NoProgress, Progress

if TYPE_CHECKING:
    from codemods.options import SourceOptions
    from codemods.pool import Transform


@dataclass(frozen=True)
class RunOptions:
    """What a run does.

    codes: those to be treated; None: all.
    target, unsafe, written_for, vendored: see `SourceOptions`.
    exclude: gitignore patterns.
    keep_going: write what can be written although something else cannot.
    verify_imports: try the new imports in a process of their own.
    write: False only says what would be.
    keep_texts: keep old and new bytes of what is written, for a diff.
    jobs: processes at most, 0 = one a core.
    """

    codes: frozenset[str] | None = None
    target: str = targets.BUNDLED
    unsafe: bool = False
    written_for: str = ""
    vendored: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    gitignore: bool = True
    allow_dirty: bool = False
    keep_going: bool = False
    verify_imports: bool = False
    write: bool = True
    keep_texts: bool = False
    jobs: int = 0

    @property
    def source(self) -> SourceOptions:
        from codemods import guide
        from codemods.options import SourceOptions

        return SourceOptions(
            codes=frozenset(dict(guide.codes())) if self.codes is None else self.codes,
            target=self.target,
            unsafe=self.unsafe,
            written_for=self.written_for,
            vendored=self.vendored,
        )


class Interrupted(Exception):
    """The user stopped the run; the text says what was written.  Every file is old or new."""


@contextmanager
def interruptible(what_was_written: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C in the block into Interrupted, with what was written by then."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted: {what_was_written()}") from error


def run(
    arguments: Sequence[str],
    options: RunOptions,
    *,
    transform: Transform | None = None,
    progress: Progress | None = None,
    before_writing: Callable[[Sequence[Texts]], None] = lambda texts: None,
) -> RunOutcome:
    """Migrate files and folders.  Everything is computed before anything is written.

    transform: instead of `codemods.source.migrate_file`.
    before_writing: is shown the changes, where texts are kept; if it raises, nothing is written.
    Raises MissingPath and BadPattern (nothing was read), and Interrupted.
    """
    started = time.perf_counter()
    progress = progress or NoProgress()
    with interruptible(lambda: "no file was written"):
        needles = needles_of(options.vendored)
        found = discover(arguments, options.exclude, options.gitignore, progress, needles)
    outcomes = [_not_read(trouble) for trouble in found.troubles]
    if found.candidates:
        # Start-up counts: most trees have no candidate, and need none of this.
        from codemods.treatment import treat

        outcomes += treat(found, options, transform, progress, before_writing)
    return _summed_up(arguments, options, found, outcomes, time.perf_counter() - started)


def _not_read(trouble: Trouble) -> FileOutcome:
    tree, name = trouble.tree, trouble.name
    reason = trouble.error.strerror or str(trouble.error)
    if isinstance(trouble.error, TooLarge):
        finding = TOO_LARGE.finding(f"not looked at: {reason}")
    else:
        finding = UNREADABLE.finding(f"cannot be read: {reason}")
    return FileOutcome(name, tree.argument, tree.shown(name), "failed", (finding,))


def _summed_up(
    arguments: Sequence[str],
    options: RunOptions,
    found: Discovery,
    outcomes: list[FileOutcome],
    seconds: float,
) -> RunOutcome:
    outcomes.sort(key=lambda outcome: (outcome.path, outcome.argument))
    statuses = Counter(outcome.status for outcome in outcomes)
    buckets = Counter(finding.bucket for outcome in outcomes for finding in outcome.findings)
    summary = Summary(
        seen=found.seen,
        searched=found.searched,
        mentioning=len(found.candidates),
        rewritten=statuses["rewritten"],
        created=statuses["created"],
        unchanged=statuses["unchanged"],
        failed=statuses["failed"],
        skipped=statuses["skipped"],
        buckets={bucket: buckets[bucket] for bucket in Bucket},
        seconds=seconds,
    )
    return RunOutcome(
        arguments=tuple(arguments),
        files=tuple(outcomes),
        summary=summary,
        written=options.write,
        nested=tuple(sorted(found.nested)),
        target=options.target,
    )
