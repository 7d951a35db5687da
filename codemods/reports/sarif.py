"""The report for code scanners: SARIF 2.1.0, as OASIS specifies it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

import triton_kernels
from codemods.findings import PROBLEMS, Bucket, Finding, Severity
from codemods.outcomes import FileOutcome, RunOutcome
from triton_kernels.moves import BY_CODE

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_PROBLEMS = {problem.code: problem for problem in PROBLEMS}
# SARIF's word for what is right as it is; what was rewritten is no result any more.
_KINDS = {
    Bucket.ALREADY_NEW: "pass",
    Bucket.GUARDED: "informational",
    Bucket.PROSE: "informational",
}


def render(outcome: RunOutcome) -> str:
    """ASCII text: one run with a rule for each code that occurs and a result for each place.

    A place that was rewritten is a result only where the run writes nothing: then it still is one.
    """
    findings = [
        (file, finding)
        for file in outcome.files
        for finding in file.findings
        if not (outcome.written and finding.rewritten)
    ]
    codes = sorted({finding.code for _, finding in findings})
    troubles = [pair for pair in findings if pair[1].severity is Severity.ERROR]
    run = {
        "tool": {
            "driver": {
                "name": "triton-kernels-migrate",
                "semanticVersion": _semantic(triton_kernels.__version__),
                "rules": [_rule(code) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": not troubles}],
        "results": [_result(file, finding, codes) for file, finding in findings],
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2) + "\n"


def _semantic(version: str) -> str:
    """`1.0.0.dev1` has no place in semantic versioning: `1.0.0-dev1`."""
    numbers = version.split(".")
    return ".".join(numbers[:3]) + ("-" + ".".join(numbers[3:]) if numbers[3:] else "")


def _rule(code: str) -> dict[str, object]:
    problem = _PROBLEMS.get(code)
    if problem is not None:
        title, why, remedy, level = problem.title, problem.why, problem.remedy, problem.severity
    else:
        move = BY_CODE[code]
        title, why, remedy, level = move.old_text, move.why, move.advice, Severity.WARNING
    return {
        "id": code,
        "shortDescription": {"text": title},
        "fullDescription": {"text": why},
        "help": {"text": remedy},
        "defaultConfiguration": {"level": _LEVELS[level]},
    }


def _result(file: FileOutcome, finding: Finding, codes: Sequence[str]) -> dict[str, object]:
    text = f"{finding.message}. {finding.remedy}" if finding.remedy else finding.message
    location: dict[str, object] = {"artifactLocation": {"uri": _uri(file.shown)}}
    if finding.line:
        location["region"] = {"startLine": finding.line, "startColumn": max(1, finding.column)}
    result: dict[str, object] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [{"physicalLocation": location}],
    }
    kind = _KINDS.get(finding.bucket) if finding.bucket is not None else None
    if kind is not None:
        # A kind other than "fail" goes with level "none" alone.
        result |= {"kind": kind, "level": "none"}
    if finding.bucket is not None:
        result["properties"] = {"bucket": finding.bucket.value}
    return result


def _uri(path: str) -> str:
    """A path as a URI reference; it is relative to where the command was run if the path is."""
    quoted = quote(path.encode("utf-8", "surrogateescape"), safe="/")
    return f"file://{quoted}" if path.startswith("/") else quoted
