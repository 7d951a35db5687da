"""The grids of upstream's own tests, on a GPU, into memory that was garbage before.

Those of its old routing, which it deleted without a successor, of its top-k and what follows it,
and of compaction; where they test one dtype, one seed or full rows only, ours go further.  What
comes out is compared with the references on the CPU, exactly, but for values that went through an
exponential.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import oracle
import pytest
import torch
from poison import poisoned_memory

from triton_kernels.compaction import compaction, compaction_torch
from triton_kernels.legacy import legacy_routing
from triton_kernels.tensor import (
    BIT,
    Bitmatrix,
    make_ragged_tensor_metadata,
    make_ragged_tensor_metadata_torch,
    remap_ragged_tensor_metadata,
    remap_ragged_tensor_metadata_torch,
)
from triton_kernels.tensor_details.bitmatrix import (
    make_bitmatrix_metadata,
    make_bitmatrix_metadata_torch,
)
from triton_kernels.topk import topk, topk_torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    with poisoned_memory():
        yield


def exactly(got: torch.Tensor, want: torch.Tensor) -> None:
    assert got.is_cuda
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    assert torch.equal(got.cpu(), want)


def closely(got: torch.Tensor, want: torch.Tensor) -> None:
    eps = torch.finfo(want.dtype).eps
    torch.testing.assert_close(got.cpu(), want, rtol=max(eps, 1e-5), atol=1e-7, equal_nan=True)


def records_agree(got: object, want: object, *names: str) -> None:
    for name in names:
        exactly(getattr(got, name), getattr(want, name))


RAGGED = ("batch_sizes", "batch_offs", "block_offs_data", "block_schedule_data")
SORTED = ("col_sum", "combine_indx", "dispatch_indx")


# --- old routing

ROWS = [(371, None), (255, None), (256, None), (4096, None), (1023, None), (1024, None)]
ROWS += [(1152, 911), (1, None), (2, 1), (3, None), (16, 11), (64, None), (0, None)]
EXPERTS = [(128, 32), (1500, 8), (32, 4), (128, 4), (256, 8), (384, 6), (13, 3), (1, 1), (5, 2)]


@pytest.mark.parametrize("sm_first", [True, False])
@pytest.mark.parametrize("provided", [False, True])
@pytest.mark.parametrize(("n_experts", "k"), EXPERTS)
@pytest.mark.parametrize(("n_rows_max", "n_rows"), ROWS)
def test_routing(n_rows_max, n_rows, n_experts, k, provided, sm_first):
    _, generator = oracle.fresh(n_rows_max, n_rows, n_experts, k, provided, sm_first)
    logits = torch.randn(n_rows_max, n_experts, generator=generator)
    given = count = None
    if provided:
        given = torch.rand(n_rows_max, n_experts, generator=generator).argsort(1)[:, :k]
        given = given.sort(1).values
    if n_rows is not None:
        count = torch.tensor([n_rows], dtype=torch.int32)
        logits[n_rows:] = math.inf
        if provided:
            given[n_rows:] = -99999
    weight = torch.randn(n_rows_max * k, generator=generator)

    def run(device: str) -> tuple[tuple, torch.Tensor]:
        leaf = logits.detach().to(device).requires_grad_()
        there = [None if each is None else each.to(device) for each in (given, count)]
        result = legacy_routing(leaf, k, sm_first, there[0], there[1])
        result[0].gate_scal.backward(weight.to(device))
        return result, leaf.grad

    (ours, gradient), (reference, expected) = run("cuda"), run("cpu")
    for vectors, others in zip(ours[1:], reference[1:], strict=True):
        records_agree(vectors, others, "src_indx", "dst_indx")
    exactly(ours[0].expt_hist, reference[0].expt_hist)
    records_agree(ours[0].expt_data, reference[0].expt_data, *RAGGED)
    closely(ours[0].gate_scal, reference[0].gate_scal)
    torch.testing.assert_close(gradient.cpu(), expected, rtol=1e-4, atol=1e-6)


# --- topk


def topk_agrees(n_rows: int, n_columns: int, k: int, softmax: bool, dtype: torch.dtype) -> None:
    _, generator = oracle.fresh(n_rows, n_columns, k, softmax, dtype)
    x = torch.randn(n_rows, n_columns, generator=generator).to(dtype)
    # Some rows of few values, so that many are equal; and what is no number.
    x[::3] = (x[::3] * 2).round() / 2
    x[::5, ::7] = -math.inf
    x[1::5, ::4] = math.nan
    got, want = topk(x.cuda(), k, softmax), topk_torch(x, k, softmax)
    exactly(got.indx, want.indx)
    closely(got.vals, want.vals)
    exactly(got.mask.data.view(torch.int32), want.mask.data.view(torch.int32))
    assert got.mask.data.stride() == want.mask.data.stride()
    records_agree(got.mask_metadata, want.mask_metadata, *SORTED)


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("n_columns", [13, 32, 128, 200])
@pytest.mark.parametrize("n_rows", [1, 7, 256, 300])
def test_topk(n_rows, n_columns, softmax, dtype):
    topk_agrees(n_rows, n_columns, 8, softmax, dtype)


@pytest.mark.parametrize("k", [1, 3, 6, 32, 100])
@pytest.mark.parametrize("n_columns", [128, 1500])
@pytest.mark.parametrize("n_rows", [1, 300])
def test_topk_of_any_k(n_rows, n_columns, k):
    for dtype in (torch.float32, torch.bfloat16):
        topk_agrees(n_rows, n_columns, k, True, dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("k", [1, 6, 256])
def test_topk_of_the_widest_matrix(k, dtype):
    x = torch.randn(40, 32767, generator=oracle.fresh(k, dtype)[1]).to(dtype)
    got, want = topk(x.cuda(), k), topk_torch(x, k)
    exactly(got.indx, want.indx)
    closely(got.vals, want.vals)
    records_agree(got.mask_metadata, want.mask_metadata, *SORTED)


# --- sorting


@pytest.mark.parametrize("slots", ["full", "unused", "repeated"])
@pytest.mark.parametrize("k", [1, 4, 8, 100])
@pytest.mark.parametrize("n_columns", [13, 32, 128, 811])
@pytest.mark.parametrize("n_rows", [7, 256, 17111])
def test_sorting(n_rows, n_columns, k, slots):
    if k > n_columns or n_rows * k > 200_000:
        pytest.skip("k is at most the number of columns; the reference on the CPU is slow")
    _, generator = oracle.fresh(n_rows, n_columns, k, slots)
    if slots == "full":
        indx = torch.rand(n_rows, n_columns, generator=generator).argsort(1)[:, :k]
        indx = indx.sort(1).values.to(torch.int16)
    else:
        low, high = (-1, n_columns) if slots == "unused" else (0, min(3, n_columns))
        indx = torch.randint(low, high, (n_rows, k), generator=generator)
    for count in (n_rows, torch.tensor([n_rows * 2 // 3])):
        results = []
        for device, make in (
            ("cuda", make_bitmatrix_metadata),
            ("cpu", make_bitmatrix_metadata_torch),
        ):
            words = torch.zeros(n_rows, -(-n_columns // 32), dtype=torch.int32, device=device)
            there = count if isinstance(count, int) else count.to(device)
            mask = Bitmatrix(
                words, dtype=BIT, shape=[there, n_columns], shape_max=[n_rows, n_columns]
            )
            results.append(make(indx.to(device), mask))
        records_agree(*results, *SORTED)


# --- schedules


@pytest.mark.parametrize("n_gates", [4, 16, 128, 1990, 400_000])
@pytest.mark.parametrize("n_slices", [1, 7, 33, 911, 1025])
def test_schedules(n_slices, n_gates):
    _, generator = oracle.fresh(n_slices, n_gates)
    sizes = torch.randint(0, 200, (n_slices,), generator=generator, dtype=torch.int32)
    sizes[n_slices // 2] = 0
    got = make_ragged_tensor_metadata(sizes.cuda(), n_gates)
    records_agree(got, make_ragged_tensor_metadata_torch(sizes, n_gates), *RAGGED)


@pytest.mark.parametrize("n_slices", [9, 32, 911, 1025])
def test_remaps(n_slices):
    _, generator = oracle.fresh(n_slices)
    sizes = torch.randint(0, 200, (n_slices,), generator=generator, dtype=torch.int32)
    slice_map = torch.randperm(n_slices, generator=generator)
    slice_map[torch.randperm(n_slices, generator=generator)[:5]] = -1
    made = make_ragged_tensor_metadata_torch(sizes, 200 * n_slices)
    there = make_ragged_tensor_metadata(sizes.cuda(), 200 * n_slices)
    got = remap_ragged_tensor_metadata(there, slice_map.cuda())
    records_agree(got, remap_ragged_tensor_metadata_torch(made, slice_map), *RAGGED)


# --- compaction


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "k", "share"),
    [(8192, 64, 4, 0.5), (8192, 64, 4, 1.0), (131, 128, 16, 0.6), (496, 128, 16, 0.0)],
)
def test_compaction(n_rows, n_columns, k, share):
    _, generator = oracle.fresh(n_rows, n_columns, k, share)
    yi = torch.rand(n_rows, n_columns, generator=generator).argsort(1)[:, :k].to(torch.int32)
    yv = torch.randn(n_rows, k, generator=generator).to(torch.bfloat16)
    kept = torch.rand(n_rows, n_columns // 32, 32, generator=generator) < share
    words = (kept * (1 << torch.arange(32))).sum(-1)
    mask = torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
    got = compaction(yv.cuda(), yi.cuda(), mask.cuda())
    for ours, reference in zip(got, compaction_torch(yv, yi, mask), strict=True):
        exactly(ours, reference)
