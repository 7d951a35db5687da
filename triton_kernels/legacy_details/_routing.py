"""The whole of routing in one program, for a batch that fits one."""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.tensor_details.bitmatrix_details._sort import (
    rank_among_rows,
    rank_in_tile,
)
from triton_kernels.tensor_details.ragged_tensor_details._schedule import write_schedule
from triton_kernels.topk_details._selection import choose, load_n_rows


@triton.jit(do_not_specialize=["n_rows"])
def _route_small_batch(
    X,
    stride_xm,
    stride_xn,
    Given,
    stride_gm,
    stride_gn,
    Gates,
    Indx,
    Combine,
    Dispatch,
    ColSum,
    Offs,
    stride_offs,
    Schedule,
    stride_schedule,
    schedule_width,
    n_rows_max,
    n_rows,
    n_columns: tl.constexpr,
    K: tl.constexpr,
    SOFTMAX_FIRST: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
    KP: tl.constexpr,
    LANES: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Program 0 routes; program 1 + s writes the schedule of block size number s.

    All of them choose and count, which costs no time, since they run side by side.
    Indx: int16 [n_rows_max, K], the experts of each slot, or None.
    """
    program = tl.program_id(0)
    limit = load_n_rows(n_rows, n_rows_max)
    column, used, value, selected = choose(
        X,
        stride_xm,
        stride_xn,
        Given,
        stride_gm,
        stride_gn,
        0,
        limit,
        n_columns,
        K,
        not SOFTMAX_FIRST,
        SOFTMAX_FIRST,
        R,
        C,
        KP,
        LANES,
    )
    at = tl.arange(0, R * KP)
    every = tl.arange(0, C)
    if Given is None:
        rank, sizes = rank_among_rows(selected, column, at // KP)
    else:
        rank, _same = rank_in_tile(column, used, R * KP)
        sizes = tl.histogram(column, C, mask=used)
    if program == 0:
        first = tl.cumsum(sizes, axis=0) - sizes
        position = tl.gather(first, column, axis=0) + rank
        slot = at // KP * K + at % KP
        inside = (at // KP < n_rows_max) & (at % KP < K)
        unfilled = inside & (slot >= tl.sum(sizes))
        tl.store(Dispatch + slot, tl.where(used, position, -1), mask=inside)
        tl.store(Combine + position, slot, mask=used)
        tl.store(Combine + slot, tl.full([R * KP], -1, tl.int32), mask=unfilled)
        tl.store(Gates + position, value, mask=used)
        tl.store(Gates + slot, tl.zeros([R * KP], value.dtype), mask=unfilled)
        if Indx is not None:
            expert = tl.where(used, column, -1).to(Indx.dtype.element_ty)
            tl.store(Indx + slot, expert, mask=inside)
        tl.store(ColSum + every, sizes, mask=every < n_columns)
    else:
        write_schedule(
            sizes,
            program - 1,
            0,
            1,
            Offs,
            stride_offs,
            Schedule,
            stride_schedule,
            schedule_width,
            n_columns,
            C,
            BLOCKS,
        )
