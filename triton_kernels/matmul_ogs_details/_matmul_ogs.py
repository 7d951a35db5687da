"""The product by pointers, for any target: plain, batched, ragged and inner-ragged.

Operands may have any strides.  They are copied to shared memory 16 bytes at a time, behind the
product, where one of the two is 1 and the other, like the size along the contiguous dimension, is
a multiple of 16.  Slower, element by element or through registers:

- 8-bit w with contiguous rows on Hopper, whose wgmma wants it contiguous along K;
- an operand that is contiguous along inner slices and not padded, so that these begin anywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from triton_kernels.matmul_ogs_details._common import (
    load_block,
    load_source_rows,
    store_rows,
    store_tile,
    swizzle2d,
    threadfence_system,
    xcd_swizzle,
)

# Rows of the result that a program looks at together when it stores zeros.
_ZEROED_ROWS = tl.constexpr(16)


class Slices(NamedTuple):
    """Slices of a ragged product: of its rows or, for an inner-ragged one, of what it sums over.

    sizes, offs: int32 by slice.
    blocks: int32; the schedule of row blocks, or the first block of each inner slice.
    """

    sizes: Any
    offs: Any
    blocks: Any


class Rows(NamedTuple):
    """Where rows come from and go to, int32; None: they stay where they are.

    gather: the slot of each row.  scatter_to: the row of the result, negative for none.
    scatter_from: the row of each row of the result, negative where zeros are to be stored.
    """

    gather: Any
    scatter_to: Any
    scatter_from: Any


@triton.jit
def _load_x(at, row_exists, left, MASK_K: tl.constexpr):
    """The tile [M, K] of x at these pointers; zeros for no row and, MASK_K, beyond `left`."""
    exists = row_exists[:, None]
    if MASK_K:
        exists = exists & (tl.arange(0, at.shape[1]) < left)[None, :]
    return tl.load(at, mask=exists, other=0.0)


@triton.jit
def _load_w(at, column_exists, left, MASK_K: tl.constexpr, CACHE: tl.constexpr):
    """The tile [K, N] of w at these pointers; zeros for no column and, MASK_K, beyond `left`."""
    exists = column_exists[None, :]
    if MASK_K:
        exists = exists & (tl.arange(0, at.shape[0]) < left)[:, None]
    return tl.load(at, mask=exists, other=0.0, cache_modifier=CACHE)


@triton.jit
def _add_product(acc, x, w, PRECISION: tl.constexpr, MAX_IMPRECISE: tl.constexpr):
    """acc + x @ w.  Operands are of one type, or any two of 8 bits."""
    return tl.dot(
        x,
        w,
        acc,
        input_precision=PRECISION,
        max_num_imprecise_acc=MAX_IMPRECISE,
        out_dtype=tl.float32,
    )


@triton.jit
def _zero_unused_rows(
    Y,
    stride_m,
    stride_n,
    scatter_from,
    n_rows,
    n_columns,
    COLUMNS: tl.constexpr,
    remote=None,
    N_SHARDS: tl.constexpr = 1,
):
    """Store zeros in this program's share of the rows of the result that nothing is scattered to.

    In the same launch: no row is stored by two programs, so the order does not matter.
    """
    share = tl.cdiv(n_rows, tl.num_programs(0))
    first = tl.program_id(0) * share
    last = tl.minimum(first + share, n_rows)
    for start in range(first, last, _ZEROED_ROWS):
        row = start + tl.arange(0, _ZEROED_ROWS)
        unused = tl.load(scatter_from + row, mask=row < last, other=0) < 0
        if tl.max(unused.to(tl.int32), axis=0) > 0:
            for start_n in range(0, n_columns, COLUMNS):
                column = start_n + tl.arange(0, COLUMNS)
                exists = unused[:, None] & (column < n_columns)[None, :]
                nothing = tl.zeros([_ZEROED_ROWS, COLUMNS], tl.float32).to(Y.dtype.element_ty)
                store_rows(
                    Y, stride_m, stride_n, nothing, row, exists, column, remote, N_SHARDS, True
                )


@triton.jit(do_not_specialize=["n_rows", "n_y_rows", "grid_m"])
def _matmul_ogs(
    X,
    x_strides,
    W,
    w_strides,
    Y,
    y_strides,
    slices,
    rows,
    remote,
    linear,
    gammas,
    ending,
    activation_args,
    epilogue_args,
    n_rows,
    n_y_rows,
    n_columns,
    inner_size,
    grid_m,
    grid_n,
    N_CHOICES: tl.constexpr,
    RAGGED: tl.constexpr,
    INNER: tl.constexpr,
    X_PADDED: tl.constexpr,
    W_PADDED: tl.constexpr,
    ALIGNED_ROWS: tl.constexpr,
    MASK_K: tl.constexpr,
    INT64: tl.constexpr,
    ACTIVATION: tl.constexpr,
    REDUCTION_N: tl.constexpr,
    EPILOGUE: tl.constexpr,
    SATURATE: tl.constexpr,
    N_SHARDS: tl.constexpr,
    PRECISION: tl.constexpr,
    MAX_IMPRECISE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
    XCDS: tl.constexpr,
    SPLIT_K: tl.constexpr,
    SUBTILES: tl.constexpr,
    W_CACHE: tl.constexpr,
):
    """One tile of the product for each program.  The grid is grid_m * grid_n * SPLIT_K * matrices.

    X: strides by batch, row, column.  W: by matrix, row, column.
    Y: by split, matrix, row, column; float32 where SPLIT_K > 1.
    slices: `Slices`, None unless RAGGED or INNER.  rows: `Rows`.  remote: `Remote` or None.
    linear, gammas, ending: see `finish_tile`.
    ALIGNED_ROWS: x is contiguous along its rows, and n_rows a multiple of 16.
    MASK_K: inner_size is no multiple of BLOCK_K.  INT64: a matrix has offsets beyond int32.
    """
    if rows.scatter_from is not None:
        _zero_unused_rows(
            Y,
            y_strides[2],
            y_strides[3],
            rows.scatter_from,
            n_y_rows,
            n_columns // REDUCTION_N,
            BLOCK_N // REDUCTION_N,
            remote,
            N_SHARDS,
        )
        if remote is not None:
            threadfence_system(remote.handles)
    pid = xcd_swizzle(tl.program_id(0), tl.num_programs(0), XCDS)
    n_tiles = grid_m * grid_n
    matrix = pid // n_tiles
    split = matrix % SPLIT_K
    matrix = matrix // SPLIT_K
    block_m, block_n = swizzle2d(pid % n_tiles, grid_m, grid_n, GROUP_M)

    if RAGGED:
        expert, first, height = load_block(
            slices.blocks, slices.offs, slices.sizes, block_m, BLOCK_M
        )
        height = tl.minimum(height, n_rows - first)  # sizes may be of more rows than there are
    else:
        expert = matrix
        first = block_m * BLOCK_M
        height = n_rows
        if ALIGNED_ROWS:
            height = (height // 16) * 16  # tells the compiler, which does not specialise n_rows
        height -= first
    if height <= 0:
        return
    row = first + tl.arange(0, BLOCK_M)
    row_exists = tl.arange(0, BLOCK_M) < height
    column = block_n * BLOCK_N + tl.arange(0, BLOCK_N)
    x_row, x_exists = load_source_rows(rows.gather, row, row_exists, N_CHOICES)

    n_steps = tl.cdiv(inner_size, BLOCK_K)
    left = inner_size
    x_start = 0
    w_start = 0
    if INNER:
        left = tl.load(slices.sizes + expert)
        n_steps = left // BLOCK_K
        if X_PADDED or W_PADDED:
            padded = tl.load(slices.blocks + expert) * BLOCK_K
        if X_PADDED:
            x_start = padded
        else:
            x_start = tl.load(slices.offs + expert)
        if W_PADDED:
            w_start = padded
        else:
            w_start = tl.load(slices.offs + expert)
    elif SPLIT_K > 1:
        share = tl.cdiv(n_steps, SPLIT_K)
        x_start = split * share * BLOCK_K
        w_start = x_start
        left = inner_size - x_start
        n_steps = tl.maximum(tl.minimum(share, n_steps - split * share), 0)

    x_at = X + matrix.to(tl.int64) * x_strides[0]
    w_at = W + expert.to(tl.int64) * w_strides[0]
    k = tl.arange(0, BLOCK_K)
    x_k = x_start + k
    w_k = w_start + k
    w_column = column
    if INT64:
        x_row = x_row.to(tl.int64)
        x_k = x_k.to(tl.int64)
        w_k = w_k.to(tl.int64)
        w_column = column.to(tl.int64)
    x_offset = x_row[:, None] * x_strides[1] + x_k[None, :] * x_strides[2]
    w_offset = w_k[:, None] * w_strides[1] + w_column[None, :] * w_strides[2]
    w_exists = column < n_columns

    acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for step in range(n_steps):
        x = _load_x(x_at + x_offset, x_exists, left - step * BLOCK_K, MASK_K)
        w = _load_w(w_at + w_offset, w_exists, left - step * BLOCK_K, MASK_K, W_CACHE)
        acc = _add_product(acc, x, w, PRECISION, MAX_IMPRECISE)
        x_at += BLOCK_K * x_strides[2]
        w_at += BLOCK_K * w_strides[1]
    if INNER:
        # The last step apart: sizes are not known to be multiples of anything, so a mask in the
        # loop would break up the loads of an operand that is contiguous along the slice.
        left -= n_steps * BLOCK_K
        if left > 0:
            x = _load_x(x_at + x_offset, x_exists, left, True)
            w = _load_w(w_at + w_offset, w_exists, left, True, W_CACHE)
            acc = _add_product(acc, x, w, PRECISION, MAX_IMPRECISE)

    store_tile(
        acc,
        Y,
        y_strides,
        rows.scatter_to,
        remote,
        row,
        row_exists,
        block_n,
        n_columns,
        expert,
        matrix,
        split,
        linear,
        gammas,
        ending,
        ACTIVATION,
        activation_args,
        REDUCTION_N,
        EPILOGUE,
        epilogue_args,
        SATURATE,
        SPLIT_K,
        SUBTILES,
        N_SHARDS,
        INT64,
    )
    if remote is not None:
        threadfence_system(remote.handles)
