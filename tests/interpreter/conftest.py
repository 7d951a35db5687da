"""Values of the kernels: run by Triton's interpreter on CPU tensors, out-of-bounds access raising.

`TRITON_INTERPRET=1 pytest tests/interpreter` runs them without a child, for a debugger.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.child_pytest import hooks

pytest_pycollect_makemodule, pytest_runtest_protocol = hooks(
    Path(__file__).parent, {"TRITON_INTERPRET": "1"}
)

if os.environ.get("TRITON_INTERPRET") == "1":
    from tests.support import interpreter

    interpreter.install()
