"""Every way that routing can take through its kernels ends at the values that ops promise.

What decides the way is the size of a batch, and sizes that matter on a GPU take the interpreter
minutes.  So the plans are made with smaller limits here, and each test says which way it means.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import oracle
import pytest
import torch
from test_bitmatrix import agrees, mask
from test_legacy import check
from triton.runtime.interpreter import GridExecutor, interpreter_builder

from triton_kernels import dispatch
from triton_kernels.dispatch import Implementation
from triton_kernels.legacy import Routing, legacy_routing, legacy_routing_from_bitmatrix
from triton_kernels.legacy_details import _launch
from triton_kernels.tensor import make_ragged_tensor_metadata
from triton_kernels.tensor_details.bitmatrix import make_bitmatrix_metadata
from triton_kernels.tensor_details.bitmatrix_details._sort import _scan_counts
from triton_kernels.topk import topk
from triton_kernels.topk_details import _plan


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that were launched, in order."""
    names: list[str] = []
    stock = GridExecutor.__call__

    def launch(self: GridExecutor, *arguments: object, **options: object) -> None:
        names.append(self.fn.__name__)
        stock(self, *arguments, **options)

    monkeypatch.setattr(GridExecutor, "__call__", launch)
    return names


Limit = Callable[..., None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Limit]:
    """Make plans with other limits."""
    planners = (
        _plan.plan_search,
        _plan.plan_given,
        _plan.plan_sort,
        _launch.plan_routing,
        _launch.plan_choice,
    )

    def forget() -> None:
        for planner in planners:
            planner.cache_clear()

    def change(**limits: int) -> None:
        for name, value in limits.items():
            module = _launch if hasattr(_launch, name) else _plan
            monkeypatch.setattr(module, name, value)
        forget()

    yield change
    monkeypatch.undo()
    forget()


SMALL, TWO, THREE = (
    ["_route_small_batch"],
    ["_topk_forward", "_place_slots"],
    ["_topk_forward", "_scan_counts", "_place_slots"],
)


class Way(NamedTuple):
    """A way through the kernels: limits, and what is launched."""

    limits: dict[str, int]
    launches: list[str]
    tiles: int | None = None


TILES = {"_SMALL_BATCH_SLOTS": 0}
SCAN = {**TILES, "_TWO_LAUNCHES_SLOTS": -1, "_PACKED_COUNTS": 0}


def most_tiles(n: int) -> dict[str, int]:
    return dict.fromkeys(("_MOST_TILES", "_LANES_MOST_TILES", "_NARROW_LANES_MOST_TILES"), n)


WAYS = {
    "one program": Way({}, SMALL, 1),
    "one program, whole warps": Way({"_LANES_MOST_CHOICES": 0}, SMALL, 1),
    "tiles": Way(TILES, TWO),
    "tiles whose counts are words": Way({**TILES, "_PACKED_COUNTS": 0}, TWO),
    "tiles and a scan": Way(SCAN, THREE),
    "tiles of several chunks": Way({**TILES, **most_tiles(2), "_LANES_TILES": 4096}, TWO, 2),
    "chunks and a scan": Way({**SCAN, **most_tiles(2), "_LANES_TILES": 4096}, THREE, 2),
    "chunks as their numbers have bits": Way(
        {**TILES, **most_tiles(1), "_MOST_SLOTS_OF_A_COLUMN": 256}, TWO
    ),
    "lanes with several rows each": Way({**TILES, "_LANES_TILES": 1}, TWO),
    "whole warps": Way({**TILES, "_LANES_MOST_CHOICES": 0, "_PACKED_COUNTS": 0}, TWO),
    "whole warps and a scan": Way({**SCAN, "_LANES_MOST_CHOICES": 0}, THREE),
}

# What is given is not searched, and takes no other way there.
ONLY_SEARCHED = {
    "one program, whole warps",
    "tiles whose counts are words",
    "lanes with several rows each",
    "whole warps",
    "whole warps and a scan",
}

# (rows, of which real, experts, k): what fits one program, then what does not.
FEW = [(1, 1, 1, 1), (4, 3, 13, 3), (8, 8, 128, 8), (16, 11, 40, 4), (2, 2, 1500, 32)]
LONG = {"tiles of several chunks": [(11, 10, 128, 100)]}
MANY = [(0, 0, 13, 3), (67, 61, 13, 3), (40, 40, 128, 6), (35, 33, 128, 1), (9, 7, 1500, 32)]
CASES = [
    (way, shape, columns)
    for way in WAYS
    for shape in (*(FEW if "one" in way else MANY), *LONG.get(way, ()))
    for columns in ("searched", "given", "repeated")
    if columns == "searched" or way not in ONLY_SEARCHED
]


@pytest.mark.parametrize(("way", "shape", "columns"), CASES)
def test_tokens_go_to_their_experts_whichever_way_they_take(limit, launched, way, shape, columns):
    limits, launches, n_tiles = WAYS[way]
    limit(**limits)
    n_rows_max, n_rows, n_experts, k = shape
    python, generator = oracle.fresh(way, shape, columns)
    sm_first, on_device = python.random() < 0.5, python.random() < 0.5
    # A number of values that makes many of them equal.
    logits = torch.randint(-20, 20, (n_rows_max, n_experts), generator=generator) / 4
    logits[n_rows:] = math.nan
    given = indx = None
    if columns != "searched":
        most = 3 if columns == "repeated" else n_experts
        given = [
            [python.randrange(-1, min(most, n_experts)) for _ in range(k)]
            for _ in range(n_rows_max)
        ]
        dtype = python.choice([torch.int16, torch.int32, torch.int64])
        indx = torch.tensor(given, dtype=dtype).view(n_rows_max, k)
        indx[n_rows:] = python.choice([0, -99, n_experts])
    count = torch.tensor([n_rows], dtype=torch.int32) if on_device else n_rows
    if n_rows == n_rows_max and python.random() < 0.5:
        count = None
    plan = _launch.plan_routing(
        n_rows_max, n_experts, k, given=given is not None, softmax_first=sm_first, n_sizes=4
    )
    if n_tiles is not None:
        assert plan.tiles.n_tiles <= n_tiles
    result = legacy_routing(logits, k, sm_first, indx, count)
    assert launched == launches
    check(result, logits, k, sm_first, n_rows, given)


@pytest.mark.parametrize(("columns", "launches"), [("searched", TWO), ("given", THREE)])
def test_more_than_4096_slots_take_as_many_launches_as_planned(launched, columns, launches):
    n_rows, n_experts, k = 1030, 13, 4
    _, generator = oracle.fresh(columns)
    logits = torch.randn(n_rows, n_experts, generator=generator)
    given = None
    if columns == "given":
        given = torch.randint(-1, n_experts, (n_rows, k), generator=generator)
    result = legacy_routing(logits, k, expt_indx=given)
    assert launched == launches
    check(result, logits, k, False, n_rows, None if given is None else given.tolist())


@pytest.mark.parametrize("most_choices", [0, 16])
def test_tiles_use_every_bit_of_the_words_that_number_their_rows(limit, most_choices):
    # All rows choose the same experts: the numbers of a tile's slots reach the last one.
    limit(_LANES_MOST_CHOICES=most_choices, _LANES_TILES=16)
    logits = torch.zeros(1030, 13)
    logits[:, 4:7] = 1
    check(legacy_routing(logits, 3), logits, 3, False, 1030)
    plan = _launch.plan_routing(1030, 13, 3, given=False, softmax_first=False, n_sizes=4)
    assert plan.tiles.rows == 32


@pytest.mark.parametrize("n_rows", [4, 67, 1400])
def test_all_index_vectors_come_from_one_allocation_and_fill_it_but_for_padding(n_rows):
    data, gather, scatter = legacy_routing(torch.randn(n_rows, 13), 3)
    schedule = data.expt_data
    vectors = [data.expt_hist, gather.src_indx, gather.dst_indx]
    vectors += [scatter.src_indx, scatter.dst_indx]
    vectors += [schedule.batch_offs, schedule.block_offs_data, schedule.block_schedule_data]
    (memory,) = {vector.untyped_storage().data_ptr() for vector in vectors}
    storage = data.expt_hist.untyped_storage()
    assert storage.data_ptr() == memory
    buffer = torch.tensor([], dtype=torch.int32).set_(storage)
    poison = torch.iinfo(torch.int32).max
    assert all((vector != poison).all() for vector in vectors)
    for vector in vectors:
        vector.fill_(poison)
    assert (buffer == poison).all()  # nothing was written between them


def test_nothing_is_allocated_and_thrown_away(monkeypatch):
    """Kept: gates and index vectors.  Beside them tiles need values and counts in between."""
    kept = []
    for name in ("empty", "empty_like", "zeros", "full", "ones"):
        stock = getattr(torch, name)
        monkeypatch.setattr(
            torch, name, lambda *a, _stock=stock, **o: kept.append(1) or _stock(*a, **o)
        )
    for n_rows, most in ((4, 2), (67, 4)):
        logits = torch.randn(n_rows, 13)
        kept.clear()
        legacy_routing(logits, 3)
        assert len(kept) <= most


@pytest.mark.parametrize(("scan", "launches"), [(False, TWO), (True, THREE)])
def test_a_choice_made_elsewhere_is_sorted_and_scheduled_at_once(limit, launched, scan, launches):
    limit(_TWO_LAUNCHES_SLOTS=-1 if scan else 4096)
    chosen = topk(torch.randn(9, 20), 3, n_rows=torch.tensor([7]))
    launched.clear()
    ours = legacy_routing_from_bitmatrix(chosen.mask, chosen.vals, chosen.indx, 20, 3)
    assert launched == launches
    theirs = as_reference(
        lambda: legacy_routing_from_bitmatrix(chosen.mask, chosen.vals, chosen.indx, 20, 3)
    )
    for name in ("gate_scal", "expt_hist"):
        assert torch.equal(getattr(ours[0], name), getattr(theirs[0], name))
    for name in ("src_indx", "dst_indx"):
        assert torch.equal(getattr(ours[1], name), getattr(theirs[1], name))
    for name in ("batch_sizes", "batch_offs", "block_offs_data", "block_schedule_data"):
        assert torch.equal(getattr(ours[0].expt_data, name), getattr(theirs[0].expt_data, name))


def test_each_op_is_one_launch_forward_and_one_backward(launched):
    x = torch.randn(9, 20, requires_grad=True)
    topk(x, 3).vals.sum().backward()
    assert launched == ["_topk_forward", "_topk_backward"]
    launched.clear()
    legacy_routing(x, 3)[0].gate_scal.sum().backward()
    assert launched == ["_route_small_batch", "_topk_backward"]


# --- kernels and references side by side


def now(call: Callable[[], object]) -> object:
    return call()


def as_reference(call: Callable[[], object]) -> object:
    with dispatch.override(Implementation.REFERENCE):
        return call()


def gradients_agree(logits, k, sm_first, given, count) -> None:
    def run() -> tuple[Routing, torch.Tensor]:
        leaf = logits.clone().requires_grad_()
        result = legacy_routing(leaf, k, sm_first, given, count)
        weight = torch.linspace(-1, 1, result[0].gate_scal.numel()).to(logits.dtype)
        result[0].gate_scal.backward(weight.flip(0)[::1])
        return result, leaf.grad

    (ours, gradient), (reference, expected) = run(), as_reference(run)
    eps = torch.finfo(logits.dtype).eps
    assert torch.equal(ours[1].src_indx, reference[1].src_indx)
    torch.testing.assert_close(
        ours[0].gate_scal, reference[0].gate_scal, rtol=max(2 * eps, 1e-5), atol=1e-7
    )
    # The reference rounds to the dtype of the logits between softmax and choice.
    torch.testing.assert_close(gradient, expected, rtol=max(4 * eps, 1e-4), atol=max(eps, 1e-5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sm_first", [False, True])
@pytest.mark.parametrize("columns", ["searched", "given", "repeated"])
@pytest.mark.parametrize("shape", [(5, 3, 13, 3), (67, 61, 13, 6), (6, 6, 300, 1)])
def test_values_and_gradients_are_those_of_the_reference(dtype, sm_first, columns, shape):
    n_rows_max, n_rows, n_experts, k = shape
    _, generator = oracle.fresh(dtype, sm_first, columns, shape)
    # So far apart that rounding confuses no two of a row, nor their softmax.
    order = torch.rand(n_rows_max, n_experts, generator=generator).argsort(1)
    logits = (order * (3.0 / min(n_experts, 13)) - 1).clamp(max=10)
    if n_experts > 13:
        logits = torch.where(order < 13, order * 0.25, -5.0)
    logits = logits.to(dtype)
    logits[n_rows:] = math.nan
    given = None
    if columns != "searched":
        most = 2 if columns == "repeated" else n_experts
        given = torch.randint(-1, most, (n_rows_max, k), generator=generator)
    strided = torch.stack([logits, logits], dim=2)[..., 0].t().contiguous().t()
    for count in (n_rows, torch.tensor([n_rows])):
        gradients_agree(strided, k, sm_first, given, count)


@pytest.mark.parametrize("sm_first", [False, True])
def test_rows_of_minus_infinity_and_nan_are_nan_as_in_the_reference(sm_first):
    inf = math.inf
    logits = torch.tensor([[-inf] * 6, [math.nan] * 6, [0.0, -inf, 1, -inf, -inf, 2], [inf] * 6])
    logits = torch.cat([logits, torch.randn(3, 6)])
    for given in (None, torch.tensor([[1, 0, 5], [3, -1, 2], [1, 3, 4], *[[0, -1, -1]] * 4])):

        def run(given=given):
            return legacy_routing(logits, 3, sm_first, given)

        ours, reference = run(), as_reference(run)
        assert torch.equal(ours[1].src_indx, reference[1].src_indx)
        torch.testing.assert_close(
            ours[0].gate_scal, reference[0].gate_scal, equal_nan=True, rtol=1e-6, atol=0
        )


# --- the search


def hostile(n_rows: int, n_columns: int, generator: torch.Generator) -> torch.Tensor:
    """Rows of each kind in turn: what a search could confuse."""

    def some(share: float) -> torch.Tensor:
        return torch.rand(n_rows, n_columns, generator=generator) < share

    def bits(low: int, high: int) -> torch.Tensor:
        shape = (n_rows, n_columns)
        return torch.randint(low, high, shape, generator=generator, dtype=torch.int64)

    plain = torch.randn(n_rows, n_columns, generator=generator)
    alike = (bits(0, 4000) + 0x3F800000).to(torch.int32).view(torch.float32)
    nan = torch.where(some(0.5), 0x7F800000, 0xFF800000) | bits(1, 1 << 23)
    nan = torch.where(nan >= 1 << 31, nan - (1 << 32), nan).to(torch.int32).view(torch.float32)
    zeros = torch.where(some(0.5), 0.0, -0.0)
    lowest = torch.where(some(0.5), -math.inf, torch.finfo(torch.float32).min)
    kinds = [
        plain,
        (plain * 2).round() / 2,  # ties
        alike,  # differ by less than columns take from a key
        -alike,
        torch.where(some(0.1), nan, plain),
        torch.where(some(0.7), zeros, plain),
        torch.where(some(0.05), plain, lowest),
        torch.where(some(0.2), math.inf, torch.where(some(0.2), nan, -math.inf)),
    ]
    kind = torch.arange(n_rows) % len(kinds)
    return torch.stack(kinds)[kind, torch.arange(n_rows)]


# Whatever widths they are better for, lanes can search all of these.
LANES = {"_LANES_MOST_COLUMNS": 1024, "_WHOLE_WARP_ROWS": 1 << 30, "_LANES_TILES": 1}


@pytest.mark.parametrize("n_tiles", [1, 128])
@pytest.mark.parametrize(
    ("n_columns", "k"),
    [(32, 4), (13, 13), (100, 1), (128, 2), (128, 7), (256, 8), (200, 16), (384, 6), (1024, 3)],
)
def test_lanes_choose_exactly_the_best_of_rows_that_confuse(limit, n_tiles, n_columns, k):
    limit(**LANES | {"_LANES_TILES": n_tiles})
    _, generator = oracle.fresh(n_tiles, n_columns, k)
    x = hostile(16, n_columns, generator)
    # All that matter in one lane, of few or of many.
    x[0, : n_columns // 8] = x[8, :4] = torch.randn(1, generator=generator).abs() + 9
    lanes = _plan.plan_search(16, n_columns, k).lanes
    own = (torch.arange(n_columns) // 4) % lanes == lanes // 2
    x[9] = torch.where(own, x[9].abs() + 100, x[9])
    assert torch.equal(topk(x, k).indx, as_reference(lambda: topk(x, k).indx))


@pytest.mark.parametrize("sm_first", [False, True])
@pytest.mark.parametrize(("n_columns", "k"), [(32, 4), (100, 1), (128, 4), (256, 8), (384, 6)])
def test_lanes_choose_exactly_between_two_at_the_edge(limit, sm_first, n_columns, k):
    """All other entries are far from each other."""
    limit(**LANES)
    _, generator = oracle.fresh(sm_first, n_columns, k)
    rank = torch.rand(16, n_columns, generator=generator).argsort(1)
    x = rank / 4.0
    last = (n_columns - k) / 4.0
    step = torch.tensor([*range(-7, 8), 20]).unsqueeze(1) * (2**-17 if sm_first else 2**-18)
    x = torch.where(rank == n_columns - k - 1, last + step, x)
    ours, theirs = (call(lambda: legacy_routing(x, k, sm_first)) for call in (now, as_reference))
    assert torch.equal(ours[1].src_indx, theirs[1].src_indx)


@pytest.mark.parametrize(("n_columns", "k"), [(32, 4), (128, 4), (256, 7), (256, 8), (384, 6)])
@pytest.mark.parametrize("place", ["three at the edge", "in one lane"])
def test_lanes_choose_exactly_among_several_that_are_alike(limit, place, n_columns, k):
    limit(**LANES)
    _, generator = oracle.fresh(place, n_columns, k)
    rank = torch.rand(16, n_columns, generator=generator).argsort(1)
    if place == "in one lane":
        lanes = _plan.plan_search(16, n_columns, k).lanes
        alike = ((torch.arange(n_columns) // 4) % lanes == 1).expand(16, n_columns)
    else:
        alike = (rank - (n_columns - k)).abs() <= 1
    steps = torch.rand(16, n_columns, generator=generator).argsort(1)
    x = torch.where(alike, n_columns + steps * 2**-13, rank / 4.0)
    if place != "in one lane":
        x = torch.where(rank > n_columns - k + 1, x + 2.0 * n_columns, x)
    assert torch.equal(topk(x, k).indx, as_reference(lambda: topk(x, k).indx))


@pytest.mark.parametrize(("n_columns", "k"), [(32, 4), (256, 8)])
def test_lanes_choose_exactly_after_a_softmax_of_whole_rows(limit, n_columns, k):
    limit(**LANES)
    _, generator = oracle.fresh(n_columns, k)
    # Of powers of two the softmax is the same however it is computed, and full of ties.
    x = math.log(2) * torch.randint(-30, 2, (16, n_columns), generator=generator)
    ours, theirs = (call(lambda: legacy_routing(x, k, True)[1]) for call in (now, as_reference))
    assert torch.equal(ours.src_indx, theirs.src_indx)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lanes_choose_exactly_where_16_bits_make_many_ties(limit, dtype):
    limit(**LANES)
    _, generator = oracle.fresh(dtype)
    x = hostile(16, 256, generator).to(dtype)
    assert torch.equal(topk(x, 8).indx, as_reference(lambda: topk(x, 8).indx))


# --- loops that usual sizes do not enter


def test_counts_of_many_tiles_are_added_up_in_several_steps():
    counts = torch.randint(0, 9, (1100, 20), dtype=torch.int32)
    sums = torch.empty(20, dtype=torch.int32)
    before = counts.cumsum(0) - counts
    total = counts.sum(0)
    _scan_counts[(2,)](
        counts, sums, 1100, n_columns=20, TILES=512, COLUMNS=16, OVERLAP=False, num_warps=8
    )
    assert torch.equal(counts.long(), before)
    assert torch.equal(sums.long(), total)


@pytest.mark.parametrize("slots", ["repeated", "mixed"])
def test_slots_are_sorted_through_every_loop(limit, slots):
    """Two tiles of many chunks; 1200 slots in one, placed 1024 at a time."""
    limit(_MOST_TILES=2)  # of given columns
    python, _ = oracle.fresh(slots)
    most = 4 if slots == "repeated" else 128
    rows = [[python.randrange(-1, most) for _ in range(100)] for _ in range(23)]
    agrees(make_bitmatrix_metadata(torch.tensor(rows), mask(rows, 128)), rows, 128, 23)


def test_the_schedule_of_many_rows_is_written_by_several_programs():
    python, _ = oracle.fresh()
    sizes = [python.randrange(0, 4000) for _ in range(13)]
    result = make_ragged_tensor_metadata(torch.tensor(sizes, dtype=torch.int32), sum(sizes))
    width = result.block_schedule_data.shape[1]
    assert width > 1024
    for row, block in enumerate(oracle.BLOCK_SIZES):
        assert result.block_schedule_data[row].tolist() == oracle.schedule(sizes, block, width)


@pytest.mark.parametrize("sizes", [[3, -40, 5, 60], [-5, -7], [2**31 - 200, 100]])
def test_impossible_sizes_write_nothing_outside(monkeypatch, sizes):
    """Values mean nothing then; that no lane leaves the buffers is what the interpreter checks."""
    silent = dataclasses.replace(interpreter_builder.options, debug=False, sanitize_overflow=False)
    monkeypatch.setattr(interpreter_builder, "options", silent)
    make_ragged_tensor_metadata(torch.tensor(sizes, dtype=torch.int32), 100)
