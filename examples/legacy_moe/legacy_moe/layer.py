"""The expert layer: gather tokens, multiply by expert, scatter the weighted sum."""

from __future__ import annotations

import torch

from triton_kernels.routing import (
    GatherIndx,  # where each row in expert order comes from
    RoutingData,
    ScatterIndx,  # and where its result goes
)

from .router import route


def gather_tokens(x: torch.Tensor, gather_indx: GatherIndx, k: int, n_slots: int) -> torch.Tensor:
    """Rows of x in expert order.  The tail of src_indx is -1 where slots are unused."""
    return x[gather_indx.src_indx[:n_slots].long() // k]


def multiply_by_expert(x: torch.Tensor, w: torch.Tensor, expt_hist: torch.Tensor) -> torch.Tensor:
    """x[rows of expert e] @ w[e], for each expert e."""
    counts = expt_hist.tolist()
    return torch.cat([rows @ w[e] for e, rows in enumerate(x.split(counts))])


def scatter_sum(
    y: torch.Tensor, rdata: RoutingData, scatter_indx: ScatterIndx, n_tokens: int
) -> torch.Tensor:
    """Sum, for each token, the results of its experts, weighted by the gates."""
    k = rdata.n_expts_act
    out = torch.zeros(n_tokens * k, y.shape[1], dtype=y.dtype)
    used = scatter_indx.src_indx >= 0
    position = scatter_indx.src_indx[used].long()
    out[used] = y[position] * rdata.gate_scal[position, None].to(y.dtype)
    return out.view(n_tokens, k, -1).sum(1)


class ExpertLayer(torch.nn.Module):
    """n_experts two-layer perceptrons; each token visits k of them."""

    def __init__(self, width: int, hidden: int, n_experts: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.gate = torch.nn.Linear(width, n_experts, bias=False)
        self.w1 = torch.nn.Parameter(torch.randn(n_experts, width, hidden) / width**0.5)
        self.w2 = torch.nn.Parameter(torch.randn(n_experts, hidden, width) / hidden**0.5)

    def forward(self, x: torch.Tensor, n_rows: int | None = None) -> torch.Tensor:
        """x: [tokens, width]; rows from n_rows on are padding and give zero."""
        return self.apply_experts(x, *route(self.gate(x), self.k, n_rows))

    def apply_experts(
        self,
        x: torch.Tensor,
        rdata: RoutingData,
        gather_indx: GatherIndx,
        scatter_indx: ScatterIndx,
    ) -> torch.Tensor:
        n_slots = int(rdata.expt_hist.sum())
        h = gather_tokens(x, gather_indx, self.k, n_slots)
        h = torch.relu(multiply_by_expert(h, self.w1, rdata.expt_hist))
        h = multiply_by_expert(h, self.w2, rdata.expt_hist)
        return scatter_sum(h, rdata, scatter_indx, x.shape[0])
