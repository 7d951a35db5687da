"""`matmul_ogs` in plain torch, on any device: what it means, and the oracle of its kernels.

Products of 8- and 16-bit operands are exact in float32, in which they are added up.  The sizes of
slices are read from the device, so on a GPU this waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from triton_kernels.matmul_ogs_details.product import NO_FUNCTION, Function, InnerSlices, Product
from triton_kernels.numerics import OutFlexData
from triton_kernels.numerics_details.reference import LARGEST, scale_in, scale_out, stored
from triton_kernels.reference_functions import reference_of
from triton_kernels.tensor_details.checks import wrong_value
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

__all__ = ["RoundX", "RoundY", "float_rows", "multiply", "sum_groups"]

RoundX: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(rows of x [M, K], int64 [M] rows of the product) -> the rows as they are multiplied."""

RoundY: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""float32 rows of the product, activated -> the rows as they are added up or stored."""

_NO_FLEX = OutFlexData()


@torch.no_grad()
def multiply(product: Product) -> torch.Tensor:
    """The result, of `y_shape` and `y_dtype`, in `product.y` if that is given."""
    if product.remote is not None:
        raise wrong_value(
            "fused_comm", "None, since only kernels store to other ranks", product.x.device
        )
    rows = float_rows(product)
    if product.y_acc_in is not None:
        rows = rows + scale_in(product.y_acc_in, product.acc_scale)
    sums_choices = product.scatter_from is not None and product.n_choices > 1
    last_args = product.epilogue_finalize_args if sums_choices else product.epilogue.args
    last = Function(product.epilogue.specs, last_args)
    result = _as_stored(rows, product.y_flex, product.y_dtype, product.saturate_inf, last)
    y = product.y
    if y is None:
        return result
    if product.slices is None or product.scatter_from is not None:
        return y.copy_(result)
    matrix_of_row = _matrix_of_row(product.slices, product.n_slices, product.n_rows)
    return y.copy_(torch.where((matrix_of_row >= 0)[:, None], result, y))


def float_rows(
    product: Product, round_x: RoundX | None = None, round_y: RoundY | None = None
) -> torch.Tensor:
    """float32, of `y_shape`: the result before anything is added to it, scaled or stored.

    Rows of no slice are 0.  With the default of `round_x` and `round_y`, nothing is rounded.
    """
    rows = _activated_rows(product, round_x or (lambda x, _: x))
    if round_y is not None:
        rows = round_y(rows).float()
    if product.scatter_from is None:
        return rows
    groups = product.scatter_from.view(-1, product.n_choices)
    return _sums(rows.squeeze(0), groups).unsqueeze(0)


def _activated_rows(product: Product, round_x: RoundX) -> torch.Tensor:
    """float32 [B or E, M, N / reduction_n], in the order of the product."""
    bias, w_scale, gammas = product.bias, product.w_scale, product.gammas
    if product.inner is not None:
        rows = _inner_products(product, product.inner, round_x)
        matrix_of_row = torch.arange(len(rows), device=rows.device)[:, None]
    elif product.slices is not None:
        index = _matrix_of_row(product.slices, product.n_slices, product.n_rows)
        rows = _ragged_products(product, product.slices, round_x)
        is_nowhere = (index < 0)[None, :, None]
        matrix_of_row = index.clamp(min=0)[None, :]
    else:
        rows = round_x(_gathered(product), _positions(product)).float() @ product.w.float()
        matrix_of_row = torch.arange(len(rows), device=rows.device)[:, None]
    if product.x_scale is not None:
        rows = scale_in(rows, product.x_scale)
    if w_scale is not None:
        rows = rows * (w_scale if len(w_scale) == 1 else w_scale[matrix_of_row].unsqueeze(2))
    if bias is not None:
        added = bias.float()[matrix_of_row]
        if product.betas is not None:
            added = added * product.betas.float()[:, None]
        rows = rows + added
    if product.alpha is not None:
        rows = rows * product.alpha
    rows = _apply(product.activation, rows)
    if gammas is not None:
        rows = rows * gammas.float()[:, None]
    return torch.where(is_nowhere, 0, rows) if product.slices is not None else rows


def _apply(function: Function, rows: torch.Tensor) -> torch.Tensor:
    return reference_of(function.specs)(rows, *function.args)


def _gathered(product: Product) -> torch.Tensor:
    """x by rows of the product: [B, M, K]; zeros for a negative slot."""
    if product.gather is None:
        return product.x
    slot = product.gather.long()
    if product.x.shape[1] == 0:
        return product.x.new_zeros((1, len(slot), product.inner_size))
    row = slot.clamp(min=0) // product.n_choices
    found = product.x[:, row]
    return torch.where((slot >= 0)[:, None], found.float(), 0).to(found.dtype)


def _positions(product: Product) -> torch.Tensor:
    return torch.arange(product.n_rows, device=product.x.device)


def _matrix_of_row(metadata: RaggedTensorMetadata, n_slices: int, n_rows: int) -> torch.Tensor:
    """int64 [n_rows]: the slice that each row belongs to, or -1."""
    position = torch.arange(n_rows, device=metadata.batch_sizes.device)[:, None]
    start = metadata.batch_offs[:n_slices]
    belongs = (position >= start) & (position < start + metadata.batch_sizes[:n_slices])
    slice_number = torch.arange(n_slices, device=position.device)
    return torch.where(belongs, slice_number, -1).amax(1)


def _ragged_products(
    product: Product, metadata: RaggedTensorMetadata, round_x: RoundX
) -> torch.Tensor:
    """float32 [1, M, N]: each slice of rows, times its matrix."""
    x, position = _gathered(product)[0], _positions(product)
    rows = x.new_zeros((product.n_rows, product.n_columns), dtype=torch.float32)
    starts, sizes = metadata.batch_offs.tolist(), metadata.batch_sizes.tolist()
    for i in range(product.n_slices):
        if sizes[i] > 0:
            part = slice(starts[i], starts[i] + sizes[i])
            rows[part] = round_x(x[part], position[part]).float() @ product.w[i].float()
    return rows.unsqueeze(0)


def _inner_products(product: Product, inner: InnerSlices, round_x: RoundX) -> torch.Tensor:
    """float32 [E, M, N]: each group of columns of x, times its rows of w."""
    x, w, block_k = product.x[0], product.w[0], inner.block_k
    x = round_x(x, _positions(product))
    starts, sizes = inner.metadata.batch_offs.tolist(), inner.metadata.batch_sizes.tolist()
    blocks = inner.metadata.block_offs(block_k).tolist()
    matrices = []
    for i, size in enumerate(sizes):
        x_start = blocks[i] * block_k if inner.x_is_padded else starts[i]
        w_start = blocks[i] * block_k if inner.w_is_padded else starts[i]
        columns = x[:, x_start : x_start + size]
        matrices.append(columns.float() @ w[w_start : w_start + size].float())
    return torch.stack(matrices)


def _sums(rows: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """[groups, N]: sums of the rows [M, N] that int32 [groups, k] names; a negative one is none."""
    n_groups, n_choices = groups.shape
    if rows.shape[0] == 0:
        return rows.new_zeros((n_groups, rows.shape[1]))
    row = groups.reshape(-1).long()
    terms = torch.where((row >= 0)[:, None], rows[row.clamp(min=0)], 0)
    return terms.view(n_groups, n_choices, -1).sum(1)


def _as_stored(
    rows: torch.Tensor, flex: OutFlexData, dtype: torch.dtype, saturate_inf: bool, last: Function
) -> torch.Tensor:
    """Float32 rows scaled, through the last function, in `dtype`."""
    if last.specs.fn is None:
        return scale_out(rows, flex, dtype, saturate_inf)
    scale_out(rows, flex, dtype, saturate_inf)  # for the scales that it notes
    if flex.expected_scale is not None:
        rows = scale_out(
            rows, OutFlexData(expected_scale=flex.expected_scale), torch.float32, False
        )
        if saturate_inf:
            rows = rows.clamp(-LARGEST[dtype], LARGEST[dtype])
    return stored(_apply(last, rows), dtype)


@torch.no_grad()
def sum_groups(
    x: torch.Tensor,
    indx: torch.Tensor | None,
    *,
    out: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
    activation: Function = NO_FUNCTION,
    epilogue: Function = NO_FUNCTION,
    x_scale: torch.Tensor | None = None,
    y_flex: OutFlexData | None = None,
    saturate_inf: bool = False,
) -> torch.Tensor:
    """Sums of groups of rows, each the sum of its splits and activated by itself.

    x: [splits, B, M, N].
    indx: int32 [groups, k], the rows of each group, negative for none; B is 1 then.  None: each
        row is a group.
    out: [B, groups, N / reduction_n]; else it is allocated, in `out_dtype` or the type of x.
    x_scale: float32 [1], factor of x.  y_flex, saturate_inf: as the result is stored.
    """
    rows = _apply(activation, scale_in(x, x_scale).sum(0))
    if indx is not None:
        rows = _sums(rows.squeeze(0), indx).unsqueeze(0)
    dtype = out.dtype if out is not None else out_dtype or x.dtype
    result = _as_stored(rows, y_flex or _NO_FLEX, dtype, saturate_inf, epilogue)
    return result if out is None else out.copy_(result)
