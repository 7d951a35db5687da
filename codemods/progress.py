"""How far a run is: told by the stages of a run, shown or not by whoever started it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def begin(self, what: str, total: int) -> None:
        """A stage begins, of so many steps."""

    def advance(self, count: int) -> None:
        """So many more of its steps are done."""


class NoProgress:
    def begin(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int) -> None:
        pass
