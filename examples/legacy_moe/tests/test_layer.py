"""The layer against a loop over tokens, experts one at a time."""

import pytest
import torch

import triton_kernels.routing
from legacy_moe.layer import ExpertLayer
from legacy_moe.router import pack_bits, route, route_chosen
from legacy_moe.schedule import block_counts, plan

TOKENS, WIDTH, HIDDEN, EXPERTS, K = 21, 16, 24, 8, 2


def by_token(layer, x, n_rows):
    out = torch.zeros_like(x)
    for t in range(n_rows):
        gates, experts = torch.topk(layer.gate(x[t]), K)
        for gate, e in zip(torch.softmax(gates, 0), experts, strict=True):
            out[t] += gate * (torch.relu(x[t] @ layer.w1[e]) @ layer.w2[e])
    return out


@pytest.fixture
def layer():
    torch.manual_seed(1)
    return ExpertLayer(WIDTH, HIDDEN, EXPERTS, K)


@pytest.mark.parametrize("n_rows", [TOKENS, 13, 1])
@torch.no_grad()
def test_layer_is_the_sum_over_the_chosen_experts(layer, n_rows):
    x = torch.randn(TOKENS, WIDTH)
    torch.testing.assert_close(layer(x, n_rows), by_token(layer, x, n_rows))


@torch.no_grad()
def test_chosen_experts_give_what_the_router_gives(layer):
    x = torch.randn(TOKENS, WIDTH)
    logits = layer.gate(x)
    gates, experts = torch.topk(logits, K)
    chosen = route_chosen(experts.to(torch.int32), torch.softmax(gates, 1), EXPERTS)
    torch.testing.assert_close(layer.apply_experts(x, *chosen), layer(x))


def test_router_returns_the_old_records(layer):
    routed = route(torch.randn(TOKENS, EXPERTS), K)
    assert isinstance(routed[0], triton_kernels.routing.RoutingData)
    assert isinstance(routed[1], triton_kernels.routing.GatherIndx)


def test_unused_slots_set_no_bit():
    words = pack_bits(torch.tensor([[0, 33], [-1, 5]]), 40)
    assert words.to(torch.int64).tolist() == [[1, 2], [32, 0]]


def test_few_rows_take_one_block_each():
    experts = torch.tensor([[0, 1], [1, 3]])
    rdata = plan(experts, torch.ones(2, 2), EXPERTS)
    assert rdata.expt_hist.tolist() == [1, 2, 0, 1, 0, 0, 0, 0]
    assert block_counts(rdata, 4) == {16: 4, 32: 4, 64: 4, 128: 4}
