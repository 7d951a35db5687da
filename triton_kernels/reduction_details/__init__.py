"""Deprecated: only the old module `reduce_bitmatrix` is here."""

from __future__ import annotations

from typing import Any

from triton_kernels import deprecation

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    return deprecation.old_attribute(__name__, name)
