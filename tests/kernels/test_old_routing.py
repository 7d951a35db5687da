"""What old code alone still calls behaves as it did in the release that had it."""

from __future__ import annotations

import inspect
import math
import pickle

import oracle
import pytest
import torch

from triton_kernels import TritonKernelsDeprecationWarning
from triton_kernels import legacy as old
from triton_kernels.tensor import BIT, Bitmatrix, RaggedTensorMetadata


def logits(n_rows: int, n_experts: int, *seed: object) -> torch.Tensor:
    return torch.randn(n_rows, n_experts, generator=oracle.fresh(n_rows, n_experts, *seed)[1])


def same_routing(a, b) -> bool:
    return (
        torch.equal(a[0].gate_scal, b[0].gate_scal)
        and torch.equal(a[0].expt_hist, b[0].expt_hist)
        and (a[0].n_expts_tot, a[0].n_expts_act) == (b[0].n_expts_tot, b[0].n_expts_act)
        and all(torch.equal(x.src_indx, y.src_indx) for x, y in zip(a[1:], b[1:], strict=True))
        and all(torch.equal(x.dst_indx, y.dst_indx) for x, y in zip(a[1:], b[1:], strict=True))
    )


# --- routing and its fifth argument


def test_routing_shows_the_signature_of_the_releases():
    assert list(inspect.signature(old.routing).parameters) == [
        *["logits", "n_expts_act", "sm_first", "expt_indx", "simulated_ep", "n_rows"]
    ]
    assert old.routing.__name__ == "routing"


@pytest.mark.parametrize("sm_first", [False, True])
def test_every_unambiguous_form_of_the_call_means_what_it_meant(sm_first):
    x = logits(9, 16)
    whole = old.legacy_routing(x, 3, sm_first)
    part = old.legacy_routing(x, 3, sm_first, n_rows=4)
    count = torch.tensor([4], dtype=torch.int32)
    for call in (
        lambda: old.routing(x, 3, sm_first),
        lambda: old.routing(x, n_expts_act=3, sm_first=sm_first, simulated_ep=1),
        lambda: old.routing(x, 3, sm_first, None, None),
        lambda: old.routing(x, 3, sm_first, None, 1, None),
    ):
        assert same_routing(call(), whole)
    for call in (
        lambda: old.routing(x, 3, sm_first, None, count),
        lambda: old.routing(x, 3, sm_first, None, 1, count),
        lambda: old.routing(x, 3, sm_first, None, 1, 4),
        lambda: old.routing(x, 3, sm_first, None, n_rows=4),
        lambda: old.routing(x, 3, sm_first, None, 1, n_rows=4),
    ):
        assert same_routing(call(), part)


@pytest.mark.parametrize("fifth", [1, 4])
def test_a_fifth_argument_that_could_be_either_is_an_error_that_says_so(fifth):
    with pytest.raises(TypeError, match=f"fifth argument {fifth} is simulated_ep in releases"):
        old.routing(logits(9, 16), 3, False, None, fifth)


@pytest.mark.parametrize("sm_first", [False, True])
@pytest.mark.parametrize("simulated_ep", [2, 4])
@pytest.mark.parametrize("n_rows", [None, 6])
def test_simulated_expert_parallelism_keeps_the_first_experts(sm_first, simulated_ep, n_rows):
    x = logits(9, 16, simulated_ep)
    k, n_kept = 5, 16 // simulated_ep
    data, gather, scatter = old.routing(x, k, sm_first, simulated_ep=simulated_ep, n_rows=n_rows)
    slots, gates = [], []
    for i, row in enumerate(x.tolist()):
        scores = oracle.softmax(row) if sm_first else row
        columns = oracle.chosen_columns(scores, k)
        values = oracle.slot_values(scores, columns, not sm_first)
        kept = [(c, v) for c, v in zip(columns, values, strict=True) if c < n_kept]
        if n_rows is not None and i >= n_rows:
            kept = []
        slots.append([c for c, _ in kept] + [-1] * (k - len(kept)))
        gates.append([v for _, v in kept] + [0.0] * (k - len(kept)))
    col_sum, combine, dispatch = oracle.metadata(slots, n_kept, 9)
    assert (data.n_expts_tot, data.n_expts_act) == (n_kept, k)
    assert data.expt_hist.tolist() == col_sum
    assert gather.src_indx.tolist() == scatter.dst_indx.tolist() == combine
    assert gather.dst_indx.tolist() == dispatch
    expected = [0.0 if slot < 0 else gates[slot // k][slot % k] for slot in combine]
    torch.testing.assert_close(data.gate_scal, torch.tensor(expected))


def test_simulated_expert_parallelism_must_divide_the_experts():
    for simulated_ep in (3, 0, -1):
        with pytest.raises(ValueError, match="simulated_ep: expected a divisor of 16"):
            old.routing(logits(2, 16), 3, simulated_ep=simulated_ep)


# --- the reference


@pytest.mark.parametrize("sm_first", [False, True])
@pytest.mark.parametrize("count", [None, 5, torch.tensor([5])])
@pytest.mark.parametrize("provided", [False, True])
def test_the_reference_agrees_on_the_valid_prefix(sm_first, count, provided):
    x = logits(8, 20, provided)
    n_rows, k = (8 if count is None else 5), 3
    x[n_rows:] = math.inf
    expt_indx = None
    if provided:
        expt_indx = torch.rand(8, 20, generator=oracle.fresh()[1]).argsort(1)[:, :k].sort(1).values
        expt_indx[n_rows:] = -99999
    reference = old.routing_torch(x, k, sm_first, expt_indx, count)
    result = old.routing(x, k, sm_first, expt_indx, n_rows=count)
    n = n_rows * k
    assert reference[0].gate_scal.shape == (n,)
    # Of one softmax over all experts and another over rows of two lengths: a unit or two.
    torch.testing.assert_close(reference[0].gate_scal, result[0].gate_scal[:n], rtol=1e-6, atol=0)
    assert torch.equal(reference[0].expt_hist, result[0].expt_hist)
    for vector in ("src_indx", "dst_indx"):
        for got, want in zip(reference[1:], result[1:], strict=True):
            assert torch.equal(getattr(got, vector), getattr(want, vector)[:n])
            assert (getattr(want, vector)[n:] == -1).all()
    for name in ("batch_offs", "block_offs_data", "block_schedule_data"):
        assert torch.equal(
            getattr(reference[0].expt_data, name), getattr(result[0].expt_data, name)
        )


# --- from a bit matrix


def test_an_old_bit_matrix_as_wide_as_its_words_is_cut_to_the_experts():
    x = logits(6, 20)
    vals, indx, bitmatrix = old.topk(x, 3)
    assert bitmatrix.shape == [6, 32]
    data, gather, _ = old.routing_from_bitmatrix(bitmatrix, vals, indx, 20, 3)
    assert data.expt_hist.shape == (20,)
    assert same_routing((data, gather), old.legacy_routing(x, 3)[:2])


# --- schedule


@pytest.mark.parametrize("compute", [old.compute_expt_data, old.compute_expt_data_torch])
def test_expert_data_is_made_of_the_first_sizes(compute):
    hist = torch.tensor([15, 17, 0, 127, 99], dtype=torch.int32)
    data = compute(hist, 4, 159)
    assert data.batch_sizes.tolist() == [15, 17, 0, 127]
    assert data.batch_offs.tolist() == [0, 15, 32, 32, 159]
    assert compute(hist, 5, 300).batch_sizes is hist
    assert isinstance(data, RaggedTensorMetadata) and isinstance(data, old.ExptData)
    with pytest.raises(ValueError, match="expt_hist: expected 1 dimension of at least 6"):
        compute(hist, 6, 159)


@pytest.mark.parametrize("compute", [old.compute_expt_data, old.compute_expt_data_torch])
def test_no_sizes_make_a_record_of_none(compute):
    data = compute(None, 4, 159)
    assert data.batch_sizes is data.batch_offs is data.block_offs_data is None
    with pytest.warns(TritonKernelsDeprecationWarning):
        assert data.hist is data.token_offs_pad is data.block_pid_map is None
    with pytest.raises(ValueError, match="block_size: expected one of"):
        data.block_offs(16)


# --- ExptData


def tables() -> tuple[dict[int, torch.Tensor], dict[int, torch.Tensor]]:
    offs = {b: torch.tensor([0, b], dtype=torch.int32) for b in (64, 16)}
    pids = {b: torch.tensor([b], dtype=torch.int32) for b in (64, 16)}
    return offs, pids


@pytest.mark.parametrize("by_keyword", [False, True])
def test_expert_data_made_of_dicts_keeps_their_tensors_and_order(by_keyword):
    hist = torch.tensor([3], dtype=torch.int32)
    starts = torch.tensor([0, 3], dtype=torch.int32)
    offs, pids = tables()
    if by_keyword:
        data = old.ExptData(
            hist=hist, token_offs_raw=starts, token_offs_pad=offs, block_pid_map=pids
        )
    else:
        data = old.ExptData(hist, starts, offs, pids)
    with pytest.warns(TritonKernelsDeprecationWarning):
        assert data.hist is hist and data.token_offs_raw is starts
    with pytest.warns(TritonKernelsDeprecationWarning):
        old_offs, old_pids = data.token_offs_pad, data.block_pid_map
    assert list(old_offs) == list(old_pids) == [64, 16]
    assert old_offs[16] is old_offs(16) is offs[16]
    assert all(old_pids[b] is tensor for b, tensor in pids.items())
    assert data.block_offs(64) is offs[64]
    assert data.block_schedule(16) is pids[16]
    offs[16].fill_(7)  # as a replayed CUDA graph is fed
    assert data.block_offs_data.tolist() == [[0, 64], [7, 7]]
    assert data.block_schedule_data.tolist() == [[64], [16]]
    with pytest.raises(ValueError, match=r"block_size: expected one of \[64, 16\]"):
        data.block_offs(32)
    with pytest.raises(AttributeError, match="'ExptData' object has no attribute 'tokens'"):
        _ = data.tokens


@pytest.mark.parametrize("form", ["positional", "old keywords"])
def test_expert_data_made_of_stacked_tensors_is_ragged_metadata(form):
    made = old.compute_expt_data(torch.tensor([15, 17], dtype=torch.int32), 2, 32)
    parts = (made.batch_sizes, made.batch_offs, made.block_offs_data, made.block_schedule_data)
    if form == "positional":
        data = old.ExptData(*parts)
    else:
        data = old.ExptData(
            parts[0], parts[1], token_offs_pad_data=parts[2], block_pid_map_data=parts[3]
        )
    assert data.block_offs_data is parts[2]
    assert data.block_schedule(32).tolist() == made.block_schedule(32).tolist()
    assert isinstance(data, RaggedTensorMetadata)
    assert not isinstance(parts[0], old.ExptData)


def test_expert_data_survives_a_pickle():
    offs, pids = tables()
    data = pickle.loads(pickle.dumps(old.ExptData(None, None, offs, pids)))
    assert data.block_offs(64).tolist() == [0, 64]
    assert data.block_schedule_data.tolist() == [[64], [16]]


# --- sorting


@pytest.mark.parametrize("sort", [old.sort_tokens, old.SortTokens.apply])
def test_sorting_gives_seven_results_or_in_the_oldest_form_four(sort):
    x = logits(6, 20)
    vals, indx, bitmatrix = old.topk(x, 3)
    vals.requires_grad_()
    seven = sort(vals, indx, 20, bitmatrix)
    data, gather, _ = old.routing_from_bitmatrix(bitmatrix, vals, indx, 20, 3)
    expected = (
        data.expt_hist,
        gather.src_indx,
        gather.dst_indx,
        data.gate_scal,
        data.expt_data.batch_offs,
        data.expt_data.block_offs_data,
        data.expt_data.block_schedule_data,
    )
    assert len(seven) == 7
    assert all(torch.equal(got, want) for got, want in zip(seven, expected, strict=True))
    four = sort(vals, indx, Bitmatrix(bitmatrix.storage, dtype=BIT, shape=[6, 20]))
    assert len(four) == 4
    assert all(torch.equal(got, want) for got, want in zip(four, expected[:4], strict=True))
    weight = torch.arange(18.0)
    seven[3].backward(weight)
    assert vals.grad.flatten().tolist() == [weight[p].item() for p in gather.dst_indx.tolist()]


def test_sorting_without_a_bit_matrix_says_so():
    with pytest.raises(TypeError, match="bitmatrix: expected a Bitmatrix, got None"):
        old.sort_tokens(torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.int16), 4)


# --- pruning


@pytest.mark.parametrize("prune", [old.prune_routing, old.PruneRouting.apply])
@pytest.mark.parametrize(("n_experts", "simulated_ep"), [(64, 2), (20, 2), (40, 5), (128, 1)])
def test_pruning_clears_bits_in_place_and_moves_what_stays_to_the_front(
    prune, n_experts, simulated_ep
):
    n_kept, k = n_experts // simulated_ep, 6
    vals, indx, bitmatrix = old.topk(logits(9, n_experts), k)
    vals.requires_grad_()
    pruned, columns, same = prune(vals, indx, bitmatrix, n_experts, simulated_ep)
    assert same is bitmatrix
    assert bitmatrix.shape[-1] == n_kept
    kept = [[c for c in row if c < n_kept] for row in indx.tolist()]
    assert columns.tolist() == [row + [-1] * (k - len(row)) for row in kept]
    words = [oracle.packed_words(row, n_experts) for row in kept]
    assert bitmatrix.data.view(torch.int32).tolist() == words
    weight = torch.randn(9, k, generator=oracle.fresh(n_experts)[1])
    pruned.backward(weight)
    for row, before in enumerate(indx.tolist()):
        gradients = iter(weight[row].tolist())
        stays = [c < n_kept for c in before]
        want = [v for v, s in zip(vals[row].tolist(), stays, strict=True) if s]
        assert pruned[row].tolist() == want + [-1.0] * (k - len(want))
        assert vals.grad[row].tolist() == [next(gradients) if s else 0.0 for s in stays]


def test_pruning_in_the_oldest_form_takes_the_experts_from_the_bit_matrix():
    vals, indx, bitmatrix = old.topk(logits(5, 64), 4)
    _, columns, _ = old.prune_routing(vals, indx, bitmatrix, 4)
    assert bitmatrix.shape == [5, 16]
    assert columns.max() < 16


# --- the small ones


@pytest.mark.parametrize("apply_softmax", [False, True])
def test_old_topk_gives_values_columns_and_bits_of_whole_words(apply_softmax):
    x = logits(6, 45)
    vals, indx, bitmatrix = old.topk(x, 5, apply_softmax, 1, True, None, 4)
    columns = [oracle.chosen_columns(row, 5) for row in x[:4].tolist()]
    assert indx[:4].tolist() == columns
    expected = [
        oracle.slot_values(row, cs, apply_softmax)
        for row, cs in zip(x[:4].tolist(), columns, strict=True)
    ]
    torch.testing.assert_close(vals[:4], torch.tensor(expected))
    assert (bitmatrix.shape, bitmatrix.shape_max) == ([4, 64], [6, 64])
    assert old.topk(x, 5, return_bitmatrix=False)[2] is None


def test_old_topk_torch_ranks_by_value_and_applies_no_softmax():
    x = torch.tensor([[1.0, 3.0, 2.0, 3.0], [0.0, -1.0, 5.0, 0.0]])
    vals, indx = old.topk_torch(x, 3)
    assert vals.tolist() == [[3.0, 3.0, 2.0], [5.0, 0.0, 0.0]]
    assert indx.tolist() == [[1, 3, 2], [2, 0, 3]]
    assert indx.dtype == torch.int32
    given = torch.tensor([[3, 0], [1, 2]])
    vals, indx = old.topk_torch(x, 2, given)
    assert vals.tolist() == [[3.0, 1.0], [-1.0, 5.0]]
    assert indx.tolist() == given.tolist()
    assert old.topk_torch(x, 2, given, False)[1].tolist() == [[1, 3], [2, 0]]
    assert old.topk_torch(x, 2, given, True)[1].tolist() == given.tolist()


def test_powers_of_two_have_their_exponent():
    assert [old.log2_power_of_two(1 << i) for i in range(12)] == list(range(12))
    assert 1 << old.block_m_log2_start == 16
    for x in (0, 3, -4, 12):
        with pytest.raises(ValueError, match="x: expected a power of two"):
            old.log2_power_of_two(x)


def test_every_listed_name_exists():
    assert [name for name in old.__all__ if not hasattr(old, name)] == []
