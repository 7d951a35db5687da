"""For tests of kernels: how close results are, and whether memory was misused on the way."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels.numerics import (
    MAX_FINITE_FLOAT8E4B8,
    MAX_FINITE_FLOAT8E4NV,
    MAX_FINITE_FLOAT8E5,
)

__all__ = [
    "ComputeSanitizerTool",
    "assert_close",
    "assert_equal",
    "compute_actual_scale",
    "compute_sanitizer",
]

Test = TypeVar("Test", bound=Callable[..., Any])

DEFAULT_MAXTOL = 2e-2
DEFAULT_RMSTOL = 4e-3


def assert_equal(ref: Any, tri: Any) -> None:
    """Assert that two values are equal, or two tensors in all their elements.

    NaN equals nothing.  Tensors are broadcast.
    """
    if isinstance(ref, torch.Tensor):
        assert torch.all(ref == tri), f"{int((ref != tri).sum())} elements differ"
    else:
        assert ref == tri


def assert_close(
    ref: torch.Tensor,
    tri: torch.Tensor,
    maxtol: float | None = None,
    rmstol: float | None = None,
    description: str = "--",
    verbose: bool = True,
) -> None:
    """Assert that a result is close to its reference, each element and all taken together.

    ref: the reference.  tri: the result, of the same shape.  Both are compared in float32; if `tri`
        has one byte an element, `ref` is converted to its dtype first, and if `ref` had it before,
        the two must be equal.
    maxtol: what the largest error may be, 0.02 if None.
    rmstol: what the root of the mean of the squared errors may be, 0.004 if None.
    description: what the result is, for messages.
    verbose: print both errors.

    The error of an element is its difference, relative to the element of the reference or, if that
    is larger, to the root of the mean square of the reference.  Infinities must be in the same
    places and have the same sign; a NaN is close to nothing.  Empty tensors are close.
    """
    maxtol = DEFAULT_MAXTOL if maxtol is None else maxtol
    rmstol = DEFAULT_RMSTOL if rmstol is None else rmstol
    if tri.dtype.itemsize == 1:
        if ref.dtype == tri.dtype:
            assert ref.shape == tri.shape, _shapes(description, ref, tri)
            wrong = (ref.float() != tri.float()).sum().item()
            assert not wrong, f"{description}: {wrong} of {ref.numel()} elements differ"
            return
        ref = ref.to(tri.dtype)
    ref, tri = ref.detach().float(), tri.detach().float()
    assert ref.shape == tri.shape, _shapes(description, ref, tri)
    if ref.numel() == 0:
        return
    infinite = ref.isinf()
    # A difference of infinities would be NaN; of their signs it is not.
    assert torch.equal(torch.where(infinite, ref, 0.0), torch.where(tri.isinf(), tri, 0.0)), (
        f"{description}: infinities in other places, or of the other sign"
    )
    expected, got = (value.masked_fill(infinite, 0.0) for value in (ref, tri))
    # Squares of very large or small values would leave the range of float32.
    scale = expected.abs().max().clamp(min=1e-30).reciprocal()
    expected, got = expected * scale, got * scale
    rms = expected.square().mean().sqrt()
    error = (expected - got).abs() / torch.maximum(rms, expected.abs()).clamp(min=1e-30)
    largest, together = error.max().item(), error.square().mean().sqrt().item()
    if verbose:
        print(f"{description}: largest relative error {largest} (limit {maxtol})")
        print(f"{description}: RMS relative error {together} (limit {rmstol})")
    if not largest <= maxtol:  # so that a NaN fails
        raise AssertionError(_where(description, ref, tri, error, maxtol))
    assert together <= rmstol, f"{description}: RMS relative error {together} above {rmstol}"


def _shapes(description: str, ref: torch.Tensor, tri: torch.Tensor) -> str:
    return f"{description}: expected shape {list(ref.shape)}, got {list(tri.shape)}"


def _where(
    description: str, ref: torch.Tensor, tri: torch.Tensor, error: torch.Tensor, maxtol: float
) -> str:
    """The message for elements that are off, with the first few of them."""
    off = (~(error <= maxtol)).nonzero()
    lines = [f"{description}: {len(off)} of {error.numel()} relative errors above {maxtol}"]
    for place in map(tuple, off[:5].tolist()):
        expected, got = ref[place].item(), tri[place].item()
        lines.append(f"  at {list(place)}: expected {expected}, got {got}")
    return "\n".join(lines)


def compute_actual_scale(
    x: torch.Tensor, dtype: torch.dtype, per_batch_scale: bool = False
) -> torch.Tensor:
    """The smallest scale with which every `x`, divided by it, is in range of an fp8 `dtype`.

    per_batch_scale: one for each index of the leading dimension, float [B], else one, a scalar.

    Raises KeyError for a dtype other than e5m2, e4m3fn and e4m3fnuz.
    """
    largest = {
        torch.float8_e5m2: MAX_FINITE_FLOAT8E5,
        torch.float8_e4m3fn: MAX_FINITE_FLOAT8E4NV,
        torch.float8_e4m3fnuz: MAX_FINITE_FLOAT8E4B8,
    }[dtype]
    absolute = x.abs()
    return (absolute.flatten(1).amax(dim=1) if per_batch_scale else absolute.max()) / largest


class ComputeSanitizerTool(Enum):
    """The tools of NVIDIA's compute-sanitizer."""

    MEMCHECK = "memcheck"
    RACECHECK = "racecheck"
    SYNCCHECK = "synccheck"
    INITCHECK = "initcheck"


_INSIDE = "TRITON_KERNELS_INSIDE_COMPUTE_SANITIZER"


def compute_sanitizer(
    *,
    clear_torch_cache: bool = False,
    tools_to_check: list[ComputeSanitizerTool] | None = None,
    **target_kwargs: Any,
) -> Callable[[Test], Test]:
    """Decorator of a pytest test: run it in a process of its own, under compute-sanitizer.

    clear_torch_cache: give torch's unused GPU memory back first, so that the process has it.
    tools_to_check: one run each; None: memcheck.
    target_kwargs: arguments of the test.  Where its parameters are others, it runs as it is.

    The test must take `request_fixture`, a fixture that returns pytest's `request`: it says which
    case to run.  With SKIP_COMPUTE_SANITIZER=1 in the environment the test runs as it is.

    Fails (AssertionError, with all that was printed) where a tool reports an error, or the test
    itself fails; raises FileNotFoundError where there is no compute-sanitizer.
    """
    tools = [ComputeSanitizerTool.MEMCHECK] if tools_to_check is None else tools_to_check

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> Any:
            wanted = target_kwargs.items() <= kwargs.items()
            skipped = os.environ.get("SKIP_COMPUTE_SANITIZER") == "1" or _INSIDE in os.environ
            if skipped or not wanted:
                return test(*args, **kwargs)
            if "request_fixture" not in kwargs:
                raise TypeError("compute_sanitizer: expected a test that takes request_fixture")
            if clear_torch_cache:
                torch.cuda.empty_cache()
            for tool in tools:
                _run_under(tool, kwargs["request_fixture"].node)

        return run  # type: ignore[return-value]

    return decorate


def _run_under(tool: ComputeSanitizerTool, node: Any) -> None:
    """Run a test of pytest's in a process of its own."""
    command = ["compute-sanitizer", "--target-processes=application-only"]
    # After an error the process's results mean nothing: it ends.
    command += ["--destroy-on-device-error=context", f"--tool={tool.value}"]
    name = node.nodeid.partition("::")[2]
    command += [sys.executable, "-m", "pytest", "-vsx", f"{node.path}::{name}"]
    # Without torch's cache every tensor is an allocation of its own, so that an access next to it
    # is seen.  Blocking launches put an error beside the launch that made it.
    more = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "CUDA_LAUNCH_BLOCKING": "1", _INSIDE: "1"}
    done = subprocess.run(
        command,
        env={**os.environ, **more},
        cwd=node.config.rootpath,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    clean = any(summary in done.stdout for summary in _CLEAN)
    assert clean, f"{tool.value} found errors in {node.nodeid}:\n{done.stdout}"
    assert done.returncode == 0, f"{node.nodeid} failed under {tool.value}:\n{done.stdout}"


# How the tools end that found nothing; racecheck speaks of hazards.
_CLEAN = ("ERROR SUMMARY: 0 errors", "RACECHECK SUMMARY: 0 hazards displayed")
