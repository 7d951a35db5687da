"""What the functions that specialise a kernel compute, in plain torch.

A `triton.jit` function is part of a kernel: torch cannot call it.  Where an op is computed by its
reference, a function that was registered here with the other takes its place:

    register_reference(double, lambda tile, factor: tile * factor)
    reference_of(FnSpecs("double", double, ("factor",)))(tile, 2.0)

The functions of this library have theirs (`swiglu_fn`); so can those of its users.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels.specialize import FnSpecs
from triton_kernels.tensor_details.checks import wrong_value

__all__ = ["ReferenceFn", "reference_of", "register_reference"]

ReferenceFn: TypeAlias = Callable[..., torch.Tensor]
"""(float32 [..., N], *values of `fn_arg_names`) -> float32 [..., N / reduction_n]."""

# By identity, since the hash of a `JITFunction` is that of its source.  Each function is kept with
# its reference, so that no other can come to have its id.
_references: dict[int, tuple[Callable[..., Any], ReferenceFn]] = {}


def register_reference(jit_fn: Callable[..., Any], torch_fn: ReferenceFn) -> None:
    """Compute by `torch_fn` what kernels compute by `jit_fn`.

    jit_fn: a `triton.jit` function of a float32 tile [M, N] and the values of `fn_arg_names`.
    torch_fn: the same on a float32 tensor [..., N].  A second registration replaces the first.
    """
    _references[id(jit_fn)] = jit_fn, torch_fn


def reference_of(specs: FnSpecs) -> ReferenceFn:
    """The function registered for `specs.fn`; the identity where `specs.fn` is None.

    Raises ValueError where none is registered.
    """
    if specs.fn is None:
        return _identity
    if id(specs.fn) not in _references:
        raise wrong_value(
            f"FnSpecs {specs.name!r}",
            "a function with a reference, where plain torch computes: register one with "
            "triton_kernels.reference_functions.register_reference, or set TRITON_INTERPRET=1 "
            "before the program starts to have CPU tensors computed by the kernels",
            specs.fn,
        )
    return _references[id(specs.fn)][1]


def _identity(tile: torch.Tensor, *_unused: Any) -> torch.Tensor:
    return tile
