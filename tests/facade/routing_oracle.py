"""What the old module computed, in plain Python lists: slow, and no relative of the library.

Vocabulary: slot `i` is choice `i % k` of token `i // k`; `chosen[i]` is its expert, or -1.
`combine` lists the valid slots by (expert, slot), `dispatch` is its inverse; both are padded with
-1 to the number of slots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NO_SLOT = -1


@dataclass(frozen=True)
class Routed:
    """chosen, gates: by slot.  sorted_gates: by position, of the valid slots only."""

    chosen: list[int]
    gates: list[float]
    hist: list[int]
    combine: list[int]
    dispatch: list[int]
    sorted_gates: list[float]


def softmax(row: list[float]) -> list[float]:
    top = max(row)
    powers = [math.exp(x - top) for x in row]
    return [power / sum(powers) for power in powers]


def route(
    logits: list[list[float]],
    k: int,
    sm_first: bool = False,
    given: list[list[int]] | None = None,
    n_rows: int | None = None,
    kept_experts: int | None = None,
) -> Routed:
    """The choice of every token, and its slots by expert.

    kept_experts: the experts of simulated rank 0; slots of others go to the tail of their row.
    """
    n_experts = len(logits[0])
    n_valid = len(logits) if n_rows is None else n_rows
    chosen: list[int] = []
    gates: list[float] = []
    for token, row in enumerate(logits):
        if token >= n_valid:
            chosen += [NO_SLOT] * k
            gates += [0.0] * k
            continue
        scores = softmax(row) if sm_first else row
        best = sorted(range(n_experts), key=lambda e: (-scores[e], e))[:k]
        experts = given[token] if given else sorted(best)
        picked = [scores[e] for e in experts]
        weights = picked if sm_first else softmax(picked)
        pairs = list(zip(experts, weights, strict=True))
        if kept_experts is not None:
            pairs = [(e, w) for e, w in pairs if e < kept_experts]
            pairs += [(NO_SLOT, 0.0)] * (k - len(pairs))
        chosen += [e for e, _ in pairs]
        gates += [w for _, w in pairs]
    return sort(chosen, gates, kept_experts or n_experts)


def sort(chosen: list[int], gates: list[float], n_experts: int) -> Routed:
    """Slots by expert, stable, and what follows from that."""
    order = sorted((e, i) for i, e in enumerate(chosen) if e != NO_SLOT)
    combine = [i for _, i in order]
    dispatch = [combine.index(i) if e != NO_SLOT else NO_SLOT for i, e in enumerate(chosen)]
    return Routed(
        chosen,
        gates,
        [chosen.count(e) for e in range(n_experts)],
        combine + [NO_SLOT] * (len(chosen) - len(combine)),
        dispatch,
        [gates[i] for i in combine],
    )


def offsets(sizes: list[int]) -> list[int]:
    return [sum(sizes[:i]) for i in range(len(sizes) + 1)]


def schedule_width(n_experts: int, n_slots: int) -> int:
    """Blocks of 16 rows that suffice whatever the sizes are."""
    if n_slots <= n_experts:
        return n_slots
    return n_experts - 1 + math.ceil((n_slots - n_experts + 1) / 16)


def block_offsets(sizes: list[int], block: int) -> list[int]:
    return offsets([math.ceil(size / block) for size in sizes])


def block_schedule(sizes: list[int], block: int, n_slots: int) -> list[int]:
    """Entries `(block << 16) | expert`, by expert, -1 where there is no block."""
    entries = [
        (index << 16) | expert
        for expert, size in enumerate(sizes)
        for index in range(math.ceil(size / block))
    ]
    return entries + [-1] * (schedule_width(len(sizes), n_slots) - len(entries))
