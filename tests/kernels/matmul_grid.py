"""Calls of `matmul_ogs` as upstream's own test of it makes them.

Known are the features of upstream's grid, and the largest shapes, not each of its cases: the
table here is ours.  It crosses those features, without microscales.  `CALLS` begins with calls
among which any two values of any two features meet that meet in the grid at all.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

import torch

F16, BF16 = torch.float16, torch.bfloat16
E5M2, E4M3, E4M3_AMD = torch.float8_e5m2, torch.float8_e4m3fn, torch.float8_e4m3fnuz

# --- the table


class Rows(NamedTuple):
    """What happens to rows; `padded` is the operand of an inner-ragged product that is padded."""

    gathers: bool = False
    scatters: bool = False
    fused: bool = False
    padded: str = ""

    def __str__(self) -> str:
        if self.padded:
            return f"pad_{self.padded}"
        parts = ("gather", self.gathers), ("scatter", self.scatters), ("fused", self.fused)
        return " ".join(name for name, is_so in parts if is_so) or "as they are"


ROWS = [
    *(Rows(), Rows(gathers=True), Rows(scatters=True), Rows(scatters=True, fused=True)),
    *(Rows(True, True), Rows(True, True, True), Rows(padded="w"), Rows(padded="x")),
]


class Problem(NamedTuple):
    """A product, but for what is crossed with all of them.

    mode: "plain", "batched" or "ragged".
    m, n, k: tokens (of a batch), columns, and what is summed over.
    n_experts: or batches.  n_choices: experts of a token.
    split_k, subtile: None where the plan may choose.
    by_columns: which of x, w and y have their columns contiguous: "", "w", "xw", ...
    every_way: crossed with all ways of rows; else with the one that moves none.
    by_turns: not crossed with gammas (1), nor with blocks (2), nor with kernels (3): these are
        taken by turns.
    """

    mode: str
    m: int
    n: int
    k: int
    x: torch.dtype
    w: torch.dtype
    n_experts: int = 1
    n_choices: int = 1
    split_k: int | None = 1
    subtile: int | None = None
    by_columns: str = ""
    every_way: bool = True
    by_turns: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether the result has no elements."""
        return self.m == 0 or self.n == 0

    @property
    def is_float8(self) -> bool:
        return self.x.itemsize == 1


def plain(m: int, n: int, k: int, x: torch.dtype, **more: object) -> Problem:
    return Problem("plain", m, n, k, x, x, **{"every_way": False, **more})  # type: ignore[arg-type]


def batched(m: int, n: int, k: int, x: torch.dtype, n_batches: int, **more: object) -> Problem:
    return Problem("batched", m, n, k, x, x, n_batches, **more)  # type: ignore[arg-type]


def ragged(
    m: int, n: int, k: int, x: torch.dtype, n_experts: int, n_choices: int, **more: object
) -> Problem:
    return Problem("ragged", m, n, k, x, x, n_experts, n_choices, **more)  # type: ignore[arg-type]


def powerset(letters: str) -> list[str]:
    """ "", "x", "w", "xw", ..."""
    sizes = range(len(letters) + 1)
    return ["".join(few) for size in sizes for few in itertools.combinations(letters, size)]


PROBLEMS = [
    plain(16, 256, 256, F16),
    plain(16, 256, 256, F16, split_k=3, by_turns=2),
    plain(300, 400, 400, BF16, every_way=True, by_turns=3),
    plain(1000, 704, 832, BF16, split_k=None, by_turns=1),
    plain(1000, 700, 700, F16, by_turns=1),
    plain(1, 2880, 2880, BF16, split_k=None, by_turns=1),
    plain(1000, 704, 832, E5M2, by_columns="w", by_turns=1),
    plain(300, 400, 400, E4M3, by_turns=1),
    batched(300, 400, 400, F16, 10, by_turns=1),
    batched(1000, 704, 832, BF16, 10, subtile=2, by_turns=1),
    batched(16, 256, 256, BF16, 5, split_k=3, by_turns=2),
    batched(1000, 700, 700, BF16, 3, split_k=None, by_turns=1),
    batched(300, 400, 400, E5M2, 10, by_columns="w", by_turns=1),
    batched(300, 400, 400, E4M3, 3, by_columns="w", split_k=3, by_turns=2),
    batched(300, 400, 400, E5M2, 3, by_turns=1)._replace(w=E4M3),
    batched(300, 400, 400, E4M3_AMD, 3),
    # Of some more sizes, with the same tiles: rows are no constants of a kernel.
    *(ragged(m, 400, 400, BF16, 8, 1) for m in (257, 280, 300, 317, 333, 350, 371)),
    *(ragged(m, 704, 832, BF16, 8, 2) for m in (640, 801, 900, 1000)),
    *(ragged(m, 256, 256, F16, 128, 4, by_turns=1) for m in (128, 200, 255)),
    *(ragged(m, 400, 400, E5M2, 4, 1, by_columns="w", by_turns=2) for m in (270, 300, 310)),
    *(ragged(m, 704, 832, E4M3, 8, 2, by_columns="w", by_turns=1) for m in (900, 950, 1000)),
    ragged(600, 400, 400, F16, 4, 1, subtile=1, by_turns=2),
    ragged(600, 400, 400, F16, 4, 1, subtile=2, by_turns=3),
    ragged(600, 400, 400, F16, 4, 1, subtile=4, by_turns=3),
    ragged(300, 400, 400, F16, 8, 2, by_turns=2),
    ragged(16, 256, 256, F16, 128, 4, split_k=3, by_turns=3),
    ragged(16, 256, 256, BF16, 128, 1, split_k=None, by_turns=3),
    ragged(300, 400, 400, BF16, 128, 4, by_turns=3),
    ragged(1000, 704, 832, BF16, 64, 4, by_turns=3),
    ragged(1000, 704, 832, BF16, 8, 1, subtile=2, by_turns=3),
    ragged(1000, 704, 832, F16, 3, 1, split_k=3, by_turns=3),
    ragged(1000, 700, 700, F16, 8, 2, by_turns=3),
    ragged(1, 2880, 2880, BF16, 8, 4, split_k=None, by_turns=3),
    ragged(300, 400, 400, E5M2, 4, 1, by_turns=3),
    ragged(300, 400, 400, E4M3, 8, 4, by_columns="w", split_k=3, by_turns=3),
    ragged(300, 400, 400, E5M2, 4, 1, by_columns="w", by_turns=3)._replace(w=E4M3),
    ragged(300, 400, 400, E4M3_AMD, 4, 2, by_columns="w", by_turns=2),
    ragged(320, 400, 400, E5M2, 4, 1, by_columns="wy", by_turns=3),
    *(ragged(320, 400, 400, F16, 4, 1, by_columns=c, by_turns=3) for c in powerset("xwy")),
    *(plain(320, 400, 400, BF16, by_columns=c, by_turns=2) for c in powerset("xwy")),
    *(
        ragged(*shape, BF16, 4, n_choices, by_turns=3)
        for n_choices in (1, 2)
        for shape in [(0, 64, 80), (30, 0, 80), (30, 64, 0)]
    ),
    *(batched(*shape, BF16, 4) for shape in [(0, 64, 80), (30, 0, 80), (30, 64, 0)]),
]


class Call(NamedTuple):
    """A call of `matmul_ogs`: the problem, and what is crossed with it."""

    problem: Problem
    rows: Rows
    block_m: int | None
    has_gammas: bool
    is_persistent: bool

    def __str__(self) -> str:
        p = self.problem
        dtypes = "-".join(str(dtype).removeprefix("torch.") for dtype in (p.x, p.w))
        parts = [p.mode, f"{p.m}x{p.n}x{p.k}", dtypes, f"{p.n_experts}of{p.n_choices}", self.rows]
        parts += [f"split{p.split_k}"] * (p.split_k != 1) + [f"subtile{p.subtile}"] * bool(
            p.subtile
        )
        parts += [f"columns_{p.by_columns}"] * bool(p.by_columns) + [f"m{self.block_m}"] * bool(
            self.block_m
        )
        parts += ["gammas"] * self.has_gammas + ["persistent"] * self.is_persistent
        return "-".join(map(str, parts)).replace(" ", "_")

    @property
    def features(self) -> dict[str, object]:
        p = self.problem
        return {
            **p._replace(m=0, n=0, k=0)._asdict(),
            "shape": (p.m, p.n, p.k),
            **self._replace(problem=None)._asdict(),  # type: ignore[arg-type]
        }

    @property
    def constraints(self) -> dict[str, int | bool | None]:
        """As `opt_flags_constraints` takes them."""
        p = self.problem
        return {
            "block_m": self.block_m,
            "is_persistent": self.is_persistent,
            "split_k": p.split_k,
            "epilogue_subtile": p.subtile,
            "fused_scatter": self.rows.fused if self.rows.scatters else None,
        }

    @property
    def rounds_rows_first(self) -> bool:
        """Whether rows are stored in 16 bits before they are added up and stored again."""
        is_stored_at_once = self.rows.fused or not self.rows.scatters
        return not is_stored_at_once and self.problem.split_k == 1


def impossible(call: Call) -> str:
    """Why no device can compute a call with the constraints that it has; "" where one can."""
    p, rows = call.problem, call.rows
    if rows.fused and p.n_choices > 1:
        return "rows that are added up are not stored at once"
    if rows.fused and p.split_k != 1:
        return "split sums are not stored at once"
    if rows.padded and p.split_k != 1:
        return "an inner-ragged product is not split"
    if not call.is_persistent:
        return ""
    if rows.padded:
        return "an inner-ragged product is computed by pointers"
    if p.k == 0:
        return "TMA reads no empty operand"
    if p.x != p.w:
        return "TMA reads operands of one dtype"
    if "x" in p.by_columns:
        return "TMA reads x by rows"
    if p.k * p.x.itemsize % 16 or (p.k if "w" in p.by_columns else p.n) * p.w.itemsize % 16:
        return "TMA reads rows of multiples of 16 bytes"
    return ""


def needs(call: Call) -> tuple[int, int] | None:
    """The least compute capability of NVIDIA that computes a call; None: only AMD's CDNA3 does."""
    p = call.problem
    if E4M3_AMD in (p.x, p.w):
        return None
    if call.is_persistent:
        return (10, 0) if p.is_float8 and "w" not in p.by_columns else (9, 0)
    return (8, 9) if E4M3 in (p.x, p.w) else (8, 0)


def _crossed(turn: int, problem: Problem) -> Iterator[Call]:
    for (i, rows), (j, block_m), gammas, persistent in itertools.product(
        enumerate(ROWS), enumerate((16, 128)), (False, True), (False, True)
    ):
        moves = rows != ROWS[0]
        if moves and (problem.mode == "batched" or not problem.every_way):
            continue
        if rows.padded and problem.mode != "ragged":
            continue
        if problem.is_empty and persistent:  # it is not even planned
            continue
        number = turn + i
        if problem.by_turns >= 3 and persistent != number // 2 % 2 and not rows.padded:
            continue
        if problem.by_turns >= 2 and j != (number + persistent) % 2:
            continue
        if problem.by_turns >= 1 and gammas != (number // 4 + j + persistent) % 2:
            continue
        yield Call(problem, rows, block_m, gammas, persistent)


def _new_first(calls: list[Call], size: int) -> tuple[list[Call], int]:
    """(the calls, first those with `size` features together as none before had; how many)."""
    seen: set[object] = set()
    first, later = [], []
    for call in calls:
        together = set(itertools.combinations(call.features.items(), size))
        (later if together <= seen else first).append(call)
        seen |= together
    return first + later, len(first)


_crossings = [call for numbered in enumerate(PROBLEMS) for call in _crossed(*numbered)]

CALLS = [call for call in _crossings if not impossible(call)]
"""The grid.  Its first `N_FEW` calls have all features, its first `N_FIRST` all pairs of them."""

random.Random(5).shuffle(CALLS)
CALLS, N_FEW = _new_first(CALLS, 1)
CALLS, N_FIRST = _new_first(CALLS, 2)

IMPOSSIBLE = {impossible(call): call for call in _crossings if impossible(call)}
"""A call for each reason why a crossing is not in the grid."""


def shrunk(call: Call) -> Call:
    """The same with few rows and experts, and sizes that are multiples of the same powers of 2."""
    p = call.problem
    n, k = (size and least + size % 16 for size, least in ((p.n, 48), (p.k, 80)))
    n_experts = min(p.n_experts, 3 if p.mode == "batched" else 5)
    return call._replace(problem=p._replace(m=min(p.m, 21), n=n, k=k, n_experts=n_experts))
