"""Old forms of what has moved work on the new library, each warning with its own code."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from triton_kernels import TritonKernelsDeprecationWarning, legacy, moves
from triton_kernels import topk as topk_module
from triton_kernels.matmul_ogs import FnSpecs, FusedActivation
from triton_kernels.tensor import (
    BIT,
    Bitmatrix,
    RaggedTensor,
    RaggedTensorMetadata,
    SparseMatrix,
    make_ragged_tensor_metadata,
    make_ragged_tensor_metadata_torch,
)
from triton_kernels.tensor_details.ragged_tensor import max_n_tiles
from triton_kernels.topk import TopK, topk, topk_forward, topk_torch

K = 3
X = torch.randn(7, 20, generator=torch.Generator().manual_seed(0))
GIVEN = torch.tensor([[i % 20, (i + 5) % 20, (i + 9) % 20] for i in range(7)], dtype=torch.int32)
SIZES = torch.tensor([15, 17, 0, 127], dtype=torch.int32)
SPECS = FnSpecs("swiglu", None, ("alpha", "limit"))


def once(code: str, call: Callable[[], Any]) -> Any:
    """The result of a call that warns once, with `code`, at this file."""
    with pytest.warns(TritonKernelsDeprecationWarning) as seen:
        result = call()
    assert [(w.filename, w.message.code) for w in seen] == [(__file__, code)]
    move = moves.BY_CODE[code]
    assert (seen[0].message.old, seen[0].message.new) == (move.old_text, move.new)
    return result


def same_choice(one: SparseMatrix, other: SparseMatrix) -> bool:
    return (
        torch.equal(one.vals, other.vals)
        and torch.equal(one.indx, other.indx)
        and torch.equal(one.mask.data.view(torch.int32), other.mask.data.view(torch.int32))
    )


# --- topk


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize(
    ("code", "call", "today"),
    [
        ("TKM302", lambda b: topk(X, K, return_bitmatrix=b), {}),
        ("TKM302", lambda b: topk(X, K, False, 1, return_bitmatrix=b), {"apply_softmax": False}),
        ("TKM302", lambda b: topk(X, K, y_indx=GIVEN, return_bitmatrix=b), {"y_indx": GIVEN}),
        ("TKM310", lambda b: topk(X, K, True, 1, b), {}),
        ("TKM310", lambda b: topk(X, K, True, 1, b, GIVEN), {"y_indx": GIVEN}),
        ("TKM310", lambda b: topk(X, K, True, 1, b, GIVEN, 5), {"y_indx": GIVEN, "n_rows": 5}),
        ("TKM310", lambda b: topk(X, K, True, 1, b, n_rows=5), {"n_rows": 5}),
    ],
)
def test_topk_takes_return_bitmatrix(code: str, call: Any, today: Any, wanted: bool) -> None:
    assert same_choice(once(code, lambda: call(wanted)), topk(X, K, **today))


def test_the_new_positional_form_of_topk_is_told_apart_and_silent() -> None:
    expected = topk(X, K, y_indx=GIVEN, n_rows=5)
    assert same_choice(topk(X, K, True, 1, GIVEN, 5), expected)
    assert same_choice(topk(X, K, True, 1, None, 5), topk(X, K, n_rows=5))


@pytest.mark.parametrize("op", [topk, topk_forward])
@pytest.mark.parametrize("fifth", [GIVEN, None, 1])
def test_seven_arguments_of_topk_without_a_bool_are_an_error_that_names_releases(
    op: Any, fifth: Any
) -> None:
    with pytest.raises(TypeError, match=r"return_bitmatrix is taken too.*3\.4 and 3\.5"):
        op(X, K, True, 1, fifth, GIVEN, 5)


def test_an_error_from_inside_topk_stays_as_it_is() -> None:
    with pytest.raises(TypeError) as error:
        topk(X.double(), K)
    assert "return_bitmatrix" not in str(error.value)


def test_return_bitmatrix_twice_is_an_error() -> None:
    with (
        pytest.warns(TritonKernelsDeprecationWarning),
        pytest.raises(TypeError, match="return_bitmatrix"),
    ):
        topk(X, K, True, 1, True, return_bitmatrix=True)


def test_the_result_of_topk_unpacks_as_it_did() -> None:
    chosen = topk(X, K)

    def unpacked() -> tuple[Any, Any, Any]:
        vals, indx, bitmatrix = chosen
        return vals, indx, bitmatrix

    vals, indx, bitmatrix = once("TKM301", unpacked)
    assert vals is chosen.vals and indx is chosen.indx and bitmatrix is chosen.mask


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("TKM311", lambda: topk_forward(X, K, return_bitmatrix=True)),
        ("TKM312", lambda: topk_forward(X, K, True, 1, True)),
        ("TKM313", lambda: TopK.apply(X, K, True, 1, True, None, None)),  # type: ignore[no-untyped-call]
    ],
)
def test_the_parts_of_topk_take_return_bitmatrix(code: str, call: Any) -> None:
    expected = topk(X, K)
    vals, indx, mask = once(code, call)
    assert same_choice(SparseMatrix(indx, vals, mask), expected)


def test_the_old_form_of_the_autograd_function_has_its_gradient() -> None:
    weights = torch.arange(21.0).view(7, 3)
    gradients = []
    for old in (False, True):
        x = X.clone().requires_grad_()
        if old:
            vals = once("TKM313", lambda x=x: TopK.apply(x, K, True, 1, True, None, 5))[0]  # type: ignore[no-untyped-call]
        else:
            vals = topk(x, K, n_rows=5).vals
        (vals * weights).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize(
    "call",
    [
        lambda: topk_torch(X, K, GIVEN),  # type: ignore[arg-type]
        lambda: topk_torch(X, K, GIVEN, True),  # type: ignore[arg-type]
        lambda: topk_torch(X, K, expt_indx=GIVEN),  # type: ignore[call-arg]
    ],
)
def test_topk_torch_with_the_columns_third_is_the_old_reference(call: Any) -> None:
    vals, indx = once("TKM316", call)
    assert torch.equal(indx, GIVEN)
    assert torch.equal(vals, X.gather(1, GIVEN.long()))


def test_topk_torch_with_none_third_is_the_old_search() -> None:
    vals, indx = once("TKM316", lambda: topk_torch(X, K, None))  # type: ignore[arg-type]
    expected = X.topk(K)
    assert torch.equal(vals, expected.values)
    assert torch.equal(indx, expected.indices.int())


def test_the_new_forms_of_topk_torch_are_silent() -> None:
    for chosen in (topk_torch(X, K), topk_torch(X, K, True), topk_torch(X, K, y_indx=GIVEN)):
        assert isinstance(chosen, SparseMatrix)


def test_the_signatures_that_people_read_are_todays() -> None:
    import inspect

    for name in ("topk", "topk_forward", "topk_torch"):
        parameters = list(inspect.signature(getattr(topk_module, name)).parameters)
        assert parameters == ["x", "k", "apply_softmax", "dim", "y_indx", "n_rows"]


# --- Bitmatrix


def test_a_bitmatrix_has_no_scratchpad() -> None:
    assert once("TKM123", lambda: topk(X, K).mask.scratchpad) is None


def test_the_mask_of_a_choice_knows_its_metadata() -> None:
    chosen = topk(X, K)
    metadata = once("TKM132", lambda: chosen.mask.metadata)
    for name in ("col_sum", "combine_indx", "dispatch_indx"):
        assert torch.equal(getattr(metadata, name), getattr(chosen.mask_metadata, name))


def test_a_bitmatrix_of_nobody_has_no_metadata() -> None:
    words = torch.zeros(2, 1, dtype=torch.int32)
    alone = Bitmatrix(words, dtype=BIT, shape=[2, 3])
    with (
        pytest.warns(TritonKernelsDeprecationWarning, match="TKM132"),
        pytest.raises(AttributeError, match="only as the mask of a SparseMatrix"),
    ):
        alone.metadata  # noqa: B018


# --- ragged tensors


def test_the_schedules_width_takes_the_old_name_of_its_argument() -> None:
    width = max_n_tiles(8, 100)
    assert once("TKM009", lambda: max_n_tiles(n_expts_tot=8, n_gates=100)) == width  # type: ignore[call-arg]
    assert max_n_tiles(n_batches=8, n_gates=100) == width
    with (
        pytest.warns(TritonKernelsDeprecationWarning),
        pytest.raises(TypeError, match="'n_batches' twice, as 'n_expts_tot' as well"),
    ):
        max_n_tiles(n_expts_tot=8, n_batches=8, n_gates=100)  # type: ignore[call-arg]


@pytest.mark.parametrize("make", [make_ragged_tensor_metadata, make_ragged_tensor_metadata_torch])
def test_names_of_release_3_6_are_taken_without_a_warning(make: Any) -> None:
    expected = make(SIZES, 159)
    made = make(slice_sizes=SIZES, n_total_rows=159)
    record = RaggedTensorMetadata(
        slice_sizes=SIZES,  # type: ignore[call-arg]
        slice_offs=made.slice_offs,
        block_offs_data=made.block_offs_data,
        block_schedule_data=made.block_schedule_data,
    )
    assert record.batch_sizes is record.slice_sizes is SIZES
    for name in ("batch_offs", "block_offs_data", "block_schedule_data"):
        assert torch.equal(getattr(made, name), getattr(expected, name))
        assert getattr(record, name) is getattr(made, name)
    ragged = RaggedTensor(slice_sizes=SIZES, data=X, metadata=made)  # type: ignore[call-arg]
    assert ragged.batch_sizes is ragged.slice_sizes is SIZES


# --- FusedActivation


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("TKM320", lambda: FusedActivation(SPECS, (1.0, 7.0), 2)),
        ("TKM321", lambda: FusedActivation(SPECS, (1.0, 7.0), reduction_n=2)),
        ("TKM321", lambda: FusedActivation(specs=SPECS, fn_args=(1.0, 7.0), reduction_n=2)),
    ],
)
def test_an_activation_can_still_say_what_it_reduces(code: str, make: Any) -> None:
    new = FusedActivation(dataclasses.replace(SPECS, reduction_n=2), (1.0, 7.0))
    old = once(code, make)
    assert old == new
    assert hash(old) == hash(new)
    assert (old.reduction_n, old.specs.reduction_n) == (2, 2)


def test_an_activation_that_says_the_same_twice_is_silent() -> None:
    specs = dataclasses.replace(SPECS, reduction_n=2)
    activation = FusedActivation(specs, (1.0, 7.0), 2)
    assert activation == FusedActivation(specs, (1.0, 7.0))
    # What copies a record passes all of it.
    assert dataclasses.replace(activation, fn_args=(2.0, 7.0)).reduction_n == 2
    assert copy.copy(activation) == pickle.loads(pickle.dumps(activation)) == activation


def test_an_activation_that_says_two_things_is_an_error() -> None:
    specs = dataclasses.replace(SPECS, reduction_n=2)
    for other in (1, 4):
        with pytest.raises(ValueError, match=f"reduction_n: expected 2, as specs .* got {other}"):
            FusedActivation(specs, (1.0, 7.0), other)


def test_the_default_activation_calls_nothing() -> None:
    activation = FusedActivation()
    assert activation.specs == FnSpecs.default() == FnSpecs("dflt", None, ())
    assert (activation.fn_args, activation.reduction_n) == ((), 1)


# --- the old module's calls


@pytest.mark.parametrize(
    ("code", "old"), [("TKM304", legacy.routing), ("TKM318", legacy.routing_torch)]
)
@pytest.mark.parametrize("renormalize", [True, False])
def test_renormalize_is_the_opposite_of_sm_first(code: str, old: Any, renormalize: bool) -> None:
    data = once(code, lambda: old(X, K, renormalize=renormalize))[0]
    expected = legacy.legacy_routing(X, K, sm_first=not renormalize)[0]
    assert torch.equal(data.gate_scal, expected.gate_scal)


@pytest.mark.parametrize("old", [legacy.routing, legacy.routing_torch])
def test_no_release_had_both_flags(old: Any) -> None:
    for call in (
        lambda: old(X, K, True, renormalize=True),
        lambda: old(X, K, sm_first=True, renormalize=True),
    ):
        with pytest.raises(TypeError, match=r"no release took both sm_first \(3.4 .* renormalize"):
            call()


@pytest.mark.parametrize(
    ("call", "known"),
    [
        (lambda: legacy.routing(X), "3.4 and 3.5"),
        (lambda: legacy.routing(X, K, False, None, 1, None, None), "3.4 and 3.5"),
        (lambda: legacy.routing(X, K, experts=4), "3.4 and 3.5"),
        (lambda: legacy.routing_torch(X, K, simulated_ep=1), "3.4 and later"),
        (lambda: legacy.routing_from_bitmatrix(X, K), "3.5 and later"),
        (lambda: legacy.compute_expt_data(SIZES, 4), "3.4 and later"),
        (lambda: legacy.compute_expt_data_torch(SIZES, 4, 159, 16), "3.4 and later"),
        (lambda: legacy.sort_tokens(X), "3.5 and later"),
        (lambda: legacy.prune_routing(X), "3.5 "),
        (lambda: legacy.topk(X, K, sorted=True), "3.4 and 3.5"),
        (lambda: legacy.topk_torch(X), "3.5.1"),
    ],
)
def test_a_signature_that_no_release_had_names_those_that_some_had(call: Any, known: str) -> None:
    with pytest.raises(TypeError, match=r"signatures known: .*\(") as error:
        call()
    assert known in str(error.value)


def test_a_tensor_in_the_place_of_sm_first_is_an_error() -> None:
    with pytest.raises(TypeError, match="sm_first: expected a bool"):
        legacy.routing(X, K, GIVEN)  # type: ignore[arg-type]


@pytest.mark.parametrize("keyword", ["y_indx", "expt_indx"])
def test_the_old_reference_takes_the_keywords_of_both_states(keyword: str) -> None:
    vals, indx = legacy.topk_torch(X, K, **{keyword: GIVEN})
    assert torch.equal(indx, GIVEN)
    assert torch.equal(vals, legacy.topk_torch(vals=X, k=K, expt_indx=GIVEN)[0])  # type: ignore[call-arg]
