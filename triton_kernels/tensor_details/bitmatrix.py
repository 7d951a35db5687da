"""What follows from a sparse choice of columns: counts, and the two sorting vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from triton_kernels import SortedIndexOrderWarning, dispatch, ops
from triton_kernels.deprecation import warn_once_per_place
from triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows import (
    sum_bitmatrix_rows,
    sum_bitmatrix_rows_torch,
)
from triton_kernels.tensor_details.checks import (
    MOST_CHOICES,
    MOST_COLUMNS,
    MOST_SLOTS,
    is_int,
    wrong_type,
    wrong_value,
)
from triton_kernels.tensor_details.columns import check_columns
from triton_kernels.tensor_details.padding import RowCount, check_n_rows, rows_taking_part

if TYPE_CHECKING:
    from triton_kernels.tensor import Bitmatrix

__all__ = [
    "BitmatrixMetadata",
    "make_bitmatrix_metadata",
    "make_bitmatrix_metadata_torch",
    "sum_bitmatrix_rows",
    "sum_bitmatrix_rows_torch",
]


@dataclass
class BitmatrixMetadata:
    """Column counts of a sparse matrix, and the order that sorts its entries by column.

    A matrix of k slots a row has N = n_rows_max * k slots; slot `i` is choice `i % k` of row
    `i // k`.  For routing, a row is a token and a column an expert.

    col_sum: int32 [E], slots of each column.
    combine_indx: int32 [N]; for a position in the order of columns, the slot that sits there.
        Slots of one column stay in the order of slots.  -1 from position `sum(col_sum)` on.
    dispatch_indx: int32 [N], the inverse; for a slot its position, or -1 if the slot is unused.

    `combine_indx[dispatch_indx[i]] == i` for every used slot.  Example, 4 rows of 7 columns with
    k = 4 and unused slots marked -1:

        rows            {2, 4, 5, -1}   {1, 5, -1, -1}   {0, 1, 2, 6}   {2, 4, -1, -1}
        slots            0  1  2   3     4  5   6   7     8  9 10 11    12 13  14  15
        col_sum       =  1, 2, 3, 0, 2, 2, 1
        combine_indx  =  8 | 4 9 | 0 10 12 | | 1 13 | 2 5 | 11 | -1 -1 -1 -1 -1
        dispatch_indx =  3 6 8 -1 | 1 9 -1 -1 | 0 2 4 10 | 5 7 -1 -1
    """

    col_sum: torch.Tensor
    combine_indx: torch.Tensor
    dispatch_indx: torch.Tensor

    @property
    def row_sorted_indx(self) -> torch.Tensor:
        """`combine_indx`, under the name it had before upstream swapped the two; warns."""
        _warn_swapped_name("row_sorted_indx", "combine_indx")
        return self.combine_indx

    @property
    def col_sorted_indx(self) -> torch.Tensor:
        """`dispatch_indx`, under the name it had before upstream swapped the two; warns."""
        _warn_swapped_name("col_sorted_indx", "dispatch_indx")
        return self.dispatch_indx


def make_bitmatrix_metadata(nonzero_indx: torch.Tensor, bitmatrix: Bitmatrix) -> BitmatrixMetadata:
    """Count and sort the entries of a sparse matrix by column.

    nonzero_indx: int16, int32 or int64 [n_rows_max, k] of any strides, the column of each slot.
        -1 marks an unused slot, anywhere in a row.
    bitmatrix: gives the number of columns and of rows that take part; rows from its `n_rows` on
        are ignored.  Its bits are not read: counts and order both come from `nonzero_indx`, so
        they agree whatever is given, and a column repeated in a row counts as often as it stands
        there.

    Returns int32 tensors, see `BitmatrixMetadata`.  Not differentiable.
    Raises ValueError or TypeError where shape or dtype of `nonzero_indx` is another; ValueError
    where it holds other numbers, on a GPU only with TRITON_KERNELS_DEBUG=1 in the environment,
    since looking at them waits for the device.  Without, such a slot is unused.
    """
    check_slots("nonzero_indx", nonzero_indx, bitmatrix)
    run = ops.bitmatrix_metadata if dispatch.is_traced(nonzero_indx) else sort_by_column
    col_sum, order = run(nonzero_indx, bitmatrix.n_columns, rows_if_not_all(bitmatrix))
    return BitmatrixMetadata(col_sum, *order.unbind())


def make_bitmatrix_metadata_torch(
    nonzero_indx: torch.Tensor, bitmatrix: Bitmatrix
) -> BitmatrixMetadata:
    """`make_bitmatrix_metadata` in plain torch, on any device."""
    check_slots("nonzero_indx", nonzero_indx, bitmatrix)
    rows = rows_if_not_all(bitmatrix)
    col_sum, order = sort_by_column_torch(nonzero_indx, bitmatrix.n_columns, rows)
    return BitmatrixMetadata(col_sum, *order.unbind())


def check_slots(argument: str, indx: torch.Tensor, bitmatrix: Bitmatrix) -> None:
    """Raise unless `indx`, the caller's `argument`, can be the slots of a matrix of this shape."""
    if indx.ndim != 2:
        raise wrong_value(argument, "2 dimensions", indx)
    if indx.dtype not in (torch.int16, torch.int32, torch.int64):
        raise wrong_type(argument, "dtype int16, int32 or int64", indx)
    if indx.shape[0] != bitmatrix.n_rows_max:
        raise wrong_value(argument, f"{bitmatrix.n_rows_max} rows", indx)
    if indx.shape[1] > MOST_CHOICES:
        raise wrong_value(argument, f"at most {MOST_CHOICES} slots a row", indx)
    if indx.numel() > MOST_SLOTS:
        raise wrong_value(argument, f"at most {MOST_SLOTS} slots", indx)
    if bitmatrix.n_columns > MOST_COLUMNS:
        raise wrong_value("bitmatrix", f"at most {MOST_COLUMNS} columns", bitmatrix.shape)
    check_n_rows(bitmatrix.n_rows, bitmatrix.n_rows_max, indx.device)
    check_columns(argument, indx, bitmatrix.n_columns, bitmatrix.n_rows)


def rows_if_not_all(bitmatrix: Bitmatrix) -> RowCount | None:
    """Its number of rows; None where that is all of them."""
    n_rows = bitmatrix.n_rows
    return None if is_int(n_rows) and n_rows == bitmatrix.n_rows_max else n_rows


def sort_by_column(
    nonzero_indx: torch.Tensor, n_columns: int, n_rows: RowCount | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(col_sum, combine and dispatch as int32 [2, N]), for arguments that are known to be right."""
    run = dispatch.choose(
        nonzero_indx.device,
        reference=sort_by_column_torch,
        kernel="triton_kernels.tensor_details.bitmatrix_details._launch.sort_by_column",
    )
    return run(nonzero_indx, n_columns, n_rows)


def sort_by_column_torch(
    nonzero_indx: torch.Tensor, n_columns: int, n_rows: RowCount | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """`sort_by_column` in plain torch, on any device."""
    device = nonzero_indx.device
    used = (nonzero_indx >= 0) & (nonzero_indx < n_columns)
    used &= rows_taking_part(n_rows, nonzero_indx.shape[0], device).unsqueeze(1)
    # Unused slots go to a column beyond the last, hence to the end of the order.
    column = torch.where(used, nonzero_indx.long(), n_columns).flatten()
    used = used.flatten()
    order = torch.argsort(column, stable=True)
    position = torch.empty_like(order)
    position[order] = torch.arange(order.numel(), device=device)
    count = torch.zeros(n_columns + 1, dtype=torch.int32, device=device)
    count.scatter_add_(0, column, torch.ones_like(column, dtype=torch.int32))
    combine = torch.where(used[order], order, -1)
    dispatch_indx = torch.where(used, position, -1)
    return count[:n_columns], torch.stack([combine, dispatch_indx]).to(torch.int32)


def _warn_swapped_name(name: str, means: str) -> None:
    warn_once_per_place(
        SortedIndexOrderWarning(
            f"BitmatrixMetadata.{name} is {means} here, but means the opposite vector in "
            f"triton_kernels 3.6.0 and later. Read {means} instead."
        )
    )
