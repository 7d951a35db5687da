"""tests/kernels/test_matmul.py, computed by the kernels."""

from test_matmul import *  # noqa: F403
