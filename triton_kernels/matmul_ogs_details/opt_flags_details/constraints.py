"""Flags of a product that are fixed from outside: for the process, or for a block of code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from triton_kernels.tensor_details.checks import is_int, wrong_type, wrong_value

__all__ = [
    "Constraints",
    "InapplicableConstraint",
    "constraints_in_force",
    "opt_flags_constraints",
    "reset_opt_flags_constraints",
    "update_opt_flags_constraints",
]

Constraints: TypeAlias = Mapping[str, Any]


class InapplicableConstraint(Exception):
    """A constraint asks for what this product, or this device, cannot have."""


_BLOCKS = ("block_m", "block_n", "block_k")
_COUNTS = ("split_k", "num_stages", "num_warps", "epilogue_subtile", "idle_sms", "max_allowable_mn")
_SWITCHES = ("is_persistent", "fused_scatter")
_KNOWN = frozenset((*_BLOCKS, *_COUNTS, *_SWITCHES))

_in_the_process: dict[str, Any] = {}

_scoped: ContextVar[Mapping[str, Any]] = ContextVar("triton_kernels_opt_flags", default={})  # noqa: B039 - never written to


def update_opt_flags_constraints(constraints: Constraints) -> None:
    """Fix flags from now on, in the whole process, beside those that are fixed already.

    constraints: `OptFlags` fields block_m, block_n, block_k, num_warps, num_stages, split_k,
        is_persistent, fused_scatter, epilogue_subtile or idle_sms; None frees one again.
        max_allowable_mn: rows times columns from which a split_k that is fixed falls back to 1.

    Raises ValueError or TypeError for an unknown key or an impossible value.  A constraint that a
    product cannot have raises `InapplicableConstraint` when that product is computed.
    """
    _check(constraints)
    _in_the_process.update(constraints)


def reset_opt_flags_constraints() -> None:
    """Fix no flags any more in the whole process."""
    _in_the_process.clear()


@contextmanager
def opt_flags_constraints(**constraints: Any) -> Iterator[None]:
    """Fix flags inside this block, in this context (thread or task) alone.

    As `update_opt_flags_constraints`, and above it and above blocks around this one:

    >>> with opt_flags_constraints(block_m=64, split_k=1):
    ...     y = matmul_ogs(x, w, bias)
    """
    _check(constraints)
    token = _scoped.set({**_scoped.get(), **constraints})
    try:
        yield
    finally:
        _scoped.reset(token)


def _check(constraints: Constraints) -> None:
    unknown = sorted(set(constraints) - _KNOWN)
    if unknown:
        raise wrong_value("constraints", f"keys of {', '.join(sorted(_KNOWN))}", unknown)
    for name, value in constraints.items():
        if value is None:
            continue
        if name in _SWITCHES:
            if not isinstance(value, bool):
                raise wrong_type(name, "a bool or None", value)
            continue
        if not is_int(value):
            raise wrong_type(name, "an int or None", value)
        least = 16 if name in _BLOCKS else 0 if name == "idle_sms" else 1
        if value < least:
            raise wrong_value(name, f"at least {least}", value)
        if name in (*_BLOCKS, "num_warps", "epilogue_subtile") and value & (value - 1):
            raise wrong_value(name, "a power of two", value)


def constraints_in_force() -> tuple[tuple[str, Any], ...]:
    """(name, value) of what is fixed here and now; hashable."""
    scoped = _scoped.get()
    if not scoped and not _in_the_process:
        return ()
    together = {**_in_the_process, **scoped}
    return tuple(sorted((name, value) for name, value in together.items() if value is not None))
