"""Renamed fields: rewritten where the file proves what the object is, reported elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rewriting import ALL, check_noop, check_transformed, codes, dedent

from codemods.findings import Bucket
from codemods.source import migrate_source

# What stands before `data.expt_data.hist`, or an expression for its owner: the file proves it.
PROVEN = {
    "unpacked from a call": (
        "from triton_kernels.legacy import legacy_routing\ndata, g, s = legacy_routing(x, 4)\n",
        "data.expt_data",
    ),
    "the first of a call's results": (
        "from triton_kernels.legacy import legacy_routing\nout = legacy_routing(x, 4)\n",
        "out[0].expt_data",
    ),
    "a chain of assignments": (
        "from triton_kernels.legacy import legacy_routing\n"
        "out = legacy_routing(x, 4)\nd, g, s = out\ne = d\nf = e.expt_data\n",
        "f",
    ),
    "a call without a name": (
        "from triton_kernels.legacy import legacy_routing\n",
        "legacy_routing(x, 4)[0].expt_data",
    ),
    "through the module": (
        "import triton_kernels.legacy as tkl\nx, y, z = tkl.legacy_routing(q, 2)\n",
        "x.expt_data",
    ),
    "a constructor": (
        "from triton_kernels.matmul_ogs import RoutingData\nd = RoutingData(a, b, c, d, e)\n",
        "d.expt_data",
    ),
    "metadata made from sizes": (
        "from triton_kernels.tensor import make_ragged_tensor_metadata\n"
        "m = make_ragged_tensor_metadata(sizes, n)\n",
        "m",
    ),
    "an annotated variable": (
        "from triton_kernels.matmul_ogs import RoutingData\nd: RoutingData = make()\n",
        "d.expt_data",
    ),
    "an annotated variable, as a string": (
        'from triton_kernels.matmul_ogs import RoutingData\nd: "RoutingData | None" = make()\n',
        "d.expt_data",
    ),
    "a function that says what it returns": (
        "from triton_kernels.matmul_ogs import RoutingData\n"
        'def make() -> tuple["RoutingData", int]: ...\nd, n = make()\n',
        "d.expt_data",
    ),
    "a name that is None elsewhere": (
        "from triton_kernels.legacy import legacy_routing\n"
        "d = None\nif x:\n    d, g, s = legacy_routing(x, 4)\n",
        "d.expt_data",
    ),
    "one or the other, both of the kind": (
        "from triton_kernels.matmul_ogs import RoutingData\n"
        "a = RoutingData(1, 2, 3, 4)\nb = RoutingData(5, 6, 7, 8) if c else a\n",
        "b.expt_data",
    ),
    "a walrus": (
        "from triton_kernels.matmul_ogs import RoutingData\n(d := RoutingData(1, 2, 3, 4))\n",
        "d.expt_data",
    ),
    "a pair of targets": (
        "from triton_kernels.matmul_ogs import RoutingData\nd, e = RoutingData(1, 2, 3, 4), 5\n",
        "d.expt_data",
    ),
}

PARAMETERS = {
    "annotated": "d: RoutingData",
    "optional": "d: Optional[RoutingData] = None",
    "a string": 'd: "RoutingData"',
    "keyword only": "*, d: RoutingData | None",
}


@pytest.mark.parametrize(("head", "owner"), PROVEN.values(), ids=PROVEN.keys())
def test_a_field_of_what_is_proven_is_renamed(head: str, owner: str) -> None:
    check_transformed(
        f"{head}print({owner}.hist, {owner}.token_offs_raw)\n",
        f"{head}print({owner}.slice_sizes, {owner}.slice_offs)\n",
    )


@pytest.mark.parametrize("parameter", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_a_field_of_a_parameter_that_is_annotated_is_renamed(parameter: str) -> None:
    check_transformed(
        f"from triton_kernels.routing import RoutingData\n\n"
        f"def f({parameter}):\n    return d.expt_data.hist\n",
        f"from triton_kernels.matmul_ogs import RoutingData\n\n"
        f"def f({parameter}):\n    return d.expt_data.slice_sizes\n",
    )


NOT_PROVEN = {
    "an attribute of self": (
        "from triton_kernels.legacy import legacy_routing\n"
        "self.d, g, s = legacy_routing(x, 4)\nself.d.expt_data.hist\n"
    ),
    "a parameter without annotation": (
        "from triton_kernels.topk import topk\ndef f(expt_data):\n    return expt_data.hist\n"
    ),
    "a name that is something else, too": (
        "from triton_kernels.legacy import legacy_routing\n"
        "d, g, s = legacy_routing(x, 4)\nd = wrap(d)\nd.expt_data.hist\n"
    ),
    "a loop variable": (
        "from triton_kernels.legacy import legacy_routing\n"
        "for d in [legacy_routing(x, 4)]:\n    d.expt_data.hist\n"
    ),
    "one or the other, not both known": (
        "from triton_kernels.matmul_ogs import RoutingData\n"
        "d = RoutingData(1, 2, 3, 4) if c else other\nd.expt_data.hist\n"
    ),
    "a starred target": (
        "from triton_kernels.legacy import legacy_routing\n"
        "*d, g, s = legacy_routing(x, 4)\nd.expt_data.hist\n"
    ),
    "a function that might be another": (
        "from triton_kernels.legacy import legacy_routing\nlegacy_routing = wrap(legacy_routing)\n"
        "d, g, s = legacy_routing(x, 4)\nd.expt_data.hist\n"
    ),
    "an annotation by another package's class": (
        "from aiter.routing import RoutingData\nimport triton_kernels.topk\n"
        "def f(d: RoutingData):\n    return d.expt_data.hist\n"
    ),
    "an assignment to the field": (
        "from triton_kernels.legacy import legacy_routing\n"
        "d, g, s = legacy_routing(x, 4)\nd.expt_data.hist = None\n"
    ),
}


@pytest.mark.parametrize("text", NOT_PROVEN.values(), ids=NOT_PROVEN.keys())
def test_a_field_of_what_is_not_proven_is_left_to_a_person(text: str) -> None:
    assert codes(check_noop(text), Bucket.FOR_A_PERSON) == ["TKM101"]


NOT_OURS = {
    "a word that others use": "import triton_kernels.topk\nx.hist, y.sum(0), z.metadata\n",
    "a file without the library": "# triton_kernels\nx.expt_data.hist, x.token_offs_raw\n",
    "a known object of another kind": (
        "from triton_kernels.matmul_ogs import RoutingData\nd = RoutingData(1, 2, 3, 4)\nd.hist\n"
    ),
    "new names": (
        "from triton_kernels.legacy import legacy_routing\nd, g, s = legacy_routing(x, 4)\n"
        "d.expt_data.slice_sizes, d.expt_data.block_offs(32), d.gate_scal, g.src_indx\n"
    ),
}


@pytest.mark.parametrize("text", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_what_is_not_ours_is_left_without_a_word(text: str) -> None:
    assert check_noop(text) == []


def test_a_file_for_two_releases_keeps_the_old_fields() -> None:
    findings = check_noop("""
        try:
            from triton_kernels.matmul_ogs import RoutingData
        except ImportError:
            from triton_kernels.routing import RoutingData

        def f(d: RoutingData):
            return d.expt_data.hist
    """)
    assert [(f.code, f.bucket) for f in findings] == [
        ("TKM003", Bucket.ALREADY_NEW),
        ("TKM101", Bucket.FOR_A_PERSON),
    ]


EXPT_DATA = (
    "from triton_kernels.legacy import legacy_routing\n\nd, g, s = legacy_routing(x, 4)\n"
    "e = d.expt_data\n"
)
BY_BLOCK_SIZE = {
    "a dict by block size": ("e.token_offs_pad[32]", "e.block_offs(32)"),
    "an expression as block size": ("e.block_pid_map[2 * b].x", "e.block_schedule(2 * b).x"),
    "brackets with blanks": ("e.token_offs_pad[ b ]", "e.block_offs( b )"),
    "nested": (
        "e.token_offs_pad[e.block_pid_map[16].n]",
        "e.block_offs(e.block_schedule(16).n)",
    ),
    "a method": ("e.block_pid_map(block_m)", "e.block_schedule(block_m)"),
    "the stacked tensors": (
        "e.token_offs_pad_data, e.block_pid_map_data",
        "e.block_offs_data, e.block_schedule_data",
    ),
    "the block sizes": ("e.block_ms(), e.block_ms_log2()", "e.block_sizes(), e.block_sizes_log2()"),
}


@pytest.mark.parametrize(("before", "after"), BY_BLOCK_SIZE.values(), ids=BY_BLOCK_SIZE.keys())
def test_block_schedules(before: str, after: str) -> None:
    check_transformed(f"{EXPT_DATA}print({before})\n", f"{EXPT_DATA}print({after})\n")


@pytest.mark.parametrize(
    "use",
    [
        "e.token_offs_pad.items()",
        "list(e.token_offs_pad)",
        "e.token_offs_pad.get(32)",
        "e.token_offs_pad[32:64]",
        "e.token_offs_pad[16, 32]",
        "for b in e.token_offs_pad: pass",
        "e.token_offs_pad[32] = t",
        "del e.token_offs_pad[32]",
        "32 in e.token_offs_pad",
        "e.token_offs_pad [32]",
    ],
)
def test_dicts_by_block_size_as_dicts_are_left_to_a_person(use: str) -> None:
    assert codes(check_noop(EXPT_DATA + use + "\n"), Bucket.FOR_A_PERSON) == ["TKM105"]


SORTED = dedent("""
    from triton_kernels.topk import topk

    sparse = topk(logits, k)
    a = sparse.mask_metadata.row_sorted_indx
    b = sparse.mask_metadata.col_sorted_indx
""")


@pytest.mark.parametrize(
    ("written_for", "row", "column"),
    [("pr8375", "combine_indx", "dispatch_indx"), ("3.6", "dispatch_indx", "combine_indx")],
)
def test_the_sorted_indices_mean_what_their_release_meant(
    written_for: str, row: str, column: str
) -> None:
    after = SORTED.replace("row_sorted_indx", row).replace("col_sorted_indx", column)
    check_transformed(SORTED, after, replace(ALL, written_for=written_for))


def test_without_a_release_the_sorted_indices_are_left_to_a_person() -> None:
    assert codes(check_noop(SORTED), Bucket.FOR_A_PERSON) == ["TKM401", "TKM402"]


def test_sorted_indices_of_what_is_not_proven_are_left_to_a_person() -> None:
    text = "import triton_kernels.topk\nx = metadata.row_sorted_indx\n"
    findings = check_noop(text, replace(ALL, written_for="3.6"))
    assert codes(findings, Bucket.FOR_A_PERSON) == ["TKM401"]


def test_on_upstream_the_sorted_indices_of_3_6_are_right_as_they_are() -> None:
    options = replace(ALL, written_for="3.6", target="upstream-3.6")
    assert migrate_source(SORTED.encode(), options).findings == ()


def test_on_upstream_the_sorted_indices_of_the_pull_request_are_left_to_a_person() -> None:
    # Swapping two names is not done twice the same: a second run would swap them back.
    options = replace(ALL, written_for="pr8375", target="upstream-3.6")
    assert codes(check_noop(SORTED, options), Bucket.FOR_A_PERSON) == ["TKM401", "TKM402"]


def test_metadata_of_the_mask_is_that_of_the_matrix() -> None:
    check_transformed(
        "from triton_kernels.topk import topk\n\nn = topk(x, 4).mask.metadata.col_sum\n",
        "from triton_kernels.topk import topk\n\nn = topk(x, 4).mask_metadata.col_sum\n",
    )
