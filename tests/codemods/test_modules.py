"""The old module as an object: `import triton_kernels.routing` and what is reached through it."""

from __future__ import annotations

import pytest
from rewriting import check_transformed

MODULES = {
    "import of the module, one home": (
        """
        import triton_kernels.routing

        data = triton_kernels.routing.RoutingData(a, b, c, d)
        """,
        """
        import triton_kernels.matmul_ogs

        data = triton_kernels.matmul_ogs.RoutingData(a, b, c, d)
        """,
    ),
    "import of the module, several homes": (
        """
        import triton_kernels.routing  # the old one

        data = triton_kernels.routing.RoutingData
        out = triton_kernels.routing.routing(logits, k, simulated_ep=1)
        """,
        """
        import triton_kernels.legacy  # the old one
        import triton_kernels.matmul_ogs

        data = triton_kernels.matmul_ogs.RoutingData
        out = triton_kernels.legacy.legacy_routing(logits, k)
        """,
    ),
    "beside other modules in one statement": (
        """
        import os, triton_kernels.routing, sys

        data = triton_kernels.routing.RoutingData
        """,
        """
        import os, triton_kernels.matmul_ogs, sys

        data = triton_kernels.matmul_ogs.RoutingData
        """,
    ),
    "after a bare import of the package": (
        """
        import triton_kernels
        import triton_kernels.swiglu

        f = torch.compiler.disable(triton_kernels.routing.routing)
        """,
        """
        import triton_kernels
        import triton_kernels.legacy
        import triton_kernels.swiglu

        f = torch.compiler.disable(triton_kernels.legacy.legacy_routing)
        """,
    ),
    "a home that is imported already is not imported twice": (
        """
        import triton_kernels
        import triton_kernels.matmul_ogs

        data = triton_kernels.routing.GatherIndx
        """,
        """
        import triton_kernels
        import triton_kernels.matmul_ogs

        data = triton_kernels.matmul_ogs.GatherIndx
        """,
    ),
    "alias, one home": (
        """
        import triton_kernels.routing as r

        data = r.RoutingData
        """,
        """
        import triton_kernels.matmul_ogs as r

        data = r.RoutingData
        """,
    ),
    "alias, several homes": (
        """
        import triton_kernels.routing as r

        data = r.RoutingData
        out = r.routing(logits, 4)
        """,
        """
        from triton_kernels import legacy, matmul_ogs

        data = matmul_ogs.RoutingData
        out = legacy.legacy_routing(logits, 4)
        """,
    ),
    "alias, several homes, a name of theirs taken": (
        """
        import triton_kernels.routing as r
        from triton_kernels.matmul_ogs import matmul_ogs

        data = r.RoutingData
        out = r.routing(logits, 4)
        """,
        """
        from triton_kernels import legacy, matmul_ogs as triton_kernels_matmul_ogs
        from triton_kernels.matmul_ogs import matmul_ogs

        data = triton_kernels_matmul_ogs.RoutingData
        out = legacy.legacy_routing(logits, 4)
        """,
    ),
    "from the package": (
        """
        from triton_kernels import routing, swiglu

        data = routing.RoutingData
        """,
        """
        from triton_kernels import matmul_ogs, swiglu

        data = matmul_ogs.RoutingData
        """,
    ),
    "from the package, aliased": (
        """
        from triton_kernels import routing as tkr

        data = tkr.GatherIndx
        """,
        """
        from triton_kernels import matmul_ogs as tkr

        data = tkr.GatherIndx
        """,
    ),
    "inside a function, whose import binds a local": (
        """
        def f(logits):
            import triton_kernels.routing
            return triton_kernels.routing.routing(logits, 2)
        """,
        """
        def f(logits):
            import triton_kernels.legacy
            return triton_kernels.legacy.legacy_routing(logits, 2)
        """,
    ),
    "a chain over several lines": (
        """
        import triton_kernels.routing

        data = (triton_kernels
                .routing  # the module
                .RoutingData)
        """,
        """
        import triton_kernels.matmul_ogs

        data = (triton_kernels
                .matmul_ogs  # the module
                .RoutingData)
        """,
    ),
    "the old module stays beside the new homes while a place needs it": (
        """
        import triton_kernels.routing as r

        data = r.RoutingData
        old = r.ExptData
        """,
        """
        import triton_kernels.routing as r
        from triton_kernels import matmul_ogs

        data = matmul_ogs.RoutingData
        old = r.ExptData
        """,
    ),
}


@pytest.mark.parametrize(("before", "after"), MODULES.values(), ids=MODULES.keys())
def test_the_module_as_an_object(before: str, after: str) -> None:
    check_transformed(before, after)
