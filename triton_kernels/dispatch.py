"""Kernel, interpreter or reference: the one decision.

An op checks its arguments, then asks `choose` for the function that computes it.  No other file
of the library looks at the type of a device.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from typing import ParamSpec, TypeVar

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

__all__ = ["Implementation", "choose", "implementation"]

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


def implementation(device: torch.device) -> Implementation:
    """What computes an op whose tensors are on `device`.

    On a GPU, always the kernels.  On the CPU the reference, or the kernels in Triton's interpreter
    where TRITON_INTERPRET=1 (which Triton wants in the environment before it is imported).
    """
    if device.type not in _HOSTS:
        return Implementation.KERNEL
    if device.type == "cpu" and os.environ.get("TRITON_INTERPRET", "").lower() in _TRUE:
        return Implementation.INTERPRETER
    return Implementation.REFERENCE


def choose(
    device: torch.device, *, reference: Callable[P, R], kernel: Callable[P, R] | None = None
) -> Callable[P, R]:
    """The function that computes an op for tensors on `device`.

    reference: the op in plain torch.
    kernel: the function that launches the op's kernels, with the same arguments and results.
        Where an op has none (yet), the reference runs, on a GPU as well: it is plain torch, never
        synchronises with the host, and gives the same values, only in more launches.
    """
    if kernel is None or implementation(device) is Implementation.REFERENCE:
        return reference
    return kernel
