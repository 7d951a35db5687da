"""Kernels specialised by functions: the record that names one, and what old callers specialise by.

The kernels of this library take a function as a `tl.constexpr` argument and its arguments as a
tuple, and need none of this but `FnSpecs`.  Code that was written against upstream makes a kernel
from a template instead, with the functions built in and each tuple spread over parameters:

>>> @triton.jit
... def template(X, activation: tl.constexpr, activation_args, BLOCK: tl.constexpr):
...     x = tl.load(X + tl.arange(0, BLOCK))
...     tl.store(X + tl.arange(0, BLOCK), activation(x, *activation_args))
>>> constants, tuples = {"activation": scaled_gelu}, {"activation_args": ("scale",)}
>>> kernel = specialize(template, types.ModuleType("gelu"), constants, tuples)
>>> kernel[(1,)](x, 2.0, BLOCK=64)
"""

from __future__ import annotations
import __future__

import ast
import inspect
import itertools
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

__all__ = [
    "ClosureArg",
    "FnSpecs",
    "SpecializationModule",
    "cacheable",
    "define_kernel",
    "specialize",
]


@dataclass(frozen=True)
class FnSpecs:
    """A function that a kernel calls, and what it must know of it.

    name: what the function is called in the names of kernels.
    fn: a `triton.jit` function; None calls nothing.
    fn_arg_names: names of its arguments behind the tile.
    fn_arg_do_not_specialize: those of them for whose values `specialize` compiles no kernel of its
        own.  The kernels of this library take them as a tuple, where Triton compiles anew for an
        int that is 1 or the first multiple of 16; for floats it never does.
    reduction_n: columns that it joins into one: 2 for swiglu.
    """

    name: str
    fn: Callable[..., Any] | None
    fn_arg_names: tuple[str, ...] = ()
    fn_arg_do_not_specialize: tuple[str, ...] = ()
    reduction_n: int = 1

    @staticmethod
    def default() -> FnSpecs:
        """No function."""
        return FnSpecs("dflt", None, ())


@dataclass(frozen=True)
class ClosureArg:
    """The parameters of a template that a `FnSpecs` fills.

    fn_name: the parameter that is the function.
    fn_params_name: the parameter that is the tuple of its arguments.
    """

    fn_name: str
    fn_params_name: str


class SpecializationModule:
    """Kernels made of the same templates for any functions, each combination once.

    module_name: what the modules of kernels are called, followed by the names of the functions.
    kernels: (name, template) of each.
    closure_args: which parameters of the templates a function fills, by the name under which `get`
        takes it.
    """

    def __init__(
        self,
        module_name: str,
        kernels: Sequence[tuple[str, Any]],
        closure_args: Mapping[str, ClosureArg],
    ) -> None:
        self.module_name = module_name
        self.kernels = tuple(kernels)
        self.closure_args = dict(closure_args)
        self._modules: dict[tuple[object, ...], tuple[tuple[FnSpecs, ...], ModuleType]] = {}

    def get(self, **specs: FnSpecs) -> ModuleType:
        """The module whose attributes are the kernels with these functions; none where not given.

        The same functions get the same module.  They are told apart by themselves, not by name.

        Raises TypeError for a name that is not among `closure_args`.
        """
        unknown = specs.keys() - self.closure_args.keys()
        if unknown:
            expected = ", ".join(self.closure_args) or "none"
            raise TypeError(f"functions: expected {expected}, got {', '.join(sorted(unknown))}")
        chosen = tuple(specs.get(name, FnSpecs.default()) for name in self.closure_args)
        # By identity: two `triton.jit` functions of the same source are equal to nobody, but their
        # hash would read the source.  The entry keeps the functions alive, so that no other gets
        # the identity of one.
        key = tuple((id(s.fn), s.name, s.fn_arg_names, s.fn_arg_do_not_specialize) for s in chosen)
        if key not in self._modules:
            self._modules[key] = chosen, self._make(chosen)
        return self._modules[key][1]

    def _make(self, chosen: tuple[FnSpecs, ...]) -> ModuleType:
        constants: dict[str, Any] = {}
        tuples: dict[str, Sequence[str]] = {}
        do_not_specialize: list[str] = []
        for closure, spec in zip(self.closure_args.values(), chosen, strict=True):
            constants[closure.fn_name] = spec.fn
            tuples[closure.fn_params_name] = spec.fn_arg_names
            do_not_specialize += spec.fn_arg_do_not_specialize
        module = ModuleType(_free_name("_".join([self.module_name, *(s.name for s in chosen)])))
        sys.modules[module.__name__] = module  # found by the import path in a kernel's record
        for name, template in self.kernels:
            kernel = specialize(
                template, module, constants, tuples, do_not_specialize=do_not_specialize
            )
            setattr(module, name, kernel)
        return module


def _free_name(name: str) -> str:
    """`name`, or with a number behind it where a module of other functions has it."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(n for n in itertools.chain([name], numbered) if n not in sys.modules)


def cacheable(f: Callable[[], Any]) -> Any:
    """Decorator of a function that makes a kernel: the kernel, found by Triton under `f`'s name.

    `f` is called once.  What it returns, a `triton.jit` function, takes its name and module, so
    that `module.f` is where a program that preloads compiled kernels finds it.
    """
    kernel = f()
    if not _interpreted():  # which finds a function in its source, by its name
        for function in (kernel.fn, kernel):
            function.__name__ = f.__name__
            function.__qualname__ = f.__qualname__
            function.__module__ = f.__module__
        kernel.module = f.__module__
        kernel._fn_name = f"{f.__module__}.{f.__qualname__}"
    return kernel


def define_kernel(
    src: str, module: ModuleType, attrs: Mapping[str, Any] | None = None, **extra_globals: Any
) -> Any:
    """The `triton.jit` function that a source text defines.

    src: one function.
    module: where it is said to be defined; what is in it is visible to the function.
    attrs: arguments of `triton.jit`, such as `repr` or `do_not_specialize`, and attributes that the
        result is to have.
    extra_globals: what the function sees besides, and before `module`'s.  `triton` and `tl` are
        there without being named.

    Raises ValueError where `src` is not one function.
    """
    src = textwrap.dedent(src)
    functions = [node for node in ast.parse(src).body if isinstance(node, ast.FunctionDef)]
    if len(functions) != 1:
        names = ", ".join(function.name for function in functions) or "none"
        raise ValueError(f"src: expected one function, got {names}")
    visible = {**vars(module), **extra_globals}
    return _compile(src, functions[0].name, module, visible, dict(attrs or {}))


def specialize(
    fn: Any,
    module: ModuleType,
    constants: Mapping[str, Any],
    tuples: Mapping[str, Sequence[str]],
    name: str | None = None,
    do_not_specialize: Iterable[str | int] = (),
) -> Any:
    """The kernel that `fn` is once some of its parameters are fixed, and some spread.

    fn: a `triton.jit` function, which stays as it is.
    module: where the new one is said to be defined.
    constants: values of parameters that it no longer has: functions, numbers, None.
    tuples: parameters that are tuples, and the names of the parameters that stand in their place.
    name: of the kernel; None: that of `fn`.
    do_not_specialize: names (or positions in the new kernel) of parameters whose values need no
        kernel of their own; if empty, what `fn` says of the parameters that are left.

    Names that `fn` does not have are passed over, so that one table serves several templates.
    Kernels are called what `fn` would be (its `repr`), followed by the names of the functions.
    Line numbers point into `fn`.

    Raises TypeError if `fn` is no `triton.jit` function, ValueError where no signature can be
    written: a parameter without a default behind one that has one, a name that is there twice.
    """
    if not _is_kernel(fn):
        raise TypeError(f"fn: expected a triton.jit function, got a {type(fn).__name__}")
    template = fn.fn
    name = name or template.__name__
    definition = _definition(template)
    parameters = _Parameters(definition.args, constants, tuples)
    visible = {**template.__globals__, **_closure(template), _TEMPLATE: fn}
    visible |= {_global_name(key): value for key, value in parameters.constant_globals.items()}
    attrs = _jit_arguments(fn, parameters, list(do_not_specialize))
    src = f"def {name}({parameters.header}):\n    {_TEMPLATE}({', '.join(parameters.arguments)})\n"
    kernel = _compile(
        src, name, module, visible, attrs, like=template, line=_definition_line(template)
    )
    if hasattr(kernel, "repr"):
        kernel._repr = _named_after(fn, kernel, constants)
    return kernel


# The specialised kernel is one call of the template, which Triton inlines.  Nothing is cut out of
# the template's text, so any signature will do, and its line numbers and closure stay.

_TEMPLATE = "_specialized_template"


def _global_name(parameter: str) -> str:
    return f"_specialized_{parameter}"


class _Parameters:
    """The signature of a specialised kernel, and the arguments that it calls its template with."""

    def __init__(
        self,
        template: ast.arguments,
        constants: Mapping[str, Any],
        tuples: Mapping[str, Sequence[str]],
    ) -> None:
        if template.vararg or template.kwarg:
            raise ValueError("fn: expected parameters with a name each, got * or **")
        self.replaced: dict[str, Sequence[str]] = {}
        self.arguments: list[str] = []
        self.constant_globals: dict[str, Any] = {}
        header: list[str] = []
        positional = [*template.posonlyargs, *template.args]
        missing = [None] * (len(positional) - len(template.defaults))
        defaults = [*missing, *template.defaults, *template.kw_defaults]
        for arg, default in zip([*positional, *template.kwonlyargs], defaults, strict=True):
            if template.kwonlyargs and arg is template.kwonlyargs[0]:
                header.append("*")
            if arg.arg in constants:
                self.replaced[arg.arg] = ()
                value = self._constant(arg.arg, constants[arg.arg])
            elif arg.arg in tuples:
                names = self.replaced[arg.arg] = tuples[arg.arg]
                header += names
                value = f"({''.join(f'{name}, ' for name in names)})"
            else:
                header.append(_declared(arg, default))
                value = arg.arg
            self.arguments.append(f"{arg.arg}={value}")
        if header and header[-1] == "*":
            header.pop()
        self.header = ", ".join(header)

    def _constant(self, parameter: str, value: Any) -> str:
        """A literal, or the name of a global."""
        if value is None or type(value) in (bool, int, str):
            return repr(value)
        if not callable(value) and not _interpreted():
            value = _constexpr(value)  # what a kernel may read of a module
        self.constant_globals[parameter] = value
        return _global_name(parameter)


def _declared(arg: ast.arg, default: ast.expr | None) -> str:
    annotated = f"{arg.arg}: {ast.unparse(arg.annotation)}" if arg.annotation else arg.arg
    return annotated if default is None else f"{annotated} = {ast.unparse(default)}"


def _jit_arguments(
    fn: Any, parameters: _Parameters, do_not_specialize: list[str | int]
) -> dict[str, Any]:
    """What `triton.jit` is told of the kernel: what it was told of the template."""
    attrs: dict[str, Any] = {}
    for attribute in ("version", "debug", "noinline", "launch_metadata"):
        if getattr(fn, attribute, None) is not None:
            attrs[attribute] = getattr(fn, attribute)
    for attribute in ("do_not_specialize", "do_not_specialize_on_alignment"):
        if attribute == "do_not_specialize" and do_not_specialize:
            attrs[attribute] = do_not_specialize
            continue
        named = [fn.arg_names[p] if isinstance(p, int) else p for p in getattr(fn, attribute, ())]
        attrs[attribute] = [n for p in named for n in parameters.replaced.get(p, (p,))]
    return attrs


def _named_after(fn: Any, kernel: Any, constants: Mapping[str, Any]) -> Callable[[Any], str]:
    """The `repr` of a specialised kernel."""
    functions = [value for value in constants.values() if _is_kernel(value)]

    def name(specialization: Any) -> str:
        whole = SimpleNamespace(
            constants={**constants, **specialization.constants},
            signature=specialization.signature,
        )
        own = kernel._fn_name if fn._repr is None else fn._repr(whole)
        # Without a `repr`, a function's is its import path.
        of_functions = (str(f.repr(whole)).rpartition(".")[2].strip("_") for f in functions)
        return "_".join([own, *filter(None, of_functions)])

    return name


def _definition(function: FunctionType) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    return definition


def _definition_line(function: FunctionType) -> int:
    """The line of `def` in its file: decorators come before it."""
    _, first = inspect.getsourcelines(function)
    return first + _definition(function).lineno - 1


def _closure(function: FunctionType) -> dict[str, Any]:
    return dict(inspect.getclosurevars(function).nonlocals)


# Making a function of a text.

_JIT_ARGUMENTS = (
    "debug",
    "do_not_specialize",
    "do_not_specialize_on_alignment",
    "launch_metadata",
    "noinline",
    "repr",
    "version",
)

_texts = itertools.count()


def _compile(
    src: str,
    name: str,
    module: ModuleType,
    visible: dict[str, Any],
    attrs: dict[str, Any],
    *,
    like: FunctionType | None = None,
    line: int = 1,
) -> Any:
    """`src` as a `triton.jit` function.

    like, line: the function and the line of it that the text is said to stand at.
    """
    import triton  # type: ignore[import-untyped]
    import triton.language as tl  # type: ignore[import-untyped]

    # Triton asks `inspect` for the text, which looks here for files that are none.
    filename = f"<kernel {module.__name__}.{name} {next(_texts)}>"
    text = "\n" * (line - 1) + src
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    try:
        # Annotations stay text: they may name what only a type checker sees.
        code = compile(
            text, filename, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True
        )
    except SyntaxError as error:
        raise ValueError(f"no kernel can be written: {error.msg}: {src.splitlines()[0]}") from error
    visible = {"triton": triton, "tl": tl, **visible, "__name__": module.__name__}
    exec(code, visible)
    function = visible[name]
    options = {key: attrs[key] for key in attrs.keys() & set(_JIT_ARGUMENTS)}
    kernel = triton.jit(getattr(function, "fn", function), **options)
    for key in attrs.keys() - set(_JIT_ARGUMENTS):
        setattr(kernel, key, attrs[key])
    if like is not None and not _interpreted():
        _say_it_stands_in(kernel, like.__code__.co_filename)
    return kernel


def _say_it_stands_in(kernel: Any, filename: str) -> None:
    """Triton has read the text; from here on the name of its file is for line numbers alone."""
    kernel.fn.__code__ = kernel.fn.__code__.replace(co_filename=filename)
    if hasattr(kernel, "file_name"):  # Triton 3.9 notes it, 3.6 asks the code
        kernel.file_name = filename


def _is_kernel(value: Any) -> bool:
    from triton.runtime.interpreter import InterpretedFunction  # type: ignore[import-untyped]
    from triton.runtime.jit import JITFunction  # type: ignore[import-untyped]

    return isinstance(value, (JITFunction, InterpretedFunction))


def _interpreted() -> bool:
    from triton import knobs

    return bool(knobs.runtime.interpret)


def _constexpr(value: Any) -> Any:
    from triton.language import constexpr

    return value if isinstance(value, constexpr) else constexpr(value)
