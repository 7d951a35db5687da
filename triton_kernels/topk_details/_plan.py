"""How the rows of a batch are shared out among programs: pure Python on shapes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

# Entries of a tile, and rows: the bits of a word number them.
_TILE_ENTRIES = 4096
_LARGEST_TILE_ROWS = 32

# A warp reads 128 columns of a row at a time.  Rows that are wider it takes alone, a few of them,
# for Triton would share each row out among warps, which then meet at every reduction: on an H100,
# (8192, 256) with k = 8 is routed in 23.7 us by one warp and 4 rows, in 30.2 by 4 warps and 16.
_NARROW_COLUMNS = 128
_WARP_ENTRIES = 1024

# A small batch is spread over so many tiles rather than being left to a few multiprocessors.
_FEWEST_TILES = 64

# Up to so many slots there are two launches; for more, a third one adds up what the tiles counted.
_TWO_LAUNCHES_SLOTS = 4096

# A large batch gives each program several tiles' worth of rows, one after the other: on an H100,
# (8192, 256) takes 28.9 us in 2048 tiles, 23.7 in 1024, 25.0 in 512.
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
    """

    k: int
    rows: int
    columns: int
    choices: int
    rows_per_tile: int
    n_tiles: int
    num_warps: int


@lru_cache(maxsize=1024)
def plan_search(n_rows: int, n_columns: int, k: int) -> TilePlan:
    """Tiles for a search: whole rows in registers."""
    columns = max(32, next_power_of_two(n_columns))
    if columns <= _NARROW_COLUMNS:
        most_rows, warps = min(_LARGEST_TILE_ROWS, _TILE_ENTRIES // columns), 4
        fewest_rows, fewest_tiles = most_rows // 4, _FEWEST_TILES
    else:
        most_rows = max(1, _WARP_ENTRIES // columns)
        warps = max(1, min(16, columns // _WARP_ENTRIES))
        fewest_rows, fewest_tiles = 1, _FEWEST_TILES // 2
    rows = next_power_of_two(-(-n_rows // fewest_tiles))
    return _tiles(n_rows, max(fewest_rows, min(most_rows, rows)), columns, k, 1, warps)


@lru_cache(maxsize=1024)
def plan_given(n_rows: int, n_columns: int, k: int, *, whole_rows: bool = False) -> TilePlan:
    """Tiles for given columns: every slot of a tile is compared with every other.

    whole_rows: the rows are in registers, too, for a softmax.
    """
    columns = max(32, next_power_of_two(n_columns))
    choices = next_power_of_two(k)
    rows = max(1, min(128 // choices, next_power_of_two(n_rows)))
    if whole_rows:
        rows = max(1, min(rows, _TILE_ENTRIES // columns))
    # 64 comparisons a thread: Triton 3.6 spills registers over 128.
    warps = max(4 if columns <= 4096 else 16, min(16, (rows * choices) ** 2 // 2048))
    return _tiles(n_rows, rows, columns, k, k, warps)


def _tiles(
    n_rows: int, rows: int, columns: int, k: int, most_in_column: int, warps: int
) -> TilePlan:
    """most_in_column: slots of a row that can have the same column."""
    chunks = max(1, -(-n_rows // rows))  # no rows still have counts: zeros
    most_chunks = max(1, _MOST_SLOTS_OF_A_COLUMN // (rows * max(1, most_in_column)))
    chunks_per_tile = max(1, min(-(-chunks // _MOST_TILES), most_chunks))
    n_tiles = -(-chunks // chunks_per_tile)
    return TilePlan(k, rows, columns, next_power_of_two(k), rows * chunks_per_tile, n_tiles, warps)


@dataclass(frozen=True)
class SortPlan:
    """How what the tiles counted is added up and their slots are placed.

    scans: a launch of its own adds up; else every program does, which costs less for few tiles.
    programs_per_size: programs that write the schedule of one block size.
    """

    columns: int
    slots_per_tile: int
    scans: bool
    scan_tiles: int
    scan_columns: int
    slots_at_a_time: int
    tiles_at_a_time: int
    blocks_at_a_time: int
    programs_per_size: int
    num_warps: int


@lru_cache(maxsize=1024)
def plan_sort(tiles: TilePlan, n_slots: int, width: int = 0) -> SortPlan:
    """Plan for `n_slots` slots in these tiles, and a schedule of `width` blocks."""
    slots_per_tile = tiles.rows_per_tile * tiles.k
    columns = tiles.columns
    return SortPlan(
        columns=columns,
        slots_per_tile=slots_per_tile,
        scans=n_slots > _TWO_LAUNCHES_SLOTS,
        scan_tiles=min(512, next_power_of_two(tiles.n_tiles)),
        scan_columns=16,
        slots_at_a_time=min(1024, next_power_of_two(slots_per_tile)),
        tiles_at_a_time=max(1, min(next_power_of_two(tiles.n_tiles), 16384 // columns)),
        blocks_at_a_time=max(1, min(16, 2048 // columns)),
        programs_per_size=max(1, min(8, width // 512)),
        num_warps=4 if columns <= 256 else 8 if columns <= 1024 else 16,
    )


def next_power_of_two(n: int) -> int:
    """The smallest power of two that is at least `n`, and at least 1."""
    return 1 << max(0, n - 1).bit_length()
