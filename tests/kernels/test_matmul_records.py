"""The records and the small functions around `matmul_ogs`: fields, order, defaults, old forms."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from typing import Any

import matmul_oracle as moracle
import pytest
import torch
from matmul_oracle import Routing, vector

import triton_kernels.matmul_ogs as module
from triton_kernels import TritonKernelsDeprecationWarning, target_info
from triton_kernels.matmul_ogs import (
    Epilogue,
    FlexCtx,
    FnName,
    FnSpecs,
    FusedActivation,
    FusedComm,
    GatherIndx,
    InnerRoutingData,
    MatmulAllocation,
    PrecisionConfig,
    RoutingData,
    ScatterIndx,
    apply_allocation,
    can_overflow_int32,
    get_kernels,
    get_swap_xw,
    init_allocation,
    make_opt_flags,
    matmul_ogs,
    matmul_ogs_torch,
    opt_flags_constraints,
    should_upcast_indices,
)
from triton_kernels.tensor import make_ragged_tensor_metadata, wrap_torch_tensor

NONE = inspect.Parameter.empty

FIELDS: dict[type, str] = {
    GatherIndx: "src_indx dst_indx",
    ScatterIndx: "src_indx dst_indx",
    RoutingData: "gate_scal expt_hist n_expts_tot n_expts_act expt_data expected_tokens_per_expt",
    FnSpecs: "name fn fn_arg_names fn_arg_do_not_specialize reduction_n",
    FusedActivation: "specs fn_args reduction_n",
    Epilogue: "specs fn_arg_values_matmul fn_arg_values_finalize effective_itemsize",
    FusedComm: "out_handles scatter_shard_indx reduce_rank n_reduce_shards",
    InnerRoutingData: "base block_k x_is_padded w_is_padded",
    FlexCtx: "lhs_data rhs_data out_data acc_data",
    PrecisionConfig: "max_num_imprecise_acc allow_tf32 flex_ctx acc_scale flexpoint_saturate_inf "
    "report_quantization_err_fn act_scale weight_scale out_scale out_dtype "
    "enforce_bitwise_invariance",
    MatmulAllocation: "device output scratchpads",
}

FROZEN = {FnSpecs, FusedActivation, Epilogue, FusedComm, FlexCtx}

PARAMETERS = {
    matmul_ogs: "x w bias routing_data gather_indx scatter_indx precision_config betas gammas "
    "out_alpha y fused_comm fused_activation epilogue y_acc_in inner_routing_data",
    matmul_ogs_torch: "x w bias routing_data gather_indx scatter_indx precision_config betas "
    "gammas inner_routing_data round_x round_y",
    module.reduce_grouped: "x indx out out_mx_scale fused_activation epilogue x_flex out_flex "
    "x_mx_scale out_dtype flexpoint_saturate_inf",
    init_allocation: "x w precision_config fused_activation routing_data gather_indx scatter_indx "
    "inner_routing_data n_reduce_shards opt_flags",
    apply_allocation: "allocation output",
    module.post_matmul_comm_torch: "y rank n_reduce_shards world_size scatter_shard_indx",
    make_opt_flags: "out_dtype lhs_dtype rhs_dtype precision_config batch_size m n k routing_data "
    "can_use_persistent_tma can_use_fused_scatter epilogue_effective_itemsize x_transpose "
    "has_y_acc_in block_k",
    get_kernels: "epilogue fused_activation",
    get_swap_xw: "precision_config opt_flags",
    module.matmul_ogs_set_idle_sms: "num_idle_sms",
}


@pytest.mark.parametrize("record", FIELDS, ids=lambda record: record.__name__)
def test_records_have_the_fields_of_upstream_in_order(record: type) -> None:
    assert [field.name for field in dataclasses.fields(record)] == FIELDS[record].split()
    assert record.__dataclass_params__.frozen is (record in FROZEN)  # type: ignore[attr-defined]


@pytest.mark.parametrize("function", PARAMETERS, ids=lambda function: function.__name__)
def test_functions_have_the_parameters_of_upstream_in_order(function: Any) -> None:
    assert list(inspect.signature(function).parameters) == PARAMETERS[function].split()


def test_defaults_say_nothing() -> None:
    config = PrecisionConfig()
    assert config.allow_tf32 and config.acc_scale == 1.0 and config.out_dtype is None
    assert config.flex_ctx == FlexCtx()
    assert list(FlexCtx().out_data) == [None, None, None]
    assert FusedActivation().specs == Epilogue().specs == FnSpecs.default()
    assert (FusedActivation().reduction_n, FusedActivation().fn_args) == (1, ())
    assert InnerRoutingData() == InnerRoutingData(None, None, False, False)  # type: ignore[arg-type]
    assert FusedComm(vector([0])).n_reduce_shards == 1
    assert module.EpilogueSpecs is FnSpecs
    assert module.MXFP_BLOCK_SIZE == 32


def test_every_public_name_is_there() -> None:
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize(
    "record",
    [
        RoutingData(vector([1]), vector([1]), 1, 1),
        GatherIndx(vector([0]), vector([0])),
        InnerRoutingData(RoutingData(vector([1]), vector([1]), 1, 1), 16, True),
        PrecisionConfig(out_dtype=torch.float16),
        FlexCtx(),
        Epilogue(effective_itemsize=2.0),
        FusedActivation(FnSpecs("joined", None, reduction_n=2), (1.0,)),
        FnName.QUANTIZE_MXFP8,
    ],
    ids=lambda record: type(record).__name__,
)
def test_records_pickle_by_their_public_home(record: Any) -> None:
    data = pickle.dumps(record)
    assert b"triton_kernels.matmul_ogs" in data and b"matmul_ogs_details" not in data
    assert repr(pickle.loads(data)) == repr(record)


# --- old and later forms


def test_the_twelfth_argument_of_release_3_5_is_the_activation() -> None:
    x, w = torch.randn(4, 16), torch.randn(16, 8)
    activation = FusedActivation(moracle.LEAKY, (0.5,))
    epilogue = Epilogue(moracle.SHIFTED, (1.0,), (1.0,))
    rest = (None,) * 8
    for old, today in (
        ((activation,), {"fused_activation": activation}),
        ((activation, epilogue), {"fused_activation": activation, "epilogue": epilogue}),
        ((None, epilogue), {"epilogue": epilogue}),
        ((activation, None, torch.ones(4, 8)), {"fused_activation": activation, "y_acc_in": 1}),
    ):
        if "y_acc_in" in today:
            today["y_acc_in"] = torch.ones(4, 8)
        with pytest.warns(TritonKernelsDeprecationWarning, match="TKM322") as seen:
            got = matmul_ogs(x, w, None, *rest, *old)
        assert [w.filename for w in seen] == [__file__]
        assert torch.equal(got, matmul_ogs(x, w, None, **today))
    # Today's order is silent.
    got = matmul_ogs(x, w, None, *rest, None, activation, epilogue)
    assert torch.equal(got, matmul_ogs(x, w, None, fused_activation=activation, epilogue=epilogue))


@pytest.mark.parametrize(
    ("code", "later", "ours"),
    [
        ("TKM326", "b_mx_scale", "weight_scale"),
        ("TKM333", "a_mx_scale", "act_scale"),
        ("TKM334", "c_mx_scale", "out_scale"),
    ],
)
def test_the_scales_of_later_releases_are_known(code: str, later: str, ours: str) -> None:
    scale = torch.ones(1)
    with pytest.warns(TritonKernelsDeprecationWarning, match=code):
        config = PrecisionConfig(**{later: scale})
    assert getattr(config, ours) is scale
    with pytest.warns(TritonKernelsDeprecationWarning), pytest.raises(TypeError, match="twice"):
        PrecisionConfig(**{later: scale, ours: scale})


def test_a_block_of_microscales_has_32_elements() -> None:
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM327"):
        assert PrecisionConfig(b_microblock_size=32) == PrecisionConfig()  # type: ignore[call-arg]
    with (
        pytest.warns(TritonKernelsDeprecationWarning, match="TKM327"),
        pytest.raises(ValueError, match="b_microblock_size: expected 32, got 16"),
    ):
        PrecisionConfig(b_microblock_size=16)  # type: ignore[call-arg]


def test_the_old_member_of_fn_name_is_the_new_one() -> None:
    with pytest.warns(TritonKernelsDeprecationWarning, match="TKM403"):
        assert FnName.DEQUANTIZE_MXFP8 is FnName.QUANTIZE_MXFP8
    assert FnName.QUANTIZE_MXFP8.name == "QUANTIZE_MXFP8"
    assert list(FnName) == [FnName.QUANTIZE_MXFP8]
    with pytest.raises(AttributeError, match="FnName has no member 'OTHER'"):
        _ = FnName.OTHER


# --- arguments of kernels


def test_kernel_arguments_of_rows_and_of_inner_slices() -> None:
    metadata = make_ragged_tensor_metadata(vector([3, 40, 0]), 43)
    base = RoutingData(vector([0]), metadata.batch_sizes, 3, 1, metadata)
    common = [metadata.batch_sizes, metadata.batch_offs]

    def same(got: tuple[Any, ...], tensors: list[torch.Tensor], switches: list[bool]) -> bool:
        ends = got[:4], got[4:7]
        return all(map(torch.equal, ends[0], tensors)) and list(ends[1]) == switches

    of_rows = InnerRoutingData.make_kernel_args(base, 32)
    blocks = [metadata.block_offs(32), metadata.block_schedule(32)]
    assert same(of_rows, [*common, *blocks], [False, False, False]) and of_rows[7] is None
    inner = InnerRoutingData(base, 16, False, True)
    of_inner = InnerRoutingData.make_kernel_args(inner, 32)
    blocks = [metadata.block_offs(16), metadata.block_schedule(16)]
    assert same(of_inner, [*common, *blocks], [True, False, True])
    assert of_inner[7] is not None and of_inner[7].item() == 40

    nothing = (None, None, None, None, False, False, False, None)
    without = RoutingData(vector([0]), vector([0]), 3, 1)
    for data in (None, without, InnerRoutingData(), InnerRoutingData(without, 16, True)):
        assert InnerRoutingData.make_kernel_args(data, 16) == nothing
    with pytest.raises(ValueError, match="block_size: expected one of"):
        InnerRoutingData.make_kernel_args(base, 48)


# --- kernels and flags


def test_kernels_are_those_of_the_functions_and_not_of_their_names() -> None:
    one, other = FnSpecs("same", lambda x: x), FnSpecs("same", lambda x: x)
    assert get_kernels() is get_kernels(FnSpecs.default(), FnSpecs.default())
    assert get_kernels(one) is get_kernels(FnSpecs("same", one.fn))
    assert get_kernels(one) is not get_kernels(other)
    assert get_kernels(one) is not get_kernels(FnSpecs.default(), one)
    for name in ("_matmul_ogs", "_p_matmul_ogs", "_reduce_grouped"):
        kernel = getattr(get_kernels(one), name)
        assert callable(kernel.__getitem__) and kernel is getattr(get_kernels(other), name)


@pytest.mark.parametrize(
    ("arch", "has_scale", "block_m", "swaps"),
    [
        (100, True, 64, True),
        (100, True, 128, False),
        (100, False, 64, False),
        (90, True, 64, False),
    ],
)
def test_operands_swap_for_few_rows_of_microscaled_weights(
    arch: int, has_scale: bool, block_m: int, swaps: bool
) -> None:
    config = PrecisionConfig(weight_scale=torch.ones(1) if has_scale else None)
    with target_info.override(target_info.Target("cuda", arch, 148)):
        with opt_flags_constraints(block_m=block_m, is_persistent=True):
            flags = flags_for(config)
        assert get_swap_xw(config, flags) is swaps
        with opt_flags_constraints(block_m=block_m, is_persistent=False):
            assert not get_swap_xw(config, flags_for(config))


def flags_for(config: PrecisionConfig) -> Any:
    dtype = torch.bfloat16
    return make_opt_flags(
        dtype, dtype, dtype, config, 1, 64, 64, 64, None, True, False, None, False, False, None
    )


# --- memory


def test_offsets_beyond_int32_are_seen() -> None:
    meta = torch.empty(2**16, 2**15, device="meta")  # its last element is at 2**31 - 1
    assert not can_overflow_int32(meta)
    assert can_overflow_int32(torch.empty(2**16, 2**15 + 1, device="meta"))
    assert can_overflow_int32(torch.empty(2, 1, device="meta").as_strided((2, 1), (2**31, 1)))
    wrapped = wrap_torch_tensor(meta)
    assert not can_overflow_int32(wrapped) and not can_overflow_int32(wrapped.storage)
    small = torch.empty(3)
    assert not should_upcast_indices(small, None, meta)
    assert should_upcast_indices(None, small, torch.empty(2**31 + 1, device="meta"))
    assert not should_upcast_indices()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("split_k", [1, 4])
@pytest.mark.parametrize("scatters", [True, False])
def test_an_allocation_is_what_a_product_needs(fused: bool, split_k: int, scatters: bool) -> None:
    if fused and (split_k > 1 or not scatters):
        return
    k = 1 if fused else 2
    routing = Routing([[0, 1][:k]] * 5, 2)
    x, w = torch.zeros(5, 32, dtype=torch.float16), torch.zeros(2, 32, 8, dtype=torch.float16)
    with opt_flags_constraints(split_k=split_k):
        flags = dataclasses.replace(flags_for(PrecisionConfig()), fused_scatter=fused)
    allocation = init_allocation(
        x,
        w,
        PrecisionConfig(out_dtype=torch.bfloat16),
        FusedActivation(moracle.GATED, (1.0,)),
        routing.data(),
        routing.gather(),
        routing.scatter() if scatters else None,
        None,
        1,
        flags,
    )
    rows = 5 if scatters else 5 * k
    assert allocation.output == ((1, rows, 4), torch.bfloat16)
    expected = {}
    if split_k > 1:
        expected = {"matmul": ((4, 1, 10, 8), torch.float32)}
    elif scatters and not fused:
        expected = {"matmul": ((1, 1, 10, 4), torch.bfloat16)}
    assert allocation.scratchpads == expected

    memory = apply_allocation(allocation, None)
    assert memory["output"].shape == (1, rows, 4) and memory["output"].dtype == torch.bfloat16
    assert {name: (tuple(t.shape), t.dtype) for name, t in memory["scratchpad"].items()} == expected
    y = torch.zeros(rows, 4, dtype=torch.bfloat16)
    assert apply_allocation(allocation, y)["output"].data_ptr() == y.data_ptr()
    with pytest.raises(ValueError, match="output: expected shape"):
        apply_allocation(allocation, torch.zeros(rows, 5))


def test_an_allocation_has_rows_for_each_rank_that_sends() -> None:
    x, w = torch.zeros(5, 32), torch.zeros(32, 8)
    flags = flags_for(PrecisionConfig())
    allocation = init_allocation(x, w, None, None, None, None, None, None, 4, flags)
    assert allocation == MatmulAllocation(x.device, ((1, 20, 8), torch.float32), {})
