"""The examples of the table run: the new one is silent and gives what the old one gives."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_moves import WAITING, imported_paths

from triton_kernels import SortedIndexOrderWarning, TritonKernelsDeprecationWarning, moves
from triton_kernels.matmul_ogs import (
    FnSpecs,
    FusedActivation,
    GatherIndx,
    PrecisionConfig,
    RoutingData,
    ScatterIndx,
)
from triton_kernels.matmul_ogs_details.opt_flags import reset_opt_flags_constraints
from triton_kernels.moves import Codemod, Form, Move
from triton_kernels.tensor import Bitmatrix, make_ragged_tensor_metadata
from triton_kernels.topk import topk

N_ROWS, N_EXPERTS, K = 6, 8, 2

OURS = (TritonKernelsDeprecationWarning, SortedIndexOrderWarning)

# Old forms that are errors on purpose.
FAILS = {
    "TKM112": AttributeError,  # no release had it
    "TKM305": TypeError,  # a number in fifth place may mean either
    "TKM324": TypeError,  # nobody can have one: its class is gone
}

# Old forms that run and mean something else, and why.
DIFFERS = {
    "TKM109": "a record built by hand keeps the tensors that it was given",
    "TKM111": "the old form stores a function",
    "TKM124": "the old form counts too few words",
    "TKM308": "a record of None is None now",
    "TKM315": "rows came sorted by value",
    "TKM316": "values and columns were a pair",
    "TKM401": "upstream swapped the meaning",
    "TKM402": "upstream swapped the meaning",
}

# Of some examples only the outcome is compared: what it is made of is what changed.
OUTCOME = {"TKM320": "activation", "TKM321": "activation"}


def values() -> dict[str, Any]:
    """What the examples take as given."""
    torch.manual_seed(0)
    logits = torch.randn(N_ROWS, N_EXPERTS)
    chosen = topk(logits, K)
    hist = chosen.mask_metadata.col_sum
    ragged = make_ragged_tensor_metadata(hist, N_ROWS * K)
    words, shape = chosen.mask.storage, [N_ROWS, N_EXPERTS]
    combine_indx, dispatch_indx = (
        chosen.mask_metadata.combine_indx,
        chosen.mask_metadata.dispatch_indx,
    )
    scale = torch.ones(N_EXPERTS, 1, 4, dtype=torch.uint8)
    return {
        "MicroscalingCtx": SimpleNamespace,
        "activation": FusedActivation(FnSpecs("none", None, reduction_n=1)),
        "b": torch.randn(N_EXPERTS, 4),
        "batch_sizes": hist,
        "bitmatrix": Bitmatrix(words, dtype=chosen.mask.dtype, shape=shape),
        "block_m": 16,
        "combine_indx": combine_indx,
        "data": torch.zeros(N_ROWS * K, 3),
        "device": "cpu",
        "dispatch_indx": dispatch_indx,
        "dtype": torch.int32,
        "expt_data": ragged,
        "expt_hist": hist,
        "expt_indx": chosen.indx,
        "expt_scal": chosen.vals,
        "gate_scal": chosen.vals.flatten(),
        "gates": chosen.vals.flatten(),
        "gather": GatherIndx(combine_indx, dispatch_indx),
        "hist": hist,
        "k": K,
        "logits": logits,
        "metadata": ragged,
        "n_cols": 32,
        "n_expts_act": K,
        "n_expts_tot": N_EXPERTS,
        "n_gates": N_ROWS * K,
        "n_rows": N_ROWS,
        "offs": ragged.slice_offs,
        "offs_pad": ragged.block_offs_data,
        "out": torch.zeros(N_EXPERTS, dtype=torch.int32),
        "pc": PrecisionConfig(),
        "pid_map": ragged.block_schedule_data,
        "ragged": ragged,
        "rdata": RoutingData(chosen.vals.flatten(), hist, N_EXPERTS, K, ragged),
        "scale": scale,
        "scatter": ScatterIndx(dispatch_indx, combine_indx),
        "scratch": None,
        "shape": (0, 5),  # what it allocates is not initialised
        "simulated_ep": 2,
        "sizes": hist,
        "sm_first": False,
        "w": torch.randn(N_EXPERTS, N_EXPERTS, 4),
        "w_scale": scale,
        "words": words,
        "swiglu_fn": None,
        "x": logits,
        "y_indx": chosen.indx,
    }


def can_run(move: Move) -> bool:
    """Whether both examples consist of what is there to be called."""
    if move.waits_for or move.form is Form.MODULE or (move.form is Form.NAME and not move.served):
        return False
    if move.old.partition("(")[0].rpartition(".")[2].startswith("_"):
        return False
    gone = {path for path in moves.BY_OLD_NAME if not moves.BY_OLD_NAME[path].served}
    paths = imported_paths(move.before) | imported_paths(move.after)
    return not paths & (WAITING | gone)


@pytest.fixture(autouse=True)
def _fix_no_flags() -> Iterator[None]:
    """What an example fixes for its process, it fixes for itself."""
    yield
    reset_opt_flags_constraints()


RUN = [move for move in moves.MOVES if can_run(move)]


def run(snippet: str) -> dict[str, Any]:
    given = values()
    namespace = dict(given)
    exec(compile(snippet, "example.py", "exec", dont_inherit=True), namespace)
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("__") and (name not in given or value is not given[name])
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        # Releases differ in the width of integers; their values are what is promised.
        return one.shape == other.shape and bool((one == other).all())
    if isinstance(one, (RoutingData, GatherIndx, ScatterIndx, PrecisionConfig)):
        return same(
            [getattr(one, each.name) for each in dataclasses.fields(one)],
            [getattr(other, each.name) for each in dataclasses.fields(one)],
        )
    if hasattr(one, "block_schedule_data"):
        return same(
            [one.slice_sizes, one.slice_offs, one.block_offs_data, one.block_schedule_data],
            [other.slice_sizes, other.slice_offs, other.block_offs_data, other.block_schedule_data],
        )
    if isinstance(one, Bitmatrix):
        return same(one.data.view(torch.int32), other.data.view(torch.int32))
    # A name that was imported, or a plain value.
    return callable(one) or hasattr(one, "mask_metadata") or bool(one == other)


@pytest.mark.parametrize("move", RUN, ids=lambda move: move.code)
def test_the_new_example_runs_without_a_warning_of_ours(move: Move) -> None:
    with warnings.catch_warnings():
        for category in OURS:
            warnings.simplefilter("error", category)
        run(move.after)


@pytest.mark.parametrize("move", RUN, ids=lambda move: move.code)
def test_the_old_example_warns_and_gives_the_same(move: Move) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        if move.code in FAILS:
            with pytest.raises(FAILS[move.code]):
                run(move.before)
            return
        old = run(move.before)
    if move.codemod is not Codemod.EXPLAINS and move.code not in DIFFERS:
        assert any(issubclass(warning.category, OURS) for warning in seen)
    new = run(move.after)
    common = {OUTCOME[move.code]} if move.code in OUTCOME else old.keys() & new.keys()
    # Where the new name is another one, an example that only imports has nothing to compare.
    assert common or move.form is Form.NAME
    if not common:
        return
    assert all(same(old[name], new[name]) for name in common) is (move.code not in DIFFERS)


def test_most_rows_are_run() -> None:
    assert {*FAILS, *DIFFERS} <= {move.code for move in RUN}
    rewritten = {move for move in moves.MOVES if move.codemod is Codemod.REWRITES}
    assert {move.code for move in rewritten if not move.waits_for} <= {move.code for move in RUN}
