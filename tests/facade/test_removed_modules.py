"""The other modules that are gone: what has a home is served, the rest says where it went."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest
import torch

from triton_kernels import TritonKernelsDeprecationWarning, moves
from triton_kernels.tensor import BIT, Bitmatrix, Tensor
from triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows import sum_bitmatrix_rows
from triton_kernels.topk import topk

MODULES = sorted(set(moves.BY_OLD_MODULE) - {moves.OLD_MODULE})
ROWS = [
    move
    for path, move in moves.BY_OLD_NAME.items()
    if path.rpartition(".")[0] != moves.OLD_MODULE and not move.waits_for
]
X = torch.randn(70, 45, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("module", MODULES)
def test_a_removed_module_can_be_imported_and_lists_what_it_serves(module: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        imported = importlib.import_module(module)
        served = sorted(moves.served_names(module))
        assert sorted(imported.__all__) == served
        assert set(served) <= set(dir(imported))
        assert not set(served) & set(vars(imported))
        with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
            imported.nothing  # noqa: B018


@pytest.mark.parametrize("move", ROWS, ids=lambda move: move.code)
def test_each_name_is_served_or_says_where_it_went(move: moves.Move) -> None:
    path, _, name = move.old.rpartition(".")
    served = said = None
    with pytest.warns(TritonKernelsDeprecationWarning) as seen:  # noqa: PT031
        try:
            served = getattr(importlib.import_module(path), name)
        except AttributeError as error:
            said = str(error)
    if move.served:
        assert served is not None
    else:
        assert said is not None and move.why in said and move.advice in said
    assert [(w.filename, w.message.code) for w in seen] == [(__file__, move.code)]


FORMS = [
    "from triton_kernels.routing_details import _routing_compute as rc\nhasattr(rc, '_keyed_add')",
    "from triton_kernels.routing_details import (\n _routing_compute as rc)\nrc\n"
    "hasattr(rc, '_keyed_add')",
    "import triton_kernels.routing_details._routing_compute as rc\nhasattr(rc, '_keyed_add')",
    "import triton_kernels\nhasattr(triton_kernels.routing_details._routing_compute, '_keyed_add')",
    "try:\n from triton_kernels.routing_details._routing_compute import _keyed_add\n"
    "except ImportError: pass",
    "import triton_kernels.routing_details as d\nhasattr(d._routing_compute, '_keyed_add')",
]


@pytest.mark.parametrize("program", FORMS)
def test_a_name_of_the_package_warns_once_at_one_place(program: str) -> None:
    # A fresh process each, since importing a submodule binds it in its package for good.
    result = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True
    )
    lines = [text for text in result.stderr.splitlines() if "TKM" in text]
    assert len(lines) == 1
    assert "(TKM215)" in lines[0]
    assert lines[0].startswith("<string>:")


@pytest.mark.parametrize(
    "program",
    [
        "import triton_kernels.routing_details",
        "from triton_kernels.routing_details import *",
        "from triton_kernels.routing_details import _expt_data, _routing_compute",
        *(f"import {module}" for module in MODULES),
    ],
)
def test_importing_a_removed_module_is_silent_and_needs_no_torch(program: str) -> None:
    program += "\nimport sys\nassert not {'torch', 'triton'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


# --- what they serve


@pytest.mark.filterwarnings("ignore::triton_kernels.TritonKernelsDeprecationWarning")
class TestServed:
    def test_the_sums_fill_what_the_caller_allocated(self) -> None:
        from triton_kernels.reduction_details import reduce_bitmatrix

        old = reduce_bitmatrix.sum_bitmatrix_rows
        mask = topk(X, 5).mask
        out = reduce_bitmatrix.clear_sums(45, X.device)[:45]
        sums, partials = old(mask, out, 32)
        assert sums is out
        expected = sum_bitmatrix_rows(mask, 32)
        assert torch.equal(out, expected[0])
        assert torch.equal(partials, expected[1])
        assert torch.equal(old(mask, 32)[0], expected[0])  # as the new function is called
        assert torch.equal(old(mask, partials_block_size=32)[1], expected[1])

    def test_cleared_sums_are_padded(self) -> None:
        from triton_kernels.tensor import clear_sums

        zeros = clear_sums(600, "cpu")
        assert (zeros.shape, zeros.dtype, zeros.any().item()) == ((1024,), torch.int32, False)
        assert clear_sums(10, "cpu", MEMSET_BLOCK=4).shape == (12,)

    def test_the_oldest_sum_counts_columns_of_dimension_0(self) -> None:
        from triton_kernels.reduction import sum as old_sum

        mask = topk(X, 5).mask
        for got, want in zip(old_sum(mask, 32), sum_bitmatrix_rows(mask, 32), strict=True):
            assert torch.equal(got, want)
        with pytest.raises(ValueError, match="dim: expected 0"):
            old_sum(mask, 32, dim=1)

    def test_the_bit_matrix_of_each_module_is_the_one_of_today(self) -> None:
        from triton_kernels import bitmatrix, datastruct

        assert bitmatrix.Bitmatrix is datastruct.Bitmatrix is Bitmatrix
        words, scratch = torch.zeros(4, 2, dtype=torch.int32), torch.zeros(512)
        mask = bitmatrix.Bitmatrix(words, [4, 40], scratch)
        assert (mask.dtype, mask.shape, mask.shape_max) == (BIT, [4, 40], [4, 40])

    def test_the_tensor_of_3_4_is_a_tensor_of_today_and_answers_to_its_old_names(self) -> None:
        from triton_kernels.datastruct import Tensor as OldTensor

        data, n_rows = torch.arange(12.0).view(4, 3), torch.tensor([2])
        x = OldTensor(data, [n_rows, 3], [4, 3])
        assert isinstance(x, Tensor)
        assert x.handle is x.data is data
        assert (x.shape_raw, x.shape_pad) == (x.shape, x.shape_max) == ([n_rows, 3], [4, 3])
        assert torch.equal(topk(x, 2).vals, topk(data, 2, n_rows=n_rows).vals)
        same = OldTensor(handle=data, shape_raw=[4, 3])
        assert same.shape_pad == [4, 3]
