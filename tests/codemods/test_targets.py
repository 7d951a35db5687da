"""What each target has, and where a row's name goes there."""

from __future__ import annotations

import pytest

from codemods import targets
from codemods.helper_module import NAMES as HELPER_NAMES
from codemods.targets import target_for
from codemods.upstream_3_6 import DIFFERENCES, MODULES_3_6_0
from triton_kernels import moves
from triton_kernels.moves import Codemod, Form

BUNDLED = target_for("bundled")
RELEASE = target_for("upstream-3.6", "pkg._triton_kernels_legacy")
BOTH = pytest.mark.parametrize("target", [BUNDLED, RELEASE], ids=lambda target: target.name)
REWRITTEN = [
    move
    for move in moves.MOVES
    if move.form is Form.NAME and move.codemod in (Codemod.REWRITES, Codemod.REWRITES_UNSAFE)
]


@BOTH
@pytest.mark.parametrize("move", REWRITTEN, ids=lambda move: move.code)
def test_every_name_that_is_rewritten_has_a_destination_that_exists(target, move):
    destination = target.destination(move)
    assert destination is not None
    assert target.exists(destination)
    fallback = target.adapt(move).fallback
    assert not fallback or target.exists(fallback)


@pytest.mark.parametrize("move", moves.MOVES, ids=lambda move: move.code)
def test_nothing_that_is_said_for_the_release_names_a_home_that_only_we_have(move):
    row = RELEASE.adapt(move)
    if row.codemod is Codemod.EXPLAINS:
        return
    for text in (row.new, row.fallback, row.remedy):
        assert "triton_kernels.legacy" not in text
        assert "combine_indx" not in text
        assert "{" not in text


def test_the_records_go_where_the_release_has_them_and_the_functions_to_the_helper():
    by_name = {move.old.rpartition(".")[2]: RELEASE.destination(move) for move in REWRITTEN}
    assert by_name["RoutingData"] == "triton_kernels.matmul_ogs.RoutingData"
    assert by_name["routing"] == "pkg._triton_kernels_legacy.legacy_routing"
    assert by_name["max_n_tiles"] == "pkg._triton_kernels_legacy.max_n_tiles"
    assert by_name["compute_expt_data"] == "triton_kernels.tensor.make_ragged_tensor_metadata"


def test_a_name_that_is_only_reported_has_no_destination():
    assert BUNDLED.destination(moves.BY_CODE["TKM004"]) is None
    assert RELEASE.destination(moves.BY_CODE["TKM004"]) is None


def test_a_row_that_means_the_same_everywhere_comes_back_as_it_is():
    for move in moves.MOVES:
        assert BUNDLED.adapt(move) is move
        assert (RELEASE.adapt(move) is move) == (move.code not in DIFFERENCES)


def test_the_helper_has_a_placeholder_until_it_is_known():
    unknown = target_for("upstream-3.6")
    move = moves.BY_CODE["TKM013"]
    assert unknown.destination(move) == f"{unknown.helper}.legacy_routing"
    assert unknown.helper == "{helper}"
    assert unknown.exists("{helper}.legacy_routing")


@pytest.mark.parametrize("code", sorted(DIFFERENCES))
def test_differences_are_about_rows_that_there_are(code):
    assert code in moves.BY_CODE


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("triton_kernels", True),
        ("triton_kernels.tensor", True),
        ("triton_kernels.tensor_details", True),  # a namespace package
        ("triton_kernels.tensor.remap_ragged_tensor_metadata", True),  # came with this release
        ("triton_kernels.reduce.reduce", True),
        ("triton_kernels.matmul_ogs.RoutingData", True),  # gone one release later
        ("triton_kernels.specialize.FnSpecs", True),
        ("triton_kernels.routing", False),
        ("triton_kernels.routing.routing", False),
        ("triton_kernels.legacy", False),
        ("triton_kernels.legacy.legacy_routing", False),
        ("triton_kernels.matmul_ogs.get_kernels", False),
        ("triton_kernels.matmul_ogs_details._reduce_grouped", False),
        ("triton_kernels.tensor_details.ragged_tensor.max_n_tiles", False),  # a static method now
        ("triton_kernels.matmul", False),  # of the next release
        ("triton_kernels.tensorx", False),
        ("pkg._triton_kernels_legacy", True),
        ("pkg._triton_kernels_legacy.legacy_routing", True),
        ("pkg._triton_kernels_legacy._routing_of", False),
        ("pkg._triton_kernels_legacy.sort_tokens", False),
        ("other._triton_kernels_legacy.legacy_routing", False),
        ("", False),
    ],
)
def test_what_the_release_has(path, there):
    assert RELEASE.exists(path) is there


def test_the_list_of_the_release_names_modules_of_the_library_alone():
    assert all(module.startswith("triton_kernels.") for module in MODULES_3_6_0)
    assert all(names for names in MODULES_3_6_0.values())
    assert not any(name in MODULES_3_6_0 for name in moves.BY_OLD_MODULE)


@pytest.mark.parametrize("code", ["TKM010", "TKM011"])
def test_the_schedules_parameters_are_called_as_the_release_calls_them(code):
    call = RELEASE.adapt(moves.BY_CODE[code]).call
    assert call is not None
    assert {new for _, new in call.rename} == {"slice_sizes", "n_total_rows"}


def test_the_helper_offers_what_it_is_asked_for():
    asked = {
        path.rpartition(".")[2]
        for move in REWRITTEN
        for path in (RELEASE.destination(move) or "", RELEASE.adapt(move).fallback)
        if path.startswith(RELEASE.helper)
    }
    assert asked == HELPER_NAMES


def test_an_unknown_target_is_named():
    with pytest.raises(ValueError, match=r"bundled, upstream-3\.6 was expected, not 'nope'"):
        target_for("nope")
    assert [target_for(name).name for name in targets.NAMES] == list(targets.NAMES)
