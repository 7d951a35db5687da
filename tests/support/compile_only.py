"""Compile kernels, or all that an op launches, for GPUs that are not there.

    with compiling_for("sm_90") as compiled:
        topk(torch.randn(64, 128), 4)
    assert not any(kernel.spilled_bytes for kernel in compiled)

Tensors are on the CPU and outputs stay as they were allocated: host code that reads a kernel's
result reads garbage.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import triton
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from tests.support.stub_driver import GPUS, StubDriver
from triton_kernels import dispatch, target_info

TARGETS = ("sm_80", "sm_90", "sm_100", "gfx942", "gfx950")
"""What the library promises to compile for."""


@dataclass(frozen=True)
class Compilation:
    """One compiled kernel.

    name: of the kernel's function.
    target: a key of `stub_driver.GPUS`.
    shared_memory: bytes of a program.
    asm: text of each stage ("ttir", "ttgir", "llir", then "ptx" or "amdgcn").
    binary: the "cubin" or "hsaco".
    """

    name: str
    target: str
    num_warps: int
    shared_memory: int
    asm: Mapping[str, str] = field(repr=False)
    binary: bytes = field(repr=False)

    @property
    def registers(self) -> int:
        """Registers of a thread (on AMD, vector registers)."""
        return self._resources[0]

    @property
    def spilled_bytes(self) -> int:
        """Bytes of local memory of a thread: Triton has no use for it but spilled registers."""
        return self._resources[1]

    @cached_property
    def _resources(self) -> tuple[int, int]:
        if "amdgcn" in self.asm:
            text, patterns = self.asm["amdgcn"], _AMD_RESOURCES
        else:
            text, patterns = _resource_usage(self.binary), _NVIDIA_RESOURCES
        registers, spilled = (re.search(pattern, text) for pattern in patterns)
        assert registers and spilled, f"no resources of {self.name} in:\n{text[-2000:]}"
        return int(registers[1]), int(spilled[1])


_NVIDIA_RESOURCES = (r"REG:(\d+)", r"STACK:(\d+)")
_AMD_RESOURCES = (r"\.vgpr_count:\s+(\d+)", r"\.private_segment_fixed_size:\s+(\d+)")


def _resource_usage(cubin: bytes) -> str:
    """What the cuobjdump that comes with Triton says of a cubin."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def compiling_for(target: str) -> Iterator[list[Compilation]]:
    """Every kernel launched inside is compiled for `target`, not run, and appended to the list.

    target: a key of `stub_driver.GPUS`; `target_info` answers for it, and `dispatch` takes the
        kernels on CPU tensors.
    """
    gpu = GPUS[target]
    stub = StubDriver(gpu)
    compiled: list[Compilation] = []
    functions: list[JITFunction] = []

    def listener(
        *, src: Any, metadata: dict[str, Any], metadata_group: dict[str, str], **_: Any
    ) -> None:
        compiled.append(_compilation(target, metadata, metadata_group))
        functions.append(src.fn)

    identity = target_info.Target(gpu.target.backend, gpu.target.arch, gpu.multiprocessors)
    previous_driver = driver._active  # `driver.active` would look for a GPU
    previous_listener = triton.knobs.compilation.listener
    with target_info.override(identity), dispatch.override(dispatch.Implementation.KERNEL):
        driver.set_active(stub)
        triton.knobs.compilation.listener = listener
        try:
            yield compiled
        finally:
            triton.knobs.compilation.listener = previous_listener
            driver.set_active(previous_driver)
            for function in functions:  # nobody asks for this device again
                function.device_caches.pop(stub.device, None)


def _compilation(
    target: str, metadata: dict[str, Any], metadata_group: dict[str, str]
) -> Compilation:
    stages = {Path(path).suffix[1:]: Path(path) for path in metadata_group.values()}
    binary = next(stages.pop(stage) for stage in ("cubin", "hsaco") if stage in stages)
    asm = {stage: path.read_text() for stage, path in stages.items() if stage != "json"}
    return Compilation(
        metadata["name"],
        target,
        metadata["num_warps"],
        metadata["shared"],
        asm,
        binary.read_bytes(),
    )
