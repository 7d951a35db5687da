"""The kernel of `compaction`."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["sentinel"])
def _compact_rows(
    Vals,
    stride_vm,
    stride_vn,
    Indx,
    stride_im,
    stride_in,
    Words,
    stride_wm,
    stride_wn,
    NewVals,
    NewIndx,
    n_rows,
    n_words,
    sentinel,
    K: tl.constexpr,
    R: tl.constexpr,
    KP: tl.constexpr,
):
    """NewVals, NewIndx: [n_rows, K], contiguous."""
    row = (tl.program_id(0) * R + tl.arange(0, R)).to(tl.int64)
    choice = tl.arange(0, KP)
    inside = (row < n_rows)[:, None] & (choice < K)[None, :]
    at = row[:, None] * stride_im + choice[None, :] * stride_in
    column = tl.load(Indx + at, mask=inside, other=-1)
    has_word = inside & (column >= 0) & (column // 32 < n_words)
    at = row[:, None] * stride_wm + tl.where(has_word, column // 32, 0) * stride_wn
    word = tl.load(Words + at, mask=has_word, other=0).to(tl.int32)
    keep = has_word & (((word >> (column % 32).to(tl.int32)) & 1) != 0)
    value = tl.load(
        Vals + row[:, None] * stride_vm + choice[None, :] * stride_vn, mask=inside, other=0
    )
    one = keep.to(tl.int32)
    place = row[:, None] * K + tl.cumsum(one, axis=1) - one
    tl.store(NewVals + place, value, mask=keep)
    tl.store(NewIndx + place, column, mask=keep)
    left = inside & (choice[None, :] >= tl.sum(one, axis=1)[:, None])
    at = row[:, None] * K + choice[None, :]
    nothing = tl.full([R, KP], sentinel, tl.int32)
    tl.store(NewVals + at, nothing.to(value.dtype), mask=left)
    tl.store(NewIndx + at, nothing.to(column.dtype), mask=left)
