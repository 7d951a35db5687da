"""NaN in minimum and maximum, comparisons, and no warnings from numpy where a GPU gives none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.interpreter import GridExecutor, InterpreterBuilder, TensorHandle


# PTX's min.f32 and max.f32 return the operand that is a number; Triton 3.6 and 3.7 return NaN.
def _minimum(self: InterpreterBuilder, left: TensorHandle, right: TensorHandle) -> TensorHandle:
    return self.binary_op(left, right, np.fmin)


def _maximum(self: InterpreterBuilder, left: TensorHandle, right: TensorHandle) -> TensorHandle:
    return self.binary_op(left, right, np.fmax)


def _comparing(stock: Callable[..., TensorHandle]) -> Callable[..., TensorHandle]:
    """A comparison of int32 is no int32: as one, a scalar that becomes a block is no mask."""

    def binary_op(
        self: InterpreterBuilder, left: TensorHandle, right: TensorHandle, op: Any
    ) -> TensorHandle:
        result = stock(self, left, right, op)
        return TensorHandle(result.data, tl.int1) if result.data.dtype == np.bool_ else result

    return binary_op


def _without_warnings(launch: Callable[..., Any]) -> Callable[..., Any]:
    """Lanes that are masked off divide by zero, overflow and cast NaN, as on a GPU."""

    def __call__(self: GridExecutor, *arguments: Any, **keywords: Any) -> None:  # noqa: N807
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)  # np.nanmax
            launch(self, *arguments, **keywords)

    return __call__


def install() -> None:
    InterpreterBuilder.create_minnumf = _minimum
    InterpreterBuilder.create_maxnumf = _maximum
    InterpreterBuilder.binary_op = _comparing(InterpreterBuilder.binary_op)
    GridExecutor.__call__ = _without_warnings(GridExecutor.__call__)
