"""tests/kernels/test_bitmatrix.py, computed by the kernels."""

from test_bitmatrix import *  # noqa: F403
