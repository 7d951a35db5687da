"""The layouts a tensor can be stored in: the registry.  Each stands in its own file beside this."""

from __future__ import annotations

from triton_kernels.tensor_details.layout_details.base import Layout
from triton_kernels.tensor_details.layout_details.strided import StridedLayout

__all__ = ["Layout", "StridedLayout"]
