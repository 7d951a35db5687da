"""`swiglu` on a GPU: one launch forward, one backward."""

from __future__ import annotations

import torch

from triton_kernels.launching import launch
from triton_kernels.numerics import OutFlexData
from triton_kernels.reduce_details.check import check_fp8
from triton_kernels.swiglu_details._plan import collapse, plan_swiglu
from triton_kernels.swiglu_details._swiglu import _swiglu, _swiglu_backward
from triton_kernels.tensor_details.padding import RowCount


def forward(
    a: torch.Tensor,
    alpha: float,
    limit: float | None,
    in_scale: torch.Tensor | None,
    out_flex: OutFlexData,
    dtype: torch.dtype,
    saturate_inf: bool,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """What `swiglu_details.reference.forward` returns."""
    check_fp8("a", a.dtype)
    check_fp8("out_data.dtype", dtype)
    *leading, n_columns = a.shape
    n_columns //= 2
    out = torch.empty((*leading, n_columns), dtype=dtype, device=a.device)
    if out.numel() == 0:
        return out
    n_rows_max = out.numel() // n_columns
    plan = plan_swiglu(n_rows_max, n_columns, a.element_size())
    launch(
        _swiglu,
        (plan.n_programs,),
        (
            a,
            *collapse(leading, a.stride()[:-1]),
            in_scale,
            out,
            *out_flex,
            alpha,
            limit,
            n_rows_max,
            n_rows,
            n_columns,
        ),
        {
            "SATURATE": saturate_inf,
            "BM": plan.rows,
            "BN": plan.columns,
        },
        num_warps=plan.num_warps,
    )
    return out


def backward(
    a: torch.Tensor,
    dout: torch.Tensor,
    alpha: float,
    limit: float | None,
    in_scale: torch.Tensor | None,
    expected_scale: torch.Tensor | None,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """What `swiglu_details.reference.backward` returns."""
    *leading, n_columns = dout.shape
    da = torch.empty(a.shape, dtype=a.dtype, device=a.device)
    if da.numel() == 0:
        return da
    n_rows_max = dout.numel() // n_columns
    plan = plan_swiglu(n_rows_max, n_columns, a.element_size())
    *outer, along_columns = dout.stride()
    out_sizes, out_strides = collapse(leading, outer)
    launch(
        _swiglu_backward,
        (plan.n_programs,),
        (
            a,
            *collapse(leading, a.stride()[:-1]),
            in_scale,
            dout,
            out_sizes,
            (*out_strides, along_columns),
            expected_scale,
            da,
            alpha,
            limit,
            n_rows_max,
            n_rows,
            n_columns,
        ),
        {
            "BM": plan.rows,
            "BN": plan.columns,
        },
        num_warps=plan.num_warps,
    )
    return da
