"""What git says of a folder and of files: the one place that runs git."""

from __future__ import annotations

import os
from collections.abc import Sequence

_FOREIGN_SETTINGS = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
)
"""Set inside a git hook; they would make git answer for another repository than the folder's."""

_NO_WORK_TREE = ("not a git repository", "must be run in a work tree")
_PATHS_A_CALL = 500
"""Paths handed to one git process: a command line may hold 128 KB on the meanest system."""


class GitFailed(Exception):
    """There is a work tree, and git cannot answer for it: it is missing, or it refuses."""


def work_tree_above(folder: str) -> str | None:
    """The nearest folder upwards that holds a `.git`, without asking git; None if there is none."""
    while True:
        if os.path.exists(os.path.join(folder, ".git")):
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


class Roots:
    """The roots of work trees, git being asked once for each."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    def root_of(self, folder: str) -> str | None:
        """The root of the work tree that an absolute folder lies in; None outside any.

        Raises GitFailed where a work tree is there and git cannot answer for it.
        """
        nearest = work_tree_above(folder)
        if nearest is None:
            return None
        if nearest not in self._known:
            answer = _git(folder, "rev-parse", "--show-toplevel")
            root = None if answer is None else os.fsdecode(answer.rstrip(b"\r\n"))
            self._known[nearest] = None if root is None else os.path.realpath(root)
        return self._known[nearest]


def listing(folder: str) -> list[str] | None:
    """Names below a folder, relative to it, that git tracks or would add; None outside a work tree.

    A nested repository that git does not track stands in the list as one name that ends in "/".
    Raises GitFailed where a work tree is there and git cannot answer for it.
    """
    if work_tree_above(folder) is None:
        return None
    answer = _git(folder, "ls-files", "-c", "-o", "--exclude-standard", "-z")
    return None if answer is None else list(dict.fromkeys(_names(answer)))


def submodules(folder: str) -> list[str]:
    """Paths of the submodules that the `.gitmodules` of a folder names."""
    pattern = r"^submodule\..*\.path$"
    try:
        answer = _git(folder, "config", "-z", "-f", ".gitmodules", "--get-regexp", pattern)
    except GitFailed:
        return []
    return [entry.partition("\n")[2] for entry in _names(answer or b"")]


def is_ignored(folder: str) -> bool:
    """Whether git would ignore the folder as a whole.  False where git does not say."""
    try:
        return _git(folder, "check-ignore", "-q", ".", may_say_no=True) is not None
    except GitFailed:
        return False


def uncommitted(root: str, names: Sequence[str]) -> dict[str, str]:
    """Which of the files (paths relative to the root) git could not give back, and why.

    A file is safe to rewrite where HEAD holds just the bytes that lie on the disk: tracked,
    neither modified nor staged, and watched by git at all.
    """
    reasons: dict[str, str] = {}
    for start in range(0, len(names), _PATHS_A_CALL):
        some = names[start : start + _PATHS_A_CALL]
        reasons |= _uncommitted(root, some)
    return reasons


def _uncommitted(root: str, names: Sequence[str]) -> dict[str, str]:
    reasons = dict.fromkeys(names, "it is not in git")
    literal = ("--literal-pathspecs",)
    for entry in _names(_git(root, *literal, "ls-files", "-v", "-z", "--", *names) or b""):
        tag, name = entry[:1], entry[2:]
        if tag == "H":
            reasons.pop(name, None)
        else:
            reasons[name] = "git was told not to watch it, or it is in conflict"
    status = ("status", "--porcelain=v1", "-z", "-uno", "--no-renames", "--ignore-submodules")
    for entry in _names(_git(root, *literal, *status, "--", *names) or b""):
        staged, modified, name = entry[0], entry[1], entry[3:]
        if modified != " ":
            reasons[name] = "it is modified"
        elif staged != " ":
            reasons[name] = "it is staged and not committed"
    asked = set(names)
    return {name: reason for name, reason in reasons.items() if name in asked}


def _names(answer: bytes) -> list[str]:
    return [os.fsdecode(name) for name in answer.split(b"\0") if name]


def _git(folder: str, *arguments: str, may_say_no: bool = False) -> bytes | None:
    """Standard output of git, run in a folder; None where git says that it is no work tree.

    may_say_no: exit status 1 without a message is an answer (None), not a failure.
    """
    import subprocess

    environment = {k: v for k, v in os.environ.items() if k not in _FOREIGN_SETTINGS}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            check=False,
        )
    except OSError as error:
        raise GitFailed(f"git cannot be run: {error.strerror}") from error
    if done.returncode == 0:
        return done.stdout
    complaint = done.stderr.decode("utf-8", "backslashreplace").strip()
    if any(words in complaint for words in _NO_WORK_TREE) or (may_say_no and not complaint):
        return None
    first = complaint.splitlines()[0] if complaint else f"exit status {done.returncode}"
    raise GitFailed(f"git refuses: {first}")
