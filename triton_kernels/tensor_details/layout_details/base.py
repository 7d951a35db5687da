"""What a layout is."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Layout"]


class Layout(ABC):
    """How the elements of a tensor are ordered in memory.

    shape: shape of the tensor before it is stored, `initial_shape`.  An instance made without one
        says how to store any tensor, and `for_shape` ties it to one.

    `unswizzle_data(swizzle_data(data))` is `data`, cropped to `initial_shape`.  Layouts of one
    class with equal parameters are equal.
    """

    name: ClassVar[str | None] = None
    """What kernels know the layout by; None for plain strides."""

    def __init__(self, shape: Sequence[int] | None = None) -> None:
        self.initial_shape = None if shape is None else tuple(shape)

    @abstractmethod
    def swizzle_data(self, data: torch.Tensor) -> torch.Tensor:
        """`data` in the order of this layout."""

    @abstractmethod
    def unswizzle_data(self, data: torch.Tensor) -> torch.Tensor:
        """Stored `data` back in its plain order."""

    @abstractmethod
    def swizzle_block_shape(self, block_shape: list[int]) -> list[int]:
        """Extents of a block of the stored tensor that holds a block of `block_shape`."""

    def for_shape(self, shape: Sequence[int]) -> Self:
        """This layout with the same parameters, for a tensor of another shape."""
        other = copy.copy(self)
        other.initial_shape = tuple(shape)
        return other

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({parameters})"
