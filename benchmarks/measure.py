"""How the benchmarks measure: GPU time, time in eager mode, and what the card could do at best.

A GPU slows down under sustained work (an H100 by 15 %), so each measurement begins with a rest and
is short, and variants that are compared are measured in turn, on the same card.  Every time is a
median, in microseconds; of the host's, the least of several.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import triton

from triton_kernels.roofline import get_cublas_tflops

Calls: TypeAlias = Sequence[Callable[[], object]]
"""The same work on inputs of its own each: measured one after the other, reported for one."""

Timer: TypeAlias = Callable[[Calls], float]

Case = TypeVar("Case")

REST_S = 0.3
WARM_UP_MS, MEASURED_MS = 10, 40
MOST_CALLS = 10
"""Of a graph."""
FEWEST_EAGER_CALLS = 4
"""Between two waits for the device, so that the host can run ahead of it."""
HOST_REPEATS, HOST_BLOCKS = 50, 6
"""A processor that has rested takes three times as long for the first calls; and where others use
it, too, everything takes up to twice as long, for a fraction of a second at a time."""
LONGEST_REASON = 160
LARGEST_ERROR = 0.02
"""Of the norm: several times what rounding intermediate results to bf16 makes."""

DTYPES = {"bf16": torch.bfloat16, "fp8": torch.float8_e4m3fn}


def require_gpu() -> None:
    """Leave with a message and exit code 1 where there is no GPU."""
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs a GPU")


def describe() -> str:
    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}"


# --- what the card could do


@dataclass(frozen=True)
class Work:
    """What cannot be avoided: operations, and bytes that are read or written once."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Card:
    """What a card does at best, as measured on it.

    bytes_per_us: read and written, by a large copy.
    flops_per_us: of cuBLAS on matrices of 8192 x 8192, by the name of the dtype.
    launch_us: of a kernel that does nothing, by how many of them a graph holds.
    """

    bytes_per_us: float
    flops_per_us: dict[str, float]
    launch_us: dict[int, float]

    def floor_us(self, work: Work, dtype: str, n_calls: int) -> float:
        """The least time that the work can take: the slower of its two limits, and a launch."""
        limits = work.flops / self.flops_per_us[dtype], work.bytes / self.bytes_per_us
        return max(limits) + self.launch_us[n_calls]

    def __str__(self) -> str:
        peaks = (f"cuBLAS {name} {rate / 1e6:.0f} TFLOP/s" for name, rate in self.peaks())
        launches = (f"{us:.1f} ({n} in a graph)" for n, us in sorted(self.launch_us.items()))
        return (
            f"copy {self.bytes_per_us / 1e6:.2f} TB/s, {', '.join(peaks)}, "
            f"empty launch {', '.join(launches)} us"
        )

    def peaks(self) -> list[tuple[str, float]]:
        return sorted(self.flops_per_us.items())


def measure_card(dtypes: Sequence[str], tokens: Sequence[int]) -> Card:
    """The card's limits for these dtypes and batches."""
    return Card(
        copy_rate(),
        {dtype: _peak(dtype) for dtype in dtypes},
        {n: empty_launch(n) for n in sorted({n_calls(n) for n in tokens})},
    )


def _peak(dtype: str) -> float:
    rest()
    return get_cublas_tflops(dtype) * 1e6


def copy_rate() -> float:
    """Bytes read and written a microsecond by a copy of 1 GiB."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    rest()
    copy_ms = _bench(lambda: target.copy_(source))
    return 2 * source.nbytes / (copy_ms * 1e3)


@triton.jit
def _nothing(pointer):
    pass


def empty_launch(n: int) -> float:
    """Microseconds of a kernel that does nothing, one of `n` in a graph."""
    one = torch.empty(1, device="cuda")
    return graph_time([lambda: _nothing[(1,)](one)] * n)


# --- timing


def n_calls(n_tokens: int) -> int:
    """Calls that one graph holds: ten of small batches, one where it takes long enough.

    Each call has tokens of its own, so one that reads few experts finds them as little in the cache
    as the layers of a model do.
    """
    return max(1, min(MOST_CALLS, 1024 // n_tokens))


def graph_time(calls: Calls) -> float:
    """Microseconds a call, of a replay of a CUDA graph of all of them, begun with a cold cache."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for call in calls:
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    rest()
    return _bench(graph.replay) * 1e3 / len(calls)


def eager_time(calls: Calls) -> float:
    """Microseconds a call, of several made one after the other, the last one waited for."""
    rounds = -(-FEWEST_EAGER_CALLS // len(calls))
    for call in calls:
        call()
    rest()
    times: list[float] = []
    end = time.perf_counter() + MEASURED_MS / 1e3
    while len(times) < 3 or time.perf_counter() < end:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(rounds):
            for call in calls:
                call()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) * 1e6 / (rounds * len(calls)))
    return statistics.median(times)


def host_time(calls: Calls) -> float:
    """Microseconds until a call has put its last launch into a queue that was empty.

    The least of several medians: what else the machine does can only add to them.
    """
    medians = []
    for _ in range(HOST_BLOCKS):
        times = []
        for repeat in range(HOST_REPEATS):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            calls[repeat % len(calls)]()
            times.append((time.perf_counter() - begin) * 1e6)
        medians.append(statistics.median(times))
    torch.cuda.synchronize()
    return min(medians)


def rest() -> None:
    """Let the card cool down."""
    torch.cuda.synchronize()
    time.sleep(REST_S)


def _bench(run: Callable[[], object]) -> float:
    """Milliseconds on the GPU, the cache emptied before each run."""
    return float(
        triton.testing.do_bench(run, warmup=WARM_UP_MS, rep=MEASURED_MS, return_mode="median")
    )


# --- inputs and results


def empty_matrices(
    n_matrices: int, n_rows: int, n_columns: int, dtype: str, device: torch.device | str
) -> torch.Tensor:
    """[n_matrices, n_rows, n_columns] as weights lie in memory: 8-bit ones column-major."""
    if dtype != "fp8":
        return torch.empty(n_matrices, n_rows, n_columns, dtype=DTYPES[dtype], device=device)
    transposed = torch.empty(n_matrices, n_columns, n_rows, dtype=DTYPES[dtype], device=device)
    return transposed.transpose(1, 2)


def random_matrices(
    n_matrices: int, n_rows: int, n_columns: int, dtype: str, device: torch.device | str
) -> torch.Tensor:
    """`empty_matrices` of normal numbers that keep the size of what they multiply."""
    return fill_matrices(empty_matrices(n_matrices, n_rows, n_columns, dtype, device))


def fill_matrices(matrices: torch.Tensor) -> torch.Tensor:
    n_rows, n_columns = matrices.shape[1:]
    for matrix in matrices:  # one at a time, so that there never is a copy of all of them
        matrix.copy_(random_rows(n_rows, n_columns, "bf16", matrix.device) / math.sqrt(n_rows))
    return matrices


def random_rows(
    n_rows: int, n_columns: int, dtype: str, device: torch.device | str
) -> torch.Tensor:
    rows = torch.randn(n_rows, n_columns, dtype=torch.bfloat16, device=device)
    return rows.to(DTYPES[dtype])


def relative_error(result: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    expected = expected.float()
    return float((result.float() - expected).norm() / expected.norm())


class Failures:
    """What could not be measured, and why: a dash in the table, told at the end."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def time(self, name: str, measure: Timer, calls: Calls) -> float | None:
        """What `measure` says; None where a call fails."""
        try:
            return measure(calls)
        except Exception as error:  # of whatever kind: the rest of the table is wanted
            self.reasons.setdefault(name, reason(error))
            return None

    def tell(self) -> None:
        for name, reason in self.reasons.items():
            print(f"not measured: {name}: {reason}")


def reason(error: Exception) -> str:
    """The beginning of what it says."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:LONGEST_REASON]


def compile_in_processes(
    compile_one: Callable[[Case], str | None], cases: Sequence[Case], n_processes: int
) -> None:
    """Fill Triton's cache on disk, the cases spread over processes.

    compile_one: says what went wrong, and is found in its module by name.
    """
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        for case, problem in zip(cases, pool.map(compile_one, cases), strict=True):
            if problem is not None:
                print(f"not compiled: {case}: {problem}")


def cell(value: float | None, width: int, digits: int = 1, unit: str = "") -> str:
    """A number of a table; a dash for none."""
    return f"{'-' if value is None else f'{value:.{digits}f}{unit}':>{width}}"


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or denominator is None else numerator / denominator
