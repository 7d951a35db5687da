"""Routing as the old module did it, on the new parts.

`legacy_routing` and `legacy_routing_from_bitmatrix` are supported.  What stands below them serves
old code alone, through the deprecated `triton_kernels.routing`, and goes with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels import topk as _topk
from triton_kernels.compaction import compaction
from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
from triton_kernels.tensor import BIT, Bitmatrix, SparseMatrix
from triton_kernels.tensor_details.bitmatrix_details.words import (
    WORD_BITS,
    clear_columns_from,
    has_bit,
    n_words,
)
from triton_kernels.tensor_details.checks import wrong_type, wrong_value
from triton_kernels.tensor_details.padding import RowCount, rows_taking_part
from triton_kernels.tensor_details.ragged_tensor import (
    RaggedTensorMetadata,
    make_ragged_tensor_metadata,
    make_ragged_tensor_metadata_torch,
)
from triton_kernels.tensor_details.ragged_tensor_details.expt_data import ExptData

__all__ = [
    "ExptData",
    "PruneRouting",
    "SortTokens",
    "block_m_log2_start",
    "compute_expt_data",
    "compute_expt_data_torch",
    "legacy_routing",
    "legacy_routing_from_bitmatrix",
    "log2_power_of_two",
    "prune_routing",
    "routing",
    "routing_from_bitmatrix",
    "routing_torch",
    "sort_tokens",
    "topk",
    "topk_torch",
]

P = ParamSpec("P")
R = TypeVar("R")

Routing: TypeAlias = tuple[RoutingData, GatherIndx, ScatterIndx]


# --- supported ---------------------------------------------------------------------------------


def legacy_routing(
    logits: torch.Tensor,
    n_expts_act: int,
    sm_first: bool = False,
    expt_indx: torch.Tensor | None = None,
    n_rows: RowCount | None = None,
) -> Routing:
    """Send each token to its `n_expts_act` best experts.

    logits: float32, float16 or bfloat16 [n_rows_max, E].
    n_expts_act: k, the experts of a token.
    sm_first: take the softmax over all experts before choosing; otherwise over the chosen ones.
    expt_indx: integers [n_rows_max, k]; the experts to take instead of choosing; -1 = none.
    n_rows: int or 1-element tensor; only the first n_rows tokens are routed.

    Returns what `matmul_ogs` takes, with N = n_rows_max * k slots (see `BitmatrixMetadata`):
    - `RoutingData`: `gate_scal` [N] the weights in the order of experts, dtype of `logits`, 0 on
      the tail that no slot fills, where it carries no gradient; `expt_hist` int32 [E]; the block
      schedule as `expt_data`;
    - `GatherIndx(combine, dispatch)` and `ScatterIndx(dispatch, combine)`, int32 [N].
    `gate_scal` is differentiable with respect to `logits`.

    Two tokens, each sent to its better one of three experts:

    >>> data, gather, _ = legacy_routing(torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0]]), 1)
    >>> data.expt_hist.tolist(), gather.src_indx.tolist(), gather.dst_indx.tolist()
    ([1, 1, 0], [1, 0], [1, 0])
    """
    if sm_first:
        logits = _softmax_of_rows_taking_part(logits, n_rows)
    chosen = _topk.topk(
        logits, n_expts_act, apply_softmax=not sm_first, y_indx=expt_indx, n_rows=n_rows
    )
    return _routing_of(chosen, logits.shape[1], n_expts_act)


def legacy_routing_from_bitmatrix(
    bitmatrix: Bitmatrix,
    expt_scal: torch.Tensor,
    expt_indx: torch.Tensor,
    n_expts_tot: int,
    n_expts_act: int,
) -> Routing:
    """`legacy_routing` for experts that are already chosen.

    bitmatrix: shape [n_rows, E]; says how many tokens and experts there are.
    expt_scal, expt_indx: [n_rows_max, k], weight and expert of each slot; -1 = unused slot.
    n_expts_tot, n_expts_act: E and k; they are only recorded in `RoutingData`.
    """
    chosen = SparseMatrix(indx=expt_indx, vals=expt_scal, mask=bitmatrix)
    return _routing_of(chosen, n_expts_tot, n_expts_act)


def _routing_of(chosen: SparseMatrix, n_expts_tot: int, n_expts_act: int) -> Routing:
    metadata = chosen.mask_metadata
    combine, dispatch = metadata.combine_indx, metadata.dispatch_indx
    schedule = make_ragged_tensor_metadata(metadata.col_sum, dispatch.shape[0])
    gates = _in_expert_order(chosen.vals, combine)
    return (
        RoutingData(gates, schedule.batch_sizes, n_expts_tot, n_expts_act, schedule),
        GatherIndx(combine, dispatch),
        ScatterIndx(dispatch, combine),
    )


def _in_expert_order(vals: torch.Tensor, combine: torch.Tensor) -> torch.Tensor:
    """[N]: the value of each slot in the order of experts; 0, without gradient, on the tail."""
    filled = combine >= 0
    slot = torch.where(filled, combine, 0).long()
    return torch.where(filled, vals.flatten().gather(0, slot), 0)


def _softmax_of_rows_taking_part(logits: torch.Tensor, n_rows: RowCount | None) -> torch.Tensor:
    """Softmax of each row.  What padded rows hold must not reach the gradient, as NaN * 0 would."""
    if n_rows is not None:
        takes_part = rows_taking_part(n_rows, logits.shape[0], logits.device)
        logits = torch.where(takes_part.unsqueeze(1), logits, 0)
    return torch.softmax(logits, dim=-1)


# --- for old code alone ------------------------------------------------------------------------


def _fifth_position_told_apart(routing: Callable[P, R]) -> Callable[P, R]:
    """Let the fifth positional argument be `n_rows`, as it was after `simulated_ep` had gone.

    A tensor is `n_rows`, and None changes nothing in either place.  An int could be either, so it
    is an error, unless `n_rows` is given as well.
    """

    @functools.wraps(routing)
    def told_apart(*args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) != 5 or "n_rows" in kwargs:
            return routing(*args, **kwargs)
        fifth = args[4]
        if isinstance(fifth, torch.Tensor):
            return routing(*args[:4], n_rows=fifth, **kwargs)  # type: ignore[arg-type]
        if fifth is None:
            return routing(*args[:4], **kwargs)  # type: ignore[arg-type]
        raise TypeError(
            f"routing: the fifth argument {fifth!r} is simulated_ep in releases 3.4 and 3.5, but "
            "n_rows after them; pass it by keyword"
        )

    return told_apart


@_fifth_position_told_apart
def routing(
    logits: torch.Tensor,
    n_expts_act: int,
    sm_first: bool = False,
    expt_indx: torch.Tensor | None = None,
    simulated_ep: int = 1,
    n_rows: RowCount | None = None,
) -> Routing:
    """`legacy_routing`, with the signature of releases 3.4 and 3.5.

    simulated_ep: n > 1 keeps the first E // n experts only, as one of n ranks would.  Slots are
        then renumbered: in each row the kept ones come first.

    Five positional arguments also mean (..., n_rows), where the fifth is a tensor.
    """
    if simulated_ep == 1:
        return legacy_routing(logits, n_expts_act, sm_first, expt_indx, n_rows)
    if sm_first:
        logits = _softmax_of_rows_taking_part(logits, n_rows)
    n_expts_tot = logits.shape[1]
    vals, indx, bitmatrix = topk(
        logits, n_expts_act, apply_softmax=not sm_first, y_indx=expt_indx, n_rows=n_rows
    )
    vals, indx, bitmatrix = prune_routing(vals, indx, bitmatrix, n_expts_tot, simulated_ep)
    return routing_from_bitmatrix(bitmatrix, vals, indx, n_expts_tot // simulated_ep, n_expts_act)


def routing_from_bitmatrix(
    bitmatrix: Bitmatrix,
    expt_scal: torch.Tensor,
    expt_indx: torch.Tensor,
    n_expts_tot: int,
    n_expts_act: int,
) -> Routing:
    """`legacy_routing_from_bitmatrix`, where `n_expts_tot` decides the length of `expt_hist`.

    So it must: an old bit matrix is as wide as its words, 32 columns or a multiple.
    """
    bitmatrix = _of_width(bitmatrix, n_expts_tot)
    return legacy_routing_from_bitmatrix(bitmatrix, expt_scal, expt_indx, n_expts_tot, n_expts_act)


def _of_width(bitmatrix: Bitmatrix, n_columns: int) -> Bitmatrix:
    """The same bits as a matrix of `n_columns` columns."""
    return Bitmatrix(
        bitmatrix.storage,
        dtype=BIT,
        shape=[bitmatrix.n_rows, n_columns],
        shape_max=[bitmatrix.n_rows_max, n_columns],
    )


def routing_torch(
    logits: torch.Tensor,
    n_expts_act: int,
    sm_first: bool = False,
    expt_indx: torch.Tensor | None = None,
    n_rows: RowCount | None = None,
) -> Routing:
    """`routing` in plain torch, on any device; reads `n_rows` on the host.

    Gates and index vectors have n_rows * k entries instead of n_rows_max * k; the schedule is as
    wide as for all rows.
    """
    n_rows_max, n_expts_tot = logits.shape
    count = n_rows_max if n_rows is None else int(n_rows)
    logits = logits[:count]
    if sm_first:
        logits = torch.softmax(logits, dim=-1)
    chosen = _topk.topk_torch(
        logits,
        n_expts_act,
        apply_softmax=not sm_first,
        y_indx=None if expt_indx is None else expt_indx[:count],
    )
    data, gather, scatter = _routing_of(chosen, n_expts_tot, n_expts_act)
    data.expt_data = compute_expt_data_torch(data.expt_hist, n_expts_tot, n_rows_max * n_expts_act)
    return data, gather, scatter


def compute_expt_data(
    expt_hist: torch.Tensor | None, n_expts_tot: int, n_gates: int
) -> RaggedTensorMetadata:
    """`make_ragged_tensor_metadata` of the first `n_expts_tot` sizes; a record of None for None."""
    if expt_hist is None:
        return RaggedTensorMetadata(None, None, None, None)  # type: ignore[arg-type]
    return make_ragged_tensor_metadata(_first(expt_hist, n_expts_tot), n_gates)


def compute_expt_data_torch(
    hist: torch.Tensor | None, n_expts_tot: int, n_gates: int
) -> RaggedTensorMetadata:
    """`compute_expt_data` in plain torch, on any device."""
    if hist is None:
        return RaggedTensorMetadata(None, None, None, None)  # type: ignore[arg-type]
    return make_ragged_tensor_metadata_torch(_first(hist, n_expts_tot), n_gates)


def _first(hist: torch.Tensor, n_expts_tot: int) -> torch.Tensor:
    if hist.ndim != 1 or hist.shape[0] < n_expts_tot:
        raise wrong_value("expt_hist", f"1 dimension of at least {n_expts_tot}", hist)
    return hist if hist.shape[0] == n_expts_tot else hist[:n_expts_tot]


def sort_tokens(
    expt_scal: torch.Tensor,
    expt_indx: torch.Tensor,
    n_expts_tot: int | Bitmatrix | None = None,
    bitmatrix: Bitmatrix | None = None,
) -> tuple[torch.Tensor, ...]:
    """Weights into the order of experts, and everything else that follows from the choice.

    Returns (hist, combine, dispatch, gate_scal, offsets of rows, offsets of blocks, schedule).
    Release 3.4 had no `n_expts_tot`, and returned the first four only; so does this without it.
    """
    if isinstance(n_expts_tot, Bitmatrix):
        n_expts_tot, bitmatrix = None, n_expts_tot
    if not isinstance(bitmatrix, Bitmatrix):
        raise wrong_type("bitmatrix", "a Bitmatrix", bitmatrix)
    width = bitmatrix.n_columns if n_expts_tot is None else n_expts_tot
    data, gather, _ = routing_from_bitmatrix(
        bitmatrix, expt_scal, expt_indx, width, expt_indx.shape[1]
    )
    results = (data.expt_hist, gather.src_indx, gather.dst_indx, data.gate_scal)
    if n_expts_tot is None or data.expt_data is None:
        return results
    schedule = data.expt_data
    offsets = (schedule.batch_offs, schedule.block_offs_data)
    return (*results, *offsets, schedule.block_schedule_data)


class SortTokens:
    """`sort_tokens`, as the autograd function that it was; only `apply` is left of that."""

    apply = staticmethod(sort_tokens)


class PruneRouting(torch.autograd.Function):
    """All experts from E // simulated_ep on dropped from a choice."""

    @staticmethod
    def forward(
        ctx: Any,
        expt_scal: torch.Tensor,
        expt_indx: torch.Tensor,
        bitmatrix: Bitmatrix,
        n_expts_tot: int,
        simulated_ep: int,
    ) -> tuple[torch.Tensor, torch.Tensor, Bitmatrix]:
        if simulated_ep < 1 or n_expts_tot % simulated_ep != 0:
            raise wrong_value("simulated_ep", f"a divisor of {n_expts_tot}", simulated_ep)
        n_kept = n_expts_tot // simulated_ep
        clear_columns_from(bitmatrix.data, n_kept)
        vals, indx = compaction(expt_scal, expt_indx, bitmatrix)
        bitmatrix.shape[-1] = n_kept
        ctx.save_for_backward(has_bit(bitmatrix.data, expt_indx))
        ctx.mark_non_differentiable(indx)
        return vals, indx, bitmatrix

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dvals: torch.Tensor, *_unused: Any) -> tuple[Any, ...]:
        (keep,) = ctx.saved_tensors
        moved_to = torch.where(keep, keep.cumsum(1) - 1, 0)
        return torch.where(keep, dvals.gather(1, moved_to), 0), None, None, None, None


def prune_routing(
    expt_scal: torch.Tensor,
    expt_indx: torch.Tensor,
    bitmatrix: Bitmatrix,
    n_expts_tot: int,
    simulated_ep: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor, Bitmatrix]:
    """Keep the experts below E // simulated_ep; changes `bitmatrix` in place.

    Returns (vals, indx, bitmatrix): in each row the kept slots first, then -1 in both.
    Release 3.4 had no `n_expts_tot`: of four arguments the last is `simulated_ep`.
    """
    if simulated_ep is None:
        n_expts_tot, simulated_ep = bitmatrix.n_columns, n_expts_tot
    return PruneRouting.apply(expt_scal, expt_indx, bitmatrix, n_expts_tot, simulated_ep)  # type: ignore[no-any-return, no-untyped-call]


def topk(
    x: Any,
    k: int,
    apply_softmax: bool = True,
    dim: int = 1,
    return_bitmatrix: bool = True,
    y_indx: torch.Tensor | None = None,
    n_rows: RowCount | None = None,
) -> tuple[torch.Tensor, torch.Tensor, Bitmatrix]:
    """`triton_kernels.topk.topk` as it was: (vals, indx, bitmatrix), the latter 32 columns a word.

    return_bitmatrix: False gives None in its place.
    """
    chosen = _topk.topk(x, k, apply_softmax, dim, y_indx, n_rows)
    if not return_bitmatrix:
        return chosen.vals, chosen.indx, None  # type: ignore[return-value]
    width = n_words(chosen.mask.n_columns) * WORD_BITS
    return chosen.vals, chosen.indx, _of_width(chosen.mask, width)


def topk_torch(
    x: torch.Tensor,
    k: int,
    y_indx: torch.Tensor | None = None,
    has_user_provided_indx: bool | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(values, int32 columns) of the k largest, largest first, or of `y_indx` where it is given.

    has_user_provided_indx: False searches although `y_indx` is given.
    """
    if y_indx is None or has_user_provided_indx is False:
        y_indx = torch.argsort(x, dim=1, descending=True, stable=True)[:, :k]
    return x.gather(1, y_indx.long()), y_indx.to(torch.int32)


def log2_power_of_two(x: int) -> int:
    """The exponent of a power of two; ValueError for any other number."""
    if x < 1 or x & (x - 1):
        raise wrong_value("x", "a power of two", x)
    return x.bit_length() - 1


block_m_log2_start = 4
"""Exponent of the smallest block size."""
