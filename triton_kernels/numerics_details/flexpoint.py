"""Flexpoint in a kernel: what is stored is `real / scale`, and the scale is a float32 in memory.

Every pointer may be None: that scale is then 1, or nobody asks for it, and no instruction is spent.

A kernel that stores a result converts it itself, after `float_to_flex`.  What becomes of a value
that its dtype has no room for:

- fp8: the largest finite value of its sign, infinity included, whether or not `saturate_infs`.
  NVIDIA's conversion does so (PTX ISA, `cvt.rn.satfinite`; compute capability 8.9 and later), and
  `float_to_flex` does it for the others, which disagree.  So e5m2 never holds an infinity.
- float16, bfloat16 and float32: infinity, unless `saturate_infs`.
- NaN stays NaN.

`numerics_details.reference` computes the same in plain torch.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.target_info import cuda_capability_geq

__all__ = [
    "TL_MAX_FINITE_BFLOAT16",
    "TL_MAX_FINITE_FLOAT8E4B8",
    "TL_MAX_FINITE_FLOAT8E4B15",
    "TL_MAX_FINITE_FLOAT8E4NV",
    "TL_MAX_FINITE_FLOAT8E5",
    "TL_MAX_FINITE_FLOAT16",
    "TL_MAX_FINITE_FLOAT32",
    "TL_RCP_MAX_FINITE_BFLOAT16",
    "TL_RCP_MAX_FINITE_FLOAT8E4B8",
    "TL_RCP_MAX_FINITE_FLOAT8E4B15",
    "TL_RCP_MAX_FINITE_FLOAT8E4NV",
    "TL_RCP_MAX_FINITE_FLOAT8E5",
    "TL_RCP_MAX_FINITE_FLOAT16",
    "TL_RCP_MAX_FINITE_FLOAT32",
    "clip",
    "compute_scale",
    "flex_to_float",
    "float_to_flex",
    "load_scale",
    "max_finite",
    "nan_propagating_absmax_reduce",
    "rcp_max_finite",
    "sm86_max_nan_xorsign_abs_f32",
    "sm86_min_nan_xorsign_abs_f32",
    "update_scale",
]

# The largest value that a scale brings results to.  That of float16 is upstream's: two steps below
# the largest finite one, 65504.  bfloat16 and float32 have one here, and have none upstream.
TL_MAX_FINITE_FLOAT8E5 = tl.constexpr(57344.0)
TL_MAX_FINITE_FLOAT8E4NV = tl.constexpr(448.0)
TL_MAX_FINITE_FLOAT8E4B8 = tl.constexpr(240.0)
TL_MAX_FINITE_FLOAT8E4B15 = tl.constexpr(1.750)
TL_MAX_FINITE_FLOAT16 = tl.constexpr(65472.0)
TL_MAX_FINITE_BFLOAT16 = tl.constexpr(3.3895313892515355e38)
TL_MAX_FINITE_FLOAT32 = tl.constexpr(3.4028234663852886e38)

# Their reciprocals, rounded to nearest: bits of a float32.
TL_RCP_MAX_FINITE_FLOAT8E5 = tl.constexpr(0x37924925)
TL_RCP_MAX_FINITE_FLOAT8E4NV = tl.constexpr(0x3B124925)
TL_RCP_MAX_FINITE_FLOAT8E4B8 = tl.constexpr(0x3B888889)
TL_RCP_MAX_FINITE_FLOAT8E4B15 = tl.constexpr(0x3F124925)
TL_RCP_MAX_FINITE_FLOAT16 = tl.constexpr(0x37802008)
TL_RCP_MAX_FINITE_BFLOAT16 = tl.constexpr(0x00202020)
TL_RCP_MAX_FINITE_FLOAT32 = tl.constexpr(0x00200000)

# Scales are never less, so that results of nothing but zeros have one to be divided by.
_SMALLEST_SCALE = tl.constexpr(1e-30)

_INFINITY_BITS = tl.constexpr(0x7F800000)
_WITHOUT_SIGN = tl.constexpr(0x7FFFFFFF)

# The interpreter knows no PTX, also on a machine whose GPU does.
_INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))


@triton.jit
def max_finite(dtype: tl.constexpr):
    """The largest value of fp8, float16, bfloat16 or float32 that a result is scaled to.

    Any other dtype is an error while compiling.
    """
    if dtype == tl.float8e5:
        limit: tl.constexpr = TL_MAX_FINITE_FLOAT8E5
    elif dtype == tl.float8e4nv:
        limit: tl.constexpr = TL_MAX_FINITE_FLOAT8E4NV
    elif dtype == tl.float8e4b8:
        limit: tl.constexpr = TL_MAX_FINITE_FLOAT8E4B8
    elif dtype == tl.float8e4b15:
        limit: tl.constexpr = TL_MAX_FINITE_FLOAT8E4B15
    elif dtype == tl.float16:
        limit: tl.constexpr = TL_MAX_FINITE_FLOAT16
    elif dtype == tl.bfloat16:
        limit: tl.constexpr = TL_MAX_FINITE_BFLOAT16
    else:
        tl.static_assert(dtype == tl.float32, "max_finite: expected fp8, fp16, bf16 or fp32")
        limit: tl.constexpr = TL_MAX_FINITE_FLOAT32
    return limit


@triton.jit
def rcp_max_finite(dtype: tl.constexpr):
    """float32: the reciprocal of `max_finite(dtype)`, rounded to nearest."""
    if dtype == tl.float8e5:
        bits: tl.constexpr = TL_RCP_MAX_FINITE_FLOAT8E5
    elif dtype == tl.float8e4nv:
        bits: tl.constexpr = TL_RCP_MAX_FINITE_FLOAT8E4NV
    elif dtype == tl.float8e4b8:
        bits: tl.constexpr = TL_RCP_MAX_FINITE_FLOAT8E4B8
    elif dtype == tl.float8e4b15:
        bits: tl.constexpr = TL_RCP_MAX_FINITE_FLOAT8E4B15
    elif dtype == tl.float16:
        bits: tl.constexpr = TL_RCP_MAX_FINITE_FLOAT16
    elif dtype == tl.bfloat16:
        bits: tl.constexpr = TL_RCP_MAX_FINITE_BFLOAT16
    else:
        tl.static_assert(dtype == tl.float32, "rcp_max_finite: expected fp8, fp16, bf16 or fp32")
        bits: tl.constexpr = TL_RCP_MAX_FINITE_FLOAT32
    return tl.cast(bits, tl.uint32).to(tl.float32, bitcast=True)


@triton.jit
def sm86_min_nan_xorsign_abs_f32(a, b):
    """The smaller of |a| and |b|, negative where one of a and b is; NaN if either is NaN.

    float32, on NVIDIA's GPUs of compute capability 8.6 and later.
    """
    tl.static_assert(cuda_capability_geq(8, 6), "min.xorsign.abs needs compute capability 8.6")
    tl.static_assert(a.dtype == tl.float32, "min.xorsign.abs: expected float32")
    tl.static_assert(b.dtype == tl.float32, "min.xorsign.abs: expected float32")
    return tl.inline_asm_elementwise(
        "min.NaN.xorsign.abs.f32 $0, $1, $2;",
        "=r,r,r",
        [a, b],
        dtype=tl.float32,
        is_pure=True,
        pack=1,
    )


@triton.jit
def sm86_max_nan_xorsign_abs_f32(a, b):
    """The larger of |a| and |b|, negative where one of a and b is; NaN if either is NaN.

    float32, on NVIDIA's GPUs of compute capability 8.6 and later.
    """
    tl.static_assert(cuda_capability_geq(8, 6), "max.xorsign.abs needs compute capability 8.6")
    tl.static_assert(a.dtype == tl.float32, "max.xorsign.abs: expected float32")
    tl.static_assert(b.dtype == tl.float32, "max.xorsign.abs: expected float32")
    return tl.inline_asm_elementwise(
        "max.NaN.xorsign.abs.f32 $0, $1, $2;",
        "=r,r,r",
        [a, b],
        dtype=tl.float32,
        is_pure=True,
        pack=1,
    )


@triton.jit
def load_scale(scale_ptr):
    """The scale: 1.0 without a pointer."""
    if scale_ptr is None:
        scale = 1.0
    else:
        scale = tl.load(scale_ptr)
    return scale


@triton.jit
def flex_to_float(x, scale_ptr):
    """What the stored values `x` stand for, in float32: `x * scale`."""
    value = x.to(tl.float32)
    if scale_ptr is not None:
        value *= tl.load(scale_ptr)
    return value


@triton.jit
def clip(x, limit):
    """`x`, brought between -limit and limit; NaN stays NaN.  limit: positive."""
    if x.dtype == tl.float32 and not _INTERPRETED and cuda_capability_geq(8, 6):
        # One instruction: the sign is that of x, since the limit has none.
        clipped = sm86_min_nan_xorsign_abs_f32(x, tl.cast(limit, tl.float32))
    else:
        clipped = tl.clamp(x, -limit, limit, propagate_nan=tl.PropagateNan.ALL)
    return clipped


@triton.jit
def nan_propagating_absmax_reduce(x, axis: tl.constexpr = None):
    """uint32, bits of float32: the largest |x| along `axis`, or of all; NaN if one is NaN."""
    value = x.to(tl.float32)
    if not _INTERPRETED and cuda_capability_geq(8, 6):
        # One instruction an element: for a tile of 64 elements a thread, 71 where the integers
        # below take 110 (sm_90, SASS of Triton 3.9).
        bits = tl.reduce(value, axis, sm86_max_nan_xorsign_abs_f32).to(tl.int32, bitcast=True)
        bits &= _WITHOUT_SIGN
    else:
        # Bits of positive floats rise with their values, and any NaN's are above infinity's.
        bits = tl.max(value.to(tl.int32, bitcast=True) & _WITHOUT_SIGN, axis=axis)
    return bits.to(tl.uint32, bitcast=True)


@triton.jit
def compute_scale(x, Out):
    """float32: the smallest scale with which every `x`, divided by it, is in range of what `Out`
    points to: the largest |x|, over the largest value; at least 1e-30.  NaN counts as infinity.
    """
    bits = nan_propagating_absmax_reduce(x)
    bits = tl.minimum(bits.to(tl.int32, bitcast=True), _INFINITY_BITS)
    largest = bits.to(tl.float32, bitcast=True)
    return tl.fma(largest, rcp_max_finite(Out.dtype.element_ty), _SMALLEST_SCALE)


@triton.jit
def update_scale(x, scale_ptr, Out):
    """Raise the scale to `compute_scale(x, Out)`, atomically; it must not be negative before."""
    if scale_ptr is not None:
        # As integers, positive floats are ordered as they are, and one atomic operation does.
        bits = compute_scale(x, Out).to(tl.int32, bitcast=True)
        at = scale_ptr.to(tl.pointer_type(tl.int32))
        # The scale only grows, so most programs see that it has enough already; if all of them
        # took the atomic operation, they would queue for the one address.
        if bits > tl.load(at, volatile=True):
            tl.atomic_max(at, bits, sem="relaxed")


@triton.constexpr_function
def _is_pointer(x):
    dtype = getattr(x, "dtype", None)  # a number has none
    return dtype is not None and dtype.is_ptr()


@triton.jit
def float_to_flex(
    x,
    expected_scale_ptr_or_val,
    actual_scale_ptr,
    checksum_scale_ptr,
    mask,
    Out,
    saturate_infs: tl.constexpr,
):
    """float32: what is to be stored for the results `x`: `x / expected scale`.

    x: a tile of floats.
    expected_scale_ptr_or_val: the scale, or where it is.  Results are multiplied by its reciprocal.
    actual_scale_ptr: raised to `compute_scale` of the results (of those under the mask).
    checksum_scale_ptr: 4 bytes, as int32, to which the exclusive or of the results' float32 bits
        is added.  A sum over tiles: it depends on how the results are cut into tiles.
    mask: which results count, broadcastable to `x`; None: all.  The others are scaled like them.
    Out: a pointer to the dtype that the caller converts to.
    saturate_infs: bring what is beyond `max_finite` of that dtype, infinity included, back to it;
        only where there is an expected scale.  fp8 needs no asking (see above).
    """
    value = x.to(tl.float32)
    if actual_scale_ptr is not None or checksum_scale_ptr is not None:
        counted = value
        if mask is not None:
            counted = tl.where(mask, value, 0.0)
        if checksum_scale_ptr is not None:
            checksum = tl.xor_sum(counted.to(tl.int32, bitcast=True), axis=None)
            place = checksum_scale_ptr.to(tl.pointer_type(tl.int32))
            tl.atomic_add(place, checksum, sem="relaxed")
        update_scale(counted, actual_scale_ptr, Out)
    if expected_scale_ptr_or_val is not None:
        if _is_pointer(expected_scale_ptr_or_val):
            scale = tl.load(expected_scale_ptr_or_val)
        else:
            scale = tl.cast(expected_scale_ptr_or_val, tl.float32)
        value *= tl.div_rn(1.0, scale)
    saturates_anyway: tl.constexpr = Out.dtype.element_ty.is_fp8() and (
        _INTERPRETED or not cuda_capability_geq(8, 9)
    )
    if saturates_anyway or (saturate_infs and expected_scale_ptr_or_val is not None):
        value = clip(value, max_finite(Out.dtype.element_ty))
    return value
