"""Settings of a project: `[tool.triton-kernels-migrate]` in the pyproject.toml around it.

What the command line says goes first; a setting says what it leaves open.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

from codemods import targets

FILE = "pyproject.toml"
TABLE = "triton-kernels-migrate"
RELEASES = ("pr8375", "3.6")
"""What code can be said to be written for, see `SourceOptions.written_for`."""

_AT_LINE = re.compile(r" ?\(at line (\d+), column \d+\)$|(?: ?\(at end of document\)$)")


class BadConfig(Exception):
    """The settings cannot be used; the text names file, line and what is wrong."""


@dataclass(frozen=True)
class Settings:
    """What a project has set; None = nothing.  origin: the file, for messages ("" = none)."""

    select: list[str] | None = None
    ignore: list[str] | None = None
    exclude: list[str] | None = None
    vendored: list[str] | None = None
    target: str | None = None
    written_for: str | None = None
    unsafe: bool | None = None
    verify_imports: bool | None = None
    gitignore: bool | None = None
    jobs: int | None = None
    origin: str = ""


def keys() -> list[str]:
    """The keys of the table, as they are written."""
    return [_key(field.name) for field in fields(Settings) if field.name != "origin"]


def _key(name: str) -> str:
    return "from" if name == "written_for" else name.replace("_", "-")


def closest(word: str, known: Sequence[str]) -> str:
    """The end of a message about a word that is not known."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def load(paths: Sequence[str]) -> Settings:
    """The settings for a run on these files and folders.

    They are those of the nearest pyproject.toml that has any, from the folder of all paths upwards
    to the root of its work tree.  Raises BadConfig.
    """
    try:
        folder = os.path.commonpath([os.path.realpath(path) for path in paths])
    except ValueError:  # on different drives, or a name that no system takes
        return Settings()
    while True:
        file = os.path.join(folder, FILE)
        try:
            with open(file, "rb") as stream:
                data = stream.read()
        except (OSError, ValueError):
            data = b""
        # Another tool's broken file is not our business: only one that names us is parsed.
        if TABLE.encode() in data:
            settings = _parse(os.path.relpath(file), data)
            if settings is not None:
                return settings
        parent = os.path.dirname(folder)
        if parent == folder or os.path.exists(os.path.join(folder, ".git")):
            return Settings()
        folder = parent


def _parse(file: str, data: bytes) -> Settings | None:
    """The settings in one file, None where it has no table of ours."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadConfig(f"{file}:{line}: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        match = _AT_LINE.search(str(error))
        line = int(match[1]) if match and match[1] else text.count("\n") + 1
        raise BadConfig(f"{file}:{line}: {_AT_LINE.sub('', str(error))}") from None
    tool = document.get("tool")
    table = tool.get(TABLE) if isinstance(tool, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise BadConfig(f"{file}: tool.{TABLE} is no table")
    settings = Settings(origin=file)
    for key, value in table.items():
        place = f"{file}:{_line_of(text, key)}"
        if key not in keys():
            raise BadConfig(f"{place}: unknown key {key!r}: {closest(key, keys())}")
        expected, is_right = _EXPECTED[key]
        if not is_right(value):
            raise BadConfig(f"{place}: {key}: {expected} was expected, not {value!r}")
        _check_choice(place, key, value)
        name = "written_for" if key == "from" else key.replace("-", "_")
        settings = replace(settings, **{name: value})
    return settings


def _check_choice(place: str, key: str, value: object) -> None:
    choices = {"target": targets.NAMES, "from": RELEASES}.get(key)
    if choices is not None and value not in choices:
        raise BadConfig(f"{place}: unknown {key} {value!r}: {closest(str(value), choices)}")


def _line_of(text: str, key: str) -> int:
    """The line that sets a key of the table; that of the table where it is not plain to see."""
    header = re.search(rf"^\s*\[\s*tool\s*\.\s*[\"']?{TABLE}[\"']?\s*\]", text, re.M)
    start = header.end() if header else 0
    found = re.compile(rf"^\s*[\"']?{re.escape(key)}[\"']?\s*=", re.M).search(text, start)
    return text.count("\n", 0, found.end() if found else start) + 1


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


_STRINGS = ("a list of strings", _is_strings)
_BOOL = ("true or false", _is_bool)
_STRING = ("a string", _is_string)

_EXPECTED: dict[str, tuple[str, Callable[[object], bool]]] = {
    "select": _STRINGS,
    "ignore": _STRINGS,
    "exclude": _STRINGS,
    "vendored": _STRINGS,
    "target": _STRING,
    "from": _STRING,
    "unsafe": _BOOL,
    "verify-imports": _BOOL,
    "gitignore": _BOOL,
    "jobs": ("a whole number from 1", _is_count),
}
