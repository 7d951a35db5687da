"""`post_matmul_comm_torch` on processes that talk over Gloo."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# One import of torch for all ranks: the second half runs in each of the forked processes.
PROGRAM = """
import datetime, json, os, sys, tempfile
import torch, torch.distributed as dist
from triton_kernels.matmul_ogs import post_matmul_comm_torch

world_size, n_shards, indexed = json.loads(sys.argv[1])
folder = tempfile.mkdtemp()
pids = []
for rank in range(world_size):
    pids.append(os.fork())
    if pids[-1] == 0:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank,
            world_size=world_size, timeout=datetime.timedelta(seconds=30))
        y = (100.0 * rank + torch.arange(6.0).view(3, 2))
        # The rows of shard s of senders go to this shard and the others in turn.
        shard = None
        if indexed:
            shard = torch.arange(3, dtype=torch.int32) + rank // n_shards
            shard %= world_size // n_shards
        else:
            y = torch.stack([y, -y])
        got = post_matmul_comm_torch(y, rank, n_shards, world_size, shard)
        with open(f"{folder}/{rank}", "w") as file:
            json.dump(got.tolist(), file)
        dist.barrier()
        os._exit(0)
failed = [os.waitpid(pid, 0)[1] for pid in pids]
assert not any(failed), failed
print(json.dumps([json.load(open(f"{folder}/{rank}")) for rank in range(world_size)]))
"""


def buffers(world_size: int, n_shards: int, indexed: bool) -> list[list]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([world_size, n_shards, indexed])],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_without_an_index_every_rank_has_the_rows_of_all() -> None:
    rows = [[[100.0 * r + 2 * m, 100.0 * r + 2 * m + 1] for m in range(3)] for r in range(2)]
    one = [rows[r][m] for m in range(3) for r in range(2)]
    other = [[-value for value in row] for row in one]
    assert buffers(2, 2, False) == [[one, other]] * 2


@pytest.mark.parametrize("n_shards", [1, 2])
def test_with_an_index_a_shard_has_the_rows_that_were_sent_to_it(n_shards: int) -> None:
    world_size = 4
    n_groups = world_size // n_shards
    expected = []
    for rank in range(world_size):
        buffer = [[0.0, 0.0] for _ in range(3 * n_shards)]
        for sender in range(world_size):
            for m in range(3):
                if (m + sender // n_shards) % n_groups == rank // n_shards:
                    row = [100.0 * sender + 2 * m, 100.0 * sender + 2 * m + 1]
                    buffer[m * n_shards + sender % n_shards] = row
        expected.append(buffer)
    assert buffers(world_size, n_shards, True) == expected
