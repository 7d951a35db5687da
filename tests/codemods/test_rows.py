"""Each row of the table does what it says: its example goes through the codemod."""

from __future__ import annotations

import ast

import pytest

from codemods.findings import Bucket
from codemods.source import SourceOptions, migrate_source
from triton_kernels import moves
from triton_kernels.moves import Codemod, Form, Move

# A row about an attribute shows the attribute alone; it counts in a file that uses the library.
USES_LIBRARY = "from triton_kernels.topk import topk\n\n"

BY_CODEMOD = {
    kind: [move for move in moves.MOVES if move.codemod is kind]
    for kind in (Codemod.REWRITES, Codemod.REPORTS, Codemod.EXPLAINS)
}


def migrate(text: str, codes: frozenset[str] = frozenset(moves.BY_CODE)):
    return migrate_source(text.encode(), SourceOptions(codes))


def before_of(move: Move) -> str:
    return USES_LIBRARY + move.before if move.form is Form.ATTRIBUTE else move.before


@pytest.mark.parametrize("move", BY_CODEMOD[Codemod.REWRITES], ids=lambda move: move.code)
def test_a_row_that_rewrites_turns_its_example_into_the_new_form(move: Move) -> None:
    result = migrate(move.before)
    assert result.new is not None, result.findings
    assert result.new.decode() == move.after
    assert move.code in {found.code for found in result.findings if found.rewritten}
    assert not [found for found in result.findings if found.left_for_a_person]


@pytest.mark.parametrize("move", BY_CODEMOD[Codemod.REPORTS], ids=lambda move: move.code)
def test_a_row_that_reports_leaves_its_example_to_a_person(move: Move) -> None:
    result = migrate(before_of(move), frozenset({move.code}))
    assert result.new is None
    assert [(found.code, found.bucket) for found in result.findings] == [
        (move.code, Bucket.FOR_A_PERSON)
    ]


@pytest.mark.parametrize("move", BY_CODEMOD[Codemod.EXPLAINS], ids=lambda move: move.code)
def test_a_row_that_only_explains_is_never_reported(move: Move) -> None:
    assert migrate(before_of(move), frozenset({move.code})).findings == ()


@pytest.mark.parametrize("move", moves.MOVES, ids=lambda move: move.code)
def test_the_new_form_of_a_row_is_not_an_old_form(move: Move) -> None:
    ast.parse(move.after)
    after = USES_LIBRARY + move.after if move.form is Form.ATTRIBUTE else move.after
    result = migrate(after)
    assert result.new is None
    assert move.code not in {found.code for found in result.findings if found.left_for_a_person}
