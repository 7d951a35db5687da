"""`reduce` in plain torch, on any device."""

from __future__ import annotations

import torch

from triton_kernels.numerics import OutFlexData
from triton_kernels.numerics_details.reference import LARGEST, scale_in, scale_out, stored
from triton_kernels.reduce_details.reduction import MX_BLOCK, Reduction
from triton_kernels.reference_functions import reference_of


def reduce_reference(call: Reduction) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(y, y_mxscale)."""
    y, y_mxscale = call.results()
    fn1, fn2 = reference_of(call.fn1), reference_of(call.fn2)
    terms = call.x.float()
    if call.x_mxscale is not None:
        scale = decode_e8m0(call.x_mxscale).repeat_interleave(MX_BLOCK, dim=2)
        terms = terms * scale[..., : terms.shape[2]]
    terms = scale_in(terms, call.x_scale)
    if call.scale is not None:
        terms = terms * call.scale.float()
    if call.mask is not None:
        terms = torch.where(call.mask != 0, terms, 0)
    sums = fn1(terms.sum(call.dim), *call.args1)
    if y_mxscale is not None:
        sums = scale_out(sums, call.y_flex, torch.float32, call.saturate_inf)
        sums, scales = quantize_e4m3(sums)
        y_mxscale.copy_(scales)
    elif call.fn2.fn is None:
        sums = scale_out(sums, call.y_flex, call.y_dtype, call.saturate_inf)
    else:
        sums = stored(fn2(_scaled(sums, call), *call.args2), call.y_dtype)
    y.copy_(sums)
    return y, y_mxscale


def _scaled(sums: torch.Tensor, call: Reduction) -> torch.Tensor:
    """`scale_out` without rounding: what the second function is called on."""
    expected, actual, checksum = call.y_flex
    scale_out(sums, OutFlexData(None, None, actual, checksum), call.y_dtype, False)
    scaled = scale_out(sums, OutFlexData(None, expected), torch.float32, False)
    if call.y_dtype.itemsize == 1 or (call.saturate_inf and expected is not None):
        scaled = scaled.clamp(-LARGEST[call.y_dtype], LARGEST[call.y_dtype])
    return scaled


def decode_e8m0(scale: torch.Tensor) -> torch.Tensor:
    """float32: 2 ** (byte - 127); 255 is NaN, and 0 is 0: see its namesake in `_mxfp8`."""
    value = (scale.to(torch.int32) << 23).view(torch.float32)
    return torch.where(scale == 255, torch.nan, value)


def quantize_e4m3(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(e4m3 [M, N], uint8 [M, ceil(N / 32)]): see its namesake in `_mxfp8`."""
    n_rows, n_columns = values.shape
    missing = -n_columns % MX_BLOCK
    blocks = torch.nn.functional.pad(values, (0, missing)).view(n_rows, -1, MX_BLOCK)
    largest = torch.where(blocks.isnan(), 0, blocks.abs()).amax(2)
    exponent = ((largest / 448).view(torch.int32) + 0x007FFFFF) >> 23
    reciprocal = ((254 - exponent).clamp(min=0) << 23).view(torch.float32)
    reciprocal = torch.where(exponent == 0, 0, reciprocal)
    quantized = (blocks * reciprocal.unsqueeze(2)).view(n_rows, -1)[:, :n_columns]
    return quantized.to(torch.float8_e4m3fn), exponent.to(torch.uint8)
