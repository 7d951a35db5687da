"""All index vectors of one routing: where each lies in the one allocation that holds them."""

from __future__ import annotations

from typing import NamedTuple

import torch

from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
from triton_kernels.tensor_details.ragged_tensor import ROW_ALIGNMENT, RaggedTensorMetadata


class BufferLayout(NamedTuple):
    """Offsets (`at_...`) and strides, in elements of the buffer; offsets of rows lie at 0.

    n_sizes: number of block sizes.
    width: of the block schedule.
    numel: elements of the buffer.
    """

    n_columns: int
    n_slots: int
    n_sizes: int
    width: int
    stride_offs: int
    stride_schedule: int
    at_schedule: int
    at_combine: int
    at_dispatch: int
    at_hist: int
    numel: int


class IndexVectors(NamedTuple):
    """Views of one buffer; see `BitmatrixMetadata` and `RaggedTensorMetadata`."""

    hist: torch.Tensor
    combine: torch.Tensor
    dispatch: torch.Tensor
    batch_offs: torch.Tensor
    block_offs: torch.Tensor
    schedule: torch.Tensor


class Routed(NamedTuple):
    """The tensors of one call.

    gates: [n_rows_max * k], weights in the order of experts.
    buffer: holds the index vectors, of which `vectors` are views.
    indx: int16 [n_rows_max, k], the experts, which the backward needs; None if it is not wanted.
    """

    gates: torch.Tensor
    buffer: torch.Tensor
    vectors: IndexVectors
    indx: torch.Tensor | None


def layout_of(n_rows: int, n_columns: int, k: int, n_sizes: int) -> BufferLayout:
    """The layout for `n_rows` stored rows and `n_sizes` block sizes.

    While torch traces, these can be symbols: nothing is kept of them.
    """
    n_slots = n_rows * k
    width = RaggedTensorMetadata.max_n_blocks(n_columns, n_slots)
    stride_offs = _aligned(n_columns + 1, ROW_ALIGNMENT)
    stride_schedule = _aligned(width, ROW_ALIGNMENT)
    at_schedule = (n_sizes + 1) * stride_offs
    at_combine = at_schedule + n_sizes * stride_schedule
    at_dispatch = at_combine + _aligned(n_slots, 4)
    at_hist = at_dispatch + _aligned(n_slots, 4)
    return BufferLayout(
        n_columns=n_columns,
        n_slots=n_slots,
        n_sizes=n_sizes,
        width=width,
        stride_offs=stride_offs,
        stride_schedule=stride_schedule,
        at_schedule=at_schedule,
        at_combine=at_combine,
        at_dispatch=at_dispatch,
        at_hist=at_hist,
        numel=at_hist + n_columns,
    )


def _aligned(n: int, to: int) -> int:
    return -(-n // to) * to


def allocate(
    logits: torch.Tensor, k: int, keep_indx: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Memory for the results of the op `legacy_routing`: gates, buffer, experts."""
    n_rows, n_columns = logits.shape
    layout = layout_of(n_rows, n_columns, k, len(RaggedTensorMetadata.block_sizes_log2()))
    return (
        logits.new_empty(layout.n_slots),
        logits.new_empty(layout.numel, dtype=torch.int32),
        logits.new_empty((n_rows, k) if keep_indx else 0, dtype=torch.int16),
    )


def views(buffer: torch.Tensor, layout: BufferLayout) -> IndexVectors:
    """The vectors in the buffer."""
    n_columns, n_slots, n_sizes, width, stride_offs, stride_schedule, *_ = layout
    view = buffer.as_strided
    return IndexVectors(
        hist=view((n_columns,), (1,), layout.at_hist),
        combine=view((n_slots,), (1,), layout.at_combine),
        dispatch=view((n_slots,), (1,), layout.at_dispatch),
        batch_offs=view((n_columns + 1,), (1,), 0),
        block_offs=view((n_sizes, n_columns + 1), (stride_offs, 1), stride_offs),
        schedule=view((n_sizes, width), (stride_schedule, 1), layout.at_schedule),
    )


def records(
    gates: torch.Tensor, vectors: IndexVectors, n_expts_tot: int, n_expts_act: int
) -> tuple[RoutingData, GatherIndx, ScatterIndx]:
    """What `legacy_routing` returns."""
    hist, combine, dispatch, batch_offs, block_offs, schedule = vectors
    ragged = RaggedTensorMetadata.of_parts(hist, batch_offs, block_offs, schedule)
    return (
        RoutingData(gates, hist, n_expts_tot, n_expts_act, ragged),
        GatherIndx(combine, dispatch),
        ScatterIndx(dispatch, combine),
    )
