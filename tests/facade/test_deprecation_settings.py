"""`TRITON_KERNELS_DEPRECATIONS` stands above the filters; doctest and pytest point right."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

import triton_kernels.routing as facade
from triton_kernels import TritonKernelsDeprecationWarning, deprecation
from triton_kernels.matmul_ogs import RoutingData

# Two places, the first reached three times, in a module of their own: under Python's own filters
# a DeprecationWarning is not shown outside `__main__`.
PROGRAM = """
source = '''
import triton_kernels.routing as r
for _ in range(3):
    hasattr(r, "_expt_data_compute")
hasattr(r, "_expt_data_compute")
hasattr(r, "_expt_data_memset")
'''
exec(compile(source, "downstream.py", "exec"), {"__name__": "downstream"})
"""


def places(setting: str | None, *flags: str) -> list[tuple[int, str]]:
    """(line, code) of each warning that the program prints."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHONWARNINGS")}
    environment.pop(deprecation.ENVIRONMENT, None)
    if setting is not None:
        environment[deprecation.ENVIRONMENT] = setting
    result = subprocess.run(
        [sys.executable, *flags, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for text in result.stderr.splitlines():
        if text.startswith("downstream.py:"):
            found.append((int(text.split(":")[1]), text.partition("(")[2][:6]))
    return found


@pytest.mark.parametrize(
    ("setting", "flags", "expected"),
    [
        (None, (), []),
        ("", (), []),
        (None, ("-W", "always"), [(4, "TKM020"), (5, "TKM020"), (6, "TKM019")]),
        ("once", (), [(4, "TKM020"), (6, "TKM019")]),
        ("once", ("-W", "ignore"), [(4, "TKM020"), (6, "TKM019")]),
        ("always", (), [*[(4, "TKM020")] * 3, (5, "TKM020"), (6, "TKM019")]),
        ("ignore", ("-W", "always"), []),
        ("ignore", ("-W", "error"), []),
    ],
)
def test_the_setting_decides_what_is_shown(
    setting: str | None, flags: tuple[str, ...], expected: list[tuple[int, str]]
) -> None:
    assert places(setting, *flags) == expected


def test_error_raises_at_each_use_whatever_the_filters_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(deprecation.ENVIRONMENT, "error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            with pytest.raises(TritonKernelsDeprecationWarning, match="TKM003") as raised:
                facade.RoutingData  # noqa: B018
            assert raised.value.code == "TKM003"


@pytest.mark.parametrize("setting", ["eror", "1", "ERROR", "ignore,once"])
def test_a_setting_that_means_nothing_is_an_error_that_names_what_does(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv(deprecation.ENVIRONMENT, setting)
    with pytest.raises(ValueError, match="TRITON_KERNELS_DEPRECATIONS") as error:
        facade.RoutingData  # noqa: B018
    assert str(error.value) == (
        f"TRITON_KERNELS_DEPRECATIONS: expected error, once, always or ignore, got {setting!r}"
    )


def test_always_is_seen_by_whoever_records_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(deprecation.ENVIRONMENT, "always")
    with warnings.catch_warnings(record=True) as seen:
        for _ in range(2):
            assert facade.RoutingData is RoutingData
    assert [(w.filename, w.message.code) for w in seen] == [(__file__, "TKM003")] * 2


def test_recorded_uses_count_each_time_whatever_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecation, "_uses", None)
    monkeypatch.setenv(deprecation.ENVIRONMENT, "ignore")
    uses = deprecation.record_uses()
    assert deprecation.record_uses() is uses
    for _ in range(3):
        facade.RoutingData  # noqa: B018
    ((use, count),) = uses.items()
    assert (use.code, use.file, count) == ("TKM003", __file__, 3)


def run_pytest(folder: os.PathLike[str], *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment["PYTHONPATH"] = os.getcwd()
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return result.stdout


def test_under_pytest_and_doctest_a_warning_points_at_the_line_of_the_test(tmp_path) -> None:
    (tmp_path / "documented.py").write_text(
        '"""\n'
        ">>> import triton_kernels.routing as r\n"
        '>>> hasattr(r, "_expt_data_memset")\n'
        "False\n"
        '"""\n'
    )
    (tmp_path / "test_it.py").write_text(
        'import triton_kernels.routing as r\n\ndef test():\n    hasattr(r, "_expt_data_compute")\n'
    )
    output = run_pytest(tmp_path, "--doctest-modules")
    assert "2 passed" in output
    assert "test_it.py:4: TritonKernelsDeprecationWarning:" in output
    assert "<doctest documented[1]>:1: TritonKernelsDeprecationWarning:" in output


@pytest.mark.parametrize("how", ["runpy", "file"])
def test_a_script_is_pointed_at_however_it_is_run(tmp_path, how: str) -> None:
    script = tmp_path / "script.py"
    script.write_text('import triton_kernels.routing as r\nhasattr(r, "_expt_data_compute")\n')
    start = [str(script)]
    if how == "runpy":
        start = ["-c", f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"]
    result = subprocess.run(
        [sys.executable, *start],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{script}:2: TritonKernelsDeprecationWarning: " in result.stderr
