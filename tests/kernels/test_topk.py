"""topk selects what a person would, of any width, with any of its rows and slots left out."""

from __future__ import annotations

import math

import oracle
import pytest
import torch

from triton_kernels.tensor import BIT, Tensor
from triton_kernels.topk import (
    select,
    select_backward,
    topk,
    topk_backward,
    topk_forward,
    topk_torch,
)

DTYPES = [torch.float32, torch.float16, torch.bfloat16]

# (rows, columns, k): one row and none, one column, odd k, k = all, widths off every power of two.
SHAPES = [
    (1, 1, 1),
    (0, 13, 3),
    (7, 13, 3),
    (7, 13, 13),
    (33, 128, 6),
    (5, 128, 100),
    (3, 1500, 8),
    (4, 1500, 32),
    (2, 300, 256),
    (1, 32767, 3),
]

# What the rows are made of.  "ties" has many equal entries, "special" infinities, NaN and -0.
CONTENTS = ["normal", "ties", "special"]

NAN_WITH_SIGN = torch.tensor([-1], dtype=torch.int32).view(torch.float32).item()


def logits(content: str, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    python, generator = oracle.fresh(content, shape, dtype)
    if content == "normal":
        x = torch.randn(shape, generator=generator)
    elif content == "ties":
        x = torch.randint(-2, 3, shape, generator=generator).float()
    else:
        values = [math.inf, -math.inf, math.nan, NAN_WITH_SIGN, 0.0, -0.0, 1.5, -1.5, 6e-8]
        x = torch.tensor([python.choice(values) for _ in range(shape[0] * shape[1])]).view(shape)
    return x.to(dtype)


def same(got: torch.Tensor, expected: list[list[float]]) -> bool:
    """Equal as numbers of the tensor's dtype, NaN to NaN."""
    reference = torch.tensor(expected, dtype=torch.float64).view(got.shape).to(got.dtype)
    return torch.equal(torch.nan_to_num(got, 12345.0), torch.nan_to_num(reference, 12345.0))


@pytest.mark.parametrize("op", [topk, topk_torch])
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n_rows", "n_columns", "k"), SHAPES)
def test_the_k_largest_of_each_row_come_in_column_order(op, content, dtype, n_rows, n_columns, k):
    x = logits(content, (n_rows, n_columns), dtype)
    result = op(x, k, apply_softmax=False)
    rows = x.float().tolist()
    chosen = [oracle.chosen_columns(row, k) for row in rows]
    assert result.indx.dtype == torch.int16
    assert result.indx.shape == (n_rows, k)
    assert result.indx.tolist() == chosen
    assert result.vals.dtype == dtype
    assert same(result.vals, [[row[c] for c in cs] for row, cs in zip(rows, chosen, strict=True)])
    words = result.mask.data
    assert words.dtype == torch.uint32
    assert words.shape == (n_rows, math.ceil(n_columns / 32))
    assert words.view(torch.int32).tolist() == [oracle.packed_words(c, n_columns) for c in chosen]
    assert result.mask.shape == [n_rows, n_columns]
    assert result.mask.shape_max == [n_rows, n_columns]
    assert result.mask.dtype == BIT


@pytest.mark.parametrize("op", [topk, topk_torch])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n_rows", "n_columns", "k"), SHAPES)
def test_softmax_is_over_the_selected_values_in_float32(op, dtype, n_rows, n_columns, k):
    x = logits("normal", (n_rows, n_columns), dtype)
    result = op(x, k)
    expected = [
        oracle.slot_values(row, oracle.chosen_columns(row, k), True) for row in x.float().tolist()
    ]
    assert result.vals.dtype == dtype
    # One unit in the last place; in float32 some more, for the rounding of exp's argument.
    torch.testing.assert_close(
        result.vals.double(),
        torch.tensor(expected, dtype=torch.float64).view(n_rows, k),
        rtol=max(torch.finfo(dtype).eps, 2e-6),
        atol=torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps,
    )


@pytest.mark.parametrize("op", [topk, topk_torch])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_softmax_of_infinities_and_nan_is_what_torch_makes_of_it(op, dtype):
    x = logits("special", (60, 5), dtype)
    x[:7] = torch.tensor([-math.inf, math.inf, math.nan, 0, 1, 2, 3]).view(7, 1)
    x[7, 1:] = -math.inf
    result = op(x, 3)
    expected = x.gather(1, result.indx.long()).float().softmax(1).to(dtype)
    torch.testing.assert_close(
        result.vals, expected, equal_nan=True, rtol=max(torch.finfo(dtype).eps, 1e-6), atol=0
    )


@pytest.mark.parametrize("op", [topk, topk_torch])
@pytest.mark.parametrize(
    ("around", "n_columns", "k"),
    [
        *[(around, 128, 6) for around in (1.0, -1.0, 0.0, 3e38, -1e-38)],
        (1.0, 13, 3),
        (-2.0, 1500, 20),
        (4.0, 32767, 4),
    ],
)
def test_entries_that_differ_in_the_last_bit_are_told_apart(op, around, n_columns, k):
    _, generator = oracle.fresh(around, n_columns)
    bits = torch.tensor(around).view(torch.int32)
    step = torch.randint(0, 40, (2, n_columns), generator=generator, dtype=torch.int32)
    # A row of clearly different values beside one of those that are alike.
    step[1] = torch.randperm(n_columns, generator=generator) << 5
    x = (bits + step).view(torch.float32)
    assert op(x, k).indx.tolist() == [oracle.chosen_columns(row, k) for row in x.tolist()]


@pytest.mark.parametrize("op", [topk, topk_torch])
@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_the_last_of_32767_columns_and_unused_slots_are_told_apart(op, dtype):
    given = torch.tensor([[-1, 32766, -1, 0], [-1, -1, -1, 32766]], dtype=dtype)
    x = torch.zeros(2, 32767)
    x[:, 32766] = 5
    result = op(x, 4, apply_softmax=False, y_indx=given)
    assert result.vals.tolist() == [[0, 5, 0, 0], [0, 0, 0, 5]]
    expected = [oracle.packed_words(row, 32767) for row in ([32766, 0], [32766])]
    assert result.mask.data.view(torch.int32).tolist() == expected
    assert result.mask_metadata.col_sum.nonzero().flatten().tolist() == [0, 32766]
    assert result.mask_metadata.combine_indx.tolist() == [3, 1, 7, *[-1] * 5]


def test_equal_zeros_go_to_the_lower_column_whatever_their_sign():
    x = torch.tensor([[-1.0, -0.0, 0.0, -0.0], [0.0, -0.0, -1.0, 0.0]])
    assert topk(x, 2).indx.tolist() == [[1, 2], [0, 1]]


def test_nan_of_either_sign_ranks_above_infinity():
    x = torch.tensor([[math.inf, NAN_WITH_SIGN, 1.0, math.nan]])
    assert topk(x, 1).indx.tolist() == [[1]]
    assert topk(x, 2).indx.tolist() == [[1, 3]]
    assert topk(x, 3).indx.tolist() == [[0, 1, 3]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_strides_are_read_right(dtype):
    _, generator = oracle.fresh(dtype)
    wide = torch.randn(26, 34, generator=generator).to(dtype)
    given = torch.randint(-1, 13, (6, 17), generator=generator)
    for x in (wide[:13, ::2].t()[:17], wide[:17, ::2][:, :13], wide.t()[:17, 1:26:2]):
        plain = x.contiguous()
        assert not x.is_contiguous()
        assert torch.equal(topk(x, 5).indx, topk(plain, 5).indx)
        assert torch.equal(topk(x, 5).vals, topk(plain, 5).vals)
        assert torch.equal(
            topk(x, 6, y_indx=given.t()).vals, topk(plain, 6, y_indx=given.t().contiguous()).vals
        )


@pytest.mark.parametrize("column_stride", [1, 3])
@pytest.mark.parametrize(("n_rows", "n_columns"), [(1, 33), (33, 128), (300, 200)])
def test_the_words_are_stored_column_major_with_rows_padded_to_32(column_stride, n_rows, n_columns):
    x = torch.zeros(n_rows, n_columns * column_stride)[:, ::column_stride]
    assert topk(x, 2).mask.data.stride() == (1, math.ceil(n_rows / 32) * 32)


# --- rows that are padding


@pytest.mark.parametrize("op", [topk, topk_torch])
@pytest.mark.parametrize("count_as", [int, "int32", "int64"])
@pytest.mark.parametrize("n_rows", [0, 1, 5, 9])
@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e30])
def test_padded_rows_are_never_read_and_come_out_empty(op, count_as, n_rows, garbage):
    _, generator = oracle.fresh(n_rows, garbage)
    x = torch.randn(9, 40, generator=generator)
    alone = op(x[:n_rows], 6) if n_rows else None
    x[n_rows:] = garbage
    count = n_rows if count_as is int else torch.tensor([n_rows], dtype=getattr(torch, count_as))
    result = op(x, 6, n_rows=count)
    if alone is not None:
        assert torch.equal(result.indx[:n_rows], alone.indx)
        assert torch.equal(result.vals[:n_rows], alone.vals)
    assert (result.indx[n_rows:] == -1).all()
    assert (result.vals[n_rows:] == 0).all()
    assert (result.mask.data[n_rows:].view(torch.int32) == 0).all()
    assert result.mask.shape[0] is count
    assert result.mask.shape_max == [9, 40]
    col_sum = oracle.metadata(result.indx.tolist(), 40, n_rows)[0]
    assert result.mask_metadata.col_sum.tolist() == col_sum


def test_a_tensor_of_the_library_brings_its_own_number_of_rows():
    _, generator = oracle.fresh()
    x = torch.randn(9, 40, generator=generator)
    for count in (4, torch.tensor([4], dtype=torch.int32)):
        wrapped = Tensor(x, shape=[count, 40], shape_max=[9, None])
        assert torch.equal(topk(wrapped, 3).indx, topk(x, 3, n_rows=4).indx)
    assert torch.equal(topk(Tensor(x), 3).indx, topk(x, 3).indx)


# --- columns that are given


@pytest.mark.parametrize("op", [topk, topk_torch])
@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("apply_softmax", [True, False])
@pytest.mark.parametrize("k", [1, 3, 8, 100])
def test_given_columns_are_kept_with_unused_and_repeated_slots(op, dtype, apply_softmax, k):
    _, generator = oracle.fresh(dtype, apply_softmax, k)
    x = torch.randn(11, 128, generator=generator)
    # So few columns that they repeat, and a row of unused slots alone.
    given = torch.randint(-1, 6, (11, k), generator=generator).to(dtype)
    given[4] = -1
    result = op(x, k, apply_softmax, y_indx=given)
    assert result.indx is given
    columns = given.tolist()
    expected = [
        oracle.slot_values(row, cs, apply_softmax)
        for row, cs in zip(x.tolist(), columns, strict=True)
    ]
    torch.testing.assert_close(result.vals, torch.tensor(expected), rtol=1e-5, atol=1e-7)
    assert (result.vals[given == -1] == 0).all()
    words = [oracle.packed_words(cs, 128) for cs in columns]
    assert result.mask.data.view(torch.int32).tolist() == words
    col_sum, combine, dispatch = oracle.metadata(columns, 128, 11)
    assert result.mask_metadata.col_sum.tolist() == col_sum
    assert result.mask_metadata.combine_indx.tolist() == combine
    assert result.mask_metadata.dispatch_indx.tolist() == dispatch


@pytest.mark.parametrize("count", [5, torch.tensor([5])])
def test_given_columns_of_padded_rows_are_never_read(count):
    _, generator = oracle.fresh()
    x = torch.randn(8, 20, generator=generator)
    given = torch.randint(0, 20, (8, 3), generator=generator)
    untouched = given.clone()
    given[5:] = untouched[5:] = -99999
    result = topk(x, 3, y_indx=given, n_rows=count)
    assert result.indx.dtype == given.dtype
    assert torch.equal(result.indx[:5], given[:5])
    assert (result.indx[5:] == -1).all()
    assert (result.vals[5:] == 0).all()
    assert torch.equal(given, untouched)


def test_what_is_no_column_is_an_unused_slot_where_nobody_looked_at_it():
    """As on a GPU: nothing is read with it.  32767 is no column, though int16 holds it."""
    x = torch.zeros(2, 32767)
    x[:, 32766] = 5
    for dtype, stray in ((torch.int16, 32767), (torch.int32, -2), (torch.int64, 2**32 + 1)):
        given = torch.tensor([[-1, 32766, stray, 0], [stray, stray, -1, 32766]], dtype=dtype)
        vals, indx, words = select(x, 4, False, given, None)
        assert indx is given
        assert vals.tolist() == [[0, 5, 0, 0], [0, 0, 0, 5]]
        expected = [oracle.packed_words(row, 32767) for row in ([32766, 0], [32766])]
        assert words.view(torch.int32).tolist() == expected


# --- gradients


@pytest.mark.parametrize("op", [topk, topk_torch])
@pytest.mark.parametrize("apply_softmax", [True, False])
@pytest.mark.parametrize("slots", ["searched", "given", "unused", "repeated"])
@pytest.mark.parametrize("count", [None, 3, torch.tensor([3], dtype=torch.int32)])
def test_the_gradient_is_the_slope_and_zero_elsewhere(op, apply_softmax, slots, count):
    _, generator = oracle.fresh(apply_softmax, slots)
    n_rows_max, n_columns, k = 5, 9, 4
    n_rows = n_rows_max if count is None else 3
    x = torch.randn(n_rows_max, n_columns, generator=generator)
    given = None
    if slots != "searched":
        given = torch.rand(n_rows_max, n_columns, generator=generator).argsort(1)[:, :k]
    if slots == "unused":
        given[0, 1] = given[1, 0] = given[1, 3] = -1
        given[2] = -1
    if slots == "repeated":
        given[0, 1] = given[0, 0]
        given[1] = given[1, 0]
    weight = torch.randn(n_rows_max, k, generator=generator)
    x[n_rows:] = math.nan
    weight[n_rows:] = math.nan
    x.requires_grad_()
    result = op(x, k, apply_softmax, y_indx=given, n_rows=count)
    result.vals.backward(weight)

    for row in range(n_rows_max):
        if row >= n_rows:
            assert (x.grad[row] == 0).all()
            continue
        columns, weights = result.indx[row].tolist(), weight[row].tolist()

        def loss(at, columns=columns, weights=weights):
            values = oracle.slot_values(at, columns, apply_softmax)
            return sum(w * v for w, v in zip(weights, values, strict=True))

        # In double: the difference is right to 1e-9, float32 to 1e-6.
        expected = oracle.slope(loss, x[row].tolist(), step=1e-5)
        torch.testing.assert_close(x.grad[row], torch.tensor(expected), rtol=1e-4, atol=1e-5)
        others = [c for c in range(n_columns) if c not in columns]
        assert (x.grad[row, others] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_has_the_dtype_and_shape_of_the_logits(dtype):
    x = logits("normal", (6, 21), dtype)
    vals, indx, _ = topk_forward(x, 3)
    dx = topk_backward(x, indx, torch.ones_like(vals), 3, None, True)
    assert dx.dtype == dtype
    assert dx.shape == x.shape
    # Softmax values add up to 1, so moving all of them changes nothing.
    assert dx.abs().max() <= torch.finfo(dtype).eps


def test_columns_beyond_32_bits_have_no_gradient():
    """As on a GPU, where nobody looks at the columns beforehand."""
    given = torch.tensor([[2**32 + 1, 1, -(2**40)]])
    dx = select_backward(torch.zeros(1, 3), given, torch.tensor([[1.0, 2.0, 4.0]]), False, None)
    assert dx.tolist() == [[0.0, 2.0, 0.0]]


@pytest.mark.parametrize("apply_softmax", [True, False])
def test_gradients_of_any_strides_are_read_right(apply_softmax):
    _, generator = oracle.fresh(apply_softmax)
    x = torch.randn(20, 12, generator=generator)[::2, ::2].t()
    indx = torch.randint(-1, 10, (4, 12), generator=generator)[:, ::2].t()
    weights = (torch.randn(4, 6, generator=generator).t(), torch.ones(1, 1).expand(6, 4))
    for dy in weights:
        got = topk_backward(x, indx, dy, 4, None, apply_softmax)
        plain = (x.contiguous(), indx.contiguous(), dy.contiguous())
        assert torch.equal(got, topk_backward(*plain, 4, None, apply_softmax))


def test_infinite_gradients_of_unused_slots_do_not_leak():
    x = torch.randn(1, 5, generator=oracle.fresh()[1])
    given = torch.tensor([[2, -1, 4]])
    dy = torch.tensor([[1.0, math.nan, 0.5]])
    dx = topk_backward(x, given, dy, 3, None, True)
    assert dx.isfinite().all()


def test_results_carry_no_gradient_when_none_is_asked_for():
    x = torch.randn(4, 8, generator=oracle.fresh()[1])
    result = topk(x, 2)
    assert not result.vals.requires_grad
    assert not topk(x.requires_grad_(), 2).indx.requires_grad


# --- errors


X = torch.zeros(4, 8)


@pytest.mark.parametrize("op", [topk, topk_torch, topk_forward])
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"k": 9}, ValueError, "k: expected 1 to 8"),
        ({"k": 0}, ValueError, "k: expected 1 to 8"),
        ({"k": 257, "x": torch.zeros(1, 300)}, ValueError, "k: expected 1 to 256"),
        ({"k": 2.0}, TypeError, "k: expected an int, got 2.0"),
        ({"k": True}, TypeError, "k: expected an int"),
        ({"x": torch.zeros(8)}, ValueError, "x: expected 2 dimensions"),
        ({"x": torch.zeros(2, 3, 4)}, ValueError, "x: expected 2 dimensions"),
        ({"x": torch.zeros(4, 8, dtype=torch.float64)}, TypeError, "x: expected dtype float32"),
        ({"x": torch.zeros(4, 8, dtype=torch.int32)}, TypeError, "x: expected dtype float32"),
        ({"x": [[1.0]]}, TypeError, "x: expected a torch.Tensor"),
        ({"x": torch.zeros(1, 32768)}, ValueError, "x: expected at most 32767 columns"),
        ({"dim": 0}, ValueError, "dim: expected 1, got 0"),
        ({"y_indx": torch.zeros(4, 3, dtype=torch.int32)}, ValueError, "y_indx: expected shape"),
        ({"y_indx": torch.zeros(3, 2, dtype=torch.int32)}, ValueError, "y_indx: expected shape"),
        ({"y_indx": torch.zeros(4, 2)}, TypeError, "y_indx: expected an int16, int32 or int64"),
        *[
            (
                {"y_indx": torch.tensor([[0, 7], [-1, 3], [1, stray], [2, 2]], dtype=dtype)},
                ValueError,
                f"y_indx: expected columns 0 to 7, or -1, got {stray}",
            )
            for dtype, stray in (
                (torch.int16, 8),
                (torch.int16, -32768),
                (torch.int32, -2),
                (torch.int32, 2**31 - 1),
                (torch.int64, 2**32 + 1),
            )
        ],
        ({"n_rows": 5}, ValueError, "n_rows: expected 0 to 4"),
        ({"n_rows": -1}, ValueError, "n_rows: expected 0 to 4"),
        ({"n_rows": 2.0}, TypeError, "n_rows: expected None, an int or"),
        ({"n_rows": torch.tensor([1, 2])}, ValueError, "n_rows: expected a tensor of 1 element"),
        ({"n_rows": torch.tensor([1.0])}, TypeError, "n_rows: expected a tensor of an integer"),
        (
            {"n_rows": torch.zeros(1, dtype=torch.int32, device="meta")},
            ValueError,
            "n_rows: expected a tensor on cpu",
        ),
        (
            {"y_indx": torch.zeros(4, 2, dtype=torch.int32, device="meta")},
            ValueError,
            "y_indx: expected a tensor on cpu",
        ),
        (
            {"x": torch.zeros(1, 1).expand(2**24, 128), "k": 128},
            ValueError,
            "x: expected at most 2147483647 slots",
        ),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_computed(op, arguments, error, text):
    with pytest.raises(error, match=text):
        op(**{"x": X, "k": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"dy_vals": torch.zeros(4, 3)}, r"dy_vals: expected shape \[4, 2\]"),
        ({"dy_vals": torch.zeros(4, 2, device="meta")}, "dy_vals: expected a tensor on cpu"),
        ({"k": 3}, r"y_indx: expected shape \[4, 3\]"),
        ({"y_indx": torch.zeros(5, 2).short()}, r"y_indx: expected shape \[4, 2\]"),
        ({"y_indx": torch.zeros(4, 2).short().to("meta")}, "y_indx: expected a tensor on cpu"),
        ({"y_indx": torch.full((4, 2), 8)}, "y_indx: expected columns 0 to 7, or -1, got 8"),
        ({"n_rows": 5}, "n_rows: expected 0 to 4"),
        ({"n_rows": torch.zeros(1).int().to("meta")}, "n_rows: expected a tensor on cpu"),
    ],
)
def test_backward_names_a_wrong_argument(arguments, text):
    good = {
        "x": X,
        "y_indx": torch.zeros(4, 2, dtype=torch.int16),
        "dy_vals": torch.zeros(4, 2),
        "k": 2,
        "n_rows": None,
        "apply_softmax": True,
    }
    with pytest.raises(ValueError, match=text):
        topk_backward(**{**good, **arguments})
