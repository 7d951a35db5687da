"""A product as tensors and numbers: what an op is given that torch traces, and autograd keeps."""

from __future__ import annotations

from typing import NamedTuple

import torch

from triton_kernels.matmul_ogs_details.product import Function, InnerSlices, Product
from triton_kernels.numbered_functions import number_and_values, numbered_with
from triton_kernels.numerics import OutFlexData
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

__all__ = ["Arguments", "arguments_of", "product_of"]


class Arguments(NamedTuple):
    """The fields of `Product` of these names, in the order of the op's schema, and

    batch_sizes, batch_offs, block_offs, block_schedule: of `slices`, or of `inner.metadata`.
    row_of_slot: int32 [rows of x * k], the inverse of `gather`: for the gradient of x alone.
    activation, epilogue, epilogue_finalize: numbers of functions; the last is the epilogue, too.
    inner_block_k: 0 unless the product is inner-ragged.
    keeps_rows: whether the rows of the product are wanted as they are before the activation.

    Products that store to other ranks are not among those that can be told so.
    """

    x: torch.Tensor
    w: torch.Tensor
    bias: torch.Tensor | None
    betas: torch.Tensor | None
    gammas: torch.Tensor | None
    y_acc_in: torch.Tensor | None
    batch_sizes: torch.Tensor | None
    batch_offs: torch.Tensor | None
    block_offs: torch.Tensor | None
    block_schedule: torch.Tensor | None
    gather: torch.Tensor | None
    row_of_slot: torch.Tensor | None
    scatter_to: torch.Tensor | None
    scatter_from: torch.Tensor | None
    y: torch.Tensor | None
    acc_scale: torch.Tensor | None
    x_scale: torch.Tensor | None
    w_scale: torch.Tensor | None
    expected_scale: torch.Tensor | None
    actual_scale: torch.Tensor | None
    checksum_scale: torch.Tensor | None
    n_slices: int
    expected_slice_size: int | None
    n_choices: int
    alpha: float | None
    y_dtype: torch.dtype
    saturate_inf: bool
    activation: int
    activation_args: list[float]
    epilogue: int
    epilogue_args: list[float]
    epilogue_finalize: int
    epilogue_finalize_args: list[float]
    epilogue_itemsize: float | None
    allow_tf32: bool
    max_imprecise_acc: int | None
    bitwise_invariant: bool
    inner_block_k: int
    x_is_padded: bool
    w_is_padded: bool
    keeps_rows: bool


def arguments_of(product: Product, row_of_slot: torch.Tensor | None, keeps_rows: bool) -> Arguments:
    """The arguments that `product_of` makes the same product of.

    Raises ValueError where an argument of a function is neither a number nor None.
    """
    inner, epilogue = product.inner, product.epilogue.specs
    slices = product.slices if inner is None else inner.metadata
    expected, actual, checksum = product.y_flex.scales
    activation, activation_args = number_and_values(
        product.activation.specs, product.activation.args
    )
    last, last_args = number_and_values(epilogue, product.epilogue.args)
    finalize, finalize_args = number_and_values(epilogue, product.epilogue_finalize_args)
    return Arguments(
        x=product.x,
        w=product.w,
        bias=product.bias,
        betas=product.betas,
        gammas=product.gammas,
        y_acc_in=product.y_acc_in,
        batch_sizes=None if slices is None else slices.batch_sizes,
        batch_offs=None if slices is None else slices.batch_offs,
        block_offs=None if slices is None else slices.block_offs_data,
        block_schedule=None if slices is None else slices.block_schedule_data,
        gather=product.gather,
        row_of_slot=row_of_slot,
        scatter_to=product.scatter_to,
        scatter_from=product.scatter_from,
        y=product.y,
        acc_scale=product.acc_scale,
        x_scale=product.x_scale,
        w_scale=product.w_scale,
        expected_scale=expected,
        actual_scale=actual,
        checksum_scale=checksum,
        n_slices=product.n_slices,
        expected_slice_size=product.expected_slice_size,
        n_choices=product.n_choices,
        alpha=None if product.alpha is None else float(product.alpha),
        y_dtype=product.y_dtype,
        saturate_inf=product.saturate_inf,
        activation=activation,
        activation_args=activation_args,
        epilogue=last,
        epilogue_args=last_args,
        epilogue_finalize=finalize,
        epilogue_finalize_args=finalize_args,
        epilogue_itemsize=product.epilogue_itemsize,
        allow_tf32=product.allow_tf32,
        max_imprecise_acc=product.max_imprecise_acc,
        bitwise_invariant=product.bitwise_invariant,
        inner_block_k=0 if inner is None else inner.block_k,
        x_is_padded=inner is not None and inner.x_is_padded,
        w_is_padded=inner is not None and inner.w_is_padded,
        keeps_rows=keeps_rows,
    )


def product_of(given: Arguments) -> Product:
    """The product that these arguments tell of."""
    slices = inner = None
    if given.batch_sizes is not None:
        slices = RaggedTensorMetadata.of_parts(
            given.batch_sizes,
            given.batch_offs,  # type: ignore[arg-type]  # given where sizes are
            given.block_offs,  # type: ignore[arg-type]
            given.block_schedule,  # type: ignore[arg-type]
        )
    if given.inner_block_k:
        assert slices is not None
        inner = InnerSlices(slices, given.inner_block_k, given.x_is_padded, given.w_is_padded)
        slices = None
    activation = Function(*numbered_with(given.activation, given.activation_args))
    last = Function(*numbered_with(given.epilogue, given.epilogue_args))
    _, finalize_args = numbered_with(given.epilogue_finalize, given.epilogue_finalize_args)
    n_rows = given.x.shape[1] if given.gather is None else given.gather.shape[0]
    n_result_rows = n_rows
    if given.scatter_from is not None:
        n_result_rows = given.scatter_from.shape[0] // given.n_choices
    n_result_columns = given.w.shape[2] // activation.specs.reduction_n
    return Product(
        x=given.x,
        w=given.w,
        bias=given.bias,
        n_rows=n_rows,
        n_slices=given.n_slices,
        slices=slices,
        expected_slice_size=given.expected_slice_size,
        n_choices=given.n_choices,
        gather=given.gather,
        scatter_to=given.scatter_to,
        scatter_from=given.scatter_from,
        inner=inner,
        betas=given.betas,
        gammas=given.gammas,
        alpha=given.alpha,
        y=given.y,
        y_shape=(
            given.x.shape[0] if inner is None else given.n_slices,
            n_result_rows,
            n_result_columns,
        ),
        y_dtype=given.y_dtype,
        y_acc_in=given.y_acc_in,
        acc_scale=given.acc_scale,
        x_scale=given.x_scale,
        w_scale=given.w_scale,
        y_flex=OutFlexData(None, given.expected_scale, given.actual_scale, given.checksum_scale),
        saturate_inf=given.saturate_inf,
        activation=activation,
        epilogue=last,
        epilogue_finalize_args=finalize_args,
        epilogue_itemsize=given.epilogue_itemsize,
        remote=None,
        allow_tf32=given.allow_tf32,
        max_imprecise_acc=given.max_imprecise_acc,
        bitwise_invariant=given.bitwise_invariant,
    )
