"""Plans of launches cover every row and slot once, fit the hardware and count few launches."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("triton", reason="plans of launches are made beside the kernels")

from triton_kernels.legacy_details._buffer import BufferLayout
from triton_kernels.legacy_details._launch import RoutingPlan, plan_routing
from triton_kernels.target_info import Target, override
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata
from triton_kernels.topk_details._plan import (
    SortPlan,
    TilePlan,
    next_power_of_two,
    plan_given,
    plan_search,
    plan_sort,
)

# Triton refuses larger tensors.
MOST_ELEMENTS = 2**20

# Index vectors hold int32 numbers.
MOST_SLOTS = 2**31 - 1

rows = st.one_of(st.integers(0, 200), st.integers(0, 2**31))
columns = st.one_of(st.integers(1, 300), st.integers(1, 32767))


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int]:
    """(n_rows, n_columns, k)."""
    n_columns = draw(columns)
    k = draw(st.integers(1, min(n_columns, 256)))
    return min(draw(rows), MOST_SLOTS // k), n_columns, k


LARGEST = (MOST_SLOTS // 256, 32767, 256)


def is_power_of_two(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


def covers(tiles: TilePlan, n_rows: int, n_columns: int, k: int) -> None:
    assert (tiles.n_tiles - 1) * tiles.rows_per_tile < max(n_rows, 1)
    assert tiles.n_tiles * tiles.rows_per_tile >= n_rows
    assert tiles.rows_per_tile % tiles.rows == 0
    assert (tiles.k, tiles.choices) == (k, next_power_of_two(k))
    assert n_columns <= tiles.columns < max(2 * n_columns, 33)
    assert all(map(is_power_of_two, (tiles.rows, tiles.columns, tiles.num_warps)))
    assert tiles.num_warps <= 16


@settings(max_examples=300, deadline=None)
@given(shape=shapes(), wide_warps=st.booleans())
@example(shape=LARGEST, wide_warps=False)
def test_tiles_of_a_search_hold_whole_rows_in_registers(shape, wide_warps):
    tiles = plan_search(*shape, wide_warps=wide_warps)
    covers(tiles, *shape)
    assert tiles.rows <= 32  # the bits of a word number them
    assert tiles.rows_per_tile <= 2**16  # and 16 bits the slots of a column
    # 64 registers a thread, or a single row.
    assert tiles.rows * tiles.columns <= 64 * 32 * tiles.num_warps


@settings(max_examples=300, deadline=None)
@given(shape=shapes(), wide_warps=st.booleans())
@example(shape=(8192, 256, 16), wide_warps=False)
def test_lanes_that_share_rows_fill_warps_and_hold_what_the_search_can_sort(shape, wide_warps):
    tiles = plan_search(*shape, wide_warps=wide_warps)
    is_one_load = tiles.columns == 128 and shape[0] >= 512
    assert bool(tiles.lanes) == (tiles.k <= 16 and tiles.columns <= 512 and not is_one_load)
    if tiles.lanes:
        assert is_power_of_two(tiles.lanes) and 8 <= tiles.lanes <= 32
        assert tiles.columns % (4 * tiles.lanes) == 0  # four columns side by side
        assert tiles.columns // tiles.lanes <= 16
        warp = 64 if wide_warps else 32
        assert tiles.rows * tiles.lanes >= warp * tiles.num_warps  # no warp is idle


@settings(max_examples=300, deadline=None)
@given(shape=shapes(), whole_rows=st.booleans())
@example(shape=LARGEST, whole_rows=False)
@example(shape=LARGEST, whole_rows=True)
def test_tiles_of_given_columns_compare_few_slots(shape, whole_rows):
    tiles = plan_given(*shape, whole_rows=whole_rows)
    covers(tiles, *shape)
    if whole_rows:
        assert tiles.rows * tiles.columns <= 64 * 32 * tiles.num_warps
    assert tiles.rows * tiles.choices <= 256
    assert tiles.rows_per_tile * tiles.k <= 2**16  # a column can be repeated in every slot


@settings(max_examples=300, deadline=None)
@given(shape=shapes(), is_given=st.booleans())
@example(shape=LARGEST, is_given=True)
@example(shape=LARGEST, is_given=False)
def test_sorting_covers_the_slots_of_a_tile(shape, is_given):
    n_rows, _, k = shape
    tiles = (plan_given if is_given else plan_search)(*shape)
    sort = plan_sort(tiles, n_rows * k, 100_000, given=is_given)
    assert sort.slots_per_tile == tiles.rows_per_tile * k
    powers = (sort.slots_at_a_time, sort.tiles_at_a_time, sort.blocks_at_a_time, sort.scan_tiles)
    assert all(map(is_power_of_two, (*powers, sort.scan_columns, sort.num_warps)))
    assert sort.scan_tiles * sort.scan_columns <= MOST_ELEMENTS
    assert not (sort.packed and sort.scans)
    assert sort.packed or sort.tiles_at_a_time * tiles.columns <= max(16384, tiles.columns)
    if sort.packed:
        assert not is_given
        assert sort.tiles_at_a_time >= tiles.n_tiles  # all of them at once
        assert sort.tiles_at_a_time * tiles.columns <= 8192
        # A byte holds the rows of a tile, and half a word those of all tiles.
        assert tiles.rows_per_tile < 2**8 and tiles.n_tiles * tiles.rows_per_tile < 2**16
        assert sort.counts_width(shape[1]) * 4 == tiles.columns
    else:
        assert sort.counts_width(shape[1]) == shape[1]
    assert sort.blocks_at_a_time * tiles.columns <= max(2048, tiles.columns)


def regions(layout: BufferLayout, n_columns: int) -> list[tuple[int, int]]:
    """Where in the one allocation each vector begins and ends, rows of matrices one by one."""
    found = [(i * layout.stride_offs, n_columns + 1) for i in range(layout.n_sizes + 1)]
    for i in range(layout.n_sizes):
        found.append((layout.at_schedule + i * layout.stride_schedule, layout.width))
    found += [(layout.at_combine, layout.n_slots), (layout.at_dispatch, layout.n_slots)]
    found.append((layout.at_hist, n_columns))
    return [(start, start + length) for start, length in found]


def plan_of(shape: tuple[int, int, int], is_given: bool, backend: str = "cuda") -> RoutingPlan:
    with override(Target(backend, 90 if backend == "cuda" else "gfx942")):
        n_sizes = len(RaggedTensorMetadata.block_sizes())
    return plan_routing(*shape, given=is_given, softmax_first=False, n_sizes=n_sizes)


def launches(plan: RoutingPlan) -> int:
    return 1 if plan.is_small else 3 if plan.sort.scans else 2


@settings(max_examples=300, deadline=None)
@given(shape=shapes(), is_given=st.booleans(), backend=st.sampled_from(["cuda", "hip"]))
def test_the_vectors_of_one_call_lie_side_by_side_in_one_allocation(shape, is_given, backend):
    layout = plan_of(shape, is_given, backend).layout
    place = 0
    for start, end in regions(layout, shape[1]):
        assert place <= start <= end
        assert start % 4 == 0  # a thread loads 16 bytes
        place = end
    assert place == layout.numel
    assert layout.stride_offs % 512 == layout.stride_schedule % 512 == 0
    assert layout.width == RaggedTensorMetadata.max_n_blocks(shape[1], shape[0] * shape[2])


@settings(max_examples=300, deadline=None)
@given(shape=shapes(), is_given=st.booleans())
@example(shape=(1024, 128, 4), is_given=False)
@example(shape=(4096, 32767, 1), is_given=False)
@example(shape=(16, 256, 256), is_given=True)
def test_routing_takes_two_launches_at_most_up_to_4096_slots_and_three_beyond(shape, is_given):
    n_rows, _, k = shape
    plan = plan_of(shape, is_given)
    assert launches(plan) <= (2 if n_rows * k <= 4096 else 3)
    if plan.is_small:
        tiles = plan.tiles
        assert (tiles.n_tiles, tiles.rows) == (1, tiles.rows_per_tile)
        assert tiles.rows >= n_rows
        assert tiles.rows * tiles.columns <= 4096 and tiles.rows * tiles.choices <= 64
        covers(tiles, *shape)


@pytest.mark.parametrize(
    ("shape", "is_given", "expected"),
    [
        ((1, 128, 4), False, 1),
        ((16, 128, 4), False, 1),
        ((64, 128, 4), False, 2),
        ((8192, 32, 4), False, 2),
        ((8192, 128, 4), False, 3),
        ((8192, 256, 8), False, 3),
        ((8192, 384, 6), False, 3),
        ((65536, 128, 4), False, 3),
        ((1024, 128, 4), True, 2),
        ((1025, 128, 4), True, 3),
    ],
)
def test_what_the_usual_batches_take(shape, is_given, expected):
    assert launches(plan_of(shape, is_given)) == expected


def test_a_plan_is_made_once_for_a_shape():
    assert plan_search(100, 128, 4) is plan_search(100, 128, 4)
    assert plan_of((100, 128, 4), False) is plan_of((100, 128, 4), False)
    assert isinstance(plan_of((100, 128, 4), False).sort, SortPlan)


@pytest.mark.parametrize(("n", "expected"), [(0, 1), (1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_the_next_power_of_two(n, expected):
    assert next_power_of_two(n) == expected
