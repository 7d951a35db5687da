"""What a kernel may say: patches of `triton.language` and of the interpreter's view of kernels."""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import triton.language as tl
from triton.language.extra import cuda, libdevice
from triton.runtime import interpreter
from triton.runtime.interpreter import (
    ASTTransformer,
    InterpreterBuilder,
    TensorHandle,
    interpreter_semantic,
)

from tests.support.interpreter.formats import numpy_dtype

_stock_patch = interpreter._patch_lang
_stock_convert_argument = interpreter._implicit_cvt
_stock_visit_assign = ASTTransformer.visit_Assign


# Triton replaces the functions of triton.language at every call of a device function, which takes
# 0.1 ms; once for a launch is enough.


class _NothingToRestore:
    def restore(self) -> None:
        return None


_patched = False


def _patch_language(function: object) -> Any:
    """Replace what kernels call, for as long as one runs; the launch restores it."""
    global _patched
    if _patched:
        return _NothingToRestore()
    # Stock looks for triton.language among the globals of `function`, and refuses a module that
    # imported only names from it.
    scope = _stock_patch(SimpleNamespace(__globals__={"tl": tl, "core": tl.core}))
    stock_restore = scope.restore

    def restore() -> None:
        global _patched
        _patched = False
        stock_restore()

    scope.restore = restore
    _patched = True
    for name, ufunc in LIBDEVICE.items():
        scope.set_attr(libdevice, name, _device_function(ufunc))
    for name, builtin in _CUDA_BUILTINS.items():
        if hasattr(cuda, name):
            scope.set_attr(cuda, name, builtin)
    # 3.6 takes int() of an array of one element, which numpy 2.4 refuses.
    scope.set_attr(tl.tensor, "__index__", lambda self: int(self.handle.data.squeeze()))
    return scope


# Functions of the GPU's mathematical library and of tl.extra.cuda.

LIBDEVICE: dict[str, Callable[..., np.ndarray]] = {
    "abs": np.abs,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "fast_expf": np.exp,
    "fast_tanhf": np.tanh,
    "floor": np.floor,
    "isinf": np.isinf,
    "isnan": np.isnan,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "pow": np.power,
    "rint": np.rint,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "trunc": np.trunc,
}

NUM_WARPS = 4  # what Triton compiles for where a launch says nothing

_CUDA_BUILTINS: dict[str, Callable[..., int | None]] = {
    "gdc_launch_dependents": lambda **_: None,
    "gdc_wait": lambda **_: None,
    "num_threads": lambda **_: 32 * NUM_WARPS,
    "num_warps": lambda **_: NUM_WARPS,
}


def _device_function(ufunc: Callable[..., np.ndarray]) -> Callable[..., tl.tensor]:
    def function(*arguments: Any, _semantic: object = None) -> tl.tensor:
        tensors = [interpreter_semantic.to_tensor(argument) for argument in arguments]
        data = ufunc(*(tensor.handle.data for tensor in tensors))
        scalar = tl.int1 if data.dtype == bool else tensors[0].dtype
        is_block = any(tensor.type.is_block() for tensor in tensors)
        type_ = tl.block_type(scalar, list(data.shape)) if is_block else scalar
        return tl.tensor(TensorHandle(data.astype(numpy_dtype(scalar)), scalar), type_)

    return function


# Inline assembly: nobody interprets PTX, so each text is registered with what it computes.

_assembly: dict[str, Callable[..., Any]] = {}


def assembly(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what an inline assembly computes, from arrays to an array or a tuple of them.

    >>> @assembly("ex2.approx.ftz.f32 $0, $1;")
    ... def ex2(x):
    ...     return np.exp2(x)
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _assembly[" ".join(text.split())] = function
        return function

    return register


def _inline_assembly(
    self: InterpreterBuilder,
    text: str,
    constraints: str,
    values: list[TensorHandle],
    types: list[tl.dtype],
    is_pure: bool,
    pack: int,
) -> SimpleNamespace:
    function = _assembly.get(" ".join(text.split()))
    if function is None:
        raise NotImplementedError(f"no `assembly` registered for: {text}")
    results = function(*(value.data for value in values))
    results = results if isinstance(results, tuple) else (results,)
    handles = [TensorHandle(data, t.scalar) for data, t in zip(results, types, strict=True)]
    return SimpleNamespace(get_result=handles.__getitem__)


# Launch arguments and assignments.


def _convert_argument(argument: Any) -> Any:
    """3.6 and 3.7 make a bool an int32 that they call int1, and refuse it."""
    if isinstance(argument, bool):
        return tl.tensor(TensorHandle(np.array([argument]), tl.int1), tl.int1)
    return _stock_convert_argument(argument)


def _visit_assign(self: ASTTransformer, node: ast.Assign) -> ast.Assign:
    """`a, b = 0, x` makes tensors of numbers, as `a = 0` does, so that `a.to(...)` works."""
    if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Tuple):
        return _stock_visit_assign(self, node)
    node.targets = [self.visit(node.targets[0])]
    convert = ast.Name(id=_convert_unpacked.__name__, ctx=ast.Load())
    node.value = ast.Call(func=convert, args=[self.visit(node.value)], keywords=[])
    return node


def _convert_unpacked(value: Any) -> Any:
    if not isinstance(value, (tuple, list)) or hasattr(value, "_fields"):
        return value
    return tuple(
        interpreter_semantic.to_tensor(element) if type(element) in (int, float) else element
        for element in value
    )


def _prepend(self: tl.tuple, other: Any) -> tl.tuple:
    """`[1] + x.shape`, which triton.tools.ragged_tma writes."""
    return tl.tuple([*other, *self.values])


def install() -> None:
    interpreter._patch_lang = _patch_language
    interpreter._implicit_cvt = _convert_argument
    # Triton lends this module's globals to the kernels that it rewrites.
    setattr(interpreter, _convert_unpacked.__name__, _convert_unpacked)
    ASTTransformer.visit_Assign = _visit_assign
    InterpreterBuilder.create_inline_asm = _inline_assembly
    if not hasattr(tl.tuple, "__radd__"):
        tl.tuple.__radd__ = _prepend
