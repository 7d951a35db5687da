"""Copies from the kernels hub, and packages put in the library's place: left, and said so."""

from __future__ import annotations

import pytest
from rewriting import check_noop

from codemods.findings import ALIASED_PACKAGE, HUB_COPY

HUB = {
    "the library": (
        'hub = get_kernel("kernels-community/triton_kernels")\nhub.routing.RoutingData\n'
    ),
    "a copy for one model": (
        "def load():\n    global triton_kernels_hub\n    triton_kernels_hub = "
        'get_kernel("kernels-community/gpt-oss-triton-kernels", version=1)\n'
        "# triton_kernels: a, b = triton_kernels_hub.routing.routing, None\n"
    ),
    "under the library's name": (
        'triton_kernels = kernels.get_kernel("kernels-community/triton_kernels")\n'
        "out = triton_kernels.routing.routing_torch(logits, 4)\n"
    ),
}


@pytest.mark.parametrize("text", HUB.values(), ids=HUB.keys())
def test_a_copy_from_the_hub_is_left_and_said(text: str) -> None:
    [found] = check_noop(text)
    assert found.code == HUB_COPY.code
    assert not found.left_for_a_person


ALIASES = {
    "an entry": 'sys.modules["triton_kernels"] = vllm.third_party.triton_kernels\n',
    "an entry that may be there": 'sys.modules.setdefault("triton_kernels", copy)\n',
    "entries of its modules": 'for n in names:\n    sys.modules[f"triton_kernels.{n}"] = m\n',
}


@pytest.mark.parametrize("text", ALIASES.values(), ids=ALIASES.keys())
def test_a_package_in_the_library_s_place_is_left_to_a_person(text: str) -> None:
    [found] = check_noop(f"import sys\n{text}")
    assert found.code == ALIASED_PACKAGE.code
    assert found.left_for_a_person


NEITHER = {
    "another kernel": 'get_kernel("kernels-community/flash-attn")  # no triton_kernels\n',
    "a name that is not given": "get_kernel(name)  # triton_kernels\n",
    "a question": 'import sys\nthere = "triton_kernels" in sys.modules\n',
    "another package": 'import sys\nsys.modules["vllm.triton_kernels"] = m  # triton_kernels\n',
    "reading": 'import sys\nm = sys.modules["triton_kernels"]\n',
}


@pytest.mark.parametrize("text", NEITHER.values(), ids=NEITHER.keys())
def test_neither(text: str) -> None:
    assert check_noop(text) == []
