"""The pytest plugin lists what a run used of the old forms, and does nothing unless it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings the same module under this name
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
OPTION = "--triton-kernels-deprecations"

CONFTEST = "import triton_kernels.routing as r\n\nhasattr(r, '_expt_data_memset')\n"
TESTS = """\
import pytest
import triton_kernels.routing as r


def test_uses_a_name_three_times():
    for _ in range(3):
        hasattr(r, "_expt_data_compute")


def test_expects_the_warning():
    with pytest.warns(DeprecationWarning):
        hasattr(r, "_expt_data_compute")


@pytest.mark.filterwarnings("ignore")
def test_ignores_it():
    hasattr(r, "torch")
"""
# (code, place, uses) in a process that collects the folder once.
USES = [
    ("TKM019", "conftest.py", 3, 1),
    ("TKM020", "sub/test_old.py", 7, 3),
    ("TKM020", "sub/test_old.py", 12, 1),
    ("TKM024", "sub/test_old.py", 17, 1),
]


@pytest.fixture
def legacy_project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/test_old.py").write_text(TESTS)
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a pytest that has this plugin, xdist and no other."""
    plugins = ["-p", "triton_kernels.pytest_plugin", "-p", "xdist", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    environment["COLUMNS"] = "200"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout + result.stderr


def table(output: str) -> list[tuple[str, str, int, int]]:
    rows = []
    for line in output.partition("code    place")[2].splitlines()[1:]:
        if not line.strip():
            break
        code, place, uses, *advice = line.split()
        file, _, number = place.rpartition(":")
        assert advice
        rows.append((code, file, int(number), int(uses)))
    return rows


def test_the_table_names_code_place_count_replacement_and_command(legacy_project: Path) -> None:
    status, output = run(legacy_project, OPTION)
    assert status == 0
    assert table(output) == USES
    assert "Call triton_kernels.tensor.make_ragged_tensor_metadata." in output
    assert "To fix: python -m codemods.migrate conftest.py sub/test_old.py\n" in output
    assert "python -m codemods.migrate --explain CODE" in output


def test_under_xdist_the_counts_of_the_workers_are_added_up(legacy_project: Path) -> None:
    status, output = run(legacy_project, "-n", "2", OPTION)
    assert status == 0
    # The conftest is read by the controller and both workers.
    assert table(output) == [("TKM019", "conftest.py", 3, 3), *USES[1:]]


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_error_fails_a_run_that_uses_an_old_form(legacy_project: Path, workers: object) -> None:
    status, output = run(legacy_project, f"{OPTION}=error", *workers)  # type: ignore[misc]
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "3 passed" in output
    assert [row[0] for row in table(output)] == [row[0] for row in USES]


def test_error_passes_a_run_that_uses_none(tmp_path: Path) -> None:
    (tmp_path / "test_new.py").write_text("import triton_kernels\n\ndef test():\n    pass\n")
    status, output = run(tmp_path, f"{OPTION}=error")
    assert status == 0
    assert "No old form was used." in output


def test_json_is_written_beside_whatever_else_is_asked(legacy_project: Path) -> None:
    status, output = run(legacy_project, f"{OPTION}=json:uses.json", f"{OPTION}=error")
    assert status == pytest.ExitCode.TESTS_FAILED
    report = json.loads((legacy_project / "uses.json").read_text())
    assert report["command"] == "python -m codemods.migrate"
    assert report["lost_workers"] == 0
    got = [(use["code"], use["file"], use["line"], use["uses"]) for use in report["uses"]]
    assert got == USES == table(output)
    assert set(report["uses"][0]) == {"code", "file", "line", "uses", "old", "new", "advice"}


def test_json_alone_prints_no_table(legacy_project: Path) -> None:
    status, output = run(legacy_project, f"{OPTION}=json:uses.json")
    assert status == 0
    assert "deprecated uses" not in output
    assert json.loads((legacy_project / "uses.json").read_text())["uses"]


def test_many_files_are_named_by_their_folder(legacy_project: Path) -> None:
    for i in range(8):
        (legacy_project / f"sub/test_{i}.py").write_text(TESTS)
    _, output = run(legacy_project, OPTION)
    assert "To fix: python -m codemods.migrate .\n" in output


def test_files_are_named_from_where_the_run_was_started(legacy_project: Path) -> None:
    _, output = run(legacy_project / "sub", OPTION)
    assert "To fix: python -m codemods.migrate ../conftest.py test_old.py\n" in output


def test_files_of_others_are_listed_but_not_to_be_fixed(tmp_path: Path) -> None:
    (tmp_path / "installed").mkdir()
    (tmp_path / "project").mkdir()
    other = tmp_path / "installed/other.py"
    other.write_text(CONFTEST)
    (tmp_path / "project/pytest.ini").write_text("[pytest]\npythonpath = ../installed\n")
    (tmp_path / "project/test_it.py").write_text("import other\n\ndef test():\n    pass\n")
    _, output = run(tmp_path / "project", OPTION)
    ((code, file, *_),) = table(output)
    assert (code, Path(file).resolve()) == ("TKM019", other)
    assert "To fix" not in output
    assert f"Outside of {tmp_path / 'project'}: 1 of the files." in output


@pytest.mark.parametrize("value", ["sub", "json:", "fail"])
def test_a_value_that_means_nothing_is_refused_with_the_way_out(
    legacy_project: Path, value: str
) -> None:
    status, output = run(legacy_project, OPTION, value)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert f"expected error or json:FILE, got {value!r}" in output
    assert "a path to test goes before" in output


def test_without_the_option_nothing_is_said_counted_or_imported(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n\n"
        "def test():\n"
        "    heavy = {'torch', 'triton', 'triton_kernels.moves', 'triton_kernels.deprecation'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    status, output = run(tmp_path)
    assert (status, "deprecated uses" in output) == (0, False)


def test_with_the_option_neither_torch_nor_triton_is_imported(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\nimport triton_kernels.routing as r\n\n"
        "def test():\n"
        "    hasattr(r, '_expt_data_memset')\n"
        "    assert not {'torch', 'triton'} & set(sys.modules)\n"
    )
    status, output = run(tmp_path, OPTION)
    assert (status, len(table(output))) == (0, 1)


def test_an_installation_brings_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert list(project["entry-points"]["pytest11"].values()) == ["triton_kernels.pytest_plugin"]
