"""What the choice of tiles depends on besides the device, and the rules that all devices share."""

from __future__ import annotations

from typing import NamedTuple

from triton_kernels.tensor_details.dtype import DType, bitwidth

__all__ = [
    "Problem",
    "block_k_of_row_bytes",
    "narrowed_block_n",
    "power_of_two_from",
    "rows_of_tile",
    "split_k_that_fills",
    "within",
]

_LEAST_STEPS = 8
"""Steps along K below which a split is not worth the launch that adds the parts up."""

_MOST_SPLITS = 8


class Problem(NamedTuple):
    """A product as the choice of tiles sees it; hashable, so that choices can be kept.

    out_dtype, lhs_dtype, rhs_dtype: of the result, of x and of w.
    n_batches, m, n, k: matrices, and rows, columns and summands of each.  Of a ragged product, m
        is the rows of all slices.
    n_slices: slices of a ragged product; 0 where it is none.
    expected_slice_size: a hint, rows of a slice.
    can_use_persistent_tma, can_use_fused_scatter: what the kernels could do with these operands.
    epilogue_itemsize: bytes of an element as the epilogue stores it; None: of `out_dtype`.
    reduction_n: columns that the activation joins.
    x_transpose: whether columns of x, and not rows, are contiguous.
    has_y_acc_in: whether something is added to the result.
    block_k: the only step along K that is right; None: any is.
    max_imprecise_acc: fp8 products accumulated in less than float32.
    bitwise_invariant: no choice may depend on m.
    """

    out_dtype: DType
    lhs_dtype: DType
    rhs_dtype: DType
    n_batches: int
    m: int
    n: int
    k: int
    n_slices: int
    expected_slice_size: int | None
    can_use_persistent_tma: bool
    can_use_fused_scatter: bool
    epilogue_itemsize: float | None
    reduction_n: int
    x_transpose: bool
    has_y_acc_in: bool
    block_k: int | None
    max_imprecise_acc: int | None
    bitwise_invariant: bool

    @property
    def rows_of_slice(self) -> int:
        """Rows that meet the same matrix, about."""
        if self.expected_slice_size is not None:
            return max(1, self.expected_slice_size)
        return max(1, -(-self.m // max(1, self.n_slices)))

    @property
    def operand_bytes(self) -> float:
        """Bytes of an element of the wider operand."""
        return max(bitwidth(self.lhs_dtype), bitwidth(self.rhs_dtype)) / 8

    @property
    def stored_bytes(self) -> float:
        """Bytes of an element of the result."""
        return self.epilogue_itemsize or bitwidth(self.out_dtype) / 8

    def n_tiles(self, block_m: int, block_n: int) -> int:
        """Tiles that there are to compute, about: a slice without rows has none."""
        n_columns = -(-self.n // block_n)
        if not self.n_slices:
            return self.n_batches * -(-self.m // block_m) * n_columns
        used = min(self.n_slices, self.m)
        return used * -(-self.rows_of_slice // block_m) * n_columns


def power_of_two_from(size: int) -> int:
    """The least power of two that is not less: 1 for 0, 8 for 5."""
    return 1 << max(0, size - 1).bit_length()


def within(low: int, value: int, high: int) -> int:
    """`value`, or the nearer end of `low` to `high`."""
    return max(low, min(value, high))


def rows_of_tile(problem: Problem, most: int) -> int:
    """Rows of a tile: those of a slice, from 16 to `most`."""
    if problem.bitwise_invariant:
        return most
    rows = problem.rows_of_slice
    if problem.n_slices and rows <= 64:
        # Routed at random, half of the slices have more rows than the mean.  One tile for twice
        # as many reads their weights once; two tiles would do so twice.
        return within(16, power_of_two_from(2 * rows), 64)
    return within(16, power_of_two_from(rows), most)


def narrowed_block_n(problem: Problem, block_m: int, widest: int, n_sms: int) -> int:
    """Columns of a tile: as wide as pays, while there is a tile for each multiprocessor."""
    block_n = within(16, power_of_two_from(problem.n), widest)
    if problem.bitwise_invariant:
        return block_n
    # Not below 64: then a row of w, in 16 bits, is a whole line of L2.
    while block_n > 64 and problem.n_tiles(block_m, block_n) < n_sms:
        block_n //= 2
    return block_n


def block_k_of_row_bytes(problem: Problem, row_bytes: int) -> int:
    """Steps along K: that many bytes, within K and from what matrix instructions take."""
    least = 32 if problem.operand_bytes <= 1 else 16
    return within(least, power_of_two_from(problem.k), int(row_bytes / problem.operand_bytes))


def split_k_that_fills(problem: Problem, block_k: int, grid_size: int, n_sms: int) -> int:
    """Parts of the sum over K: more than 1 only where most multiprocessors would have no tile."""
    if grid_size == 0 or 2 * grid_size > n_sms:
        return 1
    steps = -(-problem.k // block_k)
    parts = within(1, min(n_sms // grid_size, steps // _LEAST_STEPS), _MOST_SPLITS)
    return 1 << (parts.bit_length() - 1)
