"""THE TABLE: every break between the old `routing` module and the refactored library, once.

Pure data on the standard library: the codemods import it on machines that have neither torch nor
triton.  From these rows, and from nothing else, come the facade and its warnings, the codemods'
rules and their pages (`--explain`), MIGRATING.md, and the parametrisation of the tests.

A row is one thing that old code can say (`form`, `old`, `detail`) and what to say instead (`new`,
`after`).  Codes are stable: a code is never reused for another break.

    TKM0xx  names of `triton_kernels.routing` as it stood when it was removed
    TKM1xx  fields, methods and arguments of records that were renamed with it
    TKM2xx  names that older releases had in `triton_kernels.routing` and beside it
    TKM3xx  forms of calls that changed
    TKM4xx  attributes that old code reads or writes
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

OLD_MODULE = "triton_kernels.routing"
REMOVED_IN = "2.0"
"""Version of this distribution in which the facade goes."""

MIGRATE_COMMAND = "python -m codemods.migrate"


class Form(str, Enum):
    """What a row's `old` names, and so what the codemods look for."""

    MODULE = "module"
    """`old` is a dotted module path."""
    NAME = "name"
    """`old` is the dotted path of a module's attribute."""
    CALL = "call"
    """Any call of `old` that the row's `detail` describes in words."""
    KEYWORD = "keyword"
    """A call of `old` with the keyword argument `detail`."""
    POSITION = "position"
    """A call of `old` with more positional arguments than `detail` (a decimal number)."""
    UNPACK = "unpack"
    """The result of calling `old` unpacked to exactly `detail` names."""
    ATTRIBUTE = "attribute"
    """The attribute `detail` of an instance of the class `old`."""


class Kind(str, Enum):
    """What became of the old form."""

    MOVED = "moved"
    RENAMED = "renamed"
    COMPOSED = "composed"
    SIGNATURE_CHANGED = "signature changed"
    REMOVED = "removed"


class Codemod(str, Enum):
    """What `python -m codemods.migrate` does with the old form."""

    REWRITES = "rewrites"
    REWRITES_UNSAFE = "rewrites with --unsafe"
    REPORTS = "reports"


@dataclass(frozen=True)
class CallChange:
    """How the arguments of a call change when its function moves.

    parameters: names of the old function's parameters, in order.
    drop: the parameter that goes away, with the source text its argument must have to be dropped
        silently ("" = any expression without side effects).
    rename: (old keyword, new keyword) pairs.
    refuse: (parameter, source text) of an argument with which the call cannot be rewritten.
    ambiguous_at: a call of exactly this many positional arguments means different things in
        different releases, so it is never rewritten (0 = none).
    """

    parameters: tuple[str, ...]
    drop: tuple[str, str]
    rename: tuple[tuple[str, str], ...] = ()
    refuse: tuple[tuple[str, str], ...] = ()
    ambiguous_at: int = 0


@dataclass(frozen=True)
class Move:
    """One break: what old code says, what it says now, and who carries it over.

    code: stable identifier, `TKM` and three digits.
    form, old, detail: what is looked for (see `Form`).
    new: dotted path of the replacement, or a form in words; "" where nothing replaces it.
    kind: what became of it.
    since: the first upstream release in which the old form no longer works.
    codemod: what the codemod does with it.
    why: one sentence.
    before, after: an example that the tests run through the codemod.  Where `codemod` is REPORTS,
        `after` is what to write by hand.
    remedy: what to do by hand where the codemod does not do it, one sentence ("" = write `new`).
    facade: dotted path of the object that the facade serves for an old name ("" = it serves none).
    call: how the arguments of a call change, where they do.
    fallback: dotted path to which the import goes when some use in a file is no call that can be
        rewritten ("" = the import then stays as it is).
    """

    code: str
    form: Form
    old: str
    new: str
    kind: Kind
    since: str
    codemod: Codemod
    why: str
    before: str
    after: str
    remedy: str = ""
    detail: str = ""
    facade: str = ""
    call: CallChange | None = None
    fallback: str = ""

    @property
    def old_text(self) -> str:
        """The old form as a person would write it, for messages and pages."""
        name = self.old.rpartition(".")[2]
        return {
            Form.MODULE: self.old,
            Form.NAME: self.old,
            Form.CALL: f"{self.old}(...): {self.detail}",
            Form.KEYWORD: f"{self.old}({self.detail}=)",
            Form.POSITION: f"{self.old}() with more than {self.detail} positional arguments",
            Form.UNPACK: f"{self.old}() unpacked to {self.detail} values",
            Form.ATTRIBUTE: f"{name}.{self.detail}",
        }[self.form]

    @property
    def advice(self) -> str:
        """What to do by hand, in one sentence."""
        return self.remedy or f"Use {self.new}."
