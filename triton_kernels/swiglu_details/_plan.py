"""How the rows of `swiglu` are shared out among programs: pure Python on shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from triton_kernels.reduce_details._plan import BYTES_OF_A_LOAD, least_wasteful_width
from triton_kernels.topk_details._plan import next_power_of_two

_NUM_WARPS = 4

# Loads of a thread: with one, its results fill half a store.  On an H100, (8192, 5760) in bfloat16
# takes 48.4 us, 2.93 TB/s.
_LOADS = 2


@dataclass(frozen=True)
class SwigluPlan:
    """The tiles of a launch: powers of two.

    rows, columns: results of a program, each made of two columns.
    n_programs: programs of the launch.
    """

    rows: int
    columns: int
    n_programs: int
    num_warps: int


@lru_cache(maxsize=1024)
def plan_swiglu(n_rows: int, n_columns: int, itemsize: int) -> SwigluPlan:
    """Tiles for n_rows x n_columns results, each of two elements of `itemsize` bytes."""
    results = 32 * _NUM_WARPS * _LOADS * BYTES_OF_A_LOAD // (2 * itemsize)
    columns = least_wasteful_width(n_columns, results)
    rows = min(next_power_of_two(n_rows), max(1, results // columns))
    n_programs = -(-n_rows // rows) * -(-n_columns // columns)
    return SwigluPlan(rows, columns, n_programs, max(1, min(_NUM_WARPS, rows * columns // 64)))


def collapse(
    sizes: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How rows lie that are numbered along these dimensions: (sizes, strides), innermost first.

    Dimensions that run on into the next one are one; of the outermost only the stride is told.

    >>> collapse((5, 7, 3), (42, 6, 2))  # all one
    ((), (2,))
    >>> collapse((5, 7, 3), (60, 6, 2))
    ((21,), (2, 60))
    """
    runs: list[tuple[int, int]] = []  # (size, stride), innermost first
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if size == 1:
            continue
        if runs and stride == runs[-1][0] * runs[-1][1]:
            runs[-1] = (runs[-1][0] * size, runs[-1][1])
        else:
            runs.append((size, stride))
    if not runs:
        return (), (0,)
    return tuple(size for size, _ in runs[:-1]), tuple(stride for _, stride in runs)
