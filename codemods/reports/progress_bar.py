"""A progress bar on a terminal, for runs that take long enough to wonder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_PATIENCE_S = 1.0
_REFRESH_S = 0.1


class ProgressBar:
    """Appears after a second.  It runs no thread of its own: processes may be forked beside it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: RichProgress | None = None
        self._due = time.monotonic() + _PATIENCE_S
        self._what, self._total, self._done = "", 0, 0

    def begin(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._show()

    def advance(self, count: int) -> None:
        self._done += count
        self._show()

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _REFRESH_S
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            console = Console(file=self._stream)
            self._bar = Progress(console=console, transient=True, auto_refresh=False)
            self._bar.add_task("")
            self._bar.start()
        self._bar.update(
            self._bar.task_ids[0],
            description=self._what,
            total=self._total,
            completed=self._done,
            refresh=True,
        )
