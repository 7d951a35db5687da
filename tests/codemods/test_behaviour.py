"""A migrated program computes what it computed before: programs of real forms, run on both sides.

Before on the facade, with its warnings; after on the new homes, where no old name may warn any more
unless the tool said that it left one.
"""

from __future__ import annotations

import textwrap
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewriting import ALL

from codemods.source import migrate_source
from triton_kernels import SortedIndexOrderWarning, TritonKernelsDeprecationWarning

torch = pytest.importorskip("torch")

# How a program gets at `routing`, `RoutingData` and the others: what to write before the uses, and
# how a use spells a name.
WAYS = {
    "names": ("from triton_kernels.routing import {names}", "{}"),
    "one a line": (
        "from triton_kernels.routing import (  # all of it\n    {lines},\n)",
        "{}",
    ),
    "aliases": ("from triton_kernels.routing import {aliases}", "_{}"),
    "in a try": (
        "try:\n    from triton_kernels.routing import {names}\nexcept ImportError:\n    pass",
        "{}",
    ),
    "marked as missing": (
        "try:\n    from triton_kernels.routing import {names}\nexcept ImportError:\n"
        "    routing = None",
        "{}",
    ),
    "star": ("from triton_kernels.routing import *", "{}"),
    "module": ("import triton_kernels.routing", "triton_kernels.routing.{}"),
    "package": ("import triton_kernels, triton_kernels.routing", "triton_kernels.routing.{}"),
    "alias of the module": ("import triton_kernels.routing as tkr", "tkr.{}"),
    "from the package": ("from triton_kernels import routing as  old", "old .{}"),
    "getattr": ("import triton_kernels.routing as tkr", 'getattr(tkr, "{}")'),
    "loaded": (
        "import importlib\nm = importlib.import_module('triton_kernels.routing')",
        "m.{}",
    ),
    "two ways": (
        "from triton_kernels.routing import RoutingData\nimport triton_kernels.routing as tkr",
        "tkr.{}",
    ),
}
NAMES = (
    *("routing_from_bitmatrix", "routing", "RoutingData", "GatherIndx", "compute_expt_data"),
    *("is_hip", "ExptData"),
)

# Uses; each records what it computes.  `%` stands before a name of the old module.
USES = [
    "d, g, s = %routing(logits, 2)\nrecord(d.gate_scal, d.expt_hist, g.src_indx, s.dst_indx)",
    "d, g, s = %routing(logits, 2, simulated_ep=1)\nrecord(g.dst_indx, d.n_expts_act)",
    "d, g, s = %routing(logits, n_expts_act=2, sm_first=True,  # first\n    n_rows=4)\n"
    "record(d.gate_scal, s.src_indx)",
    "out = %routing(logits, 2, False, None, 1, 5)\nrecord(out[0].expt_hist, out[1].src_indx)",
    "d, *_ = %routing(logits, 2)\nrecord(d.expt_data.hist, d.expt_data.token_offs_raw)",
    "d, _, _ = %routing(logits, 2)\ne = d.expt_data\nrecord(e.hist, e.token_offs_raw, "
    "e.token_offs_pad[32], e.block_pid_map(16), e.block_ms(), e.token_offs_pad_data)",
    "d, _, _ = %routing(logits, 2)\nrecord(sorted(d.expt_data.token_offs_pad.keys()))",
    "fast = wrap(%routing)\nrecord(fast(logits, 2)[0].gate_scal)",
    "record(%compute_expt_data(hist, 4, 12).hist)",
    "c = %compute_expt_data(n_gates=12, expt_hist=hist, n_expts_tot=4)\n"
    "record(c.token_offs_raw, c.block_pid_map[64])",
    "record(wrap(%compute_expt_data)(hist, 4, 12).token_offs_raw)",
    "d = %RoutingData(hist, hist, 4, 2)\nrecord(d.gate_scal, d.n_blocks(100, 16))",
    "def f(d: '%RoutingData | None' = None) -> '%RoutingData':\n"
    "    return d or %RoutingData(1, 2, 3, 4)\n"
    "record(f().n_expts_tot)",
    "record(isinstance(%RoutingData(hist, hist, 4, 2), %RoutingData), bool(%is_hip()))",
    "v, i, b = topk(logits, 2)\nd, g, s = %routing_from_bitmatrix(b, v, i, 4, 2)\n"
    "record(v, i, d.gate_scal, g.src_indx)",
    "v, i, b = topk(logits, 2, True, 1, True)\nrecord(v, i, b.shape)",
    "w = topk(logits, 2).mask.storage.data\nb = Bitmatrix(w, [6, 4], [6, 4], None)\n"
    "record(b.shape, b.storage.data.tolist())",
    "b = Bitmatrix(topk(logits, 2).mask.storage.data,\n"
    "              shape=[6, 4],  # of it\n              scratchpad=None)\nrecord(b.shape)",
    "p = topk(logits, 2)\nrecord(p.mask_metadata.col_sum, p.vals)",
    "x = [%routing(logits, k)[0].expt_hist for k in (1, 2)]\nrecord(*x)",
    "def g(routing):\n    return routing(logits, 2)\nrecord(g(%routing)[0].gate_scal)",
    "record((lambda d: d.expt_data.hist)(%routing(logits, 2)[0]))",
    "e = %ExptData(hist, hist, {16: hist}, {16: hist})\nrecord(e.hist, e.token_offs_pad[16])",
]


def _program(way: str, uses: list[str], in_function: bool, new_too: bool) -> str:
    before, spelled = WAYS[way]
    before = before.format(
        names=", ".join(NAMES),
        lines=",\n    ".join(NAMES),
        aliases=", ".join(f"{name} as _{name}" for name in NAMES),
    )
    parts = [before, "from triton_kernels.tensor import Bitmatrix, SparseMatrix"]
    parts.append("from triton_kernels.topk import topk")
    if new_too:
        parts.append("from triton_kernels.matmul_ogs import ScatterIndx")
    for use in uses:
        for name in NAMES:
            use = use.replace(f"%{name}", spelled.format(name))
        parts.append(use)
    if in_function and way != "star":
        return "def main():\n" + textwrap.indent("\n".join(parts), "    ") + "\nmain()\n"
    return "\n".join(parts) + "\n"


@st.composite
def programs(draw: st.DrawFn) -> bytes:
    text = _program(
        draw(st.sampled_from(sorted(WAYS))),
        draw(st.lists(st.sampled_from(USES), min_size=1, max_size=4)),
        draw(st.booleans()),
        draw(st.booleans()),
    )
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line and not line.endswith("\\") and draw(st.integers(0, 5)) == 0:
            lines[number] += draw(st.sampled_from(["  # a remark", " ", "\t# ü" if line else ""]))
    text = "\n".join(lines)
    if draw(st.booleans()):
        text = text.replace("    ", "\t")
    head = draw(st.sampled_from(["", "", "# coding: latin-1\n", "\f\n", "\ufeff"]))
    encoding = "latin-1" if "latin-1" in head else "utf-8"
    newline = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    end = draw(st.sampled_from(["", "\n", "\f\n"]))
    return (head + text.rstrip("\n") + end).replace("\n", newline).encode(encoding)


def _run(source: bytes, *, strictly: bool) -> list[Any]:
    """What the program records.  strictly: a use of an old name is an error."""
    recorded: list[Any] = []

    def record(*values: Any) -> None:
        recorded.extend(
            value.tolist() if isinstance(value, torch.Tensor) else value for value in values
        )

    torch.manual_seed(0)
    namespace = {
        "__name__": "program",
        "logits": torch.randn(6, 4),
        "hist": torch.tensor([3, 4, 5, 0], dtype=torch.int32),
        "record": record,
        "wrap": lambda function: lambda *args: function(*args),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if strictly:
            warnings.simplefilter("error", TritonKernelsDeprecationWarning)
            warnings.simplefilter("error", SortedIndexOrderWarning)
        exec(compile(source, "program.py", "exec"), namespace)
    return recorded


@settings(max_examples=150, deadline=None)
@given(programs())
def test_a_migrated_program_computes_what_it_did(source: bytes) -> None:
    result = migrate_source(source, ALL)
    assert not result.failed, result.findings
    after = source if result.new is None else result.new
    done = not any(found.left_for_a_person for found in result.findings)
    assert _run(after, strictly=done) == _run(source, strictly=False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("use", USES)
def test_each_form_in_each_way(way: str, use: str) -> None:
    source = _program(way, [use], in_function=False, new_too=False).encode()
    result = migrate_source(source, ALL)
    assert not result.failed, result.findings
    after = source if result.new is None else result.new
    done = not any(found.left_for_a_person for found in result.findings)
    assert _run(after, strictly=done) == _run(source, strictly=False)
