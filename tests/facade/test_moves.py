"""The table of moves is complete, consistent and leads to things that exist."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys

import pytest

from triton_kernels import TritonKernelsDeprecationWarning, deprecation, moves
from triton_kernels.moves import Codemod, Form, Kind, Move

OLD = moves.OLD_MODULE
PATH = re.compile(r"triton_kernels(\.\w+)+")
RELEASES = {"", "3.4.0", "3.5.0", "3.5.1", "3.6.0", "3.7.0"}

# Paths of the table that do not exist yet, and the rows that wait for them.  A path that starts to
# exist must leave this list, and `waits_for` of its rows: the next test of this file, and those of
# the examples, then hold the rows to what they say.
WAITING_ROWS = {
    "triton_kernels.numerics_details.mxfp.downcast_to_mxfp": ["TKM330", "TKM331", "TKM332"],
    "triton_kernels.numerics_details.mxfp.quantize_mxfp8_fn": ["TKM236"],
    "triton_kernels.numerics_details.mxfp.upcast_from_mxfp": ["TKM329"],
    "triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows.vpopc": ["TKM221"],
    "triton_kernels.tensor_details.layout.CDNA4MXScaleLayout": ["TKM237"],
    "triton_kernels.tensor_details.layout_details.blackwell_scale.SWIZZLE_ALIGN_INNER": ["TKM238"],
    "triton_kernels.tensor_details.layout_details.blackwell_scale.SWIZZLE_SIZE_INNER": ["TKM239"],
    "triton_kernels.tensor_details.layout_details.blackwell_scale.SWIZZLE_SIZE_OUTER": ["TKM240"],
}
WAITING = frozenset(WAITING_ROWS)


def exists(path: str) -> bool:
    """Whether a dotted path is a module or an attribute of one."""
    for cut in range(path.count("."), -1, -1):
        module, attributes = path.split(".")[: cut + 1], path.split(".")[cut + 1 :]
        try:
            found = importlib.import_module(".".join(module))
        except ModuleNotFoundError:
            continue
        try:
            for attribute in attributes:
                found = getattr(found, attribute)
        except (AttributeError, ModuleNotFoundError):
            return False
        return True
    return False


def imported_paths(snippet: str) -> set[str]:
    """What a snippet imports from the library, as dotted paths."""
    paths: set[str] = set()
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.ImportFrom) and node.module:
            paths |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            paths |= {alias.name for alias in node.names}
    return {path for path in paths if PATH.fullmatch(path)}


def promised_paths() -> set[str]:
    """Every path that the table says is there to be used."""
    promised: set[str] = set()
    for move in moves.MOVES:
        promised |= {path for path in (move.new, move.facade, move.fallback) if path}
        promised |= imported_paths(move.after)
    return {path for path in promised if PATH.fullmatch(path)}


def test_everything_the_table_leads_to_exists_or_is_listed_as_waiting() -> None:
    missing = {path for path in promised_paths() if not exists(path)}
    assert missing - WAITING == set(), "the table leads to nothing"
    assert WAITING - missing == set(), "exists now: strike it from WAITING"


def test_the_rows_that_wait_are_marked_and_listed() -> None:
    marked: dict[str, list[str]] = {}
    for move in moves.MOVES:
        if move.waits_for:
            marked.setdefault(move.waits_for, []).append(move.code)
    assert marked == WAITING_ROWS


SERVED_ELSEWHERE = [
    move
    for move in moves.MOVES
    if move.form is Form.NAME
    and move.served
    and not move.waits_for
    and not move.old.startswith(f"{OLD}.")
]


@pytest.mark.parametrize("move", SERVED_ELSEWHERE, ids=lambda move: move.code)
def test_a_served_name_of_another_module_is_there_as_soon_as_its_home_is(move: Move) -> None:
    with pytest.warns(TritonKernelsDeprecationWarning, match=move.code):
        got = deprecation.resolve(move.old)
    assert got is deprecation.resolve(move.served)


def test_codes_are_unique_sorted_and_in_a_chapter() -> None:
    codes = [move.code for move in moves.MOVES]
    assert codes == sorted(set(codes))
    assert all(re.fullmatch(r"TKM\d{3}", code) for code in codes)
    assert {code[:4] for code in codes} == set(moves.CHAPTERS)


def test_no_form_has_two_rows() -> None:
    forms = [(move.form, move.old, move.detail) for move in moves.MOVES]
    assert len(forms) == len(set(forms))


def test_importing_the_table_imports_only_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import triton_kernels.moves;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    imported = set(result.stdout.split()) - set(sys.stdlib_module_names)
    assert imported == {"triton_kernels"}


@pytest.mark.parametrize("move", moves.MOVES, ids=lambda move: move.code)
class TestRow:
    def test_examples_are_python_and_differ(self, move: Move) -> None:
        for snippet in (move.before, move.after):
            ast.parse(snippet)
            assert snippet.endswith("\n")
            assert not snippet.endswith("\n\n")
            assert max(map(len, snippet.splitlines())) <= 100
        assert move.before != move.after or move.codemod is Codemod.EXPLAINS

    def test_the_example_shows_the_old_form(self, move: Move) -> None:
        name = move.old.rpartition(".")[2]
        if move.form is Form.NAME or move.form is Form.MODULE:
            assert move.old in imported_paths(move.before)
        elif move.form is Form.KEYWORD:
            assert re.search(rf"\b{move.detail}=", move.before)
        elif move.form is Form.ATTRIBUTE:
            assert f".{move.detail}" in move.before
        elif move.form is Form.UNPACK:
            targets = ast.parse(move.before).body[-1].targets[0]  # type: ignore[attr-defined]
            assert len(targets.elts) == int(move.detail)
        elif move.form is Form.POSITION:
            calls = [
                node for node in ast.walk(ast.parse(move.before)) if isinstance(node, ast.Call)
            ]
            assert any(
                ast.unparse(call.func).endswith(name) and len(call.args) > int(move.detail)
                for call in calls
            )
        if move.form in (Form.KEYWORD, Form.UNPACK, Form.POSITION, Form.CALL):
            assert re.search(rf"\b{name}\b", move.before)

    def test_the_new_example_no_longer_uses_the_old_module(self, move: Move) -> None:
        assert OLD not in move.after

    def test_the_text_is_short_and_whole(self, move: Move) -> None:
        for text in (move.why, move.advice):
            assert text.endswith(".")
            assert text[0].isupper() or text[0] == "`" or text.startswith("topk")
        assert not re.search(r"\.\s", move.why), "why is one sentence"
        assert not re.search(r"\.\s", move.advice), "the remedy is one sentence"
        assert move.since in RELEASES

    def test_a_row_without_a_path_to_go_says_what_to_do(self, move: Move) -> None:
        if not PATH.fullmatch(move.new) and move.form is not Form.ATTRIBUTE:
            assert move.remedy

    def test_what_is_rewritten_is_served_until_then(self, move: Move) -> None:
        if move.codemod is Codemod.REWRITES and move.form is Form.NAME:
            assert move.served
            assert PATH.fullmatch(move.new)
            assert imported_paths(move.after) == {move.new}

    def test_only_names_are_served(self, move: Move) -> None:
        assert not move.facade or move.form is Form.NAME
        assert not move.served or move.kind is not Kind.REMOVED or move.facade

    def test_call_changes_speak_of_parameters_that_exist(self, move: Move) -> None:
        if move.call is None:
            return
        parameters = {*move.call.parameters}
        assert {move.call.drop[0]} - {""} <= parameters
        assert {old for old, _ in move.call.rename} <= parameters
        assert {name for name, _ in move.call.refuse} <= parameters
        assert move.call.ambiguous_at <= len(move.call.parameters)


# Completeness.  Three lists of what old code can say, kept as data of their own: a row that gets
# lost fails here.

AT_REMOVAL = [
    "GatherIndx",
    "ScatterIndx",
    "RoutingData",
    "ExptData",
    "SortTokens",
    "sort_tokens",
    "exact_div",
    "empty_aligned",
    "max_n_tiles",
    "compute_expt_data",
    "compute_expt_data_torch",
    "routing_from_bitmatrix",
    "routing",
    "routing_torch",
    "topk",
    "topk_torch",
    "_combined_routing_compute",
    "_combined_routing_memset",
    "_expt_data_memset",
    "_expt_data_compute",
    "is_hip",
    "dataclass",
    "field",
    "torch",
    "triton",
]

BEFORE_REMOVAL = [
    "prune_routing",
    "PruneRouting",
    "log2_power_of_two",
    "block_m_log2_start",
    "_compute_expt_data_internal",
    "_unpack_into_dict",
    "_routing_clear_bitmatrix",
    "_routing_memset_indx",
    "_routing_compute_indx_offs",
    "_routing_compute_indx",
]

BESIDE = {
    "routing_details._expt_data": "_cdiv_pow2 _expt_data_memset _expt_data_compute",
    "routing_details._routing_compute": "_routing_compute_expt_offs _routing_compute_indx_offs "
    "_keyed_add _routing_compute_indx _combined_routing_compute _combined_routing_memset "
    "_routing_clear_bitmatrix",
    "reduction_details.reduce_bitmatrix": "vpopc _sum_bitmatrix_memset _sum_bitmatrix_rows "
    "clear_sums sum_bitmatrix_rows",
    "tensor": "clear_sums sum_bitmatrix_rows",
    "reduction": "sum",
    "bitmatrix": "Bitmatrix",
    "datastruct": "Tensor Bitmatrix",
    "matmul_ogs_details.metadata": "ExptData compute_metadata",
    "matmul_ogs": "MicroscalingCtx SwizzlingType",
    "numerics_details.mxfp": "dequantize_mxfp8_fn SWIZZLE_ALIGN_INNER SWIZZLE_SIZE_INNER "
    "SWIZZLE_SIZE_OUTER",
    "tensor_details.layout": "GFX950MXScaleLayout",
}

GONE_MODULES = [
    "routing",
    "routing_details",
    "routing_details._expt_data",
    "routing_details._routing_compute",
    "reduction_details.reduce_bitmatrix",
    "reduction",
    "datastruct",
    "bitmatrix",
    "matmul_ogs_details.metadata",
]

# Form: its code, or the reason why it is no break.
FORMS = {
    # Attributes and methods of records.
    "ExptData.hist": "TKM101",
    "ExptData.token_offs_raw": "TKM102",
    "ExptData.token_offs_pad_data": "TKM103",
    "ExptData.block_pid_map_data": "TKM104",
    "ExptData.token_offs_pad(b)": "TKM105",
    "ExptData.token_offs_pad[b]": "TKM105",
    "ExptData.token_offs_pad.items()": "TKM105",
    "ExptData.block_pid_map(b)": "TKM106",
    "ExptData.block_pid_map[b]": "TKM106",
    "ExptData.block_pid_map.items()": "TKM106",
    "ExptData.block_ms()": "TKM107",
    "ExptData.block_ms_log2()": "TKM108",
    "ExptData(hist=, token_offs_raw=, token_offs_pad={}, block_pid_map={})": "TKM109",
    "max_n_tiles(n_expts_tot=, n_gates=)": "TKM009",
    "RoutingData(block_sizes as expt_hist)": "TKM111",
    "RoutingData.exp_indx": "TKM112",
    "RoutingData.gate_scal, read or set": "the same",
    "RoutingData.n_expts_act, n_expts_tot, expt_hist, expt_data": "the same",
    "RoutingData(five positional), RoutingData(five keywords)": "the same",
    "if routing_data": "the same",
    "GatherIndx(src_indx=, dst_indx=), positional, .src_indx, .dst_indx": "the same",
    "ScatterIndx(src_indx=, dst_indx=), positional, .src_indx, .dst_indx": "the same",
    "Bitmatrix(scratchpad=)": "TKM120",
    "Bitmatrix(storage, shape), Bitmatrix(storage, shape=) without dtype": "TKM121",
    "Bitmatrix(storage, dtype=BIT, shape=, shape_max=)": "the new form",
    "Bitmatrix.sum(partials_block_size)": "TKM122",
    "Bitmatrix.scratchpad": "TKM123",
    "Bitmatrix.shape rounded up": "TKM124",
    "RaggedTensorMetadata.batch_sizes": "TKM130",
    "RaggedTensorMetadata.batch_offs": "TKM131",
    "RaggedTensorMetadata.slice_sizes, slice_offs": "the new form",
    "make_ragged_tensor_metadata(slice_sizes=, n_total_rows=)": "the new form",
    "SparseMatrix.mask.metadata": "TKM132",
    "RaggedTensor.batch_sizes": "TKM133",
    "mask_metadata.col_sum": "the same",
    "mask_metadata.row_sorted_indx": "TKM401",
    "mask_metadata.col_sorted_indx": "TKM402",
    # Calls.
    "a, b, c = topk()": "TKM301",
    "topk(return_bitmatrix=)": "TKM302",
    "topk(x, k, apply_softmax, dim, return_bitmatrix)": "TKM310",
    "topk(x, k, apply_softmax=)": "the new form",
    "topk_forward(return_bitmatrix=)": "TKM311",
    "topk_forward(x, k, apply_softmax, dim, return_bitmatrix)": "TKM312",
    "TopK.apply(seven)": "TKM313",
    "_topk_forward[grid](S=, BLOCK_S=, s_blocks=)": "TKM314",
    "a, b = topk.topk_torch()": "TKM315",
    "topk.topk_torch(x, k, y_indx)": "TKM316",
    "routing.topk_torch(has_user_provided_indx=)": "TKM307",
    "sum_bitmatrix_rows(out_ret=)": "TKM317",
    "routing(p, p), (p, p, sm_first=), (p, n_expts_act=), (p, p, p)": "TKM013",
    "routing(p, p, p, p, n_rows=)": "TKM013",
    "routing(p, p, simulated_ep=1)": "TKM013",
    "routing(p, p, simulated_ep=4)": "TKM303",
    "routing(renormalize=)": "TKM304",
    "routing_torch(renormalize=)": "TKM318",
    "routing(p, p, p, p, p), routing(p, p, p, p, p, p)": "TKM305",
    "routing as a value": "TKM013",
    "routing_from_bitmatrix(five positional)": "TKM012",
    "routing_torch(p, p), (p, n_expts_act=), (p, p, p, p, n_rows=)": "TKM014",
    "compute_expt_data(three positional)": "TKM010",
    "compute_expt_data_torch(three positional)": "TKM011",
    "compute_expt_data(None, ...)": "TKM308",
    "sort_tokens(expt_scal, expt_indx, bitmatrix), four results": "TKM306",
    "prune_routing(four positional)": "TKM309",
    "prune_routing": "TKM201",
    "FusedActivation(specs, args, 2)": "TKM320",
    "FusedActivation(reduction_n=)": "TKM321",
    "FnSpecs(n, f, args)": "the same",
    "FnSpecs(n, f, args, reduction_n=2)": "the new form",
    "matmul_ogs(x, ..., y, fused_activation)": "TKM322",
    "split_k above 1 with a fused scatter": "TKM328",
    "PrecisionConfig(mx_ctx=)": "TKM324",
    "PrecisionConfig(weight_scale=)": "TKM325",
    "PrecisionConfig(b_mx_scale=)": "TKM326",
    "PrecisionConfig(b_microblock_size=)": "TKM327",
    "PrecisionConfig(a_mx_scale=)": "TKM333",
    "PrecisionConfig(c_mx_scale=)": "TKM334",
    "upcast_from_mxfp(dtype=)": "TKM329",
    "downcast_to_mxfp(swizzle_axis=)": "TKM330",
    "downcast_to_mxfp(swizzle_value=)": "TKM331",
    "downcast_to_mxfp(swizzle_scale=)": "TKM332",
    "PrecisionConfig(**chosen)": "the same",
    "FnName.DEQUANTIZE_MXFP8": "TKM403",
}

# Asked about, but never a name of the old module in any release.
NEVER_THERE = [
    "ExptAssignment",
    "make_expt_assignment",
    "make_expt_dict_uniform",
    "make_expt_dict_random",
    "convert_dp_to_ep",
    "convert_ep_to_dp",
    "filter_expt_data",
    "filter_expt_data_torch",
]


@pytest.mark.parametrize(
    "path",
    [f"{OLD}.{name}" for name in (*AT_REMOVAL, *BEFORE_REMOVAL)]
    + [f"triton_kernels.{module}.{n}" for module, names in BESIDE.items() for n in names.split()],
)
def test_every_old_name_has_a_row(path: str) -> None:
    assert moves.BY_OLD_NAME[path].old == path


def test_there_is_no_row_for_a_name_that_never_was() -> None:
    listed = {f"{OLD}.{name}" for name in (*AT_REMOVAL, *BEFORE_REMOVAL)}
    listed |= {f"triton_kernels.{module}.{n}" for module, ns in BESIDE.items() for n in ns.split()}
    assert set(moves.BY_OLD_NAME) == listed
    assert not {f"{OLD}.{name}" for name in NEVER_THERE} & listed


def test_the_names_at_removal_have_the_first_codes_in_order() -> None:
    expected = {f"{OLD}.{name}": f"TKM{i:03}" for i, name in enumerate(AT_REMOVAL, start=1)}
    assert {path: moves.BY_OLD_NAME[path].code for path in expected} == expected


def test_every_gone_module_has_a_row() -> None:
    assert set(moves.BY_OLD_MODULE) == {f"triton_kernels.{module}" for module in GONE_MODULES}


@pytest.mark.parametrize("form", [form for form, code in FORMS.items() if code.startswith("TKM")])
def test_every_old_form_has_a_row(form: str) -> None:
    assert FORMS[form] in moves.BY_CODE


def test_every_row_about_a_form_is_listed() -> None:
    forms = {m.code for m in moves.MOVES if m.form not in (Form.NAME, Form.MODULE)}
    assert forms <= set(FORMS.values())
