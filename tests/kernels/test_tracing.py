"""What torch traces is the op, whole; compiled, exported or faked, it computes the same."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import matmul_programs
import oracle
import pytest
import torch
import triton
from matmul_oracle import capped, leaky
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from traced_programs import N_COLUMNS, N_ROWS, PROGRAMS, SWIGLU, K, Program, choices, parts

from triton_kernels import dispatch, ops, target_info
from triton_kernels.legacy import legacy_routing
from triton_kernels.numbered_functions import number_and_values
from triton_kernels.reduce import FnSpecs, PostprocessFn, reduce
from triton_kernels.swiglu import PrecisionConfig, swiglu, swiglu_fn
from triton_kernels.tensor import (
    make_ragged_tensor_metadata,
)
from triton_kernels.topk import topk, topk_forward

every_program = pytest.mark.parametrize("name", PROGRAMS)


def entries(seed: object, n_rows: int = N_ROWS) -> torch.Tensor:
    _, generator = oracle.fresh(seed)
    return torch.randn(n_rows, N_COLUMNS, generator=generator)


def same(got: list[torch.Tensor], want: list[torch.Tensor], tolerance: float = 1e-6) -> None:
    assert len(got) == len(want)
    for ours, theirs in zip(got, want, strict=True):
        assert ours.dtype == theirs.dtype and ours.stride() == theirs.stride()
        # Not torch.equal: the rows of words beyond the last are nobody's.
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance / 10)


def with_gradient(program: Program, x: torch.Tensor) -> list[torch.Tensor]:
    """Results of a program, and gradients of its differentiable ones."""
    leaf = x.clone().requires_grad_()
    results = program(leaf)
    weighted = [
        (result * torch.arange(result.numel(), device=x.device).view(result.shape)).sum()
        for result in results
        if result.requires_grad
    ]
    gradients = list(torch.autograd.grad(sum(weighted), leaf)) if weighted else []
    return [result.detach() for result in results] + gradients


@pytest.fixture(autouse=True)
def forget_what_was_compiled():
    yield
    torch._dynamo.reset()


@every_program
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_program_is_one_graph_with_the_same_values_and_gradients(name, backend):
    program, x = PROGRAMS[name], entries(name)
    compiled = torch.compile(program, fullgraph=True, backend=backend)
    same(compiled(x), program(x))
    same(with_gradient(compiled, x), with_gradient(program, x))


@every_program
def test_a_compiled_program_is_one_graph_where_triton_functions_are_known_to_dynamo(
    name, monkeypatch
):
    """As they are where there is a GPU: there it takes them for what is launched, no constants."""
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: True)
    program, x = PROGRAMS[name], entries(name)
    same(torch.compile(program, fullgraph=True, backend="eager")(x), program(x))


@every_program
def test_one_compilation_serves_any_number_of_rows(name):
    program = PROGRAMS[name]
    compiled = torch.compile(program, fullgraph=True, backend="aot_eager")
    for n_rows in (N_ROWS, 100, 77):
        x = entries(name, n_rows)
        torch._dynamo.mark_dynamic(x, 0)
        with torch.compiler.set_stance("default" if n_rows == N_ROWS else "fail_on_recompile"):
            same(compiled(x), program(x))


@pytest.mark.parametrize(
    "name",
    ["topk", "legacy_routing", "legacy_routing of given experts", "matmul_ogs twice, routed"],
)
def test_gradients_too_are_compiled_for_any_number_of_rows(name):
    program = PROGRAMS[name]
    compiled = torch.compile(program, fullgraph=True, backend="aot_eager", dynamic=True)
    for n_rows in (N_ROWS, 100):
        x = entries(name, n_rows)
        same(with_gradient(compiled, x), with_gradient(program, x))


@pytest.mark.parametrize("name", ["topk", "legacy_routing", "matmul_ogs twice, routed"])
def test_inductor_compiles_it(name):
    program, x = PROGRAMS[name], entries(name)
    compiled = torch.compile(program, fullgraph=True)
    same(compiled(x), program(x), 1e-4)  # its own sums come in another order
    same(with_gradient(compiled, x), with_gradient(program, x), 1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@every_program
def test_a_program_compiled_for_a_gpu_computes_the_same(name, mode):
    program, x = PROGRAMS[name], entries(name).cuda()
    compiled = torch.compile(program, fullgraph=True, mode=mode)
    for _ in range(3):  # a graph of CUDA is captured at the second call
        results = compiled(x)
        same(results, program(x), 1e-4)  # Inductor's own sums come in another order
        del results  # whose memory the next replay writes to
    same(with_gradient(compiled, x), with_gradient(program, x), 1e-4)


@every_program
@pytest.mark.parametrize("tracing_mode", ["real", "fake", "symbolic"])
def test_make_fx_records_the_op_and_nothing_of_its_inside(name, tracing_mode):
    program = PROGRAMS[name]
    graph = make_fx(program, tracing_mode=tracing_mode)(entries("traced"))
    called = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert any(target.startswith("triton_kernels.") for target in called)
    assert not any("sort" in target or "aten.topk" in target for target in called)
    for n_rows in (N_ROWS, 100) if tracing_mode == "symbolic" else (N_ROWS,):
        x = entries("replayed", n_rows)
        same(graph(x), program(x))


@every_program
def test_a_fake_tensor_gives_fakes_of_the_right_shape_dtype_and_strides(name):
    program, x = PROGRAMS[name], entries(name)
    with FakeTensorMode() as mode:
        fakes = program(mode.from_tensor(x))
    for fake, real in zip(fakes, program(x), strict=True):
        assert type(fake) is type(mode.from_tensor(x))
        assert (fake.shape, fake.dtype, fake.stride()) == (real.shape, real.dtype, real.stride())


def test_a_fake_tensor_is_known_without_its_mode():
    fake = FakeTensorMode().from_tensor(entries("fake"))
    assert type(topk(fake, K).vals) is type(fake)
    assert type(legacy_routing(fake, K)[0].gate_scal) is type(fake)


@pytest.mark.filterwarnings("ignore:There is a performance drop because we have not yet")
@pytest.mark.parametrize("name", ["topk", "legacy_routing", "legacy_routing with softmax first"])
def test_torch_func_differentiates_it_and_maps_it_over_a_batch(name):
    program, batch = PROGRAMS[name], torch.stack([entries(name), entries("another")])

    def total(x):
        values = program(x)[0]
        return (values * torch.arange(values.numel()).view(values.shape)).sum()

    want = torch.stack([with_gradient(program, x)[-1] for x in batch])
    torch.testing.assert_close(torch.func.grad(total)(batch[1]), want[1])
    torch.testing.assert_close(torch.vmap(torch.func.grad(total))(batch), want)
    each = [torch.stack(values) for values in zip(*map(program, batch), strict=True)]
    torch.testing.assert_close(list(torch.vmap(program)(batch)), each)


def test_export_keeps_the_op():
    class Router(torch.nn.Module):
        def forward(self, x):
            data, gather, _ = legacy_routing(x, K)
            return data.gate_scal, gather.src_indx

    rows = {0: torch.export.Dim.AUTO}
    exported = torch.export.export(Router(), (entries("export", 100),), dynamic_shapes={"x": rows})
    assert "torch.ops.triton_kernels.legacy_routing" in exported.graph_module.code
    for n_rows in (100, 300):
        x = entries("exported", n_rows)
        same(list(exported.module()(x)), list(Router()(x)))


class _Seen(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_dispatch_mode_sees_the_op():
    with _Seen() as seen:
        legacy_routing(entries("mode"), K)
    assert "triton_kernels.legacy_routing.default" in seen.names
    assert "aten.topk.default" not in seen.names


def test_an_eager_call_takes_no_registered_op(monkeypatch):
    def refuse(*_args: object) -> None:
        raise AssertionError("the way through torch's dispatcher costs tens of microseconds")

    for name in ops.__all__:
        monkeypatch.setattr(ops, name, refuse)
    for program in PROGRAMS.values():
        with_gradient(program, torch.nn.Parameter(entries("eager")).detach())
    topk(torch.nn.Parameter(entries("eager")), K)
    assert not dispatch.is_traced(torch.nn.Parameter(entries("eager")))


@pytest.mark.parametrize("values", [(0.5, 2.0, -0.0), (1, 2, 3), (True, False)])
def test_arguments_of_functions_may_change_in_a_compiled_program(values):
    def run(x, alpha):
        fn = PostprocessFn(FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), (), 2), (alpha, None))
        activated = swiglu(x, float(alpha), PrecisionConfig(abs(float(alpha))))
        return [reduce(choices(x), 1, postprocess_fn1=fn)[0], activated]

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    x = entries("changing")
    for value in values:
        same(compiled(x, value), run(x, value))


def postprocess(function: Callable[..., object]) -> PostprocessFn:
    return PostprocessFn(FnSpecs("same", function, ("x",)), (0.5,))


_postprocess_fn = postprocess(leaky)


@pytest.mark.parametrize("knows_triton", [False, True])
@pytest.mark.parametrize("place", ["global", "argument", "made in the trace"])
def test_what_was_compiled_with_one_function_does_not_serve_another(
    knows_triton, place, monkeypatch
):
    """Though it has the same name and arguments."""
    if knows_triton:
        monkeypatch.setattr("torch.utils._triton.has_triton", lambda: True)

    def run(x, given):
        fn = _postprocess_fn if place == "global" else given
        if place == "made in the trace":
            fn = postprocess(given)
        return [reduce(choices(x), 1, postprocess_fn1=fn)[0]]

    compiled = torch.compile(run, fullgraph=True, backend="eager")
    x = entries("functions")
    results = []
    for function in (leaky, capped, leaky):
        monkeypatch.setitem(globals(), "_postprocess_fn", postprocess(function))
        given = function if place == "made in the trace" else postprocess(function)
        results += compiled(x, given)
        same(results[-1:], run(x, given))
    assert not torch.equal(results[0], results[1])


@pytest.mark.parametrize(("changes", "text"), matmul_programs.UNTRACEABLE)
def test_what_a_trace_of_a_product_cannot_hold_is_named(changes, text):
    def run(x):
        return matmul_programs.matmul_ogs(
            x, matmul_programs.weights(x, N_COLUMNS, 8), None, **changes
        )

    with pytest.raises(ValueError, match=text):
        make_fx(run)(entries("refused"))


def test_the_op_of_a_product_has_no_gradient_for_which_it_kept_nothing():
    *arguments, keeps_rows = matmul_programs.products()[2]
    assert keeps_rows
    result, *_ = torch.ops.triton_kernels.matmul_ogs(*arguments, False)
    with pytest.raises(RuntimeError, match="takes keeps_rows=True"):
        result.sum().backward()


def test_questions_about_the_target_are_answered_while_compiling():
    def f(x):
        return x + target_info.num_sms() if target_info.cuda_capability_geq(9) else x

    with target_info.override(target_info.Target("cuda", 90, n_sms=132)):
        assert torch.compile(f, fullgraph=True, backend="eager")(torch.zeros(1)).item() == 132


_BITS = "tensor_details.bitmatrix"

# Columns 4 apart, so that every row of a batch has its own.
_GIVEN = (torch.arange(N_ROWS).unsqueeze(1) + 4 * torch.arange(K)) % N_COLUMNS
_SIZES = torch.arange(N_COLUMNS, dtype=torch.int32) % 5


ONE = torch.ones(1)
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


def reductions(leaf: torch.Tensor) -> list[tuple[object, ...]]:
    """Arguments for `reduce`."""
    terms, nothing = (
        choices(leaf.detach()).requires_grad_(),
        (None, None, None, False, 0, [], 0, []),
    )
    mask = (terms.detach()[:, :, :1] > 0).expand(terms.shape)
    scale = terms.detach().flip(0).requires_grad_()
    fn = number_and_values(SWIGLU.specs, SWIGLU.fn_args)
    mx = torch.full((N_ROWS, 3, 1), 127, dtype=torch.uint8)
    return [
        (terms, 1, None, None, None, None, torch.float32, False, *nothing),
        (terms, 0, mask, scale, None, None, torch.bfloat16, False, *nothing),
        (
            terms.detach(),
            0,
            mask,
            None,
            None,
            ONE,
            E5M2,
            False,
            ONE,
            ONE,
            ONE.int(),
            True,
            0,
            [],
            *fn,
        ),
        (terms.detach(), 2, None, scale.detach(), None, None, torch.half, False, *nothing),
        (terms.detach(), 1, None, None, mx, None, E4M3, True, *nothing[:4], *fn, 0, []),
    ]


def operands() -> dict[str, list[tuple[object, ...]]]:
    """Arguments for each op: every kind of optional argument, dtype and stride at least once."""
    x, leaf = entries("opcheck"), entries("opcheck").requires_grad_()
    by_column = entries("strided").t().contiguous().t().requires_grad_()
    given, on_device = _GIVEN.to(torch.int16), torch.tensor([17])
    vals, indx, mask = topk_forward(x, K)
    gates, buffer, kept = torch.ops.triton_kernels.legacy_routing(
        x, K, False, None, True, None, None
    )
    metadata = make_ragged_tensor_metadata(_SIZES, 100)
    return {
        "topk": [
            (leaf, K, True, None, None, None),
            (by_column, K, False, None, on_device, None),
            (leaf, K, True, given, None, None),
            (by_column, K, True, _GIVEN.t().contiguous().t(), None, 11),
            (leaf.bfloat16().detach().requires_grad_(), N_COLUMNS, True, None, None, None),
            (torch.zeros(0, 5), 2, True, None, None, None),
        ],
        "topk_backward": [
            (x, indx, vals, True, None, None),
            (by_column.detach(), given, vals.half(), False, on_device, None),
        ],
        "bitmatrix_metadata": [
            (indx, N_COLUMNS, None, None),
            (_GIVEN.t().contiguous().t(), 30, on_device, None),
            (given, N_COLUMNS, None, 11),
        ],
        "sum_bitmatrix_rows": [
            (mask.data, N_ROWS, N_COLUMNS, 16, None, N_ROWS),
            (mask.data.view(torch.int32).contiguous(), 33, 60, 32, on_device, None),
        ],
        "ragged_tensor_metadata": [(_SIZES, 200), (_SIZES[::2], 10)],
        "remap_ragged_tensor_metadata": [(*parts(metadata), torch.arange(N_COLUMNS) - 4)],
        "compaction": [
            (vals, indx, mask.data, -1),
            (vals.t().contiguous().t(), _GIVEN, mask.data.view(torch.int32), 7),
        ],
        "legacy_routing": [
            (leaf, K, False, None, True, None, None),
            (by_column, K, True, None, True, on_device, None),
            (x, K, False, given, False, None, 11),
            (entries("many", 300), K, False, None, False, None, None),
        ],
        "matmul_ogs": matmul_programs.products(),
        "matmul_ogs_backward": matmul_programs.gradients(),
        "reduce": reductions(leaf),
        "swiglu": [
            (leaf, 0.5, None, None, None, None, None, torch.float32, False, None),
            (leaf, 0.5, 1.0, ONE, ONE, None, None, torch.float32, True, on_device[0]),
            (x.half(), 0.5, 1.0, None, None, ONE, ONE.int(), E5M2, False, None),
        ],
        "swiglu_backward": [
            (x, by_column.detach()[:, :35], 0.5, 1.0, ONE, ONE, on_device[0]),
            (by_column.detach().bfloat16().contiguous(), x[:, ::2], 0.5, None, None, None, None),
        ],
        "legacy_routing_backward": [
            (x, kept, buffer, gates, False, None, None),
            (x.bfloat16(), kept, buffer, gates.bfloat16(), True, on_device, None),
        ],
    }


class _NoLaunch:
    """In the place of a kernel: what it would write stays as it was allocated."""

    def __getitem__(self, grid: object) -> Callable[..., None]:
        return lambda *_args, **_options: None


@pytest.mark.parametrize("name", ops.__all__)
def test_the_launching_code_allocates_what_the_fake_implementation_promises(name, monkeypatch):
    ragged = "tensor_details.ragged_tensor"
    packages = ("topk", "legacy", "compaction", "reduce", "swiglu", "matmul_ogs", ragged, _BITS)
    launching = [f"{package}_details._launch" for package in packages]
    for name_of_module in (*launching, "matmul_ogs_details._p_launch"):
        module = importlib.import_module(f"triton_kernels.{name_of_module}")
        for known_as, value in list(vars(module).items()):
            if isinstance(value, triton.JITFunction):
                monkeypatch.setattr(module, known_as, _NoLaunch())
    op = getattr(torch.ops.triton_kernels, name)
    for arguments in operands()[name]:
        mode = FakeTensorMode()
        fakes = [mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in arguments]
        promised = op(*fakes)
        with dispatch.override(dispatch.Implementation.KERNEL):
            allocated = op(*arguments)
        if isinstance(allocated, torch.Tensor):
            promised, allocated = [promised], [allocated]
        for fake, real in zip(promised, allocated, strict=True):
            facts = (real.shape, real.dtype, real.stride())
            assert (fake.shape, fake.dtype, fake.stride()) == facts


@pytest.mark.parametrize("name", ops.__all__)
def test_what_is_registered_of_an_op_fits_what_it_does(name):
    for arguments in operands()[name]:
        torch.library.opcheck(getattr(torch.ops.triton_kernels, name).default, arguments)
