"""Plans of reduce and swiglu cover every result once and keep what they load in registers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("triton", reason="plans of launches are made beside the kernels")

from triton_kernels.reduce_details._plan import Run, least_wasteful_width, plan_reduce
from triton_kernels.swiglu_details._plan import collapse, plan_swiglu

sizes = st.one_of(st.integers(1, 70), st.integers(1, 2**22))
itemsizes = st.sampled_from([1, 2, 4])


def is_power_of_two(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


@settings(max_examples=500, deadline=None)
@given(
    n_rows=sizes,
    n_terms=st.one_of(st.just(0), sizes),
    n_columns=sizes,
    itemsize=itemsizes,
    run=st.sampled_from(Run),
    multiple=st.sampled_from([1, 2, 32, 64, 128]),
)
@example(n_rows=8192, n_terms=4, n_columns=2880, itemsize=2, run=Run.COLUMNS, multiple=1)
def test_tiles_of_sums_cover_all_and_fit_registers(
    n_rows, n_terms, n_columns, itemsize, run, multiple
):
    plan = plan_reduce(n_rows, n_terms, n_columns, itemsize, run, multiple)
    sides = (plan.rows, plan.columns, plan.terms)
    assert all(map(is_power_of_two, (*sides, plan.num_warps)))
    assert plan.columns % multiple == 0
    assert plan.n_programs == math.ceil(n_rows / plan.rows) * math.ceil(n_columns / plan.columns)
    # No side is mostly empty.
    assert plan.rows < 2 * n_rows and plan.terms < max(2 * n_terms, 2)
    assert plan.columns < max(2 * n_columns, multiple + 1)
    threads = 32 * plan.num_warps
    assert math.prod(sides) <= 64 * threads
    assert plan.steps * math.prod(sides) <= max(64 * threads, math.prod(sides))
    assert plan.steps == 1 or (plan.steps - 1) * plan.terms < n_terms


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float8_e4m3fn])
@pytest.mark.parametrize("shape", [(8192, 4, 2880), (4096, 8, 7168), (32768, 2, 2048)])
def test_choices_of_tokens_are_read_16_bytes_a_thread_and_all_at_once(shape, dtype):
    plan = plan_reduce(*shape, dtype.itemsize, Run.COLUMNS)
    assert plan.rows * plan.columns * dtype.itemsize == 16 * 32 * plan.num_warps
    assert plan.terms == 1
    assert plan.steps == min(shape[1], 64 * 32 * plan.num_warps // (plan.rows * plan.columns))


def test_terms_of_few_sums_are_read_side_by_side():
    few, many = (plan_reduce(n, 512, 16, 4, Run.COLUMNS) for n in (2, 100_000))
    assert few.terms > 1 == many.terms


@settings(max_examples=300, deadline=None)
@given(n_rows=sizes, n_columns=sizes, itemsize=itemsizes)
def test_tiles_of_swiglu_cover_all_and_fit_registers(n_rows, n_columns, itemsize):
    plan = plan_swiglu(n_rows, n_columns, itemsize)
    assert all(map(is_power_of_two, (plan.rows, plan.columns, plan.num_warps)))
    assert plan.n_programs == math.ceil(n_rows / plan.rows) * math.ceil(n_columns / plan.columns)
    assert plan.rows < 2 * n_rows and plan.columns < 2 * n_columns
    assert 2 * plan.rows * plan.columns <= 64 * 32 * plan.num_warps


@given(n_columns=sizes, most=st.sampled_from([1, 4, 256, 1024]))
def test_a_tile_is_as_wide_as_its_waste_allows(n_columns, most):
    def padded(width):
        return math.ceil(n_columns / width) * width

    width = least_wasteful_width(n_columns, most)
    assert is_power_of_two(width) and width <= most
    widest = min(most, 1 << (n_columns - 1).bit_length())
    others = [widest, widest // 2, widest // 4]
    for other in filter(None, others):
        assert (padded(width), -width) <= (padded(other), -other)


@given(st.data())
def test_collapsed_dimensions_number_the_same_rows(data):
    shape = data.draw(st.lists(st.integers(1, 4), max_size=4))
    base = torch.empty(*[size * 2 for size in shape], 2)
    order = data.draw(st.permutations(range(len(shape))))
    view = base[tuple(slice(0, None, data.draw(st.integers(1, 2))) for _ in shape)]
    view = view.permute(*order, len(shape))
    inner, strides = collapse(view.shape[:-1], view.stride()[:-1])
    assert len(strides) == len(inner) + 1
    index = torch.arange(base.numel()).as_strided(view.shape, view.stride())[..., 0].reshape(-1)
    for row, want in enumerate(index.tolist()):
        at, rest = 0, row
        for size, stride in zip(inner, strides, strict=False):
            at += rest % size * stride
            rest //= size
        assert at + rest * strides[-1] == want
