"""Small trees of files and git repositories for the tests of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from codemods.findings import PROBLEMS, Bucket, Finding, Severity
from codemods.source import SourceOptions, SourceResult
from triton_kernels.moves import BY_CODE

PROJECT = Path(__file__).resolve().parents[2]
CODES = frozenset({*BY_CODE, *(problem.code for problem in PROBLEMS)})

OLD = "from triton_kernels.routing import RoutingData\n"
NEW = "from triton_kernels.matmul_ogs import RoutingData\n"
LEFT = "from triton_kernels.routing import ExptData\n"
ELSEWHERE = "print(1)\n"


def plant(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files, by their paths below the root."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def repository(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """A git repository in which the files are committed."""
    plant(root, files)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "start")
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder, those of git aside."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def migrate(
    *arguments: str | Path, cwd: Path, text: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python -m codemods.migrate` in a process of its own, started in `cwd`."""
    return subprocess.run(
        [sys.executable, "-m", "codemods.migrate", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(PROJECT)} | environment,
        capture_output=True,
        text=text,
        timeout=60,
    )


def old_to_new(data: bytes, name: str, options: SourceOptions) -> SourceResult:
    """A stand-in for `migrate_file` that is quick and plain: every OLD becomes NEW.

    It finds one place changed for each, and one place for a person for each LEFT.
    """
    findings = []
    for number, text in enumerate(data.decode("latin-1").splitlines(keepends=True), 1):
        if text == OLD:
            said = Finding(number, 1, "TKM001", Severity.INFO, "moved", "", Bucket.CHANGED)
            findings.append(said)
        elif text == LEFT:
            findings.append(
                Finding(
                    number, 1, "TKM004", Severity.WARNING, "stays", "Do it.", Bucket.FOR_A_PERSON
                )
            )
    new = data.replace(OLD.encode(), NEW.encode())
    return SourceResult(None if new == data else new, tuple(findings))
