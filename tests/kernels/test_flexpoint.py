"""Flexpoint, by torch, in the interpreter and on a GPU: the oracle computes with integers."""

from __future__ import annotations

import os
import zlib
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.support import flexpoint_kernels
from triton_kernels.numerics import OutFlexData
from triton_kernels.numerics_details import reference

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

ON_GPU = pytest.param(
    SimpleNamespace(ops=flexpoint_kernels, device="cuda"),
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")],
    id="gpu",
)
IN_INTERPRETER = pytest.param(
    SimpleNamespace(ops=flexpoint_kernels, device="cpu"), id="interpreter"
)
BY_REFERENCE = pytest.param(SimpleNamespace(ops=reference, device="cpu"), id="reference")

KERNELS = [IN_INTERPRETER] if INTERPRETED else [ON_GPU]
WAYS = KERNELS if INTERPRETED else [BY_REFERENCE, ON_GPU]

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
FP8 = [E4M3, E5M2]
LARGEST = {
    E4M3: 448.0,
    E5M2: 57344.0,
    torch.float16: 65472.0,
    torch.bfloat16: float.fromhex("0x1.fep127"),
    torch.float32: float.fromhex("0x1.fffffep127"),
}

INF, NAN = float("inf"), float("nan")
SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1e-45, -1e-40, 2.0**-126, 448.0, 464.0, 465.0, -480.0]
SPECIAL += [57344.0, 61439.0, 61440.0, -65504.0, 65472.0, 65519.0, 65520.0, 3.39e38, -3.4028e38]


@pytest.fixture(autouse=True)
def seeded(request):
    """Random numbers that depend on the test's parameters alone."""
    torch.manual_seed(zlib.crc32(request.node.name.encode()))


def results(*shape: int, special: bool = True) -> torch.Tensor:
    """Fresh results of many magnitudes, with special values anywhere among them."""
    x = torch.randn(shape) * torch.exp2(torch.randint(-20, 20, shape))
    if special:
        flat = x.view(-1)
        flat[torch.randperm(len(flat))[: len(SPECIAL)]] = torch.tensor(SPECIAL)[: len(flat)]
    return x


def fresh_scale(*shape: int) -> torch.Tensor:
    """Scales no power of two."""
    return torch.rand(shape) * 3 + 0.5


# The oracle.


def to_float32(value: Fraction) -> float:
    """Rounded once, to nearest; finite and not subnormal."""
    guess = np.float32(float(value))
    near = [np.nextafter(guess, np.float32(-INF)), guess, np.nextafter(guess, np.float32(INF))]
    best = min(near, key=lambda f: (abs(Fraction(float(f)) - value), f.view(np.int32) & 1))
    return float(best)


def needed(x: torch.Tensor, dtype: torch.dtype) -> float:
    """fma(largest |x|, 1 / max_finite, 1e-30), NaN counted as infinity."""
    largest = max(INF if v != v else abs(v) for v in x.flatten().tolist())
    if largest == INF:
        return INF
    reciprocal, smallest = (Fraction(float(np.float32(v))) for v in (1 / LARGEST[dtype], 1e-30))
    return to_float32(Fraction(largest) * reciprocal + smallest)


def checksum(x: torch.Tensor) -> int:
    """The exclusive or of the bits, signed."""
    return int(np.bitwise_xor.reduce(x.flatten().numpy().view(np.int32), initial=0))


def fp8_values(dtype: torch.dtype) -> torch.Tensor:
    """What the 256 codes of a format mean, read bit by bit (OCP 8-bit floating point, 2023)."""
    n_exponent, bias = {E4M3: (4, 7), E5M2: (5, 15)}[dtype]
    n_fraction = 7 - n_exponent
    values = []
    for code in range(256):
        sign = -1.0 if code & 0x80 else 1.0
        exponent, fraction = (code & 0x7F) >> n_fraction, code & (2**n_fraction - 1)
        if dtype == E5M2 and exponent == 31:
            value = NAN if fraction else INF
        elif dtype == E4M3 and code & 0x7F == 0x7F:
            value = NAN
        elif exponent == 0:
            value = fraction / 2**n_fraction * 2.0 ** (1 - bias)
        else:
            value = (1 + fraction / 2**n_fraction) * 2.0 ** (exponent - bias)
        values.append(sign * value)
    return torch.tensor(values)


def rounded(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """float32: the nearest value of `dtype`, of two the one with an even code; fp8 saturates."""
    if dtype not in FP8:
        return x.to(dtype).float()
    codes = fp8_values(dtype)[:128]
    codes = codes[codes.isfinite()].double()
    distance = (x.double().abs().clamp(max=LARGEST[dtype])[..., None] - codes).abs()
    nearest = distance.amin(dim=-1, keepdim=True)
    tied = distance == nearest
    even = torch.arange(len(codes)) % 2 == 0
    code = torch.where(
        (tied & even).any(dim=-1), (tied & even).int().argmax(-1), tied.int().argmax(-1)
    )
    value = torch.copysign(codes[code].float(), x)
    return torch.where(x.isnan(), NAN, value)


def same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Bit for bit, but for what a NaN holds."""
    actual, expected = actual.cpu().float(), expected.cpu().float()
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)
    signs_agree = torch.signbit(actual) == torch.signbit(expected)
    assert torch.all(signs_agree | expected.isnan())


def same_scale(actual: torch.Tensor, expected: list[float]) -> None:
    """Bit for bit; Triton 3.6 interprets an fma as a product and a sum."""
    expected32 = torch.tensor(expected)
    if INTERPRETED:
        torch.testing.assert_close(actual, expected32, rtol=2**-23, atol=0)
    else:
        assert actual.tolist() == expected32.tolist()


# Results that are stored.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [*FP8, torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_what_is_stored_is_the_result_over_the_scale_rounded_to_nearest(
    way, dtype, saturate, scaled
):
    x = results(3, 200)
    scale = fresh_scale(1) if scaled else None
    flex = OutFlexData(expected_scale=scale if scale is None else scale.to(way.device))
    actual = way.ops.scale_out(x.to(way.device), flex, dtype, saturate)

    value = x if scale is None else x * (1 / scale)
    if saturate and scaled:
        value = torch.where(value > LARGEST[dtype], LARGEST[dtype], value)
        value = torch.where(value < -LARGEST[dtype], -LARGEST[dtype], value)
    assert actual.dtype == dtype
    same(actual, rounded(value, dtype))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", FP8)
def test_fp8_holds_the_largest_value_where_there_is_no_room_and_nan_for_nan(way, dtype):
    x = torch.tensor([[INF, -INF, 1e30, -1e30, LARGEST[dtype] * 1.5, NAN, 1.0, -0.0]])
    stored = way.ops.scale_out(x.to(way.device), OutFlexData(), dtype, False)
    top = LARGEST[dtype]
    same(stored, torch.tensor([[top, -top, top, -top, top, NAN, 1.0, -0.0]]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", FP8)
def test_ties_between_neighbours_go_to_the_even_code(way, dtype):
    values = fp8_values(dtype)[:128]
    values = values[values.isfinite()]
    ties = (values[1:] + values[:-1]) / 2
    ties = torch.nn.functional.pad(ties, (0, 128 - len(ties)))[None]
    same(way.ops.scale_out(ties.to(way.device), OutFlexData(), dtype, False), rounded(ties, dtype))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [*FP8, torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("masked", [False, True])
def test_the_scale_that_was_needed_and_the_checksum_are_those_of_the_results_that_count(
    way, dtype, masked
):
    # NaN and infinity only where they do not count: with them, the scale would say little.
    x, mask = results(4, 100, special=False), None
    if masked:
        mask = torch.rand(4, 100) < 0.5
        x = torch.where(mask, x, torch.tensor(SPECIAL).repeat(20)[:400].view(4, 100))
    start = torch.tensor([0.0, 0.0, 1e30, 0.0])
    sums = torch.randint(-(2**31), 2**31 - 1, (4,), dtype=torch.int32)
    flex = OutFlexData(
        actual_scale=start.to(way.device, copy=True), checksum_scale=sums.to(way.device, copy=True)
    )
    on_device = None if mask is None else mask.to(way.device)
    way.ops.scale_out(x.to(way.device), flex, dtype, False, on_device)

    counted = x if mask is None else torch.where(mask, x, 0.0)
    same_scale(
        flex.actual_scale.cpu(),
        [max(old, needed(row, dtype)) for old, row in zip(start.tolist(), counted, strict=True)],
    )
    added = [int(old) + checksum(row) for old, row in zip(sums, counted, strict=True)]
    wrapped = [(total + 2**31) % 2**32 - 2**31 for total in added]
    assert flex.checksum_scale.tolist() == wrapped


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nan_and_infinity_need_an_infinite_scale(way, value):
    x = results(1, 64, special=False)
    x[0, 37] = value
    flex = OutFlexData(actual_scale=torch.zeros(1, device=way.device))
    way.ops.scale_out(x.to(way.device), flex, E4M3, True)
    assert flex.actual_scale.tolist() == [INF]


@pytest.mark.parametrize("way", WAYS)
def test_zeros_need_the_smallest_scale(way):
    flex = OutFlexData(actual_scale=torch.zeros(1, device=way.device))
    way.ops.scale_out(torch.zeros(1, 64, device=way.device), flex, E5M2, False)
    assert flex.actual_scale.tolist() == torch.tensor([1e-30]).tolist()


@pytest.mark.parametrize("way", WAYS)
def test_each_batch_has_a_scale_of_its_own(way):
    x, scale = results(5, 33), fresh_scale(5)
    flex = OutFlexData(
        expected_scale=scale.to(way.device), actual_scale=torch.zeros(5, device=way.device)
    )
    actual = way.ops.scale_out(x.to(way.device), flex, E4M3, False)
    same(actual, rounded(x * (1 / scale)[:, None], E4M3))
    same_scale(flex.actual_scale.cpu(), [needed(row, E4M3) for row in x])


@pytest.mark.parametrize("way", WAYS)
def test_a_checksum_may_lie_in_memory_of_floats(way):
    x = results(1, 50)
    flex = OutFlexData(checksum_scale=torch.zeros(1, device=way.device))
    way.ops.scale_out(x.to(way.device), flex, torch.float32, False)
    assert flex.checksum_scale.view(torch.int32).tolist() == [checksum(x)]


# Values that are read.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", FP8)
@pytest.mark.parametrize("scaled", [False, True])
def test_every_code_stands_for_its_value_times_the_scale(way, dtype, scaled):
    x = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(1, 256).view(dtype)
    scale = fresh_scale(1) if scaled else None
    actual = way.ops.scale_in(x.to(way.device), None if scale is None else scale.to(way.device))
    assert actual.dtype == torch.float32
    same(actual, fp8_values(dtype)[None] * (1.0 if scale is None else scale))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_wide_values_are_scaled_by_batch(way, dtype):
    x, scale = results(3, 77).to(dtype), fresh_scale(3)
    same(way.ops.scale_in(x.to(way.device), scale.to(way.device)), x.float() * scale[:, None])


# Of the reference alone.

REFERENCE_ONLY = pytest.mark.skipif(INTERPRETED, reason="no kernel is asked")


@REFERENCE_ONLY
def test_a_scale_for_each_batch_takes_any_number_of_dimensions():
    x, scale = results(2, 3, 5, 7), fresh_scale(2)
    flex = OutFlexData(expected_scale=scale, actual_scale=torch.zeros(2))
    stored = reference.scale_out(x, flex, E5M2, True)
    same(stored, rounded((x * (1 / scale).view(2, 1, 1, 1)).clamp(-57344, 57344), E5M2))
    same_scale(flex.actual_scale, [needed(batch, E5M2) for batch in x])
    same(reference.scale_in(stored, scale), rounded(stored.float(), E5M2) * scale.view(2, 1, 1, 1))


@REFERENCE_ONLY
def test_nothing_needs_no_scale():
    flex = OutFlexData(actual_scale=torch.zeros(1), checksum_scale=torch.ones(1).int())
    assert reference.scale_out(torch.zeros(0, 5), flex, E4M3, False).shape == (0, 5)
    assert flex.actual_scale.tolist() == [0] and flex.checksum_scale.tolist() == [1]


@REFERENCE_ONLY
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fnuz])
def test_the_formats_of_amd_saturate_too(dtype):
    x = torch.tensor([1e9, -INF, NAN, 240.0, 3.0])
    stored = reference.scale_out(x, OutFlexData(), dtype, False)
    same(stored, torch.tensor([240.0, -240.0, NAN, 240.0, 3.0]))


@REFERENCE_ONLY
@pytest.mark.parametrize(
    ("flex", "dtype", "error", "text"),
    [
        (OutFlexData(), torch.float64, TypeError, "dtype: expected one of .*float8_e5m2"),
        (OutFlexData(), torch.int8, TypeError, "dtype: expected one of"),
        (OutFlexData(expected_scale=torch.ones(3)), E4M3, ValueError, "expected_scale: expected"),
        (OutFlexData(actual_scale=torch.ones(3)), E4M3, ValueError, "actual_scale: expected one"),
        (OutFlexData(checksum_scale=torch.ones(3)), E4M3, ValueError, "checksum_scale: expected"),
    ],
)
def test_a_wrong_argument_is_named(flex, dtype, error, text):
    with pytest.raises(error, match=text):
        reference.scale_out(torch.zeros(2, 4), flex, dtype, False)


# Of the kernels alone.


@pytest.mark.parametrize("way", KERNELS)
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_largest_magnitude_is_found_and_nan_is_larger_than_all(way, axis, dtype):
    x = results(16, 32).to(dtype)
    x[5] = torch.randn(32)  # some results are of numbers only
    x[:, 7] = -torch.rand(16).to(dtype)
    expected = x.float().abs()
    if axis is None:
        expected = expected.max().view(1)  # torch propagates NaN
    else:
        expected = expected.amax(dim=axis)
    same(flexpoint_kernels.absmax(x.to(way.device), axis), expected)


@pytest.mark.parametrize("way", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_clipping_keeps_what_is_inside_signs_and_nan(way, dtype):
    x = results(1, 64).view(64).to(dtype)
    expected = torch.tensor([v if v != v else max(-2.5, min(2.5, v)) for v in x.tolist()])
    same(flexpoint_kernels.clipped(x.to(way.device), 2.5), expected)


@pytest.mark.parametrize("way", KERNELS)
@pytest.mark.parametrize("dtype", LARGEST)
def test_limits_are_those_of_the_format_and_reciprocals_are_rounded_to_nearest(way, dtype):
    largest, reciprocal = flexpoint_kernels.limits(dtype, way.device)
    assert largest == LARGEST[dtype]
    # Subnormal for bfloat16 and float32, which numpy rounds right, too.
    assert reciprocal == float(np.float32(1 / LARGEST[dtype]))
    if dtype != torch.float16:
        assert largest == torch.finfo(dtype).max


@pytest.mark.parametrize("way", KERNELS)
@pytest.mark.parametrize("dtype", LARGEST)
def test_a_scale_is_raised_by_every_tile_and_never_lowered(way, dtype):
    x = results(6, 32, special=False)
    scale = torch.zeros(1, device=way.device)
    flexpoint_kernels.update(x.to(way.device), scale, dtype)
    same_scale(scale.cpu(), [needed(x, dtype)])
    before = scale.clone()
    flexpoint_kernels.update(x.to(way.device) / 2, scale, dtype)
    assert torch.equal(scale, before)
    flexpoint_kernels.update(x.to(way.device), None, dtype)  # nobody asks
    flat = x.view(-1)[:64]
    same_scale(
        flexpoint_kernels.needed_scale(flat.to(way.device), dtype).cpu(), [needed(flat, dtype)]
    )


@pytest.mark.parametrize("way", KERNELS)
def test_a_scale_can_be_a_number_of_the_kernel_or_missing(way):
    x = results(1, 64).view(64)
    expected = x * (1 / torch.tensor(1.3))
    same(flexpoint_kernels.scale_out_by_value(x.to(way.device), 1.3), expected)
    assert flexpoint_kernels.loaded_scale(None, way.device) == 1.0
    scale = fresh_scale(1)
    assert flexpoint_kernels.loaded_scale(scale.to(way.device), way.device) == scale.item()


@pytest.mark.parametrize("way", [] if INTERPRETED else [ON_GPU])
def test_the_instructions_of_capability_8_6_do_what_the_ptx_manual_says(way):
    if torch.version.hip or torch.cuda.get_device_capability() < (8, 6):
        pytest.skip("needs compute capability 8.6")
    x, y = results(2, 64).view(2, 64)
    y[:4] = torch.tensor([1.0, NAN, -0.0, -3.0])
    low, high = flexpoint_kernels.nan_xorsign_abs(x.cuda(), y.cuda())
    negative = torch.signbit(x) != torch.signbit(y)
    for actual, expected in (
        (low, torch.minimum(x.abs(), y.abs())),
        (high, torch.maximum(x.abs(), y.abs())),
    ):
        same(actual, torch.where(negative, -expected, expected))
