"""Offsets and schedules are exact, fit their width, and answer to old names with a warning."""

from __future__ import annotations

import copy
import math
import pickle

import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from triton_kernels import TritonKernelsDeprecationWarning
from triton_kernels.target_info import Target, override
from triton_kernels.tensor_details.ragged_tensor import (
    RaggedTensorMetadata,
    empty_aligned,
    exact_div,
    make_ragged_tensor_metadata,
    make_ragged_tensor_metadata_torch,
    max_n_tiles,
    remap_ragged_tensor_metadata,
    remap_ragged_tensor_metadata_torch,
)

MAKERS = [make_ragged_tensor_metadata, make_ragged_tensor_metadata_torch]
REMAPS = [remap_ragged_tensor_metadata, remap_ragged_tensor_metadata_torch]


def int32(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def agrees(result: RaggedTensorMetadata, sizes: list[int], width: int) -> None:
    for tensor in (
        result.batch_sizes,
        result.batch_offs,
        result.block_offs_data,
        result.block_schedule_data,
    ):
        assert tensor.dtype == torch.int32
    assert result.batch_sizes.tolist() == sizes
    assert result.batch_offs.tolist() == oracle.running_sums(sizes)
    assert result.block_offs_data.shape == (4, len(sizes) + 1)
    assert result.block_schedule_data.shape == (4, width)
    for row, block in enumerate(oracle.BLOCK_SIZES):
        n_blocks = [math.ceil(size / block) for size in sizes]
        assert result.block_offs_data[row].tolist() == oracle.running_sums(n_blocks)
        assert result.block_schedule_data[row].tolist() == oracle.schedule(sizes, block, width)


@pytest.mark.parametrize("make", MAKERS)
def test_the_worked_example_of_four_slices(make):
    result = make(int32([15, 17, 0, 127]), 159)
    assert result.batch_offs.tolist() == [0, 15, 32, 32, 159]
    assert [result.block_offs(b).tolist() for b in oracle.BLOCK_SIZES] == [
        [0, 1, 3, 3, 11],
        [0, 1, 2, 2, 6],
        [0, 1, 2, 2, 4],
        [0, 1, 2, 2, 3],
    ]
    entries = [(0, 0), (0, 1), (1, 1), *[(block, 3) for block in range(8)]]
    assert result.block_schedule(16).tolist() == [b << 16 | s for b, s in entries] + [-1] * 2
    assert result.block_schedule(128).tolist() == [0, 1, 3] + [-1] * 10


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("n_slices", [0, 1, 7, 33, 128, 1500])
@pytest.mark.parametrize("n_gates", [0, 4, 16, 128, 1990])
def test_offsets_are_exact_and_the_schedule_is_cut_at_its_width(make, n_slices, n_gates):
    # Sizes do not depend on n_gates, so that more blocks come than fit.
    python, _ = oracle.fresh(n_slices, n_gates)
    sizes = [python.choice([0, python.randrange(200)]) for _ in range(n_slices)]
    width = n_gates
    if n_gates > n_slices:
        width = n_slices - 1 + math.ceil((n_gates - n_slices + 1) / 16)
    agrees(make(int32(sizes), n_gates), sizes, width)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=40))
def test_every_block_of_the_real_rows_fits_the_schedule(sizes):
    result = make_ragged_tensor_metadata(int32(sizes), sum(sizes))
    agrees(result, sizes, result.block_schedule_data.shape[1])
    for row, block in enumerate(oracle.BLOCK_SIZES):
        n_blocks = len(oracle.blocks(sizes, block))
        assert (result.block_schedule_data[row] >= 0).sum() == n_blocks
        assert n_blocks <= RaggedTensorMetadata.n_blocks(len(sizes), sum(sizes), block)


@pytest.mark.parametrize("make", MAKERS)
def test_offsets_beyond_the_integers_of_float32_are_exact(make):
    sizes = [2**24 + 1, 1, 2**24 + 3, 5]
    assert make(int32(sizes), 64).batch_offs.tolist() == oracle.running_sums(sizes)


@pytest.mark.parametrize("make", MAKERS)
def test_the_last_of_65535_slices_has_its_number_in_the_schedule(make):
    sizes = torch.zeros(65535, dtype=torch.int32)
    sizes[[0, 65534]] = int32([1, 40])
    result = make(sizes, 41)
    entries = [0, *[(block << 16) | 65534 for block in range(3)]]
    assert result.block_schedule(16).tolist() == entries + [-1] * 37
    assert result.batch_offs[-2:].tolist() == [1, 41]


@pytest.mark.parametrize("make", MAKERS)
def test_sizes_of_any_stride_are_read_right(make):
    sizes = torch.stack([int32([15, 17, 0, 127]), int32([1, 2, 3, 4])], dim=1)[:, 0]
    result = make(sizes, 159)
    assert result.batch_offs.tolist() == [0, 15, 32, 32, 159]
    assert result.block_offs(16).tolist() == [0, 1, 3, 3, 11]


@pytest.mark.parametrize("make", MAKERS)
def test_sizes_are_kept_not_copied(make):
    sizes = int32([3, 4])
    assert make(sizes, 7).batch_sizes is sizes


@pytest.mark.parametrize("make", MAKERS)
def test_rows_of_offsets_and_schedule_begin_where_a_kernel_loads(make):
    result = make(int32([3] * 600), 1800)
    assert result.block_offs_data.stride(0) % 512 == 0
    assert result.block_schedule_data.stride(0) % 512 == 0


def test_amd_has_a_fifth_block_size_and_nvidia_has_not():
    with override(Target("hip", "gfx950")):
        assert RaggedTensorMetadata.block_sizes() == [16, 32, 64, 128, 256]
        assert RaggedTensorMetadata.block_sizes_log2() == range(4, 9)
        result = make_ragged_tensor_metadata(int32([300, 20]), 320)
        assert result.block_offs(256).tolist() == [0, 2, 3]
        assert result.block_schedule(256).tolist()[:4] == [0, 1 << 16, 1, -1]
    with override(Target("cuda", 90)):
        assert RaggedTensorMetadata.block_sizes() == [16, 32, 64, 128]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((8, 8, 16), 8), ((8, 9, 16), 8), ((8, 9, 128), 8), ((8, 100, 16), 13), ((8, 100, 128), 8)],
)
def test_most_blocks_that_rows_can_fall_into(arguments, expected):
    assert RaggedTensorMetadata.n_blocks(*arguments) == expected


@pytest.mark.parametrize("n_slices", [1, 3, 6])
@pytest.mark.parametrize("n_rows", range(0, 60, 7))
def test_the_width_of_the_schedule_is_reached_and_never_exceeded(n_slices, n_rows):
    def splits(rows, slices):
        if slices == 1:
            yield [rows]
            return
        # Steps of 3 keep the list short; 1 and 0 are the interesting sizes.
        for first in {0, 1, *range(2, rows + 1, 3)} & set(range(rows + 1)):
            for rest in splits(rows - first, slices - 1):
                yield [first, *rest]

    most = max(len(oracle.blocks(sizes, 16)) for sizes in splits(n_rows, n_slices))
    assert max_n_tiles(n_slices, n_rows) == most
    assert RaggedTensorMetadata.max_n_tiles(n_slices, n_rows) == most
    assert RaggedTensorMetadata.max_n_blocks(n_slices, n_rows) == most


def test_later_names_of_sizes_and_offsets_are_the_same_tensors():
    result = make_ragged_tensor_metadata(int32([3, 4, 0]), 7)
    assert result.slice_sizes is result.batch_sizes
    assert result.slice_offs is result.batch_offs
    assert result.n_slices == 3


def test_an_unknown_block_size_is_answered_with_the_known_ones():
    result = make_ragged_tensor_metadata(int32([3]), 3)
    for method in (result.block_offs, result.block_schedule):
        with pytest.raises(ValueError, match=r"one of \[16, 32, 64, 128\], got 48"):
            method(48)


def test_rows_by_block_size_are_the_same_tensors_every_time_and_share_memory():
    result = make_ragged_tensor_metadata(int32([30, 4]), 34)
    assert result.block_offs(32) is result.block_offs(32)
    result.block_schedule(16)[0] = 77
    assert result.block_schedule_data[0, 0] == 77
    result.block_offs_data = result.block_offs_data + 1
    assert result.block_offs(16).tolist() == [1, 3, 4]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("sizes", "n_gates", "error", "text"),
    [
        (torch.zeros(3, dtype=torch.int64), 3, TypeError, "batch_sizes: expected an int32 tensor"),
        ([1, 2], 3, TypeError, "batch_sizes: expected an int32 tensor"),
        (torch.zeros(3, 1, dtype=torch.int32), 3, ValueError, "batch_sizes: expected 1 dimension"),
        (torch.zeros(65536, dtype=torch.int32), 3, ValueError, "batch_sizes: expected at most"),
        (torch.zeros(3, dtype=torch.int32), -1, ValueError, "n_gates: expected at least 0"),
        (torch.zeros(3, dtype=torch.int32), 2.0, TypeError, "n_gates: expected an int"),
    ],
)
def test_wrong_sizes_are_named(make, sizes, n_gates, error, text):
    with pytest.raises(error, match=text):
        make(sizes, n_gates)


def test_a_record_of_wrong_tensors_is_refused():
    good = torch.zeros(4, 2, dtype=torch.int32)
    with pytest.raises(ValueError, match="block_offs_data: expected 4 rows"):
        RaggedTensorMetadata(None, None, good[:3], good)
    with pytest.raises(TypeError, match="block_schedule_data: expected dtype int32"):
        RaggedTensorMetadata(None, None, good, good.long())
    with pytest.raises(TypeError, match="batch_sizes: expected dtype int32"):
        RaggedTensorMetadata(good[0].long(), None, good, good)


# --- slices dropped and renumbered


@pytest.mark.parametrize("remap", REMAPS)
def test_the_worked_example_of_a_remap(remap):
    source = make_ragged_tensor_metadata(int32([15, 17, 0, 127]), 159)
    result = remap(source, int32([-1, 0, -1, 1]))
    assert result.batch_sizes.tolist() == [17, 127, -1, -1]
    assert result.batch_offs.tolist() == [15, 32, -1, -1, -1]
    assert result.block_offs(16).tolist() == [1, 3, 10, -1, -1]


@pytest.mark.parametrize("remap", REMAPS)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("kept", ["some", "all", "none"])
@pytest.mark.parametrize("n_slices", [0, 1, 9, 133])
def test_kept_slices_stay_in_order_under_their_new_numbers(remap, dtype, kept, n_slices):
    python, _ = oracle.fresh(kept, n_slices)
    sizes = [python.choice([0, python.randrange(200)]) for _ in range(n_slices)]
    new = list(range(n_slices))
    python.shuffle(new)
    share = {"some": 0.5, "all": 2.0, "none": -1.0}[kept]
    slice_map = [number if python.random() < share else -1 for number in new]
    source = make_ragged_tensor_metadata(int32(sizes), sum(sizes))
    result = remap(source, torch.tensor(slice_map, dtype=dtype))
    keep = [i for i in range(n_slices) if slice_map[i] >= 0]
    tail = [-1] * (n_slices - len(keep))

    offs = oracle.running_sums(sizes)
    assert result.batch_sizes.tolist() == [sizes[i] for i in keep] + tail
    assert result.batch_offs.tolist() == [offs[i] for i in keep] + tail + [-1]
    width = source.block_schedule_data.shape[1]
    for block in oracle.BLOCK_SIZES:
        entries = [(b << 16) | slice_map[i] for b, i in oracle.blocks(sizes, block) if i in keep]
        assert result.block_schedule(block).tolist() == (entries + [-1] * width)[:width]
        firsts = oracle.running_sums([math.ceil(size / block) for size in sizes])
        expected = [firsts[i] for i in keep] + [len(entries)] + tail
        assert result.block_offs(block).tolist() == expected


@pytest.mark.parametrize("remap", REMAPS)
def test_a_wrong_map_is_named(remap):
    source = make_ragged_tensor_metadata(int32([3, 4]), 7)
    with pytest.raises(ValueError, match=r"slice_map: expected shape \[2\]"):
        remap(source, int32([0]))
    with pytest.raises(TypeError, match="slice_map: expected an integer tensor"):
        remap(source, torch.zeros(2))
    with pytest.raises(ValueError, match="slice_map: expected a tensor on cpu"):
        remap(source, int32([0, 1]).to("meta"))


@pytest.mark.parametrize("remap", REMAPS)
def test_a_map_of_any_integers_and_strides_and_tables_of_any_strides_are_read_right(remap):
    source = make_ragged_tensor_metadata(int32([15, 17, 0, 127, 3]), 162)
    slice_map = int32([1, 0, 2, 4, 3])
    plain = remap(source, slice_map)
    transposed = RaggedTensorMetadata(
        torch.stack([source.batch_sizes] * 2, 1)[:, 0],
        torch.stack([source.batch_offs] * 3, 1)[:, 1],
        source.block_offs_data.t().contiguous().t(),
        source.block_schedule_data.t().contiguous().t(),
    )
    for numbers in (slice_map.to(torch.uint8), torch.stack([slice_map.long()] * 2, 1)[:, 0]):
        result = remap(transposed, numbers)
        for name in ("batch_sizes", "batch_offs", "block_offs_data", "block_schedule_data"):
            assert torch.equal(getattr(result, name), getattr(plain, name)), name


# --- small functions


def test_exact_div_divides_exactly_or_not_at_all():
    assert exact_div(12, 4) == 3
    with pytest.raises(ValueError, match="x: expected a multiple of 5, got 12"):
        exact_div(12, 5)


def test_empty_aligned_pads_the_last_dimension():
    tensor, n_elements = empty_aligned((2, 3, 9), torch.int16, "cpu", 8)
    assert tensor.shape == (2, 3, 9)
    assert tensor.stride() == (48, 16, 1)
    assert n_elements == 96


# --- old names

OLD_AND_NEW = [
    ("TKM101", lambda m: m.hist, lambda m: m.batch_sizes),
    ("TKM102", lambda m: m.token_offs_raw, lambda m: m.batch_offs),
    ("TKM103", lambda m: m.token_offs_pad_data, lambda m: m.block_offs_data),
    ("TKM104", lambda m: m.block_pid_map_data, lambda m: m.block_schedule_data),
    ("TKM105", lambda m: m.token_offs_pad[64], lambda m: m.block_offs(64)),
    ("TKM105", lambda m: m.token_offs_pad(64), lambda m: m.block_offs(64)),
    ("TKM106", lambda m: m.block_pid_map[32], lambda m: m.block_schedule(32)),
    ("TKM106", lambda m: m.block_pid_map(32), lambda m: m.block_schedule(32)),
]


@pytest.mark.parametrize(("code", "old", "new"), OLD_AND_NEW)
def test_an_old_name_gives_the_very_tensor_and_warns_here(code, old, new):
    result = make_ragged_tensor_metadata(int32([30, 4]), 34)
    with pytest.warns(TritonKernelsDeprecationWarning, match=code) as caught:
        assert old(result) is new(result)
    assert [warning.filename for warning in caught] == [__file__]


def test_old_block_sizes_are_functions_of_the_class_and_warn():
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM107"):
        assert RaggedTensorMetadata.block_ms() == [16, 32, 64, 128]
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM108"):
        assert RaggedTensorMetadata.block_ms_log2() == range(4, 8)


def test_old_tables_are_dicts_in_the_order_of_block_sizes_of_lasting_tensors():
    result = make_ragged_tensor_metadata(int32([30, 4]), 34)
    with pytest.warns(TritonKernelsDeprecationWarning):
        table, again = result.token_offs_pad, result.token_offs_pad
    assert isinstance(table, dict)
    assert list(table) == list(table.keys()) == [16, 32, 64, 128]
    assert all(table[block] is again[block] for block in table)
    for block, tensor in table.items():
        tensor.copy_(torch.full_like(tensor, block))  # as a replayed CUDA graph is fed
    assert result.block_offs_data[:, 0].tolist() == [16, 32, 64, 128]
    with pytest.raises(ValueError, match=r"block_m: expected one of \[16, 32, 64, 128\], got 5"):
        table(5)


@pytest.mark.parametrize("through", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copied_or_pickled_record_is_whole(through):
    source = make_ragged_tensor_metadata(int32([30, 4]), 34)
    source.block_offs(16)
    result = through(source)
    agrees(result, [30, 4], source.block_schedule_data.shape[1])
    result.block_offs(16)[0] = 9
    assert result.block_offs_data[0, 0] == 9
    assert source.block_offs_data[0, 0] == 0
