"""Ragged metadata on a GPU: one launch each."""

from __future__ import annotations

import torch

from triton_kernels.launching import launch
from triton_kernels.tensor_details.ragged_tensor import allocate_schedule
from triton_kernels.tensor_details.ragged_tensor_details._remap import _remap_ragged_metadata
from triton_kernels.tensor_details.ragged_tensor_details._schedule import _ragged_tensor_metadata
from triton_kernels.topk_details._plan import next_power_of_two


def schedule(batch_sizes: torch.Tensor, n_gates: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What `ragged_tensor.schedule` returns."""
    (n_slices,) = batch_sizes.shape
    offs, blocks = allocate_schedule(batch_sizes, n_gates)
    n_sizes, width = blocks.shape
    columns = max(32, next_power_of_two(n_slices))
    parts = max(1, min(8, width // 512))
    launch(
        _ragged_tensor_metadata,
        (n_sizes, parts),
        (
            batch_sizes,
            batch_sizes.stride(0),
            offs,
            offs.stride(0),
            blocks,
            blocks.stride(0),
            width,
        ),
        {
            "n_slices": n_slices,
            "C": columns,
            "BLOCKS": max(1, min(16, 2048 // columns)),
            "PARTS": parts,
        },
        num_warps=4 if columns <= 4096 else 16,
    )
    return offs, blocks


def remap(
    batch_sizes: torch.Tensor,
    batch_offs: torch.Tensor,
    block_offs_data: torch.Tensor,
    block_schedule_data: torch.Tensor,
    slice_map: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `ragged_tensor.remap` returns."""
    tables = _with_adjacent_columns(block_offs_data), _with_adjacent_columns(block_schedule_data)
    old = (batch_sizes, batch_offs, *tables)
    new = tuple(torch.empty(each.shape, dtype=torch.int32, device=each.device) for each in old)
    n_sizes, width = block_schedule_data.shape
    launch(
        _remap_ragged_metadata,
        (n_sizes,),
        (
            slice_map,
            slice_map.stride(0),
            old[0],
            old[0].stride(0),
            old[1],
            old[1].stride(0),
            old[2],
            old[2].stride(0),
            old[3],
            old[3].stride(0),
            *new,
            batch_sizes.shape[0],
            width,
        ),
        {
            "T": 1024,
        },
        num_warps=4,
    )
    return new  # type: ignore[return-value]


def _with_adjacent_columns(table: torch.Tensor) -> torch.Tensor:
    """The table itself where this library made it."""
    return table if table.stride(1) == 1 else table.contiguous()
