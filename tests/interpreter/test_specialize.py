"""tests/kernels/test_specialize.py, computed by the kernels."""

from test_specialize import *  # noqa: F403
