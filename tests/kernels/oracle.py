"""What the ops promise, in plain Python on lists: slow, obvious, and no copy of their code."""

from __future__ import annotations

import dataclasses
import math
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch

BLOCK_SIZES = [16, 32, 64, 128]


def fresh(*parameters: object) -> tuple[random.Random, torch.Generator]:
    """Sources of random numbers that depend on the test's parameters alone."""
    seed = zlib.crc32(repr(parameters).encode())
    return random.Random(seed), torch.Generator().manual_seed(seed)


def moved(value: Any, device: torch.device | str) -> Any:
    """A tensor, or a record of them, on this device; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    names = [field.name for field in dataclasses.fields(value)]
    there = {name: moved(getattr(value, name), device) for name in names}
    return dataclasses.replace(value, **there)


def ranked_columns(row: Sequence[float]) -> list[int]:
    """Columns from the largest entry to the smallest: NaN first, of equal ones the lower column."""
    return sorted(
        range(len(row)),
        key=lambda c: (not math.isnan(row[c]), 0.0 if math.isnan(row[c]) else -row[c], c),
    )


def chosen_columns(row: Sequence[float], k: int) -> list[int]:
    return sorted(ranked_columns(row)[:k])


def softmax(values: Sequence[float]) -> list[float]:
    largest = max(values, default=0.0)
    weights = [math.exp(value - largest) for value in values]
    total = sum(weights)
    return [weight / total for weight in weights]


def slot_values(row: Sequence[float], columns: Sequence[int], apply_softmax: bool) -> list[float]:
    """The value of each slot; 0 where the slot holds no column of the row."""
    used = [j for j, c in enumerate(columns) if 0 <= c < len(row)]
    values = [row[columns[j]] for j in used]
    values = softmax(values) if apply_softmax else values
    result = [0.0] * len(columns)
    for j, value in zip(used, values, strict=True):
        result[j] = value
    return result


def packed_words(columns: Sequence[int], n_columns: int) -> list[int]:
    """A row of bits as signed 32-bit words."""
    words = [0] * ((n_columns + 31) // 32)
    for column in columns:
        if 0 <= column < n_columns:
            words[column // 32] |= 1 << column % 32
    return [word - (1 << 32) if word >> 31 else word for word in words]


def metadata(
    indx: Sequence[Sequence[int]], n_columns: int, n_rows: int
) -> tuple[list[int], list[int], list[int]]:
    """(col_sum, combine, dispatch)."""
    k = len(indx[0]) if indx else 0
    n_slots = len(indx) * k
    used = [
        (column, row * k + choice)
        for row, columns in enumerate(indx[:n_rows])
        for choice, column in enumerate(columns)
        if 0 <= column < n_columns
    ]
    combine = [slot for _, slot in sorted(used)]
    dispatch = [-1] * n_slots
    for position, slot in enumerate(combine):
        dispatch[slot] = position
    col_sum = [sum(column == c for column, _ in used) for c in range(n_columns)]
    return col_sum, combine + [-1] * (n_slots - len(combine)), dispatch


def blocks(sizes: Sequence[int], block_size: int) -> list[tuple[int, int]]:
    """(block, slice) of every block, in order."""
    return [
        (block, i) for i, size in enumerate(sizes) for block in range(math.ceil(size / block_size))
    ]


def schedule(sizes: Sequence[int], block_size: int, width: int) -> list[int]:
    entries = [block * 65536 + i for block, i in blocks(sizes, block_size)]
    return (entries + [-1] * width)[:width]


def running_sums(counts: Sequence[int]) -> list[int]:
    sums = [0]
    for count in counts:
        sums.append(sums[-1] + count)
    return sums


def slope(loss: Callable[[list[float]], float], at: Sequence[float], step: float) -> list[float]:
    """Central differences of `loss`."""
    result = []
    for i in range(len(at)):
        moved = [list(at), list(at)]
        moved[0][i] += step
        moved[1][i] -= step
        result.append((loss(moved[0]) - loss(moved[1])) / (2 * step))
    return result
