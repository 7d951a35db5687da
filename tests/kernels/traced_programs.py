"""What test_tracing.py traces: programs that call each op the way that user code does."""

from __future__ import annotations

from collections.abc import Callable

import matmul_programs
import torch

from triton_kernels.compaction import compaction
from triton_kernels.legacy import legacy_routing, legacy_routing_from_bitmatrix
from triton_kernels.matmul_ogs import RoutingData
from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.reduce import FnSpecs, PostprocessFn, reduce
from triton_kernels.swiglu import FlexCtx, PrecisionConfig, swiglu, swiglu_fn
from triton_kernels.tensor import (
    BIT,
    Bitmatrix,
    RaggedTensorMetadata,
    SparseMatrix,
    Tensor,
    make_ragged_tensor_metadata,
    remap_ragged_tensor_metadata,
    wrap_torch_tensor,
)
from triton_kernels.tensor_details.bitmatrix import sum_bitmatrix_rows
from triton_kernels.topk import topk, topk_backward, topk_forward

N_ROWS, N_COLUMNS, K = 40, 70, 3

Program = Callable[[torch.Tensor], list[torch.Tensor]]


def columns(x: torch.Tensor) -> torch.Tensor:
    """Columns to take, some slots unused, that depend on the entries alone."""
    return (x[:, :K] * 100).to(torch.int32) % (N_COLUMNS + 1) - 1


def a_few_rows(x: torch.Tensor) -> torch.Tensor:
    """A number of rows that lives on the device."""
    return (x[:1, 0] * 0 + 17).to(torch.int32)


def parts(metadata: RaggedTensorMetadata) -> list[torch.Tensor]:
    return [
        metadata.batch_sizes,
        metadata.batch_offs,
        metadata.block_offs_data,
        metadata.block_schedule_data,
    ]


def select(**options: object) -> Program:
    def run(x):
        chosen = topk(x, K, **options)
        return [chosen.vals, chosen.indx, chosen.mask.data]

    return run


def select_on_device(x):
    chosen = topk(x, K, n_rows=a_few_rows(x))
    return [chosen.vals, chosen.indx, chosen.mask.data]


def select_given(x):
    given = columns(x)
    chosen = topk(x, K, y_indx=given)
    assert chosen.indx is given
    short = topk(x, K, y_indx=given.long().t().contiguous().t(), n_rows=11)
    return [chosen.vals + short.vals, chosen.mask.data, short.indx, short.mask.data]


def select_from_a_padded_tensor(x):
    rows = x.shape[0]
    chosen = topk(Tensor(x, shape=[a_few_rows(x), N_COLUMNS], shape_max=[rows, None]), K)
    return [chosen.vals, chosen.indx, chosen.mask.data]


def select_without_autograd(x):
    vals, indx, mask = topk_forward(x, K)
    dx = topk_backward(x.detach(), indx, torch.ones_like(vals), K, None, True)
    return [vals.detach(), indx, mask.data, dx]


def sort(x):
    found = topk(x, K).mask_metadata
    given = topk(x, K, y_indx=columns(x), n_rows=a_few_rows(x)).mask_metadata
    return [found.col_sum, found.combine_indx, found.dispatch_indx, given.combine_indx]


def build_records(x):
    """The records' own checks run in a trace, too."""
    words = topk(x, K).mask.data
    mask = Bitmatrix(words, dtype=BIT, shape=[x.shape[0], 64], shape_max=[x.shape[0], 64])
    sorting = SparseMatrix(columns(x).clamp(max=63), x[:, :K], mask).mask_metadata
    wrapped = wrap_torch_tensor(x)
    metadata = make_ragged_tensor_metadata(sorting.col_sum, x.shape[0] * K)
    again = RaggedTensorMetadata(*parts(metadata))
    return [wrapped.data * 2, sorting.combine_indx, *parts(again), again.block_schedule(128)]


def count(x):
    return list(sum_bitmatrix_rows(topk(x, K, n_rows=11).mask, 16))


def schedule(x):
    sizes = topk(x, K).mask_metadata.col_sum
    metadata = make_ragged_tensor_metadata(sizes, x.shape[0] * K)
    return [*parts(metadata), metadata.block_schedule(32), metadata.block_offs(64)]


def remap(x):
    metadata = make_ragged_tensor_metadata(topk(x, K).mask_metadata.col_sum, x.shape[0] * K)
    kept = torch.arange(N_COLUMNS, device=x.device)
    return parts(remap_ragged_tensor_metadata(metadata, torch.where(kept < 9, kept - 4, -1)))


def compact(x):
    return list(compaction(x[:, :K].detach(), columns(x), topk(x, 20).mask))


def route(sm_first: bool) -> Program:
    def run(x):
        data, gather, scatter = legacy_routing(x, K, sm_first=sm_first)
        assert gather.src_indx is scatter.dst_indx
        return [data.gate_scal, gather.src_indx, gather.dst_indx, *parts(data.expt_data)]

    return run


def route_given(x):
    data, gather, _ = legacy_routing(x, K, expt_indx=columns(x), n_rows=a_few_rows(x))
    few, _, _ = legacy_routing(x, K, sm_first=True, n_rows=11)
    return [data.gate_scal, few.gate_scal, gather.src_indx, *parts(data.expt_data)]


def route_from_bitmatrix(x):
    chosen = topk(x, K)
    data, gather, _ = legacy_routing_from_bitmatrix(
        chosen.mask, chosen.vals, chosen.indx, N_COLUMNS, K
    )
    return [data.gate_scal, gather.src_indx, *parts(data.expt_data)]


def choices(x):
    """x as the choices of tokens: [N_ROWS, 3, 20]."""
    return x[:, :60].unflatten(1, (3, 20))


def add_up(x):
    terms = choices(x)
    return [
        reduce(terms, 1, mask=terms[:, :, :1] > 0, scale=terms[:, 1:2])[0],
        reduce(terms, 0)[0],
        reduce(terms, -1, y_dtype=torch.bfloat16)[0],
    ]


SWIGLU = PostprocessFn(FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), (), 2), (0.5, None))


def add_up_with_scales(x):
    """What an op changes in place is changed in a trace, too."""
    scale, y = torch.zeros(1, device=x.device), torch.empty(20, x.shape[0], device=x.device).t()
    actual = OutFlexData(None, scale + 2, scale)
    stored, _ = reduce(choices(x), 1, y=y, y_flex=actual, y_flex_saturate_inf=True)
    assert stored is y
    quantized, scales = reduce(choices(x), 1, y_has_mx=True, postprocess_fn1=SWIGLU)
    named = PostprocessFn(FnSpecs("swiglu", swiglu_fn, (), (), 2), (1.5, 0.5))
    twice, _ = reduce(choices(x), 1, postprocess_fn1=SWIGLU, postprocess_fn2=named)
    return [y, scale, quantized.float(), scales, twice]


def activate(x):
    scale = torch.zeros(1, device=x.device)
    flex = FlexCtx(OutFlexData(None, scale + 2, scale), InFlexData(None, scale + 3))
    scaled = swiglu(x.detach().half(), 0.5, PrecisionConfig(1.0, flex))
    return [swiglu(x, 1.5, PrecisionConfig(limit=None)), scaled, scale]


def activate_routed(x):
    metadata = make_ragged_tensor_metadata(a_few_rows(x), x.shape[0])
    data = RoutingData(x[:, 0], metadata.batch_sizes, 1, 1, metadata)
    return [swiglu(choices(x), 0.5, PrecisionConfig(1.0), data)]


PROGRAMS: dict[str, Program] = {
    "topk": select(),
    "topk without softmax": select(apply_softmax=False),
    "topk of some rows": select(n_rows=11),
    "topk of rows counted on the device": select_on_device,
    "topk of given columns": select_given,
    "topk of a padded tensor": select_from_a_padded_tensor,
    "topk_forward and topk_backward": select_without_autograd,
    "mask_metadata": sort,
    "records": build_records,
    "sum_bitmatrix_rows": count,
    "make_ragged_tensor_metadata": schedule,
    "remap_ragged_tensor_metadata": remap,
    "compaction": compact,
    "legacy_routing": route(sm_first=False),
    "legacy_routing with softmax first": route(sm_first=True),
    "legacy_routing of given experts": route_given,
    "legacy_routing_from_bitmatrix": route_from_bitmatrix,
    "reduce": add_up,
    "reduce with scales and functions": add_up_with_scales,
    "swiglu": activate,
    "swiglu of routed rows": activate_routed,
    **matmul_programs.PROGRAMS,
}
