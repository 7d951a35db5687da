"""One place decides what computes an op, another what device this is; tests can answer for both."""

from __future__ import annotations

import threading

import pytest
import torch

from triton_kernels import target_info
from triton_kernels.dispatch import Implementation, choose, implementation
from triton_kernels.target_info import Target, override

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("device", "interpret", "expected"),
    [
        (CPU, None, Implementation.REFERENCE),
        (CPU, "0", Implementation.REFERENCE),
        (CPU, "", Implementation.REFERENCE),
        (CPU, "1", Implementation.INTERPRETER),
        (CPU, "True", Implementation.INTERPRETER),
        (GPU, None, Implementation.KERNEL),
        (GPU, "1", Implementation.KERNEL),
        (torch.device("meta"), "1", Implementation.REFERENCE),
    ],
)
def test_kernels_on_a_gpu_or_interpreted_and_the_reference_elsewhere(
    monkeypatch, device, interpret, expected
):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    if interpret is not None:
        monkeypatch.setenv("TRITON_INTERPRET", interpret)
    assert implementation(device) is expected


def test_an_op_gets_its_reference_or_the_function_at_the_path_of_its_kernel(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert choose(GPU, reference=min, kernel="builtins.max") is max
    assert choose(CPU, reference=min, kernel="builtins.max") is min
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choose(CPU, reference=min, kernel="builtins.max") is max


PREDICATES = [
    "is_cuda",
    "is_hip",
    "is_hip_cdna3",
    "is_hip_cdna4",
    "has_tma_gather",
    "has_native_mxfp",
]


@pytest.mark.parametrize(
    ("target", "true", "cdna"),
    [
        (Target("", 0), set(), -1),
        (Target("cuda", 80), {"is_cuda"}, -1),
        (Target("cuda", 90), {"is_cuda"}, -1),
        (Target("cuda", 100), {"is_cuda", "has_tma_gather", "has_native_mxfp"}, -1),
        (Target("hip", "gfx90a"), {"is_hip"}, -1),
        (Target("hip", "gfx942"), {"is_hip", "is_hip_cdna3"}, 3),
        (Target("hip", "gfx950"), {"is_hip", "is_hip_cdna4"}, 4),
    ],
)
def test_a_target_is_what_it_is_and_nothing_else(target, true, cdna):
    with override(target):
        assert {name for name in PREDICATES if getattr(target_info, name)()} == true
        assert target_info.get_cdna_version() == cdna


@pytest.mark.parametrize(
    ("arch", "major", "minor", "expected"),
    [(90, 9, 0, True), (89, 9, 0, False), (89, 8, 9, True), (100, 9, 5, True), (86, 8, 9, False)],
)
def test_capabilities_compare_by_major_and_minor(arch, major, minor, expected):
    with override(Target("cuda", arch)):
        assert target_info.cuda_capability_geq(major, minor) is expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what is said without a driver")
def test_without_a_driver_every_question_has_an_answer():
    assert not any(getattr(target_info, name)() for name in PREDICATES)
    assert target_info.cuda_capability_geq(1) is False
    assert target_info.get_cdna_version() == -1
    assert target_info.num_sms() == 1


def test_an_override_ends_with_its_block_and_stays_in_its_thread():
    before = target_info.current_target()
    seen = []
    with override(Target("cuda", 100, n_sms=148)):
        assert target_info.num_sms() == 148
        thread = threading.Thread(target=lambda: seen.append(target_info.current_target()))
        thread.start()
        thread.join()
        with override(Target("cuda", 90)):
            assert not target_info.has_native_mxfp()
        assert target_info.has_native_mxfp()
    assert seen == [before]
    assert target_info.current_target() == before
