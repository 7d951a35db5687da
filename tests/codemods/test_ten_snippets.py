"""The ten snippets that trip every other rename tool (aliases, comments, guards)."""

from __future__ import annotations

import pytest
from rewriting import check_noop, check_transformed, codes

from codemods.findings import Bucket

REWRITTEN = {
    "an alias is kept": (
        "from triton_kernels.routing import RoutingData as zz\n\nx = zz(1, 2, 3, 4)\n",
        "from triton_kernels.matmul_ogs import RoutingData as zz\n\nx = zz(1, 2, 3, 4)\n",
    ),
    "a module under an alias, and what is read of it": (
        "import triton_kernels.routing as mm\n\nx = mm.RoutingData\n",
        "import triton_kernels.matmul_ogs as mm\n\nx = mm.RoutingData\n",
    ),
    "an import inside a function keeps its place and its comments": (
        """
        def f():
            # lazily
            from triton_kernels.routing import RoutingData, routing  # slow

            return routing, RoutingData
        """,
        """
        def f():
            # lazily
            from triton_kernels.legacy import legacy_routing as routing  # slow
            from triton_kernels.matmul_ogs import RoutingData

            return routing, RoutingData
        """,
    ),
    "an import under TYPE_CHECKING stays there": (
        """
        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from triton_kernels.routing import RoutingData

        def f(x: "RoutingData") -> None: ...
        """,
        """
        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from triton_kernels.matmul_ogs import RoutingData

        def f(x: "RoutingData") -> None: ...
        """,
    ),
    "a noqa is kept": (
        "from triton_kernels.routing import RoutingData  # noqa: F401\n",
        "from triton_kernels.matmul_ogs import RoutingData  # noqa: F401\n",
    ),
    "a star import becomes the names that are used": (
        "from triton_kernels.routing import *\n\nx = RoutingData\n",
        "from triton_kernels.matmul_ogs import RoutingData\n\nx = RoutingData\n",
    ),
    "of a parenthesised import one moves, and each comment stays with its name": (
        """
        from triton_kernels.routing import (
            ExptData,  # other
            # the record
            RoutingData,  # moves
        )
        """,
        """
        from triton_kernels.matmul_ogs import (
            # the record
            RoutingData,  # moves
        )
        from triton_kernels.routing import (
            ExptData,  # other
        )
        """,
    ),
}


@pytest.mark.parametrize(("before", "after"), REWRITTEN.values(), ids=REWRITTEN.keys())
def test_rewritten(before: str, after: str) -> None:
    check_transformed(before, after)


LEFT = {
    "new first, old where it is missing": (
        """
        try:
            from triton_kernels.matmul_ogs import RoutingData
        except ImportError:
            from triton_kernels.routing import RoutingData
        """,
        Bucket.ALREADY_NEW,
    ),
    "one import for each release": (
        """
        import triton_kernels

        if triton_kernels.__version__ >= "3.6":
            from triton_kernels.matmul_ogs import RoutingData
        else:
            from triton_kernels.routing import RoutingData
        """,
        Bucket.GUARDED,
    ),
    "a patch is reported with what to write": (
        'with patch("triton_kernels.routing.RoutingData"):\n    run()\n',
        Bucket.FOR_A_PERSON,
    ),
}


@pytest.mark.parametrize(("text", "bucket"), LEFT.values(), ids=LEFT.keys())
def test_left_and_said(text: str, bucket: Bucket) -> None:
    assert codes(check_noop(text), bucket) == ["TKM003"]
