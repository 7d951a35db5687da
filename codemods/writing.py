"""How a file gets new bytes: whole, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class NotWritten(Exception):
    """The file keeps its bytes; the text says why."""


class ChangedMeanwhile(NotWritten):
    """The file no longer holds the bytes that the new ones were made from."""


class Writer:
    """Writes the files of one run.

    Whenever a run is stopped, each file holds its old bytes or its new ones: the new bytes are
    complete on the disk, under another name in the same folder, before they take the file's place.
    Two names of one file (hard links) that are both written remain two names of one file.
    """

    def __init__(self) -> None:
        self._written: dict[tuple[int, int], str] = {}

    def write(self, location: str, before: bytes, after: bytes) -> None:
        """Give a file its new bytes if it still holds the old ones.

        location: a real file, no link.  Raises NotWritten, and then nothing has changed.
        """
        try:
            facts = os.lstat(location)
            self._check_writable(location, facts)
            twin = self._written.get((facts.st_dev, facts.st_ino))
            if twin is None or not self._link(twin, location, before, after):
                self._replace(location, before, after, facts)
        except OSError as error:
            raise NotWritten(error.strerror or str(error)) from error
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
