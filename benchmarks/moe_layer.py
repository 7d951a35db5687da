"""A whole mixture-of-experts layer: routing and both products, beside the same in plain torch.

    python benchmarks/moe_layer.py [--model NAME...] [--rows N...] [--compile-first PROCESSES]

For each model and number n of tokens, in bf16, from logits and tokens to the layer's result:
`legacy_routing`, rows gathered, first product, bias, SwiGLU, second product, bias, rows scattered
and summed with their weights.  Beside it the same of torch's own operations (topk, softmax, sort,
grouped products, index_add):
- graph: a replay of a CUDA graph, per call; eager: a call as Python makes it;
- host: until a call has put its last launch into a queue that was empty, in eager mode; the least
  of several medians, since what else runs on the machine adds to it;
- floor: the slower of the operations at the rate of cuBLAS's best product and of the bytes (weights
  of the experts at work, tokens, logits, result) at that of a large copy, and one empty launch.
Times are medians, in microseconds.  A GPU slows down under sustained work (an H100 by 15 %): before
each measurement it rests for 0.3 s, a measurement takes 50 ms, and both layers are measured in turn
on the same card.  `error` is that of our result against torch's, of its norm.

Exits with 1 without a GPU, and where a layer fails or its error is more than 2 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import measure
import torch
from measure import LARGEST_ERROR, Card, Failures, Work, cell, ratio
from models import MODELS, SWIGLU, SWIGLU_ALPHA, SWIGLU_LIMIT, TOKENS, Model

from triton_kernels.legacy import legacy_routing
from triton_kernels.matmul_ogs import matmul_ogs


class Layer(NamedTuple):
    """w1 [E, H, 2I], b1 [E, 2I], w2 [E, I, H], b2 [E, H], all bf16."""

    w1: torch.Tensor
    b1: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor


@dataclass(frozen=True)
class Row:
    """A line of the table; pairs are ours and torch's."""

    model: str
    tokens: int
    graph_us: tuple[float | None, float | None]
    eager_us: tuple[float | None, float | None]
    host_us: tuple[float | None, float | None]
    floor_us: float
    error: float | None

    HEADER = (
        f"{'':>19}{'graph replay':>20}{'eager':>20}{'host':>18}{'':>10}{'torch/ours':>16}\n"
        f"{'model':<13}{'n':>6}" + f"{'ours':>10}{'torch':>10}" * 2 + f"{'ours':>9}{'torch':>9}"
        f"{'floor':>10}{'graph':>8}{'eager':>8}{'/floor':>8}{'error':>8}"
    )

    def __str__(self) -> str:
        return (
            f"{self.model:<13}{self.tokens:>6}"
            + "".join(cell(us, 10) for us in (*self.graph_us, *self.eager_us))
            + "".join(cell(us, 9) for us in self.host_us)
            + cell(self.floor_us, 10)
            + cell(ratio(*reversed(self.graph_us)), 8, 2, "x")
            + cell(ratio(*reversed(self.eager_us)), 8, 2, "x")
            + cell(ratio(self.graph_us[0], self.floor_us), 8, 2, "x")
            + cell(self.error, 8, 4)
        )

    @property
    def is_right(self) -> bool:
        """Whether ours was computed, and rightly as far as is known."""
        return self.graph_us[0] is not None and (self.error is None or self.error <= LARGEST_ERROR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rows", nargs="+", type=int, metavar="N", default=TOKENS, help="tokens")
    parser.add_argument("--compile-first", type=int, metavar="PROCESSES", help="at a time")
    given = parser.parse_args()
    measure.require_gpu()
    print(measure.describe())
    models = [MODELS[name] for name in given.model]
    if given.compile_first:
        compile_one = partial(compile_kernels, all_tokens=given.rows)
        measure.compile_in_processes(compile_one, models, given.compile_first)
    card = measure.measure_card(["bf16"], given.rows)
    print(f"{card}; times in us\n\n{Row.HEADER}", flush=True)
    failures = Failures()
    are_right = []
    for row in measured(models, given.rows, card, failures):
        print(row, flush=True)
        are_right.append(row.is_right)
    failures.tell()
    if not all(are_right):
        sys.exit(f"failed, or an error above {LARGEST_ERROR:.0%}")


@torch.no_grad()
def measured(
    models: Sequence[Model],
    all_tokens: Sequence[int],
    card: Card,
    failures: Failures,
    device: str = "cuda",
) -> Iterator[Row]:
    """Each row as soon as it is measured."""
    for model in models:
        layer = random_layer(model, device)
        for n_tokens in all_tokens:
            yield measure_row(model, n_tokens, layer, card, failures)
        del layer
        torch.cuda.empty_cache()


def measure_row(model: Model, n_tokens: int, layer: Layer, card: Card, failures: Failures) -> Row:
    n_calls = measure.n_calls(n_tokens)
    inputs = [random_inputs(model, n_tokens, layer.w1.device) for _ in range(n_calls)]
    ours = [partial(apply, layer, x, logits, model.k) for x, logits in inputs]
    theirs = [partial(apply_torch, layer, x, logits, model.k) for x, logits in inputs]
    name = f"{model.name} n {n_tokens}"

    def both(what: str, time: measure.Timer) -> tuple[float | None, float | None]:
        return (
            failures.time(f"{name}, {what}", time, ours),
            failures.time(f"{name}, torch's {what}", time, theirs),
        )

    def error(_: measure.Calls) -> float:
        return measure.relative_error(ours[0](), theirs[0]())

    return Row(
        model=model.name,
        tokens=n_tokens,
        graph_us=both("graph", measure.graph_time),
        eager_us=both("eager", measure.eager_time),
        host_us=both("host", measure.host_time),
        floor_us=card.floor_us(mean_work(model, inputs, layer), "bf16", n_calls),
        error=failures.time(f"{name}, error", error, []),
    )


def compile_kernels(model: Model, all_tokens: Sequence[int]) -> str | None:
    """Run a layer once for each number of tokens, with whatever is in memory as weights."""
    try:
        layer = empty_layer(model, "cuda")
        for n_tokens in all_tokens:
            apply(layer, *random_inputs(model, n_tokens, "cuda"), model.k)
        torch.cuda.synchronize()
        del layer
        torch.cuda.empty_cache()
    except Exception as error:  # told, and told again where it is measured
        return measure.reason(error)
    return None


# --- what is measured


def apply(layer: Layer, x: torch.Tensor, logits: torch.Tensor, k: int) -> torch.Tensor:
    """x [n, H], logits [n, E] -> [n, H]."""
    routing, gather, scatter = legacy_routing(logits, k)
    w1, b1, w2, b2 = layer
    h = matmul_ogs(x, w1, b1, routing, gather_indx=gather, fused_activation=SWIGLU)
    return matmul_ogs(h, w2, b2, routing, scatter_indx=scatter, gammas=routing.gate_scal)


def apply_torch(layer: Layer, x: torch.Tensor, logits: torch.Tensor, k: int) -> torch.Tensor:
    """The same of torch's own operations."""
    values, chosen = logits.topk(k, dim=1)
    gates = values.softmax(dim=1).flatten()
    experts, order = chosen.flatten().sort(stable=True)
    tokens = order // k
    # `bincount` waits for the device, which a graph cannot.
    hist = torch.zeros(logits.shape[1], dtype=torch.int32, device=x.device)
    hist.scatter_add_(0, experts, torch.ones_like(experts, dtype=torch.int32))
    ends = hist.cumsum(0, dtype=torch.int32)
    w1, b1, w2, b2 = layer
    h = torch._grouped_mm(x[tokens], w1, offs=ends) + b1[experts]
    gate = h[:, ::2].clamp(max=SWIGLU_LIMIT)
    linear = h[:, 1::2].clamp(-SWIGLU_LIMIT, SWIGLU_LIMIT)
    h = gate * torch.sigmoid(SWIGLU_ALPHA * gate) * (linear + 1)
    y = torch._grouped_mm(h, w2, offs=ends) + b2[experts]
    summed = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    return summed.index_add_(0, tokens, y * gates[order, None]).to(x.dtype)


def empty_layer(model: Model, device: torch.device | str) -> Layer:
    n_experts, hidden, intermediate = model.n_experts, model.hidden, model.intermediate
    return Layer(
        measure.empty_matrices(n_experts, hidden, 2 * intermediate, "bf16", device),
        torch.zeros(n_experts, 2 * intermediate, dtype=torch.bfloat16, device=device),
        measure.empty_matrices(n_experts, intermediate, hidden, "bf16", device),
        torch.zeros(n_experts, hidden, dtype=torch.bfloat16, device=device),
    )


def random_layer(model: Model, device: torch.device | str) -> Layer:
    layer = empty_layer(model, device)
    for weights, biases in ((layer.w1, layer.b1), (layer.w2, layer.b2)):
        measure.fill_matrices(weights)
        biases.normal_(std=0.1)
    return layer


def random_inputs(
    model: Model, n_tokens: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """bf16 [n, H] and float32 [n, E]."""
    x = measure.random_rows(n_tokens, model.hidden, "bf16", device)
    return x, torch.randn(n_tokens, model.n_experts, device=device)


def mean_work(
    model: Model, inputs: Sequence[tuple[torch.Tensor, torch.Tensor]], layer: Layer
) -> Work:
    """Operations and bytes of a layer, if what is between the products costs nothing."""
    x, logits = inputs[0]
    active = [logits.topk(model.k, dim=1).indices.unique().numel() for _, logits in inputs]
    expert_bytes = sum(part[0].nbytes for part in layer)
    weight_bytes = expert_bytes * sum(active) / len(active)
    n_rows = x.shape[0] * model.k
    flops = 2 * n_rows * model.hidden * 3 * model.intermediate
    return Work(flops, weight_bytes + 2 * x.nbytes + logits.nbytes)


if __name__ == "__main__":
    main()
