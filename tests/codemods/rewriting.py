"""How a test says what becomes of one file."""

from __future__ import annotations

import ast
import textwrap

from codemods.findings import PROBLEMS, Bucket, Finding
from codemods.source import SourceOptions, migrate_source
from triton_kernels import moves

ALL = SourceOptions(frozenset(moves.BY_CODE) | {problem.code for problem in PROBLEMS})


def dedent(text: str) -> str:
    return textwrap.dedent(text).removeprefix("\n")


def check_transformed(before: str, after: str, options: SourceOptions = ALL) -> list[Finding]:
    """The file becomes `after`, which is valid Python, and stays that on a second run."""
    before, after = dedent(before), dedent(after)
    ast.parse(before)
    ast.parse(after)
    assert before != after
    result = migrate_source(before.encode(), options)
    assert result.new is not None, result.findings
    assert result.new.decode() == after
    again = migrate_source(result.new, options)
    assert again.new is None
    return list(result.findings)


def check_noop(text: str, options: SourceOptions = ALL) -> list[Finding]:
    """The file keeps its bytes."""
    text = dedent(text)
    ast.parse(text)
    result = migrate_source(text.encode(), options)
    assert result.new is None
    assert not result.failed
    return list(result.findings)


def codes(findings: list[Finding], bucket: Bucket) -> list[str]:
    return [found.code for found in findings if found.bucket is bucket]
