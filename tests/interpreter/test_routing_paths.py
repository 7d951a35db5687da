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
    planners = (_plan.plan_search, _plan.plan_given, _plan.plan_sort, _launch.plan_routing)

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


WAYS = {
    "one program": Way({}, SMALL, 1),
    "tiles": Way({"_SMALL_BATCH_SLOTS": 0}, TWO),
    "tiles and a scan": Way({"_SMALL_BATCH_SLOTS": 0, "_TWO_LAUNCHES_SLOTS": -1}, THREE),
    "tiles of several chunks": Way({"_SMALL_BATCH_SLOTS": 0, "_MOST_TILES": 2}, TWO, 2),
    "chunks and a scan": Way(
        {"_SMALL_BATCH_SLOTS": 0, "_MOST_TILES": 2, "_TWO_LAUNCHES_SLOTS": -1}, THREE, 2
    ),
    "chunks as their numbers have bits": Way(
        {"_SMALL_BATCH_SLOTS": 0, "_MOST_TILES": 1, "_MOST_SLOTS_OF_A_COLUMN": 256}, TWO
    ),
}

# (rows, of which real, experts, k): what fits one program, then what does not.
FEW = [(1, 1, 1, 1), (4, 3, 13, 3), (8, 8, 128, 8), (16, 11, 40, 4), (2, 2, 1500, 32)]
MANY = [(0, 0, 13, 3), (67, 61, 13, 3), (40, 40, 128, 6), (35, 33, 128, 1), (9, 7, 1500, 32)]
CASES = [("one program", shape) for shape in FEW]
CASES += [(way, shape) for way in WAYS for shape in MANY if way != "one program"]
CASES.append(("tiles of several chunks", (11, 10, 128, 100)))


@pytest.mark.parametrize("columns", ["searched", "given", "repeated"])
@pytest.mark.parametrize(("way", "shape"), CASES)
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


@pytest.mark.parametrize("columns", ["searched", "given"])
def test_more_than_4096_slots_take_three_launches_as_planned(launched, columns):
    n_rows, n_experts, k = 1030, 13, 4
    _, generator = oracle.fresh(columns)
    logits = torch.randn(n_rows, n_experts, generator=generator)
    given = None
    if columns == "given":
        given = torch.randint(-1, n_experts, (n_rows, k), generator=generator)
    result = legacy_routing(logits, k, expt_indx=given)
    assert launched == THREE
    check(result, logits, k, False, n_rows, None if given is None else given.tolist())


def test_tiles_of_32_rows_use_every_bit_of_a_word():
    # All rows choose the same experts: the numbers of a tile's slots reach 31.
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


def test_a_choice_made_elsewhere_is_sorted_and_scheduled_once(launched):
    chosen = topk(torch.randn(9, 20), 3)
    launched.clear()
    legacy_routing_from_bitmatrix(chosen.mask, chosen.vals, chosen.indx, 20, 3)
    assert launched == ["_topk_forward", "_place_slots", "_ragged_tensor_metadata"]


def test_each_op_is_one_launch_forward_and_one_backward(launched):
    x = torch.randn(9, 20, requires_grad=True)
    topk(x, 3).vals.sum().backward()
    assert launched == ["_topk_forward", "_topk_backward"]
    launched.clear()
    legacy_routing(x, 3)[0].gate_scal.sum().backward()
    assert launched == ["_route_small_batch", "_topk_backward"]


# --- kernels and references side by side


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
    limit(_MOST_TILES=2)
    python, _ = oracle.fresh(slots)
    most = 4 if slots == "repeated" else 150
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
