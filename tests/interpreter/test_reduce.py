"""tests/kernels/test_reduce.py, computed by the kernel."""

from test_reduce import *  # noqa: F403
