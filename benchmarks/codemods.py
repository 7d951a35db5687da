"""How long the migration of whole projects takes, beside other tools and beside the floor.

    python benchmarks/codemods.py [--keep FOLDER] [--repeats N] [PROJECT...]

Fetches sglang, transformers and vllm with pip and unpacks each into a git repository.  On each it
runs the migration, the same on a copy without the files that mention the library (nothing to do),
`ruff check --select NPY201` (the rule of another library's migration, on the same files) and, on
the files that mention the library alone, LibCST's own runner with its RenameCommand.  The floor is
a bare Python process that lists, reads and searches the same bytes.

Wall times are medians of whole processes.  What other processes take of the cores is in them, so
the ratios to the floor say more than the times.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from real_migration import FLOOR, ROOT, git, restore

NEEDLE = b"triton_kernels"


@dataclass(frozen=True)
class Project:
    name: str
    version: str
    is_sdist: bool = False


PROJECTS = (
    Project("sglang", "0.5.2"),
    Project("transformers", "4.55.0"),
    Project("vllm", "0.33.0", is_sdist=True),
)


@dataclass(frozen=True)
class Cost:
    """Of one process with its children: wall and processor seconds, and the largest one's peak."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("projects", nargs="*", metavar="PROJECT", help="by name; default: all")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there and leave it there")
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="timed runs (7)")
    arguments = parser.parse_args()
    chosen = [p for p in PROJECTS if p.name in (arguments.projects or [p.name])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for project in chosen:
            measure(project, fetch(project, folder), folder, arguments.repeats)


def measure(project: Project, tree: Path, folder: Path, repeats: int) -> None:
    quiet = folder / f"{project.name}-without"
    twice = folder / f"{project.name}-twice"
    hits = folder / f"{project.name}-hits"
    mentioning = copies(tree, quiet, twice, hits)
    size = sum(path.stat().st_size for path in sorted(tree.rglob("*.py")) if path.is_file())
    print(f"\n{project.name} {project.version}: {size / 1e6:.1f} MB of Python, ", end="")
    print(f"{mentioning} files mention the library; {os.cpu_count()} cores")
    print(f"  {'':<46}{'wall':>9}{'cpu':>10}{'peak':>9}")
    bare = [sys.executable, "-I", "-S"]
    floor = cost([*bare, "-c", FLOOR, str(tree)], repeats)
    ours = [sys.executable, "-m", "codemods.migrate"]
    check = cost([*ours, "--check", str(tree)], repeats)
    rows = [
        ("bare Python, -c pass", cost([*bare, "-c", "pass"], repeats)),
        ("floor: list, read, search", floor),
        ("migrate, nothing to do", cost([*ours, str(quiet)], repeats)),
        ("migrate --check", check),
        ("migrate --check, twice the tree", cost([*ours, "--check", str(twice)], repeats)),
        ("migrate --check, --jobs 1", cost([*ours, "--check", "--jobs", "1", str(tree)], repeats)),
        ("migrate", cost([*ours, str(tree)], repeats, restored=tree)),
        ("ruff check --select NPY201 --no-cache", cost(ruff(tree), repeats)),
    ]
    show(rows, floor, "floor")
    alone = cost([*ours, "--check", str(hits)], repeats)
    theirs = cost(libcst(hits), max(1, repeats // 3), restored=hits)
    print("  only the files that mention the library:")
    show(
        [("migrate --check", alone), ("LibCST's runner, RenameCommand, -j 2", theirs)], alone, "us"
    )


def show(rows: Sequence[tuple[str, Cost]], against: Cost, name: str) -> None:
    for what, spent in rows:
        ratio = spent.wall_s / against.wall_s
        print(
            f"  {what:<46}{spent.wall_s * 1e3:6.0f} ms{spent.cpu_s * 1e3:7.0f} ms"
            f"{spent.peak_mb:6.0f} MB{ratio:8.2f} x {name}"
        )


def ruff(tree: Path) -> list[str]:
    options = ["check", "--select", "NPY201", "--no-cache", "--isolated", "--exit-zero", "-q"]
    return [sys.executable, "-m", "ruff", *options, str(tree)]


def libcst(tree: Path) -> list[str]:
    names = ["--old_name", "triton_kernels.matmul_ogs", "--new_name", "triton_kernels.matmul"]
    runner = [sys.executable, "-m", "libcst.tool", "codemod", "rename.RenameCommand"]
    return [*runner, *names, "-j", "2", "--no-format", "--hide-progress", str(tree)]


def cost(command: Sequence[str], repeats: int, restored: Path | None = None) -> Cost:
    """The median run of a command, after one that is not counted.

    restored: a repository to be set back before each run.
    """
    costs = []
    for _ in range(repeats + 1):
        if restored is not None:
            restore(restored)
        costs.append(one_run(command))
    middle = sorted(costs[1:], key=lambda spent: spent.wall_s)[(repeats - 1) // 2]
    return Cost(middle.wall_s, middle.cpu_s, statistics.median(c.peak_mb for c in costs[1:]))


def one_run(command: Sequence[str]) -> Cost:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=tempfile.gettempdir(),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def copies(tree: Path, quiet: Path, twice: Path, hits: Path) -> int:
    """The tree's Python files that do not mention the library; the tree twice; those that do."""
    candidates = (path for path in sorted(tree.rglob("*.py")) if path.is_file())
    mentioning = [path for path in candidates if NEEDLE in path.read_bytes()]
    if not hits.exists():
        ignore = shutil.ignore_patterns(".git")
        for place in (quiet, twice / "first", twice / "second"):
            shutil.copytree(tree, place, ignore=ignore, symlinks=True)
        for path in mentioning:
            (quiet / path.relative_to(tree)).unlink()
        for other in quiet.rglob("*"):  # which may pin the library
            if other.is_symlink() or (other.is_file() and other.suffix not in (".py", ".pyi")):
                other.unlink()
        commit(quiet)
        commit(twice)
        for path in mentioning:
            target = hits / path.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        commit(hits)
    return len(mentioning)


def fetch(project: Project, folder: Path) -> Path:
    """The project's tree, freshly unpacked and committed to a git repository."""
    tree = folder / project.name
    if not (tree / ".git").exists():
        archives = folder / "archives"
        kind = "--no-binary" if project.is_sdist else "--only-binary"
        options = ["--no-deps", "-q", kind, ":all:", "-d", str(archives)]
        pip = [sys.executable, "-m", "pip", "download", *options]
        if project.is_sdist:
            pip[pip.index(":all:")] = project.name
        subprocess.run([*pip, f"{project.name}=={project.version}"], check=True)
        (archive,) = archives.glob(f"{project.name}-{project.version}*")
        tree.mkdir()
        unpack(archive, tree)
        commit(tree)
    restore(tree)
    return tree


def unpack(archive: Path, tree: Path) -> None:
    if archive.suffix == ".whl":
        zipfile.ZipFile(archive).extractall(tree)
        return
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(archive) as packed:
        packed.extractall(temporary)
        (inside,) = Path(temporary).iterdir()
        shutil.copytree(inside, tree, symlinks=True, dirs_exist_ok=True)


def commit(tree: Path) -> None:
    git(tree, "init", "-q")
    git(tree, "add", "--all", "--force")
    identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
    git(tree, *identity, "commit", "-q", "-m", "as published")


if __name__ == "__main__":
    main()
