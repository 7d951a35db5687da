"""How many bits are set in each column of a bit matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from triton_kernels import dispatch, ops
from triton_kernels.tensor_details.bitmatrix_details.words import WORD_BITS, n_words, unpack_bits
from triton_kernels.tensor_details.checks import is_int, wrong_value
from triton_kernels.tensor_details.padding import RowCount, check_n_rows, rows_taking_part

if TYPE_CHECKING:
    from triton_kernels.tensor import Bitmatrix

__all__ = ["sum_bitmatrix_rows", "sum_bitmatrix_rows_torch"]


def sum_bitmatrix_rows(
    x: Bitmatrix, partials_block_size: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Count the bits of each column, over all rows and over each block of rows.

    x: shape [n_rows, E], stored for n_rows_max rows.  Rows from `n_rows` on are not counted.
    partials_block_size: rows in a block; must be given.

    Returns (sums, partials): int32 [E], and int32
    [ceil(n_rows_max / partials_block_size), 32 * ceil(E / 32)], stored column-major, the counts of
    each block by itself.
    Raises ValueError where `partials_block_size` is not a positive int.

    With rows {2, 4, 5}, {1, 5}, {0, 1, 2, 6}, {2, 4} of 7 columns and blocks of 2 rows, the sums
    are [1, 2, 3, 0, 2, 2, 1] and the partials begin [0, 1, 1, 0, 1, 2, 0], [1, 1, 2, 0, 1, 0, 1].
    """
    _check(x, partials_block_size)
    words = x.data
    run = ops.sum_bitmatrix_rows if dispatch.is_traced(words) else count_bits
    return run(words, x.n_rows_max, x.n_columns, partials_block_size, x.n_rows)


def sum_bitmatrix_rows_torch(
    x: Bitmatrix, partials_block_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`sum_bitmatrix_rows` in plain torch, on any device."""
    _check(x, partials_block_size)
    return _count(x.data, x.n_rows_max, x.n_columns, partials_block_size, x.n_rows)


def _check(x: Bitmatrix, block_size: int | None) -> None:
    if not is_int(block_size) or block_size < 1:
        raise wrong_value("partials_block_size", "a positive int", block_size)
    check_n_rows(x.n_rows, x.n_rows_max, x.device)


def count_bits(
    words: torch.Tensor, n_rows_max: int, n_columns: int, block_size: int, n_rows: RowCount
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `sum_bitmatrix_rows` returns, for arguments that are known to be right."""
    run = dispatch.choose(
        words.device,
        reference=_count,
        kernel="triton_kernels.tensor_details.bitmatrix_details._launch.sum_rows",
    )
    return run(words, n_rows_max, n_columns, block_size, n_rows)


def _count(
    words: torch.Tensor, n_rows_max: int, n_columns: int, block_size: int, n_rows: RowCount
) -> tuple[torch.Tensor, torch.Tensor]:
    device = words.device
    bits = unpack_bits(words[:n_rows_max, : n_words(n_columns)])
    bits &= rows_taking_part(n_rows, n_rows_max, device).unsqueeze(1)
    n_blocks = -(-n_rows_max // block_size)
    blocks = torch.arange(n_rows_max, device=device) // block_size
    buffer = torch.zeros(n_words(n_columns) * WORD_BITS, n_blocks, dtype=torch.int32, device=device)
    partials = buffer.t()
    partials.index_add_(0, blocks, bits.to(torch.int32))
    sums = partials.sum(0, dtype=torch.int32)[:n_columns]
    return sums, partials
