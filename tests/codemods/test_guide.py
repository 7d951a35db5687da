"""The pages for people say what the table says, and MIGRATING.md is what the guide writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from codemods import guide
from codemods.findings import PROBLEMS
from triton_kernels import moves

ROOT = Path(__file__).parents[2]


def test_migrating_md_is_what_the_guide_writes() -> None:
    written = (ROOT / "MIGRATING.md").read_text(encoding="utf-8")
    assert written == guide.migrating_markdown(), (
        "stale: python -m codemods.guide > MIGRATING.md writes it anew"
    )


def test_the_module_writes_it_without_importing_torch() -> None:
    program = (
        "import runpy, sys; runpy.run_module('codemods.guide', run_name='__main__');"
        "assert not {'torch', 'triton', 'libcst'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=ROOT, check=True
    )
    assert result.stdout.decode() == guide.migrating_markdown()


def test_codes_lists_every_row_and_every_problem_once_in_order() -> None:
    listed = [code for code, _ in guide.codes()]
    assert listed == sorted([m.code for m in moves.MOVES] + [p.code for p in PROBLEMS])
    assert len(set(listed)) == len(listed)
    assert all(title for _, title in guide.codes())


@pytest.mark.parametrize("move", moves.MOVES, ids=lambda move: move.code)
def test_a_page_holds_what_the_row_says(move: moves.Move) -> None:
    text = guide.page(move.code)
    assert text.startswith(f"{move.code}: {move.old_text}\n")
    for part in (move.new, move.why, move.advice, move.since):
        assert part.split() == [] or " ".join(part.split()) in " ".join(text.split())
    for snippet in (move.before, move.after):
        assert all(line in text for line in snippet.splitlines())
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.code)
def test_a_page_holds_what_the_problem_says(problem: guide.Problem) -> None:
    text = " ".join(guide.page(problem.code).split())
    for part in (problem.code, problem.title, problem.why, problem.remedy, problem.severity.value):
        assert part in text


@pytest.mark.parametrize("code", ["", "TKM", "TKM999", "tkm013", "13", "../etc/passwd"])
def test_an_unknown_code_is_a_key_error(code: str) -> None:
    with pytest.raises(KeyError):
        guide.page(code)


@pytest.mark.parametrize(
    ("code", "meant"),
    [("tkm013", "TKM013"), ("13", "TKM013"), ("TKM13", "TKM013"), ("TKM0113", "TKM011")],
)
def test_closest_finds_what_was_meant(code: str, meant: str) -> None:
    assert meant in guide.closest(code)


def test_closest_finds_nothing_for_nonsense() -> None:
    assert guide.closest("") == []
    assert guide.closest("xyz") == []


def test_no_table_row_of_the_guide_is_broken_by_its_text() -> None:
    tables = [line for line in guide.migrating_markdown().splitlines() if line.startswith("| ")]
    widths = {line.count("|") for line in tables}
    assert widths <= {5, 6}
