"""The kernel of `reduce`."""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.numerics_details.flexpoint import clip, float_to_flex, load_scale, max_finite
from triton_kernels.reduce_details._mxfp8 import MX_BLOCK, decode_e8m0, quantize_e4m3


@triton.jit
def _reduce(
    X,
    XMx,
    Mask,
    Scale,
    XScale,
    Y,
    YMx,
    YExpected,
    YActual,
    YChecksum,
    n_rows,
    n_terms,
    n_columns,
    args1,
    args2,
    FN1: tl.constexpr,
    N1: tl.constexpr,
    FN2: tl.constexpr,
    N2: tl.constexpr,
    SATURATE: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    STEPS: tl.constexpr,
):
    """Y[m, n] = sum over k of X[m, k, n]; then the functions, the scales, the rounding.

    X, XMx, Mask, Scale: tuples of pointer and strides along rows, terms, columns (of XMx, blocks of
        32 columns).  A stride is None where there is but one element; what is not there is a tuple
        of None (that can be asked: Triton 3.6 compares no tuple with None in it).
    Y, YMx: likewise, strides along rows and columns (blocks of 32).
    FN1 joins N1 columns into one, FN2 N2: None and 1 where nothing is called.

    A program makes BM x BN sums.  It has BK terms of each in registers, side by side, and asks for
    STEPS times as many before it waits for the first.
    """
    blocks_of_columns = tl.cdiv(n_columns, BN)
    program = tl.program_id(0)
    row = (program // blocks_of_columns).to(tl.int64) * BM + tl.arange(0, BM)
    first = (program % blocks_of_columns).to(tl.int64) * BN
    tile = tl.zeros([BM, BN, BK], tl.float32)
    for start in range(0, n_terms, STEPS * BK):
        for step in tl.static_range(STEPS):
            term = start + step * BK + tl.arange(0, BK)
            tile += _load_terms(
                X, XMx, Mask, Scale, XScale, row, term, first, n_rows, n_terms, n_columns, BN
            )
    if BK == 1:
        sums = tl.reshape(tile, [BM, BN])
    else:
        sums = tl.sum(tile, axis=2)

    if FN1 is not None:
        sums = FN1(sums, *args1)
    column = first // N1 + tl.arange(0, BN // N1)
    exists = (row < n_rows)[:, None] & (column < n_columns // N1)[None, :]
    sums = tl.where(exists, sums, 0.0)  # what does not exist has no part in scales
    if YMx[0] is None:
        sums = float_to_flex(sums, YExpected, YActual, YChecksum, exists, Y[0], SATURATE)
        if FN2 is not None:
            sums = FN2(_within_fp8(sums, Y[0].dtype.element_ty), *args2)
            sums = _within_fp8(sums, Y[0].dtype.element_ty)
            column = first // (N1 * N2) + tl.arange(0, BN // (N1 * N2))
            exists = (row < n_rows)[:, None] & (column < n_columns // (N1 * N2))[None, :]
    else:
        # Microscales bring any float32 into the range of e4m3.
        Out = Y[0].to(tl.pointer_type(tl.float32))
        sums = float_to_flex(sums, YExpected, YActual, YChecksum, exists, Out, SATURATE)
        sums, scales = quantize_e4m3(sums)
        block = first // (N1 * MX_BLOCK) + tl.arange(0, BN // (N1 * MX_BLOCK))
        has_scale = (row < n_rows)[:, None] & (block * MX_BLOCK < n_columns // N1)[None, :]
        tl.store(YMx[0] + row[:, None] * YMx[1] + block[None, :] * YMx[2], scales, mask=has_scale)
    at = row[:, None] * Y[1] + column[None, :] * Y[2]
    tl.store(Y[0] + at, sums.to(Y[0].dtype.element_ty), mask=exists)


@triton.jit
def _within_fp8(x, dtype: tl.constexpr):
    """What a conversion to fp8 leaves of `x`, which saturates; any other dtype leaves all."""
    if dtype.is_fp8():
        x = clip(x, max_finite(dtype))
    return x


@triton.jit
def _load_terms(
    X, XMx, Mask, Scale, XScale, row, term, first, n_rows, n_terms, n_columns, BN: tl.constexpr
):
    """float32 [BM, BN, BK]: the terms of BN columns from `first` on, as they are added up.

    0 where there is none.  What the mask leaves out is not read.
    """
    column = first + tl.arange(0, BN)
    row_exists = (row < n_rows)[:, None, None]
    term_exists = (term < n_terms)[None, None, :]
    column_exists = (column < n_columns)[None, :, None]
    taken = row_exists & term_exists & column_exists
    if Mask[0] is not None:
        at, exists = _places(Mask, row, term, column, row_exists, term_exists, column_exists)
        taken = taken & (tl.load(Mask[0] + at, mask=exists, other=0) != 0)
    at, _ = _places(X, row, term, column, row_exists, term_exists, column_exists)
    value = tl.load(X[0] + tl.broadcast_to(at, taken.shape), mask=taken, other=0.0).to(tl.float32)
    if XMx[0] is not None:
        value *= _load_mxscale(XMx, row, term, first, row_exists, term_exists, n_columns, BN)
    if XScale is not None:
        value *= load_scale(XScale)
    if Scale[0] is not None:
        at, exists = _places(Scale, row, term, column, row_exists, term_exists, column_exists)
        value *= tl.load(Scale[0] + at, mask=exists, other=0.0).to(tl.float32)
    if (XMx[0] is not None) or (XScale is not None) or (Scale[0] is not None):
        value = tl.where(taken, value, 0.0)  # 0 times a scale of NaN is NaN
    return value


@triton.jit
def _places(operand, row, term, column, row_exists, term_exists, column_exists):
    """(at, exists): offsets of the elements and whether they are there, broadcastable to a tile."""
    at = tl.zeros([1, 1, 1], tl.int64)
    exists = tl.full([1, 1, 1], True, tl.int1)
    if operand[1] is not None:
        at = at + row[:, None, None] * operand[1]
        exists = exists & row_exists
    if operand[2] is not None:
        at = at + term[None, None, :].to(tl.int64) * operand[2]
        exists = exists & term_exists
    if operand[3] is not None:
        at = at + column[None, :, None] * operand[3]
        exists = exists & column_exists
    return at, exists


@triton.jit
def _load_mxscale(XMx, row, term, first, row_exists, term_exists, n_columns, BN: tl.constexpr):
    """float32 [BM, BN, BK]: the scale of each term."""
    BM: tl.constexpr = row.shape[0]
    BK: tl.constexpr = term.shape[0]
    block = first // MX_BLOCK + tl.arange(0, BN // MX_BLOCK)
    block_exists = (block * MX_BLOCK < n_columns)[None, :, None]
    at, exists = _places(XMx, row, term, block, row_exists, term_exists, block_exists)
    scale = decode_e8m0(tl.load(XMx[0] + at, mask=exists, other=0))
    scale = tl.broadcast_to(scale, [BM, BN // MX_BLOCK, BK])
    return tl.reshape(
        tl.broadcast_to(scale[:, :, None, :], [BM, BN // MX_BLOCK, MX_BLOCK, BK]), [BM, BN, BK]
    )
