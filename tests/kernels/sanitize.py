"""One case of each kernel, for NVIDIA's compute-sanitizer; run by hand, on a GPU.

    export PYTHONPATH=. PYTORCH_NO_CUDA_MEMORY_CACHING=1
    for tool in memcheck racecheck initcheck synccheck; do
        compute-sanitizer --tool $tool --error-exitcode 1 python tests/kernels/sanitize.py
    done

Each case is routed every way that kernels can be launched, and what comes out is compared with the
references on the CPU.  Without torch's cache of memory every tensor is an allocation of its own, so
that an access next to it is seen.  For initcheck that is needed, too: cached memory has been
written before.

Arguments name the cases to run; none: all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import torch
from test_on_gpu import OPS, SHAPES, Batch, same


def check(name: str, shape: tuple[int, int, int, int]) -> None:
    batch = Batch.fresh(*shape)
    got = OPS[name](batch.cuda())
    torch.cuda.synchronize()
    for tensor, expected in zip(got, OPS[name](batch), strict=True):
        same(tensor, expected)


# Rows no multiple of anything, several chunks to a tile, counts of many tiles, wide rows.
EXTREMES = [(1, 1, 1, 1), (35, 33, 1500, 32), (4100, 4100, 13, 3), (3, 2, 32767, 3)]

CASES: dict[str, Callable[[], None]] = {
    f"{name} {shape}": partial(check, name, shape)
    for name in OPS
    if "torch" not in name
    for shape in (*SHAPES, *EXTREMES)
    if "simulated_ep" not in name or shape[2] % 4 == 0
}


def main(arguments: list[str]) -> int:
    chosen = [name for name in CASES if not arguments or any(map(name.startswith, arguments))]
    for name in chosen:
        print(name, flush=True)
        CASES[name]()
    print(f"{len(chosen)} cases agree with the references")
    return 0 if chosen else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
