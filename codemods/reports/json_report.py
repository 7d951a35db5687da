"""The report for programs: one JSON document with everything that was found."""

from __future__ import annotations

import json

from codemods.findings import Finding
from codemods.outcomes import FileOutcome, RunOutcome

VERSION = 1
"""Of the document's shape: keys may be added within a version, none changes its meaning."""


def render(outcome: RunOutcome) -> str:
    """ASCII text, whatever the names of the files; ended by a newline.

    `path` is relative to `argument`.  A byte of a name that is no UTF-8 stands as the lone
    surrogate that Python's `os.fsdecode` makes of it.
    """
    summary = outcome.summary
    document = {
        "version": VERSION,
        "target": outcome.target,
        "written": outcome.written,
        "files": [_file(file) for file in outcome.files],
        "summary": {
            "seen": summary.seen,
            "searched": summary.searched,
            "mentioning": summary.mentioning,
            "rewritten": summary.rewritten,
            "created": summary.created,
            "unchanged": summary.unchanged,
            "failed": summary.failed,
            "skipped": summary.skipped,
            "mentions": summary.mentions,
            "buckets": {bucket.value: count for bucket, count in summary.buckets.items()},
            "nested": list(outcome.nested),
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _file(file: FileOutcome) -> dict[str, object]:
    return {
        "path": file.path,
        "argument": file.argument,
        "status": file.status,
        "findings": [_finding(finding) for finding in file.findings],
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "line": finding.line,
        "column": finding.column,
        "message": finding.message,
        "remedy": finding.remedy,
        "rewritten": finding.rewritten,
        "bucket": finding.bucket.value if finding.bucket else None,
    }
