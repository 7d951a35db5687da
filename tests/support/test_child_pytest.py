"""A folder's tests run in a child that has the environment they need, and nothing gets lost."""

from __future__ import annotations

import importlib.util

import pytest

from tests.support.child_pytest import ROOT

pytest_plugins = ["pytester"]

CONFTEST = """
from pathlib import Path
from tests.support import child_pytest

pytest_pycollect_makemodule, pytest_runtest_protocol = child_pytest.hooks(
    Path(__file__).parent, {"NEEDED": "1"}
)
"""

OUTCOMES = """
import os
import pytest

def test_environment():
    assert os.environ["NEEDED"] == "1"

@pytest.mark.parametrize("n", [1, 2])
def test_parameters(n):
    print("printed by", n)
    assert n == 1, "only one"

def test_skipped():
    pytest.skip("for a reason")

@pytest.mark.xfail(reason="known")
def test_known():
    assert False

@pytest.fixture
def breaks_afterwards():
    yield
    raise ValueError("torn")

def test_teardown(breaks_afterwards):
    pass
"""


@pytest.fixture
def folder(pytester, monkeypatch):
    """A project with a folder `needy` whose tests need NEEDED=1."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("NEEDED", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a second less for every run
    pytester.makeini("[pytest]\nmarkers = slow: takes long\n")
    folder = pytester.mkdir("needy")
    (folder / "conftest.py").write_text(CONFTEST)
    return folder


def run(pytester, *arguments: str):
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rA", *arguments)


def xdist() -> list[list[str]]:
    return [["-p", "xdist", "-n", "2"]] if importlib.util.find_spec("xdist") else []


@pytest.mark.parametrize("arguments", [[], *xdist()], ids=" ".join)
def test_every_outcome_is_reported_under_the_name_of_its_test(pytester, folder, arguments):
    (folder / "test_outcomes.py").write_text(OUTCOMES)
    pytester.makepyfile(test_beside="import os\ndef test_not(): assert 'NEEDED' not in os.environ")
    result = run(pytester, *arguments)
    result.assert_outcomes(passed=4, failed=1, skipped=1, xfailed=1, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines_random(
        [
            "PASSED needy/test_outcomes.py::test_environment",
            "FAILED needy/test_outcomes.py::test_parameters[[]2[]] - AssertionError: only one*",
            "printed by 2",
            "SKIPPED * needy/test_outcomes.py:*: for a reason",
            "XFAIL needy/test_outcomes.py::test_known - known",
            "ERROR needy/test_outcomes.py::test_teardown - ValueError: torn",
        ]
    )


@pytest.mark.parametrize(
    ("selection", "passed"),
    [
        (["needy/test_selected.py::test_one"], 1),
        (["needy/test_selected.py::test_many"], 3),
        (["needy/test_selected.py::test_many[2]"], 1),
        (["-k", "many and not 2"], 2),
        (["-m", "slow"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_single_tests_can_be_selected(pytester, folder, selection, passed):
    (folder / "test_selected.py").write_text(
        "import pytest\n"
        "def test_one(): pass\n"
        "@pytest.mark.slow\n@pytest.mark.parametrize('n', [1, 2, 3])\n"
        "def test_many(n): pass\n"
    )
    result = run(pytester, *selection)
    assert result.parseoutcomes()["passed"] == passed
    assert result.ret == 0


def test_where_the_environment_is_there_no_child_is_needed(pytester, folder, monkeypatch):
    (folder / "test_here.py").write_text(
        "from tests.support.child_pytest import ChildItem\n"
        "def test_here(request):\n"
        "    assert not request.config.pluginmanager.hasplugin('tests.support.child_pytest_worker')"
    )
    run(pytester).assert_outcomes(failed=1)
    monkeypatch.setenv("NEEDED", "1")
    run(pytester).assert_outcomes(passed=1)


def test_fixtures_of_a_module_are_shared_by_its_tests(pytester, folder):
    (folder / "test_shared.py").write_text(
        "import pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def counter():\n    print('set up')\n    yield []\n    print('torn down')\n"
        "def test_first(counter): counter.append(1)\n"
        "def test_second(counter): assert counter == [1]\n"
    )
    run(pytester).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os._exit(7)", "*ended (exit status 7)*"),
        ("ctypes.string_at(0)", "*ended (exit status -11)*"),
        ("time.sleep(60)", "*said nothing for 5 s (exit status -9)*"),
    ],
    ids=["exit", "crash", "hang"],
)
def test_a_child_that_ends_or_hangs_fails_the_test_that_ran_and_no_other(
    pytester, folder, end, said
):
    (folder / "conftest.py").write_text(CONFTEST + "child_pytest.TEST_LIMIT_S = 5\n")
    (folder / "test_ending.py").write_text(
        f"import ctypes, os, time\ndef test_before(): pass\ndef test_end(): {end}\n"
        "def test_after(): pass\n"
    )
    result = run(pytester)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["_* test_end _*", said])


def test_a_child_that_cannot_start_is_an_error(pytester, folder):
    (folder / "test_fine.py").write_text("def test_fine(): pass\n")
    conftest = CONFTEST + "import os\nif 'NEEDED' in os.environ: raise RuntimeError('no way')\n"
    (folder / "conftest.py").write_text(conftest)
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*RuntimeError: no way*"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NOTHING = 0", "*found no test in needy/test_odd.py"),
        ("import nowhere", "*No module named 'nowhere'*"),
    ],
)
def test_a_file_without_tests_is_an_error_and_not_silence(pytester, folder, text, said):
    (folder / "test_fine.py").write_text("def test_fine(): pass\n")
    (folder / "test_odd.py").write_text(text)
    result = run(pytester, "--continue-on-collection-errors")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([said])


def test_a_file_that_skips_itself_is_seen_to(pytester, folder):
    (folder / "test_odd.py").write_text(
        "import pytest\npytest.skip('not today', allow_module_level=True)\n"
    )
    result = run(pytester)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED *: not today"])
