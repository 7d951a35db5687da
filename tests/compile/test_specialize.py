"""What Triton makes of a specialised kernel: its name, its lines, its place in the cache."""

from __future__ import annotations

import importlib
import inspect
import re
import types

import pytest
import torch
import triton
import triton.language as tl
from triton.runtime import driver

from tests.support.compile_only import TARGETS, compiling_for
from triton_kernels.specialize import cacheable, define_kernel, specialize


@triton.jit
def plus_one(x):
    return x + 1


@triton.jit(repr=lambda _: "_with_repr")
def plus_two(x):
    return x + 2


@triton.jit
def template(
    X,
    fn: tl.constexpr,
    args,
):
    tl.store(X, fn(tl.load(X), *args))


@triton.jit(repr=lambda specialization: f"named_{specialization.constants['fn'].__name__}")
def named_template(X, fn: tl.constexpr):
    tl.store(X, fn(tl.load(X)))


def template_with_closure(number: tl.constexpr):
    @triton.jit
    def template(X, fn: tl.constexpr):
        tl.store(X, fn(tl.load(X)) * number)

    return template


def make(name: str | None = None, of=template, fn=plus_one):
    return specialize(of, types.ModuleType("specialised"), {"fn": fn}, {"args": ()}, name)


@cacheable
def cacheable_kernel():
    return make(fn=plus_two)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        (make(), "template_plus_one"),
        (make("other"), "other_plus_one"),
        (make(fn=plus_two), "template_with_repr"),
        (make(of=named_template), "named_plus_one_plus_one"),
        (cacheable_kernel, "cacheable_kernel_with_repr"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_kernel_is_named_after_its_template_and_its_functions(target, kernel, name):
    with compiling_for(target) as compiled:
        kernel[(1,)](torch.zeros(1))
    assert [c.name for c in compiled] == [name]


def test_lines_are_those_of_the_template():
    with compiling_for("sm_90") as compiled:
        make()[(1,)](torch.zeros(1))
    lines, first = inspect.getsourcelines(template.fn)
    define = first + next(n for n, line in enumerate(lines) if line.startswith("def "))
    store = first + len(lines) - 1
    (kernel,) = compiled
    assert re.search(rf'^#loc = loc\("{__file__}":{define}:', kernel.asm["ttir"], re.MULTILINE)
    described = set(re.findall(r"^\t\.loc\t\d+ (\d+) ", kernel.asm["ptx"], re.MULTILINE))
    assert str(store) in described
    files = re.findall(r'^\t\.file\t\d+ "[^"]*test_specialize.py"', kernel.asm["ptx"], re.MULTILINE)
    assert len(files) == 1


def test_a_kernel_is_preloaded_by_its_import_path_and_then_found_in_the_cache(monkeypatch):
    noted = {}

    def note(*, fn, compile, **_):
        noted.update(module=fn.module, name=fn.name, data=compile["specialization_data"])

    with compiling_for("sm_90") as compiled:
        monkeypatch.setattr(triton.knobs.runtime, "jit_cache_hook", note)
        first = cacheable_kernel[(1,)](torch.zeros(1))
        monkeypatch.setattr(triton.knobs.runtime, "jit_cache_hook", None)
        found = getattr(importlib.import_module(noted["module"]), noted["name"])
        assert found is cacheable_kernel

        found.device_caches.clear()
        compiled.clear()
        assert found.preload(noted["data"]).hash == first.hash
        assert len(found.device_caches[driver.active.get_current_device()][0]) == 1
        compiled.clear()
        found[(1,)](torch.zeros(1))
        assert compiled == []


def test_kernels_of_functions_with_the_same_name_are_not_taken_for_each_other():
    def function(number: int):
        source = f"def step(x):\n    return x + {number}\n"
        return define_kernel(source, types.ModuleType("steps"))

    with compiling_for("sm_90") as compiled:
        hashes = {make(fn=function(number))[(1,)](torch.zeros(1)).hash for number in (3, 4, 3)}
    assert len(hashes) == 2
    assert {"template_step"} == {kernel.name for kernel in compiled}


def test_a_template_may_use_what_encloses_it():
    with compiling_for("sm_90") as compiled:
        for number in (3.0, 5.0):
            make(of=template_with_closure(tl.constexpr(number)))[(1,)](torch.zeros(1))
    three, five = (kernel.asm["ttir"] for kernel in compiled)
    assert "3.000000e+00" in three and "5.000000e+00" not in three
    assert "5.000000e+00" in five and "3.000000e+00" not in five
