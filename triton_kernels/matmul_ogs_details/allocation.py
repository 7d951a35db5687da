"""What memory a product needs, as upstream's planning functions say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from triton_kernels.matmul_ogs_details._checks import check
from triton_kernels.matmul_ogs_details.opt_flags import OptFlags
from triton_kernels.matmul_ogs_details.records import (
    FusedActivation,
    GatherIndx,
    InnerRoutingData,
    PrecisionConfig,
    RoutingData,
    ScatterIndx,
)
from triton_kernels.tensor import Storage, Tensor
from triton_kernels.tensor_details.checks import wrong_value

__all__ = [
    "MatmulAllocation",
    "apply_allocation",
    "can_overflow_int32",
    "init_allocation",
    "should_upcast_indices",
]

Memory: TypeAlias = tuple[tuple[int, ...], torch.dtype]
"""Shape and dtype."""

_INT32_MAX = 2**31 - 1


@dataclass
class MatmulAllocation:
    """Memory that a product needs.

    output: [B, rows of the result, N / reduction_n], and its dtype.
    scratchpads: what is needed while it is computed, by name.  "matmul": [split_k, B, M, N], rows
        that a second launch adds up.
    """

    device: torch.device
    output: Memory
    scratchpads: dict[str, Memory] = field(default_factory=dict)


def init_allocation(
    x: torch.Tensor | Tensor,
    w: torch.Tensor | Tensor,
    precision_config: PrecisionConfig | None,
    fused_activation: FusedActivation | None,
    routing_data: RoutingData | None,
    gather_indx: GatherIndx | None,
    scatter_indx: ScatterIndx | None,
    inner_routing_data: InnerRoutingData | None,
    n_reduce_shards: int,
    opt_flags: OptFlags,
) -> MatmulAllocation:
    """The memory of the product that these arguments of `matmul_ogs` describe.

    n_reduce_shards: ranks from which a buffer receives rows (`FusedComm`); 1 without others.
    Raises as `matmul_ogs`.
    """
    product = check(
        x,
        w,
        None,
        routing_data,
        gather_indx,
        scatter_indx,
        precision_config,
        fused_activation=fused_activation,
        inner_routing_data=inner_routing_data,
    )
    n_batches, n_rows, n_columns = product.y_shape
    output = ((n_batches, n_rows * n_reduce_shards, n_columns), product.y_dtype)
    allocation = MatmulAllocation(product.x.device, output)
    scatters_later = scatter_indx is not None and not opt_flags.fused_scatter
    if opt_flags.split_k > 1 or scatters_later:
        if opt_flags.split_k > 1:
            n_columns = product.n_columns
        shape = (opt_flags.split_k, n_batches, product.n_rows, n_columns)
        dtype = torch.float32 if opt_flags.split_k > 1 else product.y_dtype
        allocation.scratchpads["matmul"] = (shape, dtype)
    return allocation


def apply_allocation(allocation: MatmulAllocation, output: torch.Tensor | None) -> dict[str, Any]:
    """{"output": the result's memory, with 3 dimensions, "scratchpad": the others', by name}.

    output: memory to take for the result; None: it is allocated.
    """
    shape, dtype = allocation.output
    device = allocation.device
    if output is None:
        output = torch.empty(shape, dtype=dtype, device=device)
    elif output.ndim == 2:
        output = output.unsqueeze(0)
    if output.shape != shape:
        raise wrong_value("output", f"shape {list(shape)}", output)
    scratchpads = {
        name: torch.empty(shape, dtype=dtype, device=device)
        for name, (shape, dtype) in allocation.scratchpads.items()
    }
    return {"output": output, "scratchpad": scratchpads}


def can_overflow_int32(tensor: torch.Tensor | Tensor | Storage) -> bool:
    """Whether the offset of an element, counted in elements, goes beyond int32."""
    data = tensor if isinstance(tensor, torch.Tensor) else tensor.data
    extents = zip(data.shape, data.stride(), strict=True)
    return sum((size - 1) * stride for size, stride in extents) > _INT32_MAX


def should_upcast_indices(*tensors: torch.Tensor | Tensor | Storage | None) -> bool:
    """Whether an offset in one of these goes beyond int32."""
    return any(tensor is not None and can_overflow_int32(tensor) for tensor in tensors)
