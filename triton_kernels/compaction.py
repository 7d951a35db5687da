"""Keep of each row what a bit mask names, moved to the front."""

from __future__ import annotations

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels import dispatch, ops
from triton_kernels.tensor import Bitmatrix
from triton_kernels.tensor_details.bitmatrix_details.words import has_bit
from triton_kernels.tensor_details.checks import wrong_type, wrong_value

__all__ = ["compaction", "compaction_torch"]


def compaction(
    yv: torch.Tensor,
    yi: torch.Tensor,
    bitmask: torch.Tensor | Bitmatrix,
    sentinel: int = -1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keep the entries of each row whose column is set in the mask.

    yv, yi: [n_rows, k] of any strides; values, and the column of each.
    bitmask: [n_rows, n_words] 32-bit words (int32, uint32 or int64 holding one each) of any
        strides, or a `Bitmatrix`; column `c` is bit `c % 32` of word `c // 32`.

    Returns new (values, columns): in each row the kept entries in their order, then `sentinel` in
    both.  A column that is not in the mask, -1 included, is not kept.
    Raises ValueError or TypeError where shapes or dtypes do not fit.

    >>> compaction(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0, 1, 2]]), torch.tensor([[5]]))
    (tensor([[ 1.,  3., -1.]]), tensor([[ 0,  2, -1]]))
    """
    words = _check(yv, yi, bitmask)
    run = ops.compaction if dispatch.is_traced(yv) else compact
    return run(yv, yi, words, sentinel)


def compaction_torch(
    yv: torch.Tensor,
    yi: torch.Tensor,
    bitmask: torch.Tensor | Bitmatrix,
    sentinel: int = -1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`compaction` in plain torch, on any device."""
    return _compact(yv, yi, _check(yv, yi, bitmask), sentinel)


def _check(yv: torch.Tensor, yi: torch.Tensor, bitmask: torch.Tensor | Bitmatrix) -> torch.Tensor:
    """The words of the mask."""
    if yv.ndim != 2:
        raise wrong_value("yv", "2 dimensions", yv)
    if yi.shape != yv.shape:
        raise wrong_value("yi", f"shape {list(yv.shape)}, that of yv", yi)
    if yi.dtype not in (torch.int16, torch.int32, torch.int64):
        raise wrong_type("yi", "dtype int16, int32 or int64", yi)
    words = bitmask.data if isinstance(bitmask, Bitmatrix) else bitmask
    if words.dtype not in (torch.uint32, torch.int32, torch.int64):
        raise wrong_type("bitmask", "words of dtype uint32, int32 or int64", words)
    if words.ndim != 2 or words.shape[0] != yv.shape[0]:
        raise wrong_value("bitmask", f"2 dimensions and {yv.shape[0]} rows", words)
    for name, tensor in (("yi", yi), ("bitmask", words)):
        if tensor.device != yv.device:
            raise wrong_value(name, f"a tensor on {yv.device}, where yv is", tensor)
    return words


def compact(
    yv: torch.Tensor, yi: torch.Tensor, words: torch.Tensor, sentinel: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `compaction` returns, for arguments that are known to be right."""
    run = dispatch.choose(
        yv.device, reference=_compact, kernel="triton_kernels.compaction_details._launch.compact"
    )
    return run(yv, yi, words, sentinel)


def _compact(
    yv: torch.Tensor, yi: torch.Tensor, words: torch.Tensor, sentinel: int
) -> tuple[torch.Tensor, torch.Tensor]:
    keep = has_bit(words, yi)
    order = torch.argsort(~keep, dim=1, stable=True)
    keep = keep.gather(1, order)
    return (
        torch.where(keep, yv.gather(1, order), sentinel),
        torch.where(keep, yi.gather(1, order), sentinel),
    )
