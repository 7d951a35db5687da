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
from collections.abc import Callable, Iterator
from functools import partial

import oracle
import torch
from matmul_grid import ROWS, Call, Problem, impossible, needs
from matmul_grid_operands import Given, make, multiply
from test_on_gpu import OPS, SHAPES, Batch, same

from triton_kernels.matmul_ogs import (
    Epilogue,
    FusedActivation,
    RoutingData,
    reduce_grouped,
)
from triton_kernels.reduce import reduce
from triton_kernels.swiglu import PrecisionConfig, swiglu
from triton_kernels.target_info import cuda_capability_geq
from triton_kernels.tensor import make_ragged_tensor_metadata
from triton_kernels.testing import assert_close


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


# --- products

F16, E5M2 = torch.float16, torch.float8_e5m2


def products() -> Iterator[Call]:
    """Both kernels with rows of every way, and the passes before and after them.

    Sizes are no multiples of tiles; by pointers not even of the 16 bytes that TMA asks for.
    """
    by_pointers = Problem("ragged", 37, 51, 45, F16, F16, n_experts=5)
    by_tma = by_pointers._replace(n=56, k=72)
    of_two = {"n_choices": 2}
    yield Call(by_pointers._replace(mode="plain", n_experts=1), ROWS[0], 16, False, False)
    yield Call(by_pointers._replace(mode="batched"), ROWS[0], 16, True, False)
    for rows in ROWS:
        several = {} if rows.fused else of_two
        yield Call(by_pointers._replace(**several), rows, 16, True, False)
        if rows.padded:
            continue
        for block_m in (16, 128):
            yield Call(by_tma._replace(**several), rows, block_m, True, True)
        if not rows.fused:
            yield Call(by_pointers._replace(split_k=3, **of_two), rows, 16, True, False)
            yield Call(by_tma._replace(split_k=2, subtile=2, **of_two), rows, 16, True, True)
    # Of 8 bits, with scales that are written to; rows that are added up are rounded twice.
    scaled = by_tma._replace(x=E5M2, w=E5M2, k=80, by_columns="w")
    for rows in (ROWS[0], ROWS[3]):
        for is_persistent in (False, True):
            yield Call(scaled, rows, 16, True, is_persistent)


def compute(given: Given) -> list[torch.Tensor]:
    """The result, and how large a scale it needs, if that is asked."""
    result = multiply(given)
    if given.call.problem.mode == "ragged" and given.scatter is None and given.inner is None:
        result = result[: sum(given.sizes)]  # the tail belongs to no expert
    actual = given.precision.flex_ctx.out_data.actual_scale
    return [result] if actual is None else [result, actual]


def check_product(call: Call) -> None:
    least = needs(call)
    if least is None or not cuda_capability_geq(*least):
        print(f"  needs compute capability {least}")
        return
    given = make(call, torch.device("cpu"))
    got = compute(Given(*(oracle.moved(value, "cuda") for value in given)))
    torch.cuda.synchronize()
    for tensor, expected in zip(got, compute(given), strict=True):
        assert_close(expected.float(), tensor.cpu(), verbose=False)


CASES |= {f"matmul_ogs {call}": partial(check_product, call) for call in products()}
assert not any(map(impossible, products()))


# --- sums and activations


def check_reduce_grouped() -> None:
    source = oracle.fresh("reduce_grouped")[1]
    x = torch.randn(3, 1, 37, 51, generator=source)
    indx = torch.randint(-1, 37, (29, 4), generator=source, dtype=torch.int32)
    got, _ = reduce_grouped(x.cuda(), indx.cuda(), None, None, FusedActivation(), Epilogue())
    torch.cuda.synchronize()
    same(got, reduce_grouped(x, indx, None, None, FusedActivation(), Epilogue())[0])


def check_reduce(dim: int, has_microscales: bool) -> None:
    source = oracle.fresh("reduce", dim, has_microscales)[1]
    x = torch.randn(37, 45, 70, generator=source)
    mask = torch.randint(0, 2, (37, 1, 70), generator=source)
    scale = torch.rand(1, 45, 70, generator=source)
    cases = ((x.cuda(), mask.cuda(), scale.cuda()), (x, mask, scale))
    got, want = (
        reduce(x, dim, mask=mask, scale=scale, y_has_mx=has_microscales) for x, mask, scale in cases
    )
    torch.cuda.synchronize()
    if has_microscales:
        assert got[1] is not None and want[1] is not None
        # A sum next to the middle of two numbers of 8 bits is not the same in another order.
        torch.testing.assert_close(got[0].cpu().float(), want[0].float(), rtol=1 / 8, atol=1 / 8)
        same(got[1], want[1])
    else:
        same(got[0], want[0])


def check_swiglu() -> None:
    source = oracle.fresh("swiglu")[1]
    sizes = torch.tensor([11, 0, 20], dtype=torch.int32)
    a, dout = torch.randn(37, 102, generator=source), torch.randn(37, 51, generator=source)
    results = []
    for device in ("cuda", "cpu"):
        metadata = make_ragged_tensor_metadata(sizes.to(device), 37)
        data = RoutingData(metadata.batch_sizes, metadata.batch_sizes, 3, 1, metadata)
        for routing_data in (None, data):
            leaf = a.to(device).detach().requires_grad_()
            out = swiglu(leaf, 1.1, PrecisionConfig(1.4), routing_data)
            out.backward(dout.to(device))
            results += [out.detach(), leaf.grad]
    torch.cuda.synchronize()
    for tensor, expected in zip(results[:4], results[4:], strict=True):
        same(tensor, expected)


CASES["reduce_grouped"] = check_reduce_grouped
CASES |= {f"reduce {dim}": partial(check_reduce, dim, False) for dim in range(3)}
CASES |= {f"reduce {dim} to microscales": partial(check_reduce, dim, True) for dim in range(2)}
CASES["swiglu"] = check_swiglu


def main(arguments: list[str]) -> int:
    chosen = [name for name in CASES if not arguments or any(map(name.startswith, arguments))]
    for name in chosen:
        print(name, flush=True)
        CASES[name]()
    print(f"{len(chosen)} cases agree with the references")
    return 0 if chosen else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
