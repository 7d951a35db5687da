"""Kernels compile for a GPU that is not there, and what is reported of them is true."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl
from triton.language.target_info import cuda_capability_geq
from triton.runtime.errors import OutOfResources
from triton.tools.tensor_descriptor import TensorDescriptor

from tests.support.compile_only import TARGETS, compiling_for
from triton_kernels import dispatch, target_info
from triton_kernels.dispatch import Implementation

CPU = torch.device("cpu")


@triton.jit
def double(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n) * 2, mask=at < n)


INSTRUCTIONS = {
    "sm_80": ("ptx", ".target sm_80", "ld.global"),
    "sm_90": ("ptx", ".target sm_90a", "ld.global"),
    "sm_100": ("ptx", ".target sm_100a", "ld.global"),
    "gfx942": ("amdgcn", "gfx942", "v_add_f32"),
    "gfx950": ("amdgcn", "gfx950", "v_add_f32"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_launch_compiles_for_the_target_and_runs_nothing(target):
    x, y = torch.ones(1000), torch.full((1000,), 7.0)
    with compiling_for(target) as compiled:
        double[(8,)](x, y, 1000, BLOCK=128, num_warps=2)
        double[(4,)](y, x, 1000, BLOCK=128, num_warps=2)  # the same kernel
    assert torch.all(y == 7)
    (kernel,) = compiled
    assert (kernel.name, kernel.target, kernel.num_warps) == ("double", target, 2)
    stage, *texts = INSTRUCTIONS[target]
    assert all(text in kernel.asm[stage] for text in texts)
    assert 0 < kernel.registers < 64
    assert kernel.spilled_bytes == kernel.shared_memory == 0
    assert kernel.binary.startswith(b"\x7fELF")


def test_every_block_sees_its_own_compilations():
    x, devices = torch.ones(128), set(double.device_caches)
    for target in ("sm_90", "gfx942", "sm_90"):
        with compiling_for(target) as compiled:
            double[(1,)](x, x, 128, BLOCK=128)
        assert [kernel.target for kernel in compiled] == [target]
    assert set(double.device_caches) == devices


@triton.jit
def center(x, y, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    value = tl.load(x + at)
    tl.store(y + at, value - tl.sum(value))


# One warp holds the block, 512 values a thread: NVIDIA has 255 registers, AMD 512 for everything.
@pytest.mark.parametrize(("target", "block"), [("sm_90", 512 * 32), ("gfx942", 512 * 64)])
def test_spilled_registers_are_seen(target, block):
    x = torch.ones(16)
    with compiling_for(target) as compiled:
        center[(1,)](x, x, BLOCK=block, num_warps=1)
        center[(1,)](x, x, BLOCK=1024, num_warps=1)
    spilling, fitting = compiled
    assert spilling.spilled_bytes > 0 == fitting.spilled_bytes
    assert spilling.registers > fitting.registers > 0


@triton.jit
def product(a, b, c, M: tl.constexpr, K: tl.constexpr):
    m, k = tl.arange(0, M), tl.arange(0, K)
    x = tl.load(a + m[:, None] * K + k)
    y = tl.load(b + k[:, None] * M + m)
    tl.store(c + m[:, None] * M + m, tl.dot(x, y))


# Both operands of 16 * 4096 bfloat16 pass through shared memory: 256 KiB, on AMD one by one.
@pytest.mark.parametrize(
    ("target", "needed", "limit"),
    [("sm_90", 262_144, 232_448), ("gfx942", 131_072, 65_536), ("gfx950", 131_072, None)],
)
def test_too_much_shared_memory_raises_as_on_the_gpu(target, needed, limit):
    x, y = torch.ones(16, dtype=torch.bfloat16), torch.ones(16)
    with compiling_for(target) as compiled:
        if limit is None:
            product[(1,)](x, x, y, M=16, K=4096, num_warps=8)
        else:
            with pytest.raises(OutOfResources, match=f"Required: {needed}.*limit: {limit}"):
                product[(1,)](x, x, y, M=16, K=4096, num_warps=8)
    assert [kernel.shared_memory for kernel in compiled] == [needed]


@triton.jit
def say_hopper(y):
    if cuda_capability_geq(9, 0):
        tl.store(y, 12345)
    else:
        tl.store(y, 54321)


@pytest.mark.parametrize(("target", "said"), [("sm_80", "54321"), ("sm_90", "12345")])
def test_a_kernel_that_asks_for_its_device_is_told_the_target(target, said):
    with compiling_for(target) as compiled:
        say_hopper[(1,)](torch.empty(1, dtype=torch.int32))
    assert said in compiled[0].asm["ptx"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_library_sees_the_target_and_takes_its_kernels(target):
    before = target_info.current_target(), dispatch.implementation(CPU)
    with compiling_for(target):
        assert target_info.is_cuda() == target.startswith("sm_")
        assert target_info.cuda_capability_geq(9) == (target in ("sm_90", "sm_100"))
        assert target_info.get_cdna_version() == {"gfx942": 3, "gfx950": 4}.get(target, -1)
        assert target_info.num_sms() > 100
        assert dispatch.implementation(CPU) is Implementation.KERNEL
    assert (target_info.current_target(), dispatch.implementation(CPU)) == before


def test_an_error_leaves_everything_as_it_was():
    driver, listener = triton.runtime.driver._active, triton.knobs.compilation.listener
    with pytest.raises(KeyError, match="no_such_option"), compiling_for("sm_90"):
        double[(1,)](torch.ones(1), torch.ones(1), 1, BLOCK=1, no_such_option=1)
    assert triton.runtime.driver._active is driver
    assert triton.knobs.compilation.listener is listener
    assert dispatch.implementation(CPU) is Implementation.REFERENCE


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_that_is_there_runs_the_kernel_before_and_after():
    x = torch.ones(1000, device="cuda")
    for _ in range(2):
        y = torch.zeros_like(x)
        double[(8,)](x, y, 1000, BLOCK=128)
        assert torch.all(y == 2)
        for target in TARGETS:
            with compiling_for(target) as compiled:
                double[(8,)](x.cpu(), y.cpu(), 1000, BLOCK=128)
            assert [kernel.target for kernel in compiled] == [target]


@triton.jit
def copy_tile(source, target):
    target.store([0, 0], source.load([0, 0]))


def test_a_host_descriptor_becomes_a_tensor_map():
    x = torch.ones(64, 64, dtype=torch.bfloat16)
    descriptor = TensorDescriptor.from_tensor(x, [32, 64])
    with compiling_for("sm_90") as compiled:
        copy_tile[(1,)](descriptor, descriptor)
    assert "cp.async.bulk.tensor" in compiled[0].asm["ptx"]


def test_autotuning_keeps_the_first_configuration():
    configs = [triton.Config({"BLOCK": 256}), triton.Config({"BLOCK": 128})]
    with compiling_for("sm_90") as compiled:
        tuned = triton.autotune(configs, key=["n"])(double)
        tuned[(1,)](torch.ones(256), torch.ones(256), 256)
    assert tuned.best_config is configs[0]
    assert len(compiled) == 2
