"""What test_tracing.py traces of `matmul_ogs`: programs, and arguments of the registered ops."""

from __future__ import annotations

from typing import Any

import torch
from matmul_oracle import GATED, LEAKY, SHIFTED

from triton_kernels.legacy import legacy_routing
from triton_kernels.matmul_ogs import (
    Epilogue,
    FlexCtx,
    FnSpecs,
    FusedActivation,
    FusedComm,
    InFlexData,
    InnerRoutingData,
    OutFlexData,
    PrecisionConfig,
    RoutingData,
    matmul_ogs,
)
from triton_kernels.matmul_ogs_details._arguments import arguments_of
from triton_kernels.matmul_ogs_details._checks import check
from triton_kernels.swiglu import swiglu_fn
from triton_kernels.tensor import make_ragged_tensor_metadata, wrap_torch_tensor

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2

K, N_EXPERTS = 3, 9

SWIGLU = FusedActivation(FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), (), 2), (1.5, None))


def weights(x: torch.Tensor, *shape: int) -> torch.Tensor:
    """Numbers of any shape that depend on the first rows of x."""
    flat = torch.linspace(-3, 3, shape[-1], device=x.device)
    for size in reversed(shape[:-1]):
        flat = torch.linspace(0.5, 1.5, size, device=x.device).view(-1, *[1] * flat.ndim) * flat
    return flat.sin() + x[:4].mean()


def multiply(x):
    w = weights(x, x.shape[1], 16)
    plain = matmul_ogs(
        x,
        w,
        x[0, :16],
        betas=x[:, 1],
        gammas=x[:, 2],
        out_alpha=-0.5,
        fused_activation=FusedActivation(LEAKY, (0.25,)),
    )
    half = matmul_ogs(wrap_torch_tensor(x.bfloat16()), w.bfloat16(), None)
    batches = x.unflatten(1, (2, 35)).transpose(0, 1)
    batched = matmul_ogs(batches, weights(x, 2, 35, 8), weights(x, 2, 8), y_acc_in=batches[..., :8])
    return [plain, half.float(), batched]


def multiply_ragged(x):
    data, gather, _ = legacy_routing(x[:, :N_EXPERTS].contiguous(), K)
    w, bias = weights(x, N_EXPERTS, x.shape[1], 12), weights(x, N_EXPERTS, 12)
    activation = FusedActivation(GATED, (0.75,))
    h = matmul_ogs(x, w, bias, data, gather, gammas=data.gate_scal, fused_activation=activation)
    config = PrecisionConfig(out_dtype=torch.bfloat16)
    again = matmul_ogs(h, w[:, :6], None, data, precision_config=config)
    return [h, again.float()]


def layer(x):
    """The whole of a layer of experts."""
    data, gather, scatter = legacy_routing(x[:, :N_EXPERTS].contiguous(), K)
    w1, w2 = weights(x, N_EXPERTS, x.shape[1], 16), weights(x, N_EXPERTS, 8, 10)
    h = matmul_ogs(x, w1, weights(x, N_EXPERTS, 16), data, gather, fused_activation=SWIGLU)
    return [matmul_ogs(h, w2, None, data, None, scatter, gammas=data.gate_scal)]


def multiply_with_scales(x):
    """What is written in place is written in a trace, too."""
    x = x.detach()
    actual, scale = torch.zeros(2, device=x.device)[:1], torch.ones(1, device=x.device) * 2
    flex = FlexCtx(
        InFlexData(scale=scale), InFlexData(scale=scale), OutFlexData(E5M2, scale, actual)
    )
    config = PrecisionConfig(flex_ctx=flex, out_dtype=E5M2)
    w = weights(x, x.shape[1], 16).to(E4M3)
    small = matmul_ogs(x.to(E4M3), w, None, precision_config=config)
    y = torch.ones(16, x.shape[0], device=x.device).t()
    last = Epilogue(SHIFTED, (1.0,), (1.0,))
    given = matmul_ogs(x, w.float(), None, y=y, y_acc_in=y, epilogue=last)
    assert given.shape == y.shape
    return [small.float(), actual, y]


def multiply_some_rows(x):
    """Rows of no slice stay what they were."""
    x = x.detach()
    sizes = torch.tensor([5, 0, 11], dtype=torch.int32, device=x.device)
    metadata = make_ragged_tensor_metadata(sizes, x.shape[0])
    data = RoutingData(x[:, 0], sizes, 3, 1, metadata)
    y = torch.ones(x.shape[0], 8, device=x.device)
    matmul_ogs(x, weights(x, 3, x.shape[1], 8), None, data, y=y)
    inner = InnerRoutingData(data, 16, x_is_padded=False, w_is_padded=True)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 64))
    sums = matmul_ogs(x.t(), padded, None, inner_routing_data=inner)
    return [y, sums]


PROGRAMS = {
    "matmul_ogs": multiply,
    "matmul_ogs of ragged rows": multiply_ragged,
    "matmul_ogs twice, routed": layer,
    "matmul_ogs with scales": multiply_with_scales,
    "matmul_ogs of some rows": multiply_some_rows,
}


UNTRACEABLE: list[tuple[dict[str, Any], str]] = [
    (
        {"fused_comm": FusedComm(torch.zeros(1, dtype=torch.int64))},
        "fused_comm: expected None in a",
    ),
    (
        {"fused_activation": FusedActivation(LEAKY, (torch.ones(1),))},
        "FnSpecs 'leaky': expected numbers or None in a trace",
    ),
]


def products() -> list[tuple[object, ...]]:
    """Arguments of the op: every kind of optional argument and each kind of product."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def call(*args: Any, keeps_rows: bool = False, **kwargs: Any) -> tuple[object, ...]:
        product = check(*args, **kwargs)
        gather = kwargs.get("gather_indx")
        row_of_slot = None if gather is None else gather.dst_indx
        return tuple(
            arg.detach().requires_grad_() if keeps_rows and i < 6 and arg is not None else arg
            for i, arg in enumerate(arguments_of(product, row_of_slot, keeps_rows))
        )

    data, gather, scatter = legacy_routing(random(10, 4), 2)
    routed = {"routing_data": data, "gather_indx": gather, "scatter_indx": scatter}
    inner = InnerRoutingData(data, 16, True, False)
    one = torch.ones(1)
    flex = FlexCtx(InFlexData(scale=one), InFlexData(scale=one), OutFlexData(None, one, one, one))
    scaled = PrecisionConfig(flex_ctx=flex, out_dtype=E5M2)
    x, w = random(10, 6), random(4, 6, 8)
    factors = {"betas": random(20), "gammas": random(20)}
    return [
        call(x, w[0], None),
        call(random(4, 5, 6), w, random(4, 8), y_acc_in=random(4, 5, 8).mT.contiguous().mT),
        call(x, w, random(4, 8), **routed, **factors, out_alpha=2.0, keeps_rows=True),
        call(x, w, None, **routed, fused_activation=SWIGLU, keeps_rows=True),
        call(x.bfloat16(), w.bfloat16(), None, routing_data=data, gather_indx=gather),
        call(random(20, 6), w, None, data, y=torch.zeros(8, 20).t()),
        call(random(3, 112), random(20, 5), None, inner_routing_data=inner),
        # Of 8-bit operands torch's own checks know too little.
        call(x.half(), w[1].half(), None, precision_config=scaled),
    ]


def gradients() -> list[tuple[object, ...]]:
    """Arguments of the op that is its gradient."""
    found = []
    for keeps_rows, arguments in ((arguments[-1], arguments) for arguments in products()[:5]):
        y, rows, *_ = torch.ops.triton_kernels.matmul_ogs(*arguments)
        detached = (a.detach() if isinstance(a, torch.Tensor) else a for a in arguments)
        bias, betas, gammas = (arguments[i] is not None for i in (2, 3, 4))
        needs = [True, True, bias, betas, gammas and keeps_rows]
        found.append((y.detach(), rows.detach() if keeps_rows else None, needs, *detached))
    return found
