"""What Triton's profiler may cost: whether metadata of a launch may wait for the GPU."""

from __future__ import annotations

import functools
import os

__all__ = ["launch_metadata_allow_sync", "set_launch_metadata_allow_sync"]

_chosen: bool | None = None


def launch_metadata_allow_sync() -> bool:
    """Whether the metadata of a launch may read values from the GPU, and so wait for it.

    Numbers of operations and bytes that depend on routing need that.  True, unless the environment
    had PROTON_LAUNCH_METADATA_NOSYNC=1 when this was first asked, or
    `set_launch_metadata_allow_sync` said otherwise.
    """
    return _of_environment() if _chosen is None else _chosen


def set_launch_metadata_allow_sync(allow_sync: bool) -> None:
    """Say so for this process, whatever the environment has."""
    global _chosen
    _chosen = allow_sync


@functools.cache
def _of_environment() -> bool:
    return os.getenv("PROTON_LAUNCH_METADATA_NOSYNC") != "1"
