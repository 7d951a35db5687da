"""A line of the table of `benchmarks/matmul.py`: as text, and in a csv file and back."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from measure import LARGEST_ERROR, cell, ratio


@dataclass(frozen=True)
class Row:
    """What was measured of one product, and of what it is compared with; None: it failed.

    flops, bytes: operations, and bytes moved at least; weight_bytes: those of them of weights.
    """

    model: str
    dtype: str
    product: str
    tokens: int
    flops: float
    bytes: float
    weight_bytes: float
    graph_us: float | None
    eager_us: float | None
    grouped_us: float | None
    cublas_us: float | None
    floor_us: float
    error: float | None
    peak_tflops: float
    copy_tbps: float

    HEADER = (
        f"{'model':<13}{'dtype':>6}{'product':>8}{'n':>6}{'graph':>10}{'eager':>10}{'grouped':>10}"
        f"{'cuBLAS':>10}{'floor':>10}{'TFLOP/s':>9}{'TB/s':>6}{'/floor':>8}{'grouped/':>9}"
        f"{'error':>8}"
    )

    def __str__(self) -> str:
        return (
            f"{self.model:<13}{self.dtype:>6}{self.product:>8}{self.tokens:>6}"
            + "".join(
                cell(us, 10)
                for us in (
                    *(self.graph_us, self.eager_us, self.grouped_us),
                    *(self.cublas_us, self.floor_us),
                )
            )
            + cell(per_second(self.flops, self.graph_us), 9)
            + cell(per_second(self.weight_bytes, self.graph_us), 6, 2)
            + cell(ratio(self.graph_us, self.floor_us), 8, 2, "x")
            + cell(ratio(self.grouped_us, self.graph_us), 9, 2, "x")
            + cell(self.error, 8, 4)
        )

    @property
    def is_right(self) -> bool:
        """Whether it was computed, and rightly as far as is known."""
        return self.graph_us is not None and (self.error is None or self.error <= LARGEST_ERROR)


def per_second(amount: float, us: float | None) -> float | None:
    """10^12 of something each second."""
    return None if us is None else amount / us * 1e-6


def written(rows: Iterator[Row], path: Path | None) -> Iterator[Row]:
    """The rows, each in the file before it is handed on."""
    if path is None:
        yield from rows
        return
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Row)])
        writer.writeheader()
        for row in rows:
            writer.writerow(dataclasses.asdict(row))
            file.flush()
            yield row


def read(path: Path) -> list[Row]:
    """The rows of such a file."""
    with path.open(newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> Row:
    texts = {name: line.pop(name) for name in ("model", "dtype", "product")}
    n_tokens = int(line.pop("tokens"))
    numbers = {name: float(text) if text else None for name, text in line.items()}
    return Row(**texts, tokens=n_tokens, **numbers)  # type: ignore[arg-type]
