"""Which files there are to look at, and which of them mention the library."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codemods import worktree
from codemods.file_kinds import LIBRARY, concerns_us, is_wanted
from codemods.progress import Progress

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MAX_BYTES = 10_000_000
"""Larger files are searched and not kept: LibCST takes more than a second for each MB."""

_SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"

# O_NONBLOCK: a named pipe called `x.py` must not hold the run up.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


class MissingPath(Exception):
    """An argument names nothing that is there, or no file and no folder."""


class TooLarge(OSError):
    """A file that mentions the library and is larger than MAX_BYTES."""


class BadPattern(Exception):
    """An `--exclude` pattern that gitignore rules cannot read."""


@dataclass(frozen=True)
class Tree:
    """One argument and the files that it stands for.

    argument: as the user wrote it.  root: its absolute path with links resolved; for a file, the
    folder that it lies in.  names: paths relative to the root, with "/", sorted.
    """

    argument: str
    root: str
    names: tuple[str, ...]
    is_file: bool = False

    def shown(self, name: str) -> str:
        """A file's path as it means something to the user: from where the argument does."""
        argument = self.argument.replace(os.sep, "/")
        if self.is_file:
            return argument
        if argument in (".", "./"):
            return name
        return f"{argument.rstrip('/')}/{name}"


@dataclass(frozen=True)
class Trouble:
    """A file or folder that the operating system would not give."""

    tree: Tree
    name: str
    error: OSError


@dataclass(frozen=True)
class Candidate:
    """A file that mentions the library, and the bytes that were read.

    location: the absolute path of the real file, links resolved.
    """

    tree: Tree
    name: str
    location: str
    data: bytes


@dataclass
class Discovery:
    """nested: repositories inside the arguments, not entered.  roots: of the arguments, in order.
    seen: files found.  searched: files read.  needles: what a candidate holds one of."""

    needles: tuple[bytes, ...] = (LIBRARY,)
    candidates: list[Candidate] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    seen: int = 0
    searched: int = 0


def discover(
    arguments: Sequence[str],
    exclude: Sequence[str],
    gitignore: bool,
    progress: Progress,
    needles: Sequence[bytes] = (LIBRARY,),
) -> Discovery:
    """Find the files of the arguments, read each once, keep those that mention the library.

    Taken are Python files, stubs, notebooks, and files in which projects pin dependencies.

    Every file comes once, under the first argument that leads to it.
    exclude: gitignore patterns, relative to each folder argument.
    needles: see `codemods.file_kinds.needles_of`.
    Raises MissingPath and BadPattern before any file is read.
    """
    found = Discovery(needles=tuple(needles))
    excluded = _patterns(exclude)
    trees = [_tree(argument, excluded, gitignore, found) for argument in arguments]
    found.roots = [tree.root for tree in trees]
    progress.begin("searching", sum(len(tree.names) for tree in trees))
    _read(trees, found, progress)
    return found


def _patterns(exclude: Sequence[str]) -> GitIgnoreSpec | None:
    if not exclude:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(exclude)
    except ValueError as error:
        raise BadPattern(str(error)) from error


def _tree(argument: str, excluded: GitIgnoreSpec | None, gitignore: bool, found: Discovery) -> Tree:
    try:
        mode = os.stat(argument).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingPath(f"{argument}: {reason}") from error
    if stat.S_ISREG(mode):
        folder, name = os.path.split(os.path.abspath(argument))
        return Tree(argument, os.path.realpath(folder), (name,), is_file=True)
    if not stat.S_ISDIR(mode):
        raise MissingPath(f"{argument}: neither a file nor a folder")
    root = os.path.realpath(argument)
    names = _names_from_git(argument, root, found) if gitignore else None
    if names is None:
        walk = _Walk(root, excluded, gitignore)
        names = walk.names()
        place = Tree(argument, root, ())
        found.troubles += [Trouble(place, name, error) for name, error in walk.unlistable]
    if excluded is not None:
        names = [name for name in names if not excluded.match_file(name)]
    return Tree(argument, root, tuple(sorted(names)))


def _names_from_git(argument: str, root: str, found: Discovery) -> list[str] | None:
    """The files below a folder by git's own rules; None where git has none for it."""
    try:
        names = worktree.listing(root)
    except worktree.GitFailed:
        return None  # the walk reads the same .gitignore files
    if names is None or (not names and worktree.is_ignored(root)):
        return None  # a folder that is ignored as a whole, yet was named by the user
    folders: dict[str, bool] = {"": True}
    nested = [name for name in names if name.endswith("/") and _is_open(root, name, folders)]
    if ".gitmodules" in names:
        nested += [f"{name}/" for name in worktree.submodules(root) if name in names]
    found.nested += [Tree(argument, root, ()).shown(name) for name in nested]
    return [name for name in names if is_wanted(name) and _is_open(root, name, folders)]


def _is_open(root: str, name: str, known: dict[str, bool]) -> bool:
    """Whether the folder of a name is one that we enter, as are all folders above it."""
    folder = name.rpartition("/")[0] if not name.endswith("/") else name[:-1]
    if folder not in known:
        path = f"{root}/{folder}"
        known[folder] = (
            _is_open(root, folder, known)
            and not _is_skipped(folder.rpartition("/")[2])
            and not os.path.islink(path)
            and not os.path.exists(f"{path}/{_VIRTUAL_ENVIRONMENT}")
        )
    return known[folder]


def _is_skipped(folder: str) -> bool:
    return folder.startswith(".") or folder in _SKIPPED_FOLDERS


@dataclass
class _Walk:
    """A walk through a folder outside git, or without git's rules.

    unlistable: folders (relative, ending in "/") whose entries could not be read.
    """

    root: str
    excluded: GitIgnoreSpec | None
    gitignore: bool
    unlistable: list[tuple[str, OSError]] = field(default_factory=list)

    def names(self) -> list[str]:
        names: list[str] = []
        rules = self._rules_above() if self.gitignore else ()
        pending = [("", rules)]
        while pending:
            prefix, rules = pending.pop()
            try:
                with os.scandir(f"{self.root}/{prefix}") as listed:
                    entries = list(listed)
            except OSError as error:
                self.unlistable.append((prefix, error))
                continue
            present = {entry.name for entry in entries}
            if prefix and _VIRTUAL_ENVIRONMENT in present:
                continue
            if self.gitignore and ".gitignore" in present:
                rules = (*rules, _Rules.read(self.root, prefix))
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if not _is_skipped(entry.name) and not self._is_ignored(f"{name}/", rules):
                        pending.append((f"{name}/", rules))
                elif is_wanted(name) and not self._is_ignored(name, rules):
                    if entry.is_symlink() or entry.is_file():
                        names.append(name)
        return names

    def _rules_above(self) -> tuple[_Rules, ...]:
        """Those of the folders between the root of a work tree and the folder of the walk."""
        top = worktree.work_tree_above(self.root)
        if top is None or top == self.root:
            return ()
        steps = os.path.relpath(self.root, top).split(os.sep)
        folders = [os.path.join(top, *steps[:count]) for count in range(len(steps))]
        rules = tuple(
            _Rules.read(folder, "", "/".join(steps[count:]) + "/")
            for count, folder in enumerate(folders)
            if os.path.exists(os.path.join(folder, ".gitignore"))
        )
        # The user named a folder that is ignored as a whole: what is below it is wanted.
        return () if _verdict(rules, "") else rules

    def _is_ignored(self, name: str, rules: tuple[_Rules, ...]) -> bool:
        if self.excluded is not None and self.excluded.match_file(name):
            return True
        return bool(_verdict(rules, name))


@dataclass(frozen=True)
class _Rules:
    """One .gitignore file.

    below: the prefix of the names that it is about.  above: what to put before such a name, where
    the file lies above the folder of the walk.
    """

    spec: GitIgnoreSpec
    below: str
    above: str = ""

    @staticmethod
    def read(root: str, prefix: str, above: str = "") -> _Rules:
        from pathspec import GitIgnoreSpec

        try:
            with open(
                f"{root}/{prefix}.gitignore", encoding="utf-8", errors="surrogateescape"
            ) as f:
                lines = f.read().splitlines()
        except OSError:
            lines = []
        spec = GitIgnoreSpec.from_lines([])
        for line in lines:
            try:
                spec += GitIgnoreSpec.from_lines([line])
            except ValueError:
                continue  # git passes over a pattern that it cannot read
        return _Rules(spec, prefix, above)

    def verdict(self, name: str) -> bool | None:
        return self.spec.check_file(self.above + name[len(self.below) :]).include


def _verdict(rules: Sequence[_Rules], name: str) -> bool | None:
    """Of the last file that says anything about a name; None where none does."""
    verdicts = (rule.verdict(name) for rule in reversed(rules))
    return next((verdict for verdict in verdicts if verdict is not None), None)


def _read(trees: Sequence[Tree], found: Discovery, progress: Progress) -> None:
    """Read every file once and keep the bytes of those that mention the library."""
    taken: set[str] = set()
    links: list[tuple[Tree, str]] = []
    for tree in trees:
        for name in tree.names:
            progress.advance(1)
            location = f"{tree.root}/{name}" if tree.root != "/" else f"/{name}"
            if location in taken:
                continue
            taken.add(location)
            try:
                data = _bytes_of(location, found.needles)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EMLINK):
                    links.append((tree, name))
                elif not isinstance(error, FileNotFoundError):  # tracked by git, and deleted
                    found.seen += 1
                    found.troubles.append(Trouble(tree, name, error))
                continue
            _keep(found, tree, name, location, data)
    for tree, name in links:
        _read_link(tree, name, taken, found)


def _read_link(tree: Tree, name: str, taken: set[str], found: Discovery) -> None:
    """A link is read where it leads to a file of its own tree that nothing else has led to."""
    location = os.path.realpath(f"{tree.root}/{name}")
    inside = os.path.commonpath([tree.root, location]) == tree.root
    if location in taken or not (inside or tree.is_file):
        return
    taken.add(location)
    try:
        data = _bytes_of(location, found.needles)
    except FileNotFoundError:
        return  # a link that leads nowhere, as some editors make for a lock
    except OSError as error:
        found.seen += 1
        found.troubles.append(Trouble(tree, name, error))
        return
    _keep(found, tree, name, location, data)


def _keep(found: Discovery, tree: Tree, name: str, location: str, data: bytes | None) -> None:
    if data is None:
        return
    found.seen += 1
    found.searched += 1
    if concerns_us(name, data, found.needles):
        found.candidates.append(Candidate(tree, name, location, data))


def _bytes_of(location: str, needles: Sequence[bytes]) -> bytes | None:
    """The bytes of a regular file, in four system calls; None where it is something else.

    Raises OSError with errno ELOOP (EMLINK on some systems) where it is a link, TooLarge where it
    mentions the library and is larger than MAX_BYTES; if it does not mention it, b"" stands for it.
    """
    if not _NO_FOLLOW and os.path.islink(location):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    handle = os.open(location, _OPEN_FLAGS | _NO_FOLLOW)
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            return None
        if facts.st_size > MAX_BYTES:
            return _search(handle, facts.st_size, needles)
        data = os.read(handle, facts.st_size + 1)
        if len(data) == facts.st_size:
            return data
        pieces = [data]  # it grew while we read, or the system gave less than it has
        while piece := os.read(handle, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(handle)


def _search(handle: int, size: int, needles: Sequence[bytes]) -> bytes:
    """b"" for a large file that does not mention the library.  Raises TooLarge if it does."""
    tail = b""
    while piece := os.read(handle, 1 << 20):
        if any(needle in tail + piece for needle in needles):
            limit = f"the limit is {MAX_BYTES // 10**6} MB"
            raise TooLarge(errno.EFBIG, f"it holds {size / 1e6:,.1f} MB, and {limit}")
        tail = piece[-100:]  # the name may lie across two pieces
    return b""
