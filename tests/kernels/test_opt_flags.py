"""The choice of tiles: what always holds of it, what constraints do, and how long they hold."""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from matmul_oracle import Routing, vector

from triton_kernels.matmul_ogs import (
    FnSpecs,
    FusedActivation,
    InapplicableConstraint,
    InnerRoutingData,
    PrecisionConfig,
    RoutingData,
    make_opt_flags,
    matmul_ogs_set_idle_sms,
    opt_flags_constraints,
    update_opt_flags_constraints,
)
from triton_kernels.matmul_ogs_details import opt_flags
from triton_kernels.matmul_ogs_details._checks import check
from triton_kernels.matmul_ogs_details.opt_flags import (
    OptFlags,
    plan,
    reset_opt_flags,
    reset_opt_flags_constraints,
    set_opt_flags,
)
from triton_kernels.target_info import Target, override
from triton_kernels.tensor import RaggedTensorMetadata, make_ragged_tensor_metadata

F16, BF16, F32 = torch.float16, torch.bfloat16, torch.float32
E4M3 = torch.float8_e4m3fn

# Bytes of shared memory (of local data share) that a program can have.
TARGETS = {
    Target("cuda", 80, 108): 166912,
    Target("cuda", 89, 128): 101376,
    Target("cuda", 90, 132): 232448,
    Target("cuda", 100, 148): 232448,
    Target("hip", "gfx942", 304): 65536,
    Target("hip", "gfx950", 256): 163840,
    Target("", 0, 1): 101376,
}
H100 = Target("cuda", 90, 132)
MI300 = Target("hip", "gfx942", 304)


@pytest.fixture(autouse=True)
def _leave_nothing_behind() -> Iterator[None]:
    yield
    reset_opt_flags_constraints()
    reset_opt_flags()


def flags(
    m: int = 4096,
    n: int = 4096,
    k: int = 4096,
    dtype: torch.dtype = BF16,
    out_dtype: torch.dtype | None = None,
    *,
    routing_data: RoutingData | None = None,
    tma: bool = True,
    can_fuse: bool = False,
    has_y_acc_in: bool = False,
    block_k: int | None = None,
    **precision: Any,
) -> OptFlags:
    """`make_opt_flags` by its fifteen positions."""
    return make_opt_flags(
        out_dtype or dtype,
        dtype,
        dtype,
        PrecisionConfig(**precision),
        1,
        m,
        n,
        k,
        routing_data,
        tma,
        can_fuse,
        None,
        False,
        has_y_acc_in,
        block_k,
    )


def ragged(n_rows: int, n_experts: int, expected: int | None = None) -> RoutingData:
    metadata = make_ragged_tensor_metadata(vector([0] * n_experts), n_rows)
    return RoutingData(torch.zeros(0), metadata.batch_sizes, n_experts, 1, metadata, expected)


GRID = list(
    itertools.product([1, 100, 4096], [8, 200, 5760], [0, 24, 2880, 16384], [F32, BF16, E4M3])
)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.backend}{target.arch}")
@pytest.mark.parametrize("n_experts", [0, 128])
@pytest.mark.parametrize("tma", [True, False])
def test_tiles_fit_the_device_and_the_product(target: Target, n_experts: int, tma: bool) -> None:
    with override(target):
        for m, n, k, dtype in GRID:
            data = ragged(m, n_experts) if n_experts else None
            got = flags(m, n, k, dtype, routing_data=data, tma=tma)
            for size in (got.block_m, got.block_n, got.block_k, got.num_warps):
                assert size & (size - 1) == 0
            # What matrix instructions take: 16 x 8 x 16, of 8-bit operands 16 x 8 x 32.
            assert got.block_m >= 16 and got.block_n >= 16
            assert got.block_k >= (32 if dtype == E4M3 else 16)
            assert got.num_warps in (4, 8)
            copies = got.num_stages - (target.backend == "hip" and got.num_stages > 1)
            tile = (got.block_m + got.block_n) * got.block_k * dtype.itemsize
            assert copies >= 1 and copies * tile <= TARGETS[target]
            assert not got.is_persistent or (tma and target.backend != "hip")
            assert got.split_k == 1 or k // got.split_k >= got.block_k
            if n_experts:
                assert got.block_m in RaggedTensorMetadata.block_sizes()


def test_a_decode_step_reads_each_weight_once_and_a_prefill_fills_its_tiles() -> None:
    with override(H100):
        few = flags(256, 5760, 2880, routing_data=ragged(256, 128))
        assert (few.block_m, few.split_k) == (16, 1)  # 2 rows an expert
        assert flags(2048, 5760, 2880, routing_data=ragged(2048, 128)).block_m == 32  # 16 rows
        many = flags(32768, 5760, 2880, routing_data=ragged(32768, 128))
        assert (many.block_m, many.block_n, many.block_k, many.num_warps) == (128, 256, 64, 8)
        assert many.is_persistent and many.num_stages >= 3
        hinted = flags(32768, 5760, 2880, routing_data=ragged(32768, 128, expected=16))
        assert hinted.block_m == 32


def test_a_long_sum_over_few_tiles_is_split() -> None:
    with override(H100):
        assert flags(16, 256, 16384).split_k > 1
        for reason in (
            {"has_y_acc_in": True},
            {"enforce_bitwise_invariance": True},
            {"block_k": 32},
        ):
            assert flags(16, 256, 16384, **reason).split_k == 1
        assert flags(16, 256, 256).split_k == 1
        assert flags(4096, 4096, 16384).split_k == 1


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.backend}{target.arch}")
def test_bitwise_invariant_flags_do_not_depend_on_rows(target: Target) -> None:
    with override(target):
        chosen = {
            str(flags(m, 2880, 2880, enforce_bitwise_invariance=True, routing_data=data(m)))
            for m in (1, 16, 1000, 10**6)
            for data in (lambda m: None, lambda m: ragged(m, 8))
        }
    assert len(chosen) == 1


def test_persistent_kernels_are_for_what_gains_from_them() -> None:
    with override(H100):
        assert flags().is_persistent
        assert not flags(tma=False).is_persistent
        assert not flags(out_dtype=F32).is_persistent
        assert not flags(max_num_imprecise_acc=32, dtype=E4M3).is_persistent
        assert flags(128, 128, 4096).is_persistent
        assert not flags(64, 64, 16).is_persistent
        for dtype in (BF16, E4M3):  # a small batch is as fast by pointers, and launched sooner
            assert flags(128, 2880, 2880, dtype).is_persistent
            assert not flags(32, 2880, 2880, dtype).is_persistent


def test_the_step_along_k_of_padded_slices_is_kept() -> None:
    for target in TARGETS:
        with override(target):
            assert flags(block_k=128).block_k == 128
            with opt_flags_constraints(block_k=128):
                assert flags(block_k=128).block_k == 128


# --- constraints

FIXED = {
    "block_m": [16, 64],
    "block_n": [32, 64],
    "block_k": [16, 64],
    "split_k": [1, 4],
    "num_warps": [4, 8],
    "num_stages": [1, 3],
    "is_persistent": [False],
    "fused_scatter": [False],
    "epilogue_subtile": [1, 4],
    "idle_sms": [0, 24],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in FIXED.items() for v in vs])
@pytest.mark.parametrize("target", [H100, MI300])
def test_a_constraint_is_met(target: Target, name: str, value: Any) -> None:
    with override(target):
        with opt_flags_constraints(**{name: value}):
            assert getattr(flags(can_fuse=True), name) == value
        update_opt_flags_constraints({name: value})
        assert getattr(flags(can_fuse=True), name) == value


def test_persistent_and_fused_scatter_can_be_asked_for() -> None:
    with override(H100), opt_flags_constraints(is_persistent=True, fused_scatter=True):
        got = flags(64, 64, 64, can_fuse=True, out_dtype=F32)
        assert got.is_persistent and got.fused_scatter and got.split_k == 1


@pytest.mark.parametrize(
    ("constraints", "arguments", "text"),
    [
        ({"is_persistent": True}, {"tma": False}, "is_persistent=True: .* TMA"),
        ({"fused_scatter": True}, {}, "fused_scatter=True: rows that are not scattered"),
        ({"fused_scatter": True, "split_k": 2}, {"can_fuse": True}, "split_k=2: fused_scatter"),
        ({"split_k": 2}, {"has_y_acc_in": True}, "split_k=2: y_acc_in"),
        ({"split_k": 2}, {"enforce_bitwise_invariance": True}, "split_k=2: enforce_bitwise"),
        ({"split_k": 2}, {"block_k": 32}, "split_k=2: an inner-ragged"),
        ({"block_k": 64}, {"block_k": 32}, "block_k=64: the slices are padded to 32"),
        ({"block_m": 512}, {"routing_data": ragged(99, 4)}, "block_m=512: a ragged product"),
        ({"max_allowable_mn": 64}, {}, "max_allowable_mn=64: it limits a split_k"),
    ],
)
def test_a_constraint_that_cannot_be_met_says_why(
    constraints: dict[str, Any], arguments: dict[str, Any], text: str
) -> None:
    with (
        override(H100),
        opt_flags_constraints(**constraints),
        pytest.raises(InapplicableConstraint, match=text),
    ):
        flags(**arguments)


def test_amd_has_no_persistent_kernel() -> None:
    with (
        override(MI300),
        opt_flags_constraints(is_persistent=True),
        pytest.raises(InapplicableConstraint, match="AMD has no TMA"),
    ):
        flags()


def test_a_large_result_is_not_split() -> None:
    with override(H100), opt_flags_constraints(split_k=4, max_allowable_mn=1024):
        assert flags(16, 32, 4096).split_k == 4
        assert flags(32, 32, 4096).split_k == 1


@pytest.mark.parametrize(
    ("constraints", "error", "text"),
    [
        ({"block_q": 1}, ValueError, r"constraints: expected keys of block_k, block_m.*'block_q'"),
        ({"block_m": 48}, ValueError, "block_m: expected a power of two, got 48"),
        ({"block_m": 8}, ValueError, "block_m: expected at least 16, got 8"),
        ({"split_k": 0}, ValueError, "split_k: expected at least 1, got 0"),
        ({"split_k": 2.0}, TypeError, "split_k: expected an int or None"),
        ({"idle_sms": -1}, ValueError, "idle_sms: expected at least 0"),
        ({"is_persistent": 1}, TypeError, "is_persistent: expected a bool or None"),
        ({"num_warps": True}, TypeError, "num_warps: expected an int or None"),
    ],
)
def test_an_impossible_constraint_is_refused_at_once(
    constraints: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        update_opt_flags_constraints(constraints)
    with pytest.raises(error, match=text), opt_flags_constraints(**constraints):
        pass
    with override(H100):
        assert flags() == flags()


def test_constraints_of_the_process_stay_until_they_are_reset_or_freed() -> None:
    with override(H100):
        chosen = flags().block_m, flags().num_stages
        update_opt_flags_constraints({"block_m": 32})
        update_opt_flags_constraints({"num_stages": 1})
        assert (flags().block_m, flags().num_stages) == (32, 1)
        update_opt_flags_constraints({"num_stages": None})
        assert (flags().block_m, flags().num_stages) == (32, chosen[1])
        reset_opt_flags_constraints()
        assert (flags().block_m, flags().num_stages) == chosen


def test_a_block_constrains_itself_alone_and_inner_ones_win() -> None:
    update_opt_flags_constraints({"block_m": 16})
    with override(H100):
        with opt_flags_constraints(block_m=32, num_stages=2):
            with opt_flags_constraints(block_m=64):
                assert (flags().block_m, flags().num_stages) == (64, 2)
                # Another context (a thread, a task) knows only of the process.
                elsewhere = contextvars.Context().run(lambda: _under(H100).block_m)
                assert elsewhere == 16
            assert flags().block_m == 32
            with opt_flags_constraints(block_m=None):
                assert flags().block_m == 128
        assert flags().block_m == 16
        with pytest.raises(RuntimeError), opt_flags_constraints(block_m=64):
            raise RuntimeError
        assert flags().block_m == 16


def _under(target: Target) -> OptFlags:
    with override(target):
        return flags()


def test_idle_sms_are_seen_by_every_product() -> None:
    matmul_ogs_set_idle_sms(24)
    assert flags().idle_sms == 24
    with pytest.raises(TypeError, match="num_idle_sms: expected an int"):
        matmul_ogs_set_idle_sms(1.5)  # type: ignore[arg-type]


# --- overrides


def test_flags_that_are_set_replace_the_choice() -> None:
    with override(H100):
        chosen = flags()
        mine = flags(8, 8, 8)
        assert mine != chosen
        set_opt_flags(mine)
        assert flags() is mine
        product = check(torch.zeros(64, 64), torch.zeros(64, 64), None)
        assert plan(product, False) is mine
        with pytest.raises(ValueError, match="opt_flags: expected reset_opt_flags"):
            set_opt_flags(chosen)
        reset_opt_flags()
        assert flags() == chosen


def test_flags_are_not_set_beside_constraints() -> None:
    mine = flags()
    with opt_flags_constraints(block_m=64), pytest.raises(ValueError, match="no constraints"):
        set_opt_flags(mine)
    with pytest.raises(TypeError, match="opt_flags: expected an OptFlags"):
        set_opt_flags({"block_m": 16})  # type: ignore[arg-type]


def test_split_sums_are_not_scattered_at_once() -> None:
    given = {name: getattr(flags(), name) for name in OptFlags.__dataclass_fields__}
    with pytest.raises(ValueError, match="split_k: expected 1 with fused_scatter, got 2"):
        OptFlags(**{**given, "fused_scatter": True, "split_k": 2})


# --- plans of products


def test_a_plan_sees_what_the_parts_of_a_product_say() -> None:
    x, w = torch.zeros(4096, 512, dtype=BF16), torch.zeros(512, 2048, dtype=BF16)
    with override(H100):
        assert plan(check(x, w, None), True) == flags(4096, 2048, 512)
        assert plan(check(x, w, None), False) == flags(4096, 2048, 512, tma=False)
        split = check(x[:16], w, None)
        assert plan(check(x[:16], w, None, y_acc_in=x[:16, :1].expand(16, 2048)), True).split_k == 1
        assert plan(split, True) == flags(16, 2048, 512)
        # An activation that joins columns leaves more of shared memory for stages.
        joined = FusedActivation(FnSpecs("joined", None, reduction_n=2))
        product = check(x, w, None, fused_activation=joined)
        assert plan(product, True).num_stages >= plan(check(x, w, None), True).num_stages


def test_a_plan_scatters_at_once_where_nothing_is_added_up() -> None:
    with override(H100):
        for k in (1, 2):
            routing = Routing([[0, 1][:k]] * 40, 2)
            x, w = torch.zeros(40, 64), torch.zeros(2, 64, 64)
            product = check(x, w, None, routing.data(), routing.gather(), routing.scatter())
            assert plan(product, False).fused_scatter is (k == 1)


def test_a_plan_of_inner_slices_keeps_their_step_and_does_not_split() -> None:
    metadata = make_ragged_tensor_metadata(vector([512, 512]), 1024)
    data = InnerRoutingData(RoutingData(torch.zeros(0), vector([0]), 2, 1, metadata), 32, True)
    with override(H100):
        got = plan(
            check(torch.zeros(16, 1024), torch.zeros(1024, 16), None, inner_routing_data=data),
            False,
        )
    assert (got.block_k, got.split_k) == (32, 1)


def test_a_plan_is_made_once() -> None:
    x, w = torch.zeros(48, 64, dtype=BF16), torch.zeros(64, 48, dtype=BF16)
    with override(H100):
        product = check(x, w, None)
        assert plan(product, False) is plan(check(x.clone(), w.clone(), None), False)
        with opt_flags_constraints(num_stages=1):
            assert plan(product, False).num_stages == 1
        assert plan(product, False).num_stages > 1
    with override(MI300):
        assert plan(product, False).xcd_swizzle == 8


def test_the_rules_can_be_replaced_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As downstream code does for cards that upstream had no rule for."""
    opt_flags._chosen.cache_clear()
    monkeypatch.setattr(
        "triton_kernels.matmul_ogs_details.opt_flags_details.opt_flags_nvidia.compute_num_warps",
        lambda block_m, block_n: 2,
    )
    with override(H100):
        assert flags(123, 77, 45).num_warps == 2
    opt_flags._chosen.cache_clear()
