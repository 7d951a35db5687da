"""Every kernel of routing compiles for every GPU, and keeps its values in registers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch

from tests.support.compile_only import TARGETS, Compilation, compiling_for
from triton_kernels.compaction import compaction
from triton_kernels.legacy import legacy_routing
from triton_kernels.tensor import make_ragged_tensor_metadata, remap_ragged_tensor_metadata
from triton_kernels.tensor_details.bitmatrix import sum_bitmatrix_rows
from triton_kernels.topk import topk

# (experts, k) of models that people run, and batches of one token, of some, of many.
MODELS = [(32, 4), (128, 4), (256, 8), (384, 6)]
BATCHES = [1, 64, 8192]


def int32(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.int32)


def route(
    n_rows: int,
    n_experts: int,
    k: int,
    *,
    dtype: torch.dtype = torch.bfloat16,
    sm_first: bool = False,
    given: torch.dtype | None = None,
    count: int | torch.Tensor | None = None,
    transposed: bool = False,
) -> None:
    """Routing and its gradient; of what they compute nothing is looked at."""
    if transposed:
        logits = torch.empty(n_experts, n_rows, dtype=dtype).t().requires_grad_()
    else:
        logits = torch.empty(n_rows, n_experts, dtype=dtype, requires_grad=True)
    indx = None if given is None else torch.empty(n_rows, k, dtype=given)
    data, _, _ = legacy_routing(logits, k, sm_first, indx, count)
    data.gate_scal.backward(torch.empty_like(data.gate_scal))


# Seen with the assembler of Triton 3.9 and not with that of 3.6: one value on the stack, though
# registers are left.  Anything else is a regression.
SPILLED = {
    ("_place_slots", "sm_90"): 8,
    ("_topk_forward", "sm_90"): 8,
    ("_topk_forward", "sm_100"): 8,
}


def in_registers(compiled: Iterable[Compilation]) -> None:
    spilling = [
        f"{kernel.name} for {kernel.target}: {kernel.spilled_bytes} B"
        for kernel in compiled
        if kernel.spilled_bytes > SPILLED.get((kernel.name, kernel.target), 0)
    ]
    assert spilling == []


def names(compiled: Iterable[Compilation]) -> list[str]:
    return [kernel.name for kernel in compiled]


ONE = ["_route_small_batch", "_topk_backward"]
TWO = ["_topk_forward", "_place_slots", "_topk_backward"]
THREE = ["_topk_forward", "_scan_counts", "_place_slots", "_topk_backward"]


def launches(n_rows: int, n_experts: int) -> list[str]:
    """What routing launches; the counts of few experts are added up on the way."""
    return {1: ONE, 64: TWO, 8192: TWO if n_experts == 32 else THREE}[n_rows]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("n_experts", "k"), MODELS)
def test_routing_of_the_usual_models_fits_the_registers(target, n_experts, k):
    for n_rows in BATCHES:
        with compiling_for(target) as compiled:
            route(n_rows, n_experts, k)
        assert names(compiled) == launches(n_rows, n_experts)
        in_registers(compiled)


@pytest.mark.parametrize("target", TARGETS)
def test_four_programs_that_search_256_columns_fit_a_multiprocessor_of_nvidia(target):
    """What does not fit their registers is on the stack, knowingly."""
    with compiling_for(target) as compiled:
        legacy_routing(torch.empty(8192, 256), 8)
    search = compiled[0]
    assert search.name == "_topk_forward" and search.num_warps == 4
    if target.startswith("sm"):
        assert 4 * search.num_warps * 32 * search.registers <= 65536


VARIANTS = {
    "float32, rows counted on the device": {"dtype": torch.float32, "count": int32(1)},
    "float16, transposed, counted on the host": {
        "dtype": torch.float16,
        "transposed": True,
        "count": 1,
    },
    "softmax first": {"sm_first": True},
    "given": {"given": torch.int32},
    "given, softmax first": {"dtype": torch.float32, "given": torch.int64, "sm_first": True},
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_routing_fits_the_registers(target, variant):
    for n_rows in (1, 8192):
        with compiling_for(target) as compiled:
            route(n_rows, 128, 4, **VARIANTS[variant])
        assert names(compiled) == launches(n_rows, 128)
        in_registers(compiled)


@pytest.mark.parametrize("target", TARGETS)
def test_a_softmax_of_wide_rows_fits_the_registers(target):
    """Where experts are given, too, whole rows are read for it."""
    with compiling_for(target) as compiled:
        route(300, 1500, 8, sm_first=True)
        route(300, 1500, 8, sm_first=True, given=torch.int16)
    in_registers(compiled)


def run_every_op(n_rows: int, n_experts: int, k: int, dtype: torch.dtype) -> None:
    x = torch.empty(n_rows, n_experts, dtype=dtype, requires_grad=True)
    chosen = topk(x, k, apply_softmax=dtype != torch.float16, n_rows=int32(1))
    chosen.vals.backward(torch.empty_like(chosen.vals))
    topk(x.detach(), k, y_indx=chosen.indx)
    _ = chosen.mask_metadata
    sum_bitmatrix_rows(chosen.mask, 32)
    compaction(chosen.vals.detach(), chosen.indx, chosen.mask)
    made = make_ragged_tensor_metadata(int32(n_experts), n_rows * k)
    remap_ragged_tensor_metadata(made, int32(n_experts))


EVERY_KERNEL = {
    "_topk_forward",
    "_topk_backward",
    "_scan_counts",
    "_place_slots",
    "_sum_bitmatrix_rows",
    "_compact_rows",
    "_ragged_tensor_metadata",
    "_remap_ragged_metadata",
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("n_rows", "n_experts", "k", "dtype"),
    [(8192, 128, 4, torch.float32), (1500, 13, 3, torch.float16), (300, 300, 20, torch.bfloat16)],
)
def test_every_op_fits_the_registers(target, n_rows, n_experts, k, dtype):
    with compiling_for(target) as compiled:
        run_every_op(n_rows, n_experts, k, dtype)
    assert set(names(compiled)) == EVERY_KERNEL
    in_registers(compiled)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("n_experts", "k"), [(1, 1), (1500, 100), (32767, 256)])
def test_any_width_and_any_k_compiles(target, n_experts, k):
    """Here registers may spill: 32767 experts are nobody's model."""
    with compiling_for(target) as compiled:
        route(20, n_experts, k)
        route(20, n_experts, k, given=torch.int16, sm_first=True)
    assert compiled


# (waits for the kernel before it, lets the next one start)
OVERLAPS = {
    "_topk_forward": (False, True),
    "_scan_counts": (True, True),
    "_place_slots": (True, False),
    "_topk_backward": (False, False),
}


@pytest.mark.parametrize("target", TARGETS)
def test_launches_overlap_where_the_gpu_can_and_nowhere_else(target):
    with compiling_for(target) as compiled:
        route(8192, 128, 4)
    assert set(names(compiled)) == set(OVERLAPS)
    for kernel in compiled:
        text = kernel.asm.get("ptx", "")
        waits = "griddepcontrol.wait" in text
        starts = "griddepcontrol.launch_dependents" in text
        can = target in ("sm_90", "sm_100")
        assert (waits, starts) == (OVERLAPS[kernel.name] if can else (False, False))
