"""Tests of a folder run in a child pytest, because they need another environment from the start.

Triton reads TRITON_INTERPRET when it is imported, so a process either interprets kernels or
compiles them.  A folder says in its conftest what it needs:

    pytest_pycollect_makemodule, pytest_runtest_protocol = hooks(
        Path(__file__).parent, {"TRITON_INTERPRET": "1"}
    )

Where the environment already holds that, pytest goes on as always.  Elsewhere the folder's tests
are collected by a child that has it, appear here one by one under their own names (so selection,
markers, `-x` and xdist work on them), and run in the child, which sends their reports back.  A
pytest process has one child for the folder, from the first file that it collects there; with xdist,
each worker has one.

A child that ends, hangs or does not know a test fails that test, and a file in which it finds no
test is an error.  Warnings, the output of passing tests and `--pdb` stay in the child: to see
them, run the folder alone with the environment set.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PIPE_VARIABLE = "TESTS_CHILD_PYTEST_PIPE"
"""Names the file descriptor by which a child talks to the process that started it."""

ROOT = Path(__file__).parents[2]

# A test takes seconds; a kernel that waits for a later program of its grid takes forever.
TEST_LIMIT_S = 300.0

# After the last order, a child only tears its session down.
EXIT_LIMIT_S = 20.0

Environment = Mapping[str, "str | None"]
"""Variables and what they must be; None: not set."""


class FoundTest(NamedTuple):
    """A test that the child collected."""

    nodeid: str
    lineno: int | None
    markers: tuple[str, ...]


class FailedFile(NamedTuple):
    """A file that the child could not collect, or that skips itself."""

    nodeid: str
    skipped: bool
    reason: str


class Collected(NamedTuple):
    """Child to parent, once: what is in the folder."""

    tests: list[FoundTest]
    failed: list[FailedFile]


class Run(NamedTuple):
    """Parent to child: run a test; `following` is next, so fixtures that it shares stay."""

    nodeid: str
    following: str | None


class Report(NamedTuple):
    """Child to parent: a report of the test that is running, serialised by pytest."""

    data: dict[str, Any]


class Done(NamedTuple):
    """Child to parent: the test that was asked for has run, if it is known."""


class ChildFailure(Exception):
    """The child did not answer as it must; the text says how it ended."""


class ChildPytest:
    """A pytest in an environment of its own that has collected `folder` and waits for orders."""

    def __init__(self, config: pytest.Config, folder: Path, environment: Environment) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115, lives as long as the child
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                _command(config, folder),
                cwd=config.rootpath,
                env=_variables(environment) | {PIPE_VARIABLE: str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )
        collected = self._receive()
        assert isinstance(collected, Collected)
        self.collected = collected

    @property
    def alive(self) -> bool:
        return not self._pipe.closed and self._process.poll() is None

    def run(self, nodeid: str, following: str | None) -> Iterator[dict[str, Any]]:
        """Run a test and yield its reports, serialised by pytest."""
        try:
            self._pipe.send(Run(nodeid, following))
        except OSError:
            raise self._failure("ended before the test") from None
        while not isinstance(message := self._receive(), Done):
            assert isinstance(message, Report)
            yield message.data

    def close(self) -> None:
        """Let the child end its session; kill it if it does not."""
        self._end(EXIT_LIMIT_S)
        self._output.close()

    def _receive(self) -> Collected | Report | Done:
        try:
            if not self._pipe.poll(TEST_LIMIT_S):
                raise self._failure(f"said nothing for {TEST_LIMIT_S:g} s", patience_s=0)
            message: Collected | Report | Done = self._pipe.recv()
        except (EOFError, OSError):
            raise self._failure("ended") from None
        return message

    def _failure(self, event: str, patience_s: float = EXIT_LIMIT_S) -> ChildFailure:
        status = self._end(patience_s)
        self._output.seek(0)
        tail = self._output.read().decode(errors="replace")[-8000:]
        return ChildFailure(f"The child pytest {event} (exit status {status}). It printed:\n{tail}")

    def _end(self, patience_s: float) -> int:
        self._pipe.close()  # to the child, that there are no more orders
        try:
            return self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _command(config: pytest.Config, folder: Path) -> list[str]:
    """The child's command line: reports look as they do here, everything is collected."""
    option = config.option
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.child_pytest_worker"]
    command += ["-p", "no:cacheprovider", "--continue-on-collection-errors"]
    command += [f"--rootdir={config.rootpath}", f"--tb={option.tbstyle}"]
    command += ["-v"] * max(0, option.verbose) + ["--showlocals"] * option.showlocals
    if config.inipath is not None:
        command += ["-c", str(config.inipath)]
    for warning in option.pythonwarnings or ():
        command += ["-W", warning]
    return [*command, str(folder)]


def _variables(environment: Environment) -> dict[str, str]:
    """Our variables changed to `environment`, less what was meant for this pytest alone."""
    variables = dict(os.environ)
    for name in os.environ:
        if name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST") or name.startswith("PYTEST_XDIST_"):
            del variables[name]
    for name, value in environment.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    paths = [str(ROOT), variables.get("PYTHONPATH", "")]
    return variables | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


class ChildFolder:
    """A folder whose tests need an environment, and the child that runs them."""

    def __init__(self, folder: Path, environment: Environment) -> None:
        self._folder = folder
        self._environment = environment
        self._child: ChildPytest | None = None
        self._broken: ChildFailure | None = None

    def child(self, config: pytest.Config) -> ChildPytest:
        """The child, started anew if the last one ended; one that cannot start is not retried."""
        if self._broken is not None:
            raise self._broken
        if self._child is None:
            config.add_cleanup(self._close)
        if self._child is None or not self._child.alive:
            self._close()
            try:
                self._child = ChildPytest(config, self._folder, self._environment)
            except ChildFailure as failure:
                self._broken = failure
                raise
        return self._child

    def _close(self) -> None:
        if self._child is not None:
            self._child.close()


class ChildFile(pytest.File):
    """A file of tests that the child collected."""

    folder: ChildFolder

    def collect(self) -> Iterable[ChildItem]:
        try:
            tests, failed_files = self.folder.child(self.config).collected
        except ChildFailure as failure:
            raise self.CollectError(str(failure)) from None
        for failed in failed_files:
            if failed.nodeid == self.nodeid and failed.skipped:
                pytest.skip(failed.reason, allow_module_level=True)
            elif failed.nodeid == self.nodeid:
                raise self.CollectError(failed.reason)
        prefix = f"{self.nodeid}::"
        ours = [test for test in tests if test.nodeid.startswith(prefix)]
        if not ours:
            raise self.CollectError(f"the child pytest found no test in {self.nodeid}")
        return [
            ChildItem.from_parent(self, name=test.nodeid.removeprefix(prefix), test=test)
            for test in ours
        ]


class ChildItem(pytest.Item):
    """A test of the child, under its own name; that of a class's test is `Class::test`."""

    parent: ChildFile

    def __init__(self, *, test: FoundTest, **rest: Any) -> None:
        super().__init__(**rest)
        self._lineno = test.lineno
        for marker in test.markers:
            self.add_marker(marker)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, self._lineno, self.name

    def runtest(self) -> None:
        raise AssertionError("it runs in the child, see pytest_runtest_protocol")

    def reports(self, nextitem: pytest.Item | None) -> Iterator[pytest.TestReport]:
        """Run the test in the child; what keeps the child from reporting becomes a report."""
        folder, following = self.parent.folder, None
        if isinstance(nextitem, ChildItem) and nextitem.parent.folder is folder:
            following = nextitem.nodeid
        serialized = None
        try:
            for serialized in folder.child(self.config).run(self.nodeid, following):
                yield self.config.hook.pytest_report_from_serializable(
                    config=self.config, data=serialized
                )
        except ChildFailure as failure:
            yield self._failed(str(failure))
        else:
            if serialized is None:
                yield self._failed("The child pytest does not know this test.")

    def _failed(self, text: str) -> pytest.TestReport:
        return pytest.TestReport(
            self.nodeid, self.location, {self.name: 1}, "failed", longrepr=text, when="call"
        )


def hooks(folder: Path, environment: Environment) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`pytest_pycollect_makemodule` and `pytest_runtest_protocol` for the conftest of `folder`."""
    here = all(os.environ.get(name) == value for name, value in environment.items())
    child_folder = ChildFolder(folder, environment)

    def make_module(module_path: Path, parent: pytest.Collector) -> pytest.File | None:
        if here:
            return None
        file: ChildFile = ChildFile.from_parent(parent, path=module_path)
        file.folder = child_folder
        return file

    return make_module, _run_in_child


@pytest.hookimpl(tryfirst=True)
def _run_in_child(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test of a child there; leave every other test to pytest."""
    if not isinstance(item, ChildItem):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in item.reports(nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
