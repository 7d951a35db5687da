"""The result from rows before the activation, in one launch."""

from __future__ import annotations

import torch

from triton_kernels.matmul_ogs_details._kernel_arguments import ending_of
from triton_kernels.matmul_ogs_details._launch import launch_finalize
from triton_kernels.matmul_ogs_details.product import NO_FUNCTION, Product


def finish(product: Product, rows: torch.Tensor) -> torch.Tensor:
    """What `_compute.finish_torch` returns."""
    y = product.result()
    if y.numel() > 0:
        launch_finalize(
            rows.unsqueeze(0),
            y,
            product.scatter_from,
            product.n_choices if product.scatter_from is not None else 1,
            activation=product.activation,
            epilogue=NO_FUNCTION,
            gammas=product.gammas,
            ending=ending_of(product),
            n_rows=product.y_shape[1],
            slices=product.slices if product.scatter_from is None else None,
        )
    return y
