"""The names that `RaggedTensorMetadata` had as `ExptData`, each with a warning.

Everything here goes together with the `routing` facade.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from triton_kernels.deprecation import warn_deprecated
from triton_kernels.tensor_details.checks import wrong_value

__all__ = ["BlockTable", "OldExptDataNames"]


class BlockTable(dict[int, torch.Tensor]):
    """One tensor for each block size: a dict, as releases 3.4 and 3.5 had it.

    It can also be called, as the method that it became: `table(128) is table[128]`.
    """

    def __call__(self, block_m: int) -> torch.Tensor:
        if block_m not in self:
            raise wrong_value("block_m", f"one of {list(self)}", block_m)
        return self[block_m]

    @classmethod
    def of_rows(cls, block_sizes: Iterable[int], rows: torch.Tensor) -> BlockTable:
        """The rows of a stacked tensor, in order.  They are views: `copy_` into one is seen."""
        return cls(zip(block_sizes, rows.unbind(0), strict=True))


class OldExptDataNames:
    """The old names, in terms of the new ones."""

    if TYPE_CHECKING:
        batch_sizes: torch.Tensor
        batch_offs: torch.Tensor
        block_offs_data: torch.Tensor
        block_schedule_data: torch.Tensor

        @staticmethod
        def block_sizes() -> list[int]: ...
        @staticmethod
        def block_sizes_log2() -> range: ...
        def block_offs_table(self) -> BlockTable | None: ...
        def block_schedule_table(self) -> BlockTable | None: ...

    @property
    def hist(self) -> torch.Tensor:
        """`batch_sizes`."""
        warn_deprecated("TKM101")
        return self.batch_sizes

    @property
    def token_offs_raw(self) -> torch.Tensor:
        """`batch_offs`."""
        warn_deprecated("TKM102")
        return self.batch_offs

    @property
    def token_offs_pad_data(self) -> torch.Tensor:
        """`block_offs_data`."""
        warn_deprecated("TKM103")
        return self.block_offs_data

    @property
    def block_pid_map_data(self) -> torch.Tensor:
        """`block_schedule_data`."""
        warn_deprecated("TKM104")
        return self.block_schedule_data

    @property
    def token_offs_pad(self) -> BlockTable | None:
        """`block_offs`, as dict and as method; None in a record of None."""
        warn_deprecated("TKM105")
        return self.block_offs_table()

    @property
    def block_pid_map(self) -> BlockTable | None:
        """`block_schedule`, as dict and as method; None in a record of None."""
        warn_deprecated("TKM106")
        return self.block_schedule_table()

    @classmethod
    def block_ms(cls) -> list[int]:
        """`block_sizes`."""
        warn_deprecated("TKM107")
        return cls.block_sizes()

    @classmethod
    def block_ms_log2(cls) -> range:
        """`block_sizes_log2`."""
        warn_deprecated("TKM108")
        return cls.block_sizes_log2()
