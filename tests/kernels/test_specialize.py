"""Kernels that are made of a template, as old callers make them."""

# ruff: noqa: N803  kernels name what they are given as kernels do

from __future__ import annotations

import os
import subprocess
import sys
import types
import uuid

import pytest
import torch
import triton
import triton.language as tl

from triton_kernels.specialize import (
    ClosureArg,
    FnSpecs,
    SpecializationModule,
    cacheable,
    define_kernel,
    specialize,
)

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICES = ["cpu"] if INTERPRETED else [pytest.param("cuda", marks=pytest.mark.gpu)]
COMPILED_ONLY = pytest.mark.skipif(INTERPRETED, reason="interpreted kernels have no such thing")


def on(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return device


@triton.jit
def scaled(x, scale, shift):
    return x * scale + shift


@triton.jit
def squared(x):
    return x * x


@triton.jit(do_not_specialize=["args", "n"])
def template(
    X,
    Y,
    act: tl.constexpr,
    args,
    n,
    KIND: tl.constexpr,
    choices: tl.constexpr = (1, 2),
    BLOCK: tl.constexpr = 64,
):
    pid = tl.program_id(0)
    if pid > 3:
        return
    at = pid * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(X + at, mask=at < n)
    if act is not None:
        x = act(x, *args)
    if KIND == "twice":
        x = x * 2
    tl.store(Y + at, x + choices[1], mask=at < n)


def new_module() -> types.ModuleType:
    return types.ModuleType("specialised")


def both(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(512, device=device), torch.full((512,), -1.0, device=device)


# What a kernel computes.


@pytest.mark.parametrize("device", DEVICES)
def test_a_function_is_called_with_the_arguments_that_take_the_tuples_place(device):
    x, y = both(on(device))
    constants = {"act": scaled, "KIND": "twice"}
    kernel = specialize(template, new_module(), constants, {"args": ("scale", "shift")})
    kernel[(8,)](x, y, 2.0, 1.0, 200)
    torch.testing.assert_close(y[:200], (x[:200] * 2 + 1) * 2 + 2)
    assert (y[200:] == -1).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("function", [None, squared])
def test_no_function_or_no_arguments_need_no_parameter(device, function):
    x, y = both(on(device))
    kernel = specialize(template, new_module(), {"act": function}, {"args": ()})
    kernel[(8,)](x, y, 512, "once", BLOCK=32)
    expected = x if function is None else x * x
    torch.testing.assert_close(y[:128], expected[:128] + 2)
    assert (y[128:] == -1).all()  # the template returns early


@pytest.mark.parametrize("device", DEVICES)
def test_constants_are_numbers_texts_or_tuples(device):
    x, y = both(on(device))
    constants = {"act": None, "KIND": "once", "choices": (3, 5.5), "BLOCK": 16}
    specialize(template, new_module(), constants, {"args": ()})[(4,)](x, y, 512)
    torch.testing.assert_close(y[:64], x[:64] + 5.5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_kernel_of_a_text_sees_the_globals_that_it_is_given(device):
    source = """
        def halve(X, Y, BLOCK: tl.constexpr):
            at = tl.arange(0, BLOCK)
            tl.store(Y + at, act(tl.load(X + at)) / DIVISOR)
    """
    module = new_module()
    module.act = scaled  # what is given counts before what the module has
    kernel = define_kernel(source, module, None, act=squared, DIVISOR=tl.constexpr(2))
    x, y = both(on(device))
    kernel[(1,)](x, y, BLOCK=512)
    torch.testing.assert_close(y, x * x / 2)


@pytest.mark.parametrize("device", DEVICES)
def test_a_module_of_kernels_calls_the_functions_that_it_was_asked_for(device):
    closure = {"activation": ClosureArg("act", "args")}
    kernels = SpecializationModule(f"kernels_{uuid.uuid4().hex}", [("run", template)], closure)
    x, y = both(on(device))
    specs = FnSpecs("scaled", scaled, ("scale", "shift"))
    kernels.get(activation=specs).run[(4,)](x, y, 3.0, 1.0, 512, "once", BLOCK=128)
    torch.testing.assert_close(y, (x * 3 + 1) + 2)
    kernels.get().run[(4,)](x, y, 512, "once", BLOCK=128)
    torch.testing.assert_close(y, x + 2)


# What Triton is told of it.


@COMPILED_ONLY
def test_parameters_stand_in_the_place_of_those_they_replace():
    kernel = specialize(template, new_module(), {"act": scaled}, {"args": ("scale", "shift")})
    assert kernel.arg_names == ["X", "Y", "scale", "shift", "n", "KIND", "choices", "BLOCK"]
    assert [p.name for p in kernel.params if p.is_constexpr] == ["KIND", "choices", "BLOCK"]
    assert kernel.params[-1].default == 64


@COMPILED_ONLY
def test_what_is_not_specialised_on_is_kept_or_replaced():
    module, tuples = new_module(), {"args": ("scale", "shift")}

    def not_specialised(**keywords):
        kernel = specialize(template, module, {"act": scaled}, tuples, **keywords)
        return [p.name for p in kernel.params if p.do_not_specialize]

    assert not_specialised() == ["scale", "shift", "n"]
    assert not_specialised(do_not_specialize=["shift"]) == ["shift"]
    assert not_specialised(do_not_specialize=()) == ["scale", "shift", "n"]


@COMPILED_ONLY
def test_names_without_a_parameter_are_passed_over():
    kernel = specialize(squared, new_module(), {"act": scaled}, {"args": ("scale",)})
    assert kernel.arg_names == ["x"]


@COMPILED_ONLY
def test_a_kernel_is_found_where_cacheable_names_it():
    @cacheable
    def double_and_store():
        return specialize(template, new_module(), {"act": squared}, {"args": ()}, name="other")

    path = f"{__name__}.test_a_kernel_is_found_where_cacheable_names_it.<locals>.double_and_store"
    assert isinstance(double_and_store, triton.JITFunction)
    for function in (double_and_store, double_and_store.fn):
        assert function.__name__ == "double_and_store"
        assert f"{function.__module__}.{function.__qualname__}" == path
    assert double_and_store._fn_name == path


@COMPILED_ONLY
def test_attributes_of_a_kernel_of_a_text_reach_triton():
    attrs = {"do_not_specialize": ["n"], "repr": lambda _: "named", "noinline": True}
    kernel = define_kernel("def f(X, n):\n    tl.store(X, n)\n", new_module(), attrs)
    assert [p.name for p in kernel.params if p.do_not_specialize] == ["n"]
    assert kernel.repr(None) == "named" and kernel.noinline is True
    assert kernel.__module__ == "specialised" and kernel.__name__ == "f"


# Modules of kernels.


def module_of_kernels() -> SpecializationModule:
    closures = {"first": ClosureArg("act", "args"), "second": ClosureArg("other", "other_args")}
    return SpecializationModule(f"kernels_{uuid.uuid4().hex}", [("run", template)], closures)


def another_squared():
    @triton.jit
    def squared(x):
        return x + x

    return squared


def test_the_same_functions_get_the_same_module():
    kernels = module_of_kernels()
    specs = FnSpecs("squared", squared)
    assert kernels.get(first=specs) is kernels.get(first=FnSpecs("squared", squared))
    assert kernels.get() is kernels.get(first=FnSpecs.default(), second=FnSpecs.default())
    assert kernels.get(first=specs) is not kernels.get(second=specs)


def test_functions_of_the_same_name_are_told_apart():
    kernels = module_of_kernels()
    one = kernels.get(first=FnSpecs("squared", squared))
    two = kernels.get(first=FnSpecs("squared", another_squared()))
    assert one is not two and one.run is not two.run
    assert sys.modules[one.__name__] is one and sys.modules[two.__name__] is two


def test_a_function_that_nobody_declared_is_refused():
    with pytest.raises(TypeError, match="functions: expected first, second, got third"):
        module_of_kernels().get(third=FnSpecs.default())


# What is refused.


def test_a_plain_function_is_no_template():
    with pytest.raises(TypeError, match=r"fn: expected a triton\.jit function, got a function"):
        specialize(lambda x: x, new_module(), {}, {})


def test_a_parameter_without_a_default_cannot_follow_one_that_has_one():
    with pytest.raises(ValueError, match="no kernel can be written"):
        specialize(template, new_module(), {}, {"BLOCK": ("rows", "columns")})


@pytest.mark.parametrize("source", ["", "x = 1\n", "def f():\n    pass\ndef g():\n    pass\n"])
def test_a_text_is_one_function(source):
    with pytest.raises(ValueError, match="src: expected one function, got"):
        define_kernel(source, new_module())


def test_the_record_of_a_function_needs_no_triton():
    program = (
        "import sys\nfrom triton_kernels.specialize import FnSpecs\n"
        "assert FnSpecs.default() == FnSpecs('dflt', None, (), (), 1)\n"
        "print([name for name in ('torch', 'triton') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
