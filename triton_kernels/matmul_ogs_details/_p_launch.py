"""Launch of the persistent TMA kernel: who can have it, and on what grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from triton.tools.tensor_descriptor import TensorDescriptor  # type: ignore[import-untyped]

from triton_kernels.launching import launch
from triton_kernels.matmul_ogs_details._kernel_arguments import (
    NO_ENDING,
    Stores,
    constants_of,
    ending_of,
    linear_of,
)
from triton_kernels.matmul_ogs_details._matmul_ogs import Rows
from triton_kernels.matmul_ogs_details._p_matmul_ogs import _gather_rows, _p_matmul_ogs
from triton_kernels.target_info import cuda_capability_geq, num_sms
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

if TYPE_CHECKING:
    from triton_kernels.matmul_ogs_details.opt_flags import OptFlags
    from triton_kernels.matmul_ogs_details.product import Product

# TMA wants addresses and strides of multiples of 16 bytes (PTX ISA, tensor map).
_ALIGNMENT = 16

# Where as many rows of an expert fall into a block, they are gathered by a pass of their own, and
# the product reads them by TMA: the pass takes 0.12 ms of 2.05 (H100, 128 experts, n 8192), and
# with pointers the product itself was never less than 0.08 ms slower, of 1.74.
_GATHERED_FIRST_BLOCK_M = 128

# Every program looks for its tiles among all slices, in registers.
_MOST_SLICES = 1024

# Bytes of shared memory of a multiprocessor of capability 9.0 and 10.0 (CUDA C++ Programming
# Guide), and what a program needs of it besides the stages of its operands, for barriers.
_SHARED_MEMORY = 227 * 1024
_RESERVED = 1024
_MOST_PROGRAMS_PER_SM = 3


def can_use_tma(product: Product) -> bool:
    """Whether the persistent kernel can compute the product on this target."""
    x, w = product.x, product.w
    if not cuda_capability_geq(9) or product.inner is not None or product.remote is not None:
        return False
    if x.dtype != w.dtype or product.inner_size == 0 or product.n_slices > _MOST_SLICES:
        return False
    return _is_aligned(x, 2) and (
        _is_aligned(w, 1) or (_is_aligned(w, 2) and (w.itemsize > 1 or cuda_capability_geq(10)))
    )


def _is_aligned(matrices: torch.Tensor, contiguous: int) -> bool:
    """Whether TMA can address [B, m, n] whose dimension `contiguous` has stride 1."""
    strides = matrices.stride()
    size = matrices.itemsize
    return (
        strides[contiguous] == 1
        and 0 not in strides  # a matrix that is repeated, or a row
        and strides[3 - contiguous] * size % _ALIGNMENT == 0
        and strides[0] * size % _ALIGNMENT == 0
        and matrices.data_ptr() % _ALIGNMENT == 0
    )


def programs_per_sm(flags: OptFlags, itemsize: int) -> int:
    """Programs that a multiprocessor holds at a time: as many as its shared memory."""
    stage = (flags.block_m + flags.block_n) * flags.block_k * itemsize
    return max(
        1, min(_MOST_PROGRAMS_PER_SM, _SHARED_MEMORY // (stage * flags.num_stages + _RESERVED))
    )


def launch_persistent(product: Product, flags: OptFlags, stores: Stores) -> None:
    """The product, by TMA."""
    x, w = product.x, product.w
    block_m, block_n, block_k = flags.block_m, flags.block_n, flags.block_k
    slices = product.slices
    is_final = stores.rows is None
    n_matrices = x.shape[0]
    grid_m = -(-product.n_rows // block_m)
    sizes = offs = None
    if slices is not None:
        sizes, offs = slices.batch_sizes, slices.batch_offs
        grid_m = RaggedTensorMetadata.n_blocks(product.n_slices, product.n_rows, block_m)
    grid_n = -(-product.n_columns // block_n)
    n_tiles = grid_m * grid_n * n_matrices * flags.split_k
    if n_tiles == 0:  # no rows of x, but rows of the result: all of them unused
        if stores.scatters:
            stores.y.zero_()
        return

    gather = product.gather
    if gather is not None and block_m >= _GATHERED_FIRST_BLOCK_M:
        x = gather_rows(product)
        gather = None
    x_desc = None
    if gather is None:
        x_desc = TensorDescriptor(x, x.shape, x.stride(), [1, block_m, block_k])
    w_is_transposed = w.stride(2) != 1
    if w_is_transposed:
        w = w.transpose(1, 2)
    w_desc = TensorDescriptor(
        w,
        w.shape,
        w.stride(),
        [1, block_n, block_k] if w_is_transposed else [1, block_k, block_n],
    )
    y, y_strides = stores.target()
    scatters = stores.scatters
    rows = Rows(
        gather,
        product.scatter_to if scatters else None,
        product.scatter_from if scatters else None,
    )
    # One program at least, however many multiprocessors are to be left idle.
    n_programs = max(1, num_sms() - flags.idle_sms) * programs_per_sm(flags, x.itemsize)
    launch(
        _p_matmul_ogs,
        (min(n_programs, n_tiles),),
        (
            x_desc,
            x,
            x.stride(),
            w_desc,
            y,
            y_strides,
            sizes,
            offs,
            rows,
            linear_of(product),
            product.gammas,
            ending_of(product) if is_final else NO_ENDING,
            product.activation.args,
            product.epilogue.args if is_final else (),
            product.n_rows,
            product.y_shape[1],
            n_matrices,
            product.n_columns,
            product.inner_size,
            grid_m,
            grid_n,
        ),
        {
            "N_SLICES": product.n_slices,
            "W_TRANSPOSED": w_is_transposed,
            "MASK_K": product.inner_size % block_k != 0,
            **constants_of(product, flags, stores),
        },
        num_warps=flags.num_warps,
        num_stages=flags.num_stages,
    )


def gather_rows(product: Product) -> torch.Tensor:
    """Rows of x in the order of experts, [1, M, K]; where no slot is, zeros."""
    n_rows, n_columns = product.n_rows, product.inner_size
    x = product.x
    gathered = torch.empty((1, n_rows, n_columns), dtype=x.dtype, device=x.device)
    launch(
        _gather_rows,
        (n_rows,),
        (x, x.stride(1), product.gather, gathered, n_columns),
        {
            "N_CHOICES": product.n_choices,
            "C": min(4096, max(256, 1 << (n_columns - 1).bit_length())),
        },
        num_warps=4,
    )
    return gathered
