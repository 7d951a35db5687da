"""Types, layouts and wrappers say what is stored, in new forms and in old ones."""

from __future__ import annotations

import pickle

import pytest
import torch

from triton_kernels import TritonKernelsDeprecationWarning, tensor
from triton_kernels.target_info import Target, override
from triton_kernels.tensor import (
    BIT,
    FP4,
    Bitmatrix,
    FloatType,
    IntegerType,
    Layout,
    RaggedTensor,
    SparseMatrix,
    Storage,
    StridedLayout,
    Tensor,
    bitwidth,
    convert_layout,
    get_layout,
    make_ragged_tensor_metadata,
    wrap_torch_tensor,
)
from triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows import sum_bitmatrix_rows

WORDS = torch.zeros(4, 2, dtype=torch.uint32)


class ReversedLayout(Layout):
    """Rows backwards, padded with zeros to a multiple: a layout as simple as can be."""

    name = "REVERSED"

    def __init__(self, shape=None, multiple=4):
        super().__init__(shape)
        self.multiple = multiple

    def swizzle_data(self, data):
        padding = -data.shape[0] % self.multiple
        return torch.nn.functional.pad(data.flip(0), (0, 0, 0, padding))

    def unswizzle_data(self, data):
        return data[: self.initial_shape[0]].flip(0)

    def swizzle_block_shape(self, block_shape):
        return block_shape


# --- element types


@pytest.mark.parametrize(
    ("element", "bits"),
    [
        (BIT, 1),
        (FP4, 4),
        (IntegerType(7), 7),
        (FloatType(8, 0, False), 8),
        (torch.uint8, 8),
        (torch.float8_e4m3fn, 8),
        (torch.bfloat16, 16),
        (torch.int64, 64),
    ],
)
def test_an_element_type_knows_its_bits(element, bits):
    assert bitwidth(element) == bits


def test_element_types_are_values():
    assert {IntegerType(1), FloatType(2, 1, True)} == {BIT, FP4}
    assert IntegerType(2) != BIT
    assert pickle.loads(pickle.dumps(FP4)) == FP4
    with pytest.raises(AttributeError):
        BIT.bitwidth = 2


def test_what_is_no_element_type_is_named():
    with pytest.raises(TypeError, match=r"type: expected a torch\.dtype, IntegerType or FloatType"):
        bitwidth("fp4")
    with pytest.raises(ValueError, match="bitwidth: expected at least 1"):
        IntegerType(0)
    with pytest.raises(ValueError, match="FloatType: expected bit widths"):
        FloatType(0, 0, False)


# --- storage


def test_storage_is_strided_unless_told_otherwise():
    storage = Storage(torch.zeros(2, 3))
    assert storage.layout == StridedLayout([2, 3])
    assert storage.device == torch.device("cpu")
    with pytest.raises(TypeError, match=r"data: expected a torch\.Tensor, got \[1\]"):
        Storage([1])


@pytest.mark.parametrize(
    ("data", "compliant"),
    [
        (torch.zeros(4, 8, dtype=torch.bfloat16), True),
        (torch.zeros(4, 8, dtype=torch.bfloat16).t(), True),
        (torch.zeros(4, 7, dtype=torch.bfloat16), False),
        (torch.zeros(4, 16, dtype=torch.bfloat16)[:, ::2], False),
        (torch.zeros(2, 4, 8, dtype=torch.bfloat16), True),
        (torch.zeros(2, 2, 4, 8, dtype=torch.bfloat16), False),
        (torch.zeros(1, 2, 2, 4, 8, dtype=torch.bfloat16), True),
        (torch.zeros(8, dtype=torch.bfloat16), False),
        (torch.zeros(4, 16, dtype=torch.uint8), False),
        (torch.zeros(4, 32, dtype=torch.uint8), True),
        (torch.zeros(4, 16, dtype=torch.float8_e5m2), True),
        # Two strides of 1: only the first is the contiguous one.
        (torch.zeros(8, 1, dtype=torch.bfloat16), False),
    ],
)
def test_tma_needs_16_byte_strides_beside_the_contiguous_one(data, compliant):
    with override(Target("cuda", 90)):
        assert Storage(data).is_tma_compliant() is compliant
    for target in (Target("cuda", 80), Target("hip", "gfx950"), Target("", 0)):
        with override(target):
            assert Storage(data).is_tma_compliant() is False


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("mode", ["dense", "gather", "scatter"])
def test_a_dense_descriptor_has_its_contiguous_dimension_last(transposed, mode):
    data = torch.zeros(32, 64, dtype=torch.bfloat16)
    block = [16, 8]
    descriptor = Storage(data.t() if transposed else data).make_tma(block, mode)
    assert list(descriptor.shape) == [32, 64]
    assert list(descriptor.strides) == [64, 1]
    assert list(descriptor.block_shape) == ([8, 16] if transposed else [16, 8])
    assert block == [16, 8]


def test_an_unknown_kind_of_descriptor_is_named():
    with pytest.raises(ValueError, match="mode: expected 'dense', 'gather', 'scatter' or 'ragged'"):
        Storage(torch.zeros(32, 64)).make_tma([8, 8], "sparse")


# --- Tensor


def test_a_tensor_answers_like_a_torch_tensor():
    data = torch.zeros(4, 6, dtype=torch.bfloat16)[:, ::2]
    x = Tensor(data)
    assert (x.dtype, x.shape, x.shape_max) == (torch.bfloat16, [4, 3], [4, 3])
    assert (x.ndim, x.dim(), x.size(), x.size(1)) == (2, 2, [4, 3], 3)
    assert (x.stride(), x.stride(1), x.numel(), x.element_size()) == ((6, 2), 2, 12, 2)
    assert x.data is data
    assert x.data_ptr() == data.data_ptr()
    assert x.device == data.device


def test_a_size_can_live_on_the_device_if_its_maximum_is_known():
    count = torch.tensor([2])
    x = Tensor(torch.zeros(4, 6), shape=[count, 6], shape_max=[4, None])
    assert x.shape[0] is count
    assert x.shape_max == [4, 6]


def test_a_tensor_does_not_share_the_lists_it_was_made_from():
    shape, shape_max = [4, 6], [4, None]
    x = Tensor(torch.zeros(4, 6), shape=shape, shape_max=shape_max)
    x.shape[0] = 2
    assert (shape, shape_max) == ([4, 6], [4, None])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"storage": [1]}, TypeError, "storage: expected a Storage or a torch.Tensor"),
        ({"dtype": FP4}, ValueError, "shape: expected a shape"),
        ({"shape": [4, "6"]}, ValueError, "shape: expected ints or 1-element tensors, got '6'"),
        ({"shape": [4, torch.zeros(2)]}, ValueError, "shape: expected ints or 1-element"),
        ({"shape": [4, 6], "shape_max": [4]}, ValueError, "shape_max: expected 2 entries"),
        ({"shape": [torch.tensor([1]), 6]}, ValueError, "shape_max: expected an int where"),
        ({"shape": [4, 6], "shape_max": [4.0, 6]}, ValueError, "shape_max: expected an int"),
    ],
)
def test_what_makes_no_tensor_is_named(arguments, error, text):
    with pytest.raises(error, match=text):
        Tensor(**{"storage": torch.zeros(4, 6), **arguments})


def test_wrapping_counts_packed_elements_along_the_contiguous_dimension():
    data = torch.zeros(4, 8, dtype=torch.uint8)
    assert wrap_torch_tensor(data, FP4).shape == [4, 16]
    assert wrap_torch_tensor(data.t(), FP4).shape == [16, 4]
    assert wrap_torch_tensor(data).shape == [4, 8]
    assert wrap_torch_tensor(data, FP4).dtype == FP4
    with pytest.raises(ValueError, match="torch_tensor: expected a dimension of stride 1"):
        wrap_torch_tensor(data[:, ::2], FP4)
    with pytest.raises(ValueError, match="dtype: expected a type of which"):
        wrap_torch_tensor(data, torch.int32)


# --- layouts


def test_layouts_of_equal_parameters_are_equal():
    assert StridedLayout([2, 3]) == StridedLayout((2, 3)) == StridedLayout(torch.zeros(2, 3).shape)
    assert StridedLayout([2, 3]) != StridedLayout([3, 2])
    assert StridedLayout([2, 3]) != ReversedLayout([2, 3])
    assert ReversedLayout([2], multiple=2) != ReversedLayout([2], multiple=3)
    assert len({StridedLayout([2]), StridedLayout([2]), StridedLayout([3])}) == 2
    assert repr(ReversedLayout([2])) == "ReversedLayout(initial_shape=(2,), multiple=4)"
    assert StridedLayout.name is None


def test_the_layout_of_anything():
    x = wrap_torch_tensor(torch.zeros(2, 3))
    assert get_layout(None) is None
    assert get_layout(x) is x.storage.layout
    assert get_layout(x.data) is StridedLayout


@pytest.mark.parametrize("form", ["class", "instance"])
def test_a_tensor_goes_into_another_layout_and_back(form):
    data = torch.arange(30.0).view(5, 6)
    count = torch.tensor([3])
    x = Tensor(data, shape=[count, 6], shape_max=[5, None])
    if form == "class":
        there = convert_layout(x, ReversedLayout, multiple=8)
    else:
        there = convert_layout(x, ReversedLayout(multiple=8))
    assert there.data.shape == (8, 6)
    assert there.storage.layout == ReversedLayout([5, 6], multiple=8)
    assert there.shape[0] is count
    assert (there.dtype, there.shape_max) == (torch.float32, [5, 6])
    back = convert_layout(there, StridedLayout)
    assert torch.equal(back.data, data)
    assert back.storage.layout == StridedLayout([5, 6])


def test_converting_names_what_it_cannot_take():
    x = wrap_torch_tensor(torch.zeros(2, 3))
    with pytest.raises(TypeError, match="tensor: expected a triton_kernels Tensor"):
        convert_layout(x.data, StridedLayout)
    with pytest.raises(TypeError, match="layout: expected a Layout or a class of layouts"):
        convert_layout(x, "strided")
    with pytest.raises(TypeError, match="layout_kwargs: expected none beside an instance"):
        convert_layout(x, ReversedLayout(), multiple=2)


# --- Bitmatrix


def test_a_bitmatrix_is_a_tensor_of_bits():
    x = Bitmatrix(WORDS, dtype=BIT, shape=[4, 40])
    assert (x.dtype, x.shape, x.shape_max) == (BIT, [4, 40], [4, 40])
    assert isinstance(x, Tensor)
    assert (x.n_rows, x.n_rows_max, x.n_columns) == (4, 4, 40)
    assert Bitmatrix(WORDS, BIT, [2, 40], [4, 40]).shape_max == [4, 40]
    assert Bitmatrix(Storage(WORDS), dtype=BIT, shape=[4, 40]).data is WORDS


@pytest.mark.parametrize(
    ("positional", "keywords", "shape", "shape_max"),
    [
        (([4, 40],), {}, [4, 40], [4, 40]),
        (((2, 40),), {"shape_max": [4, None]}, [2, 40], [4, 40]),
        (([2, 40], [4, None]), {}, [2, 40], [4, 40]),
        ((torch.Size([4, 40]),), {}, [4, 40], [4, 40]),
    ],
)
def test_the_shape_can_still_stand_second(positional, keywords, shape, shape_max):
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM121") as caught:
        x = Bitmatrix(WORDS, *positional, **keywords)
    assert (x.dtype, x.shape, x.shape_max) == (BIT, shape, shape_max)
    assert [(w.filename, w.message.code) for w in caught] == [(__file__, "TKM121")]


@pytest.mark.parametrize("scratchpad", [None, torch.zeros(512, dtype=torch.int32)])
def test_a_scratchpad_is_taken_and_ignored(scratchpad):
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM120"):
        assert Bitmatrix(WORDS, shape=[4, 40], scratchpad=scratchpad).shape == [4, 40]
    for shape_max in ([4, None], None):
        with pytest.warns(TritonKernelsDeprecationWarning, match="TKM121"):
            x = Bitmatrix(WORDS, [4, 40], shape_max, scratchpad)
        assert (x.shape, x.shape_max) == ([4, 40], [4, 40])


def test_a_bitmatrix_needs_no_dtype_but_warns_without():
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM121") as caught:
        x = Bitmatrix(WORDS, shape=[4, 40])
    assert (x.dtype, x.shape) == (BIT, [4, 40])
    assert [warning.filename for warning in caught] == [__file__]


def test_the_oldest_bitmatrix_had_its_scratchpad_third():
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM121"):
        x = Bitmatrix(WORDS, [4, 40], torch.zeros(512, dtype=torch.int32))
    assert (x.shape, x.shape_max) == ([4, 40], [4, 40])


def test_a_bitmatrix_can_still_be_asked_for_its_sums():
    words = torch.tensor([[5], [4]], dtype=torch.int32).view(torch.uint32)
    x = Bitmatrix(words, dtype=BIT, shape=[2, 3])
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM122"):
        sums, partials = x.sum(partials_block_size=32)
    assert sums.tolist() == [1, 0, 2]
    assert torch.equal(partials, sum_bitmatrix_rows(x, 32)[1])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"dtype": FP4}, ValueError, "dtype: expected BIT"),
        ({"dtype": torch.uint32}, ValueError, "dtype: expected BIT, got torch.uint32"),
        ({"shape": None}, ValueError, "shape: expected a shape"),
        ({"shape": [4]}, ValueError, "shape: expected 2 entries"),
        ({"shape": [4, 65]}, ValueError, r"storage: expected at least \[4, 3\] words"),
        ({"shape": [5, 40]}, ValueError, r"storage: expected at least \[5, 2\] words"),
        ({"storage": torch.zeros(4, 2)}, TypeError, "storage: expected uint32 or int32 words"),
    ],
)
def test_what_makes_no_bitmatrix_is_named(arguments, error, text):
    with pytest.raises(error, match=text):
        Bitmatrix(**{"storage": WORDS, "dtype": BIT, "shape": [4, 40], **arguments})


# --- the other records


def test_a_sparse_matrix_unpacks_as_the_old_tuple_and_warns():
    indx, vals = torch.tensor([[1, 2]]), torch.ones(1, 2)
    mask = Bitmatrix(WORDS[:1, :1], dtype=BIT, shape=[1, 3])
    matrix = SparseMatrix(indx, vals, mask)
    assert (matrix.indx, matrix.vals, matrix.mask) == (indx, vals, mask)
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM301") as caught:
        a, b, c = matrix
    assert a is vals and b is indx and c is mask
    assert [warning.filename for warning in caught] == [__file__]


def test_a_ragged_tensor_answers_to_the_later_name_of_its_sizes():
    sizes = torch.tensor([2, 1], dtype=torch.int32)
    x = RaggedTensor(sizes, torch.zeros(3, 8), make_ragged_tensor_metadata(sizes, 3))
    assert x.slice_sizes is x.batch_sizes is sizes


def test_every_listed_name_exists():
    missing = [name for name in tensor.__all__ if not hasattr(tensor, name)]
    assert missing == []
