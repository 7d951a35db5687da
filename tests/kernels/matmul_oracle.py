"""What `matmul_ogs` promises, row by row in float64: slow, obvious, and no copy of its code."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import oracle
import torch
import triton
import triton.language as tl

from triton_kernels.matmul_ogs import FnSpecs, GatherIndx, RoutingData, ScatterIndx
from triton_kernels.reference_functions import register_reference
from triton_kernels.tensor import make_ragged_tensor_metadata

FLOAT8_LARGEST = {torch.float8_e5m2: 57344.0, torch.float8_e4m3fn: 448.0}

# --- device functions, what plain torch computes instead, and what the oracle says of one row


@triton.jit
def leaky(tile, slope):
    return tl.where(tile > 0, tile, tile * slope)


@triton.jit
def capped(tile, most):
    return tl.minimum(tile, most)


@triton.jit
def gated(tile, bound):
    """Pairs of columns, even times odd; the even one is cut at `bound`."""
    gate, line = tl.split(tl.reshape(tile, (tile.shape[0], tile.shape[1] // 2, 2)))
    return tl.minimum(gate, bound) * line


@triton.jit
def shifted(tile, by, target_dtype: tl.constexpr):
    return tile + by


register_reference(leaky, lambda tile, slope: torch.where(tile > 0, tile, tile * slope))
register_reference(capped, lambda tile, most: tile.clamp(max=most))
register_reference(gated, lambda tile, bound: tile[..., 0::2].clamp(max=bound) * tile[..., 1::2])
register_reference(shifted, lambda tile, by: tile + by)

LEAKY = FnSpecs("leaky", leaky, ("slope",))
GATED = FnSpecs("gated", gated, ("bound",), reduction_n=2)
SHIFTED = FnSpecs("shifted", shifted, ("by",))


def leaky_row(row: torch.Tensor, slope: float) -> torch.Tensor:
    return torch.tensor([v if v > 0 else v * slope for v in row.tolist()], dtype=torch.float64)


def gated_row(row: torch.Tensor, bound: float) -> torch.Tensor:
    values = row.tolist()
    pairs = zip(values[0::2], values[1::2], strict=True)
    return torch.tensor([min(gate, bound) * line for gate, line in pairs], dtype=torch.float64)


# --- routing


@dataclass
class Routing:
    """Which experts the tokens go to, in lists, and the records that say the same to the op.

    chosen: the expert of each slot, -1 for none, token after token.
    sizes: rows of each expert.  slot_of_row: -1 on the tail.  row_of_slot: -1 for no row.
    expert_of_row: -1 on the tail.
    """

    chosen: list[list[int]]
    n_experts: int
    sizes: list[int] = field(init=False)
    slot_of_row: list[int] = field(init=False)
    row_of_slot: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.sizes, self.slot_of_row, self.row_of_slot = oracle.metadata(
            self.chosen, self.n_experts, len(self.chosen)
        )

    @classmethod
    def at_random(
        cls, source: random.Random, n_tokens: int, n_experts: int, k: int, unused: float = 0.2
    ) -> Routing:
        """Different experts for each token; some slots unused, and the last expert empty."""
        chosen = [source.sample(range(max(k, n_experts - 1)), k) for _ in range(n_tokens)]
        return cls(
            [[-1 if source.random() < unused else e for e in row] for row in chosen], n_experts
        )

    @property
    def n_choices(self) -> int:
        return len(self.chosen[0])

    @property
    def n_rows(self) -> int:
        return len(self.slot_of_row)

    @property
    def expert_of_row(self) -> list[int]:
        experts = [e for e, size in enumerate(self.sizes) for _ in range(size)]
        return experts + [-1] * (self.n_rows - len(experts))

    def data(self, ragged: bool = True) -> RoutingData:
        sizes = vector(self.sizes)
        metadata = make_ragged_tensor_metadata(sizes, self.n_rows) if ragged else None
        return RoutingData(
            torch.zeros(self.n_rows), sizes, self.n_experts, self.n_choices, metadata
        )

    def gather(self) -> GatherIndx:
        return GatherIndx(vector(self.slot_of_row), vector(self.row_of_slot))

    def scatter(self) -> ScatterIndx:
        return ScatterIndx(vector(self.row_of_slot), vector(self.slot_of_row))


def vector(values: Sequence[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


# --- the product


def product_row(
    x: torch.Tensor | None,
    w: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    beta: float = 1.0,
    alpha: float = 1.0,
    gamma: float = 1.0,
    activation: Callable[[torch.Tensor], torch.Tensor] = lambda row: row,
) -> torch.Tensor:
    """One row of the product: x [K], or None for zeros; w [K, N]; bias [N]."""
    row = torch.zeros(w.shape[1], dtype=torch.float64)
    if x is not None:
        for factor, of_w in zip(x.double(), w.double(), strict=True):
            row = row + factor * of_w
    if bias is not None:
        row = row + beta * bias.double()
    return gamma * activation(alpha * row)


def sum_of_choices(
    rows: list[torch.Tensor], routing: Routing
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """For each token, the sum of the rows of its slots, and the sum of their magnitudes."""
    sums, magnitudes = [], []
    k = routing.n_choices
    for token in range(len(routing.chosen)):
        mine = [rows[r] for r in routing.row_of_slot[token * k : token * k + k] if r >= 0]
        nothing = torch.zeros_like(rows[0])
        sums.append(sum(mine, nothing))
        magnitudes.append(sum((row.abs() for row in mine), nothing))
    return sums, magnitudes


def assert_rows(
    got: torch.Tensor, want: torch.Tensor, magnitude: torch.Tensor | None = None
) -> None:
    """`got` is `want` as its dtype can hold it.

    magnitude: that of the terms that were added up to `want`, each of which may have been rounded.
    """
    assert got.shape == want.shape
    if got.dtype in FLOAT8_LARGEST:
        largest = FLOAT8_LARGEST[got.dtype]
        want = want.clamp(-largest, largest)
    info = torch.finfo(got.dtype)
    terms = want.abs() if magnitude is None else magnitude
    # Half a unit for the result and one for its terms; sums of float32 err by 1e-6 of what they
    # were made of, which is about the largest result.
    allowed = info.eps * (want.abs() / 2 + terms) + info.smallest_normal * info.eps
    allowed = allowed + 2e-6 * (1 + (terms.max() if terms.numel() else 0))
    difference = (got.double() - want).abs()
    assert (difference <= allowed).all(), f"off by {(difference - allowed).max():.3g}"


# --- tensors as tests want them


def random_tensor(
    generator: torch.Generator, shape: Sequence[int], dtype: torch.dtype, layout: str = "rows"
) -> torch.Tensor:
    """Normally distributed values with the given dtype and order in memory."""
    values = torch.randn(*shape, generator=generator).to(dtype)
    return in_layout(values, layout)


def in_layout(values: torch.Tensor, layout: str) -> torch.Tensor:
    """The same values, stored by "rows" or "columns", or in "steps" with gaps of NaN."""
    if layout == "rows":
        return values
    if layout == "columns":
        return values.transpose(-1, -2).contiguous().transpose(-1, -2)
    *batches, n_rows, n_columns = values.shape
    wide = torch.full((*batches, n_rows * 2 + 1, n_columns * 3), torch.nan).to(values.dtype)
    stepped = wide[..., 1 : 2 * n_rows + 1 : 2, ::3] if n_rows else wide[..., :0, ::3]
    stepped.copy_(values)
    return stepped
