"""The report as GitHub shows it beside the code: one annotation a place."""

from __future__ import annotations

from collections.abc import Iterator

from codemods.findings import Finding, Severity
from codemods.outcomes import FileOutcome, RunOutcome
from codemods.reports.lines import printable

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning"}


def render(outcome: RunOutcome) -> str:
    """A workflow command for each place that is left for a person, in the order of the files.

    What follows needs a run on the folders of the checkout: paths are as the user would call them.
    GitHub shows ten errors and ten warnings of a step, so what failed comes first.
    """
    files = sorted(outcome.files, key=lambda file: file.status not in ("failed", "skipped"))
    return "".join(line for file in files for line in _of_file(file))


def _of_file(file: FileOutcome) -> Iterator[str]:
    for finding in file.left:
        place = f"file={_property(printable(file.shown))}"
        if finding.line:
            place += f",line={finding.line},col={finding.column}"
        title = _property(finding.code)
        yield f"::{_LEVELS[finding.severity]} {place},title={title}::{_message(finding)}\n"


def _message(finding: Finding) -> str:
    text = f"{finding.message}\n{finding.remedy}" if finding.remedy else finding.message
    return _data(text)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
