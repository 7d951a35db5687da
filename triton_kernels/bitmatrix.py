"""Deprecated: the bit matrix before release 3.4, forwarded by the table of moves."""

from __future__ import annotations

from typing import Any

from triton_kernels import deprecation, moves

__all__: list[str] = list(moves.served_names(__name__))


def __getattr__(name: str) -> Any:
    return deprecation.old_attribute(__name__, name)


def __dir__() -> list[str]:
    return sorted(__all__)


deprecation.accept_assignments(__name__)
