"""`topk` on a GPU: one launch forward, one backward."""

from __future__ import annotations

import torch

from triton_kernels.launching import launch
from triton_kernels.target_info import is_hip
from triton_kernels.tensor_details.bitmatrix_details.words import WORD_BITS, n_words
from triton_kernels.tensor_details.padding import RowCount
from triton_kernels.topk_details._plan import TilePlan, plan_given, plan_search
from triton_kernels.topk_details._topk_backward import _topk_backward
from triton_kernels.topk_details._topk_forward import _topk_forward


def search_options(tiles: TilePlan) -> dict[str, int]:
    """How `_topk_forward` is compiled for these tiles."""
    options = {"num_warps": tiles.num_warps}
    if tiles.max_registers and not is_hip():
        options["maxnreg"] = tiles.max_registers
    return options


def select(
    x: torch.Tensor,
    k: int,
    apply_softmax: bool,
    y_indx: torch.Tensor | None,
    n_rows: RowCount | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `triton_kernels.topk.select` returns."""
    n_rows_max, n_columns = x.shape
    if y_indx is None:
        tiles = plan_search(n_rows_max, n_columns, k, wide_warps=is_hip())
    else:
        tiles = plan_given(n_rows_max, n_columns, k)
    vals = torch.empty((n_rows_max, k), dtype=x.dtype, device=x.device)
    if y_indx is None:
        indx = kept = torch.empty((n_rows_max, k), dtype=torch.int16, device=x.device)
    elif n_rows is None:
        indx, kept = y_indx, None
    else:
        indx = kept = torch.empty((n_rows_max, k), dtype=y_indx.dtype, device=x.device)
    padded_rows = -(-n_rows_max // WORD_BITS) * WORD_BITS
    words = torch.empty((n_words(n_columns), padded_rows), dtype=torch.uint32, device=x.device)
    stride_gm, stride_gn = (0, 0) if y_indx is None else y_indx.stride()
    launch(
        _topk_forward,
        (tiles.n_tiles,),
        (
            x,
            *x.stride(),
            y_indx,
            stride_gm,
            stride_gn,
            vals,
            kept,
            words,
            padded_rows,
            None,
            None,
            n_rows_max,
            n_rows,
            tiles.rows_per_tile,
        ),
        {
            "n_columns": n_columns,
            "K": k,
            "SOFTMAX": apply_softmax,
            "SOFTMAX_FIRST": False,
            "R": tiles.rows,
            "C": tiles.columns,
            "KP": tiles.choices,
            "LANES": tiles.lanes,
            "PACKED": False,
            "OVERLAP": False,
        },
        **search_options(tiles),
    )
    return vals, indx, words.as_strided((n_rows_max, words.shape[0]), (1, words.stride(0)))


def select_backward(
    x: torch.Tensor,
    indx: torch.Tensor,
    dy_vals: torch.Tensor,
    n_rows: RowCount | None,
    apply_softmax: bool,
    *,
    softmax_first: bool = False,
    dispatch: torch.Tensor | None = None,
) -> torch.Tensor:
    """What `topk_backward` returns.

    dispatch: with it, `dy_vals` is the gradient of the gates of routing, in the order of experts.
    """
    n_rows_max, n_columns = x.shape
    k = indx.shape[1]
    tiles = plan_search(n_rows_max, n_columns, k, wide_warps=is_hip())
    rows = max(1, min(tiles.rows, 512 // tiles.choices))
    dx = torch.empty((n_rows_max, n_columns), dtype=x.dtype, device=x.device)
    launch(
        _topk_backward,
        (-(-n_rows_max // rows),),
        (
            x,
            *x.stride(),
            indx,
            *indx.stride(),
            dy_vals,
            *(dy_vals.stride() if dispatch is None else (0, dy_vals.stride(0))),
            dispatch,
            dx,
            n_rows_max,
            n_rows,
        ),
        {
            "n_columns": n_columns,
            "K": k,
            "SOFTMAX": apply_softmax,
            "SOFTMAX_FIRST": softmax_first,
            "R": rows,
            "C": tiles.columns,
            "KP": tiles.choices,
        },
        num_warps=tiles.num_warps,
    )
    return dx
