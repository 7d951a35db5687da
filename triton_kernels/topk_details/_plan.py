"""How the rows of a batch are shared out among programs: pure Python on shapes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

# Entries of a tile, and rows: the bits of a word number them.
_TILE_ENTRIES = 4096
_LARGEST_TILE_ROWS = 32

# Up to so many choices and columns rows are searched by lanes (`_search`), each of which holds at
# most 16 entries of a row: they stay in its registers.  On an H100, (8192, 32) with k = 4 is routed
# in 6.6 us so and in 8.3 by whole warps, (8192, 384) with k = 6 in 23.0 and 26.6.
_LANES_MOST_CHOICES = 16
_LANES_MOST_COLUMNS = 512
_LANE_ADJACENT = 4

# Whole warps are better for rows of one load a lane, if there are many: (8192, 128) with k = 4
# takes them 10.9 us and lanes 12.4; (1024, 128) 6.4 and 6.6; (64, 128) 5.4 and 5.1.
_WHOLE_WARP_COLUMNS = 128
_WHOLE_WARP_ROWS = 512

# Rows of a search by lanes, of 4 warps at most: (8192, 256) with k = 8 is routed in 18.7 us by
# programs of 16 rows, in 21.4 by 8 warps and 32 rows; (1024, 256) in 8.1 by 8 rows and in 9.3 by 4;
# (64, 256) in 5.8 by 2 rows and in 6.5 by 4.
_LANES_FEWEST_ROWS = 2
_LANES_MOST_WARPS = 4
_LANES_TILES = 128

# Beyond that, a tile gets more rows one after the other: a launch of its own adds counts up, in
# 2.6 us for 128 tiles, 3.0 for 256, 4.4 for 512 (H100).  256 tiles of 32 columns need none.
_LANES_MOST_TILES = 512
_NARROW_LANES_MOST_TILES = 256

# Registers of a thread of a search by lanes that hold 8 entries of a row: a multiprocessor holds 4
# programs then, not 2.  (65536, 256) with k = 8 is routed in 98 us so and in 122 without a limit.
# For half as many entries it makes no difference, for twice as many too much goes to the stack.
_MOST_REGISTERS = 128
_LIMITED_COLUMNS = 256

# Where lanes do not search, a warp reads 128 columns of a row at a time.  Rows that are wider it
# takes alone, a few of them, for Triton would share each row out among warps, which then meet at
# every reduction: on an H100, (8192, 256) with k = 8 was routed in 23.7 us by one warp and 4 rows,
# in 30.2 by 4 warps and 16.
_NARROW_COLUMNS = 128
_WARP_ENTRIES = 1024

# A small batch is spread over so many tiles rather than being left to a few multiprocessors.
_FEWEST_TILES = 64

# Counts of tiles are added up by every program of the second launch where they are so few bytes,
# or belong to so few slots; else by a launch of their own: with 8192 bytes, (8192, 32), the second
# launch takes 3.1 us and two would take 5.8; with 32768, (8192, 256), it takes 9.2 and they 7.3.
_PACKED_COUNTS = 8192
_TWO_LAUNCHES_SLOTS = 4096

# A large batch gives each program several tiles' worth of rows, one after the other.
_MOST_TILES = 1024

# A slot's number among the slots of its column and tile has 16 bits (`_topk_forward`).
_MOST_SLOTS_OF_A_COLUMN = 1 << 16


@dataclass(frozen=True)
class TilePlan:
    """The tiles of a launch over rows.

    k: choices of a row.
    rows: rows that are in registers at a time, a power of two.
    columns, choices: number of columns and of choices, rounded up to powers of two.
    rows_per_tile: rows of a program, a multiple of `rows`.
    n_tiles: programs.
    lanes: lanes that share a row and search it; 0: whole warps do, or nobody searches.
    max_registers: of a thread, on NVIDIA; 0: as many as the compiler likes.
    """

    k: int
    rows: int
    columns: int
    choices: int
    rows_per_tile: int
    n_tiles: int
    num_warps: int
    lanes: int = 0
    max_registers: int = 0


@lru_cache(maxsize=1024)
def plan_search(n_rows: int, n_columns: int, k: int, *, wide_warps: bool = False) -> TilePlan:
    """Tiles for a search: whole rows in registers.

    wide_warps: a warp has 64 lanes, as on AMD.
    """
    columns = max(32, next_power_of_two(n_columns))
    lanes = plan_lanes(n_rows, columns, k)
    if lanes:
        rows_of_warp = (64 if wide_warps else 32) // lanes
        fewest_rows = max(_LANES_FEWEST_ROWS, rows_of_warp)
        most_rows = 32 if columns <= 128 else 16
        rows = next_power_of_two(-(-n_rows // _LANES_TILES))
        rows = max(fewest_rows, min(rows, most_rows))
        warps = min(_LANES_MOST_WARPS, rows // rows_of_warp)
        max_registers = _MOST_REGISTERS if columns == _LIMITED_COLUMNS else 0
        return _tiles(n_rows, rows, columns, k, 1, warps, lanes, max_registers)
    if columns <= _NARROW_COLUMNS:
        most_rows, warps = min(_LARGEST_TILE_ROWS, _TILE_ENTRIES // columns), 4
        fewest_rows, fewest_tiles = most_rows // 4, _FEWEST_TILES
    else:
        most_rows = max(1, _WARP_ENTRIES // columns)
        warps = max(1, min(16, columns // _WARP_ENTRIES))
        fewest_rows, fewest_tiles = 1, _FEWEST_TILES // 2
    rows = next_power_of_two(-(-n_rows // fewest_tiles))
    rows = max(fewest_rows, min(most_rows, rows))
    return _tiles(n_rows, rows, columns, k, 1, warps)


def plan_lanes(n_rows: int, columns: int, k: int) -> int:
    """Lanes that share a row of so many columns, a power of two; 0 where lanes do not search."""
    if k > _LANES_MOST_CHOICES or columns > _LANES_MOST_COLUMNS:
        return 0
    if columns == _WHOLE_WARP_COLUMNS and n_rows >= _WHOLE_WARP_ROWS:
        return 0
    return min(32, columns // _LANE_ADJACENT)


@lru_cache(maxsize=1024)
def plan_given(n_rows: int, n_columns: int, k: int, *, whole_rows: bool = False) -> TilePlan:
    """Tiles for given columns: every slot of a tile is compared with every other.

    whole_rows: the rows are in registers, too, for a softmax.
    """
    columns = max(32, next_power_of_two(n_columns))
    choices = next_power_of_two(k)
    rows = max(1, min(128 // choices, next_power_of_two(n_rows)))
    if whole_rows:
        rows = max(1, min(rows, _TILE_ENTRIES // 2 // columns))
    # 64 comparisons a thread: Triton 3.6 spills registers over 128.
    warps = max(4 if columns <= 4096 else 16, min(16, (rows * choices) ** 2 // 2048))
    return _tiles(n_rows, rows, columns, k, k, warps)


def _tiles(
    n_rows: int,
    rows: int,
    columns: int,
    k: int,
    most_in_column: int,
    warps: int,
    lanes: int = 0,
    max_registers: int = 0,
) -> TilePlan:
    """most_in_column: slots of a row that can have the same column."""
    chunks = max(1, -(-n_rows // rows))  # no rows still have counts: zeros
    most_chunks = max(1, _MOST_SLOTS_OF_A_COLUMN // (rows * max(1, most_in_column)))
    if lanes == 0:
        most_tiles = _MOST_TILES
    else:
        most_tiles = _LANES_MOST_TILES if lanes == 32 else _NARROW_LANES_MOST_TILES
    chunks_per_tile = max(1, min(-(-chunks // most_tiles), most_chunks))
    n_tiles = -(-chunks // chunks_per_tile)
    rows_per_tile = rows * chunks_per_tile
    choices = next_power_of_two(k)
    return TilePlan(k, rows, columns, choices, rows_per_tile, n_tiles, warps, lanes, max_registers)


@dataclass(frozen=True)
class SortPlan:
    """How what the tiles counted is added up and their slots are placed.

    scans: a launch of its own adds up; else every program does, which costs less for few tiles.
    packed: the counts are bytes, four in an int32.
    programs_per_size: programs that write the schedule of one block size.
    """

    columns: int
    slots_per_tile: int
    scans: bool
    packed: bool
    scan_tiles: int
    scan_columns: int
    slots_at_a_time: int
    tiles_at_a_time: int
    blocks_at_a_time: int
    programs_per_size: int
    num_warps: int

    def counts_width(self, n_columns: int) -> int:
        """Words in which a tile leaves its counts of so many columns."""
        return self.columns // 4 if self.packed else n_columns


@lru_cache(maxsize=1024)
def plan_sort(tiles: TilePlan, n_slots: int, width: int = 0, *, given: bool) -> SortPlan:
    """Plan for `n_slots` slots in these tiles, and a schedule of `width` blocks.

    given: the columns are; a row can have one of them several times.
    """
    slots_per_tile = tiles.rows_per_tile * tiles.k
    columns = tiles.columns
    tiles_at_once = next_power_of_two(tiles.n_tiles)
    packed = (
        not given
        and tiles_at_once * columns <= _PACKED_COUNTS
        and tiles.rows_per_tile <= 255  # rows that a byte counts
        and tiles.n_tiles * tiles.rows_per_tile <= 65535  # as half a word does their sum
    )
    return SortPlan(
        columns=columns,
        slots_per_tile=slots_per_tile,
        scans=not packed and n_slots > _TWO_LAUNCHES_SLOTS,
        packed=packed,
        scan_tiles=min(512, tiles_at_once),
        scan_columns=8 if 64 <= columns <= 128 else 16,
        slots_at_a_time=min(1024, next_power_of_two(slots_per_tile)),
        tiles_at_a_time=tiles_at_once if packed else max(1, min(tiles_at_once, 16384 // columns)),
        blocks_at_a_time=max(1, min(16, 2048 // columns)),
        # Where every program adds up counts, few of them are better: one a multiprocessor.
        programs_per_size=max(1, min(8, width // (4096 if packed else 512))),
        num_warps=4 if columns <= 256 else 8 if columns <= 1024 else 16,
    )


def next_power_of_two(n: int) -> int:
    """The smallest power of two that is at least `n`, and at least 1."""
    return 1 << max(0, n - 1).bit_length()
