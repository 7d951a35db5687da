"""Products of a mixture of experts: gather rows, multiply each by its expert's matrix, scatter."""

from __future__ import annotations

from typing import Any

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels import deprecation, dispatch, target_info
from triton_kernels.matmul_ogs_details import _autograd, _reference
from triton_kernels.matmul_ogs_details._argument_checks import result_tensor
from triton_kernels.matmul_ogs_details._checks import check
from triton_kernels.matmul_ogs_details._compute import compute
from triton_kernels.matmul_ogs_details.allocation import (
    MatmulAllocation,
    apply_allocation,
    can_overflow_int32,
    init_allocation,
    should_upcast_indices,
)
from triton_kernels.matmul_ogs_details.communication import post_matmul_comm_torch
from triton_kernels.matmul_ogs_details.kernels import get_kernels, get_swap_xw
from triton_kernels.matmul_ogs_details.opt_flags import (
    InapplicableConstraint,
    make_opt_flags,
    opt_flags_constraints,
    update_opt_flags_constraints,
)
from triton_kernels.matmul_ogs_details.product import Function
from triton_kernels.matmul_ogs_details.records import (
    Epilogue,
    EpilogueSpecs,
    FlexCtx,
    FnName,
    FusedActivation,
    FusedComm,
    GatherIndx,
    InnerRoutingData,
    PrecisionConfig,
    RoutingData,
    ScatterIndx,
)
from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.old_arguments import another_function
from triton_kernels.specialize import FnSpecs, specialize
from triton_kernels.target_info import is_cuda
from triton_kernels.tensor import (
    FP4,
    RaggedTensorMetadata,
    Storage,
    StridedLayout,
    Tensor,
    bitwidth,
    wrap_torch_tensor,
)
from triton_kernels.tensor_details.checks import is_int, wrong_type, wrong_value

__all__ = [
    "FP4",
    "MXFP_BLOCK_SIZE",
    "Epilogue",
    "EpilogueSpecs",
    "FlexCtx",
    "FnName",
    "FnSpecs",
    "FusedActivation",
    "FusedComm",
    "GatherIndx",
    "InFlexData",
    "InapplicableConstraint",
    "InnerRoutingData",
    "MatmulAllocation",
    "OutFlexData",
    "PrecisionConfig",
    "RaggedTensorMetadata",
    "RoutingData",
    "ScatterIndx",
    "Storage",
    "StridedLayout",
    "Tensor",
    "apply_allocation",
    "bitwidth",
    "can_overflow_int32",
    "get_kernels",
    "get_swap_xw",
    "init_allocation",
    "is_cuda",
    "make_opt_flags",
    "matmul_ogs",
    "matmul_ogs_set_idle_sms",
    "matmul_ogs_torch",
    "opt_flags_constraints",
    "post_matmul_comm_torch",
    "reduce_grouped",
    "should_upcast_indices",
    "specialize",
    "target_info",
    "update_opt_flags_constraints",
    "wrap_torch_tensor",
]

MXFP_BLOCK_SIZE = 32
"""Elements that share a microscale (OCP Microscaling Formats 1.0)."""


def _was_called_before_fused_comm(args: tuple[Any, ...], _: dict[str, Any]) -> bool:
    """Whether the twelfth argument is an activation, or the thirteenth an epilogue."""
    return len(args) > 11 and (
        isinstance(args[11], FusedActivation) or (len(args) > 12 and isinstance(args[12], Epilogue))
    )


@another_function("TKM322", f"{__name__}._matmul_ogs_of_3_5", _was_called_before_fused_comm)
def matmul_ogs(
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
) -> torch.Tensor:
    """Each row of x times the matrix of w that it belongs to, and what is fused with that.

        y[i] = gamma[i] * activation(alpha * (x[i] @ w[e] + beta[i] * bias[e]))

    with E experts, T tokens, k choices and N' = N / `reduction_n` of the activation:

    ==============  ===============  =========  ======  =======================================
    mode            x                w          bias    result
    ==============  ===============  =========  ======  =======================================
    plain           [M, K]           [K, N]     [N]     [M, N']
    batched         [B, M, K]        [B, K, N]  [B, N]  [B, M, N']
    ragged          [M, K]           [E, K, N]  [E, N]  [M, N'], rows by expert
    with gather     [T, K]           [E, K, N]  [E, N]  [N slots, N'], rows by expert
    with scatter    as above         [E, K, N]  [E, N]  [T, N'], sums over the k slots of a row
    inner ragged    [M, K]           [K_W, N]   none    [E, M, N'], see `InnerRoutingData`
    ==============  ===============  =========  ======  =======================================

    x, w: float32, bfloat16, float16 or 8-bit floats, both the same (8-bit ones may differ), of any
        strides; a `Tensor` with a `StridedLayout` is taken as what it stores.
    bias, betas, gammas: float32, bfloat16 or float16; factors by row, in the order of experts.
    routing_data: ragged where its `expt_data` is given; rows that no slice has are not computed,
        and what the result holds there is undefined.  Else its `n_expts_act` counts for the
        indices alone.
    gather_indx: row i is token `src_indx[i] // k`; a negative one is a row of zeros.
    scatter_indx: row i goes to slot `dst_indx[i]`, and slot s comes from row `src_indx[s]`;
        negative for neither.  A token without slots is a row of zeros.
    precision_config: the dtype of the result (that of x, if it does not say), scales of 8-bit
        tensors, and how exact the sums are.
    out_alpha: factor before the activation.  gammas come after it.
    y: where the result goes, of any strides; not in memory of x or w.
    fused_comm: send rows of the result to other ranks; then what is returned means nothing.
    epilogue: applied last, to the scaled result.
    y_acc_in: added, times the scale of `acc_data`, to the rows before they are scaled for output;
        of the shape of the result, and may be y.  Not with scatter_indx.

    Sums are in float32.  Where the result is empty nothing is computed; with K = 0 the product
    is 0.

    Differentiable once, with respect to x, w, bias, betas, gammas and y_acc_in of 16 bits or more.
    That of x reads `gather_indx.dst_indx`.  That of an activation takes a reference
    (`reference_functions`) and arguments that are numbers; it is taken of rows that are kept, and
    so rounded once more, in the wider of the dtypes of x and the result.  What has no gradient is
    an error where one is needed: y, fused_comm, epilogue, inner_routing_data, scales, 8 bits.

    Raises ValueError or TypeError, which name the argument, before anything is launched.
    """
    data = x.data if isinstance(x, Tensor) else x
    is_traced = isinstance(data, torch.Tensor) and dispatch.is_traced(data)
    product = check(
        x,
        w,
        bias,
        routing_data,
        gather_indx,
        scatter_indx,
        precision_config,
        betas,
        gammas,
        out_alpha,
        None if is_traced else y,  # since it is compared by its address
        fused_comm,
        fused_activation,
        epilogue,
        y_acc_in,
        inner_routing_data,
    )
    has_batches = x.ndim == 3 or inner_routing_data is not None
    if is_traced:
        if y is not None:
            shape, dtype, device = product.y_shape, product.y_dtype, product.x.device
            product.y = result_tensor(y, shape, dtype, has_batches, product.y_flex, device)
        result = _autograd.trace(product, gather_indx)
    elif _autograd.needs_gradient(product):
        result = _autograd.compute_differentiably(product, gather_indx)
    else:
        result = compute(product)
    return result if has_batches else result.squeeze(0)


def _matmul_ogs_of_3_5(
    x: torch.Tensor,
    w: torch.Tensor,
    bias: torch.Tensor | None,
    routing_data: RoutingData | None = None,
    gather_indx: GatherIndx | None = None,
    scatter_indx: ScatterIndx | None = None,
    precision_config: PrecisionConfig | None = None,
    betas: torch.Tensor | None = None,
    gammas: torch.Tensor | None = None,
    out_alpha: float | None = None,
    y: torch.Tensor | None = None,
    *later: Any,
    **keywords: Any,
) -> torch.Tensor:
    """`matmul_ogs` with the arguments of release 3.5, which had no `fused_comm`."""
    return matmul_ogs(
        x,
        w,
        bias,
        routing_data,
        gather_indx,
        scatter_indx,
        precision_config,
        betas,
        gammas,
        out_alpha,
        y,
        None,
        *later,
        **keywords,
    )


def matmul_ogs_torch(
    x: torch.Tensor,
    w: torch.Tensor,
    bias: torch.Tensor | None,
    routing_data: RoutingData | None = None,
    gather_indx: GatherIndx | None = None,
    scatter_indx: ScatterIndx | None = None,
    precision_config: PrecisionConfig | None = None,
    betas: torch.Tensor | None = None,
    gammas: torch.Tensor | None = None,
    inner_routing_data: InnerRoutingData | None = None,
    round_x: _reference.RoundX | None = None,
    round_y: _reference.RoundY | None = None,
) -> torch.Tensor:
    """`matmul_ogs` in plain torch, on any device, as a float32 result that nothing has rounded.

    precision_config: taken and ignored.
    round_x: (rows of x, int64 rows of the product that they make) -> the rows as they are to be
        multiplied; called for each expert.
    round_y: float32 rows of the product -> the rows as they are to be added up by `scatter_indx`,
        or returned.

    Differentiable.  Raises as `matmul_ogs`.
    """
    product = check(
        x,
        w,
        bias,
        routing_data,
        gather_indx,
        scatter_indx,
        None,
        betas,
        gammas,
        inner_routing_data=inner_routing_data,
    )
    if 0 in product.y_shape:
        result = torch.zeros(product.y_shape, device=product.x.device)
    else:
        result = _reference.float_rows(product, round_x, round_y)
    return result if x.ndim == 3 or inner_routing_data is not None else result.squeeze(0)


def matmul_ogs_set_idle_sms(num_idle_sms: int) -> None:
    """Leave so many multiprocessors of the GPU to others, from now on and in every thread.

    Holds for persistent kernels, until `reset_opt_flags_constraints`; `opt_flags_constraints`
    does the same for a block of code.
    """
    if not is_int(num_idle_sms):
        raise wrong_type("num_idle_sms", "an int", num_idle_sms)
    update_opt_flags_constraints({"idle_sms": num_idle_sms})


def reduce_grouped(
    x: torch.Tensor,
    indx: torch.Tensor | None,
    out: torch.Tensor | None,
    out_mx_scale: torch.Tensor | None,
    fused_activation: FusedActivation,
    epilogue: Epilogue,
    x_flex: InFlexData | None = None,
    out_flex: OutFlexData | None = None,
    x_mx_scale: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
    flexpoint_saturate_inf: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Sums of groups of rows, each row the sum of its splits and activated by itself.

    x: [splits, B, M, N].
    indx: int32 [groups, k], the rows of each group, negative for none; B is 1 then.  Without it
        each row is a group, and one split alone is returned as it is.
    out: [B, groups, N / reduction_n], any strides; else it is allocated, in `out_dtype` or the
        dtype of x.  A group without rows is zeros.

    Returns (out, None): microscales, of x or of the output, are not supported yet.
    """
    for name, scale in (("out_mx_scale", out_mx_scale), ("x_mx_scale", x_mx_scale)):
        if scale is not None:
            raise wrong_value(name, "None: microscaled operands are not supported yet", scale)
    if not isinstance(x, torch.Tensor):
        raise wrong_type("x", "a torch.Tensor", x)
    if x.ndim != 4:
        raise wrong_value("x", "4 dimensions: splits, batches, rows, columns", x)
    n_splits, n_batches, n_groups, n_columns = x.shape
    if indx is None and n_splits == 1:
        return x.squeeze(0), None
    reduction_n = fused_activation.specs.reduction_n
    if n_columns % reduction_n:
        raise wrong_value("x", f"a multiple of {reduction_n} columns (reduction_n)", x)
    if indx is not None:
        if not isinstance(indx, torch.Tensor) or indx.dtype != torch.int32:
            raise wrong_type("indx", "an int32 tensor", indx)
        if indx.ndim != 2 or n_batches != 1 or indx.device != x.device:
            raise wrong_value("indx", f"2 dimensions, with one batch, on {x.device}", indx)
        n_groups = indx.shape[0]
    shape = (n_batches, n_groups, n_columns // reduction_n)
    if out is not None:
        if not isinstance(out, torch.Tensor):
            raise wrong_type("out", "a torch.Tensor", out)
        out = out.unsqueeze(0) if out.ndim == 2 else out
        if out.shape != shape or out.device != x.device:
            raise wrong_value("out", f"shape {list(shape)} on {x.device}", out)
    run = dispatch.choose(
        x.device,
        reference=_reference.sum_groups,
        kernel="triton_kernels.matmul_ogs_details._launch.sum_groups",
    )
    result = run(
        x if x_flex is None else x_flex.reinterpret(x),
        indx,
        out=out,
        out_dtype=out_dtype,
        activation=Function(fused_activation.specs, fused_activation.fn_args),
        epilogue=Function(epilogue.specs, epilogue.fn_arg_values_finalize),
        x_scale=None if x_flex is None else x_flex.scale,
        y_flex=out_flex,
        saturate_inf=flexpoint_saturate_inf,
    )
    return result, None


def __getattr__(name: str) -> Any:
    return deprecation.old_attribute(__name__, name)
