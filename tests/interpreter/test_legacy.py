"""tests/kernels/test_legacy.py, computed by the kernels."""

from test_legacy import *  # noqa: F403

# It counts calls of the reference's parts.  What kernels launch is counted in test_routing_paths.
del test_supported_routing_warns_of_nothing_and_sorts_once  # noqa: F821
