"""How files get new bytes: each whole or not at all, and all of them or none."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class NotWritten(Exception):
    """The file keeps its bytes; the text says why."""


class ChangedMeanwhile(NotWritten):
    """The file no longer holds the bytes that the new ones were made from."""


@dataclass(frozen=True)
class Change:
    """A file that is to get new bytes.

    location: a real file, no link.  before: the bytes it must still hold; None: it must not exist.
    """

    location: str
    before: bytes | None
    after: bytes


@dataclass
class Written:
    """What became of the changes of one run, by location.

    failures: those that could not be made.  withheld: those that were not made, or taken back,
    because of them.  stuck: those that could not be taken back.
    """

    failures: dict[str, NotWritten] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)
    stuck: dict[str, NotWritten] = field(default_factory=dict)


def write_all(
    changes: Sequence[Change],
    *,
    keep_going: bool = False,
    on_done: Callable[[int], None] = lambda count: None,
) -> Written:
    """Make all changes in their order, or none of them.

    What can be known before is checked before the first file is written.  If one fails all the
    same, or the user interrupts, those already made are taken back.
    keep_going: make those that can be made, whatever becomes of the others.
    """
    result = Written()
    if not keep_going:
        result.failures = _checked(changes)
        if result.failures:
            result.withheld = {c.location for c in changes} - result.failures.keys()
            return result
    made: list[Change] = []
    try:
        _make(changes, made, result.failures, keep_going, on_done)
    except BaseException:
        if not keep_going:
            _take_back(made)
        raise
    if result.failures and not keep_going:
        result.stuck = _take_back(made)
        locations = {change.location for change in changes}
        result.withheld = locations - result.failures.keys() - result.stuck.keys()
    return result


def _checked(changes: Sequence[Change]) -> dict[str, NotWritten]:
    failures: dict[str, NotWritten] = {}
    writer = Writer()
    for change in changes:
        try:
            writer.check(change)
        except NotWritten as error:
            failures[change.location] = error
    return failures


def _make(
    changes: Sequence[Change],
    made: list[Change],
    failures: dict[str, NotWritten],
    keep_going: bool,
    on_done: Callable[[int], None],
) -> None:
    """Make the changes; `made` and `failures` are filled as it goes."""
    writer = Writer()
    for change in changes:
        # Noted first: an interruption may come when the file is written and before that is noted.
        made.append(change)
        try:
            writer.write(change)
        except NotWritten as error:
            made.pop()
            failures[change.location] = error
            if not keep_going:
                return
        on_done(1)


def _take_back(made: Sequence[Change]) -> dict[str, NotWritten]:
    """Give the files their old bytes again, the last first; those where that failed, and why."""
    stuck: dict[str, NotWritten] = {}
    writer = Writer()
    for change in reversed(made):
        try:
            writer.take_back(change)
        except NotWritten as error:
            stuck[change.location] = error
    return stuck


class Writer:
    """Writes files, one at a time.

    Whenever it is stopped, each file holds its old bytes or its new ones: the new bytes are
    complete on the disk, under another name in the same folder, before they take the file's place.
    Two names of one file (hard links) that are both written remain two names of one file.
    """

    def __init__(self) -> None:
        self._written: dict[tuple[int, int], str] = {}

    def check(self, change: Change) -> None:
        """Raise NotWritten where it is plain that the change cannot be made."""
        try:
            if change.before is None:
                self._check_absent(change.location)
                folder = os.path.dirname(change.location)
                if not os.access(folder, os.W_OK):
                    raise NotWritten("its folder is read-only")
                return
            self._check_writable(change.location, os.lstat(change.location))
            self._check_unchanged(change.location, change.before)
        except OSError as error:
            raise NotWritten(error.strerror or str(error)) from error

    def write(self, change: Change) -> None:
        """Give a file its new bytes if it still holds the old ones.

        Raises NotWritten, and then nothing has changed.
        """
        try:
            if change.before is None:
                self._create(change.location, change.after)
            else:
                self._rewrite(change.location, change.before, change.after)
        except OSError as error:
            raise NotWritten(error.strerror or str(error)) from error

    def take_back(self, change: Change) -> None:
        """Give a file its old bytes if it holds the new ones; a file that was made goes.

        Raises NotWritten, and then nothing has changed.
        """
        try:
            if change.before is None:
                self._remove(change.location, change.after)
                return
            with open(change.location, "rb") as file:
                data = file.read()
            if data != change.before:
                self._rewrite(change.location, change.after, change.before)
        except OSError as error:
            raise NotWritten(error.strerror or str(error)) from error

    def _rewrite(self, location: str, before: bytes, after: bytes) -> None:
        facts = os.lstat(location)
        self._check_writable(location, facts)
        twin = self._written.get((facts.st_dev, facts.st_ino))
        if twin is None or not self._link(twin, location, before, after):
            self._replace(location, before, after, facts)
        if facts.st_nlink > 1:
            self._written[facts.st_dev, facts.st_ino] = location

    @staticmethod
    def _check_writable(location: str, facts: os.stat_result) -> None:
        # A rename needs no permission on the file itself, and root needs none at all: yet whoever
        # took the permission away meant it.
        if not stat.S_IMODE(facts.st_mode) & 0o222 or not os.access(location, os.W_OK):
            mode = stat.S_IMODE(facts.st_mode)
            raise NotWritten(f"it is read-only (mode {mode:04o})")

    @staticmethod
    def _check_unchanged(location: str, before: bytes) -> None:
        with open(location, "rb") as file:
            if file.read() != before:
                raise ChangedMeanwhile("somebody else wrote it during the run")

    @staticmethod
    def _check_absent(location: str) -> None:
        if os.path.lexists(location):
            raise ChangedMeanwhile("somebody else made a file of this name during the run")

    def _replace(self, location: str, before: bytes, after: bytes, facts: os.stat_result) -> None:
        with _temporary_beside(location) as temporary:
            handle = os.open(temporary, _CREATE, 0o600)
            try:
                _write_all(handle, after)
                _copy_ownership(location, temporary, facts)
                os.fsync(handle)
            finally:
                os.close(handle)
            self._check_unchanged(location, before)
            os.replace(temporary, location)

    def _create(self, location: str, after: bytes) -> None:
        with _temporary_beside(location) as temporary:
            handle = os.open(temporary, _CREATE, 0o666)  # less the user's mask
            try:
                _write_all(handle, after)
                os.fsync(handle)
            finally:
                os.close(handle)
            self._check_absent(location)
            os.replace(temporary, location)

    @staticmethod
    def _remove(location: str, after: bytes) -> None:
        try:
            with open(location, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return
        if data != after:
            raise ChangedMeanwhile("somebody else wrote it during the run")
        os.unlink(location)

    def _link(self, twin: str, location: str, before: bytes, after: bytes) -> bool:
        """Make a file another name of its twin, which was written already.  False: not possible."""
        with _temporary_beside(location) as temporary:
            try:
                os.link(twin, temporary)
            except OSError:
                return False
            self._check_unchanged(twin, after)
            self._check_unchanged(location, before)
            os.replace(temporary, location)
        return True


@contextmanager
def _temporary_beside(location: str) -> Iterator[str]:
    """A name in the folder of a file that nothing has; what has it then goes if the block fails.

    `tempfile` would create the file before it tells its name: a Ctrl-C between left it behind.
    """
    name = f".triton-kernels-migrate-{os.urandom(8).hex()}.tmp"
    temporary = os.path.join(os.path.dirname(location), name)
    try:
        yield temporary
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _copy_ownership(source: str, target: str, facts: os.stat_result) -> None:
    """Owner where we may, then mode and extended attributes; the time of writing is now."""
    import shutil

    if hasattr(os, "chown") and (facts.st_uid, facts.st_gid) != (os.getuid(), os.getgid()):
        try:
            os.chown(target, facts.st_uid, facts.st_gid)
        except PermissionError:
            pass
    shutil.copystat(source, target)
    os.utime(target)
