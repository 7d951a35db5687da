"""What can be said of a place: code, severity, message, remedy, and the bucket it ends in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(str, Enum):
    ERROR = "error"
    """The file could not be treated, or breaks once the old module is gone and nobody acts."""
    WARNING = "warning"
    """Left for a person."""
    INFO = "info"
    """Rewritten, or left because that is right."""


class Bucket(str, Enum):
    """Where a mention of an old name ends.  Every mention ends in exactly one."""

    CHANGED = "changed"
    ALREADY_NEW = "already new"
    """The sibling branch imports the name from its new home: this one is the old branch."""
    GUARDED = "guarded"
    """Runs only with another release of the library, or asks which one is there."""
    FOR_A_PERSON = "for a person"
    PROSE = "comment or docstring"


@dataclass(frozen=True, order=True)
class Finding:
    """One place in one file.

    line, column: 1-based; column counts characters.  (0, 0): the file as a whole.
    code: a row of `triton_kernels.moves`, or one of `PROBLEMS`.
    bucket: where the mention of an old name ended; None where the finding is about the file.
    """

    line: int
    column: int
    code: str
    severity: Severity
    message: str
    remedy: str
    bucket: Bucket | None = None

    @property
    def rewritten(self) -> bool:
        return self.bucket is Bucket.CHANGED

    @property
    def left_for_a_person(self) -> bool:
        return self.severity is not Severity.INFO


@dataclass(frozen=True)
class Problem:
    """A thing that the tool says of a file or a place that is no row of the table.

    code: `TKM9` and two digits.  title: a few words.  why: what it means.  remedy: what to do.
    """

    code: str
    severity: Severity
    title: str
    why: str
    remedy: str

    def finding(self, message: str, line: int = 0, column: int = 0) -> Finding:
        bucket = None
        return Finding(line, column, self.code, self.severity, message, self.remedy, bucket)


UNPARSABLE = Problem(
    "TKM900",
    Severity.ERROR,
    "file does not parse",
    "The file mentions the library but is not Python that can be read, so nothing in it was "
    "looked at.",
    "Mend the file (merge conflict markers are a common cause) and run again.",
)
NEWER_SYNTAX = Problem(
    "TKM901",
    Severity.ERROR,
    "syntax newer than the Python that runs the tool",
    "The file is valid Python of a later version than the one that runs the tool.",
    "Run the tool with the newest Python that the file is written for.",
)
UNDECODABLE = Problem(
    "TKM902",
    Severity.ERROR,
    "file cannot be decoded",
    "The bytes do not fit the encoding that the file declares, or hold a NUL.",
    "Mend the encoding cookie or the bytes and run again.",
)
UNREADABLE = Problem(
    "TKM903",
    Severity.ERROR,
    "file cannot be read",
    "The operating system refused to read the file.",
    "Mend the permissions and run again.",
)
UNWRITABLE = Problem(
    "TKM904",
    Severity.ERROR,
    "file cannot be written",
    "The operating system refused to write the new text; the file keeps its old bytes.",
    "Mend the cause that the message names and run again.",
)
UNCOMMITTED = Problem(
    "TKM905",
    Severity.ERROR,
    "file has uncommitted changes",
    "A rewrite would mix with changes that are not in git yet, so the file was left as it is.",
    "Commit or stash the changes, or pass --allow-dirty.",
)
UNVERIFIED = Problem(
    "TKM906",
    Severity.ERROR,
    "rewrite did not pass its checks",
    "The rewritten text failed one of the tool's own checks; the file keeps its old bytes.",
    "Rewrite this file by hand, and please report it: this is a defect of the tool.",
)
CHANGED_MEANWHILE = Problem(
    "TKM907",
    Severity.ERROR,
    "file changed during the run",
    "The file was written by somebody else between reading and writing; their bytes stay.",
    "Run again.",
)
CRASHED = Problem(
    "TKM908",
    Severity.ERROR,
    "tool failed on the file",
    "The tool has a defect that this file brings out; the file keeps its old bytes.",
    "Rewrite this file by hand, and please report it: this is a defect of the tool.",
)

NO_NOTEBOOK = Problem(
    "TKM910",
    Severity.ERROR,
    "notebook cannot be read",
    "The file is named like a Jupyter notebook but is not JSON of that form, so nothing in it was "
    "looked at.",
    "Open and save the notebook in Jupyter, or remove it, and run again.",
)
PIN = Problem(
    "TKM911",
    Severity.WARNING,
    "pin of the library",
    "The project pins a release of the library here, and code and pin have to move together.",
    "Pin the library that the migrated code runs on: this distribution, or upstream's release "
    "v3.6.0 where the target is that.",
)
HUB_COPY = Problem(
    "TKM912",
    Severity.INFO,
    "copy from the kernels hub",
    "A kernel that `get_kernel` loads is a copy of the library that carries its own modules, the "
    "old one among them as long as the version that is asked for has it.",
    "Leave it, and migrate by hand together with the version that get_kernel asks for.",
)
ALIASED_PACKAGE = Problem(
    "TKM913",
    Severity.WARNING,
    "another package put in the library's place",
    "An entry of `sys.modules` makes the library's name mean another copy, whose modules are then "
    "loaded twice, so that isinstance tests and patches miss.",
    "Remove the entry once the code runs on an installed library, or migrate the copy, too.",
)

TOO_LARGE = Problem(
    "TKM920",
    Severity.ERROR,
    "file too large",
    "The file mentions the library but is larger than what the tool reads, so nothing in it was "
    "looked at.",
    "Rewrite this file by hand, or split it and run again.",
)
WITHHELD = Problem(
    "TKM921",
    Severity.ERROR,
    "file not written because another could not be",
    "A run writes all of its files or none, and another file could not be written; this one has "
    "its old bytes.",
    "Mend what is said of the other file and run again, or pass --keep-going.",
)
STUCK = Problem(
    "TKM922",
    Severity.ERROR,
    "file could not be put back",
    "The file was written, and when another one failed its old bytes could not be put back.",
    "Restore the file from version control, mend what is said of the other file and run again.",
)
NOT_IMPORTABLE = Problem(
    "TKM923",
    Severity.ERROR,
    "new import does not work here",
    "With --verify-imports every new import is tried, and this one failed in the environment that "
    "the tool runs in; the file keeps its old bytes.",
    "Run the tool in an environment that has the target and its dependencies, or leave out "
    "--verify-imports.",
)
HELPER_TAKEN = Problem(
    "TKM924",
    Severity.ERROR,
    "helper module is taken",
    "The file needs the helper module of the target, but another module of that name stands in "
    "its place, which lacks what would be imported from it; the file keeps its old bytes.",
    "Rename that module, or delete it if an earlier version of the tool wrote it, and run again.",
)

PROBLEMS: tuple[Problem, ...] = (
    UNPARSABLE,
    NEWER_SYNTAX,
    UNDECODABLE,
    UNREADABLE,
    UNWRITABLE,
    UNCOMMITTED,
    UNVERIFIED,
    CHANGED_MEANWHILE,
    CRASHED,
    NO_NOTEBOOK,
    PIN,
    HUB_COPY,
    ALIASED_PACKAGE,
    TOO_LARGE,
    WITHHELD,
    STUCK,
    NOT_IMPORTABLE,
    HELPER_TAKEN,
)
