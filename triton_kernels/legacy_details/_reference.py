"""Routing in plain torch, and its gradient: what the kernels compute, on any device."""

from __future__ import annotations

import torch

from triton_kernels.legacy_details._buffer import Routed, layout_of, views
from triton_kernels.tensor_details.bitmatrix import sort_by_column_torch
from triton_kernels.tensor_details.padding import RowCount, rows_taking_part
from triton_kernels.tensor_details.ragged_tensor import (
    RaggedTensorMetadata,
    make_ragged_tensor_metadata_torch,
)
from triton_kernels.topk import select_backward_torch, topk_torch


@torch.no_grad()
def route(
    logits: torch.Tensor,
    k: int,
    sm_first: bool,
    given: torch.Tensor | None,
    keep_indx: bool,
    n_rows: RowCount | None,
) -> Routed:
    """See `triton_kernels.legacy_details._autograd.route`."""
    x = softmax_of_rows_taking_part(logits, n_rows) if sm_first else logits
    chosen = topk_torch(x, k, apply_softmax=not sm_first, y_indx=given, n_rows=n_rows)
    gates, buffer, vectors, _ = route_choice(chosen.vals, chosen.indx, logits.shape[1], n_rows)
    indx = _as_int16(chosen.indx, logits.shape[1]) if keep_indx else None
    return Routed(gates, buffer, vectors, indx)


@torch.no_grad()
def route_choice(
    vals: torch.Tensor, indx: torch.Tensor, n_columns: int, n_rows: RowCount | None
) -> Routed:
    """See `triton_kernels.legacy_details._autograd.route_choice`."""
    col_sum, order = sort_by_column_torch(indx, n_columns, n_rows)
    ragged = make_ragged_tensor_metadata_torch(col_sum, indx.numel())
    n_sizes = len(RaggedTensorMetadata.block_sizes_log2())
    layout = layout_of(indx.shape[0], n_columns, indx.shape[1], n_sizes)
    # Zeros, so that calls can be compared: nothing is written between the vectors.
    buffer = torch.zeros(layout.numel, dtype=torch.int32, device=indx.device)
    vectors = views(buffer, layout)
    vectors.hist.copy_(col_sum)
    vectors.combine.copy_(order[0])
    vectors.dispatch.copy_(order[1])
    vectors.batch_offs.copy_(ragged.batch_offs)
    vectors.block_offs.copy_(ragged.block_offs_data)
    vectors.schedule.copy_(ragged.block_schedule_data)
    return Routed(in_expert_order(vals, vectors.combine), buffer, vectors, None)


def route_backward(
    logits: torch.Tensor,
    indx: torch.Tensor,
    dispatch: torch.Tensor,
    dgates: torch.Tensor,
    sm_first: bool,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """See `triton_kernels.legacy_details._autograd.route_backward`.  dispatch: of the forward."""
    by_slot = in_slot_order(dgates, dispatch).view(indx.shape)
    if not sm_first:
        return select_backward_torch(logits, indx, by_slot, n_rows, apply_softmax=True)
    y = softmax_of_rows_taking_part(logits.float(), n_rows)
    dy = select_backward_torch(y, indx, by_slot, n_rows, apply_softmax=False)
    return (y * (dy - (y * dy).sum(1, keepdim=True))).to(logits.dtype)


def in_expert_order(vals: torch.Tensor, combine: torch.Tensor) -> torch.Tensor:
    """[N]: the value of each slot in the order of experts; 0, without gradient, on the tail."""
    filled = combine >= 0
    slot = torch.where(filled, combine, 0).long()
    return torch.where(filled, vals.flatten().gather(0, slot), 0)


def in_slot_order(gates: torch.Tensor, dispatch: torch.Tensor) -> torch.Tensor:
    """[N]: back from the order of experts, 0 in unused slots."""
    return torch.where(dispatch >= 0, gates[dispatch.clamp(min=0).long()], 0)


def softmax_of_rows_taking_part(logits: torch.Tensor, n_rows: RowCount | None) -> torch.Tensor:
    """Softmax of each row.  What padded rows hold must not reach the gradient, as NaN * 0 would."""
    if n_rows is not None:
        takes_part = rows_taking_part(n_rows, logits.shape[0], logits.device)
        logits = torch.where(takes_part.unsqueeze(1), logits, 0)
    return torch.softmax(logits, dim=-1)


def _as_int16(indx: torch.Tensor, n_columns: int) -> torch.Tensor:
    """Columns as a new tensor, -1 for what is none: cut to 16 bits, it could look like one."""
    used = (indx >= 0) & (indx < n_columns)
    return torch.where(used, indx, -1).to(torch.int16).contiguous()
