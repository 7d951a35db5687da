"""Memory that nobody has written is garbage, not the zeros that a fresh process is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """`torch.empty` and its like give NaN, or the largest integer, on every device.

    torch fills what it does not initialise where algorithms must be deterministic.  Of those that
    are not, it warns.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned_only)
