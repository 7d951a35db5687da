"""Values of the kernels: run by Triton's interpreter on CPU tensors, out-of-bounds access raising.

`TRITON_INTERPRET=1 pytest tests/interpreter` runs them without a child, for a debugger.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.child_pytest import hooks

pytest_pycollect_makemodule, pytest_runtest_protocol = hooks(
    Path(__file__).parent, {"TRITON_INTERPRET": "1"}
)

if os.environ.get("TRITON_INTERPRET") == "1":
    from tests.support import interpreter

    interpreter.install()

# Tests of the public ops, and of the old module, are written once; files here run them on the
# kernels.
for _wing in ("kernels", "facade"):
    _folder = Path(__file__).parents[1] / _wing
    sys.path.append(str(_folder))
    pytest.register_assert_rewrite(*(file.stem for file in _folder.glob("*.py")))


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    """What a kernel does not write is noticed."""
    from poison import poisoned_memory

    with poisoned_memory():
        yield
