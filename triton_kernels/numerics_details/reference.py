"""Flexpoint in plain torch: what `numerics_details.flexpoint` computes in a kernel.

Scales are float32 [1], or [B] with one for each index of the leading dimension; None is 1.
"""

from __future__ import annotations

import torch

from triton_kernels.numerics import (
    MAX_FINITE_FLOAT8E4B8,
    MAX_FINITE_FLOAT8E4NV,
    MAX_FINITE_FLOAT8E5,
    OutFlexData,
)
from triton_kernels.tensor_details.checks import wrong_type, wrong_value

__all__ = ["LARGEST", "SMALLEST_SCALE", "scale_in", "scale_out", "stored"]

LARGEST = {
    torch.float8_e5m2: MAX_FINITE_FLOAT8E5,
    torch.float8_e4m3fn: MAX_FINITE_FLOAT8E4NV,
    torch.float8_e4m3fnuz: MAX_FINITE_FLOAT8E4B8,
    torch.float16: 65472.0,
    torch.bfloat16: torch.finfo(torch.bfloat16).max,
    torch.float32: torch.finfo(torch.float32).max,
}
"""What a scale brings results to (`flexpoint.max_finite`); for float16, upstream's, not 65504."""

SMALLEST_SCALE = 1e-30
"""Scales are never less, so that results of nothing but zeros have one to be divided by."""


def scale_in(x: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    """What the stored values `x` stand for, in float32: `x * scale`.

    Raises ValueError unless there is one scale, or one for each index of the leading dimension.
    """
    value = x.float()
    return value if scale is None else value * _along_batches("scale", scale, x)


def scale_out(
    x: torch.Tensor,
    flex: OutFlexData,
    dtype: torch.dtype,
    saturate_inf: bool,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """What is stored of the results `x`, in `dtype`: `x / expected_scale`.

    x: floats, of any shape; its leading dimension is B where a scale has B elements.
    flex: its `actual_scale` is raised, and its `checksum_scale` added to, in place.  The checksum
        is that of a kernel which computes `x` (or each batch of it) in one tile.
    saturate_inf: what is beyond the range of `dtype` becomes its largest value, not infinity; only
        where there is an expected scale.  fp8 saturates without being asked (`stored`).
    mask: bool, broadcastable to `x`: which results count in `actual_scale` and `checksum_scale`.

    Raises TypeError for a dtype that is no float of at most 32 bits, ValueError as `scale_in`.
    """
    limit = _largest(dtype)
    value = x.float()
    counted = value if mask is None else torch.where(mask, value, 0.0)
    if flex.checksum_scale is not None:
        _add_checksum(counted, flex.checksum_scale)
    if flex.actual_scale is not None:
        _raise_scale(counted, flex.actual_scale, limit)
    if flex.expected_scale is not None:
        # As the kernel does: one division, then products.
        value = value * _along_batches("expected_scale", flex.expected_scale, x).reciprocal()
        if saturate_inf:
            value = value.clamp(-limit, limit)
    return stored(value, dtype)


def stored(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`value` in `dtype`, as the kernels store it.

    fp8 saturates, infinity included; torch would make infinity of it in e5m2, and NaN in the fnuz
    formats.  NaN stays NaN.
    """
    if dtype.itemsize == 1:
        limit = _largest(dtype)
        value = value.clamp(-limit, limit)
    return value.to(dtype)


def _largest(dtype: torch.dtype) -> float:
    if dtype not in LARGEST:
        raise wrong_type("dtype", f"one of {', '.join(map(str, LARGEST))}", dtype)
    return LARGEST[dtype]


def _raise_scale(value: torch.Tensor, scale: torch.Tensor, limit: float) -> None:
    """`scale = max(scale, largest |value| / limit + 1e-30)`, NaN counted as infinity."""
    rows = _batches("actual_scale", scale, value)
    if rows.shape[1] == 0:  # no program runs
        return
    largest = rows.abs().nan_to_num(nan=torch.inf, posinf=torch.inf).amax(dim=1)
    reciprocal = torch.tensor(1 / limit, dtype=torch.float32).item()
    smallest = torch.tensor(SMALLEST_SCALE, dtype=torch.float32).item()
    # The kernel's fma rounds once.  In float64 the product is exact; the sum is rounded there
    # before it is rounded to float32, which changes one result of 2^29.
    needed = (largest.double() * reciprocal + smallest).float()
    scale.copy_(torch.maximum(scale, needed))


def _add_checksum(value: torch.Tensor, checksum: torch.Tensor) -> None:
    """Add the exclusive or of the bits, as int32, wrapping around."""
    bits = _batches("checksum_scale", checksum, value).contiguous().view(torch.int32)
    while bits.shape[1] > 1:
        half = bits.shape[1] // 2
        folded = bits[:, :half] ^ bits[:, half : 2 * half]
        bits = torch.cat([folded, bits[:, 2 * half :]], dim=1)
    if bits.shape[1]:
        checksum.view(torch.int32).add_(bits[:, 0])


def _batches(name: str, scale: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`x` as one row for each scale."""
    _check_batches(name, scale, x)
    return x.reshape(len(scale), x.numel() // len(scale))


def _along_batches(name: str, scale: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`scale` in a shape that broadcasts along the leading dimension of `x`."""
    _check_batches(name, scale, x)
    return scale.view(-1, *[1] * (x.ndim - 1)) if len(scale) > 1 else scale


def _check_batches(name: str, scale: torch.Tensor, x: torch.Tensor) -> None:
    if scale.ndim != 1 or (len(scale) != 1 and (x.ndim == 0 or len(scale) != len(x))):
        raise wrong_value(
            name, f"one scale, or one for each of the first of {list(x.shape)}", scale
        )
