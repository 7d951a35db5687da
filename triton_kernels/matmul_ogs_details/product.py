"""A checked call of `matmul_ogs`: what is to be computed, with nothing left to refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from triton_kernels.specialize import FnSpecs
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

if TYPE_CHECKING:
    from triton_kernels.numerics import OutFlexData

__all__ = ["NO_FUNCTION", "Function", "InnerSlices", "Product", "Remote"]


@dataclass(frozen=True)
class Function:
    """A device function and the values of its arguments.

    specs: `specs.fn` is None where nothing is called.
    """

    specs: FnSpecs
    args: tuple[Any, ...] = ()


NO_FUNCTION = Function(FnSpecs.default())
"""Nothing is called."""


@dataclass(frozen=True)
class InnerSlices:
    """The slices of an inner-ragged product: columns of x, and rows of w.

    metadata: sizes, offsets and (for `block_k`) padded offsets of the slices.
    block_k: what padded slices begin at multiples of, and the extent of a step along K.
    x_is_padded, w_is_padded: slice `e` begins at `block_offs(block_k)[e] * block_k` in that
        operand, else at `batch_offs[e]`.
    """

    metadata: RaggedTensorMetadata
    block_k: int
    x_is_padded: bool
    w_is_padded: bool


@dataclass(frozen=True)
class Remote:
    """Buffers of other ranks that receive the rows: a checked `FusedComm`."""

    handles: torch.Tensor
    shard_indx: torch.Tensor | None
    reduce_rank: int
    n_reduce_shards: int


# Not frozen: a call of the op has 25 us, and setting 33 fields of a frozen class takes 5 of them.
@dataclass(slots=True, eq=False)
class Product:
    """What a call of `matmul_ogs` computes.  Everything has been checked.

    With B batches, E slices (experts), T tokens, k choices, M rows of the product:

    x: [B, rows, K], any strides; B is 1 unless batched.  Rows are tokens where `gather` is given.
        K can be 0, then the product is 0.
    w: [E or B or 1, K, N], any strides; for an inner-ragged product [1, K_W, N].
    bias: float32, bfloat16 or float16, [E or B or 1, N], any strides; or None.
    n_rows: M: rows of the product before they are scattered; can be 0 where it scatters.
    n_slices: E, for an inner-ragged product too; 1 unless ragged.
    slices: which rows meet which slice of w; None: all meet slice 0 (or that of their batch).
        Rows of no slice are not computed: what the result holds there is not defined.  Its own
        tensors can be longer than E (`remap_ragged_tensor_metadata`), and its schedule can be
        narrower than the most blocks of M rows.
    expected_slice_size: a hint for the plan, rows of a slice.
    n_choices: k, slots of a token.
    gather: int32 [M], the slot of each row; the row of x is `slot // n_choices`; a negative slot
        reads nothing (zeros).
    scatter_to: int32 [M], the slot each row goes to; negative: nowhere.
    scatter_from: int32 [T * k], the inverse: the row each slot comes from; negative: none.
        Row t of the result is the sum over its k slots; rows without any are zero.
    inner: set for an inner-ragged product, whose result is [E, rows, N].
    betas, gammas: factors of the bias and of the activated row, by row of the product: float32,
        bfloat16 or float16, [M], contiguous like all vectors here.
    alpha: factor of product and bias, before the activation.
    y: where the result goes, of `y_shape` and `y_dtype`, any strides; None: to be allocated.
    y_shape, y_dtype: of the result: [B or, for an inner-ragged product, E; T where it is
        scattered, else M; N / reduction_n], none of them 0.  With `remote`, the buffers of the
        ranks have this shape, and rows are times `n_reduce_shards`.
    y_acc_in, acc_scale: added to the activated row, before output scaling; `y_acc_in` has y's
        shape, any strides and float dtype, and may be `y`; `acc_scale` is float32 [1] or None.
    x_scale, w_scale: float32 [1] or one for each batch (x) or slice (w), or None for 1; real =
        stored * scale.
    y_flex: scales of the result; each of the three has one element or `y_shape[0]`, for each batch
        its own.
    saturate_inf: whether results beyond the range of `y_dtype` become its largest value.
    activation: applied to tiles of the product; joins `specs.reduction_n` columns into one.
    epilogue: applied last.  epilogue_finalize_args: its arguments where a finalising pass calls it.
    epilogue_itemsize: `Epilogue.effective_itemsize`.
    remote: store to other ranks instead of y.
    allow_tf32: float32 operands may be rounded to tf32 in the product.
    max_imprecise_acc: fp8 products accumulated in less than float32; None: as the target has it.
    bitwise_invariant: no choice may depend on the number of rows.
    """

    x: torch.Tensor
    w: torch.Tensor
    bias: torch.Tensor | None
    n_rows: int
    n_slices: int
    slices: RaggedTensorMetadata | None
    expected_slice_size: int | None
    n_choices: int
    gather: torch.Tensor | None
    scatter_to: torch.Tensor | None
    scatter_from: torch.Tensor | None
    inner: InnerSlices | None
    betas: torch.Tensor | None
    gammas: torch.Tensor | None
    alpha: float | None
    y: torch.Tensor | None
    y_shape: tuple[int, int, int]
    y_dtype: torch.dtype
    y_acc_in: torch.Tensor | None
    acc_scale: torch.Tensor | None
    x_scale: torch.Tensor | None
    w_scale: torch.Tensor | None
    y_flex: OutFlexData
    saturate_inf: bool
    activation: Function
    epilogue: Function
    epilogue_finalize_args: tuple[Any, ...]
    epilogue_itemsize: float | None
    remote: Remote | None
    allow_tf32: bool
    max_imprecise_acc: int | None
    bitwise_invariant: bool

    def result(self) -> torch.Tensor:
        """Memory for the result: y, or new."""
        if self.y is not None:
            return self.y
        return torch.empty(self.y_shape, dtype=self.y_dtype, device=self.x.device)

    @property
    def n_batches(self) -> int:
        """B."""
        return self.x.shape[0]

    @property
    def is_batched(self) -> bool:
        """Whether each matrix of x meets its own of w."""
        return self.slices is None and self.inner is None and self.w.shape[0] > 1

    @property
    def inner_size(self) -> int:
        """K, columns of x."""
        return self.x.shape[2]

    @property
    def n_columns(self) -> int:
        """N, columns of w."""
        return self.w.shape[2]
