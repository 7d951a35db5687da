"""Old code that patches the old module changes what its own calls do, and only until it undoes it.

As downstream does it: by assignment, with `unittest.mock`, with pytest's `monkeypatch`.
"""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import Any
from unittest import mock

import pytest
import torch

import triton_kernels.routing as facade
from triton_kernels import TritonKernelsDeprecationWarning, legacy, moves

pytestmark = pytest.mark.filterwarnings("ignore::triton_kernels.TritonKernelsDeprecationWarning")

K = 3
X = torch.randn(9, 32, generator=torch.Generator().manual_seed(1))
SORT_TOKENS = legacy.sort_tokens

PRIVATE = [
    move
    for move in moves.BY_OLD_NAME.values()
    if not move.served
    and move.old.rpartition(".")[0] in moves.BY_OLD_MODULE
    and move.old.rpartition(".")[2].startswith("_")
]


@pytest.fixture(autouse=True)
def _nothing_stays_patched() -> Iterator[None]:
    clean = set(vars(facade))
    yield
    assert set(vars(facade)) == clean
    assert legacy.SortTokens.forward is legacy._SORT_FORWARD


def line() -> int:
    frame: FrameType | None = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def gates_of(result: Any) -> torch.Tensor:
    return result[0].gate_scal


def doubled(expt_scal: Any, expt_indx: Any, n_expts_tot: Any, bitmatrix: Any) -> Any:
    """A `sort_tokens` of old code, around the original."""
    hist, combine, dispatch, gates, *schedule = SORT_TOKENS(
        expt_scal, expt_indx, n_expts_tot, bitmatrix
    )
    return hist, combine, dispatch, 2 * gates, *schedule


def doubled_as_in_3_4(expt_scal: Any, expt_indx: Any, bitmatrix: Any) -> Any:
    hist, combine, dispatch, gates = SORT_TOKENS(expt_scal, expt_indx, bitmatrix)
    return hist, combine, dispatch, 2 * gates


@pytest.mark.parametrize("replacement", [doubled, doubled_as_in_3_4])
@pytest.mark.parametrize("how", ["assignment", "mock", "monkeypatch"])
def test_another_sort_tokens_is_called_until_it_is_undone(how: str, replacement: Any) -> None:
    before = facade.routing(X, K)
    chosen = facade.topk(X, K)

    def through_the_facade() -> None:
        for sm_first in (False, True):
            expected = 2 * gates_of(legacy.legacy_routing(X, K, sm_first))
            assert torch.equal(gates_of(facade.routing(X, K, sm_first)), expected)
        vals, indx, bitmatrix = chosen
        result = facade.routing_from_bitmatrix(bitmatrix, vals, indx, 32, K)
        assert torch.equal(gates_of(result), 2 * gates_of(before))
        assert result[0].expt_data.block_schedule(16).tolist() == (
            before[0].expt_data.block_schedule(16).tolist()
        )
        halved = facade.routing(X, K, simulated_ep=2)[0]
        assert halved.n_expts_tot == 16
        assert facade.sort_tokens is replacement
        # What is supported takes no part in it.
        assert torch.equal(gates_of(legacy.legacy_routing(X, K)), gates_of(before))

    if how == "assignment":
        original = facade.sort_tokens
        facade.sort_tokens = replacement
        through_the_facade()
        facade.sort_tokens = original
    elif how == "mock":
        with mock.patch("triton_kernels.routing.sort_tokens", replacement):
            through_the_facade()
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("triton_kernels.routing.sort_tokens", replacement)
            through_the_facade()
    assert "sort_tokens" not in vars(facade)
    assert facade.sort_tokens is SORT_TOKENS
    assert torch.equal(gates_of(facade.routing(X, K)), gates_of(before))


def test_a_replacement_may_return_dicts_by_block_size_as_3_5_did() -> None:
    def with_dicts(*args: Any) -> Any:
        *rest, offs, offs_pad, pid_map = SORT_TOKENS(*args)
        sizes = (16, 32, 64, 128)
        dicts = (dict(zip(sizes, rows, strict=True)) for rows in (offs_pad, pid_map))
        return *rest, offs, *dicts

    with mock.patch("triton_kernels.routing.sort_tokens", with_dicts):
        data = facade.routing(X, K)[0].expt_data
    expected = legacy.legacy_routing(X, K)[0].expt_data
    for size in (16, 128):
        assert torch.equal(data.block_offs(size), expected.block_offs(size))
        assert torch.equal(data.token_offs_pad[size], expected.block_offs(size))


def forward_doubled(ctx: Any, *args: Any) -> Any:
    hist, combine, dispatch, gates, *schedule = legacy._SORT_FORWARD(ctx, *args)
    return hist, combine, dispatch, 2 * gates, *schedule


@pytest.mark.parametrize("how", ["assignment", "mock", "monkeypatch"])
def test_another_forward_of_sort_tokens_is_called_until_it_is_undone(how: str) -> None:
    x = X.clone().requires_grad_()

    def through_the_facade() -> None:
        expected = legacy.legacy_routing(X, K)[0].gate_scal
        gates = gates_of(facade.routing(x, K))
        assert torch.equal(gates, 2 * expected)
        gates.backward(torch.arange(27.0))  # the original's backward serves it

    if how == "assignment":
        original = inspect.getattr_static(facade.SortTokens, "forward")
        facade.SortTokens.forward = staticmethod(forward_doubled)
        through_the_facade()
        facade.SortTokens.forward = original
    elif how == "mock":
        with mock.patch.object(facade.SortTokens, "forward", staticmethod(forward_doubled)):
            through_the_facade()
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(facade.SortTokens, "forward", staticmethod(forward_doubled))
            through_the_facade()
    plain = X.clone().requires_grad_()
    gates_of(facade.routing(plain, K)).backward(torch.arange(27.0))
    assert torch.equal(x.grad, plain.grad)


@pytest.mark.parametrize("sm_first", [False, True])
def test_the_old_way_round_has_the_gradient_of_the_short_one(sm_first: bool) -> None:
    gradients = []
    for replacement in (SORT_TOKENS, lambda *args: SORT_TOKENS(*args)):
        x = X.clone().requires_grad_()
        with mock.patch("triton_kernels.routing.sort_tokens", replacement):
            gates = gates_of(facade.routing(x, K, sm_first, n_rows=5))
        (gates * torch.arange(27.0)).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)
    assert not gradients[1][5:].any()


@pytest.mark.parametrize("name", ["routing", "routing_from_bitmatrix", "compute_expt_data", "topk"])
def test_a_mock_in_the_place_of_a_function_is_what_callers_get(name: str) -> None:
    with mock.patch(f"triton_kernels.routing.{name}") as patched:
        assert getattr(facade, name) is patched
        imported = importlib.import_module("triton_kernels.routing")
        assert getattr(imported, name) is patched
    assert getattr(facade, name) is getattr(legacy, name)
    assert facade.routing(X, K)[0].n_expts_act == K


def test_old_functions_call_a_patched_topk_and_pruning() -> None:
    with mock.patch("triton_kernels.routing.topk", wraps=legacy.topk) as topk:
        facade.routing(X, K)
    topk.assert_called_once()
    with mock.patch("triton_kernels.routing.prune_routing", wraps=legacy.prune_routing) as prune:
        facade.routing(X, K, simulated_ep=2)
    prune.assert_called_once()


def test_patches_nest() -> None:
    with mock.patch("triton_kernels.routing.routing") as outer:
        with mock.patch("triton_kernels.routing.routing") as inner:
            assert facade.routing is inner
        assert facade.routing is outer
    assert facade.routing is legacy.routing


def test_a_deleted_patch_is_gone() -> None:
    facade.is_hip = lambda: True
    assert facade.is_hip()
    del facade.is_hip
    assert not facade.is_hip()


def test_assigning_an_old_name_warns_once_at_its_place() -> None:
    with pytest.warns(TritonKernelsDeprecationWarning) as seen:
        facade.sort_tokens, here = doubled, line()
    del facade.sort_tokens
    assert [(w.filename, w.lineno, w.message.code) for w in seen] == [(__file__, here, "TKM006")]


@pytest.mark.parametrize("move", PRIVATE, ids=lambda move: move.code)
def test_assigning_a_private_kernel_has_no_effect_and_says_why(move: moves.Move) -> None:
    path, _, name = move.old.rpartition(".")
    module = importlib.import_module(path)
    with pytest.warns(TritonKernelsDeprecationWarning) as seen:
        setattr(module, name, mock.Mock(side_effect=AssertionError))
    warning = seen[0].message
    assert isinstance(warning, TritonKernelsDeprecationWarning)
    assert (len(seen), seen[0].filename, warning.code) == (1, __file__, move.code)
    assert f"Assigning {move.old} has no effect" in str(warning)
    assert move.why in str(warning)
    assert move.advice in str(warning)
    try:
        assert facade.routing(X, K, simulated_ep=2)[0].n_expts_tot == 16
    finally:
        delattr(module, name)
    with pytest.raises(AttributeError, match="no longer has"):
        getattr(module, name)


def test_names_of_its_own_can_be_put_into_the_module() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facade.my_own_flag = 5
        assert facade.my_own_flag == 5
        del facade.my_own_flag


def test_patching_does_not_import_the_home() -> None:
    program = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import triton_kernels.routing as r\n"
        "r.sort_tokens = 1; assert r.sort_tokens == 1; del r.sort_tokens\n"
        "import sys; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
