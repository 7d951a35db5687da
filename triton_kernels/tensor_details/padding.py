"""Which rows take part: a batch padded to `n_rows_max` rows, of which the first `n_rows` are real.

`n_rows` is None (all), an int, or a 1-element integer tensor.  The tensor is never read on the
host, so that a captured CUDA graph can be replayed with another count.
"""

from __future__ import annotations

from typing import TypeAlias

import torch

from triton_kernels.tensor_details.checks import is_int, wrong_type, wrong_value

__all__ = ["RowCount", "check_n_rows", "rows_taking_part"]

RowCount: TypeAlias = int | torch.Tensor


def check_n_rows(n_rows: RowCount | None, n_rows_max: int, device: torch.device) -> None:
    """Raise unless `n_rows` can be the number of real rows among `n_rows_max` on `device`."""
    if n_rows is None:
        return
    if isinstance(n_rows, torch.Tensor):
        if n_rows.numel() != 1:
            raise wrong_value("n_rows", "a tensor of 1 element", n_rows)
        if n_rows.is_floating_point() or n_rows.is_complex() or n_rows.dtype == torch.bool:
            raise wrong_type("n_rows", "a tensor of an integer dtype", n_rows)
        if n_rows.device != device:
            raise wrong_value("n_rows", f"a tensor on {device}, where the rows are", n_rows)
    elif not is_int(n_rows):
        raise wrong_type("n_rows", "None, an int or a 1-element integer tensor", n_rows)
    elif not 0 <= n_rows <= n_rows_max:
        raise wrong_value("n_rows", f"0 to {n_rows_max}, the rows there are", n_rows)


def rows_taking_part(
    n_rows: RowCount | None, n_rows_max: int, device: torch.device
) -> torch.Tensor:
    """bool [n_rows_max]: True for the rows below `n_rows`."""
    if n_rows is None:
        return torch.ones(n_rows_max, dtype=torch.bool, device=device)
    limit = n_rows.reshape(()) if isinstance(n_rows, torch.Tensor) else n_rows
    return torch.arange(n_rows_max, device=device) < limit
