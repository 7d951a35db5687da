"""The rows of `benchmarks/matmul.py` under the roofline of the card, one picture for each dtype.

    python benchmarks/matmul_plot.py ROWS.csv PLOT.png

draws a file of `matmul.py --csv`, on a machine without a GPU, too.  Needs matplotlib (the extra
`bench`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from matmul_rows import Row, read

from triton_kernels.roofline import EXTRA_OF_BENCHMARKS

Point: TypeAlias = tuple[float, float]
"""Operations a byte, TFLOP/s."""


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    draw(read(Path(sys.argv[1])), Path(sys.argv[2]))


def require_matplotlib() -> Any:
    """Its pyplot, without a display; leave with a message and exit code 1 where it is missing."""
    try:
        import matplotlib
    except ImportError:
        sys.exit(f"a plot needs matplotlib: pip install '{EXTRA_OF_BENCHMARKS}'")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw(rows: Sequence[Row], path: Path) -> None:
    """Save the picture; matplotlib knows its format by the suffix."""
    pyplot = require_matplotlib()
    dtypes = list(dict.fromkeys(row.dtype for row in rows))
    figure, all_axes = pyplot.subplots(
        1, len(dtypes), figsize=(7 * len(dtypes), 5.5), squeeze=False, sharey=True
    )
    for axes, dtype in zip(all_axes[0], dtypes, strict=True):
        _draw_dtype(axes, [row for row in rows if row.dtype == dtype], dtype)
    all_axes[0][0].set_ylabel("TFLOP/s")
    figure.savefig(path, bbox_inches="tight", dpi=120)
    pyplot.close(figure)


def _draw_dtype(axes: Any, rows: Sequence[Row], dtype: str) -> None:
    peak, rate = rows[0].peak_tflops, rows[0].copy_tbps
    label = f"{rate:.2f} TB/s, {peak:.0f} TFLOP/s"
    axes.plot(*zip(*roof(rows), strict=True), color="black", label=label)
    colors = {model: f"C{i}" for i, model in enumerate(dict.fromkeys(row.model for row in rows))}
    for (model, product), points in lines(rows).items():
        style = {"marker": "o"} if product == "first" else {"marker": "s", "linestyle": "--"}
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=colors[model],
            markersize=4,
            label=f"{model}, {product}",
            **style,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(title=dtype, xlabel="operations a byte (each line: from few tokens to many)")
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(fontsize=8, loc="lower right")


def roof(rows: Sequence[Row]) -> list[Point]:
    """Where its memory lets the card do less than its arithmetic, the ridge, and beyond.

    It reaches over all rows, which are of one dtype and one card.
    """
    peak, rate = rows[0].peak_tflops, rows[0].copy_tbps
    intensities = [peak / rate, *(row.flops / row.bytes for row in rows)]
    xs = (min(intensities) / 2, peak / rate, max(intensities) * 2)
    return [(x, min(peak, rate * x)) for x in xs]


def lines(rows: Iterable[Row]) -> dict[tuple[str, str], list[Point]]:
    """The points of each model and product, from few tokens to many, as far as measured."""
    by_line: dict[tuple[str, str], list[Point]] = {}
    for row in sorted(rows, key=lambda row: row.tokens):
        line = by_line.setdefault((row.model, row.product), [])
        if row.graph_us is not None:
            line.append((row.flops / row.bytes, row.flops / row.graph_us * 1e-6))
    return by_line


if __name__ == "__main__":
    main()
