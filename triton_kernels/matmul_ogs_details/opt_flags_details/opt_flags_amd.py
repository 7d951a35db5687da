"""Tiles on AMD (CDNA3 and CDNA4).

Not measured: no such card was at hand.  The rules follow from the size of the local data share and
of the tiles of the matrix cores, and what they choose is compiled in the tests.
"""

from __future__ import annotations

from triton_kernels.matmul_ogs_details.opt_flags_details.problem import (
    Problem,
    block_k_of_row_bytes,
    narrowed_block_n,
    rows_of_tile,
)

__all__ = ["N_XCDS", "compute_block_m", "compute_block_nk", "compute_num_warps"]

N_XCDS = 8
"""Chiplets of an MI300 or MI350, each with an L2 of its own."""

_ROW_BYTES = 128
"""Bytes of a row of a tile: a line of L2."""


def compute_block_m(problem: Problem, is_cdna4: bool) -> int:
    """Rows of a tile; CDNA4 has room for 256 in its local data share."""
    # 256 pay only where there are many rows: the last tile of a slice is half empty.
    is_tall = is_cdna4 and (problem.bitwise_invariant or problem.rows_of_slice >= 1024)
    return rows_of_tile(problem, 256 if is_tall else 128)


def compute_block_nk(problem: Problem, block_m: int, n_sms: int) -> tuple[int, int]:
    """Columns of a tile, and steps along K.

    Tiles of 128 x 256, with rows of 128 bytes, take 48 of the 64 KB of CDNA3's local data share,
    where two stages keep one copy (the other is in registers).
    """
    block_n = narrowed_block_n(problem, block_m, 256 if block_m == 128 else 128, n_sms)
    return block_n, block_k_of_row_bytes(problem, _ROW_BYTES)


def compute_num_warps(block_m: int, block_n: int) -> int:
    """8 from 128 x 256 on: a wavefront has 64 lanes, so 4 hold what takes 8 on NVIDIA."""
    return 8 if block_m * block_n >= 128 * 256 else 4
