"""What `FusedComm` makes of the results of all ranks, by plain collectives."""

from __future__ import annotations

import torch

from triton_kernels.tensor_details.checks import wrong_value

__all__ = ["post_matmul_comm_torch"]


def post_matmul_comm_torch(
    y: torch.Tensor,
    rank: int,
    n_reduce_shards: int,
    world_size: int,
    scatter_shard_indx: torch.Tensor | None = None,
) -> torch.Tensor:
    """The buffer of this rank after every rank has stored its rows where `FusedComm` says.

    y: [M, N] or, without an index, [B, M, N]; the result of this rank.
    rank, world_size: this rank, and how many there are.  Each stores as `reduce_rank` its number
        within its shard, `rank % n_reduce_shards`.
    scatter_shard_indx: int32 [M], the shard that each row of y goes to.  None: there is one shard.

    Returns y's shape with M * n_reduce_shards rows: row `m * n_reduce_shards + r` is row m of the
    rank that stores as r; with an index, a row that nobody has sent is zeros.

    Needs an initialised process group of `torch.distributed`.
    """
    import torch.distributed as dist

    if scatter_shard_indx is None and n_reduce_shards != world_size:
        raise wrong_value("n_reduce_shards", f"{world_size}, all ranks", n_reduce_shards)
    if scatter_shard_indx is not None and y.ndim != 2:
        raise wrong_value("y", "2 dimensions, with scatter_shard_indx", y)
    if world_size % n_reduce_shards:
        raise wrong_value("world_size", f"a multiple of {n_reduce_shards}", world_size)
    results = [torch.empty_like(y) for _ in range(world_size)]
    dist.all_gather(results, y.contiguous())
    *batches, n_rows, n_columns = y.shape
    shape = (*batches, n_rows * n_reduce_shards, n_columns)
    if scatter_shard_indx is None:
        return torch.stack(results, dim=-2).view(shape)

    shards = [torch.empty_like(scatter_shard_indx) for _ in range(world_size)]
    dist.all_gather(shards, scatter_shard_indx.contiguous())
    buffer = y.new_zeros((n_rows, n_reduce_shards, n_columns))
    for sender, (rows, shard) in enumerate(zip(results, shards, strict=True)):
        is_for_us = shard == rank // n_reduce_shards
        buffer[is_for_us, sender % n_reduce_shards] = rows[is_for_us]
    return buffer.view(shape)
