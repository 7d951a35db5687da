"""Scales of `matmul_ogs`: what stored values stand for, how results are stored and reported on."""

from __future__ import annotations

import matmul_oracle as moracle
import oracle
import pytest
import torch
from matmul_oracle import Routing, assert_rows, random_tensor

from triton_kernels.matmul_ogs import (
    Epilogue,
    FlexCtx,
    InFlexData,
    OutFlexData,
    PrecisionConfig,
    matmul_ogs,
)

F16 = torch.float16
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


@pytest.mark.parametrize("dtype", [E4M3, E5M2])
@pytest.mark.parametrize("mode", ["batched", "ragged"])
@pytest.mark.parametrize("per_matrix", [False, True])
def test_stored_values_stand_for_values_times_scale(
    dtype: torch.dtype, mode: str, per_matrix: bool
) -> None:
    source, generator = oracle.fresh(dtype, mode, per_matrix)
    n_experts = 3
    w = random_tensor(generator, (n_experts, 32, 16), dtype)
    w_scale = torch.tensor([1.5, 1.25, 0.75])[: n_experts if per_matrix else 1]
    x_scale, y_scale = torch.tensor([1.25]), torch.tensor([0.8])
    routing = Routing.at_random(source, 8, n_experts, 1, unused=0)
    matrix_of = [routing.expert_of_row] if mode == "ragged" else [[z] * 8 for z in range(3)]
    x = random_tensor(generator, (len(matrix_of), 8, 32), dtype)
    if mode == "batched" and per_matrix:
        x_scale, y_scale = torch.tensor([1.25, 0.5, 2.0]), torch.tensor([0.8, 1.6, 3.2])
    actual = torch.zeros_like(y_scale)
    flex = FlexCtx(
        InFlexData(scale=x_scale), InFlexData(scale=w_scale), OutFlexData(None, y_scale, actual)
    )
    config = PrecisionConfig(flex_ctx=flex, out_dtype=dtype)
    if mode == "ragged":
        got = matmul_ogs(x[0], w, None, routing.data(), precision_config=config)[None]
    else:
        got = matmul_ogs(x, w, None, precision_config=config)

    def of(scale: torch.Tensor, z: int) -> float:
        return scale[z % len(scale)].item()

    want = torch.stack(
        [
            torch.stack(
                [
                    moracle.product_row(x[z, i], w[e], alpha=of(x_scale, z) * of(w_scale, e))
                    for i, e in enumerate(experts)
                ]
            )
            for z, experts in enumerate(matrix_of)
        ]
    )
    stored = torch.stack([rows / of(y_scale, z) for z, rows in enumerate(want)])
    assert_rows(got, stored)
    largest = moracle.FLOAT8_LARGEST[dtype]
    needed = want.abs().amax((1, 2)) if len(y_scale) > 1 else want.abs().max()[None]
    torch.testing.assert_close(actual.double(), needed / largest, rtol=1e-5, atol=0)


def test_the_actual_scale_is_only_ever_raised() -> None:
    actual = torch.tensor([3.0])
    flex = FlexCtx(out_data=OutFlexData(actual_scale=actual))
    config = PrecisionConfig(flex_ctx=flex, out_dtype=E4M3)
    x, w = torch.full((1, 16), 16.0), torch.ones(16, 16)
    matmul_ogs(x, w, None, precision_config=config)
    assert actual.tolist() == [3.0]
    x[0, 0] = 448.0 * 5 - 240.0
    matmul_ogs(x, w, None, precision_config=config)
    torch.testing.assert_close(actual, torch.tensor([5.0]))


@pytest.mark.parametrize("has_epilogue", [True, False])
@pytest.mark.parametrize(("saturates", "largest"), [(True, 65472.0), (False, torch.inf)])
def test_results_beyond_the_range_saturate_if_asked_to(
    saturates: bool, largest: float, has_epilogue: bool
) -> None:
    flex = FlexCtx(out_data=OutFlexData(expected_scale=torch.tensor([0.5])))
    config = PrecisionConfig(flex_ctx=flex, out_dtype=F16, flexpoint_saturate_inf=saturates)
    x = torch.tensor([[1.0], [60000.0], [-60000.0]]).expand(3, 16)
    by = -32.0 if has_epilogue else 0.0  # comes after, on what has saturated
    epilogue = Epilogue(moracle.SHIFTED, (by,), (by,)) if has_epilogue else None
    w = torch.full((16, 16), 1 / 16)
    got = matmul_ogs(x, w, None, precision_config=config, epilogue=epilogue)
    assert got[:, 3].tolist() == [2.0 + by, largest + by, -largest + by]


def test_equal_results_have_equal_checksums() -> None:
    _, generator = oracle.fresh()
    x, w = random_tensor(generator, (16, 16), F16), random_tensor(generator, (16, 16), F16)

    def checksum(x: torch.Tensor) -> int:
        memory = torch.zeros(1)
        config = PrecisionConfig(flex_ctx=FlexCtx(out_data=OutFlexData(checksum_scale=memory)))
        matmul_ogs(x, w, None, precision_config=config)
        return int(memory.view(torch.int32))

    assert checksum(x) == checksum(x) != 0
    assert checksum(x) != checksum(x.flip(0)[:, :] * 2)
