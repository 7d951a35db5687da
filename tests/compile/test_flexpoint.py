"""Flexpoint compiles for every GPU, uses what instructions there are, costs nothing unused."""

from __future__ import annotations

import re

import pytest
import torch
from triton.compiler.errors import CompilationError

from tests.support import flexpoint_kernels
from tests.support.compile_only import TARGETS, Compilation, compiling_for
from triton_kernels.numerics import OutFlexData

WIDE = [torch.float16, torch.bfloat16, torch.float32]
DTYPES = {
    "sm_80": [torch.float8_e5m2, *WIDE],  # Triton has no e4m3 there
    "sm_90": [torch.float8_e5m2, torch.float8_e4m3fn, *WIDE],
    "sm_100": [torch.float8_e5m2, torch.float8_e4m3fn, *WIDE],
    "gfx942": [torch.float8_e5m2, torch.float8_e4m3fn, torch.float8_e4m3fnuz, *WIDE],
    "gfx950": [torch.float8_e5m2, torch.float8_e4m3fn, *WIDE],
}
CASES = [(target, dtype) for target in TARGETS for dtype in DTYPES[target]]

X = torch.empty(2, 1000)


def all_scales() -> OutFlexData:
    return OutFlexData(
        expected_scale=torch.empty(1),
        actual_scale=torch.empty(2),
        checksum_scale=torch.empty(1, dtype=torch.int32),
    )


def text(compiled: list[Compilation]) -> str:
    """The assembly of the one kernel."""
    (kernel,) = compiled
    return kernel.asm["ptx"] if "ptx" in kernel.asm else kernel.asm["amdgcn"]


@pytest.mark.parametrize(("target", "dtype"), CASES)
def test_everything_asked_for_fits_the_registers(target, dtype):
    mask = torch.empty(2, 1000, dtype=torch.bool)
    with compiling_for(target) as compiled:
        flexpoint_kernels.scale_out(X, all_scales(), dtype, True, mask)
        flexpoint_kernels.scale_in(X.to(dtype), torch.empty(2))
        flexpoint_kernels.limits(dtype, "cpu")
        flexpoint_kernels.needed_scale(X.view(-1)[:1024], dtype)
        flexpoint_kernels.update(X[:, :512], torch.empty(1), dtype)
    assert len(compiled) == 5
    assert [kernel.spilled_bytes for kernel in compiled] == [0] * 5


@pytest.mark.parametrize("target", TARGETS)
def test_magnitudes_are_compared_by_one_instruction_where_there_is_one(target):
    flex = OutFlexData(actual_scale=torch.empty(1), expected_scale=torch.empty(1))
    with compiling_for(target) as compiled:
        flexpoint_kernels.scale_out(X, flex, torch.float16, True)
    has_it = target in ("sm_90", "sm_100")
    for instruction in ("max.NaN.xorsign.abs.f32", "min.NaN.xorsign.abs.f32"):
        assert (instruction in text(compiled)) == has_it


@pytest.mark.parametrize("target", TARGETS)
def test_what_nobody_asks_for_costs_no_instruction(target):
    with compiling_for(target) as compiled:
        flexpoint_kernels.scale_out(X, OutFlexData(), torch.float16, True)
        flexpoint_kernels.scale_out(X, all_scales(), torch.float16, True)
    (nothing, everything) = (text([kernel]) for kernel in compiled)
    division, update = ASSEMBLY["nvidia" if target.startswith("sm") else "amd"]
    for asked in (division, update):
        assert re.search(asked, everything)
        assert not re.search(asked, nothing)


# How a reciprocal is computed, and memory updated.
ASSEMBLY = {
    "nvidia": (r"\bdiv\.rn\.f32\b", r"\b(atom|red)\.[a-z.]*global\b"),
    "amd": (r"\bv_div_fmas_f32\b", r"\bglobal_atomic_"),
}


def said(error: BaseException | None) -> str:
    """The messages of an error and of what caused it: Triton 3.6 has the reason there."""
    return "" if error is None else f"{error} {said(error.__cause__)}"


@pytest.mark.parametrize("target", ["sm_80", "gfx942"])
def test_the_instructions_of_capability_8_6_are_refused_where_they_are_missing(target):
    x = torch.empty(128)
    with compiling_for(target), pytest.raises(CompilationError) as refused:
        flexpoint_kernels.nan_xorsign_abs(x, x)
    assert "needs compute capability 8.6" in said(refused.value)


@pytest.mark.parametrize("target", TARGETS)
def test_a_format_without_a_largest_value_is_refused(target):
    with compiling_for(target), pytest.raises(CompilationError) as refused:
        flexpoint_kernels.limits(torch.float64, "cpu")
    assert "expected fp8, fp16, bf16 or fp32" in said(refused.value)
