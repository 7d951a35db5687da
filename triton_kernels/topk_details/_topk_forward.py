"""The kernel of `topk` forward, and the first half of sorting slots by column.

Each program numbers the slots of its own tile of rows among those of their column, and counts them.
The second half is `_place_slots` in `tensor_details.bitmatrix_details._sort`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.tensor_details.bitmatrix_details._sort import (
    look_up,
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
    OVERLAP: tl.constexpr,
):
    """Any of the outputs may be None, and so may X where columns are given.

    Vals, Indx: [n_rows_max, K], contiguous.  Words: uint32 [ceil(n_columns / 32), n_padded_rows].
    Ranked: int32 [n_rows_max * K], `(number among the tile's slots of its column) << 15 | column`,
    -1 for an unused slot.  Counts: int32 [n_tiles, n_columns].
    """
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()
    tile = tl.program_id(0)
    limit = load_n_rows(n_rows, n_rows_max)
    choice = tl.arange(0, KP)
    every = tl.arange(0, C)
    counts = tl.zeros([C], tl.int32)
    if Counts is not None and Given is not None:
        nothing = tl.zeros([C], tl.int32)
        tl.store(Counts + tile * n_columns + every, nothing, mask=every < n_columns)
    for start in range(0, rows_per_tile, R):
        row = tile * rows_per_tile + start + tl.arange(0, R)
        chosen, place, used, value, selected = choose(
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
            SOFTMAX,
            SOFTMAX_FIRST,
            C,
            KP,
        )
        inside = (row < n_rows_max)[:, None] & (choice < K)[None, :]
        slot = row[:, None] * K + place
        if Vals is not None:
            tl.store(Vals + slot, value, mask=inside)
        if Indx is not None:
            kept = tl.where(used, chosen, -1).to(Indx.dtype.element_ty)
            tl.store(Indx + slot, kept, mask=inside)
        if Words is not None:
            bit = tl.where(used, 1 << (chosen % 32), 0)
            for word in range((n_columns + 31) // 32):
                bits = tl.reduce(tl.where(chosen // 32 == word, bit, 0), 1, _or)
                at = word * n_padded_rows + row
                tl.store(Words + at, bits.to(tl.uint32, bitcast=True), mask=row < n_rows_max)
        if Ranked is not None:
            flat = tl.reshape(chosen, [R * KP])
            counted = tl.reshape(used, [R * KP])
            if Given is None:
                within = tl.reshape(tl.broadcast_to(tl.arange(0, R)[:, None], [R, KP]), [R * KP])
                rank, more = rank_among_rows(selected, flat, within)
                if start > 0:
                    rank += look_up(counts, flat)
                counts += more
            else:
                rank, same = rank_in_tile(flat, counted, R * KP)
                # Every slot of a column stores the same count, once all threads have read the old.
                own = Counts + tile * n_columns + flat
                tl.debug_barrier()
                if start > 0:
                    earlier = tl.load(own, mask=counted, other=0)
                    rank += earlier
                    same += earlier
                    tl.debug_barrier()
                tl.store(own, same, mask=counted)
            ranked = tl.where(counted, (rank << 15) | flat, -1)
            tl.store(Ranked + tl.reshape(slot, [R * KP]), ranked, mask=tl.reshape(inside, [R * KP]))
    if Counts is not None and Given is None:
        tl.store(Counts + tile * n_columns + every, counts, mask=every < n_columns)
