"""From the arguments of `matmul_ogs` to a `Product`: everything is refused here, or never.

A mixture-of-experts layer of a small batch takes 60 us on a GPU, so this is written for the call
that is right: it looks at each tensor a few times, makes none that it does not need, and words an
error only when it has one.  Values that live on the device are not looked at.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from triton_kernels.matmul_ogs_details._argument_checks import (
    FLOAT8,
    NO_MICROSCALES,
    OPERANDS,
    check_float8_is_there,
    check_no_overlap,
    check_output_scales,
    check_same_or_apart,
    elsewhere,
    index_vector,
    matrix_bias,
    one_of,
    operand,
    result_tensor,
    row_factors,
    scale_vector,
    summand,
)
from triton_kernels.matmul_ogs_details.product import (
    NO_FUNCTION,
    Function,
    InnerSlices,
    Product,
    Remote,
)
from triton_kernels.matmul_ogs_details.records import (
    Epilogue,
    FlexCtx,
    FusedActivation,
    FusedComm,
    GatherIndx,
    InnerRoutingData,
    PrecisionConfig,
    RoutingData,
    ScatterIndx,
)
from triton_kernels.tensor import Tensor
from triton_kernels.tensor_details.checks import is_int, wrong_type, wrong_value
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

__all__ = ["check"]

_DEFAULT_FLEX = FlexCtx()
_DEFAULT_PRECISION = PrecisionConfig(flex_ctx=_DEFAULT_FLEX)


def check(
    x: torch.Tensor | Tensor,
    w: torch.Tensor | Tensor,
    bias: torch.Tensor | None,
    routing_data: RoutingData | None = None,
    gather_indx: GatherIndx | None = None,
    scatter_indx: ScatterIndx | None = None,
    precision_config: PrecisionConfig | None = None,
    betas: torch.Tensor | None = None,
    gammas: torch.Tensor | None = None,
    out_alpha: float | None = None,
    y: torch.Tensor | None = None,
    fused_comm: FusedComm | None = None,
    fused_activation: FusedActivation | None = None,
    epilogue: Epilogue | None = None,
    y_acc_in: torch.Tensor | None = None,
    inner_routing_data: InnerRoutingData | None = None,
) -> Product:
    """The product that these arguments of `matmul_ogs` describe; ValueError or TypeError if none.

    A result of size 0, and one of no rows, is a product as well, although no kernel takes it.
    """
    precision = _DEFAULT_PRECISION if precision_config is None else _precision(precision_config)
    flex = precision.flex_ctx
    x, w = operand("x", x, flex.lhs_data), operand("w", w, flex.rhs_data)
    device, x_dtype, w_dtype = x.device, x.dtype, w.dtype
    if w.device != device:
        raise elsewhere("w", w, device)
    if x_dtype != w_dtype and not (x_dtype in FLOAT8 and w_dtype in FLOAT8):
        raise wrong_type("w", f"dtype {str(x_dtype).removeprefix('torch.')}, that of x", w)
    has_batches = x.ndim == 3
    if has_batches:
        _check_no_routing(
            "x of 3 dimensions",
            routing_data=routing_data,
            gather_indx=gather_indx,
            scatter_indx=scatter_indx,
            fused_comm=fused_comm,
            inner_routing_data=inner_routing_data,
        )
    elif inner_routing_data is not None:
        _check_no_routing(
            "inner_routing_data",
            routing_data=routing_data,
            gather_indx=gather_indx,
            scatter_indx=scatter_indx,
            fused_comm=fused_comm,
            bias=bias,
            betas=betas,
        )

    rows = _rows_and_matrices(x, w, routing_data, inner_routing_data)
    x, w, slices, inner = rows.x, rows.w, rows.slices, rows.inner
    n_batches, n_rows, _ = x.shape
    n_matrices, _, n_columns = w.shape
    n_result_batches = rows.n_slices if inner is not None else n_batches
    has_batches = has_batches or inner is not None

    gather = scatter_to = scatter_from = None
    if gather_indx is not None:
        gather = _gather(gather_indx, device)
        n_rows = gather.shape[0]
    n_result_rows = n_rows
    if scatter_indx is not None:
        scatter_to, scatter_from = _scatter(scatter_indx, n_rows, rows.n_choices, device)
        n_result_rows = scatter_from.shape[0] // rows.n_choices
    remote = None
    if fused_comm is not None:
        remote = _remote(fused_comm, n_result_rows, device)
        n_result_rows *= remote.n_reduce_shards

    activation = NO_FUNCTION
    n_result_columns = n_columns
    if fused_activation is not None:
        activation = _activation(fused_activation, n_columns)
        n_result_columns = n_columns // activation.specs.reduction_n
    last = NO_FUNCTION
    last_finalize_args: tuple[Any, ...] = ()
    last_itemsize = None
    if epilogue is not None:
        last = _epilogue(epilogue)
        last_finalize_args = epilogue.fn_arg_values_finalize
        last_itemsize = epilogue.effective_itemsize
    if bias is not None:
        bias = matrix_bias(bias, n_matrices, n_columns, device)
    if betas is not None:
        betas = row_factors("betas", betas, n_rows, device)
    if gammas is not None:
        gammas = row_factors("gammas", gammas, n_rows, device)
    if out_alpha is not None and not isinstance(out_alpha, (int, float)):
        raise wrong_type("out_alpha", "a number", out_alpha)

    y_shape = (n_result_batches, n_result_rows, n_result_columns)
    y_dtype, y_flex = precision.out_dtype or x_dtype, flex.out_data
    if y_flex.dtype is not None and y_dtype.itemsize == 1:
        y_dtype = y_flex.dtype
    if y_dtype not in OPERANDS:
        raise wrong_type("precision_config.out_dtype", one_of(OPERANDS), y_dtype)
    if y is not None:
        y = result_tensor(y, y_shape, y_dtype, has_batches, y_flex, device)
        check_no_overlap(y, "x", x)
        check_no_overlap(y, "w", w)
    if y_acc_in is not None:
        if scatter_indx is not None or fused_comm is not None:
            raise wrong_value("y_acc_in", "None with scatter_indx or fused_comm", y_acc_in)
        y_acc_in = summand(y_acc_in, y_shape, has_batches, flex.acc_data, device)
        if y is not None:
            check_same_or_apart(y, y_acc_in)
    x_scale = w_scale = acc_scale = None
    if flex is not _DEFAULT_FLEX:
        n_scales = rows.n_slices if inner is not None else n_matrices
        x_scale = scale_vector("lhs_data.scale", flex.lhs_data.scale, n_batches, device)
        w_scale = scale_vector("rhs_data.scale", flex.rhs_data.scale, n_scales, device)
        acc_scale = scale_vector("acc_data.scale", flex.acc_data.scale, 1, device)
        check_output_scales(y_flex, y_dtype, n_result_batches, device)
    if x_dtype in FLOAT8 or y_dtype in FLOAT8:
        check_float8_is_there(device, x=x_dtype, w=w_dtype, out_dtype=y_dtype)

    return Product(
        x=x,
        w=w,
        bias=bias,
        n_rows=n_rows,
        n_slices=rows.n_slices,
        slices=slices,
        expected_slice_size=rows.expected_slice_size,
        n_choices=rows.n_choices,
        gather=gather,
        scatter_to=scatter_to,
        scatter_from=scatter_from,
        inner=inner,
        betas=betas,
        gammas=gammas,
        alpha=out_alpha,
        y=y,
        y_shape=y_shape,
        y_dtype=y_dtype,
        y_acc_in=y_acc_in,
        acc_scale=acc_scale,
        x_scale=x_scale,
        w_scale=w_scale,
        y_flex=y_flex,
        saturate_inf=precision.flexpoint_saturate_inf,
        activation=activation,
        epilogue=last,
        epilogue_finalize_args=last_finalize_args,
        epilogue_itemsize=last_itemsize,
        remote=remote,
        allow_tf32=precision.allow_tf32,
        max_imprecise_acc=precision.max_num_imprecise_acc,
        bitwise_invariant=precision.enforce_bitwise_invariance,
    )


def _precision(precision: PrecisionConfig) -> PrecisionConfig:
    if not isinstance(precision, PrecisionConfig):
        raise wrong_type("precision_config", "a PrecisionConfig", precision)
    if (
        precision.weight_scale is not None
        or precision.act_scale is not None
        or precision.out_scale is not None
    ):
        for name in ("act_scale", "weight_scale", "out_scale"):
            scale = getattr(precision, name)
            if scale is not None:
                raise wrong_value(f"precision_config.{name}", f"None: {NO_MICROSCALES}", scale)
    return precision


def _check_no_routing(because_of: str, **arguments: object) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise wrong_value(name, f"None with {because_of}", value)


class _Rows(NamedTuple):
    """Which rows of x meet which matrix of w, as `Product` has it."""

    x: torch.Tensor
    w: torch.Tensor
    n_slices: int
    n_choices: int
    expected_slice_size: int | None
    slices: RaggedTensorMetadata | None
    inner: InnerSlices | None


def _rows_and_matrices(
    x: torch.Tensor,
    w: torch.Tensor,
    routing_data: RoutingData | None,
    inner_routing_data: InnerRoutingData | None,
) -> _Rows:
    if x.ndim == 2:
        x = x.unsqueeze(0)
    elif x.ndim != 3:
        raise wrong_value("x", "2 dimensions, or 3 for a batch", x)
    given_w, n_batches = w, x.shape[0]
    if w.ndim == 2:
        w = w.unsqueeze(0)
    elif w.ndim != 3:
        raise wrong_value("w", "2 dimensions, or 3 for several matrices", w)
    n_matrices = w.shape[0]
    if inner_routing_data is not None:
        if n_matrices != 1:
            raise wrong_value("w", "2 dimensions with inner_routing_data", given_w)
        inner = _inner_slices(inner_routing_data, x.device)
        return _Rows(x, w, inner.metadata.n_slices, 1, None, None, inner)
    if w.shape[1] != x.shape[2]:
        raise wrong_value("w", f"matrices of {x.shape[2]} rows, the columns of x", given_w)
    if routing_data is None:
        n_choices, expected_slice_size, slices = 1, None, None
    else:
        if not isinstance(routing_data, RoutingData):
            raise wrong_type("routing_data", "a RoutingData", routing_data)
        n_choices = routing_data.n_expts_act
        if not is_int(n_choices) or n_choices < 1:
            raise wrong_value("routing_data.n_expts_act", "at least 1", n_choices)
        expected_slice_size = routing_data.expected_tokens_per_expt
        slices = routing_data.expt_data
    if slices is None:
        if n_matrices != n_batches:
            expected = f"{n_batches} matrices, as many as x" if n_batches > 1 else "one matrix"
            needed = "" if n_batches > 1 else ", without routing_data.expt_data"
            raise wrong_value("w", expected + needed, given_w)
        n_slices = 1
    else:
        sizes = _slice_sizes("routing_data.expt_data", slices, x.device)
        n_slices = sizes.shape[0]
        # Of remapped slices, only those that w has matrices for are left, in longer tensors.
        if n_matrices != n_slices:
            if n_matrices > n_slices or n_matrices != routing_data.n_expts_tot:  # type: ignore[union-attr]
                raise wrong_value("w", f"{n_slices} matrices, one for each slice", given_w)
            n_slices = n_matrices
    return _Rows(x, w, n_slices, n_choices, expected_slice_size, slices, None)


def _slice_sizes(name: str, metadata: RaggedTensorMetadata, device: torch.device) -> torch.Tensor:
    if not isinstance(metadata, RaggedTensorMetadata):
        raise wrong_type(name, "a RaggedTensorMetadata", metadata)
    sizes = metadata.batch_sizes
    if sizes is None or metadata.batch_offs is None:
        raise wrong_value(name, "sizes and offsets", sizes)
    if sizes.device != device:
        raise elsewhere(name, sizes, device)
    return sizes


def _inner_slices(data: InnerRoutingData, device: torch.device) -> InnerSlices:
    name = "inner_routing_data"
    if not isinstance(data, InnerRoutingData):
        raise wrong_type(name, "an InnerRoutingData", data)
    if not isinstance(data.base, RoutingData):
        raise wrong_type(f"{name}.base", "a RoutingData", data.base)
    metadata = data.base.expt_data
    if metadata is None:
        raise wrong_value(f"{name}.base.expt_data", "the sizes of the slices", metadata)
    _slice_sizes(f"{name}.base.expt_data", metadata, device)
    block_sizes = RaggedTensorMetadata.block_sizes()
    if data.block_k not in block_sizes:
        raise wrong_value(f"{name}.block_k", f"one of {block_sizes}", data.block_k)
    if not (data.x_is_padded or data.w_is_padded):
        raise wrong_value(name, "x_is_padded or w_is_padded", data)
    return InnerSlices(metadata, data.block_k, data.x_is_padded, data.w_is_padded)


def _gather(given: GatherIndx, device: torch.device) -> torch.Tensor:
    if not isinstance(given, GatherIndx):
        raise wrong_type("gather_indx", "a GatherIndx", given)
    return index_vector("gather_indx.src_indx", given.src_indx, device)


def _scatter(
    given: ScatterIndx, n_rows: int, n_choices: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """(slot of each row, row of each slot)."""
    if not isinstance(given, ScatterIndx):
        raise wrong_type("scatter_indx", "a ScatterIndx", given)
    slot_of = index_vector("scatter_indx.dst_indx", given.dst_indx, device)
    if slot_of.shape[0] != n_rows:
        raise wrong_value("scatter_indx.dst_indx", f"{n_rows} elements, one a row", slot_of)
    row_of = index_vector("scatter_indx.src_indx", given.src_indx, device)
    if row_of.shape[0] % n_choices:
        expected = f"a multiple of n_expts_act = {n_choices} elements"
        raise wrong_value("scatter_indx.src_indx", expected, row_of)
    return slot_of, row_of


def _remote(given: FusedComm, n_rows: int, device: torch.device) -> Remote:
    if not isinstance(given, FusedComm):
        raise wrong_type("fused_comm", "a FusedComm", given)
    handles, shard_indx = given.out_handles, given.scatter_shard_indx
    if not isinstance(handles, torch.Tensor) or handles.dtype not in (torch.int64, torch.uint64):
        raise wrong_type("fused_comm.out_handles", "a tensor of 64-bit addresses", handles)
    if handles.ndim != 1 or not handles.is_contiguous():
        raise wrong_value("fused_comm.out_handles", "1 dimension, contiguous", handles)
    if handles.device != device:
        raise elsewhere("fused_comm.out_handles", handles, device)
    n_shards, rank = given.n_reduce_shards, given.reduce_rank
    if not is_int(n_shards) or not 1 <= n_shards <= handles.shape[0]:
        expected = f"1 to {handles.shape[0]}, for as many handles"
        raise wrong_value("fused_comm.n_reduce_shards", expected, n_shards)
    if not is_int(rank) or not 0 <= rank < n_shards:
        raise wrong_value("fused_comm.reduce_rank", f"0 to {n_shards - 1}", rank)
    if shard_indx is not None:
        shard_indx = index_vector("fused_comm.scatter_shard_indx", shard_indx, device)
        if shard_indx.shape[0] != n_rows:
            expected = f"{n_rows} elements, one a row of the result"
            raise wrong_value("fused_comm.scatter_shard_indx", expected, shard_indx)
    return Remote(handles, shard_indx, rank, n_shards)


def _activation(given: FusedActivation, n_columns: int) -> Function:
    if not isinstance(given, FusedActivation):
        raise wrong_type("fused_activation", "a FusedActivation", given)
    specs = given.specs
    if n_columns % specs.reduction_n:
        raise wrong_value(
            "w", f"a multiple of reduction_n = {specs.reduction_n} columns", n_columns
        )
    return Function(specs, tuple(given.fn_args))


def _epilogue(given: Epilogue) -> Function:
    if not isinstance(given, Epilogue):
        raise wrong_type("epilogue", "an Epilogue", given)
    if given.specs.reduction_n != 1:
        raise wrong_value("epilogue.specs.reduction_n", "1", given.specs.reduction_n)
    return Function(given.specs, tuple(given.fn_arg_values_matmul))
