"""How near a kernel comes to what the GPU could do: profiles in, a table and a plot out.

The roofline of a GPU, over the operations that are done for each byte moved, is the rate of
operations that its memory lets it reach, and flat from where its arithmetic is the limit.

    python -m triton_kernels.roofline --series a.csv b.csv --dtype bf16 --out_path roofline.png

draws it with what was measured.  Plotting needs matplotlib (the extra `bench`), imported there.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import json
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels.tensor_details.checks import wrong_type, wrong_value

__all__ = [
    "PerfRecord",
    "compute_roofline",
    "get_cublas_tflops",
    "get_memset_tbps",
    "load_perf_csv",
    "parse_profile",
    "plot_roofline",
    "validate_perfs",
    "write_csv",
]

EXTRA_OF_BENCHMARKS = "triton-kernels-bridge[bench]"
"""What `pip install` needs to be told for plots: it brings matplotlib."""

Columns = tuple[list[float], list[float], list[float], list[float]]
"""What a csv holds: intensity proxies, operations, bytes, nanoseconds."""


@dataclass(frozen=True)
class PerfRecord:
    """What was measured: nanoseconds, floating-point operations, bytes moved."""

    time_ns: float
    flops: float
    bytes: float

    @property
    def tflops(self) -> float:
        """10^12 operations a second."""
        return self.flops / self.time_ns * 1e-3

    @property
    def tbps(self) -> float:
        """10^12 bytes a second."""
        return self.bytes / self.time_ns * 1e-3


# Profiles.


def parse_profile(profile_path: str | Path, useful_op_regex: str) -> PerfRecord:
    """What a file of Triton's profiler (proton's "hatchet" format) says of a run.

    useful_op_regex: found in the names of the kernels whose bytes and operations (of 8 and of 16
        bits) count.  The time is that of all kernels, the leaves of the profile.

    Raises ValueError where the file is no such profile.
    """
    try:
        trees = json.loads(Path(profile_path).read_text())
        leaves = [leaf for tree in trees if "children" in tree for leaf in _leaves(tree)]
        time_ns = float(sum(leaf["metrics"].get("time (ns)", 0) for leaf in leaves))
        useful = [leaf for leaf in leaves if re.search(useful_op_regex, leaf["frame"]["name"])]
        totals = {
            metric: float(sum(leaf["metrics"].get(metric, 0) for leaf in useful))
            for metric in ("flops8", "flops16", "bytes")
        }
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        expected = "a file of proton in its hatchet format"
        raise wrong_value("profile_path", expected, str(profile_path)) from error
    return PerfRecord(time_ns, totals["flops8"] + totals["flops16"], totals["bytes"])


def _leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not node.get("children"):
        yield node
    for child in node.get("children", ()):
        yield from _leaves(child)


# Tables.


def write_csv(xs: Sequence[float], perfs: Sequence[PerfRecord], fpath: str | Path) -> Path:
    """Write one line for each x, and return the path: `fpath` with the suffix .csv.

    Columns: x, flops, bytes, time_ns.  The folder is made if there is none.
    """
    if len(xs) != len(perfs):
        raise wrong_value("perfs", f"{len(xs)} records, one for each x", len(perfs))
    path = Path(fpath).with_suffix(".csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "flops", "bytes", "time_ns"])
        for x, perf in zip(xs, perfs, strict=True):
            writer.writerow([x, perf.flops, perf.bytes, perf.time_ns])
    return path


def load_perf_csv(path: str | Path) -> Columns:
    """The columns of a file of `write_csv`: x, flops, bytes, time_ns.  `time` is read as well.

    Raises ValueError where a column is missing.
    """
    with Path(path).open(newline="") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or ()
        time = "time_ns" if "time_ns" in names else "time"
        columns = ("x", "flops", "bytes", time)
        missing = [name for name in columns if name not in names]
        if missing:
            expected = "a file with columns x, flops, bytes, time_ns"
            raise wrong_value("path", expected, f"{path}, with {', '.join(names) or 'none'}")
        rows = [[float(row[name]) for name in columns] for row in reader]
    x, flops, bytes_, time_ns = ([row[column] for row in rows] for column in range(4))
    return x, flops, bytes_, time_ns


def validate_perfs(perfs: Sequence[Columns]) -> None:
    """Raise ValueError unless all series are of the same work: the same x, flops and bytes."""
    for number, series in enumerate(perfs):
        for name, values, first in zip(("x", "flops", "bytes"), series, perfs[0], strict=False):
            if values != first:
                raise wrong_value(f"perfs[{number}]", f"the {name} of perfs[0], {first}", values)


def compute_roofline(
    *args: Any,
    bench_fn: Callable[..., PerfRecord],
    intensity_proxy_name: str,
    intensity_proxy_values: Sequence[Any],
    out_path: str | Path,
    verbose: bool,
    **kwargs: Any,
) -> Path:
    """Measure `bench_fn` for each value of one of its parameters, and write the csv.

    args, kwargs: its other arguments; the value is put among `args` where its parameter stands.
    intensity_proxy_name: the parameter, one that changes how many operations a byte takes part in.
    verbose: print each measurement.

    Returns the path of the csv.  Raises TypeError if the name is no str, ValueError if `bench_fn`
    has no such parameter.
    """
    if not isinstance(intensity_proxy_name, str):
        raise wrong_type("intensity_proxy_name", "a str", intensity_proxy_name)
    parameters = inspect.signature(bench_fn).parameters
    if intensity_proxy_name not in parameters:
        expected = f"one of {', '.join(parameters)}"
        raise wrong_value("intensity_proxy_name", expected, intensity_proxy_name)
    position = list(parameters).index(intensity_proxy_name)
    keyword_only = parameters[intensity_proxy_name].kind is inspect.Parameter.KEYWORD_ONLY
    perfs = []
    for value in intensity_proxy_values:
        if position <= len(args) and not keyword_only:
            perf = bench_fn(*args[:position], value, *args[position:], **kwargs)
        else:
            perf = bench_fn(*args, **kwargs, **{intensity_proxy_name: value})
        perfs.append(perf)
        if verbose:
            rates = f"{perf.tflops:.4g} TFLOP/s, {perf.tbps:.4g} TB/s"
            print(f"{intensity_proxy_name} = {value}: {rates}")
    return write_csv(intensity_proxy_values, perfs, out_path)


# What the GPU can do.

_MEMSET_BYTES = 1 << 30
_CUBLAS_SIZE = 8192


def get_memset_tbps() -> float:
    """10^12 bytes a second with which the GPU fills its memory.

    Raises RuntimeError without a GPU.
    """
    memory = torch.empty(_MEMSET_BYTES, dtype=torch.uint8, device=_gpu())
    return _MEMSET_BYTES / _time_ns(memory.zero_) * 1e-3


def get_cublas_tflops(dtype: str) -> float:
    """10^12 operations a second of the vendor's product of 8192 x 8192 matrices.

    dtype: "fp16", "bf16" or "fp8" (e4m3, multiplied with float32 sums).

    Raises ValueError for another dtype, RuntimeError without a GPU.
    """
    dtypes = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp8": torch.float8_e4m3fn}
    if dtype not in dtypes:
        raise wrong_value("dtype", f"one of {', '.join(dtypes)}", dtype)
    n, device = _CUBLAS_SIZE, _gpu()
    a, b = (torch.randn(n, n, dtype=torch.bfloat16, device=device) for _ in "ab")
    a, b = a.to(dtypes[dtype]), b.to(dtypes[dtype])
    if dtype == "fp8":
        one = torch.ones((), device=device)

        def multiply() -> object:
            return torch._scaled_mm(a, b.t(), one, one, out_dtype=torch.bfloat16)
    else:

        def multiply() -> object:
            return torch.matmul(a, b.t())

    return 2 * n**3 / _time_ns(multiply) * 1e-3


def _gpu() -> torch.device:
    if not torch.cuda.is_available():
        raise RuntimeError(
            "a roofline is measured on a GPU, and there is none: give max_tbps and "
            "max_tflops as numbers"
        )
    return torch.device("cuda")


def _time_ns(function: Callable[[], object], repetitions: int = 20) -> float:
    """Nanoseconds of one call on the GPU: the median."""
    for _ in range(3):
        function()
    times: list[float] = []
    for _ in range(repetitions):
        start = torch.Event("cuda", enable_timing=True)
        end = torch.Event("cuda", enable_timing=True)
        start.record()
        function()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e6)
    return statistics.median(times)


# The plot.


def plot_roofline(
    series: Sequence[str | Path],
    flops_dtype: str,
    out_path: str | Path,
    max_tbps: float | str = "memset",
    max_tflops: float | str = "cublas",
    title: str = "",
    xlabel: str = "",
    labels: Sequence[str] | None = None,
    points_of_interest: Sequence[float] | None = None,
) -> None:
    """Draw series of measurements of the same work under the roofline, and save it.

    series: files of `write_csv`.
    flops_dtype: what the operations are done in: "fp16", "bf16" or "fp8".
    out_path: the picture; matplotlib knows its format by the suffix.
    max_tbps, max_tflops: the limits; "memset" and "cublas": measured here.
    labels: of the series; None: the names of their files.
    points_of_interest: values of x at which to write what share of the roofline was reached.

    Raises ValueError where the series are not of the same work, or the labels too few or too many.
    """
    perfs = [load_perf_csv(path) for path in series]
    if not perfs:
        raise wrong_value("series", "one file at least", list(series))
    validate_perfs(perfs)
    names = [Path(path).stem for path in series] if labels is None else list(labels)
    if len(names) != len(perfs):
        raise wrong_value("labels", f"{len(perfs)}, one for each series", names)
    tbps = get_memset_tbps() if max_tbps == "memset" else float(max_tbps)
    tflops = get_cublas_tflops(flops_dtype) if max_tflops == "cublas" else float(max_tflops)

    pyplot = _pyplot()
    xs, flops, bytes_, _ = perfs[0]
    roof = [min(tflops, tbps * f / b) for f, b in zip(flops, bytes_, strict=True)]
    figure, axes = pyplot.subplots(figsize=(7, 5))
    axes.plot(xs, roof, color="black", label=f"roofline ({tbps:.2f} TB/s, {tflops:.0f} TFLOP/s)")
    for name, (_, work, _, time_ns) in zip(names, perfs, strict=True):
        reached = [f / t * 1e-3 for f, t in zip(work, time_ns, strict=True)]
        (line,) = axes.plot(xs, reached, marker=".", label=name)
        for x in points_of_interest or ():
            _, at = min((abs(other - x), index) for index, other in enumerate(xs))
            share = f"{reached[at] / roof[at]:.0%}"
            axes.annotate(share, (xs[at], reached[at]), color=line.get_color())
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(title=title, xlabel=xlabel, ylabel=f"TFLOP/s ({flops_dtype})")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(out_path, bbox_inches="tight")
    pyplot.close(figure)


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        message = f"{__name__} needs matplotlib to plot: pip install '{EXTRA_OF_BENCHMARKS}'"
        raise ImportError(message, name="matplotlib") from error
    return pyplot


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draw measurements under the roofline of the GPU.")
    parser.add_argument("--series", nargs="+", required=True, help="csv files of write_csv")
    parser.add_argument("--dtype", choices=["fp16", "bf16", "fp8"], required=True)
    parser.add_argument("--out_path", required=True, help="the picture")
    parser.add_argument("--title", default="")
    parser.add_argument("--xlabel", default="")
    parser.add_argument("--labels", nargs="+", help="of the series")
    parser.add_argument("--max_tbps", default="memset", help="a number, or measured here")
    parser.add_argument("--max_tflops", default="cublas", help="a number, or measured here")
    given = parser.parse_args(arguments)
    plot_roofline(
        given.series,
        given.dtype,
        given.out_path,
        max_tbps=given.max_tbps,
        max_tflops=given.max_tflops,
        title=given.title,
        xlabel=given.xlabel,
        labels=given.labels,
    )


if __name__ == "__main__":
    main()
