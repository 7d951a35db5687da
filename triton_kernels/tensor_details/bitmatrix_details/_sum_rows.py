"""The kernel of `sum_bitmatrix_rows`."""

from __future__ import annotations

import triton
import triton.language as tl

from triton_kernels.topk_details._selection import load_n_rows


@triton.jit(do_not_specialize=["n_rows"])
def _sum_bitmatrix_rows(
    Words,
    stride_m,
    stride_n,
    Sums,
    Partials,
    stride_partials,
    n_rows_max,
    n_rows,
    n_columns,
    block_size,
    ROWS: tl.constexpr,
):
    """Grid (blocks of rows, words).  Sums: zeros on entry.  Partials: [32 * words, blocks]."""
    block, word = tl.program_id(0), tl.program_id(1)
    limit = load_n_rows(n_rows, n_rows_max)
    bit = tl.arange(0, 32)
    count = tl.zeros([32], tl.int32)
    for start in range(0, block_size, ROWS):
        within = start + tl.arange(0, ROWS)
        row = block * block_size + within
        inside = (within < block_size) & (row < limit)
        at = Words + row.to(tl.int64) * stride_m + word * stride_n
        words = tl.load(at, mask=inside, other=0).to(tl.uint32, bitcast=True)
        count += tl.sum(((words[:, None] >> bit[None, :]) & 1).to(tl.int32), axis=0)
    column = word * 32 + bit
    tl.store(Partials + column * stride_partials + block, count)
    tl.atomic_add(Sums + column, count, mask=(column < n_columns) & (count > 0))
