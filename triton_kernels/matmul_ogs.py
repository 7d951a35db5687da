"""The records that tell a mixture-of-experts product which token meets which expert."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels import deprecation
from triton_kernels.specialize import FnSpecs
from triton_kernels.tensor_details.checks import wrong_value
from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata

__all__ = [
    "FnSpecs",
    "FusedActivation",
    "GatherIndx",
    "RaggedTensorMetadata",
    "RoutingData",
    "ScatterIndx",
]


@dataclass
class GatherIndx:
    """How rows are brought from the order of tokens into the order of experts.

    With N slots, slot `i` being choice `i % k` of token `i // k`:

    src_indx: int32 [N]; for each row in the order of experts, the slot it comes from
        (`BitmatrixMetadata.combine_indx`); -1 on the unused tail.  The token is `slot // k`.
    dst_indx: int32 [N], the inverse (`dispatch_indx`); -1 for an unused slot.
    """

    src_indx: torch.Tensor
    dst_indx: torch.Tensor


@dataclass
class ScatterIndx:
    """How rows are brought back from the order of experts into the order of tokens.

    The two vectors of `GatherIndx` with their roles exchanged:

    src_indx: int32 [N]; for each slot, the row in the order of experts it comes from.
    dst_indx: int32 [N], the inverse; for each such row, the slot it goes to.
    """

    src_indx: torch.Tensor
    dst_indx: torch.Tensor


@dataclass
class RoutingData:
    """Which experts are at work, on how many rows, and with which weights.

    gate_scal: [N], the weight of each row, in the order of experts.
    expt_hist: int32 [n_expts_tot], rows of each expert.
    n_expts_tot, n_expts_act: number of experts, and of experts a token goes to (k).
    expt_data: offsets and block schedule of the experts' rows.
    expected_tokens_per_expt: a hint for the choice of tiles.
    """

    gate_scal: torch.Tensor
    expt_hist: torch.Tensor
    n_expts_tot: int
    n_expts_act: int
    expt_data: RaggedTensorMetadata | None = None
    expected_tokens_per_expt: int | None = None

    def n_blocks(self, n_rows: int, block_m: int) -> int:
        """Most blocks of `block_m` rows that `n_rows` rows can fall into: the grid to launch.

        With 8 experts: 8 rows make at most 8 blocks, 100 rows 13 of 16 or 8 of 128.
        """
        return RaggedTensorMetadata.n_blocks(self.n_expts_tot, n_rows, block_m)


@dataclass(frozen=True)
class FusedActivation:
    """A function applied to each tile of the product before it is stored.

    specs: the function; `specs.reduction_n` columns of the product make one of the output.
    fn_args: values of its `fn_arg_names`.
    reduction_n: where `specs` does not say it; deprecated, and warns.  The record then reads as if
        `specs` had said it.

    Raises ValueError where both say it and differ.
    """

    specs: FnSpecs = field(default_factory=FnSpecs.default)
    fn_args: tuple[Any, ...] = ()
    reduction_n: int = None  # type: ignore[assignment]  # filled in below

    def __new__(cls, *args: Any, **kwargs: Any) -> FusedActivation:
        # Here, since only a constructor sees whether an argument came by position.
        specs = args[0] if args else kwargs.get("specs", FnSpecs.default())
        given = args[2] if len(args) > 2 else kwargs.get("reduction_n")
        if given is not None and specs.reduction_n == 1 != given:
            deprecation.warn_deprecated("TKM320" if len(args) > 2 else "TKM321")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        given, own = self.reduction_n, self.specs.reduction_n
        if given is not None and given != own:
            if own != 1:
                raise wrong_value("reduction_n", f"{own}, as specs says, or None", given)
            object.__setattr__(self, "specs", replace(self.specs, reduction_n=given))
        object.__setattr__(self, "reduction_n", self.specs.reduction_n)


def __getattr__(name: str) -> Any:
    return deprecation.old_attribute(__name__, name)
