"""How long the imports take that a person waits for before anything is done.

    python benchmarks/import_time.py [--repeats N]

Each import runs in a fresh process; a bare process is taken off.  `import libcst` and
`import torch` stand beside them: what it would cost to bring the parser or the tensors.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MS = {"triton_kernels": 30.0}
MODULES = (
    "triton_kernels",
    "triton_kernels.moves",
    "triton_kernels.routing",
    "triton_kernels.pytest_plugin",
    "codemods.migrate",
    "libcst",
    "torch",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="timed runs (9)")
    repeats = parser.parse_args().repeats

    bare_ms = median_ms("pass", repeats)
    print(f"{'bare process':<28}{bare_ms:8.1f} ms")
    for module in MODULES:
        if python("import " + module) != 0:
            print(f"{'import ' + module:<28}{'cannot be imported here':>24}")
            continue
        own_ms = median_ms(f"import {module}", repeats) - bare_ms
        limit_ms = LIMIT_MS.get(module)
        note = f"   limit {limit_ms:.0f} ms" if limit_ms else ""
        print(f"{'import ' + module:<28}{own_ms:8.1f} ms{note}")


def median_ms(code: str, repeats: int) -> float:
    """Median wall milliseconds of a process that runs `code`, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        python(code)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[1:])


def python(code: str) -> int:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, stderr=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    main()
