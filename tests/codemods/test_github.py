"""Annotations as GitHub reads them: one command a line, nothing in it that ends it early."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from test_reports import CHANGED, LEFT_HERE, MIXED, WEIRD, file_of, outcome_of

from codemods.findings import UNREADABLE, Bucket, Finding, Severity
from codemods.outcomes import FileOutcome
from codemods.reports import github

COMMAND = re.compile(r"^::(\w+) ([^\n]*?)::([^\n]*)$")


def read(line: str) -> tuple[str, dict[str, str], str]:
    """A command as GitHub's runner reads it."""
    match = COMMAND.match(line)
    assert match is not None
    level, properties, message = match.groups()
    pairs = (pair.partition("=") for pair in properties.split(","))
    values = {key: plain(value) for key, _, value in pairs}
    return level, values, plain(message)


def plain(text: str) -> str:
    for code, character in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r")):
        text = text.replace(code, character)
    return text.replace("%25", "%")


def test_places_are_annotated_what_failed_first():
    assert github.render(MIXED) == (
        "::error file=src/b.py,title=TKM903::cannot be read: Permission denied%0A"
        f"{UNREADABLE.remedy}\n"
        "::warning file=src/a.py,line=3,col=5,title=TKM004::stays%0ADo it.\n"
    )


def test_what_is_right_or_done_is_not_annotated():
    assert github.render(outcome_of(file_of("a.py", "rewritten", CHANGED))) == ""


@given(message=st.text(), remedy=st.text(), path=st.text(min_size=1))
def test_whatever_is_said_is_one_command_that_reads_back(message, remedy, path):
    path = path.replace("\ud800", "x").encode("utf-8", "replace").decode()
    finding = Finding(1, 2, "TKM004", Severity.WARNING, message, remedy, Bucket.FOR_A_PERSON)
    rendered = github.render(outcome_of(FileOutcome(path, ".", path, "unchanged", (finding,))))
    assert rendered.endswith("\n")
    assert "\n" not in rendered[:-1]
    assert "\r" not in rendered
    level, values, said = read(rendered[:-1])
    assert (level, values["line"], values["title"]) == ("warning", "1", "TKM004")
    if path.isprintable():
        assert values["file"] == path
    assert said == (f"{message}\n{remedy}" if remedy else message)


def test_a_name_that_is_no_text_is_shown_escaped():
    file = FileOutcome(WEIRD, ".", WEIRD, "unchanged", (LEFT_HERE,))
    (line,) = github.render(outcome_of(file)).splitlines()
    assert read(line)[1]["file"] == "caf\\xe9 \\x1b[31m\\n\\xffé.py"
