"""`reduce` on a GPU: one launch."""

from __future__ import annotations

from typing import TypeAlias

import torch

from triton_kernels.launching import launch
from triton_kernels.reduce_details._plan import Run, plan_reduce
from triton_kernels.reduce_details._reduce import _reduce
from triton_kernels.reduce_details.check import check_fp8
from triton_kernels.reduce_details.reduction import MX_BLOCK, Reduction

Operand: TypeAlias = tuple[torch.Tensor | None, int | None, int | None, int | None]


def reduce(call: Reduction) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(y, y_mxscale)."""
    check_fp8("x", call.x.dtype)
    check_fp8("y_dtype", call.y_dtype)
    y, y_mxscale = call.results()
    if y.numel() == 0:
        return y, y_mxscale
    axes = call.axes
    x = _operand(call.x, axes)
    n_rows, n_terms, n_columns = (call.x.shape[axis] for axis in axes)
    joined = call.fn1.reduction_n * call.fn2.reduction_n
    microscaled = call.x_mxscale is not None or call.y_has_mx
    multiple = call.fn1.reduction_n * MX_BLOCK if microscaled else joined
    plan = plan_reduce(n_rows, n_terms, n_columns, call.x.element_size(), _run(x), multiple)
    launch(
        _reduce,
        (plan.n_programs,),
        (
            x,
            _operand(call.x_mxscale, axes),
            _operand(call.mask, axes),
            _operand(call.scale, axes),
            call.x_scale,
            (y, *y.stride()),
            (None, None, None) if y_mxscale is None else (y_mxscale, *y_mxscale.stride()),
            *call.y_flex,
            n_rows,
            n_terms,
            n_columns,
            call.args1,
            call.args2,
        ),
        {
            "FN1": call.fn1.fn,
            "N1": call.fn1.reduction_n,
            "FN2": call.fn2.fn,
            "N2": call.fn2.reduction_n,
            "SATURATE": call.saturate_inf,
            "BM": plan.rows,
            "BN": plan.columns,
            "BK": plan.terms,
            "STEPS": plan.steps,
        },
        num_warps=plan.num_warps,
    )
    return y, y_mxscale


def _operand(x: torch.Tensor | None, axes: tuple[int, int, int]) -> Operand:
    """The tensor and its strides along rows, terms and columns; None along what is one element."""
    if x is None:
        return None, None, None, None
    shape, stride = x.shape, x.stride()
    rows, terms, columns = (stride[axis] or None if shape[axis] != 1 else None for axis in axes)
    return x, rows, terms, columns


def _run(x: Operand) -> Run:
    """Along what the elements lie side by side, or closest."""
    known = [(stride, -number) for number, stride in enumerate(x[1:]) if stride is not None]
    return Run(-min(known)[1]) if known else Run.COLUMNS
