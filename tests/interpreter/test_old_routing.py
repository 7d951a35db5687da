"""tests/kernels/test_old_routing.py, computed by the kernels."""

from test_old_routing import *  # noqa: F403
