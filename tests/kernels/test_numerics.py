"""The records of flexpoint: how bytes are read, and what a scale may be."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from triton_kernels import numerics
from triton_kernels.numerics import BaseFlexData, InFlexData, OutFlexData

E4M3 = torch.float8_e4m3fn


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("MAX_FINITE_FLOAT8E5", torch.float8_e5m2),
        ("MAX_FINITE_FLOAT8E4NV", torch.float8_e4m3fn),
        ("MAX_FINITE_FLOAT8E4B8", torch.float8_e4m3fnuz),
    ],
)
def test_limits_are_the_largest_of_all_codes(name, dtype):
    values = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(dtype).float()
    assert getattr(numerics, name) == values[values.isfinite()].max()


def test_a_view_has_the_bytes_of_the_tensor():
    x = torch.randint(0, 256, (3, 4), dtype=torch.uint8)
    assert BaseFlexData().view(x) is x and BaseFlexData().reinterpret(x) is x
    for read in (BaseFlexData(E4M3).view(x), BaseFlexData(E4M3).reinterpret(x)):
        assert read.dtype == E4M3 and read.data_ptr() == x.data_ptr()


def test_only_bytes_are_reinterpreted():
    x = torch.zeros(2, 4, dtype=torch.bfloat16)
    assert BaseFlexData(E4M3).reinterpret(x) is x
    assert BaseFlexData(E4M3).view(x).shape == (2, 8)


@pytest.mark.parametrize("x", [None])
def test_nothing_stays_nothing_without_a_dtype(x):
    assert BaseFlexData().reinterpret(x) is None


@pytest.mark.parametrize(
    ("scale", "expected"), [(None, False), (torch.ones(1), False), (torch.ones(2), True)]
)
def test_a_scale_is_per_batch_if_it_has_several_elements(scale, expected):
    assert InFlexData(scale=scale).is_per_batch is expected
    assert OutFlexData(expected_scale=scale).is_per_batch is expected
    assert OutFlexData(actual_scale=torch.ones(3)).is_per_batch is False


def test_an_output_iterates_over_its_three_scales():
    scales = torch.ones(1), torch.zeros(1), torch.zeros(1, dtype=torch.int32)
    assert all(a is b for a, b in zip(OutFlexData(E4M3, *scales), scales, strict=True))
    assert list(OutFlexData()) == [None, None, None]


@pytest.mark.parametrize("record", [BaseFlexData, InFlexData, OutFlexData])
def test_records_are_frozen(record):
    with pytest.raises(dataclasses.FrozenInstanceError):
        record().dtype = E4M3


@pytest.mark.parametrize(
    ("record", "name"),
    [(InFlexData, "scale"), (OutFlexData, "expected_scale"), (OutFlexData, "actual_scale")],
)
@pytest.mark.parametrize(
    ("scale", "error", "text"),
    [
        (1.0, TypeError, "expected a float32 tensor, got 1.0"),
        (torch.ones(1, dtype=torch.float64), TypeError, "expected a float32 tensor, got a float64"),
        (torch.ones(()), ValueError, "expected one dimension"),
        (torch.ones(2, 2), ValueError, "expected one dimension"),
        (torch.ones(0), ValueError, "expected one dimension"),
    ],
)
def test_a_wrong_scale_is_named(record, name, scale, error, text):
    with pytest.raises(error, match=f"^{name}: {text}"):
        record(**{name: scale})


def test_a_checksum_has_four_bytes():
    with pytest.raises(TypeError, match="checksum_scale: expected an int32 or float32 tensor, got"):
        OutFlexData(checksum_scale=torch.zeros(1, dtype=torch.int64))
