"""`tl.reduce` and `tl.associative_scan` on whole slices, where stock goes element by element.

The combine function sees blocks, as it does on a GPU.  `tl.sort` and `tl.topk` are made of these:
32x128 sorts in 0.02 s instead of 1.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.interpreter import ReduceOps, ScanOps

from tests.support.interpreter.formats import BFLOAT16

_stock_reduce = ReduceOps.apply_impl

# What `tl.sort` reduces by: these halve its time.
_UFUNCS = {tl.standard._xor_combine: np.bitwise_xor, tl.standard._or_combine: np.bitwise_or}


def _reduce(self: ReduceOps, operands: tuple[tl.tensor, ...]) -> Any:
    ufunc = _UFUNCS.get(self.combine_fn)
    if ufunc is None or len(operands) != 1:
        return _stock_reduce(self, operands)
    (operand,) = operands
    data = ufunc.reduce(operand.handle.data, axis=self.axis, keepdims=self.keep_dims)
    return self.to_tensor(data, operand.dtype)


def _sum(self: ReduceOps, operand: tl.tensor) -> tl.tensor:
    """Half precisions are summed in float32 and rounded once."""
    data = operand.handle.data
    if data.dtype in (BFLOAT16, np.float16):
        data = data.astype(np.float32)
    return self.to_tensor(np.sum(data, axis=self.axis, keepdims=self.keep_dims), operand.dtype)


def _generic_reduce(self: ReduceOps, operands: tuple[tl.tensor, ...]) -> list[tl.tensor]:
    """Halves combined until one slice is left: lengths in Triton are powers of two."""
    rank = operands[0].handle.data.ndim
    flat, axis = self.unravel(operands, self.axis)
    dtypes = [operand.dtype for operand in flat]
    slices = [np.moveaxis(operand.handle.data, axis, 0) for operand in flat]
    while (length := slices[0].shape[0]) > 1:
        left = [s[: length // 2] for s in slices]
        right = [s[length // 2 :] for s in slices]
        slices = _combine(self, left, right, dtypes)
    results = []
    for data, dtype in zip((s[0] for s in slices), dtypes, strict=True):
        if self.keep_dims:
            shape = (1,) * rank if self.axis is None else np.expand_dims(data, axis).shape
            data = np.reshape(data, shape)
        results.append(self.to_tensor(data, dtype))
    return results


def _generic_scan(self: ScanOps, operands: tuple[tl.tensor, ...]) -> list[tl.tensor]:
    """Each entry combined with the one `distance` before, for distances 1, 2, 4, ...

    W. D. Hillis and G. L. Steele, "Data parallel algorithms" (1986).  A block must keep its length,
    so all entries are combined and the first `distance`, which have none before them, put back.
    """
    dtypes = [operand.dtype for operand in operands]
    entries = [np.moveaxis(operand.handle.data, self.axis, 0) for operand in operands]
    distance = 1
    while distance < entries[0].shape[0]:
        before = [np.roll(e, distance, axis=0) for e in entries]
        combined = _combine(self, before, entries, dtypes)
        entries = [
            np.concatenate([old[:distance], new[distance:].astype(old.dtype)])
            for old, new in zip(entries, combined, strict=True)
        ]
        distance *= 2
    return [
        self.to_tensor(np.ascontiguousarray(np.moveaxis(e, 0, self.axis)), dtype)
        for e, dtype in zip(entries, dtypes, strict=True)
    ]


def _combine(
    self: ReduceOps | ScanOps,
    left: Sequence[np.ndarray],
    right: Sequence[np.ndarray],
    dtypes: Sequence[tl.dtype],
) -> list[np.ndarray]:
    """The combine function on arrays."""
    function: Callable[..., Any] = self.combine_fn.fn
    blocks = zip((*left, *right), (*dtypes, *dtypes), strict=True)
    result = function(*(self.to_tensor(np.ascontiguousarray(data), t) for data, t in blocks))
    results = result if isinstance(result, (tuple, tl.tuple)) else (result,)
    return [tensor.handle.data for tensor in results]


def install() -> None:
    ReduceOps.apply_impl = _reduce
    ReduceOps.sum = _sum
    ReduceOps.generic_reduce = _generic_reduce
    ScanOps.generic_scan = _generic_scan
