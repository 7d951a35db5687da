"""Which path a call of `matmul_ogs` takes: plain, for autograd, or as one op that torch traces."""

from __future__ import annotations

from typing import Any

import torch

from triton_kernels import ops
from triton_kernels.matmul_ogs_details._arguments import Arguments, arguments_of, product_of
from triton_kernels.matmul_ogs_details._compute import compute, compute_with_rows, unactivated
from triton_kernels.matmul_ogs_details._gradient import Needs, differentiate
from triton_kernels.matmul_ogs_details.product import Function, Product
from triton_kernels.matmul_ogs_details.records import GatherIndx
from triton_kernels.reference_functions import reference_of
from triton_kernels.tensor_details.checks import wrong_type, wrong_value

__all__ = ["compute_differentiably", "needs_gradient", "trace"]

# --- which path a call takes


def needs_gradient(product: Product) -> bool:
    """Whether autograd wants to hear of the product."""
    if not torch.is_grad_enabled():
        return False
    p = product
    for tensor in (p.x, p.w, p.bias, p.betas, p.gammas, p.y_acc_in):
        if tensor is not None and tensor.requires_grad:
            return True
    return False


def compute_differentiably(product: Product, gather_indx: GatherIndx | None) -> torch.Tensor:
    """The result, with its gradient; ValueError or TypeError where it has none.

    gather_indx: of the call; of which the product does not know `dst_indx`.
    """
    row_of_slot = _check_differentiable(product, gather_indx)
    arguments = arguments_of(product, row_of_slot, _keeps_rows(product))
    result, *_ = _Differentiable.apply(*arguments)  # type: ignore[no-untyped-call]
    return result  # type: ignore[no-any-return]


def trace(product: Product, gather_indx: GatherIndx | None) -> torch.Tensor:
    """The result, recorded as one operation and what it changes in place.

    Raises ValueError where it stores to other ranks, and as `compute_differentiably`.
    """
    if product.remote is not None:
        raise wrong_value("fused_comm", "None in a trace", product.remote)
    row_of_slot, keeps_rows = None, False
    if needs_gradient(product):
        row_of_slot, keeps_rows = _check_differentiable(product, gather_indx), _keeps_rows(product)
    y = product.y
    if product.slices is None or product.scatter_to is not None:
        product.y = None  # since every row of it is written
    result, _, *scales = ops.matmul_ogs(*arguments_of(product, row_of_slot, keeps_rows))
    ops.write_back(product.y_flex, *scales)
    return result if y is None else y.copy_(result)


def _keeps_rows(product: Product) -> bool:
    gammas = product.gammas
    return product.activation.specs.fn is not None or (gammas is not None and gammas.requires_grad)


def _check_differentiable(product: Product, gather_indx: GatherIndx | None) -> torch.Tensor | None:
    """The row of each slot of x, if x needs a gradient and is gathered."""
    why = "where a gradient is needed"
    if product.x.dtype.itemsize == 1:
        raise wrong_type("x", f"at least 16 bits {why}", product.x)
    if product.y_dtype.itemsize == 1:
        raise wrong_type("precision_config.out_dtype", f"at least 16 bits {why}", product.y_dtype)
    scales = product.x_scale, product.w_scale, product.acc_scale, *product.y_flex.scales
    if any(scale is not None for scale in scales):
        raise wrong_value("precision_config.flex_ctx", f"no scales {why}", scales)
    unsupported = {
        "y": product.y,
        "fused_comm": product.remote,
        "epilogue": product.epilogue.specs.fn,
        "inner_routing_data": product.inner,
    }
    for name, value in unsupported.items():
        if value is not None:
            raise wrong_value(name, f"None {why}", value)
    _check_activation(product.activation)
    if gather_indx is None or not product.x.requires_grad:
        return None
    row_of_slot = gather_indx.dst_indx
    n_slots = product.x.shape[1] * product.n_choices
    name, x = "gather_indx.dst_indx", product.x
    if not isinstance(row_of_slot, torch.Tensor) or row_of_slot.dtype != torch.int32:
        raise wrong_type(name, f"an int32 tensor {why}", row_of_slot)
    if row_of_slot.shape != (n_slots,) or row_of_slot.device != x.device:
        expected = f"{n_slots} elements on {x.device}, one a slot of x, {why}"
        raise wrong_value(name, expected, row_of_slot)
    return row_of_slot.contiguous()


def _check_activation(activation: Function) -> None:
    try:
        reference_of(activation.specs)
    except ValueError:
        expected = (
            "a function with a reference where a gradient is needed, which is torch's own of that: "
            "register one with triton_kernels.reference_functions.register_reference"
        )
        name = f"fused_activation, FnSpecs {activation.specs.name!r}"
        raise wrong_value(name, expected, activation.specs.fn) from None
    for arg in activation.args:
        if arg is not None and not isinstance(arg, (bool, int, float)):
            expected = "numbers or None where a gradient is needed"
            raise wrong_value("fused_activation.fn_args", expected, arg)


# --- the op


def compute_purely(
    *arguments: Any,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """(result, rows, actual scale, checksum), with copies of what is changed in place.

    arguments: `Arguments`.  rows: [B, M, N] before the activation; None unless `keeps_rows`.
    """
    given = Arguments(*arguments)
    product = product_of(given)
    product.y_flex = ops.with_copies(product.y_flex)
    _, actual, checksum = product.y_flex
    if not given.keeps_rows:
        if product.y is not None:
            product.y = product.y.clone()
        return compute(product), None, actual, checksum
    return *compute_with_rows(product), actual, checksum


def allocate(
    *arguments: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Memory for the results of the op, which has nothing without elements for None."""
    given = Arguments(*arguments)
    product = product_of(given)
    x, y = given.x, product.y
    _, actual, checksum = product.y_flex

    def copy_of(tensor: torch.Tensor | None) -> torch.Tensor:
        return x.new_empty(0, dtype=torch.int16) if tensor is None else torch.empty_like(tensor)

    result = copy_of(y)
    if y is None:
        result = x.new_empty(product.y_shape, dtype=product.y_dtype)
    rows = copy_of(None)
    if given.keeps_rows:
        kept = unactivated(product)
        rows = x.new_empty(kept.y_shape, dtype=kept.y_dtype)
    return result, rows, copy_of(actual), copy_of(checksum)


def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor | None, ...]) -> None:
    """Keep what the gradient takes, and of the rest what it is like."""
    ctx.set_materialize_grads(False)
    given, needs = Arguments(*inputs), Needs(*ctx.needs_input_grad[:5])
    _, rows, *_ = output
    if rows is not None:
        ctx.mark_non_differentiable(rows)
    ctx.acc_dtype = None if given.y_acc_in is None else given.y_acc_in.dtype
    given = given._replace(
        x=given.x if needs.w else _like(given.x),
        w=given.w if needs.x else _like(given.w),
        bias=given.bias if needs.betas or given.bias is None else _like(given.bias),
        y_acc_in=None,
        keeps_rows=given.keeps_rows,
    )
    ctx.others = [None if isinstance(value, torch.Tensor) else value for value in given]
    tensors = [value if isinstance(value, torch.Tensor) else None for value in given]
    ctx.save_for_backward(*tensors, rows if given.keeps_rows else None)


def gradients(ctx: Any, dy: torch.Tensor | None, differentiate: Any) -> tuple[Any, ...]:
    """Those of all arguments, for that of the result; `differentiate_purely` computes them."""
    n_arguments = len(Arguments._fields)
    if dy is None:
        return (None,) * n_arguments
    *tensors, rows = ctx.saved_tensors
    given = [b if a is None else a for a, b in zip(tensors, ctx.others, strict=True)]
    needs = ctx.needs_input_grad[:5]
    told = Arguments(*given)
    if not told.keeps_rows and (told.activation or Needs(*needs).gammas):
        raise RuntimeError("triton_kernels::matmul_ogs: this gradient takes keeps_rows=True")
    found = [None] * 5
    if any(needs):
        found = differentiate(dy, rows, list(needs), *given)
    found = [gradient if need else None for gradient, need in zip(found, needs, strict=True)]
    dacc = dy.to(ctx.acc_dtype) if ctx.needs_input_grad[5] else None
    return *found, dacc, *(None,) * (n_arguments - 6)


def _like(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same shape and dtype without memory of its own to speak of."""
    return tensor.new_empty(()).expand(tensor.shape)


def differentiate_purely(
    dy: torch.Tensor, rows: torch.Tensor | None, needs: list[bool], *arguments: Any
) -> tuple[torch.Tensor | None, ...]:
    """Gradients of x, w, bias, betas and gammas, where they are needed, in their shapes and dtypes.

    dy: that of the result.  rows: what `compute_purely` kept.
    arguments: `Arguments`, with `_like` of what is not read.
    """
    given = Arguments(*arguments)
    return differentiate(product_of(given), given.row_of_slot, dy, rows, Needs(*needs))


class _Differentiable(torch.autograd.Function):
    """`compute_purely` for autograd."""

    forward = staticmethod(compute_purely)
    setup_context = staticmethod(save)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: torch.Tensor | None, *_: Any) -> tuple[Any, ...]:
        return gradients(ctx, dy, differentiate_purely)
