"""Loads, stores and atomics of bfloat16, which the interpreter's C++ half does not know."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from tests.support.interpreter.formats import BFLOAT16

_BITS = np.dtype(np.uint16)
_native = interpreter._interpreter  # the C++ half

_stock_load = InterpreterBuilder.create_masked_load
_stock_store = InterpreterBuilder.create_masked_store
_stock_atomic = InterpreterBuilder.create_atomic_rmw


def _load(
    self: InterpreterBuilder,
    pointers: TensorHandle,
    mask: TensorHandle,
    other: TensorHandle | None,
    *policy: Any,
    **options: Any,
) -> TensorHandle:
    if pointers.get_element_ty() != tl.bfloat16:
        return _stock_load(self, pointers, mask, other, *policy, **options)
    if other is None:
        masked_off = np.zeros(pointers.data.shape, _BITS)
    else:
        masked_off = np.ascontiguousarray(other.data).view(_BITS)
    bits = _native.load(pointers.data, mask.data, masked_off, _BITS)
    return TensorHandle(bits.view(BFLOAT16), tl.bfloat16)


def _store(
    self: InterpreterBuilder,
    pointers: TensorHandle,
    value: TensorHandle,
    mask: TensorHandle,
    *policy: Any,
    **options: Any,
) -> None:
    if value.data.dtype == BFLOAT16:
        value = TensorHandle(np.ascontiguousarray(value.data).view(_BITS), value.dtype)
    _stock_store(self, pointers, value, mask, *policy, **options)


_ATOMICS = {
    interpreter._ir.ATOMIC_OP.FADD: lambda old, value: old + value,
    interpreter._ir.ATOMIC_OP.XCHG: lambda old, value: value,
}


def _atomic(
    self: InterpreterBuilder,
    op: Any,
    pointers: TensorHandle,
    value: TensorHandle,
    mask: TensorHandle,
    *order: Any,
) -> TensorHandle:
    """Lane by lane, so that lanes with the same address see each other."""
    if value.data.dtype != BFLOAT16:
        return _stock_atomic(self, op, pointers, value, mask, *order)
    update = _ATOMICS[op]
    shape = value.data.shape
    # Copies: the C++ half of 3.6 wants to be able to write to what it only reads.
    lanes = (np.broadcast_to(a, shape).flatten() for a in (pointers.data, value.data, mask.data))
    addresses, values, active = lanes
    before = np.zeros(values.size, BFLOAT16)
    here, zero = np.ones(1, bool), np.zeros(1, _BITS)
    for lane in np.flatnonzero(active):
        only = slice(lane, lane + 1)
        before[only] = _native.load(addresses[only], here, zero, _BITS).view(BFLOAT16)
        after = update(before[only], values[only]).astype(BFLOAT16)
        _native.store(addresses[only], after.view(_BITS), here)
    return TensorHandle(before.reshape(shape), value.dtype.scalar)


def install() -> None:
    InterpreterBuilder.create_masked_load = _load
    InterpreterBuilder.create_masked_store = _store
    InterpreterBuilder.create_atomic_rmw = _atomic
