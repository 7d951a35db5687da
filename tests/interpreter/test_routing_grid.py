"""tests/facade/test_routing_grid.py, computed by the kernels."""

from test_routing_grid import *  # noqa: F403
