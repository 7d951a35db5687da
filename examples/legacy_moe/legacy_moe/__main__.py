"""Run the layer once and print a few numbers, the same at every run."""

import torch

from .checks import is_consistent
from .layer import ExpertLayer
from .moe import ACTIVATIONS, moe
from .router import route, route_chosen
from .schedule import block_counts, plan

TOKENS, WIDTH, HIDDEN, EXPERTS, K = 48, 32, 64, 40, 4
PADDING = 5


def moe_inputs() -> dict[str, torch.Tensor]:
    """Tokens, what the router says of them, weights and biases: the same at every run."""
    torch.manual_seed(1)
    shapes = {
        "x": (TOKENS, WIDTH),
        "logits": (TOKENS, EXPERTS),
        "w1": (EXPERTS, WIDTH, 2 * HIDDEN),
        "b1": (EXPERTS, 2 * HIDDEN),
        "w2": (EXPERTS, HIDDEN, WIDTH),
        "b2": (EXPERTS, WIDTH),
    }
    inputs = {name: torch.randn(shape).bfloat16() for name, shape in shapes.items()}
    inputs["b1"], inputs["b2"] = inputs["b1"].float(), inputs["b2"].float()
    return inputs


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

    device = "cuda" if torch.cuda.is_available() else "cpu"
    inputs = {name: tensor.to(device) for name, tensor in moe_inputs().items()}
    for activation in ACTIVATIONS:
        y = moe(**inputs, k=K, activation=activation).double()
        print(activation, f"{y.abs().sum():.6g}", [f"{value:.4g}" for value in y[0, :4].tolist()])


if __name__ == "__main__":
    main()
