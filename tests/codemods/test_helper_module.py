"""The helper that migrated code brings to release 3.6.0: what it computes, and where it goes."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import release_3_6
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import CODES, OLD, contents, plant, repository

from codemods import helper_module
from codemods.findings import HELPER_TAKEN, UNCOMMITTED, WITHHELD
from codemods.helper_module import FILE, TEXT, place_for
from codemods.outcomes import RunOutcome
from codemods.run import RunOptions, run
from codemods.source import SourceOptions, SourceResult
from triton_kernels import tensor as ours

sys.path.insert(0, str(Path(__file__).parents[1] / "facade"))
import routing_oracle as oracle


@pytest.fixture(scope="module")
def helper():
    """The helper, run against the stand-in."""
    module = ModuleType("_triton_kernels_legacy")
    with release_3_6.installed():
        exec(compile(TEXT, FILE, "exec"), vars(module))
    return module


@st.composite
def calls(draw):
    """logits with a margin between any two, k, and the options of a call."""
    n_rows_max = draw(st.integers(1, 9))
    n_expts = draw(st.sampled_from([1, 2, 5, 8, 33]))
    k = draw(st.integers(1, min(4, n_expts)))
    order = draw(st.permutations(range(n_rows_max * n_expts)))
    logits = torch.tensor(order, dtype=torch.float32).reshape(n_rows_max, n_expts) / 16
    n_rows = draw(st.one_of(st.none(), st.integers(0, n_rows_max)))
    given = None
    if draw(st.booleans()):
        experts = st.lists(st.integers(0, n_expts - 1), min_size=k, max_size=k, unique=True)
        given = [draw(experts) for _ in range(n_rows_max)]
    return logits, k, draw(st.booleans()), given, n_rows


def check(routed, expected: oracle.Routed, n_expts: int, k: int) -> None:
    data, gather, scatter = routed
    used = len(expected.sorted_gates)
    assert data.expt_hist.tolist() == expected.hist
    assert gather.src_indx.tolist() == scatter.dst_indx.tolist() == expected.combine
    assert gather.dst_indx.tolist() == scatter.src_indx.tolist() == expected.dispatch
    assert data.gate_scal[:used].tolist() == pytest.approx(expected.sorted_gates, rel=1e-5)
    assert data.gate_scal[used:].tolist() == [0.0] * (len(expected.chosen) - used)
    assert (data.n_expts_tot, data.n_expts_act) == (n_expts, k)
    assert data.expt_data.slice_offs.tolist() == oracle.offsets(expected.hist)
    schedule = oracle.block_schedule(expected.hist, 16, len(expected.chosen))
    assert data.expt_data.block_schedule_data[0].tolist() == schedule


@settings(deadline=None, max_examples=150)
@given(call=calls())
def test_routing_computes_what_the_old_module_did(helper, call):
    logits, k, sm_first, given_indx, n_rows = call
    expected = oracle.route(logits.tolist(), k, sm_first, given_indx, n_rows)
    indx = None if given_indx is None else torch.tensor(given_indx, dtype=torch.int32)
    routed = helper.legacy_routing(logits, k, sm_first, indx, n_rows)
    check(routed, expected, logits.shape[1], k)
    assert routed[0].gate_scal.dtype == logits.dtype


@settings(deadline=None, max_examples=60)
@given(call=calls(), padded=st.booleans())
def test_routing_from_a_bitmatrix_computes_what_the_old_module_did(helper, call, padded):
    """An old bitmatrix is as wide as its words; the histogram is as long as the argument says."""
    logits, k, _, _, n_rows = call
    expected = oracle.route(logits.tolist(), k, n_rows=n_rows)
    n_expts = logits.shape[1]
    chosen = release_3_6.topk(logits, k, n_rows=n_rows)
    mask = chosen.mask
    if padded:
        width = -(-n_expts // 32) * 32
        shape = {"shape": [mask.shape[0], width], "shape_max": [logits.shape[0], width]}
        mask = ours.Bitmatrix(mask.storage, dtype=ours.BIT, **shape)
    routed = helper.legacy_routing_from_bitmatrix(mask, chosen.vals, chosen.indx, n_expts, k)
    check(routed, expected, n_expts, k)


@pytest.mark.parametrize("sm_first", [False, True])
def test_the_weights_carry_the_gradient_of_used_slots_alone(helper, sm_first):
    logits = (torch.arange(20.0).reshape(5, 4) % 7).requires_grad_()
    data, gather, _ = helper.legacy_routing(logits, 2, sm_first, n_rows=3)
    weights = torch.arange(1.0, 11.0)
    (data.gate_scal * weights).sum().backward()
    again = logits.detach()[:3].clone().requires_grad_()
    scores = torch.softmax(again, 1) if sm_first else again
    picked = scores.gather(1, release_3_6.topk(again.detach(), 2).indx.long())
    gates = (picked if sm_first else torch.softmax(picked, 1)).flatten()
    (gates[gather.src_indx[:6].long()] * weights[:6]).sum().backward()
    torch.testing.assert_close(logits.grad[:3], again.grad)
    assert logits.grad[3:].tolist() == [[0.0] * 4] * 2


def test_the_schedule_of_a_histogram(helper):
    hist = torch.tensor([15, 17, 0, 127, 9], dtype=torch.int32)
    for compute in (helper.compute_expt_data, helper.compute_expt_data_torch):
        assert compute(hist, 4, 159).slice_sizes.tolist() == [15, 17, 0, 127]
        assert compute(hist, 4, 159).slice_offs.tolist() == [0, 15, 32, 32, 159]
        assert compute(None, 4, 159) is None
    assert helper.max_n_tiles(4, 159) == oracle.schedule_width(4, 159) == 13


def test_the_helper_is_laid_out_as_projects_like_it_and_parses_on_old_pythons(tmp_path):
    ast.parse(TEXT, feature_version=(3, 9))
    for command in (["format", "--check", "--line-length", "88"], ["check", "--select", "E,F,I"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--stdin-filename", FILE, "-"],
            input=TEXT,
            cwd=tmp_path,  # here, the library would be first-party code
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


# Where it goes


@pytest.mark.parametrize("in_git", [True, False], ids=["in git", "outside git"])
@pytest.mark.parametrize(
    ("packages", "file", "place", "module"),
    [
        (["pkg"], "pkg/a.py", "pkg", "pkg._triton_kernels_legacy"),
        (["pkg", "pkg/sub"], "pkg/sub/a.py", "pkg", "pkg._triton_kernels_legacy"),
        (["src/pkg"], "src/pkg/a.py", "src/pkg", "pkg._triton_kernels_legacy"),
        (["pkg", "pkg/x/y"], "pkg/x/y/a.py", "pkg", "pkg._triton_kernels_legacy"),
        (["pkg"], "pkg/x/a.py", "pkg", "pkg._triton_kernels_legacy"),
        ([], "scripts/a.py", "scripts", "_triton_kernels_legacy"),
        ([], "a.py", ".", "_triton_kernels_legacy"),
        (["my-code"], "my-code/a.py", "my-code", "_triton_kernels_legacy"),
        (["class"], "class/a.py", "class", "_triton_kernels_legacy"),
        (["pkg", "pkg/x-y"], "pkg/x-y/a.py", "pkg/x-y", "_triton_kernels_legacy"),
    ],
)
def test_the_helper_goes_to_the_outermost_package(tmp_path, packages, file, place, module, in_git):
    plant(tmp_path, {f"{package}/__init__.py": "" for package in packages} | {file: ""})
    found = place_for(str(tmp_path / file), str(tmp_path) if in_git else None, str(tmp_path))
    assert (Path(found.location), found.module) == (tmp_path / place / FILE, module)


def test_the_root_of_a_work_tree_is_no_package(tmp_path):
    plant(tmp_path, {"__init__.py": "", "pkg/__init__.py": ""})
    found = place_for(str(tmp_path / "pkg/a.py"), str(tmp_path), str(tmp_path))
    assert found.module == "pkg._triton_kernels_legacy"


def test_a_package_is_known_as_one_where_the_run_begins_inside_it(tmp_path):
    plant(tmp_path, {"pkg/__init__.py": "", "pkg/sub/__init__.py": ""})
    found = place_for(str(tmp_path / "pkg/sub/a.py"), None, str(tmp_path / "pkg/sub"))
    assert found.location == str(tmp_path / "pkg" / FILE)


# The run writes it


OPTIONS = RunOptions(codes=CODES, target="upstream-3.6", jobs=1)


def use_helper(data: bytes, name: str, options: SourceOptions) -> SourceResult:
    """A stand-in for the transform: every OLD becomes an import from the helper."""
    new = f"from {options.helper} import legacy_routing\n".encode()
    return SourceResult(data.replace(OLD.encode(), new) if OLD.encode() in data else None)


def go(root: Path, options: RunOptions = OPTIONS) -> RunOutcome:
    return run([str(root)], options, transform=use_helper)


def statuses(outcome: RunOutcome) -> dict[str, str]:
    return {file.path: file.status for file in outcome.files}


TREE = {
    "pkg/__init__.py": "",
    "pkg/a.py": OLD,
    "pkg/sub/__init__.py": "",
    "pkg/sub/b.py": OLD,
    "scripts/c.py": OLD,
    "other/__init__.py": "",
    "other/d.py": "import triton_kernels\n",
}


@pytest.mark.parametrize("make", [plant, repository])
def test_each_package_that_needs_the_helper_gets_it_once(tmp_path, make):
    make(tmp_path, TREE)
    outcome = go(tmp_path)
    assert statuses(outcome) == {
        f"pkg/{FILE}": "created",
        "pkg/a.py": "rewritten",
        "pkg/sub/b.py": "rewritten",
        f"scripts/{FILE}": "created",
        "scripts/c.py": "rewritten",
        "other/d.py": "unchanged",
    }
    assert (outcome.summary.created, outcome.summary.rewritten) == (2, 3)
    after = contents(tmp_path)
    assert after[f"pkg/{FILE}"] == after[f"scripts/{FILE}"] == TEXT.encode()
    line = b"from pkg._triton_kernels_legacy import legacy_routing\n"
    assert after["pkg/a.py"] == after["pkg/sub/b.py"] == line
    assert after["scripts/c.py"] == b"from _triton_kernels_legacy import legacy_routing\n"
    assert set(statuses(go(tmp_path, replace(OPTIONS, allow_dirty=True))).values()) == {"unchanged"}
    assert contents(tmp_path) == after


def test_a_helper_that_is_there_stays_as_the_project_laid_it_out(tmp_path):
    mine = "# ours\n" + TEXT
    plant(tmp_path, {"pkg/__init__.py": "", "pkg/a.py": OLD, f"pkg/{FILE}": mine})
    assert statuses(go(tmp_path)) == {f"pkg/{FILE}": "unchanged", "pkg/a.py": "rewritten"}
    assert contents(tmp_path)[f"pkg/{FILE}"] == mine.encode()


@pytest.mark.parametrize("taken", ["x = 1\n", "def legacy_routing(): pass\n", "def ("])
def test_a_file_whose_helper_is_taken_keeps_its_bytes(tmp_path, taken):
    plant(tmp_path, {"pkg/__init__.py": "", "pkg/a.py": OLD, f"pkg/{FILE}": taken, "b.py": OLD})
    outcome = go(tmp_path)
    after = contents(tmp_path)
    assert (after["pkg/a.py"], after[f"pkg/{FILE}"]) == (OLD.encode(), taken.encode())
    (a,) = [file for file in outcome.files if file.path == "pkg/a.py"]
    assert (a.status, a.findings[0].code) == ("failed", HELPER_TAKEN.code)
    assert "max_n_tiles" in a.findings[0].message
    assert statuses(outcome)["b.py"] == "rewritten"


def test_a_preview_writes_no_helper_and_says_that_it_would(tmp_path):
    plant(tmp_path, TREE)
    outcome = go(tmp_path, replace(OPTIONS, write=False, keep_texts=True))
    assert contents(tmp_path) == {name: text.encode() for name, text in TREE.items()}
    created = [file for file in outcome.files if file.status == "created"]
    assert [file.shown for file in created] == [
        f"{tmp_path}/{p}/{FILE}" for p in ("pkg", "scripts")
    ]
    assert all(file.texts.before is None for file in created)


def test_the_helper_is_part_of_all_or_nothing(tmp_path):
    plant(tmp_path, TREE)
    (tmp_path / "scripts/c.py").chmod(0o444)
    outcome = go(tmp_path)
    assert contents(tmp_path) == {name: text.encode() for name, text in TREE.items()}
    assert statuses(outcome)[f"pkg/{FILE}"] == "skipped"
    codes = {f.code for file in outcome.files for f in file.findings if file.status == "skipped"}
    assert codes == {WITHHELD.code}


def test_no_helper_is_written_for_files_that_are_not_rewritten(tmp_path):
    repository(tmp_path, {"pkg/__init__.py": "", "pkg/a.py": OLD})
    plant(tmp_path, {"pkg/a.py": OLD + "# work\n"})
    outcome = go(tmp_path)
    assert statuses(outcome) == {"pkg/a.py": "failed"}
    assert outcome.files[0].findings[0].code == UNCOMMITTED.code
    assert not (tmp_path / "pkg" / FILE).exists()


def test_a_run_inside_a_package_names_the_helper_from_where_it_was_started(tmp_path, monkeypatch):
    plant(tmp_path, TREE)
    monkeypatch.chdir(tmp_path)
    outcome = run(["pkg/sub/b.py"], OPTIONS, transform=use_helper)
    assert sorted(file.shown for file in outcome.files) == [f"pkg/{FILE}", "pkg/sub/b.py"]
    assert (tmp_path / "pkg" / FILE).read_text() == TEXT


def test_the_helper_itself_is_no_old_code():
    assert "triton_kernels.routing" not in TEXT
    assert helper_module.names_in(TEXT.encode()) >= helper_module.NAMES
