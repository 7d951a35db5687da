"""Operands of the calls of `matmul_grid`, and what these come to, in float32 of plain torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import oracle
import torch
from matmul_grid import ROWS, Call, Problem

from triton_kernels.matmul_ogs import (
    FlexCtx,
    GatherIndx,
    InFlexData,
    InnerRoutingData,
    OutFlexData,
    PrecisionConfig,
    RoutingData,
    ScatterIndx,
    matmul_ogs,
    opt_flags_constraints,
)
from triton_kernels.tensor import make_ragged_tensor_metadata

INNER_BLOCK = 32
"""What padded slices of an inner-ragged product begin at multiples of."""

NAN = float("nan")


class Given(NamedTuple):
    """Operands of a call, and what the oracle wants to know of them."""

    call: Call
    x: torch.Tensor
    w: torch.Tensor
    bias: torch.Tensor | None
    routing_data: RoutingData | None
    gather: GatherIndx | None
    scatter: ScatterIndx | None
    inner: InnerRoutingData | None
    gammas: torch.Tensor | None
    precision: PrecisionConfig
    y: torch.Tensor | None
    sizes: list[int]


def numbers(
    source: torch.Generator, shape: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Random values that `dtype` has, in float32.

    Those for 8 bits are 1 to 1/8 and negative or not, so that every sum is exact: products are
    multiples of 2^-6, and up to 832 of them come to less than 64, while Hopper keeps 13 bits behind
    the first one when it adds up products of 8-bit floats.
    """
    if dtype.itemsize > 1:
        return torch.randn(shape, generator=source, device=source.device).to(dtype).float()
    drawn = torch.randint(0, 8, shape, generator=source, device=source.device)
    return torch.ldexp(1.0 - (drawn & 1) * 2.0, -(drawn >> 1))


def stored(values: torch.Tensor, dtype: torch.dtype, by_columns: bool) -> torch.Tensor:
    values = values.to(dtype)
    return values.mT.contiguous().mT if by_columns else values


def make(call: Call, device: torch.device) -> Given:
    """Operands of a call; the same in every run."""
    p, rows = call.problem, call.rows
    _, on_host = oracle.fresh(str(call))
    source = torch.Generator(device).manual_seed(on_host.initial_seed())
    if rows.padded:
        return _make_inner(call, on_host, source)
    routing_data = gather = scatter = None
    sizes, n_x_rows, n_rows, n_y_rows = [p.m], p.m, p.m, p.m
    if p.mode == "ragged" or rows != ROWS[0]:
        sizes, slot_of_row, row_of_slot = _route(p, on_host)
        slot_of_row, row_of_slot = slot_of_row.to(device), row_of_slot.to(device)
        n_rows = p.m * p.n_choices
        n_x_rows = p.m if rows.gathers else n_rows
        n_y_rows = p.m if rows.scatters else n_rows
        routing_data = _routing_data(p, sizes, n_rows, device, is_ragged=p.mode == "ragged")
        if rows.gathers:
            gather = GatherIndx(slot_of_row, row_of_slot)
        if rows.scatters:
            scatter = ScatterIndx(row_of_slot, slot_of_row)
    n_matrices = 1 if p.mode == "plain" else p.n_experts
    x_shape, y_shape = (n_x_rows, p.k), (n_y_rows, p.n)
    if p.mode == "batched":
        x_shape, y_shape = (p.n_experts, *x_shape), (p.n_experts, *y_shape)
    w_shape = (p.k, p.n) if p.mode == "plain" else (n_matrices, p.k, p.n)
    bias = numbers(source, (n_matrices, p.n))
    return Given(
        call,
        stored(numbers(source, x_shape, p.x), p.x, "x" in p.by_columns),
        stored(numbers(source, w_shape, p.w), p.w, "w" in p.by_columns),
        bias[0] if p.mode == "plain" else bias,
        routing_data,
        gather,
        scatter,
        None,
        numbers(source, (n_rows,)) if call.has_gammas else None,
        _precision(p, device, n_matrices, p.n_experts if p.mode == "batched" else 1),
        _result(p, y_shape, device),
        sizes,
    )


def _make_inner(call: Call, on_host: torch.Generator, source: torch.Generator) -> Given:
    """Operands of an inner-ragged product, NaN wherever nothing may be read."""
    p, device, block = call.problem, source.device, INNER_BLOCK
    expert = torch.randint(0, max(1, p.n_experts - 1), (p.k,), generator=on_host)
    sizes = torch.bincount(expert, minlength=p.n_experts)
    packed = torch.arange(p.k)
    starts, padded_sizes = sizes.cumsum(0) - sizes, (sizes + block - 1) // block * block
    shift = padded_sizes.cumsum(0) - padded_sizes - starts
    padded = (packed + shift.repeat_interleave(sizes)).to(device)
    n_padded = int(padded_sizes.sum())

    def grouped(values: torch.Tensor, is_padded: bool) -> torch.Tensor:
        """[K, ...] with zeros after each group, or finite numbers after the last; then NaN."""
        size = n_padded if is_padded else p.k + block
        memory = values.new_full((size + block, values.shape[1]), NAN)
        memory[:size] = 0.0 if is_padded else 1.0
        memory[padded if is_padded else packed.to(device)] = values
        return memory

    x = grouped(numbers(source, (p.k, p.m), p.x), call.rows.padded == "x").mT.contiguous()
    w = grouped(numbers(source, (p.k, p.n), p.w), call.rows.padded == "w")
    base = _routing_data(p, sizes.tolist(), p.k, device, is_ragged=True)
    inner = InnerRoutingData(base, block, call.rows.padded == "x", call.rows.padded == "w")
    return Given(
        call,
        stored(x, p.x, "x" in p.by_columns),
        stored(w, p.w, "w" in p.by_columns),
        None,
        None,
        None,
        None,
        inner,
        numbers(source, (p.m,)) if call.has_gammas else None,
        _precision(p, device, p.n_experts, p.n_experts),
        _result(p, (p.n_experts, p.m, p.n), device),
        sizes.tolist(),
    )


def _route(p: Problem, source: torch.Generator) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    """(rows of each expert, slot of each row, row of each slot).

    The last expert has no rows, if enough others are left, and a tenth of the slots is unused.
    """
    n_used_experts = max(p.n_choices, p.n_experts - 1)
    expert = torch.rand(p.m, n_used_experts, generator=source).argsort(1)[:, : p.n_choices]
    expert = expert.flatten()
    expert[torch.rand(expert.shape, generator=source) < 0.1] = p.n_experts
    order = expert.argsort(stable=True).to(torch.int32)
    n_used = int((expert < p.n_experts).sum())
    slot_of_row = torch.full_like(order, -1)
    slot_of_row[:n_used] = order[:n_used]
    row_of_slot = torch.full_like(order, -1)
    row_of_slot[order[:n_used].long()] = torch.arange(n_used, dtype=torch.int32)
    sizes = torch.bincount(expert, minlength=p.n_experts + 1)[: p.n_experts]
    return sizes.tolist(), slot_of_row, row_of_slot


def _routing_data(
    p: Problem, sizes: list[int], n_rows: int, device: torch.device, is_ragged: bool
) -> RoutingData:
    on_device = torch.tensor(sizes, dtype=torch.int32).to(device)
    metadata = make_ragged_tensor_metadata(on_device, n_rows) if is_ragged else None
    return RoutingData(on_device.new_zeros(0), on_device, p.n_experts, p.n_choices, metadata)


def _precision(
    p: Problem, device: torch.device, n_matrices: int, n_results: int
) -> PrecisionConfig:
    """Scales of 8-bit operands: one of x, by turns of w, and of the result."""
    if not p.is_float8:
        return PrecisionConfig()

    def by_turns(count: int, *values: float) -> torch.Tensor:
        return torch.tensor([values[i % len(values)] for i in range(count)], device=device)

    out = OutFlexData(None, by_turns(n_results, 4.0, 5.0), by_turns(n_results, 0.0))
    lhs, rhs = (
        InFlexData(scale=by_turns(1, 1.25)),
        InFlexData(scale=by_turns(n_matrices, 1.5, 1.25)),
    )
    return PrecisionConfig(flex_ctx=FlexCtx(lhs, rhs, out))


def _result(p: Problem, shape: tuple[int, ...], device: torch.device) -> torch.Tensor | None:
    """Memory for the result, where its columns are to be contiguous."""
    if "y" not in p.by_columns:
        return None
    return stored(torch.full(shape, NAN, device=device), p.x, True)


def multiply(given: Given, **options: Any) -> torch.Tensor:
    """`matmul_ogs` of the call, planned as it says."""
    with opt_flags_constraints(**given.call.constraints):
        return matmul_ogs(
            given.x,
            given.w,
            given.bias,
            given.routing_data,
            given.gather,
            given.scatter,
            given.precision,
            gammas=given.gammas,
            inner_routing_data=given.inner,
            **options,
        )


# --- the oracle


def expected(given: Given) -> tuple[torch.Tensor, torch.Tensor]:
    """float32: the result before it is scaled, and the sum of the magnitudes of its terms.

    A product a matrix.  Of rows in the order of experts only those that an expert has.
    """
    call = given.call
    if given.inner is not None:
        rows = _inner_products(given)
    else:
        rows = torch.stack(_products(given)) if call.problem.mode == "batched" else _routed(given)
    if given.gammas is not None:
        gammas = given.gammas[: rows.shape[-2]] if given.inner is None else given.gammas
        rows = rows * gammas[:, None]
    if given.scatter is None:
        return rows, rows.abs()
    row_of_slot = given.scatter.src_indx.long()
    terms = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])  # which is row -1
    terms = terms[row_of_slot].unflatten(0, (call.problem.m, call.problem.n_choices))
    return terms.sum(1), terms.abs().sum(1)


def _routed(given: Given) -> torch.Tensor:
    """[rows, N] in the order of experts."""
    parts = _products(given)
    return torch.cat(parts) if parts else given.x.new_zeros(0, given.w.shape[-1]).float()


def _products(given: Given) -> list[torch.Tensor]:
    """Rows of each expert or batch, times its matrix, scaled, with its bias."""
    p = given.call.problem
    x = given.x.float()
    if given.gather is not None:
        x = torch.cat([x, x.new_zeros(1, p.k)])
        slot = given.gather.src_indx.long()
        x = x[torch.where(slot < 0, len(x) - 1, slot // p.n_choices)]
    assert given.bias is not None
    w, bias = given.w.float(), given.bias
    if p.mode == "plain":
        return [_scaled(given, x @ w, 0) + bias]
    if p.mode == "batched":
        parts: tuple[torch.Tensor, ...] = x.unbind()
    else:
        parts = x[: sum(given.sizes)].split(given.sizes)
    return [_scaled(given, part @ w[e], e) + bias[e] for e, part in enumerate(parts)]


def _inner_products(given: Given) -> torch.Tensor:
    """[E, M, N]: each group of columns of x, times its group of rows of w."""
    x, w, inner = given.x.float(), given.w.float(), given.inner
    assert inner is not None
    matrices = []
    packed = padded = 0
    for e, size in enumerate(given.sizes):
        in_x, in_w = (
            padded if is_so else packed for is_so in (inner.x_is_padded, inner.w_is_padded)
        )
        matrices.append(_scaled(given, x[:, in_x : in_x + size] @ w[in_w : in_w + size], e))
        packed += size
        padded += -(-size // INNER_BLOCK) * INNER_BLOCK
    return torch.stack(matrices)


def _scaled(given: Given, rows: torch.Tensor, e: int) -> torch.Tensor:
    flex = given.precision.flex_ctx
    if flex.lhs_data.scale is None or flex.rhs_data.scale is None:
        return rows
    return rows * flex.lhs_data.scale[0] * flex.rhs_data.scale[e]
