"""Whether the imports that a rewrite brings in work here, tried in a process of their own.

The code to be migrated is not run: only modules of the library, by the names that it would import.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Sequence

from codemods.references import LIBRARY

Import = tuple[str, str]
"""A module, and a name in it ("" = the module itself)."""

_TRY = """
import importlib, json, os, sys

answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a module prints is no part of the answer
sys.path[:] = json.loads(sys.argv[1])
failures = []
for module, name in json.load(sys.stdin):
    try:
        found = importlib.import_module(module)
        if name and not hasattr(found, name):
            importlib.import_module(module + "." + name)
    except BaseException as error:
        lines = str(error).splitlines() or [""]
        failures.append([module, name, type(error).__name__ + ": " + lines[0]])
json.dump(failures, answer)
answer.close()
"""


def new_imports(before: bytes, after: bytes) -> frozenset[Import]:
    """The library's names that a file imports after its rewrite and did not import before."""
    return _imports(after) - _imports(before)


def failures(imports: Iterable[Import]) -> dict[Import, str]:
    """Of these imports those that do not work here, and why."""
    import json
    import subprocess

    asked = sorted(imports)
    if not asked:
        return {}
    path = json.dumps([entry for entry in sys.path if entry])
    done = subprocess.run(
        [sys.executable, "-I", "-c", _TRY, path],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    try:
        answers: list[tuple[str, str, str]] = json.loads(done.stdout)
    except ValueError:
        return dict.fromkeys(asked, f"the process that tried it ended with {done.returncode}")
    return {(module, name): reason for module, name, reason in answers}


def _imports(data: bytes) -> frozenset[Import]:
    return frozenset(found for source in _sources(data) for found in _imports_of(source))


def _sources(data: bytes) -> Sequence[bytes]:
    """The file itself or, of a notebook, its code cells."""
    if not data.lstrip().startswith(b"{"):
        return [data]
    import json

    try:
        cells = json.loads(data)["cells"]
        return ["".join(c["source"]).encode() for c in cells if c["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError):
        return [data]


def _imports_of(source: bytes) -> Iterable[Import]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # a cell with magics; the rewrite itself has been checked
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_ours(node.module or ""):
            assert node.module is not None
            yield from ((node.module, alias.name) for alias in node.names if alias.name != "*")


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == LIBRARY
