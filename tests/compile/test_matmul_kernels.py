"""What the product by pointers and the finalising pass compile to."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from tests.support.compile_only import TARGETS, Compilation, compiling_for
from tests.support.products import plan_of, product_of, slices_of
from triton_kernels.matmul_ogs_details import _launch
from triton_kernels.matmul_ogs_details.opt_flags import opt_flags_constraints
from triton_kernels.matmul_ogs_details.product import Function, InnerSlices, Product, Remote
from triton_kernels.numerics import OutFlexData
from triton_kernels.specialize import FnSpecs

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
E4M3 = torch.float8_e4m3fn

# The 8-bit floats that a target has a type for.
FP8 = {"sm_80": torch.float8_e5m2, "gfx942": torch.float8_e4m3fnuz}

TENSOR_CORES = {
    "sm_80": "mma.sync",
    "sm_90": "wgmma.mma_async",
    "sm_100": "tcgen05.mma",
    "gfx942": "v_mfma",
    "gfx950": "v_mfma",
}

# Inner and outer dimension of a model, and its experts.
SIZE, EXPERTS, CHOICES = 2880, 128, 4


def empty(*shape: int, dtype: torch.dtype, transposed: bool = False) -> torch.Tensor:
    if transposed:
        return empty(*shape[:-2], shape[-1], shape[-2], dtype=dtype).transpose(-1, -2)
    return torch.empty(shape, dtype=dtype)


def plain(n_rows: int, dtype: torch.dtype, **changes: Any) -> Product:
    w = empty(1, SIZE, SIZE, dtype=dtype, transposed=dtype.itemsize == 1)
    return product_of(empty(1, n_rows, SIZE, dtype=dtype), w, **changes)


def ragged(n_tokens: int, dtype: torch.dtype, n_choices: int = CHOICES, **changes: Any) -> Product:
    """Gathered, scattered, weighted, with a bias."""
    n_rows = n_tokens * n_choices
    w = empty(1, SIZE, SIZE, dtype=dtype, transposed=dtype.itemsize == 1)
    slots = torch.zeros(n_rows, dtype=torch.int32)
    return product_of(
        empty(1, n_tokens, SIZE, dtype=dtype),
        w.expand(EXPERTS, SIZE, SIZE),
        slices=slices_of([n_rows // EXPERTS] * EXPERTS),
        n_choices=n_choices,
        gather=slots,
        scatter_to=slots,
        scatter_from=slots,
        gammas=torch.empty(n_rows),
        bias=torch.empty(EXPERTS, SIZE),
        **changes,
    )


def code(kernel: Compilation) -> str:
    return kernel.asm["amdgcn" if "amdgcn" in kernel.asm else "ptx"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["bf16", "fp16", "fp32", "fp8"])
def test_default_plans_use_tensor_cores_and_fit_the_registers(target, kind):
    fp8 = FP8.get(target, torch.float8_e4m3fn)
    dtype = {"bf16": BF16, "fp16": FP16, "fp32": FP32, "fp8": fp8}[kind]
    y_dtype = BF16 if kind == "fp8" else dtype
    with compiling_for(target) as compiled, opt_flags_constraints(is_persistent=False):
        _launch.multiply(plain(4096, dtype, y_dtype=y_dtype))
        _launch.multiply(ragged(8192, dtype, y_dtype=y_dtype))
    assert [kernel.name for kernel in compiled] == ["_matmul_ogs", "_matmul_ogs", "_finalize"]
    assert [kernel.spilled_bytes for kernel in compiled] == [0, 0, 0]
    for product in compiled[:2]:
        assert TENSOR_CORES[target] in code(product)


@pytest.mark.parametrize("target", TARGETS)
def test_default_plans_of_small_batches_fit_the_registers(target):
    with compiling_for(target) as compiled, opt_flags_constraints(is_persistent=False):
        _launch.multiply(plain(64, BF16, y_dtype=BF16))
        _launch.multiply(ragged(64, BF16, y_dtype=BF16))
        _launch.multiply(ragged(64, FP8.get(target, torch.float8_e4m3fn), y_dtype=BF16))
    assert compiled
    assert not any(kernel.spilled_bytes for kernel in compiled)


HOPPER = {"block_m": 128, "block_n": 128, "block_k": 64, "num_warps": 8}


@pytest.mark.parametrize("x_transposed", [False, True])
@pytest.mark.parametrize("w_transposed", [False, True])
def test_operands_of_either_order_are_copied_16_bytes_at_a_time(x_transposed, w_transposed):
    p = product_of(
        empty(1, 512, SIZE, dtype=BF16, transposed=x_transposed),
        empty(1, SIZE, 512, dtype=BF16, transposed=w_transposed),
        y_dtype=BF16,
    )
    with compiling_for("sm_90") as compiled:
        _launch.multiply_as_planned(p, plan_of(**HOPPER))
    (kernel,) = compiled
    assert copied_bytes(kernel) == {16}
    assert "ld.global" not in code(kernel)
    assert stored_bits(kernel) == {128}


@pytest.mark.parametrize("padded", [(True, False), (False, True)])
def test_inner_slices_are_copied_16_bytes_at_a_time_in_their_loop(padded):
    """As the gradient of a weight has them: tokens by tokens, and contiguous across them."""
    sizes = [128] * 32
    p = product_of(
        empty(sum(sizes), 512, dtype=BF16).t()[None],
        empty(1, sum(sizes), 512, dtype=BF16),
        inner=InnerSlices(slices_of(sizes), 64, *padded),
        y_dtype=BF16,
    )
    with compiling_for("sm_90") as compiled:
        _launch.multiply_as_planned(p, plan_of(**HOPPER))
    assert copied_bytes(compiled[0]) == {16}
    assert compiled[0].spilled_bytes == 0


@pytest.mark.parametrize("split_k", [1, 2])
def test_the_finalising_pass_reads_and_writes_16_bytes_at_a_time(split_k):
    with compiling_for("sm_90") as compiled:
        _launch.multiply_as_planned(ragged(8192, BF16, y_dtype=BF16), plan_of(split_k=split_k))
    finalize = compiled[1]
    reads = re.findall(r"ld\.global\S*\.v4\.b32", code(finalize))
    # float32 splits take two reads for what bf16 takes one.
    assert len(reads) == CHOICES * (1 if split_k == 1 else 2 * split_k)
    assert stored_bits(finalize) == {128}


@pytest.mark.parametrize("target", TARGETS)
def test_sums_of_many_rows_and_splits_compile(target):
    indx = torch.zeros(64, 12, dtype=torch.int32)
    with compiling_for(target) as compiled:
        _launch.sum_groups(empty(9, 1, 64, SIZE, dtype=BF16), indx, x_scale=torch.ones(1))
    assert compiled[0].spilled_bytes == 0


def copied_bytes(kernel: Compilation) -> set[int]:
    """Sizes of the asynchronous copies to shared memory."""
    return {
        int(size, 16) for size in re.findall(r"cp\.async\.c[ag]\S* \[[^;]*?(0x\w+)", code(kernel))
    }


def stored_bits(kernel: Compilation) -> set[int]:
    widths = re.findall(r"st\.global\S*?(?:\.v(\d))?\.b(\d+)", code(kernel))
    return {int(n or 1) * int(bits) for n, bits in widths}


def test_row_major_fp8_weights_are_multiplied_by_wgmma_on_hopper():
    """It wants them transposed in shared memory, so they go there through registers."""
    fp8 = torch.float8_e4m3fn
    p = product_of(empty(1, 512, 512, dtype=fp8), empty(1, 512, 512, dtype=fp8), y_dtype=BF16)
    with compiling_for("sm_90") as compiled:
        _launch.multiply_as_planned(p, plan_of(**HOPPER | {"block_k": 128}))
    assert "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3" in code(compiled[0])
    assert compiled[0].spilled_bytes == 0


@triton.jit
def _gated(tile, limit):
    M: tl.constexpr = tile.shape[0]
    N: tl.constexpr = tile.shape[1] // 2
    a, b = tl.split(tl.reshape(tile, [M, N, 2]))
    return tl.minimum(a, limit) * b


@triton.jit
def _scaled(out, factor, target_dtype: tl.constexpr):
    return out * tl.load(factor)


GATED = Function(FnSpecs("gated", _gated, ("limit",), reduction_n=2), (7.0,))
SCALED = FnSpecs("scaled", _scaled, ("factor",))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("split_k", [1, 2])
def test_everything_a_row_can_go_through_compiles(target, split_k):
    n_rows = 256 * CHOICES
    plan = {"split_k": split_k, "xcd_swizzle": 8, "w_cache_modifier": ".cg", "epilogue_subtile": 2}
    with compiling_for(target) as compiled:
        p = ragged(
            256,
            BF16,
            y_dtype=FP8.get(target, torch.float8_e4m3fn),
            betas=torch.empty(n_rows),
            alpha=2.0,
            x_scale=torch.ones(1),
            w_scale=torch.ones(EXPERTS),
            activation=GATED,
            epilogue=Function(SCALED, (torch.ones(1),)),
            epilogue_finalize_args=(torch.ones(1),),
            y_flex=OutFlexData(None, *torch.ones(2, 1), torch.zeros(1, dtype=torch.int32)),
            saturate_inf=True,
        )
        _launch.multiply_as_planned(p, plan_of(**plan))
        p.n_choices, p.y_shape = 1, (1, n_rows, SIZE // 2)
        p.x = empty(1, n_rows, SIZE, dtype=BF16)
        p.y_acc_in, p.acc_scale = empty(1, n_rows, SIZE // 2, dtype=FP16), torch.ones(1)
        _launch.multiply_as_planned(p, plan_of(**plan, fused_scatter=split_k == 1))
    two = ["_matmul_ogs", "_finalize"]
    assert [kernel.name for kernel in compiled] == two + (two if split_k > 1 else two[:1])


@pytest.mark.parametrize("target", TARGETS)
def test_rows_for_other_ranks_are_followed_by_a_fence_of_the_system(target):
    fence = r"atom\S*\.acq_rel\S*\.sys|atom\S*\.sys\.acq_rel" if target[0] == "s" else "buffer_wbl2"
    remote = Remote(torch.zeros(4, dtype=torch.int64), torch.zeros(256, dtype=torch.int32), 0, 2)
    shape = (1, 2 * 256, SIZE)
    with compiling_for(target) as compiled:
        _launch.multiply_as_planned(
            ragged(256, BF16, 1, y_dtype=BF16, remote=remote, y_shape=shape),
            plan_of(fused_scatter=True),
        )
        _launch.multiply_as_planned(
            ragged(256, BF16, y_dtype=BF16, remote=remote, y_shape=shape), plan_of()
        )
    stores_rows = [compiled[0], compiled[2]]
    assert all(re.search(fence, code(kernel)) for kernel in stores_rows)
    assert not re.search(fence, code(compiled[1]))


@pytest.mark.parametrize("target", ["sm_90", "sm_100"])
def test_imprecise_accumulation_is_for_8_bits_and_exact_products_for_all(target):
    p = plain(512, torch.float8_e4m3fn, y_dtype=BF16, max_imprecise_acc=1 << 20)
    exact = plain(512, FP32, allow_tf32=False)
    with compiling_for(target) as compiled:
        _launch.multiply_as_planned(p, plan_of(**HOPPER))
        _launch.multiply_as_planned(exact, plan_of())
    assert "e4m3" in code(compiled[0]) or "f8f6f4" in code(compiled[0])
    assert "tf32" not in code(compiled[1])


@pytest.mark.parametrize("scales", itertools.product((False, True), repeat=3), ids=str)
def test_results_of_8_bits_with_any_of_their_scales_compile(scales):
    """In the kernel by pointers, in that by TMA, and in the pass that adds up splits."""
    x, w = torch.empty(1, 64, 64, dtype=BF16), torch.empty(1, 64, 64, dtype=BF16)
    flex = OutFlexData(E4M3, *(torch.ones(1) if given else None for given in scales))
    p = product_of(x, w, y_dtype=E4M3, y_flex=flex)
    with compiling_for("sm_90") as compiled:
        for plan in ({}, {"is_persistent": True}, {"split_k": 2}):
            _launch.multiply_as_planned(p, plan_of(**plan))
    names = [kernel.name for kernel in compiled]
    assert names == ["_matmul_ogs", "_p_matmul_ogs", "_matmul_ogs", "_finalize"]
