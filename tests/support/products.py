"""Products of every kind, plans for them, and what they come to, row by row in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from triton_kernels.matmul_ogs_details.opt_flags import OptFlags
from triton_kernels.matmul_ogs_details.product import NO_FUNCTION, Function, InnerSlices, Product
from triton_kernels.numerics import OutFlexData
from triton_kernels.tensor import RaggedTensorMetadata, make_ragged_tensor_metadata_torch

Tiles = Callable[[torch.Tensor], torch.Tensor]

NAN = float("nan")


def plan_of(**changes: Any) -> OptFlags:
    """Tiles of 32 x 64 x 32 in one pass, by pointers, unless told otherwise."""
    flags: dict[str, Any] = {
        "block_m": 32,
        "block_n": 64,
        "block_k": 32,
        "num_warps": 4,
        "num_stages": 3,
        "group_m": 8,
        "xcd_swizzle": 1,
        "w_cache_modifier": None,
        "split_k": 1,
        "is_persistent": False,
        "fused_scatter": False,
        "idle_sms": 0,
        "epilogue_subtile": 1,
        "arch": None,
        "target_kernel_kwargs": {},
    }
    return OptFlags(**(flags | changes))


def product_of(x: torch.Tensor, w: torch.Tensor, **changes: Any) -> Product:
    """x [B, rows, K] times w [matrices, K, N] in float32, and `changes` of the record.

    Shapes and numbers that follow from the others are filled in.
    """
    gather, scatter_from = changes.get("gather"), changes.get("scatter_from")
    inner: InnerSlices | None = changes.get("inner")
    slices: RaggedTensorMetadata | None = changes.get("slices")
    activation: Function = changes.get("activation", NO_FUNCTION)
    n_rows = x.shape[1] if gather is None else gather.shape[0]
    n_result_rows = n_rows
    if scatter_from is not None:
        n_result_rows = scatter_from.shape[0] // changes.get("n_choices", 1)
    n_slices, n_matrices = 1, x.shape[0]
    if inner is not None:
        n_slices = n_matrices = inner.metadata.n_slices
    elif slices is not None:
        n_slices = slices.n_slices
    fields: dict[str, Any] = {
        "x": x,
        "w": w,
        "n_rows": n_rows,
        "n_slices": n_slices,
        "n_choices": 1,
        "y_shape": (n_matrices, n_result_rows, w.shape[2] // activation.specs.reduction_n),
        "y_dtype": torch.float32,
        "y_flex": OutFlexData(),
        "saturate_inf": False,
        "activation": activation,
        "epilogue": NO_FUNCTION,
        "epilogue_finalize_args": (),
        "allow_tf32": True,
        "bitwise_invariant": False,
    }
    absent = Product.__dataclass_fields__.keys() - fields.keys()
    return Product(**(dict.fromkeys(absent) | fields | changes))


def slices_of(sizes: Sequence[int]) -> RaggedTensorMetadata:
    return make_ragged_tensor_metadata_torch(torch.tensor(sizes, dtype=torch.int32), sum(sizes))


def expected(
    p: Product, *, activation: Tiles | None = None, epilogue: Tiles | None = None
) -> torch.Tensor:
    """float64 [matrices, rows, columns] of the result before it is rounded; NaN: not written.

    activation, epilogue: what the product's functions compute, on rows.
    """
    n_matrices, n_result_rows, n_columns = p.y_shape
    rows = torch.full((n_matrices, p.n_rows, n_columns), NAN, dtype=torch.float64)
    for matrix, expert, which in _groups(p, n_matrices):
        acc = _accumulated(p, matrix, expert, which)
        acc *= _scale(p.x_scale, matrix) * _scale(p.w_scale, expert)
        if p.bias is not None:
            beta = 1.0 if p.betas is None else p.betas[which].double()[:, None]
            acc += p.bias[expert % p.bias.shape[0]].double() * beta
        acc *= 1.0 if p.alpha is None else p.alpha
        acc = acc if activation is None else activation(acc)
        rows[matrix, which] = acc * (1.0 if p.gammas is None else p.gammas[which].double()[:, None])
    unused = torch.zeros(n_result_rows, dtype=torch.bool)
    if p.scatter_from is not None:
        slots = p.scatter_from.reshape(n_result_rows, p.n_choices)
        unused = (slots < 0).all(dim=1)
        padded = torch.cat([rows[0], torch.zeros(1, n_columns)])  # which is row -1
        rows = padded[slots.clamp(min=-1)].sum(dim=1)[None]
    if p.y_acc_in is not None:
        rows += p.y_acc_in.double() * _scale(p.acc_scale, 0)
    if p.y_flex.expected_scale is not None:
        rows /= p.y_flex.expected_scale.double().reshape(-1, 1, 1)
        if p.saturate_inf:
            largest = torch.finfo(p.y_dtype).max
            rows = rows.clamp(-largest, largest)
    rows = rows if epilogue is None else epilogue(rows)
    rows[:, unused] = 0.0
    return rows


def _groups(p: Product, n_matrices: int) -> list[tuple[int, int, list[int]]]:
    """(matrix of the result, slice or matrix of w, rows of the product)."""
    every = list(range(p.n_rows))
    if p.slices is None:
        return [(matrix, matrix, every) for matrix in range(n_matrices)]
    starts, sizes = p.slices.batch_offs.tolist(), p.slices.batch_sizes.tolist()
    slices = enumerate(zip(starts, sizes, strict=False))
    return [(0, e, list(range(start, start + size))) for e, (start, size) in slices]


def _accumulated(p: Product, matrix: int, expert: int, which: list[int]) -> torch.Tensor:
    if p.inner is not None:
        size = int(p.inner.metadata.batch_sizes[expert])
        packed = int(p.inner.metadata.batch_offs[expert])
        padded = int(p.inner.metadata.block_offs(p.inner.block_k)[expert]) * p.inner.block_k
        in_x = padded if p.inner.x_is_padded else packed
        in_w = padded if p.inner.w_is_padded else packed
        x = p.x[0, :, in_x : in_x + size].double()
        return x @ p.w[0, in_w : in_w + size].double()
    w = p.w[expert % p.w.shape[0]].double()
    if p.gather is None:
        return p.x[matrix, which].double() @ w
    slots = p.gather[which]
    x = p.x[0, slots.clamp(min=0) // p.n_choices].double()
    return torch.where((slots < 0)[:, None], 0.0, x) @ w


def _scale(scale: torch.Tensor | None, index: int) -> float:
    return 1.0 if scale is None else float(scale[index % scale.shape[0]])
