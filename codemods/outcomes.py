"""What became of the files of a run: the one thing that all reports are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from codemods import targets
from codemods.findings import (
    CHANGED_MEANWHILE,
    STUCK,
    UNCOMMITTED,
    UNREADABLE,
    UNWRITABLE,
    WITHHELD,
    Bucket,
    Finding,
)

Status = Literal["rewritten", "created", "unchanged", "failed", "skipped"]
"""skipped: it would have been written, had all others been."""

INPUT_OUTPUT = frozenset(
    problem.code
    for problem in (UNREADABLE, UNWRITABLE, UNCOMMITTED, CHANGED_MEANWHILE, WITHHELD, STUCK)
)
"""Codes that say: the file could not be read, or must not or could not be written."""


@dataclass(frozen=True)
class Texts:
    """The bytes of a rewritten file, and its path from where a patch would be applied.

    before: None where the file is new.
    """

    patch_path: str
    before: bytes | None
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

    @property
    def left(self) -> tuple[Finding, ...]:
        """What a person has to do about it.  If it failed: to mend the cause, and to run again."""
        left = tuple(finding for finding in self.findings if finding.left_for_a_person)
        if self.status in ("failed", "skipped"):
            return tuple(finding for finding in left if finding.bucket is None)
        return left


@dataclass(frozen=True)
class Summary:
    """seen: files found.  searched: files read.  mentioning: files that hold the library's name.
    buckets: mentions of old names by where they ended; each mention is in just one."""

    seen: int
    searched: int
    mentioning: int
    rewritten: int
    created: int
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
    """files: sorted by path.  nested: repositories inside the arguments that were not entered.
    written: False where the run only says what would be."""

    arguments: tuple[str, ...]
    files: tuple[FileOutcome, ...]
    summary: Summary
    written: bool
    nested: tuple[str, ...] = ()
    target: str = targets.BUNDLED
