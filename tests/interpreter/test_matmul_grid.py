"""The sample of tests/kernels/test_matmul_grid.py, computed by the kernels."""

from test_matmul_grid import *  # noqa: F403
