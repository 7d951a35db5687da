"""Offsets and block schedule of a ragged tensor from the sizes of its slices."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def write_schedule(
    sizes,
    size_number,
    part,
    n_parts: tl.constexpr,
    Offs,
    stride_offs,
    Schedule,
    stride_schedule,
    width,
    n_slices: tl.constexpr,
    C: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """One of `n_parts` shares of the row of one block size, number `size_number` from 16 on.

    sizes: int32 [C], those of the slices, 0 beyond `n_slices`.
    Offs: [1 + number of block sizes, n_slices + 1], the offsets of rows in front.
    Schedule: [number of block sizes, width].  Never writes outside, whatever the sizes are.
    """
    slice_number = tl.arange(0, C)
    exponent = size_number + 4
    n_blocks = (sizes + (1 << exponent) - 1) >> exponent
    ends = tl.cumsum(n_blocks, axis=0)
    first = ends - n_blocks
    total = tl.sum(n_blocks)
    if part == 0:
        inside = slice_number < n_slices
        own = Offs + (size_number + 1) * stride_offs
        tl.store(own + slice_number, first, mask=inside)
        tl.store(own + n_slices, total)
        if size_number == 0:
            rows = tl.cumsum(sizes, axis=0)
            tl.store(Offs + slice_number, rows - sizes, mask=inside)
            tl.store(Offs + n_slices, tl.sum(sizes))
    own = Schedule + size_number * stride_schedule
    most = tl.minimum(tl.max(n_blocks), width)
    for start in range(part * BLOCKS, most, n_parts * BLOCKS):
        block = start + tl.arange(0, BLOCKS)
        at = first[:, None] + block[None, :]
        exists = (block[None, :] < n_blocks[:, None]) & (at >= 0) & (at < width)
        tl.store(own + at, (block[None, :] << 16) | slice_number[:, None], mask=exists)
    used = tl.maximum(total, 0)
    for start in range(used // 128 * 128 + part * 128, width, n_parts * 128):
        place = start + tl.arange(0, 128)
        unused = (place >= used) & (place < width)
        tl.store(own + place, tl.full([128], -1, tl.int32), mask=unused)


@triton.jit
def _ragged_tensor_metadata(
    Sizes,
    stride_sizes,
    Offs,
    stride_offs,
    Schedule,
    stride_schedule,
    width,
    n_slices: tl.constexpr,
    C: tl.constexpr,
    BLOCKS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """Grid (number of block sizes, PARTS)."""
    slice_number = tl.arange(0, C)
    sizes = tl.load(Sizes + slice_number * stride_sizes, mask=slice_number < n_slices, other=0)
    write_schedule(
        sizes,
        tl.program_id(0),
        tl.program_id(1),
        PARTS,
        Offs,
        stride_offs,
        Schedule,
        stride_schedule,
        width,
        n_slices,
        C,
        BLOCKS,
    )
