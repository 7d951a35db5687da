"""How many blocks of rows a ragged product over the experts takes."""

from __future__ import annotations

import logging

import torch

logger = logging.getLogger(__name__)

try:
    from triton_kernels.routing import RoutingData, compute_expt_data
except (AttributeError, ImportError) as error:
    logger.error("triton_kernels cannot be used: %s", error)


def plan(experts: torch.Tensor, gates: torch.Tensor, n_experts: int) -> RoutingData:
    """Routing data for experts [tokens, k] that were chosen elsewhere, with its block schedule."""
    flat = experts.flatten()
    order = torch.argsort(flat, stable=True)
    hist = torch.bincount(flat, minlength=n_experts).to(torch.int32)
    n_gates = flat.numel()
    expt_data = compute_expt_data(hist, n_experts, n_gates)
    return RoutingData(gates.flatten()[order], hist, n_experts, experts.shape[1], expt_data)


def block_counts(rdata: RoutingData, n_rows: int) -> dict[int, int]:
    """The number of blocks to launch, by block size."""
    return {block_m: rdata.n_blocks(n_rows, block_m) for block_m in (16, 32, 64, 128)}
