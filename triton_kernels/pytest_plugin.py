"""A pytest plugin: what a test run used of the old forms, and where, as a table at its end.

    pytest --triton-kernels-deprecations               # the table
    pytest --triton-kernels-deprecations=error         # the table, and the run fails on any use
    pytest --triton-kernels-deprecations=json:FILE     # written to FILE instead

The option can be given several times.  Without it the plugin does nothing.  Every use counts,
whatever the project's warning filters say and whether or not a test expects the warning; under
xdist the workers' counts are added up.  It imports neither torch nor triton.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from triton_kernels.deprecation import Use

_OPTION = "--triton-kernels-deprecations"
_FROM_WORKER = "triton_kernels_deprecations"
_TITLE = "deprecated uses of triton_kernels"
# With more files than this the command names their common folder.
_MOST_FILES = 6


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("triton_kernels").addoption(
        _OPTION,
        nargs="?",
        const="table",
        action="append",
        type=_mode,
        metavar="error|json:FILE",
        help="list every use of an old form of triton_kernels, with what replaces it; =error fails "
        "the run if there is one, =json:FILE writes the list to FILE",
    )


def _mode(text: str) -> str:
    if text in ("table", "error") or (text.startswith("json:") and text != "json:"):
        return text
    raise argparse.ArgumentTypeError(
        f"expected error or json:FILE, got {text!r}; a path to test goes before a bare {_OPTION}"
    )


# What costs time is imported only where the option is given, so that other runs pay nothing.


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before the first conftest is imported, since it may use old forms too."""
    if early_config.known_args_namespace.triton_kernels_deprecations:
        from triton_kernels.deprecation import record_uses

        record_uses()


def pytest_configure(config: pytest.Config) -> None:
    modes = config.getoption(_OPTION)
    if not modes:
        return
    from triton_kernels.deprecation import record_uses

    config.pluginmanager.register(_Report(config, modes, record_uses()), "triton_kernels_report")


class _Report:
    """Counts of one run: those of this process, and of the workers that xdist started."""

    def __init__(self, config: pytest.Config, modes: list[str], uses: Counter[Use]) -> None:
        self._config = config
        self._modes = modes
        self._uses = uses
        self._lost_workers = 0

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        worker_output = getattr(self._config, "workeroutput", None)
        if worker_output is not None:
            worker_output[_FROM_WORKER] = [[*use, count] for use, count in self._uses.items()]
            return
        for mode in self._modes:
            if mode.startswith("json:"):
                self._write(self._config.invocation_params.dir / mode.removeprefix("json:"))
        if "error" in self._modes and self._uses and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist has ended."""
        from triton_kernels.deprecation import Use

        counted = getattr(node, "workeroutput", {}).get(_FROM_WORKER)
        if counted is None:
            self._lost_workers += 1
        for code, file, line, count in counted or ():
            self._uses[Use(code, file, line)] += count

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if {"table", "error"}.isdisjoint(self._modes):
            return
        terminalreporter.section(_TITLE)
        for line in self._lines():
            terminalreporter.write_line(line)

    def _lines(self) -> list[str]:
        lines = []
        if self._lost_workers:
            lines.append(f"Workers that ended early, uncounted: {self._lost_workers}.")
        if not self._uses:
            return [*lines, "No old form was used."]
        rows = [("code", "place", "uses", "instead")]
        rows += [
            (row["code"], f"{row['file']}:{row['line']}", str(row["uses"]), row["advice"])
            for row in self._rows()
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines += [
            f"{code:{widths[0]}}  {place:{widths[1]}}  {uses:>{widths[2]}}  {instead}"
            for code, place, uses, instead in rows
        ]
        return [*lines, "", *self._remedy()]

    def _remedy(self) -> list[str]:
        """The command that rewrites what can be rewritten, for the files that it may touch."""
        from triton_kernels import moves

        inside = sorted({use.file for use in self._uses if self._is_inside(use.file)})
        paths = inside if len(inside) <= _MOST_FILES else [os.path.commonpath(inside)]
        lines = []
        if paths:
            named = shlex.join(map(self._as_typed, paths))
            lines.append(f"To fix: {moves.MIGRATE_COMMAND} {named}")
        n_outside = len({use.file for use in self._uses} - set(inside))
        if n_outside:
            lines.append(f"Outside of {self._config.rootpath}: {n_outside} of the files.")
        lines.append(f"More: {moves.MIGRATE_COMMAND} --explain CODE")
        return lines

    def _rows(self) -> list[dict[str, Any]]:
        """The uses by code and place, with what the table of moves says of them."""
        from triton_kernels import moves

        return [
            {
                "code": use.code,
                "file": self._as_typed(use.file) if self._is_inside(use.file) else use.file,
                "line": use.line,
                "uses": count,
                "old": moves.BY_CODE[use.code].old_text,
                "new": moves.BY_CODE[use.code].new,
                "advice": moves.BY_CODE[use.code].advice,
            }
            for use, count in sorted(self._uses.items())
        ]

    def _is_inside(self, file: str) -> bool:
        """Whether it is a file of the project, not of an installed package or of no file."""
        path = Path(file).resolve()
        return path.is_file() and path.is_relative_to(self._config.rootpath.resolve())

    def _as_typed(self, file: str) -> str:
        """The path as a person writes it in the folder where the run was started."""
        return os.path.relpath(file, self._config.invocation_params.dir)

    def _write(self, path: Path) -> None:
        from triton_kernels import moves

        report = {
            "command": moves.MIGRATE_COMMAND,
            "lost_workers": self._lost_workers,
            "uses": self._rows(),
        }
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
