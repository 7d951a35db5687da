"""Without the extra, a kernels module says what to install; with it, it imports only torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = [
    "compaction",
    "dispatch",
    "launching",
    "legacy",
    "matmul_ogs",
    "matmul_ogs_details.opt_flags",
    "matmul_ogs_details.product",
    "numerics",
    "numerics_details.flexpoint",
    "numerics_details.reference",
    "reduce",
    "reduce_details.reduction",
    "roofline",
    "swiglu",
    "swiglu_details.reference",
    "target_info",
    "tensor",
    "tensor_details",
    "tensor_details.bitmatrix",
    "tensor_details.layout_details.strided",
    "tensor_details.ragged_tensor",
    "testing",
    "topk",
]


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def blocked(package: str, module: str) -> str:
    """The ImportError of a module of ours where a package is not installed."""
    return run(
        f"import sys; sys.modules[{package!r}] = None\n"
        f"try:\n    import triton_kernels.{module}\n"
        "except ImportError as error:\n    print(error.name, error, sep='|')"
    )


@pytest.mark.parametrize("package", ["torch", "triton"])
@pytest.mark.parametrize("module", MODULES)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(package, module):
    name, message = blocked(package, module).split("|")
    # A module inside x_details is reached through that package, which speaks for it.
    package_name, *_ = module.split(".")
    speaker = package_name if package_name.endswith("_details") else module
    assert name == package
    assert message == (
        f"triton_kernels.{speaker} needs {package}: pip install 'triton-kernels-bridge[kernels]'"
    )


def test_both_missing_packages_are_named_at_once():
    message = run(
        "import sys; sys.modules['torch'] = sys.modules['triton'] = None\n"
        "try:\n    import triton_kernels.topk\n"
        "except ImportError as error:\n    print(error)"
    )
    assert message.startswith("triton_kernels.topk needs torch and triton: pip install")


def test_the_reference_path_never_imports_triton_before_it_asks_for_the_device():
    loaded = run(
        "import sys\n"
        "import triton_kernels.compaction, triton_kernels.legacy\n"
        "print([name for name in ('torch', 'triton') if name in sys.modules])"
    )
    assert loaded == "['torch']"


def test_the_package_alone_imports_neither():
    loaded = run(
        "import sys, triton_kernels, triton_kernels.compat\n"
        "print([name for name in ('torch', 'triton') if name in sys.modules])"
    )
    assert loaded == "[]"
