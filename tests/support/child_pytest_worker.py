"""The plugin of a child pytest: collects, says what there is, then runs what it is asked to."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

import pytest

from tests.support.child_pytest import (
    PIPE_VARIABLE,
    Collected,
    Done,
    FailedFile,
    FoundTest,
    Report,
    Run,
)


class Worker:
    """Answers the parent until that closes its end of the pipe."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        # Taken out of the environment: what a test starts is no child of the parent's.
        self._pipe = Connection(int(os.environ.pop(PIPE_VARIABLE)))
        self._failed: list[FailedFile] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            assert isinstance(report.longrepr, tuple)
            reason = report.longrepr[2].removeprefix("Skipped: ")
            self._failed.append(FailedFile(report.nodeid, True, reason))
        elif report.failed:
            self._failed.append(FailedFile(report.nodeid, False, report.longreprtext))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self._pipe.send(Collected([_found(item) for item in session.items], self._failed))
        while True:
            try:
                order = self._pipe.recv()
            except EOFError:
                return True
            assert isinstance(order, Run)
            if order.nodeid in items:
                item, following = items[order.nodeid], items.get(order.following or "")
                self._config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._pipe.send(Done())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self._config.hook
        data = hook.pytest_report_to_serializable(config=self._config, report=report)
        self._pipe.send(Report(data))


def _found(item: pytest.Item) -> FoundTest:
    _, lineno, _ = item.location
    return FoundTest(item.nodeid, lineno, tuple(mark.name for mark in item.iter_markers()))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Worker(config))
