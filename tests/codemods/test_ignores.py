"""`# triton-kernels: ignore[CODE]` silences the rewrite and the finding of its place."""

from __future__ import annotations

import pytest
from rewriting import check_noop, check_transformed, codes

from codemods.findings import Bucket

SILENCED = {
    "an import": "from triton_kernels.routing import RoutingData  # triton-kernels: ignore\n",
    "an import, by code": (
        "from triton_kernels.routing import RoutingData  # triton-kernels: ignore[TKM003]\n"
    ),
    "one of several codes, behind another comment": (
        "from triton_kernels.routing import RoutingData  # noqa  "
        "# triton-kernels: ignore[TKM001, TKM003]\n"
    ),
    "an import over several lines, at its beginning": (
        "from triton_kernels.routing import (  # triton-kernels: ignore\n"
        "    RoutingData,\n    routing,\n)\n"
    ),
    "an import over several lines, at its end": (
        "from triton_kernels.routing import (\n    RoutingData,\n)  # triton-kernels: ignore\n"
    ),
    "a star import": "from triton_kernels.routing import *  # triton-kernels: ignore\nrouting(x)\n",
    "an import of the module": (
        "import triton_kernels.routing as r  # triton-kernels: ignore[TKM090]\n"
        "x = r.RoutingData  # triton-kernels: ignore[TKM003]\n"
    ),
    "a chain": (
        "import triton_kernels\n"
        "x = triton_kernels.routing.RoutingData  # triton-kernels: ignore[TKM003]\n"
    ),
    "a field": (
        "from triton_kernels.legacy import legacy_routing\n"
        "d, g, s = legacy_routing(x, 4)\n"
        "h = d.expt_data.hist  # triton-kernels: ignore[TKM101]\n"
    ),
    "a form": (
        "from triton_kernels.topk import topk\n"
        "a, b, c = topk(\n    x, k\n)  # triton-kernels: ignore[TKM301]\n"
    ),
    "a string": 'patch("triton_kernels.routing.routing")  # triton-kernels: ignore\n',
    "a comment": "# see triton_kernels.routing; triton-kernels: ignore\nx = 1\n"
    "# triton_kernels.routing # triton-kernels: ignore\n",
    "a copy from the hub": (
        'get_kernel("kernels-community/triton_kernels")  # triton-kernels: ignore[TKM912]\n'
    ),
}


@pytest.mark.parametrize("text", SILENCED.values(), ids=SILENCED.keys())
def test_silenced(text: str) -> None:
    findings = [found for found in check_noop(text) if found.bucket is not Bucket.PROSE]
    assert findings == []


NOT_SILENCED = {
    "another code": "  # triton-kernels: ignore[TKM001]",
    "no code": "  # triton-kernels: ignore[]",
    "another word": "  # triton-kernels: ignored",
    "another tool": "  # triton: ignore",
}


@pytest.mark.parametrize("comment", NOT_SILENCED.values(), ids=NOT_SILENCED.keys())
def test_not_silenced(comment: str) -> None:
    check_transformed(
        f"from triton_kernels.routing import RoutingData{comment}\n",
        f"from triton_kernels.matmul_ogs import RoutingData{comment}\n",
    )


def test_one_name_of_a_statement_stays_with_its_comment() -> None:
    check_transformed(
        """
        from triton_kernels.routing import (
            RoutingData,
            GatherIndx,  # triton-kernels: ignore
        )
        """,
        """
        from triton_kernels.matmul_ogs import RoutingData
        from triton_kernels.routing import (
            GatherIndx,  # triton-kernels: ignore
        )
        """,
    )


def test_the_comment_goes_along_with_both_parts_of_a_statement() -> None:
    check_transformed(
        "from triton_kernels.routing import ExptData, RoutingData"
        "  # triton-kernels: ignore[TKM004]\n",
        "from triton_kernels.matmul_ogs import RoutingData  # triton-kernels: ignore[TKM004]\n"
        "from triton_kernels.routing import ExptData  # triton-kernels: ignore[TKM004]\n",
    )


def test_a_call_that_is_to_be_ignored_keeps_its_function() -> None:
    findings = check_noop("""
        from triton_kernels.routing import routing

        a = routing(x, 4, simulated_ep=1)
        b = routing(x, 4, simulated_ep=1)  # triton-kernels: ignore
    """)
    assert codes(findings, Bucket.FOR_A_PERSON) == ["TKM013", "TKM303"]
    assert "line 4 is to be ignored" in findings[0].message
