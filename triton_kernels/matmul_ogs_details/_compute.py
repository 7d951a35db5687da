"""The result of a product, at once or, where a gradient will be taken, by its rows."""

from __future__ import annotations

from dataclasses import replace

import torch

from triton_kernels import dispatch
from triton_kernels.matmul_ogs_details import _reference
from triton_kernels.matmul_ogs_details.product import NO_FUNCTION, Product
from triton_kernels.numerics_details.reference import stored
from triton_kernels.reference_functions import reference_of

__all__ = ["compute", "compute_with_rows", "unactivated"]

_FOLDER = "triton_kernels.matmul_ogs_details"


def compute(product: Product) -> torch.Tensor:
    """The result, without gradient."""
    if 0 in product.y_shape:
        return product.result()
    run = dispatch.choose(
        product.x.device, reference=_reference.multiply, kernel=f"{_FOLDER}._launch.multiply"
    )
    return run(product)


def compute_with_rows(product: Product) -> tuple[torch.Tensor, torch.Tensor]:
    """(result, rows [B, M, N] that it is made of, as they are before the activation)."""
    rows = compute(unactivated(product))
    finish = dispatch.choose(
        product.x.device, reference=finish_torch, kernel=f"{_FOLDER}._finish_launch.finish"
    )
    return finish(product, rows), rows


def unactivated(product: Product) -> Product:
    """The product whose result is the rows before the activation, in the order of experts."""
    return replace(
        product,
        scatter_to=None,
        scatter_from=None,
        gammas=None,
        activation=NO_FUNCTION,
        y_acc_in=None,
        y_shape=(product.n_batches, product.n_rows, product.n_columns),
        y_dtype=torch.promote_types(product.x.dtype, product.y_dtype),
    )


@torch.no_grad()
def finish_torch(product: Product, rows: torch.Tensor) -> torch.Tensor:
    """The result, from rows before the activation [B, M, N]."""
    result = reference_of(product.activation.specs)(rows.float(), *product.activation.args)
    if product.gammas is not None:
        result = result * product.gammas.float()[:, None]
    if product.scatter_from is not None:
        groups = product.scatter_from.view(-1, product.n_choices)
        result = _reference._sums(result[0], groups).unsqueeze(0)
    if product.y_acc_in is not None:
        result = result + product.y_acc_in.float()
    return stored(result, product.y_dtype)
