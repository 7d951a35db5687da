"""The persistent kernel where its way differs: descriptors, tiles one after the other, gathering.

`check` runs both kernels; here operands are such that TMA can read them, which is asserted.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.interpreter.test_matmul_kernels import (
    BF16,
    E4M3,
    E5M2,
    FP16,
    FP32,
    GATED,
    HOPPER,
    _numbers,
    check,
    gated_rows,
    int32,
    randn,
    routed,
)
from tests.support.products import NAN, plan_of, product_of, slices_of
from triton_kernels import target_info
from triton_kernels.matmul_ogs_details import _p_launch
from triton_kernels.matmul_ogs_details.product import Product

__all__ = ["_numbers"]  # the fixture that seeds each test


def check_tma(p: Product, plan: dict[str, Any] | None = None, **functions: Any) -> torch.Tensor:
    with target_info.override(HOPPER):
        assert _p_launch.can_use_tma(p)
    return check(p, plan, **functions)


@pytest.mark.parametrize("dtype", [BF16, FP16, FP32, E4M3, E5M2])
def test_operands_of_every_dtype_are_read_by_tma(dtype):
    w_layout = (0, 2, 1) if dtype.itemsize == 1 else (0, 1, 2)
    w = randn(1, 80, 96, dtype=dtype, layout=w_layout)
    check_tma(product_of(randn(1, 50, 80, dtype=dtype), w))


@pytest.mark.parametrize("w_layout", [(0, 1, 2), (0, 2, 1), (1, 0, 2)])
def test_columns_or_rows_of_w_are_contiguous(w_layout):
    check_tma(product_of(randn(2, 40, 72), randn(2, 72, 52, layout=w_layout)))


PLANS = [
    {"split_k": 2, "group_m": 2},
    {"split_k": 3, "block_k": 16},
    {"epilogue_subtile": 2, "group_m": 1},
    {"epilogue_subtile": 4, "block_m": 16, "group_m": 3},
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_few_programs_take_all_tiles_of_all_matrices(plan):
    y_acc = randn(2, 85, 152)
    x, w = randn(2, 85, 72), randn(2, 72, 152)
    acc = {} if plan.get("split_k", 1) > 1 else {"y_acc_in": y_acc, "y": y_acc.clone()}
    check_tma(product_of(x, w, bias=randn(2, 152), **acc), plan)


SIZES = [
    pytest.param([3, 0, 40, 1, 17, 0], id="empty slices"),
    pytest.param([0, 0, 0], id="no rows at all"),
    pytest.param([61], id="one slice"),
    pytest.param([0, 0, 0, 0, 33], id="the last alone"),
]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("plan", [{"group_m": 2, "block_m": 16}, {"split_k": 2}], ids=str)
def test_tiles_are_found_among_slices_of_any_size(sizes, plan):
    """Rows of no slice are not written, with NaN in them and in what is not."""
    x = randn(1, sum(sizes) + 9, 40)
    x[:, sum(sizes) :] = NAN
    y = torch.full((1, x.shape[1], 24), NAN)
    w = randn(len(sizes), 40, 48)
    p = product_of(x, w, slices=slices_of(sizes), activation=GATED, y=y)
    check_tma(p, plan, activation=gated_rows)


@pytest.mark.parametrize("block_m", [16, 128])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("scatters", [False, True])
def test_tokens_are_gathered_in_the_kernel_or_before_it(block_m, k, scatters):
    """By pointers in small tiles; for large ones by a pass of its own."""
    n_tokens = 30
    slices, slot_of, row_of = routed(n_tokens, k, dropped=0.2)
    to = {"scatter_to": slot_of, "scatter_from": row_of} if scatters else {}
    p = product_of(
        randn(1, n_tokens, 72),
        randn(4, 72, 52),
        gather=slot_of,
        n_choices=k,
        slices=slices,
        gammas=torch.rand(n_tokens * k),
        bias=randn(4, 52),
        **to,
    )
    check_tma(p, {"block_m": block_m})


def test_rows_of_a_slot_that_is_negative_are_zeros_in_both_ways():
    gather = int32([4, -1, 0, 7, -1, 3])
    for block_m in (16, 128):
        p = product_of(randn(1, 8, 40), randn(1, 40, 24), gather=gather, bias=randn(1, 24))
        check_tma(p, {"block_m": block_m})


def test_all_tiles_are_computed_with_more_multiprocessors_left_idle_than_there_are():
    x, w = randn(1, 85, 72), randn(1, 72, 152)
    check_tma(product_of(x, w), {"idle_sms": 1000})


def product_with(
    x: torch.Tensor, w: torch.Tensor, n_slices: int = 1, arch: int = 90, **changes: Any
) -> bool:
    with target_info.override(target_info.Target("cuda", arch, n_sms=1)):
        return _p_launch.can_use_tma(product_of(x, w, n_slices=n_slices, **changes))


def test_only_what_tma_can_address_is_read_by_it():
    x, w = randn(1, 16, 64, dtype=BF16), randn(2, 64, 32, dtype=BF16)
    columns = (0, 2, 1)
    assert product_with(x, w)
    assert product_with(x, randn(2, 64, 32, dtype=BF16, layout=columns))
    assert not product_with(x, w, arch=80)
    assert not product_with(randn(1, 16, 64, dtype=BF16, layout=columns), w)
    assert not product_with(randn(1, 16, 63, dtype=BF16)[:, :, :62], w[:, :62])  # 126 bytes a row
    assert not product_with(randn(1, 16, 65, dtype=BF16)[:, :, 1:], w)  # begins at an odd address
    assert not product_with(x, randn(2, 64, 36, dtype=BF16)[:, :, :33])  # 72 bytes a row
    assert not product_with(x.expand(3, -1, -1), w)  # the same matrix three times
    assert not product_with(x.as_strided((1, 16, 64), (1028, 64, 1)), w)  # 2056 bytes a matrix
    assert not product_with(x, w.to(FP32))
    assert not product_with(x[:, :, :0], w[:, :0])
    assert not product_with(x, w, n_slices=1025)


def test_weights_of_8_bits_are_contiguous_along_k_for_hopper():
    """Its tensor cores take no others (PTX ISA, wgmma: transposition is for 16 bits alone)."""
    x = randn(1, 16, 64, dtype=E4M3)
    rows, columns = randn(1, 64, 32, dtype=E4M3), randn(1, 64, 32, dtype=E4M3, layout=(0, 2, 1))
    assert product_with(x, columns) and not product_with(x, rows)
    assert product_with(x, rows, arch=100)


def test_a_multiprocessor_gets_as_many_programs_as_its_shared_memory_holds():
    """Stages of 48 KB, 18 KB and 4 KB; three programs are enough to hide each other's ends."""
    assert _p_launch.programs_per_sm(plan_of(block_m=128, block_n=256, block_k=64), 2) == 1
    small = plan_of(block_m=16, block_n=128, block_k=64, num_stages=4)
    assert _p_launch.programs_per_sm(small, 2) == 3
    assert _p_launch.programs_per_sm(plan_of(block_m=16, block_n=16, block_k=32), 4) == 3
