"""Deprecated: the names of the old module, forwarded to their new homes by the table of moves.

`python -m codemods.migrate PATH` rewrites code that imports from here; MIGRATING.md lists every
name with its replacement.
"""

from __future__ import annotations

from typing import Any

from triton_kernels import deprecation, moves

__all__: list[str] = list(moves.served_names(__name__))


# Any: a type checker lets old code call and subclass what it imports from here.
def __getattr__(name: str) -> Any:
    return deprecation.old_attribute(__name__, name)


def __dir__() -> list[str]:
    return sorted(__all__)


deprecation.accept_assignments(__name__)
