"""A wrong argument of `matmul_ogs` is named, with what was expected, before anything happens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from matmul_oracle import GATED, Routing, vector

from triton_kernels import dispatch, target_info
from triton_kernels.matmul_ogs import (
    Epilogue,
    FlexCtx,
    FusedActivation,
    FusedComm,
    GatherIndx,
    InFlexData,
    InnerRoutingData,
    OutFlexData,
    PrecisionConfig,
    RoutingData,
    ScatterIndx,
    matmul_ogs,
    matmul_ogs_torch,
    reduce_grouped,
)
from triton_kernels.matmul_ogs_details._checks import check
from triton_kernels.tensor import FP4, Tensor, make_ragged_tensor_metadata, wrap_torch_tensor

M, K, N, E = 6, 16, 8, 3

META = torch.device("meta")


def zeros(*shape: int, dtype: torch.dtype = torch.float32, device: Any = "cpu") -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype, device=device)


ROUTING = Routing([[0], [2], [-1], [1], [2], [0]], E)
METADATA = make_ragged_tensor_metadata(vector([0, 16, 3]), 19)
INNER = InnerRoutingData(RoutingData(zeros(0), vector([0]), 3, 1, METADATA), 16, True, False)
BUFFER = zeros(M, K + N)
MEMORY = zeros(K * N + N * N)
X = zeros(M, K)

PLAIN: dict[str, Any] = {"x": X, "w": zeros(K, N), "bias": None}
BATCHED: dict[str, Any] = {"x": zeros(2, M, K), "w": zeros(2, K, N), "bias": None}
RAGGED: dict[str, Any] = {
    "x": X,
    "w": zeros(E, K, N),
    "bias": None,
    "routing_data": ROUTING.data(),
    "gather_indx": ROUTING.gather(),
    "scatter_indx": ROUTING.scatter(),
}
OF_INNER: dict[str, Any] = {
    "x": zeros(M, 48),
    "w": zeros(35, N),
    "bias": None,
    "inner_routing_data": INNER,
}


def of_lhs(**flex: Any) -> PrecisionConfig:
    return PrecisionConfig(flex_ctx=FlexCtx(InFlexData(**flex)))


def of_rhs(**flex: Any) -> PrecisionConfig:
    return PrecisionConfig(flex_ctx=FlexCtx(rhs_data=InFlexData(**flex)))


def of_out(dtype: torch.dtype, **flex: Any) -> PrecisionConfig:
    return PrecisionConfig(flex_ctx=FlexCtx(out_data=OutFlexData(**flex)), out_dtype=dtype)


def indices(n: int, dtype: torch.dtype = torch.int32, device: Any = "cpu") -> torch.Tensor:
    return zeros(n, dtype=dtype, device=device)


WRONG: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    # operands
    (PLAIN, {"x": [[1.0]]}, TypeError, "x: expected a torch.Tensor or a triton_kernels Tensor"),
    (PLAIN, {"x": zeros(K)}, ValueError, "x: expected 2 dimensions, or 3"),
    (PLAIN, {"x": zeros(1, 1, M, K)}, ValueError, "x: expected 2 dimensions, or 3"),
    (PLAIN, {"x": zeros(M, K, dtype=torch.float64)}, TypeError, "x: expected dtype bfloat16"),
    (PLAIN, {"x": zeros(M, K, dtype=torch.int32)}, TypeError, "x: expected dtype bfloat16"),
    (PLAIN, {"w": zeros(K, N, dtype=torch.float16)}, TypeError, "w: expected dtype float32, that"),
    (PLAIN, {"w": zeros(K + 1, N)}, ValueError, f"w: expected matrices of {K} rows"),
    (PLAIN, {"w": zeros(K)}, ValueError, "w: expected 2 dimensions, or 3"),
    (PLAIN, {"w": zeros(2, K, N)}, ValueError, "w: expected one matrix, without routing_data"),
    (PLAIN, {"w": zeros(K, N, device=META)}, ValueError, "w: expected a tensor on cpu"),
    (BATCHED, {"w": zeros(3, K, N)}, ValueError, "w: expected 2 matrices, as many as x"),
    (BATCHED, {"w": zeros(K, N)}, ValueError, "w: expected 2 matrices, as many as x"),
    (RAGGED, {"w": zeros(E + 1, K, N)}, ValueError, f"w: expected {E} matrices, one for each"),
    (RAGGED, {"w": zeros(K, N)}, ValueError, f"w: expected {E} matrices, one for each"),
    (
        RAGGED,
        {"w": zeros(5, K, N), "routing_data": RoutingData(X, X, 5, 1, ROUTING.data().expt_data)},
        ValueError,
        f"w: expected {E} matrices, one for each",
    ),
    # microscales
    (PLAIN, {"w": zeros(K, N, dtype=torch.uint8)}, ValueError, "w: .* microscaled operands are"),
    (
        PLAIN,
        {"w": wrap_torch_tensor(zeros(K // 2, N, dtype=torch.uint8).t().contiguous().t(), FP4)},
        ValueError,
        "w: .* microscaled operands are not supported yet",
    ),
    *(
        (
            PLAIN,
            {"precision_config": PrecisionConfig(**{name: zeros(1, N, dtype=torch.uint8)})},
            ValueError,
            f"precision_config.{name}: expected None: microscaled operands are not supported yet",
        )
        for name in ("act_scale", "weight_scale", "out_scale")
    ),
    (
        PLAIN,
        {"w": Tensor(zeros(K, N), shape=[K, N - 1])},  # type: ignore[arg-type]
        ValueError,
        r"w: expected the shape it is stored in, \[16, 8\]",
    ),
    # bias and factors
    (PLAIN, {"bias": zeros(N + 1)}, ValueError, rf"bias: expected shape \[{N}\]"),
    (PLAIN, {"bias": zeros(2, N)}, ValueError, rf"bias: expected shape \[{N}\]"),
    (PLAIN, {"bias": zeros(N, device=META)}, ValueError, "bias: expected a tensor on cpu"),
    (PLAIN, {"bias": indices(N)}, TypeError, "bias: expected a tensor of dtype bfloat16"),
    (RAGGED, {"bias": zeros(N)}, ValueError, rf"bias: expected shape \[{E}, {N}\]"),
    (BATCHED, {"bias": zeros(1, N)}, ValueError, rf"bias: expected shape \[2, {N}\]"),
    *(
        (PLAIN, {name: value}, error, f"{name}: expected {text}")
        for name in ("betas", "gammas")
        for value, error, text in (
            (zeros(M + 1), ValueError, rf"shape \[{M}\], one a row"),
            (zeros(M, 1), ValueError, rf"shape \[{M}\], one a row"),
            (indices(M), TypeError, "a tensor of dtype bfloat16"),
            (1.0, TypeError, "a tensor of dtype bfloat16"),
            (zeros(M, device=META), ValueError, "a tensor on cpu"),
        )
    ),
    (PLAIN, {"out_alpha": "2"}, TypeError, "out_alpha: expected a number"),
    # routing
    (PLAIN, {"routing_data": METADATA}, TypeError, "routing_data: expected a RoutingData"),
    (
        PLAIN,
        {"routing_data": RoutingData(zeros(0), zeros(0), 1, 0)},
        ValueError,
        "routing_data.n_expts_act: expected at least 1, got 0",
    ),
    (
        RAGGED,
        {"routing_data": RoutingData(zeros(0), zeros(0), E, 1, zeros(3))},  # type: ignore[arg-type]
        TypeError,
        "routing_data.expt_data: expected a RaggedTensorMetadata",
    ),
    (
        RAGGED,
        {
            "routing_data": RoutingData(
                zeros(0), zeros(0), E, 1, make_ragged_tensor_metadata(indices(E, device=META), M)
            )
        },
        ValueError,
        "routing_data.expt_data: expected a tensor on cpu",
    ),
    *(
        (RAGGED, {argument: record(**{**GOOD, name: value})}, error, f"{argument}.{name}: {text}")
        for argument, record, name in (
            ("gather_indx", GatherIndx, "src_indx"),
            ("scatter_indx", ScatterIndx, "src_indx"),
            ("scatter_indx", ScatterIndx, "dst_indx"),
        )
        for GOOD in ({"src_indx": indices(M), "dst_indx": indices(M)},)
        for value, error, text in (
            (indices(M, torch.int64), TypeError, "expected an int32 tensor"),
            (None, TypeError, "expected an int32 tensor"),
            (zeros(M, 1, dtype=torch.int32), ValueError, "expected 1 dimension"),
            (indices(M, device=META), ValueError, "expected a tensor on cpu"),
        )
    ),
    (RAGGED, {"gather_indx": indices(M)}, TypeError, "gather_indx: expected a GatherIndx"),
    (RAGGED, {"scatter_indx": indices(M)}, TypeError, "scatter_indx: expected a ScatterIndx"),
    (
        RAGGED,
        {"scatter_indx": ScatterIndx(indices(M), indices(M + 1))},
        ValueError,
        rf"scatter_indx.dst_indx: expected {M} elements, one a row",
    ),
    (
        RAGGED,
        {"gather_indx": GatherIndx(indices(M + 1), indices(M + 1))},
        ValueError,
        rf"scatter_indx.dst_indx: expected {M + 1} elements, one a row",
    ),
    (
        RAGGED,
        {"routing_data": RoutingData(zeros(0), zeros(0), E, 4, ROUTING.data().expt_data)},
        ValueError,
        "scatter_indx.src_indx: expected a multiple of n_expts_act = 4",
    ),
    *(
        (BATCHED, {name: value}, ValueError, f"{name}: expected None with x of 3 dimensions")
        for name, value in (
            ("routing_data", ROUTING.data()),
            ("gather_indx", ROUTING.gather()),
            ("scatter_indx", ROUTING.scatter()),
            ("inner_routing_data", INNER),
            ("fused_comm", FusedComm(indices(1, torch.int64))),
        )
    ),
    # inner-ragged
    *(
        (OF_INNER, {name: value}, ValueError, f"{name}: expected None with inner_routing_data")
        for name, value in (
            ("routing_data", ROUTING.data()),
            ("gather_indx", ROUTING.gather()),
            ("scatter_indx", ROUTING.scatter()),
            ("fused_comm", FusedComm(indices(1, torch.int64))),
            ("bias", zeros(N)),
            ("betas", zeros(M)),
        )
    ),
    (OF_INNER, {"w": zeros(3, 35, N)}, ValueError, "w: expected 2 dimensions with inner"),
    (
        OF_INNER,
        {"inner_routing_data": INNER.base},
        TypeError,
        "inner_routing_data: expected an InnerRoutingData",
    ),
    (
        OF_INNER,
        {"inner_routing_data": InnerRoutingData(block_k=16, x_is_padded=True)},
        TypeError,
        "inner_routing_data.base: expected a RoutingData",
    ),
    (
        OF_INNER,
        {"inner_routing_data": InnerRoutingData(Routing([[0]], 1).data(ragged=False), 16, True)},
        ValueError,
        "inner_routing_data.base.expt_data: expected the sizes",
    ),
    (
        OF_INNER,
        {"inner_routing_data": InnerRoutingData(INNER.base, 24, True)},
        ValueError,
        r"inner_routing_data.block_k: expected one of \[16, 32, 64, 128\], got 24",
    ),
    (
        OF_INNER,
        {"inner_routing_data": InnerRoutingData(INNER.base, 16)},
        ValueError,
        "inner_routing_data: expected x_is_padded or w_is_padded",
    ),
    # functions
    (PLAIN, {"fused_activation": GATED}, TypeError, "fused_activation: expected a FusedActivation"),
    (
        PLAIN,
        {"fused_activation": FusedActivation(GATED, (1.0,)), "w": zeros(K, N + 1)},
        ValueError,
        "w: expected a multiple of reduction_n = 2 columns, got 9",
    ),
    (PLAIN, {"epilogue": GATED}, TypeError, "epilogue: expected an Epilogue"),
    (PLAIN, {"epilogue": Epilogue(GATED)}, ValueError, "epilogue.specs.reduction_n: expected 1"),
    # precision
    (PLAIN, {"precision_config": FlexCtx()}, TypeError, "precision_config: expected a Precision"),
    (
        PLAIN,
        {"precision_config": PrecisionConfig(out_dtype=torch.float64)},
        TypeError,
        "precision_config.out_dtype: expected dtype bfloat16",
    ),
    (
        PLAIN,
        {"precision_config": of_lhs(scale=torch.ones(2))},
        ValueError,
        "flex_ctx.lhs_data.scale: expected 1 element",
    ),
    (
        RAGGED,
        {"precision_config": of_rhs(scale=torch.ones(2))},
        ValueError,
        f"flex_ctx.rhs_data.scale: expected 1 or {E} elements",
    ),
    (
        BATCHED,
        {"precision_config": of_rhs(scale=torch.ones(2, device=META))},
        ValueError,
        "flex_ctx.rhs_data.scale: expected a tensor on cpu",
    ),
    (
        BATCHED,
        {"precision_config": of_out(torch.float16, expected_scale=torch.ones(3))},
        ValueError,
        "flex_ctx.out_data.expected_scale: expected 1 or 2 elements",
    ),
    (
        BATCHED,
        {"precision_config": of_out(torch.float16, actual_scale=torch.ones(4)[::2])},
        ValueError,
        "flex_ctx.out_data.actual_scale: expected contiguous memory",
    ),
    (
        PLAIN,
        {"precision_config": of_out(torch.bfloat16, actual_scale=torch.ones(1))},
        ValueError,
        "flex_ctx.out_data.actual_scale: expected an output of dtype float16",
    ),
    # the result
    (PLAIN, {"y": [0.0]}, TypeError, "y: expected a torch.Tensor"),
    (PLAIN, {"y": zeros(M, N, dtype=torch.float16)}, TypeError, "y: expected dtype float32"),
    (PLAIN, {"y": zeros(N, M)}, ValueError, rf"y: expected shape \[{M}, {N}\]"),
    (PLAIN, {"y": zeros(1, N).expand(M, N)}, ValueError, "y: expected memory of its own"),
    (PLAIN, {"y": zeros(M, N, device=META)}, ValueError, "y: expected a tensor on cpu"),
    (BATCHED, {"y": zeros(M, N)}, ValueError, rf"y: expected shape \[2, {M}, {N}\]"),
    (OF_INNER, {"y": zeros(M, N)}, ValueError, rf"y: expected shape \[3, {M}, {N}\]"),
    (PLAIN, {"y": X[:, :N]}, ValueError, "y: expected memory that is not that of x"),
    (
        {**PLAIN, "x": BUFFER[:, :K]},
        {"y": BUFFER[:, K - 1 : K + N - 1]},
        ValueError,
        "y: expected memory that is not that of x",
    ),
    (
        {"x": zeros(N, K), "w": MEMORY[: K * N].view(K, N), "bias": None},
        {"y": MEMORY[K * N - 1 : -1].view(N, N)},
        ValueError,
        "y: expected memory that is not that of w",
    ),
    (PLAIN, {"y_acc_in": zeros(M, N + 1)}, ValueError, rf"y_acc_in: expected shape \[{M}, {N}\]"),
    (PLAIN, {"y_acc_in": indices(1)}, TypeError, "y_acc_in: expected dtype bfloat16"),
    (PLAIN, {"y_acc_in": zeros(M, N, device=META)}, ValueError, "y_acc_in: expected a tensor on"),
    (RAGGED, {"y_acc_in": zeros(M, N)}, ValueError, "y_acc_in: expected None with scatter_indx"),
    (
        PLAIN,
        {"y": BUFFER[:, :N], "y_acc_in": BUFFER[:, 1 : N + 1]},
        ValueError,
        "y_acc_in: expected y itself, or memory that is not that of y",
    ),
    # other ranks
    (
        PLAIN,
        {"fused_comm": FusedComm(indices(2))},
        TypeError,
        "fused_comm.out_handles: expected a tensor of 64-bit addresses",
    ),
    (
        PLAIN,
        {"fused_comm": FusedComm(indices(2, torch.int64), n_reduce_shards=3)},
        ValueError,
        "fused_comm.n_reduce_shards: expected 1 to 2",
    ),
    (
        PLAIN,
        {"fused_comm": FusedComm(indices(2, torch.int64), None, 2, 2)},
        ValueError,
        "fused_comm.reduce_rank: expected 0 to 1, got 2",
    ),
    (
        PLAIN,
        {"fused_comm": FusedComm(indices(2, torch.int64), indices(M + 1))},
        ValueError,
        f"fused_comm.scatter_shard_indx: expected {M} elements",
    ),
]


@pytest.mark.parametrize(("good", "wrong", "error", "text"), WRONG)
def test_a_wrong_argument_is_named(
    good: dict[str, Any], wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    matmul_ogs(**good)
    with pytest.raises(error, match=text) as raised:
        matmul_ogs(**{**good, **wrong})
    assert ", got " in str(raised.value)


@pytest.mark.parametrize(
    ("good", "wrong", "error", "text"), [row for row in WRONG if {*row[1]} & {"x", "w", "bias"}]
)
def test_the_reference_names_it_too(
    good: dict[str, Any], wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments = {**good, **wrong}
    if arguments.pop("fused_activation", None) is None:
        with pytest.raises(error, match=text):
            matmul_ogs_torch(**arguments)


def test_what_overlaps_in_no_element_is_taken() -> None:
    """Columns side by side in one buffer, rows one after the other, and y as its own summand."""
    buffer = torch.randn(2 * M, K + N)
    w = torch.randn(K, N)
    x, y = buffer[:M, :K], buffer[:M, K:]
    got = matmul_ogs(x, w, None, y=y)
    torch.testing.assert_close(got, x @ w)
    y = buffer[M:, :N]
    torch.testing.assert_close(matmul_ogs(x, w, None, y=y), x @ w)
    before = y.clone()
    torch.testing.assert_close(matmul_ogs(x, w, None, y=y, y_acc_in=y), x @ w + before)


def test_a_product_holds_vectors_without_gaps_and_the_slices_that_w_has() -> None:
    every_second = zeros(2 * M, dtype=torch.int32)[::2]
    scatter = ScatterIndx(every_second, every_second)
    data = RoutingData(zeros(0), zeros(0), 2, 1, METADATA)
    arguments = {**RAGGED, "w": zeros(2, K, N), "scatter_indx": scatter, "routing_data": data}
    product = check(**arguments, gammas=zeros(2 * M)[::2], betas=zeros(2 * M)[1::2])
    assert product.n_slices == 2
    vectors = product.scatter_to, product.scatter_from, product.gammas, product.betas
    assert all(vector is not None and vector.is_contiguous() for vector in vectors)


def test_without_a_gpu_nothing_is_sent_to_other_ranks() -> None:
    with (
        dispatch.override(dispatch.Implementation.REFERENCE),
        pytest.raises(ValueError, match="fused_comm: expected None, since only kernels"),
    ):
        matmul_ogs(**PLAIN, fused_comm=FusedComm(indices(2, torch.int64)))


@pytest.mark.parametrize(
    ("arch", "dtype", "is_there"),
    [
        (80, torch.float8_e4m3fn, False),
        (89, torch.float8_e4m3fn, True),
        (90, torch.float8_e4m3fn, True),
        (80, torch.float8_e5m2, True),
        (90, torch.float8_e4m3fnuz, False),
        ("gfx942", torch.float8_e4m3fnuz, True),
        ("gfx950", torch.float8_e4m3fnuz, False),
        ("gfx950", torch.float8_e4m3fn, True),
    ],
)
def test_a_dtype_that_the_device_has_not_is_named(
    arch: int | str, dtype: torch.dtype, is_there: bool
) -> None:
    target = target_info.Target("cuda" if isinstance(arch, int) else "hip", arch, 1)
    x, w = zeros(M, K, dtype=dtype), zeros(K, N, dtype=dtype)
    with target_info.override(target), dispatch.override(dispatch.Implementation.KERNEL):
        if is_there:
            assert check(x, w, None).y_dtype == dtype
        else:
            with pytest.raises(ValueError, match="x: expected another dtype"):
                check(x, w, None)
            config = PrecisionConfig(out_dtype=dtype)
            with pytest.raises(ValueError, match="out_dtype: expected another dtype"):
                check(X, PLAIN["w"], None, precision_config=config)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"x": zeros(1, M, N)}, ValueError, "x: expected 4 dimensions"),
        ({"x": None}, TypeError, "x: expected a torch.Tensor"),
        ({"x": zeros(1, 1, M, 5)}, ValueError, "x: expected a multiple of 2 columns"),
        ({"indx": indices(4)}, ValueError, "indx: expected 2 dimensions"),
        ({"indx": zeros(4, 1)}, TypeError, "indx: expected an int32 tensor"),
        ({"x": zeros(1, 2, M, N)}, ValueError, "indx: expected 2 dimensions, with one batch"),
        ({"out": zeros(3, N)}, ValueError, r"out: expected shape \[1, 4, 4\]"),
        ({"out_mx_scale": zeros(1)}, ValueError, "out_mx_scale: .* not supported yet"),
        ({"x_mx_scale": zeros(1)}, ValueError, "x_mx_scale: .* not supported yet"),
    ],
)
def test_reduce_grouped_names_a_wrong_argument(
    wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    good: dict[str, Any] = {
        "x": zeros(1, 1, M, N),
        "indx": zeros(4, 2, dtype=torch.int32),
        "out": None,
        "out_mx_scale": None,
        "fused_activation": FusedActivation(GATED, (1.0,)),
        "epilogue": Epilogue(),
    }
    assert reduce_grouped(**good)[0].shape == (1, 4, 4)
    with pytest.raises(error, match=text):
        reduce_grouped(**{**good, **wrong})
