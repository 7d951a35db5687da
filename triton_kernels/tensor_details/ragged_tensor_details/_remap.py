"""The kernel of `remap_ragged_tensor_metadata`."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _compact(Target, value, keep, count):
    """Append the kept values to Target, behind its first `count`; and say how many it has then."""
    one = keep.to(tl.int32)
    at = count + tl.cumsum(one, axis=0) - one
    tl.store(Target + at, value, mask=keep)
    return count + tl.sum(one)


@triton.jit
def _fill(Target, begin, end, T: tl.constexpr):
    for start in range(begin, end, T):
        place = start + tl.arange(0, T)
        tl.store(Target + place, tl.full([T], -1, tl.int32), mask=place < end)


@triton.jit
def _remap_ragged_metadata(
    SliceMap,
    stride_map,
    Sizes,
    stride_sizes,
    Offs,
    stride_offs,
    BlockOffs,
    stride_block_offs,
    Schedule,
    stride_schedule,
    NewSizes,
    NewOffs,
    NewBlockOffs,
    NewSchedule,
    n_slices,
    width,
    T: tl.constexpr,
):
    """One program a block size; the first one remaps sizes and offsets of rows, too.

    The new tensors are contiguous and of the shapes of the old.
    """
    size = tl.program_id(0)
    n_blocks = 0
    old, new = Schedule + size * stride_schedule, NewSchedule + size * width
    for start in range(0, width, T):
        place = start + tl.arange(0, T)
        entry = tl.load(old + place, mask=place < width, other=-1)
        exists = (entry != -1) & ((entry & 0xFFFF) < n_slices)
        slice_of = tl.where(exists, entry & 0xFFFF, 0)
        target = tl.load(SliceMap + slice_of * stride_map, mask=exists, other=-1).to(tl.int32)
        renumbered = ((entry >> 16) << 16) | target
        keep = exists & (target >= 0)
        n_blocks = _compact(new, renumbered, keep, n_blocks)
    _fill(new, n_blocks, width, T)
    n_kept = 0
    old, new = BlockOffs + size * stride_block_offs, NewBlockOffs + size * (n_slices + 1)
    for start in range(0, n_slices, T):
        place = start + tl.arange(0, T)
        inside = place < n_slices
        keep = inside & (tl.load(SliceMap + place * stride_map, mask=inside, other=0) >= 0)
        first = tl.load(old + place, mask=inside, other=-1)
        if size == 0:
            rows = tl.load(Sizes + place * stride_sizes, mask=inside, other=-1)
            begin = tl.load(Offs + place * stride_offs, mask=inside, other=-1)
            _compact(NewSizes, rows, keep, n_kept)
            _compact(NewOffs, begin, keep, n_kept)
        n_kept = _compact(new, first, keep, n_kept)
    tl.store(new + n_kept, n_blocks)
    _fill(new, n_kept + 1, n_slices + 1, T)
    if size == 0:
        _fill(NewSizes, n_kept, n_slices, T)
        _fill(NewOffs, n_kept, n_slices + 1, T)
