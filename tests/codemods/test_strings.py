"""Old names in strings: annotations, type comments, arguments of calls that load or patch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rewriting import ALL, check_noop, check_transformed, codes

from codemods.findings import Bucket

REWRITTEN = {
    "a dotted annotation as a string": (
        """
        import triton_kernels.routing

        def f(data: "triton_kernels.routing.RoutingData") -> None: ...
        """,
        """
        import triton_kernels.matmul_ogs

        def f(data: "triton_kernels.matmul_ogs.RoutingData") -> None: ...
        """,
    ),
    "an annotation through an alias, nested in another": (
        """
        import triton_kernels.routing as r

        def f() -> 'tuple[r.RoutingData, list["int"]] | None': ...
        x: "list[r.GatherIndx]" = []
        """,
        """
        import triton_kernels.matmul_ogs as r

        def f() -> 'tuple[r.RoutingData, list["int"]] | None': ...
        x: "list[r.GatherIndx]" = []
        """,
    ),
    "an annotation whose alias changes": (
        """
        import triton_kernels.routing as r

        def f(a: "r.RoutingData", *rest: "r.GatherIndx", key: "r.RoutingData" = None) -> "int":
            return r.routing(a, 4)
        """,
        """
        from triton_kernels import legacy, matmul_ogs

        def f(a: "matmul_ogs.RoutingData", *rest: "matmul_ogs.GatherIndx", """
        """key: "matmul_ogs.RoutingData" = None) -> "int":
            return legacy.legacy_routing(a, 4)
        """,
    ),
    "an annotation of something that the file does not import": (
        """
        def f(data: "triton_kernels.routing.RoutingData") -> None: ...
        """,
        """
        def f(data: "triton_kernels.matmul_ogs.RoutingData") -> None: ...
        """,
    ),
    "an annotation in triple quotes, and one behind wide characters": (
        '''
        import triton_kernels.routing

        a: """triton_kernels.routing.RoutingData"""
        ä = "日本"; b: "triton_kernels.routing.GatherIndx"
        ''',
        '''
        import triton_kernels.matmul_ogs

        a: """triton_kernels.matmul_ogs.RoutingData"""
        ä = "日本"; b: "triton_kernels.matmul_ogs.GatherIndx"
        ''',
    ),
    "a type comment": (
        """
        import triton_kernels.routing as r

        data = None  # type: r.RoutingData
        gather, x = f(), 1  # type: triton_kernels.int, r.GatherIndx
        """,
        """
        import triton_kernels.matmul_ogs as r

        data = None  # type: r.RoutingData
        gather, x = f(), 1  # type: triton_kernels.int, r.GatherIndx
        """,
    ),
    "a type comment of a function, whose alias changes": (
        """
        import triton_kernels.routing as r

        def f(data, gather):
            # type: (r.RoutingData, r.GatherIndx) -> r.RoutingData
            return r.routing(data, 4)
        """,
        """
        from triton_kernels import legacy, matmul_ogs

        def f(data, gather):
            # type: (matmul_ogs.RoutingData, matmul_ogs.GatherIndx) -> matmul_ogs.RoutingData
            return legacy.legacy_routing(data, 4)
        """,
    ),
    "getattr with a name, and with a default": (
        """
        from triton_kernels import routing as tk_routing

        kind = getattr(tk_routing, "RoutingData")
        hip = getattr(tk_routing, 'is_hip', lambda: False)()
        """,
        """
        from triton_kernels import matmul_ogs, target_info

        kind = getattr(matmul_ogs, "RoutingData")
        hip = getattr(target_info, 'is_hip', lambda: False)()
        """,
    ),
    "getattr of a chain from the package": (
        """
        import triton_kernels

        f = getattr(triton_kernels.routing, "routing")
        """,
        """
        import triton_kernels
        import triton_kernels.legacy

        f = getattr(triton_kernels.legacy, "legacy_routing")
        """,
    ),
    "import_module, all that is read of it in one home": (
        """
        import importlib

        def load():
            module = importlib.import_module("triton_kernels.routing")
            return module.RoutingData, module.GatherIndx
        """,
        """
        import importlib

        def load():
            module = importlib.import_module("triton_kernels.matmul_ogs")
            return module.RoutingData, module.GatherIndx
        """,
    ),
    "importorskip, and a name that changes": (
        """
        import pytest

        routing = pytest.importorskip('triton_kernels.routing')
        run = routing.routing
        """,
        """
        import pytest

        routing = pytest.importorskip('triton_kernels.legacy')
        run = routing.legacy_routing
        """,
    ),
    "import_module, read at once": (
        """
        from importlib import import_module

        run = import_module("triton_kernels.routing").routing
        """,
        """
        from importlib import import_module

        run = import_module("triton_kernels.legacy").legacy_routing
        """,
    ),
    "an object by its path": (
        """
        import pkgutil

        kind = pkgutil.resolve_name("triton_kernels.routing.RoutingData")
        schedule = pkgutil.resolve_name("triton_kernels.routing.compute_expt_data")
        """,
        """
        import pkgutil

        kind = pkgutil.resolve_name("triton_kernels.matmul_ogs.RoutingData")
        schedule = pkgutil.resolve_name("triton_kernels.legacy.compute_expt_data")
        """,
    ),
}


@pytest.mark.parametrize(("before", "after"), REWRITTEN.values(), ids=REWRITTEN.keys())
def test_rewritten(before: str, after: str) -> None:
    findings = check_transformed(before, after)
    assert not codes(findings, Bucket.FOR_A_PERSON)


LEFT = {
    "import_module with two homes": (
        'm = import_module("triton_kernels.routing")\nm.routing, m.RoutingData\n',
        "'triton_kernels.legacy' for routing; 'triton_kernels.matmul_ogs' for RoutingData",
    ),
    "import_module whose result goes elsewhere": (
        'm = import_module("triton_kernels.routing")\nregister(m)\n',
        "nobody sees",
    ),
    "import_module into a name that is bound again": (
        'm = import_module("triton_kernels.routing")\nm = wrap(m)\nm.RoutingData\n',
        "nobody sees",
    ),
    "import_module into an attribute": (
        'self.m = import_module("triton_kernels.routing")\nself.m.RoutingData\n',
        "nobody sees",
    ),
    "import_module for its effect": ('import_module("triton_kernels.routing")\n', "nobody sees"),
    "import_module and a name without a home": (
        'm = import_module("triton_kernels.routing")\nm.sort_tokens\n',
        "no new home",
    ),
    "import_module and a name that never was": (
        'm = import_module("triton_kernels.routing")\nm.rooting\n',
        "no new home",
    ),
    "a name put together": ('import_module(root + ".routing")  # triton_kernels\n', "put together"),
    "a name put together as an f-string": (
        'import_module(f"triton_kernels.{name}")\n',
        "put together",
    ),
    "a list of names to load": (
        'for name in ("triton_kernels.routing", "vllm.x"):\n    import_module(name)\n',
        "no longer there",
    ),
    "find_spec of the old module": (
        'found = find_spec("triton_kernels.routing") is not None\n',
        "tells the library's release",
    ),
    "hasattr of the old module": (
        'import triton_kernels.routing as r\nold = hasattr(r, "ExptData")\n',
        "tells a release",
    ),
    "a patch of a function": (
        'import triton_kernels.topk\npatch("triton_kernels.routing.routing")\n',
        "write 'triton_kernels.legacy.legacy_routing'",
    ),
    "a patch of something without a home": (
        'patch("triton_kernels.routing.sort_tokens")\n',
        "patches what is no longer there",
    ),
    "a monkeypatch by string": (
        'monkeypatch.setattr("triton_kernels.routing.routing", fake)\n',
        "write 'triton_kernels.legacy.legacy_routing'",
    ),
    "a key of sys.modules": (
        'sys.modules["triton_kernels.routing"] = fake\n',
        "no longer there",
    ),
    "a literal type is no annotation": (
        'x: Literal["triton_kernels.routing.routing"]\n',
        "no longer there",
    ),
    "a string in pieces": (
        'import_module("triton_kernels" ".routing").routing\n',
        "",
    ),
}


@pytest.mark.parametrize(("text", "message"), LEFT.values(), ids=LEFT.keys())
def test_left_to_a_person(text: str, message: str) -> None:
    findings = check_noop(text)
    left = [found for found in findings if found.bucket is Bucket.FOR_A_PERSON]
    assert left
    assert any(message in found.message for found in left)


NOT_OURS = {
    "another package's module": 'importlib.import_module("vllm.triton_kernels.routing")\n',
    "a relative path": 'importlib.import_module(".routing", "triton_kernels")\n',
    "the package itself": 'm = importlib.import_module("triton_kernels.tensor").StridedLayout\n',
    "a probe for a new module": 'x = find_spec("triton_kernels.tensor_details.ragged_tensor")\n',
    "a patch of a new name": 'patch("triton_kernels.matmul_ogs.RoutingData")\n',
    "a patch of a downstream function": 'patch("vllm.triton_kernels_moe.make_routing_data")\n',
    "getattr of another object": 'import triton_kernels.topk\ngetattr(self, "RoutingData")\n',
    "an annotation of a local class": 'import triton_kernels.topk\nx: "RoutingData"\n',
}


@pytest.mark.parametrize("text", NOT_OURS.values(), ids=NOT_OURS.keys())
def test_not_ours(text: str) -> None:
    assert check_noop(text) == []


def test_a_patched_name_is_read_where_it_is_patched() -> None:
    findings = check_noop("""
        import triton_kernels.routing

        @patch("triton_kernels.routing.routing")
        def test(fake):
            triton_kernels.routing.routing(x, 4)
    """)
    assert any("line 3 patches" in found.message for found in findings)


def test_a_lazy_import_of_a_patched_name_stays_and_one_of_another_name_goes() -> None:
    check_transformed(
        """
        @patch("triton_kernels.routing.routing")
        def test(fake):
            from triton_kernels.routing import RoutingData, routing
        """,
        """
        @patch("triton_kernels.routing.routing")
        def test(fake):
            from triton_kernels.matmul_ogs import RoutingData
            from triton_kernels.routing import routing
        """,
    )


@pytest.mark.parametrize(
    "patching",
    [
        "r.sort_tokens = f",
        'setattr(r, "sort_tokens", f)',
        'monkeypatch.setattr(r, "sort_tokens", f)',
        'patch.object(r, "sort_tokens")',
        "patch.multiple(r, sort_tokens=f)",
        "del r.sort_tokens",
    ],
)
def test_what_goes_through_a_patched_module_stays(patching: str) -> None:
    findings = check_noop(
        f"import triton_kernels.routing as r\n{patching}\nr.routing(x, 4)\n"
        "def f():\n    from triton_kernels.routing import routing\n"
    )
    assert codes(findings, Bucket.FOR_A_PERSON).count("TKM013") == 2


def test_a_patch_of_a_class_that_keeps_its_identity_is_no_patch_of_the_module() -> None:
    check_transformed(
        "from triton_kernels.routing import RoutingData\nRoutingData.extra = None\n",
        "from triton_kernels.matmul_ogs import RoutingData\nRoutingData.extra = None\n",
    )


def test_with_unsafe_the_patch_goes_along() -> None:
    check_transformed(
        """
        import triton_kernels.routing

        @patch("triton_kernels.routing.routing")
        def test(fake):
            triton_kernels.routing.routing(x, 4)
        """,
        """
        import triton_kernels.legacy

        @patch("triton_kernels.legacy.legacy_routing")
        def test(fake):
            triton_kernels.legacy.legacy_routing(x, 4)
        """,
        replace(ALL, unsafe=True),
    )
