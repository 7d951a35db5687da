"""Which experts each token visits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from triton_kernels.routing import routing

if TYPE_CHECKING:
    from triton_kernels.routing import GatherIndx, RoutingData, ScatterIndx

WORD_BITS = 32


def route(
    logits: torch.Tensor, k: int, n_rows: int | None = None
) -> tuple[RoutingData, GatherIndx, ScatterIndx]:
    """Send each of the first `n_rows` tokens to its k best experts."""
    return routing(logits, k, simulated_ep=1, n_rows=n_rows)


def route_chosen(
    experts: torch.Tensor, weights: torch.Tensor, n_experts: int
) -> tuple[RoutingData, GatherIndx, ScatterIndx]:
    """Send each token to experts that somebody else chose (both [tokens, k])."""
    from triton_kernels.routing import routing_from_bitmatrix
    from triton_kernels.tensor import BIT, Bitmatrix

    n_tokens, k = experts.shape
    words = pack_bits(experts, n_experts)
    shape = [n_tokens, n_experts]
    bitmatrix = Bitmatrix(words, dtype=BIT, shape=shape, shape_max=[n_tokens, None])
    return routing_from_bitmatrix(bitmatrix, weights, experts, n_experts, k)


def pack_bits(experts: torch.Tensor, n_experts: int) -> torch.Tensor:
    """One bit for each (token, expert), 32 experts a word; -1 is no expert."""
    n_words = -(-n_experts // WORD_BITS)
    # One column more than there are experts takes the bits of unused slots.
    chosen = torch.zeros(experts.shape[0], n_words * WORD_BITS + 1, dtype=torch.int64)
    columns = torch.where(experts < 0, n_words * WORD_BITS, experts).to(torch.int64)
    chosen.scatter_(1, columns, 1)
    bits = chosen[:, :-1].reshape(-1, n_words, WORD_BITS)
    words = (bits << torch.arange(WORD_BITS)).sum(-1)
    return words.to(torch.uint32)
