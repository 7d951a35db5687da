"""Kernel, interpreter or reference: the one decision.

An op checks its arguments, asks `is_traced` whether it is only being recorded (then it takes what
`ops` registers for it), and else `choose` for the function that computes it.  No other file of the
library looks at the type of a device.
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

from triton_kernels.compat import constant_while_compiling, require_kernels_extra

require_kernels_extra(__name__)

import torch

__all__ = [
    "Implementation",
    "choose",
    "implementation",
    "is_traced",
    "load",
    "needs_gradient",
    "override",
]

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

# What a tensor class has whose operations are those of plain tensors (Parameter, for one).
_NO_DISPATCH = torch.Tensor.__torch_dispatch__

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


@constant_while_compiling
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


def is_traced(x: torch.Tensor) -> bool:
    """Whether an op on `x` must be visible to torch as one operation.

    It must while Dynamo or export compiles, under an active dispatch mode (make_fx, FakeTensorMode,
    functionalisation, counters of FLOPs) and inside torch.func, and for any tensor that stands for
    others (FakeTensor, DTensor).  Otherwise the op's own code runs, because the way through
    torch's dispatcher costs tens of microseconds; asking costs a third of one.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() != 0
        or is_inside_torch_func()
        or (type(x) is not torch.Tensor and type(x).__torch_dispatch__ is not _NO_DISPATCH)
    )


def is_inside_torch_func() -> bool:
    """Whether a transformation of torch.func (grad, vmap, ...) is at work."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def needs_gradient(x: torch.Tensor) -> bool:
    """Whether autograd wants to hear of an op on `x`."""
    return torch.is_grad_enabled() and getattr(x, "requires_grad", False)


def choose(device: torch.device, *, reference: Callable[P, R], kernel: str) -> Callable[P, R]:
    """The function that computes an op for tensors on `device`.

    reference: the op in plain torch.
    kernel: dotted path of the function that launches the op's kernels, with the same arguments and
        results.  A path, so that a machine that computes by reference never imports Triton.
    """
    if implementation(device) is Implementation.REFERENCE:
        return reference
    return load(kernel)  # type: ignore[return-value]


@functools.cache
def load(path: str) -> Callable[..., object]:
    """The function at a dotted path; its module is imported the first time."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
