"""The K best entries of rows that a few lanes share: sorted in each lane, then taken one by one.

A row of C entries lies in LANES lanes, C / LANES of them in each.  A lane sorts its own with
maxima and minima of two registers, and keeps as many as matter.  Then the best of what stands first
in the lanes is taken K times.  Operations on integers bind there, of which a scheduler of an H100
starts one in two cycles: for bfloat16, 256 columns and k = 8, routing's first launch takes 333
instructions a row; with a maximum over all entries in each of 8 rounds it takes 860 (counted in the
machine code of Triton 3.6).

A tile is [R, C]; split among lanes it is [R, LANES, J], with four columns side by side in a lane.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Columns that a lane loads at a time: 16 bytes of float32.
_ADJACENT = tl.constexpr(4)

# Below any packed entry but that of the last column, -inf.
_LOWEST = tl.constexpr(-(1 << 31))

# Above any packed entry, and above any column.
_HIGHEST = tl.constexpr((1 << 31) - 1)


@triton.constexpr_function
def sorting_stages(group):
    """Stages of Batcher's odd-even mergesort of a group (a power of two)."""
    exponent = group.bit_length() - 1
    return exponent * (exponent + 1) // 2


@triton.constexpr_function
def sorting_partner(group, stage, at):
    """The place in its group with which place `at` is compared in a stage; `at` where none is."""
    run = 1  # sorted so far
    while stage > run.bit_length() - 1:
        stage -= run.bit_length()
        run *= 2
    apart = run >> stage
    for low in (at, at - apart):
        first = low - apart % run
        if first < 0 or first // apart % 2 or low + apart >= group:
            continue
        if low // (2 * run) == (low + apart) // (2 * run):
            return 2 * low + apart - at
    return at


@triton.constexpr_function
def merging_stages(group):
    """Stages that sort a group which rises and then falls, or the other way round."""
    return group.bit_length() - 1


@triton.constexpr_function
def list_length(k, n):
    """How many of its n entries a lane keeps sorted.

    Two more than k, so that what follows the choice is known; or, from 7 on, at least k: that one
    lane holds so many of the best is so rare that all is then done again.
    """
    enough = 4 if k <= 2 else 8 if k <= 8 else 16
    return min(n, enough)


@triton.jit
def load_rows_of_lanes(
    X, stride_m, stride_n, row, limit, n_columns: tl.constexpr, C: tl.constexpr, LANES: tl.constexpr
):
    """The tile [R, C] of these rows, a row in LANES lanes; -inf where a row or column is none."""
    R: tl.constexpr = row.shape[0]
    WIDTH: tl.constexpr = LANES * _ADJACENT
    x = _load_groups(X, stride_m, stride_n, row, limit, n_columns, 0, C // WIDTH, WIDTH)
    return tl.reshape(tl.permute(x, (0, 2, 1)), [R, C])


@triton.jit
def _load_groups(
    X,
    stride_m,
    stride_n,
    row,
    limit,
    n_columns: tl.constexpr,
    FIRST: tl.constexpr,
    N: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """[R, WIDTH, N]: N groups of WIDTH columns, from group FIRST on.

    One by one, for Triton gives to a group the lanes it can use and no more, and the rest to rows.
    """
    R: tl.constexpr = row.shape[0]
    if N == 1:
        column = FIRST * WIDTH + tl.arange(0, WIDTH)[None, :]
        column = tl.max_contiguous(column, [1, _ADJACENT])
        at = X + row[:, None].to(tl.int64) * stride_m + column * stride_n
        exists = (row < limit)[:, None] & (column < n_columns)
        x = tl.reshape(tl.load(at, mask=exists, other=float("-inf")), [R, WIDTH, 1])
    else:
        HALF: tl.constexpr = N // 2
        low = _load_groups(X, stride_m, stride_n, row, limit, n_columns, FIRST, HALF, WIDTH)
        high = _load_groups(X, stride_m, stride_n, row, limit, n_columns, FIRST + HALF, HALF, WIDTH)
        x = tl.reshape(tl.permute(tl.join(low, high), (0, 1, 3, 2)), [R, WIDTH, N])
    return x


@triton.jit
def _split_among_lanes(x, LANES: tl.constexpr):
    """[R, C] as [R, LANES, C / LANES]: what a lane holds, in the order of columns."""
    R: tl.constexpr = x.shape[0]
    GROUPS: tl.constexpr = x.shape[1] // (LANES * _ADJACENT)
    x = tl.permute(tl.reshape(x, [R, GROUPS, LANES, _ADJACENT]), (0, 2, 1, 3))
    return tl.reshape(x, [R, LANES, GROUPS * _ADJACENT])


@triton.jit
def _join_lanes(x):
    """The inverse of `_split_among_lanes`."""
    R: tl.constexpr = x.shape[0]
    LANES: tl.constexpr = x.shape[1]
    GROUPS: tl.constexpr = x.shape[2] // _ADJACENT
    x = tl.permute(tl.reshape(x, [R, LANES, GROUPS, _ADJACENT]), (0, 2, 1, 3))
    return tl.reshape(x, [R, LANES * GROUPS * _ADJACENT])


@triton.jit
def _entries_of_lanes(x, J: tl.constexpr):
    """A tuple of J tensors [R, LANES] of [R, LANES, J]."""
    R: tl.constexpr = x.shape[0]
    LANES: tl.constexpr = x.shape[1]
    if J == 1:
        entries = (tl.reshape(x, [R, LANES]),)
    else:
        halves = tl.permute(tl.reshape(x, [R, LANES, 2, J // 2]), (0, 1, 3, 2))
        low, high = tl.split(halves)
        entries = _entries_of_lanes(low, J // 2) + _entries_of_lanes(high, J // 2)
    return entries


@triton.jit
def _sort_groups(entries, N: tl.constexpr, GROUP: tl.constexpr):
    """Each GROUP of the N entries, largest first."""
    for stage in tl.static_range(sorting_stages(GROUP)):
        compared = ()
        for n in tl.static_range(N):
            if sorting_partner(GROUP, stage, n % GROUP) == n % GROUP:
                entry = entries[n]
            elif sorting_partner(GROUP, stage, n % GROUP) > n % GROUP:
                other = entries[n - n % GROUP + sorting_partner(GROUP, stage, n % GROUP)]
                entry = tl.maximum(entries[n], other)
            else:
                other = entries[n - n % GROUP + sorting_partner(GROUP, stage, n % GROUP)]
                entry = tl.minimum(other, entries[n])
            compared += (entry,)
        entries = compared
    return entries


@triton.jit
def _best_group(entries, N: tl.constexpr, GROUP: tl.constexpr):
    """The GROUP largest of N entries, largest first, given sorted groups.

    The larger of the i-th of one group and the i-th last of the other are the best of both; they
    rise and then fall, or the other way round, so they are sorted in log2(GROUP) stages.
    """
    if N == GROUP:
        best = entries
    else:
        merged = ()
        for n in tl.static_range(N // 2):
            first = entries[n // GROUP * 2 * GROUP + n % GROUP]
            merged += (tl.maximum(first, entries[(n // GROUP + 1) * 2 * GROUP - 1 - n % GROUP]),)
        for stage in tl.static_range(merging_stages(GROUP)):
            compared = ()
            for n in tl.static_range(N // 2):
                if n & (GROUP >> (stage + 1)) == 0:
                    entry = tl.maximum(merged[n], merged[n ^ (GROUP >> (stage + 1))])
                else:
                    entry = tl.minimum(merged[n ^ (GROUP >> (stage + 1))], merged[n])
                compared += (entry,)
            merged = compared
        best = _best_group(merged, N // 2, GROUP)
    return best


@triton.jit
def _without_first(entries, taken, N: tl.constexpr, LAST: tl.constexpr):
    """The lists of the lanes where `taken`, one shorter; LAST fills them up."""
    rest = ()
    for n in tl.static_range(N):
        if n + 1 < N:
            rest += (tl.where(taken, entries[n + 1], entries[n]),)
        else:
            rest += (tl.where(taken, LAST, entries[n]),)
    return rest


@triton.jit
def sorting_key(x):
    """int32: a larger key is a better entry.  -inf has the lowest, every NaN the same, highest.

    Adding 0 makes -0 positive.  The difference takes NaN that have a sign beyond the lowest int32,
    to the highest: it is meant to overflow.
    """
    bits = (x.to(tl.float32) + 0.0).to(tl.int32, bitcast=True)
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    # -inf is -0x7F800001 there, inf 0x7F800000; 0x7F010001 is beyond inf with its last 16 bits cut.
    return tl.minimum(tl.sub(ascending, 0x7FFFFF, sanitize_overflow=False), 0x7F010001)


@triton.jit
def search_lanes(
    x, n_columns: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, LANES: tl.constexpr
):
    """(packed, chosen, before, best, left, after): the K best entries of each row.

    packed: int32 [R, C], distinct in a row: an entry's key with its column in the low bits.
    chosen: int32 [R, KP], the packed entries that are best, best first.
    before, best, left, after: int32 [R], number K - 1, K, K + 1 and K + 2 of the row.
    """
    R: tl.constexpr = x.shape[0]
    C: tl.constexpr = x.shape[1]
    J: tl.constexpr = C // LANES
    GROUP: tl.constexpr = list_length(K, J)
    LAST: tl.constexpr = _LOWEST if GROUP == J else _HIGHEST
    column = tl.arange(0, C)[None, :]
    packed = (sorting_key(x) & -C) | (C - 1 - column)
    if n_columns < C:
        packed = tl.where(column < n_columns, packed, _LOWEST)
    entries = _entries_of_lanes(_split_among_lanes(packed, LANES), J)
    lists = _best_group(_sort_groups(entries, J, GROUP), J, GROUP)
    choice = tl.arange(0, KP)[None, :]
    chosen = tl.full([R, KP], _LOWEST, tl.int32)
    best = tl.full([R], _HIGHEST, tl.int32)
    before = best
    for number in tl.static_range(K):
        before = best
        best = tl.max(lists[0], axis=1)
        chosen = tl.where(choice == number, best[:, None], chosen)
        lists = _without_first(lists, lists[0] == best[:, None], GROUP, LAST)
    left = tl.max(lists[0], axis=1)
    lists = _without_first(lists, lists[0] == left[:, None], GROUP, LAST)
    return packed, chosen, before, best, left, tl.max(lists[0], axis=1)
