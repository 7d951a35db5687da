"""reduce and swiglu compile for every GPU, in registers, and read as much at once as they can."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import torch
import triton

from tests.support.compile_only import TARGETS, Compilation, compiling_for
from triton_kernels.matmul_ogs import RoutingData
from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.reduce import FnSpecs, PostprocessFn, reduce
from triton_kernels.swiglu import FlexCtx, PrecisionConfig, swiglu, swiglu_fn

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
SWIGLU = PostprocessFn(FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), (), 2), (1.702, 7.0))


def one(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones(1, dtype=dtype)


def flex(dtype: torch.dtype | None = None) -> OutFlexData:
    return OutFlexData(dtype, one(), one(), one(torch.int32))


# Triton 3.6 converts e5m2, for the rest of a process, as the first GPU it has compiled for does.
FORGETS_GPUS = tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 9)


def in_registers(compiled: Iterable[Compilation]) -> None:
    spilling = [
        f"{kernel.name} for {kernel.target}: {kernel.spilled_bytes} B"
        for kernel in compiled
        if kernel.spilled_bytes > 0
    ]
    assert spilling == []


def accesses(kernel: Compilation, kind: str) -> set[str]:
    """Widths of the loads ("ld") or stores ("st") of an NVIDIA kernel: {"v4.b32"}."""
    return set(
        re.findall(rf"{kind}\.global(?:\.[a-z_:0-9]+)*?\.((?:v\d\.)?b\d+)", kernel.asm["ptx"])
    )


# The choices of tokens, the splits of a product, sums along rows, few sums of many terms.
SHAPES = [((8192, 4, 2880), 1), ((4, 4096, 2880), 0), ((512, 64, 2880), 2), ((2, 5000, 24), 1)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_sums_of_any_shape_stay_in_registers(target, shape, dim):
    x = torch.empty(shape, dtype=torch.bfloat16)
    mask = torch.empty(*shape[:2], 1, dtype=torch.bool)
    with compiling_for(target) as compiled:
        reduce(x, dim, mask=mask)
        reduce(x.transpose(0, 2), dim)
        reduce(x, dim, y_flex=flex(), y_dtype=torch.float16, postprocess_fn1=SWIGLU)
    assert [kernel.name for kernel in compiled] == ["_reduce"] * 3
    in_registers(compiled)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, E4M3, E5M2])
def test_sums_of_any_dtype_stay_in_registers(target, dtype):
    x, mask = torch.empty(8192, 4, 2880, dtype=dtype), torch.empty(8192, 4, 1, dtype=torch.bool)
    if dtype == E4M3 and target == "sm_80":
        with compiling_for(target), pytest.raises(TypeError, match="x: expected no e4m3 below"):
            reduce(x, 1)
        return
    if dtype == E5M2 and target == "sm_80" and not FORGETS_GPUS:
        pytest.skip("compiles only in a process that has compiled for no later GPU")
    scale = torch.empty(1, 1, 2880)
    with compiling_for(target) as compiled:
        reduce(x, 1, mask=mask, scale=scale, x_flex=InFlexData(None, one()))
        reduce(x, 1, postprocess_fn2=SWIGLU, y_flex=flex())
    assert [kernel.name for kernel in compiled] == ["_reduce"] * 2
    in_registers(compiled)


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "sm_80"])
def test_microscaled_sums_stay_in_registers(target):
    x = torch.empty(8192, 4, 2880, dtype=E4M3)
    x_mxscale = torch.empty(8192, 4, 90, dtype=torch.uint8)
    with compiling_for(target) as compiled:
        reduce(x, 1, x_mxscale=x_mxscale)
        reduce(x, 0, x_mxscale=x_mxscale, y_has_mx=False, y_dtype=torch.bfloat16)
        reduce(x.bfloat16(), 2, y_has_mx=True, postprocess_fn1=SWIGLU, y_flex=flex())
    assert [kernel.name for kernel in compiled] == ["_reduce"] * 3
    in_registers(compiled)


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_choices_of_tokens_are_read_16_bytes_at_a_time(target, dtype):
    x = torch.empty(8192, 4, 2880, dtype=dtype)
    with compiling_for(target) as compiled:
        reduce(x, 1, mask=torch.empty(8192, 4, 1, dtype=torch.bool))
        reduce(x, 1)
    for kernel in compiled:
        assert accesses(kernel, "ld") <= {"v4.b32", "b8"}
        assert accesses(kernel, "st") == {"v4.b32"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 7.0), (torch.bfloat16, None)])
def test_swiglu_and_its_gradient_stay_in_registers(target, dtype, limit):
    routing = RoutingData(one(), one(torch.int32), 1, 1, None)
    a = torch.empty(8192, 5760, dtype=dtype, requires_grad=True)
    with compiling_for(target) as compiled:
        for config in (
            PrecisionConfig(limit),
            PrecisionConfig(limit, FlexCtx(flex(), InFlexData(None, one()))),
        ):
            result = swiglu(a, 1.702, config, routing)
            result.backward(torch.empty_like(result))
    assert {kernel.name for kernel in compiled} == {"_swiglu", "_swiglu_backward"}
    in_registers(compiled)
    for kernel in compiled:
        if "ptx" in kernel.asm:
            assert "v4.b32" in accesses(kernel, "ld")


@pytest.mark.parametrize("target", TARGETS)
def test_swiglu_of_fp8_compiles_where_the_gpu_converts_it(target):
    a = torch.empty(300, 5760, dtype=E4M3)
    config = PrecisionConfig(7.0, FlexCtx(flex(), InFlexData(None, one())))
    if target == "sm_80":
        with compiling_for(target), pytest.raises(TypeError, match="a: expected no e4m3 below"):
            swiglu(a, 1.702, config)
        return
    with compiling_for(target) as compiled:
        swiglu(a, 1.702, config)
        swiglu(
            a.view(torch.uint8), 1.702, PrecisionConfig(7.0, FlexCtx(flex(E5M2), InFlexData(E5M2)))
        )
    in_registers(compiled)
