"""The kernels of a product under the names that upstream's `get_kernels` gave them."""

from __future__ import annotations

from typing import Any

from triton_kernels import dispatch
from triton_kernels.matmul_ogs_details.opt_flags import OptFlags
from triton_kernels.matmul_ogs_details.records import EpilogueSpecs, PrecisionConfig
from triton_kernels.specialize import FnSpecs
from triton_kernels.target_info import cuda_capability_geq

__all__ = ["Kernels", "get_kernels", "get_swap_xw"]

_FOLDER = "triton_kernels.matmul_ogs_details"


class Kernels:
    """The kernels that a pair of functions specialises, each imported when it is asked for.

    Ours take the functions as arguments, so there is one of each for all pairs.

    epilogue, fused_activation: the pair.
    """

    def __init__(self, epilogue: EpilogueSpecs, fused_activation: FnSpecs) -> None:
        self.epilogue = epilogue
        self.fused_activation = fused_activation

    @property
    def _matmul_ogs(self) -> Any:
        return dispatch.load(f"{_FOLDER}._matmul_ogs._matmul_ogs")

    @property
    def _p_matmul_ogs(self) -> Any:
        return dispatch.load(f"{_FOLDER}._p_matmul_ogs._p_matmul_ogs")

    @property
    def _reduce_grouped(self) -> Any:
        return dispatch.load(f"{_FOLDER}._finalize._finalize")


_DEFAULT = FnSpecs.default()
_kernels: dict[tuple[int, int], Kernels] = {}


def get_kernels(
    epilogue: EpilogueSpecs = _DEFAULT, fused_activation: FnSpecs = _DEFAULT
) -> Kernels:
    """The kernels for an epilogue and an activation: the same object for the same functions.

    Two functions of one name are two functions.
    """
    # By identity: the hash of a `JITFunction` is that of its source.  The value keeps both alive.
    key = id(epilogue.fn), id(fused_activation.fn)
    if key not in _kernels:
        _kernels[key] = Kernels(epilogue, fused_activation)
    return _kernels[key]


def get_swap_xw(precision_config: PrecisionConfig, opt_flags: OptFlags) -> bool:
    """Whether tensor cores are given w for x and x for w.

    They are from capability 10 on in a persistent kernel with microscaled w and at most 64 rows a
    tile: the operand with scales must be the one of 128 rows.
    """
    return (
        precision_config.weight_scale is not None
        and opt_flags.block_m <= 64
        and opt_flags.is_persistent
        and cuda_capability_geq(10)
    )
