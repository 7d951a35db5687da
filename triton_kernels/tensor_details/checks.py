"""Limits, and how an error is worded: which argument, what was expected, what came.

The functions make the exception and do not raise it, so that the message costs nothing until it
is needed: `if k < 1: raise wrong_value("k", "at least 1", k)`.
"""

from __future__ import annotations

import torch

__all__ = [
    "MOST_CHOICES",
    "MOST_COLUMNS",
    "MOST_SLOTS",
    "describe",
    "is_int",
    "wrong_type",
    "wrong_value",
]

MOST_COLUMNS = 32767
"""Columns of a sparse matrix: they are int16 numbers, and 15 bits of a word while it is sorted."""

MOST_CHOICES = 256
"""Slots of a row: a kernel compares every slot of one with every other."""

MOST_SLOTS = 2**31 - 1
"""Slots in all: the sorting vectors hold int32 numbers."""


def is_int(value: object) -> bool:
    """Whether it is a number without fraction: an int, or the size that stands for one in a trace.

    No bool, although Python counts it among the ints.
    """
    return isinstance(value, (int, torch.SymInt)) and not isinstance(value, bool)


def wrong_value(argument: str, expected: str, got: object) -> ValueError:
    """The argument is of a right type, but not this value."""
    return ValueError(f"{argument}: expected {expected}, got {describe(got)}")


def wrong_type(argument: str, expected: str, got: object) -> TypeError:
    """The argument, or its dtype, is of the wrong type."""
    return TypeError(f"{argument}: expected {expected}, got {describe(got)}")


def describe(value: object) -> str:
    """A value in few words.  A tensor is named by dtype, shape and device: printing would sync."""
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a {dtype} tensor of shape {list(value.shape)} on {value.device}"
    if value is None or isinstance(value, (int, float, str, list, tuple, torch.dtype)):
        return repr(value)
    return f"a {type(value).__name__}"
