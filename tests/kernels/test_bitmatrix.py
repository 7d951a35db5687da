"""Counts and orders of a sparse choice are those of its slots, whatever the slots hold."""

from __future__ import annotations

import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from triton_kernels import SortedIndexOrderWarning
from triton_kernels.tensor import BIT, Bitmatrix, SparseMatrix
from triton_kernels.tensor_details.bitmatrix import (
    BitmatrixMetadata,
    make_bitmatrix_metadata,
    make_bitmatrix_metadata_torch,
    sort_by_column,
)
from triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows import (
    sum_bitmatrix_rows,
    sum_bitmatrix_rows_torch,
)

MAKERS = [make_bitmatrix_metadata, make_bitmatrix_metadata_torch]
SUMS = [sum_bitmatrix_rows, sum_bitmatrix_rows_torch]


def mask(rows: list[list[int]], n_columns: int, n_rows: object = None) -> Bitmatrix:
    """The bits of rows of columns."""
    n_words = (n_columns + 31) // 32
    words = torch.tensor([oracle.packed_words(row, n_columns) for row in rows], dtype=torch.int32)
    return Bitmatrix(
        words.view(len(rows), n_words).view(torch.uint32),
        dtype=BIT,
        shape=[len(rows) if n_rows is None else n_rows, n_columns],
        shape_max=[len(rows), n_columns],
    )


def agrees(result: BitmatrixMetadata, rows: list[list[int]], n_columns: int, n_rows: int) -> None:
    expected = oracle.metadata(rows, n_columns, n_rows)
    for name, want in zip(("col_sum", "combine_indx", "dispatch_indx"), expected, strict=True):
        got = getattr(result, name)
        assert got.dtype == torch.int32, name
        assert got.tolist() == want, name


@pytest.mark.parametrize("make", MAKERS)
def test_the_worked_example_of_four_rows_of_seven_columns(make):
    rows = [[2, 4, 5, -1], [1, 5, -1, -1], [0, 1, 2, 6], [2, 4, -1, -1]]
    result = make(torch.tensor(rows, dtype=torch.int16), mask(rows, 7))
    assert result.col_sum.tolist() == [1, 2, 3, 0, 2, 2, 1]
    assert result.combine_indx.tolist() == [8, 4, 9, 0, 10, 12, 1, 13, 2, 5, 11, *[-1] * 5]
    assert result.dispatch_indx.tolist() == [
        *[3, 6, 8, -1],
        *[1, 9, -1, -1],
        *[0, 2, 4, 10],
        *[5, 7, -1, -1],
    ]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("slots", ["distinct", "unused", "repeated", "none"])
@pytest.mark.parametrize(
    ("n_rows", "n_columns", "k"),
    [
        (0, 13, 3),
        (1, 1, 1),
        (7, 13, 8),
        (37, 128, 6),
        (9, 1500, 32),
        (5, 128, 100),
        (200, 811, 3),
        (3, 32767, 6),
        (2, 300, 256),
        (4, 13, 0),
    ],
)
def test_counts_and_both_orders_are_those_of_the_slots(make, dtype, slots, n_rows, n_columns, k):
    python, _ = oracle.fresh(dtype, slots, n_rows, n_columns, k)
    rows = [python.sample(range(n_columns), k) for _ in range(n_rows)]
    for row in rows:
        for j in range(k):
            if slots == "unused" and python.random() < 0.4:
                row[j] = -1
            if slots == "repeated":
                row[j] = python.randrange(min(n_columns, 3))
            if slots == "none":
                row[j] = -1
    indx = torch.tensor(rows, dtype=dtype).view(n_rows, k)
    agrees(make(indx, mask(rows, n_columns)), rows, n_columns, n_rows)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("n_rows", [0, 1, 5, 8])
@pytest.mark.parametrize("on_device", [False, True])
def test_rows_that_are_padding_count_nowhere(make, n_rows, on_device):
    python, _ = oracle.fresh(n_rows)
    rows = [[python.randrange(-1, 40) for _ in range(6)] for _ in range(8)]
    count = torch.tensor([n_rows], dtype=torch.int32) if on_device else n_rows
    indx = torch.tensor(rows, dtype=torch.int32)
    agrees(make(indx, mask(rows, 40, count)), rows, 40, n_rows)


@pytest.mark.parametrize("make", MAKERS)
def test_the_slots_decide_where_the_bits_say_otherwise(make):
    rows = [[3, 1], [1, -1]]
    agrees(make(torch.tensor(rows), mask([[0, 5], [6, 7]], 8)), rows, 8, 2)


@pytest.mark.parametrize("make", MAKERS)
def test_any_strides_of_the_slots_are_read_right(make):
    indx = torch.randint(-1, 20, (12, 18), generator=oracle.fresh()[1])[::2, ::3].t()
    agrees(make(indx, mask(indx.tolist(), 20)), indx.tolist(), 20, 6)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 6).flatmap(
        lambda k: st.lists(st.lists(st.integers(-1, 9), min_size=k, max_size=k), min_size=1)
    )
)
def test_combine_and_dispatch_are_inverse_on_used_slots(rows):
    result = make_bitmatrix_metadata(torch.tensor(rows), mask(rows, 10))
    combine, dispatch = result.combine_indx.tolist(), result.dispatch_indx.tolist()
    for slot, column in enumerate(column for row in rows for column in row):
        if column < 0:
            assert dispatch[slot] == -1
        else:
            assert combine[dispatch[slot]] == slot
    assert sum(result.col_sum.tolist()) == sum(position >= 0 for position in dispatch)


def test_the_names_that_upstream_swapped_read_as_before_and_warn():
    rows = [[1, 0], [1, 2]]
    result = make_bitmatrix_metadata(torch.tensor(rows), mask(rows, 3))
    with pytest.warns(SortedIndexOrderWarning, match="Read combine_indx instead"):
        assert result.row_sorted_indx is result.combine_indx
    with pytest.warns(SortedIndexOrderWarning, match="Read dispatch_indx instead"):
        assert result.col_sorted_indx is result.dispatch_indx


def test_positional_fields_are_counts_then_combine_then_dispatch():
    a, b, c = torch.zeros(1), torch.ones(1), torch.ones(1) * 2
    record = BitmatrixMetadata(a, b, c)
    assert (record.col_sum, record.combine_indx, record.dispatch_indx) == (a, b, c)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("indx", "error", "text"),
    [
        (torch.zeros(4, dtype=torch.int32), ValueError, "nonzero_indx: expected 2 dimensions"),
        (torch.zeros(3, 2, dtype=torch.int32), ValueError, "nonzero_indx: expected 4 rows"),
        (torch.zeros(4, 2), TypeError, "nonzero_indx: expected dtype int16, int32 or int64"),
        (torch.zeros(4, 257).short(), ValueError, "nonzero_indx: expected at most 256 slots a row"),
    ],
)
def test_wrong_slots_are_named(make, indx, error, text):
    with pytest.raises(error, match=text):
        make(indx, mask([[0]] * 4, 8))


def by_first_use(indx, bitmatrix):
    return SparseMatrix(indx, torch.zeros(indx.shape), bitmatrix).mask_metadata


@pytest.mark.parametrize("make", [*MAKERS, by_first_use])
@pytest.mark.parametrize("count", [3, torch.tensor([3])])
@pytest.mark.parametrize(
    ("stray", "dtype"),
    [(8, torch.int16), (-2, torch.int32), (2**40, torch.int64), (-(2**31), torch.int32)],
)
def test_a_slot_that_holds_no_column_is_an_error_except_in_padding(make, count, stray, dtype):
    python, _ = oracle.fresh(stray, dtype)
    rows = [[python.randrange(-1, 8) for _ in range(2)] for _ in range(4)]
    indx = torch.tensor(rows, dtype=dtype)
    indx[3, python.randrange(2)] = stray
    agrees(make(indx, mask(rows, 8, count)), rows, 8, 3)
    indx[python.randrange(3), python.randrange(2)] = stray
    text = f"nonzero_indx: expected columns 0 to 7, or -1, got {stray}"
    with pytest.raises(ValueError, match=text):
        make(indx, mask(rows, 8, count))


def test_what_is_no_column_is_an_unused_slot_where_nobody_looked_at_it():
    """As on a GPU: it is sorted nowhere, and nothing is read with it."""
    python, _ = oracle.fresh()
    for n_rows, n_columns, k in ((7, 13, 8), (200, 811, 3), (9, 1500, 32)):
        beyond = (-2, -99, n_columns, n_columns + 7, 32767)
        rows = [
            [python.choice((*beyond, *range(n_columns))) for _ in range(k)] for _ in range(n_rows)
        ]
        for dtype in (torch.int16, torch.int32, torch.int64):
            indx = torch.tensor(rows, dtype=dtype)
            col_sum, order = sort_by_column(indx, n_columns, None)
            agrees(BitmatrixMetadata(col_sum, *order.unbind()), rows, n_columns, n_rows)


@pytest.mark.parametrize("make", MAKERS)
def test_a_wrong_matrix_is_named(make):
    indx = torch.zeros(4, 2, dtype=torch.int32)
    with pytest.raises(ValueError, match="bitmatrix: expected at most 32767 columns"):
        make(indx, mask([[0]] * 4, 32768))
    with pytest.raises(ValueError, match="n_rows: expected a tensor on cpu"):
        make(indx, mask([[0]] * 4, 8, torch.zeros(1, dtype=torch.int32, device="meta")))
    with pytest.raises(ValueError, match="n_rows: expected 0 to 4"):
        make(indx, mask([[0]] * 4, 8, 5))


@pytest.mark.parametrize("make", MAKERS)
def test_more_slots_than_int32_counts_are_refused(make):
    indx = torch.zeros(1, 1, dtype=torch.int16).expand(2**24, 128)
    words = torch.zeros(1, 1, dtype=torch.int32).expand(2**24, 1)
    bits = Bitmatrix(words, dtype=BIT, shape=[2**24, 8], shape_max=[2**24, 8])
    with pytest.raises(ValueError, match="nonzero_indx: expected at most 2147483647 slots"):
        make(indx, bits)


# --- column sums


@pytest.mark.parametrize("count_bits", SUMS)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("n_rows_max", "n_rows", "n_columns", "block"),
    [(0, 0, 13, 32), (1, 1, 1, 32), (70, 70, 128, 32), (70, 41, 45, 16), (33, 7, 200, 128)],
)
def test_bits_are_counted_by_column_and_by_block(
    count_bits, transposed, n_rows_max, n_rows, n_columns, block
):
    python, _ = oracle.fresh(n_rows_max, n_columns, block)
    rows = [[c for c in range(n_columns) if python.random() < 0.4] for _ in range(n_rows_max)]
    x = mask(rows, n_columns, torch.tensor([n_rows]))
    if transposed:
        x.storage.data = x.data.t().contiguous().t()
    sums, partials = count_bits(x, block)
    n_words = (n_columns + 31) // 32
    assert sums.dtype == partials.dtype == torch.int32
    assert sums.tolist() == [sum(c in row for row in rows[:n_rows]) for c in range(n_columns)]
    assert partials.shape == ((n_rows_max + block - 1) // block, n_words * 32)
    assert partials.tolist() == [
        [
            sum(c in row for row in rows[start : min(start + block, n_rows)])
            for c in range(n_words * 32)
        ]
        for start in range(0, n_rows_max, block)
    ]
    if n_rows_max:
        assert partials.stride(0) == 1


def test_a_matrix_can_be_counted_any_number_of_times():
    x = mask([[0, 2], [2]], 3)
    assert sum_bitmatrix_rows(x, 16)[0].tolist() == sum_bitmatrix_rows(x, 16)[0].tolist()


@pytest.mark.parametrize("count_bits", SUMS)
@pytest.mark.parametrize("block", [None, 0, -1, 2.0])
def test_the_block_size_of_partial_sums_must_be_given(count_bits, block):
    with pytest.raises(ValueError, match="partials_block_size: expected a positive int"):
        count_bits(mask([[0]], 3), block)


@pytest.mark.parametrize("count_bits", SUMS)
def test_a_row_count_elsewhere_is_named(count_bits):
    x = mask([[0]], 3, torch.zeros(1, dtype=torch.int32, device="meta"))
    with pytest.raises(ValueError, match="n_rows: expected a tensor on cpu"):
        count_bits(x, 16)


# --- the record that holds it


def test_metadata_of_a_sparse_matrix_is_computed_on_first_use_and_once(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "triton_kernels.tensor.make_bitmatrix_metadata",
        lambda indx, bits: calls.append(indx) or make_bitmatrix_metadata(indx, bits),
    )
    indx = torch.tensor([[1, 2]])
    matrix = SparseMatrix(indx=indx, vals=torch.ones(1, 2), mask=mask([[1, 2]], 3))
    assert calls == []
    assert matrix.mask_metadata is matrix.mask_metadata
    assert len(calls) == 1 and calls[0] is indx
    assert matrix.mask.dtype == BIT
