"""The kernel of `topk` forward, and the first half of sorting slots by column.

Each program numbers the slots of its own tile of rows among those of their column, and counts them.
The second half is `_place_slots` in `tensor_details.bitmatrix_details._sort`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.tensor_details.bitmatrix_details._sort import (
    look_up,
    pack_counts,
    rank_among_rows,
    rank_in_tile,
)
from triton_kernels.topk_details._selection import choose, load_n_rows


@triton.jit
def _or(a, b):
    return a | b


@triton.jit(do_not_specialize=["n_rows"])
def _topk_forward(
    X,
    stride_xm,
    stride_xn,
    Given,
    stride_gm,
    stride_gn,
    Vals,
    Indx,
    Words,
    n_padded_rows,
    Ranked,
    Counts,
    n_rows_max,
    n_rows,
    rows_per_tile,
    n_columns: tl.constexpr,
    K: tl.constexpr,
    SOFTMAX: tl.constexpr,
    SOFTMAX_FIRST: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
    KP: tl.constexpr,
    LANES: tl.constexpr,
    PACKED: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """Any of the outputs may be None, and so may X where columns are given.

    Vals, Indx: [n_rows_max, K], contiguous.  Words: uint32 [ceil(n_columns / 32), n_padded_rows].
    Ranked: int32 [n_rows_max * K], `(number among the tile's slots of its column) << 15 | column`,
    -1 for an unused slot.  Counts: int32 [n_tiles, n_columns], or, if PACKED, [n_tiles, C // 4].

    Where the next launch is a large one (PACKED), it may start when the choice is made and not
    before: programs that wait would pile up on the few multiprocessors that have nothing to do.
    """
    if OVERLAP and not PACKED:
        tl.extra.cuda.gdc_launch_dependents()
    tile = tl.program_id(0)
    limit = load_n_rows(n_rows, n_rows_max)
    every = tl.arange(0, C)
    at = tl.arange(0, R * KP)
    counts = tl.zeros([C], tl.int32)
    if Counts is not None and Given is not None:
        nothing = tl.zeros([C], tl.int32)
        tl.store(Counts + tile * n_columns + every, nothing, mask=every < n_columns)
    for start in range(0, rows_per_tile, R):
        first_row = tile * rows_per_tile + start
        column, used, value, selected = choose(
            X,
            stride_xm,
            stride_xn,
            Given,
            stride_gm,
            stride_gn,
            first_row,
            limit,
            n_columns,
            K,
            SOFTMAX,
            SOFTMAX_FIRST,
            R,
            C,
            KP,
            LANES,
        )
        if OVERLAP and PACKED:
            if start + R >= rows_per_tile:
                tl.extra.cuda.gdc_launch_dependents()
        row_of_slot, choice = first_row + at // KP, at % KP
        inside = (row_of_slot < n_rows_max) & (choice < K)
        slot = row_of_slot * K + choice
        if Vals is not None:
            tl.store(Vals + slot, value, mask=inside)
        if Indx is not None:
            kept = tl.where(used, column, -1).to(Indx.dtype.element_ty)
            tl.store(Indx + slot, kept, mask=inside)
        if Words is not None:
            row = first_row + tl.arange(0, R)
            bit = tl.reshape(tl.where(used, 1 << (column % 32), 0), [R, KP])
            word_of_slot = tl.reshape(column // 32, [R, KP])
            for word in range((n_columns + 31) // 32):
                bits = tl.reduce(tl.where(word_of_slot == word, bit, 0), 1, _or)
                place = word * n_padded_rows + row
                tl.store(Words + place, bits.to(tl.uint32, bitcast=True), mask=row < n_rows_max)
        if Ranked is not None:
            if Given is None:
                rank, more = rank_among_rows(selected, column, at // KP)
                if start > 0:
                    rank += look_up(counts, column)
                counts += more
            else:
                rank, same = rank_in_tile(column, used, R * KP)
                # Every slot of a column stores the same count, once all threads have read the old.
                own = Counts + tile * n_columns + column
                tl.debug_barrier()
                if start > 0:
                    earlier = tl.load(own, mask=used, other=0)
                    rank += earlier
                    same += earlier
                    tl.debug_barrier()
                tl.store(own, same, mask=used)
            tl.store(Ranked + slot, tl.where(used, (rank << 15) | column, -1), mask=inside)
    if Counts is not None and Given is None:
        if PACKED:
            words = pack_counts(counts)
            tl.store(Counts + tile * (C // 4) + tl.arange(0, C // 4), words)
        else:
            tl.store(Counts + tile * n_columns + every, counts, mask=every < n_columns)
