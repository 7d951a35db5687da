"""On a GPU everything computes what it does on the CPU, and never waits for the host."""

from __future__ import annotations

from collections.abc import Callable

import oracle
import pytest
import torch

from triton_kernels import legacy
from triton_kernels.compaction import compaction, compaction_torch
from triton_kernels.tensor import (
    make_ragged_tensor_metadata_torch,
    remap_ragged_tensor_metadata,
)
from triton_kernels.tensor_details.bitmatrix import (
    make_bitmatrix_metadata_torch,
    sum_bitmatrix_rows,
)
from triton_kernels.topk import topk, topk_torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

N_ROWS_MAX, N_ROWS, N_EXPERTS, K = 300, 217, 128, 6

Op = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], list[torch.Tensor]]


def choose(op: Callable[..., object]) -> Op:
    def run(logits, given, count):
        found = op(logits, K, n_rows=count)
        taken = op(logits, K, y_indx=given, n_rows=count)
        return [found.vals, found.indx, found.mask.data, taken.vals, taken.mask.data]

    return run


def sort(logits, given, count):
    chosen = topk_torch(logits, K, y_indx=given, n_rows=count)
    result = make_bitmatrix_metadata_torch(given, chosen.mask)
    return [result.col_sum, result.combine_indx, result.dispatch_indx]


def count_bits(logits, given, count):
    return list(sum_bitmatrix_rows(topk(logits, K, n_rows=count).mask, 32))


def schedule(logits, given, count):
    sizes = given[:, 0] + 1
    made = make_ragged_tensor_metadata_torch(sizes, 1000)  # too narrow: it is cut
    kept = remap_ragged_tensor_metadata(made, given[:, 1])
    return [
        tensor
        for record in (made, kept)
        for tensor in (record.batch_offs, record.block_offs_data, record.block_schedule_data)
    ]


def compact(op: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> Op:
    def run(logits, given, count):
        return list(op(logits[:, :K], given, topk(logits, K, n_rows=count).mask))

    return run


def route(call: Callable[..., legacy.Routing]) -> Op:
    def run(logits, given, count):
        results = []
        for sm_first in (False, True):
            leaf = logits.detach().requires_grad_()
            data, gather, _ = call(leaf, K, sm_first, n_rows=count)
            data.gate_scal.backward(torch.ones_like(data.gate_scal))
            results += [data.gate_scal.detach(), leaf.grad, gather.src_indx, gather.dst_indx]
            results += [data.expt_hist, data.expt_data.block_schedule_data]
        return results

    return run


def route_and_prune(logits, n_experts_act, sm_first, n_rows):
    return legacy.routing(logits, n_experts_act, sm_first, simulated_ep=4, n_rows=n_rows)


OPS = {
    "topk": choose(topk),
    "topk_torch": choose(topk_torch),
    "make_bitmatrix_metadata_torch": sort,
    "sum_bitmatrix_rows": count_bits,
    "ragged metadata": schedule,
    "compaction": compact(compaction),
    "compaction_torch": compact(compaction_torch),
    "legacy_routing": route(legacy.legacy_routing),
    "routing with simulated_ep": route(route_and_prune),
}


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits with many ties, given columns with unused and repeated slots, and a row count."""
    _, generator = oracle.fresh("gpu")
    logits = torch.randint(-40, 40, (N_ROWS_MAX, N_EXPERTS), generator=generator) / 16
    given = torch.randint(-1, N_EXPERTS, (N_ROWS_MAX, K), generator=generator)
    return logits, given.to(torch.int32), torch.tensor([N_ROWS], dtype=torch.int32)


def same(got: torch.Tensor, want: torch.Tensor) -> None:
    if got.is_floating_point():
        torch.testing.assert_close(got.cpu(), want, rtol=1e-5, atol=1e-7)
    else:
        assert torch.equal(got.cpu().long(), want.long())


@pytest.mark.parametrize("name", OPS)
def test_a_gpu_gives_the_values_of_the_cpu_without_waiting_for_it(name):
    want = OPS[name](*inputs())
    on_gpu = [tensor.cuda() for tensor in inputs()]
    OPS[name](*on_gpu)  # what is set up on first use may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = OPS[name](*on_gpu)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for tensor, expected in zip(got, want, strict=True):
        same(tensor, expected)


@pytest.mark.parametrize("name", OPS)
def test_a_captured_graph_replays_on_new_inputs_and_another_row_count(name):
    on_gpu = [tensor.cuda() for tensor in inputs()]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        OPS[name](*on_gpu)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = OPS[name](*on_gpu)
    logits, given, count = inputs()
    changed = [logits.flip(0), given.flip(0), count - 100]
    for tensor, new in zip(on_gpu, changed, strict=True):
        tensor.copy_(new)
    graph.replay()
    for tensor, expected in zip(got, OPS[name](*changed), strict=True):
        same(tensor, expected)
