"""`matmul_ogs` on a GPU: one launch for the product, and one more where rows are added up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from triton_kernels.launching import launch
from triton_kernels.matmul_ogs_details import opt_flags
from triton_kernels.matmul_ogs_details._common import Ending, Remote
from triton_kernels.matmul_ogs_details._finalize import _finalize
from triton_kernels.matmul_ogs_details._kernel_arguments import (
    IN_PLACE,
    NO_ENDING,
    Stores,
    constants_of,
    ending_of,
    ending_with,
    linear_of,
    remote_of,
)
from triton_kernels.matmul_ogs_details._matmul_ogs import Rows, Slices, _matmul_ogs
from triton_kernels.matmul_ogs_details._p_launch import can_use_tma, launch_persistent
from triton_kernels.matmul_ogs_details.product import NO_FUNCTION, Function
from triton_kernels.numerics import OutFlexData
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

if TYPE_CHECKING:
    from triton_kernels.matmul_ogs_details.opt_flags import OptFlags
    from triton_kernels.matmul_ogs_details.product import Product


# Elements of the result that a program of the finalising pass makes, and the widest tile of it.
_FINALIZED = 1024
_WIDEST = 1024

# It takes rows of slices in blocks of the smallest size that schedules have: the fewest are wasted.
_FINALIZED_BLOCK = 16


def multiply(product: Product) -> torch.Tensor:
    """The result, [B, rows, N / reduction_n] (or [E, rows, N] of an inner-ragged product).

    It must not be empty.
    Rows of the result that belong to no slice, where nothing is scattered, are not written.
    """
    return multiply_as_planned(product, opt_flags.plan(product, can_use_tma(product)))


def multiply_as_planned(product: Product, flags: OptFlags) -> torch.Tensor:
    """`multiply` with given flags, for a result that is not empty."""
    stores = allocate(product, flags)
    if flags.is_persistent:
        launch_persistent(product, flags, stores)
    else:
        launch_product(product, flags, stores)
    finalize(product, flags, stores)
    return stores.y


def allocate(product: Product, flags: OptFlags) -> Stores:
    """The result and, where there is a finalising pass, what it reads.

    Splits are float32 and not activated yet.  Rows that are only to be added up are activated and
    of the type of the result, unless that has 8 bits, which are not enough to add up.
    """
    y = product.result()
    scatters = product.scatter_to is not None
    split_k = flags.split_k
    # Without rows there is no program of the product to store zeros.
    if split_k == 1 and (not scatters or (flags.fused_scatter and product.n_rows > 0)):
        return Stores(y, None, scatters)
    shape = (
        split_k,
        product.y_shape[0] if not scatters else 1,
        product.n_rows,
        product.n_columns if split_k > 1 else product.y_shape[2],
    )
    if split_k > 1:
        dtype = torch.float32
    else:
        dtype = torch.bfloat16 if product.y_dtype.itemsize == 1 else product.y_dtype
    return Stores(y, torch.empty(shape, dtype=dtype, device=y.device), False)


def launch_product(product: Product, flags: OptFlags, stores: Stores) -> None:
    """The product, by pointers."""
    x, w = product.x, product.w
    block_m, block_n, block_k = flags.block_m, flags.block_n, flags.block_k
    slices, inner = product.slices, product.inner
    is_final = stores.rows is None
    n_matrices = x.shape[0]
    grid_m = -(-product.n_rows // block_m)
    parts = None
    if slices is not None:
        parts, grid_m = row_blocks(slices, product.n_rows, block_m)
    elif inner is not None:
        slices = inner.metadata
        n_matrices = product.n_slices
        blocks = slices.block_offs(inner.block_k)
        parts = Slices(slices.batch_sizes, slices.batch_offs, blocks)
    grid_n = -(-product.n_columns // block_n)
    n_programs = grid_m * grid_n * flags.split_k * n_matrices
    if n_programs == 0:  # no rows of x, but rows of the result: all of them unused
        if stores.scatters:
            stores.y.zero_()
        return

    y, y_strides = stores.target()
    rows = IN_PLACE
    if stores.scatters:
        rows = Rows(product.gather, product.scatter_to, product.scatter_from)
    elif product.gather is not None:
        rows = Rows(product.gather, None, None)
    launch(
        _matmul_ogs,
        (n_programs,),
        (
            x,
            (x.stride(0) if inner is None else 0, x.stride(1), x.stride(2)),
            w,
            (w.stride(0) if w.shape[0] > 1 else 0, w.stride(1), w.stride(2)),
            y,
            y_strides,
            parts,
            rows,
            remote_of(product, y) if is_final else None,
            linear_of(product),
            product.gammas,
            ending_of(product) if is_final else NO_ENDING,
            product.activation.args,
            product.epilogue.args if is_final else (),
            product.n_rows,
            n_result_rows(product),
            product.n_columns,
            product.inner_size,
            grid_m,
            grid_n,
        ),
        {
            "N_CHOICES": product.n_choices,
            "RAGGED": product.slices is not None,
            "INNER": inner is not None,
            "X_PADDED": inner is not None and inner.x_is_padded,
            "W_PADDED": inner is not None and inner.w_is_padded,
            "ALIGNED_ROWS": product.slices is None
            and x.stride(1) == 1
            and product.n_rows % 16 == 0,
            "MASK_K": inner is None and product.inner_size % block_k != 0,
            "N_SHARDS": 1 if product.remote is None else product.remote.n_reduce_shards,
            "XCDS": flags.xcd_swizzle,
            "W_CACHE": flags.w_cache_modifier or "",
            **constants_of(product, flags, stores),
        },
        num_warps=flags.num_warps,
        num_stages=flags.num_stages,
        **(flags.target_kernel_kwargs or {}),
    )


def row_blocks(metadata: RaggedTensorMetadata, n_rows: int, block_m: int) -> tuple[Slices, int]:
    """(slices in blocks of so many rows, how many blocks `n_rows` rows have at most)."""
    blocks = metadata.block_schedule(block_m)
    n_blocks = min(metadata.n_blocks(metadata.n_slices, n_rows, block_m), blocks.shape[0])
    return Slices(metadata.batch_sizes, metadata.batch_offs, blocks), n_blocks


def n_result_rows(product: Product) -> int:
    """Rows of the result; remote buffers have so many for each of the ranks that send."""
    n_rows = product.y_shape[1]
    return n_rows if product.remote is None else n_rows // product.remote.n_reduce_shards


def finalize(product: Product, flags: OptFlags, stores: Stores) -> None:
    """The second launch; none where the product's kernel has stored the result."""
    if stores.rows is None:
        return
    # What a kernel without splits stored is activated already.
    activation = product.activation if flags.split_k > 1 else NO_FUNCTION
    launch_finalize(
        stores.rows,
        stores.y,
        product.scatter_from,
        product.n_choices if product.scatter_from is not None else 1,
        activation=activation,
        epilogue=Function(product.epilogue.specs, product.epilogue_finalize_args),
        gammas=product.gammas if flags.split_k > 1 else None,
        ending=ending_of(product),
        remote=remote_of(product, stores.y),
        n_rows=n_result_rows(product),
        slices=product.slices if product.scatter_from is None else None,
        n_shards=1 if product.remote is None else product.remote.n_reduce_shards,
        saturate_inf=product.saturate_inf,
    )


def sum_groups(
    x: torch.Tensor,
    indx: torch.Tensor | None,
    *,
    out: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
    activation: Function = NO_FUNCTION,
    epilogue: Function = NO_FUNCTION,
    x_scale: torch.Tensor | None = None,
    y_flex: OutFlexData | None = None,
    saturate_inf: bool = False,
) -> torch.Tensor:
    """Sums of groups of rows, each the sum of its splits and activated by itself.

    x: [splits, B, M, N], any strides.
    indx: int32 [groups, k], the rows of each group, negative for none; B is 1 then.  None: each
        row is a group.
    out: [B, groups, N / reduction_n], any strides; else it is allocated, in `out_dtype` or the type
        of x.  A group of no rows is zeros.
    x_scale: float32 [1], factor of x.  y_flex, saturate_inf: as the result is stored.

    Returns `out`.  Everything is taken to be right.
    """
    _, n_matrices, n_rows, n_columns = x.shape
    n_groups, n_choices = (n_rows, 1) if indx is None else indx.shape
    if out is None:
        shape = (n_matrices, n_groups, n_columns // activation.specs.reduction_n)
        out = torch.empty(shape, dtype=out_dtype or x.dtype, device=x.device)
    if out.numel() > 0:
        launch_finalize(
            x,
            out,
            indx,
            n_choices,
            activation=activation,
            epilogue=epilogue,
            n_rows=n_groups,
            x_scale=x_scale,
            ending=ending_with(y_flex, None, None),
            saturate_inf=saturate_inf,
        )
    return out


def launch_finalize(
    x: torch.Tensor,
    y: torch.Tensor,
    scatter_from: torch.Tensor | None,
    n_choices: int,
    *,
    activation: Function,
    epilogue: Function,
    n_rows: int,
    slices: RaggedTensorMetadata | None = None,
    x_scale: torch.Tensor | None = None,
    gammas: torch.Tensor | None = None,
    ending: Ending = NO_ENDING,
    remote: Remote | None = None,
    n_shards: int = 1,
    saturate_inf: bool = False,
) -> None:
    """Launch `_finalize` on x [splits, B, M, N] and y [B, rows, N'].

    scatter_from: int32 [n_rows, n_choices], or all of them in one dimension, side by side.
    slices: only rows of these are read and stored.
    """
    n_matrices, _, n_columns = y.shape
    reduction_n = activation.specs.reduction_n
    columns = min(_WIDEST // reduction_n, 1 << (n_columns - 1).bit_length())
    rows = max(1, min(_FINALIZED // (columns * reduction_n), 1 << (n_rows - 1).bit_length()))
    programs_m, programs_n = -(-n_rows // rows), -(-n_columns // columns)
    parts = None
    if slices is not None:
        rows = min(rows, _FINALIZED_BLOCK)
        parts, n_blocks = row_blocks(slices, n_rows, _FINALIZED_BLOCK)
        programs_m = n_blocks * (_FINALIZED_BLOCK // rows)
    if scatter_from is not None and scatter_from.ndim == 2:
        scatter_strides = scatter_from.stride()
    else:
        scatter_strides = (n_choices, 1)
    launch(
        _finalize,
        (programs_m * programs_n * n_matrices,),
        (
            x,
            x.stride(),
            x_scale,
            y,
            y.stride(),
            scatter_from,
            scatter_strides,
            parts,
            remote,
            gammas,
            ending,
            activation.args,
            epilogue.args,
            n_rows,
            n_columns,
            programs_m,
            programs_n,
        ),
        {
            "N_SPLITS": x.shape[0],
            "N_CHOICES": n_choices,
            "ACTIVATION": activation.specs.fn,
            "REDUCTION_N": reduction_n,
            "EPILOGUE": epilogue.specs.fn,
            "SATURATE": saturate_inf,
            "N_SHARDS": n_shards,
            "BLOCK_M": _FINALIZED_BLOCK,
            "R": rows,
            "C": columns,
        },
        num_warps=4,
    )
