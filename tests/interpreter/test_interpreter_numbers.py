"""The repaired interpreter rounds, adds and multiplies as a GPU does; the oracle is torch."""

from __future__ import annotations

import warnings

import pytest
import torch
import triton
import triton.language as tl

# Casts.  All finite and special values of a 16-bit format are few enough to try every one.

EVERY_BFLOAT16 = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
EVERY_BYTE = torch.arange(256, dtype=torch.int32).to(torch.uint8)


@triton.jit
def cast(x, y, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at).to(y.dtype.element_ty))


def cast_to(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    result = torch.empty(x.shape, dtype=dtype)
    cast[(1,)](x, result, BLOCK=x.numel())
    return result


def assert_same_values(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Bit for bit, but for the payload of a NaN."""
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual.float(), expected.float(), rtol=0, atol=0, equal_nan=True)
    signs = torch.signbit(actual.float()) == torch.signbit(expected.float())
    assert torch.all(signs | expected.float().isnan())


def floats_around(dtype: torch.dtype) -> torch.Tensor:
    """float32 at, halfway between and close to all neighbours of a narrower format."""
    if dtype == torch.bfloat16:
        values = EVERY_BFLOAT16.float()[:: 2**4]
    else:
        values = EVERY_BYTE.view(dtype).float()
    values = values[values.isfinite()].sort().values.double()
    between = (values[1:] + values[:-1]) / 2
    points = torch.cat([values, between, between * (1 + 2**-20), between * (1 - 2**-20)])
    points = torch.cat([points.float(), torch.tensor([float("nan"), 0.0, -0.0])])
    return torch.nn.functional.pad(points, (0, 2 ** (len(points) - 1).bit_length() - len(points)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_casts_from_float32_round_to_nearest_even(dtype):
    x = floats_around(dtype)
    assert_same_values(cast_to(x, dtype), x.to(dtype))


@pytest.mark.parametrize(
    ("dtype", "largest"), [(torch.float8_e4m3fn, 448.0), (torch.float8_e5m2, 57344.0)]
)
def test_casts_to_fp8_saturate_and_keep_nan(dtype, largest):
    x = torch.tensor([1e30, -1e30, float("inf"), float("-inf"), largest * 1.2, -largest * 1.2])
    x = torch.cat([x, torch.tensor([float("nan"), largest])])
    actual = cast_to(x, dtype).float()
    assert actual[:6].tolist() == [largest, -largest] * 3
    assert actual[6].isnan()
    assert actual[7] == largest


@triton.jit
def cast_towards_zero(x, y, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at).to(y.dtype.element_ty, fp_downcast_rounding="rtz"))


def test_casts_to_bfloat16_can_round_towards_zero():
    x = floats_around(torch.bfloat16)
    y = torch.empty(x.shape, dtype=torch.bfloat16)
    cast_towards_zero[(1,)](x, y, BLOCK=x.numel())
    expected = (x.view(torch.int32) & -(2**16)).view(torch.float32).to(torch.bfloat16)
    assert_same_values(y, expected)


@pytest.mark.parametrize("wide", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("narrow", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_every_fp8_code_is_read_right(narrow, wide):
    x = EVERY_BYTE.view(narrow)
    assert_same_values(cast_to(x, wide), x.to(wide))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float8_e4m3fn])
def test_every_bfloat16_is_read_right(dtype):
    x = EVERY_BFLOAT16
    if dtype == torch.float8_e4m3fn:  # torch overflows where we saturate
        x = torch.nn.functional.pad(x[x.float().abs() <= 448], (0, 1), value=float("nan"))
        x = x[-(2**15) :]
    assert_same_values(cast_to(x, dtype), x.to(dtype))


# Arithmetic.


@triton.jit
def exp_of_sum(x, y, z, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(z + at, tl.exp((tl.load(x + at) + tl.load(y + at)).to(tl.float32)).to(tl.bfloat16))


def test_bfloat16_is_added_and_rounded_as_torch_does():
    x, y = torch.randn(2, 256).to(torch.bfloat16)
    z = torch.empty_like(x)
    exp_of_sum[(1,)](x, y, z, BLOCK=256)
    torch.testing.assert_close(z, torch.exp(x + y))


@triton.jit
def extremes(x, y, low, high, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    a, b = tl.load(x + at), tl.load(y + at)
    tl.store(low + at, tl.minimum(a, b))
    tl.store(high + at, tl.maximum(a, b))


def test_minimum_and_maximum_prefer_a_number_to_nan():
    nan = float("nan")
    x, y = torch.tensor([nan, 1.0, nan, 3.0]), torch.tensor([2.0, nan, nan, 4.0])
    low, high = torch.empty(4), torch.empty(4)
    extremes[(1,)](x, y, low, high, BLOCK=4)
    torch.testing.assert_close(low, torch.fmin(x, y), equal_nan=True)
    torch.testing.assert_close(high, torch.fmax(x, y), equal_nan=True)


@triton.jit
def quotient(x, y, z, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    a, b = tl.load(x + at), tl.load(y + at)
    tl.store(z + at, tl.where(b != 0, tl.exp(a / b), (a / b).to(tl.int32)))


def test_lanes_that_compute_nonsense_do_so_in_silence():
    x, y = torch.tensor([1.0, 0.0, 1e9, 6.0]), torch.tensor([0.0, 0.0, 1.0, 3.0])
    z = torch.empty(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quotient[(1,)](x, y, z, BLOCK=4)
    torch.testing.assert_close(z[2:], torch.exp(x / y)[2:])


@triton.jit
def largest(x, y, BLOCK: tl.constexpr):
    tl.store(y, tl.max(tl.load(x + tl.arange(0, BLOCK)), axis=0))


def test_the_largest_of_nothing_but_nan_is_nan_in_silence():
    y = torch.zeros(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        largest[(1,)](torch.full((4,), float("nan")), y, BLOCK=4)
    assert y.isnan().all()


# Products.


@triton.jit
def matmul(a, b, c, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    x = tl.load(a + m[:, None] * K + k)
    y = tl.load(b + k[:, None] * N + n)
    product = tl.dot(x, y, out_dtype=c.dtype.element_ty)
    tl.store(c + m[:, None] * N + n, product)


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2],
)
def test_a_product_of_floats_is_summed_in_float32(dtype):
    a, b = torch.randn(16, 64).to(dtype), torch.randn(64, 32).to(dtype)
    c = torch.empty(16, 32)
    matmul[(1,)](a, b, c, M=16, N=32, K=64)
    # 64 roundings of 2^-24 each, of sums of about 8 = sqrt(64)
    torch.testing.assert_close(c.double(), a.double() @ b.double(), rtol=0, atol=64 * 2**-24 * 8)


def test_a_product_of_int8_is_exact():
    a = torch.randint(-128, 128, (16, 32), dtype=torch.int8)
    b = torch.randint(-128, 128, (32, 16), dtype=torch.int8)
    c = torch.empty(16, 16, dtype=torch.int32)
    matmul[(1,)](a, b, c, M=16, N=16, K=32)
    assert torch.equal(c, a.int() @ b.int())


@triton.jit
def scaled_matmul(
    a, a_scale, b, b_scale, c, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, A: tl.constexpr
):
    """c = a @ b: a of format A with scales (or none), b fp4, two values of k to a byte."""
    m, n = tl.arange(0, M), tl.arange(0, N)
    k, packed, group = tl.arange(0, K), tl.arange(0, K // 2), tl.arange(0, K // 32)
    x = tl.load(a + m[:, None] * K + k)
    y = tl.load(b + packed[:, None] * N + n)
    y_scale = tl.load(b_scale + n[:, None] * (K // 32) + group)
    if a_scale is None:
        product = tl.dot_scaled(x, None, A, y, y_scale, "e2m1")
    else:
        x_scale = tl.load(a_scale + m[:, None] * (K // 32) + group)
        product = tl.dot_scaled(x, x_scale, A, y, y_scale, "e2m1")
    tl.store(c + m[:, None] * N + n, product)


@pytest.mark.parametrize(
    ("format_", "dtype", "scaled"),
    [
        ("bf16", torch.bfloat16, False),
        ("e4m3", torch.float8_e4m3fn, True),
        ("e5m2", torch.float8_e5m2, True),
    ],
)
def test_a_microscaled_product_is_that_of_the_scaled_values(format_, dtype, scaled):
    m, n, k = 16, 32, 64
    a = torch.randn(m, k).to(dtype)
    a_scale = torch.randint(120, 134, (m, k // 32), dtype=torch.uint8) if scaled else None
    b = torch.randint(0, 256, (k // 2, n), dtype=torch.uint8)
    b_scale = torch.randint(120, 134, (n, k // 32), dtype=torch.uint8)
    c = torch.empty(m, n)
    scaled_matmul[(1,)](a, a_scale, b, b_scale, c, M=m, N=n, K=k, A=format_)

    magnitudes = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)
    fp4 = torch.cat([magnitudes, -magnitudes])
    values = torch.stack([fp4[(b & 15).long()], fp4[(b >> 4).long()]], dim=1).reshape(k, n)
    right = values * 2.0 ** (b_scale.double() - 127).repeat_interleave(32, dim=1).T
    left = a.double()
    if a_scale is not None:
        left = left * 2.0 ** (a_scale.double() - 127).repeat_interleave(32, dim=1)
    expected = left @ right
    torch.testing.assert_close(c.double(), expected, rtol=1e-5, atol=1e-5 * expected.abs().max())


@pytest.mark.parametrize("magnitude", [1e-30, 1e-6, 1.0, 1e5, 1e30])
def test_a_microscaled_product_takes_the_whole_range_of_bfloat16(magnitude):
    a = (torch.rand(16, 32) * magnitude).to(torch.bfloat16)
    b = torch.full((16, 16), 0x22, dtype=torch.uint8)  # 1.0 and 1.0
    b_scale = torch.full((16, 1), 127, dtype=torch.uint8)
    c = torch.empty(16, 16)
    scaled_matmul[(1,)](a, None, b, b_scale, c, M=16, N=16, K=32, A="bf16")
    expected = a.float().sum(dim=1, keepdim=True).expand(16, 16)
    torch.testing.assert_close(c, expected, rtol=1e-6, atol=0)


def test_a_scale_of_255_is_nan():
    a, b = torch.ones(16, 32, dtype=torch.bfloat16), torch.full((16, 16), 0x22, dtype=torch.uint8)
    b_scale = torch.full((16, 1), 127, dtype=torch.uint8)
    b_scale[3] = 255
    c = torch.empty(16, 16)
    scaled_matmul[(1,)](a, None, b, b_scale, c, M=16, N=16, K=32, A="bf16")
    assert c.isnan().any(dim=0).nonzero().tolist() == [[3]]
    assert c[0, 0] == 32
