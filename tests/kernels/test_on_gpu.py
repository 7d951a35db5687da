"""On a GPU everything computes what it does on the CPU, and never waits for the host."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import oracle
import pytest
import torch

from triton_kernels import legacy
from triton_kernels.compaction import compaction, compaction_torch
from triton_kernels.tensor import (
    RaggedTensorMetadata,
    make_ragged_tensor_metadata,
    make_ragged_tensor_metadata_torch,
    remap_ragged_tensor_metadata,
    remap_ragged_tensor_metadata_torch,
)
from triton_kernels.tensor_details.bitmatrix import (
    make_bitmatrix_metadata,
    make_bitmatrix_metadata_torch,
    sum_bitmatrix_rows,
    sum_bitmatrix_rows_torch,
)
from triton_kernels.topk import topk, topk_torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


class Batch(NamedTuple):
    """Logits, given columns, number of rows."""

    logits: torch.Tensor
    given: torch.Tensor
    count: torch.Tensor

    @property
    def k(self) -> int:
        return self.given.shape[1]

    @classmethod
    def fresh(cls, n_rows_max: int, n_rows: int, n_experts: int, k: int) -> Batch:
        """Logits with many ties, given columns with unused and repeated slots."""
        _, generator = oracle.fresh("gpu", n_rows_max, n_experts, k)
        logits = torch.randint(-40, 40, (n_rows_max, n_experts), generator=generator) / 16
        given = torch.randint(-1, n_experts, (n_rows_max, k), generator=generator)
        return cls(logits, given.to(torch.int32), torch.tensor([n_rows], dtype=torch.int32))

    def cuda(self) -> Batch:
        return Batch(*(tensor.cuda() for tensor in self))

    def changed(self) -> Batch:
        """Another batch of the same shape."""
        return Batch(self.logits.flip(0), self.given.flip(0), self.count // 2)


# Routed by one launch, by two, by two with few lanes to a row (three where columns are given), by
# three.
SHAPES = [(4, 3, 128, 4), (300, 217, 128, 6), (2500, 2203, 128, 4), (9000, 8101, 300, 6)]

Op = Callable[[Batch], list[torch.Tensor]]


def choose(op: Callable[..., object], batch: Batch) -> list[torch.Tensor]:
    logits, given, count = batch
    found = op(logits, batch.k, n_rows=count)
    taken = op(logits, batch.k, y_indx=given, n_rows=count)
    return [found.vals, found.indx, found.mask.data, taken.vals, taken.mask.data]


def choose_and_learn(op: Callable[..., object], batch: Batch) -> list[torch.Tensor]:
    gradients = []
    for given in (None, batch.given):
        leaf = batch.logits.detach().requires_grad_()
        vals = op(leaf, batch.k, y_indx=given, n_rows=batch.count).vals
        vals.backward(torch.linspace(-1, 1, batch.k, device=vals.device).expand_as(vals))
        gradients.append(leaf.grad)
    return gradients


def sort(op: Callable[..., object], batch: Batch) -> list[torch.Tensor]:
    results = []
    for given in (None, batch.given):
        chosen = topk(batch.logits, batch.k, y_indx=given, n_rows=batch.count)
        result = op(chosen.indx, chosen.mask)
        results += [result.col_sum, result.combine_indx, result.dispatch_indx]
    return results


def count_bits(op: Callable[..., object], batch: Batch) -> list[torch.Tensor]:
    mask = topk(batch.logits, batch.k, n_rows=batch.count).mask
    return [*op(mask, 32), *op(mask, 7)]


def tensors(record: RaggedTensorMetadata) -> list[torch.Tensor]:
    return [record.batch_offs, record.block_offs_data, record.block_schedule_data]


def schedule(make: Callable[..., object], remap: Callable[..., object], batch: Batch) -> list:
    sizes = batch.given[:, 0].contiguous() + 1
    made = [make(sizes, n_gates) for n_gates in (1000, 100_000)]  # the first is cut
    kept = [remap(each, batch.given[:, -1]) for each in made]
    return [tensor for record in (*made, *kept) for tensor in tensors(record)]


def compact(op: Callable[..., object], batch: Batch) -> list[torch.Tensor]:
    mask = topk(batch.logits, batch.k, n_rows=batch.count).mask
    return list(op(batch.logits[:, : batch.k], batch.given, mask))


def route(call: Callable[..., legacy.Routing], batch: Batch) -> list[torch.Tensor]:
    results = []
    for sm_first, given in ((False, None), (True, None), (False, batch.given), (True, batch.given)):
        leaf = batch.logits.detach().requires_grad_()
        data, gather, _ = call(leaf, batch.k, sm_first, given, n_rows=batch.count)
        data.gate_scal.backward(torch.ones_like(data.gate_scal))
        results += [data.gate_scal.detach(), leaf.grad, gather.src_indx, gather.dst_indx]
        results += [data.expt_hist, *tensors(data.expt_data)]
    return results


def route_again(batch: Batch) -> list[torch.Tensor]:
    chosen = topk(batch.logits, batch.k, n_rows=batch.count)
    n_experts = batch.logits.shape[1]
    data, gather, _ = legacy.legacy_routing_from_bitmatrix(
        chosen.mask, chosen.vals, chosen.indx, n_experts, batch.k
    )
    return [data.gate_scal, data.expt_hist, gather.src_indx, *tensors(data.expt_data)]


OPS: dict[str, Op] = {
    "topk": partial(choose, topk),
    "topk_torch": partial(choose, topk_torch),
    "gradient of topk": partial(choose_and_learn, topk),
    "make_bitmatrix_metadata": partial(sort, make_bitmatrix_metadata),
    "make_bitmatrix_metadata_torch": partial(sort, make_bitmatrix_metadata_torch),
    "sum_bitmatrix_rows": partial(count_bits, sum_bitmatrix_rows),
    "sum_bitmatrix_rows_torch": partial(count_bits, sum_bitmatrix_rows_torch),
    "ragged metadata": partial(schedule, make_ragged_tensor_metadata, remap_ragged_tensor_metadata),
    "ragged metadata in torch": partial(
        schedule, make_ragged_tensor_metadata_torch, remap_ragged_tensor_metadata_torch
    ),
    "compaction": partial(compact, compaction),
    "compaction_torch": partial(compact, compaction_torch),
    "legacy_routing": partial(route, legacy.legacy_routing),
    "legacy_routing_from_bitmatrix": route_again,
    "routing with simulated_ep": partial(route, partial(legacy.routing, simulated_ep=4)),
}


def same(got: torch.Tensor, want: torch.Tensor) -> None:
    if got.is_floating_point():
        torch.testing.assert_close(got.cpu(), want, rtol=1e-5, atol=1e-6)
    else:
        assert torch.equal(got.cpu().long(), want.long())


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_gpu_gives_the_values_of_the_cpu_without_waiting_for_it(name, shape):
    batch = Batch.fresh(*shape)
    want = OPS[name](batch)
    on_gpu = batch.cuda()
    OPS[name](on_gpu)  # what is set up on first use may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = OPS[name](on_gpu)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for tensor, expected in zip(got, want, strict=True):
        same(tensor, expected)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_captured_graph_replays_on_new_inputs_and_another_row_count(name, shape):
    batch = Batch.fresh(*shape)
    on_gpu = batch.cuda()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        OPS[name](on_gpu)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = OPS[name](on_gpu)
    for again in (batch.changed(), batch, batch.changed().changed()):
        for tensor, new in zip(on_gpu, again, strict=True):
            tensor.copy_(new)
        graph.replay()
        for tensor, expected in zip(got, OPS[name](again), strict=True):
            same(tensor, expected)


def beyond_the_columns(batch: Batch) -> torch.Tensor:
    """Given columns, some of which are none, and what the rest comes to."""
    stray = torch.tensor([-99999, -2, batch.logits.shape[1], 2**31 - 1], dtype=torch.int32)
    _, generator = oracle.fresh("stray", *batch.given.shape)
    which = torch.randint(0, 12, batch.given.shape, generator=generator)
    return torch.where(which < 4, stray[which.clamp(max=3)], batch.given)


@pytest.mark.parametrize("shape", SHAPES)
def test_given_columns_that_do_not_exist_are_unused_slots(shape):
    """Nobody looks at them beforehand, which would wait for the device."""
    batch = Batch.fresh(*shape)
    stray = beyond_the_columns(batch)
    real = torch.where((stray >= 0) & (stray < batch.logits.shape[1]), stray, -1)
    got = OPS["legacy_routing"](batch._replace(given=stray).cuda())
    for tensor, expected in zip(
        got, OPS["legacy_routing"](batch._replace(given=real)), strict=True
    ):
        same(tensor, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_given_columns_that_do_not_exist_are_errors_when_debugging(shape, monkeypatch):
    monkeypatch.setenv("TRITON_KERNELS_DEBUG", "1")
    batch = Batch.fresh(*shape)
    logits, given, count = batch.cuda()
    stray = given.clone()
    stray[int(count) :] = -99999  # padding is nobody's business
    legacy.legacy_routing(logits, batch.k, expt_indx=stray, n_rows=count)
    stray[0, 0] = batch.logits.shape[1]
    text = f"expt_indx: expected columns 0 to {batch.logits.shape[1] - 1}, or -1, got "
    with pytest.raises(ValueError, match=text):
        legacy.legacy_routing(logits, batch.k, expt_indx=stray, n_rows=count)
    with pytest.raises(ValueError, match="y_indx: expected columns"):
        topk(logits, batch.k, y_indx=stray, n_rows=count)


def test_results_are_the_same_every_time():
    """Nothing depends on which program comes first."""
    batch = Batch.fresh(20_000, 20_000, 64, 8).cuda()
    first = OPS["legacy_routing"](batch)
    for _ in range(20):
        again = OPS["legacy_routing"](batch)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
