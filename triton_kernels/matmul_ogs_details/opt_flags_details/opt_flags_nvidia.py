"""Tiles on NVIDIA.

Measured on an H100 with Triton 3.6 (bf16): dense 8192^3 is fastest with tiles of 128 x 256 x 64, 8
warps and as many stages as shared memory holds; a ragged product (128 experts of about 256 rows, K
2880, N 5760) makes 495 TFLOP/s with 4 stages and 458 with 3.  Small batches are bound by the bytes
of the weights, so there it counts that every multiprocessor has some to read.
"""

from __future__ import annotations

from triton_kernels.matmul_ogs_details.opt_flags_details.problem import (
    Problem,
    block_k_of_row_bytes,
    narrowed_block_n,
    rows_of_tile,
    split_k_that_fills,
    within,
)

__all__ = [
    "compute_block_k",
    "compute_block_m",
    "compute_block_n",
    "compute_epilogue_subtile",
    "compute_grid_size",
    "compute_is_persistent",
    "compute_num_stages",
    "compute_num_warps",
    "compute_split_k",
]

# Bytes of shared memory that a program can have, by compute capability (CUDA C++ Programming
# Guide, technical specifications: what a block can opt in to).
_SHARED_MEMORY = {
    80: 166912,
    86: 101376,
    87: 166912,
    89: 101376,
    90: 232448,
    100: 232448,
    103: 232448,
    120: 101376,
    121: 101376,
}
_LEAST_SHARED_MEMORY = 101376

# What a persistent kernel keeps there besides tiles: barriers, and the padding of allocations.
_RESERVED = 1024

_MOST_STAGES = 4
"""More hide no more latency, and leave fewer programs room on a multiprocessor."""

_ROW_BYTES = 128
"""Bytes of a row of a tile: the widest swizzle of shared memory, and a whole line of L2."""


def compute_block_m(problem: Problem) -> int:
    """Rows of a tile."""
    return rows_of_tile(problem, 128)


def compute_block_n(problem: Problem, block_m: int, arch: int, n_sms: int) -> int:
    """Columns of a tile."""
    # From capability 9 on, accumulators of 128 x 256 fit in the registers of 8 warps (or in tensor
    # memory), and operands are read from shared memory.
    is_wide = arch >= 90 and block_m >= 128 and problem.operand_bytes <= 2
    is_narrow = problem.operand_bytes <= 1 and _reads_weights_alone(block_m)
    return narrowed_block_n(problem, block_m, 256 if is_wide else 64 if is_narrow else 128, n_sms)


def compute_block_k(problem: Problem, block_m: int) -> int:
    """Steps along K."""
    row_bytes = 2 * _ROW_BYTES if _reads_weights_alone(block_m) else _ROW_BYTES
    return block_k_of_row_bytes(problem, row_bytes)


def _reads_weights_alone(block_m: int) -> bool:
    """Whether a batch is so small that the bytes of w are all that counts.

    Pointers read them as fast as TMA does (H100, 64 tokens of 128 experts: 3.06 TB/s in bf16,
    tiles of 128 x 128; 2.91 in fp8, tiles of 64 x 256 and 2.70 of 128 x 128) and a launch without
    descriptors takes the host less time, which at such sizes decides.
    """
    return block_m <= 32


def compute_grid_size(problem: Problem, block_m: int, block_n: int) -> int:
    """Number of tiles, about."""
    return problem.n_tiles(block_m, block_n)


def compute_split_k(problem: Problem, block_k: int, grid_size: int, n_sms: int) -> int:
    """Parts of the sum over K."""
    return split_k_that_fills(problem, block_k, grid_size, n_sms)


def compute_is_persistent(problem: Problem, block_m: int) -> bool:
    """Whether programs stay and take tile after tile, loading the next while one is stored."""
    if not problem.can_use_persistent_tma or problem.max_imprecise_acc is not None:
        return False
    if problem.stored_bytes >= 4:  # a tile of the result would take the room of two stages
        return False
    if problem.bitwise_invariant:
        return True
    return not _reads_weights_alone(block_m) and problem.m * problem.n * problem.k >= 2**17


def compute_num_warps(block_m: int, block_n: int) -> int:
    """8 from 128 x 128 on: 4 would have more than 128 accumulators a thread."""
    return 8 if block_m * block_n >= 128 * 128 else 4


def compute_num_stages(
    problem: Problem,
    block_m: int,
    block_n: int,
    block_k: int,
    is_persistent: bool,
    epilogue_subtile: int,
    arch: int,
) -> int:
    """Steps along K that are loaded ahead, as many as shared memory holds, at most 4."""
    room = _SHARED_MEMORY.get(arch, _LEAST_SHARED_MEMORY) - _RESERVED
    if is_persistent:  # a part of the tile of the result, too, is on its way through it
        columns = block_n // problem.reduction_n // epilogue_subtile
        room -= int(block_m * columns * problem.stored_bytes)
    step = int((block_m + block_n) * block_k * problem.operand_bytes)
    return within(1, room // step, _MOST_STAGES)


def compute_epilogue_subtile(
    problem: Problem, block_m: int, block_n: int, block_k: int, is_persistent: bool, arch: int
) -> int:
    """Parts in which a tile of the result is stored.

    2 where that leaves room for a stage more, and where the accumulators take half of the
    registers: finished whole, with bias and SwiGLU, Triton 3.9 spills some (as fast, on an H100).
    """
    if not is_persistent:
        return 1
    if block_m * block_n >= 128 * 256:
        return 2
    stages = [
        compute_num_stages(problem, block_m, block_n, block_k, True, subtile, arch)
        for subtile in (1, 2)
    ]
    return 2 if stages[1] > stages[0] else 1
