"""Small programs in the styles in which downstream projects really use the old modules.

Each leaves `rdata`, `gather_indx` and `scatter_indx` behind, which are compared with the oracle,
and runs unmodified, warning at its own lines.
"""

from __future__ import annotations

import textwrap
import warnings
from typing import Any

import pytest
import routing_oracle as oracle
import torch
from test_old_programs import N_EXPERTS, K, check, random_logits

from triton_kernels import TritonKernelsDeprecationWarning

LOGITS = random_logits(37, seed=11)

# (style, release, program, codes that it is told, at least)
PROGRAMS = [
    (
        "lazy import under a try that only logs",
        "3.4",
        """
        def route(logits, k):
            try:
                from triton_kernels.routing import GatherIndx, RoutingData, ScatterIndx, routing
            except (AttributeError, ImportError):
                raise SystemExit("not installed")
            return routing(logits, k, sm_first=False)

        rdata, gather_indx, scatter_indx = route(logits, 4)
        expt_data = rdata.expt_data
        blocks = {size: expt_data.block_pid_map[size] for size in expt_data.token_offs_pad}
        """,
        {"TKM001", "TKM002", "TKM003", "TKM013", "TKM105", "TKM106"},
    ),
    (
        "chosen elsewhere, the bit matrix made by hand",
        "3.5",
        """
        from triton_kernels.routing import routing_from_bitmatrix
        from triton_kernels.tensor import Bitmatrix

        def make_routing_data(topk_ids, topk_weights, n_experts):
            n_rows, k = topk_ids.size()
            bits = torch.zeros(n_rows, 32, dtype=torch.int64)
            bits.scatter_(1, topk_ids.long(), 1)
            words = (bits << torch.arange(32)).sum(1, keepdim=True).to(torch.uint32)
            bitmatrix = Bitmatrix(
                words, shape=[n_rows, 32], shape_max=[n_rows, None], scratchpad=None
            )
            return routing_from_bitmatrix(bitmatrix, topk_weights, topk_ids, n_experts, k)

        best = torch.argsort(logits, dim=1, descending=True, stable=True)
        ids = best[:, :4].sort(dim=1).values
        weights = torch.softmax(logits.gather(1, ids), dim=1)
        rdata, gather_indx, scatter_indx = make_routing_data(ids.to(torch.int16), weights, 12)
        """,
        {"TKM012", "TKM120"},
    ),
    (
        "four attributes of the module, the records filled by hand",
        "3.5",
        """
        import triton_kernels

        GatherIndx, RoutingData, ScatterIndx, compute_expt_data_torch = (
            triton_kernels.routing.GatherIndx,
            triton_kernels.routing.RoutingData,
            triton_kernels.routing.ScatterIndx,
            triton_kernels.routing.compute_expt_data_torch,
        )
        best = torch.argsort(logits, dim=1, descending=True, stable=True)
        ids = best[:, :4].sort(dim=1).values
        weights = torch.softmax(logits.gather(1, ids), dim=1)
        topk_indx = torch.argsort(ids.reshape(-1), stable=True)
        gate_indx = torch.argsort(topk_indx, stable=True)
        hist = torch.bincount(ids.reshape(-1), minlength=12).int()
        gather_indx = GatherIndx(src_indx=topk_indx.int(), dst_indx=gate_indx.int())
        scatter_indx = ScatterIndx(src_indx=gate_indx.int(), dst_indx=topk_indx.int())
        expt_data = compute_expt_data_torch(hist, 12, ids.numel())
        gates = weights.reshape(-1)[topk_indx]
        rdata = RoutingData(gates, hist, 12, 4, expt_data)
        """,
        {"TKM001", "TKM002", "TKM003", "TKM011"},
    ),
    (
        "a starred call with a positional simulated_ep",
        "3.5",
        """
        import triton_kernels
        import triton_kernels.routing

        sm_first, expt_indx, EP, n_rows = False, None, 1, None
        _, rdata, gather_indx, scatter_indx, _ = (
            None, *triton_kernels.routing.routing(logits, 4, sm_first, expt_indx, EP, n_rows), None
        )
        """,
        {"TKM013"},
    ),
    (
        "the function as a value, wrapped",
        "3.5",
        """
        import triton_kernels

        routing = triton_kernels.routing.routing
        routing = torch.compiler.disable(routing)
        rdata, gather_indx, scatter_indx = routing(logits, 4)
        """,
        {"TKM013"},
    ),
    (
        "probes of the module, and a loop over names of modules",
        "3.5",
        """
        import importlib

        for root in ("some_vendor.triton_kernels", "triton_kernels"):
            try:
                tk_routing = importlib.import_module(root + ".routing")
            except ModuleNotFoundError:
                continue
        assert hasattr(tk_routing, "ExptData")
        assert getattr(tk_routing, "is_hip", lambda: False)() is False
        assert getattr(tk_routing, "no_such_name", None) is None
        rdata, gather_indx, scatter_indx = tk_routing.routing(logits, n_expts_act=4)
        """,
        {"TKM004", "TKM021", "TKM013"},
    ),
    (
        "a tuple of three, pruned to the experts of a rank that has them all",
        "3.5",
        """
        from triton_kernels.routing import prune_routing, routing_from_bitmatrix
        from triton_kernels.topk import topk

        expt_scal, expt_indx, bitmatrix = topk(logits, 4, apply_softmax=True, return_bitmatrix=True)
        expt_scal, expt_indx, bitmatrix = prune_routing(expt_scal, expt_indx, bitmatrix, 12, 1)
        rdata, gather_indx, scatter_indx = routing_from_bitmatrix(
            bitmatrix, expt_scal, expt_indx, 12, 4
        )
        """,
        {"TKM201", "TKM012", "TKM301", "TKM302"},
    ),
    (
        "methods of the record, as just before the removal",
        "before the removal",
        """
        from triton_kernels.routing import ExptData, routing

        n_rows = torch.tensor([len(logits)], dtype=torch.int32)
        rdata, gather_indx, scatter_indx = routing(logits, 4, False, None, n_rows)
        expt_data = rdata.expt_data
        assert isinstance(expt_data, ExptData)
        rows = [expt_data.block_pid_map(block_m) for block_m in ExptData.block_ms()]
        assert torch.equal(torch.stack(rows), expt_data.block_pid_map_data)
        same = ExptData(
            expt_data.hist,
            expt_data.token_offs_raw,
            expt_data.token_offs_pad_data,
            expt_data.block_pid_map_data,
        )
        rdata.expt_data = same
        """,
        {"TKM004", "TKM013", "TKM101", "TKM102", "TKM103", "TKM104", "TKM106", "TKM107"},
    ),
    (
        "by hand after the pull request, with its interim names",
        "main, October 2025",
        """
        from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
        from triton_kernels.tensor import make_ragged_tensor_metadata
        from triton_kernels.topk import topk

        sparse_logits = topk(logits, 4)
        metadata = sparse_logits.mask.metadata
        combine_indx, dispatch_indx = metadata.combine_indx, metadata.dispatch_indx
        ragged = make_ragged_tensor_metadata(metadata.col_sum, dispatch_indx.shape[0])
        gate_scal = sparse_logits.vals.flatten()[combine_indx]
        rdata = RoutingData(gate_scal, ragged.batch_sizes, 12, 4, ragged)
        gather_indx = GatherIndx(combine_indx, dispatch_indx)
        scatter_indx = ScatterIndx(dispatch_indx, combine_indx)
        """,
        {"TKM132"},
    ),
]


@pytest.mark.parametrize(
    ("program", "codes"),
    [(program, codes) for _, _, program, codes in PROGRAMS],
    ids=[f"{release}: {style}" for style, release, _, _ in PROGRAMS],
)
def test_a_program_of_its_time_runs_unmodified(program: str, codes: set[str]) -> None:
    namespace: dict[str, Any] = {
        "__name__": "program",
        "torch": torch,
        "logits": torch.tensor(LOGITS),
    }
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        exec(compile(textwrap.dedent(program), "program.py", "exec", dont_inherit=True), namespace)
    ours = [w for w in seen if issubclass(w.category, TritonKernelsDeprecationWarning)]
    assert {w.filename for w in ours} == {"program.py"}
    assert {w.message.code for w in ours} >= codes  # type: ignore[union-attr]
    assert len(LOGITS[0]) == N_EXPERTS and K == 4, "the programs name these numbers"
    check(namespace, oracle.route(LOGITS, K))
