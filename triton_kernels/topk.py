"""The k largest entries of each row, as a sparse matrix."""

from __future__ import annotations

from typing import Any

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels import dispatch, ops
from triton_kernels.deprecation import warn_deprecated
from triton_kernels.old_arguments import another_function, dropped_argument
from triton_kernels.tensor import Bitmatrix, SparseMatrix, Tensor
from triton_kernels.tensor_details.bitmatrix_details.words import pack_columns
from triton_kernels.tensor_details.checks import (
    MOST_CHOICES,
    MOST_COLUMNS,
    MOST_SLOTS,
    is_int,
    wrong_type,
    wrong_value,
)
from triton_kernels.tensor_details.columns import check_columns
from triton_kernels.tensor_details.padding import RowCount, check_n_rows, rows_taking_part

__all__ = ["TopK", "topk", "topk_backward", "topk_forward", "topk_torch"]


@dropped_argument(
    "return_bitmatrix", 4, by_keyword="TKM302", by_position="TKM310", releases="3.4 and 3.5"
)
def topk(
    x: torch.Tensor | Tensor,
    k: int,
    apply_softmax: bool = True,
    dim: int = 1,
    y_indx: torch.Tensor | None = None,
    n_rows: RowCount | None = None,
) -> SparseMatrix:
    """Select the k largest entries of each row.

    x: float32, float16 or bfloat16 [n_rows_max, E], E < 32768, of any strides.  A `Tensor` brings
        its own number of rows, `shape[0]`, and `n_rows` is ignored.
    k: 1 to min(E, 256), any number.
    apply_softmax: replace the selected values by their softmax over the k of them, computed in
        float32; otherwise they are returned as they are.
    dim: 1.
    y_indx: int16, int32 or int64 [n_rows_max, k] of any strides; the columns to take instead of
        searching.  Order and dtype are kept.  -1 marks an unused slot, anywhere in a row; a
        repeated column counts as the slots it has.
    n_rows: int or 1-element integer tensor; only the first n_rows rows are read.

    Returns a `SparseMatrix`:
    - `indx` [n_rows_max, k]: the columns, int16 and ascending in each row; a given `y_indx` itself,
      or a copy with -1 in the rows from `n_rows` on where `n_rows` is given;
    - `vals` [n_rows_max, k], dtype of `x`: the values, 0 in unused slots (also in a softmax, whose
      other values add up to 1);
    - `mask`: shape [n_rows, E], a bit for each selected entry.
    Rows from `n_rows` on have `indx` -1, `vals` 0 and no bit.

    Order: NaN ranks above +inf; +0 and -0 are equal; of equal entries the lower column wins.
    `vals` is differentiable with respect to `x`; entries that were not selected, and rows from
    `n_rows` on, get gradient 0.
    Raises ValueError or TypeError that names the argument where one is another than said here; for
    numbers in `y_indx` that are no column, on a GPU, only with TRITON_KERNELS_DEBUG=1 in the
    environment, since looking at them waits for the device.  Without, such a slot is unused.

    >>> chosen = topk(torch.tensor([[1.0, 3.0, 2.0, 3.0]]), k=3, apply_softmax=False)
    >>> chosen.indx.tolist(), chosen.vals.tolist()
    ([[1, 2, 3]], [[3.0, 2.0, 3.0]])
    """
    x, n_rows = _as_padded(x, n_rows)
    if dispatch.needs_gradient(x) and not dispatch.is_traced(x):
        vals, indx, mask = TopK.apply(x, k, apply_softmax, dim, y_indx, n_rows)  # type: ignore[no-untyped-call]
        if y_indx is not None and n_rows is None:
            indx = y_indx  # what autograd hands back is an alias
    else:
        vals, indx, mask = topk_forward(x, k, apply_softmax, dim, y_indx, n_rows)
    return SparseMatrix(indx=indx, vals=vals, mask=mask)


def _is_old_reference(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of `topk_torch` gives the columns third, where `apply_softmax` is now."""
    third = args[2] if len(args) > 2 else True
    return third is None or isinstance(third, torch.Tensor) or "expt_indx" in kwargs


@another_function("TKM316", "triton_kernels.legacy.topk_torch", _is_old_reference)
def topk_torch(
    x: torch.Tensor | Tensor,
    k: int,
    apply_softmax: bool = True,
    dim: int = 1,
    y_indx: torch.Tensor | None = None,
    n_rows: RowCount | None = None,
) -> SparseMatrix:
    """`topk` in plain torch, on any device; gradients are torch's own."""
    x, n_rows = _as_padded(x, n_rows)
    check_arguments(x, k, dim, y_indx, n_rows)
    vals, indx, words = _select(x, k, apply_softmax, y_indx, n_rows)
    mask = Bitmatrix.of_words(words, x.shape[0] if n_rows is None else n_rows, x.shape)
    return SparseMatrix(indx=indx, vals=vals, mask=mask)


@dropped_argument(
    "return_bitmatrix", 4, by_keyword="TKM311", by_position="TKM312", releases="3.4 and 3.5"
)
def topk_forward(
    x: torch.Tensor | Tensor,
    k: int,
    apply_softmax: bool = True,
    dim: int = 1,
    y_indx: torch.Tensor | None = None,
    n_rows: RowCount | None = None,
) -> tuple[torch.Tensor, torch.Tensor, Bitmatrix]:
    """`topk` without autograd and without the record: (vals, indx, mask)."""
    x, n_rows = _as_padded(x, n_rows)
    check_arguments(x, k, dim, y_indx, n_rows)
    run = ops.topk if dispatch.is_traced(x) else select
    vals, indx, words = run(x, k, apply_softmax, y_indx, n_rows)
    return vals, indx, Bitmatrix.of_words(words, x.shape[0] if n_rows is None else n_rows, x.shape)


def topk_backward(
    x: torch.Tensor,
    y_indx: torch.Tensor,
    dy_vals: torch.Tensor,
    k: int,
    n_rows: RowCount | None,
    apply_softmax: bool,
) -> torch.Tensor:
    """Gradient of `vals` with respect to `x`, in its shape and dtype.

    y_indx: [n_rows_max, k], the columns that were selected; -1 marks an unused slot.  Other
        numbers are errors where they are for `topk`.
    dy_vals: [n_rows_max, k], gradient of the values.

    With softmax y, a selected entry gets `y * (dy - sum(y * dy))`, without it `dy`; a column with
    several slots gets their sum.  All else is 0, unused slots and rows from `n_rows` on included,
    whatever `x` and `dy_vals` hold there.
    """
    shape = (x.shape[0], k)
    for name, tensor in (("y_indx", y_indx), ("dy_vals", dy_vals)):
        if tensor.shape != shape:
            raise wrong_value(name, f"shape {list(shape)}", tensor)
        if tensor.device != x.device:
            raise wrong_value(name, f"a tensor on {x.device}, where x is", tensor)
    check_n_rows(n_rows, x.shape[0], x.device)
    check_columns("y_indx", y_indx, x.shape[1], n_rows)
    run = ops.topk_backward if dispatch.is_traced(x) else select_backward
    return run(x, y_indx, dy_vals, apply_softmax, n_rows)


class TopK(torch.autograd.Function):
    """`topk_forward` and `topk_backward` for autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        k: int,
        apply_softmax: bool,
        dim: int,
        y_indx: torch.Tensor | None,
        n_rows: RowCount | None,
        *old_n_rows: RowCount | None,
    ) -> tuple[torch.Tensor, torch.Tensor, Bitmatrix]:
        if old_n_rows:  # and before it y_indx and, fifth, return_bitmatrix
            warn_deprecated("TKM313")
            y_indx, n_rows = n_rows, *old_n_rows  # type: ignore[assignment]
        vals, indx, mask = topk_forward(x, k, apply_softmax, dim, y_indx, n_rows)
        n_rows_on_device = n_rows if isinstance(n_rows, torch.Tensor) else None
        ctx.save_for_backward(x, indx, n_rows_on_device)
        ctx.n_rows = n_rows if n_rows_on_device is None else None
        ctx.apply_softmax = apply_softmax
        ctx.k = k
        ctx.mark_non_differentiable(indx)
        return vals, indx, mask

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy_vals: torch.Tensor, *_unused: Any) -> tuple[Any, ...]:
        x, indx, n_rows = ctx.saved_tensors
        if n_rows is None:
            n_rows = ctx.n_rows
        dx = topk_backward(x, indx, dy_vals, ctx.k, n_rows, ctx.apply_softmax)
        return dx, None, None, None, None, None, None  # one more for the old form


def _as_padded(
    x: torch.Tensor | Tensor, n_rows: RowCount | None
) -> tuple[torch.Tensor, RowCount | None]:
    """The torch tensor, and the number of rows that a `Tensor` brings of its own."""
    if not isinstance(x, Tensor):
        return x, n_rows
    rows_at_most, columns = x.shape_max
    own = x.shape[0]
    everything = isinstance(own, int) and own == rows_at_most
    return x.data[:rows_at_most, :columns], None if everything else own


def check_arguments(
    x: torch.Tensor,
    k: int,
    dim: int,
    y_indx: torch.Tensor | None,
    n_rows: RowCount | None,
    names: tuple[str, str, str] = ("x", "k", "y_indx"),
) -> None:
    """Raise where `topk` cannot take these.  names: what the caller's own call x, k, y_indx."""
    x_name, k_name, y_name = names
    if not isinstance(x, torch.Tensor):
        raise wrong_type(x_name, "a torch.Tensor or a triton_kernels Tensor", x)
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise wrong_type(x_name, "dtype float32, float16 or bfloat16", x)
    if x.ndim != 2:
        raise wrong_value(x_name, "2 dimensions", x)
    if x.shape[1] > MOST_COLUMNS:
        raise wrong_value(x_name, f"at most {MOST_COLUMNS} columns", x)
    if dim != 1:
        raise wrong_value("dim", "1", dim)
    if not is_int(k):
        raise wrong_type(k_name, "an int", k)
    limit = min(x.shape[1], MOST_CHOICES)
    if not 1 <= k <= limit:
        raise wrong_value(k_name, f"1 to {limit}, for {x.shape[1]} columns", k)
    if x.shape[0] * k > MOST_SLOTS:
        raise wrong_value(x_name, f"at most {MOST_SLOTS} slots, k = {k} a row", x)
    check_n_rows(n_rows, x.shape[0], x.device)
    if y_indx is None:
        return
    if not isinstance(y_indx, torch.Tensor) or y_indx.dtype not in (
        torch.int16,
        torch.int32,
        torch.int64,
    ):
        raise wrong_type(y_name, "an int16, int32 or int64 tensor", y_indx)
    if y_indx.shape != (x.shape[0], k):
        raise wrong_value(y_name, f"shape {[x.shape[0], k]}", y_indx)
    if y_indx.device != x.device:
        raise wrong_value(y_name, f"a tensor on {x.device}, where {x_name} is", y_indx)
    check_columns(y_name, y_indx, x.shape[1], n_rows)


def select(
    x: torch.Tensor,
    k: int,
    apply_softmax: bool,
    y_indx: torch.Tensor | None,
    n_rows: RowCount | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(vals, indx, words of the mask), for arguments that are known to be right."""
    run = dispatch.choose(
        x.device, reference=_select, kernel="triton_kernels.topk_details._launch.select"
    )
    return run(x, k, apply_softmax, y_indx, n_rows)


def select_backward(
    x: torch.Tensor,
    y_indx: torch.Tensor,
    dy_vals: torch.Tensor,
    apply_softmax: bool,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """What `topk_backward` returns, for arguments that are known to be right."""
    run = dispatch.choose(
        x.device,
        reference=select_backward_torch,
        kernel="triton_kernels.topk_details._launch.select_backward",
    )
    return run(x, y_indx, dy_vals, n_rows, apply_softmax)


def _select(
    x: torch.Tensor,
    k: int,
    apply_softmax: bool,
    y_indx: torch.Tensor | None,
    n_rows: RowCount | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    n_rows_max, n_columns = x.shape
    if y_indx is None:
        indx = _largest(x, k).sort(dim=1).values.to(torch.int16)
    else:
        indx = y_indx
    if n_rows is not None:
        takes_part = rows_taking_part(n_rows, n_rows_max, x.device).unsqueeze(1)
        indx = torch.where(takes_part, indx, -1).contiguous()
    vals = _values(x, indx, apply_softmax).to(x.dtype).contiguous()
    return vals, indx, pack_columns(indx, n_columns)


def _largest(x: torch.Tensor, k: int) -> torch.Tensor:
    """int64 [n_rows, k]: columns of the k largest entries, largest first.

    The entry's rank and, below it, the column from the right make one integer: no two are equal,
    so that ties do not depend on how a device sorts.
    """
    value = x.detach().float()
    bits = torch.where(value == 0, 0.0, value).view(torch.int32)  # -0 becomes +0
    rank = torch.where(bits >= 0, bits, bits ^ 0x7FFFFFFF)
    rank = torch.where(value.isnan(), 0x7FFFFFFF, rank).long()
    column = torch.arange(x.shape[1], device=x.device)
    key = (rank << 15) | (MOST_COLUMNS - column)
    return MOST_COLUMNS - (key.topk(k, dim=1).values & MOST_COLUMNS)


def _used_slots(x: torch.Tensor, indx: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which slots hold a column, and a column for each slot that can be read in any case."""
    used = (indx >= 0) & (indx < x.shape[1])
    return used, torch.where(used, indx, 0).long()


def _values(x: torch.Tensor, indx: torch.Tensor, apply_softmax: bool) -> torch.Tensor:
    """[n_rows, k]: the selected values, in float32 if they go through a softmax."""
    used, column = _used_slots(x, indx)
    values = x.gather(1, column)
    if apply_softmax:
        values = torch.where(used, values.float(), float("-inf")).softmax(1)
    return torch.where(used, values, 0)


def select_backward_torch(
    x: torch.Tensor,
    indx: torch.Tensor,
    dy_vals: torch.Tensor,
    n_rows: RowCount | None,
    apply_softmax: bool,
) -> torch.Tensor:
    """`select_backward` in plain torch, on any device."""
    used, column = _used_slots(x, indx)
    if n_rows is not None:
        used &= rows_taking_part(n_rows, x.shape[0], x.device).unsqueeze(1)
    gradient = torch.where(used, dy_vals.float(), 0)
    if apply_softmax:
        y = _values(x, torch.where(used, indx, -1), apply_softmax)
        gradient = y * (gradient - (y * gradient).sum(1, keepdim=True))
    dx = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    return dx.scatter_add_(1, column, gradient).to(x.dtype)
