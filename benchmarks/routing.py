"""The whole of routing on a GPU, beside plain torch and beside what the card allows.

    python benchmarks/routing.py [--repeats N]

For each number of experts E, of choices k and of tokens n, `legacy_routing(logits, k)`:
- graph: a replay of a CUDA graph of ten calls, per call; eager: a call as Python makes it;
- torch: the same from torch's own operations, as a graph and eager;
- floor: one empty launch, measured in the same way, and the bytes of logits and results moved once
  at the rate of a large copy.
Every time is the median of its repeats, in microseconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import triton

from triton_kernels.legacy import legacy_routing

CHOICES = [(32, 4), (128, 4), (256, 8), (384, 6)]
TOKENS = [1, 64, 1024, 8192, 65536]
CALLS = 10


@triton.jit
def _nothing(pointer):
    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs a GPU")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}")
    one = torch.empty(1, device="cuda")
    empty_launch = graph_time(lambda: _nothing[(1,)](one), repeats)
    rate = copy_rate(repeats)
    compile_kernels()
    print(f"empty launch {empty_launch:.2f} us, copy {rate / 1e6:.2f} TB/s; times in us\n")
    print(f"{'':>14}{'graph replay':>19}{'eager':>19}{'':>8}{'torch/ours':>16}{'graph/':>8}")
    print(
        f"{'E':>4}{'k':>3}{'n':>7}{'ours':>9}{'torch':>10}{'ours':>9}{'torch':>10}{'floor':>8}"
        f"{'graph':>8}{'eager':>8}{'floor':>8}"
    )
    for n_experts, k in CHOICES:
        for n_tokens in TOKENS:
            logits = torch.randn(n_tokens, n_experts, device="cuda")
            ours, theirs = partial(legacy_routing, logits, k), partial(torch_routing, logits, k)
            graph, torch_graph = graph_time(ours, repeats), graph_time(theirs, repeats)
            eager, torch_eager = eager_time(ours, repeats), eager_time(theirs, repeats)
            floor = empty_launch + bytes_moved(logits, k) / rate
            print(
                f"{n_experts:>4}{k:>3}{n_tokens:>7}{graph:>9.2f}{torch_graph:>10.2f}{eager:>9.1f}"
                f"{torch_eager:>10.1f}{floor:>8.2f}{torch_graph / graph:>7.1f}x"
                f"{torch_eager / eager:>7.1f}x{graph / floor:>7.1f}x",
                flush=True,
            )


def compile_kernels() -> None:
    """Fill Triton's cache on disk, one process for each pair of E and k."""
    with ProcessPoolExecutor(len(CHOICES), mp_context=get_context("spawn")) as pool:
        list(pool.map(_route_each_batch, CHOICES))


def _route_each_batch(choice: tuple[int, int]) -> None:
    n_experts, k = choice
    for n_tokens in TOKENS:
        legacy_routing(torch.randn(n_tokens, n_experts, device="cuda"), k)


def torch_routing(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, ...]:
    """The same gates, histogram, index vectors and offsets; no schedule of blocks."""
    n_experts = logits.shape[1]
    values, experts = logits.topk(k, dim=1)
    experts, order = experts.sort(dim=1)
    gates = values.softmax(dim=1).gather(1, order).flatten()
    flat = experts.flatten()
    combine = flat.argsort(stable=True)
    dispatch = torch.empty_like(combine)
    dispatch.scatter_(0, combine, torch.arange(combine.numel(), device=combine.device))
    # `bincount` waits for the device, which a graph cannot.
    hist = torch.zeros(n_experts, dtype=torch.int32, device=logits.device)
    hist.scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.int32))
    return gates[combine], hist, combine.int(), dispatch.int(), hist.cumsum(0)


def bytes_moved(logits: torch.Tensor, k: int) -> int:
    """Logits read once; gates, both index vectors, histogram, offsets and schedule written once."""
    data, gather, scatter = legacy_routing(logits, k)
    schedule = data.expt_data
    written = (
        data.gate_scal,
        gather.src_indx,
        scatter.src_indx,
        data.expt_hist,
        schedule.batch_offs,
        schedule.block_offs_data,
        schedule.block_schedule_data,
    )
    return sum(each.numel() * each.element_size() for each in (logits, *written))


def graph_time(call: Callable[[], object], repeats: int) -> float:
    """Microseconds a call, replayed from a graph."""
    warm = torch.cuda.Stream()
    warm.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm):
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            call()
    return _median(graph.replay, repeats) / CALLS


def eager_time(call: Callable[[], object], repeats: int) -> float:
    """Microseconds a call, of many made one after the other, the last one waited for."""
    calls = 20
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) / calls * 1e6)
    return statistics.median(times)


def copy_rate(repeats: int) -> float:
    """Bytes read and written a microsecond by a large copy."""
    source = torch.empty(1 << 28, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / _median(lambda: target.copy_(source), repeats)


def _median(run: Callable[[], object], repeats: int) -> float:
    """Microseconds of `run` between two events."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return statistics.median(times)


if __name__ == "__main__":
    main()
