"""The ops of the library as torch sees them: `torch.ops.triton_kernels.topk` and its like.

Registered here are, for each op, its schema, a fake implementation (shapes, dtypes and strides of
the results, which is all that tracing needs), its gradient, and where its own code is.  So
torch.compile, export, make_fx and FakeTensorMode record an op instead of looking into it.  Only
then is it taken (`dispatch.is_traced`).

The ops have tensors and numbers for arguments and results; the records are made outside.  Results
share no memory with arguments or with each other, so vectors that live in one allocation come back
as that allocation.  A number of rows is two arguments, `n_rows` for a tensor and `n_rows_on_host`
for an int; both None mean all rows.

Each function here calls its op, with the arguments of the function that computes it.
"""

from __future__ import annotations

from typing import Any

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels import dispatch
from triton_kernels.numerics import OutFlexData
from triton_kernels.tensor_details.bitmatrix_details.words import WORD_BITS, n_words
from triton_kernels.tensor_details.padding import RowCount

__all__ = [
    "bitmatrix_metadata",
    "compaction",
    "legacy_routing",
    "legacy_routing_backward",
    "matmul_ogs",
    "matmul_ogs_backward",
    "ragged_tensor_metadata",
    "reduce",
    "remap_ragged_tensor_metadata",
    "sum_bitmatrix_rows",
    "swiglu",
    "swiglu_backward",
    "topk",
    "topk_backward",
]

_library = torch.library.Library("triton_kernels", "FRAGMENT")
_ops = torch.ops.triton_kernels

_N_ROWS = "Tensor? n_rows, SymInt? n_rows_on_host"


def _define(name: str, arguments: str, results: str, computed_by: str) -> None:
    """Register the op `name`, whose code is the function at the path `computed_by`.

    Where the last arguments are the two of a number of rows, that function takes them as one.
    Where it returns None, or an argument itself, the op returns a tensor without elements.
    """
    pairs_rows = arguments.endswith(_N_ROWS)

    def compute(*args: Any) -> Any:
        if pairs_rows:
            *args, n_rows, n_rows_on_host = args  # type: ignore[assignment]
            args = (*args, n_rows_on_host if n_rows is None else n_rows)
        returned = dispatch.load(computed_by)(*args)
        if isinstance(returned, torch.Tensor):
            return returned
        given = [arg for arg in args if isinstance(arg, torch.Tensor)]
        return tuple(_own(result, given) for result in returned)  # type: ignore[attr-defined]

    schema = f"{name}({arguments}) -> {results}"
    _library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _library.impl(name, compute, "CompositeExplicitAutograd")


def _own(result: torch.Tensor | None, given: list[torch.Tensor]) -> torch.Tensor:
    if result is None:
        return given[0].new_empty(0, dtype=torch.int16)
    return result.new_empty(0) if any(result is arg for arg in given) else result


def _fake(name: str) -> Any:
    """Decorator for the fake implementation of the op `name`."""
    return torch.library.register_fake(f"triton_kernels::{name}", lib=_library)


def _differentiable(name: str, backward: Any, save: Any) -> Any:
    """Register the gradient of the op `name`; returns the function that calls the op.

    Inside torch.func, which takes no gradient that is registered this way (as of torch 2.13), that
    function brings the gradient along itself.
    """
    torch.library.register_autograd(
        f"triton_kernels::{name}", backward, setup_context=save, lib=_library
    )
    op = getattr(_ops, name).default

    class Differentiated(torch.autograd.Function):
        generate_vmap_rule = True
        forward = staticmethod(op)
        setup_context = staticmethod(save)

    Differentiated.backward = staticmethod(backward)

    def call(*args: Any) -> Any:
        if not torch.compiler.is_compiling() and dispatch.is_inside_torch_func():
            return Differentiated.apply(*args)  # type: ignore[no-untyped-call]
        return op(*args)

    return call


def _rows(n_rows: RowCount | None) -> tuple[torch.Tensor | None, int | None]:
    """A number of rows as the two arguments of an op."""
    return (n_rows, None) if isinstance(n_rows, torch.Tensor) else (None, n_rows)


# --- topk --------------------------------------------------------------------------------------

_define(
    "topk",
    f"Tensor x, SymInt k, bool apply_softmax, Tensor? y_indx, {_N_ROWS}",
    "(Tensor vals, Tensor indx, Tensor words)",
    "triton_kernels.topk.select",
)
_define(
    "topk_backward",
    f"Tensor x, Tensor y_indx, Tensor dy_vals, bool apply_softmax, {_N_ROWS}",
    "Tensor",
    "triton_kernels.topk.select_backward",
)


def topk(
    x: torch.Tensor,
    k: int,
    apply_softmax: bool,
    y_indx: torch.Tensor | None,
    n_rows: RowCount | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`triton_kernels.topk.select`."""
    vals, indx, words = _topk(x, k, apply_softmax, y_indx, *_rows(n_rows))
    return vals, y_indx if y_indx is not None and n_rows is None else indx, words


def topk_backward(
    x: torch.Tensor,
    y_indx: torch.Tensor,
    dy_vals: torch.Tensor,
    apply_softmax: bool,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """`triton_kernels.topk.select_backward`."""
    return _ops.topk_backward(x, y_indx, dy_vals, apply_softmax, *_rows(n_rows))  # type: ignore[no-any-return]


@_fake("topk")
def _(x, k, apply_softmax, y_indx, n_rows, n_rows_on_host):  # type: ignore[no-untyped-def]
    rows, columns = x.shape
    padded_rows = -(-rows // WORD_BITS) * WORD_BITS
    words = x.new_empty((n_words(columns), padded_rows), dtype=torch.uint32).t()[:rows]
    if y_indx is None:
        indx = x.new_empty((rows, k), dtype=torch.int16)
    elif n_rows is None and n_rows_on_host is None:
        indx = y_indx.new_empty(0)
    else:
        indx = y_indx.new_empty((rows, k))
    return x.new_empty((rows, k)), indx, words


@_fake("topk_backward")
def _(x, y_indx, dy_vals, apply_softmax, n_rows, n_rows_on_host):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape)


def _save_topk(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    x, _, ctx.apply_softmax, y_indx, n_rows, ctx.n_rows_on_host = inputs
    takes_all_rows = n_rows is None and ctx.n_rows_on_host is None
    indx = y_indx if y_indx is not None and takes_all_rows else output[1]
    ctx.save_for_backward(x, indx, n_rows)


def _topk_gradient(ctx: Any, dvals: torch.Tensor, *_unused: Any) -> tuple[Any, ...]:
    x, indx, n_rows = ctx.saved_tensors
    dx = _ops.topk_backward(x, indx, dvals, ctx.apply_softmax, n_rows, ctx.n_rows_on_host)
    return dx, None, None, None, None, None


_topk = _differentiable("topk", _topk_gradient, _save_topk)


# --- metadata of bit matrices ------------------------------------------------------------------

_define(
    "bitmatrix_metadata",
    f"Tensor nonzero_indx, SymInt n_columns, {_N_ROWS}",
    "(Tensor col_sum, Tensor combine_and_dispatch)",
    "triton_kernels.tensor_details.bitmatrix.sort_by_column",
)
_define(
    "sum_bitmatrix_rows",
    f"Tensor words, SymInt n_rows_max, SymInt n_columns, SymInt partials_block_size, {_N_ROWS}",
    "(Tensor sums, Tensor partials)",
    "triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows.count_bits",
)


def bitmatrix_metadata(
    nonzero_indx: torch.Tensor, n_columns: int, n_rows: RowCount | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """`triton_kernels.tensor_details.bitmatrix.sort_by_column`."""
    return _ops.bitmatrix_metadata(nonzero_indx, n_columns, *_rows(n_rows))  # type: ignore[no-any-return]


def sum_bitmatrix_rows(
    words: torch.Tensor, n_rows_max: int, n_columns: int, block_size: int, n_rows: RowCount
) -> tuple[torch.Tensor, torch.Tensor]:
    """`triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows.count_bits`."""
    return _ops.sum_bitmatrix_rows(words, n_rows_max, n_columns, block_size, *_rows(n_rows))  # type: ignore[no-any-return]


@_fake("bitmatrix_metadata")
def _(nonzero_indx, n_columns, n_rows, n_rows_on_host):  # type: ignore[no-untyped-def]
    col_sum = nonzero_indx.new_empty(n_columns, dtype=torch.int32)
    return col_sum, nonzero_indx.new_empty((2, nonzero_indx.numel()), dtype=torch.int32)


@_fake("sum_bitmatrix_rows")
def _(words, n_rows_max, n_columns, partials_block_size, n_rows, n_rows_on_host):  # type: ignore[no-untyped-def]
    n_blocks = -(-n_rows_max // partials_block_size)
    partials = words.new_empty((n_words(n_columns) * WORD_BITS, n_blocks), dtype=torch.int32)
    return words.new_empty(n_columns, dtype=torch.int32), partials.t()


# --- metadata of ragged tensors ----------------------------------------------------------------

_define(
    "ragged_tensor_metadata",
    "Tensor batch_sizes, SymInt n_gates",
    "(Tensor offs, Tensor block_schedule_data)",
    "triton_kernels.tensor_details.ragged_tensor.schedule",
)
_define(
    "remap_ragged_tensor_metadata",
    "Tensor batch_sizes, Tensor batch_offs, Tensor block_offs_data, Tensor block_schedule_data, "
    "Tensor slice_map",
    "(Tensor, Tensor, Tensor, Tensor)",
    "triton_kernels.tensor_details.ragged_tensor.remap",
)


def ragged_tensor_metadata(
    batch_sizes: torch.Tensor, n_gates: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`triton_kernels.tensor_details.ragged_tensor.schedule`."""
    return _ops.ragged_tensor_metadata(batch_sizes, n_gates)  # type: ignore[no-any-return]


def remap_ragged_tensor_metadata(
    batch_sizes: torch.Tensor,
    batch_offs: torch.Tensor,
    block_offs_data: torch.Tensor,
    block_schedule_data: torch.Tensor,
    slice_map: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`triton_kernels.tensor_details.ragged_tensor.remap`."""
    return _ops.remap_ragged_tensor_metadata(  # type: ignore[no-any-return]
        batch_sizes, batch_offs, block_offs_data, block_schedule_data, slice_map
    )


@_fake("ragged_tensor_metadata")
def _(batch_sizes, n_gates):  # type: ignore[no-untyped-def]
    allocate = dispatch.load("triton_kernels.tensor_details.ragged_tensor.allocate_schedule")
    return allocate(batch_sizes, n_gates)


@_fake("remap_ragged_tensor_metadata")
def _(batch_sizes, batch_offs, block_offs_data, block_schedule_data, slice_map):  # type: ignore[no-untyped-def]
    old = (batch_sizes, batch_offs, block_offs_data, block_schedule_data)
    return tuple(tensor.new_empty(tensor.shape) for tensor in old)


# --- compaction --------------------------------------------------------------------------------

_define(
    "compaction",
    "Tensor yv, Tensor yi, Tensor words, int sentinel",
    "(Tensor vals, Tensor indx)",
    "triton_kernels.compaction.compact",
)


def compaction(
    yv: torch.Tensor, yi: torch.Tensor, words: torch.Tensor, sentinel: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`triton_kernels.compaction.compact`."""
    return _ops.compaction(yv.detach(), yi, words, sentinel)  # type: ignore[no-any-return]


@_fake("compaction")
def _(yv, yi, words, sentinel):  # type: ignore[no-untyped-def]
    return yv.new_empty(yv.shape), yi.new_empty(yi.shape)


# --- the whole of routing ----------------------------------------------------------------------

_define(
    "legacy_routing",
    f"Tensor logits, SymInt k, bool sm_first, Tensor? expt_indx, bool keep_indx, {_N_ROWS}",
    "(Tensor gates, Tensor buffer, Tensor indx)",
    "triton_kernels.legacy_details._autograd.route_to_buffer",
)
_define(
    "legacy_routing_backward",
    f"Tensor logits, Tensor indx, Tensor buffer, Tensor dgates, bool sm_first, {_N_ROWS}",
    "Tensor",
    "triton_kernels.legacy_details._autograd.route_backward",
)


def legacy_routing(
    logits: torch.Tensor,
    k: int,
    sm_first: bool,
    expt_indx: torch.Tensor | None,
    keep_indx: bool,
    n_rows: RowCount | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`triton_kernels.legacy_details._autograd.route_to_buffer`."""
    return _legacy_routing(logits, k, sm_first, expt_indx, keep_indx, *_rows(n_rows))  # type: ignore[no-any-return]


def legacy_routing_backward(
    logits: torch.Tensor,
    indx: torch.Tensor,
    buffer: torch.Tensor,
    dgates: torch.Tensor,
    sm_first: bool,
    n_rows: RowCount | None,
) -> torch.Tensor:
    """`triton_kernels.legacy_details._autograd.route_backward`."""
    return _ops.legacy_routing_backward(logits, indx, buffer, dgates, sm_first, *_rows(n_rows))  # type: ignore[no-any-return]


@_fake("legacy_routing")
def _(logits, k, sm_first, expt_indx, keep_indx, n_rows, n_rows_on_host):  # type: ignore[no-untyped-def]
    allocate = dispatch.load("triton_kernels.legacy_details._buffer.allocate")
    return allocate(logits, k, keep_indx)


@_fake("legacy_routing_backward")
def _(logits, indx, buffer, dgates, sm_first, n_rows, n_rows_on_host):  # type: ignore[no-untyped-def]
    return logits.new_empty(logits.shape)


def _save_routing(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    logits, _, ctx.sm_first, _, ctx.keep_indx, n_rows, ctx.n_rows_on_host = inputs
    _, buffer, indx = output
    ctx.save_for_backward(logits, indx, buffer, n_rows)


def _routing_gradient(ctx: Any, dgates: torch.Tensor, *_unused: Any) -> tuple[Any, ...]:
    if not ctx.keep_indx:
        raise RuntimeError("triton_kernels::legacy_routing has a gradient only with keep_indx=True")
    logits, indx, buffer, n_rows = ctx.saved_tensors
    dlogits = _ops.legacy_routing_backward(
        logits, indx, buffer, dgates, ctx.sm_first, n_rows, ctx.n_rows_on_host
    )
    return dlogits, None, None, None, None, None, None


_legacy_routing = _differentiable("legacy_routing", _routing_gradient, _save_routing)


# --- scales that are changed in place ----------------------------------------------------------


def with_copies(flex: OutFlexData) -> OutFlexData:
    """The scales, with copies of those that an op changes in place: its own results."""
    _, *changed = flex.scales
    copies = (None if scale is None else scale.clone() for scale in changed)
    return OutFlexData(flex.dtype, flex.expected_scale, *copies)


def write_back(flex: OutFlexData, *results: torch.Tensor) -> None:
    """Change the scales as an op has changed its copies, which are `results`."""
    _, *changed = flex.scales
    for scale, result in zip(changed, results, strict=True):
        if scale is not None:
            scale.copy_(result)


# --- reduce ------------------------------------------------------------------------------------

_define(
    "reduce",
    "Tensor x, int dim, Tensor? mask, Tensor? scale, Tensor? x_mxscale, Tensor? x_scale, "
    "ScalarType y_dtype, bool y_has_mx, Tensor? expected_scale, Tensor? actual_scale, "
    "Tensor? checksum_scale, bool saturate_inf, int fn1, float[] args1, int fn2, float[] args2",
    "(Tensor y, Tensor y_mxscale, Tensor actual_scale, Tensor checksum_scale)",
    "triton_kernels.reduce.compute_purely",
)


def reduce(*args: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`triton_kernels.reduce.compute_purely`; a tensor without elements stands for None."""
    return _reduce(*args)  # type: ignore[no-any-return]


@_fake("reduce")
def _(x, *args):  # type: ignore[no-untyped-def]
    call: Any = dispatch.load("triton_kernels.reduce.call_of")(x, *args)
    y, y_mxscale = call.results()
    _, actual, checksum = call.y_flex
    return y, *(_copy(x, each) for each in (y_mxscale, actual, checksum))


def _copy(x: torch.Tensor, original: torch.Tensor | None) -> torch.Tensor:
    """What the fake implementation of an op on `x` returns for a copy of an argument."""
    return x.new_empty(0, dtype=torch.int16) if original is None else torch.empty_like(original)


def _save_reduce(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    x, ctx.dim, mask, scale, *_ = inputs
    call: Any = dispatch.load("triton_kernels.reduce.call_of")(*inputs)
    ctx.is_differentiable = call.is_differentiable
    ctx.save_for_backward(x, mask, scale)


def _reduce_gradient(ctx: Any, dy: torch.Tensor, *_unused: Any) -> tuple[Any, ...]:
    if not ctx.is_differentiable:
        return (None,) * 16
    x, mask, scale = ctx.saved_tensors
    differentiate: Any = dispatch.load("triton_kernels.reduce.gradients")
    needs = ctx.needs_input_grad[0], ctx.needs_input_grad[3]
    dx, dscale = differentiate(dy, ctx.dim, x, scale, mask, needs)
    return dx, None, None, dscale, *(None,) * 12


_reduce = _differentiable("reduce", _reduce_gradient, _save_reduce)


# --- swiglu ------------------------------------------------------------------------------------

_define(
    "swiglu",
    "Tensor a, float alpha, float? limit, Tensor? in_scale, Tensor? expected_scale, "
    "Tensor? actual_scale, Tensor? checksum_scale, ScalarType dtype, bool saturate_inf, "
    "Tensor? n_rows",
    "(Tensor out, Tensor actual_scale, Tensor checksum_scale)",
    "triton_kernels.swiglu.activate_purely",
)
_define(
    "swiglu_backward",
    "Tensor a, Tensor dout, float alpha, float? limit, Tensor? in_scale, Tensor? expected_scale, "
    "Tensor? n_rows",
    "Tensor",
    "triton_kernels.swiglu.activate_backward",
)


def swiglu(*args: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`triton_kernels.swiglu.activate_purely`; a tensor without elements stands for None."""
    return _swiglu(*args)  # type: ignore[no-any-return]


def swiglu_backward(*args: Any) -> torch.Tensor:
    """`triton_kernels.swiglu.activate_backward`."""
    return _ops.swiglu_backward(*args)  # type: ignore[no-any-return]


@_fake("swiglu")
def _(a, alpha, limit, in_scale, expected, actual, checksum, dtype, saturate_inf, n_rows):  # type: ignore[no-untyped-def]
    out = a.new_empty((*a.shape[:-1], a.shape[-1] // 2), dtype=dtype)
    return out, _copy(a, actual), _copy(a, checksum)


@_fake("swiglu_backward")
def _(a, dout, alpha, limit, in_scale, expected_scale, n_rows):  # type: ignore[no-untyped-def]
    return a.new_empty(a.shape)


def _save_swiglu(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    a, ctx.alpha, ctx.limit, in_scale, expected_scale, *_, n_rows = inputs
    ctx.save_for_backward(a, in_scale, expected_scale, n_rows)


def _swiglu_gradient(ctx: Any, dout: torch.Tensor, *_unused: Any) -> tuple[Any, ...]:
    a, in_scale, expected_scale, n_rows = ctx.saved_tensors
    da = _ops.swiglu_backward(a, dout, ctx.alpha, ctx.limit, in_scale, expected_scale, n_rows)
    return da, *(None,) * 9


_swiglu = _differentiable("swiglu", _swiglu_gradient, _save_swiglu)


# --- matmul_ogs --------------------------------------------------------------------------------

# The fields of `matmul_ogs_details._arguments.Arguments`.
_PRODUCT = (
    "Tensor x, Tensor w, Tensor? bias, Tensor? betas, Tensor? gammas, Tensor? y_acc_in, "
    "Tensor? batch_sizes, Tensor? batch_offs, Tensor? block_offs, Tensor? block_schedule, "
    "Tensor? gather, Tensor? row_of_slot, Tensor? scatter_to, Tensor? scatter_from, Tensor? y, "
    "Tensor? acc_scale, Tensor? x_scale, Tensor? w_scale, Tensor? expected_scale, "
    "Tensor? actual_scale, Tensor? checksum_scale, SymInt n_slices, SymInt? expected_slice_size, "
    "SymInt n_choices, float? alpha, ScalarType y_dtype, bool saturate_inf, int activation, "
    "float[] activation_args, int epilogue, float[] epilogue_args, int epilogue_finalize, "
    "float[] epilogue_finalize_args, float? epilogue_itemsize, bool allow_tf32, "
    "int? max_imprecise_acc, bool bitwise_invariant, int inner_block_k, bool x_is_padded, "
    "bool w_is_padded, bool keeps_rows"
)
_AUTOGRAD = "triton_kernels.matmul_ogs_details._autograd"

_define(
    "matmul_ogs",
    _PRODUCT,
    "(Tensor y, Tensor rows, Tensor actual_scale, Tensor checksum_scale)",
    f"{_AUTOGRAD}.compute_purely",
)
_define(
    "matmul_ogs_backward",
    f"Tensor dy, Tensor? rows, bool[] needs, {_PRODUCT}",
    "(Tensor dx, Tensor dw, Tensor dbias, Tensor dbetas, Tensor dgammas)",
    f"{_AUTOGRAD}.differentiate_purely",
)


def matmul_ogs(*args: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`_autograd.compute_purely` of the product; a tensor without elements stands for None."""
    return _matmul_ogs(*args)  # type: ignore[no-any-return]


def matmul_ogs_backward(*args: Any) -> tuple[torch.Tensor, ...]:
    """`_autograd.differentiate_purely` of the product, likewise."""
    return _ops.matmul_ogs_backward(*args)  # type: ignore[no-any-return]


@_fake("matmul_ogs")
def _(*args):  # type: ignore[no-untyped-def]
    return dispatch.load(f"{_AUTOGRAD}.allocate")(*args)


@_fake("matmul_ogs_backward")
def _(dy, rows, needs, *args):  # type: ignore[no-untyped-def]
    of = (arg if need else None for arg, need in zip(args, needs, strict=False))
    return tuple(_gradient_like(dy, arg) for arg in of)


def _gradient_like(dy: torch.Tensor, arg: torch.Tensor | None) -> torch.Tensor:
    return dy.new_empty(0, dtype=torch.int16) if arg is None else arg.new_empty(arg.shape)


def _save_product(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    dispatch.load(f"{_AUTOGRAD}.save")(ctx, inputs, output)


def _product_gradient(ctx: Any, dy: torch.Tensor, *_unused: Any) -> tuple[Any, ...]:
    differentiate: Any = dispatch.load(f"{_AUTOGRAD}.gradients")
    return differentiate(ctx, dy, _ops.matmul_ogs_backward)  # type: ignore[no-any-return]


_matmul_ogs = _differentiable("matmul_ogs", _product_gradient, _save_product)
