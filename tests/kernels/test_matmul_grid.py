"""Upstream's grid for the product, but for microscales: on a GPU, into garbage.

What comes out is compared with float32 products of plain torch on the same device, within
upstream's tolerances.  Without a GPU a sample runs, in small sizes.  With one, `-k first` runs the
calls that have all pairs of features, and `-k sample` that sample.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import oracle
import pytest
import torch
from matmul_grid import (
    CALLS,
    IMPOSSIBLE,
    N_FEW,
    N_FIRST,
    ROWS,
    Call,
    Problem,
    impossible,
    needs,
    shrunk,
)
from matmul_grid_operands import Given, expected, make, multiply
from poison import poisoned_memory

from triton_kernels import dispatch, target_info
from triton_kernels.matmul_ogs import (
    FnSpecs,
    FusedActivation,
    InapplicableConstraint,
    PrecisionConfig,
    make_opt_flags,
    matmul_ogs,
    matmul_ogs_set_idle_sms,
    opt_flags_constraints,
)
from triton_kernels.matmul_ogs_details.opt_flags import reset_opt_flags_constraints
from triton_kernels.swiglu import PrecisionConfig as SwigluPrecision
from triton_kernels.swiglu import swiglu, swiglu_fn
from triton_kernels.testing import assert_close, compute_actual_scale

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cuda" if torch.cuda.is_available() and not IS_INTERPRETED else "cpu")
IS_GPU = DEVICE.type == "cuda"


@pytest.fixture(autouse=True)
def _exact_reference() -> Iterator[None]:
    """The products of the reference are not rounded to tf32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def standing_in(arch: int | None) -> AbstractContextManager[object]:
    """Where there is no GPU, be one of this architecture: for the interpreter, of kernels by TMA.

    With one multiprocessor, so that programs take several tiles each.
    """
    if IS_GPU or arch is None:
        return nullcontext()
    return target_info.override(target_info.Target("cuda", arch, n_sms=1))


def compute(given: Given, activation: FusedActivation | None = None) -> torch.Tensor:
    call, least = given.call, needs(given.call)
    with (
        standing_in(10 * least[0] if call.is_persistent and least else None),
        poisoned_memory(),
    ):
        return multiply(given, y=given.y, fused_activation=activation)


def check(call: Call) -> None:
    given = make(call, DEVICE)
    got = compute(given)
    want, magnitude = expected(given)
    assert got.dtype == call.problem.x
    if given.y is not None:
        assert got.data_ptr() == given.y.data_ptr() and got.stride() == given.y.stride()
    if call.problem.mode == "ragged" and given.scatter is None and given.inner is None:
        got = got[: sum(given.sizes)]  # the tail belongs to no expert
    if call.problem.is_float8:
        check_float8(call, given, got, want, magnitude)
    else:
        if call.rounds_rows_first:
            error = magnitude * torch.finfo(got.dtype).eps / 2
            want = got.to(want.dtype).clamp(want - error, want + error)
        assert_close(want, got, verbose=False)


def check_float8(
    call: Call, given: Given, got: torch.Tensor, want: torch.Tensor, magnitude: torch.Tensor
) -> None:
    """Sums are exact; only rows that are added up in bfloat16 are rounded before the result is.

    So a result may be on the other side of the middle of two 8-bit numbers only where the exact one
    is next to it.
    """
    scale, actual, _ = given.precision.flex_ctx.out_data
    assert scale is not None and actual is not None
    by_batch = len(scale) > 1
    error = 2**-8 if call.rounds_rows_first else 2**-20
    if want.numel():
        needed = compute_actual_scale(want, got.dtype, by_batch).reshape(actual.shape)
        # Upstream's 1e-10; from 5e-4 on that is less than the last bit.
        torch.testing.assert_close(actual, needed, rtol=max(error, 2**-22), atol=1e-10)
    scale = scale.view(-1, 1, 1) if by_batch else scale
    want, error_of = want / scale, error * magnitude / scale
    low, high, stored = (
        value.to(got.dtype).float() for value in (want - error_of, want + error_of, got)
    )
    assert_close(torch.where((low <= stored) & (stored <= high), stored, want), got, verbose=False)


def skip_unless_there(call: Call) -> None:
    least = needs(call)
    if least is None:
        if not target_info.is_hip_cdna3():
            pytest.skip("only AMD's CDNA3 has this dtype")
    elif target_info.is_hip():
        if call.is_persistent:
            pytest.skip("AMD has no TMA")
    elif not target_info.cuda_capability_geq(*least):
        pytest.skip(f"needs compute capability {least}")


def on_gpu(*values: object, id: str | None = None) -> list[Any]:
    """A parameter set for a GPU: where there is none, it is not even collected."""
    return [pytest.param(*values, id=id, marks=pytest.mark.gpu)] if IS_GPU else []


GRID = [
    parameters
    for i, call in enumerate(CALLS)
    for parameters in on_gpu(call, id=f"{'first' if i < N_FIRST else 'later'}-{call}")
]


def scaled_in_every_way(calls: list[Call]) -> list[Call]:
    """A call for each pass over rows that scales them, or notes how large they are."""
    found: dict[object, Call] = {}
    for call in calls:
        p, rows = call.problem, call.rows
        if p.is_float8 and needs(call) is not None:
            found.setdefault((p.mode, p.split_k, rows.padded, rows.scatters), call)
    return list(found.values())


SAMPLE = [
    *(call for call in CALLS[:N_FEW] if needs(call) is not None),
    *scaled_in_every_way(CALLS),
]
SAMPLE = list(dict.fromkeys(map(shrunk, SAMPLE)))


@pytest.mark.gpu
@pytest.mark.parametrize("call", GRID)
def test_the_grid(call: Call) -> None:
    skip_unless_there(call)
    check(call)


@pytest.mark.parametrize("call", SAMPLE, ids=str)
def test_a_sample_of_the_grid(call: Call) -> None:
    if IS_GPU:
        skip_unless_there(call)
    check(call)


def test_the_first_third_of_the_grid_has_all_pairs_of_features() -> None:
    assert len(CALLS) >= 3 * N_FIRST

    def pairs(calls: list[Call]) -> set[object]:
        return {p for call in calls for p in itertools.combinations(call.features.items(), 2)}

    assert pairs(CALLS[:N_FIRST]) == pairs(CALLS)


def test_the_sample_has_all_features_of_the_grid_but_its_sizes() -> None:
    def features(calls: list[Call]) -> set[object]:
        sizes = ("shape", "n_experts")
        kept = (call for call in calls if needs(call) is not None)
        return {f for call in kept for f in call.features.items() if f[0] not in sizes}

    assert features(SAMPLE) == features(CALLS)
    assert len(SAMPLE) <= 50


@pytest.mark.skipif(
    dispatch.implementation(DEVICE) is dispatch.Implementation.REFERENCE,
    reason="the reference has no plan",
)
@pytest.mark.parametrize("reason", IMPOSSIBLE)
def test_what_is_left_out_of_the_grid_is_refused(reason: str) -> None:
    call = IMPOSSIBLE[reason]
    if IS_GPU:
        skip_unless_there(call)
    given = make(shrunk(call), DEVICE)
    with pytest.raises(InapplicableConstraint):
        compute(given)


# --- many small batches

SIZES = [8, 16, 32, 64, 128]


def small_shapes() -> list[tuple[int, int, int]]:
    """Shapes with a product of at most 16384, among which all pairs of sizes meet that can."""
    shapes = [s for s in itertools.product(SIZES, repeat=3) if s[0] * s[1] * s[2] <= 16384]
    shapes.sort(key=lambda shape: oracle.fresh(shape)[0].random())
    seen: set[object] = set()
    kept = []
    for shape in shapes:
        pairs = set(itertools.combinations(enumerate(shape), 2))
        if not pairs <= seen:
            kept.append(shape)
        seen |= pairs
    return kept


def small_batches() -> list[Any]:
    dtypes = itertools.cycle([torch.float16, torch.bfloat16, torch.float8_e5m2])
    transposed = itertools.cycle(itertools.product([False, True], repeat=2))
    biased = itertools.cycle([True, True, False, False, False])
    options = zip(dtypes, transposed, biased, strict=False)
    large = [
        parameters
        for shape, option in zip(small_shapes(), options, strict=False)
        for parameters in on_gpu(10_000, *shape, *option)
    ]
    return [
        (9, 8, 16, 32, torch.float16, (False, True), True),
        (5, 16, 64, 16, torch.float8_e5m2, (False, True), False),
        *large,
    ]


@pytest.mark.parametrize(
    ("n_batches", "m", "n", "k", "dtype", "transposed", "has_bias"), small_batches()
)
def test_small_batches(
    n_batches: int,
    m: int,
    n: int,
    k: int,
    dtype: torch.dtype,
    transposed: tuple[bool, bool],
    has_bias: bool,
) -> None:
    seed = oracle.fresh(m, n, k, dtype, transposed)[1].initial_seed()
    source = torch.Generator(DEVICE).manual_seed(seed)

    def operand(rows: int, columns: int, is_transposed: bool) -> torch.Tensor:
        shape = (n_batches, columns, rows) if is_transposed else (n_batches, rows, columns)
        values = torch.randn(shape, generator=source, device=DEVICE).to(dtype)
        return values.mT if is_transposed else values

    x, w = operand(m, k, transposed[0]), operand(k, n, transposed[1])
    bias = torch.randn(n_batches, n, generator=source, device=DEVICE) if has_bias else None
    want = torch.bmm(x.float(), w.float())
    if bias is not None:
        want += bias[:, None]
    with poisoned_memory():
        got = matmul_ogs(x, w, bias)
    # 8-bit results next to the middle of two numbers differ by a quarter.
    tolerance = (4e-1, 4e-2) if dtype.itemsize == 1 else (None, None)
    assert_close(want, got, *tolerance, verbose=False)


# --- idle multiprocessors


def test_multiprocessors_are_left_idle() -> None:
    """The plan says so; and one multiprocessor alone computes what all of them do."""
    f16 = torch.float16

    def idle_sms() -> int:
        shape = (1, 1024, 1024, 1024)
        flags = make_opt_flags(
            f16, f16, f16, PrecisionConfig(), *shape, None, True, False, None, False, False, None
        )
        return flags.idle_sms

    assert idle_sms() == 0
    source = torch.Generator(DEVICE).manual_seed(1)
    x, w = (torch.randn(shape, generator=source, device=DEVICE) for shape in ((300, 64), (64, 320)))
    x, w = x.to(f16), w.to(f16)
    is_persistent = not IS_GPU or target_info.cuda_capability_geq(9)
    try:
        matmul_ogs_set_idle_sms(24)
        assert idle_sms() == 24
        matmul_ogs_set_idle_sms(target_info.num_sms() - 1)
        with standing_in(90), opt_flags_constraints(is_persistent=is_persistent):
            got = matmul_ogs(x, w, None)
    finally:
        reset_opt_flags_constraints()
    assert idle_sms() == 0
    assert_close(x.float() @ w.float(), got, verbose=False)


# --- a fused activation


def fused_calls() -> list[Any]:
    """Every way of rows, in one pass and in two, by pointers and by TMA; a few of them small."""
    f16 = torch.float16
    calls = []
    for (mode, *shape), rows, split_k, subtile in itertools.product(
        [("ragged", 1200, 704, 608), ("batched", 800, 800, 400)],
        [rows for rows in ROWS if not rows.padded],
        [1, 2],
        [None, 1, 4],
    ):
        problem = Problem(mode, *shape, f16, f16, split_k=split_k, subtile=subtile)
        call = Call(problem, rows, None, False, subtile is not None)
        if impossible(call) or (mode == "batched" and rows != ROWS[0]):
            continue
        calls.append(call)
    few = [shrunk(call) for call in calls[::4]]
    options = [(1.1, 1.4), (1.0, 1.2), (0.7, 1.0)]
    small = zip(few, itertools.cycle(options), strict=False)
    return [pytest.param(call, *option, id=f"small-{call}") for call, option in small] + [
        parameters
        for call, option in itertools.product(calls, options)
        for parameters in on_gpu(call, *option, id=f"{call}-{option[0]}")
    ]


def swiglu_of(rows: torch.Tensor, alpha: float, limit: float) -> torch.Tensor:
    """In float32."""
    gate, line = rows[..., 0::2].clamp(max=limit), rows[..., 1::2].clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (line + 1)


@pytest.mark.parametrize(("call", "alpha", "limit"), fused_calls())
def test_a_fused_activation_is_what_it_is_afterwards(
    call: Call, alpha: float, limit: float
) -> None:
    if IS_GPU:
        skip_unless_there(call)
    given = make(call, DEVICE)
    specs = FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), reduction_n=2)
    got = compute(given, FusedActivation(specs, (alpha, limit)))
    apart = swiglu(compute(given), alpha, SwigluPrecision(limit))
    want = swiglu_of(expected(given)[0], alpha, limit)
    for result in (got, apart):
        assert_close(want, result[..., : want.shape[-2], :], verbose=False)


# --- nothing to sum over


@pytest.mark.parametrize(("m", "n"), [(24, 40), *on_gpu(320, 2**19), *on_gpu(4096, 4096)])
@pytest.mark.parametrize("is_view", [False, True])
def test_without_summands_the_bias_is_left(m: int, n: int, is_view: bool) -> None:
    bf16 = torch.bfloat16
    x = torch.full((m, 16 if is_view else 0), torch.nan, dtype=bf16, device=DEVICE)[:, :0]
    w = torch.empty(0, n, dtype=bf16, device=DEVICE)
    source = torch.Generator(DEVICE).manual_seed(n)
    bias = torch.randn(n, generator=source, device=DEVICE)
    with poisoned_memory():
        got = matmul_ogs(x, w, bias)
    assert got.shape == (m, n)
    assert torch.equal(got, bias.to(bf16).expand(m, n))
