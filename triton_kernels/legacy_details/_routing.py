"""The whole of routing in one program, for a batch that fits one."""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.tensor_details.bitmatrix_details._sort import rank_in_tile
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
    BLOCKS: tl.constexpr,
):
    """Program 0 routes; program 1 + s writes the schedule of block size number s.

    All of them choose and count, which costs no time, since they run side by side.
    Indx: int16 [n_rows_max, K], the experts of each slot, or None.
    """
    program = tl.program_id(0)
    limit = load_n_rows(n_rows, n_rows_max)
    row = tl.arange(0, R)
    chosen, place, used, value, _selected = choose(
        X,
        stride_xm,
        stride_xn,
        Given,
        stride_gm,
        stride_gn,
        row,
        limit,
        n_columns,
        K,
        not SOFTMAX_FIRST,
        SOFTMAX_FIRST,
        C,
        KP,
    )
    flat = tl.reshape(chosen, [R * KP])
    counted = tl.reshape(used, [R * KP])
    column = tl.arange(0, C)
    sizes = tl.histogram(flat, C, mask=counted)
    if program == 0:
        rank, _same = rank_in_tile(flat, counted, R * KP)
        first = tl.cumsum(sizes, axis=0) - sizes
        position = tl.gather(first, flat, axis=0) + rank
        choice = tl.arange(0, KP)
        slot = tl.reshape(row[:, None] * K + place, [R * KP])
        inside = tl.reshape((row < n_rows_max)[:, None] & (choice < K)[None, :], [R * KP])
        n_used = tl.sum(sizes)
        unfilled = inside & (slot >= n_used)
        tl.store(Dispatch + slot, tl.where(counted, position, -1), mask=inside)
        tl.store(Combine + position, slot, mask=counted)
        tl.store(Combine + slot, tl.full([R * KP], -1, tl.int32), mask=unfilled)
        gate = tl.reshape(value, [R * KP])
        tl.store(Gates + position, gate, mask=counted)
        tl.store(Gates + slot, tl.zeros([R * KP], gate.dtype), mask=unfilled)
        if Indx is not None:
            expert = tl.where(counted, flat, -1).to(Indx.dtype.element_ty)
            tl.store(Indx + slot, expert, mask=inside)
        tl.store(ColSum + column, sizes, mask=column < n_columns)
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
