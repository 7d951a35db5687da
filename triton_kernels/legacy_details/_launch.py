"""Routing on a GPU: one launch for a small batch, two or three for any other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from triton_kernels.launching import launch
from triton_kernels.legacy_details._buffer import (
    BufferLayout,
    IndexVectors,
    Routed,
    layout_of,
    views,
)
from triton_kernels.legacy_details._routing import _route_small_batch
from triton_kernels.target_info import is_hip, overlaps_launches
from triton_kernels.tensor_details.bitmatrix_details._launch import count_given, place_slots
from triton_kernels.tensor_details.padding import RowCount
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata
from triton_kernels.topk_details._launch import search_options, select_backward
from triton_kernels.topk_details._plan import (
    SortPlan,
    TilePlan,
    next_power_of_two,
    plan_given,
    plan_lanes,
    plan_search,
    plan_sort,
)
from triton_kernels.topk_details._topk_forward import _topk_forward

# A batch of no more entries and slots is routed by one program.
_SMALL_BATCH_ENTRIES = 4096
_SMALL_BATCH_SLOTS = 64


@dataclass(frozen=True)
class RoutingPlan:
    """How one shape of batch is routed: pure numbers, the same for every call."""

    tiles: TilePlan
    sort: SortPlan
    is_small: bool
    layout: BufferLayout


@lru_cache(maxsize=1024)
def plan_routing(
    n_rows: int, n_columns: int, k: int, *, given: bool, softmax_first: bool, n_sizes: int
) -> RoutingPlan:
    """Plan a call for `n_rows` stored rows and `n_sizes` block sizes, of which AMD has one more."""
    if given:
        tiles = plan_given(n_rows, n_columns, k, whole_rows=softmax_first)
    else:
        tiles = plan_search(n_rows, n_columns, k, wide_warps=is_hip())
    rows = next_power_of_two(n_rows)
    is_small = (
        rows * tiles.columns <= _SMALL_BATCH_ENTRIES and rows * tiles.choices <= _SMALL_BATCH_SLOTS
    )
    if is_small:
        warps = max(1, min(8, rows * tiles.columns // 512))
        lanes = 0 if given else plan_lanes(rows, tiles.columns, k)
        tiles = TilePlan(k, rows, tiles.columns, tiles.choices, rows, 1, warps, lanes)
    layout = layout_of(n_rows, n_columns, k, n_sizes)
    sort = plan_sort(tiles, layout.n_slots, layout.width, given=given)
    return RoutingPlan(tiles, sort, is_small, layout)


def route(
    logits: torch.Tensor,
    k: int,
    softmax_first: bool,
    given: torch.Tensor | None,
    keep_indx: bool,
    n_rows: RowCount | None,
) -> Routed:
    """Choose experts (or take those that are given), sort slots by expert, schedule blocks."""
    n_rows_max, n_columns = logits.shape
    n_sizes = len(RaggedTensorMetadata.block_sizes_log2())
    plan = plan_routing(
        n_rows_max,
        n_columns,
        k,
        given=given is not None,
        softmax_first=softmax_first,
        n_sizes=n_sizes,
    )
    device = logits.device
    buffer = torch.empty(plan.layout.numel, dtype=torch.int32, device=device)
    gates = torch.empty(plan.layout.n_slots, dtype=logits.dtype, device=device)
    indx = torch.empty((n_rows_max, k), dtype=torch.int16, device=device) if keep_indx else None
    routed = Routed(gates, buffer, views(buffer, plan.layout), indx)
    route_planned = _launch_small if plan.is_small else _launch_tiles
    route_planned(plan, logits, softmax_first, given, n_rows, routed)
    return routed


@lru_cache(maxsize=1024)
def plan_choice(n_rows: int, n_columns: int, k: int, n_sizes: int) -> RoutingPlan:
    """`plan_routing` for experts and values that are given."""
    tiles = plan_given(n_rows, n_columns, k)
    layout = layout_of(n_rows, n_columns, k, n_sizes)
    sort = plan_sort(tiles, layout.n_slots, layout.width, given=True)
    return RoutingPlan(tiles, sort, False, layout)


def route_choice(
    vals: torch.Tensor, indx: torch.Tensor, n_columns: int, n_rows: RowCount | None
) -> Routed:
    """What `triton_kernels.legacy_details._autograd.route_choice` returns."""
    n_sizes = len(RaggedTensorMetadata.block_sizes_log2())
    plan = plan_choice(indx.shape[0], n_columns, indx.shape[1], n_sizes)
    buffer = torch.empty(plan.layout.numel, dtype=torch.int32, device=indx.device)
    gates = torch.empty(plan.layout.n_slots, dtype=vals.dtype, device=indx.device)
    vectors = views(buffer, plan.layout)
    counts = count_given(plan.tiles, indx, n_columns, n_rows, vectors.dispatch)
    _place(plan, counts, vals.detach().reshape(-1), gates, buffer, vectors, every_slot_used=False)
    return Routed(gates, buffer, vectors, None)


def route_backward(
    logits: torch.Tensor,
    indx: torch.Tensor,
    dispatch: torch.Tensor,
    dgates: torch.Tensor,
    softmax_first: bool,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """What `triton_kernels.legacy_details._autograd.route_backward` returns."""
    return select_backward(
        logits,
        indx,
        dgates,
        n_rows,
        not softmax_first,
        softmax_first=softmax_first,
        dispatch=dispatch,
    )


def _launch_small(
    plan: RoutingPlan,
    logits: torch.Tensor,
    softmax_first: bool,
    given: torch.Tensor | None,
    n_rows: RowCount | None,
    routed: Routed,
) -> None:
    tiles = plan.tiles
    gates, buffer, vectors, indx = routed
    stride_gm, stride_gn = (0, 0) if given is None else given.stride()
    launch(
        _route_small_batch,
        (1 + plan.layout.n_sizes,),
        (
            logits,
            *logits.stride(),
            given,
            stride_gm,
            stride_gn,
            gates,
            indx,
            vectors.combine,
            vectors.dispatch,
            vectors.hist,
            buffer,  # of which the offsets are the beginning
            plan.layout.stride_offs,
            vectors.schedule,
            plan.layout.stride_schedule,
            plan.layout.width,
            logits.shape[0],
            n_rows,
        ),
        {
            "n_columns": logits.shape[1],
            "K": tiles.k,
            "SOFTMAX_FIRST": softmax_first,
            "R": tiles.rows,
            "C": tiles.columns,
            "KP": tiles.choices,
            "LANES": tiles.lanes,
            "BLOCKS": plan.sort.blocks_at_a_time,
        },
        num_warps=tiles.num_warps,
    )


def _launch_tiles(
    plan: RoutingPlan,
    logits: torch.Tensor,
    softmax_first: bool,
    given: torch.Tensor | None,
    n_rows: RowCount | None,
    routed: Routed,
) -> None:
    tiles = plan.tiles
    gates, buffer, vectors, indx = routed
    n_rows_max, n_columns = logits.shape
    stride_gm, stride_gn = (0, 0) if given is None else given.stride()
    # Between the launches: the values in the order of slots, and what each tile counted.
    vals = torch.empty_like(gates)
    width = plan.sort.counts_width(n_columns)
    counts = torch.empty((tiles.n_tiles, width), dtype=torch.int32, device=logits.device)
    launch(
        _topk_forward,
        (tiles.n_tiles,),
        (
            logits,
            *logits.stride(),
            given,
            stride_gm,
            stride_gn,
            vals,
            indx,
            None,
            0,
            vectors.dispatch,
            counts,
            n_rows_max,
            n_rows,
            tiles.rows_per_tile,
        ),
        {
            "n_columns": n_columns,
            "K": tiles.k,
            "SOFTMAX": not softmax_first,
            "SOFTMAX_FIRST": softmax_first,
            "R": tiles.rows,
            "C": tiles.columns,
            "KP": tiles.choices,
            "LANES": tiles.lanes,
            "PACKED": plan.sort.packed,
            "OVERLAP": overlaps_launches(),
        },
        **search_options(tiles),
    )
    every_slot_used = given is None and n_rows is None
    _place(plan, counts, vals, gates, buffer, vectors, every_slot_used=every_slot_used)


def _place(
    plan: RoutingPlan,
    counts: torch.Tensor,
    vals: torch.Tensor,
    gates: torch.Tensor,
    buffer: torch.Tensor,
    vectors: IndexVectors,
    *,
    every_slot_used: bool,
) -> None:
    """The launches behind the first, whose `ranked` lies where the dispatch vector will."""
    place_slots(
        plan.sort,
        counts,
        vectors.dispatch,
        vals,
        gates,
        vectors.combine,
        vectors.dispatch,
        vectors.hist,
        buffer,  # of which the offsets are the beginning
        plan.layout.stride_offs,
        vectors.schedule,
        every_slot_used=every_slot_used,
    )
