"""What kind of file a name says it is, and whether its bytes can concern us at all.

Asked of every file of a tree, so it imports next to nothing and looks at bytes, not at text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LIBRARY = b"triton_kernels"
SOURCES = (".py", ".pyi", ".ipynb")
"""Suffixes of the files that can be rewritten."""

# Most names are none of a pin file's: this says so in a tenth of the time.
_MAY_PIN = re.compile(r"\.(?:txt|in|toml|cfg|cmake)$|(?:docker|container)file", re.I)
_REQUIREMENTS = re.compile(r"requirements|constraints", re.I)
_PIN_FILES = re.compile(
    r"pyproject\.toml|setup\.cfg|CMakeLists\.txt|.+\.cmake"
    r"|(?:.+[.-])?(?:Dockerfile|Containerfile)(?:[.-].+)?|.+\.dockerfile",
    re.I,
)
_PIN = re.compile(rb"triton[_-]kernels|github\.com[/:]triton-lang/triton\b", re.I)


def is_wanted(name: str) -> bool:
    """Whether a file of this name (or path, with `/`) is one that we treat."""
    return name.endswith(SOURCES) or is_pin_file(name)


def is_pin_file(name: str) -> bool:
    """Whether a file of this name (or path, with `/`) is one in which projects pin dependencies."""
    if _MAY_PIN.search(name) is None:
        return False
    folder, _, leaf = name.rpartition("/")
    if leaf.endswith((".txt", ".in")) and (
        _REQUIREMENTS.search(leaf) or _REQUIREMENTS.fullmatch(folder.rpartition("/")[2])
    ):
        return True
    return _PIN_FILES.fullmatch(leaf) is not None


def mentions_library(data: bytes) -> bool:
    """Whether the bytes can concern us at all: False means the file is never parsed."""
    return LIBRARY in data


def mentions_pin(data: bytes) -> bool:
    """Whether the bytes of a pin file can hold a pin of the library."""
    return _PIN.search(data) is not None


def needles_of(vendored: Sequence[str]) -> tuple[bytes, ...]:
    """What a file must hold one of: the library's name, or the last word of a vendored prefix."""
    words = (prefix.rpartition(".")[2].encode() for prefix in vendored)
    return (LIBRARY, *(word for word in words if LIBRARY not in word))


def concerns_us(name: str, data: bytes, needles: Sequence[bytes] = (LIBRARY,)) -> bool:
    """Whether a file is a candidate: worth more than a look at its bytes."""
    for needle in needles:
        if needle in data:
            return True
    return not name.endswith(SOURCES) and mentions_pin(data)
