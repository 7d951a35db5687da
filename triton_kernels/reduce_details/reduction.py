"""A checked call of `reduce`: what is to be computed, with nothing left to look up or refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from triton_kernels.numerics import OutFlexData
from triton_kernels.specialize import FnSpecs

__all__ = ["MX_BLOCK", "Reduction"]

MX_BLOCK = 32
"""Elements that share a scale (OCP Microscaling Formats 1.0)."""

# For each dimension that is summed over: which of x are the rows, the terms, the columns.
_AXES = ((1, 0, 2), (0, 1, 2), (0, 2, 1))

_DIFFERENTIABLE = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Reduction:
    """What a call of `reduce` computes.

    x: [., ., .], any strides.
    dim: 0, 1 or 2, which is summed over.
    mask: of the shape of x, broadcast by stride 0; non-zero terms take part.  None: all do.
    scale: likewise, what terms are multiplied by.
    x_mxscale: uint8, e8m0 scales of blocks of 32 along the last dimension of x; or None.
    x_scale: float32 [1], or None for 1.
    y: where the sums go, any strides; None: to be allocated.
    y_dtype: of the result as it is written.
    y_has_mx: whether y is e4m3 with microscales.
    y_flex, saturate_inf: scales of y, and whether sums beyond its range become its largest value.
    fn1, args1: applied to the float32 sums, before they are scaled.
    fn2, args2: applied after that, unless y has microscales.
    """

    x: torch.Tensor
    dim: int
    mask: torch.Tensor | None
    scale: torch.Tensor | None
    x_mxscale: torch.Tensor | None
    x_scale: torch.Tensor | None
    y: torch.Tensor | None
    y_dtype: torch.dtype
    y_has_mx: bool
    y_flex: OutFlexData
    saturate_inf: bool
    fn1: FnSpecs
    args1: tuple[Any, ...]
    fn2: FnSpecs
    args2: tuple[Any, ...]

    @property
    def axes(self) -> tuple[int, int, int]:
        """(rows, terms, columns): which dimensions of x these are."""
        return _AXES[self.dim]

    @property
    def y_shape(self) -> tuple[int, int]:
        """Shape of the result."""
        rows, _, columns = self.axes
        joined = self.fn1.reduction_n * self.fn2.reduction_n
        return self.x.shape[rows], self.x.shape[columns] // joined

    @property
    def is_differentiable(self) -> bool:
        """Whether the result is nothing but a sum of products."""
        return (
            self.x.dtype in _DIFFERENTIABLE
            and self.y_dtype in _DIFFERENTIABLE
            and self.x_mxscale is self.x_scale is self.y is None
            and not self.y_has_mx
            and all(scale is None for scale in self.y_flex.scales)
            and self.fn1.fn is None
            and self.fn2.fn is None
        )

    def results(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(y, y_mxscale): memory for them, that of `y` if it was given."""
        n_rows, n_columns = self.y_shape
        y = self.y
        if y is None:
            y = torch.empty((n_rows, n_columns), dtype=self.y_dtype, device=self.x.device)
        if not self.y_has_mx:
            return y, None
        blocks = -(-n_columns // MX_BLOCK)
        return y, torch.empty((n_rows, blocks), dtype=torch.uint8, device=self.x.device)
