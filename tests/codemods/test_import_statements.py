"""Import statements of the old module, in the forms that downstream projects write."""

from __future__ import annotations

import pytest
from rewriting import check_transformed

IMPORTS = {
    "one name": (
        "from triton_kernels.routing import RoutingData\n",
        "from triton_kernels.matmul_ogs import RoutingData\n",
    ),
    "two homes, in the order of their names": (
        "from triton_kernels.routing import GatherIndx, RoutingData, ScatterIndx, routing\n",
        """
        from triton_kernels.legacy import legacy_routing as routing
        from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
        """,
    ),
    "parenthesised, one name a line": (
        """
        from triton_kernels.routing import (
            RoutingData,
            GatherIndx,
            routing_from_bitmatrix,
            routing,
        )
        """,
        """
        from triton_kernels.legacy import (
            legacy_routing_from_bitmatrix as routing_from_bitmatrix,
            legacy_routing as routing,
        )
        from triton_kernels.matmul_ogs import (
            RoutingData,
            GatherIndx,
        )
        """,
    ),
    "parenthesised, first name behind the parenthesis, odd indent": (
        """
        from triton_kernels.routing import (RoutingData,
                GatherIndx, routing)
        """,
        """
        from triton_kernels.legacy import legacy_routing as routing
        from triton_kernels.matmul_ogs import (RoutingData,
                GatherIndx)
        """,
    ),
    "parenthesised, two names a line": (
        """
        from triton_kernels.routing import (
            GatherIndx, ScatterIndx, RoutingData,
            routing,
        )
        """,
        """
        from triton_kernels.legacy import legacy_routing as routing
        from triton_kernels.matmul_ogs import (
            GatherIndx, ScatterIndx, RoutingData,
        )
        """,
    ),
    "comments travel with their name": (
        """
        from triton_kernels.routing import (  # of the old module
            RoutingData,  # the record
            # the function
            routing,
            GatherIndx,   # left
            # and done
        )  # noqa: E501
        """,
        """
        from triton_kernels.legacy import (  # of the old module
            # the function
            legacy_routing as routing,
        )  # noqa: E501
        from triton_kernels.matmul_ogs import (
            RoutingData,  # the record
            GatherIndx,   # left
            # and done
        )  # noqa: E501
        """,
    ),
    "a comment that is no pragma stays with the first statement": (
        "from triton_kernels.routing import RoutingData, routing  # for the layer\n",
        """
        from triton_kernels.legacy import legacy_routing as routing  # for the layer
        from triton_kernels.matmul_ogs import RoutingData
        """,
    ),
    "noqa on a re-export stays": (
        "from triton_kernels.routing import RoutingData  # noqa: F401\n",
        "from triton_kernels.matmul_ogs import RoutingData  # noqa: F401\n",
    ),
    "aliases stay": (
        "from triton_kernels.routing import routing as fused_routing, RoutingData as RD\n",
        """
        from triton_kernels.legacy import legacy_routing as fused_routing
        from triton_kernels.matmul_ogs import RoutingData as RD
        """,
    ),
    "the same name twice under two names": (
        "from triton_kernels.routing import routing, routing as _routing\n",
        "from triton_kernels.legacy import legacy_routing as routing, legacy_routing as _routing\n",
    ),
    "a backslash goes on": (
        "from triton_kernels.routing import \\\n    RoutingData, \\\n    GatherIndx\n",
        "from triton_kernels.matmul_ogs import \\\n    RoutingData, \\\n    GatherIndx\n",
    ),
    "inside a function, first in an if, nothing hoisted": (
        """
        def make(bitmatrix):
            if lazily:
                # only here
                from triton_kernels.routing import routing_from_bitmatrix

                return routing_from_bitmatrix(bitmatrix, s, i, e, k)
        """,
        """
        def make(bitmatrix):
            if lazily:
                # only here
                from triton_kernels.legacy import (
                    legacy_routing_from_bitmatrix as routing_from_bitmatrix,
                )

                return routing_from_bitmatrix(bitmatrix, s, i, e, k)
        """,
    ),
    "in a try whose except passes": (
        """
        try:
            from triton_kernels.routing import GatherIndx, RoutingData, ScatterIndx, routing
        except ImportError:
            pass
        """,
        """
        try:
            from triton_kernels.legacy import legacy_routing as routing
            from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
        except ImportError:
            pass
        """,
    ),
    "under TYPE_CHECKING": (
        """
        if TYPE_CHECKING:
            from triton_kernels.routing import RoutingData

        def f(data: "RoutingData") -> None: ...
        """,
        """
        if TYPE_CHECKING:
            from triton_kernels.matmul_ogs import RoutingData

        def f(data: "RoutingData") -> None: ...
        """,
    ),
    "under a presence check, which is no guard": (
        """
        if has_triton_kernels():
            try:
                from triton_kernels.routing import RoutingData, routing
            except (AttributeError, ImportError) as e:
                logger.error("no kernels: %s", e)
        """,
        """
        if has_triton_kernels():
            try:
                from triton_kernels.legacy import legacy_routing as routing
                from triton_kernels.matmul_ogs import RoutingData
            except (AttributeError, ImportError) as e:
                logger.error("no kernels: %s", e)
        """,
    ),
    "a flag that says whether the library is there is no probe": (
        """
        try:
            from triton_kernels.routing import routing
            HAS_KERNELS = True
        except ImportError:
            HAS_KERNELS = False
        if HAS_KERNELS:
            from triton_kernels.matmul_ogs import matmul_ogs
        """,
        """
        try:
            from triton_kernels.legacy import legacy_routing as routing
            HAS_KERNELS = True
        except ImportError:
            HAS_KERNELS = False
        if HAS_KERNELS:
            from triton_kernels.matmul_ogs import matmul_ogs
        """,
    ),
    "asking for a name only to raise is no probe": (
        """
        try:
            from triton_kernels.routing import routing
        except ImportError:
            routing = None

        def run(x):
            if routing is None:
                raise RuntimeError("install triton_kernels")
            assert routing is not None
            return routing(x, 4)
        """,
        """
        try:
            from triton_kernels.legacy import legacy_routing as routing
        except ImportError:
            routing = None

        def run(x):
            if routing is None:
                raise RuntimeError("install triton_kernels")
            assert routing is not None
            return routing(x, 4)
        """,
    ),
    "the version of something else is no guard": (
        """
        import sys
        if sys.version_info >= (3, 10) and torch.__version__ >= "2.4":
            from triton_kernels.routing import RoutingData
        """,
        """
        import sys
        if sys.version_info >= (3, 10) and torch.__version__ >= "2.4":
            from triton_kernels.matmul_ogs import RoutingData
        """,
    ),
    "behind a colon and between semicolons": (
        """
        if 1: from triton_kernels.routing import RoutingData, routing  # c
        import os; from triton_kernels.routing import GatherIndx, routing_from_bitmatrix as b; b()
        """,
        "if 1: from triton_kernels.legacy import legacy_routing as routing; "
        "from triton_kernels.matmul_ogs import RoutingData  # c\n"
        "import os; from triton_kernels.legacy import legacy_routing_from_bitmatrix as b; "
        "from triton_kernels.matmul_ogs import GatherIndx; b()\n",
    ),
    "an import of the same home takes the names, in its order": (
        """
        from triton_kernels.matmul_ogs import (
            FlexCtx,
            PrecisionConfig,
            matmul_ogs,
        )
        from triton_kernels.numerics import InFlexData
        from triton_kernels.routing import GatherIndx, RoutingData
        from triton_kernels.swiglu import swiglu_fn
        """,
        """
        from triton_kernels.matmul_ogs import (
            FlexCtx,
            GatherIndx,
            PrecisionConfig,
            RoutingData,
            matmul_ogs,
        )
        from triton_kernels.numerics import InFlexData
        from triton_kernels.swiglu import swiglu_fn
        """,
    ),
    "an import that takes names and grows too long is wrapped": (
        """
        from triton_kernels.matmul_ogs import FlexCtx, FnSpecs, FusedActivation, matmul_ogs
        from triton_kernels.routing import RoutingData
        """,
        """
        from triton_kernels.matmul_ogs import (
            FlexCtx,
            FnSpecs,
            FusedActivation,
            RoutingData,
            matmul_ogs,
        )
        """,
    ),
    "an import of the same home further down, with only imports between": (
        """
        from triton_kernels.routing import RoutingData
        import os
        from triton_kernels.matmul_ogs import matmul_ogs
        """,
        """
        import os
        from triton_kernels.matmul_ogs import RoutingData, matmul_ogs
        """,
    ),
    "not one further down behind other statements": (
        """
        from triton_kernels.routing import RoutingData
        x = RoutingData
        from triton_kernels.matmul_ogs import matmul_ogs
        """,
        """
        from triton_kernels.matmul_ogs import RoutingData
        x = RoutingData
        from triton_kernels.matmul_ogs import matmul_ogs
        """,
    ),
    "not one in another block": (
        """
        try:
            from triton_kernels.matmul_ogs import matmul_ogs
        except ImportError:
            matmul_ogs = None
        from triton_kernels.routing import RoutingData
        """,
        """
        try:
            from triton_kernels.matmul_ogs import matmul_ogs
        except ImportError:
            matmul_ogs = None
        from triton_kernels.matmul_ogs import RoutingData
        """,
    ),
    "not where the name is bound in between": (
        """
        from triton_kernels.matmul_ogs import matmul_ogs
        RoutingData = None
        from triton_kernels.routing import RoutingData
        """,
        """
        from triton_kernels.matmul_ogs import matmul_ogs
        RoutingData = None
        from triton_kernels.matmul_ogs import RoutingData
        """,
    ),
    "a name that is there already is not doubled": (
        """
        from triton_kernels.matmul_ogs import RoutingData, matmul_ogs
        from triton_kernels.routing import GatherIndx
        """,
        """
        from triton_kernels.matmul_ogs import GatherIndx, RoutingData, matmul_ogs
        """,
    ),
    "two old imports in one block": (
        """
        from triton_kernels.routing import RoutingData
        from triton_kernels.routing import GatherIndx
        """,
        """
        from triton_kernels.matmul_ogs import GatherIndx, RoutingData
        """,
    ),
    "what has no home stays": (
        """
        from triton_kernels.routing import (
            ExptData,
            RoutingData,
        )
        """,
        """
        from triton_kernels.matmul_ogs import RoutingData
        from triton_kernels.routing import ExptData
        """,
    ),
    "star, expanded to what is used": (
        """
        from triton_kernels.routing import *

        rdata = routing(logits, 4)
        kind = RoutingData
        """,
        """
        from triton_kernels.legacy import legacy_routing as routing
        from triton_kernels.matmul_ogs import RoutingData

        rdata = routing(logits, 4)
        kind = RoutingData
        """,
    ),
    "star, with what __all__ hands on": (
        """
        from triton_kernels.routing import *

        __all__ = ["GatherIndx", "mine"]
        mine = 1
        """,
        """
        from triton_kernels.matmul_ogs import GatherIndx

        __all__ = ["GatherIndx", "mine"]
        mine = 1
        """,
    ),
    "re-exported through __all__": (
        """
        from triton_kernels.routing import RoutingData, routing

        __all__ = ["RoutingData", "routing"]
        """,
        """
        from triton_kernels.legacy import legacy_routing as routing
        from triton_kernels.matmul_ogs import RoutingData

        __all__ = ["RoutingData", "routing"]
        """,
    ),
}


@pytest.mark.parametrize(("before", "after"), IMPORTS.values(), ids=IMPORTS.keys())
def test_imports(before: str, after: str) -> None:
    check_transformed(before, after)
