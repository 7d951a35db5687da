"""What `reduce` accepts, and what it says of anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.reduce_details.reduction import MX_BLOCK, Reduction
from triton_kernels.specialize import FnSpecs
from triton_kernels.target_info import cuda_capability_geq, is_cuda
from triton_kernels.tensor_details.checks import is_int, wrong_type, wrong_value

if TYPE_CHECKING:
    from triton_kernels.reduce import PostprocessFn

__all__ = ["FLOATS", "check_call", "check_element", "check_fp8", "check_scales"]

FLOATS = (
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e4m3fnuz,
)
"""What kernels read and write."""


def check_call(
    x: torch.Tensor,
    dim: int,
    mask: torch.Tensor | None,
    scale: torch.Tensor | None,
    x_mxscale: torch.Tensor | None,
    x_flex: InFlexData | None,
    y_dtype: torch.dtype | None,
    y_flex: OutFlexData | None,
    y_flex_saturate_inf: bool,
    y_has_mx: bool | None,
    y: torch.Tensor | None,
    fn1: PostprocessFn | None,
    fn2: PostprocessFn | None,
) -> Reduction:
    """The call of `reduce` with these arguments; raises ValueError or TypeError."""
    x_flex = InFlexData() if x_flex is None else x_flex
    y_flex = OutFlexData() if y_flex is None else y_flex
    if not isinstance(x, torch.Tensor):
        raise wrong_type("x", "a torch.Tensor", x)
    x = x_flex.reinterpret(x)
    if x.dtype not in FLOATS:
        raise wrong_type("x", "dtype float32, float16, bfloat16 or fp8", x)
    if x.ndim != 3:
        raise wrong_value("x", "3 dimensions", x)
    if not is_int(dim):
        raise wrong_type("dim", "an int", dim)
    if not -3 <= dim < 3:
        raise wrong_value("dim", "-3 to 2", dim)
    dim %= 3
    if x_mxscale is not None:
        _check_mxscale(x_mxscale, x, dim)
    has_mx = x_mxscale is not None if y_has_mx is None else bool(y_has_mx)
    specs1, args1 = _function("postprocess_fn1", fn1)
    specs2, args2 = (FnSpecs.default(), ()) if has_mx else _function("postprocess_fn2", fn2)
    call = Reduction(
        x,
        dim,
        _broadcast("mask", mask, x),
        _broadcast("scale", scale, x),
        x_mxscale,
        check_element("x_flex.scale", x_flex.scale, x),
        None if y is None else y_flex.reinterpret(y),
        _dtype_of_result(x, y, y_dtype, y_flex, has_mx),
        has_mx,
        y_flex,
        y_flex_saturate_inf,
        specs1,
        args1,
        specs2,
        args2,
    )
    joined = specs1.reduction_n * specs2.reduction_n
    if joined > 1 and x.shape[call.axes[2]] % joined:
        raise wrong_value("x", f"columns that {joined} divides, as its functions join them", x)
    if y is not None and y.shape != call.y_shape:
        raise wrong_value("y", f"shape {list(call.y_shape)}", y)
    if y is not None and y.device != x.device:
        raise wrong_value("y", f"a tensor on {x.device}, where x is", y)
    check_scales("y_flex", y_flex, x)
    return call


def check_scales(name: str, flex: OutFlexData, beside: torch.Tensor) -> None:
    """Raise unless the scales have one element each, on the device of the tensor."""
    check_element(f"{name}.expected_scale", flex.expected_scale, beside)
    check_element(f"{name}.actual_scale", flex.actual_scale, beside)
    check_element(f"{name}.checksum_scale", flex.checksum_scale, beside)


def check_element(
    name: str, element: torch.Tensor | None, beside: torch.Tensor
) -> torch.Tensor | None:
    """The element; raise unless it is None, or one on the device of the other tensor."""
    if element is None:
        return None
    if element.numel() != 1:
        raise wrong_value(name, "one element", element)
    if element.device != beside.device:
        raise wrong_value(name, f"a tensor on {beside.device}", element)
    return element


def check_fp8(argument: str, dtype: torch.dtype) -> None:
    """Raise where the kernels of this device cannot convert the dtype."""
    if dtype == torch.float8_e4m3fn and is_cuda() and not cuda_capability_geq(8, 9):
        raise wrong_type(argument, "no e4m3 below compute capability 8.9 (e5m2 works)", dtype)
    if dtype == torch.float8_e4m3fnuz and is_cuda():
        raise wrong_type(argument, "no e4m3fnuz on NVIDIA (e4m3fn works)", dtype)


def _check_mxscale(x_mxscale: torch.Tensor, x: torch.Tensor, dim: int) -> None:
    if not isinstance(x_mxscale, torch.Tensor) or x_mxscale.dtype != torch.uint8:
        raise wrong_type("x_mxscale", "a uint8 tensor", x_mxscale)
    if dim == 2:
        raise wrong_value("dim", "0 or 1, for the scales of x are along 2", dim)
    shape = (*x.shape[:2], -(-x.shape[2] // MX_BLOCK))
    if x_mxscale.shape != shape:
        raise wrong_value("x_mxscale", f"shape {list(shape)}", x_mxscale)
    if x_mxscale.device != x.device:
        raise wrong_value("x_mxscale", f"a tensor on {x.device}, where x is", x_mxscale)


def _broadcast(name: str, operand: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor | None:
    if operand is None:
        return None
    if not isinstance(operand, torch.Tensor):
        raise wrong_type(name, "None or a torch.Tensor", operand)
    if name == "scale" and not operand.is_floating_point():
        raise wrong_type(name, "a floating dtype", operand)
    sizes = zip(operand.shape, x.shape, strict=False)
    if operand.ndim != 3 or any(size not in (1, full) for size, full in sizes):
        raise wrong_value(name, f"3 dimensions that broadcast to {list(x.shape)}", operand)
    if operand.device != x.device:
        raise wrong_value(name, f"a tensor on {x.device}, where x is", operand)
    return operand if operand.shape == x.shape else operand.expand(x.shape)


def _function(name: str, fn: PostprocessFn | None) -> tuple[FnSpecs, tuple[object, ...]]:
    if fn is None:
        return FnSpecs.default(), ()
    n = fn.specs.reduction_n
    if n < 1 or n & (n - 1):
        raise wrong_value(f"{name}.specs.reduction_n", "a power of two", n)
    return fn.specs, fn.fn_args


def _dtype_of_result(
    x: torch.Tensor,
    y: torch.Tensor | None,
    y_dtype: torch.dtype | None,
    y_flex: OutFlexData,
    has_mx: bool,
) -> torch.dtype:
    """As what the result is written."""
    if y is not None and not isinstance(y, torch.Tensor):
        raise wrong_type("y", "None or a torch.Tensor", y)
    if y is not None and y_dtype not in (None, y.dtype):
        raise wrong_type("y", f"dtype {str(y_dtype).removeprefix('torch.')}, as y_dtype says", y)
    dtype = y.dtype if y is not None else y_dtype
    if dtype is None:
        dtype = torch.float8_e4m3fn if has_mx else x.dtype
    if y_flex.dtype is not None and dtype.itemsize == 1:
        dtype = y_flex.dtype
    if has_mx and dtype != torch.float8_e4m3fn:
        raise wrong_type("y_dtype", "float8_e4m3fn, for the result has microscales", dtype)
    if dtype not in FLOATS:
        raise wrong_type("y_dtype", "float32, float16, bfloat16 or fp8", dtype)
    return dtype
