"""What each row chooses: device functions on tiles of rows.

A choice is a tile [R, KP] of columns, one a slot, KP being k rounded up to a power of two.  Where
memory is touched it is flat, [R * KP]: so Triton gives neighbouring slots to neighbouring threads.
"""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.topk_details._search import (
    load_rows_of_lanes,
    search_lanes,
    sorting_key,
)

# Below the key of any entry, -inf included.
_LOWEST = tl.constexpr(-(1 << 31))

# Above any column.
_NO_COLUMN = tl.constexpr(32767)

# Above any key but that of NaN.
_HIGHEST = tl.constexpr((1 << 31) - 1)


@triton.jit
def load_n_rows(n_rows, n_rows_max):
    """The number of rows that take part: all (None), an int, or what a pointer points to."""
    if n_rows is None:
        limit = n_rows_max
    elif n_rows.dtype.is_ptr():
        limit = tl.minimum(tl.load(n_rows), n_rows_max).to(tl.int32)
    else:
        limit = tl.minimum(n_rows, n_rows_max)
    return limit


@triton.jit
def load_rows(
    X,
    stride_m,
    stride_n,
    row,
    limit,
    n_columns: tl.constexpr,
    C: tl.constexpr,
    LANES: tl.constexpr = 0,
):
    """(x, exists): the tile [R, C] of these rows; -inf where a row or column does not exist."""
    column = tl.arange(0, C)
    exists = (row < limit)[:, None] & (column < n_columns)[None, :]
    if LANES > 0:
        x = load_rows_of_lanes(X, stride_m, stride_n, row, limit, n_columns, C, LANES)
    else:
        offset = row[:, None].to(tl.int64) * stride_m + column[None, :] * stride_n
        x = tl.load(X + offset, mask=exists, other=float("-inf"))
    return x, exists


@triton.jit
def softmax_terms(x):
    """(best, total): float32 [R], what `softmax_value` needs to know of rows of values.

    What takes no part is -inf.  A row of -inf alone becomes NaN, as torch has it.
    """
    value = x.to(tl.float32)
    best = tl.max(value, axis=1)
    return best, tl.sum(tl.exp(value - best[:, None]), axis=1)


@triton.jit
def softmax_value(x, best, total):
    """The softmax of entries of rows with these terms, in float32.  NaN in a row makes it NaN."""
    return tl.exp(x.to(tl.float32) - best[:, None]) / total[:, None]


@triton.jit
def rank_key(x):
    """int32: a larger key is a better entry.  NaN ranks above +inf, +0 and -0 are equal."""
    value = x.to(tl.float32)
    bits = tl.where(value == 0.0, 0, value.to(tl.int32, bitcast=True))
    key = tl.where(bits >= 0, bits, bits ^ 0x7FFFFFFF)
    return tl.where(value != value, 0x7FFFFFFF, key)


@triton.jit
def choose_largest(x, exists, K: tl.constexpr, KP: tl.constexpr):
    """(chosen, selected): columns of the K best entries of each row, and which entries those are.

    chosen: int32 [R, KP], in no particular order, then 32767.  selected: bool [R, C].

    A round takes the best entry of each row out.  Where value and column fit one int32, a round is
    one reduction, which NVIDIA does in one instruction a warp since sm_80; 64 bits would take ten.
    Those of float32 do not fit, so the low bits of the value give way to the column, and where two
    entries could have been confused for that, at the edge of the choice, all is done again exactly:
    value first, then the lowest column that has it.
    """
    C: tl.constexpr = x.shape[1]
    column = tl.broadcast_to(tl.arange(0, C)[None, :], x.shape)
    key = rank_key(x)
    packed = tl.where(exists, (key & -C) | (C - 1 - column), _LOWEST)
    chosen, packed, last = _take_best_packed(packed, x, K, KP)
    selected = packed == _LOWEST
    if x.dtype.primitive_bitwidth == 32 or C > 8192:
        left = tl.max(packed, axis=1)
        confused = ((left & -C) == (last & -C)) & (left != _LOWEST)
        if tl.max(confused.to(tl.int32), axis=0) > 0:
            chosen, key = _take_best_exactly(tl.where(exists, key, _LOWEST), column, K, KP)
            selected = key == _LOWEST
    return chosen, selected & exists


@triton.jit
def choose_among_lanes(
    X,
    stride_xm,
    stride_xn,
    x,
    row,
    limit,
    best_of_row,
    total_of_row,
    n_columns: tl.constexpr,
    K: tl.constexpr,
    KP: tl.constexpr,
    SOFTMAX_FIRST: tl.constexpr,
    LANES: tl.constexpr,
):
    """`choose_largest` for at most 16 of 1024 columns, from a tile that lies in lanes.

    Where packed entries of float32 were confused at the edge of the choice, mostly the last that
    was chosen and the first that was not, and no others: the values of these two decide.  Of normal
    values that is so in one row of 2500 for 256 columns and k = 8, hence somewhere in every large
    batch.  Else every row of the tile decides exactly among all that were confused.
    """
    C: tl.constexpr = x.shape[1]
    choice = tl.arange(0, KP)[None, :]
    packed, chosen, before, best, left, after = search_lanes(x, n_columns, K, KP, LANES)
    if x.dtype.primitive_bitwidth == 32 and n_columns > K:
        edge = best & -C
        unknown = (left == _HIGHEST) & (row < limit)  # the list of a lane was too short
        confused = ((left & -C) == edge) & (row < limit)
        others = ((after & -C) == edge) | ((before & -C) == edge) | (after == _HIGHEST)
        trouble = tl.where(unknown | (confused & others), 2, confused.to(tl.int32))
        trouble = tl.max(trouble, axis=0)
        if trouble > 0:
            if trouble == 1:
                last = _rank_at(
                    X + row.to(tl.int64) * stride_xm + (C - 1 - (best & (C - 1))) * stride_xn,
                    confused,
                    best_of_row,
                    total_of_row,
                    SOFTMAX_FIRST,
                )
                next_one = _rank_at(
                    X + row.to(tl.int64) * stride_xm + (C - 1 - (left & (C - 1))) * stride_xn,
                    confused,
                    best_of_row,
                    total_of_row,
                    SOFTMAX_FIRST,
                )
                swap = confused & (next_one > last)
                chosen = tl.where((choice == K - 1) & swap[:, None], left[:, None], chosen)
                packed = tl.where((packed == left[:, None]) & swap[:, None], _HIGHEST, packed)
                best = tl.where(swap, best + 1, best)
            else:
                chosen, packed = _settle_edge(
                    X,
                    stride_xm,
                    stride_xn,
                    row,
                    limit,
                    best_of_row,
                    total_of_row,
                    packed,
                    chosen,
                    edge,
                    n_columns,
                    K,
                    SOFTMAX_FIRST,
                    LANES,
                )
                best = edge + 1
    exists = (row < limit)[:, None] & (tl.arange(0, C) < n_columns)[None, :]
    selected = (packed >= best[:, None]) & exists
    return tl.where(choice < K, C - 1 - (chosen & (C - 1)), _NO_COLUMN), selected


@triton.jit
def _rank_at(pointer, mask, best_of_row, total_of_row, SOFTMAX_FIRST: tl.constexpr):
    """The key of an entry of each row, as it is or after the softmax of the row."""
    entry = tl.load(pointer, mask=mask, other=0.0)
    if SOFTMAX_FIRST:
        entry = (tl.exp(entry.to(tl.float32) - best_of_row) / total_of_row).to(entry.dtype)
    return rank_key(entry)


@triton.jit
def _settle_edge(
    X,
    stride_xm,
    stride_xn,
    row,
    limit,
    best_of_row,
    total_of_row,
    packed,
    chosen,
    edge,
    n_columns: tl.constexpr,
    K: tl.constexpr,
    SOFTMAX_FIRST: tl.constexpr,
    LANES: tl.constexpr,
):
    """(chosen, packed): decided exactly among the entries whose packed key begins like `edge`.

    Those above are chosen in any case.  Of these, what was cut off the keys decides, then the
    column.  Of the result only what is chosen is above `edge` in `packed`.

    The entries are loaded in every round: nearly all registers are taken, and it is rare.
    """
    C: tl.constexpr = packed.shape[1]
    choice = tl.arange(0, chosen.shape[1])[None, :]
    sure = tl.sum(((chosen & -C) > edge[:, None]).to(tl.int32), axis=1)
    last = tl.full(edge.shape, _HIGHEST, tl.int32)
    rounds = tl.max(K - sure, axis=0)
    for number in range(rounds + 1):
        x, exists = load_rows(X, stride_xm, stride_xn, row, limit, n_columns, C, LANES)
        if SOFTMAX_FIRST:
            x = softmax_value(x, best_of_row, total_of_row).to(x.dtype)
        rest = ((sorting_key(x) & (C - 1)) * C) | (packed & (C - 1))
        rest = tl.where(((packed & -C) == edge[:, None]) & exists, rest, -1)
        if number < rounds:
            best = tl.max(tl.where(rest < last[:, None], rest, -1), axis=1)
            wanted = sure + number < K
            column = (edge | (best & (C - 1)))[:, None]
            mine = (choice == (sure + number)[:, None]) & wanted[:, None]
            chosen = tl.where(mine, column, chosen)
            last = tl.where(wanted, best, last)
        else:
            packed = tl.where(rest >= 0, _LOWEST, packed)
            packed = tl.where(rest >= last[:, None], _HIGHEST, packed)
    return chosen, packed


@triton.jit
def _take_best_packed(packed, x, K: tl.constexpr, KP: tl.constexpr):
    C: tl.constexpr = x.shape[1]
    choice = tl.arange(0, KP)[None, :]
    chosen = tl.full([x.shape[0], KP], _NO_COLUMN, tl.int32)
    best = tl.max(packed, axis=1)
    if K <= 16:
        for number in tl.static_range(K):
            best = tl.max(packed, axis=1)
            packed = tl.where(packed == best[:, None], _LOWEST, packed)
            found = C - 1 - (best & (C - 1))
            chosen = tl.where(choice == number, found[:, None], chosen)
    else:
        for number in range(K):
            best = tl.max(packed, axis=1)
            packed = tl.where(packed == best[:, None], _LOWEST, packed)
            found = C - 1 - (best & (C - 1))
            chosen = tl.where(choice == number, found[:, None], chosen)
    return chosen, packed, best


@triton.jit
def _take_best_exactly(key, column, K: tl.constexpr, KP: tl.constexpr):
    choice = tl.arange(0, KP)[None, :]
    chosen = tl.full([key.shape[0], KP], _NO_COLUMN, tl.int32)
    for number in range(K):
        best = tl.max(key, axis=1)
        found = tl.min(tl.where(key == best[:, None], column, _NO_COLUMN), axis=1)
        key = tl.where(column == found[:, None], _LOWEST, key)
        chosen = tl.where(choice == number, found[:, None], chosen)
    return chosen, key


@triton.jit
def choose(
    X,
    stride_xm,
    stride_xn,
    Given,
    stride_gm,
    stride_gn,
    first_row,
    limit,
    n_columns: tl.constexpr,
    K: tl.constexpr,
    SOFTMAX: tl.constexpr,
    SOFTMAX_FIRST: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
    KP: tl.constexpr,
    LANES: tl.constexpr,
):
    """(column, used, value, selected): what R rows choose, or take from `Given`.

    Slots in order: those of a row side by side, as they are given, else ascending; KP of them, of
    which those from K on are not used.
    column: int32 [R * KP], 0 in unused slots.  used: bool [R * KP].
    value: [R * KP] in the dtype of X, 0 in unused slots: the entries themselves, or their softmax
        among themselves (SOFTMAX), or that of whole rows (SOFTMAX_FIRST).
    selected: bool [R, C], the entries; meaningless where columns are given.
    X may be None where columns are given: then value is meaningless.
    """
    row = first_row + tl.arange(0, R)
    at = tl.arange(0, R * KP)
    row_of_slot, choice = first_row + at // KP, at % KP
    used = (row_of_slot < limit) & (choice < K)
    best, total = row, row  # known after a softmax of whole rows
    if Given is None or SOFTMAX_FIRST:
        x, exists = load_rows(X, stride_xm, stride_xn, row, limit, n_columns, C, LANES)
        if SOFTMAX_FIRST:
            best, total = softmax_terms(x)
            x = softmax_value(x, best, total).to(x.dtype)
    if Given is None:
        if LANES > 0:
            chosen, selected = choose_among_lanes(
                X,
                stride_xm,
                stride_xn,
                x,
                row,
                limit,
                best,
                total,
                n_columns,
                K,
                KP,
                SOFTMAX_FIRST,
                LANES,
            )
        else:
            chosen, selected = choose_largest(x, exists, K, KP)
        column = tl.reshape(tl.sort(chosen, dim=1), [R * KP])
    else:
        selected = used  # nothing was selected, but a function returns no None
        place = row_of_slot.to(tl.int64) * stride_gm + choice * stride_gn
        given = tl.load(Given + place, mask=used, other=-1)
        used &= (given >= 0) & (given < n_columns)
        column = given.to(tl.int32)
    column = tl.where(used, column, 0)
    if X is None:
        value = used  # likewise
    else:
        place = row_of_slot.to(tl.int64) * stride_xm + column * stride_xn
        entry = tl.load(X + place, mask=used, other=float("-inf"))
        weight = tl.reshape(entry, [R, KP])
        if SOFTMAX_FIRST:
            weight = softmax_value(weight, best, total)
        elif SOFTMAX:
            best_chosen, total_chosen = softmax_terms(weight)
            weight = softmax_value(weight, best_chosen, total_chosen)
        weight = tl.reshape(weight.to(entry.dtype), [R * KP])
        value = tl.where(used, weight, 0.0).to(entry.dtype)
    return column, used, value, selected
