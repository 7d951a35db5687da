"""tests/kernels/test_swiglu.py, computed by the kernels."""

from test_swiglu import *  # noqa: F403
