"""For the released 3.6.0: what it has comes from there, the rest from the package's helper."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rewriting import ALL, check_noop, check_transformed, codes

from codemods.findings import Bucket

UPSTREAM = replace(ALL, target="upstream-3.6", helper="pkg._helper")

REWRITTEN = {
    "a statement is split between the two": (
        "from triton_kernels.routing import GatherIndx, RoutingData, routing\n",
        "from pkg._helper import legacy_routing as routing\n"
        "from triton_kernels.matmul_ogs import GatherIndx, RoutingData\n",
    ),
    "chains from the package": (
        "import triton_kernels\nf = wrap(triton_kernels.routing.routing)\n"
        "d = triton_kernels.routing.RoutingData\n",
        "import triton_kernels\nimport triton_kernels.matmul_ogs\nfrom pkg import _helper\n"
        "f = wrap(_helper.legacy_routing)\nd = triton_kernels.matmul_ogs.RoutingData\n",
    ),
    "an alias of the module": (
        "import triton_kernels.routing as r\n"
        "f = r.routing(x, 4, simulated_ep=1)\nd = r.GatherIndx\n",
        "from pkg import _helper\nfrom triton_kernels import matmul_ogs\n"
        "f = _helper.legacy_routing(x, 4)\nd = matmul_ogs.GatherIndx\n",
    ),
    "a module that is loaded": (
        'f = import_module("triton_kernels.routing").routing\n',
        'f = import_module("pkg._helper").legacy_routing\n',
    ),
}


@pytest.mark.parametrize(("before", "after"), REWRITTEN.values(), ids=REWRITTEN.keys())
def test_rewritten(before: str, after: str) -> None:
    check_transformed(before, after, UPSTREAM)


def test_a_helper_without_a_package_is_imported_by_its_name() -> None:
    check_transformed(
        "import triton_kernels.routing\ntriton_kernels.routing.routing(x, 4)\n",
        "import _helper\n_helper.legacy_routing(x, 4)\n",
        replace(UPSTREAM, helper="_helper"),
    )


def test_where_the_helper_is_not_known_its_names_are_left_to_a_person() -> None:
    text = "from triton_kernels.routing import routing\n"
    findings = check_noop(text, replace(UPSTREAM, helper=""))
    assert codes(findings, Bucket.FOR_A_PERSON) == ["TKM013"]
