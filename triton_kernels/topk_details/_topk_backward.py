"""The kernel of `topk` backward, and of routing, whose gradient arrives in the order of columns."""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.topk_details._selection import (
    load_n_rows,
    load_rows,
    softmax_terms,
    softmax_value,
)


@triton.jit(do_not_specialize=["n_rows"])
def _topk_backward(
    X,
    stride_xm,
    stride_xn,
    Indx,
    stride_im,
    stride_in,
    DVals,
    stride_dm,
    stride_dn,
    Dispatch,
    DX,
    n_rows_max,
    n_rows,
    n_columns: tl.constexpr,
    K: tl.constexpr,
    SOFTMAX: tl.constexpr,
    SOFTMAX_FIRST: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
    KP: tl.constexpr,
):
    """DX: [n_rows_max, n_columns], contiguous; every element is written.

    Indx: [n_rows_max, K], the columns; what is no column is an unused slot.
    DVals: [n_rows_max, K]; or, with Dispatch, [n_rows_max * K], where slot i has Dispatch[i].
    """
    limit = load_n_rows(n_rows, n_rows_max)
    row = tl.program_id(0) * R + tl.arange(0, R)
    choice = tl.arange(0, KP)
    used = (row < limit)[:, None] & (choice < K)[None, :]
    at = row[:, None].to(tl.int64) * stride_im + choice[None, :] * stride_in
    column_of = tl.load(Indx + at, mask=used, other=-1)
    used &= (column_of >= 0) & (column_of < n_columns)
    chosen = tl.where(used, column_of.to(tl.int32), 0)
    if Dispatch is None:
        at = row[:, None].to(tl.int64) * stride_dm + choice[None, :] * stride_dn
    else:
        at = tl.load(Dispatch + row[:, None] * K + choice[None, :], mask=used, other=-1)
        used &= at >= 0
        at = at.to(tl.int64) * stride_dn
    gradient = tl.load(DVals + at, mask=used, other=0.0).to(tl.float32)
    if SOFTMAX:
        at = row[:, None].to(tl.int64) * stride_xm + chosen * stride_xn
        entry = tl.load(X + at, mask=used, other=float("-inf"))
        best, total = softmax_terms(entry)
        y = tl.where(used, softmax_value(entry, best, total), 0.0)
        gradient = y * (gradient - tl.sum(y * gradient, axis=1)[:, None])
        gradient = tl.where(used, gradient, 0.0)
    column = tl.arange(0, C)
    dx = tl.zeros([R, C], tl.float32)
    for number in range(K):
        mine = (choice == number)[None, :]
        share = tl.sum(tl.where(mine, gradient, 0.0), axis=1)
        target = tl.sum(tl.where(mine & used, chosen + 1, 0), axis=1) - 1
        dx += tl.where(column[None, :] == target[:, None], share[:, None], 0.0)
    if SOFTMAX_FIRST:
        x, exists = load_rows(X, stride_xm, stride_xn, row, limit, n_columns, C)
        best, total = softmax_terms(x)
        p = tl.where(exists, softmax_value(x, best, total), 0.0)
        dx = p * (dx - tl.sum(p * dx, axis=1)[:, None])
        dx = tl.where(exists, dx, 0.0)
    inside = (row < n_rows_max)[:, None] & (column < n_columns)[None, :]
    at = row[:, None].to(tl.int64) * n_columns + column[None, :]
    tl.store(DX + at, dx.to(DX.dtype.element_ty), mask=inside)
