"""The repaired interpreter raises where a GPU says nothing, and knows what kernels may say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice
from triton.runtime.errors import InterpreterError
from triton.runtime.interpreter import InterpreterBuilder

from tests.support import interpreter
from tests.support.interpreter.language import assembly

# What a GPU does without a word.


def rejects(message: str):
    return pytest.raises(InterpreterError, match=message)


@triton.jit
def copy(x, y, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n))


@triton.jit
def copy_in_tuple(xs, y, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(xs[1] + at, mask=at < n))


def test_a_load_out_of_bounds_raises():
    x, y = torch.ones(8, dtype=torch.int32), torch.empty(16, dtype=torch.int32)
    copy[(1,)](x, y, 8, BLOCK=16)
    with rejects("out-of-bounds load: 1 of 9 active lanes of program .* at byte 32 .* of 32 bytes"):
        copy[(1,)](x, y, 9, BLOCK=16)


def test_a_load_beyond_a_view_raises_though_its_storage_goes_on():
    x, y = torch.ones(16), torch.empty(16)
    with rejects("out-of-bounds load: 8 of 16 active lanes"):
        copy[(1,)](x[:8], y, 16, BLOCK=16)


def test_a_tensor_in_a_tuple_is_known():
    x, y = torch.ones(8), torch.empty(16)
    copy_in_tuple[(1,)]((y, x), y, 8, BLOCK=16)
    with rejects("out-of-bounds load"):
        copy_in_tuple[(1,)]((y, x), y, 16, BLOCK=16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_store_out_of_bounds_raises_and_writes_nothing(dtype):
    storage = torch.zeros(16, dtype=dtype)
    with rejects("out-of-bounds store: 8 of 16 active lanes"):
        copy[(1,)](torch.ones(16, dtype=dtype), storage[:8], 16, BLOCK=16)
    assert not storage.any()


@triton.jit
def update(x, BLOCK: tl.constexpr, COMPARE: tl.constexpr):
    at = tl.arange(0, BLOCK)
    zero = tl.zeros((BLOCK,), tl.int32)
    if COMPARE:
        tl.atomic_cas(x + at, zero, zero)
    else:
        tl.atomic_add(x + at, zero)


@pytest.mark.parametrize("compare", [False, True])
def test_an_atomic_out_of_bounds_raises(compare):
    x = torch.zeros(8, dtype=torch.int32)
    update[(1,)](x, BLOCK=8, COMPARE=compare)
    with rejects("out-of-bounds atomic: 4 of 8 active lanes"):
        update[(1,)](x[:4], BLOCK=8, COMPARE=compare)


@triton.jit
def assert_positive(x, BLOCK: tl.constexpr):
    tl.device_assert(tl.load(x + tl.arange(0, BLOCK)) > 0, "not positive")


def test_a_device_assert_raises():
    assert_positive[(1,)](torch.tensor([1, 2, 3, 4]), BLOCK=4)
    with rejects("not positive"):
        assert_positive[(1,)](torch.tensor([1, 2, 0, 4]), BLOCK=4)


@triton.jit
def square(x, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    value = tl.load(x + at)
    tl.store(x + at, value * value)


def test_an_integer_overflow_raises():
    square[(1,)](torch.full((4,), 46340, dtype=torch.int32), BLOCK=4)
    with rejects("overflow"):
        square[(1,)](torch.full((4,), 46341, dtype=torch.int32), BLOCK=4)


# What kernels may say.


@triton.jit
def said(x, y, flag, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    total, value = 0, libdevice.tanh(tl.load(x + at))
    if flag:
        value = tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1;", "=f,f", [value], dtype=tl.float32, is_pure=True, pack=1
        )
    tl.store(y + at, value + total.to(tl.float32))


@assembly("ex2.approx.ftz.f32  $0, $1;")
def _exp2(x: np.ndarray) -> np.ndarray:
    return np.exp2(x)


@pytest.mark.parametrize("flag", [False, True])
def test_libdevice_inline_assembly_unpacked_numbers_and_a_bool_argument(flag):
    x, y = torch.randn(32), torch.empty(32)
    said[(1,)](x, y, flag, BLOCK=32)
    torch.testing.assert_close(y, torch.exp2(x.tanh()) if flag else x.tanh())


@triton.jit
def sum_to(n, y):
    total = tl.zeros((1,), tl.int32)
    for i in range(n):
        total += i
    tl.store(y + tl.arange(0, 1), total)


def test_a_loop_up_to_an_argument():
    y = torch.empty(1, dtype=torch.int32)
    sum_to[(1,)](5, y)
    assert y.item() == 10


def test_installing_twice_is_installing_once():
    before = InterpreterBuilder.create_masked_load
    interpreter.install()
    assert InterpreterBuilder.create_masked_load is before
