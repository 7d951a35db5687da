"""What device this is: the one place that asks, and that tests can answer for.

Without a GPU driver every question has an answer: no backend, so every predicate is False.

>>> with override(Target("cuda", 90, n_sms=132)):
...     is_cuda(), cuda_capability_geq(9), has_native_mxfp(), num_sms()
(True, True, False, 132)
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from triton_kernels.compat import constant_while_compiling, require_kernels_extra

require_kernels_extra(__name__)

import torch

__all__ = [
    "Target",
    "cuda_capability_geq",
    "current_target",
    "get_cdna_version",
    "has_native_mxfp",
    "has_tma_gather",
    "is_cuda",
    "is_hip",
    "is_hip_cdna3",
    "is_hip_cdna4",
    "num_sms",
    "overlaps_launches",
    "override",
]


@dataclass(frozen=True)
class Target:
    """A device as the library sees it.

    backend: "cuda" or "hip"; "" without a driver.
    arch: compute capability times ten (90 for sm_90), or AMD's name ("gfx942").
    n_sms: number of multiprocessors (compute units on AMD); None = ask torch when it is needed.
    """

    backend: str
    arch: int | str
    n_sms: int | None = None


NO_TARGET = Target("", 0, n_sms=1)

_override: ContextVar[Target | None] = ContextVar("triton_kernels_target", default=None)


@contextmanager
def override(target: Target) -> Iterator[Target]:
    """Answer every question of this module for `target` instead of the device that is there.

    Holds in this context (thread or task) alone.
    """
    token = _override.set(target)
    try:
        yield target
    finally:
        _override.reset(token)


def current_target() -> Target:
    """The target of `override`, else the active device of Triton's driver, else none.

    Triton is asked, not torch, so that a driver which tests put in place is believed.  Each driver
    is asked once: the devices of a process are taken to be alike.
    """
    overridden = _override.get()
    if overridden is not None:
        return overridden
    try:
        return _target_of(_drivers().active)
    except RuntimeError:  # Triton's answer when there is no driver
        return NO_TARGET


@functools.cache
def _drivers() -> Any:
    from triton.runtime import driver  # type: ignore[import-untyped]

    return driver


@functools.lru_cache(maxsize=16)
def _target_of(driver: Any) -> Target:
    target = driver.get_current_target()
    return Target(target.backend, target.arch)


@constant_while_compiling
def is_cuda() -> bool:
    """Whether the device is NVIDIA's."""
    return current_target().backend == "cuda"


@constant_while_compiling
def is_hip() -> bool:
    """Whether the device is AMD's."""
    return current_target().backend == "hip"


def is_hip_cdna3() -> bool:
    """Whether the device is of AMD's CDNA3 generation (gfx942)."""
    return get_cdna_version() == 3


def is_hip_cdna4() -> bool:
    """Whether the device is of AMD's CDNA4 generation (gfx950)."""
    return get_cdna_version() == 4


@constant_while_compiling
def get_cdna_version() -> int:
    """3 or 4 on AMD's gfx942 or gfx950, else -1."""
    target = current_target()
    if target.backend != "hip":
        return -1
    return {"gfx942": 3, "gfx950": 4}.get(str(target.arch), -1)


@constant_while_compiling
def cuda_capability_geq(major: int, minor: int = 0) -> bool:
    """Whether the device is NVIDIA's, of compute capability `major.minor` or later."""
    target = current_target()
    return (
        target.backend == "cuda"
        and isinstance(target.arch, int)
        and target.arch >= major * 10 + minor
    )


def has_tma_gather() -> bool:
    """Whether TMA can gather and scatter rows (NVIDIA, compute capability 10.0 and later)."""
    return cuda_capability_geq(10)


def has_native_mxfp() -> bool:
    """Whether tensor cores take microscaled operands (NVIDIA, capability 10.0 and later)."""
    return cuda_capability_geq(10)


def overlaps_launches() -> bool:
    """Whether a kernel can be launched while the one before it still runs, and wait for it itself.

    NVIDIA calls it programmatic dependent launch (compute capability 9.0 and later).
    """
    return cuda_capability_geq(9)


@constant_while_compiling
def num_sms() -> int:
    """Number of multiprocessors of the current device; 1 without one."""
    n_sms = current_target().n_sms
    if n_sms is not None:
        return n_sms
    if not torch.cuda.is_available():  # a stand-in driver without a device behind it
        return 1
    device = torch.cuda.current_device()
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
