"""The check of a file's names: what a rewrite must not have done to them."""

from __future__ import annotations

import ast

import pytest

from codemods.checks import faults
from codemods.references import References
from codemods.scopes import Scopes
from codemods.targets import target_for


def faults_of(before: str, after: str) -> list[str]:
    references = [
        References(tree, Scopes.of(tree)) for tree in (ast.parse(before), ast.parse(after))
    ]
    return faults(*references, target_for("bundled"))


OLD = "from triton_kernels.routing import RoutingData\n"
NEW = "from triton_kernels.matmul_ogs import RoutingData\n"

FAULTS = {
    "a name became undefined": (
        f"{OLD}x = RoutingData\n",
        "x = RoutingData\n",
        "became undefined: RoutingData",
    ),
    "a name lost its import in a function": (
        f"def f():\n    {OLD}    return RoutingData\n",
        "def f():\n    return RoutingData\n",
        "became undefined: RoutingData",
    ),
    "a new name hides one of the module": (
        "legacy = 1\ndef f():\n    import triton_kernels.routing as r\n    return r, legacy\n",
        "legacy = 1\ndef f():\n    from triton_kernels import legacy\n    return legacy, legacy\n",
        "would hide others: legacy",
    ),
    "a new name hides a built-in one": (
        "def f():\n    import triton_kernels.routing as r\n    return r, sum([1])\n",
        "def f():\n    from triton_kernels import topk as sum\n    return sum, sum([1])\n",
        "would hide others: sum",
    ),
    "a name is bound to two things": (
        "import triton_kernels.routing as r\nlegacy = 1\nr\n",
        "from triton_kernels import legacy\nlegacy = 1\nlegacy\n",
        "bound to two things: legacy",
    ),
    "a name is read from elsewhere": (
        "def f(x):\n    y = x\n    def g():\n        return y\n",
        "def f(x):\n    y = x\n    def g(): return x\n",
        "read from elsewhere: x",
    ),
    "the target lacks what is imported": (
        OLD,
        "from triton_kernels.matmul_ogs import RoutingDatum\n",
        "the target has no triton_kernels.matmul_ogs.RoutingDatum",
    ),
    "a scope came": (OLD, f"{NEW}f = lambda: 1\n", "a scope came or went"),
}


@pytest.mark.parametrize(("before", "after", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_found(before: str, after: str, fault: str) -> None:
    assert any(fault in found for found in faults_of(before, after))


FINE = {
    "nothing": ("", ""),
    "a name imported from elsewhere": (OLD, NEW),
    "a name that was undefined and is still": (f"{OLD}print(nobody)\n", f"{NEW}print(nobody)\n"),
    "a name bound twice by the same import": (
        "import triton_kernels.routing\ntriton_kernels\n",
        "import triton_kernels.legacy\nimport triton_kernels.topk\ntriton_kernels\n",
    ),
    "an argument that went, with what it read": (
        f"{OLD}def f(n): RoutingData(1, n)\n",
        f"{NEW}def f(n): RoutingData(1)\n",
    ),
    "an import of an alias that became two": (
        "import triton_kernels.routing as r\nr.a, r.b\n",
        "from triton_kernels import legacy, topk\nlegacy.a, topk.b\n",
    ),
    "a star import that became names": (
        "from triton_kernels.routing import *\nx = RoutingData\n",
        f"{NEW}x = RoutingData\n",
    ),
    "an import that is read once more": (
        f"from triton_kernels.tensor import BIT\n{OLD}x = 1\n",
        f"from triton_kernels.tensor import BIT\n{NEW}x = BIT\n",
    ),
    "a name that exists nowhere, imported before": (
        "from triton_kernels.routing import rooting\n",
        "from triton_kernels.routing import rooting\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), FINE.values(), ids=FINE.keys())
def test_no_fault_where_there_is_none(before: str, after: str) -> None:
    assert faults_of(before, after) == []
