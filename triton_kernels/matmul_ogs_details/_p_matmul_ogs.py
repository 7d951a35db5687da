"""The product for GPUs with TMA (Hopper and later): programs stay, and take tile after tile."""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.matmul_ogs_details._common import (
    load_source_rows,
    store_tile,
    swizzle2d,
)
from triton_kernels.matmul_ogs_details._matmul_ogs import _load_x, _zero_unused_rows


@triton.jit
def _load_w_tile(w_desc, expert, start_k, start_n, TRANSPOSED: tl.constexpr):
    """The tile [K, N] of w; its descriptor is that of [E, N, K] where TRANSPOSED."""
    BLOCK_1: tl.constexpr = w_desc.block_shape[1]
    BLOCK_2: tl.constexpr = w_desc.block_shape[2]
    if TRANSPOSED:
        tile = w_desc.load([expert, start_n, start_k]).reshape(BLOCK_1, BLOCK_2).T
    else:
        tile = w_desc.load([expert, start_k, start_n]).reshape(BLOCK_1, BLOCK_2)
    return tile


@triton.jit(do_not_specialize=["n_rows", "n_y_rows", "grid_m"])
def _p_matmul_ogs(
    x_desc,
    X,
    x_strides,
    w_desc,
    Y,
    y_strides,
    sizes,
    offs,
    rows,
    linear,
    gammas,
    ending,
    activation_args,
    epilogue_args,
    n_rows,
    n_y_rows,
    n_matrices,
    n_columns,
    inner_size,
    grid_m,
    grid_n,
    N_CHOICES: tl.constexpr,
    N_SLICES: tl.constexpr,
    W_TRANSPOSED: tl.constexpr,
    MASK_K: tl.constexpr,
    INT64: tl.constexpr,
    ACTIVATION: tl.constexpr,
    REDUCTION_N: tl.constexpr,
    EPILOGUE: tl.constexpr,
    SATURATE: tl.constexpr,
    PRECISION: tl.constexpr,
    MAX_IMPRECISE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
    SPLIT_K: tl.constexpr,
    SUBTILES: tl.constexpr,
):
    """Arguments are those of `_matmul_ogs`, except:

    x_desc: descriptor of x [B, rows, K]; None: rows are gathered by pointers into X.
    w_desc: descriptor of w [E, K, N], or of [E, N, K] where W_TRANSPOSED.
    sizes, offs: int32 by slice, N_SLICES of them; None unless the product is ragged.
    n_matrices: B.  grid_m: row blocks of a matrix, unless the product is ragged.

    The loop over tiles is flattened into that over K: the loads of a tile are under way while the
    one before it is finished (H100, bf16, 128 experts: 1.96 ms, 2.01 with two loops).  Which slice
    a tile is in, every program finds out among all of them, so that the tiles of a slice follow
    each other, row blocks first: they read the same columns of w at about the same time.
    Rows of x behind the slice are read along with its last block, and multiplied in vain.
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
        )
    n_steps = tl.cdiv(inner_size, BLOCK_K)
    if SPLIT_K > 1:
        n_steps = tl.cdiv(n_steps, SPLIT_K)
    n_tiles = grid_m * grid_n
    if sizes is not None:
        # Tile number `ends[e]` is the first one behind slice e.
        slice_ids = tl.arange(0, triton.next_power_of_2(N_SLICES))
        all_sizes = tl.load(sizes + slice_ids, mask=slice_ids < N_SLICES, other=0)
        ends = tl.cumsum(tl.cdiv(tl.maximum(all_sizes, 0), BLOCK_M), 0) * grid_n
        n_tiles = tl.max(ends, 0)
    n_all = n_tiles * n_matrices * SPLIT_K
    for tile in tl.range(tl.program_id(0), n_all, tl.num_programs(0), flatten=True):
        matrix = tile // n_tiles
        split = matrix % SPLIT_K
        matrix = matrix // SPLIT_K
        within = tile % n_tiles
        if sizes is not None:
            is_before = ends <= within
            expert = tl.sum(is_before.to(tl.int32), 0)
            size = tl.load(sizes + expert)
            offset = tl.load(offs + expert)
            within -= tl.max(tl.where(is_before, ends, 0), 0)
            block_m, block_n = swizzle2d(within, tl.cdiv(size, BLOCK_M), grid_n, GROUP_M)
            first = offset + block_m * BLOCK_M
            height = tl.minimum(size - block_m * BLOCK_M, n_rows - first)
        else:
            expert = matrix
            block_m, block_n = swizzle2d(within, grid_m, grid_n, GROUP_M)
            first = block_m * BLOCK_M
            height = n_rows - first
        row = first + tl.arange(0, BLOCK_M)
        row_exists = tl.arange(0, BLOCK_M) < height
        if x_desc is None:
            x_row, x_exists = load_source_rows(rows.gather, row, row_exists, N_CHOICES)
            if INT64:
                x_row = x_row.to(tl.int64)
            x_at = X + matrix.to(tl.int64) * x_strides[0]
            x_at += x_row[:, None] * x_strides[1] + tl.arange(0, BLOCK_K)[None, :]
        acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
        for step in range(n_steps):
            start_k = (split * n_steps + step) * BLOCK_K
            w = _load_w_tile(w_desc, expert, start_k, block_n * BLOCK_N, W_TRANSPOSED)
            if x_desc is None:
                x = _load_x(x_at + start_k, x_exists, inner_size - start_k, MASK_K)
            else:
                x = x_desc.load([matrix, first, start_k]).reshape(BLOCK_M, BLOCK_K)
            acc = tl.dot(
                x,
                w,
                acc,
                input_precision=PRECISION,
                max_num_imprecise_acc=MAX_IMPRECISE,
                out_dtype=tl.float32,
            )

        store_tile(
            acc,
            Y,
            y_strides,
            rows.scatter_to,
            None,
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
            1,
            INT64,
        )


@triton.jit
def _gather_rows(X, stride_m, gather, Y, n_columns, N_CHOICES: tl.constexpr, C: tl.constexpr):
    """Rows of x in the order of experts: a row a program.  Y: contiguous.

    A batch that is large enough to be bound by operations gathers once, and not again for every
    tile of columns.
    """
    row = tl.program_id(0)
    slot = tl.load(gather + row)
    source = tl.maximum(slot, 0) // N_CHOICES
    at = X + source.to(tl.int64) * stride_m
    to = Y + row.to(tl.int64) * n_columns
    for start in range(0, n_columns, C):
        column = start + tl.arange(0, C)
        exists = column < n_columns
        x = tl.load(at + column, mask=exists & (slot >= 0), other=0.0)
        tl.store(to + column, x, mask=exists)
