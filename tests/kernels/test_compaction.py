"""compaction keeps what the mask names, in order, at the front."""

from __future__ import annotations

import oracle
import pytest
import torch

from triton_kernels.compaction import compaction, compaction_torch
from triton_kernels.tensor import BIT, Bitmatrix

OPS = [compaction, compaction_torch]


def expected_rows(values, columns, kept, sentinel):
    """Rows of (value, column) pairs, kept ones first, then the sentinel."""
    result = []
    for row_values, row_columns, row_kept in zip(values, columns, kept, strict=True):
        pairs = [(v, c) for v, c in zip(row_values, row_columns, strict=True) if c in row_kept]
        result.append(pairs + [(sentinel, sentinel)] * (len(row_columns) - len(pairs)))
    return result


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("mask_as", ["int32", "uint32", "int64", "Bitmatrix", "strided"])
@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize(
    ("n_rows", "n_columns", "k", "share"),
    [
        (0, 13, 4, 0.5),
        (57, 64, 4, 0.5),
        (57, 64, 4, 1.0),
        (31, 128, 6, 0.6),
        (9, 128, 16, 0.0),
        (40, 300, 100, 0.3),
    ],
)
def test_kept_entries_come_first_in_their_order(op, mask_as, dtype, n_rows, n_columns, k, share):
    python, _ = oracle.fresh(n_rows, n_columns, k, share)
    columns = [python.sample(range(n_columns), k) for _ in range(n_rows)]
    values = [[python.randrange(-99, 99) for _ in range(k)] for _ in range(n_rows)]
    kept = [{c for c in range(n_columns) if python.random() < share} for _ in range(n_rows)]
    words = torch.tensor([oracle.packed_words(row, n_columns) for row in kept], dtype=torch.int32)
    words = words.view(n_rows, (n_columns + 31) // 32)
    if mask_as == "Bitmatrix":
        bits = Bitmatrix(words.view(torch.uint32), dtype=BIT, shape=[n_rows, n_columns])
    elif mask_as == "uint32":
        bits = words.view(torch.uint32)
    elif mask_as == "int64":
        bits = words.long()
    elif mask_as == "strided":
        bits = words.t().contiguous().t()
    else:
        bits = words
    yv = torch.tensor(values, dtype=torch.bfloat16).view(n_rows, k)
    yi = torch.tensor(columns, dtype=dtype).view(n_rows, k)
    before = yv.clone(), yi.clone()
    got_values, got_columns = op(yv, yi, bits)
    assert (got_values.dtype, got_columns.dtype) == (torch.bfloat16, dtype)
    want = expected_rows(values, columns, kept, -1)
    assert got_values.tolist() == [[v for v, _ in row] for row in want]
    assert got_columns.tolist() == [[c for _, c in row] for row in want]
    assert torch.equal(yv, before[0]) and torch.equal(yi, before[1])


@pytest.mark.parametrize("op", OPS)
def test_entries_that_are_no_column_of_the_mask_are_dropped(op):
    yi = torch.tensor([[-1, 3, 32, 0, 64, -7]])
    yv = torch.arange(6.0).view(1, 6)
    values, columns = op(yv, yi, torch.tensor([[-1]], dtype=torch.int32), sentinel=-2)
    assert columns.tolist() == [[3, 0, -2, -2, -2, -2]]
    assert values.tolist() == [[1.0, 3.0, -2.0, -2.0, -2.0, -2.0]]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.float64, torch.int32, torch.uint8, torch.int64]
)
def test_values_of_any_dtype_are_moved(op, dtype):
    yv = torch.tensor([[1, 2, 3], [4, 5, 6]]).to(dtype)
    yi = torch.tensor([[0, 5, 31], [32, 5, 63]])
    values, columns = op(yv, yi, torch.tensor([[1 << 31, 0], [0, -1]]), sentinel=7)
    assert values.dtype == dtype
    assert values.tolist() == [[3, 7, 7], [4, 6, 7]]
    assert columns.tolist() == [[31, 7, 7], [32, 63, 7]]


@pytest.mark.parametrize("op", OPS)
def test_no_slots_and_no_words_leave_nothing(op):
    words = torch.zeros(3, 0, dtype=torch.int32)
    values, columns = op(torch.zeros(3, 0), torch.zeros(3, 0, dtype=torch.int32), words)
    assert values.shape == columns.shape == (3, 0)
    values, columns = op(torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.int32), words)
    assert (values == -1).all() and (columns == -1).all()


@pytest.mark.parametrize("op", OPS)
def test_any_strides_are_read_right(op):
    yv = torch.arange(12.0).view(3, 4).t()
    yi = torch.arange(24).view(4, 6)[:, ::2] % 8
    bits = torch.tensor([[0b10101010]] * 4, dtype=torch.int32)
    plain = op(yv.contiguous(), yi.contiguous(), bits)
    strided = op(yv, yi, bits)
    assert torch.equal(plain[0], strided[0]) and torch.equal(plain[1], strided[1])


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"yv": torch.zeros(4)}, ValueError, "yv: expected 2 dimensions"),
        ({"yi": torch.zeros(4, 3, dtype=torch.int32)}, ValueError, "yi: expected shape"),
        ({"yi": torch.zeros(4, 2)}, TypeError, "yi: expected dtype int16, int32 or int64"),
        ({"bitmask": torch.zeros(4, 1)}, TypeError, "bitmask: expected words of dtype"),
        ({"bitmask": torch.zeros(4, dtype=torch.int32)}, ValueError, "bitmask: expected 2"),
        ({"bitmask": torch.zeros(3, 1, dtype=torch.int32)}, ValueError, "bitmask: expected 2"),
        ({"yi": torch.zeros(4, 2).int().to("meta")}, ValueError, "yi: expected a tensor on cpu"),
        ({"bitmask": torch.zeros(4, 1).int().to("meta")}, ValueError, "bitmask: expected a tens"),
    ],
)
def test_a_wrong_argument_is_named(op, change, error, text):
    good = {
        "yv": torch.zeros(4, 2),
        "yi": torch.zeros(4, 2, dtype=torch.int32),
        "bitmask": torch.zeros(4, 1, dtype=torch.int32),
    }
    with pytest.raises(error, match=text):
        op(**{**good, **change})
