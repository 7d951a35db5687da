"""SARIF 2.1.0: what the schema asks for, and what viewers make of it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_reports import CHANGED, LEFT_HERE, MIXED, PROSE, WEIRD, file_of, outcome_of
from trees import CODES, LEFT, OLD, old_to_new, plant

from codemods.findings import PROBLEMS, UNREADABLE, Bucket, Finding, Severity
from codemods.outcomes import FileOutcome, RunOutcome
from codemods.reports import sarif
from codemods.run import RunOptions, run
from triton_kernels import moves

SCHEMA = json.loads((Path(__file__).parent / "data/sarif-2.1.0-rtm.5.json").read_text())
VALIDATOR = jsonschema.validators.validator_for(SCHEMA)(
    SCHEMA, format_checker=jsonschema.FormatChecker()
)

GUARDED = Finding(4, 1, "TKM013", Severity.INFO, "left alone", "", Bucket.GUARDED)
ALREADY = Finding(5, 1, "TKM013", Severity.INFO, "left alone", "", Bucket.ALREADY_NEW)


def rendered(outcome: RunOutcome) -> dict:
    text = sarif.render(outcome)
    assert text.isascii()
    document = json.loads(text)
    VALIDATOR.validate(document)
    return document


def results(document: dict) -> list[tuple[str, str, str]]:
    return [
        (result["ruleId"], result["level"], result.get("kind", "fail"))
        for result in document["runs"][0]["results"]
    ]


def test_the_schema_refuses_what_is_wrong():
    document = json.loads(sarif.render(MIXED))
    document["runs"][0]["results"][0]["level"] = "severe"
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)


def test_what_is_left_is_a_result_and_what_was_rewritten_is_none():
    document = rendered(MIXED)
    assert results(document) == [
        ("TKM004", "warning", "fail"),
        ("TKM001", "none", "informational"),
        ("TKM903", "error", "fail"),
        ("TKM001", "none", "informational"),
    ]
    (failed,) = [r for r in document["runs"][0]["results"] if r["level"] == "error"]
    assert failed["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "src/b.py"}}}]
    assert document["runs"][0]["invocations"] == [{"executionSuccessful": False}]


def test_a_preview_has_what_would_be_rewritten_as_notes():
    document = rendered(outcome_of(file_of("a.py", "rewritten", CHANGED), written=False))
    assert results(document) == [("TKM001", "note", "fail")]
    assert document["runs"][0]["invocations"] == [{"executionSuccessful": True}]


def test_what_is_right_as_it_is_has_a_kind_of_its_own():
    document = rendered(outcome_of(file_of("a.py", "unchanged", GUARDED, ALREADY, PROSE)))
    assert [kind for _, _, kind in results(document)] == ["informational", "pass", "informational"]


def test_a_place_is_where_an_editor_finds_it():
    (result,) = rendered(outcome_of(file_of("a.py", "unchanged", LEFT_HERE)))["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "src/a.py"},
        "region": {"startLine": 3, "startColumn": 5},
    }
    assert result["message"]["text"] == "stays. Do it."


@pytest.mark.parametrize("code", [*(p.code for p in PROBLEMS), *moves.BY_CODE])
def test_every_code_has_a_rule(code):
    finding = Finding(1, 1, code, Severity.WARNING, "x", "")
    driver = rendered(outcome_of(file_of("a.py", "unchanged", finding)))["runs"][0]["tool"][
        "driver"
    ]
    (rule,) = driver["rules"]
    assert rule["id"] == code
    assert rule["shortDescription"]["text"]


def test_results_point_at_their_rules():
    run_ = rendered(MIXED)["runs"][0]
    rules = run_["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["TKM001", "TKM004", "TKM903"]
    for result in run_["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_nothing_to_say_is_a_run_without_results():
    assert rendered(outcome_of())["runs"][0]["results"] == []


@given(path=st.one_of(st.just(WEIRD), st.binary(min_size=1).map(lambda b: b.decode("latin-1"))))
def test_any_path_is_a_valid_uri_that_leads_back_to_it(path):
    failed = UNREADABLE.finding("cannot be read")
    file = FileOutcome(path, ".", path, "failed", (failed,))
    (result,) = rendered(outcome_of(file))["runs"][0]["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert unquote(urlsplit(uri).path, errors="surrogateescape") == path
    assert urlsplit(uri).scheme == ("file" if path.startswith("/") else "")


def test_the_report_of_a_real_run(tmp_path):
    plant(tmp_path, {"a.py": OLD + LEFT, "b/c.py": LEFT, "d.py": "x = (\n# triton_kernels"})
    for write in (False, True):
        outcome = run([str(tmp_path)], RunOptions(codes=CODES, write=write), transform=old_to_new)
        assert len(rendered(outcome)["runs"][0]["results"]) == (2 if write else 3)


@pytest.mark.parametrize(
    ("version", "semantic"), [("1.0.0", "1.0.0"), ("2.1.0.dev3", "2.1.0-dev3")]
)
def test_the_tools_version_is_a_semantic_one(monkeypatch, version, semantic):
    monkeypatch.setattr("triton_kernels.__version__", version)
    driver = rendered(MIXED)["runs"][0]["tool"]["driver"]
    assert driver["semanticVersion"] == semantic
