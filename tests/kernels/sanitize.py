"""One case of each kernel, to be run on a GPU under compute-sanitizer:

compute-sanitizer --tool memcheck python tests/kernels/sanitize.py
compute-sanitizer --tool racecheck python tests/kernels/sanitize.py
compute-sanitizer --tool initcheck python tests/kernels/sanitize.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from triton_kernels.compaction import compaction
from triton_kernels.legacy import legacy_routing
from triton_kernels.tensor import (
    make_ragged_tensor_metadata,
    remap_ragged_tensor_metadata,
)
from triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows import sum_bitmatrix_rows
from triton_kernels.topk import topk


def main() -> None:
    """Every kernel once: one, two and three launches of routing, forward and backward."""
    for n_rows, n_experts, k in ((3, 32, 2), (70, 60, 3), (1500, 32, 4)):
        logits = torch.randn(n_rows, n_experts, device="cuda", requires_grad=True)
        data, _, _ = legacy_routing(logits, k, n_rows=n_rows - 1)
        data.gate_scal.sum().backward()
    given = torch.randint(-1, 60, (70, 3), device="cuda")
    legacy_routing(torch.randn(70, 60, device="cuda"), 3, expt_indx=given)
    x = torch.randn(70, 60, device="cuda", requires_grad=True)
    chosen = topk(x, 3, n_rows=torch.tensor([50], device="cuda"))
    chosen.vals.sum().backward()
    counts = chosen.mask_metadata.col_sum
    sum_bitmatrix_rows(chosen.mask, 32)
    schedule = make_ragged_tensor_metadata(counts, 210)
    kept = torch.arange(60, device="cuda") % 3 - 1
    remap_ragged_tensor_metadata(schedule, torch.where(kept >= 0, kept.cumsum(0), -1))
    compaction(chosen.vals.detach(), chosen.indx, chosen.mask)
    torch.cuda.synchronize()
    print("every kernel ran")


if __name__ == "__main__":
    main()
