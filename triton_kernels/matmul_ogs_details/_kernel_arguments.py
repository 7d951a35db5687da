"""What the kernels of a product are given besides x, w and y: tensors, strides and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from triton_kernels.matmul_ogs_details._common import Ending, Linear, Remote
from triton_kernels.matmul_ogs_details._matmul_ogs import Rows
from triton_kernels.numerics import OutFlexData
from triton_kernels.numerics_details.flexpoint import float_to_flex
from triton_kernels.target_info import is_hip_cdna4

if TYPE_CHECKING:
    from triton_kernels.matmul_ogs_details.opt_flags import OptFlags
    from triton_kernels.matmul_ogs_details.product import Product

NO_LINEAR = Linear()
NO_ENDING = Ending()
IN_PLACE = Rows(None, None, None)

_INT32_MAX = 2**31 - 1


class Stores(NamedTuple):
    """Where the kernel of a product stores, and what is left for the finalising pass.

    y: [B, rows, N'], the result.
    rows: [split_k, B, M, N or N'], what the product's kernel stores; None: the result itself.
    scatters: whether it stores rows where `scatter_to` says, and zeros where nothing goes.
    """

    y: torch.Tensor
    rows: torch.Tensor | None
    scatters: bool

    def target(self) -> tuple[torch.Tensor, tuple[int, ...]]:
        """What the product's kernel stores to, and its strides by split, matrix, row, column."""
        if self.rows is None:
            return self.y, (0, *self.y.stride())
        return self.rows, self.rows.stride()


def constants_of(product: Product, flags: OptFlags, stores: Stores) -> dict[str, Any]:
    """The constants that both kernels of the product have."""
    activation, imprecise = product.activation.specs, product.max_imprecise_acc
    return {
        "N_CHOICES": product.n_choices,
        "INT64": needs_int64(product, flags, stores.target()[0]),
        "ACTIVATION": activation.fn,
        "REDUCTION_N": activation.reduction_n,
        "EPILOGUE": product.epilogue.specs.fn if stores.rows is None else None,
        "SATURATE": product.saturate_inf,
        # gfx950 has no tf32, and refuses it for 16 bits as well.
        "PRECISION": "tf32" if product.allow_tf32 and not is_hip_cdna4() else "ieee",
        "MAX_IMPRECISE": None if imprecise is None else min(imprecise, flags.block_k),
        "BLOCK_M": flags.block_m,
        "BLOCK_N": flags.block_n,
        "BLOCK_K": flags.block_k,
        "GROUP_M": flags.group_m,
        "SPLIT_K": flags.split_k,
        "SUBTILES": flags.epilogue_subtile or 1,
    }


def linear_of(product: Product) -> Linear:
    """What a kernel does to accumulators before the activation."""
    x_scale, w_scale, bias = product.x_scale, product.w_scale, product.bias
    if x_scale is None and w_scale is None and bias is None and product.alpha is None:
        return NO_LINEAR
    bias_stride_e = bias_stride_n = None
    if bias is not None:
        bias_stride_e, bias_stride_n = bias.stride() if bias.shape[0] > 1 else (0, bias.stride(1))
    return Linear(
        x_scale,
        _scale_stride(x_scale),
        w_scale,
        _scale_stride(w_scale),
        bias,
        bias_stride_e,
        bias_stride_n,
        product.betas if bias is not None else None,
        None if product.alpha is None else float(product.alpha),
    )


def ending_of(product: Product) -> Ending:
    """What the kernel that stores the result does to activated rows."""
    return ending_with(product.y_flex, product.y_acc_in, product.acc_scale)


def ending_with(
    y_flex: OutFlexData | None, y_acc: torch.Tensor | None, acc_scale: torch.Tensor | None
) -> Ending:
    """`ending_of`, by its parts."""
    expected = actual = checksum = None
    if y_flex is not None:
        expected, actual, checksum = y_flex
    is_scaled = expected is not None or actual is not None or checksum is not None
    if y_acc is None and not is_scaled:
        return NO_ENDING
    stride_b, stride_m, stride_n = (None, None, None) if y_acc is None else y_acc.stride()
    return Ending(
        y_acc,
        stride_b,
        stride_m,
        stride_n,
        acc_scale,
        expected,
        _scale_stride(expected),
        actual,
        _scale_stride(actual),
        checksum,
        _scale_stride(checksum),
        float_to_flex if is_scaled else None,
    )


def remote_of(product: Product, y: torch.Tensor) -> Remote | None:
    """Where the kernel that stores the result sends it; buffers are laid out like y."""
    remote = product.remote
    if remote is None:
        return None
    return Remote(remote.handles, remote.shard_indx, remote.reduce_rank, *y.stride()[1:])


def _scale_stride(scale: torch.Tensor | None) -> int | None:
    if scale is None:
        return None
    return 0 if scale.shape[0] == 1 else scale.stride(0)


def needs_int64(product: Product, flags: OptFlags, y: torch.Tensor) -> bool:
    """Whether offsets within one matrix of x, w or y go beyond int32, masked ones included.

    Which matrix it is, is counted in 64 bits in any case.
    """
    x, w = product.x, product.w
    m, n, k = flags.block_m, flags.block_n, flags.block_k * flags.split_k
    return (
        _last_offset(x, -2, x.shape[-2] + m, -1, x.shape[-1] + k) > _INT32_MAX
        or _last_offset(w, -2, w.shape[-2] + k, -1, w.shape[-1] + n) > _INT32_MAX
        or _last_offset(y, -2, y.shape[-2] + m, -1, y.shape[-1] + n) > _INT32_MAX
    )


def _last_offset(matrix: torch.Tensor, row: int, n_rows: int, column: int, n_columns: int) -> int:
    return n_rows * matrix.stride(row) + n_columns * matrix.stride(column)
