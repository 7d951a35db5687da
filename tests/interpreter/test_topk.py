"""tests/kernels/test_topk.py, computed by the kernels."""

from test_topk import *  # noqa: F403
