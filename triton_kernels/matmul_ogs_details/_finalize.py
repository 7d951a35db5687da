"""The pass after a product: splits of K added up, and the rows of each group.

Only memory counts here: each source row is read once and each row of the result stored once.
"""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.matmul_ogs_details._common import (
    activate,
    finish_rows,
    load_block,
    store_rows,
    threadfence_system,
)

# So many choices, and splits, are unrolled, so that their loads are under way together.
_UNROLLED = tl.constexpr(8)


@triton.jit
def _add_splits(at, stride_s, exists, N_SPLITS: tl.constexpr):
    total = tl.load(at, mask=exists, other=0.0).to(tl.float32)
    if N_SPLITS <= _UNROLLED:
        for split in tl.static_range(1, N_SPLITS):
            total += tl.load(at + split * stride_s, mask=exists, other=0.0).to(tl.float32)
    else:
        for split in range(1, N_SPLITS):
            total += tl.load(at + split * stride_s, mask=exists, other=0.0).to(tl.float32)
    return total


@triton.jit
def _load_choice(
    x_at,
    x_strides,
    x_column_exists,
    scatter_from,
    scatter_strides,
    row,
    row_exists,
    choice,
    factor,
    gammas,
    ACTIVATION: tl.constexpr,
    activation_args,
    REDUCTION_N: tl.constexpr,
    N_SPLITS: tl.constexpr,
):
    """(rows [R, C] that are added up as the choice of that number, whether there are any)."""
    if scatter_from is not None:
        at = scatter_from + row.to(tl.int64) * scatter_strides[0] + choice * scatter_strides[1]
        source = tl.load(at, mask=row_exists, other=-1)
    else:
        source = tl.where(row_exists, row, -1)
    exists = source >= 0
    x = _add_splits(
        x_at + tl.where(exists, source, 0).to(tl.int64)[:, None] * x_strides[2],
        x_strides[0],
        exists[:, None] & x_column_exists[None, :],
        N_SPLITS,
    )
    if factor is not None:
        x *= factor
    x = activate(x, source, exists, gammas, ACTIVATION, activation_args, REDUCTION_N)
    if ACTIVATION is not None:
        x = tl.where(exists[:, None], x, 0.0)  # an activation of nothing need not be 0
    return x, exists


@triton.jit(do_not_specialize=["n_rows", "n_programs_m"])
def _finalize(
    X,
    x_strides,
    x_scale,
    Y,
    y_strides,
    scatter_from,
    scatter_strides,
    slices,
    remote,
    gammas,
    ending,
    activation_args,
    epilogue_args,
    n_rows,
    n_columns,
    n_programs_m,
    n_programs_n,
    N_SPLITS: tl.constexpr,
    N_CHOICES: tl.constexpr,
    ACTIVATION: tl.constexpr,
    REDUCTION_N: tl.constexpr,
    EPILOGUE: tl.constexpr,
    SATURATE: tl.constexpr,
    N_SHARDS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
):
    """Rows of the result, R x C of them a program.

    X: strides by split, matrix, row, column (REDUCTION_N of them for one of the result).
    x_scale: float32 [1], its factor, or None.
    Y: by matrix, row, column; n_rows x n_columns each.
    scatter_from: int32, the N_CHOICES rows that are added up for each row of the result, negative
        for none; strides by row and choice.  None: row by row.
    slices: `Slices` in blocks of BLOCK_M rows, a multiple of R: only rows of a slice are read and
        stored.  None: all rows.
    gammas: float32 by row of X.
    """
    pid = tl.program_id(0)
    block_n = pid % n_programs_n
    block_m = (pid // n_programs_n) % n_programs_m
    matrix = pid // (n_programs_n * n_programs_m)
    if slices is not None:
        _, first, height = load_block(
            slices.blocks, slices.offs, slices.sizes, block_m * R // BLOCK_M, BLOCK_M
        )
        row = first + block_m * R % BLOCK_M + tl.arange(0, R)
        row_exists = row < tl.minimum(first + height, n_rows)
    else:
        row = block_m * R + tl.arange(0, R)
        row_exists = row < n_rows
    start_n = block_n * C
    x_column = start_n * REDUCTION_N + tl.arange(0, C * REDUCTION_N)
    x_column_exists = x_column < n_columns * REDUCTION_N
    x_at = X + matrix.to(tl.int64) * x_strides[1] + x_column[None, :] * x_strides[3]
    factor = None
    if x_scale is not None:
        factor = tl.load(x_scale)

    total = tl.zeros([R, C], tl.float32)
    used = tl.zeros([R], tl.int1)
    if N_CHOICES <= _UNROLLED:
        for choice in tl.static_range(N_CHOICES):
            x, exists = _load_choice(
                x_at,
                x_strides,
                x_column_exists,
                scatter_from,
                scatter_strides,
                row,
                row_exists,
                choice,
                factor,
                gammas,
                ACTIVATION,
                activation_args,
                REDUCTION_N,
                N_SPLITS,
            )
            total += x
            used = used | exists
    else:
        for choice in range(N_CHOICES):
            x, exists = _load_choice(
                x_at,
                x_strides,
                x_column_exists,
                scatter_from,
                scatter_strides,
                row,
                row_exists,
                choice,
                factor,
                gammas,
                ACTIVATION,
                activation_args,
                REDUCTION_N,
                N_SPLITS,
            )
            total += x
            used = used | exists

    out = finish_rows(
        total,
        row,
        row_exists,
        start_n,
        n_columns,
        matrix,
        ending,
        EPILOGUE,
        epilogue_args,
        Y,
        SATURATE,
    )
    if EPILOGUE is not None:
        out = tl.where(used[:, None], out.to(tl.float32), 0.0).to(Y.dtype.element_ty)
    column = start_n + tl.arange(0, C)
    exists = row_exists[:, None] & (column < n_columns)[None, :]
    y_at = Y + matrix.to(tl.int64) * y_strides[0]
    store_rows(y_at, y_strides[1], y_strides[2], out, row, exists, column, remote, N_SHARDS, True)
    if remote is not None:
        threadfence_system(remote.handles)
