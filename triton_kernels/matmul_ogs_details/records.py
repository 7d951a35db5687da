"""The records by which a product is described: routing, indices, precision, fused functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, EnumMeta
from typing import Any, TypeAlias

import torch

from triton_kernels import deprecation
from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.old_arguments import renamed_arguments
from triton_kernels.specialize import FnSpecs
from triton_kernels.tensor import Tensor
from triton_kernels.tensor_details.checks import wrong_value
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

__all__ = [
    "Epilogue",
    "EpilogueSpecs",
    "FlexCtx",
    "FnName",
    "FusedActivation",
    "FusedComm",
    "GatherIndx",
    "InnerRoutingData",
    "PrecisionConfig",
    "RoutingData",
    "ScatterIndx",
]

# Where users import the records from, and so where a pickle looks for them.
_HOME = "triton_kernels.matmul_ogs"


@dataclass
class GatherIndx:
    """How rows are brought from the order of tokens into the order of experts.

    With N slots, slot `i` being choice `i % k` of token `i // k`:

    src_indx: int32 [N]; for each row in the order of experts, the slot it comes from
        (`BitmatrixMetadata.combine_indx`); -1 on the unused tail.  The token is `slot // k`.
    dst_indx: int32 [N], the inverse (`dispatch_indx`); -1 for an unused slot.
    """

    src_indx: torch.Tensor
    dst_indx: torch.Tensor


@dataclass
class ScatterIndx:
    """How rows are brought back from the order of experts into the order of tokens.

    The two vectors of `GatherIndx` with their roles exchanged:

    src_indx: int32 [N]; for each slot, the row in the order of experts it comes from.
    dst_indx: int32 [N], the inverse; for each such row, the slot it goes to.
    """

    src_indx: torch.Tensor
    dst_indx: torch.Tensor


@dataclass
class RoutingData:
    """Which experts are at work, on how many rows, and with which weights.

    gate_scal: [N], the weight of each row, in the order of experts.
    expt_hist: int32 [n_expts_tot], rows of each expert.
    n_expts_tot, n_expts_act: number of experts, and of experts a token goes to (k).
    expt_data: offsets and block schedule of the experts' rows.
    expected_tokens_per_expt: a hint for the choice of tiles.
    """

    gate_scal: torch.Tensor
    expt_hist: torch.Tensor
    n_expts_tot: int
    n_expts_act: int
    expt_data: RaggedTensorMetadata | None = None
    expected_tokens_per_expt: int | None = None

    def n_blocks(self, n_rows: int, block_m: int) -> int:
        """Most blocks of `block_m` rows that `n_rows` rows can fall into: the grid to launch.

        With 8 experts: 8 rows make at most 8 blocks, 100 rows 13 of 16 or 8 of 128.
        """
        return RaggedTensorMetadata.n_blocks(self.n_expts_tot, n_rows, block_m)


KernelArgs: TypeAlias = tuple[
    torch.Tensor | None,
    torch.Tensor | None,
    torch.Tensor | None,
    torch.Tensor | None,
    bool,
    bool,
    bool,
    torch.Tensor | None,
]


@dataclass
class InnerRoutingData:
    """The slices of an inner-ragged product, as the gradient of an expert's weights is one.

    Columns of x [M, K] and rows of w [K_W, N] are grouped by expert, and each group makes a matrix
    of the result [E, M, N].  With sizes [3, 2], block_k 16 and only x padded, slice 1 is columns
    16 to 18 of x and rows 3 to 5 of w.

    base: its `expt_data` has the sizes of the groups.
    block_k: one of `RaggedTensorMetadata.block_sizes()`; in a padded operand each group begins at
        a multiple of it.
    x_is_padded, w_is_padded: which operands are padded; at least one must be.

    What a kernel may read besides the groups: the padding of a padded operand, which must be
    zero, and in one that is not padded the next `block_k` rows or columns after a group, which
    must be finite.
    """

    base: RoutingData = None  # type: ignore[assignment]  # as upstream has it
    block_k: int = None  # type: ignore[assignment]
    x_is_padded: bool = False
    w_is_padded: bool = False

    @staticmethod
    def make_kernel_args(
        data: RoutingData | InnerRoutingData | None, block_m: int | None
    ) -> KernelArgs:
        """(sizes, offsets, block offsets, schedule, is inner, x padded, w padded, largest size).

        data: of rows, then the blocks are of `block_m`; or inner, then of its own `block_k`.
        The largest size is a tensor of no dimensions, and None for rows.  Without `expt_data`
        there is nothing but None and False.
        """
        is_inner = isinstance(data, InnerRoutingData)
        base = data.base if isinstance(data, InnerRoutingData) else data
        ragged = base.expt_data if base is not None else None
        if ragged is None or data is None:
            return (None, None, None, None, False, False, False, None)
        block = data.block_k if isinstance(data, InnerRoutingData) else block_m
        return (
            ragged.batch_sizes,
            ragged.batch_offs,
            ragged.block_offs(block),  # type: ignore[arg-type]  # None is a ValueError there
            ragged.block_schedule(block),  # type: ignore[arg-type]
            is_inner,
            is_inner and data.x_is_padded,  # type: ignore[union-attr]
            is_inner and data.w_is_padded,  # type: ignore[union-attr]
            ragged.batch_sizes.max() if is_inner else None,
        )


@dataclass(frozen=True)
class FusedActivation:
    """A function applied to each tile of the product before it is stored.

    specs: the function; `specs.reduction_n` columns of the product make one of the output.
    fn_args: values of its `fn_arg_names`.
    reduction_n: where `specs` does not say it; deprecated, and warns.  The record then reads as if
        `specs` had said it.

    Raises ValueError where both say it and differ.
    """

    specs: FnSpecs = field(default_factory=FnSpecs.default)
    fn_args: tuple[Any, ...] = ()
    reduction_n: int = None  # type: ignore[assignment]  # filled in below

    def __new__(cls, *args: Any, **kwargs: Any) -> FusedActivation:
        # Here, since only a constructor sees whether an argument came by position.
        specs = args[0] if args else kwargs.get("specs", FnSpecs.default())
        given = args[2] if len(args) > 2 else kwargs.get("reduction_n")
        if given is not None and specs.reduction_n == 1 != given:
            deprecation.warn_deprecated("TKM320" if len(args) > 2 else "TKM321")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        given, own = self.reduction_n, self.specs.reduction_n
        if given is not None and given != own:
            if own != 1:
                raise wrong_value("reduction_n", f"{own}, as specs says, or None", given)
            object.__setattr__(self, "specs", replace(self.specs, reduction_n=given))
        object.__setattr__(self, "reduction_n", self.specs.reduction_n)


EpilogueSpecs = FnSpecs


@dataclass(frozen=True)
class Epilogue:
    """A function applied to each tile of the result as the last thing before it is stored.

    specs: the function.
    fn_arg_values_matmul: values of its `fn_arg_names` where the product stores the result itself.
    fn_arg_values_finalize: the same where a second kernel adds up parts and stores their sum.
    effective_itemsize: bytes of an element as stored, for the choice of tiles alone.
    """

    specs: FnSpecs = field(default_factory=FnSpecs.default)
    fn_arg_values_matmul: tuple[Any, ...] = ()
    fn_arg_values_finalize: tuple[Any, ...] = ()
    effective_itemsize: float | None = None


class _OldFnNames(EnumMeta):
    """The name that a member had, with a warning."""

    def __getattr__(cls, name: str) -> Any:
        if name == "DEQUANTIZE_MXFP8":
            deprecation.warn_deprecated("TKM403")
            return cls["QUANTIZE_MXFP8"]
        raise AttributeError(f"{cls.__name__} has no member {name!r}")


class FnName(Enum, metaclass=_OldFnNames):
    """Functions of the library that name an `FnSpecs`: `FnName.QUANTIZE_MXFP8.name`."""

    QUANTIZE_MXFP8 = 1


@dataclass(frozen=True)
class FusedComm:
    """Where rows of the result go instead of the local result: to the memory of other ranks.

    Row m is stored to row `m * n_reduce_shards + reduce_rank` of the buffers of ranks
    `s * n_reduce_shards` up to `(s + 1) * n_reduce_shards`, with `s = scatter_shard_indx[m]`, or 0
    where no index is given.

    out_handles: int64 [ranks], the address of each rank's buffer.
    scatter_shard_indx: int32 [rows of the result].
    """

    out_handles: torch.Tensor
    scatter_shard_indx: torch.Tensor | None = None
    reduce_rank: int = 0
    n_reduce_shards: int = 1


@dataclass(frozen=True)
class FlexCtx:
    """Scales of 8-bit operands and results; of `acc_data`, the scale of `y_acc_in`."""

    # Functions, for torch.compile looks into those that make defaults, and not into classes.
    lhs_data: InFlexData = field(default_factory=lambda: InFlexData())
    rhs_data: InFlexData = field(default_factory=lambda: InFlexData())
    out_data: OutFlexData = field(default_factory=lambda: OutFlexData())
    acc_data: InFlexData = field(default_factory=lambda: InFlexData())


@dataclass
class PrecisionConfig:
    """With what precision a product is computed and stored.

    max_num_imprecise_acc: most products of 8-bit floats that are summed in less than float32.
    allow_tf32: whether float32 operands may be rounded to tf32.
    flex_ctx: scales of 8-bit tensors.
    acc_scale, report_quantization_err_fn: kept for old callers, and unused.
    flexpoint_saturate_inf: whether results beyond the range of an 8-bit output become its largest.
    act_scale, weight_scale, out_scale: microscales of x, w and the result.
    out_dtype: dtype of the result; that of x if None.
    enforce_bitwise_invariance: whether a row's result may not depend on how many others there are.

    The keywords of upstream 3.7 (a_mx_scale, b_mx_scale, c_mx_scale, b_microblock_size) are taken,
    with a warning.
    """

    max_num_imprecise_acc: int | None = None
    allow_tf32: bool = True
    flex_ctx: FlexCtx = field(default_factory=lambda: FlexCtx())
    acc_scale: float = 1.0
    flexpoint_saturate_inf: bool = False
    report_quantization_err_fn: Any = None
    act_scale: torch.Tensor | Tensor | None = None
    weight_scale: torch.Tensor | Tensor | None = None
    out_scale: torch.Tensor | Tensor | None = None
    out_dtype: torch.dtype | None = None
    enforce_bitwise_invariance: bool = False


def _drops_block_size(init: Callable[..., None]) -> Callable[..., None]:
    """Let `__init__` take the size of a microscaling block, which here always is 32."""

    @functools.wraps(init)
    def call(self: PrecisionConfig, *args: Any, **kwargs: Any) -> None:
        if "b_microblock_size" in kwargs:
            deprecation.warn_deprecated("TKM327")
            if kwargs["b_microblock_size"] != 32:
                raise wrong_value("b_microblock_size", "32", kwargs["b_microblock_size"])
            del kwargs["b_microblock_size"]
        init(self, *args, **kwargs)

    return call


_init = _drops_block_size(PrecisionConfig.__init__)
for _code, _later, _ours in (
    ("TKM326", "b_mx_scale", "weight_scale"),
    ("TKM333", "a_mx_scale", "act_scale"),
    ("TKM334", "c_mx_scale", "out_scale"),
):
    _init = renamed_arguments(_code, **{_later: _ours})(_init)
PrecisionConfig.__init__ = _init  # type: ignore[method-assign]

for _record in (
    Epilogue,
    FlexCtx,
    FnName,
    FusedActivation,
    FusedComm,
    GatherIndx,
    InnerRoutingData,
    PrecisionConfig,
    RoutingData,
    ScatterIndx,
):
    _record.__module__ = _HOME
