"""Gradients of `matmul_ogs`, which are products again, and the product as an op of torch.

A row r = gamma * activation(z) of the product, z = alpha * (x @ w[e] + beta * bias[e]), has, with
dr the gradient of the result in the order of the rows,

    dz      = activation'(z) * gamma * dr      dgamma = activation(z) . dr
    dx      = alpha * dz @ w[e]^T              ragged; then back to the tokens, as `scatter_indx` is
    dw[e]   = alpha * x^T @ dz                 over the rows of e: inner-ragged
    dbias[e] = alpha * beta^T @ dz             likewise
    dbeta   = alpha * dz . bias[e]             ragged

Where there is an activation, or gammas have a gradient, z is kept, in the wider of the dtypes of x
and the result: from it the result is made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch

from triton_kernels import dispatch, ops
from triton_kernels.matmul_ogs_details import _reference
from triton_kernels.matmul_ogs_details._arguments import Arguments, arguments_of, product_of
from triton_kernels.matmul_ogs_details.product import Function, InnerSlices, Product
from triton_kernels.matmul_ogs_details.records import GatherIndx
from triton_kernels.numerics_details.reference import stored
from triton_kernels.reference_functions import reference_of
from triton_kernels.specialize import FnSpecs
from triton_kernels.tensor_details.checks import wrong_type, wrong_value
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

__all__ = ["compute", "compute_differentiably", "needs_gradient", "trace"]

_LAUNCH = "triton_kernels.matmul_ogs_details"
_SWIGLU = "triton_kernels.swiglu_details._swiglu_fn.swiglu_fn"

_NOTHING = Function(FnSpecs.default())

# Bytes of a row of either operand in a step along the rows that a gradient is summed over.
_STEP_BYTES = 128


# --- which path a call takes


def needs_gradient(product: Product) -> bool:
    """Whether autograd wants to hear of the product."""
    if not torch.is_grad_enabled():
        return False
    if product.x.requires_grad or product.w.requires_grad:
        return True
    others = product.bias, product.gammas, product.betas, product.y_acc_in
    return any(tensor is not None and tensor.requires_grad for tensor in others)


def compute(product: Product) -> torch.Tensor:
    """The result, without gradient."""
    if 0 in product.y_shape:
        if product.y is not None:
            return product.y
        return torch.empty(product.y_shape, dtype=product.y_dtype, device=product.x.device)
    run = dispatch.choose(
        product.x.device, reference=_reference.multiply, kernel=f"{_LAUNCH}._launch.multiply"
    )
    return run(product)


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
    result, _, *scales = ops.matmul_ogs(*arguments_of(product, row_of_slot, keeps_rows))
    ops.write_back(product.y_flex, *scales)
    return result if product.y is None else product.y.copy_(result)


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
    scales = product.x_scale, product.w_scale, product.acc_scale, *product.y_flex
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
    rows = compute(_unactivated(product))
    finish = dispatch.choose(
        product.x.device, reference=finish_torch, kernel=f"{_LAUNCH}._backward_launch.finish"
    )
    return finish(product, rows), rows, actual, checksum


def allocate(
    *arguments: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Memory for the results of the op, which has nothing without elements for None."""
    given = Arguments(*arguments)
    product = product_of(given)
    x, y = given.x, product.y
    result = x.new_empty(product.y_shape, dtype=product.y_dtype)
    nothing = x.new_empty(0, dtype=torch.int16)
    rows = nothing
    if given.keeps_rows:
        unactivated = _unactivated(product)
        rows = x.new_empty(unactivated.y_shape, dtype=unactivated.y_dtype)
    _, actual, checksum = product.y_flex
    return (
        result if y is None else torch.empty_like(y),
        rows,
        nothing if actual is None else torch.empty_like(actual),
        x.new_empty(0, dtype=torch.int16) if checksum is None else torch.empty_like(checksum),
    )


def _unactivated(product: Product) -> Product:
    """The product whose result is the rows before the activation, in the order of experts."""
    return replace(
        product,
        scatter_to=None,
        scatter_from=None,
        gammas=None,
        activation=_NOTHING,
        y_acc_in=None,
        y_shape=(product.n_batches, product.n_rows, product.n_columns),
        y_dtype=torch.promote_types(product.x.dtype, product.y_dtype),
    )


@torch.no_grad()
def finish_torch(product: Product, rows: torch.Tensor) -> torch.Tensor:
    """The result, from rows before the activation [B, M, N]."""
    result = reference_of(product.activation.specs)(rows.float(), *product.activation.args)
    if product.gammas is not None:
        result = result * product.gammas.float()[:, None]
    if product.scatter_from is not None:
        groups = product.scatter_from.view(-1, product.n_choices)
        result = _reference._sums(result[0], groups).unsqueeze(0)
    if product.y_acc_in is not None:
        result = result + product.y_acc_in.float()
    return stored(result, product.y_dtype)


class Needs(NamedTuple):
    """Of which arguments a gradient is wanted."""

    x: bool
    w: bool
    bias: bool
    betas: bool
    gammas: bool


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
    found = [None] * 5
    if any(needs):
        found = differentiate(dy, rows, list(needs), *given)
    found = [gradient if need else None for gradient, need in zip(found, needs, strict=True)]
    dacc = dy.to(ctx.acc_dtype) if ctx.needs_input_grad[5] else None
    return *found, dacc, *(None,) * (n_arguments - 6)


def _like(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same shape and dtype without memory of its own to speak of."""
    return tensor.new_empty(()).expand(tensor.shape)


class _Differentiable(torch.autograd.Function):
    """`compute_purely` for autograd."""

    forward = staticmethod(compute_purely)
    setup_context = staticmethod(save)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: torch.Tensor | None, *_: Any) -> tuple[Any, ...]:
        return gradients(ctx, dy, differentiate_purely)


# --- the gradient


def differentiate_purely(
    dy: torch.Tensor, rows: torch.Tensor | None, needs: list[bool], *arguments: Any
) -> tuple[torch.Tensor | None, ...]:
    """Gradients of x, w, bias, betas and gammas, where they are needed, in their shapes and dtypes.

    dy: that of the result.  rows: what `compute_purely` kept.
    arguments: `Arguments`, with `_like` of what is not read.
    """
    given = Arguments(*arguments)
    return differentiate(product_of(given), given.row_of_slot, dy, rows, Needs(*needs))


@torch.no_grad()
def differentiate(
    product: Product,
    row_of_slot: torch.Tensor | None,
    dy: torch.Tensor,
    rows: torch.Tensor | None,
    needs: Needs,
) -> tuple[torch.Tensor | None, ...]:
    """See `differentiate_purely`."""
    if product.n_rows == 0 or 0 in product.y_shape:
        of = product.x, product.w, product.bias, product.betas, product.gammas
        return tuple(
            torch.zeros_like(tensor, memory_format=torch.contiguous_format)
            if need and tensor is not None
            else None
            for tensor, need in zip(of, needs, strict=True)
        )
    dr = _in_order_of_rows(product, dy, product.scatter_to)
    dz, dgammas = _through_activation(product, dr, rows, needs.gammas)
    dz = dz.to(product.x.dtype).contiguous()
    return (
        _gradient_of_x(product, dz, row_of_slot) if needs.x else None,
        _gradient_of_w(product, dz) if needs.w else None,
        _gradient_of_bias(product, dz) if needs.bias else None,
        _gradient_of_betas(product, dz) if needs.betas else None,
        dgammas,
    )


def _in_order_of_rows(
    product: Product, tokens: torch.Tensor, slot_of_row: torch.Tensor | None
) -> torch.Tensor:
    """[B, M, .]: for each row of the product the token of its slot, 0 for a negative one.

    slot_of_row: None where rows are tokens.
    """
    if slot_of_row is None:
        return tokens
    if tokens.stride(2) != 1:
        tokens = tokens.contiguous()
    run = dispatch.choose(
        tokens.device, reference=_reference._gathered, kernel=f"{_LAUNCH}._p_launch.gather_rows"
    )
    return run(replace(product, x=tokens, gather=slot_of_row))


def _through_activation(
    product: Product, dr: torch.Tensor, rows: torch.Tensor | None, needs_gammas: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(dz [B, M, N], dgammas [M] or None)."""
    gammas = product.gammas
    da = dr if gammas is None else dr * gammas.float()[:, None]
    if rows is None:
        return da, None
    if needs_gammas or not _is_swiglu(product):
        specs, args = product.activation.specs, product.activation.args
        with torch.enable_grad():
            z = rows.detach().float().requires_grad_()
            a = reference_of(specs)(z, *args)
        dz = da
        if specs.fn is not None:
            (dz,) = torch.autograd.grad(a, z, da.float())
    else:
        alpha, limit = product.activation.args
        backward: Any = dispatch.load("triton_kernels.swiglu_details._launch.backward")
        dz = backward(rows, da, alpha, limit, None, None, None)
    if not needs_gammas or gammas is None:
        return dz, None
    terms = a.detach() * dr
    if product.slices is not None:
        terms = torch.where(_is_in_a_slice(product, product.slices)[:, None], terms, 0)
    return dz, terms.sum((0, 2)).to(gammas.dtype)


def _is_swiglu(product: Product) -> bool:
    """Whether the activation is one that has a kernel for its gradient, and kernels compute."""
    kind = dispatch.implementation(product.x.device)
    if kind is dispatch.Implementation.REFERENCE or product.activation.specs.fn is None:
        return False
    return product.activation.specs.fn is dispatch.load(_SWIGLU)


def _is_in_a_slice(product: Product, slices: RaggedTensorMetadata) -> torch.Tensor:
    """bool [M]."""
    return _reference._matrix_of_row(slices, product.n_slices, product.n_rows) >= 0


def _gradient_of_x(
    product: Product, dz: torch.Tensor, row_of_slot: torch.Tensor | None
) -> torch.Tensor:
    """Rows that are gathered more than once have the sum over their slots."""
    slices = product.slices
    if row_of_slot is not None and slices is not None and _drops_slices(product, slices):
        # Rows of slices that are not ours are not computed, and must not be added up.
        exists = _is_in_a_slice(product, slices)[row_of_slot.clamp(min=0).long()]
        row_of_slot = torch.where(exists, row_of_slot, -1)
    return _product_with_rows(
        product,
        dz,
        product.w.transpose(1, 2),
        product.x.shape[1],
        product.x.dtype,
        scatter_to=product.gather,
        scatter_from=row_of_slot,
    )


def _gradient_of_w(product: Product, dz: torch.Tensor) -> torch.Tensor:
    rows = _in_order_of_rows(product, product.x, product.gather)
    return _sums_over_rows(product, rows.transpose(1, 2), dz, product.w.dtype)


def _gradient_of_bias(product: Product, dz: torch.Tensor) -> torch.Tensor:
    bias, betas = product.bias, product.betas
    assert bias is not None
    if betas is None:
        betas = dz.new_ones(product.n_rows)
    betas, dz = _of_one_dtype(betas, dz)
    factors = betas.expand(product.n_batches, 1, product.n_rows)
    exact = replace(product, allow_tf32=False)
    return _sums_over_rows(exact, factors, dz, bias.dtype).squeeze(1)


def _gradient_of_betas(product: Product, dz: torch.Tensor) -> torch.Tensor:
    bias, betas = product.bias, product.betas
    assert betas is not None
    if bias is None:
        return torch.zeros_like(betas)
    bias, dz = _of_one_dtype(bias, dz)
    exact = replace(product, allow_tf32=False)
    rows = _product_with_rows(exact, dz, bias.unsqueeze(2), product.n_rows, torch.float32)
    return rows.sum((0, 2)).to(betas.dtype)


def _of_one_dtype(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both exactly, in the dtype that can hold them: operands of a product must agree."""
    dtype = torch.promote_types(one.dtype, other.dtype)
    return one.to(dtype), other.to(dtype)


def _product_with_rows(
    product: Product,
    rows: torch.Tensor,
    w: torch.Tensor,
    n_result_rows: int,
    dtype: torch.dtype,
    scatter_to: torch.Tensor | None = None,
    scatter_from: torch.Tensor | None = None,
) -> torch.Tensor:
    """Other rows [B, M, .] times other matrices, and as many, by the same slices.

    Rows of no slice are 0.
    """
    y_shape = (product.n_batches, n_result_rows, w.shape[2])
    y = None
    if product.slices is not None and scatter_to is None:
        y = torch.zeros(y_shape, dtype=dtype, device=rows.device)
    return compute(
        replace(
            _linear(product),
            x=rows,
            w=w,
            scatter_to=scatter_to,
            scatter_from=scatter_from,
            y=y,
            y_shape=y_shape,
            y_dtype=dtype,
        )
    )


def _sums_over_rows(
    product: Product, factors: torch.Tensor, rows: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """[E or B or 1, R, N]: for each slice, factors [B, R, M] times rows [B, M, N] over its rows."""
    slices, n_factors = product.slices, factors.shape[1]
    inner = None
    n_matrices = product.n_batches
    if slices is not None:
        inner = InnerSlices(_own(product, slices), _STEP_BYTES // rows.itemsize, False, False)
        n_matrices = product.n_slices
    return compute(
        replace(
            _linear(product),
            x=factors,
            w=rows,
            n_rows=n_factors,
            slices=None,
            expected_slice_size=None,
            inner=inner,
            y_shape=(n_matrices, n_factors, rows.shape[2]),
            y_dtype=dtype,
        )
    )


def _linear(product: Product) -> Product:
    """The product and alpha, without what comes before, between and after."""
    return replace(
        product,
        bias=None,
        betas=None,
        gammas=None,
        gather=None,
        scatter_to=None,
        scatter_from=None,
        activation=_NOTHING,
        y=None,
        y_acc_in=None,
    )


def _drops_slices(product: Product, slices: RaggedTensorMetadata) -> bool:
    """Whether the metadata is that of some of the slices (`remap_ragged_tensor_metadata`)."""
    return slices.batch_sizes.shape[0] > product.n_slices


def _own(product: Product, slices: RaggedTensorMetadata) -> RaggedTensorMetadata:
    """The metadata without those of slices that are dropped."""
    if not _drops_slices(product, slices):
        return slices
    n = product.n_slices
    return RaggedTensorMetadata.of_parts(
        slices.batch_sizes[:n],
        slices.batch_offs[: n + 1],
        slices.block_offs_data[:, : n + 1],
        slices.block_schedule_data,
    )
