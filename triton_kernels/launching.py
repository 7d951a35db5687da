"""Launch of a kernel whose arguments Triton has looked at before.

For each launch Triton finds out anew how its arguments specialise the kernel (which integers are 1
or multiples of 16, which addresses are), binds and hashes them all: half of the host time of a
launch with 50 arguments.  `launch` remembers the compiled kernel by what that depends on.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from triton_kernels.compat import require_kernels_extra

require_kernels_extra(__name__)

import torch
import triton
from triton.compiler.compiler import CompiledKernel  # type: ignore[import-untyped]
from triton.runtime import driver  # type: ignore[import-untyped]
from triton.runtime.jit import JITFunction  # type: ignore[import-untyped]
from triton.tools.tensor_descriptor import TensorDescriptor  # type: ignore[import-untyped]

__all__ = ["launch"]

# More kinds of arguments than that are those of a program that has a new shape for each launch.
_MOST_KINDS = 4096


class _Compiled(NamedTuple):
    """A compiled kernel and what its launcher is given: see `JITFunction.run`."""

    run: Any
    function: Any
    metadata: Any
    constants: tuple[Any, ...]


_compiled: dict[tuple[Any, ...], _Compiled] = {}


def launch(
    kernel: Any,
    grid: tuple[int, ...],
    args: tuple[Any, ...],
    constants: dict[str, Any],
    *,
    num_warps: int,
    num_stages: int | None = None,
    **options: Any,
) -> None:
    """`kernel[grid](*args, **constants, num_warps=..., num_stages=..., **options)`.

    args: the arguments that are no constants, in the order of the parameters, which come first.
    constants: all `tl.constexpr` parameters; the same names in the same order in every call.

    In the interpreter, on AMD (whose kernels depend on the sizes of tensors, too), and where hooks
    ask to hear of launches, this is just that.
    """
    options["num_warps"] = num_warps
    if num_stages is not None:
        options["num_stages"] = num_stages
    if not _can_skip(kernel):
        kernel[grid](*args, **constants, **options)
        return
    active = driver.active
    device = active.get_current_device()
    key = (kernel, device, _kinds(args), *constants.values(), *options.items())
    compiled = _compiled.get(key)
    if compiled is None:
        _remember(key, kernel[grid](*args, **constants, **options), kernel, constants)
        return
    stream = active.get_current_stream(device)
    compiled.run(
        *(*grid, 1, 1)[:3],
        stream,
        compiled.function,
        compiled.metadata,
        None,
        None,
        None,
        *args,
        *compiled.constants,
    )


def _can_skip(kernel: Any) -> bool:
    if not isinstance(kernel, JITFunction) or kernel.pre_run_hooks:
        return False
    knobs = triton.knobs.runtime
    if getattr(knobs.launch_enter_hook, "calls", knobs.launch_enter_hook):
        return False
    if getattr(knobs.launch_exit_hook, "calls", knobs.launch_exit_hook):
        return False
    return _is_cuda(driver.active)


@functools.lru_cache(maxsize=16)
def _is_cuda(active: Any) -> bool:
    return bool(active.get_current_target().backend == "cuda")


def _kinds(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """What of the arguments a compiled kernel depends on, and a little more: whole integers."""
    kinds: list[Any] = []
    for arg in args:
        if arg is None or type(arg) is int:
            kinds.append(arg)
        elif isinstance(arg, torch.Tensor):
            kinds.append((arg.dtype, arg.data_ptr() & 15 == 0))
        elif isinstance(arg, tuple):
            kinds.append(_kinds(arg))
        elif isinstance(arg, float):
            kinds.append(float)
        elif isinstance(arg, TensorDescriptor):
            kinds.append((arg.base.dtype, *arg.block_shape))
        else:  # a bool, which must not pass for 0 or 1, or a function
            kinds.append((type(arg), arg))
    return tuple(kinds)


def _remember(key: tuple[Any, ...], compiled: Any, kernel: Any, constants: dict[str, Any]) -> None:
    if not isinstance(compiled, CompiledKernel):  # it is still being compiled
        return
    if len(_compiled) >= _MOST_KINDS:
        _compiled.clear()
    names = kernel.arg_names[len(kernel.arg_names) - len(constants) :]
    _compiled[key] = _Compiled(
        compiled.run,
        compiled.function,
        compiled.packed_metadata,
        tuple(constants[name] for name in names),
    )
