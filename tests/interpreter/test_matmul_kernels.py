"""The product by pointers and the finalising pass, with plans of the test's choice.

Results are float32 where nothing else is asked for, so that a wrong term shows.  What no kernel
may read is NaN, and what none may write stays so.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from tests.support.products import NAN, expected, plan_of, product_of, slices_of
from triton_kernels import target_info
from triton_kernels.matmul_ogs_details import _kernel_arguments, _launch, _p_launch
from triton_kernels.matmul_ogs_details.product import Function, InnerSlices, Product, Remote
from triton_kernels.numerics import OutFlexData
from triton_kernels.specialize import FnSpecs

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


@triton.jit
def _gated(tile, limit, shift):
    """Neighbours multiplied.  Of nothing it makes `shift`, not 0."""
    M: tl.constexpr = tile.shape[0]
    N: tl.constexpr = tile.shape[1] // 2
    a, b = tl.split(tl.reshape(tile, [M, N, 2]))
    return tl.minimum(a, limit) * b + shift


def gated_rows(rows: torch.Tensor) -> torch.Tensor:
    return rows[..., 0::2].clamp(max=1.5) * rows[..., 1::2] + 0.25


GATED = Function(FnSpecs("gated", _gated, ("limit", "shift"), reduction_n=2), (1.5, 0.25))


@triton.jit
def _bent(out, factor, target_dtype: tl.constexpr):
    tl.static_assert(target_dtype == tl.float32, "target_dtype is not that of the result")
    return tl.abs(out) * factor + 1.0


BENT = FnSpecs("bent", _bent, ("factor",))


@pytest.fixture(autouse=True)
def _numbers(request: pytest.FixtureRequest) -> None:
    """Those of each test are its own, and the same in every run."""
    torch.manual_seed(zlib.crc32(request.node.name.encode()))


def close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal but for the order of summation, and one rounding to the dtype of the result.

    Half a unit in the last place is eps / 2; fp8's smallest positive number is not that small.
    """
    rtol, atol = (1e-4, 1e-4) if got.dtype == FP32 else (torch.finfo(got.dtype).eps, 1e-2)
    torch.testing.assert_close(got.double(), wanted, rtol=rtol, atol=atol, equal_nan=True)


def randn(*shape: int, dtype: torch.dtype = FP32, layout: Sequence[int] = ()) -> torch.Tensor:
    """Normal numbers; `layout` is the order of the dimensions in memory, the last contiguous."""
    layout = layout or range(len(shape))
    stored = torch.randn([shape[dim] for dim in layout]).to(dtype)
    return stored.permute([list(layout).index(dim) for dim in range(len(shape))])


def int32(values: Sequence[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


# One multiprocessor: its programs take several tiles each.
HOPPER = target_info.Target("cuda", 90, n_sms=1)


def check(p: Product, plan: dict[str, Any] | None = None, **functions: Any) -> torch.Tensor:
    """The result, by pointers; it is right, as is that by TMA where there is one."""
    wanted = expected(p, **functions)
    with target_info.override(HOPPER):
        if _p_launch.can_use_tma(p):
            got = _launch.multiply_as_planned(p, plan_of(**(plan or {}), is_persistent=True))
            close(got, wanted)
    got = _launch.multiply_as_planned(p, plan_of(**(plan or {})))
    assert got.shape == p.y_shape and got.dtype == p.y_dtype
    assert p.y is None or got is p.y
    close(got, wanted)
    return got


# Plain and batched.

DTYPES = [(BF16, BF16), (FP16, FP16), (FP32, FP32), (E5M2, E5M2), (E4M3, E5M2)]


@pytest.mark.parametrize(("x_dtype", "w_dtype"), DTYPES)
@pytest.mark.parametrize("inner_size", [64, 80])
def test_operands_of_every_dtype_are_multiplied(x_dtype, w_dtype, inner_size):
    check(
        product_of(randn(1, 50, inner_size, dtype=x_dtype), randn(1, inner_size, 70, dtype=w_dtype))
    )


@pytest.mark.parametrize("x_layout", [(0, 1, 2), (0, 2, 1), (1, 2, 0)])
@pytest.mark.parametrize("w_layout", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
def test_operands_and_results_have_any_strides(x_layout, w_layout):
    """A result in the memory of others leaves them alone."""
    memory = torch.full((3, 2 * 40, 2 * 50), NAN)
    y = memory[:, ::2, 1::2]
    x, w = randn(3, 40, 72, layout=x_layout), randn(3, 72, 50, layout=w_layout)
    check(product_of(x, w, y=y))
    assert int(memory.isnan().sum()) == memory.numel() - y.numel()


@pytest.mark.parametrize("dtype", [BF16, FP16, E4M3, E5M2])
def test_results_of_every_dtype_are_rounded_once(dtype):
    check(product_of(randn(1, 40, 64), randn(1, 64, 70), y_dtype=dtype))


@pytest.mark.parametrize("inner_size", [0, 1, 31, 128])
@pytest.mark.parametrize("split_k", [1, 3])
def test_any_number_of_columns_of_x_is_split(inner_size, split_k):
    """Splits without any are zeros: of 4 steps, 3 splits take 2, 2 and none."""
    x, w = randn(1, 33, inner_size), randn(1, inner_size, 40)
    check(product_of(x, w, bias=randn(1, 40)), {"split_k": split_k})


PLANS = [
    {"split_k": 2},
    {"split_k": 3, "block_k": 16},
    {"group_m": 1, "xcd_swizzle": 3},
    {"group_m": 3, "xcd_swizzle": 8, "epilogue_subtile": 2, "w_cache_modifier": ".cg"},
    {"epilogue_subtile": 4, "block_m": 16},
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_tile_is_computed_once_whatever_the_plan(plan):
    x, w = randn(2, 85, 72), randn(2, 72, 150)
    y_acc = randn(2, 85, 150)
    check(product_of(x, w, y=y_acc.clone(), y_acc_in=y_acc, bias=randn(2, 150)), plan)


@pytest.mark.parametrize("split_k", [1, 2])
@pytest.mark.parametrize("epilogue_subtile", [1, 2])
def test_a_row_ends_in_the_order_of_the_formula(split_k, epilogue_subtile):
    """Scales, bias, alpha, activation, gamma, sum, output scale, epilogue."""
    p = product_of(
        randn(2, 40, 64),
        randn(2, 64, 140),
        bias=randn(2, 140, dtype=BF16),
        betas=randn(40),
        gammas=randn(40, dtype=BF16),
        alpha=0.5,
        x_scale=torch.tensor([0.25, 0.75]),
        w_scale=torch.tensor([0.5, 0.125]),
        activation=GATED,
        y_acc_in=randn(2, 40, 70, layout=(2, 0, 1)),
        acc_scale=torch.tensor([3.0]),
        y_flex=OutFlexData(None, torch.tensor([0.5, 4.0])),
        epilogue=Function(BENT, (2.0,) if split_k == 1 else ()),
        epilogue_finalize_args=(2.0,) if split_k > 1 else (),
    )
    plan = {"split_k": split_k, "epilogue_subtile": epilogue_subtile}
    check(p, plan, activation=gated_rows, epilogue=lambda rows: rows.abs() * 2.0 + 1.0)


@pytest.mark.parametrize("split_k", [1, 2])
@pytest.mark.parametrize("per_batch", [False, True])
def test_results_of_8_bits_are_scaled_and_their_range_is_reported(split_k, per_batch):
    n = 2 if per_batch else 1
    wanted_scale, actual = torch.tensor([0.05, 0.01][:n]), torch.zeros(n)
    p = product_of(
        randn(2, 40, 64),
        randn(2, 64, 70),
        y_dtype=E4M3,
        y_flex=OutFlexData(None, wanted_scale, actual, torch.zeros(n, dtype=torch.int32)),
        saturate_inf=True,
    )
    check(p, {"split_k": split_k, "block_n": 128, "block_m": 64})
    rows = p.x.double() @ p.w.double()
    assert float((rows / wanted_scale.double()[:, None, None]).abs().max()) > 448  # saturates
    largest = rows.abs().amax(dim=(1, 2)) if per_batch else rows.abs().amax()[None]
    torch.testing.assert_close(actual.double(), largest / 448, rtol=1e-5, atol=0)
    assert p.y_flex.checksum_scale is not None and bool((p.y_flex.checksum_scale != 0).all())


@pytest.mark.parametrize("transposed", [False, True])
def test_offsets_of_64_bits_reach_the_same_elements(monkeypatch, transposed):
    monkeypatch.setattr(_kernel_arguments, "_INT32_MAX", 0)
    layout = (0, 2, 1) if transposed else ()
    gather, slices = int32([3, 0, -1, 1, 2]), slices_of([2, 3])
    x, w = randn(1, 4, 40, layout=layout), randn(2, 40, 30, layout=layout)
    check(product_of(x, w, gather=gather, slices=slices))


# Ragged.

SIZES = [0, 33, 1, 0, 40]


def routed(n_tokens: int, k: int, dropped: float) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """(slices of 4 experts, slot of each row, row of each slot); some slots are unused."""
    expert = torch.rand(n_tokens, 4).argsort(dim=1)[:, :k].flatten()
    expert[torch.rand(n_tokens * k) < dropped] = 4
    expert[:k] = 4  # a token without any
    order = expert.argsort(stable=True)
    n_used = int((expert < 4).sum())
    slot_of = torch.where(torch.arange(n_tokens * k) < n_used, order, -1).int()
    row_of = torch.full((n_tokens * k,), -1, dtype=torch.int32)
    row_of[order[:n_used]] = torch.arange(n_used, dtype=torch.int32)
    return slices_of(expert.bincount(minlength=5)[:4].tolist()), slot_of, row_of


@pytest.mark.parametrize("plan", [{}, {"block_m": 16, "group_m": 2}, {"split_k": 2}], ids=str)
def test_each_slice_meets_its_own_matrix_and_other_rows_are_not_read(plan):
    x = randn(1, sum(SIZES) + 5, 72)
    x[:, sum(SIZES) :] = NAN
    w = randn(len(SIZES), 72, 70, layout=(0, 2, 1))
    w[0] = w[3] = NAN
    scale = torch.rand(len(SIZES)) + 0.5
    p = product_of(x, w, slices=slices_of(SIZES), bias=randn(len(SIZES), 70), w_scale=scale)
    check(p, plan)


@pytest.mark.parametrize("split_k", [1, 2])
@pytest.mark.parametrize("n_columns", [10, 140])
def test_rows_of_no_slice_keep_what_they_held_and_are_not_reported(split_k, n_columns):
    used = sum(SIZES)
    x, w = randn(1, used + 21, 72), randn(len(SIZES), 72, n_columns)
    memory, actual = torch.full((1, used + 21, n_columns), 7.0).to(E4M3), torch.zeros(1)
    p = product_of(
        x,
        w,
        slices=slices_of(SIZES),
        y=memory,
        y_dtype=E4M3,
        y_flex=OutFlexData(None, torch.ones(1), actual),
    )
    _launch.multiply_as_planned(p, plan_of(split_k=split_k))
    wanted = expected(p)[:, :used]
    close(memory[:, :used], wanted)
    assert bool((memory[:, used:].float() == 7.0).all())
    torch.testing.assert_close(actual[0].double(), wanted.abs().max() / 448, rtol=1e-5, atol=0)


@pytest.mark.parametrize("is_persistent", [False, True])
def test_sizes_of_more_rows_than_there_are_reach_nothing_else(is_persistent):
    """The reads and writes of the interpreter are checked; the rows that there are, are right."""
    x, w = randn(1, 40, 72), randn(2, 72, 72)
    memory = torch.full((1, 60, 72), NAN)
    p = product_of(x, w, slices=slices_of([25, 35]), y=memory[:, :40])
    with target_info.override(HOPPER):
        _launch.multiply_as_planned(p, plan_of(is_persistent=is_persistent))
    close(
        memory[0, :40],
        torch.cat([x[0, :25].double() @ w[0].double(), x[0, 25:].double() @ w[1].double()]),
    )
    assert bool(memory[0, 40:].isnan().all())


@pytest.mark.parametrize("k", [1, 3])
def test_rows_are_gathered_by_slot_and_a_negative_slot_is_zeros(k):
    slices, gather, _ = routed(20, k, dropped=0.2)
    gather[1] = -1  # inside a slice
    x = randn(1, 20, 40, dtype=BF16)
    x[0, 0] = NAN  # the token without slots
    p = product_of(x, randn(4, 40, 70, dtype=BF16), slices=slices, gather=gather, n_choices=k)
    check(p)
    check(product_of(x, p.w, slices=slices, gather=gather, n_choices=k, bias=randn(4, 70)))


@pytest.mark.parametrize("gathers", [False, True])
@pytest.mark.parametrize("split_k", [1, 2])
@pytest.mark.parametrize("k", [1, 3])
def test_rows_of_a_token_are_activated_weighted_and_added_up(gathers, split_k, k):
    n_tokens = 25
    slices, slot_of, row_of = routed(n_tokens, k, dropped=0.3)
    x = randn(1, n_tokens if gathers else n_tokens * k, 40)
    p = product_of(
        x,
        randn(4, 40, 140),
        slices=slices,
        n_choices=k,
        gather=slot_of if gathers else None,
        scatter_to=slot_of,
        scatter_from=row_of,
        gammas=randn(n_tokens * k),
        activation=GATED,
        epilogue=Function(BENT, ()),
        epilogue_finalize_args=(2.0,),
    )
    functions = {"activation": gated_rows, "epilogue": lambda rows: rows.abs() * 2.0 + 1.0}
    got = check(p, {"split_k": split_k}, **functions)
    assert bool((got[0, 0] == 0).all())


@pytest.mark.parametrize(
    "plan", [{}, {"block_m": 16, "block_n": 32, "epilogue_subtile": 2}], ids=str
)
def test_with_one_choice_rows_are_scattered_where_they_are_made(plan):
    slices, slot_of, row_of = routed(70, 1, dropped=0.4)
    p = product_of(
        randn(1, 70, 40, dtype=BF16),
        randn(4, 40, 140, dtype=BF16),
        slices=slices,
        gather=slot_of,
        scatter_to=slot_of,
        scatter_from=row_of,
        gammas=randn(70),
        activation=GATED,
        y=torch.full((1, 140, 70), NAN)[:, ::2],
    )
    check(p, plan | {"fused_scatter": True}, activation=gated_rows)


@pytest.mark.parametrize("dtype", [BF16, FP32, E5M2])
def test_only_results_of_8_bits_are_added_up_in_more(dtype):
    """Of three rows of 1.25 * 2**-2 next to one of 64 * 1.25, fp8 itself would keep none."""
    big, small = 80.0, 0.3125
    x = torch.tensor([big, small, small, small]).reshape(1, 4, 1).repeat(1, 1, 16) / 16
    rows = int32([0, 1, 2, 3])
    p = product_of(
        x,
        torch.ones(1, 16, 16),
        n_choices=4,
        scatter_to=rows,
        scatter_from=rows,
        y_dtype=dtype,
        y_flex=OutFlexData(None, torch.tensor([big + 3 * small])),
    )
    got = _launch.multiply_as_planned(p, plan_of())
    assert got.tolist() == torch.ones(1, 1, 16).tolist()


def test_without_rows_everything_scattered_is_zero():
    nowhere = int32([])
    p = product_of(
        randn(1, 0, 40),
        randn(2, 40, 30),
        slices=slices_of([0, 0]),
        scatter_to=nowhere,
        scatter_from=int32([-1, -1, -1]),
    )
    for fused in (False, True):
        check(p, {"fused_scatter": fused})


# Inner-ragged.


def grouped(sizes: Sequence[int], width: int, block_k: int, is_padded: bool) -> torch.Tensor:
    """[columns, width]: slices one after the other, padded or not, and NaN wherever no slice is."""
    step = block_k if is_padded else 1
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += math.ceil(size / step) * step
    values = torch.full((end + 7, width), NAN)
    for start, size in zip(starts, sizes, strict=True):
        values[start : start + size] = torch.randn(size, width)
    return values


@pytest.mark.parametrize("padded", [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("transposed", [False, True])
def test_slices_of_the_inner_dimension_make_a_matrix_each(padded, transposed):
    sizes = [0, 5, 32, 41]
    x, w = grouped(sizes, 40, 16, padded[0]), grouped(sizes, 70, 16, padded[1])
    if transposed:
        x, w = x.t().contiguous().t(), w.t().contiguous().t()
    p = product_of(
        x.t()[None],
        w[None],
        inner=InnerSlices(slices_of(sizes), 16, *padded),
        w_scale=torch.tensor([1.0, 2.0, 3.0, 4.0]),
        alpha=0.5,
        y_flex=OutFlexData(None, torch.tensor([1.0, 2.0, 4.0, 8.0])),
    )
    check(p, {"block_k": 16})


# To other ranks.


@triton.jit
def _unchanged(out, buffers, target_dtype: tl.constexpr):
    return out


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("split_k", [1, 2])
@pytest.mark.parametrize("sharded", [False, True])
def test_rows_go_to_every_rank_of_their_shard(fused, split_k, sharded):
    if fused and split_k > 1:
        fused = False
    n_rows, n_shards, reduce_rank = 20, 2, 1
    slices, slot_of, row_of = routed(n_rows, 1, dropped=0.3)
    # The interpreter lets a kernel write to its arguments alone, so the buffers are one.
    buffers = torch.full((4, n_rows * n_shards, 30), NAN)
    handles = torch.tensor([buffer.data_ptr() for buffer in buffers])
    shard = torch.randint(0, 2, (n_rows,)).int() if sharded else None
    known_to_it = Function(FnSpecs("unchanged", _unchanged, ("buffers",)), (buffers,))
    p = product_of(
        randn(1, n_rows, 40),
        randn(4, 40, 30),
        slices=slices,
        scatter_to=slot_of,
        scatter_from=row_of,
        epilogue=known_to_it,
        epilogue_finalize_args=(buffers,),
    )
    wanted = expected(p)[0]
    p.remote = Remote(handles, shard, reduce_rank, n_shards)
    p.y_shape = (1, n_rows * n_shards, 30)
    _launch.multiply_as_planned(p, plan_of(fused_scatter=fused, split_k=split_k))
    sent = torch.full((4, n_rows * n_shards, 30), NAN, dtype=torch.float64)
    for row in range(n_rows):
        first = 0 if shard is None else int(shard[row]) * n_shards
        for rank in range(first, first + n_shards):
            sent[rank, row * n_shards + reduce_rank] = wanted[row]
    close(buffers, sent)


# Sums of groups, by themselves.


@pytest.mark.parametrize("has_groups", [False, True])
@pytest.mark.parametrize("n_splits", [1, 3])
def test_groups_of_rows_are_summed(has_groups, n_splits):
    x = randn(n_splits, 1, 12, 2 * 700, dtype=BF16, layout=(2, 0, 1, 3))
    indx = (
        int32([[3, 11, -1], [-1, -1, -1], [5, 5, 0]]).t().contiguous().t() if has_groups else None
    )
    got = _launch.sum_groups(
        x,
        indx,
        out_dtype=FP32,
        activation=GATED,
        epilogue=Function(BENT, (2.0,)),
        x_scale=torch.tensor([0.5]),
        y_flex=OutFlexData(None, torch.tensor([0.25])),
    )
    rows = gated_rows(x.double().sum(dim=0)[0] * 0.5)
    if has_groups:
        rows = torch.stack([rows[3] + rows[11], torch.zeros(700), rows[5] * 2 + rows[0]])
    wanted = (rows / 0.25).abs() * 2.0 + 1.0
    if has_groups:
        wanted[1] = 0.0
    close(got, wanted[None])


def test_many_splits_of_many_rows_are_summed():
    x, indx = randn(9, 1, 30, 40), torch.randint(-1, 30, (3, 20), dtype=torch.int32)
    rows = torch.cat([x.double().sum(dim=0)[0], torch.zeros(1, 40)])  # which is row -1
    close(_launch.sum_groups(x, indx), rows[indx].sum(dim=1)[None])


@pytest.mark.parametrize("dtype", [BF16, E4M3])
def test_sums_go_to_the_memory_that_is_given(dtype):
    x, out = randn(2, 3, 5, 40, dtype=BF16), torch.full((3, 5, 80), NAN).to(dtype)[..., ::2]
    assert _launch.sum_groups(x, None, out=out) is out
    close(out, x.double().sum(dim=0))


def test_nothing_is_launched_for_sums_of_nothing():
    assert _launch.sum_groups(randn(1, 1, 4, 8), int32([]).reshape(0, 2)).shape == (1, 0, 8)
