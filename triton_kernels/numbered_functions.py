"""Functions as numbers: how an op that torch traces, whose arguments are tensors and numbers, is
told what to call.

A number is good for this process; a graph that holds one does not outlive it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from triton_kernels.compat import constant_while_compiling, require_kernels_extra

require_kernels_extra(__name__)

import torch

from triton_kernels.specialize import FnSpecs
from triton_kernels.tensor_details.checks import is_int, wrong_value

__all__ = ["number_and_values", "numbered_with"]

# With each, a letter for the kind of each of its arguments.
_functions: list[tuple[FnSpecs, str]] = [(FnSpecs.default(), "")]
_numbers: dict[tuple[object, ...], int] = {}


def number_and_values(specs: FnSpecs, args: tuple[Any, ...]) -> tuple[int, list[float]]:
    """A number for the function, 0 where nothing is called, and the values of its arguments.

    The number depends on the function and on the types of the values alone: they may change
    without a new trace.
    Raises ValueError for an argument that is neither a number nor None.
    """
    if specs.fn is None:
        return 0, []
    kinds, values = "", []
    for arg in args:
        kinds += _kind(specs, arg)
        if arg is not None:
            values.append(float(arg))
    fn: Callable[..., Any] | None = specs.fn
    if torch.compiler.is_dynamo_compiling():
        from torch._dynamo.comptime import comptime

        comptime(_see_function)
        fn = None
    return _number_of(specs.name, fn, specs.fn_arg_names, specs.reduction_n, kinds), values


def numbered_with(number: int, values: Sequence[float]) -> tuple[FnSpecs, tuple[Any, ...]]:
    """The function that `number_and_values` gave this number, and these as its arguments."""
    specs, kinds = _functions[number]
    left = iter(values)
    restore: dict[str, Callable[[], Any]] = {
        "n": lambda: None,
        "b": lambda: bool(next(left)),
        "i": lambda: int(next(left)),
        "f": lambda: next(left),
    }
    return specs, tuple(restore[kind]() for kind in kinds)


def _kind(specs: FnSpecs, arg: object) -> str:
    if arg is None:
        return "n"
    if isinstance(arg, bool):
        return "b"
    if is_int(arg):
        return "i"
    if isinstance(arg, (float, torch.SymFloat)):
        return "f"
    raise wrong_value(f"FnSpecs {specs.name!r}", "numbers or None in a trace", arg)


_seen: list[Callable[..., Any]] = []


def _see_function(context: Any) -> None:
    """Dynamo calls this while it traces `number_and_values`: note what `fn` is there.

    To Dynamo a Triton function is something to be launched, and no constant that it would pass on.
    """
    from torch._dynamo.guards import GuardBuilder, install_guard

    fn = context.get_local("fn")._i_will_not_complain_if_bc_breaks_VariableTracker().realize()
    if fn.source is not None:  # what was traced with this function must not serve another
        install_guard(fn.source.make_guard(GuardBuilder.ID_MATCH))
    _seen[:] = [fn.kernel if hasattr(fn, "kernel") else fn.value]  # the latter without a GPU


@constant_while_compiling
def _number_of(
    name: str,
    fn: Callable[..., Any] | None,
    names: tuple[str, ...],
    reduction_n: int,
    kinds: str,
) -> int:
    """fn: None for what `_see_function` has seen."""
    fn = fn or _seen.pop()
    key = (name, id(fn), names, reduction_n, kinds)
    if key not in _numbers:
        _functions.append((FnSpecs(name, fn, names, reduction_n=reduction_n), kinds))
        _numbers[key] = len(_functions) - 1
    return _numbers[key]
