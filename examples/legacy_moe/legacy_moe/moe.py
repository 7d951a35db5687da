"""The same layer as two products of the library, everything between them fused."""

from __future__ import annotations

import torch

import triton_kernels.swiglu
from triton_kernels.matmul_ogs import FlexCtx, FnSpecs, FusedActivation, PrecisionConfig
from triton_kernels.matmul_ogs import matmul_ogs
from triton_kernels.routing import routing

swiglu_fn = triton_kernels.swiglu.swiglu_fn

ACTIVATIONS = {
    # As gpt-oss has it, with a limit.
    "swiglu_oai": FusedActivation(
        FnSpecs("swiglu", swiglu_fn, ("alpha", "limit")), (1.702, 7.0), 2
    ),
    "swiglu": FusedActivation(
        FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), reduction_n=2), (1.0, None)
    ),
}


def moe(
    x: torch.Tensor,
    logits: torch.Tensor,
    w1: torch.Tensor,
    b1: torch.Tensor,
    w2: torch.Tensor,
    b2: torch.Tensor,
    k: int,
    activation: str = "swiglu_oai",
) -> torch.Tensor:
    """x: [tokens, width]; w1: [experts, width, 2 * hidden]; w2: [experts, hidden, width]."""
    precision = PrecisionConfig(flex_ctx=FlexCtx(), out_dtype=x.dtype)
    rdata, gather_indx, scatter_indx = routing(logits, k, simulated_ep=1)
    h = matmul_ogs(
        x,
        w1,
        b1,
        rdata,
        gather_indx=gather_indx,
        precision_config=precision,
        fused_activation=ACTIVATIONS[activation],
    )
    return matmul_ogs(
        h,
        w2,
        b2,
        rdata,
        scatter_indx=scatter_indx,
        precision_config=precision,
        gammas=rdata.gate_scal,
    )
