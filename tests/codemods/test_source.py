"""One file as bytes: what stays, what cannot be read, and what fails its checks."""

from __future__ import annotations

import ast

import pytest
from rewriting import ALL

from codemods.source import migrate_source

OLD = b"from triton_kernels.routing import "

BYTES = {
    "byte order mark": b"\xef\xbb\xbf" + OLD + b"RoutingData\n",
    "carriage returns": b"x = 1\r\n"
    + OLD
    + b"(\r\n    RoutingData,\r\n    routing,\r\n)\r\ny = 2\r\n",
    "mixed line endings": b"x = 1\n" + OLD + b"RoutingData, routing\r\ny = 2\n",
    "old Mac line endings": b"x = 1\r" + OLD + b"RoutingData, routing\ry = 2",
    "latin-1 cookie": b"# coding: latin-1\nx = '\xe9'; " + OLD + b"RoutingData\ny = '\xff'\n",
    "tabs": b"if x:\n\t" + OLD + b"RoutingData, routing\n\ty = 1\n",
    "form feed": b"x = 1\n\x0c\n" + OLD + b"RoutingData\n",
    "no newline at the end": OLD + b"RoutingData, routing",
    "blank lines with spaces at the end": OLD + b"RoutingData\n\n   \n",
    "wide characters before the place": "ä = '日本'; ".encode() + OLD + b"RoutingData\n",
    "a surrogate escape in a string": b"x = '\\ud800'\n" + OLD + b"RoutingData\n",
}


@pytest.mark.parametrize("data", BYTES.values(), ids=BYTES.keys())
def test_every_byte_outside_the_statement_stays(data: bytes) -> None:
    result = migrate_source(data, ALL)
    assert result.new is not None, result.findings
    start = data.index(b"from triton_kernels.routing")
    assert result.new[:start] == data[:start]
    rest = data[start:]
    end = (
        rest.index(b")") + 1
        if b"(" in rest
        else min(at for at in (rest.find(b"\r"), rest.find(b"\n"), len(rest)) if at >= 0)
    )
    tail = rest[end:]
    assert result.new.endswith(tail)
    middle = result.new[start : len(result.new) - len(tail)]
    assert b"triton_kernels.routing" not in middle
    assert b"triton_kernels.matmul_ogs" in middle
    newline = b"\r\n" if b"\r\n" in rest else b"\r" if b"\r" in rest else b"\n"
    assert all(line.endswith(newline) for line in middle.splitlines(keepends=True)[:-1])


BROKEN = {
    "a merge conflict": (b"<<<<<<< HEAD\nimport triton_kernels\n=======\n", "TKM900", 1),
    "an unknown cookie": (b"# coding: nonsense\nimport triton_kernels\n", "TKM902", 0),
    "bytes that do not fit the cookie": (b"import triton_kernels\nx = '\xff'\n", "TKM902", 0),
    "a NUL byte": (b"import triton_kernels\nx = 1\0\n", "TKM902", 2),
    "nested too deeply": (
        b"import triton_kernels\nx = " + b"(" * 9000 + b")" * 9000,
        "TKM900",
        None,
    ),
}


@pytest.mark.parametrize(("data", "code", "line"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_cannot_be_read_is_one_finding(data: bytes, code: str, line: int) -> None:
    result = migrate_source(data, ALL)
    assert result.failed
    assert result.new is None
    [found] = result.findings
    assert found.code == code
    assert found.left_for_a_person
    if line is not None:
        assert found.line == line


def test_syntax_of_a_later_python_is_told_from_broken_code(monkeypatch: pytest.MonkeyPatch) -> None:
    # Python's own parser is made to refuse what LibCST still understands.
    def refuse(text: str) -> ast.Module:
        raise SyntaxError("invalid syntax", ("x.py", 1, 6, text, 1, 7))

    monkeypatch.setattr(ast, "parse", refuse)
    result = migrate_source(b"type X = int\nimport triton_kernels.routing\n", ALL)
    assert [found.code for found in result.findings] == ["TKM901"]


def test_a_rewrite_that_fails_its_checks_keeps_the_old_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("codemods.targets.exists", lambda path: False)
    result = migrate_source(b"from triton_kernels.routing import RoutingData\n", ALL)
    assert result.new is None
    assert result.failed
    assert [found.code for found in result.findings] == ["TKM906"]
    assert "triton_kernels.matmul_ogs.RoutingData" in result.findings[0].message
