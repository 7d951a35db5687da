"""What each row chooses: device functions on tiles of rows.

A choice is a tile [R, KP] of columns, one a slot, KP being k rounded up to a power of two.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Below the key of any entry, -inf included.
_LOWEST = tl.constexpr(-(1 << 31))

# Above any column.
_NO_COLUMN = tl.constexpr(32767)


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
def load_rows(X, stride_m, stride_n, row, limit, n_columns: tl.constexpr, C: tl.constexpr):
    """(x, exists): the tile [R, C] of these rows; -inf where a row or column does not exist."""
    column = tl.arange(0, C)
    exists = (row < limit)[:, None] & (column < n_columns)[None, :]
    offset = row[:, None].to(tl.int64) * stride_m + column[None, :] * stride_n
    return tl.load(X + offset, mask=exists, other=float("-inf")), exists


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
def ascending_places(chosen, takes_part, K: tl.constexpr, KP: tl.constexpr):
    """(chosen, place): int32 [R, KP], where each column stands in the ascending order of its row.

    Few columns are left where they are and counted; many are sorted.  Rows that do not take part
    keep their order, whatever they hold.
    """
    choice = tl.broadcast_to(tl.arange(0, KP)[None, :], chosen.shape)
    if K <= 16:
        lower = chosen[:, None, :] < chosen[:, :, None]
        place = tl.where(takes_part[:, None], tl.sum(lower.to(tl.int32), axis=2), choice)
    else:
        chosen = tl.sort(chosen, dim=1)
        place = choice
    return chosen, place


@triton.jit
def choose(
    X,
    stride_xm,
    stride_xn,
    Given,
    stride_gm,
    stride_gn,
    row,
    limit,
    n_columns: tl.constexpr,
    K: tl.constexpr,
    SOFTMAX: tl.constexpr,
    SOFTMAX_FIRST: tl.constexpr,
    C: tl.constexpr,
    KP: tl.constexpr,
):
    """(chosen, place, used, value, selected): what the rows choose, or take from `Given`.

    chosen: int32 [R, KP], the columns, 0 in unused slots.  used: bool [R, KP].
    place: int32 [R, KP], which of its row's slots each is: as they are given, else ascending.
    value: [R, KP] in the dtype of X, 0 in unused slots: the entries themselves, or their softmax
        among themselves (SOFTMAX), or that of whole rows (SOFTMAX_FIRST).
    selected: bool [R, C], the entries; meaningless where columns are given.
    X may be None where columns are given: then value is meaningless.
    """
    choice = tl.arange(0, KP)
    used = (row < limit)[:, None] & (choice < K)[None, :]
    if Given is None or SOFTMAX_FIRST:
        x, exists = load_rows(X, stride_xm, stride_xn, row, limit, n_columns, C)
        if SOFTMAX_FIRST:
            best, total = softmax_terms(x)
            x = softmax_value(x, best, total).to(x.dtype)
    if Given is None:
        chosen, selected = choose_largest(x, exists, K, KP)
        chosen, place = ascending_places(chosen, row < limit, K, KP)
    else:
        selected = used  # nothing was selected, but a function returns no None
        at = row[:, None].to(tl.int64) * stride_gm + choice[None, :] * stride_gn
        given = tl.load(Given + at, mask=used, other=-1)
        used &= (given >= 0) & (given < n_columns)
        chosen = given.to(tl.int32)
        place = tl.broadcast_to(choice[None, :], chosen.shape)
    chosen = tl.where(used, chosen, 0)
    if X is None:
        value = used  # likewise
    else:
        at = row[:, None].to(tl.int64) * stride_xm + chosen * stride_xn
        entry = tl.load(X + at, mask=used, other=float("-inf"))
        if SOFTMAX_FIRST:
            weight = softmax_value(entry, best, total)
        elif SOFTMAX:
            best, total = softmax_terms(entry)
            weight = softmax_value(entry, best, total)
        else:
            weight = entry
        value = tl.where(used, weight.to(entry.dtype), 0.0).to(entry.dtype)
    return chosen, place, used, value, selected
