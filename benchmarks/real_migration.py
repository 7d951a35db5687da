"""Migrate two published projects that use the old module: right, and how far from the floor?

    python benchmarks/real_migration.py [--keep FOLDER] [--repeats N]

Fetches the wheels with pip, unpacks each into a git repository, migrates it, checks the result, and
prints the wall time beside the floor: a bare Python process that lists, reads and searches the same
bytes.  Needs git and, to see whether imported names exist, the kernels extra.  Exits 1 if a check
fails; the times are printed and not judged by the exit code, since they are the machine's too.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OLD_MODULE = "triton_kernels.routing"


@dataclass(frozen=True)
class Project:
    """A wheel, and the files in it that name the old module."""

    name: str
    version: str
    legacy_files: frozenset[str]


PROJECTS = (
    Project("gpt-oss", "0.0.8", frozenset({"gpt_oss/triton/moe.py"})),
    Project(
        "sglang",
        "0.5.2",
        frozenset(
            {
                "sglang/srt/layers/moe/fused_moe_triton/triton_kernels_moe.py",
                "sglang/srt/layers/moe/topk.py",
            }
        ),
    ),
)

FLOOR = """
import os, sys, time
start = time.perf_counter()
folders, files, size, hits = [sys.argv[1]], 0, 0, 0
while folders:
    for entry in os.scandir(folders.pop()):
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith("."):
                folders.append(entry.path)
        elif entry.name.endswith(".py"):
            with open(entry.path, "rb", buffering=0) as file:
                data = file.read()
            files, size, hits = files + 1, size + len(data), hits + (b"triton_kernels" in data)
print(time.perf_counter() - start, files, size, hits)
"""
"""The least that any tool must do that looks at every Python file of a tree."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there and leave it there")
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="timed runs (7)")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        failures = [
            f"{project.name}: {problem}"
            for project in PROJECTS
            for problem in measure(project, fetch(project, folder), arguments.repeats)
        ]
    for failure in failures:
        print(f"FAILED  {failure}")
    return 1 if failures else 0


def fetch(project: Project, folder: Path) -> Path:
    """The project's tree, freshly unpacked and committed to a git repository."""
    tree = folder / project.name
    if not (tree / ".git").exists():
        wheels = folder / "wheels"
        options = ["--no-deps", "--python-version", "3.12", "--only-binary=:all:", "-q"]
        requirement = f"{project.name}=={project.version}"
        pip = [sys.executable, "-m", "pip", "download", *options, "-d", str(wheels)]
        subprocess.run([*pip, requirement], check=True)
        (wheel,) = wheels.glob(f"{project.name.replace('-', '_')}-{project.version}-*.whl")
        tree.mkdir()
        zipfile.ZipFile(wheel).extractall(tree)
        git(tree, "init", "-q")
        git(tree, "add", "--all", "--force")
        identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
        git(tree, *identity, "commit", "-q", "-m", requirement)
    restore(tree)
    return tree


def measure(project: Project, tree: Path, repeats: int) -> list[str]:
    """Print one project's table; return what is wrong with the result."""
    start_up_s = median_seconds(lambda: run_python("-I", "-S", "-c", "pass"), repeats)
    floor_s = median_seconds(lambda: run_python("-I", "-S", "-c", FLOOR, str(tree)), repeats)
    inside, files, size, hits = run_python("-I", "-S", "-c", FLOOR, str(tree)).split()
    check_s = median_seconds(lambda: migrate(tree, "--check"), repeats)
    rewrite_s = median_seconds(lambda: migrate(tree), repeats, before=lambda: restore(tree))

    print(f"\n{project.name} {project.version}: {files} Python files, {int(size) / 1e6:.1f} MB")
    print(f"  files with the bytes `triton_kernels`: {hits}")
    for what, seconds in (
        ("start of a bare Python", start_up_s),
        ("floor, without that start", float(inside)),
        ("floor: list, read, search", floor_s),
        ("migrate --check", check_s),
        ("migrate", rewrite_s),
    ):
        print(f"  {what:<28}{seconds * 1e3:8.0f} ms{seconds / floor_s:8.1f} x floor")
    limit_s = 3 * floor_s + 0.2
    verdict = "within" if max(check_s, rewrite_s) <= limit_s else "ABOVE"
    print(f"  {'aim: 3 x floor + 200 ms':<28}{limit_s * 1e3:8.0f} ms    {verdict}")

    restore(tree)
    problems, report = migrate_and_check(project, tree)
    print_findings(report)
    return problems


def migrate_and_check(project: Project, tree: Path) -> tuple[list[str], dict[str, object]]:
    """Migrate the tree; return what is wrong with the result, and the tool's own report."""
    before = {name: (tree / name).read_text() for name in project.legacy_files}
    report = json.loads(migrate(tree, "--report", "json"))
    problems = []
    changed = changed_files(tree)
    if changed != project.legacy_files:
        problems.append(f"changed {sorted(changed)}, expected {sorted(project.legacy_files)}")
    for name in sorted(project.legacy_files):
        old, new = ast.parse(before[name]), ast.parse((tree / name).read_text())
        if OLD_MODULE in modules_imported(new):
            problems.append(f"{name} still imports {OLD_MODULE}")
        if imports_of_others(old) != imports_of_others(new):
            problems.append(f"{name}: an import of another package changed")
        print_imports(name, new)
    after = {name: (tree / name).read_bytes() for name in changed}
    migrate(tree, "--allow-dirty")
    if after != {name: (tree / name).read_bytes() for name in changed_files(tree)}:
        problems.append("a second run changed something")
    return problems, report


def modules_imported(module: ast.Module) -> set[str]:
    names = {n.module or "" for n in ast.walk(module) if isinstance(n, ast.ImportFrom)}
    plain = [n for n in ast.walk(module) if isinstance(n, ast.Import)]
    return names | {alias.name for n in plain for alias in n.names}


def imports_of_others(module: ast.Module) -> Counter[str]:
    """Every import statement that is not of the library, own `triton_kernels*` modules included."""
    found: Counter[str] = Counter()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            if node.level or (node.module or "").partition(".")[0] != "triton_kernels":
                found[ast.unparse(node)] += 1
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] != "triton_kernels":
                    found[ast.unparse(alias)] += 1
    return found


def print_imports(name: str, module: ast.Module) -> None:
    """Say which names that the file imports from the library can be imported here."""
    here: list[str] = []
    absent: list[str] = []
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module is not None:
            if node.module.partition(".")[0] == "triton_kernels":
                for alias in node.names:
                    found = exists(node.module, alias.name)
                    (here if found else absent).append(f"{node.module}.{alias.name}")
    print(f"  {name} now imports from the library")
    print(f"    importable here  {', '.join(sorted(here)) or '-'}")
    print(f"    not here         {', '.join(sorted(absent)) or '-'}")


def exists(module: str, name: str) -> bool:
    try:
        found = importlib.import_module(module)
    except ImportError:
        return False
    if hasattr(found, name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ImportError:
        return False
    return True


def print_findings(report: dict[str, object]) -> None:
    files = report["files"]
    assert isinstance(files, list)
    print(f"  files by status: {dict(Counter(file['status'] for file in files))}")
    for file in files:
        for finding in file["findings"]:
            place = f"{file['path']}:{finding['line']}"
            print(f"  {finding['severity']:<8}{finding['code']}  {place}  {finding['message']}")


def median_seconds(
    action: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None
) -> float:
    """Median wall seconds of `action`, after one run that is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        before()
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def migrate(tree: Path, *options: str) -> str:
    """Run the command line as a user does; 0 and 1 are its answers, 2 is a failure."""
    command = [sys.executable, "-m", "codemods.migrate", *options, str(tree)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def run_python(*arguments: str) -> str:
    command: Sequence[str] = [sys.executable, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def changed_files(tree: Path) -> frozenset[str]:
    lines = git(tree, "status", "--porcelain", "--ignored").splitlines()
    return frozenset(line[3:] for line in lines)


def restore(tree: Path) -> None:
    git(tree, "reset", "-q", "--hard")


def git(tree: Path, *arguments: str) -> str:
    command = ["git", "-C", str(tree), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
