"""Kernels of one device function of flexpoint each, and what launches them on a tensor's device."""

# ruff: noqa: N803, N806  kernels name what they are given as kernels do

from __future__ import annotations

import torch
import triton
import triton.language as tl

from triton_kernels.numerics import OutFlexData
from triton_kernels.numerics_details.flexpoint import (
    clip,
    compute_scale,
    flex_to_float,
    float_to_flex,
    load_scale,
    max_finite,
    nan_propagating_absmax_reduce,
    rcp_max_finite,
    sm86_max_nan_xorsign_abs_f32,
    sm86_min_nan_xorsign_abs_f32,
    update_scale,
)


@triton.jit
def _scale_out(
    X,
    Y,
    Expected,
    expected_stride,
    Actual,
    actual_stride,
    Checksum,
    checksum_stride,
    Mask,
    n,
    SATURATE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A batch of `n` results to a program."""
    batch = tl.program_id(0)
    at = batch * n + tl.arange(0, BLOCK)
    exists = tl.arange(0, BLOCK) < n
    x = tl.load(X + at, mask=exists, other=float("nan"))
    mask = exists
    if Mask is not None:
        mask &= tl.load(Mask + at, mask=exists, other=0) != 0
    if Expected is not None:
        Expected += batch * expected_stride
    if Actual is not None:
        Actual += batch * actual_stride
    if Checksum is not None:
        Checksum += batch * checksum_stride
    y = float_to_flex(x, Expected, Actual, Checksum, mask, Y, SATURATE)
    tl.store(Y + at, y.to(Y.dtype.element_ty), mask=exists)


def scale_out(
    x: torch.Tensor,
    flex: OutFlexData,
    dtype: torch.dtype,
    saturate_inf: bool,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """`numerics_details.reference.scale_out` by a kernel, a batch [B, n] to a program."""
    batches, n = x.shape
    y = torch.empty_like(x, dtype=dtype)
    arguments: list[object] = []
    for scale in flex:
        arguments += [scale, 0 if scale is None or len(scale) == 1 else 1]
    block = triton.next_power_of_2(n)
    bytes_ = None if mask is None else mask.expand(x.shape).to(torch.int8).contiguous()
    _scale_out[(batches,)](x, y, *arguments, bytes_, n, SATURATE=saturate_inf, BLOCK=block)
    return y


@triton.jit
def _scale_out_by_value(X, Y, scale: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    y = float_to_flex(tl.load(X + at), scale, None, None, None, Y, False)
    tl.store(Y + at, y.to(Y.dtype.element_ty))


def scale_out_by_value(x: torch.Tensor, scale: float) -> torch.Tensor:
    """float32 results, divided by a scale that the kernel knows."""
    y = torch.empty_like(x)
    _scale_out_by_value[(1,)](x, y, scale, BLOCK=x.numel())
    return y


@triton.jit
def _scale_in(X, Y, Scale, stride, n, BLOCK: tl.constexpr):
    batch = tl.program_id(0)
    at = batch * n + tl.arange(0, BLOCK)
    exists = tl.arange(0, BLOCK) < n
    if Scale is not None:
        Scale += batch * stride
    tl.store(Y + at, flex_to_float(tl.load(X + at, mask=exists), Scale), mask=exists)


def scale_in(x: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    """`numerics_details.reference.scale_in` by a kernel, a batch [B, n] to a program."""
    batches, n = x.shape
    y = torch.empty_like(x, dtype=torch.float32)
    stride = 0 if scale is None or len(scale) == 1 else 1
    _scale_in[(batches,)](x, y, scale, stride, n, BLOCK=triton.next_power_of_2(n))
    return y


@triton.jit
def _clip(X, Y, limit: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(Y + at, clip(tl.load(X + at), limit))


def clipped(x: torch.Tensor, limit: float) -> torch.Tensor:
    """`clip`; the length of `x` is a power of two."""
    y = torch.empty_like(x)
    _clip[(1,)](x, y, limit, BLOCK=x.numel())
    return y


@triton.jit
def _absmax(X, Y, AXIS: tl.constexpr, M: tl.constexpr, N: tl.constexpr):
    x = tl.load(X + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    bits = nan_propagating_absmax_reduce(x, AXIS)
    tl.static_assert(bits.dtype == tl.uint32)
    value = bits.to(tl.float32, bitcast=True)
    if AXIS is None:
        tl.store(Y, value)
    elif AXIS == 0:
        tl.store(Y + tl.arange(0, N), value)
    else:
        tl.store(Y + tl.arange(0, M), value)


def absmax(x: torch.Tensor, axis: int | None) -> torch.Tensor:
    """`nan_propagating_absmax_reduce` of [M, N], as float32: [1], [N] or [M]."""
    m, n = x.shape
    y = torch.empty({None: 1, 0: n, 1: m}[axis], dtype=torch.float32, device=x.device)
    _absmax[(1,)](x, y, axis, M=m, N=n)
    return y


@triton.jit
def _needed_scale(X, Y, Out, BLOCK: tl.constexpr):
    tl.store(Y, compute_scale(tl.load(X + tl.arange(0, BLOCK)), Out))


def needed_scale(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`compute_scale`, float32 [1]; the length of `x` is a power of two."""
    y = torch.empty(1, device=x.device)
    _needed_scale[(1,)](x, y, torch.empty(1, dtype=dtype, device=x.device), BLOCK=x.numel())
    return y


@triton.jit
def _update(X, Scale, Out, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    update_scale(tl.load(X + at), Scale, Out)


def update(x: torch.Tensor, scale: torch.Tensor | None, dtype: torch.dtype) -> None:
    """`update_scale` by one program for each row of `x`."""
    out = torch.empty(1, dtype=dtype, device=x.device)
    _update[(x.shape[0],)](x, scale, out, BLOCK=x.shape[1])


@triton.jit
def _limits(Y, Out):
    tl.store(Y, max_finite(Out.dtype.element_ty))
    tl.store(Y + 1, rcp_max_finite(Out.dtype.element_ty))


def limits(dtype: torch.dtype, device: str) -> list[float]:
    """`max_finite` and `rcp_max_finite`."""
    y = torch.empty(2, device=device)
    _limits[(1,)](y, torch.empty(1, dtype=dtype, device=device))
    return y.tolist()


@triton.jit
def _load_scale(Scale, Y):
    tl.store(Y, load_scale(Scale))


def loaded_scale(scale: torch.Tensor | None, device: str) -> float:
    """`load_scale`."""
    y = torch.empty(1, device=device)
    _load_scale[(1,)](scale, y)
    return y.item()


@triton.jit
def _nan_xorsign_abs(X, Y, Low, High, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    x, y = tl.load(X + at), tl.load(Y + at)
    tl.store(Low + at, sm86_min_nan_xorsign_abs_f32(x, y))
    tl.store(High + at, sm86_max_nan_xorsign_abs_f32(x, y))


def nan_xorsign_abs(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two instructions of compute capability 8.6; the length of `x` is a power of two."""
    low, high = torch.empty_like(x), torch.empty_like(x)
    _nan_xorsign_abs[(1,)](x, y, low, high, BLOCK=x.numel())
    return low, high
