"""The kernels of `swiglu` and of its gradient."""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.numerics_details.flexpoint import flex_to_float, float_to_flex, load_scale
from triton_kernels.swiglu_details._swiglu_fn import swiglu_fn, swiglu_gradient
from triton_kernels.topk_details._selection import load_n_rows


@triton.jit(do_not_specialize=["n_rows"])
def _swiglu(
    A,
    sizes,
    strides,
    AScale,
    Out,
    OutExpected,
    OutActual,
    OutChecksum,
    alpha,
    limit,
    n_rows_max,
    n_rows,
    n_columns,
    SATURATE: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """Out: [n_rows_max, n_columns], contiguous; 0 in rows from n_rows on.

    A: rows of 2 * n_columns, side by side in memory.  sizes, strides: how rows lie (`_rows_at`).
    """
    row, first, real_rows = _tile(n_rows_max, n_rows, n_columns, BM, BN)
    column = first + tl.arange(0, BN)
    real = (row < real_rows)[:, None] & (column < n_columns)[None, :]
    pairs = _load_pairs(A, sizes, strides, AScale, row, first, real_rows, n_columns, BN)
    result = swiglu_fn(pairs, alpha, limit)
    result = float_to_flex(result, OutExpected, OutActual, OutChecksum, real, Out, SATURATE)
    exists = (row < n_rows_max)[:, None] & (column < n_columns)[None, :]
    at = row[:, None] * n_columns + column[None, :]
    tl.store(Out + at, result.to(Out.dtype.element_ty), mask=exists)


@triton.jit(do_not_specialize=["n_rows"])
def _swiglu_backward(
    A,
    sizes,
    strides,
    AScale,
    DOut,
    out_sizes,
    out_strides,
    OutExpected,
    DA,
    alpha,
    limit,
    n_rows_max,
    n_rows,
    n_columns,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """DA: [n_rows_max, 2 * n_columns], contiguous; 0 in rows from n_rows on.

    DOut: gradient of what `_swiglu` stores; out_strides has one more, that of its columns.
    """
    row, first, real_rows = _tile(n_rows_max, n_rows, n_columns, BM, BN)
    column = first + tl.arange(0, BN)
    pairs = _load_pairs(A, sizes, strides, AScale, row, first, real_rows, n_columns, BN)
    real = (row < real_rows)[:, None] & (column < n_columns)[None, :]
    at = _rows_at(row, out_sizes, out_strides)[:, None]
    at += column[None, :] * out_strides[len(out_sizes) + 1]
    gradient = tl.load(DOut + at, mask=real, other=0.0).to(tl.float32)
    if OutExpected is not None:
        gradient *= tl.div_rn(1.0, load_scale(OutExpected))
    gradient = swiglu_gradient(pairs, gradient, alpha, limit)
    if AScale is not None:
        gradient *= load_scale(AScale)
    place = 2 * first + tl.arange(0, 2 * BN)
    exists = (row < n_rows_max)[:, None] & (place < 2 * n_columns)[None, :]
    at = row[:, None] * (2 * n_columns) + place[None, :]
    tl.store(DA + at, gradient.to(DA.dtype.element_ty), mask=exists)


@triton.jit
def _tile(n_rows_max, n_rows, n_columns, BM: tl.constexpr, BN: tl.constexpr):
    """(row, first, real_rows): int64 [BM] and first column of the program; how many are real."""
    blocks = tl.cdiv(n_columns, BN)
    program = tl.program_id(0)
    row = (program // blocks).to(tl.int64) * BM + tl.arange(0, BM)
    first = (program % blocks).to(tl.int64) * BN
    return row, first, load_n_rows(n_rows, n_rows_max)


@triton.jit
def _rows_at(row, sizes, strides):
    """Offset of each row.

    sizes: of the dimensions that rows run along, all but the outermost, innermost first.
    strides: of those, then of the outermost.
    """
    at = tl.zeros_like(row)
    for dim in tl.static_range(len(sizes)):
        at += (row % sizes[dim]) * strides[dim]
        row = row // sizes[dim]
    return at + row * strides[len(sizes)]


@triton.jit
def _load_pairs(A, sizes, strides, AScale, row, first, real_rows, n_columns, BN: tl.constexpr):
    """float32 [BM, 2 * BN]: what BN columns of the result, from `first` on, are made of."""
    place = 2 * first + tl.arange(0, 2 * BN)
    real = (row < real_rows)[:, None] & (place < 2 * n_columns)[None, :]
    at = _rows_at(row, sizes, strides)[:, None] + place[None, :]
    return flex_to_float(tl.load(A + at, mask=real, other=0.0), AScale)
