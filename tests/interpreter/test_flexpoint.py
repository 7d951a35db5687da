"""tests/kernels/test_flexpoint.py, computed by the kernels."""

from test_flexpoint import *  # noqa: F403
