"""A driver of Triton for a GPU that is not there: kernels compile for it, launches do nothing.

What it answers is all that Triton 3.6 to 3.9 asks between `kernel[grid](...)` and the launch, so
that everything before the launch is the real thing: binding and specialisation of the arguments,
compilation, the check of shared memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

# Triton keys what it keeps in memory (kernels, shared memory limits) by the number of the device,
# not by its target.  Every driver being a device of its own, none is served another's kernels; the
# first number is far from those of real devices.
_device_numbers = itertools.count(1000)


@dataclass(frozen=True)
class Gpu:
    """A device that kernels are compiled for.

    shared_memory: bytes that one program can have.  CUDA programming guide, "maximum amount of
        shared memory per thread block", by compute capability; AMD's CDNA3 and CDNA4 guides, LDS.
    multiprocessors: of a card that people have: A100, H100 SXM, B200, RTX PRO 6000, MI300X, MI355X.
    """

    target: GPUTarget
    shared_memory: int
    multiprocessors: int


GPUS = {
    "sm_80": Gpu(GPUTarget("cuda", 80, 32), 166_912, 108),
    "sm_90": Gpu(GPUTarget("cuda", 90, 32), 232_448, 132),
    "sm_100": Gpu(GPUTarget("cuda", 100, 32), 232_448, 148),
    "sm_120": Gpu(GPUTarget("cuda", 120, 32), 101_376, 188),
    "gfx942": Gpu(GPUTarget("hip", "gfx942", 64), 65_536, 304),
    "gfx950": Gpu(GPUTarget("hip", "gfx950", 64), 163_840, 256),
}


class StubDriver(DriverBase):
    """The driver of `gpu`."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self.gpu = gpu
        self.device = next(_device_numbers)
        self.utils = _StubUtils(gpu)

    @classmethod
    def is_active(cls) -> bool:
        """Triton does not find it by itself; it is put in place by `set_active`."""
        return False

    def get_current_target(self) -> GPUTarget:
        return self.gpu.target

    def get_current_device(self) -> int:
        return self.device

    def get_current_stream(self, device: int | None = None) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def map_python_to_cpp_type(self, ty: str) -> str:
        return ty

    def get_benchmarker(self) -> Callable[..., list[float]]:
        """Every configuration takes no time, so `autotune` keeps the first."""

        def benchmark(kernel_call: Callable[[], object], quantiles: list[float], **_: Any) -> Any:
            kernel_call()
            return [0.0] * len(quantiles)

        return benchmark

    def launcher_cls(self, src: object, metadata: object) -> Callable[..., None]:
        return _launch_nothing


def _launch_nothing(*arguments: object, **options: object) -> None:
    return None


class _StubUtils:
    """What Triton asks when it loads a compiled kernel."""

    # More than any kernel uses: whether the threads fit is for the kernel's registers to say.
    MAX_THREADS = 1024

    def __init__(self, gpu: Gpu) -> None:
        self._properties = {
            "max_shared_mem": gpu.shared_memory,
            "multiprocessor_count": gpu.multiprocessors,
            "max_num_regs": 65_536,
            "warpSize": gpu.target.warp_size,
        }

    def get_device_properties(self, device: int) -> dict[str, int]:
        return self._properties

    def load_binary(
        self, name: str, binary: bytes, shared: int, device: int
    ) -> tuple[None, None, None, None, int]:
        """No module, no function; registers and spills not known (`Compilation` reads them).

        Without a module there is nothing that Triton would unload once another driver is active.
        """
        return None, None, None, None, self.MAX_THREADS
