"""The mixture-of-experts layers that are measured: shapes of published models, and an even one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from triton_kernels.matmul_ogs import FnSpecs, FusedActivation
from triton_kernels.swiglu import swiglu_fn


class Model(NamedTuple):
    """A layer of E experts, each two products: [H, 2I], SwiGLU, [I, H].

    hidden, intermediate: H and I.
    n_experts, k: E, and how many of them each token goes to.
    """

    name: str
    hidden: int
    intermediate: int
    n_experts: int
    k: int


MODELS = {
    model.name: model
    for model in (
        Model("gpt-oss-120b", hidden=2880, intermediate=2880, n_experts=128, k=4),
        Model("gpt-oss-20b", hidden=2880, intermediate=2880, n_experts=32, k=4),
        Model("even-32", hidden=4096, intermediate=4096, n_experts=32, k=4),
        Model("mixtral", hidden=4096, intermediate=14336, n_experts=8, k=2),
        Model("fine-grained", hidden=7168, intermediate=2048, n_experts=256, k=8),
    )
}

TOKENS = (1, 16, 64, 256, 1024, 8192)

SWIGLU_ALPHA, SWIGLU_LIMIT = 1.702, 7.0
"""As gpt-oss has them; all models are measured with the same activation."""

SWIGLU = FusedActivation(
    FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), reduction_n=2), (SWIGLU_ALPHA, SWIGLU_LIMIT)
)
