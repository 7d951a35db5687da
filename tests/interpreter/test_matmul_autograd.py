"""tests/kernels/test_matmul_autograd.py, computed by the kernels."""

from test_matmul_autograd import *  # noqa: F403
