"""The facade against the oracle of the old semantics, on random batches of every shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import routing_oracle as oracle
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import triton_kernels.routing as facade

pytestmark = pytest.mark.filterwarnings("ignore::triton_kernels.TritonKernelsDeprecationWarning")

BLOCKS = (16, 32, 64, 128)
GARBAGE = 99999
examples = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@dataclass(frozen=True)
class Batch:
    """logits: in eighths, so that there are ties.  given: the experts of each row, in any order."""

    logits: list[list[float]]
    k: int
    sm_first: bool
    given: list[list[int]] | None
    n_rows: int | None
    count_on_device: bool
    index_dtype: torch.dtype

    @property
    def n_experts(self) -> int:
        return len(self.logits[0])

    @property
    def n_slots(self) -> int:
        return len(self.logits) * self.k

    def arguments(self) -> dict[str, Any]:
        """What old code passes; padded rows hold what must never be read."""
        logits = torch.tensor(self.logits, dtype=torch.float32)
        expt_indx = None
        if self.given is not None:
            expt_indx = torch.tensor(self.given, dtype=self.index_dtype)
        n_rows: Any = self.n_rows
        if self.n_rows is not None:
            logits[self.n_rows :] = float("inf")
            if expt_indx is not None:
                expt_indx[self.n_rows :] = -min(GARBAGE, torch.iinfo(self.index_dtype).max)
            if self.count_on_device:
                n_rows = torch.tensor([self.n_rows], dtype=torch.int32)
        return {
            "logits": logits,
            "n_expts_act": self.k,
            "sm_first": self.sm_first,
            "expt_indx": expt_indx,
            "n_rows": n_rows,
        }

    def expected(self, kept_experts: int | None = None) -> oracle.Routed:
        return oracle.route(
            self.logits, self.k, self.sm_first, self.given, self.n_rows, kept_experts
        )


@st.composite
def batches(draw: st.DrawFn, n_experts: Any = None) -> Batch:
    n_tokens = draw(st.integers(1, 24))
    n_experts = draw(n_experts if n_experts is not None else st.integers(1, 70))
    k = draw(st.integers(1, min(n_experts, 9)))
    random = draw(st.randoms(use_true_random=False))
    logits = [[random.randrange(-24, 24) / 8 for _ in range(n_experts)] for _ in range(n_tokens)]
    given = None
    if draw(st.booleans()):
        given = [random.sample(range(n_experts), k) for _ in range(n_tokens)]
    return Batch(
        logits,
        k,
        draw(st.booleans()),
        given,
        draw(st.none() | st.integers(0, n_tokens)),
        draw(st.booleans()),
        draw(st.sampled_from([torch.int16, torch.int32, torch.int64])),
    )


def check(result: Any, expected: oracle.Routed, batch: Batch, n_slots: int) -> None:
    """n_slots: entries of the vectors that were returned."""
    data, gather, scatter = result
    n_filled = len(expected.sorted_gates)
    for vector, want in (
        (gather.src_indx, expected.combine),
        (gather.dst_indx, expected.dispatch),
        (scatter.src_indx, expected.dispatch),
        (scatter.dst_indx, expected.combine),
    ):
        assert vector.tolist() == want[:n_slots]
        assert vector.dtype == torch.int32
    assert data.expt_hist.tolist() == expected.hist
    assert (data.n_expts_tot, data.n_expts_act) == (len(expected.hist), batch.k)
    assert data.gate_scal[:n_filled].tolist() == pytest.approx(
        expected.sorted_gates, rel=1e-5, abs=1e-7
    )
    assert data.gate_scal.shape == (n_slots,)
    assert not data.gate_scal[n_filled:].any()
    check_schedule(data.expt_data, expected.hist, batch.n_slots)


def check_schedule(schedule: Any, sizes: list[int], n_slots: int) -> None:
    assert schedule.hist.tolist() == sizes
    assert schedule.token_offs_raw.tolist() == oracle.offsets(sizes)
    for block in BLOCKS:
        assert schedule.token_offs_pad[block].tolist() == oracle.block_offsets(sizes, block)
        assert schedule.block_pid_map[block].tolist() == oracle.block_schedule(
            sizes, block, n_slots
        )


@examples
@given(batches())
def test_routing(batch: Batch) -> None:
    check(facade.routing(**batch.arguments()), batch.expected(), batch, batch.n_slots)


@examples
@given(batches())
def test_routing_torch(batch: Batch) -> None:
    n_valid = len(batch.logits) if batch.n_rows is None else batch.n_rows
    check(facade.routing_torch(**batch.arguments()), batch.expected(), batch, n_valid * batch.k)


@examples
@given(batches(n_experts=st.sampled_from([4, 12, 32, 36, 64])), st.sampled_from([1, 2, 4]))
def test_routing_of_one_simulated_rank(batch: Batch, simulated_ep: int) -> None:
    result = facade.routing(**batch.arguments(), simulated_ep=simulated_ep)
    expected = batch.expected(batch.n_experts // simulated_ep)
    check(result, expected, batch, batch.n_slots)


@examples
@given(batches())
def test_routing_in_two_steps_and_in_three(batch: Batch) -> None:
    arguments = batch.arguments()
    logits, n_experts = arguments["logits"], batch.n_experts
    if batch.sm_first:
        logits = torch.softmax(logits, dim=-1)
    vals, indx, bitmatrix = facade.topk(
        logits,
        batch.k,
        apply_softmax=not batch.sm_first,
        y_indx=arguments["expt_indx"],
        n_rows=arguments["n_rows"],
    )
    expected = batch.expected()
    result = facade.routing_from_bitmatrix(bitmatrix, vals, indx, n_experts, batch.k)
    check(result, expected, batch, batch.n_slots)
    hist, combine, dispatch, gates, offs, offs_pad, pid_map = facade.sort_tokens(
        vals, indx, n_experts, bitmatrix
    )
    data = facade.RoutingData(
        gates, hist, n_experts, batch.k, facade.ExptData(hist, offs, offs_pad, pid_map)
    )
    gather, scatter = facade.GatherIndx(combine, dispatch), facade.ScatterIndx(dispatch, combine)
    check((data, gather, scatter), expected, batch, batch.n_slots)


@examples
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=40),
    st.integers(0, 500),
    st.sampled_from(["compute_expt_data", "compute_expt_data_torch"]),
)
def test_compute_expt_data(sizes: list[int], spare: int, name: str) -> None:
    n_slots = sum(sizes) + spare
    hist = torch.tensor(sizes, dtype=torch.int32)
    check_schedule(getattr(facade, name)(hist, len(sizes), n_slots), sizes, n_slots)


@examples
@given(batches())
def test_gradients_of_the_gates(batch: Batch) -> None:
    arguments = batch.arguments()
    logits = arguments["logits"].requires_grad_()
    gates = facade.routing(**arguments)[0].gate_scal
    weights = torch.rand(gates.shape, generator=torch.Generator().manual_seed(0))
    (gates * weights).sum().backward()
    expected = batch.expected()
    n_valid = len(batch.logits) if batch.n_rows is None else batch.n_rows
    for token, row in enumerate(batch.logits):
        want = [0.0] * batch.n_experts
        slots = range(token * batch.k, (token + 1) * batch.k) if token < n_valid else ()
        pulls = {i: weights[expected.dispatch[i]].item() for i in slots}
        mean = sum(expected.gates[i] * pulls[i] for i in slots)
        if batch.sm_first and slots:
            want = [-p * mean for p in oracle.softmax(row)]
        for i in slots:
            expert, gate = expected.chosen[i], expected.gates[i]
            want[expert] += gate * (pulls[i] if batch.sm_first else pulls[i] - mean)
        assert logits.grad is not None
        assert logits.grad[token].tolist() == pytest.approx(want, rel=1e-4, abs=1e-6)
