"""Plain strides: the layout of every torch tensor."""

from __future__ import annotations

import torch

from triton_kernels.tensor_details.layout_details.base import Layout

__all__ = ["StridedLayout"]


class StridedLayout(Layout):
    """The data as it is, with whatever strides it has."""

    name = None

    def swizzle_data(self, data: torch.Tensor) -> torch.Tensor:
        return data

    def unswizzle_data(self, data: torch.Tensor) -> torch.Tensor:
        return data

    def swizzle_block_shape(self, block_shape: list[int]) -> list[int]:
        return block_shape
