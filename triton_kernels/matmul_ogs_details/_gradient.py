"""Gradients of `matmul_ogs`, which are products again.

A row r = gamma * activation(z) of the product, z = alpha * (x @ w[e] + beta * bias[e]), has, with
dr the gradient of the result in the order of the rows,

    dz      = activation'(z) * gamma * dr      dgamma = activation(z) . dr
    dx      = alpha * dz @ w[e]^T              ragged; then back to the tokens, as `scatter_indx` is
    dw[e]   = alpha * x^T @ dz                 over the rows of e: inner-ragged
    dbias[e] = alpha * beta^T @ dz             likewise
    dbeta   = alpha * dz . bias[e]             ragged

Where there is an activation, or gammas have a gradient, z is what `compute_with_rows` kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch

from triton_kernels import dispatch
from triton_kernels.matmul_ogs_details import _reference
from triton_kernels.matmul_ogs_details._compute import compute
from triton_kernels.matmul_ogs_details.product import NO_FUNCTION, Function, InnerSlices, Product
from triton_kernels.reference_functions import reference_of
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

__all__ = ["Needs", "differentiate"]

_FOLDER = "triton_kernels.matmul_ogs_details"
_SWIGLU = "triton_kernels.swiglu_details._swiglu_fn.swiglu_fn"


# Bytes of a row of either operand in a step along the rows that a gradient is summed over.
_STEP_BYTES = 128


class Needs(NamedTuple):
    """Of which arguments a gradient is wanted."""

    x: bool
    w: bool
    bias: bool
    betas: bool
    gammas: bool


@torch.no_grad()
def differentiate(
    product: Product,
    row_of_slot: torch.Tensor | None,
    dy: torch.Tensor,
    rows: torch.Tensor | None,
    needs: Needs,
) -> tuple[torch.Tensor | None, ...]:
    """See `differentiate_purely`."""
    if product.n_rows == 0 or 0 in product.y_shape:
        of = product.x, product.w, product.bias, product.betas, product.gammas
        return tuple(
            torch.zeros_like(tensor, memory_format=torch.contiguous_format)
            if need and tensor is not None
            else None
            for tensor, need in zip(of, needs, strict=True)
        )
    dr = _in_order_of_rows(product, dy, product.scatter_to)
    dz, dgammas = _through_activation(product, dr, rows, needs.gammas)
    dz = dz.to(product.x.dtype).contiguous()
    return (
        _gradient_of_x(product, dz, row_of_slot) if needs.x else None,
        _gradient_of_w(product, dz) if needs.w else None,
        _gradient_of_bias(product, dz) if needs.bias else None,
        _gradient_of_betas(product, dz) if needs.betas else None,
        dgammas,
    )


def _in_order_of_rows(
    product: Product, tokens: torch.Tensor, slot_of_row: torch.Tensor | None
) -> torch.Tensor:
    """[B, M, .]: for each row of the product the token of its slot, 0 for a negative one.

    slot_of_row: None where rows are tokens.
    """
    if slot_of_row is None:
        return tokens
    if tokens.stride(2) != 1:
        tokens = tokens.contiguous()
    run = dispatch.choose(
        tokens.device, reference=_reference._gathered, kernel=f"{_FOLDER}._p_launch.gather_rows"
    )
    return run(replace(product, x=tokens, gather=slot_of_row))


def _through_activation(
    product: Product, dr: torch.Tensor, rows: torch.Tensor | None, needs_gammas: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(dz [B, M, N], dgammas [M] or None)."""
    gammas = product.gammas
    da = dr if gammas is None else dr * gammas.float()[:, None]
    if rows is None:
        return da, None
    if needs_gammas or not _is_swiglu(product):
        a, dz = _differentiate_function(product.activation, rows.float(), da)
    else:
        alpha, limit = product.activation.args
        backward: Any = dispatch.load("triton_kernels.swiglu_details._launch.backward")
        dz = backward(rows, da, alpha, limit, None, None, None)
    if not needs_gammas or gammas is None:
        return dz, None
    terms = a * dr
    if product.slices is not None:
        terms = torch.where(_is_in_a_slice(product, product.slices)[:, None], terms, 0)
    return dz, terms.sum((0, 2)).to(gammas.dtype)


def _differentiate_function(
    function: Function, z: torch.Tensor, da: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(function(z), gradient of z) for that of the function, by its reference."""
    if function.specs.fn is None:
        return z, da
    # Inside an op that a dispatch mode has seen, autograd is switched off for all below.
    functionality = torch._C.DispatchKey.AutogradFunctionality
    with torch._C._SetExcludeDispatchKeyGuard(functionality, False), torch.enable_grad():
        leaf = z.detach().requires_grad_()
        a = reference_of(function.specs)(leaf, *function.args)
        (dz,) = torch.autograd.grad(a, leaf, da.float())
    return a.detach(), dz


def _is_swiglu(product: Product) -> bool:
    """Whether the activation is one that has a kernel for its gradient, and kernels compute."""
    kind = dispatch.implementation(product.x.device)
    if kind is dispatch.Implementation.REFERENCE or product.activation.specs.fn is None:
        return False
    return product.activation.specs.fn is dispatch.load(_SWIGLU)


def _is_in_a_slice(product: Product, slices: RaggedTensorMetadata) -> torch.Tensor:
    """bool [M]."""
    return _reference._matrix_of_row(slices, product.n_slices, product.n_rows) >= 0


def _gradient_of_x(
    product: Product, dz: torch.Tensor, row_of_slot: torch.Tensor | None
) -> torch.Tensor:
    """Rows that are gathered more than once have the sum over their slots."""
    slices = product.slices
    if row_of_slot is not None and slices is not None and _drops_slices(product, slices):
        # Rows of slices that are not ours are not computed, and must not be added up.
        exists = _is_in_a_slice(product, slices)[row_of_slot.clamp(min=0).long()]
        row_of_slot = torch.where(exists, row_of_slot, -1)
    return _product_with_rows(
        product,
        dz,
        product.w.transpose(1, 2),
        product.x.shape[1],
        product.x.dtype,
        scatter_to=product.gather,
        scatter_from=row_of_slot,
    )


def _gradient_of_w(product: Product, dz: torch.Tensor) -> torch.Tensor:
    rows = _in_order_of_rows(product, product.x, product.gather)
    return _sums_over_rows(product, rows.transpose(1, 2), dz, product.w.dtype)


def _gradient_of_bias(product: Product, dz: torch.Tensor) -> torch.Tensor:
    bias, betas = product.bias, product.betas
    assert bias is not None
    if betas is None:
        betas = dz.new_ones(product.n_rows)
    betas, dz = _of_one_dtype(betas, dz)
    factors = betas.expand(product.n_batches, 1, product.n_rows)
    exact = replace(product, allow_tf32=False)
    return _sums_over_rows(exact, factors, dz, bias.dtype).squeeze(1)


def _gradient_of_betas(product: Product, dz: torch.Tensor) -> torch.Tensor:
    bias, betas = product.bias, product.betas
    assert betas is not None
    if bias is None:
        return torch.zeros_like(betas)
    bias, dz = _of_one_dtype(bias, dz)
    exact = replace(product, allow_tf32=False)
    rows = _product_with_rows(exact, dz, bias.unsqueeze(2), product.n_rows, torch.float32)
    return rows.sum((0, 2)).to(betas.dtype)


def _of_one_dtype(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both exactly, in the dtype that can hold them: operands of a product must agree."""
    dtype = torch.promote_types(one.dtype, other.dtype)
    return one.to(dtype), other.to(dtype)


def _product_with_rows(
    product: Product,
    rows: torch.Tensor,
    w: torch.Tensor,
    n_result_rows: int,
    dtype: torch.dtype,
    scatter_to: torch.Tensor | None = None,
    scatter_from: torch.Tensor | None = None,
) -> torch.Tensor:
    """Other rows [B, M, .] times other matrices, and as many, by the same slices.

    Rows of no slice are 0.
    """
    y_shape = (product.n_batches, n_result_rows, w.shape[2])
    y = None
    if product.slices is not None and scatter_to is None:
        y = torch.zeros(y_shape, dtype=dtype, device=rows.device)
    return compute(
        replace(
            _linear(product),
            x=rows,
            w=w,
            scatter_to=scatter_to,
            scatter_from=scatter_from,
            y=y,
            y_shape=y_shape,
            y_dtype=dtype,
        )
    )


def _sums_over_rows(
    product: Product, factors: torch.Tensor, rows: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """[E or B or 1, R, N]: for each slice, factors [B, R, M] times rows [B, M, N] over its rows."""
    slices, n_factors = product.slices, factors.shape[1]
    inner = None
    n_matrices = product.n_batches
    if slices is not None:
        inner = InnerSlices(_own(product, slices), _STEP_BYTES // rows.itemsize, False, False)
        n_matrices = product.n_slices
    return compute(
        replace(
            _linear(product),
            x=factors,
            w=rows,
            n_rows=n_factors,
            slices=None,
            expected_slice_size=None,
            inner=inner,
            y_shape=(n_matrices, n_factors, rows.shape[2]),
            y_dtype=dtype,
        )
    )


def _linear(product: Product) -> Product:
    """The product and alpha, without what comes before, between and after."""
    return replace(
        product,
        bias=None,
        betas=None,
        gammas=None,
        gather=None,
        scatter_to=None,
        scatter_from=None,
        activation=NO_FUNCTION,
        y=None,
        y_acc_in=None,
    )


def _drops_slices(product: Product, slices: RaggedTensorMetadata) -> bool:
    """Whether the metadata is that of some of the slices (`remap_ragged_tensor_metadata`)."""
    return slices.batch_sizes.shape[0] > product.n_slices


def _own(product: Product, slices: RaggedTensorMetadata) -> RaggedTensorMetadata:
    """The metadata without those of slices that are dropped."""
    if not _drops_slices(product, slices):
        return slices
    n = product.n_slices
    return RaggedTensorMetadata.of_parts(
        slices.batch_sizes[:n],
        slices.batch_offs[: n + 1],
        slices.block_offs_data[:, : n + 1],
        slices.block_schedule_data,
    )
