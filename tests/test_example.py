"""The migration of examples/legacy_moe, end to end, on a copy."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent
MODULES_WITH_OLD_NAMES = {"checks.py", "layer.py", "moe.py", "router.py", "schedule.py"}
WARNING = "triton_kernels.TritonKernelsDeprecationWarning"
# `python -W` resolves a category before site-packages is on the path, so this says it later.
RUN_STRICTLY = """
import runpy, warnings
from triton_kernels import TritonKernelsDeprecationWarning
warnings.simplefilter("error", TritonKernelsDeprecationWarning)
runpy.run_module("legacy_moe", run_name="__main__")
"""
SAVE_INPUTS_AND_RUN = """
import sys, torch
from legacy_moe.__main__ import K, main, moe_inputs
torch.save({**moe_inputs(), "k": K}, sys.argv[1])
main()
"""


def run(copy: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(copy)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
    )


def numbers(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def contents(copy: Path) -> dict[str, bytes]:
    return {str(p.relative_to(copy)): p.read_bytes() for p in copy.rglob("*") if p.is_file()}


def copy_of_example(folder: Path) -> Path:
    skip = shutil.ignore_patterns("__pycache__", ".pytest_cache", ".ruff_cache")
    return Path(shutil.copytree(ROOT / "examples/legacy_moe", folder / "legacy_moe", ignore=skip))


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_example(tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = copy_of_example(tmp_path_factory.mktemp("after"))
    result = run(copy, "-m", "codemods.migrate", copy)
    assert result.returncode == 0, result.stdout + result.stderr
    return copy


def test_legacy_code_runs_and_every_module_is_warned(legacy):
    result = run(legacy, "-W", "always", "-m", "legacy_moe")
    assert "checksum" in numbers(result)
    places = re.findall(r"(\w+\.py):\d+: TritonKernelsDeprecationWarning: (.*)", result.stderr)
    assert {name for name, _ in places} == MODULES_WITH_OLD_NAMES
    assert all("python -m codemods.migrate" in text for _, text in places)


def test_legacy_code_fails_where_its_warnings_are_errors(legacy):
    result = run(legacy, "-c", RUN_STRICTLY)
    assert result.returncode == 1
    assert "TritonKernelsDeprecationWarning" in result.stderr


def test_migrated_code_prints_the_same_numbers_without_a_warning(legacy, migrated):
    before = numbers(run(legacy, "-m", "legacy_moe"))
    assert numbers(run(migrated, "-c", RUN_STRICTLY)) == before


def swiglu_in_float64(pairs: torch.Tensor, alpha: float, limit: float | None) -> torch.Tensor:
    gate, linear = pairs[..., ::2], pairs[..., 1::2]
    if limit is not None:
        gate, linear = gate.clamp(max=limit), linear.clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (linear + 1)


def moe_in_float64(
    x: torch.Tensor,
    logits: torch.Tensor,
    w1: torch.Tensor,
    b1: torch.Tensor,
    w2: torch.Tensor,
    b2: torch.Tensor,
    k: int,
    alpha: float,
    limit: float | None,
) -> torch.Tensor:
    """Every expert on every token, and weights that are 0 but for the k best."""
    x, logits, w1, b1, w2, b2 = (tensor.double() for tensor in (x, logits, w1, b1, w2, b2))
    best = logits.topk(k, dim=1)
    weights = torch.zeros_like(logits).scatter(1, best.indices, best.values.softmax(1))
    h = swiglu_in_float64(torch.einsum("th,ehi->eti", x, w1) + b1[:, None], alpha, limit)
    y = torch.einsum("eti,eih->eth", h, w2) + b2[:, None]
    return torch.einsum("te,eth->th", weights, y)


@pytest.fixture(scope="module")
def fused(migrated, tmp_path_factory) -> tuple[dict[str, Any], str]:
    """Inputs of the fused layer, and what the example prints of it."""
    path = tmp_path_factory.mktemp("inputs") / "inputs.pt"
    printed = numbers(run(migrated, "-c", SAVE_INPUTS_AND_RUN, path))
    return torch.load(path), printed


@pytest.mark.parametrize(
    ("activation", "alpha", "limit"), [("swiglu_oai", 1.702, 7.0), ("swiglu", 1.0, None)]
)
def test_fused_layer_prints_what_plain_torch_computes(fused, activation, alpha, limit):
    inputs, printed = fused
    expected = moe_in_float64(**inputs, alpha=alpha, limit=limit)
    ((total, row),) = re.findall(rf"^{activation} (\S+) (.*)$", printed, re.MULTILINE)
    # Tokens, hidden values and results are bf16, of 8 bits.
    assert float(total) == pytest.approx(float(expected.abs().sum()), rel=0.005)
    first_row = torch.tensor([float(value) for value in ast.literal_eval(row)]).double()
    within = 0.02 * float(expected[0].abs().max())
    torch.testing.assert_close(first_row, expected[0, :4], rtol=0, atol=within)


def test_migrated_code_does_not_name_the_old_module(migrated):
    sources = {path: path.read_text() for path in migrated.rglob("*.py")}
    named = [path.name for path, text in sources.items() if "triton_kernels.routing" in text]
    # The package's docstring tells where it comes from; prose is nobody's to rewrite.
    assert named == ["__init__.py"]


def test_second_migration_changes_nothing(migrated):
    before = contents(migrated)
    result = run(migrated, "-m", "codemods.migrate", migrated)
    assert result.returncode == 0, result.stdout + result.stderr
    assert contents(migrated) == before
    assert run(migrated, "-m", "codemods.migrate", "--check", migrated).returncode == 0


def test_migration_touches_only_the_files_that_use_the_old_module(legacy, migrated):
    before, after = contents(legacy), contents(migrated)
    assert before.keys() == after.keys()
    changed = {Path(name).name for name in before if before[name] != after[name]}
    assert changed == MODULES_WITH_OLD_NAMES | {"test_layer.py"}


def test_tests_of_the_example_pass_before_and_after(legacy, migrated):
    pytest_run = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    before = run(legacy, *pytest_run)
    assert before.returncode == 0, before.stdout
    after = run(migrated, *pytest_run, "-W", f"error::{WARNING}")
    assert after.returncode == 0, after.stdout
