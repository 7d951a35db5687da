"""What differs between the environments this library runs in: the one place.

Today that is what is installed.  Differences between releases of Triton belong here as well.
"""

from __future__ import annotations

import importlib.util
import sys

__all__ = ["EXTRA", "require_kernels_extra"]

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
