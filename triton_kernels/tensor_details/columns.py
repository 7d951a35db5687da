"""Which columns a caller may name: those there are, or -1 for an unused slot."""

from __future__ import annotations

import os

import torch

from triton_kernels import dispatch
from triton_kernels.dispatch import Implementation
from triton_kernels.tensor_details.checks import wrong_value
from triton_kernels.tensor_details.padding import RowCount, rows_taking_part

__all__ = ["check_columns"]


def check_columns(
    argument: str, columns: torch.Tensor, n_columns: int, n_rows: RowCount | None
) -> None:
    """Raise ValueError where a slot holds neither a column nor -1.

    columns: integers [n_rows_max, k]; rows from `n_rows` on are never looked at.

    On the CPU, always.  On a GPU only with TRITON_KERNELS_DEBUG=1 in the environment, for then the
    host waits for the device at every call; the kernels take what is no column for an unused slot
    and read nothing with it.  Not while an op is traced or a CUDA graph captured: there are no
    values yet.
    """
    if dispatch.is_traced(columns) or columns.is_meta:
        return
    on_device = dispatch.implementation(columns.device) is Implementation.KERNEL
    if on_device and (
        os.environ.get("TRITON_KERNELS_DEBUG") != "1"
        or (columns.is_cuda and torch.cuda.is_current_stream_capturing())
    ):
        return
    wrong = (columns < -1) | (columns >= n_columns)
    if n_rows is not None:
        wrong &= rows_taking_part(n_rows, columns.shape[0], columns.device).unsqueeze(1)
    if bool(wrong.any()):
        raise wrong_value(argument, f"columns 0 to {n_columns - 1}, or -1", int(columns[wrong][0]))
