"""What every kernel of the product shares: which tile is whose, and how a tile ends.

A tile of the product goes through `finish_tile`, which is the only place that knows the order of
scales, bias, activation, gamma and the rest.  Storing it is left to the kernel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl


class Linear(NamedTuple):
    """What a tile is multiplied by and what is added, before the activation.  Absent: None.

    x_scale: float32, at `batch * x_scale_stride`.  w_scale: float32, at `expert * w_scale_stride`.
    bias: at `expert * bias_stride_e + column * bias_stride_n`.
    betas: by row, factors of the bias.
    alpha: factor of everything.
    """

    x_scale: Any = None
    x_scale_stride: Any = None
    w_scale: Any = None
    w_scale_stride: Any = None
    bias: Any = None
    bias_stride_e: Any = None
    bias_stride_n: Any = None
    betas: Any = None
    alpha: Any = None


class Ending(NamedTuple):
    """What happens to activated rows before they are stored.  Absent: None.

    acc: added; strides by batch, row of the result, and column.
    acc_scale: float32 [1], the factor of that.
    expected: float32, at `batch * expected_stride`: what results are divided by.
    actual, checksum: the same, raised to the scale that results need; their bits, added up.
    to_flex: `float_to_flex` where one of the three is there.  Not called by its name, so that a
        kernel that has no use for it does not depend on its constants: Triton 3.9 compares each
        at every launch, which would take a fifth of the launch.
    """

    acc: Any = None
    acc_stride_b: Any = None
    acc_stride_m: Any = None
    acc_stride_n: Any = None
    acc_scale: Any = None
    expected: Any = None
    expected_stride: Any = None
    actual: Any = None
    actual_stride: Any = None
    checksum: Any = None
    checksum_stride: Any = None
    to_flex: Any = None


class Remote(NamedTuple):
    """Buffers of other ranks.

    handles: int64, the address of each rank's buffer.  shard_indx: int32 by row of the result; the
    row goes to the ranks of that shard, None: of the first.  The strides are those of the buffers.
    """

    handles: Any
    shard_indx: Any
    reduce_rank: Any
    stride_m: Any
    stride_n: Any


@triton.jit
def swizzle2d(pid, grid_m, grid_n, GROUP_M: tl.constexpr):
    """(row block, column block) of a program: column after column of GROUP_M row blocks."""
    per_group = GROUP_M * grid_n
    first = (pid // per_group) * GROUP_M
    height = tl.minimum(grid_m - first, GROUP_M)
    within = pid % per_group
    return first + within % height, within // height


@triton.jit
def xcd_swizzle(pid, n_programs, XCDS: tl.constexpr):
    """A number for program `pid` such that each chiplet of AMD's has consecutive ones.

    Program i runs on chiplet i % XCDS, and only programs of the same chiplet share a cache.
    """
    if XCDS > 1:
        xcd = pid % XCDS
        pid = xcd * (n_programs // XCDS) + tl.minimum(xcd, n_programs % XCDS) + pid // XCDS
    return pid


@triton.jit
def load_block(schedule, offs, sizes, block, BLOCK_M: tl.constexpr):
    """(slice, first row, number of rows) of a block of a ragged product; no rows for none.

    schedule: int32, `block << 16 | slice`, or -1.  offs, sizes: int32 by slice.
    """
    entry = tl.load(schedule + block)
    exists = entry >= 0
    expert = tl.where(exists, entry & 0xFFFF, 0)
    before = (entry >> 16) * BLOCK_M
    start = tl.load(offs + expert) + before
    left = tl.load(sizes + expert) - before
    return expert, tl.where(exists, start, 0), tl.where(exists, tl.minimum(left, BLOCK_M), 0)


@triton.jit
def load_source_rows(gather, row, row_exists, N_CHOICES: tl.constexpr):
    """(row of x, whether there is one) for rows of the product.

    gather: int32, the slot of each row, negative for none; None: the rows themselves.
    """
    if gather is not None:
        slot = tl.load(gather + row, mask=row_exists, other=-1)
        row_exists = slot >= 0
        row = tl.where(row_exists, slot // N_CHOICES, 0)
    return row, row_exists


@triton.jit
def split_columns(x, PARTS: tl.constexpr):
    """A tuple of PARTS tiles that are side by side in x.  PARTS: 1, 2 or 4."""
    tl.static_assert(PARTS == 1 or PARTS == 2 or PARTS == 4, "PARTS must be 1, 2 or 4")
    if PARTS == 1:
        parts = (x,)
    elif PARTS == 2:
        parts = _halves(x)
    else:
        left, right = _halves(x)
        a, b = _halves(left)
        c, d = _halves(right)
        parts = (a, b, c, d)
    return parts


@triton.jit
def _halves(x):
    M: tl.constexpr = x.shape[0]
    HALF: tl.constexpr = x.shape[1] // 2
    return tl.split(tl.permute(tl.reshape(x, [M, 2, HALF]), [0, 2, 1]))


@triton.jit
def apply_linear(acc, row, row_exists, start_n, n_columns, expert, batch, with_bias, linear):
    """Scales, bias and alpha of a float32 tile whose first column is `start_n`.

    with_bias: False in all splits of K but the first.
    """
    if linear.x_scale is not None:
        acc *= tl.load(linear.x_scale + batch * linear.x_scale_stride)
    if linear.w_scale is not None:
        acc *= tl.load(linear.w_scale + expert * linear.w_scale_stride)
    if linear.bias is not None:
        column = start_n + tl.arange(0, acc.shape[1])
        at = linear.bias + expert.to(tl.int64) * linear.bias_stride_e
        exists = (column < n_columns) & with_bias
        bias = tl.load(at + column * linear.bias_stride_n, mask=exists, other=0).to(tl.float32)
        if linear.betas is not None:
            beta = tl.load(linear.betas + row, mask=row_exists, other=0).to(tl.float32)
            acc += bias[None, :] * beta[:, None]
        else:
            acc += bias[None, :]
    if linear.alpha is not None:
        acc *= linear.alpha
    return acc


@triton.jit
def activate(
    acc, row, row_exists, gammas, ACTIVATION: tl.constexpr, args, REDUCTION_N: tl.constexpr
):
    """The activation of a float32 tile, times gamma.  `row` is that of the product.

    REDUCTION_N columns become one.
    """
    if ACTIVATION is not None:
        WIDTH: tl.constexpr = acc.shape[1] // REDUCTION_N
        acc = ACTIVATION(acc, *args)
        tl.static_assert(acc.shape[1] == WIDTH, "the activation's reduction_n is not what it does")
    if gammas is not None:
        acc *= tl.load(gammas + row, mask=row_exists, other=0).to(tl.float32)[:, None]
    return acc


@triton.jit
def finish_rows(
    out,
    y_row,
    row_exists,
    start_n,
    n_columns,
    batch,
    ending,
    EPILOGUE: tl.constexpr,
    args,
    Y,
    SATURATE: tl.constexpr,
):
    """Rows of the result as they are stored, from float32 rows that are activated.

    y_row: row of the result.  start_n, n_columns: first column and all columns, of the result.
    Y: a pointer to the result, whose element type is taken.
    """
    column = start_n + tl.arange(0, out.shape[1])
    exists = row_exists[:, None] & (column < n_columns)[None, :]
    if ending.acc is not None:
        at = ending.acc + batch.to(tl.int64) * ending.acc_stride_b
        offset = y_row.to(tl.int64)[:, None] * ending.acc_stride_m
        offset += column[None, :] * ending.acc_stride_n
        more = tl.load(at + offset, mask=exists, other=0).to(tl.float32)
        if ending.acc_scale is not None:
            more *= tl.load(ending.acc_scale)
        out += more
    if ending.to_flex is not None:
        # Not in a function of its own: in Triton 3.6 none can return a scale that may be None.
        expected, actual, checksum = ending.expected, ending.actual, ending.checksum
        if expected is not None:
            expected += batch * ending.expected_stride
        if actual is not None:
            actual += batch * ending.actual_stride
        if checksum is not None:
            checksum += batch * ending.checksum_stride
        out = ending.to_flex(out, expected, actual, checksum, exists, Y, SATURATE)
    if EPILOGUE is not None:
        out = EPILOGUE(out, *args, target_dtype=Y.dtype.element_ty)
    return out.to(Y.dtype.element_ty)


@triton.jit
def finish_tile(
    acc,
    row,
    y_row,
    row_exists,
    start_n,
    n_columns,
    expert,
    batch,
    with_bias,
    linear,
    gammas,
    ending,
    ACTIVATION: tl.constexpr,
    activation_args,
    REDUCTION_N: tl.constexpr,
    EPILOGUE: tl.constexpr,
    epilogue_args,
    Y,
    SATURATE: tl.constexpr,
    PARTIAL: tl.constexpr,
):
    """What of a tile of the product is stored, from its accumulator; in the type of Y.

    acc: float32 [M, N].  row, y_row: int32 [M], rows of the product and of the result.
    row_exists: bool [M], which of them are stored.
    start_n, n_columns: first column of the tile and number of columns, of the product.
    expert, batch, with_bias: as for `apply_linear`; scalars.
    PARTIAL: the tile is one of several that a later launch adds up, and goes no further than the
        activation, which is for that launch.  Result [M, N], else [M, N / REDUCTION_N].
    """
    acc = apply_linear(acc, row, row_exists, start_n, n_columns, expert, batch, with_bias, linear)
    if PARTIAL:
        out = acc.to(Y.dtype.element_ty)
    else:
        acc = activate(acc, row, row_exists, gammas, ACTIVATION, activation_args, REDUCTION_N)
        out = finish_rows(
            acc,
            y_row,
            row_exists,
            start_n // REDUCTION_N,
            n_columns // REDUCTION_N,
            batch,
            ending,
            EPILOGUE,
            epilogue_args,
            Y,
            SATURATE,
        )
    return out


@triton.jit
def store_rows(
    at,
    stride_m,
    stride_n,
    out,
    row,
    exists,
    column,
    remote,
    N_SHARDS: tl.constexpr,
    INT64: tl.constexpr,
):
    """Store a tile [M, N] of the result, at `at` or, instead, to every rank that is to have it.

    row: int32 [M] of the result.  exists: bool [M, N].  column: int32 [N].
    N_SHARDS: ranks that receive a row of `remote`, and rows that they have for each.
    """
    if remote is not None:
        if remote.shard_indx is not None:
            row_exists = tl.max(exists.to(tl.int32), axis=1) > 0
            rank = tl.load(remote.shard_indx + row, mask=row_exists, other=0) * N_SHARDS
        else:
            rank = tl.zeros_like(row)
        place = (row.to(tl.int64) * N_SHARDS + remote.reduce_rank) * remote.stride_m
        offset = place[:, None] + column[None, :] * remote.stride_n
        for _ in range(N_SHARDS):
            address = tl.load(remote.handles + rank)
            buffer = address.to(tl.pointer_type(at.dtype.element_ty))
            tl.store(buffer[:, None] + offset, out, mask=exists)
            rank += 1
    else:
        if INT64:
            row = row.to(tl.int64)
        offset = row[:, None] * stride_m + column[None, :] * stride_n
        tl.store(at + offset, out, mask=exists)


@triton.jit
def store_tile(
    acc,
    Y,
    y_strides,
    scatter_to,
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
    ACTIVATION: tl.constexpr,
    activation_args,
    REDUCTION_N: tl.constexpr,
    EPILOGUE: tl.constexpr,
    epilogue_args,
    SATURATE: tl.constexpr,
    SPLIT_K: tl.constexpr,
    SUBTILES: tl.constexpr,
    N_SHARDS: tl.constexpr,
    INT64: tl.constexpr,
):
    """Finish a tile of the product, and store it: in SUBTILES parts, side by side.

    acc: float32 [M, N], column block `block_n` of the product.
    Y: strides by split, matrix, row, column; float32 where SPLIT_K > 1.
    scatter_to: int32, the row of the result for a row of the product, negative for none; or None.
    row, row_exists: [M], rows of the product.
    """
    y_row = row
    if scatter_to is not None:
        y_row = tl.load(scatter_to + row, mask=row_exists, other=-1)
        row_exists = y_row >= 0
    y_at = Y + split.to(tl.int64) * y_strides[0] + matrix.to(tl.int64) * y_strides[1]
    # A partial sum keeps all columns, for the activation joins them later.
    JOINED: tl.constexpr = 1 if SPLIT_K > 1 else REDUCTION_N
    BLOCK_N: tl.constexpr = acc.shape[1]
    WIDTH: tl.constexpr = BLOCK_N // SUBTILES
    parts = split_columns(acc, SUBTILES)
    for i in tl.static_range(SUBTILES):
        start_n = block_n * BLOCK_N + i * WIDTH
        out = finish_tile(
            parts[i],
            row,
            y_row,
            row_exists,
            start_n,
            n_columns,
            expert,
            matrix,
            split == 0,
            linear,
            gammas,
            ending,
            ACTIVATION,
            activation_args,
            REDUCTION_N,
            EPILOGUE,
            epilogue_args,
            Y,
            SATURATE,
            SPLIT_K > 1,
        )
        y_column = start_n // JOINED + tl.arange(0, WIDTH // JOINED)
        exists = row_exists[:, None] & (y_column < n_columns // JOINED)[None, :]
        store_rows(
            y_at,
            y_strides[2],
            y_strides[3],
            out,
            y_row,
            exists,
            y_column,
            remote,
            N_SHARDS,
            INT64,
        )


@triton.jit
def threadfence_system(handles):
    """What this program has stored is seen by every device before anything it stores from here on.

    handles: int64, to which 0 is added: a release by one thread, after a barrier of all, carries
        the stores of all with it (PTX ISA, "causality order"; LLVM's AMDGPU memory model).  So no
        assembly is needed, which AMD would have differently.
    """
    tl.debug_barrier()
    tl.atomic_add(handles, 0, sem="acq_rel", scope="sys")
