"""GPU library for mixture-of-experts layers: top-k routing, ragged products, microscaling.

Importing this package imports neither torch nor triton.  Its modules are attributes from the
start: each is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "1.0.0"

_MODULES = frozenset(
    {
        "bitmatrix",
        "compaction",
        "compat",
        "datastruct",
        "deprecation",
        "dispatch",
        "legacy",
        "matmul_ogs",
        "matmul_ogs_details",
        "moves",
        "old_arguments",
        "ops",
        "pytest_plugin",
        "reduction",
        "reduction_details",
        "routing",
        "routing_details",
        "specialize",
        "target_info",
        "tensor",
        "tensor_details",
        "topk",
    }
)


class TritonKernelsDeprecationWarning(DeprecationWarning):
    """An old name or form of the library was used.

    code: the row of `triton_kernels.moves` that describes the break, as "TKM001".
    old, new: what was used and what to use instead.
    """

    def __init__(self, message: str, *, code: str = "", old: str = "", new: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.old = old
        self.new = new


class SortedIndexOrderWarning(UserWarning):
    """`row_sorted_indx` or `col_sorted_indx` was read, whose meanings upstream swapped once.

    Read `combine_indx` or `dispatch_indx` of `BitmatrixMetadata` instead.
    """


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
