"""The repaired interpreter sorts, reduces, scans, gathers, loads and counts as a GPU does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

# Sorts, reductions and scans.


@triton.jit
def sort_rows(x, y, M: tl.constexpr, N: tl.constexpr, DESCENDING: tl.constexpr):
    at = tl.arange(0, M)[:, None] * N + tl.arange(0, N)
    tl.store(y + at, tl.sort(tl.load(x + at), descending=DESCENDING))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_rows_with_ties_are_sorted(dtype, descending):
    x = torch.randint(-9, 9, (8, 64)).to(dtype)
    y = torch.empty_like(x)
    sort_rows[(1,)](x, y, M=8, N=64, DESCENDING=descending)
    assert torch.equal(y, x.sort(descending=descending).values)


@triton.jit
def reductions(x, sums, parities, firsts, M: tl.constexpr, N: tl.constexpr):
    rows = tl.arange(0, M)
    block = tl.load(x + rows[:, None] * N + tl.arange(0, N))
    tl.store(sums + rows, tl.sum(block, axis=1))
    tl.store(parities + rows, tl.xor_sum(block.to(tl.int32), axis=1))
    tl.store(firsts + rows, tl.argmax(block, axis=1))


def test_reductions_of_bfloat16_and_the_first_of_equal_maxima():
    x = torch.randint(0, 5, (8, 512)).to(torch.bfloat16)
    sums = torch.empty(8, dtype=torch.bfloat16)
    parities, firsts = torch.empty(2, 8, dtype=torch.int32)
    reductions[(1,)](x, sums, parities, firsts, M=8, N=512)
    assert torch.equal(sums, x.float().sum(dim=1).to(torch.bfloat16))
    assert parities.tolist() == np.bitwise_xor.reduce(x.int().numpy(), axis=1).tolist()
    assert firsts.tolist() == np.argmax(x.float().numpy(), axis=1).tolist()


@triton.jit
def later_of_largest(key, place, other_key, other_place):
    keep = (key > other_key) | ((key == other_key) & (place > other_place))
    return tl.where(keep, key, other_key), tl.where(keep, place, other_place)


@triton.jit
def largest(x, keys, places, M: tl.constexpr, N: tl.constexpr, KEEP: tl.constexpr):
    rows = tl.arange(0, M)
    block = tl.load(x + rows[:, None] * N + tl.arange(0, N))
    index = tl.broadcast_to(tl.arange(0, N)[None, :], (M, N))
    key, place = tl.reduce((block, index), 1, later_of_largest, keep_dims=KEEP)
    at = rows[:, None] if KEEP else rows
    tl.store(keys + at, key)
    tl.store(places + at, place)


@pytest.mark.parametrize("keep_dims", [False, True])
def test_a_reduction_of_pairs_by_a_function_of_our_own(keep_dims):
    x = torch.randint(0, 5, (4, 32)).float()
    keys, places = torch.empty(4), torch.empty(4, dtype=torch.int32)
    largest[(1,)](x, keys, places, M=4, N=32, KEEP=keep_dims)
    assert torch.equal(keys, x.amax(dim=1))
    assert places.tolist() == [row.nonzero().max().item() for row in x == x.amax(1, keepdim=True)]


@triton.jit
def last_where_started(value, start, other_value, other_start):
    return tl.where(other_start != 0, other_value, value + other_value), start | other_start


@triton.jit
def scans(x, start, y, z, N: tl.constexpr, REVERSE: tl.constexpr):
    at = tl.arange(0, N)
    values = tl.load(x + at)
    tl.store(y + at, tl.cumsum(values, reverse=REVERSE))
    segments = (values, tl.load(start + at))
    running, _ = tl.associative_scan(segments, 0, last_where_started, reverse=REVERSE)
    tl.store(z + at, running)


@pytest.mark.parametrize("reverse", [False, True])
def test_running_sums_and_running_sums_that_start_anew(reverse):
    x = torch.randint(-9, 9, (64,), dtype=torch.int32)
    start = (torch.rand(64) < 0.2).int()
    y, z = torch.empty_like(x), torch.empty_like(x)
    scans[(1,)](x, start, y, z, N=64, REVERSE=reverse)

    order = slice(None, None, -1 if reverse else 1)
    values, starts = x.numpy()[order], start.numpy()[order]
    running, expected = 0, []
    for value, begins in zip(values, starts, strict=True):
        running = value + (0 if begins else running)
        expected.append(running)
    assert y.numpy()[order].tolist() == np.cumsum(values).tolist()
    assert z.numpy()[order].tolist() == expected


calls = []


@triton.jit
def counted_maximum(a, b):
    calls.append(a.shape)
    return tl.maximum(a, b)


@triton.jit
def maxima(x, y, N: tl.constexpr):
    values = tl.load(x + tl.arange(0, N))
    tl.store(y + tl.arange(0, N), tl.associative_scan(values, 0, counted_maximum))
    tl.store(y, tl.reduce(values, 0, counted_maximum))


def test_functions_of_our_own_are_called_once_for_a_power_of_two_of_lanes():
    calls.clear()
    x, y = torch.randn(1024), torch.empty(1024)
    maxima[(1,)](x, y, N=1024)
    assert len(calls) == 10 + 10
    assert torch.equal(y[1:], x.cummax(dim=0).values[1:])
    assert y[0] == x.max()


# Memory.


@triton.jit
def gather_columns(x, index, y, M: tl.constexpr, N: tl.constexpr):
    at = tl.arange(0, M)[:, None] * N + tl.arange(0, N)
    tl.store(y + at, tl.gather(tl.load(x + at), tl.load(index + at), axis=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gather_along_an_axis(dtype):
    x = torch.randn(4, 16).to(dtype)
    index = torch.randint(0, 16, (4, 16), dtype=torch.int32)
    y = torch.empty_like(x)
    gather_columns[(1,)](x, index, y, M=4, N=16)
    assert torch.equal(y, x.gather(1, index.long()))


@triton.jit
def count(index, counts, before, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    place = tl.load(index + at)
    one = tl.full((BLOCK,), 1, counts.dtype.element_ty)
    tl.store(before + at, tl.atomic_add(counts + place, one, mask=place >= 0))


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.bfloat16])
def test_atomic_additions_to_one_address_all_count(dtype):
    index = torch.randint(-1, 4, (2, 32), dtype=torch.int32)
    counts, before = torch.zeros(4, dtype=dtype), torch.empty(2, 32, dtype=dtype)
    count[(2,)](index, counts, before, BLOCK=32)
    expected = torch.bincount(index[index >= 0], minlength=4)
    assert counts.tolist() == expected.tolist()
    for place in range(4):  # each saw another count on its way
        assert sorted(before[index == place].tolist()) == list(range(expected[place]))


@triton.jit
def masked_load(x, y, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n, other=-1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_masked_load_gives_other_where_it_does_not_read(dtype):
    x, y = torch.ones(5, dtype=dtype), torch.empty(8, dtype=dtype)
    masked_load[(1,)](x, y, 5, BLOCK=8)
    assert y.tolist() == [1.0] * 5 + [-1.0] * 3


@triton.jit
def copy_tile(source, target):
    target.store([0, 0], source.load([2, 0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_descriptor_reads_zero_outside(dtype):
    x, y = torch.ones(4, 16, dtype=dtype), torch.empty(4, 16, dtype=dtype)
    copy_tile[(1,)](
        TensorDescriptor.from_tensor(x, [4, 16]), TensorDescriptor.from_tensor(y, [4, 16])
    )
    assert y.sum(dim=1).tolist() == [16, 16, 0, 0]


@triton.jit
def store_before(x, n, last, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    inside = (at < n) & (tl.program_id(0) < last)
    tl.store(x + at, 1, mask=inside)


@pytest.mark.parametrize(("last", "stored"), [(1, 5), (0, 0)])
def test_a_condition_on_a_scalar_masks_a_block(last, stored):
    x = torch.zeros(8)
    store_before[(1,)](x, 5, last, BLOCK=8)
    assert x.sum() == stored
