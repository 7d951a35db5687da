"""Run the layer once and print a few numbers, the same at every run."""

import torch

from .checks import is_consistent
from .layer import ExpertLayer
from .router import route, route_chosen
from .schedule import block_counts, plan

TOKENS, WIDTH, HIDDEN, EXPERTS, K = 48, 32, 64, 40, 4
PADDING = 5


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    layer = ExpertLayer(WIDTH, HIDDEN, EXPERTS, K)
    x = torch.randn(TOKENS, WIDTH)
    logits = layer.gate(x)

    routed = route(logits, K, TOKENS - PADDING)
    y = layer.apply_experts(x, *routed)
    print("histogram", routed[0].expt_hist.tolist())
    print("consistent", is_consistent(*routed))
    print("checksum", f"{y.double().abs().sum():.6f}")
    print("padding", y[TOKENS - PADDING :].abs().sum().item())

    gates, experts = torch.topk(logits, K)
    experts, order = torch.sort(experts.to(torch.int32), dim=1)
    gates = torch.softmax(gates.gather(1, order), dim=1)
    chosen = route_chosen(experts, gates, EXPERTS)
    print("chosen", f"{layer.apply_experts(x, *chosen).double().abs().sum():.6f}")
    print("blocks", block_counts(plan(experts, gates, EXPERTS), experts.numel()))


if __name__ == "__main__":
    main()
