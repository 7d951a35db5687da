"""Kernel, interpreter or reference: the one decision.

An op checks its arguments, then asks `choose` for the function that computes it.  No other file
of the library looks at the type of a device.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import ParamSpec, TypeVar

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

__all__ = ["Implementation", "choose", "implementation", "override"]

P = ParamSpec("P")
R = TypeVar("R")


class Implementation(Enum):
    """What computes an op."""

    KERNEL = "kernel"
    """A Triton kernel, compiled for the device."""
    INTERPRETER = "interpreter"
    """The same kernel, run by Triton's interpreter on CPU tensors."""
    REFERENCE = "reference"
    """Plain torch."""


# What Triton itself takes for true in TRITON_INTERPRET.
_TRUE = frozenset({"1", "true", "yes", "on", "y"})

_HOSTS = frozenset({"cpu", "meta"})

_override: ContextVar[Implementation | None] = ContextVar(
    "triton_kernels_implementation", default=None
)


@contextmanager
def override(implementation: Implementation) -> Iterator[None]:
    """Compute every op by `implementation`, whatever device its tensors are on.

    Holds in this context (thread or task) alone.  With KERNEL and `target_info.override`, tests
    compile on a CPU what would run on a GPU.
    """
    token = _override.set(implementation)
    try:
        yield
    finally:
        _override.reset(token)


def implementation(device: torch.device) -> Implementation:
    """What computes an op whose tensors are on `device`.

    On a GPU, always the kernels.  On the CPU the reference, or the kernels in Triton's interpreter
    where TRITON_INTERPRET=1 (which Triton wants in the environment before it is imported).
    Inside `override`, what it says.
    """
    overridden = _override.get()
    if overridden is not None:
        return overridden
    if device.type not in _HOSTS:
        return Implementation.KERNEL
    if device.type == "cpu" and os.environ.get("TRITON_INTERPRET", "").lower() in _TRUE:
        return Implementation.INTERPRETER
    return Implementation.REFERENCE


def choose(device: torch.device, *, reference: Callable[P, R], kernel: str) -> Callable[P, R]:
    """The function that computes an op for tensors on `device`.

    reference: the op in plain torch.
    kernel: dotted path of the function that launches the op's kernels, with the same arguments and
        results.  A path, so that a machine that computes by reference never imports Triton.
    """
    if implementation(device) is Implementation.REFERENCE:
        return reference
    return _load(kernel)  # type: ignore[return-value]


@functools.cache
def _load(path: str) -> Callable[..., object]:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
