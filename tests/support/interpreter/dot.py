"""`tl.dot_scaled`, multiplied and summed in float32.

Triton 3.6 and 3.7 have none; later ones take bfloat16 operands through float16, where 1e5 is
infinity and 1e-6 has lost half of its digits.  (`tl.dot` is right once `formats` is.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle, TritonSemantic

from tests.support.interpreter.formats import FP8, to_float32

Format = interpreter._ir.ScaleDotElemTypeTY

# OCP Microscaling Formats (MX) Specification 1.0, section 5.3.3: sign, two bits of exponent, one
# of mantissa.
_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
_FP8_FORMATS = {Format.E4M3: FP8["fp8e4nv"].dtype, Format.E5M2: FP8["fp8e5"].dtype}

# The same document, section 5.4.1: E8M0 has a bias of 127, and one NaN.
_SCALE_BIAS, _SCALE_NAN = 127, 255


def _dot_scaled(
    self: InterpreterBuilder,
    lhs: TensorHandle,
    lhs_scale: TensorHandle | None,
    lhs_format: Any,
    rhs: TensorHandle,
    rhs_scale: TensorHandle | None,
    rhs_format: Any,
    fast_math: bool,
    lhs_k_pack: bool,
    rhs_k_pack: bool,
    accumulator: TensorHandle,
) -> TensorHandle:
    left = _scaled(lhs, lhs_scale, lhs_format, k_axis=-1, k_packed=lhs_k_pack)
    right = _scaled(rhs, rhs_scale, rhs_format, k_axis=-2, k_packed=rhs_k_pack)
    return TensorHandle(np.matmul(left, right) + accumulator.data, tl.float32)


def _scaled(
    operand: TensorHandle, scale: TensorHandle | None, format_: Any, k_axis: int, k_packed: bool
) -> np.ndarray:
    """An operand's values times their scales, in float32.

    k_axis: the axis that is summed over; scales are `(rows or columns, k // group)` on both sides.
    k_packed: whether the two fp4 values of a byte are neighbours in k, not along the other axis.
    """
    if format_ == Format.E2M1:
        other_axis = -3 - k_axis
        values = _unpack(operand.data, k_axis if k_packed else other_axis)
    elif format_ in _FP8_FORMATS:  # may come as plain bytes
        values = operand.data.view(_FP8_FORMATS[format_]).astype(np.float32)
    else:
        values = to_float32(operand.data, operand.dtype.scalar)
    if scale is None:
        return values
    exponents = scale.data.view(np.uint8)
    scales = np.ldexp(np.float32(1), exponents.astype(np.int32) - _SCALE_BIAS)
    scales = np.where(exponents == _SCALE_NAN, np.float32("nan"), scales)
    scales = np.repeat(scales, values.shape[k_axis] // scales.shape[-1], axis=-1)
    return values * (scales if k_axis == -1 else np.swapaxes(scales, -1, -2))


def _unpack(data: np.ndarray, axis: int) -> np.ndarray:
    """Bytes to the two fp4 values in each, the low half first, along `axis`."""
    data = np.moveaxis(data, axis, -1)
    codes = np.stack([data & 15, data >> 4], axis=-1).reshape(*data.shape[:-1], -1)
    return np.moveaxis(_E2M1[codes], -1, axis)


def _with_constexpr_formats(stock: Callable[..., Any]) -> Callable[..., Any]:
    """`dot_scaled` for Triton before 3.8, which reads `.value` of formats that come as strings."""

    def dot_scaled(
        self: TritonSemantic,
        lhs: Any,
        lhs_scale: Any,
        lhs_format: Any,
        rhs: Any,
        rhs_scale: Any,
        rhs_format: Any,
        *rest: Any,
        **options: Any,
    ) -> Any:
        formats = (
            f if isinstance(f, tl.constexpr) else tl.constexpr(f) for f in (lhs_format, rhs_format)
        )
        lhs_format, rhs_format = formats
        return stock(self, lhs, lhs_scale, lhs_format, rhs, rhs_scale, rhs_format, *rest, **options)

    return dot_scaled


def install() -> None:
    InterpreterBuilder.create_dot_scaled = _dot_scaled
    if not hasattr(interpreter, "_prepare_dot_scaled_operand"):
        TritonSemantic.dot_scaled = _with_constexpr_formats(TritonSemantic.dot_scaled)
