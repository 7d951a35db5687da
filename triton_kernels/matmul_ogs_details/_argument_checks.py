"""What `matmul_ogs` asks of a tensor among its arguments: one check a kind of argument.

Each returns the tensor as the product has it.  None of them looks at values on the device.
"""

from __future__ import annotations

import torch

from triton_kernels import dispatch
from triton_kernels.numerics import BaseFlexData, OutFlexData
from triton_kernels.target_info import cuda_capability_geq, get_cdna_version, is_cuda
from triton_kernels.tensor import FP4, StridedLayout, Tensor
from triton_kernels.tensor_details.checks import wrong_type, wrong_value

__all__ = [
    "FLOAT8",
    "NO_MICROSCALES",
    "OPERANDS",
    "check_float8_is_there",
    "check_no_overlap",
    "check_output_scales",
    "check_same_or_apart",
    "elsewhere",
    "index_vector",
    "matrix_bias",
    "one_of",
    "operand",
    "result_tensor",
    "row_factors",
    "scale_vector",
    "summand",
]

FLOATS = frozenset({torch.float32, torch.bfloat16, torch.float16})
FLOAT8 = frozenset({torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz})
OPERANDS = FLOATS | FLOAT8

# Outputs for which a scale can be too small.  (The others reach as far as float32 does.)
_LIMITED = FLOAT8 | {torch.float16}

NO_MICROSCALES = "microscaled operands are not supported yet"


def one_of(dtypes: frozenset[torch.dtype]) -> str:
    """Dtypes as an error lists them."""
    names = sorted(str(dtype).removeprefix("torch.") for dtype in dtypes)
    return f"dtype {', '.join(names[:-1])} or {names[-1]}"


def operand(name: str, given: torch.Tensor | Tensor, flex: BaseFlexData) -> torch.Tensor:
    """x or w as a torch tensor of the dtype that is multiplied."""
    tensor = given if isinstance(given, torch.Tensor) else _stored(name, given)
    if flex.dtype is not None:
        tensor = flex.reinterpret(tensor)
    if tensor.dtype not in OPERANDS:
        if tensor.dtype == torch.uint8:
            raise wrong_value(name, f"{one_of(OPERANDS)}, since {NO_MICROSCALES}", given)
        raise wrong_type(name, one_of(OPERANDS), given)
    return tensor


def _stored(name: str, given: Tensor) -> torch.Tensor:
    """The torch tensor that a tensor of the library is, where it is one with plain strides."""
    if not isinstance(given, Tensor):
        raise wrong_type(name, "a torch.Tensor or a triton_kernels Tensor", given)
    if given.dtype == FP4:
        raise wrong_value(name, f"another dtype than FP4, since {NO_MICROSCALES}", given)
    if not isinstance(given.storage.layout, StridedLayout):
        raise wrong_value(name, "a StridedLayout", given.storage.layout)
    if tuple(given.shape) != tuple(given.data.shape):
        raise wrong_value(name, f"the shape it is stored in, {list(given.data.shape)}", given.shape)
    return given.data


def index_vector(name: str, given: torch.Tensor, device: torch.device) -> torch.Tensor:
    """An int32 vector."""
    if not isinstance(given, torch.Tensor) or given.dtype != torch.int32:
        raise wrong_type(name, "an int32 tensor", given)
    if given.ndim != 1:
        raise wrong_value(name, "1 dimension", given)
    if given.device != device:
        raise elsewhere(name, given, device)
    return given if given.is_contiguous() else given.contiguous()


def row_factors(name: str, given: torch.Tensor, n_rows: int, device: torch.device) -> torch.Tensor:
    """betas or gammas: a factor for each row."""
    if not isinstance(given, torch.Tensor) or given.dtype not in FLOATS:
        raise wrong_type(name, f"a tensor of {one_of(FLOATS)}", given)
    if given.shape != (n_rows,):
        raise wrong_value(name, f"shape [{n_rows}], one a row", given)
    if given.device != device:
        raise elsewhere(name, given, device)
    return given if given.is_contiguous() else given.contiguous()


def matrix_bias(
    given: torch.Tensor, n_matrices: int, n_columns: int, device: torch.device
) -> torch.Tensor:
    """bias as [matrices of w, N]."""
    if not isinstance(given, torch.Tensor) or given.dtype not in FLOATS:
        raise wrong_type("bias", f"a tensor of {one_of(FLOATS)}", given)
    if given.device != device:
        raise elsewhere("bias", given, device)
    if given.ndim == 1 and n_matrices == 1:
        given = given.unsqueeze(0)
    if given.shape != (n_matrices, n_columns):
        shape = f"[{n_columns}]" if n_matrices == 1 else f"[{n_matrices}, {n_columns}]"
        raise wrong_value("bias", f"shape {shape}", given)
    return given


def scale_vector(
    name: str, scale: torch.Tensor | None, n_batches: int, device: torch.device
) -> torch.Tensor | None:
    """A scale of `FlexCtx`, of which the records have checked dtype and dimensions."""
    if scale is None:
        return None
    n_elements = scale.shape[0]
    if n_elements not in (1, n_batches):
        expected = "1 element" if n_batches == 1 else f"1 or {n_batches} elements"
        raise wrong_value(f"flex_ctx.{name}", expected, scale)
    if scale.device != device:
        raise elsewhere(f"flex_ctx.{name}", scale, device)
    return scale if scale.is_contiguous() else scale.contiguous()


def check_output_scales(
    flex: OutFlexData, dtype: torch.dtype, n_batches: int, device: torch.device
) -> None:
    """The scales of the result fit it.  None of them may be copied: two are written to."""
    for name in ("expected_scale", "actual_scale", "checksum_scale"):
        scale = getattr(flex, name)
        if scale is None:
            continue
        scale_vector(f"out_data.{name}", scale, n_batches, device)
        if not scale.is_contiguous():
            raise wrong_value(f"flex_ctx.out_data.{name}", "contiguous memory", scale)
    if flex.actual_scale is not None and dtype not in _LIMITED:
        raise wrong_value(
            "flex_ctx.out_data.actual_scale", f"an output of {one_of(_LIMITED)}", dtype
        )


def result_tensor(
    given: torch.Tensor,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    has_batches: bool,
    flex: BaseFlexData,
    device: torch.device,
) -> torch.Tensor:
    """y with 3 dimensions."""
    if not isinstance(given, torch.Tensor):
        raise wrong_type("y", "a torch.Tensor", given)
    tensor = given if flex.dtype is None else flex.reinterpret(given)
    if tensor.dtype != dtype:
        raise wrong_type("y", f"dtype {str(dtype).removeprefix('torch.')}", given)
    if tensor.ndim == 2 and not has_batches:
        tensor = tensor.unsqueeze(0)
    if tensor.shape != shape:
        raise wrong_value("y", f"shape {list(shape if has_batches else shape[1:])}", given)
    if tensor.device != device:
        raise elsewhere("y", given, device)
    strides = tensor.stride()
    if 0 in strides and any(
        stride == 0 and size > 1 for stride, size in zip(strides, shape, strict=True)
    ):
        raise wrong_value("y", "memory of its own for each element", given)
    return tensor


def summand(
    given: torch.Tensor,
    shape: tuple[int, int, int],
    has_batches: bool,
    flex: BaseFlexData,
    device: torch.device,
) -> torch.Tensor:
    """y_acc_in with 3 dimensions."""
    if not isinstance(given, torch.Tensor):
        raise wrong_type("y_acc_in", "a torch.Tensor", given)
    tensor = given if flex.dtype is None else flex.reinterpret(given)
    if tensor.dtype not in OPERANDS:
        raise wrong_type("y_acc_in", one_of(OPERANDS), given)
    if tensor.ndim == 2 and not has_batches:
        tensor = tensor.unsqueeze(0)
    if tensor.shape != shape:
        raise wrong_value("y_acc_in", f"shape {list(shape if has_batches else shape[1:])}", given)
    if tensor.device != device:
        raise elsewhere("y_acc_in", given, device)
    return tensor


def check_no_overlap(y: torch.Tensor, name: str, other: torch.Tensor) -> None:
    """y does not lie in the memory of an operand, which is read while y is written."""
    if _may_share_elements(y, other):
        raise wrong_value("y", f"memory that is not that of {name}", y)


def check_same_or_apart(y: torch.Tensor, y_acc_in: torch.Tensor) -> None:
    """What is added to y lies where y does, element for element, or somewhere else."""
    is_y = y.data_ptr() == y_acc_in.data_ptr() and y.stride() == y_acc_in.stride()
    if not (is_y and y.dtype == y_acc_in.dtype) and _may_share_elements(y, y_acc_in):
        raise wrong_value("y_acc_in", "y itself, or memory that is not that of y", y_acc_in)


def _may_share_elements(one: torch.Tensor, other: torch.Tensor) -> bool:
    (start, end), (other_start, other_end) = _bytes_of(one), _bytes_of(other)
    if end <= other_start or other_end <= start:
        return False
    # Columns side by side in the rows of one buffer.
    pitch = one.stride(-2) * one.element_size()
    if (
        pitch > 0
        and one.ndim == other.ndim
        and 1 == one.stride(-1) == other.stride(-1)
        and (one.shape[0] == 1 or one.stride(0) % one.stride(-2) == 0)
        and (other.shape[0] == 1 or other.stride(0) % other.stride(-2) == 0)
        and pitch == other.stride(-2) * other.element_size()
    ):
        between = (other_start - start) % pitch
        fits = between + other.shape[-1] * other.element_size() <= pitch
        return between < one.shape[-1] * one.element_size() or not fits
    return True


def _bytes_of(tensor: torch.Tensor) -> tuple[int, int]:
    """First address, and the one behind the last."""
    if tensor.numel() == 0:
        return 0, 0
    start = tensor.data_ptr()
    last = sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    return start, start + (last + 1) * tensor.element_size()


def check_float8_is_there(device: torch.device, **dtypes: torch.dtype) -> None:
    """The device that computes has a type for each of these dtypes."""
    if dispatch.implementation(device) is not dispatch.Implementation.KERNEL:
        return
    for name, dtype in dtypes.items():
        if dtype == torch.float8_e4m3fn and is_cuda() and not cuda_capability_geq(8, 9):
            raise wrong_value(name, "another dtype below compute capability 8.9", dtype)
        if dtype == torch.float8_e4m3fnuz and get_cdna_version() != 3:
            raise wrong_value(name, "another dtype, since only CDNA3 has this one", dtype)


def elsewhere(name: str, given: torch.Tensor, device: torch.device) -> ValueError:
    """The tensor is not on the device where x is."""
    return wrong_value(name, f"a tensor on {device}, where x is", given)
