"""What the assertions for results of kernels let through, and what they do not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
import torch

from triton_kernels.testing import (
    ComputeSanitizerTool,
    assert_close,
    assert_equal,
    compute_actual_scale,
    compute_sanitizer,
)

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
INF, NAN = float("inf"), float("nan")


def refused(ref, tri, match, **keywords):
    with pytest.raises(AssertionError, match=match):
        assert_close(ref, tri, verbose=False, **keywords)


@pytest.mark.parametrize(
    ("ref", "tri", "equal"),
    [
        (3, 3, True),
        ("a", "b", False),
        (torch.arange(4), torch.arange(4), True),
        (torch.arange(4), torch.tensor([0, 1, 2, 4]), False),
        (torch.zeros(2, 3), torch.zeros(1), True),
        (torch.tensor([NAN]), torch.tensor([NAN]), False),
    ],
)
def test_equal_is_equal_in_every_element(ref, tri, equal):
    if equal:
        assert_equal(ref, tri)
    else:
        with pytest.raises(AssertionError):
            assert_equal(ref, tri)


@pytest.mark.parametrize("magnitude", [1e-35, 1.0, 1e35])
def test_errors_are_relative_to_the_element_or_the_mean_square_of_all(magnitude):
    # rms is sqrt((16 + 0) / 2): the error of the zero is relative to that, of the 4 to 4.
    ref = torch.tensor([4.0, 0.0]) * magnitude
    for place, unit in ((0, 4.0), (1, 8**0.5)):
        off = torch.zeros(2)
        off[place] = 0.05 * unit * magnitude
        assert_close(ref, ref + off, maxtol=0.0501, rmstol=1, verbose=False)
        refused(ref, ref + off, "1 of 2 relative errors above", maxtol=0.0499, rmstol=1)


def test_all_errors_together_are_limited_too():
    ref = torch.ones(100)
    assert_close(ref, ref * 1.01, maxtol=0.02, rmstol=0.0101, verbose=False)
    refused(ref, ref * 1.01, "RMS relative error .* above 0.0099", maxtol=0.02, rmstol=0.0099)


def test_the_usual_limits_are_two_percent_and_four_per_mille():
    ref = torch.ones(1000)
    one_off = ref.clone()
    one_off[5] += 0.0199
    assert_close(ref, one_off, verbose=False)
    one_off[5] = 1.0201
    refused(ref, one_off, r"at \[5\]: expected 1.0, got 1.02")
    assert_close(ref, ref * 1.0039, verbose=False)
    refused(ref, ref * 1.0041, "above 0.004")


@pytest.mark.parametrize(
    ("ref", "tri"),
    [
        ([1.0, INF], [1.0, 2.0]),
        ([1.0, 2.0], [1.0, INF]),
        ([1.0, INF], [1.0, -INF]),
        ([1.0, 2.0], [1.0, NAN]),
        ([1.0, NAN], [1.0, 2.0]),
        ([1.0, NAN], [1.0, NAN]),
        ([0.0, 0.0], [0.0, 1e-20]),
    ],
)
def test_what_is_close_to_nothing(ref, tri):
    refused(torch.tensor(ref), torch.tensor(tri), "--: ")


def test_infinities_in_the_same_places_are_no_error():
    ref = torch.tensor([INF, 1.0, -INF])
    assert_close(ref, torch.tensor([INF, 1.001, -INF]), verbose=False)
    refused(ref, torch.tensor([INF, 1.1, -INF]), "1 of 3 relative errors")


def test_nothing_is_close_to_nothing_and_zero_to_zero():
    assert_close(torch.zeros(0, 3), torch.zeros(0, 3), verbose=False)
    assert_close(torch.zeros(3), torch.zeros(3), verbose=False)


def test_shapes_must_agree():
    refused(torch.zeros(2, 1), torch.zeros(2), r"expected shape \[2, 1\], got \[2\]")
    refused(torch.zeros(2).to(E4M3), torch.zeros(1).to(E4M3), "expected shape")


@pytest.mark.parametrize("dtype", [E4M3, E5M2])
def test_a_reference_is_rounded_as_a_result_of_one_byte_is(dtype):
    ref = torch.randn(100)
    assert_close(ref, ref.to(dtype), maxtol=0, rmstol=0, verbose=False)
    other = ref.to(dtype).view(torch.uint8)
    other[3] ^= 1
    other = other.view(dtype)
    assert_close(ref.to(dtype).float(), other, maxtol=1, rmstol=1, verbose=False)
    refused(ref.to(dtype), other, "1 of 100 elements differ", maxtol=1, rmstol=1)


def test_both_errors_are_printed_if_wanted(capsys):
    assert_close(torch.ones(2), torch.ones(2), description="y", verbose=False)
    assert capsys.readouterr().out == ""
    assert_close(torch.ones(2), torch.ones(2), description="y")
    assert [line[:3] for line in capsys.readouterr().out.splitlines()] == ["y: ", "y: "]


@pytest.mark.parametrize(
    ("dtype", "largest"), [(E5M2, 57344), (E4M3, 448), (torch.float8_e4m3fnuz, 240)]
)
def test_the_scale_brings_the_largest_magnitude_to_the_largest_value(dtype, largest):
    x = torch.tensor([[1.0, -896.0], [3.0, 2.0]])
    assert compute_actual_scale(x, dtype).item() == pytest.approx(896 / largest)
    by_batch = compute_actual_scale(x[:, :, None].expand(2, 2, 5), dtype, per_batch_scale=True)
    assert by_batch.tolist() == pytest.approx([896 / largest, 3 / largest])


def test_a_scale_is_of_fp8():
    with pytest.raises(KeyError):
        compute_actual_scale(torch.ones(1), torch.bfloat16)


# compute-sanitizer, by a program that stands in for it: it notes what it is given, may run it, and
# ends as the tools do.

STAND_IN = """\
#!{python}
import os, subprocess, sys
command = sys.argv[next(i for i, word in enumerate(sys.argv) if word == sys.executable):]
tool = next(word for word in sys.argv if word.startswith("--tool="))
name = command[-1].rpartition("/")[2]
with open(os.environ["CALLS"], "a") as calls:
    print(tool, name, os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"], file=calls)
code = subprocess.run(command).returncode if "RUNS" in os.environ else int(os.environ["CODE"])
racecheck, others = "RACECHECK SUMMARY: {{}} hazards displayed", "ERROR SUMMARY: {{}} errors"
print((racecheck if "racecheck" in tool else others).format(os.environ["FOUND"]))
sys.exit(code)
"""

TOOLS = [ComputeSanitizerTool.MEMCHECK, ComputeSanitizerTool.RACECHECK]

TESTS = """
    import os
    import pytest
    from triton_kernels.testing import ComputeSanitizerTool, compute_sanitizer

    @pytest.fixture
    def request_fixture(request):
        return request

    @pytest.mark.parametrize("n", [1, 2])
    @compute_sanitizer(n=2)
    def test_something(n, request_fixture):
        with open(os.environ["CALLS"], "a") as calls:
            print("ran", n, file=calls)
        assert n == 1, "too many"
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Where the stand-in notes its calls; it finds nothing unless it is told to."""
    program = tmp_path / "bin" / "compute-sanitizer"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("SKIP_COMPUTE_SANITIZER", raising=False)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FOUND", "0")
    monkeypatch.setenv("CODE", "0")
    return tmp_path / "calls"


@pytest.fixture
def sanitized(request):
    """A test that notes its argument, run in this process."""
    ran = []
    node = SimpleNamespace(
        nodeid="tests/test_it.py::test_it[2]", path="/x/test_it.py", config=request.config
    )

    def run(n, *options, **keywords):
        ran.clear()
        test = compute_sanitizer(n=2, **keywords)(lambda n, **_: ran.append(n))
        test(n=n, **dict(options or [("request_fixture", SimpleNamespace(node=node))]))
        return ran

    return run


def test_a_test_runs_under_each_tool_and_not_in_this_process(calls, sanitized):
    assert sanitized(2, tools_to_check=TOOLS) == []
    assert calls.read_text().splitlines() == [
        "--tool=memcheck test_it.py::test_it[2] 1",
        "--tool=racecheck test_it.py::test_it[2] 1",
    ]


def test_other_parameters_than_those_named_run_as_they_are(calls, sanitized):
    assert sanitized(1) == [1]
    assert not calls.exists()


def test_an_error_that_a_tool_finds_is_shown(calls, sanitized, monkeypatch):
    monkeypatch.setenv("FOUND", "3")
    with pytest.raises(AssertionError, match=r"memcheck found errors in .*\n.*SUMMARY: 3 errors"):
        sanitized(2)
    with pytest.raises(AssertionError, match="racecheck found errors"):
        sanitized(2, tools_to_check=TOOLS[1:])


def test_a_test_that_fails_under_a_tool_without_errors_fails(calls, sanitized, monkeypatch):
    monkeypatch.setenv("CODE", "1")
    with pytest.raises(AssertionError, match=r"test_it\[2\] failed under memcheck"):
        sanitized(2)


def test_tools_can_be_left_out(calls, sanitized, monkeypatch):
    monkeypatch.setenv("SKIP_COMPUTE_SANITIZER", "1")
    assert sanitized(2) == [2]
    assert not calls.exists()


def test_the_test_must_say_which_case_it_is(calls, sanitized):
    with pytest.raises(TypeError, match="expected a test that takes request_fixture"):
        sanitized(2, ("other", None))


def test_the_case_that_runs_under_the_tool_is_the_one_that_was_to_run(calls, tmp_path):
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    env = {**os.environ, "RUNS": "1", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    called = calls.read_text().splitlines()
    assert called == ["ran 1", "--tool=memcheck test_it.py::test_something[2] 1", "ran 2"]
    assert "1 failed, 1 passed" in done.stdout and "AssertionError: too many" in done.stdout


def test_tools_are_called_what_the_program_calls_them():
    names = {tool.name: tool.value for tool in ComputeSanitizerTool}
    assert names == {name: name.lower() for name in names}
    assert set(names) == {"MEMCHECK", "RACECHECK", "SYNCCHECK", "INITCHECK"}
