"""Routing as the old module did it, on the new parts.

`legacy_routing` and `legacy_routing_from_bitmatrix` are supported.  What stands below them serves
old code alone, through the deprecated modules, and goes with them.

Old functions call each other the way their module did: where old code has assigned another
function to a name of `triton_kernels.routing`, or another `forward` to `SortTokens`, they call
that one.  The supported functions never do.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels import dispatch, moves
from triton_kernels import topk as _topk
from triton_kernels.compaction import compaction
from triton_kernels.deprecation import patched, warn_deprecated
from triton_kernels.legacy_details._autograd import routing as _route
from triton_kernels.legacy_details._autograd import routing_of_choice as _route_choice
from triton_kernels.legacy_details._reference import (
    in_expert_order,
    softmax_of_rows_taking_part,
)
from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
from triton_kernels.old_arguments import known_signatures, renamed_arguments
from triton_kernels.tensor import BIT, Bitmatrix, SparseMatrix, Tensor
from triton_kernels.tensor_details.bitmatrix import check_slots, rows_if_not_all
from triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows import (
    sum_bitmatrix_rows as _sum_bitmatrix_rows,
)
from triton_kernels.tensor_details.bitmatrix_details.words import (
    WORD_BITS,
    clear_columns_from,
    has_bit,
    n_words,
)
from triton_kernels.tensor_details.checks import wrong_type, wrong_value
from triton_kernels.tensor_details.padding import RowCount
from triton_kernels.tensor_details.ragged_tensor import (
    RaggedTensorMetadata,
    make_ragged_tensor_metadata,
    make_ragged_tensor_metadata_torch,
)
from triton_kernels.tensor_details.ragged_tensor_details.expt_data import ExptData

__all__ = [
    "DatastructTensor",
    "ExptData",
    "PruneRouting",
    "SortTokens",
    "block_m_log2_start",
    "clear_sums",
    "compute_expt_data",
    "compute_expt_data_torch",
    "legacy_routing",
    "legacy_routing_from_bitmatrix",
    "log2_power_of_two",
    "prune_routing",
    "reduction_sum",
    "routing",
    "routing_from_bitmatrix",
    "routing_torch",
    "sort_tokens",
    "sum_bitmatrix_rows",
    "topk",
    "topk_torch",
]

P = ParamSpec("P")
R = TypeVar("R")

Routing: TypeAlias = tuple[RoutingData, GatherIndx, ScatterIndx]

# What `topk` calls x, k and y_indx.
_OWN_NAMES = ("logits", "n_expts_act", "expt_indx")


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
    _topk.check_arguments(logits, n_expts_act, 1, expt_indx, n_rows, _OWN_NAMES)
    return _route(logits, n_expts_act, sm_first, expt_indx, n_rows)


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

    `gate_scal` has the dtype of `expt_scal` and is differentiable with respect to it.
    """
    check_slots("expt_indx", expt_indx, bitmatrix)
    if expt_scal.shape != expt_indx.shape:
        raise wrong_value("expt_scal", f"shape {list(expt_indx.shape)}", expt_scal)
    if expt_scal.device != expt_indx.device:
        raise wrong_value(
            "expt_scal", f"a tensor on {expt_indx.device}, where expt_indx is", expt_scal
        )
    if dispatch.is_traced(expt_scal) or dispatch.is_traced(expt_indx):
        chosen = SparseMatrix(indx=expt_indx, vals=expt_scal, mask=bitmatrix)
        return _routing_of(chosen, n_expts_tot, n_expts_act)
    rows = rows_if_not_all(bitmatrix)
    return _route_choice(expt_scal, expt_indx, bitmatrix.n_columns, rows, n_expts_tot, n_expts_act)


def _routing_of(chosen: SparseMatrix, n_expts_tot: int, n_expts_act: int) -> Routing:
    metadata = chosen.mask_metadata
    combine, dispatch = metadata.combine_indx, metadata.dispatch_indx
    schedule = make_ragged_tensor_metadata(metadata.col_sum, dispatch.shape[0])
    gates = in_expert_order(chosen.vals, combine)
    return (
        RoutingData(gates, schedule.batch_sizes, n_expts_tot, n_expts_act, schedule),
        GatherIndx(combine, dispatch),
        ScatterIndx(dispatch, combine),
    )


# --- for old code alone ------------------------------------------------------------------------


def _now(name: str) -> Callable[..., Any]:
    """The old function `name`, or what old code has put in its place."""
    function: Any = patched(moves.OLD_MODULE, name) or globals()[name]
    return function  # type: ignore[no-any-return]


def _sorting_is_patched() -> bool:
    return _now("sort_tokens") is not sort_tokens or SortTokens.forward is not _SORT_FORWARD


def _is_patched() -> bool:
    """Whether `routing` must go the old way round, since it would meet something else on it."""
    names = ("topk", "routing_from_bitmatrix", "compute_expt_data")
    return _sorting_is_patched() or any(_now(name) is not globals()[name] for name in names)


def _renormalize_told_apart(code: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Take `renormalize`, the opposite of `sm_first` before release 3.4, with a warning."""

    def decorate(routing: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(routing)
        def told_apart(*args: P.args, **kwargs: P.kwargs) -> R:
            if "renormalize" in kwargs:
                if len(args) > 2 or "sm_first" in kwargs:
                    raise TypeError(
                        f"{routing.__name__}: no release took both sm_first (3.4 and later) and "
                        "renormalize (before 3.4)"
                    )
                warn_deprecated(code)
                kwargs["sm_first"] = not kwargs.pop("renormalize")
            return routing(*args, **kwargs)

        return told_apart

    return decorate


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


@_renormalize_told_apart("TKM304")
@_fifth_position_told_apart
@known_signatures(
    "before 3.4 (logits, n_expts_act, renormalize=True, expt_indx=None, simulated_ep=1)",
    "3.4 and 3.5 (logits, n_expts_act, sm_first=False, expt_indx=None, simulated_ep=1, "
    "n_rows=None)",
    "after 3.5 (logits, n_expts_act, sm_first=False, expt_indx=None, n_rows=None)",
)
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
    if isinstance(sm_first, torch.Tensor):
        raise wrong_type("sm_first", "a bool, in all releases since 3.4", sm_first)
    if simulated_ep == 1 and not _is_patched():
        return legacy_routing(logits, n_expts_act, sm_first, expt_indx, n_rows)
    if sm_first:
        logits = softmax_of_rows_taking_part(logits, n_rows)
    n_expts_tot = logits.shape[1]
    vals, indx, bitmatrix = _now("topk")(
        logits, n_expts_act, apply_softmax=not sm_first, y_indx=expt_indx, n_rows=n_rows
    )
    if simulated_ep != 1:
        prune = _now("prune_routing")
        vals, indx, bitmatrix = prune(vals, indx, bitmatrix, n_expts_tot, simulated_ep)
    sort = _now("routing_from_bitmatrix")
    return sort(bitmatrix, vals, indx, n_expts_tot // simulated_ep, n_expts_act)  # type: ignore[no-any-return]


@known_signatures("3.5 and later (bitmatrix, expt_scal, expt_indx, n_expts_tot, n_expts_act)")
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
    if not _sorting_is_patched() and _now("compute_expt_data") is compute_expt_data:
        return legacy_routing_from_bitmatrix(
            bitmatrix, expt_scal, expt_indx, n_expts_tot, n_expts_act
        )
    hist, combine, dispatch, gates, *schedule = _sorted_by(
        _now("sort_tokens"), expt_scal, expt_indx, n_expts_tot, bitmatrix
    )
    if schedule:
        expt_data = ExptData(hist, *schedule)
    else:
        expt_data = _now("compute_expt_data")(hist, n_expts_tot, expt_indx.numel())
    return (
        RoutingData(gates, hist, n_expts_tot, n_expts_act, expt_data),
        GatherIndx(combine, dispatch),
        ScatterIndx(dispatch, combine),
    )


def _sorted_by(
    sort: Callable[..., Sequence[Any]],
    expt_scal: torch.Tensor,
    expt_indx: torch.Tensor,
    n_expts_tot: int,
    bitmatrix: Bitmatrix,
) -> Sequence[Any]:
    """What a `sort_tokens` of old code answers: 3 parameters as in 3.4, or 4 as in later ones."""
    if sort is not sort_tokens:
        try:
            inspect.signature(sort).bind(expt_scal, expt_indx, n_expts_tot, bitmatrix)
        except TypeError:
            return sort(expt_scal, expt_indx, bitmatrix)
    return sort(expt_scal, expt_indx, n_expts_tot, bitmatrix)


def _of_width(bitmatrix: Bitmatrix, n_columns: int) -> Bitmatrix:
    """The same bits as a matrix of `n_columns` columns."""
    return Bitmatrix(
        bitmatrix.storage,
        dtype=BIT,
        shape=[bitmatrix.n_rows, n_columns],
        shape_max=[bitmatrix.n_rows_max, n_columns],
    )


@_renormalize_told_apart("TKM318")
@known_signatures(
    "before 3.4 (logits, n_expts_act, renormalize=True, expt_indx=None)",
    "3.4 and later (logits, n_expts_act, sm_first=False, expt_indx=None, n_rows=None)",
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


@known_signatures("3.4 and later (expt_hist, n_expts_tot, n_gates)")
def compute_expt_data(
    expt_hist: torch.Tensor | None, n_expts_tot: int, n_gates: int
) -> RaggedTensorMetadata:
    """`make_ragged_tensor_metadata` of the first `n_expts_tot` sizes; a record of None for None."""
    if expt_hist is None:
        return RaggedTensorMetadata(None, None, None, None)  # type: ignore[arg-type]
    return make_ragged_tensor_metadata(_first(expt_hist, n_expts_tot), n_gates)


@known_signatures("3.4 and later (hist, n_expts_tot, n_gates)")
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


class SortTokens(torch.autograd.Function):
    """`sort_tokens` for autograd.

    A `forward` of old code in the place of this one leaves on `ctx` what `backward` reads: the
    dispatch vector as the first saved tensor, and `n_expts_act`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        expt_scal: torch.Tensor,
        expt_indx: torch.Tensor,
        n_expts_tot: int | Bitmatrix | None = None,
        bitmatrix: Bitmatrix | None = None,
    ) -> tuple[torch.Tensor, ...]:
        if isinstance(n_expts_tot, Bitmatrix):
            n_expts_tot, bitmatrix = None, n_expts_tot
        if not isinstance(bitmatrix, Bitmatrix):
            raise wrong_type("bitmatrix", "a Bitmatrix", bitmatrix)
        width = bitmatrix.n_columns if n_expts_tot is None else n_expts_tot
        data, gather, _ = legacy_routing_from_bitmatrix(
            _of_width(bitmatrix, width), expt_scal, expt_indx, width, expt_indx.shape[1]
        )
        results = [data.expt_hist, gather.src_indx, gather.dst_indx, data.gate_scal]
        if n_expts_tot is not None and data.expt_data is not None:
            schedule = data.expt_data
            results += [schedule.batch_offs, schedule.block_offs_data]
            results += [schedule.block_schedule_data]
        ctx.n_expts_act = expt_indx.shape[1]
        ctx.save_for_backward(gather.dst_indx)
        ctx.mark_non_differentiable(*results[:3], *results[4:])
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        dispatch = ctx.saved_tensors[0]
        by_slot = gradients[3][dispatch.clamp(min=0).long()]
        dexpt_scal = torch.where(dispatch >= 0, by_slot, 0).reshape(-1, ctx.n_expts_act)
        return dexpt_scal, *(None for _ in ctx.needs_input_grad[1:])


_SORT_FORWARD = SortTokens.forward


@known_signatures(
    "3.4 (expt_scal, expt_indx, bitmatrix)",
    "3.5 and later (expt_scal, expt_indx, n_expts_tot, bitmatrix)",
)
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
    return SortTokens.apply(expt_scal, expt_indx, n_expts_tot, bitmatrix)  # type: ignore[no-any-return, no-untyped-call]


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


@known_signatures(
    "3.4 (expt_scal, expt_indx, bitmatrix, simulated_ep)",
    "3.5 (expt_scal, expt_indx, bitmatrix, n_expts_tot, simulated_ep)",
)
def prune_routing(
    expt_scal: torch.Tensor,
    expt_indx: torch.Tensor,
    bitmatrix: Bitmatrix,
    n_expts_tot: int | None = None,
    simulated_ep: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor, Bitmatrix]:
    """Keep the experts below E // simulated_ep; changes `bitmatrix` in place.

    Returns (vals, indx, bitmatrix): in each row the kept slots first, then -1 in both.
    Release 3.4 had no `n_expts_tot`: where only one of the two is given it is `simulated_ep`.
    """
    if n_expts_tot is None:
        n_expts_tot = bitmatrix.n_columns
    elif simulated_ep is None:
        n_expts_tot, simulated_ep = bitmatrix.n_columns, n_expts_tot
    return PruneRouting.apply(expt_scal, expt_indx, bitmatrix, n_expts_tot, simulated_ep)  # type: ignore[no-any-return, no-untyped-call]


@known_signatures(
    "3.4 and 3.5 (x, k, apply_softmax=True, dim=1, return_bitmatrix=True, y_indx=None, n_rows=None)"
)
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


@renamed_arguments("", vals="x", expt_indx="y_indx")
@known_signatures(
    "3.5.1 (vals, k, expt_indx, has_user_provided_indx=False)", "after 3.5 (x, k, y_indx)"
)
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


def sum_bitmatrix_rows(
    x: Bitmatrix,
    out_ret: torch.Tensor | int | None = None,
    partials_block_size: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`sum_bitmatrix_rows` of the new module, whose sums the caller may have allocated.

    out_ret: int32 [E] for the sums; an int is `partials_block_size`, as in the new function.
    """
    if isinstance(out_ret, int):
        out_ret, partials_block_size = None, out_ret
    sums, partials = _sum_bitmatrix_rows(x, partials_block_size)
    if out_ret is None:
        return sums, partials
    warn_deprecated("TKM317")
    return out_ret.copy_(sums), partials


def reduction_sum(
    x: Bitmatrix, partials_block_size: int, dim: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """`sum_bitmatrix_rows`, as `triton_kernels.reduction.sum`.  dim: 0."""
    if dim != 0:
        raise wrong_value("dim", "0", dim)
    return _sum_bitmatrix_rows(x, partials_block_size)


def clear_sums(n_cols: int, device: torch.device | str, MEMSET_BLOCK: int = 512) -> torch.Tensor:
    """int32 zeros, `n_cols` rounded up to a multiple of `MEMSET_BLOCK`."""
    n_padded = -(-n_cols // MEMSET_BLOCK) * MEMSET_BLOCK
    return torch.zeros(n_padded, dtype=torch.int32, device=device)


class DatastructTensor(Tensor):
    """`Tensor` as `triton_kernels.datastruct` of release 3.4 made it.

    handle: the memory, of at least `shape_pad`.
    shape_raw, shape_pad: `shape` and `shape_max`.
    """

    def __init__(
        self,
        handle: torch.Tensor,
        shape_raw: Sequence[RowCount],
        shape_pad: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(handle, None, list(shape_raw), shape_pad)  # type: ignore[arg-type]

    @property
    def handle(self) -> torch.Tensor:
        """The stored data."""
        return self.data

    @property
    def shape_raw(self) -> list[Any]:
        """`shape`."""
        return self.shape

    @property
    def shape_pad(self) -> list[int]:
        """`shape_max`."""
        return self.shape_max
