"""`ExptData`: ragged metadata made, and asked for, by its old names."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from triton_kernels.tensor_details.ragged_tensor import RaggedTensorMetadata
from triton_kernels.tensor_details.ragged_tensor_details.old_names import BlockTable

__all__ = ["ExptData"]


class _EveryRaggedTensorMetadata(type):
    """An instance of `ExptData` is whatever was one under the old name."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, RaggedTensorMetadata)


class ExptData(RaggedTensorMetadata, metaclass=_EveryRaggedTensorMetadata):
    """`RaggedTensorMetadata` by its old name, made as old code makes it.

    hist, token_offs_raw: `batch_sizes` and `batch_offs`.
    token_offs_pad, block_pid_map: a dict from block size to tensor, as in releases 3.4 and 3.5, or
        the stacked tensor.  The tensors of a dict are kept as they are, in its order: what is
        copied into one later is seen.
    token_offs_pad_data, block_pid_map_data: the stacked tensors, by the keywords they had last.
    """

    def __init__(
        self,
        hist: torch.Tensor | None,
        token_offs_raw: torch.Tensor | None,
        token_offs_pad: Mapping[int, torch.Tensor] | torch.Tensor | None = None,
        block_pid_map: Mapping[int, torch.Tensor] | torch.Tensor | None = None,
        *,
        token_offs_pad_data: torch.Tensor | None = None,
        block_pid_map_data: torch.Tensor | None = None,
    ) -> None:
        offs = token_offs_pad if token_offs_pad_data is None else token_offs_pad_data
        schedule = block_pid_map if block_pid_map_data is None else block_pid_map_data
        self._offs_by_size = BlockTable(offs) if isinstance(offs, Mapping) else None
        self._schedule_by_size = BlockTable(schedule) if isinstance(schedule, Mapping) else None
        super().__init__(
            hist,  # type: ignore[arg-type]
            token_offs_raw,  # type: ignore[arg-type]
            None if isinstance(offs, Mapping) else offs,  # type: ignore[arg-type]
            None if isinstance(schedule, Mapping) else schedule,  # type: ignore[arg-type]
        )
        # A stacked copy would not see what is copied into a tensor of the dict later.
        if self._offs_by_size is not None:
            del self.block_offs_data
        if self._schedule_by_size is not None:
            del self.block_schedule_data

    def block_offs_table(self) -> BlockTable | None:
        if self._offs_by_size is None:
            return super().block_offs_table()
        return self._offs_by_size

    def block_schedule_table(self) -> BlockTable | None:
        if self._schedule_by_size is None:
            return super().block_schedule_table()
        return self._schedule_by_size

    def __getattr__(self, name: str) -> torch.Tensor:
        # Reached only for what is not there: the stacked tensor, where a dict was given.
        kept_as = {
            "block_offs_data": "_offs_by_size",
            "block_schedule_data": "_schedule_by_size",
        }.get(name, "")
        table = self.__dict__.get(kept_as)
        if table is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return torch.stack(list(table.values()))
