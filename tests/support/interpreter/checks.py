"""What a GPU does without a word raises: access out of bounds, integer overflow, `device_assert`.

On unless INTERP_CHECK=0, which makes stepping through a kernel shorter.

An access must lie inside what the strides of one of the launch's tensors can reach; the interpreter
itself would read and write the process's memory wherever the pointer leads.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from triton.runtime.interpreter import (
    GridExecutor,
    InterpreterBuilder,
    TensorHandle,
    interpreter_builder,
)


class _Extents:
    """The bytes that the tensors of the launch reach: `[starts[i], ends[i])`, in order.

    An end is never less than the one before it, so that a tensor inside another does not hide the
    rest of it.
    """

    def __init__(self, tensors: Iterator[torch.Tensor]) -> None:
        reached: dict[int, int] = {}
        for tensor in tensors:
            start, end = _extent(tensor)
            reached[start] = max(end, reached.get(start, 0))
        self.starts = np.array(sorted(reached), np.uint64)
        ends = np.array([reached[start] for start in sorted(reached)], np.uint64)
        self.ends = np.maximum.accumulate(ends)

    def check(self, access: str, pointers: TensorHandle, mask: np.ndarray | bool) -> None:
        addresses, active = np.broadcast_arrays(pointers.data, mask)
        addresses = addresses[active]
        if not addresses.size:
            return
        size = max(1, pointers.get_element_ty().primitive_bitwidth // 8)
        index = np.searchsorted(self.starts, addresses, side="right").astype(np.int64) - 1
        outside = index < 0
        if self.ends.size:
            outside |= addresses + np.uint64(size) > self.ends[index]
        if outside.any():
            first = addresses[outside][0]
            raise IndexError(
                f"out-of-bounds {access}: {int(outside.sum())} of {addresses.size} active lanes "
                f"of program {interpreter_builder.grid_idx}, the first {self._place(first)}"
            )

    def _place(self, address: np.uint64) -> str:
        index = int(np.searchsorted(self.starts, address, side="right")) - 1
        if index < 0:
            return "before every argument"
        start, end = int(self.starts[index]), int(self.ends[index])
        return f"at byte {int(address) - start} of an argument of {end - start} bytes"


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    """First byte and the one after the last that the tensor's shape and strides reach."""
    start = tensor.data_ptr()
    if tensor.numel() == 0:
        return start, start
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    elements = 1 + sum((size - 1) * stride for size, stride in steps)
    return start, start + elements * tensor.element_size()


def _tensors(argument: Any) -> Iterator[torch.Tensor]:
    """Tensors in a launch's arguments: plain, in tuples, in descriptors, under another dtype."""
    if isinstance(argument, torch.Tensor):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for element in argument:
            yield from _tensors(element)
    elif hasattr(argument, "base"):  # TensorDescriptor, TensorWrapper
        yield from _tensors(argument.base)


_extents = _Extents(iter(()))


def _remembering_extents(stock: Callable[..., Any]) -> Callable[..., Any]:
    def init_args_hst(self: GridExecutor, arguments: Any, keywords: Any) -> Any:
        global _extents
        on_host, keywords_on_host = stock(self, arguments, keywords)
        _extents = _Extents(_tensors([*on_host, *keywords_on_host.values()]))
        return on_host, keywords_on_host

    return init_args_hst


def _checked_load(stock: Callable[..., Any]) -> Callable[..., Any]:
    def load(
        self: Any, pointers: TensorHandle, mask: TensorHandle, *rest: Any, **policy: Any
    ) -> Any:
        _extents.check("load", pointers, mask.data)
        return stock(self, pointers, mask, *rest, **policy)

    return load


def _checked_store(stock: Callable[..., Any]) -> Callable[..., Any]:
    def store(
        self: Any,
        pointers: TensorHandle,
        value: Any,
        mask: TensorHandle,
        *rest: Any,
        **options: Any,
    ) -> Any:
        _extents.check("store", pointers, mask.data)
        return stock(self, pointers, value, mask, *rest, **options)

    return store


def _checked_atomic(stock: Callable[..., Any]) -> Callable[..., Any]:
    def atomic_rmw(
        self: Any, op: Any, pointers: TensorHandle, value: Any, mask: TensorHandle, *rest: Any
    ) -> Any:
        _extents.check("atomic", pointers, mask.data)
        return stock(self, op, pointers, value, mask, *rest)

    return atomic_rmw


def _checked_compare_and_swap(stock: Callable[..., Any]) -> Callable[..., Any]:
    def atomic_cas(self: Any, pointers: TensorHandle, *rest: Any) -> Any:
        _extents.check("atomic", pointers, True)
        return stock(self, pointers, *rest)

    return atomic_cas


def install() -> None:
    if os.environ.get("INTERP_CHECK") == "0":
        return
    # With debug, `device_assert` is not dropped and integer operations assert that they fit.
    interpreter_builder.options = dataclasses.replace(interpreter_builder.options, debug=True)
    builder = InterpreterBuilder
    GridExecutor._init_args_hst = _remembering_extents(GridExecutor._init_args_hst)
    builder.create_masked_load = _checked_load(builder.create_masked_load)
    builder.create_masked_store = _checked_store(builder.create_masked_store)
    builder.create_atomic_rmw = _checked_atomic(builder.create_atomic_rmw)
    builder.create_atomic_cas = _checked_compare_and_swap(builder.create_atomic_cas)
