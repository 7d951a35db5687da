"""reduce adds up what the mask leaves, whatever is scaled, along any dimension, of any strides."""

from __future__ import annotations

import itertools
import math

import oracle
import pytest
import torch
import triton

from triton_kernels import dispatch
from triton_kernels.dispatch import Implementation
from triton_kernels.numerics import InFlexData, OutFlexData
from triton_kernels.reduce import FnSpecs, PostprocessFn, reduce, reduce_torch
from triton_kernels.reference_functions import reference_of, register_reference
from triton_kernels.swiglu import swiglu_fn

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
DTYPES = [torch.float32, torch.float16, torch.bfloat16, E4M3, E5M2]
OPS = pytest.mark.parametrize("op", [reduce, reduce_torch])
DIMS = pytest.mark.parametrize("dim", [0, 1, 2])

# One element, widths off every power of two, more terms than are loaded at once, wide rows.
SHAPES = [(1, 1, 1), (4, 4, 4), (3, 5, 48), (37, 3, 9), (2, 70, 33), (3, 2, 2880)]

SWIGLU = PostprocessFn(FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), (), 2), (0.5, 1.25))


@triton.jit
def _shift(tile, by):
    return tile + by


register_reference(_shift, lambda tile, by: tile + by)
SHIFT = PostprocessFn(FnSpecs("shift", _shift, ("by",)), (3.0,))


@triton.jit
def _unknown_to_torch(tile):
    return 2 * tile


UNKNOWN = PostprocessFn(FnSpecs("unknown", _unknown_to_torch))


def entries(shape, dtype: torch.dtype, *seed: object) -> torch.Tensor:
    _, generator = oracle.fresh("reduce", shape, dtype, *seed)
    return torch.randn(shape, generator=generator).to(dtype)


def mask_of(kind: str, shape, *seed: object) -> torch.Tensor | None:
    """Upstream's kinds: none, full, or varying along one of the other two dimensions alone."""
    if kind == "none":
        return None
    varying = {"full": (0, 1, 2), "0": (0,), "1": (1,), "2": (2,), "01": (0, 1)}[kind]
    own = [size if axis in varying else 1 for axis, size in enumerate(shape)]
    _, generator = oracle.fresh("mask", kind, shape, *seed)
    return torch.randint(0, 2, own, generator=generator)


def swiglu64(x: torch.Tensor, alpha: float, limit: float) -> torch.Tensor:
    gate, linear = x[..., ::2].clamp(max=limit), x[..., 1::2].clamp(-limit, limit)
    return gate / (1 + torch.exp(-alpha * gate)) * (linear + 1)


def expected(x, dim, mask=None, scale=None, x_scale=1.0):
    """In float64."""
    terms = x.double() * x_scale
    if scale is not None:
        terms = terms * scale.double()
    if mask is not None:
        terms = torch.where((mask != 0).expand(x.shape), terms, 0)
    return terms.sum(dim)


def close(got: torch.Tensor, want: torch.Tensor, n_terms: int = 1) -> None:
    """Within one rounding of the result to its dtype, and those of a float32 sum."""
    limits = torch.finfo(got.dtype)
    torch.testing.assert_close(
        got.double(),
        want,
        rtol=0.51 * limits.eps,
        atol=max(limits.smallest_normal * limits.eps, 3e-7 * (n_terms + 4)),
    )


# --- sums


@OPS
@DIMS
@pytest.mark.parametrize("shape", SHAPES)
def test_it_adds_up_in_float32_along_any_dimension(op, dim, shape):
    x = entries(shape, torch.float32, dim)
    y, y_mxscale = op(x, dim)
    assert y_mxscale is None
    assert y.dtype == torch.float32 and y.is_contiguous()
    close(y, expected(x, dim), shape[dim])
    assert torch.equal(op(x, dim - 3)[0], y)


@OPS
@DIMS
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_dtype_is_read_and_written(op, dim, dtype):
    x = entries((5, 6, 40), dtype, dim)
    y, _ = op(x, dim)
    assert y.dtype == dtype
    close(y, expected(x, dim), 6)
    for y_dtype in DTYPES:
        wide, _ = op(x, dim, y_dtype=y_dtype)
        assert wide.dtype == y_dtype
        close(wide, expected(x, dim), 6)


@OPS
@DIMS
@pytest.mark.parametrize("kind", ["none", "full", "0", "1", "2", "01"])
@pytest.mark.parametrize("scaled_along", ["none", "full", "0", "1", "2"])
def test_terms_are_masked_and_scaled_whatever_these_vary_along(op, dim, kind, scaled_along):
    shape = (6, 9, 20)
    x, mask = entries(shape, torch.float32, dim, kind), mask_of(kind, shape, dim)
    scale = mask_of(scaled_along, shape)
    scale = None if scale is None else scale * 1.5 - 0.25
    y, _ = op(x, dim, mask=mask, scale=scale)
    close(y, expected(x, dim, mask, scale), 9)
    if mask is not None:
        assert torch.equal(op(x, dim, mask=mask.expand(shape), scale=scale)[0], y)


@OPS
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_a_mask_may_have_any_dtype(op, dtype):
    x = entries((4, 3, 8), torch.float32)
    mask = (mask_of("01", x.shape) * 2).to(dtype)
    close(op(x, 1, mask=mask)[0], expected(x, 1, mask), 3)


@OPS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_scale_may_have_any_floating_dtype(op, dtype):
    x = entries((4, 3, 8), torch.float32)
    scale = entries((4, 3, 1), dtype)
    close(op(x, 1, scale=scale)[0], expected(x, 1, None, scale), 3)


@OPS
@DIMS
def test_a_masked_term_is_zero_whatever_it_and_its_scales_are(op, dim):
    shape = (5, 6, 40)
    x, mask = entries(shape, torch.float32, dim), mask_of("full", shape, dim)
    scale = entries(shape, torch.float32, "scale")
    want = expected(x, dim, mask, scale)
    garbage = torch.tensor([math.nan, math.inf, -math.inf])[torch.arange(x.numel()) % 3].view(shape)
    x, scale = torch.where(mask != 0, x, garbage), torch.where(mask != 0, scale, garbage.flip(0))
    close(op(x, dim, mask=mask, scale=scale)[0], want, 6)


@OPS
@DIMS
def test_any_strides_are_read_right(op, dim):
    base = entries((8, 12, 36), torch.bfloat16, dim)
    for order in itertools.permutations(range(3)):
        x = base.permute(order)
        close(op(x, dim)[0], expected(x, dim), 36)
    for x in (
        base[::2, 1::3, 3::5],
        base[:, :1].expand(8, 7, 36),
        base[1:, :, :1].expand(7, 12, 5),
    ):
        assert not x.is_contiguous()
        close(op(x, dim)[0], expected(x, dim), 12)


@OPS
@DIMS
@pytest.mark.parametrize("strides", ["rows", "columns", "every third"])
def test_the_result_goes_where_it_is_told_and_nowhere_else(op, dim, strides):
    x = entries((5, 6, 40), torch.bfloat16, dim)
    n_rows, n_columns = expected(x, dim).shape
    memory = torch.full((3 * n_rows + 2, 3 * n_columns + 2), 77.0)
    if strides == "rows":
        y = memory[1 : 1 + n_rows, 1 : 1 + n_columns]
    elif strides == "columns":
        memory = memory.t().contiguous().t()
        y = memory[1 : 1 + n_rows, 1 : 1 + n_columns]
    else:
        y = memory[1 : 1 + 3 * n_rows : 3, 2 : 2 + 3 * n_columns : 3]
    result, _ = op(x, dim, y=y)
    assert result is y
    close(y, expected(x, dim), 40)
    y.fill_(77.0)
    assert (memory == 77.0).all()


@OPS
@pytest.mark.parametrize("empty", [0, 1, 2])
@DIMS
def test_sums_of_nothing_are_zero_and_no_sums_are_empty(op, dim, empty):
    shape = [4, 6, 8]
    shape[empty] = 0
    y, _ = op(torch.zeros(shape), dim)
    assert y.shape == torch.zeros(shape).sum(dim).shape
    assert (y == 0).all()
    if empty == dim:
        assert (op(torch.zeros(shape), dim, postprocess_fn1=SHIFT)[0] == 3).all()


# --- flexpoint


@OPS
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_flex_scales_multiply_what_is_read_and_divide_what_is_written(op, dim):
    x = entries((5, 6, 40), E4M3, dim)
    x_scale, y_scale = torch.tensor([1.25]), torch.tensor([0.8])
    actual, checksum = torch.zeros(1), torch.zeros(1, dtype=torch.int32)
    y, _ = op(
        x.view(torch.uint8),
        dim,
        x_flex=InFlexData(E4M3, x_scale),
        y_dtype=torch.uint8,
        y_flex=OutFlexData(E5M2, y_scale, actual, checksum),
    )
    want = expected(x, dim, x_scale=1.25)
    assert y.dtype == E5M2
    close(y, want / 0.8, 6)
    torch.testing.assert_close(
        actual.item(), want.abs().max().item() / 57344 + 1e-30, rtol=1e-6, atol=0
    )


@OPS
def test_a_given_result_of_bytes_is_written_as_its_flex_dtype(op):
    x = entries((5, 6, 40), torch.float32)
    y = torch.zeros(5, 40, dtype=torch.uint8)
    result, _ = op(x, 1, y=y, y_flex=OutFlexData(E4M3))
    assert result is y
    close(y.view(E4M3), expected(x, 1), 6)


@OPS
@pytest.mark.parametrize("saturate", [False, True])
def test_what_is_beyond_the_range_saturates_where_it_is_asked_for(op, saturate):
    x = torch.tensor([4e4, -4e4, 1.0]).expand(1, 2, 3).contiguous()
    y, _ = op(
        x,
        1,
        y_dtype=torch.float16,
        y_flex=OutFlexData(None, torch.tensor([1.0])),
        y_flex_saturate_inf=saturate,
    )
    largest = 65472.0 if saturate else math.inf
    assert y.tolist() == [[largest, -largest, 2.0]]


# --- microscales


def decoded(byte: int) -> float:
    return math.nan if byte == 255 else 0.0 if byte == 0 else 2.0 ** (byte - 127)


def microscaled(block: list[float]) -> int:
    """The scale of a block: its largest magnitude over 448, rounded up to a power of two."""
    largest = max(map(abs, block))
    if largest == 0:
        return 0
    mantissa, exponent = math.frexp(largest / 448)
    return exponent + 127 - (mantissa == 0.5)


@OPS
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("n_columns", [32, 80, 7])
def test_microscaled_terms_are_decoded_in_blocks_of_32_columns(op, dim, n_columns):
    x = entries((5, 6, n_columns), E4M3, dim)
    _, generator = oracle.fresh(dim, n_columns)
    n_blocks = math.ceil(n_columns / 32)
    x_mxscale = torch.randint(120, 131, (5, 6, n_blocks), dtype=torch.uint8, generator=generator)
    x_mxscale[0, 0, 0] = 0
    scale = x_mxscale.double().apply_(lambda byte: decoded(int(byte)))
    scale = scale.repeat_interleave(32, 2)[..., :n_columns]
    y, y_mxscale = op(x, dim, x_mxscale=x_mxscale, y_has_mx=False, y_dtype=torch.float32)
    assert y_mxscale is None
    want = expected(x.double() * scale, dim)
    torch.testing.assert_close(y.double(), want, rtol=1e-5, atol=1e-4)
    # By column blocks of another stride, too.
    strided = x_mxscale.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert torch.equal(op(x, dim, x_mxscale=strided, y_has_mx=False, y_dtype=torch.float32)[0], y)


@OPS
def test_the_scale_255_makes_its_block_nan_unless_it_is_masked(op):
    x = torch.ones(1, 2, 64).to(E4M3)
    x_mxscale = torch.tensor([[[127, 255], [127, 127]]], dtype=torch.uint8)
    sums, _ = op(x, 1, x_mxscale=x_mxscale, y_has_mx=False, y_dtype=torch.float32)
    assert (sums[:, :32] == 2).all() and sums[:, 32:].isnan().all()
    mask = torch.tensor([0, 1]).view(1, 2, 1)
    sums, _ = op(x, 1, mask=mask, x_mxscale=x_mxscale, y_has_mx=False, y_dtype=torch.float32)
    assert (sums == 1).all()


@OPS
@DIMS
def test_a_microscaled_result_has_scales_rounded_up_and_loses_no_more_than_e4m3_does(op, dim):
    x = entries((4, 5, 80), torch.float32, dim)
    x *= torch.logspace(-30, 30, 80)  # blocks of very different size
    x[:, :, 32:64] = 0
    y, y_mxscale = op(x, dim, y_has_mx=True)
    want = expected(x, dim)
    n_rows, n_columns = want.shape
    assert (y.dtype, y_mxscale.dtype) == (E4M3, torch.uint8)
    assert y.shape == want.shape and y_mxscale.shape == (n_rows, math.ceil(n_columns / 32))
    for row in range(n_rows):
        for block in range(y_mxscale.shape[1]):
            columns = slice(32 * block, 32 * block + 32)
            values = want[row, columns].float().tolist()
            byte = y_mxscale[row, block].item()
            assert byte == microscaled(values)
            got = [q * decoded(byte) for q in y[row, columns].float().tolist()]
            # e4m3 has 3 bits behind the leading one, and steps of 2**-9 near zero.
            for q, value in zip(got, values, strict=True):
                assert abs(q - value) <= max(abs(value) / 16, decoded(byte) * 2**-10) * 1.001


@OPS
@DIMS
def test_microscaled_results_do_not_depend_on_the_strides_of_the_terms(op, dim):
    # Tiles of 128 columns, the last of which holds a block of 32 results that do not exist.
    shape = (3, 520, 2) if dim == 2 else (3, 2, 520)
    x = entries(shape, torch.float32, dim)
    y, y_mxscale = op(x, dim, y_has_mx=True, postprocess_fn1=SWIGLU)
    rows = swiglu64(expected(x, dim), 0.5, 1.25).split(32, dim=1)
    want = [[microscaled(row.tolist()) for row in block] for block in rows]
    assert y_mxscale.t().tolist() == want
    strided = x.transpose(0, 2).contiguous().transpose(0, 2)
    again = op(strided, dim, y_has_mx=True, postprocess_fn1=SWIGLU)
    assert torch.equal(again[1], y_mxscale)
    torch.testing.assert_close(again[0].float(), y.float(), rtol=2**-3, atol=2**-9)


@OPS
def test_magnitudes_of_448_times_a_power_of_two_have_that_scale_and_the_next_one_more(op):
    x = torch.zeros(1, 1, 96)
    x[0, 0, 5] = 448 * 2.0**10
    x[0, 0, 37] = torch.nextafter(torch.tensor(448 * 2.0**10), torch.tensor(math.inf))
    x[0, 0, 70] = -448 * 2.0**-20
    y, y_mxscale = op(x, 1, y_has_mx=True)
    assert y_mxscale.tolist() == [[137, 138, 107]]
    assert [y[0, c].item() for c in (5, 37, 70)] == [448, 224, -448]


@OPS
def test_an_infinity_makes_its_microscaled_block_nan_and_a_nan_only_itself(op):
    x = torch.ones(1, 1, 64)
    x[0, 0, 3], x[0, 0, 40] = math.inf, math.nan
    y, y_mxscale = op(x, 1, y_has_mx=True)
    assert y_mxscale[0, 0] == 255
    assert y[0, 40].isnan() and y_mxscale[0, 1] == microscaled([1.0])
    assert y[0, 32:].float().isnan().sum() == 1


@OPS
def test_the_result_has_microscales_if_the_terms_have(op):
    x = entries((2, 3, 64), E4M3)
    x_mxscale = torch.full((2, 3, 2), 127, dtype=torch.uint8)
    y, y_mxscale = op(x, 1, x_mxscale=x_mxscale)
    assert y.dtype == E4M3 and y_mxscale.shape == (2, 2)
    assert op(x, 1)[1] is None


# --- functions


@OPS
@DIMS
@pytest.mark.parametrize("place", ["first", "second", "both"])
def test_functions_are_applied_to_the_sums(op, dim, place):
    x = entries((4, 8, 20), torch.float32, dim)
    want, functions = expected(x, dim), {}
    for number in {"first": [1], "second": [2], "both": [1, 2]}[place]:
        functions[f"postprocess_fn{number}"] = SWIGLU
        want = swiglu64(want, 0.5, 1.25)
    y, _ = op(x, dim, **functions)
    assert y.shape == want.shape
    torch.testing.assert_close(y.double(), want, rtol=1e-5, atol=1e-5)


@OPS
def test_scales_come_after_the_first_function_and_before_the_second(op):
    x = entries((4, 3, 20), torch.float32)
    y, _ = op(
        x,
        1,
        y_flex=OutFlexData(None, torch.tensor([4.0])),
        postprocess_fn1=SHIFT,
        postprocess_fn2=SHIFT,
    )
    torch.testing.assert_close(y.double(), (expected(x, 1) + 3) / 4 + 3, rtol=1e-5, atol=1e-5)


@OPS
def test_the_second_function_is_not_called_on_microscaled_results(op):
    x = entries((4, 3, 128), torch.float32)
    both = {"postprocess_fn1": SWIGLU, "postprocess_fn2": SHIFT}
    y, y_mxscale = op(x, 1, y_has_mx=True, **both)
    alone, scales = op(x, 1, y_has_mx=True, postprocess_fn1=SWIGLU)
    assert torch.equal(y.view(torch.uint8), alone.view(torch.uint8))
    assert torch.equal(y_mxscale, scales)
    assert y.shape == (4, 64) and y_mxscale.shape == (4, 2)


def test_a_function_that_torch_cannot_call_needs_the_kernels_and_the_error_says_so():
    x = entries((4, 3, 20), torch.float32)
    text = "FnSpecs 'unknown': expected a function with a reference.*TRITON_INTERPRET=1"
    with pytest.raises(ValueError, match=text):
        reduce_torch(x, 1, postprocess_fn1=UNKNOWN)
    if dispatch.implementation(x.device) is Implementation.REFERENCE:
        with pytest.raises(ValueError, match=text):
            reduce(x, 1, postprocess_fn1=UNKNOWN)
    else:
        close(reduce(x, 1, postprocess_fn1=UNKNOWN)[0], 2 * expected(x, 1), 3)


def test_references_belong_to_functions_not_to_their_names():
    tile = torch.randn(3, 4)
    same_name = FnSpecs("shift", _unknown_to_torch)
    assert torch.equal(reference_of(SHIFT.specs)(tile, 2.0), tile + 2)
    assert torch.equal(reference_of(FnSpecs.default())(tile), tile)
    with pytest.raises(ValueError, match="FnSpecs 'shift'"):
        reference_of(same_name)
    torch.testing.assert_close(
        reference_of(SWIGLU.specs)(tile, 0.5, 1.25), swiglu64(tile.double(), 0.5, 1.25).float()
    )


# --- gradients


@DIMS
@pytest.mark.parametrize("kind", ["none", "full", "01"])
@pytest.mark.parametrize("scaled_along", ["none", "full", "01"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_terms_and_scales_have_the_gradient_of_their_products(dim, kind, scaled_along, dtype):
    shape = (3, 4, 10)
    x, mask = entries(shape, dtype, dim).requires_grad_(), mask_of(kind, shape)
    scale = mask_of(scaled_along, shape)
    scale = None if scale is None else (scale * 1.5 - 0.25).requires_grad_()
    leaves = [x] if scale is None else [x, scale]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    y, _ = reduce(x, dim, mask=mask, scale=scale)
    weight = entries(y.shape, dtype, "weight")
    got = torch.autograd.grad(y, leaves, weight)
    want = torch.autograd.grad(expected(exact[0], dim, mask, *exact[1:]), exact, weight.double())
    for ours, theirs, leaf in zip(got, want, leaves, strict=True):
        assert ours.dtype == leaf.dtype and ours.shape == leaf.shape
        torch.testing.assert_close(
            ours.double(), theirs, rtol=2 * torch.finfo(dtype).eps, atol=1e-5
        )


def test_only_plain_sums_have_a_gradient():
    x = entries((3, 4, 64), torch.float32).requires_grad_()
    assert reduce(x, 1)[0].requires_grad
    assert not reduce(x.detach(), 1)[0].requires_grad
    for options in (
        {"y_has_mx": True},
        {"postprocess_fn1": SHIFT},
        {"y_flex": OutFlexData(None, torch.ones(1))},
        {"y": torch.empty(3, 64)},
        {"y_dtype": E5M2},
    ):
        assert not reduce(x, 1, **options)[0].requires_grad


# --- errors


X = torch.zeros(4, 3, 64)
BYTES = torch.zeros(4, 3, 2, dtype=torch.uint8)
THREE = PostprocessFn(FnSpecs("three", _shift, (), (), 3))


@OPS
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"x": [1.0]}, TypeError, "x: expected a torch.Tensor"),
        ({"x": torch.zeros(4, 64)}, ValueError, "x: expected 3 dimensions"),
        ({"x": X.double()}, TypeError, "x: expected dtype float32"),
        ({"x": X.byte()}, TypeError, "x: expected dtype float32"),
        ({"dim": 3}, ValueError, "dim: expected -3 to 2, got 3"),
        ({"dim": -4}, ValueError, "dim: expected -3 to 2"),
        ({"dim": 1.0}, TypeError, "dim: expected an int"),
        ({"mask": torch.ones(4, 3)}, ValueError, r"mask: expected 3 dimensions that broadcast"),
        ({"mask": torch.ones(4, 2, 1)}, ValueError, r"mask: expected .* \[4, 3, 64\]"),
        ({"mask": [1]}, TypeError, "mask: expected None or a torch.Tensor"),
        (
            {"mask": torch.ones(4, 3, 1, device="meta")},
            ValueError,
            "mask: expected a tensor on cpu",
        ),
        ({"scale": torch.ones(4, 3, 1).int()}, TypeError, "scale: expected a floating dtype"),
        ({"scale": torch.ones(1, 5, 1)}, ValueError, "scale: expected 3 dimensions"),
        ({"x_mxscale": BYTES.int()}, TypeError, "x_mxscale: expected a uint8 tensor"),
        ({"x_mxscale": BYTES[:, :, :1]}, ValueError, r"x_mxscale: expected shape \[4, 3, 2\]"),
        ({"x_mxscale": BYTES, "dim": 2}, ValueError, "dim: expected 0 or 1"),
        ({"x_mxscale": BYTES, "dim": -1}, ValueError, "dim: expected 0 or 1"),
        ({"x_mxscale": BYTES.to("meta")}, ValueError, "x_mxscale: expected a tensor on cpu"),
        ({"x_flex": InFlexData(None, torch.ones(2))}, ValueError, "x_flex.scale: expected one"),
        ({"y_flex": OutFlexData(None, torch.ones(2))}, ValueError, "y_flex.expected_scale: exp"),
        ({"y_flex": OutFlexData(None, None, torch.ones(2))}, ValueError, "y_flex.actual_scale: e"),
        ({"y_dtype": torch.int32}, TypeError, "y_dtype: expected float32, float16"),
        (
            {"y_dtype": torch.float16, "y_has_mx": True},
            TypeError,
            "y_dtype: expected float8_e4m3fn",
        ),
        ({"y": torch.zeros(4, 3)}, ValueError, r"y: expected shape \[4, 64\]"),
        (
            {"y": torch.zeros(4, 64), "y_dtype": torch.float16},
            TypeError,
            "y: expected dtype float16",
        ),
        ({"y": torch.zeros(4, 64, device="meta")}, ValueError, "y: expected a tensor on cpu"),
        ({"y": 3}, TypeError, "y: expected None or a torch.Tensor"),
        (
            {"postprocess_fn1": THREE},
            ValueError,
            "postprocess_fn1.specs.reduction_n: expected a pow",
        ),
        ({"postprocess_fn2": SWIGLU, "x": X[..., :3]}, ValueError, "x: expected columns that 2"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_computed(op, arguments, error, text):
    with pytest.raises(error, match=text):
        op(**{"x": X, "dim": 1, **arguments})


@OPS
def test_scales_may_be_none_altogether(op):
    x = entries((2, 3, 4), torch.float32)
    assert torch.equal(op(x, 1, x_flex=None, y_flex=None)[0], op(x, 1)[0])
