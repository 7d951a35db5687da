"""Slots sorted by column: counted within tiles of rows, then placed.

The first kernel (`topk_details._topk_forward`) leaves for each slot its column and its number among
the tile's slots of that column, and for each tile the number of slots of each column.  From these
counts the last one knows where the slots of each column, and among them those of each tile, begin:
it adds them up itself where there are few tiles, else a kernel between does.  No atomics, so the
order is the same every time; and nothing is sorted by comparing.
"""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.tensor_details.ragged_tensor_details._schedule import write_schedule


@triton.jit
def count_bits(words):
    """The number of bits set in each word of 32 bits, as int32.

    LLVM makes one instruction of it (popc.b32, v_bcnt_u32); the product is meant to overflow.
    """
    x = words.to(tl.uint32, bitcast=True)
    x = x - ((x >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return (tl.mul(x, 0x01010101, sanitize_overflow=False) >> 24).to(tl.int32)


@triton.jit
def look_up(table, at):
    """table[at]: int32 [C] looked up through shared memory, of which some GPUs have 64 KiB."""
    C: tl.constexpr = table.shape[0]
    if C > 16384:
        low = tl.gather(table.to(tl.int16), at, axis=0).to(tl.int32) & 0xFFFF
        high = tl.gather((table >> 16).to(tl.int16), at, axis=0).to(tl.int32) << 16
        value = high | low
    else:
        value = tl.gather(table, at, axis=0)
    return value


@triton.jit
def rank_among_rows(selected, column, row):
    """(rank, count): of slots whose rows have each column once at most.

    selected: bool [R, C], R at most 64.  column, row: int32 [T], of each slot.
    rank: int32 [T], the rows before it that have the column.  count: int32 [C], rows of a column.
    """
    R: tl.constexpr = selected.shape[0]
    C: tl.constexpr = selected.shape[1]
    bit = selected.to(tl.int32) << (tl.arange(0, R) % 32)[:, None]
    if R <= 32:
        rows = tl.sum(bit, axis=0)
        count = count_bits(rows)
        rank = count_bits(look_up(rows, column) & ~(-1 << row))
    else:
        halves = tl.sum(tl.reshape(bit, [2, 32, C]), axis=1)
        first, second = tl.split(tl.permute(halves, (1, 0)))
        count = count_bits(first) + count_bits(second)
        rows = (second.to(tl.int64) << 32) | (first.to(tl.int64) & 0xFFFFFFFF)
        earlier = tl.gather(rows, column, axis=0) & ~(tl.full(row.shape, -1, tl.int64) << row)
        rank = count_bits(earlier.to(tl.int32)) + count_bits((earlier >> 32).to(tl.int32))
    return rank, count


@triton.jit
def rank_in_tile(column, used, T: tl.constexpr):
    """(rank, same): int32 [T], of T slots in order those of the same column before, and in all.

    column: int32 [T].  used: bool [T]; slots that are not used do not count.
    """
    position = tl.arange(0, T)
    alike = (column[None, :] == column[:, None]) & used[None, :]
    rank = tl.sum((alike & (position[None, :] < position[:, None])).to(tl.int32), axis=1)
    return rank, tl.sum(alike.to(tl.int32), axis=1)


@triton.jit
def sum_counts(Counts, tile, n_tiles, n_columns, C: tl.constexpr, TILES: tl.constexpr):
    """(total, before): int32 [C], the slots of each column in all tiles, and in those before."""
    column = tl.arange(0, C)
    total = tl.zeros([C], tl.int32)
    before = tl.zeros([C], tl.int32)
    for start in range(0, n_tiles, TILES):
        other = start + tl.arange(0, TILES)
        inside = (other < n_tiles)[:, None] & (column < n_columns)[None, :]
        at = other[:, None] * n_columns + column[None, :]
        counts = tl.load(Counts + at, mask=inside, other=0)
        total += tl.sum(counts, axis=0)
        before += tl.sum(tl.where((other < tile)[:, None], counts, 0), axis=0)
    return total, before


@triton.jit
def pack_counts(counts):
    """int32 [C // 4]: four counts of at most 255 in a word, those of columns C // 4 apart."""
    C: tl.constexpr = counts.shape[0]
    byte = tl.arange(0, 4)[:, None] * 8
    return tl.sum(tl.reshape(counts, [4, C // 4]) << byte, axis=0)


@triton.jit
def _unpack_halves(even, odd):
    """int32 [C] of the four 16-bit numbers in two words: bytes 0 and 2 were even, 1 and 3 odd."""
    W: tl.constexpr = even.shape[0]
    low = tl.join(even & 0xFFFF, odd & 0xFFFF)
    high = tl.join((even >> 16) & 0xFFFF, (odd >> 16) & 0xFFFF)
    return tl.reshape(tl.permute(tl.join(low, high), (2, 1, 0)), [4 * W])


@triton.jit
def _add_each(a, b, c, d, e, f, g, h):
    return a + e, b + f, c + g, d + h


@triton.jit
def sum_packed_counts(Counts, tile, n_tiles, C: tl.constexpr, TILES: tl.constexpr):
    """`sum_counts` of counts that were packed, at most 65535 of a column.

    All tiles at once, TILES being their number or more: their loads do not wait for each other.
    """
    W: tl.constexpr = C // 4
    other = tl.arange(0, TILES)[:, None]
    at = other * W + tl.arange(0, W)[None, :]
    words = tl.load(Counts + at, mask=other < n_tiles, other=0)
    even, odd = words & 0x00FF00FF, (words >> 8) & 0x00FF00FF
    earlier = other < tile
    even_before, odd_before = tl.where(earlier, even, 0), tl.where(earlier, odd, 0)
    even, odd, even_before, odd_before = tl.reduce(
        (even, odd, even_before, odd_before), 0, _add_each
    )
    return _unpack_halves(even, odd), _unpack_halves(even_before, odd_before)


@triton.jit
def _scan_counts(
    Counts,
    ColSum,
    n_tiles,
    n_columns: tl.constexpr,
    TILES: tl.constexpr,
    COLUMNS: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """Turn the counts of each tile, in place, into those of all tiles before; and their sums."""
    if OVERLAP:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros([COLUMNS], tl.int32)
    for start in range(0, n_tiles, TILES):
        tile = start + tl.arange(0, TILES)
        inside = (tile < n_tiles)[:, None] & (column < n_columns)[None, :]
        at = Counts + tile[:, None] * n_columns + column[None, :]
        counts = tl.load(at, mask=inside, other=0)
        tl.debug_barrier()  # several threads may have loaded what one of them overwrites
        tl.store(at, total[None, :] + tl.cumsum(counts, axis=0) - counts, mask=inside)
        total += tl.sum(counts, axis=0)
    tl.store(ColSum + column, total, mask=column < n_columns)


@triton.jit
def _place_slots(
    Counts,
    n_tiles,
    n_slots,
    slots_per_tile,
    Ranked,
    Vals,
    Gates,
    Combine,
    Dispatch,
    ColSum,
    Offs,
    stride_offs,
    Schedule,
    stride_schedule,
    schedule_width,
    n_columns: tl.constexpr,
    EVERY_SLOT_USED: tl.constexpr,
    C: tl.constexpr,
    T: tl.constexpr,
    TILES: tl.constexpr,
    BLOCKS: tl.constexpr,
    PROGRAMS_PER_SIZE: tl.constexpr,
    SCANNED: tl.constexpr,
    PACKED: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """The second half of the sort; and, with `Schedule`, ragged metadata of the columns.

    Counts, Ranked: what `_topk_forward` wrote (PACKED as there), or for Counts, if SCANNED,
        `_scan_counts`.
    Dispatch may be the same memory as Ranked.
    Vals, Gates: [n_slots], values in the order of slots and of columns; both None or neither.
        Every value is read, those of unused slots too.
    The first n_tiles programs place slots; those behind write schedules, PROGRAMS_PER_SIZE for each
    of the N_SIZES block sizes.
    """
    if OVERLAP:
        tl.extra.cuda.gdc_wait()
    program = tl.program_id(0)
    column = tl.arange(0, C)
    # The first slots are loaded in advance, not to wait for them after the counts.
    first_slot = program * slots_per_tile
    own_slots = tl.where(program < n_tiles, tl.minimum(slots_per_tile, n_slots - first_slot), 0)
    within = tl.arange(0, T)
    # Positions are scattered; several slots a thread would only be exchanged to store them.
    slot = tl.max_contiguous(first_slot + within, 1)
    ranked = tl.load(Ranked + slot, mask=within < own_slots, other=-1)
    if Gates is not None:
        value = tl.load(Vals + slot, mask=within < own_slots, other=0.0)
    if SCANNED:
        total = tl.load(ColSum + column, mask=column < n_columns, other=0)
        own = (column < n_columns) & (program < n_tiles)
        before = tl.load(Counts + program * n_columns + column, mask=own, other=0)
    elif PACKED:
        total, before = sum_packed_counts(Counts, program, n_tiles, C, TILES)
    else:
        total, before = sum_counts(Counts, program, n_tiles, n_columns, C, TILES)
    if program < n_tiles:
        ends = tl.cumsum(total, axis=0)
        first = ends - total + before
        n_used = tl.sum(total)
        if not SCANNED and program == 0:
            tl.store(ColSum + column, total, mask=column < n_columns)
        for _start in range(0, slots_per_tile, T):
            inside = within < own_slots
            tl.debug_barrier()  # several threads may have loaded what one of them overwrites
            used = ranked >= 0
            position = look_up(first, tl.where(used, ranked & 32767, 0)) + (ranked >> 15)
            tl.store(Dispatch + slot, tl.where(used, position, -1), mask=inside)
            tl.store(Combine + position, slot, mask=used)
            if Gates is not None:
                tl.store(Gates + position, value, mask=used)
            if not EVERY_SLOT_USED:
                # A position that no slot fills has the number of some slot of some tile.
                unfilled = inside & (slot >= n_used)
                tl.store(Combine + slot, tl.full([T], -1, tl.int32), mask=unfilled)
                if Gates is not None:
                    nothing = tl.zeros([T], Gates.dtype.element_ty)
                    tl.store(Gates + slot, nothing, mask=unfilled)
            within += T
            slot = tl.max_contiguous(first_slot + within, 1)
            ranked = tl.load(Ranked + slot, mask=within < own_slots, other=-1)
            if Gates is not None:
                value = tl.load(Vals + slot, mask=within < own_slots, other=0.0)
    elif Schedule is not None:
        part = program - n_tiles
        write_schedule(
            total,
            part // PROGRAMS_PER_SIZE,
            part % PROGRAMS_PER_SIZE,
            PROGRAMS_PER_SIZE,
            Offs,
            stride_offs,
            Schedule,
            stride_schedule,
            schedule_width,
            n_columns,
            C,
            BLOCKS,
        )
