"""Triton's CPU interpreter, repaired: what it computes is what a GPU would.

As shipped in Triton 3.6 to 3.9 it multiplies the bit patterns of bfloat16, truncates instead of
rounding to it, has no NaN in fp8, and takes seconds for a sort.  `install` replaces those parts, in
a process that has TRITON_INTERPRET=1 in its environment:

- `formats`     bfloat16 and fp8: types, casts, rounding
- `arithmetic`  NaN in minimum and maximum, no warnings
- `dot`         microscaled products
- `memory`      loads, stores and atomics of bfloat16
- `reductions`  reduce and scan on whole slices: sorts 90 times as fast
- `language`    what kernels may say: libdevice, inline assembly, tuples
- `checks`      accesses out of bounds, integer overflow and `device_assert` raise

What no interpreter shows: races between programs (they run one after another), tf32, `ex2.approx`
and other approximations, a product and a sum that the GPU rounds once.
"""

from __future__ import annotations

import functools

from tests.support.interpreter import (
    arithmetic,
    checks,
    dot,
    formats,
    language,
    memory,
    reductions,
)

__all__ = ["install"]


@functools.cache  # the second call finds it done
def install() -> None:
    """Repair the interpreter of this process."""
    for part in (formats, arithmetic, dot, memory, reductions, language):
        part.install()
    checks.install()  # last: it wraps the loads and stores of `memory`
