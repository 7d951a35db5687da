"""The layouts a tensor can be stored in: the registry.  Each stands in its own file beside this."""

from __future__ import annotations

from typing import Any

from triton_kernels.deprecation import old_attribute
from triton_kernels.tensor_details.layout_details.base import Layout
from triton_kernels.tensor_details.layout_details.strided import StridedLayout

__all__ = ["Layout", "StridedLayout"]


def __getattr__(name: str) -> Any:
    return old_attribute(__name__, name)
