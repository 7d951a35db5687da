"""The fused layer against a loop over tokens, in float64."""

import pytest
import torch

from legacy_moe.moe import moe

TOKENS, WIDTH, HIDDEN, EXPERTS, K = 19, 16, 24, 8, 2
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def swiglu(pairs, alpha, limit):
    gate, linear = pairs[..., ::2], pairs[..., 1::2]
    if limit is not None:
        gate, linear = gate.clamp(max=limit), linear.clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (linear + 1)


def by_token(x, logits, w1, b1, w2, b2, alpha, limit):
    rows = []
    for token, scores in zip(x.double(), logits.double(), strict=True):
        gates, experts = torch.topk(scores, K)
        hidden = [swiglu(token @ w1[e].double() + b1[e], alpha, limit) for e in experts]
        results = [h @ w2[e].double() + b2[e] for h, e in zip(hidden, experts, strict=True)]
        rows.append(sum(g * y for g, y in zip(torch.softmax(gates, 0), results, strict=True)))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("activation", "alpha", "limit"), [("swiglu_oai", 1.702, 7.0), ("swiglu", 1.0, None)]
)
def test_layer_is_the_sum_over_the_chosen_experts(activation, alpha, limit):
    torch.manual_seed(2)
    shapes = [
        *[(TOKENS, WIDTH), (TOKENS, EXPERTS), (EXPERTS, WIDTH, 2 * HIDDEN), (EXPERTS, 2 * HIDDEN)],
        *[(EXPERTS, HIDDEN, WIDTH), (EXPERTS, WIDTH)],
    ]
    inputs = [2 * torch.randn(shape, device=DEVICE) for shape in shapes]
    inputs = [tensor.bfloat16() if tensor.ndim == 3 else tensor for tensor in inputs]
    inputs[0] = inputs[0].bfloat16()
    expected = by_token(*inputs, alpha, limit)
    error = (moe(*inputs, K, activation).double() - expected).norm() / expected.norm()
    assert error < 0.01  # bf16 has 8 bits
