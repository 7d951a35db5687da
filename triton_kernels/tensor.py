"""Tensors of the library: how the elements are stored, typed, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels.deprecation import old_attribute, warn_deprecated
from triton_kernels.old_arguments import renamed_arguments
from triton_kernels.target_info import cuda_capability_geq
from triton_kernels.tensor_details import bitmatrix as bitmatrix_details
from triton_kernels.tensor_details import ragged_tensor as ragged_tensor_details
from triton_kernels.tensor_details.bitmatrix import (
    BitmatrixMetadata,
    make_bitmatrix_metadata,
    make_bitmatrix_metadata_torch,
)
from triton_kernels.tensor_details.bitmatrix_details.words import n_words
from triton_kernels.tensor_details.checks import is_int, wrong_type, wrong_value
from triton_kernels.tensor_details.dtype import (
    BIT,
    FP4,
    DType,
    FloatType,
    IntegerType,
    bitwidth,
)
from triton_kernels.tensor_details.layout import Layout, StridedLayout
from triton_kernels.tensor_details.padding import RowCount
from triton_kernels.tensor_details.ragged_tensor import (
    RaggedTensorMetadata,
    make_ragged_tensor_metadata,
    make_ragged_tensor_metadata_torch,
    remap_ragged_tensor_metadata,
    remap_ragged_tensor_metadata_torch,
)

__all__ = [
    "BIT",
    "FP4",
    "Bitmatrix",
    "BitmatrixMetadata",
    "FloatType",
    "IntegerType",
    "Layout",
    "RaggedTensor",
    "RaggedTensorMetadata",
    "SparseMatrix",
    "Storage",
    "StridedLayout",
    "Tensor",
    "bitmatrix_details",
    "bitwidth",
    "convert_layout",
    "cuda_capability_geq",
    "get_layout",
    "make_bitmatrix_metadata",
    "make_bitmatrix_metadata_torch",
    "make_ragged_tensor_metadata",
    "make_ragged_tensor_metadata_torch",
    "ragged_tensor_details",
    "remap_ragged_tensor_metadata",
    "remap_ragged_tensor_metadata_torch",
    "wrap_torch_tensor",
]


@dataclass
class Storage:
    """Memory and the order of the elements in it.

    data: the memory, as torch sees it.
    layout: the order; plain strides if None.
    """

    data: torch.Tensor
    layout: Layout = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        if not isinstance(self.data, torch.Tensor):
            raise wrong_type("data", "a torch.Tensor", self.data)
        if self.layout is None:
            self.layout = StridedLayout(self.data.shape)

    @property
    def device(self) -> torch.device:
        """Where the memory is."""
        return self.data.device

    def is_tma_compliant(self) -> bool:
        """Whether TMA can address the data here.

        Needs compute capability 9.0, 2, 3 or 5 dimensions, and strides of a multiple of 16 bytes
        in every dimension but the first of stride 1 (PTX manual, tensor map).
        """
        if not cuda_capability_geq(9) or self.data.ndim not in (2, 3, 5):
            return False
        strides = list(self.data.stride())
        if 1 in strides:
            strides.remove(1)
        # A byte is taken for a pair of FP4, whose strides count elements.
        bits = 4 if self.data.dtype == torch.uint8 else bitwidth(self.data.dtype)
        return all(stride * bits % 128 == 0 for stride in strides)

    def make_tma(self, block_shape: Sequence[int], mode: str, transpose: bool = False) -> Any:
        """A host tensor descriptor: Triton's, or for mode "ragged" the pair that Triton makes.

        mode: "dense", "gather", "scatter", or "ragged" (ragged along the last dimension but one).
        Needs triton.
        """
        if mode in ("dense", "gather", "scatter"):
            return self.make_dense_tma(block_shape, transpose)
        if mode == "ragged":
            from triton.tools.ragged_tma import create_ragged_descriptor  # type: ignore[import-untyped]

            ragged_dim = self.data.ndim - 2
            return create_ragged_descriptor(self.data, list(block_shape), ragged_dim=ragged_dim)
        raise wrong_value("mode", "'dense', 'gather', 'scatter' or 'ragged'", mode)

    def make_dense_tma(self, block_shape: Sequence[int], transpose: bool = False) -> Any:
        """A host tensor descriptor for blocks of `block_shape`.  Needs triton.

        transpose: kept for old callers and ignored: the last two dimensions are exchanged where
            the last stride is not 1, as TMA wants it.
        """
        from triton.tools.tensor_descriptor import TensorDescriptor  # type: ignore[import-untyped]

        shape, strides = list(self.data.shape), list(self.data.stride())
        block = list(block_shape)
        if self.data.dtype == torch.uint8 and self.layout.name == "BLACKWELL_VALUE":
            # Two FP4 elements a byte, along the dimension of stride 1.
            packed_dim = strides.index(1)
            if shape[packed_dim] % 128 != 0:
                raise wrong_value("block_shape", "an inner size of a multiple of 128", shape)
            block[packed_dim] //= 2
        if strides[-1] != 1:
            for extents in (shape, strides, block):
                extents[-1], extents[-2] = extents[-2], extents[-1]
        block = self.layout.swizzle_block_shape(block)
        return TensorDescriptor(self.data, shape, strides, block)


@dataclass
class Tensor:
    """A tensor with an element type and a logical shape of its own.

    storage: `Storage`, or a torch tensor, which is wrapped.
    dtype: element type; that of the storage if None.
    shape: logical shape; that of the storage if None (not for types narrower than a byte).  An
        entry can be a 1-element tensor, whose value lives on the device.
    shape_max: the largest each entry of `shape` can be; entries None or left out are those of
        `shape`, which then must be ints.

    Raises TypeError or ValueError where these do not fit together.
    """

    storage: Storage
    dtype: DType = None  # type: ignore[assignment]  # filled in below, like the next two
    shape: list[Any] = None  # type: ignore[assignment]
    shape_max: list[int] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if isinstance(self.storage, torch.Tensor):
            self.storage = Storage(self.storage)
        if not isinstance(self.storage, Storage):
            raise wrong_type("storage", "a Storage or a torch.Tensor", self.storage)
        if self.dtype is None:
            self.dtype = self.storage.data.dtype
        if self.shape is None:
            if bitwidth(self.dtype) < 8:
                raise wrong_value("shape", "a shape, since the dtype is narrower than a byte", None)
            self.shape = list(self.storage.data.shape)
        self.shape = list(self.shape)
        for size in self.shape:
            if not (is_int(size) or getattr(size, "numel", lambda: 0)() == 1):
                raise wrong_value("shape", "ints or 1-element tensors", size)
        given = [None] * self.ndim if self.shape_max is None else list(self.shape_max)
        if len(given) != self.ndim:
            raise wrong_value("shape_max", f"{self.ndim} entries, as many as shape", given)
        self.shape_max = [
            size if maximum is None else maximum
            for size, maximum in zip(self.shape, given, strict=True)
        ]
        for maximum in self.shape_max:
            if not is_int(maximum):
                raise wrong_value("shape_max", "an int where shape holds a tensor", maximum)

    @property
    def ndim(self) -> int:
        """Number of logical dimensions."""
        return len(self.shape)

    @property
    def device(self) -> torch.device:
        """Where the data is."""
        return self.storage.device

    @property
    def data(self) -> torch.Tensor:
        """The stored data."""
        return self.storage.data

    def stride(self, i: int | None = None) -> Any:
        """Strides, or one of them, of the stored data."""
        return self.data.stride() if i is None else self.data.stride(i)

    def data_ptr(self) -> int:
        """Address of the stored data."""
        return self.data.data_ptr()

    def numel(self) -> int:
        """Number of stored elements (for FP4: of bytes)."""
        return self.data.numel()

    def element_size(self) -> int:
        """Whole bytes of an element: 0 for FP4."""
        return bitwidth(self.dtype) // 8

    def dim(self) -> int:
        """Number of logical dimensions."""
        return self.ndim

    def size(self, i: int | None = None) -> Any:
        """Logical shape, or one entry of it."""
        return self.shape if i is None else self.shape[i]


_NOT_GIVEN: Any = object()


class Bitmatrix(Tensor):
    """A matrix of bits [n_rows, E], 32 columns to a word.

    storage: uint32 (or int32) words [n_rows_max, ceil(E / 32)] of any strides; column `c` is bit
        `c % 32`, lowest first, of word `c // 32`.
    shape: [n_rows, E]; `n_rows` can be a 1-element tensor, then `shape_max` is needed.
    shape_max: [n_rows_max, E].

    Older forms are taken, with a warning: shape as second positional argument
    (`Bitmatrix(storage, shape, shape_max, scratchpad)`), no dtype at all, and `scratchpad`, which
    is ignored.
    """

    _mask_of: torch.Tensor | None = None
    """`indx` of the `SparseMatrix` whose mask it is."""

    def __init__(
        self,
        storage: Storage | torch.Tensor,
        dtype: DType = _NOT_GIVEN,
        shape: Sequence[RowCount] | None = None,
        shape_max: Sequence[int | None] | None = None,
        scratchpad: Any = _NOT_GIVEN,
    ) -> None:
        if isinstance(dtype, (list, tuple)):
            warn_deprecated("TKM121")
            old_shape, dtype = dtype, BIT
            # The scratchpad, last by position; the oldest form had no shape_max before it.
            if isinstance(shape, torch.Tensor):
                shape = None
            if isinstance(shape_max, torch.Tensor):
                shape_max = None
            shape, shape_max = old_shape, shape if shape is not None else shape_max
        if scratchpad is not _NOT_GIVEN:
            warn_deprecated("TKM120")
        elif dtype is _NOT_GIVEN:
            warn_deprecated("TKM121")
        super().__init__(storage, BIT if dtype is _NOT_GIVEN else dtype, shape, shape_max)  # type: ignore[arg-type]

    @classmethod
    def of_words(cls, words: torch.Tensor, n_rows: RowCount, shape: Sequence[int]) -> Bitmatrix:
        """The record over words that one of our ops has made: nothing is left to check.

        shape: [n_rows_max, E].
        """
        self = cls.__new__(cls)
        self.storage = Storage(words)
        self.dtype = BIT
        n_rows_max, n_columns = shape
        self.shape = [n_rows, n_columns]
        self.shape_max = [n_rows_max, n_columns]
        return self

    def __post_init__(self) -> None:
        if self.dtype != BIT:
            raise wrong_value("dtype", "BIT", self.dtype)
        super().__post_init__()
        if self.ndim != 2:
            raise wrong_value("shape", "2 entries", self.shape)
        if self.data.dtype not in (torch.uint32, torch.int32):
            raise wrong_type("storage", "uint32 or int32 words", self.data)
        needed = (self.n_rows_max, n_words(self.n_columns))
        if self.data.ndim != 2 or any(
            have < need for have, need in zip(self.data.shape, needed, strict=True)
        ):
            raise wrong_value("storage", f"at least {list(needed)} words", self.data)

    @property
    def n_rows(self) -> RowCount:
        """Number of rows that take part: an int, or a 1-element tensor."""
        return self.shape[0]  # type: ignore[no-any-return]

    @property
    def n_rows_max(self) -> int:
        """Number of rows that are stored."""
        return self.shape_max[0]

    @property
    def n_columns(self) -> int:
        """Number of columns.  `shape` alone says it: pruning narrows it there."""
        return self.shape[1]  # type: ignore[no-any-return]

    def sum(self, partials_block_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """`sum_bitmatrix_rows`, as it was once called; warns."""
        warn_deprecated("TKM122")
        return bitmatrix_details.sum_bitmatrix_rows(self, partials_block_size)

    @property
    def scratchpad(self) -> None:
        """None: column sums need no scratch memory any more; warns."""
        warn_deprecated("TKM123")

    @property
    def metadata(self) -> BitmatrixMetadata:
        """`SparseMatrix.mask_metadata` of the matrix whose mask this is; warns."""
        warn_deprecated("TKM132")
        if self._mask_of is None:
            raise AttributeError("a Bitmatrix has metadata only as the mask of a SparseMatrix")
        return make_bitmatrix_metadata(self._mask_of, self)


@dataclass
class RaggedTensor:
    """A tensor whose rows fall into slices of different sizes.

    batch_sizes: int32 [E], rows of each slice.
    data: the rows, slice after slice.
    metadata: what follows from the sizes.
    """

    batch_sizes: torch.Tensor
    data: torch.Tensor
    metadata: RaggedTensorMetadata

    @property
    def slice_sizes(self) -> torch.Tensor:
        """`batch_sizes`, as later releases call it."""
        return self.batch_sizes


class _ComputedOnce:
    """`functools.cached_property` without its lock, which torch.compile cannot enter.

    (Python 3.12 dropped that lock, too.)
    """

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, record: Any, owner: type | None = None) -> Any:
        if record is None:
            return self
        value = self.compute(record)
        setattr(record, self.name, value)  # which is found before this descriptor from now on
        return value


@dataclass
class SparseMatrix:
    """A matrix of at most k entries a row.

    indx: integers [n_rows_max, k], the column of each slot; -1 marks an unused slot.
    vals: floats [n_rows_max, k], the value of each slot.
    mask: shape [n_rows, E], a bit for each entry.

    `mask_metadata` is computed from `indx` and the shape of `mask` when it is first read, once.

    Iterating gives (vals, indx, mask), the tuple that `topk` once returned, and warns.
    """

    indx: torch.Tensor
    vals: torch.Tensor
    mask: Bitmatrix

    def __post_init__(self) -> None:
        # For the old `mask.metadata`; of the columns alone, as a cycle would hold GPU memory.
        if isinstance(self.mask, Bitmatrix):
            self.mask._mask_of = self.indx

    @_ComputedOnce
    def mask_metadata(self) -> BitmatrixMetadata:
        """Column counts, and the order that sorts the slots by column."""
        return make_bitmatrix_metadata(self.indx, self.mask)

    def __iter__(self) -> Iterator[torch.Tensor | Bitmatrix]:
        warn_deprecated("TKM301")
        return iter((self.vals, self.indx, self.mask))


RaggedTensor.__init__ = renamed_arguments(  # type: ignore[method-assign]
    "", slice_sizes="batch_sizes"
)(RaggedTensor.__init__)


def get_layout(tensor: torch.Tensor | Tensor | None) -> Layout | type[Layout] | None:
    """The layout of a `Tensor`; of a torch tensor the class `StridedLayout`; of None, None."""
    if tensor is None:
        return None
    if isinstance(tensor, Tensor):
        return tensor.storage.layout
    return StridedLayout


def wrap_torch_tensor(torch_tensor: torch.Tensor, dtype: DType | None = None) -> Tensor:
    """A torch tensor as `Tensor`.

    dtype: element type; narrower than that of the tensor where it holds several to an element,
        packed along its first dimension of stride 1: uint8 [4, 8] as FP4 has shape [4, 16].

    Raises ValueError where no dimension has stride 1, or elements do not fit evenly.
    """
    if dtype is None:
        dtype = torch_tensor.dtype
    shape = list(torch_tensor.shape)
    if 1 not in torch_tensor.stride():
        strides = list(torch_tensor.stride())
        raise wrong_value("torch_tensor", "a dimension of stride 1", strides)
    packed, rest = divmod(bitwidth(torch_tensor.dtype), bitwidth(dtype))
    if rest or not packed:
        raise wrong_value("dtype", f"a type of which {torch_tensor.dtype} holds several", dtype)
    shape[torch_tensor.stride().index(1)] *= packed
    return Tensor(Storage(torch_tensor), dtype=dtype, shape=shape)


def convert_layout(tensor: Tensor, layout: Layout | type[Layout], **layout_kwargs: Any) -> Tensor:
    """The same tensor, stored in another layout.

    layout: a layout, or the class of one, which is then made with the shape of the stored data
        and `layout_kwargs`.
    """
    if not isinstance(tensor, Tensor):
        raise wrong_type("tensor", "a triton_kernels Tensor", tensor)
    data = tensor.storage.layout.unswizzle_data(tensor.data)
    if isinstance(layout, Layout):
        if layout_kwargs:
            raise wrong_type("layout_kwargs", "none beside an instance", sorted(layout_kwargs))
        layout = layout.for_shape(data.shape)
    elif isinstance(layout, type) and issubclass(layout, Layout):
        layout = layout(data.shape, **layout_kwargs)
    else:
        raise wrong_type("layout", "a Layout or a class of layouts", layout)
    stored = Storage(layout.swizzle_data(data), layout)
    return Tensor(stored, dtype=tensor.dtype, shape=tensor.shape, shape_max=tensor.shape_max)


def __getattr__(name: str) -> Any:
    return old_attribute(__name__, name)
