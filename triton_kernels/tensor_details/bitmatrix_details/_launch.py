"""Sorting and counting the columns of a sparse matrix on a GPU."""

from __future__ import annotations

import torch

from triton_kernels.launching import launch
from triton_kernels.target_info import overlaps_launches
from triton_kernels.tensor_details.bitmatrix_details._sort import _place_slots, _scan_counts
from triton_kernels.tensor_details.bitmatrix_details._sum_rows import _sum_bitmatrix_rows
from triton_kernels.tensor_details.bitmatrix_details.words import WORD_BITS, n_words
from triton_kernels.tensor_details.padding import RowCount
from triton_kernels.topk_details._plan import SortPlan, TilePlan, plan_given, plan_sort
from triton_kernels.topk_details._topk_forward import _topk_forward


def sort_by_column(
    nonzero_indx: torch.Tensor, n_columns: int, n_rows: RowCount | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `bitmatrix.sort_by_column` returns: two launches, or three for many slots."""
    n_rows_max, k = nonzero_indx.shape
    device = nonzero_indx.device
    n_slots = n_rows_max * k
    tiles = plan_given(n_rows_max, n_columns, k)
    order = torch.empty((2, n_slots), dtype=torch.int32, device=device)
    combine, dispatch = order.unbind()
    col_sum = torch.empty(n_columns, dtype=torch.int32, device=device)
    counts = count_given(tiles, nonzero_indx, n_columns, n_rows, dispatch)
    place_slots(
        plan_sort(tiles, n_slots, given=True),
        counts,
        dispatch,
        None,
        None,
        combine,
        dispatch,
        col_sum,
        every_slot_used=False,
    )
    return col_sum, order


def count_given(
    tiles: TilePlan,
    indx: torch.Tensor,
    n_columns: int,
    n_rows: RowCount | None,
    ranked: torch.Tensor,
) -> torch.Tensor:
    """The launch before `place_slots` for given columns: fills `ranked`, returns the counts."""
    n_rows_max, k = indx.shape
    counts = torch.empty((tiles.n_tiles, n_columns), dtype=torch.int32, device=indx.device)
    launch(
        _topk_forward,
        (tiles.n_tiles,),
        (
            None,
            0,
            0,
            indx,
            *indx.stride(),
            None,
            None,
            None,
            0,
            ranked,
            counts,
            n_rows_max,
            n_rows,
            tiles.rows_per_tile,
        ),
        {
            "n_columns": n_columns,
            "K": k,
            "SOFTMAX": False,
            "SOFTMAX_FIRST": False,
            "R": tiles.rows,
            "C": tiles.columns,
            "KP": tiles.choices,
            "LANES": 0,
            "PACKED": False,
            "OVERLAP": overlaps_launches(),
        },
        num_warps=tiles.num_warps,
    )
    return counts


def place_slots(
    sort: SortPlan,
    counts: torch.Tensor,
    ranked: torch.Tensor,
    vals: torch.Tensor | None,
    gates: torch.Tensor | None,
    combine: torch.Tensor,
    dispatch: torch.Tensor,
    col_sum: torch.Tensor,
    offs: torch.Tensor | None = None,
    stride_offs: int = 0,
    schedule: torch.Tensor | None = None,
    *,
    every_slot_used: bool,
) -> None:
    """The launches behind the first: see `_scan_counts` and `_place_slots`.

    offs: memory that begins with the matrix of offsets.
    """
    n_tiles, n_columns = counts.shape[0], col_sum.shape[0]
    overlap = overlaps_launches()
    overlapped = {"launch_pdl": True} if overlap else {}
    if sort.scans:
        launch(
            _scan_counts,
            (-(-n_columns // sort.scan_columns),),
            (
                counts,
                col_sum,
                n_tiles,
            ),
            {
                "n_columns": n_columns,
                "TILES": sort.scan_tiles,
                "COLUMNS": sort.scan_columns,
                "OVERLAP": overlap,
            },
            num_warps=8,
            **overlapped,
        )
    n_sizes, width = (0, 0) if schedule is None else schedule.shape
    launch(
        _place_slots,
        (n_tiles + n_sizes * sort.programs_per_size,),
        (
            counts,
            n_tiles,
            dispatch.shape[0],
            sort.slots_per_tile,
            ranked,
            vals,
            gates,
            combine,
            dispatch,
            col_sum,
            offs,
            stride_offs,
            schedule,
            0 if schedule is None else schedule.stride(0),
            width,
        ),
        {
            "n_columns": n_columns,
            "EVERY_SLOT_USED": every_slot_used,
            "C": sort.columns,
            "T": sort.slots_at_a_time,
            "TILES": sort.tiles_at_a_time,
            "BLOCKS": sort.blocks_at_a_time,
            "PROGRAMS_PER_SIZE": sort.programs_per_size,
            "SCANNED": sort.scans,
            "PACKED": sort.packed,
            "OVERLAP": overlap,
        },
        num_warps=sort.num_warps,
        **overlapped,
    )


def sum_rows(
    words: torch.Tensor, n_rows_max: int, n_columns: int, block_size: int, n_rows: RowCount
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `sum_bitmatrix_rows` returns."""
    device = words.device
    n_blocks, width = -(-n_rows_max // block_size), n_words(n_columns)
    sums = torch.zeros(n_columns, dtype=torch.int32, device=device)
    partials = torch.empty((width * WORD_BITS, n_blocks), dtype=torch.int32, device=device)
    rows = max(1, min(64, 1 << (block_size - 1).bit_length()))
    if n_blocks and width:
        words = words if words.dtype == torch.int32 else words.view(torch.int32)
        launch(
            _sum_bitmatrix_rows,
            (n_blocks, width),
            (
                words,
                *words.stride(),
                sums,
                partials,
                n_blocks,
                n_rows_max,
                n_rows,
                n_columns,
                block_size,
            ),
            {
                "ROWS": rows,
            },
            num_warps=4,
        )
    return sums, partials.t()
