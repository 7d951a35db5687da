"""tests/kernels/test_compaction.py, computed by the kernels."""

from test_compaction import *  # noqa: F403
