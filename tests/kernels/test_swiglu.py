"""swiglu is what it says, of any leading dimensions, and its gradient is its slope."""

from __future__ import annotations

import math

import oracle
import pytest
import torch

from triton_kernels.matmul_ogs import RoutingData
from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.swiglu import FlexCtx, PrecisionConfig, SwiGLU, swiglu, swiglu_torch
from triton_kernels.tensor import make_ragged_tensor_metadata

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
OPS = pytest.mark.parametrize("op", [swiglu, swiglu_torch])
NO_LIMIT = PrecisionConfig(limit=None)


def entries(shape, dtype: torch.dtype = torch.float32, *seed: object) -> torch.Tensor:
    _, generator = oracle.fresh("swiglu", shape, dtype, *seed)
    return (2 * torch.randn(shape, generator=generator)).to(dtype)


def activated(gate: float, linear: float, alpha: float, limit: float | None) -> float:
    """One result, in Python's floats."""
    if limit is not None:
        gate, linear = min(gate, limit), max(-limit, min(linear, limit))
    return gate / (1 + math.exp(-alpha * gate)) * (linear + 1)


def expected(a: torch.Tensor, alpha: float, limit: float | None, scale: float = 1) -> torch.Tensor:
    pairs = (a.double() * scale).reshape(-1, 2).tolist()
    values = [activated(gate, linear, alpha, limit) for gate, linear in pairs]
    return torch.tensor(values, dtype=torch.float64).view(*a.shape[:-1], a.shape[-1] // 2)


def close(got: torch.Tensor, want: torch.Tensor) -> None:
    """Within one rounding to its dtype, and a few of float32."""
    limits = torch.finfo(got.dtype)
    torch.testing.assert_close(
        got.double(),
        want,
        rtol=max(0.51 * limits.eps, 2e-6),
        atol=max(limits.smallest_normal * limits.eps, 1e-7),
    )


def routing(sizes: list[int], n_rows: int) -> RoutingData:
    """Of experts with so many rows each, among n_rows."""
    hist = torch.tensor(sizes, dtype=torch.int32)
    metadata = make_ragged_tensor_metadata(hist, n_rows)
    return RoutingData(torch.ones(n_rows), hist, len(sizes), 1, metadata)


# --- values


@OPS
@pytest.mark.parametrize("limit", [None, 1e-2, 1.0, 10])
@pytest.mark.parametrize("alpha", [0.5, 1.702])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, E4M3, E5M2])
@pytest.mark.parametrize("shape", [(1, 2), (7, 66), (3, 512)])
def test_it_is_the_gate_times_its_sigmoid_times_the_linear_one_plus_1(
    op, shape, dtype, alpha, limit
):
    a = entries(shape, dtype, alpha)
    result = op(a, alpha, PrecisionConfig(limit))
    assert result.dtype == dtype and result.is_contiguous()
    close(result, expected(a, alpha, limit))


@OPS
@pytest.mark.parametrize("shape", [(5000, 6), (2, 3000), (130, 130)])
def test_many_tiles_and_ragged_edges(op, shape):
    a = entries(shape)
    close(op(a, 1.1, PrecisionConfig(1.4)), expected(a, 1.1, 1.4))


@OPS
def test_leading_dimensions_may_be_any_with_any_strides(op):
    base = entries((4, 5, 6, 16))
    views = [
        base[0, 0, 0],
        base[:, 1],
        base[::2, 1:4, ::3],
        base.transpose(0, 2),
        base.permute(1, 2, 0, 3),
        base[..., 4:12],
        base[:1].expand(3, 5, 6, 16),
        base.as_strided((7, 16), (8, 1)),  # rows that overlap
    ]
    for a in views:
        result = op(a, 0.5, PrecisionConfig(1.0))
        assert result.shape == (*a.shape[:-1], a.shape[-1] // 2)
        assert result.is_contiguous()
        close(result, expected(a, 0.5, 1.0))


@OPS
@pytest.mark.parametrize("shape", [(0, 8), (3, 0), (2, 0, 6)])
def test_nothing_becomes_nothing(op, shape):
    assert op(torch.zeros(shape), 1.0, NO_LIMIT).shape == (*shape[:-1], shape[-1] // 2)


@OPS
@pytest.mark.parametrize("limit", [None, 1.0])
def test_nan_stays_nan_and_infinities_are_clamped(op, limit):
    nan, inf = math.nan, math.inf
    a = torch.tensor([[nan, 1.0], [1.0, nan], [inf, 0.5], [0.5, inf], [0.5, -inf], [2.0, 0.0]])
    result = op(a, 1.0, PrecisionConfig(limit)).flatten().tolist()
    assert math.isnan(result[0]) and math.isnan(result[1])
    want = [inf, inf, -inf] if limit is None else [
        activated(1.0, 0.5, 1.0, None),
        activated(0.5, 1.0, 1.0, None),
        0.0,
    ]  # fmt: skip
    assert result[2:5] == pytest.approx(want, rel=1e-6)


# --- routing


@OPS
@pytest.mark.parametrize("garbage", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("shape", [(40,), (5, 8)])
@pytest.mark.parametrize("sizes", [[3, 0, 9], [0, 0], [40]])
def test_only_rows_of_experts_are_computed_and_the_others_are_zero(op, garbage, shape, sizes):
    a = entries((*shape, 34))
    rows = a.view(40, 34)
    rows[sum(sizes) :] = garbage
    result = op(a, 0.5, PrecisionConfig(1.0), routing(sizes, 40)).view(40, 17)
    close(result[: sum(sizes)], expected(rows[: sum(sizes)], 0.5, 1.0))
    assert (result[sum(sizes) :] == 0).all()


@OPS
def test_without_block_data_all_rows_are_computed(op):
    a = entries((5, 8))
    data = RoutingData(torch.ones(5), torch.tensor([5], dtype=torch.int32), 1, 1)
    assert torch.equal(op(a, 0.5, NO_LIMIT, data), op(a, 0.5, NO_LIMIT))


# --- flexpoint


@OPS
@pytest.mark.parametrize("routed", [False, True])
def test_scales_multiply_what_is_read_and_divide_what_is_written(op, routed):
    a = entries((6, 40), E4M3)
    data = routing([1, 3], 6) if routed else None
    actual, checksum = torch.zeros(1), torch.zeros(1, dtype=torch.int32)
    flex = FlexCtx(
        OutFlexData(E5M2, torch.tensor([0.8]), actual, checksum),
        InFlexData(E4M3, torch.tensor([1.25])),
    )
    result = op(a.view(torch.uint8), 0.5, PrecisionConfig(1.5, flex), data)
    assert result.dtype == E5M2
    want = expected(a, 0.5, 1.5, scale=1.25)
    if routed:
        want[4:] = 0
    close(result, want / 0.8)
    assert actual.item() == pytest.approx(want.abs().max().item() / 57344, rel=1e-5)


@OPS
@pytest.mark.parametrize("saturate", [False, True])
def test_results_beyond_the_range_saturate_where_it_is_asked_for(op, saturate):
    a = torch.tensor([[300.0, 300.0, -1.0, 0.0]], dtype=torch.float16)
    flex = FlexCtx(OutFlexData(None, torch.ones(1)), saturate_inf=saturate)
    result = op(a, 1.0, PrecisionConfig(None, flex))
    assert result[0, 0].item() == (65472 if saturate else math.inf)


# --- gradients


@OPS
@pytest.mark.parametrize("limit", [None, 0.8])
@pytest.mark.parametrize("alpha", [0.5, 1.702])
@pytest.mark.parametrize("shape", [(3, 10), (2, 3, 4)])
def test_the_gradient_is_the_slope(op, shape, alpha, limit):
    a = entries(shape)
    if limit is not None:  # away from the corners, where there is no slope
        a += torch.where((a.abs() - limit).abs() < 1e-2, 0.1, 0.0)
    a.requires_grad_()
    weight = entries((*shape[:-1], shape[-1] // 2), torch.float32, "weight")
    op(a, alpha, PrecisionConfig(limit)).backward(weight)
    flat = weight.flatten().tolist()

    def loss(at):
        pairs = zip(at[::2], at[1::2], flat, strict=True)
        return sum(w * activated(gate, linear, alpha, limit) for gate, linear, w in pairs)

    slope = oracle.slope(loss, a.detach().flatten().tolist(), step=1e-5)
    torch.testing.assert_close(a.grad.flatten(), torch.tensor(slope), rtol=1e-4, atol=1e-5)


@OPS
def test_what_is_clamped_has_no_gradient_and_what_equals_the_limit_has_it(op):
    #      above:  gate      linear     below: linear    at the limit
    a = torch.tensor([[2.0, 0.5], [0.5, 2.0], [0.5, -2.0], [1.0, 1.0], [1.0, -1.0]])
    a.requires_grad_()
    op(a, 1.0, PrecisionConfig(1.0)).sum().backward()
    is_zero = (a.grad == 0).tolist()
    # A linear part of -1 makes the factor of the gate 0.
    assert is_zero == [[True, False], [False, True], [True, True], [False, False], [True, False]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_gradients_have_the_dtype_of_the_input_and_may_come_with_any_strides(dtype):
    base = entries((4, 6, 16), dtype)
    for a in (base, base.transpose(0, 1), base[::2, 1:, 2:10]):
        leaf = a.detach().requires_grad_()
        shape = (*a.shape[:-1], a.shape[-1] // 2)
        weights = (
            torch.ones(1, 1, 1, dtype=dtype).expand(shape),
            entries(shape[::-1], dtype).permute(2, 1, 0),
            entries(shape, dtype),
        )
        for weight in weights:
            (ours,) = torch.autograd.grad(swiglu(leaf, 1.1, PrecisionConfig(1.4)), leaf, weight)
            assert ours.dtype == dtype and ours.shape == a.shape
            exact = a.detach().double().requires_grad_()
            gate, linear = exact[..., ::2].clamp(max=1.4), exact[..., 1::2].clamp(-1.4, 1.4)
            result = gate * torch.sigmoid(1.1 * gate) * (linear + 1)
            (want,) = torch.autograd.grad(result, exact, weight.double())
            close(ours, want)


@pytest.mark.parametrize("sizes", [[3, 0, 9], [0], [20]])
def test_rows_of_no_expert_have_gradient_zero_whatever_stands_there(sizes):
    n_rows = sum(sizes)
    a, weight = entries((20, 34)), entries((20, 17), torch.float32, "weight")
    alone = a[:n_rows].clone().requires_grad_()
    swiglu(alone, 0.5, PrecisionConfig(1.0)).backward(weight[:n_rows])
    a[n_rows:] = weight[n_rows:] = math.nan
    a.requires_grad_()
    swiglu(a, 0.5, PrecisionConfig(1.0), routing(sizes, 20)).backward(weight)
    torch.testing.assert_close(a.grad[:n_rows], alone.grad)
    assert (a.grad[n_rows:] == 0).all()


@OPS
def test_the_gradient_goes_through_the_scales(op):
    a = entries((3, 10)).requires_grad_()
    flex = FlexCtx(OutFlexData(None, torch.tensor([4.0])), InFlexData(None, torch.tensor([0.5])))
    op(a, 0.5, PrecisionConfig(1.0, flex)).sum().backward()
    exact = a.detach().clone().requires_grad_()
    (swiglu_torch(exact * 0.5, 0.5, PrecisionConfig(1.0)) / 4).sum().backward()
    torch.testing.assert_close(a.grad, exact.grad)


def test_the_function_for_autograd_takes_the_arguments_of_swiglu():
    a = entries((12, 10)).requires_grad_()
    config, data = PrecisionConfig(1.0), routing([5, 2], 12)
    assert torch.equal(SwiGLU.apply(a, 0.5, config, data), swiglu(a, 0.5, config, data))
    assert SwiGLU.apply(a, 0.5, config, None).requires_grad
    assert not swiglu(a.detach(), 0.5, config).requires_grad


# --- errors


A = torch.zeros(4, 8)


def flex(**scales: object) -> PrecisionConfig:
    return PrecisionConfig(None, FlexCtx(**scales))


@OPS
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"a": [1.0]}, TypeError, "a: expected a torch.Tensor"),
        ({"a": A.double()}, TypeError, "a: expected dtype float32"),
        ({"a": A.byte()}, TypeError, "a: expected dtype float32"),
        ({"a": A[:, :7]}, ValueError, "a: expected an even number of columns"),
        ({"a": torch.zeros(())}, ValueError, "a: expected an even number of columns"),
        ({"a": A.t()}, ValueError, "a: expected columns side by side in memory"),
        ({"a": A[:, ::2]}, ValueError, "a: expected columns side by side in memory"),
        ({"alpha": "1"}, TypeError, "alpha: expected a number"),
        ({"alpha": None}, TypeError, "alpha: expected a number"),
        ({"precision_config": PrecisionConfig("1")}, TypeError, "precision_config.limit: expected"),
        ({"precision_config": PrecisionConfig(-1)}, ValueError, "precision_config.limit: expected"),
        (
            {"precision_config": PrecisionConfig(math.nan)},
            ValueError,
            "precision_config.limit: expected at least 0",
        ),
        (
            {"precision_config": flex(inp_data=InFlexData(None, torch.ones(2)))},
            ValueError,
            "inp_data.scale: expected one element",
        ),
        (
            {"precision_config": flex(out_data=OutFlexData(None, torch.ones(1, device="meta")))},
            ValueError,
            "out_data.expected_scale: expected a tensor on cpu",
        ),
        (
            {"a": A.to(E5M2).requires_grad_()},
            TypeError,
            "a: expected at least 16 bits where a gradient is asked for",
        ),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_computed(op, arguments, error, text):
    with pytest.raises(error, match=text):
        op(**{"a": A, "alpha": 1.0, "precision_config": NO_LIMIT, **arguments})


def test_a_limit_must_be_given_and_no_field_can_be_changed():
    with pytest.raises(TypeError, match="limit"):
        PrecisionConfig()
    with pytest.raises(AttributeError):
        NO_LIMIT.limit = 3.0


def test_the_module_has_its_names_and_no_others():
    import triton_kernels.swiglu as module

    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'swigloo'"):
        _ = module.swigloo


# --- upstream's case, on a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("limit", [1e-2, 10])
@pytest.mark.parametrize("routed", [False, True])
def test_upstreams_case_on_a_gpu(limit, routed):
    a = entries((1311, 4352), torch.bfloat16).cuda().requires_grad_()
    data = None
    if routed:
        hist = torch.tensor([500, 0, 700], dtype=torch.int32, device="cuda")
        metadata = make_ragged_tensor_metadata(hist, 1311)
        data = RoutingData(torch.ones(1311, device="cuda"), hist, 3, 1, metadata)
    weight = entries((1311, 2176), torch.bfloat16, "weight").cuda()
    result = swiglu(a, 0.5, PrecisionConfig(limit), data)
    result.backward(weight)
    exact = a.detach().double().requires_grad_()
    gate, linear = exact[:, ::2].clamp(max=limit), exact[:, 1::2].clamp(-limit, limit)
    want = gate * torch.sigmoid(0.5 * gate) * (linear + 1)
    if routed:
        want = torch.where(torch.arange(1311, device="cuda").unsqueeze(1) < 1200, want, 0)
    want.backward(weight.double())
    close(result.detach(), want.detach())
    close(a.grad, exact.grad)
