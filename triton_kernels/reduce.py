"""Sums over one of three dimensions: the choices of each token, the splits of a product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels import dispatch, ops
from triton_kernels.numbered_functions import number_and_values, numbered_with
from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.reduce_details.check import check_call
from triton_kernels.reduce_details.reduction import Reduction
from triton_kernels.reduce_details.reference import reduce_reference
from triton_kernels.specialize import FnSpecs

__all__ = ["FnSpecs", "PostprocessFn", "Reduce", "reduce", "reduce_torch"]


@dataclass(frozen=True)
class PostprocessFn:
    """A function that `reduce` applies to its sums.

    specs: the function, of float32 tiles; `specs.reduction_n`, a power of two, columns of the sums
        make one of the result.
    fn_args: values of its `fn_arg_names`.

    On a CPU without TRITON_INTERPRET=1 it needs a reference (`reference_functions`).
    """

    specs: FnSpecs = field(default_factory=FnSpecs.default)
    fn_args: tuple[Any, ...] = ()


def reduce(
    x: torch.Tensor,
    dim: int,
    mask: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
    x_mxscale: torch.Tensor | None = None,
    x_flex: InFlexData | None = InFlexData(),  # noqa: B008 - frozen, and upstream's signature
    y_dtype: torch.dtype | None = None,
    y_flex: OutFlexData | None = OutFlexData(),  # noqa: B008
    y_flex_saturate_inf: bool = False,
    y_has_mx: bool | None = None,
    y: torch.Tensor | None = None,
    postprocess_fn1: PostprocessFn | None = None,
    postprocess_fn2: PostprocessFn | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Add up the terms of `x` along `dim`, in float32.

    x: float32, float16, bfloat16 or fp8 [., ., .], of any strides.
    dim: 0, 1 or 2, or counted from the end.
    mask: of any dtype, 3 dimensions, each that of x or 1 (or broadcast by `expand`); terms where it
        is 0 take no part and are not read.
    scale: a floating dtype, likewise; terms are multiplied by it.
    x_mxscale: uint8, the shape of x with ceil(N / 32) for the last size N; e8m0 scales of blocks of
        32 columns.  `dim` is 0 or 1 then.
    x_flex: its scale of one element, which terms are multiplied by, too; its dtype, as which x is
        read if it has one byte an element.
    y_dtype: of the result; None: that of y, else e4m3 if the result has microscales, else that of
        x.
    y_flex: scales of the result, of one element each, and the dtype as which it is written if it
        has one byte an element.
    y_flex_saturate_inf: whether results beyond the range become the largest value (`numerics`).
    y_has_mx: whether the result is e4m3 with microscales along its last dimension, rounded up so
        that nothing saturates.  None: if x has.
    y: where the result goes, of any strides; None: a new tensor, contiguous.
    postprocess_fn1, postprocess_fn2: functions of the sums.  The second is not called where the
        result has microscales.

    In this order: microscale, scale of `x_flex`, `scale`, mask, sum, first function, `y_flex`, then
    second function or microscales.  A term that is masked is 0 whatever its scales are.

    Returns (y, y_mxscale): y has the two other dimensions of x in their order, the last of them
    divided by `reduction_n` of the functions; y_mxscale is uint8, its last size ceil(. / 32), or
    None.  Sums of no terms are 0 before the functions.

    Differentiable with respect to x and scale, where neither has fewer than 16 bits, there are no
    flex scales, microscales or functions, and y is None.  Otherwise the result has no gradient.
    Raises ValueError or TypeError that names the argument where one is another than said here.

    >>> x = torch.arange(12.0).view(2, 3, 2)
    >>> reduce(x, dim=1, mask=torch.tensor([1, 0, 1]).view(1, 3, 1))[0].tolist()
    [[4.0, 6.0], [16.0, 18.0]]
    """
    call = check_call(
        x, dim, mask, scale, x_mxscale, x_flex, y_dtype, y_flex, y_flex_saturate_inf, y_has_mx, y,
        postprocess_fn1, postprocess_fn2,
    )  # fmt: skip
    wants_gradient = dispatch.needs_gradient(x) or (
        scale is not None and dispatch.needs_gradient(scale)
    )
    if dispatch.is_traced(x):
        result, y_mxscale = _trace(call)
    elif not wants_gradient:
        result, y_mxscale = compute(call)
    elif call.is_differentiable:
        result, y_mxscale = Reduce.apply(call.x, call.scale, call), None  # type: ignore[no-untyped-call]
    else:
        with torch.no_grad():
            result, y_mxscale = compute(call)
    return result if y is None else y, y_mxscale


def reduce_torch(
    x: torch.Tensor,
    dim: int,
    mask: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
    x_mxscale: torch.Tensor | None = None,
    x_flex: InFlexData | None = InFlexData(),  # noqa: B008
    y_dtype: torch.dtype | None = None,
    y_flex: OutFlexData | None = OutFlexData(),  # noqa: B008
    y_flex_saturate_inf: bool = False,
    y_has_mx: bool | None = None,
    y: torch.Tensor | None = None,
    postprocess_fn1: PostprocessFn | None = None,
    postprocess_fn2: PostprocessFn | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """`reduce` in plain torch, on any device; without gradients."""
    call = check_call(
        x, dim, mask, scale, x_mxscale, x_flex, y_dtype, y_flex, y_flex_saturate_inf, y_has_mx, y,
        postprocess_fn1, postprocess_fn2,
    )  # fmt: skip
    with torch.no_grad():
        result, y_mxscale = reduce_reference(call)
    return result if y is None else y, y_mxscale


def compute(call: Reduction) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(y, y_mxscale) of a checked call."""
    run = dispatch.choose(
        call.x.device,
        reference=reduce_reference,
        kernel="triton_kernels.reduce_details._launch.reduce",
    )
    return run(call)


def compute_purely(
    *arguments: Any,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """(y, y_mxscale, actual scale, checksum): `compute`, with copies of what it changes in place.

    arguments: those of `call_of`.
    """
    call = call_of(*arguments)
    flex = ops.with_copies(call.y_flex)
    return *compute(replace(call, y_flex=flex)), flex.actual_scale, flex.checksum_scale


def call_of(
    x: torch.Tensor,
    dim: int,
    mask: torch.Tensor | None,
    scale: torch.Tensor | None,
    x_mxscale: torch.Tensor | None,
    x_scale: torch.Tensor | None,
    y_dtype: torch.dtype,
    y_has_mx: bool,
    expected_scale: torch.Tensor | None,
    actual_scale: torch.Tensor | None,
    checksum_scale: torch.Tensor | None,
    saturate_inf: bool,
    fn1: int,
    args1: Sequence[float],
    fn2: int,
    args2: Sequence[float],
) -> Reduction:
    """The call with these parts; functions by their number."""
    return Reduction(
        x, dim, mask, scale, x_mxscale, x_scale, None, y_dtype, y_has_mx,
        OutFlexData(None, expected_scale, actual_scale, checksum_scale), saturate_inf,
        *numbered_with(fn1, args1), *numbered_with(fn2, args2),
    )  # fmt: skip


def _trace(call: Reduction) -> tuple[torch.Tensor, torch.Tensor | None]:
    """`compute`, recorded as one operation and what it changes in place."""
    x, scale = call.x, call.scale
    if not call.is_differentiable:
        x, scale = x.detach(), None if scale is None else scale.detach()
    result, y_mxscale, *scales = ops.reduce(
        x, call.dim, call.mask, scale, call.x_mxscale, call.x_scale, call.y_dtype,
        call.y_has_mx, *call.y_flex.scales, call.saturate_inf,
        *number_and_values(call.fn1, call.args1), *number_and_values(call.fn2, call.args2),
    )  # fmt: skip
    ops.write_back(call.y_flex, *scales)
    if call.y is not None:
        call.y.copy_(result)
    return result, y_mxscale if call.y_has_mx else None


class Reduce(torch.autograd.Function):
    """`compute` for autograd, where the call is differentiable."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, scale: torch.Tensor | None, call: Reduction
    ) -> torch.Tensor:
        ctx.save_for_backward(x, scale, call.mask)
        ctx.dim = call.dim
        return compute(call)[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, scale, mask = ctx.saved_tensors
        return *gradients(dy, ctx.dim, x, scale, mask, ctx.needs_input_grad), None


def gradients(
    dy: torch.Tensor,
    dim: int,
    x: torch.Tensor,
    scale: torch.Tensor | None,
    mask: torch.Tensor | None,
    needed: tuple[bool, ...],
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Those of x and scale, if they are needed: the sum's, times the other factor of each term."""
    share = dy.unsqueeze(dim).expand(x.shape)
    factors = (x, scale), (scale, x)
    dx, dscale = (
        _masked_product(share, other, mask).to(own.dtype) if need and own is not None else None
        for (own, other), need in zip(factors, needed, strict=False)
    )
    return dx, dscale


def _masked_product(
    share: torch.Tensor, factor: torch.Tensor | None, mask: torch.Tensor | None
) -> torch.Tensor:
    if factor is not None:
        share = share.float() * factor.float()
    return share if mask is None else torch.where(mask != 0, share, 0)
