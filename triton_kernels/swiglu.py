"""SwiGLU: what stands between the two products of a mixture-of-experts layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels import dispatch, ops
from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.reduce_details.check import FLOATS, check_element, check_scales
from triton_kernels.swiglu_details import reference
from triton_kernels.tensor_details.checks import wrong_type, wrong_value
from triton_kernels.tensor_details.padding import RowCount

if TYPE_CHECKING:
    from triton_kernels.matmul_ogs import RoutingData
    from triton_kernels.swiglu_details._swiglu_fn import swiglu_fn

__all__ = ["FlexCtx", "PrecisionConfig", "SwiGLU", "swiglu", "swiglu_fn", "swiglu_torch"]


@dataclass(frozen=True)
class FlexCtx:
    """Scales of input and result, of one element each.

    saturate_inf: whether results beyond the range become the largest value (`numerics`).
    """

    # Functions, for torch.compile looks into those that make defaults, and not into classes.
    out_data: OutFlexData = field(default_factory=lambda: OutFlexData())
    inp_data: InFlexData = field(default_factory=lambda: InFlexData())
    saturate_inf: bool = False


@dataclass(frozen=True)
class PrecisionConfig:
    """What `swiglu` clamps to, and its scales.

    limit: gates become at most this, linear ones are brought between -limit and limit; None: all
        are left as they are.
    """

    limit: float | None
    flex_ctx: FlexCtx = field(default_factory=lambda: FlexCtx())


def swiglu(
    a: torch.Tensor,
    alpha: float,
    precision_config: PrecisionConfig,
    routing_data: RoutingData | None = None,
) -> torch.Tensor:
    """`g * sigmoid(alpha * g) * (l + 1)` of the pairs (g, l) along the last dimension, in float32.

    a: float32, float16, bfloat16 or fp8 [..., 2n], of any strides but for the last, which is 1.
        Even columns are gates, odd ones linear: `g = min(g * s, limit)` and
        `l = clamp(l * s, -limit, limit)`, s being the scale of the input.  NaN stays NaN.
    precision_config: `limit` and scales; `inp_data.dtype` is that as which `a` is read, and
        `out_data.dtype` that of the result, where these have one byte an element.
    routing_data: leading dimensions, flattened, are rows in the order of experts, and only the
        first `expt_data.batch_offs[n_expts_tot]` of them are computed.  That number is read on the
        device.  The others are 0 in the result, and in the gradient, whatever `a` holds there.
        Without `expt_data` all rows are computed.

    Returns [..., n] in the dtype of `a`, contiguous.
    Differentiable with respect to `a` if that has 16 bits or more; a result that has been brought
    into range by saturation has its gradient as if it had not.
    Raises ValueError or TypeError that names the argument where one is another than said here.

    >>> swiglu(torch.tensor([[0.0, 5.0, 2.0, 1.0]]), 0.0, PrecisionConfig(limit=None)).tolist()
    [[0.0, 2.0]]
    """
    call = _check_call(a, alpha, precision_config, routing_data)
    if dispatch.is_traced(a):
        return _trace(call)
    if dispatch.needs_gradient(a):
        return SwiGLU.apply(a, alpha, precision_config, routing_data)  # type: ignore[no-any-return, no-untyped-call]
    return activate(*call)


def swiglu_torch(
    a: torch.Tensor,
    alpha: float,
    precision_config: PrecisionConfig,
    routing_data: RoutingData | None = None,
) -> torch.Tensor:
    """`swiglu` in plain torch, on any device; gradients are torch's own."""
    return reference.forward(*_check_call(a, alpha, precision_config, routing_data))


class SwiGLU(torch.autograd.Function):
    """`swiglu` for autograd: `SwiGLU.apply` takes the arguments of `swiglu`."""

    @staticmethod
    def forward(
        ctx: Any,
        a: torch.Tensor,
        alpha: float,
        precision_config: PrecisionConfig,
        routing_data: RoutingData | None = None,
    ) -> torch.Tensor:
        call = _check_call(a, alpha, precision_config, routing_data)
        a, ctx.alpha, ctx.limit, in_scale, (expected_scale, _, _), _, _, n_rows = call
        ctx.save_for_backward(a, in_scale, expected_scale, n_rows)
        return activate(*call)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dout: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        a, in_scale, expected_scale, n_rows = ctx.saved_tensors
        da = activate_backward(a, dout, ctx.alpha, ctx.limit, in_scale, expected_scale, n_rows)
        return da, None, None, None


Call: TypeAlias = tuple[
    torch.Tensor,
    float,
    float | None,
    torch.Tensor | None,
    OutFlexData,
    torch.dtype,
    bool,
    torch.Tensor | None,
]
"""Arguments of `activate`."""


def activate(
    a: torch.Tensor,
    alpha: float,
    limit: float | None,
    in_scale: torch.Tensor | None,
    out_flex: OutFlexData,
    dtype: torch.dtype,
    saturate_inf: bool,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """What `swiglu` returns, for arguments that are known to be right."""
    run = dispatch.choose(
        a.device,
        reference=reference.forward,
        kernel="triton_kernels.swiglu_details._launch.forward",
    )
    return run(a, alpha, limit, in_scale, out_flex, dtype, saturate_inf, n_rows)


def activate_purely(
    a: torch.Tensor,
    alpha: float,
    limit: float | None,
    in_scale: torch.Tensor | None,
    expected_scale: torch.Tensor | None,
    actual_scale: torch.Tensor | None,
    checksum_scale: torch.Tensor | None,
    dtype: torch.dtype,
    saturate_inf: bool,
    n_rows: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """(result, actual scale, checksum): `activate`, with copies of what it changes in place."""
    flex = ops.with_copies(OutFlexData(None, expected_scale, actual_scale, checksum_scale))
    out = activate(a, alpha, limit, in_scale, flex, dtype, saturate_inf, n_rows)
    return out, flex.actual_scale, flex.checksum_scale


def _trace(call: Call) -> torch.Tensor:
    """`activate`, recorded as one operation and what it changes in place."""
    a, alpha, limit, in_scale, flex, dtype, saturate_inf, n_rows = call
    out, *scales = ops.swiglu(a, alpha, limit, in_scale, *flex.scales, dtype, saturate_inf, n_rows)
    ops.write_back(flex, *scales)
    return out


def activate_backward(
    a: torch.Tensor,
    dout: torch.Tensor,
    alpha: float,
    limit: float | None,
    in_scale: torch.Tensor | None,
    expected_scale: torch.Tensor | None,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """Gradient of `a`, in its shape and dtype, for that of what `activate` returns."""
    run = dispatch.choose(
        a.device,
        reference=reference.backward,
        kernel="triton_kernels.swiglu_details._launch.backward",
    )
    return run(a, dout, alpha, limit, in_scale, expected_scale, n_rows)


def _check_call(
    a: torch.Tensor,
    alpha: float,
    precision_config: PrecisionConfig,
    routing_data: RoutingData | None,
) -> Call:
    """The arguments of `activate`; raises ValueError or TypeError."""
    flex = precision_config.flex_ctx
    if not isinstance(a, torch.Tensor):
        raise wrong_type("a", "a torch.Tensor", a)
    a = flex.inp_data.reinterpret(a)
    if a.dtype not in FLOATS:
        raise wrong_type("a", "dtype float32, float16, bfloat16 or fp8", a)
    if a.ndim == 0 or a.shape[-1] % 2:
        raise wrong_value("a", "an even number of columns, since they are pairs", a)
    if a.stride(-1) != 1 and a.shape[-1] > 1 and a.numel() > 0:
        raise wrong_value("a", "columns side by side in memory (a.contiguous() makes them so)", a)
    if a.dtype.itemsize == 1 and dispatch.needs_gradient(a):
        raise wrong_type("a", "at least 16 bits where a gradient is asked for", a)
    if not _is_number(alpha):
        raise wrong_type("alpha", "a number", alpha)
    limit = precision_config.limit
    if limit is not None and not _is_number(limit):
        raise wrong_type("precision_config.limit", "None or a number", limit)
    if limit is not None and not limit >= 0:
        raise wrong_value("precision_config.limit", "at least 0", limit)
    check_element("inp_data.scale", flex.inp_data.scale, a)
    check_scales("out_data", flex.out_data, a)
    dtype = flex.out_data.dtype if flex.out_data.dtype and a.dtype.itemsize == 1 else a.dtype
    return (
        a,
        float(alpha),
        None if limit is None else float(limit),
        flex.inp_data.scale,
        flex.out_data,
        dtype,
        flex.saturate_inf,
        _row_count(routing_data, a),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _row_count(routing_data: RoutingData | None, a: torch.Tensor) -> torch.Tensor | None:
    """int32 [], on the device: rows that belong to an expert."""
    if routing_data is None or routing_data.expt_data is None:
        return None
    n_rows = routing_data.expt_data.batch_offs[routing_data.n_expts_tot]
    if n_rows.device != a.device:
        raise wrong_value("routing_data", f"tensors on {a.device}, where a is", n_rows)
    return n_rows


def __getattr__(name: str) -> Any:
    # On demand, since it brings Triton along, which a machine without a GPU can do without.
    if name == "swiglu_fn":
        return dispatch.load("triton_kernels.swiglu_details._swiglu_fn.swiglu_fn")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
