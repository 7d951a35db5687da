"""`compaction` on a GPU: one launch."""

from __future__ import annotations

import torch

from triton_kernels.compaction_details._compact import _compact_rows
from triton_kernels.launching import launch
from triton_kernels.topk_details._plan import next_power_of_two


def compact(
    yv: torch.Tensor, yi: torch.Tensor, words: torch.Tensor, sentinel: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `compaction` returns."""
    n_rows, k = yv.shape
    vals = torch.empty((n_rows, k), dtype=yv.dtype, device=yv.device)
    indx = torch.empty((n_rows, k), dtype=yi.dtype, device=yi.device)
    choices = next_power_of_two(k)
    rows = max(1, 1024 // choices)
    if n_rows and k:
        signed = words.view(torch.int32) if words.dtype == torch.uint32 else words
        launch(
            _compact_rows,
            (-(-n_rows // rows),),
            (
                yv,
                *yv.stride(),
                yi,
                *yi.stride(),
                signed,
                *signed.stride(),
                vals,
                indx,
                n_rows,
                words.shape[1],
                sentinel,
            ),
            {
                "K": k,
                "R": rows,
                "KP": choices,
            },
            num_warps=4,
        )
    return vals, indx
