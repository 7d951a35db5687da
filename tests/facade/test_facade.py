"""The deprecated module gives the very objects of the new homes, and warns where it was used."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import textwrap
import warnings
from types import FrameType

import pytest

import triton_kernels.routing as facade
from triton_kernels import TritonKernelsDeprecationWarning, deprecation, moves

OLD = moves.OLD_MODULE
ROWS = [move for path, move in moves.BY_OLD_NAME.items() if path.rpartition(".")[0] == OLD]
SERVED = [move for move in ROWS if move.served]
NOT_SERVED = [move for move in ROWS if not move.served]
PROGRAM = "/home/user/project/program.py"

Place = tuple[str, int, str]


def own(move: moves.Move) -> str:
    return move.old.rpartition(".")[2]


def here() -> int:
    frame: FrameType | None = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def run(source: str, filters: str = "always") -> list[Place]:
    """Run a program of its own; the warnings of ours it raised, as (file, line, code)."""
    code = compile(textwrap.dedent(source).lstrip("\n"), PROGRAM, "exec", dont_inherit=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter(filters)  # type: ignore[arg-type]
        exec(code, {"__name__": "program"})
    ours = [w for w in seen if issubclass(w.category, TritonKernelsDeprecationWarning)]
    return [(w.filename, w.lineno, w.message.code) for w in ours]  # type: ignore[union-attr]


@pytest.mark.parametrize("move", SERVED, ids=own)
def test_a_served_name_is_the_object_of_its_home_and_warns_once(move: moves.Move) -> None:
    with pytest.warns() as seen:
        got, line = getattr(facade, own(move)), here()
    assert got is deprecation.resolve(move.served)
    assert [type(w.message) for w in seen] == [TritonKernelsDeprecationWarning]
    assert (seen[0].filename, seen[0].lineno) == (__file__, line)
    warning = seen[0].message
    assert isinstance(warning, TritonKernelsDeprecationWarning)
    assert (warning.code, warning.old, warning.new) == (move.code, move.old, move.new)


@pytest.mark.parametrize("move", SERVED, ids=own)
def test_the_warning_says_old_new_command_and_end(move: moves.Move) -> None:
    with pytest.warns(TritonKernelsDeprecationWarning) as seen:
        getattr(facade, own(move))
    text = str(seen[0].message)
    for part in (move.old, move.code, move.advice, moves.MIGRATE_COMMAND, moves.REMOVED_IN):
        assert part in text


@pytest.mark.parametrize("name", ["RoutingData", "GatherIndx", "ScatterIndx"])
def test_records_are_those_of_matmul_ogs(name: str) -> None:
    from triton_kernels import matmul_ogs

    with pytest.warns(TritonKernelsDeprecationWarning):
        assert getattr(facade, name) is getattr(matmul_ogs, name)


@pytest.mark.parametrize("move", NOT_SERVED, ids=own)
def test_a_name_that_is_not_served_says_why_and_what_to_do(move: moves.Move) -> None:
    with (
        pytest.warns(TritonKernelsDeprecationWarning, match="is gone"),
        pytest.raises(AttributeError) as error,
    ):
        getattr(facade, own(move))
    assert move.why in str(error.value)
    assert move.advice in str(error.value)


def test_importing_a_name_that_is_gone_fails_and_the_warning_says_what_to_do() -> None:
    # Python replaces the AttributeError of a module's __getattr__ with an ImportError of its own.
    with (
        pytest.warns(TritonKernelsDeprecationWarning, match="make_ragged_tensor_metadata"),
        pytest.raises(ImportError, match="_expt_data_compute"),
    ):
        from triton_kernels.routing import _expt_data_compute  # noqa: F401


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [("routng", "routing"), ("RoutingDatas", "RoutingData"), ("scatter_indx", "")],
)
def test_an_unknown_name_is_an_error_without_a_warning(unknown: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=unknown) as error:
        getattr(facade, unknown)
    assert (f"did you mean '{meant}'" in str(error.value)) is bool(meant)


def test_dunders_are_missing_at_once() -> None:
    with pytest.raises(AttributeError):
        facade.__path__  # noqa: B018
    assert not hasattr(facade, "__wrapped__")


def test_dir_and_all_list_every_served_name() -> None:
    names = sorted(own(move) for move in SERVED)
    assert sorted(facade.__all__) == names
    assert dir(facade) == names


def test_the_facade_holds_no_copy_of_any_name() -> None:
    with pytest.warns(TritonKernelsDeprecationWarning):
        _ = [getattr(facade, name) for name in facade.__all__]
    assert not set(facade.__all__) & set(vars(facade))


WHERE = [
    # (title, program, lines and codes of the warnings)
    (
        "from-import of several names",
        "from triton_kernels.routing import RoutingData, GatherIndx",
        [(1, "TKM003"), (1, "TKM001")],
    ),
    (
        "from-import in parentheses",
        """
        import sys
        from triton_kernels.routing import (
            RoutingData,
            GatherIndx,
        )
        """,
        [(2, "TKM003"), (2, "TKM001")],
    ),
    (
        "star import",
        "from triton_kernels.routing import *",
        [(1, move.code) for move in sorted(SERVED, key=own)],
    ),
    (
        "import in a function",
        """
        def lazily():
            from triton_kernels.routing import RoutingData
            return RoutingData

        lazily()
        """,
        [(2, "TKM003")],
    ),
    (
        "attribute of the module",
        """
        import triton_kernels.routing as r

        r.RoutingData
        """,
        [(3, "TKM003")],
    ),
    (
        "attribute of the package",
        """
        import triton_kernels

        triton_kernels.routing.RoutingData
        """,
        [(3, "TKM003")],
    ),
    (
        "getattr and hasattr",
        """
        from triton_kernels import routing

        getattr(routing, "RoutingData")
        hasattr(routing, "RoutingData")
        getattr(routing, "is_hip", None)
        """,
        [(3, "TKM003"), (4, "TKM003"), (5, "TKM021")],
    ),
    (
        "importlib",
        """
        import importlib

        importlib.import_module("triton_kernels.routing").RoutingData
        """,
        [(3, "TKM003")],
    ),
    (
        "pkgutil",
        """
        import pkgutil

        pkgutil.resolve_name("triton_kernels.routing:RoutingData")
        """,
        [(3, "TKM003")],
    ),
    (
        "pickle by the old path",
        """
        import pickle

        pickle.loads(b"ctriton_kernels.routing\\nRoutingData\\n.")
        """,
        [(3, "TKM003")],
    ),
    (
        "pickle written in Python",
        """
        import pickle

        pickle._loads(b"ctriton_kernels.routing\\nRoutingData\\n.")
        """,
        [(3, "TKM003")],
    ),
    (
        "torch.load of what was saved by the old path",
        """
        import io
        import torch
        from triton_kernels.matmul_ogs import GatherIndx

        file = io.BytesIO()
        torch.save(GatherIndx(1, 2), file, _use_new_zipfile_serialization=False)
        saved = file.getvalue().replace(b"triton_kernels.matmul_ogs", b"triton_kernels.routing")
        torch.load(io.BytesIO(saved), weights_only=False)
        """,
        [(8, "TKM001")],
    ),
    (
        "mock.patch as a decorator",
        """
        from unittest import mock

        @mock.patch("triton_kernels.routing.RoutingData")
        def test(patched):
            pass

        test()
        """,
        [(7, "TKM003")],
    ),
    (
        "inspect.getmembers",
        """
        import inspect
        import triton_kernels.routing as r

        inspect.getmembers(r)
        """,
        [(4, move.code) for move in sorted(SERVED, key=own)],
    ),
    (
        "generated method of a dataclass",
        """
        import dataclasses, functools
        import triton_kernels.routing as r

        @dataclasses.dataclass
        class Config:
            record: type = dataclasses.field(
                default_factory=functools.partial(getattr, r, "RoutingData")
            )

        Config()
        """,
        [(10, "TKM003")],
    ),
    (
        "each place of its own",
        """
        import triton_kernels.routing as r

        r.RoutingData
        r.RoutingData
        """,
        [(3, "TKM003"), (4, "TKM003")],
    ),
    (
        "a loop",
        """
        import triton_kernels.routing as r

        for _ in range(5):
            r.RoutingData
        """,
        [(4, "TKM003")],
    ),
]


@pytest.mark.parametrize("filters", ["always", "default"])
@pytest.mark.parametrize(
    ("source", "expected"), [row[1:] for row in WHERE], ids=[r[0] for r in WHERE]
)
def test_a_warning_points_at_the_line_of_the_program(
    source: str, expected: list[tuple[int, str]], filters: str
) -> None:
    assert run(source, filters) == [(PROGRAM, line, code) for line, code in expected]


def test_mock_patch_replaces_and_restores_the_old_name() -> None:
    places = run(
        """
        from unittest import mock
        import triton_kernels.routing as r

        with mock.patch("triton_kernels.routing.RoutingData") as patched:
            assert r.RoutingData is patched
        assert "RoutingData" not in vars(r)
        """
    )
    assert {(file, code) for file, _, code in places} == {(PROGRAM, "TKM003")}


def test_code_that_belongs_to_no_module_is_warned() -> None:
    with pytest.warns(TritonKernelsDeprecationWarning):
        exec("from triton_kernels.routing import RoutingData", {})


def test_the_filter_error_raises_at_the_access() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", TritonKernelsDeprecationWarning)
        for _ in range(2):
            with pytest.raises(TritonKernelsDeprecationWarning, match="TKM003"):
                facade.RoutingData  # noqa: B018


def test_the_filter_ignore_is_silent_and_does_not_hide_later_warnings() -> None:
    def access() -> object:
        return facade.RoutingData

    assert run("import triton_kernels.routing as r\nr.RoutingData", "ignore") == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        access()
    with pytest.warns(TritonKernelsDeprecationWarning):
        access()


def test_instances_pickle_through_both_paths() -> None:
    from triton_kernels.matmul_ogs import GatherIndx

    new = pickle.dumps(GatherIndx(1, 2), protocol=0)  # type: ignore[arg-type]
    assert b"triton_kernels.matmul_ogs" in new
    old = new.replace(b"triton_kernels.matmul_ogs", OLD.encode())
    with pytest.warns(TritonKernelsDeprecationWarning):
        loaded = pickle.loads(old)
    assert type(loaded) is GatherIndx
    assert (loaded.src_indx, loaded.dst_indx) == (1, 2)


def test_python_dash_c_sees_the_warning_at_its_own_line() -> None:
    # A name that is gone: the answer needs no torch, so the process is quick.
    program = 'import triton_kernels.routing as r\nhasattr(r, "_expt_data_compute")'
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0
    assert "<string>:2: TritonKernelsDeprecationWarning: " in result.stderr


@pytest.mark.parametrize(
    "program",
    [
        "import triton_kernels",
        "import triton_kernels; triton_kernels.routing; dir(triton_kernels)",
        "import triton_kernels.routing as r; dir(r); r.__all__; hasattr(r, 'unknown')",
        "import triton_kernels.deprecation, triton_kernels.moves",
    ],
)
def test_importing_the_facade_imports_neither_torch_nor_triton(program: str) -> None:
    program += "\nimport sys\nassert not {'torch', 'triton', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
