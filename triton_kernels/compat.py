"""What differs between the environments this library runs in: the one place.

Today that is what is installed, and how Dynamo is spoken to without importing it.  Differences
between releases of Triton belong here as well.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import TypeVar

__all__ = ["EXTRA", "constant_while_compiling", "require_kernels_extra"]

F = TypeVar("F", bound=Callable[..., object])

EXTRA = "triton-kernels-bridge[kernels]"
"""What `pip install` needs to be told for the kernels: it brings torch and triton."""

_EXTRA_BRINGS = ("torch", "triton")


def require_kernels_extra(module: str) -> None:
    """Raise an `ImportError` that names the extra unless torch and triton are installed.

    module: the `__name__` of the module that asks, before it imports either.

    Both are asked for, although the reference path computes with torch alone and never imports
    triton: an environment with only one of them would import and then fail at the first launch.
    Asking costs a look at the path and imports nothing.
    """
    missing = [package for package in _EXTRA_BRINGS if not _is_installed(package)]
    if missing:
        needs = " and ".join(missing)
        raise ImportError(f"{module} needs {needs}: pip install '{EXTRA}'", name=missing[0])


def _is_installed(package: str) -> bool:
    if package in sys.modules:
        # None is how an import is blocked; a stand-in module may have no spec to find.
        return sys.modules[package] is not None
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def constant_while_compiling(function: F) -> F:
    """`torch.compiler.assume_constant_result`: torch.compile calls `function` and keeps its answer.

    Torch's own decorator imports the whole of Dynamo, which takes seconds, to set this attribute.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
