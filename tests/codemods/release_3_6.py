"""A stand-in for the released triton_kernels 3.6.0, which is not installed where the tests run.

Our parts under the release's names, with its meaning of its fields, and with no name more than code
for it may use.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import torch

from triton_kernels import tensor as ours
from triton_kernels import topk as our_topk
from triton_kernels.target_info import is_hip
from triton_kernels.tensor_details.ragged_tensor import empty_aligned, exact_div
from triton_kernels.tensor_details.ragged_tensor import max_n_tiles as our_width


@dataclass
class GatherIndx:
    src_indx: torch.Tensor
    dst_indx: torch.Tensor


@dataclass
class ScatterIndx:
    src_indx: torch.Tensor
    dst_indx: torch.Tensor


@dataclass
class RoutingData:
    gate_scal: torch.Tensor
    expt_hist: torch.Tensor
    n_expts_tot: int
    n_expts_act: int
    expt_data: object = None


@dataclass
class BitmatrixMetadata:
    """The release's order: the second is combine, the third is dispatch."""

    col_sum: torch.Tensor
    col_sorted_indx: torch.Tensor
    row_sorted_indx: torch.Tensor


@dataclass
class RaggedTensorMetadata:
    slice_sizes: torch.Tensor
    slice_offs: torch.Tensor
    block_offs_data: torch.Tensor
    block_schedule_data: torch.Tensor

    @staticmethod
    def max_n_tiles(n_slices: int, n_total_rows: int) -> int:
        return our_width(n_slices, n_total_rows)


class SparseMatrix:
    def __init__(self, indx: torch.Tensor, vals: torch.Tensor, mask: ours.Bitmatrix) -> None:
        self.indx, self.vals, self.mask = indx, vals, mask
        found = ours.make_bitmatrix_metadata(indx, mask)
        orders = found.combine_indx, found.dispatch_indx
        self.mask_metadata = BitmatrixMetadata(found.col_sum, *orders)


def make_ragged_tensor_metadata(slice_sizes, n_total_rows):
    assert slice_sizes.ndim == 1
    made = ours.make_ragged_tensor_metadata(slice_sizes, n_total_rows)
    return RaggedTensorMetadata(
        slice_sizes, made.slice_offs, made.block_offs_data, made.block_schedule_data
    )


def topk(x, k, apply_softmax=True, dim=1, y_indx=None, n_rows=None):
    chosen = our_topk.topk(x, k, apply_softmax, dim, y_indx, n_rows)
    return SparseMatrix(chosen.indx, chosen.vals, chosen.mask)


RELEASE = {
    "matmul_ogs": {
        "GatherIndx": GatherIndx,
        "RoutingData": RoutingData,
        "ScatterIndx": ScatterIndx,
    },
    "target_info": {"is_hip": is_hip},
    "tensor": {
        "Bitmatrix": ours.Bitmatrix,
        "RaggedTensorMetadata": RaggedTensorMetadata,
        "SparseMatrix": SparseMatrix,
        "make_ragged_tensor_metadata": make_ragged_tensor_metadata,
        "make_ragged_tensor_metadata_torch": make_ragged_tensor_metadata,
    },
    "tensor_details.ragged_tensor": {"empty_aligned": empty_aligned, "exact_div": exact_div},
    "topk": {"topk": topk},
}
"""The names of each module."""


@contextmanager
def installed() -> Iterator[None]:
    """Imports of the library find the release meanwhile, and nothing else of that name."""
    library = [name for name in sys.modules if name.partition(".")[0] == "triton_kernels"]
    before = {name: sys.modules.pop(name) for name in library}
    package = ModuleType("triton_kernels")
    package.__path__ = []  # type: ignore[attr-defined]
    sys.modules["triton_kernels"] = package
    for path, members in RELEASE.items():
        name = ""
        for word in path.split("."):
            name = f"{name}.{word}" if name else word
            full = f"triton_kernels.{name}"
            module = sys.modules.setdefault(full, ModuleType(full))
            module.__path__ = []  # type: ignore[attr-defined]
            parent = sys.modules[full.rpartition(".")[0]]
            setattr(parent, word, module)
        vars(module).update(members)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "triton_kernels"]:
            del sys.modules[name]
        sys.modules.update(before)
