"""Routing for `legacy_routing`: tensors computed, records made of them, gradients brought back."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from triton_kernels import dispatch, ops
from triton_kernels.legacy_details import _reference
from triton_kernels.legacy_details._buffer import Routed, layout_of, records, views
from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
from triton_kernels.tensor_details.padding import RowCount
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

_LAUNCH = "triton_kernels.legacy_details._launch"

_known_layout = lru_cache(maxsize=1024)(layout_of)


def routing(
    logits: torch.Tensor,
    k: int,
    sm_first: bool,
    given: torch.Tensor | None,
    n_rows: RowCount | None,
) -> tuple[RoutingData, GatherIndx, ScatterIndx]:
    """What `legacy_routing` returns, for arguments that are known to be right."""
    needs_gradient = dispatch.needs_gradient(logits)
    if dispatch.is_traced(logits):
        gates, buffer, _ = ops.legacy_routing(logits, k, sm_first, given, needs_gradient, n_rows)
        n_sizes = len(RaggedTensorMetadata.block_sizes_log2())
        vectors = views(buffer, layout_of(*logits.shape, k, n_sizes))
    else:
        routed = route(logits, k, sm_first, given, needs_gradient, n_rows)
        gates, _, vectors, _ = routed
        if needs_gradient:
            gates = _Gates.apply(logits, routed, sm_first, n_rows)  # type: ignore[no-untyped-call]
    return records(gates, vectors, logits.shape[1], k)


def routing_of_choice(
    vals: torch.Tensor,
    indx: torch.Tensor,
    n_columns: int,
    n_rows: RowCount | None,
    n_expts_tot: int,
    n_expts_act: int,
) -> tuple[RoutingData, GatherIndx, ScatterIndx]:
    """What `legacy_routing_from_bitmatrix` returns, for arguments that are known to be right."""
    routed = route_choice(vals, indx, n_columns, n_rows)
    gates = routed.gates
    if dispatch.needs_gradient(vals):
        gates = _GatesOfChoice.apply(vals, routed)  # type: ignore[no-untyped-call]
    return records(gates, routed.vectors, n_expts_tot, n_expts_act)


def route_choice(
    vals: torch.Tensor, indx: torch.Tensor, n_columns: int, n_rows: RowCount | None
) -> Routed:
    """A choice sorted by expert, without gradient."""
    run = dispatch.choose(
        vals.device, reference=_reference.route_choice, kernel=f"{_LAUNCH}.route_choice"
    )
    return run(vals, indx, n_columns, n_rows)


def route(
    logits: torch.Tensor,
    k: int,
    sm_first: bool,
    given: torch.Tensor | None,
    keep_indx: bool,
    n_rows: RowCount | None,
) -> Routed:
    """Everything that `legacy_routing` computes, without gradient."""
    run = dispatch.choose(logits.device, reference=_reference.route, kernel=f"{_LAUNCH}.route")
    return run(logits, k, sm_first, given, keep_indx, n_rows)


def route_to_buffer(
    logits: torch.Tensor,
    k: int,
    sm_first: bool,
    given: torch.Tensor | None,
    keep_indx: bool,
    n_rows: RowCount | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """`route` without the views: what the registered op returns."""
    gates, buffer, _, indx = route(logits, k, sm_first, given, keep_indx, n_rows)
    return gates, buffer, indx


def route_backward(
    logits: torch.Tensor,
    indx: torch.Tensor,
    buffer: torch.Tensor,
    dgates: torch.Tensor,
    sm_first: bool,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """Gradient of `logits`, in their shape and dtype, given that of the gates."""
    n_sizes = len(RaggedTensorMetadata.block_sizes_log2())
    layout = _known_layout(*logits.shape, indx.shape[1], n_sizes)
    positions = buffer.narrow(0, layout.at_dispatch, layout.n_slots)
    run = dispatch.choose(
        logits.device, reference=_reference.route_backward, kernel=f"{_LAUNCH}.route_backward"
    )
    return run(logits, indx, positions, dgates, sm_first, n_rows)


class _Gates(torch.autograd.Function):
    """The gates of what was routed, with their gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        routed: Routed,
        sm_first: bool,
        n_rows: RowCount | None,
    ) -> torch.Tensor:
        on_device = n_rows if isinstance(n_rows, torch.Tensor) else None
        ctx.save_for_backward(logits, routed.indx, routed.buffer, on_device)
        ctx.n_rows = n_rows if on_device is None else None
        ctx.sm_first = sm_first
        return routed.gates

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dgates: torch.Tensor) -> tuple[Any, ...]:
        logits, indx, buffer, on_device = ctx.saved_tensors
        n_rows = ctx.n_rows if on_device is None else on_device
        dlogits = route_backward(logits, indx, buffer, dgates, ctx.sm_first, n_rows)
        return dlogits, None, None, None


class _GatesOfChoice(torch.autograd.Function):
    """The gates of a choice that was sorted, with their gradient."""

    @staticmethod
    def forward(ctx: Any, vals: torch.Tensor, routed: Routed) -> torch.Tensor:
        ctx.save_for_backward(routed.vectors.dispatch)
        ctx.shape = vals.shape
        return routed.gates

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dgates: torch.Tensor) -> tuple[Any, ...]:
        (positions,) = ctx.saved_tensors
        return _reference.in_slot_order(dgates, positions).view(ctx.shape), None
