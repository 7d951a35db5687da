"""`swiglu` in plain torch, on any device."""

from __future__ import annotations

import torch

from triton_kernels.numerics import OutFlexData
from triton_kernels.numerics_details.reference import scale_in, scale_out
from triton_kernels.tensor_details.padding import RowCount, rows_taking_part


def swiglu_pairs(input: torch.Tensor, alpha: float, limit: float | None) -> torch.Tensor:
    """`g * sigmoid(alpha * g) * (l + 1)` of the pairs (g, l) along the last dimension, in float32.

    limit: `g` becomes at most this, `l` is brought between -limit and limit; None: as they are.
    """
    gate, linear = input[..., ::2].float(), input[..., 1::2].float()
    if limit is not None:
        gate, linear = _clamp(gate, linear, limit)
    return gate * torch.sigmoid(alpha * gate) * (linear + 1)


def _clamp(
    gate: torch.Tensor, linear: torch.Tensor, limit: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both within the limit.

    What equals it has its gradient: releases of torch differ in that of `clamp`.
    """
    gate = torch.where(gate > limit, limit, gate)
    linear = torch.where(linear < -limit, -limit, linear)
    return gate, torch.where(linear > limit, limit, linear)


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
    """[..., n] in `dtype`, contiguous; 0 in rows from `n_rows` on."""
    takes_part = _takes_part(a, n_rows)
    real = torch.where(takes_part, scale_in(a, in_scale), 0)
    result = torch.where(takes_part, swiglu_pairs(real, alpha, limit), 0)
    return scale_out(result, out_flex, dtype, saturate_inf).contiguous()


def backward(
    a: torch.Tensor,
    dout: torch.Tensor,
    alpha: float,
    limit: float | None,
    in_scale: torch.Tensor | None,
    expected_scale: torch.Tensor | None,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """Gradient of `a`, contiguous, for that of the result; 0 in rows from `n_rows` on."""
    takes_part = _takes_part(a, n_rows)
    real = torch.where(takes_part, scale_in(a, in_scale), 0)
    gradient = torch.where(takes_part, dout.float(), 0)
    gradient = scale_out(gradient, OutFlexData(None, expected_scale), torch.float32, False)
    da = swiglu_pairs_gradient(real, gradient, alpha, limit)
    return scale_in(da, in_scale).to(a.dtype).contiguous()


def swiglu_pairs_gradient(
    input: torch.Tensor, gradient: torch.Tensor, alpha: float, limit: float | None
) -> torch.Tensor:
    """Gradient of `input`, for that of `swiglu_pairs(input, alpha, limit)`, in float32.

    What was clamped has gradient 0; what is equal to the limit has it in full.  No autograd: this
    is called where torch has switched it off.
    """
    raw_gate, raw_linear = input[..., ::2].float(), input[..., 1::2].float()
    gate, linear = raw_gate, raw_linear
    if limit is not None:
        gate, linear = _clamp(raw_gate, raw_linear, limit)
    sigmoid = torch.sigmoid(alpha * gate)
    swish = gate * sigmoid
    by_gate = gradient * (linear + 1) * (sigmoid + alpha * swish * (1 - sigmoid))
    by_linear = gradient * swish
    if limit is not None:
        by_gate = torch.where(raw_gate > limit, 0, by_gate)
        by_linear = torch.where(raw_linear.abs() > limit, 0, by_linear)
    return torch.stack([by_gate, by_linear], dim=-1).flatten(-2)


def _takes_part(a: torch.Tensor, n_rows: RowCount | None) -> torch.Tensor:
    """bool [..., 1]: which rows do."""
    leading = a.shape[:-1]
    return rows_taking_part(n_rows, leading.numel(), a.device).view(*leading, 1)
