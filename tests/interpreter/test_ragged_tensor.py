"""tests/kernels/test_ragged_tensor.py, computed by the kernels."""

from test_ragged_tensor import *  # noqa: F403
