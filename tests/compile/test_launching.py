"""A launch that Triton need not look at is the launch that Triton would have made."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from tests.support import stub_driver
from tests.support.compile_only import compiling_for
from triton_kernels.launching import launch


class Pair(NamedTuple):
    x: Any
    factor: Any


@triton.jit
def twice(value):
    return value * 2


@triton.jit(do_not_specialize=["n"])
def combine(x, pair, strides, y, n, source, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    value = tl.load(x + at * strides[0], mask=at < n, other=0.0)
    if pair.x is not None:
        value += tl.load(pair.x + at * strides[1], mask=at < n, other=0.0) * pair.factor
    if source is not None:
        value += tl.sum(source.load([0, 0]).to(tl.float32))
    if FUNCTION is not None:
        value = FUNCTION(value)
    tl.store(y + at, value, mask=at < n)


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What Triton's launcher is called with."""
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(stub_driver, "_launch_nothing", lambda *args, **_: seen.append(args))
    return seen


MEMORY = torch.ones(4096)
CONSTANTS = {"FUNCTION": twice, "BLOCK": 128}
SOURCE = TensorDescriptor.from_tensor(torch.ones(64, 64, dtype=torch.bfloat16), [16, 32])

# Arguments for each of which another kernel is compiled, first the usual ones.
KINDS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "usual": ((MEMORY, Pair(MEMORY, 1.5), (32, 16), MEMORY, 100, None), CONSTANTS),
    "no pair": ((MEMORY, Pair(None, None), (32, 16), MEMORY, 100, None), CONSTANTS),
    "int factor": ((MEMORY, Pair(MEMORY, 16), (32, 16), MEMORY, 100, None), CONSTANTS),
    "factor 1": ((MEMORY, Pair(MEMORY, 1), (32, 16), MEMORY, 100, None), CONSTANTS),
    "factor True": ((MEMORY, Pair(MEMORY, True), (32, 16), MEMORY, 100, None), CONSTANTS),
    "odd stride": ((MEMORY, Pair(MEMORY, 1.5), (31, 16), MEMORY, 100, None), CONSTANTS),
    "stride 1": ((MEMORY, Pair(MEMORY, 1.5), (1, 16), MEMORY, 100, None), CONSTANTS),
    "long stride": ((MEMORY, Pair(MEMORY, 1.5), (2**33, 16), MEMORY, 100, None), CONSTANTS),
    "odd address": ((MEMORY[1:], Pair(MEMORY, 1.5), (32, 16), MEMORY, 100, None), CONSTANTS),
    "odd inner": ((MEMORY, Pair(MEMORY[1:], 1.5), (32, 16), MEMORY, 100, None), CONSTANTS),
    "dtype": ((MEMORY.half(), Pair(MEMORY, 1.5), (32, 16), MEMORY, 100, None), CONSTANTS),
    "descriptor": ((MEMORY, Pair(MEMORY, 1.5), (32, 16), MEMORY, 100, SOURCE), CONSTANTS),
    "no function": (
        (MEMORY, Pair(MEMORY, 1.5), (32, 16), MEMORY, 100, None),
        {"FUNCTION": None, "BLOCK": 128},
    ),
    "block": (
        (MEMORY, Pair(MEMORY, 1.5), (32, 16), MEMORY, 100, None),
        {"FUNCTION": twice, "BLOCK": 64},
    ),
}


@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
def test_the_launcher_gets_what_triton_would_give_it(launches, target):
    with compiling_for(target):
        for args, constants in KINDS.values():
            combine[(7,)](*args, **constants, num_warps=4, num_stages=3)
            for _ in range(2):
                launch(combine, (7,), args, constants, num_warps=4)
            expected, first, second = launches[-3:]
            for got in (first, second):
                # Not compared: what hooks would be told, since there are none.
                assert got[:6] == expected[:6]
                assert len(got) == len(expected)
                assert all(a is b or a == b for a, b in zip(got[9:], expected[9:], strict=True))


def test_arguments_of_another_kind_get_another_kernel(launches):
    """And get it again when they come back, whatever came between."""
    with compiling_for("sm_90") as compiled:
        for args, constants in KINDS.values():
            launch(combine, (1,), args, constants, num_warps=4)
        assert len(compiled) == len(KINDS)
        for args, constants in reversed(KINDS.values()):
            launch(combine, (1,), args, constants, num_warps=4)
        launch(combine, (1,), *KINDS["usual"], num_warps=8)
        assert len(compiled) == len(KINDS) + 1
    assert len(launches) == 2 * len(KINDS) + 1


def test_an_option_is_told_from_another_of_the_same_value(launches):
    with compiling_for("sm_90") as compiled:
        for option in ("num_stages", "num_ctas"):
            launch(combine, (1,), *KINDS["usual"], **{"num_warps": 2, option: 2})
    assert len(compiled) == 2


def test_a_value_that_does_not_specialise_compiles_nothing(launches):
    with compiling_for("sm_90") as compiled:
        for n in (1, 16, 100, 101):
            for factor in (0.5, 1.0, 16.0):
                args = (MEMORY, Pair(MEMORY, factor), (32, 16), MEMORY, n, None)
                launch(combine, (n,), args, CONSTANTS, num_warps=4)
                assert launches[-1][0] == launches[-1][9 + 4] == n
                assert launches[-1][9 + 1].factor == factor
    assert len(compiled) == 1


def test_who_listens_to_launches_is_told_of_each(launches):
    """Triton's launcher tells the hooks, if it is handed them and what to tell."""
    hook = triton.knobs.runtime.launch_enter_hook
    with compiling_for("sm_90"):
        for _ in range(2):
            launch(combine, (1,), *KINDS["usual"], num_warps=4)
        hook.add(print)
        try:
            launch(combine, (1,), *KINDS["usual"], num_warps=4)
        finally:
            hook.remove(print)
    metadata, enter = launches[-1][6:8]
    assert enter is hook and metadata.get()["name"] == "combine"
    assert launches[-2][6:8] == (None, None)


def test_every_device_has_its_own(launches):
    for target in ("sm_90", "sm_80", "sm_90"):
        with compiling_for(target) as compiled:
            for _ in range(2):
                launch(combine, (1,), *KINDS["usual"], num_warps=4)
        assert [kernel.target for kernel in compiled] == [target]
