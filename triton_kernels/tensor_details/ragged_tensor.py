"""What a ragged product needs to know of its slices: sizes, offsets, and the schedule of blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from triton_kernels import dispatch, ops
from triton_kernels.old_arguments import renamed_arguments
from triton_kernels.target_info import is_hip
from triton_kernels.tensor_details.checks import is_int, wrong_type, wrong_value
from triton_kernels.tensor_details.ragged_tensor_details.old_names import (
    BlockTable,
    OldExptDataNames,
)
from triton_kernels.tensor_details.ragged_tensor_details.remap import remap_blocks, remap_slices

__all__ = [
    "RaggedTensorMetadata",
    "empty_aligned",
    "exact_div",
    "make_ragged_tensor_metadata",
    "make_ragged_tensor_metadata_torch",
    "max_n_tiles",
    "remap_ragged_tensor_metadata",
    "remap_ragged_tensor_metadata_torch",
]

# The schedule is as wide as the smallest block size makes it.
_MIN_BLOCK_SIZE = 16

# A kernel loads and stores metadata 512 int32 at a time, so rows begin at multiples of that.
ROW_ALIGNMENT = 512

# The low half of a schedule entry is the slice; 0xffff is the low half of "none".
_MAX_SLICES = 0xFFFF

# Where a record keeps its rows by block size.
_TABLES = ("_block_offs_rows", "_block_schedule_rows")


@dataclass
class RaggedTensorMetadata(OldExptDataNames):
    """Where the slices of a ragged tensor lie, and how they fall into blocks.

    With E slices (for a mixture of experts: the tokens of each expert, side by side) and S block
    sizes (16, 32, 64, 128, on AMD also 256):

    batch_sizes: int32 [E], rows of each slice.
    batch_offs: int32 [E + 1], first row of each slice, and the number of rows.
    block_offs_data: int32 [S, E + 1]; for each block size, number of the first block of each
        slice, and the number of blocks.  A block holds rows of one slice only.
    block_schedule_data: int32 [S, W]; for each block size and block, `(block << 16) | slice` with
        the block's number inside its slice; -1 after the last block.  W is `max_n_tiles(E, rows)`.

    Example, sizes [15, 17, 0, 127] and 159 rows, W = 13:

        batch_offs         =  0, 15, 32, 32, 159
        block_offs(16)     =  0, 1, 3, 3, 11
        block_offs(128)    =  0, 1, 2, 2, 3
        block_schedule(16)  as (block, slice):
            (0,0) (0,1) (1,1) (0,3) (1,3) (2,3) (3,3) (4,3) (5,3) (6,3) (7,3) -1 -1
        block_schedule(128) as (block, slice):
            (0,0) (0,1) (0,3) and ten -1

    Limits: 65535 slices, 32768 blocks in a slice.
    Raises TypeError unless everything is int32, ValueError unless the last two have S rows.
    """

    batch_sizes: torch.Tensor
    batch_offs: torch.Tensor
    block_offs_data: torch.Tensor
    block_schedule_data: torch.Tensor

    def __post_init__(self) -> None:
        for name in ("batch_sizes", "batch_offs", "block_offs_data", "block_schedule_data"):
            tensor = getattr(self, name)
            if tensor is not None and tensor.dtype != torch.int32:
                raise wrong_type(name, "dtype int32", tensor)
        n_block_sizes = len(self.block_sizes())
        for name in ("block_offs_data", "block_schedule_data"):
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape[0] != n_block_sizes:
                raise wrong_value(name, f"{n_block_sizes} rows, one a block size", tensor)

    @classmethod
    def of_parts(
        cls,
        batch_sizes: torch.Tensor,
        batch_offs: torch.Tensor,
        block_offs_data: torch.Tensor,
        block_schedule_data: torch.Tensor,
    ) -> RaggedTensorMetadata:
        """The record of what one of our ops has made: nothing is left to check."""
        self = cls.__new__(cls)
        self.batch_sizes = batch_sizes
        self.batch_offs = batch_offs
        self.block_offs_data = block_offs_data
        self.block_schedule_data = block_schedule_data
        return self

    def __getstate__(self) -> dict[str, object]:
        # The tables are views, which a pickle would turn into copies.
        return {name: value for name, value in vars(self).items() if name not in _TABLES}

    @property
    def slice_sizes(self) -> torch.Tensor:
        """`batch_sizes`, as later releases call it."""
        return self.batch_sizes

    @property
    def slice_offs(self) -> torch.Tensor:
        """`batch_offs`, as later releases call it."""
        return self.batch_offs

    @property
    def n_slices(self) -> int:
        """E, the number of slices."""
        return self.batch_sizes.shape[0]

    @staticmethod
    def block_sizes_log2() -> range:
        """Exponents of the block sizes on this device."""
        return range(4, 9 if is_hip() else 8)

    @staticmethod
    def block_sizes() -> list[int]:
        """Block sizes on this device, ascending: the rows of the two matrices."""
        return [1 << exponent for exponent in RaggedTensorMetadata.block_sizes_log2()]

    @staticmethod
    def n_blocks(n_slices: int, n_total_rows: int, block_size: int) -> int:
        """Most blocks that `n_total_rows` rows in `n_slices` slices can fall into.

        Worst is one row in every slice but the last, and there all the others.
        """
        if n_total_rows <= n_slices:
            return n_total_rows
        return n_slices - 1 + -(-(n_total_rows - n_slices + 1) // block_size)

    @staticmethod
    def max_n_blocks(n_slices: int, n_total_rows: int) -> int:
        """Most blocks at any block size: the width of the schedule."""
        return RaggedTensorMetadata.n_blocks(n_slices, n_total_rows, _MIN_BLOCK_SIZE)

    @staticmethod
    def max_n_tiles(n_slices: int, n_total_rows: int) -> int:
        """`max_n_blocks`, as release 3.6 calls it."""
        return RaggedTensorMetadata.max_n_blocks(n_slices, n_total_rows)

    def block_offs(self, block_size: int) -> torch.Tensor:
        """int32 [E + 1]: the row of `block_offs_data` for `block_size`."""
        return self._row(self.block_offs_table(), block_size)

    def block_schedule(self, block_size: int) -> torch.Tensor:
        """int32 [W]: the row of `block_schedule_data` for `block_size`."""
        return self._row(self.block_schedule_table(), block_size)

    def block_offs_table(self) -> BlockTable | None:
        """Every row of `block_offs_data` by block size: always the same tensors."""
        return self._table(_TABLES[0], self.block_offs_data)

    def block_schedule_table(self) -> BlockTable | None:
        """Every row of `block_schedule_data` by block size: always the same tensors."""
        return self._table(_TABLES[1], self.block_schedule_data)

    def _table(self, kept_as: str, rows: torch.Tensor | None) -> BlockTable | None:
        """The rows by block size, made once (asking for the device and slicing take 10 us)."""
        if rows is None:
            return None
        kept: tuple[torch.Tensor, BlockTable] | None = self.__dict__.get(kept_as)
        if kept is None or kept[0] is not rows:
            kept = (rows, BlockTable.of_rows(self.block_sizes(), rows))
            self.__dict__[kept_as] = kept
        return kept[1]

    @staticmethod
    def _row(table: BlockTable | None, block_size: int) -> torch.Tensor:
        if table is None or block_size not in table:
            raise wrong_value("block_size", f"one of {list(table or ())}", block_size)
        return table[block_size]


RaggedTensorMetadata.__init__ = renamed_arguments(  # type: ignore[method-assign]
    "", slice_sizes="batch_sizes", slice_offs="batch_offs"
)(RaggedTensorMetadata.__init__)


def exact_div(x: int, y: int) -> int:
    """`x // y`; ValueError where that leaves a remainder."""
    if x % y != 0:
        raise wrong_value("x", f"a multiple of {y}", x)
    return x // y


def empty_aligned(
    shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str, pad_size: int
) -> tuple[torch.Tensor, int]:
    """Uninitialised memory of `shape` whose rows begin at multiples of `pad_size` elements.

    Returns the tensor and the number of elements allocated, padding included:
    `empty_aligned((2, 3), dtype, device, 8)` gives strides (8, 1) and 16.
    """
    *lead, width = shape
    padded = torch.empty((*lead, -(-width // pad_size) * pad_size), dtype=dtype, device=device)
    return padded[..., :width], padded.numel()


@renamed_arguments("TKM009", n_expts_tot="n_batches")
def max_n_tiles(n_batches: int, n_gates: int) -> int:
    """`RaggedTensorMetadata.max_n_blocks`, as it was called first."""
    return RaggedTensorMetadata.max_n_blocks(n_batches, n_gates)


@renamed_arguments("", slice_sizes="batch_sizes", n_total_rows="n_gates")
def make_ragged_tensor_metadata(batch_sizes: torch.Tensor, n_gates: int) -> RaggedTensorMetadata:
    """Offsets and block schedule of slices of the given sizes.

    batch_sizes: int32 [E]; kept as it is, not copied.
    n_gates: upper bound of the number of rows, which alone decides the width of the schedule.
        Where the sizes make more blocks than fit, the schedule is cut at its width.
    Both can be given by the keywords of release 3.6, slice_sizes and n_total_rows.

    Raises TypeError where `batch_sizes` is no int32 tensor, ValueError where it has not 1
    dimension or more than 65535 elements, or `n_gates` is negative.
    """
    _check(batch_sizes, n_gates)
    run = ops.ragged_tensor_metadata if dispatch.is_traced(batch_sizes) else schedule
    offs, blocks = run(batch_sizes, n_gates)
    return RaggedTensorMetadata.of_parts(batch_sizes, offs[0], offs[1:], blocks)


@renamed_arguments("", slice_sizes="batch_sizes", n_total_rows="n_gates")
def make_ragged_tensor_metadata_torch(
    batch_sizes: torch.Tensor, n_gates: int
) -> RaggedTensorMetadata:
    """`make_ragged_tensor_metadata` in plain torch, on any device."""
    _check(batch_sizes, n_gates)
    offs, blocks = _schedule(batch_sizes, n_gates)
    return RaggedTensorMetadata.of_parts(batch_sizes, offs[0], offs[1:], blocks)


def _check(batch_sizes: torch.Tensor, n_gates: int) -> None:
    if not isinstance(batch_sizes, torch.Tensor) or batch_sizes.dtype != torch.int32:
        raise wrong_type("batch_sizes", "an int32 tensor", batch_sizes)
    if batch_sizes.ndim != 1:
        raise wrong_value("batch_sizes", "1 dimension", batch_sizes)
    if batch_sizes.shape[0] > _MAX_SLICES:
        raise wrong_value("batch_sizes", f"at most {_MAX_SLICES} slices", batch_sizes)
    if not is_int(n_gates):
        raise wrong_type("n_gates", "an int", n_gates)
    if n_gates < 0:
        raise wrong_value("n_gates", "at least 0", n_gates)


def schedule(batch_sizes: torch.Tensor, n_gates: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(offsets of rows and, below them, of blocks; schedule), for arguments known to be right."""
    run = dispatch.choose(
        batch_sizes.device,
        reference=_schedule,
        kernel="triton_kernels.tensor_details.ragged_tensor_details._launch.schedule",
    )
    return run(batch_sizes, n_gates)


def allocate_schedule(batch_sizes: torch.Tensor, n_gates: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Memory for what `schedule` returns: int32 [S + 1, E + 1] and [S, W]."""
    n_slices, n_sizes = batch_sizes.shape[0], len(RaggedTensorMetadata.block_sizes_log2())
    width = RaggedTensorMetadata.max_n_blocks(n_slices, n_gates)
    shapes = (n_sizes + 1, n_slices + 1), (n_sizes, width)
    offs, blocks = (
        empty_aligned(shape, torch.int32, batch_sizes.device, ROW_ALIGNMENT)[0] for shape in shapes
    )
    return offs, blocks


def _schedule(batch_sizes: torch.Tensor, n_gates: int) -> tuple[torch.Tensor, torch.Tensor]:
    device = batch_sizes.device
    # Powers made on the device: a list would be copied there, which a CUDA graph cannot capture.
    exponents = RaggedTensorMetadata.block_sizes_log2()
    n_sizes = len(exponents)
    block_sizes = 2 ** torch.arange(exponents.start, exponents.stop, device=device).unsqueeze(1)
    offs, blocks = allocate_schedule(batch_sizes, n_gates)
    offs[:, 0] = 0
    torch.cumsum(batch_sizes, 0, dtype=torch.int32, out=offs[0, 1:])
    n_blocks = (batch_sizes + block_sizes - 1) // block_sizes
    torch.cumsum(n_blocks, 1, dtype=torch.int32, out=offs[1:, 1:])

    width = blocks.shape[1]
    position = torch.arange(width, dtype=torch.int32, device=device).expand(n_sizes, width)
    # The slice of a block is the first that ends behind it; so empty slices are skipped.
    ends = offs[1:, 1:].contiguous()
    slice_of = torch.searchsorted(ends, position.contiguous(), right=True)
    block_of = position - offs[1:].gather(1, slice_of)
    exists = position < offs[1:, -1:]
    blocks.copy_(torch.where(exists, (block_of << 16) | slice_of, -1))
    return offs, blocks


def remap_ragged_tensor_metadata(
    src_ragged_tensor_metadata: RaggedTensorMetadata, slice_map: torch.Tensor
) -> RaggedTensorMetadata:
    """The metadata of a part of the slices, under other numbers: those one shard of experts owns.

    slice_map: integer [E]; the new number of each slice, or -1 to drop it.  The result describes
        one consistent tensor only where the new numbers of the kept slices ascend from 0.

    Sizes and offsets are those of the kept slices, in old order, then -1; the offsets still point
    into the whole tensor.  Only the entry of `block_offs` behind the kept slices is new: it is the
    number of blocks in the schedule.  Sizes [15, 17, 0, 127] under the map [-1, 0, -1, 1] give

        batch_sizes     =  17, 127, -1, -1
        batch_offs      =  15, 32, -1, -1, -1
        block_offs(16)  =  1, 3, 10, -1, -1

    Raises TypeError or ValueError where `slice_map` is not integer or not [E].
    """
    _check_slice_map(src_ragged_tensor_metadata, slice_map)
    run = ops.remap_ragged_tensor_metadata if dispatch.is_traced(slice_map) else remap
    return RaggedTensorMetadata.of_parts(*run(*_parts(src_ragged_tensor_metadata), slice_map))


def remap_ragged_tensor_metadata_torch(
    src_ragged_tensor_metadata: RaggedTensorMetadata, slice_map: torch.Tensor
) -> RaggedTensorMetadata:
    """`remap_ragged_tensor_metadata` in plain torch, on any device."""
    _check_slice_map(src_ragged_tensor_metadata, slice_map)
    return RaggedTensorMetadata.of_parts(*_remap(*_parts(src_ragged_tensor_metadata), slice_map))


def _check_slice_map(src: RaggedTensorMetadata, slice_map: torch.Tensor) -> None:
    if slice_map.is_floating_point() or slice_map.dtype == torch.bool:
        raise wrong_type("slice_map", "an integer tensor", slice_map)
    if slice_map.shape != src.batch_sizes.shape:
        raise wrong_value("slice_map", f"shape [{src.n_slices}], one a slice", slice_map)
    device = src.batch_sizes.device
    if slice_map.device != device:
        raise wrong_value("slice_map", f"a tensor on {device}, where the sizes are", slice_map)


def _parts(
    metadata: RaggedTensorMetadata,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        metadata.batch_sizes,
        metadata.batch_offs,
        metadata.block_offs_data,
        metadata.block_schedule_data,
    )


def remap(
    batch_sizes: torch.Tensor,
    batch_offs: torch.Tensor,
    block_offs_data: torch.Tensor,
    block_schedule_data: torch.Tensor,
    slice_map: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The four tensors of the new record, for arguments that are known to be right."""
    run = dispatch.choose(
        slice_map.device,
        reference=_remap,
        kernel="triton_kernels.tensor_details.ragged_tensor_details._launch.remap",
    )
    return run(batch_sizes, batch_offs, block_offs_data, block_schedule_data, slice_map)


def _remap(
    batch_sizes: torch.Tensor,
    batch_offs: torch.Tensor,
    block_offs_data: torch.Tensor,
    block_schedule_data: torch.Tensor,
    slice_map: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    blocks, n_blocks = remap_blocks(block_schedule_data, slice_map)
    sizes, offs, block_offs = remap_slices(
        slice_map, batch_sizes, batch_offs, block_offs_data, n_blocks
    )
    return sizes, offs, block_offs, blocks
