"""Slices dropped and renumbered in ragged metadata, in plain torch."""

from __future__ import annotations

import torch

__all__ = ["remap_blocks", "remap_slices"]


def remap_blocks(
    schedule: torch.Tensor, slice_map: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The schedule of the kept slices: int32 [S, W], and the number of its entries, int32 [S, 1].

    Entries keep their order and their block; their slice is renumbered.
    """
    exists = schedule != -1
    if slice_map.numel() == 0:  # no slices, so no entry exists, and none can be looked up
        return schedule.clone(), exists.sum(1, keepdim=True, dtype=torch.int32)
    slice_of = torch.where(exists, schedule & 0xFFFF, 0)
    new_slice = slice_map.to(torch.int32)[slice_of]
    keep = exists & (new_slice >= 0)
    remapped = (schedule >> 16 << 16) | new_slice
    return _compacted(remapped, keep), keep.sum(1, keepdim=True, dtype=torch.int32)


def remap_slices(
    slice_map: torch.Tensor,
    sizes: torch.Tensor,
    offs: torch.Tensor,
    block_offs: torch.Tensor,
    n_blocks: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sizes and offsets of the kept slices in old order, then -1; the offsets are not rebased.

    The entry of `block_offs` behind the kept slices becomes `n_blocks`.
    """
    keep = (slice_map >= 0).unsqueeze(0)
    end = keep.new_zeros(1, 1)  # the offset behind the last slice belongs to none
    keep_offs = torch.cat([keep, end], 1)
    new_block_offs = _compacted(block_offs, keep_offs.expand_as(block_offs))
    place = torch.arange(block_offs.shape[1], device=block_offs.device)
    new_block_offs = torch.where(place == keep.sum(), n_blocks, new_block_offs)
    new_sizes = _compacted(sizes.unsqueeze(0), keep)
    new_offs = _compacted(offs.unsqueeze(0), keep_offs)
    return new_sizes.squeeze(0), new_offs.squeeze(0), new_block_offs


def _compacted(rows: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """In each row the kept entries first, in order, then -1."""
    order = torch.argsort(~keep, dim=1, stable=True)
    return torch.where(keep.gather(1, order), rows.gather(1, order), -1)
