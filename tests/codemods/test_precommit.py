"""The hooks for pre-commit: what their file says, run as pre-commit runs it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # LibCST brings it
from trees import LEFT, NEW, OLD, PROJECT, contents, git, plant, repository

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

HOOKS = {hook["id"]: hook for hook in yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").open())}
SCRIPTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
SUFFIXES = {"python": ".py", "pyi": ".pyi", "jupyter": ".ipynb"}


def run_hook(hook_id: str, root: Path) -> subprocess.CompletedProcess[str]:
    """On the staged files of the hook's types, named relative to the repository's root."""
    hook = HOOKS[hook_id]
    suffixes = tuple(SUFFIXES[kind] for kind in hook["types_or"])
    staged = git(root, "diff", "--staged", "--name-only", "--diff-filter=ACMRTUXB").splitlines()
    script, *arguments = shlex.split(hook["entry"]) + hook.get("args", [])
    module, _, function = SCRIPTS[script].partition(":")
    return subprocess.run(
        [sys.executable, "-c", f"import sys; from {module} import {function}; {function}()"]
        + arguments
        + [name for name in staged if name.endswith(suffixes)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """A repository with three staged files of ours, one of another kind, and one not staged."""
    root = repository(tmp_path, {"old.py": OLD, "README.md": "x\n"})
    plant(root, {"a.py": OLD, "pkg/b.pyi": OLD, "c.py": "x = 1\n", "README.md": OLD})
    git(root, "add", "-A")
    return root


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_a_hook_has_what_pre_commit_asks_for(hook):
    assert {"id", "name", "entry", "language"} <= hook.keys()
    assert set(hook["types_or"]) == set(SUFFIXES)
    assert shlex.split(hook["entry"])[0] in SCRIPTS
    assert hook["language"] == "python"


def test_the_migrating_hook_rewrites_what_is_staged_and_nothing_else(staged):
    done = run_hook("triton-kernels-migrate", staged)
    assert done.returncode == 0, done
    after = contents(staged)
    assert after["a.py"] == after["pkg/b.pyi"] == NEW.encode()
    assert after["old.py"] == after["README.md"] == OLD.encode()
    # pre-commit stops the commit because files changed; staged again, they pass.
    git(staged, "add", "-A")
    assert run_hook("triton-kernels-migrate", staged).returncode == 0
    assert git(staged, "diff") == ""


def test_the_checking_hook_fails_and_changes_nothing(staged):
    before = contents(staged)
    done = run_hook("triton-kernels-check", staged)
    assert done.returncode == 1
    assert "a.py" in done.stdout
    assert contents(staged) == before
    plant(staged, {"a.py": NEW, "pkg/b.pyi": NEW})
    git(staged, "add", "-A")
    assert run_hook("triton-kernels-check", staged).returncode == 0


def test_what_is_left_for_a_person_stops_the_commit(staged):
    plant(staged, {"a.py": LEFT, "pkg/b.pyi": "x: int\n"})
    git(staged, "add", "-A")
    done = run_hook("triton-kernels-migrate", staged)
    assert done.returncode == 1
    assert "a.py:1:" in done.stdout


def test_pre_commit_itself_takes_the_file():
    clientlib = pytest.importorskip("pre_commit.clientlib", reason="pre-commit is not installed")
    hooks = clientlib.load_manifest(str(PROJECT / ".pre-commit-hooks.yaml"))
    assert [hook["id"] for hook in hooks] == list(HOOKS)
