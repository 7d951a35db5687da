"""Routing on the new parts sends every token where the old routing sent it, with its gradient."""

from __future__ import annotations

import math
import warnings

import oracle
import pytest
import torch

from triton_kernels import SortedIndexOrderWarning
from triton_kernels.legacy import legacy_routing, legacy_routing_from_bitmatrix
from triton_kernels.legacy_details import _reference
from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
from triton_kernels.tensor import SparseMatrix
from triton_kernels.topk import topk

# Words of the published description of the refactoring, unchanged.
SEED_IMPORTS = """
from triton_kernels.matmul_ogs import RoutingData, GatherIndx, ScatterIndx
from triton_kernels.topk import topk_torch
from triton_kernels.topk import topk
from triton_kernels.tensor import BIT, SparseMatrix, Bitmatrix, make_ragged_tensor_metadata
"""

SEED_FUNCTION = """
def legacy_routing_from_bitmatrix(bitmatrix, expt_scal, expt_indx, n_expts_tot, n_expts_act):
    sparse_logits = SparseMatrix(indx=expt_indx, vals=expt_scal, mask=bitmatrix)
    dispatch_indx = sparse_logits.mask_metadata.col_sorted_indx
    combine_indx = sparse_logits.mask_metadata.row_sorted_indx
    ragged_batch_metadata = make_ragged_tensor_metadata(
        sparse_logits.mask_metadata.col_sum, dispatch_indx.shape[0])
    gate_scal = sparse_logits.vals.flatten()[combine_indx]
    routing_data = RoutingData(gate_scal, ragged_batch_metadata.batch_sizes,
                               n_expts_tot, n_expts_act, ragged_batch_metadata)
    gather_idx = GatherIndx(combine_indx, dispatch_indx)
    scatter_idx = ScatterIndx(dispatch_indx, combine_indx)
    return routing_data, gather_idx, scatter_idx
"""


def check(
    result: tuple[RoutingData, GatherIndx, ScatterIndx],
    logits: torch.Tensor,
    k: int,
    sm_first: bool,
    n_rows: int,
    given: list[list[int]] | None = None,
) -> None:
    """Everything that routing promises, from the rows of logits alone."""
    data, gather, scatter = result
    n_rows_max, n_experts = logits.shape
    rows = logits.tolist()
    chosen, gates = [], []
    for i, row in enumerate(rows):
        if i >= n_rows:
            chosen.append([-1] * k)
            gates.append([0.0] * k)
            continue
        scores = oracle.softmax(row) if sm_first else row
        chosen.append(given[i] if given else oracle.chosen_columns(scores, k))
        gates.append(oracle.slot_values(scores, chosen[i], not sm_first))
    col_sum, combine, dispatch = oracle.metadata(chosen, n_experts, n_rows)
    in_order = [0.0 if slot < 0 else gates[slot // k][slot % k] for slot in combine]

    assert (data.n_expts_tot, data.n_expts_act) == (n_experts, k)
    assert data.gate_scal.dtype == logits.dtype
    torch.testing.assert_close(data.gate_scal, torch.tensor(in_order), rtol=1e-5, atol=1e-7)
    assert data.expt_hist.tolist() == col_sum
    assert gather.src_indx.tolist() == scatter.dst_indx.tolist() == combine
    assert gather.dst_indx.tolist() == scatter.src_indx.tolist() == dispatch
    for vector in (data.expt_hist, gather.src_indx, gather.dst_indx):
        assert vector.dtype == torch.int32
    schedule = data.expt_data
    assert schedule.batch_sizes is data.expt_hist
    assert schedule.batch_offs.tolist() == oracle.running_sums(col_sum)
    width = schedule.block_schedule_data.shape[1]
    for row_of_size, block in enumerate(oracle.BLOCK_SIZES):
        expected = oracle.schedule(col_sum, block, width)
        assert schedule.block_schedule_data[row_of_size].tolist() == expected
        assert len(oracle.blocks(col_sum, block)) <= data.n_blocks(n_rows_max * k, block) <= width


GRID = [
    # (rows, of which real, experts, k)
    (37, 37, 128, 4),
    (256, 256, 13, 3),
    (0, 0, 8, 2),
    (1, 1, 1, 1),
    (115, 91, 128, 32),
    (9, 0, 16, 6),
    (12, 5, 1500, 8),
    (9, 7, 128, 100),
    (3, 2, 32767, 3),
]


@pytest.mark.parametrize("sm_first", [False, True])
@pytest.mark.parametrize("provided", [False, True])
@pytest.mark.parametrize("count_as", ["int", "tensor"])
@pytest.mark.parametrize(("n_rows_max", "n_rows", "n_experts", "k"), GRID)
def test_tokens_go_to_their_experts_in_stable_order(
    sm_first, provided, count_as, n_rows_max, n_rows, n_experts, k
):
    python, generator = oracle.fresh(sm_first, provided, n_rows_max, n_experts)
    logits = torch.randn(n_rows_max, n_experts, generator=generator)
    logits[n_rows:] = math.inf
    given = expt_indx = None
    if provided:
        given = [sorted(python.sample(range(n_experts), k)) for _ in range(n_rows_max)]
        expt_indx = torch.tensor(given, dtype=torch.int64).view(n_rows_max, k)
        expt_indx[n_rows:] = -99999
    count = n_rows if count_as == "int" else torch.tensor([n_rows], dtype=torch.int32)
    if n_rows == n_rows_max:
        count = None
    result = legacy_routing(logits, k, sm_first, expt_indx, count)
    check(result, logits, k, sm_first, n_rows, given)


@pytest.mark.parametrize("sm_first", [False, True])
@pytest.mark.parametrize("n_rows", [None, 4, torch.tensor([4])])
@pytest.mark.parametrize("garbage", [math.inf, math.nan])
def test_gates_carry_the_gradient_to_the_logits_of_real_rows(sm_first, n_rows, garbage):
    _, generator = oracle.fresh(sm_first, garbage)
    n_rows_max, n_experts, k = 6, 10, 3
    real = n_rows_max if n_rows is None else 4
    logits = torch.randn(n_rows_max, n_experts, generator=generator)
    logits[real:] = garbage
    logits.requires_grad_()
    data, gather, _ = legacy_routing(logits, k, sm_first, n_rows=n_rows)
    weight = torch.randn(n_rows_max * k, generator=generator)
    weight[real * k :] = math.nan  # the tail carries nothing
    data.gate_scal.backward(weight)
    assert (data.gate_scal[real * k :] == 0).all()
    slots = gather.src_indx.tolist()
    for i in range(n_rows_max):
        if i >= real:
            assert (logits.grad[i] == 0).all()
            continue

        def loss(row, i=i):
            # Which experts are chosen does not change with a small step.
            at = oracle.softmax(row) if sm_first else row
            columns = oracle.chosen_columns(logits[i].tolist(), k)
            values = oracle.slot_values(at, columns, not sm_first)
            return sum(
                weight[position].item() * values[slot % k]
                for position, slot in enumerate(slots)
                if slot >= 0 and slot // k == i
            )

        expected = oracle.slope(loss, logits[i].tolist(), step=1e-5)
        torch.testing.assert_close(logits.grad[i], torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_unused_slots_are_routed_nowhere_and_leak_no_gradient():
    expt_indx = torch.tensor([[2, -1], [-1, -1], [0, 2]])
    vals = torch.tensor([[0.5, 9.0], [9.0, 9.0], [0.25, 0.75]], requires_grad=True)
    mask = topk(torch.zeros(3, 4), 2, y_indx=expt_indx).mask
    data, gather, _ = legacy_routing_from_bitmatrix(mask, vals, expt_indx, 4, 2)
    assert data.gate_scal.tolist() == [0.25, 0.5, 0.75, 0.0, 0.0, 0.0]
    assert gather.src_indx.tolist() == [4, 0, 5, -1, -1, -1]
    data.gate_scal.backward(torch.arange(1.0, 7.0))
    assert vals.grad.tolist() == [[2.0, 0.0], [0.0, 0.0], [1.0, 3.0]]


def test_a_repeated_expert_gets_the_token_as_often_as_it_is_named():
    data, gather, _ = legacy_routing(torch.zeros(1, 3), 3, expt_indx=torch.tensor([[1, 1, 0]]))
    assert data.expt_hist.tolist() == [1, 2, 0]
    assert gather.src_indx.tolist() == [2, 0, 1]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("n_rows", "n_experts", "k"), [(1, 1, 1), (50, 128, 4), (33, 40, 7)])
def test_the_published_function_runs_word_for_word_and_agrees(padded, n_rows, n_experts, k):
    scope = {"__name__": "a_downstream_project"}
    exec(SEED_IMPORTS + SEED_FUNCTION, scope)
    _, generator = oracle.fresh(padded, n_rows)
    logits = torch.randn(n_rows, n_experts, generator=generator)
    count = torch.tensor([n_rows // 2]) if padded else None
    chosen = topk(logits, k, n_rows=count)
    arguments = (chosen.mask, chosen.vals, chosen.indx, n_experts, k)
    with pytest.warns(SortedIndexOrderWarning):
        theirs = scope["legacy_routing_from_bitmatrix"](*arguments)
    ours = legacy_routing_from_bitmatrix(*arguments)
    for got, want in zip(ours[1:], theirs[1:], strict=True):
        assert torch.equal(got.src_indx, want.src_indx)
        assert torch.equal(got.dst_indx, want.dst_indx)
    mine, other = ours[0], theirs[0]
    assert torch.equal(mine.expt_hist, other.expt_hist)
    assert (mine.n_expts_tot, mine.n_expts_act) == (other.n_expts_tot, other.n_expts_act)
    for name in ("batch_sizes", "batch_offs", "block_offs_data", "block_schedule_data"):
        assert torch.equal(getattr(mine.expt_data, name), getattr(other.expt_data, name))
    # On the unused tail theirs repeats the last value, which index -1 reads; ours is 0.
    used = ours[1].src_indx >= 0
    assert torch.equal(mine.gate_scal[used], other.gate_scal[used])
    assert (mine.gate_scal[~used] == 0).all()


def test_the_published_imports_all_exist():
    scope: dict[str, object] = {}
    exec(SEED_IMPORTS, scope)
    names = {"RoutingData", "GatherIndx", "ScatterIndx", "topk_torch", "topk", "BIT"}
    assert names | {"SparseMatrix", "Bitmatrix", "make_ragged_tensor_metadata"} <= set(scope)


def test_supported_routing_warns_of_nothing_and_sorts_once(monkeypatch):
    sorts = []
    real = _reference.sort_by_column_torch
    monkeypatch.setattr(_reference, "sort_by_column_torch", lambda *a: sorts.append(a) or real(*a))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        legacy_routing(torch.zeros(3, 8), 2, sm_first=True, n_rows=2)
        assert len(sorts) == 1
        chosen = topk(torch.zeros(3, 8), 2)
        legacy_routing_from_bitmatrix(chosen.mask, chosen.vals, chosen.indx, 8, 2)
    assert len(sorts) == 2


def test_the_records_hold_what_they_are_given():
    a, b = torch.zeros(1), torch.ones(1)
    data = RoutingData(a, b, 8, 2)
    assert (data.gate_scal, data.expt_hist, data.expt_data) == (a, b, None)
    assert data.expected_tokens_per_expt is None
    assert GatherIndx(src_indx=a, dst_indx=b) == GatherIndx(a, b)
    assert ScatterIndx(a, b).dst_indx is b
    assert [data.n_blocks(8, 16), data.n_blocks(9, 16), data.n_blocks(100, 16)] == [8, 8, 13]
    assert data.n_blocks(100, 128) == 8


def test_a_choice_made_by_hand_can_be_routed():
    chosen = topk(torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0]]), 1)
    matrix = SparseMatrix(chosen.indx, chosen.vals, chosen.mask)
    data, gather, scatter = legacy_routing_from_bitmatrix(
        matrix.mask, matrix.vals, matrix.indx, 3, 1
    )
    assert data.expt_hist.tolist() == [1, 1, 0]
    assert gather.src_indx.tolist() == [1, 0]
    assert torch.equal(scatter.src_indx, gather.dst_indx)


# --- errors


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"n_expts_act": 9}, ValueError, "n_expts_act: expected 1 to 8"),
        ({"n_expts_act": 2.0}, TypeError, "n_expts_act: expected an int"),
        ({"logits": torch.zeros(4)}, ValueError, "logits: expected 2 dimensions"),
        ({"logits": torch.zeros(4, 8).double()}, TypeError, "logits: expected dtype float32"),
        ({"n_rows": 5}, ValueError, "n_rows: expected 0 to 4"),
        ({"expt_indx": torch.zeros(4, 2)}, TypeError, "expt_indx: expected an int16, int32 or"),
        ({"expt_indx": torch.zeros(4, 3).int()}, ValueError, r"expt_indx: expected shape \[4, 2\]"),
        (
            {"expt_indx": torch.tensor([[0, 1], [8, 2], [-1, 0], [3, 4]])},
            ValueError,
            "expt_indx: expected columns 0 to 7, or -1, got 8",
        ),
        (
            {"expt_indx": torch.tensor([[0, 1], [0, 2], [-1, 0], [3, -2]]), "n_rows": 4},
            ValueError,
            "expt_indx: expected columns 0 to 7, or -1, got -2",
        ),
        (
            {"expt_indx": torch.zeros(4, 2, device="meta").int()},
            ValueError,
            "expt_indx: expected a tensor on cpu, where logits is",
        ),
    ],
)
def test_a_wrong_argument_is_named_as_the_caller_knows_it(arguments, error, text):
    with pytest.raises(error, match=text):
        legacy_routing(**{"logits": torch.zeros(4, 8), "n_expts_act": 2, **arguments})


def test_experts_that_do_not_exist_are_named_before_they_are_sorted():
    chosen = topk(torch.zeros(3, 8), 2)
    beyond = chosen.indx.clone()
    beyond[1, 0] = 8
    with pytest.raises(ValueError, match="expt_indx: expected columns 0 to 7, or -1, got 8"):
        legacy_routing_from_bitmatrix(chosen.mask, chosen.vals, beyond, 8, 2)
