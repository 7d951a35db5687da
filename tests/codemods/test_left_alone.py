"""What is left: because it is not ours, because it is right, or because nobody can be certain."""

from __future__ import annotations

import pytest
from rewriting import ALL, check_noop, check_transformed, codes

from codemods.findings import Bucket
from codemods.source import SourceOptions, migrate_source

NOT_OURS = {
    "migrated already": "from triton_kernels.matmul_ogs import GatherIndx, RoutingData\n",
    "a local module of that name": "from .triton_kernels.routing import routing\n",
    "a vendored copy": "from vllm.third_party.triton_kernels.routing import routing\n",
    "a vendored copy, plain": "import x.triton_kernels.routing as r\nr.routing(a, 1)\n",
    "another package's module": "from sglang.moe.triton_kernels import routing\nrouting(a, 1)\n",
    "a longer name": "from triton_kernels_benchmark.routing import routing\n",
    "a local variable": (
        "triton_kernels = load()\nout = triton_kernels.routing.routing_torch(logits, 4)\n"
    ),
    "a parameter": "def f(triton_kernels):\n    return triton_kernels.routing.routing(1, 2)\n",
    "a function's own routing": (
        "import triton_kernels.swiglu\ndef routing(x, k): ...\nrouting(logits, 4, simulated_ep=1)\n"
    ),
    "an attribute that happens to be called so": (
        "import triton_kernels.swiglu\nself.routing.RoutingData = hist.sum()\n"
    ),
    "a shadowing comprehension variable": (
        "import triton_kernels.swiglu\nx = [triton_kernels.routing for triton_kernels in things]\n"
    ),
    "a probe for the package": (
        'import importlib.util\nhas = importlib.util.find_spec("triton_kernels") is not None\n'
    ),
}


@pytest.mark.parametrize("text", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_what_is_not_ours_is_left_without_a_word(text: str) -> None:
    assert check_noop(text) == []


GUARDED = {
    "a version test": """
        if triton_kernels_version == "3.5.1":
            from triton_kernels.routing import routing
        else:
            from triton_kernels.topk import topk
        """,
    "the version of triton": """
        import triton
        if triton.__version__ < "3.6":
            from triton_kernels.routing import routing
        """,
    "a legacy flag": """
        def make(x):
            if use_legacy_triton_kernels:
                from triton_kernels.routing import routing
                return routing(x, 4, simulated_ep=1)
        """,
    "a flag that holds a version test": """
        OLD = parse(version("triton_kernels")) < parse("3.6")
        if OLD:
            from triton_kernels.routing import routing
        """,
    "a probe for a module of the new release": """
        if find_spec("triton_kernels.tensor_details.ragged_tensor") is None:
            from triton_kernels.routing import routing
        """,
    "an attribute of the package": """
        import triton_kernels
        if hasattr(triton_kernels, "routing"):
            from triton_kernels.routing import routing
        """,
    "an early return": """
        def make(x):
            if triton_kernels_version >= (3, 6):
                return new(x)
            from triton_kernels.routing import routing
            return routing(x, 4)
        """,
    "a conditional expression": """
        import triton_kernels
        f = triton_kernels.routing.routing if OLD_VERSION else None
        """,
}


@pytest.mark.parametrize("text", GUARDED.values(), ids=GUARDED.keys())
def test_code_for_another_release_is_left_and_said_so(text: str) -> None:
    findings = check_noop(text)
    assert {found.bucket for found in findings} == {Bucket.GUARDED}


SIBLING_IS_NEW = {
    "new first, old in the except": """
        try:
            from triton_kernels.matmul_ogs import RoutingData
        except ImportError:
            from triton_kernels.routing import RoutingData
        """,
    "old first, new in the except": """
        try:
            from triton_kernels.routing import routing
        except ModuleNotFoundError:
            from triton_kernels.topk import topk
            routing = None
        """,
    "module first": """
        try:
            import triton_kernels.routing as r
            r.routing
        except ImportError:
            import triton_kernels.topk
        """,
}


@pytest.mark.parametrize("text", SIBLING_IS_NEW.values(), ids=SIBLING_IS_NEW.keys())
def test_the_old_branch_beside_a_new_one_is_left(text: str) -> None:
    findings = check_noop(text)
    assert Bucket.ALREADY_NEW in {found.bucket for found in findings}


SAME_NAME_IN_THE_OTHER_BRANCH = {
    "new in the if": """
        if IS_NEW:
            from triton_kernels.matmul_ogs import GatherIndx
        else:
            from triton_kernels.routing import GatherIndx
        """,
    "new in the else": """
        if not settled:
            from triton_kernels.routing import RoutingData
        else:
            from triton_kernels.matmul_ogs import RoutingData
        """,
    "new in an elif": """
        if first:
            from triton_kernels.routing import RoutingData
        elif second:
            from triton_kernels.matmul_ogs import RoutingData
        """,
}


@pytest.mark.parametrize(
    "text", SAME_NAME_IN_THE_OTHER_BRANCH.values(), ids=SAME_NAME_IN_THE_OTHER_BRANCH.keys()
)
def test_an_old_branch_whose_other_one_binds_the_name_to_the_new_home_is_left(text: str) -> None:
    findings = check_noop(text)
    assert {found.bucket for found in findings} == {Bucket.ALREADY_NEW}


PROBES = {
    "the name is None where the import failed": """
        try:
            from triton_kernels.routing import routing
        except ImportError:
            routing = None
        run = old if routing is not None else new
        """,
    "a flag chooses the new library": """
        try:
            from triton_kernels.routing import routing
            HAS_OLD = True
        except ImportError:
            HAS_OLD = False
        if not HAS_OLD:
            from triton_kernels.topk import topk
        """,
    "a flag chooses in its else": """
        try:
            from triton_kernels.routing import routing
            old = True
        except (ImportError, AttributeError):
            old = False
        if old:
            run = routing
        else:
            from triton_kernels.legacy import legacy_routing as run
        """,
}


@pytest.mark.parametrize("text", PROBES.values(), ids=PROBES.keys())
def test_an_import_that_tells_the_release_is_left_to_a_person(text: str) -> None:
    findings = check_noop(text)
    assert "TKM013" in codes(findings, Bucket.FOR_A_PERSON)


def test_both_branches_never_become_the_same() -> None:
    check_noop("""
        try:
            from triton_kernels.matmul_ogs import GatherIndx
        except ImportError:
            from triton_kernels.routing import GatherIndx
    """)


FOR_A_PERSON = {
    "simulated_ep of another value": (
        "from triton_kernels.routing import routing\nrouting(x, 4, simulated_ep=EP)\n",
        "TKM013",
    ),
    "an ambiguous fifth argument": (
        "from triton_kernels.routing import routing\nrouting(x, 4, False, None, n)\n",
        "TKM013",
    ),
    "starred arguments": (
        "from triton_kernels.routing import routing\nrouting(*args)\n",
        "TKM013",
    ),
    "starred result and positional simulated_ep": (
        "import triton_kernels.routing\n"
        "x, *triton_kernels.routing.routing(l, k, first, indx, EP, n_rows), None\n",
        "TKM013",
    ),
    "a rebound name whose call would change": (
        "from triton_kernels.routing import routing\n"
        "routing = wrap(routing)\n"
        "routing(x, 4, simulated_ep=1)\n",
        "TKM013",
    ),
    "a value that is handed on, beside a call that passes what goes": (
        "from triton_kernels.routing import routing\n"
        "fast = torch.compiler.disable(routing)\n"
        "fast(x, 4, simulated_ep=1)\n",
        "TKM013",
    ),
    "an import used as version test": (
        "try:\n"
        "    from triton_kernels.routing import routing_from_bitmatrix\n"
        "except ModuleNotFoundError:\n"
        "    routing_from_bitmatrix = None\n"
        "if routing_from_bitmatrix is None:\n"
        "    run_36()\n",
        "TKM012",
    ),
    "a monkeypatch, and what must go through it": (
        "import triton_kernels.routing as _routing\n"
        "_routing.sort_tokens = f\n"
        "_routing.routing(x, 4)\n",
        "TKM013",
    ),
    "the module handed on": (
        "from triton_kernels import routing\nregister(routing)\n",
        "TKM090",
    ),
    "an import for nothing": ("import triton_kernels.routing\n", "TKM090"),
    "a private kernel": (
        "from triton_kernels.routing_details._routing_compute import _routing_clear_bitmatrix\n",
        "TKM208",
    ),
    "a name that never was": ("from triton_kernels.routing import rooting\n", "TKM090"),
    "a string that is a name": (
        'import triton_kernels.topk\npatch("triton_kernels.routing.routing")\n',
        "TKM013",
    ),
    "a star import beside another": (
        "from os import *\nfrom triton_kernels.routing import *\nrouting(x, 4)\n",
        "TKM090",
    ),
    "old names of fields": (
        "from triton_kernels.legacy import legacy_routing\nrdata.expt_data.token_offs_pad[32]\n",
        "TKM105",
    ),
    "swapped order of the sorted indices": (
        "from triton_kernels.topk import topk\ntopk(x, 4).mask_metadata.col_sorted_indx\n",
        "TKM402",
    ),
    "old unpacking of topk to several targets": (
        "from triton_kernels.topk import topk\nout = vals, indx, mask = topk(x, 4)\n",
        "TKM301",
    ),
}


@pytest.mark.parametrize(("text", "code"), FOR_A_PERSON.values(), ids=FOR_A_PERSON.keys())
def test_what_is_not_certain_is_left_to_a_person(text: str, code: str) -> None:
    findings = check_noop(text)
    left = codes(findings, Bucket.FOR_A_PERSON)
    assert code in left
    assert all(found.remedy for found in findings)


PROSE = {
    "a comment": "# see triton_kernels.routing.routing\n",
    "an import commented out": "# from triton_kernels.routing import (\n#     RoutingData,\n# )\n",
    "a docstring": '"""Replacement for the removed triton_kernels.routing.routing function."""\n',
    "a message": 'raise ImportError("triton_kernels.routing is missing")\n',
}


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE.keys())
def test_prose_is_counted_and_left(text: str) -> None:
    findings = check_noop(text)
    assert [found.bucket for found in findings] == [Bucket.PROSE]
    assert not any(found.left_for_a_person for found in findings)


def test_codes_that_are_not_selected_are_left_in_silence() -> None:
    text = (
        "from triton_kernels.routing import RoutingData, routing\nrouting(x, 4, simulated_ep=1)\n"
    )
    only_record = SourceOptions(frozenset({"TKM003"}))
    findings = check_transformed(
        text,
        "from triton_kernels.matmul_ogs import RoutingData\n"
        "from triton_kernels.routing import routing\n"
        "routing(x, 4, simulated_ep=1)\n",
        only_record,
    )
    assert {found.code for found in findings} == {"TKM003"}
    assert check_noop(text, SourceOptions(frozenset())) == []


def test_a_finding_points_at_the_old_name() -> None:
    text = "import os\nfrom triton_kernels.routing import (\n    RoutingData,\n    ExptData,\n)\n"
    findings = migrate_source(text.encode(), ALL).findings
    assert [(found.line, found.column, found.code) for found in findings] == [
        (3, 5, "TKM003"),
        (4, 5, "TKM004"),
    ]
