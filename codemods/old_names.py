"""Dotted paths of the table: which are old, and where in a text they stand."""

from __future__ import annotations

import re
from functools import lru_cache

from triton_kernels import moves
from triton_kernels.moves import Move

LIBRARY = "triton_kernels"


def is_removed_module(path: str) -> bool:
    """Whether a dotted path is a module that is no more, or lies in one."""
    return any(path == old or path.startswith(f"{old}.") for old in moves.BY_OLD_MODULE)


def old_name_in(path: str) -> str:
    """The longest prefix of a dotted path that is the old name of a row ("" = none)."""
    while path:
        if path in moves.BY_OLD_NAME:
            return path
        path = path.rpartition(".")[0]
    return ""


def row_of(path: str) -> Move | None:
    """The row of an old name, or of the removed module that it lies in."""
    while path:
        move = moves.BY_OLD_NAME.get(path) or moves.BY_OLD_MODULE.get(path)
        if move is not None:
            return move
        path = path.rpartition(".")[0]
    return None


@lru_cache(maxsize=8)
def path_pattern(paths: tuple[str, ...]) -> re.Pattern[str]:
    """Finds the dotted paths, not as the tail of a longer one."""
    return re.compile(rf"(?:{_any_of(paths)})(?!\w)")


@lru_cache(maxsize=8)
def old_path_pattern(vendored: tuple[str, ...] = ()) -> re.Pattern[str]:
    """Finds removed modules and what is in them, also in copies of the library."""
    modules = sorted(moves.BY_OLD_MODULE, key=len, reverse=True)
    tails = "|".join(re.escape(module.removeprefix(f"{LIBRARY}.")) for module in modules)
    return re.compile(
        rf"(?P<prefix>{_any_of((LIBRARY, *vendored))})"
        rf"(?P<rest>\.(?:{tails})(?:\.[A-Za-z_]\w*)*)(?!\w)"
    )


@lru_cache(maxsize=8)
def import_pattern(paths: tuple[str, ...]) -> re.Pattern[str]:
    """Finds what may be an import of the paths, and hardly anything else."""
    packages = {path.rpartition(".")[0] for path in paths} - {""}
    words = _any_of((*paths, *sorted(packages)))
    return re.compile(rf"\b(?:from|import)\b(?:[^\r\n\\]|\\\r\n|\\\r|\\\n)*?(?:{words})(?!\w)")


def _any_of(paths: tuple[str, ...]) -> str:
    """A pattern for any of the paths, not as the tail of a longer one.

    What stands before is asked for last: with its first letter known, a search is ten times faster.
    """
    longest_first = sorted(map(re.escape, paths), key=len, reverse=True)
    return "|".join(rf"{path}(?<![\w.]{path})" for path in longest_first)
