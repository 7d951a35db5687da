"""Copies of the library inside another package: `--vendored PREFIX` treats them as the library."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rewriting import ALL, check_noop, check_transformed

VENDORED = replace(ALL, vendored=("vllm.third_party.triton_kernels", "mini.tk"))

REWRITTEN = {
    "from the old module": (
        "from vllm.third_party.triton_kernels.routing import RoutingData, routing\n"
        "d, g, s = routing(x, 4, simulated_ep=1)\nd.expt_data.hist\n",
        "from vllm.third_party.triton_kernels.legacy import legacy_routing as routing\n"
        "from vllm.third_party.triton_kernels.matmul_ogs import RoutingData\n"
        "d, g, s = routing(x, 4)\nd.expt_data.slice_sizes\n",
    ),
    "into an import of the same copy": (
        "from vllm.third_party.triton_kernels.matmul_ogs import matmul_ogs\n"
        "from triton_kernels.matmul_ogs import matmul_ogs as installed\n"
        "from vllm.third_party.triton_kernels.routing import RoutingData\n",
        "from vllm.third_party.triton_kernels.matmul_ogs import RoutingData, matmul_ogs\n"
        "from triton_kernels.matmul_ogs import matmul_ogs as installed\n",
    ),
    "an alias of the module": (
        "import mini.tk.routing as r\nr.RoutingData, r.GatherIndx\n# triton_kernels\n",
        "import mini.tk.matmul_ogs as r\nr.RoutingData, r.GatherIndx\n# triton_kernels\n",
    ),
    "from the package": (
        "from vllm.third_party.triton_kernels import routing as r\nr.RoutingData\n",
        "from vllm.third_party.triton_kernels import matmul_ogs as r\nr.RoutingData\n",
    ),
    "the copy itself": (
        "from vllm.third_party import triton_kernels\ntriton_kernels.routing.RoutingData\n",
        "import vllm.third_party.triton_kernels.matmul_ogs\n"
        "from vllm.third_party import triton_kernels\n"
        "triton_kernels.matmul_ogs.RoutingData\n",
    ),
    "a chain": (
        "import vllm.utils\nimport vllm.third_party.triton_kernels.routing\n"
        "vllm.third_party.triton_kernels.routing.RoutingData\nvllm.utils.x\n",
        "import vllm.utils\nimport vllm.third_party.triton_kernels.matmul_ogs\n"
        "vllm.third_party.triton_kernels.matmul_ogs.RoutingData\nvllm.utils.x\n",
    ),
    "a string": (
        'm = import_module("mini.tk.routing").RoutingData  # triton_kernels\n',
        'm = import_module("mini.tk.matmul_ogs").RoutingData  # triton_kernels\n',
    ),
    "beside the library itself": (
        "from mini.tk.routing import RoutingData as A\n"
        "from triton_kernels.routing import RoutingData as B\n",
        "from mini.tk.matmul_ogs import RoutingData as A\n"
        "from triton_kernels.matmul_ogs import RoutingData as B\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), REWRITTEN.values(), ids=REWRITTEN.keys())
def test_a_vendored_copy_is_rewritten_under_its_own_name(before: str, after: str) -> None:
    check_transformed(before, after, VENDORED)


@pytest.mark.parametrize("before", [before for before, _ in REWRITTEN.values()])
def test_a_copy_that_is_not_named_is_left(before: str) -> None:
    if "import triton_kernels" not in before and "from triton_kernels" not in before:
        assert check_noop(before) == []


NOT_OURS = {
    "a longer name": "from mini.tkx.routing import RoutingData  # triton_kernels\n",
    "the tail of another": "from x.mini.tk.routing import RoutingData  # triton_kernels\n",
    "relative": "from .mini.tk.routing import RoutingData  # triton_kernels\n",
    "the package around it": "import mini\nmini.other.routing.RoutingData  # triton_kernels\n",
    "a local of its name": "def f(mini):\n    mini.tk.routing.RoutingData  # triton_kernels\n",
}


@pytest.mark.parametrize("text", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_not_ours(text: str) -> None:
    assert check_noop(text, VENDORED) == []
