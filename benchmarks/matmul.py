"""The two products of a mixture-of-experts layer, beside torch, cuBLAS and what the card allows.

    python benchmarks/matmul.py [--model NAME...] [--dtype bf16 fp8] [--rows N...]
        [--compile-first PROCESSES] [--csv FILE] [--plot FILE.png]

For each model, dtype and number n of tokens, which are routed at random:
- first: rows gathered, [n*k, H] x [E, H, 2I], SwiGLU; second: [n*k, I] x [E, I, H], rows scattered
  and summed over k with their weights.  8-bit weights (e4m3) are column-major; results are bf16.
- graph: a replay of a CUDA graph, per call; eager: a call as Python makes it;
- grouped: torch's grouped product alone, of rows that are sorted already, as a graph;
- cuBLAS: the dense product of as many rows with one weight, as a graph;
- floor: the slower of the operations at the rate of cuBLAS's best product and of the bytes (weights
  of the experts at work, x, y) at that of a large copy, and one empty launch.
Times are medians, in microseconds.  A GPU slows down under sustained work (an H100 by 15 %): before
each measurement it rests for 0.3 s, a measurement takes 50 ms, and all variants of a row are
measured in turn on the same card.  `error` is that of the result against torch's, of its norm.

Exits with 1 without a GPU, and where a product fails or its error is more than 2 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matmul_plot
import measure
import torch
from matmul_rows import Row, written
from measure import LARGEST_ERROR, Card, Failures, Work
from models import MODELS, SWIGLU, SWIGLU_ALPHA, SWIGLU_LIMIT, TOKENS, Model

from triton_kernels.legacy import legacy_routing
from triton_kernels.matmul_ogs import (
    GatherIndx,
    PrecisionConfig,
    RoutingData,
    ScatterIndx,
    matmul_ogs,
)
from triton_kernels.swiglu import PrecisionConfig as SwigluPrecision
from triton_kernels.swiglu import swiglu_torch

PRODUCTS = ("first", "second")
OUT_DTYPE = torch.bfloat16
PRECISION = PrecisionConfig(out_dtype=OUT_DTYPE)


class Case(NamedTuple):
    """A weight: which products are measured with it is a matter of the tokens."""

    model: Model
    dtype: str
    product: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """[E, K, N]."""
        model = self.model
        if self.product == "first":
            return model.n_experts, model.hidden, 2 * model.intermediate
        return model.n_experts, model.intermediate, model.hidden

    def __str__(self) -> str:
        return f"{self.model.name} {self.dtype} {self.product}"


class Inputs(NamedTuple):
    """Tokens and where they go.

    x: [n, K] of the first product; [n*k, K] in the order of experts, of the second.
    ends: int32 [E], the row behind each expert's last.
    """

    x: torch.Tensor
    routing: RoutingData
    gather: GatherIndx
    scatter: ScatterIndx
    ends: torch.Tensor

    @property
    def tokens(self) -> torch.Tensor:
        """int64 [n*k], the token of each row in the order of experts."""
        return self.gather.src_indx.long() // self.routing.n_expts_act

    def sorted_rows(self, case: Case) -> torch.Tensor:
        """x in the order of experts."""
        if case.product == "second":
            return self.x
        # By bytes, since torch does not index 8-bit floats everywhere.
        return self.x.view(torch.uint8)[self.tokens].view(self.x.dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--dtype", nargs="+", choices=measure.DTYPES, default=list(measure.DTYPES))
    parser.add_argument("--rows", nargs="+", type=int, metavar="N", default=TOKENS, help="tokens")
    parser.add_argument("--compile-first", type=int, metavar="PROCESSES", help="at a time")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the rows, as they are done")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="a roofline; matplotlib")
    given = parser.parse_args()
    if given.plot is not None:
        matmul_plot.require_matplotlib()  # before anything is measured
    measure.require_gpu()
    print(measure.describe())
    cases = [
        Case(MODELS[name], dtype, product)
        for name in given.model
        for dtype in given.dtype
        for product in PRODUCTS
    ]
    if given.compile_first:
        compile_one = partial(compile_kernels, all_tokens=given.rows)
        measure.compile_in_processes(compile_one, cases, given.compile_first)
    card = measure.measure_card(given.dtype, given.rows)
    print(f"{card}; times in us\n\n{Row.HEADER}", flush=True)
    failures = Failures()
    rows = []
    for row in written(measured(cases, given.rows, card, failures), given.csv):
        print(row, flush=True)
        rows.append(row)
    failures.tell()
    if given.plot is not None:
        matmul_plot.draw(rows, given.plot)
    if not all(row.is_right for row in rows):
        sys.exit(f"failed, or an error above {LARGEST_ERROR:.0%}")


def measured(
    cases: Sequence[Case],
    all_tokens: Sequence[int],
    card: Card,
    failures: Failures,
    device: str = "cuda",
) -> Iterator[Row]:
    """Each row as soon as it is measured."""
    for case in cases:
        weights = measure.random_matrices(*case.shape, case.dtype, device)
        for n_tokens in all_tokens:
            yield measure_row(case, n_tokens, weights, card, failures)
        del weights
        torch.cuda.empty_cache()


def measure_row(
    case: Case, n_tokens: int, weights: torch.Tensor, card: Card, failures: Failures
) -> Row:
    device = weights.device
    n_calls = measure.n_calls(n_tokens)
    inputs = [random_inputs(case, n_tokens, device) for _ in range(n_calls)]
    works = [work_of(case, each) for each in inputs]
    work, weight_bytes = mean([work for work, _ in works]), sum(b for _, b in works) / n_calls
    sorted_rows = [each.sorted_rows(case) for each in inputs]
    ours = [product(case, weights, each) for each in inputs]
    grouped = [
        grouped_product(rows, weights, each.ends)
        for rows, each in zip(sorted_rows, inputs, strict=True)
    ]
    dense = [
        dense_product(rows, weights[i % weights.shape[0]]) for i, rows in enumerate(sorted_rows)
    ]
    name = f"{case} n {n_tokens}"
    return Row(
        model=case.model.name,
        dtype=case.dtype,
        product=case.product,
        tokens=n_tokens,
        flops=work.flops,
        bytes=work.bytes,
        weight_bytes=weight_bytes,
        graph_us=failures.time(f"{name}, graph", measure.graph_time, ours),
        eager_us=failures.time(f"{name}, eager", measure.eager_time, ours),
        grouped_us=failures.time(f"{case}, grouped", measure.graph_time, grouped),
        cublas_us=failures.time(f"{case}, cuBLAS", measure.graph_time, dense),
        floor_us=card.floor_us(work, case.dtype, n_calls),
        error=failures.time(f"{name}, error", lambda _: error_of(case, weights, inputs[0]), []),
        peak_tflops=card.flops_per_us[case.dtype] * 1e-6,
        copy_tbps=card.bytes_per_us * 1e-6,
    )


def compile_kernels(case: Case, all_tokens: Sequence[int]) -> str | None:
    """Run a case once for each number of tokens, with whatever is in memory as weights."""
    try:
        # All weights of all models are 50 GB, so it does not matter who is compiled beside whom.
        weights = measure.empty_matrices(*case.shape, case.dtype, "cuda")
        for n_tokens in all_tokens:
            product(case, weights, random_inputs(case, n_tokens, "cuda"))()
        torch.cuda.synchronize()
        del weights
        torch.cuda.empty_cache()
    except Exception as error:  # told, and told again where it is measured
        return measure.reason(error)
    return None


# --- what is measured


def random_inputs(case: Case, n_tokens: int, device: torch.device | str) -> Inputs:
    model = case.model
    logits = torch.randn(n_tokens, model.n_experts, device=device)
    routing, gather, scatter = legacy_routing(logits, model.k)
    n_rows = n_tokens if case.product == "first" else n_tokens * model.k
    x = measure.random_rows(n_rows, case.shape[1], case.dtype, device)
    ends = routing.expt_hist.cumsum(0, dtype=torch.int32)
    return Inputs(x, routing, gather, scatter, ends)


def work_of(case: Case, inputs: Inputs) -> tuple[Work, int]:
    """Operations and bytes of a product, and the bytes of them that are weights."""
    _, n_inner, n_columns = case.shape
    n_rows = inputs.gather.src_indx.numel()
    itemsize = inputs.x.itemsize
    weight_bytes = int((inputs.routing.expt_hist > 0).sum()) * n_inner * n_columns * itemsize
    if case.product == "first":
        n_results = n_rows * n_columns // 2
    else:
        n_results = n_rows // case.model.k * n_columns
    moved = weight_bytes + inputs.x.numel() * itemsize + n_results * OUT_DTYPE.itemsize
    return Work(2 * n_rows * n_inner * n_columns, moved), weight_bytes


def mean(works: Sequence[Work]) -> Work:
    n = len(works)
    return Work(sum(work.flops for work in works) / n, sum(work.bytes for work in works) / n)


def product(case: Case, weights: torch.Tensor, inputs: Inputs) -> Callable[[], torch.Tensor]:
    x, routing, gather, scatter, _ = inputs
    fused: dict[str, Any]
    if case.product == "first":
        fused = {"gather_indx": gather, "fused_activation": SWIGLU}
    else:
        fused = {"scatter_indx": scatter, "gammas": routing.gate_scal}
    return partial(matmul_ogs, x, weights, None, routing, precision_config=PRECISION, **fused)


def grouped_product(
    x: torch.Tensor, w: torch.Tensor, ends: torch.Tensor
) -> Callable[[], torch.Tensor]:
    """Torch's: x [M, K] in the order of experts, w [E, K, N] -> bf16 [M, N]."""
    if x.itemsize > 1:
        return partial(torch._grouped_mm, x, w, offs=ends)
    scales = (
        torch.ones(x.shape[0], device=x.device),
        torch.ones(w.shape[0], w.shape[2], device=x.device),
    )
    return partial(torch._scaled_grouped_mm, x, w, *scales, offs=ends, out_dtype=OUT_DTYPE)


def dense_product(x: torch.Tensor, w: torch.Tensor) -> Callable[[], torch.Tensor]:
    """cuBLAS's: x [M, K], w [K, N] -> bf16 [M, N]."""
    if x.itemsize > 1:
        return partial(torch.mm, x, w)
    one = torch.ones((), device=x.device)
    return partial(torch._scaled_mm, x, w, one, one, out_dtype=OUT_DTYPE)


def error_of(case: Case, weights: torch.Tensor, inputs: Inputs) -> float:
    """Of our result against torch's grouped product, in bf16, which holds 8-bit floats exactly."""
    rows = inputs.sorted_rows(case).to(torch.bfloat16)
    expected = torch._grouped_mm(rows, weights.to(torch.bfloat16), offs=inputs.ends)
    if case.product == "first":
        expected = swiglu_torch(expected, SWIGLU_ALPHA, SwigluPrecision(SWIGLU_LIMIT))
    else:
        n_tokens = rows.shape[0] // case.model.k
        weighted = expected.float() * inputs.routing.gate_scal[:, None]
        summed = torch.zeros(n_tokens, expected.shape[1], device=rows.device)
        expected = summed.index_add_(0, inputs.tokens, weighted)
    return measure.relative_error(product(case, weights, inputs)(), expected)


if __name__ == "__main__":
    main()
