"""8-bit floats: their largest values, and the scales that stored values are multiplied by.

A flexpoint tensor holds `q` and stands for `q * scale`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels.tensor_details.checks import wrong_type, wrong_value

__all__ = [
    "MAX_FINITE_FLOAT8E4B8",
    "MAX_FINITE_FLOAT8E4NV",
    "MAX_FINITE_FLOAT8E5",
    "BaseFlexData",
    "InFlexData",
    "OutFlexData",
]

MAX_FINITE_FLOAT8E5 = 57344.0
"""Largest finite value of `torch.float8_e5m2`."""

MAX_FINITE_FLOAT8E4NV = 448.0
"""Largest finite value of `torch.float8_e4m3fn`."""

MAX_FINITE_FLOAT8E4B8 = 240.0
"""Largest finite value of `torch.float8_e4m3fnuz`."""


@dataclass(frozen=True)
class BaseFlexData:
    """How the bytes of a tensor are to be read.

    dtype: what its elements are; None: what the tensor says.
    """

    dtype: torch.dtype | None = None

    def view(self, x: torch.Tensor) -> torch.Tensor:
        """`x` with its bytes read as `dtype`."""
        return x if self.dtype is None else x.view(self.dtype)

    def reinterpret(self, x: torch.Tensor) -> torch.Tensor:
        """`x` with its bytes read as `dtype` if it has one byte an element, else `x` itself."""
        if self.dtype is None or x.dtype.itemsize > 1:
            return x
        return x.view(self.dtype)


@dataclass(frozen=True)
class InFlexData(BaseFlexData):
    """Scale of an input.

    scale: float32 [1], or [B] with one for each batch (for weights: each expert); None means 1.
    """

    scale: torch.Tensor | None = None

    def __post_init__(self) -> None:
        _check_scale("scale", self.scale)

    @property
    def is_per_batch(self) -> bool:
        """Whether each batch has a scale of its own."""
        return self.scale is not None and len(self.scale) > 1


@dataclass(frozen=True)
class OutFlexData(BaseFlexData):
    """Scales of an output, each float32, [1] or [B] with one for each batch.

    expected_scale: what results are divided by before they are stored; None means 1.
    actual_scale: raised to the smallest scale with which every result would have been in range.
    checksum_scale: int32, or float32 whose bytes are taken for it: the exclusive or of the float32
        bits of results is added, tile by tile, to tell whether two runs of one kernel agree.

    Iterating gives the three.
    """

    expected_scale: torch.Tensor | None = None
    actual_scale: torch.Tensor | None = None
    checksum_scale: torch.Tensor | None = None

    def __post_init__(self) -> None:
        _check_scale("expected_scale", self.expected_scale)
        _check_scale("actual_scale", self.actual_scale)
        checksum = self.checksum_scale
        if checksum is not None and checksum.dtype not in (torch.int32, torch.float32):
            raise wrong_type("checksum_scale", "an int32 or float32 tensor", checksum)

    @property
    def is_per_batch(self) -> bool:
        """Whether each batch has an expected scale of its own."""
        return self.expected_scale is not None and len(self.expected_scale) > 1

    @property
    def scales(self) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """The three, also where Dynamo cannot iterate over a record: before torch 2.12."""
        return self.expected_scale, self.actual_scale, self.checksum_scale

    def __iter__(self) -> Iterator[torch.Tensor | None]:
        return iter(self.scales)


def _check_scale(name: str, scale: torch.Tensor | None) -> None:
    if scale is None:
        return
    if not isinstance(scale, torch.Tensor) or scale.dtype != torch.float32:
        raise wrong_type(name, "a float32 tensor", scale)
    if scale.ndim != 1 or scale.numel() == 0:
        raise wrong_value(name, "one dimension with an element, or one for each batch", scale)
