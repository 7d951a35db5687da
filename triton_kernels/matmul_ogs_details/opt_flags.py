"""How a product is cut into tiles: constraints, overrides, and the choice, which is kept.

Constraints fix single flags, for the process (`update_opt_flags_constraints`) or, above those, for
a block of code (`opt_flags_constraints`).  `set_opt_flags` replaces the choice altogether.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from triton_kernels import target_info
from triton_kernels.matmul_ogs_details.opt_flags_details import opt_flags_amd, opt_flags_nvidia
from triton_kernels.matmul_ogs_details.opt_flags_details.constraints import (
    Constraints,
    InapplicableConstraint,
    constraints_in_force,
    opt_flags_constraints,
    reset_opt_flags_constraints,
    update_opt_flags_constraints,
)
from triton_kernels.matmul_ogs_details.opt_flags_details.problem import (
    Problem,
    split_k_that_fills,
)
from triton_kernels.target_info import Target
from triton_kernels.tensor_details.checks import wrong_type, wrong_value
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

if TYPE_CHECKING:
    from triton_kernels.matmul_ogs_details.product import Product
    from triton_kernels.matmul_ogs_details.records import PrecisionConfig, RoutingData
    from triton_kernels.tensor_details.dtype import DType

__all__ = [
    "InapplicableConstraint",
    "OptFlags",
    "make_default_opt_flags_amd",
    "make_default_opt_flags_nvidia",
    "make_opt_flags",
    "opt_flags_constraints",
    "plan",
    "reset_opt_flags",
    "reset_opt_flags_constraints",
    "set_opt_flags",
    "update_opt_flags_constraints",
]


@dataclass(frozen=True)
class OptFlags:
    """How the kernels of a product are launched.

    block_m, block_n, block_k: extent of a tile, powers of two.
    num_warps, num_stages: of a program, and how many steps along K it loads ahead.
    group_m: row blocks whose tiles are computed side by side in time.
    xcd_swizzle: chiplets that programs are dealt to in turn; 1: there are none.
    w_cache_modifier: of the loads of w (".cg", ...); None: the default.
    split_k: parts of the sum over K.
    is_persistent: whether programs stay and take tile after tile.
    fused_scatter: whether rows are stored to their slots at once.
    idle_sms: multiprocessors that a persistent kernel leaves to others.
    epilogue_subtile: parts in which a tile of the result is stored.
    arch: kept for old callers, and None.
    target_kernel_kwargs: more options of the launch, which only this vendor's compiler has.

    Raises ValueError for a fused scatter of split sums.
    """

    block_m: int
    block_n: int
    block_k: int
    num_warps: int
    num_stages: int
    group_m: int
    xcd_swizzle: int
    w_cache_modifier: str | None
    split_k: int
    is_persistent: bool
    fused_scatter: bool
    idle_sms: int
    epilogue_subtile: int | None
    arch: str | None
    target_kernel_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.fused_scatter and self.split_k != 1:
            raise wrong_value("split_k", "1 with fused_scatter", self.split_k)


_opt_flags: OptFlags | None = None


def set_opt_flags(opt_flags: OptFlags) -> None:
    """Use these flags for every product from now on, in the whole process.

    Raises ValueError where flags are set or constrained already.
    """
    global _opt_flags
    if not isinstance(opt_flags, OptFlags):
        raise wrong_type("opt_flags", "an OptFlags", opt_flags)
    if _opt_flags is not None:
        raise wrong_value("opt_flags", "reset_opt_flags() before others are set", opt_flags)
    constraints = constraints_in_force()
    if constraints:
        raise wrong_value("opt_flags", "no constraints beside them", dict(constraints))
    _opt_flags = opt_flags


def reset_opt_flags() -> None:
    """Choose flags again."""
    global _opt_flags
    _opt_flags = None


def plan(product: Product, can_use_persistent_tma: bool) -> OptFlags:
    """The flags for a product.

    can_use_persistent_tma: whether its operands can be read through tensor descriptors.
    Raises InapplicableConstraint where a constraint cannot be met.
    """
    if _opt_flags is not None:
        return _opt_flags
    x = product.x
    inner = product.inner
    n_batches, _, k = x.shape
    problem = Problem(
        product.y_dtype,
        x.dtype,
        product.w.dtype,
        n_batches if inner is None else product.n_slices,
        product.n_rows,
        product.w.shape[2],
        # Slices of K share it.
        k if inner is None else -(-k // max(1, product.n_slices)),
        0 if product.slices is None else product.n_slices,
        product.expected_slice_size,
        can_use_persistent_tma,
        product.scatter_to is not None and product.n_choices == 1,
        product.epilogue_itemsize,
        product.activation.specs.reduction_n,
        x.stride(2) != 1,
        product.y_acc_in is not None,
        None if inner is None else inner.block_k,
        product.max_imprecise_acc,
        product.bitwise_invariant,
    )
    return _chosen(problem, constraints_in_force(), target_info.current_target())


def make_opt_flags(
    out_dtype: DType,
    lhs_dtype: DType,
    rhs_dtype: DType,
    precision_config: PrecisionConfig,
    batch_size: int,
    m: int,
    n: int,
    k: int,
    routing_data: RoutingData | None,
    can_use_persistent_tma: bool,
    can_use_fused_scatter: bool,
    epilogue_effective_itemsize: float | None,
    x_transpose: bool,
    has_y_acc_in: bool,
    block_k: int | None,
) -> OptFlags:
    """The flags for a product that is told by its parts, as upstream's signature has them.

    routing_data: ragged where it has `expt_data`.  block_k: the only one that is right, or None.
    Raises InapplicableConstraint where a constraint cannot be met.
    """
    if _opt_flags is not None:
        return _opt_flags
    is_ragged = routing_data is not None and routing_data.expt_data is not None
    problem = Problem(
        out_dtype,
        lhs_dtype,
        rhs_dtype,
        batch_size,
        m,
        n,
        k,
        routing_data.n_expts_tot if is_ragged else 0,  # type: ignore[union-attr]
        routing_data.expected_tokens_per_expt if is_ragged else None,  # type: ignore[union-attr]
        can_use_persistent_tma,
        can_use_fused_scatter,
        epilogue_effective_itemsize,
        1,
        x_transpose,
        has_y_acc_in,
        block_k,
        precision_config.max_num_imprecise_acc,
        precision_config.enforce_bitwise_invariance,
    )
    return _chosen(problem, constraints_in_force(), target_info.current_target())


@functools.lru_cache(maxsize=4096)
def _chosen(problem: Problem, constraints: tuple[tuple[str, Any], ...], target: Target) -> OptFlags:
    fixed = dict(constraints)
    _check_applicable(problem, fixed)
    if target.backend == "hip":
        return make_default_opt_flags_amd(problem, fixed, target)
    return make_default_opt_flags_nvidia(problem, fixed, target)


def _check_applicable(problem: Problem, fixed: Constraints) -> None:
    """Raise InapplicableConstraint for what no device could do with this product."""
    if problem.n_slices and fixed.get("block_m") not in (None, *RaggedTensorMetadata.block_sizes()):
        sizes = RaggedTensorMetadata.block_sizes()
        raise _inapplicable(fixed, "block_m", f"a ragged product is scheduled in blocks of {sizes}")
    if problem.block_k is not None and fixed.get("block_k") not in (None, problem.block_k):
        raise _inapplicable(fixed, "block_k", f"the slices are padded to {problem.block_k}")
    reason = _why_not_split(problem)
    if fixed.get("split_k", 1) != 1 and reason:
        raise _inapplicable(fixed, "split_k", reason)
    if fixed.get("is_persistent") and not problem.can_use_persistent_tma:
        raise _inapplicable(fixed, "is_persistent", "its operands cannot be read by TMA")
    if fixed.get("fused_scatter"):
        if not problem.can_use_fused_scatter:
            reason = "rows that are not scattered, or are added up, cannot be stored at once"
            raise _inapplicable(fixed, "fused_scatter", reason)
        if fixed.get("split_k", 1) != 1:
            raise _inapplicable(fixed, "split_k", "fused_scatter stores rows before they are added")
    if "max_allowable_mn" in fixed and "split_k" not in fixed:
        raise _inapplicable(fixed, "max_allowable_mn", "it limits a split_k, and none is given")


def _why_not_split(problem: Problem) -> str:
    """Why the sum over K must not be split; "" where it may be."""
    if problem.has_y_acc_in:
        return "y_acc_in is added to whole sums"
    if problem.bitwise_invariant:
        return "enforce_bitwise_invariance"
    if problem.block_k is not None:
        return "an inner-ragged product is not split further"
    return ""


def _inapplicable(fixed: Constraints, name: str, reason: str) -> InapplicableConstraint:
    return InapplicableConstraint(f"{name}={fixed[name]}: {reason}")


def _split_k(problem: Problem, fixed: Constraints, computed: int) -> int:
    if fixed.get("fused_scatter") or _why_not_split(problem):
        return 1
    if "split_k" not in fixed:
        return computed
    limit = fixed.get("max_allowable_mn")
    return 1 if limit is not None and problem.m * problem.n >= limit else int(fixed["split_k"])


def _fused_scatter(problem: Problem, fixed: Constraints, split_k: int) -> bool:
    can = problem.can_use_fused_scatter and split_k == 1
    return bool(fixed.get("fused_scatter", can)) and can


def make_default_opt_flags_nvidia(
    problem: Problem, constraints: Constraints, target: Target
) -> OptFlags:
    """The flags on NVIDIA, and where there is no device at all."""
    rules = opt_flags_nvidia
    arch = target.arch if isinstance(target.arch, int) else 0
    n_sms = target_info.num_sms()
    fixed = constraints.get
    block_m = fixed("block_m") or rules.compute_block_m(problem)
    block_n = fixed("block_n") or rules.compute_block_n(problem, block_m, arch, n_sms)
    block_k = problem.block_k or fixed("block_k") or rules.compute_block_k(problem, block_m)
    grid_size = rules.compute_grid_size(problem, block_m, block_n)
    split_k = _split_k(
        problem, constraints, rules.compute_split_k(problem, block_k, grid_size, n_sms)
    )
    is_persistent = fixed("is_persistent")
    if is_persistent is None:
        is_persistent = rules.compute_is_persistent(problem, block_m)
    subtile = fixed("epilogue_subtile") or rules.compute_epilogue_subtile(
        problem, block_m, block_n, block_k, is_persistent, arch
    )
    return OptFlags(
        block_m=block_m,
        block_n=block_n,
        block_k=block_k,
        num_warps=fixed("num_warps") or rules.compute_num_warps(block_m, block_n),
        num_stages=fixed("num_stages")
        or rules.compute_num_stages(
            problem, block_m, block_n, block_k, is_persistent, subtile, arch
        ),
        group_m=8,
        xcd_swizzle=1,
        w_cache_modifier=None,
        split_k=split_k,
        is_persistent=is_persistent,
        fused_scatter=_fused_scatter(problem, constraints, split_k),
        idle_sms=fixed("idle_sms") or 0,
        epilogue_subtile=subtile,
        arch=None,
    )


def make_default_opt_flags_amd(
    problem: Problem, constraints: Constraints, target: Target
) -> OptFlags:
    """The flags on AMD."""
    rules = opt_flags_amd
    if constraints.get("is_persistent"):
        raise _inapplicable(constraints, "is_persistent", "AMD has no TMA")
    n_sms = target_info.num_sms()
    fixed = constraints.get
    block_m = fixed("block_m") or rules.compute_block_m(problem, target.arch == "gfx950")
    block_n, block_k = rules.compute_block_nk(problem, block_m, n_sms)
    block_n = fixed("block_n") or block_n
    block_k = problem.block_k or fixed("block_k") or block_k
    grid_size = problem.n_tiles(block_m, block_n)
    split_k = _split_k(problem, constraints, split_k_that_fills(problem, block_k, grid_size, n_sms))
    return OptFlags(
        block_m=block_m,
        block_n=block_n,
        block_k=block_k,
        num_warps=fixed("num_warps") or rules.compute_num_warps(block_m, block_n),
        num_stages=fixed("num_stages") or 2,
        group_m=4,
        xcd_swizzle=rules.N_XCDS,
        # What one tile has read of w in a small batch, no other tile reads again.
        w_cache_modifier=".cg" if block_m <= 32 else None,
        split_k=split_k,
        is_persistent=False,
        fused_scatter=_fused_scatter(problem, constraints, split_k),
        idle_sms=fixed("idle_sms") or 0,
        epilogue_subtile=fixed("epilogue_subtile") or 1,
        arch=None,
        target_kernel_kwargs={"matrix_instr_nonkdim": 16},
    )
