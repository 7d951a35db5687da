"""How the sums of `reduce` are shared out among programs: pure Python on shapes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from triton_kernels.topk_details._plan import next_power_of_two

# A thread reads 16 bytes with one instruction, the most there is.  On an H100, (8192, 4, 2880) in
# bfloat16 with a mask takes 78.3 us this way, 3.01 TB/s, which is what a copy reaches; tiles of two
# rows take 81.1, of four 85.6, with 2048 columns 84.3.
BYTES_OF_A_LOAD = 16
_NUM_WARPS = 4

# Loads that a thread asks for before it waits for the first, and elements that these bring.
_MOST_STEPS = 8
_MOST_ELEMENTS = 64

# Terms of few sums are read side by side rather than leaving multiprocessors idle.
_FEWEST_PROGRAMS = 256

# Terms, or rows, that lie side by side in memory and are read so many at a time, at least and at
# most: a (512, 512, 2880) whose rows do takes 591 us in runs of 64 rows, 804 in runs of 32 (H100).
_FEWEST_TERMS = 32
_MOST_ROWS = 64


class Run(Enum):
    """Along what memory runs: the elements of x that lie side by side."""

    ROWS = 0
    TERMS = 1
    COLUMNS = 2


@dataclass(frozen=True)
class ReducePlan:
    """The tiles of a launch: all sizes are powers of two.

    rows, columns: sums of a program.
    terms: of each, side by side in registers.
    steps: tiles that are loaded at once.
    n_programs: programs of the launch.
    """

    rows: int
    columns: int
    terms: int
    steps: int
    n_programs: int
    num_warps: int


@lru_cache(maxsize=1024)
def plan_reduce(
    n_rows: int, n_terms: int, n_columns: int, itemsize: int, run: Run, multiple: int = 1
) -> ReducePlan:
    """Tiles for n_rows x n_columns sums of n_terms elements of `itemsize` bytes each.

    multiple: what the columns of a tile have to be a multiple of: a power of two.
    """
    elements = 32 * _NUM_WARPS * BYTES_OF_A_LOAD // itemsize
    all_rows, all_terms, all_columns = map(next_power_of_two, (n_rows, n_terms, n_columns))
    rows = columns = terms = 1
    if run is Run.COLUMNS:
        columns = max(multiple, least_wasteful_width(n_columns, elements))
    elif run is Run.TERMS:
        columns = max(multiple, 1)
        terms = min(all_terms, max(_FEWEST_TERMS, elements // columns))
    else:
        rows = min(all_rows, _MOST_ROWS, max(8, 2 * elements // multiple))
        columns = max(multiple, min(all_columns, elements // rows))
    left = max(1, elements // (rows * columns * terms))
    if run is Run.TERMS:
        more = min(left, max(1, all_columns // columns))
        columns, left = columns * more, left // more
    while left > 1:
        few = _n_programs(n_rows, n_columns, 2 * rows, columns) < _FEWEST_PROGRAMS
        if rows < all_rows and not (few and terms < all_terms):
            rows *= 2
        elif terms < all_terms:
            terms *= 2
        else:
            break
        left //= 2
    num_warps = max(1, min(_NUM_WARPS, rows * columns * terms // 128))
    elements_of_a_thread = -(-rows * columns * terms // (32 * num_warps))
    most_steps = min(_MOST_STEPS, _MOST_ELEMENTS // elements_of_a_thread)
    return ReducePlan(
        rows,
        columns,
        terms,
        steps=max(1, min(-(-n_terms // terms), most_steps)),
        n_programs=_n_programs(n_rows, n_columns, rows, columns),
        num_warps=num_warps,
    )


def least_wasteful_width(n_columns: int, most: int) -> int:
    """The width of a tile that leaves least of its last one empty; of equal ones the widest."""
    widest = min(most, next_power_of_two(n_columns))
    widths = [widest, widest // 2, widest // 4]
    return min((-(-n_columns // width) * width, -width) for width in widths if width > 0)[1] * -1


def _n_programs(n_rows: int, n_columns: int, rows: int, columns: int) -> int:
    return -(-n_rows // rows) * -(-n_columns // columns)
