"""Element types, those narrower than a byte included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch

from triton_kernels.tensor_details.checks import wrong_type, wrong_value

__all__ = ["BIT", "FP4", "DType", "FloatType", "IntegerType", "bitwidth"]


@dataclass(frozen=True)
class IntegerType:
    """An integer of `bitwidth` bits."""

    bitwidth: int

    def __post_init__(self) -> None:
        if self.bitwidth < 1:
            raise wrong_value("bitwidth", "at least 1", self.bitwidth)


@dataclass(frozen=True)
class FloatType:
    """A binary float: exponent and mantissa bits, and whether there is a sign bit."""

    bitwidth_exponent: int
    bitwidth_mantissa: int
    is_signed: bool

    def __post_init__(self) -> None:
        if self.bitwidth_exponent < 0 or self.bitwidth_mantissa < 0 or self.bitwidth < 1:
            came = (self.bitwidth_exponent, self.bitwidth_mantissa, self.is_signed)
            raise wrong_value("FloatType", "bit widths that make at least one bit", came)

    @property
    def bitwidth(self) -> int:
        """Bits of one element."""
        return int(self.is_signed) + self.bitwidth_exponent + self.bitwidth_mantissa


DType: TypeAlias = IntegerType | FloatType | torch.dtype

BIT = IntegerType(1)
"""One bit: the element of a `Bitmatrix`, stored 32 to a word."""

FP4 = FloatType(bitwidth_exponent=2, bitwidth_mantissa=1, is_signed=True)
"""e2m1, the element of MXFP4 (OCP Microscaling Formats 1.0), stored two to a byte."""


def bitwidth(type: DType) -> int:
    """Bits of one element: `bitwidth(FP4) == 4`, `bitwidth(torch.bfloat16) == 16`."""
    if isinstance(type, torch.dtype):
        return type.itemsize * 8
    if isinstance(type, (IntegerType, FloatType)):
        return type.bitwidth
    raise wrong_type("type", "a torch.dtype, IntegerType or FloatType", type)
