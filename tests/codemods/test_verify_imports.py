"""--verify-imports: each new import is tried, and a file with one that fails stays as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from trees import CODES, OLD, contents, migrate, plant

from codemods.findings import NOT_IMPORTABLE
from codemods.import_check import failures, new_imports
from codemods.run import RunOptions, run
from codemods.source import SourceResult

TK = "triton_kernels"
NOTEBOOK = """{"cells": [
    {"cell_type": "code", "source": ["from triton_kernels.x ", "import y"]},
    {"cell_type": "code", "source": ["%magic"]},
    {"cell_type": "markdown", "source": ["import triton_kernels.z"]}
]}"""


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ("", f"from {TK}.tensor import Tensor as T, BIT", {"tensor Tensor", "tensor BIT"}),
        ("", f"import {TK}.topk as t, os", {"topk "}),
        ("", f"try:\n    if x:\n        from {TK}.x import y\nexcept E: pass", {"x y"}),
        (f"from {TK}.x import y", f"from {TK}.x import y, z", {"x z"}),
        ("", f"from .{TK} import x\nfrom vllm.{TK} import y", set()),
        ("", f"from {TK}.x import *", set()),
        ("", NOTEBOOK, {"x y"}),
        ("", '{"cells": 3}', set()),
        ("", "def (", set()),
    ],
)
def test_new_imports_are_those_that_were_not_there_before(before, after, new):
    found = new_imports(before.encode(), after.encode())
    expected = {tuple(f"{TK}.{each}".split(" ")) for each in new}
    assert found == expected


def test_failures_say_why():
    asked = [
        ("triton_kernels.moves", ""),
        ("triton_kernels.moves", "BY_CODE"),
        ("triton_kernels", "moves"),  # a module as a name
        ("triton_kernels.moves", "NOPE"),
        ("triton_kernels.nope", "x"),
        ("triton_kernels.nope", ""),
    ]
    found = failures(asked)
    assert found.keys() == set(asked[3:])
    assert found["triton_kernels.nope", "x"].startswith("ModuleNotFoundError: No module named")
    assert failures([]) == {}


def rename(data, name, options):
    """OLD becomes an import that works, or where the file asks for it, one that does not."""
    module = b"no_such_module" if b"# bad" in data else b"matmul_ogs"
    return SourceResult(data.replace(b"triton_kernels.routing", b"triton_kernels." + module))


def go(root: Path, **options):
    return run([str(root)], RunOptions(codes=CODES, **options), transform=rename)


@pytest.mark.parametrize("write", [True, False])
def test_a_file_with_an_import_that_fails_keeps_its_bytes(tmp_path, write):
    plant(tmp_path, {"a.py": OLD, "b.py": OLD + "# bad\n"})
    outcome = go(tmp_path, verify_imports=True, write=write)
    assert [file.status for file in outcome.files] == ["rewritten", "failed"]
    (finding,) = outcome.files[1].findings
    assert finding.code == NOT_IMPORTABLE.code
    assert "triton_kernels.no_such_module.RoutingData (ModuleNotFoundError" in finding.message
    assert contents(tmp_path)["b.py"] == (OLD + "# bad\n").encode()


def test_nothing_is_tried_unless_asked_for(tmp_path):
    plant(tmp_path, {"b.py": OLD + "# bad\n"})
    assert go(tmp_path).files[0].status == "rewritten"


def test_the_code_to_be_migrated_does_not_run(tmp_path):
    """Neither the file itself, nor what lies in the current folder."""
    bomb = "raise SystemExit('ran')\n"
    plant(tmp_path, {"a.py": OLD + bomb, "torch.py": bomb, "json.py": bomb, "numpy.py": bomb})
    done = migrate(".", "--verify-imports", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert (tmp_path / "a.py").read_bytes() != (OLD + bomb).encode()


def test_a_module_that_ends_the_process_is_a_failure(tmp_path, monkeypatch):
    package = tmp_path / "lib/triton_kernels"
    plant(package, {"__init__.py": "", "ends.py": "import os; os._exit(3)", "fine.py": ""})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "lib"), *sys.path])
    said = "the process that tried it ended with 3"
    assert failures([("triton_kernels.ends", "")]) == {("triton_kernels.ends", ""): said}
    assert failures([("triton_kernels.fine", "")]) == {}


def test_output_of_a_module_disturbs_nothing(tmp_path, monkeypatch):
    package = tmp_path / "lib/triton_kernels"
    plant(package, {"__init__.py": "print('hello')", "x.py": "import sys; sys.stdout.write('{}')"})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "lib"), *sys.path])
    assert failures([("triton_kernels.x", ""), ("triton_kernels.y", "")]).keys() == {
        ("triton_kernels.y", "")
    }
