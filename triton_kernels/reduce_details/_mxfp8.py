"""Microscaled e4m3 on tiles of a kernel: OCP Microscaling Formats 1.0, blocks of 32 columns."""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.reduce_details.reduction import MX_BLOCK as _MX_BLOCK

MX_BLOCK = tl.constexpr(_MX_BLOCK)

# Largest e4m3.
_LARGEST = tl.constexpr(448.0)


@triton.jit
def decode_e8m0(byte):
    """float32: 2 ** (byte - 127); 255 is NaN, and 0 is 0, as every decoder of this library has it.

    byte: uint8.
    """
    bits = byte.to(tl.int32) << 23
    # The code 255 lies where infinity is in float32; a bit below it makes that a NaN.
    bits = tl.where(byte == 255, 0x7FC00000, bits)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def quantize_e4m3(tile):
    """(values, scales): float32 [M, N] within the range of e4m3, and uint8 [M, N // 32].

    The scale is the largest magnitude of its block divided by 448, rounded up to a power of two:
    no value saturates.  A block of zeros has scale 0.  NaN stays where it is and does not count
    for the scale; a block with an infinity has scale 255, so all of it reads as NaN.
    """
    M: tl.constexpr = tile.shape[0]
    N: tl.constexpr = tile.shape[1]
    blocks = tl.reshape(tile, [M, N // MX_BLOCK, MX_BLOCK])
    largest = tl.max(tl.where(blocks == blocks, tl.abs(blocks), 0.0), axis=2)
    # Rounded as IEEE says: an approximate quotient above 2**n would round up to 2**(n + 1).
    bits = tl.div_rn(largest, tl.zeros_like(largest) + _LARGEST).to(tl.int32, bitcast=True)
    exponent = (bits + 0x007FFFFF) >> 23
    # 1 / 2**(e - 127) is 2**((254 - e) - 127), exactly.
    reciprocal = (tl.maximum(254 - exponent, 0) << 23).to(tl.float32, bitcast=True)
    reciprocal = tl.where(exponent == 0, 0.0, reciprocal)
    values = tl.reshape(blocks * reciprocal[:, :, None], [M, N])
    return values, exponent.to(tl.uint8)
