"""SwiGLU on a tile: the function that other kernels call, and its gradient.

Columns are pairs: even ones are gates, odd ones are linear.  With `limit`, gates are clamped from
above, linear ones on both sides.  NaN stays NaN.
"""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.reference_functions import register_reference
from triton_kernels.swiglu_details.reference import swiglu_pairs


@triton.jit
def split_pairs(tile):
    """(even columns, odd columns): [M, n] each, of a tile [M, 2n]."""
    M: tl.constexpr = tile.shape[0]
    N: tl.constexpr = tile.shape[1]
    return tl.split(tl.reshape(tile, [M, N // 2, 2]))


@triton.jit
def join_pairs(even, odd):
    """The tile [M, 2n] whose columns are taken in turn from the two."""
    M: tl.constexpr = even.shape[0]
    N: tl.constexpr = even.shape[1]
    return tl.reshape(tl.join(even, odd), [M, 2 * N])


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _clamp_gate(gate, limit):
    if limit is not None:
        gate = tl.where(gate > limit, limit, gate)
    return gate


@triton.jit
def _clamp_linear(linear, limit):
    if limit is not None:
        linear = tl.where(linear > limit, limit, linear)
        linear = tl.where(linear < -limit, -limit, linear)
    return linear


@triton.jit
def swiglu_fn(input, alpha, limit):
    """float32 [M, n]: `g * sigmoid(alpha * g) * (l + 1)` of the pairs (g, l) of a tile [M, 2n].

    alpha: a number.
    limit: `g` becomes at most this, `l` is brought between -limit and limit; None: as they are.
    """
    gate, linear = split_pairs(input.to(tl.float32))
    gate = _clamp_gate(gate, limit)
    linear = _clamp_linear(linear, limit)
    return gate * _sigmoid(alpha * gate) * (linear + 1.0)


@triton.jit
def swiglu_gradient(input, gradient, alpha, limit):
    """float32 [M, 2n]: gradient of `input`, for that of `swiglu_fn(input, alpha, limit)`.

    What was clamped has gradient 0; what is equal to the limit has it in full.
    """
    raw_gate, raw_linear = split_pairs(input.to(tl.float32))
    gate = _clamp_gate(raw_gate, limit)
    linear = _clamp_linear(raw_linear, limit)
    sigmoid = _sigmoid(alpha * gate)
    swish = gate * sigmoid
    by_gate = gradient * (linear + 1.0) * (sigmoid + alpha * swish * (1.0 - sigmoid))
    by_linear = gradient * swish
    if limit is not None:
        by_gate = tl.where(raw_gate > limit, 0.0, by_gate)
        by_linear = tl.where((raw_linear > limit) | (raw_linear < -limit), 0.0, by_linear)
    return join_pairs(by_gate, by_linear)


register_reference(swiglu_fn, swiglu_pairs)
