"""Pages for people, from the table of moves and the list of problems, and from nothing else.

`page` is what `--explain CODE` prints, `codes` what `--list-codes` lists, and
`python -m codemods.guide` writes MIGRATING.md to standard output.
"""

from __future__ import annotations

import difflib
import sys
import textwrap

from codemods.findings import PROBLEMS, Problem
from triton_kernels import moves
from triton_kernels.moves import Codemod, Form, Move

_PROBLEM_BY_CODE = {problem.code: problem for problem in PROBLEMS}
_WIDTH = 88

_WHAT_THE_CODEMOD_DOES = {
    Codemod.REWRITES: "rewrites it",
    Codemod.REWRITES_UNSAFE: "rewrites it with --unsafe",
    Codemod.REPORTS: "reports it",
    Codemod.EXPLAINS: "leaves it: it reads exactly like right code",
}


def page(code: str) -> str:
    """All that is known of `code`, as text that reads well in a terminal.

    KeyError for a code that there is not; `closest` then names likely ones.
    """
    problem = _PROBLEM_BY_CODE.get(code)
    return _problem_page(problem) if problem else _move_page(moves.BY_CODE[code])


def codes() -> list[tuple[str, str]]:
    """Every code with its title, in order."""
    titles = {move.code: move.old_text for move in moves.MOVES}
    titles.update((problem.code, problem.title) for problem in PROBLEMS)
    return sorted(titles.items())


def closest(code: str) -> list[str]:
    """The codes that `code` may have been meant to be, likeliest first; maybe none."""
    digits = "".join(filter(str.isdigit, code))
    known = [known for known, _ in codes()]
    meant = f"TKM{digits.zfill(3)}"
    if digits and meant in known:
        return [meant]
    return difflib.get_close_matches(code.upper(), known)


def migrating_markdown() -> str:
    """MIGRATING.md: how to migrate, every break in a table, and every break in detail."""
    parts = [_PREFACE]
    for prefix, title in moves.CHAPTERS.items():
        chapter = [move for move in moves.MOVES if move.code.startswith(prefix)]
        parts += [f"## {title}\n", _overview(chapter)]
    parts += ["## What the tool may say of a file\n", _problem_overview()]
    parts += ["## Every break in detail\n"]
    parts += [_detail(move) for move in moves.MOVES]
    return "\n".join(parts)


def _move_page(move: Move) -> str:
    facts = [("became", _became(move)), ("codemod", _WHAT_THE_CODEMOD_DOES[move.codemod])]
    facts.insert(1, ("since", f"upstream {move.since}" if move.since else "it never worked"))
    if move.form is Form.NAME:
        facts.append(("facade", _facade(move)))
    lines = [f"{move.code}: {move.old_text}", ""]
    lines += [f"{name:9}{value}" for name, value in facts]
    lines += ["", _wrapped(move.why), "", _wrapped(f"By hand: {move.advice}")]
    lines += ["", "Before:", "", _indented(move.before), "", "After:", "", _indented(move.after)]
    return "\n".join(lines) + "\n"


def _problem_page(problem: Problem) -> str:
    lines = [f"{problem.code}: {problem.title}", "", f"severity  {problem.severity.value}", ""]
    lines += [_wrapped(problem.why), "", _wrapped(problem.remedy)]
    return "\n".join(lines) + "\n"


def _became(move: Move) -> str:
    return f"{move.new} ({move.kind.value})" if move.new else move.kind.value


def _facade(move: Move) -> str:
    if move.served:
        return f"serves {move.served}, warning, until version {moves.REMOVED_IN}"
    return "does not serve it"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _indented(snippet: str) -> str:
    return textwrap.indent(snippet.rstrip("\n"), "    ")


def _overview(chapter: list[Move]) -> str:
    rows = ["| code | old | new | since | codemod |", "|---|---|---|---|---|"]
    rows += [
        f"| [{move.code}](#{move.code.lower()}) | {_cell(move.old_text)} | {_cell(move.new)} "
        f"| {move.since or '-'} | {move.codemod.value} |"
        for move in chapter
    ]
    return "\n".join(rows) + "\n"


def _problem_overview() -> str:
    rows = ["| code | says | means | what to do |", "|---|---|---|---|"]
    rows += [
        f"| {problem.code} | {problem.title} | {problem.why} | {problem.remedy} |"
        for problem in PROBLEMS
    ]
    return "\n".join(rows) + "\n"


def _detail(move: Move) -> str:
    since = f"Since upstream {move.since}." if move.since else "It never worked."
    became = f"`{move.new}`, {move.kind.value}" if move.new else move.kind.value.capitalize()
    facts = f"{became}. {since} The codemod {_WHAT_THE_CODEMOD_DOES[move.codemod]}."
    return (
        f"### {move.code}\n\n{_cell(move.old_text)}: {move.why} {move.advice}\n\n{facts}\n\n"
        f"```python\n# before\n{move.before}\n# after\n{move.after}```\n"
    )


def _cell(text: str) -> str:
    """Names in code type, forms in words as they are."""
    if not text:
        return "-"
    if "`" in text or " " in text.split("(")[0]:
        return text
    head, colon, words = text.partition("): ")
    return f"`{head})`: {words}" if colon else f"`{text}`"


_PREFACE = f"""\
<!-- Written by `python -m codemods.guide`; change triton_kernels/moves.py instead. -->

# Migrating from `{moves.OLD_MODULE}`

The module `{moves.OLD_MODULE}` was split up: records went to
`triton_kernels.matmul_ogs`, sparse matrices and block schedules to `triton_kernels.tensor`, and
the old composition of both to `{moves.LEGACY}`. Old code keeps running on a facade,
which warns once at each place, until version {moves.REMOVED_IN}.

1. Run your tests with `pytest -W default::triton_kernels.TritonKernelsDeprecationWarning` to see
   where your project uses old names.
2. Run `{moves.MIGRATE_COMMAND} path/to/repo`.
3. Do by hand what its report lists. `{moves.MIGRATE_COMMAND} --explain TKM013` prints the
   page of a code, `--list-codes` names all codes.

In the tables, "rewrites" is done by the command, "reports" is left to you with the text to write,
and "explains only" cannot be told from right code, so look for it yourself.
"""


if __name__ == "__main__":
    sys.stdout.write(migrating_markdown())
