"""What an installation brings, and what happens where only half of it is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings the same module under this name
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRA = "triton-kernels-bridge[kernels]"

NEEDS_TORCH = {
    "triton_kernels.legacy",
    "triton_kernels.matmul_ogs",
    "triton_kernels.tensor",
    "triton_kernels.tensor_details.bitmatrix",
    "triton_kernels.tensor_details.ragged_tensor",
    "triton_kernels.topk",
}
NEEDS_NOTHING = {
    "triton_kernels",
    "triton_kernels.deprecation",
    "triton_kernels.moves",
}

IMPORT_EACH = """
import importlib, json, sys

missing, modules = json.loads(sys.argv[1])

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
errors = {}
for name in modules:
    try:
        importlib.import_module(name)
    except ImportError as error:
        errors[name] = str(error)
print(json.dumps(errors))
"""


def python(code: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def import_errors_without(*missing: str) -> dict[str, str]:
    """Messages of the modules of the library that cannot be imported without `missing`."""
    return json.loads(python(IMPORT_EACH, json.dumps([missing, library_modules()])))


def library_modules() -> list[str]:
    """All modules but the private ones, which are reached through a public one only."""
    files = sorted((ROOT / "triton_kernels").rglob("*.py"))
    paths = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    names = [path.removesuffix(".__init__") for path in paths]
    return [name for name in names if "._" not in name]


def loaded_by(module: str) -> set[str]:
    """Top-level packages that are loaded once `module` is imported."""
    names = json.loads(python(f"import json, sys, {module}; print(json.dumps([*sys.modules]))"))
    return {name.partition(".")[0] for name in names}


def test_base_dependencies_are_what_the_migration_needs():
    names = {re.split(r"[^\w-]", line)[0] for line in PROJECT["dependencies"]}
    assert names == {"libcst", "pathspec", "rich", "tomli"}
    assert "tomli; python_version < '3.11'" in PROJECT["dependencies"]


def test_both_packages_declare_that_they_are_typed():
    assert (ROOT / "triton_kernels/py.typed").exists()
    assert (ROOT / "codemods/py.typed").exists()


def test_without_torch_the_kernel_modules_name_the_extra():
    errors = import_errors_without("torch", "triton")
    assert errors.keys() >= NEEDS_TORCH
    assert not errors.keys() & NEEDS_NOTHING
    assert {name: text for name, text in errors.items() if EXTRA not in text} == {}


def test_without_triton_a_module_can_be_imported_or_names_the_extra():
    errors = import_errors_without("triton")
    assert not errors.keys() & NEEDS_NOTHING
    assert {name: text for name, text in errors.items() if EXTRA not in text} == {}


def test_the_old_module_without_torch_names_the_extra():
    code = IMPORT_EACH + "from triton_kernels.routing import routing"
    with pytest.raises(AssertionError, match=r"ImportError: .*" + re.escape(EXTRA)):
        python(code, json.dumps([["torch", "triton"], []]))


def test_importing_the_library_imports_neither_torch_nor_triton():
    assert not loaded_by("triton_kernels") & {"torch", "triton"}


def test_importing_the_command_line_imports_no_parser_and_no_torch():
    assert not loaded_by("codemods.migrate") & {"libcst", "torch", "triton"}
