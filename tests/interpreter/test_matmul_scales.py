"""tests/kernels/test_matmul_scales.py, computed by the kernels."""

from test_matmul_scales import *  # noqa: F403
