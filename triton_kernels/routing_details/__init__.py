"""Deprecated: the private parts of the old module; the table of moves says where each went."""

from __future__ import annotations

from typing import Any

from triton_kernels import deprecation

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    return deprecation.old_attribute(__name__, name)
