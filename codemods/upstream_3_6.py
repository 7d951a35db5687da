"""The released triton_kernels 3.6.0: what can be imported from it, and what the table means there.

Pure data.  The release is not installed where the codemods run, so its modules are listed here:
names that a module defines, and those it imports that other code is known to take from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from codemods.targets import HELPER as HELPER
from triton_kernels.moves import CallChange, Codemod

_NAMES_3_6_0 = {
    "compaction": "compaction compaction_torch Bitmatrix",
    "compaction_details._masked_compaction": "_masked_compaction",
    "distributed": """
        ExptAssignment SymmetricMemoryPool convert_dp_to_ep convert_ep_to_dp make_expt_assignment
        make_expt_dict_random make_expt_dict_uniform symm_mem_pool
    """,
    "matmul_ogs": """
        GatherIndx ScatterIndx RoutingData FnSpecs FusedActivation Epilogue FnName FusedComm
        can_overflow_int32 should_upcast_indices InnerRoutingData FlexCtx PrecisionConfig
        get_swap_xw MatmulAllocation init_allocation apply_allocation _canonicalize_storage
        matmul_ogs_set_idle_sms matmul_ogs matmul_ogs_torch post_matmul_comm_torch
        make_opt_flags update_opt_flags_constraints RaggedTensorMetadata Storage Tensor FP4
        bitwidth wrap_torch_tensor InFlexData OutFlexData MXFP_BLOCK_SIZE StridedLayout specialize
        target_info is_cuda
    """,
    "matmul_ogs_details._common": """
        get_scaled_dot_format_string xcd_swizzle swizzle2d _load_tile_attrs make_matmul_repr
        matmul_launch_metadata threadfence_system
    """,
    "matmul_ogs_details._matmul_ogs": "_zero_masked_rows _matmul_ogs",
    "matmul_ogs_details._p_matmul_ogs": """
        _p_matmul_ogs get_per_device_per_stream_alloc_fn get_dtype cuda_capability_geq
    """,
    "matmul_ogs_details.opt_flags": """
        OptFlags make_default_opt_flags_amd make_default_opt_flags_nvidia
        update_opt_flags_constraints reset_opt_flags_constraints set_opt_flags
        InapplicableConstraint make_opt_flags _opt_flags_constraints _opt_flags
    """,
    "matmul_ogs_details.opt_flags_details.opt_flags_amd": "compute_block_nk",
    "matmul_ogs_details.opt_flags_details.opt_flags_nvidia": """
        compute_grid_size compute_block_n compute_block_k compute_split_k compute_num_warps
        compute_num_stages
    """,
    "numerics": """
        MAX_FINITE_FLOAT8E5 MAX_FINITE_FLOAT8E4NV MAX_FINITE_FLOAT8E4B8 BaseFlexData InFlexData
        OutFlexData
    """,
    "numerics_details.flexpoint": """
        max_finite rcp_max_finite sm86_min_nan_xorsign_abs_f32 sm86_max_nan_xorsign_abs_f32
        load_scale flex_to_float clip nan_propagating_absmax_reduce compute_scale update_scale
        float_to_flex
    """,
    "numerics_details.mxfp": """
        DequantScaleRoundingMode downcast_to_mxfp upcast_from_mxfp right_shift_unsigned
        get_max_quant_val downcast_to_mxfp_torch cvt_e2m1_to_fp32 upcast_from_mxfp_torch
        quantize_mxfp8_fn MXFP_BLOCK_SIZE
    """,
    "numerics_details.mxfp_details._downcast_to_mxfp": """
        MXFP_BLOCK_SIZE _get_max_quant_val _compute_quant_and_scale _downcast_to_mxfp
        _quantize_mxfp8_fn
    """,
    "numerics_details.mxfp_details._upcast_from_mxfp": "_upcast_from_mxfp",
    "proton_opts": "launch_metadata_allow_sync set_launch_metadata_allow_sync",
    "reduce": "PostprocessFn FnSpecs reduce reduce_torch compute_actual_scale",
    "roofline": """
        PerfRecord parse_profile write_csv compute_roofline get_memset_tbps get_cublas_tflops
        load_perf_csv validate_perfs plot_roofline
    """,
    "specialize": "cacheable define_kernel specialize FnSpecs ClosureArg SpecializationModule",
    "swiglu": "FlexCtx PrecisionConfig swiglu_fn SwiGLU swiglu swiglu_torch",
    "swiglu_details._swiglu": """
        clip thread_local_absmax swiglu_repr swiglu_launch_metadata compute_swiglu _swiglu_fn
        _swiglu
    """,
    "target_info": """
        cuda_capability_geq get_cdna_version has_tma_gather has_native_mxfp is_cuda is_hip
        is_hip_cdna3 is_hip_cdna4 num_sms
    """,
    "tensor": """
        Storage IntegerType FloatType BIT FP4 bitwidth Tensor Bitmatrix make_bitmatrix_metadata
        make_bitmatrix_metadata_torch RaggedTensor make_ragged_tensor_metadata
        make_ragged_tensor_metadata_torch remap_ragged_tensor_metadata
        remap_ragged_tensor_metadata_torch SparseMatrix get_layout wrap_torch_tensor convert_layout
        RaggedTensorMetadata Layout StridedLayout cuda_capability_geq ragged_tensor_details
        bitmatrix_details
    """,
    "tensor_details.bitmatrix": """
        BitmatrixMetadata _keyed_add _bitmatrix_metadata_compute_stage1
        _bitmatrix_metadata_compute_stage2 cdiv make_bitmatrix_metadata
        make_bitmatrix_metadata_torch sum_bitmatrix_rows
    """,
    "tensor_details.bitmatrix_details.sum_bitmatrix_rows": """
        vpopc _sum_bitmatrix_rows cdiv sum_bitmatrix_rows
    """,
    "tensor_details.layout": """
        Layout BlackwellMXValueLayout BlackwellMXScaleLayout HopperMXScaleLayout
        HopperMXValueLayout CDNA4MXScaleLayout StridedLayout make_default_matmul_mxfp4_w_layout
        make_default_matmul_mxfp4_w_scale_layout
    """,
    "tensor_details.layout_details.base": "Layout",
    "tensor_details.layout_details.blackwell_scale": """
        BlackwellMXScaleLayout unswizzle_mx_scale_bw SWIZZLE_ALIGN_INNER SWIZZLE_SIZE_INNER
        SWIZZLE_SIZE_OUTER
    """,
    "tensor_details.layout_details.blackwell_value": "BlackwellMXValueLayout",
    "tensor_details.layout_details.cdna4_scale": """
        CDNA4MXScaleLayout unswizzle_mx_scale_cdna4 NON_K_PRESHUFFLE_BLOCK_SIZE
    """,
    "tensor_details.layout_details.hopper_scale": """
        HopperMXScaleLayout unswizzle_mxfp4_scale_hopper
    """,
    "tensor_details.layout_details.hopper_value": "HopperMXValueLayout mxfp4_to_bf16_triton",
    "tensor_details.layout_details.strided": "StridedLayout",
    "tensor_details.ragged_tensor": """
        RaggedTensorMetadata exact_div empty_aligned _cdiv_pow2 _ragged_tensor_metadata_memset
        _ragged_tensor_metadata_compute make_ragged_tensor_metadata
        make_ragged_tensor_metadata_torch remap_ragged_tensor_metadata
        remap_ragged_tensor_metadata_torch
    """,
    "testing": """
        assert_equal assert_close ComputeSanitizerTool compute_sanitizer compute_actual_scale
    """,
    "topk": "topk_forward topk_backward TopK topk topk_torch",
    "topk_details._topk_backward": "_topk_backward",
    "topk_details._topk_forward": """
        get_topmask_and_fullmask fpval_to_key key_to_fpval indx_to_key key_to_indx streaming_topk
        _topk_forward
    """,
}

MODULES_3_6_0: dict[str, frozenset[str]] = {
    f"triton_kernels.{module}": frozenset(names.split()) for module, names in _NAMES_3_6_0.items()
}
"""The names of each module, by its dotted path."""


@dataclass(frozen=True)
class Difference:
    """How a row of the table differs on the release; None = it does not."""

    new: str | None = None
    fallback: str | None = None
    call: CallChange | None = None
    codemod: Codemod | None = None
    remedy: str | None = None


def _schedule_call(hist: str) -> CallChange:
    """The block schedule's parameters are called otherwise than in the bundled library."""
    return CallChange(
        parameters=(hist, "n_expts_tot", "n_gates"),
        drop=("n_expts_tot", ""),
        rename=((hist, "slice_sizes"), ("n_gates", "n_total_rows")),
        refuse=((hist, "None"),),
    )


_SORT_REMEDY = (
    "Build SparseMatrix(indx, vals, mask), index vals.flatten() with its "
    "mask_metadata.col_sorted_indx, and make the schedule with make_ragged_tensor_metadata."
)
_PRUNE_REMEDY = (
    "Clear the bits of the other experts, run triton_kernels.compaction.compaction on weights and "
    "columns, and build the SparseMatrix of the result."
)

DIFFERENCES: dict[str, Difference] = {
    "TKM005": Difference(remedy=_SORT_REMEDY),
    "TKM006": Difference(remedy=_SORT_REMEDY),
    "TKM009": Difference(new=f"{HELPER}.max_n_tiles"),
    "TKM010": Difference(fallback=f"{HELPER}.compute_expt_data", call=_schedule_call("expt_hist")),
    "TKM011": Difference(fallback=f"{HELPER}.compute_expt_data_torch", call=_schedule_call("hist")),
    "TKM012": Difference(new=f"{HELPER}.legacy_routing_from_bitmatrix"),
    "TKM013": Difference(new=f"{HELPER}.legacy_routing"),
    "TKM014": Difference(
        new=f"{HELPER}.legacy_routing",
        remedy=f"Call {HELPER}.legacy_routing, which needs a GPU; its index vectors are padded "
        "with -1 to all rows, where routing_torch cut them to n_rows.",
    ),
    "TKM090": Difference(
        new="triton_kernels.matmul_ogs, triton_kernels.tensor and triton_kernels.topk"
    ),
    "TKM109": Difference(remedy="Make the record with make_ragged_tensor_metadata."),
    "TKM201": Difference(remedy=_PRUNE_REMEDY),
    "TKM202": Difference(remedy=_PRUNE_REMEDY),
    "TKM207": Difference(new="", remedy="Write the few lines that clear the bits yourself."),
    "TKM208": Difference(new="", remedy="Write the few lines that clear the bits yourself."),
    "TKM303": Difference(
        new="triton_kernels.compaction.compaction",
        remedy="Distribute experts with triton_kernels.distributed, or prune the choice yourself: "
        + _PRUNE_REMEDY[0].lower()
        + _PRUNE_REMEDY[1:],
    ),
    "TKM308": Difference(remedy="Leave expt_data at None where there is no histogram."),
    "TKM401": Difference(
        new="BitmatrixMetadata.col_sorted_indx or BitmatrixMetadata.row_sorted_indx",
        codemod=Codemod.REPORTS,
        remedy="It is right if the code is written for release 3.6 or later; if it follows the "
        "recipe of pull request 8375, read col_sorted_indx.",
    ),
    "TKM402": Difference(
        new="BitmatrixMetadata.row_sorted_indx or BitmatrixMetadata.col_sorted_indx",
        codemod=Codemod.REPORTS,
        remedy="It is right if the code is written for release 3.6 or later; if it follows the "
        "recipe of pull request 8375, read row_sorted_indx.",
    ),
}
"""By the row's code.

The two orders of a bitmatrix have only their two swapped names there: a rewrite would read like
code that is still to be rewritten, so it is left to a person.
"""
