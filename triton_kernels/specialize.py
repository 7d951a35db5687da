"""The functions by which a kernel is specialised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["FnSpecs"]


@dataclass(frozen=True)
class FnSpecs:
    """A function that a kernel calls, and what it must know of it.

    name: what the function is called in the names of kernels.
    fn: a `triton.jit` function; None calls nothing.
    fn_arg_names: names of its arguments behind the tile.
    fn_arg_do_not_specialize: those of them for whose values no kernel of its own is compiled.
    reduction_n: columns that it joins into one: 2 for swiglu.
    """

    name: str
    fn: Callable[..., Any] | None
    fn_arg_names: tuple[str, ...] = ()
    fn_arg_do_not_specialize: tuple[str, ...] = ()
    reduction_n: int = 1

    @staticmethod
    def default() -> FnSpecs:
        """No function."""
        return FnSpecs("dflt", None, ())
