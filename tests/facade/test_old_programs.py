"""Programs as they were written for each release run on the facade, unchanged, and give the same.

Each program is text, run as a file of its own, and its results are compared with an oracle in
plain Python.
"""

from __future__ import annotations

import random
import textwrap
import warnings
from typing import Any

import pytest
import routing_oracle as oracle
import torch

from triton_kernels import TritonKernelsDeprecationWarning

N_EXPERTS, K = 12, 4
# As many experts as a word of the bit matrix has bits: release 3.4 asked the bit matrix, which is
# as wide as its words, how many experts there are.
WORD = 32
BLOCKS = (16, 32, 64, 128)


def random_logits(n_tokens: int, seed: int = 0, n_experts: int = N_EXPERTS) -> list[list[float]]:
    # Sixteenths are exact in float32 and leave no near ties; columns break the exact ones.
    draw = random.Random(seed)
    return [[draw.randrange(-64, 64) / 16 for _ in range(n_experts)] for _ in range(n_tokens)]


def run(source: str, **given: Any) -> dict[str, Any]:
    """The names that the program leaves behind; that it warned of its old names is checked."""
    namespace = {"__name__": "program", "torch": torch, **given}
    code = compile(textwrap.dedent(source), "program.py", "exec", dont_inherit=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        exec(code, namespace)
    ours = [w for w in seen if issubclass(w.category, TritonKernelsDeprecationWarning)]
    assert ours
    assert {w.filename for w in ours} == {"program.py"}
    return namespace


def check(result: dict[str, Any], expected: oracle.Routed) -> None:
    rdata, gather, scatter = result["rdata"], result["gather_indx"], result["scatter_indx"]
    n_slots, n_valid = len(expected.chosen), len(expected.sorted_gates)
    assert gather.src_indx.tolist() == expected.combine
    assert gather.dst_indx.tolist() == expected.dispatch
    assert scatter.src_indx.tolist() == expected.dispatch
    assert scatter.dst_indx.tolist() == expected.combine
    for indices in (gather.src_indx, gather.dst_indx, rdata.expt_hist):
        assert indices.dtype == torch.int32
    assert rdata.expt_hist.tolist() == expected.hist
    assert rdata.n_expts_tot == len(expected.hist)
    assert rdata.n_expts_act == K
    assert rdata.gate_scal.shape == (n_slots,)
    assert rdata.gate_scal[:n_valid].tolist() == pytest.approx(expected.sorted_gates, rel=1e-5)
    assert not rdata.gate_scal[n_valid:].any()
    assert rdata.expt_data.slice_sizes.tolist() == expected.hist
    assert rdata.expt_data.slice_offs.tolist() == oracle.offsets(expected.hist)


CALLS = [
    # (call in the program, arguments of the oracle)
    ("routing(logits, 4, simulated_ep=1)", {}),
    ("routing(logits, 4)", {}),
    ("routing(logits, n_expts_act=4)", {}),
    ("routing(logits, 4, sm_first=True)", {"sm_first": True}),
    ("routing(logits, 4, True)", {"sm_first": True}),
    ("routing(logits, 4, False, expt_indx)", {"given": True}),
    (
        "routing(logits, 4, True, expt_indx, n_rows=21)",
        {"given": True, "sm_first": True, "n_rows": 21},
    ),
    ("routing(logits, 4, False, None, 1, None)", {}),
    ("routing(logits, 4, False, None, 1, 21)", {"n_rows": 21}),
    ("routing(logits, 4, False, None, torch.tensor([21], dtype=torch.int32))", {"n_rows": 21}),
    ("routing(logits, 4, n_rows=torch.tensor([21], dtype=torch.int32))", {"n_rows": 21}),
    (
        "routing(logits, 4, sm_first=False, expt_indx=None, simulated_ep=1, n_rows=None)",
        {},
    ),
    ("routing(logits, 4, simulated_ep=2)", {"kept_experts": N_EXPERTS // 2}),
    ("routing(logits, 4, False, None, 3, None)", {"kept_experts": N_EXPERTS // 3}),
]


@pytest.mark.parametrize(("call", "arguments"), CALLS, ids=[call for call, _ in CALLS])
def test_routing_as_3_4_3_5_and_the_last_state_called_it(
    call: str, arguments: dict[str, Any]
) -> None:
    logits = random_logits(37)
    given = [random.Random(i).sample(range(N_EXPERTS), K) for i in range(len(logits))]
    result = run(
        f"""
        from triton_kernels.routing import routing

        rdata, gather_indx, scatter_indx = {call}
        """,
        logits=torch.tensor(logits),
        expt_indx=torch.tensor(given, dtype=torch.int32),
    )
    if arguments.get("given"):
        arguments = {**arguments, "given": given}
    check(result, oracle.route(logits, K, **arguments))


@pytest.mark.parametrize("fifth", ["21", "2"])
def test_a_fifth_positional_number_is_an_error_because_releases_differ(fifth: str) -> None:
    with pytest.raises((TypeError, ValueError), match="n_rows"):
        run(
            f"from triton_kernels.routing import routing\nrouting(logits, 4, False, None, {fifth})",
            logits=torch.tensor(random_logits(37)),
        )


def test_routing_from_bitmatrix_of_what_topk_returned() -> None:
    logits = random_logits(29, seed=1)
    result = run(
        """
        from triton_kernels.routing import routing_from_bitmatrix, topk

        vals, indx, bitmatrix = topk(logits, k, apply_softmax=True)
        rdata, gather_indx, scatter_indx = routing_from_bitmatrix(bitmatrix, vals, indx, n, k)
        """,
        logits=torch.tensor(logits),
        n=N_EXPERTS,
        k=K,
    )
    check(result, oracle.route(logits, K))


def test_routing_torch_cuts_its_vectors_to_the_valid_rows() -> None:
    logits = random_logits(29, seed=2)
    result = run(
        """
        from triton_kernels.routing import routing_torch

        rdata, gather_indx, scatter_indx = routing_torch(logits, 4, n_rows=17)
        """,
        logits=torch.tensor(logits),
    )
    expected = oracle.route(logits[:17], K)
    assert result["gather_indx"].src_indx.tolist() == expected.combine
    assert result["gather_indx"].dst_indx.tolist() == expected.dispatch
    assert result["rdata"].expt_hist.tolist() == expected.hist
    assert result["rdata"].gate_scal.tolist() == pytest.approx(expected.sorted_gates, rel=1e-5)


@pytest.mark.parametrize("function", ["compute_expt_data", "compute_expt_data_torch"])
def test_compute_expt_data_answers_as_dicts_as_3_4_and_3_5_read_them(function: str) -> None:
    sizes, n_slots = [15, 17, 0, 127], 159
    result = run(
        f"""
        from triton_kernels.routing import {function}, RoutingData

        expt_data = {function}(hist, hist.numel(), {n_slots})
        rdata = RoutingData(None, hist, hist.numel(), 1, expt_data)
        hist = expt_data.hist.tolist()
        offsets = expt_data.token_offs_raw.tolist()
        padded = {{b: expt_data.token_offs_pad[b].tolist() for b in expt_data.token_offs_pad}}
        pids = {{b: rows.tolist() for b, rows in expt_data.block_pid_map.items()}}
        keys = list(expt_data.block_pid_map.keys())
        same = all(
            expt_data.token_offs_pad[b].data_ptr() == expt_data.token_offs_pad[b].data_ptr()
            for b in keys
        )
        """,
        hist=torch.tensor(sizes, dtype=torch.int32),
    )
    assert result["hist"] == sizes
    assert result["offsets"] == oracle.offsets(sizes)
    assert result["keys"] == list(BLOCKS)
    assert result["padded"] == {b: oracle.block_offsets(sizes, b) for b in BLOCKS}
    assert result["pids"] == {b: oracle.block_schedule(sizes, b, n_slots) for b in BLOCKS}
    assert result["same"]


def test_expt_data_of_routing_answers_as_dicts_and_as_methods() -> None:
    logits = random_logits(50, seed=3)
    result = run(
        """
        from triton_kernels.routing import routing

        rdata, _, _ = routing(logits, 4)
        data = rdata.expt_data
        as_dict = {b: data.token_offs_pad[b].tolist() for b in (16, 32, 64, 128)}
        as_method = {b: data.token_offs_pad(b).tolist() for b in (16, 32, 64, 128)}
        pids = {b: data.block_pid_map(b).tolist() for b in data.block_ms()}
        stacked = data.token_offs_pad_data.tolist(), data.block_pid_map_data.tolist()
        hist, offsets = data.hist.tolist(), data.token_offs_raw.tolist()
        """,
        logits=torch.tensor(logits),
    )
    sizes = oracle.route(logits, K).hist
    padded = {b: oracle.block_offsets(sizes, b) for b in BLOCKS}
    pids = {b: oracle.block_schedule(sizes, b, 50 * K) for b in BLOCKS}
    assert result["as_dict"] == result["as_method"] == padded
    assert result["pids"] == pids
    assert result["stacked"] == (list(padded.values()), list(pids.values()))
    assert (result["hist"], result["offsets"]) == (sizes, oracle.offsets(sizes))


def test_expt_data_built_by_hand_keeps_its_tensors_and_their_order() -> None:
    # Replaying a CUDA graph copies into stored tensors, so a copy of them would be wrong.
    result = run(
        """
        from triton_kernels.routing import ExptData

        hist = torch.tensor([1, 2], dtype=torch.int32)
        offs = torch.tensor([0, 1, 3], dtype=torch.int32)
        padded = {b: torch.tensor([0, 1, 2], dtype=torch.int32) for b in (16, 32, 64, 128)}
        pids = {b: torch.tensor([0, 1, -1], dtype=torch.int32) for b in (16, 32, 64, 128)}
        data = ExptData(hist=hist, token_offs_raw=offs, token_offs_pad=padded, block_pid_map=pids)
        kept = data.hist is hist and data.token_offs_raw is offs
        kept_rows = all(data.token_offs_pad[b] is padded[b] for b in padded)
        kept_rows &= all(data.block_pid_map[b] is pids[b] for b in pids)
        keys = list(data.token_offs_pad)
        """
    )
    assert result["kept"]
    assert result["kept_rows"]
    assert result["keys"] == list(BLOCKS)


@pytest.mark.parametrize(
    ("call", "n_results"),
    [
        ("sort_tokens(vals, indx, n, bitmatrix)", 7),
        ("sort_tokens(vals, indx, bitmatrix)", 4),
        ("SortTokens.apply(vals, indx, n, bitmatrix)", 7),
    ],
)
def test_sort_tokens_as_3_5_and_3_4_called_it(call: str, n_results: int) -> None:
    logits = random_logits(19, seed=4, n_experts=WORD)
    result = run(
        f"""
        from triton_kernels.routing import SortTokens, sort_tokens, topk

        vals, indx, bitmatrix = topk(logits, k)
        hist, combine, dispatch, gate_scal, *rest = {call}
        """,
        logits=torch.tensor(logits),
        n=WORD,
        k=K,
    )
    expected = oracle.route(logits, K)
    assert 4 + len(result["rest"]) == n_results
    assert result["hist"].tolist() == expected.hist
    assert result["combine"].tolist() == expected.combine
    assert result["dispatch"].tolist() == expected.dispatch
    assert result["gate_scal"].tolist() == pytest.approx(expected.sorted_gates, rel=1e-5)


@pytest.mark.parametrize(
    "call",
    [
        "prune_routing(vals, indx, bitmatrix, n, 2)",
        "prune_routing(vals, indx, bitmatrix, 2)",
        "PruneRouting.apply(vals, indx, bitmatrix, n, 2)",
    ],
)
def test_prune_routing_keeps_the_experts_of_rank_0(call: str) -> None:
    logits = random_logits(19, seed=5, n_experts=WORD)
    result = run(
        f"""
        from triton_kernels.routing import PruneRouting, prune_routing, topk

        vals, indx, bitmatrix = topk(logits, k)
        vals, indx, bitmatrix = {call}
        """,
        logits=torch.tensor(logits),
        n=WORD,
        k=K,
    )
    expected = oracle.route(logits, K, kept_experts=WORD // 2)
    chosen = result["indx"].flatten().tolist()
    assert chosen == expected.chosen
    kept = [
        gate for gate, e in zip(result["vals"].flatten().tolist(), chosen, strict=True) if e >= 0
    ]
    assert kept == pytest.approx(
        [gate for gate, e in zip(expected.gates, chosen, strict=True) if e >= 0], rel=1e-5
    )
    assert result["bitmatrix"].shape[-1] == WORD // 2


@pytest.mark.parametrize("given", ["None", "chosen"])
def test_topk_torch_returns_raw_values_and_columns(given: str) -> None:
    logits = random_logits(11, seed=6)
    chosen = [random.Random(i).sample(range(N_EXPERTS), K) for i in range(len(logits))]
    result = run(
        f"""
        from triton_kernels.routing import topk_torch

        vals, indx = topk_torch(x, 4, {given})
        """,
        x=torch.tensor(logits),
        chosen=torch.tensor(chosen, dtype=torch.int32),
    )
    expected = chosen
    if given == "None":
        expected = [sorted(range(N_EXPERTS), key=lambda e: (-r[e], e))[:K] for r in logits]
    assert result["indx"].tolist() == expected
    assert result["indx"].dtype == torch.int32
    assert result["vals"].tolist() == [
        [row[e] for e in experts] for row, experts in zip(logits, expected, strict=True)
    ]


def test_the_small_helpers() -> None:
    result = run(
        """
        import triton_kernels.routing as r

        exponent, start = r.log2_power_of_two(64), r.block_m_log2_start
        quotient, width = r.exact_div(96, 32), r.max_n_tiles(8, 100)
        view, n_padded = r.empty_aligned((3, 5), torch.int32, "cpu", 512)
        on_amd = r.is_hip()
        """
    )
    assert (result["exponent"], result["start"]) == (6, 4)
    assert (result["quotient"], result["width"]) == (3, oracle.schedule_width(8, 100))
    assert (tuple(result["view"].shape), result["n_padded"]) == ((3, 5), 3 * 512)
    assert result["on_amd"] is False


def test_gradients_flow_from_gates_to_logits() -> None:
    logits = random_logits(9, seed=7)
    weights = [random.Random(i).random() for i in range(9 * K)]
    result = run(
        """
        from triton_kernels.routing import routing

        logits.requires_grad_(True)
        rdata, gather_indx, _ = routing(logits, 4, simulated_ep=1)
        (rdata.gate_scal * weights).sum().backward()
        gradient = logits.grad.tolist()
        """,
        logits=torch.tensor(logits, dtype=torch.float32),
        weights=torch.tensor(weights),
    )
    routed = oracle.route(logits, K)
    for token, row in enumerate(result["gradient"]):
        slots = range(token * K, token * K + K)
        gates = [routed.gates[i] for i in slots]
        pulls = [weights[routed.dispatch[i]] for i in slots]
        mean = sum(g * p for g, p in zip(gates, pulls, strict=True))
        expected = [0.0] * N_EXPERTS
        for i, gate, pull in zip(slots, gates, pulls, strict=True):
            expected[routed.chosen[i]] = gate * (pull - mean)
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-6)
