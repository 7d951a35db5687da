"""The persistent kernel, for the GPUs that have TMA, in the plans that published models get."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch

from tests.support.compile_only import compiling_for
from tests.support.products import product_of
from triton_kernels.matmul_ogs_details import _launch, _p_launch, opt_flags
from triton_kernels.matmul_ogs_details.product import Function
from triton_kernels.specialize import FnSpecs
from triton_kernels.swiglu import swiglu_fn
from triton_kernels.tensor import RaggedTensorMetadata

BF16, E4M3 = torch.bfloat16, torch.float8_e4m3fn

SWIGLU = Function(FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), reduction_n=2), (1.702, 7.0))

TENSOR_CORES = {"sm_90": "wgmma.mma_async", "sm_100": "tcgen05.mma"}


class Model(NamedTuple):
    hidden: int
    inner: int
    n_experts: int
    k: int


MODELS = {
    "128 experts": Model(2880, 2880, 128, 4),
    "8 experts": Model(4096, 14336, 8, 2),
}


def int32(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int32)


def matrix(n: int, rows: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
    """Of no memory that is touched; columns are contiguous where 8 bits want it."""
    strides = (rows * columns, columns, 1) if dtype == BF16 else (rows * columns, 1, rows)
    return torch.empty_strided((n, rows, columns), strides, dtype=dtype)


def products(model: Model, n_tokens: int, dtype: torch.dtype) -> list[Any]:
    """The two products of a layer."""
    hidden, inner, n_experts, k = model
    n_rows = n_tokens * k
    width = RaggedTensorMetadata.max_n_tiles(n_experts, n_rows)
    slices = RaggedTensorMetadata(
        int32(n_experts), int32(n_experts + 1), int32(4, n_experts + 1), int32(4, width)
    )
    shared: dict[str, Any] = {"slices": slices, "n_choices": k, "y_dtype": BF16}
    return [
        product_of(
            torch.empty(1, n_tokens, hidden, dtype=dtype),
            matrix(n_experts, hidden, 2 * inner, dtype),
            gather=int32(n_rows),
            bias=torch.empty(n_experts, 2 * inner),
            activation=SWIGLU,
            **shared,
        ),
        product_of(
            torch.empty(1, n_rows, inner, dtype=dtype),
            matrix(n_experts, inner, hidden, dtype),
            scatter_to=int32(n_rows),
            scatter_from=int32(n_rows),
            bias=torch.empty(n_experts, hidden),
            gammas=torch.empty(n_rows),
            **shared,
        ),
    ]


@pytest.mark.parametrize("target", TENSOR_CORES)
@pytest.mark.parametrize("dtype", [BF16, E4M3], ids=["bf16", "e4m3"])
@pytest.mark.parametrize("model", MODELS)
def test_default_plans_fit_the_registers_and_the_shared_memory(target, dtype, model):
    """Shared memory, too: Triton raises where a program wants more than there is."""
    persistent = 0
    for n_tokens in (1, 64, 1024, 8192):
        for product in products(MODELS[model], n_tokens, dtype):
            with compiling_for(target) as compiled:
                flags = opt_flags.plan(product, _p_launch.can_use_tma(product))
                _launch.multiply_as_planned(product, flags)
            assert [(k.name, k.spilled_bytes) for k in compiled if k.spilled_bytes] == []
            names = [kernel.name for kernel in compiled]
            assert ("_p_matmul_ogs" in names) == flags.is_persistent
            if flags.is_persistent and flags.block_m >= 128:
                kernel = compiled[names.index("_p_matmul_ogs")]
                assert TENSOR_CORES[target] in kernel.asm["ptx"]
                assert "cp.async.bulk.tensor" in kernel.asm["ptx"]
                persistent += 1
    assert persistent >= 2
