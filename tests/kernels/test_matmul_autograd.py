"""Gradients of `matmul_ogs`, against those that torch takes of the same sums in float64.

Small cases through the public op alone, so that they can be computed by the kernels, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matmul_oracle as moracle
import oracle
import pytest
import torch
import triton
from matmul_oracle import GATED, LEAKY, Routing, random_tensor, vector

from triton_kernels.matmul_ogs import (
    Epilogue,
    FlexCtx,
    FnSpecs,
    FusedActivation,
    FusedComm,
    GatherIndx,
    InFlexData,
    InnerRoutingData,
    OutFlexData,
    PrecisionConfig,
    RoutingData,
    matmul_ogs,
)
from triton_kernels.swiglu import swiglu_fn
from triton_kernels.tensor import make_ragged_tensor_metadata, remap_ragged_tensor_metadata

F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16

N_TOKENS, N_EXPERTS, N_CHOICES = 7, 4, 2
INNER_SIZE, N_COLUMNS = 12, 10

SWIGLU = FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), (), 2)

Rows = Callable[[torch.Tensor], torch.Tensor]

# Of rows in float64, for torch to differentiate.
ACTIVATIONS: dict[str, tuple[FusedActivation | None, Rows]] = {
    "none": (None, lambda z: z),
    "leaky": (FusedActivation(LEAKY, (0.25,)), lambda z: z.clamp(min=0) + 0.25 * z.clamp(max=0)),
    "gated": (
        FusedActivation(GATED, (0.75,)),
        lambda z: z[..., 0::2].clamp(max=0.75) * z[..., 1::2],
    ),
    "swiglu": (
        FusedActivation(SWIGLU, (1.5, 0.5)),
        lambda z: (
            z[..., 0::2].clamp(max=0.5)
            * torch.sigmoid(1.5 * z[..., 0::2].clamp(max=0.5))
            * (1 + z[..., 1::2].clamp(-0.5, 0.5))
        ),
    ),
}

DIFFERENTIABLE = ("x", "w", "bias", "betas", "gammas", "y_acc_in")


@dataclass
class Call:
    """A call of the op, and what makes it.

    tensors: those that have a gradient, by argument; absent ones are None.
    row_of_x: the row of x of each row of the product; -1 for zeros.
    matrix_of_row: -1 for rows of no expert.
    """

    tensors: dict[str, torch.Tensor | None]
    routing: Routing
    row_of_x: list[int]
    matrix_of_row: list[int]
    gathers: bool
    scatters: bool
    ragged: bool
    alpha: float | None
    activation: str
    precision: PrecisionConfig

    def op(self, tensors: dict[str, torch.Tensor | None], whole: bool = False) -> torch.Tensor:
        """The rows of the result that are defined; all of them if it is to be `whole`."""
        x = tensors["x"]
        assert x is not None
        routing_data = None if x.ndim == 3 else self.routing.data(self.ragged)
        gather = self.routing.gather() if self.gathers else None
        scatter = self.routing.scatter() if self.scatters else None
        result = matmul_ogs(
            **tensors,
            routing_data=oracle.moved(routing_data, x.device),
            gather_indx=oracle.moved(gather, x.device),
            scatter_indx=oracle.moved(scatter, x.device),
            precision_config=self.precision,
            out_alpha=self.alpha,
            fused_activation=ACTIVATIONS[self.activation][0],
        )
        if self.ragged and not self.scatters and not whole:
            return result[: sum(self.routing.sizes)]
        return result

    def expected(self, tensors: dict[str, torch.Tensor | None]) -> torch.Tensor:
        """The same, row by row."""
        x, w = tensors["x"], tensors["w"]
        assert x is not None and w is not None
        is_flat = x.ndim == 2
        x, w = (x[None] if is_flat else x), (w[None] if w.ndim == 2 else w)
        bias, acc = tensors["bias"], tensors["y_acc_in"]
        bias = bias[None] if bias is not None and bias.ndim == 1 else bias
        batches = []
        for z in range(len(x)):
            rows = [self._row(tensors, x[z], w, bias, z, i) for i in range(len(self.row_of_x))]
            if self.scatters:
                groups = zip(
                    *[iter(self.routing.row_of_slot)] * self.routing.n_choices, strict=True
                )
                nothing = torch.zeros_like(rows[0])
                rows = [sum((rows[r] for r in group if r >= 0), nothing) for group in groups]
            elif self.ragged:
                rows = rows[: sum(self.routing.sizes)]
            batches.append(torch.stack(rows))
        result = torch.stack(batches)
        result = result[0] if is_flat else result
        return result if acc is None else result + acc[..., : result.shape[-2], :]

    def _row(
        self,
        tensors: dict[str, torch.Tensor | None],
        x: torch.Tensor,
        w: torch.Tensor,
        bias: torch.Tensor | None,
        batch: int,
        i: int,
    ) -> torch.Tensor:
        matrix = self.matrix_of_row[i] if self.ragged else batch
        betas, gammas = tensors["betas"], tensors["gammas"]
        row = x.new_zeros(w.shape[2])
        if matrix >= 0 and self.row_of_x[i] >= 0:
            row = x[self.row_of_x[i]] @ w[matrix]
        if bias is not None:
            row = row + (bias[matrix] if betas is None else betas[i] * bias[matrix])
        row = ACTIVATIONS[self.activation][1](row if self.alpha is None else self.alpha * row)
        return row if gammas is None else gammas[i] * row


def make(
    seed: object,
    rows: str,
    bias: str = "with betas",
    has_gammas: bool = True,
    alpha: float | None = None,
    activation: str = "none",
    adds: bool = False,
    dtype: torch.dtype = F32,
    layout: str = "rows",
) -> Call:
    """A call with random tensors, in which what must not be read is NaN."""
    source, generator = oracle.fresh(seed, rows, bias, has_gammas, alpha, activation, dtype)
    mode, _, indices = rows.partition(" ")
    k = 1 if indices == "both 1" else N_CHOICES
    routing = Routing.at_random(source, N_TOKENS, N_EXPERTS, k)
    routing = Routing([[-1] * k, *routing.chosen[1:]], N_EXPERTS)  # a token of no expert
    gathers, scatters = (
        indices.startswith(("gather", "both")),
        indices.startswith(("scatter", "both")),
    )
    n_rows = N_TOKENS if mode == "batched" else routing.n_rows
    n_matrices = 1 if mode == "plain" else N_EXPERTS
    used = sum(routing.sizes)

    def random(*shape: int, of: torch.dtype = F32) -> torch.Tensor:
        return random_tensor(generator, shape, of, layout if len(shape) > 1 else "rows")

    x = random(
        n_matrices if mode == "batched" else 1,
        N_TOKENS if gathers else n_rows,
        INNER_SIZE,
        of=dtype,
    )
    w = random(n_matrices, INNER_SIZE, N_COLUMNS, of=dtype)
    biases = betas = gammas = acc = None
    if bias != "none":
        biases = random(n_matrices, N_COLUMNS)
    if bias == "with betas":
        betas = random(n_rows)
    if has_gammas:
        gammas = random(n_rows)
    if mode == "ragged":
        for factors in (betas, gammas):
            if factors is not None:
                factors[used:] = torch.nan
        if not gathers:
            x[:, used:] = torch.nan
    if gathers:
        x[:, 0] = torch.nan
    if adds:
        width = N_COLUMNS // (2 if activation in ("gated", "swiglu") else 1)
        acc = random(*((n_matrices,) if mode == "batched" else ()), n_rows, width)
    is_plain = mode == "plain"
    row_of_x = list(range(n_rows))
    if gathers:
        row_of_x = [slot // k if slot >= 0 else -1 for slot in routing.slot_of_row]
    return Call(
        {
            "x": x if mode == "batched" else x[0],
            "w": w[0] if is_plain else w,
            "bias": biases[0] if is_plain and biases is not None else biases,
            "betas": betas,
            "gammas": gammas,
            "y_acc_in": acc,
        },
        routing,
        row_of_x,
        routing.expert_of_row,
        gathers,
        scatters,
        mode == "ragged",
        alpha,
        activation,
        PrecisionConfig(allow_tf32=False),
    )


def weights_like(result: torch.Tensor) -> torch.Tensor:
    """A number for each element of a result: its gradient."""
    numbers = torch.linspace(-1, 1, result.numel(), dtype=torch.float64).view(result.shape)
    return numbers.sin().to(result)


def gradients(
    function: Callable[[dict[str, torch.Tensor | None]], torch.Tensor],
    tensors: dict[str, torch.Tensor | None],
    needed: tuple[str, ...] = DIFFERENTIABLE,
    dtype: torch.dtype | None = None,
    device: str = "cpu",
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The result, and the gradients of a sum of it with weights that differ; computed there."""
    leaves = {
        name: tensor
        if tensor is None
        else tensor.detach().to(device, dtype or tensor.dtype).requires_grad_(name in needed)
        for name, tensor in tensors.items()
    }
    result = function(leaves)
    (result * weights_like(result)).sum().backward()
    found = {name: leaf.grad for name, leaf in leaves.items() if leaf is not None}
    grads = {name: grad.cpu() for name, grad in found.items() if grad is not None}
    return result.detach().cpu(), grads


def assert_agree(
    got: dict[str, torch.Tensor], want: dict[str, torch.Tensor], tolerance: float = 2e-5
) -> None:
    """Equal up to `tolerance` of the largest gradient: sums of 1000 float32 terms err by less."""
    assert got.keys() == want.keys()
    for name, ours in got.items():
        theirs = want[name]
        allowed = tolerance * (1 + theirs.abs().max().item())
        difference = (ours.double() - theirs).abs()
        assert (difference <= allowed).all(), f"{name}: off by {difference.max():.3g}"


def same_as_float64(call: Call, tolerance: float = 2e-5, device: str = "cpu") -> None:
    result, got = gradients(call.op, call.tensors, device=device)
    # The oracle must not touch what is NaN, but torch's gradient of a row that is not taken is 0.
    expected, want = gradients(call.expected, call.tensors, dtype=torch.float64)
    for name, gradient in got.items():
        tensor = call.tensors[name]
        assert tensor is not None
        assert gradient.dtype == tensor.dtype and gradient.shape == tensor.shape
    assert_agree({"result": result}, {"result": expected}, tolerance)
    assert_agree(got, want, tolerance)


ROWS = [
    *("plain", "plain gather", "plain scatter", "plain both", "batched"),
    *("ragged", "ragged gather", "ragged scatter", "ragged both", "ragged both 1"),
]
BIASES = ["none", "alone", "with betas"]

# Each mode with each activation; bias, gammas and alpha change so that each meets each.
CASES = [
    (rows, BIASES[(r + a) % 3], (r + a // 2) % 2 == 0, (None, -0.5)[(r // 3 + a) % 2], activation)
    for (r, rows), (a, activation) in itertools.product(enumerate(ROWS), enumerate(ACTIVATIONS))
]


def test_any_two_kinds_of_argument_meet() -> None:
    kinds = [ROWS, BIASES, [True, False], [None, -0.5], list(ACTIVATIONS)]
    for a, b in itertools.combinations(range(5), 2):
        met = {(case[a], case[b]) for case in CASES}
        assert len(met) == len(kinds[a]) * len(kinds[b]), (a, b)


@pytest.mark.parametrize(("rows", "bias", "has_gammas", "alpha", "activation"), CASES)
def test_gradients_are_what_float64_says(
    rows: str, bias: str, has_gammas: bool, alpha: float | None, activation: str
) -> None:
    same_as_float64(make("every", rows, bias, has_gammas, alpha, activation))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("dtype", "tolerance"), [(F32, 2e-5), (BF16, 2**-6)])
@pytest.mark.parametrize(("rows", "bias", "has_gammas", "alpha", "activation"), CASES)
def test_gradients_on_a_gpu_are_what_float64_says(
    rows: str,
    bias: str,
    has_gammas: bool,
    alpha: float | None,
    activation: str,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    call = make("gpu", rows, bias, has_gammas, alpha, activation, dtype=dtype)
    same_as_float64(call, tolerance, "cuda")


@pytest.mark.parametrize("rows", ["plain", "batched", "ragged", "ragged gather"])
@pytest.mark.parametrize("activation", ["none", "gated"])
def test_what_is_added_has_a_gradient_too(rows: str, activation: str) -> None:
    call = make("added", rows, activation=activation, adds=True)
    if call.ragged:  # rows that nobody computes
        acc = call.tensors["y_acc_in"]
        assert acc is not None
        acc[sum(call.routing.sizes) :] = torch.nan
    same_as_float64(call)


@pytest.mark.parametrize("rows", ["batched", "ragged both"])
@pytest.mark.parametrize("layout", ["columns", "steps"])
def test_any_strides_will_do(rows: str, layout: str) -> None:
    same_as_float64(make("strides", rows, activation="leaky", layout=layout))


@pytest.mark.parametrize("rows", ["batched", "ragged", "ragged both"])
@pytest.mark.parametrize("activation", ["none", "swiglu"])
def test_a_gradient_of_any_strides_will_do(rows: str, activation: str) -> None:
    call = make("expanded", rows, activation=activation)

    def total(op: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda tensors: op(tensors).sum()[None]

    _, got = gradients(total(call.op), call.tensors)
    _, want = gradients(total(call.expected), call.tensors, dtype=torch.float64)
    assert_agree(got, want)


@pytest.mark.parametrize(
    ("name", "activation"), list(zip(DIFFERENTIABLE, ["none", "leaky"] * 3, strict=True))
)
def test_what_is_frozen_costs_no_gradient(name: str, activation: str) -> None:
    """And what needs none changes nothing for the others."""
    rows = "ragged gather" if name == "y_acc_in" else "ragged both"
    call = make("frozen", rows, activation=activation, adds=name == "y_acc_in")
    _, got = gradients(call.op, call.tensors, (name,))
    _, want = gradients(call.expected, call.tensors, (name,), torch.float64)
    assert_agree(got, want)


@pytest.mark.parametrize("frozen", ["x", "w"])
def test_only_what_the_gradient_reads_is_kept(frozen: str) -> None:
    call = make("kept", "ragged both")
    kept: set[int] = set()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.add(tensor.untyped_storage().data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        leaves = {
            name: tensor if tensor is None else tensor.detach().requires_grad_(name != frozen)
            for name, tensor in call.tensors.items()
        }
        assert call.op(leaves).requires_grad
    for name, other in (("x", "w"), ("w", "x")):
        tensor = leaves[name]
        assert tensor is not None
        assert (tensor.untyped_storage().data_ptr() in kept) == (frozen != other)


@pytest.mark.parametrize(
    ("dtype", "out_dtype", "activation"),
    [(BF16, None, "none"), (BF16, F32, "swiglu"), (F16, None, "swiglu")],
)
def test_gradients_of_16_bit_operands(
    dtype: torch.dtype, out_dtype: torch.dtype | None, activation: str
) -> None:
    call = make("16 bit", "ragged both", activation=activation, dtype=dtype)
    call.precision.out_dtype = out_dtype
    # Rows of the product, their gradients and results are each rounded, to 2^-9 in bfloat16.
    same_as_float64(call, tolerance=2**-6)


def test_what_is_not_read_has_gradient_zero() -> None:
    call = make("zero", "ragged")
    _, got = gradients(call.op, call.tensors)
    used = sum(call.routing.sizes)
    assert 0 < used < len(got["x"])
    for name in ("x", "betas", "gammas"):
        assert (got[name][used:] == 0).all() and (got[name][:used] != 0).any()
    assert call.routing.sizes[-1] == 0
    assert (got["w"][-1] == 0).all() and (got["bias"][-1] == 0).all()
    _, got = gradients(make("zero", "ragged both").op, make("zero", "ragged both").tensors)
    assert (got["x"][0] == 0).all() and (got["x"][1:] != 0).any()


@pytest.mark.parametrize("activation", ["none", "swiglu"])
def test_what_flows_into_rows_of_no_expert_goes_nowhere(activation: str) -> None:
    call = make("tail", "ragged", activation=activation)
    leaves = {
        name: tensor if tensor is None else tensor.requires_grad_()
        for name, tensor in call.tensors.items()
    }
    result = call.op(leaves, whole=True)
    used = sum(call.routing.sizes)
    dy = torch.full_like(result, torch.nan)
    dy[:used] = weights_like(result[:used])
    names = [name for name, tensor in leaves.items() if tensor is not None]
    got = torch.autograd.grad(result, [leaves[name] for name in names], dy)
    _, want = gradients(call.expected, call.tensors, dtype=torch.float64)
    assert_agree(dict(zip(names, got, strict=True)), want)


@pytest.mark.parametrize("activation", ["none", "leaky"])
def test_without_rows_gradients_are_zero(activation: str) -> None:
    none = Routing([[-1, -1]] * 3, n_experts=2)
    w, bias = torch.ones(2, 4, 8, requires_grad=True), torch.ones(2, 8, requires_grad=True)
    x = torch.full((3, 4), torch.nan, requires_grad=True)
    act = ACTIVATIONS[activation][0]
    got = matmul_ogs(x, w, bias, none.data(), none.gather(), none.scatter(), fused_activation=act)
    got.sum().backward()
    assert (got == 0).all() and (x.grad == 0).all() and (w.grad == 0).all()
    assert bias.grad is not None and (bias.grad == 0).all()
    for shape in ((0, 4), (3, 0)):
        x, w = torch.ones(*shape, requires_grad=True), torch.ones(shape[1], 8, requires_grad=True)
        b = torch.ones(8, requires_grad=True)
        matmul_ogs(x, w, b, fused_activation=act).sum().backward()
        assert x.grad.shape == x.shape and w.grad.shape == w.shape
        assert (w.grad == 0).all() and (b.grad == shape[0]).all()
    x, w = torch.ones(3, 4, requires_grad=True), torch.ones(4, 0, requires_grad=True)
    matmul_ogs(x, w, None, fused_activation=act).sum().backward()
    assert (x.grad == 0).all() and w.grad.shape == (4, 0)


def test_a_rank_has_gradients_of_its_own_experts() -> None:
    """Metadata of some of the slices: rows of others are not computed, and add nothing."""
    _, generator = oracle.fresh()
    routing = Routing([[0, 3], [1, 2], [3, 1], [-1, 0], [2, 3]], n_experts=4)
    whole = make_ragged_tensor_metadata(vector(routing.sizes), routing.n_rows)
    local = remap_ragged_tensor_metadata(whole, vector([-1, 0, -1, 1]))
    data = RoutingData(torch.zeros(10), local.batch_sizes, 2, 2, local)
    x = random_tensor(generator, (5, 16), F32).requires_grad_()
    w = random_tensor(generator, (2, 16, 8), F32).requires_grad_()
    bias = random_tensor(generator, (2, 8), F32).requires_grad_()
    gammas = torch.rand(10, generator=generator).requires_grad_()
    got = matmul_ogs(x, w, bias, data, routing.gather(), gammas=gammas)
    rows = {r: {1: 0, 3: 1}[e] for r, e in enumerate(routing.expert_of_row) if e in (1, 3)}
    want = torch.zeros((), dtype=torch.float64)
    for r, e in rows.items():
        token = routing.slot_of_row[r] // 2
        row = x[token].double() @ w[e].double() + bias[e].double()
        want = want + (r + 1) * (gammas[r].double() * row).sum()
    loss = sum((r + 1) * got[r].sum() for r in rows)
    leaves = (x, w, bias, gammas)
    for ours, theirs in zip(
        torch.autograd.grad(loss, leaves), torch.autograd.grad(want, leaves), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_matrices_that_are_views_receive_their_gradients() -> None:
    call = make("views", "ragged both")
    w = call.tensors["w"]
    assert w is not None
    packed = w.transpose(1, 2).contiguous().requires_grad_()
    call.op(call.tensors | {"w": packed.transpose(1, 2)}).sum().backward()
    plain = w.clone().requires_grad_()
    call.op(call.tensors | {"w": plain}).sum().backward()
    torch.testing.assert_close(packed.grad.transpose(1, 2), plain.grad)


def test_it_has_no_second_gradient() -> None:
    x, w = torch.ones(3, 4, requires_grad=True), torch.ones(4, 8, requires_grad=True)
    (dx,) = torch.autograd.grad(matmul_ogs(x, w, None).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()


# --- what has no gradient says so


@triton.jit
def without_reference(tile, factor):
    return tile * factor


def leaf(*shape: int, dtype: torch.dtype = F32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype, requires_grad=True)


def scaled(**scales: Any) -> dict[str, Any]:
    return {"precision_config": PrecisionConfig(flex_ctx=FlexCtx(**scales))}


_TOKENS = Routing([[0], [1], [-1], [1], [0], [0]], 2)
_METADATA = make_ragged_tensor_metadata(vector([16, 3]), 19)
_INNER = InnerRoutingData(RoutingData(torch.zeros(0), vector([0]), 2, 1, _METADATA), 16, True, True)
_RAGGED = {"w": leaf(2, 16, 8), "routing_data": _TOKENS.data()}
_ONE = torch.ones(1)

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a given result": ({"y": torch.zeros(6, 8)}, "y: expected None where a gradient"),
    "an epilogue": (
        {"epilogue": Epilogue(moracle.SHIFTED, (1.0,), (1.0,))},
        "epilogue: expected None where a gradient",
    ),
    "other ranks": (
        {"fused_comm": FusedComm(torch.zeros(1, dtype=torch.int64))},
        "fused_comm: expected None where a gradient",
    ),
    "inner slices": (
        {"x": leaf(6, 32), "w": leaf(32, 8), "inner_routing_data": _INNER},
        "inner_routing_data: expected None where a gradient",
    ),
    "8-bit operands": (
        {"x": torch.zeros(6, 16).to(torch.float8_e5m2), "w": leaf(16, 8, dtype=torch.float8_e5m2)},
        "x: expected at least 16 bits where a gradient",
    ),
    "an 8-bit result": (
        {"precision_config": PrecisionConfig(out_dtype=torch.float8_e5m2)},
        "precision_config.out_dtype: expected at least 16 bits where a gradient",
    ),
    "scales of operands": (scaled(rhs_data=InFlexData(scale=_ONE)), "flex_ctx: expected no scales"),
    "scales of the result": (
        scaled(out_data=OutFlexData(expected_scale=_ONE)),
        "flex_ctx: expected no scales",
    ),
    "a function that torch does not know": (
        {"fused_activation": FusedActivation(FnSpecs("f", without_reference, ("factor",)), (1.0,))},
        r"fused_activation, FnSpecs 'f': .*register_reference",
    ),
    "a function of a tensor": (
        {"fused_activation": FusedActivation(LEAKY, (_ONE,))},
        "fused_activation.fn_args: expected numbers",
    ),
    "no way back to the tokens": (
        _RAGGED | {"gather_indx": GatherIndx(_TOKENS.gather().src_indx, vector([0] * 5))},
        r"gather_indx.dst_indx: expected 6 elements on cpu, one a slot of x",
    ),
    "no index at all back to the tokens": (
        _RAGGED | {"gather_indx": GatherIndx(_TOKENS.gather().src_indx, None)},  # type: ignore[arg-type]
        r"gather_indx.dst_indx: expected an int32 tensor",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_gradient_is_named_where_one_is_needed(name: str) -> None:
    changes, text = REFUSED[name]
    arguments = {"x": leaf(6, 16), "w": leaf(16, 8), "bias": None} | changes
    with pytest.raises((ValueError, TypeError), match=text):
        matmul_ogs(**arguments)


@pytest.mark.parametrize("name", ["a given result", "inner slices", "scales of operands"])
def test_where_no_gradient_is_needed_nothing_is_refused(name: str) -> None:
    arguments = {"x": leaf(6, 16), "w": leaf(16, 8), "bias": None} | REFUSED[name][0]
    with torch.no_grad():
        assert not matmul_ogs(**arguments).requires_grad
    detached = {
        key: value.detach() if isinstance(value, torch.Tensor) else value
        for key, value in arguments.items()
    }
    assert not matmul_ogs(**detached).requires_grad
