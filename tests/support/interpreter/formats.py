"""bfloat16 and fp8 as numpy computes with them, and the casts from and to them.

The interpreter keeps tensors in numpy arrays.  It stores bfloat16 as uint16 and computes on that;
here a bfloat16 array is one of `ml_dtypes.bfloat16`, whose arithmetic is right.  fp8 stays uint8,
as nothing but casts and products ever reads it.
"""

from __future__ import annotations

from typing import NamedTuple

import ml_dtypes
import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


class Fp8(NamedTuple):
    """An fp8 format: numpy's type and the largest finite value."""

    dtype: np.dtype
    largest: float


FP8 = {
    "fp8e4nv": Fp8(np.dtype(ml_dtypes.float8_e4m3fn), 448.0),
    "fp8e5": Fp8(np.dtype(ml_dtypes.float8_e5m2), 57344.0),
    "fp8e4b8": Fp8(np.dtype(ml_dtypes.float8_e4m3fnuz), 240.0),
    "fp8e5b16": Fp8(np.dtype(ml_dtypes.float8_e5m2fnuz), 57344.0),
}

_stock_numpy_dtype = interpreter._get_np_dtype
_stock_convert_float = interpreter._convert_float


def numpy_dtype(dtype: tl.dtype) -> np.dtype:
    """The type of the array that holds tensors of `dtype`; addresses for pointers."""
    return BFLOAT16 if dtype.scalar == tl.bfloat16 else _stock_numpy_dtype(dtype)


def to_float32(data: np.ndarray, dtype: tl.dtype) -> np.ndarray:
    """The values of a tensor's array in float32, where every narrower float is exact."""
    if dtype.name in FP8:
        data = data.view(FP8[dtype.name].dtype)
    return data.astype(np.float32)


def convert_float(
    data: np.ndarray, source: tl.dtype, target: tl.dtype, rounding: object
) -> np.ndarray:
    """A float array in another format, rounded to nearest even unless `rounding` is towards zero.

    An fp8 result saturates and keeps NaN, as PTX's `cvt.rn.satfinite` does; torch agrees but for
    infinity in e5m2, which it keeps.
    """
    narrow = {*FP8, "bf16"}
    if not narrow & {source.name, target.name}:
        return _stock_convert_float(data, source, target, rounding)
    values = to_float32(data, source)
    towards_zero = rounding == interpreter._ir.ROUNDING_MODE.RTZ
    if target == tl.bfloat16:
        if towards_zero:
            return (values.view(np.uint32) >> 16).astype(np.uint16).view(BFLOAT16)
        return values.astype(BFLOAT16)
    if towards_zero:
        return _stock_convert_float(values, tl.float32, target, rounding)
    if target.name in FP8:
        fp8 = FP8[target.name]
        return np.clip(values, -fp8.largest, fp8.largest).astype(fp8.dtype).view(np.uint8)
    return values.astype(numpy_dtype(target))


def _cast(self: InterpreterBuilder, source: TensorHandle, dtype: tl.dtype) -> TensorHandle:
    before, after = source.dtype.scalar, dtype.scalar
    if before.name in FP8 or after.name in FP8:
        return TensorHandle(convert_float(source.data, before, after, None), after)
    return TensorHandle(source.data.astype(numpy_dtype(after)), after)


def _bfloat16(self: InterpreterBuilder, value: float) -> TensorHandle:
    """A constant, which `tl.full` asks for; 3.6 has none."""
    return TensorHandle(np.array([value], BFLOAT16), tl.bfloat16)


def install() -> None:
    interpreter._get_np_dtype = numpy_dtype
    interpreter._convert_float = convert_float
    InterpreterBuilder.cast_impl = _cast
    InterpreterBuilder.get_bf16 = _bfloat16
