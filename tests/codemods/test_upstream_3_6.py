"""Old programs carried to release 3.6.0: what they become, and that they still do what they did."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import release_3_6
from rewriting import ALL, check_noop, check_transformed, codes
from trees import contents, plant

from codemods.findings import Bucket
from codemods.helper_module import FILE
from codemods.run import RunOptions, run
from codemods.targets import target_for

OPTIONS = replace(ALL, target="upstream-3.6", helper="pkg._triton_kernels_legacy")


def test_the_ground_truth_of_a_project_that_migrated_by_hand_correctly():
    """SGLang's import, inside the `try` that stays around it."""
    check_transformed(
        """
        try:
            from triton_kernels.routing import GatherIndx, RoutingData, ScatterIndx, routing
        except ImportError:
            pass

        def route(logits, k):
            return routing(logits, k, sm_first=False, simulated_ep=1)
        """,
        """
        try:
            from pkg._triton_kernels_legacy import legacy_routing as routing
            from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
        except ImportError:
            pass

        def route(logits, k):
            return routing(logits, k, sm_first=False)
        """,
        OPTIONS,
    )


def test_a_schedule_is_called_with_the_releases_own_keywords():
    check_transformed(
        """
        from triton_kernels.routing import compute_expt_data

        a = compute_expt_data(hist, n_expts, n_gates)
        b = compute_expt_data(expt_hist=hist, n_expts_tot=n_expts, n_gates=n_gates)
        """,
        """
        from triton_kernels.tensor import make_ragged_tensor_metadata

        a = make_ragged_tensor_metadata(hist, n_gates)
        b = make_ragged_tensor_metadata(slice_sizes=hist, n_total_rows=n_gates)
        """,
        OPTIONS,
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "import triton_kernels.routing as r\n\nx = r.routing(y, 2)\n",
            "import {helper} as r\n\nx = r.legacy_routing(y, 2)\n",
        ),
        (
            "from triton_kernels.routing import max_n_tiles as w\n\nw(n_expts_tot=2, n_gates=3)\n",
            "from {helper} import max_n_tiles as w\n\nw(n_batches=2, n_gates=3)\n",
        ),
        (
            "from triton_kernels.routing import compute_expt_data\n\nf = compute_expt_data\n",
            "from {helper} import compute_expt_data\n\nf = compute_expt_data\n",
        ),
    ],
)
def test_what_the_release_lacks_comes_from_the_helper(before, after):
    check_transformed(before, after.format(helper=OPTIONS.helper), OPTIONS)


def test_what_is_left_is_left_with_advice_for_the_release():
    findings = check_noop(
        """
        from triton_kernels.routing import prune_routing

        x = prune_routing(a, b, c, 8, 2)
        """,
        OPTIONS,
    )
    assert codes(findings, Bucket.FOR_A_PERSON) == ["TKM201"]
    assert "triton_kernels.legacy" not in findings[0].remedy


def test_orders_named_for_the_release_are_right_there():
    check_noop(
        """
        from triton_kernels.topk import topk

        combine = topk(x, 2).mask_metadata.col_sorted_indx
        """,
        replace(OPTIONS, written_for="3.6"),
    )


PROGRAM = '''
import torch
import triton_kernels.routing as tk
from triton_kernels.routing import GatherIndx, RoutingData, compute_expt_data, exact_div, routing
from triton_kernels.routing import max_n_tiles as width


def main():
    logits = ((torch.arange(48) * 7 % 48).float() / 8).reshape(6, 8)
    data, gather, scatter = routing(logits, 2, simulated_ep=1)
    again, _, _ = tk.routing(logits, 2, True, n_rows=4)
    schedule = compute_expt_data(data.expt_hist, 8, 12)
    assert isinstance(data, RoutingData) and isinstance(gather, GatherIndx)
    return [
        data.gate_scal.tolist(), data.expt_hist.tolist(), data.n_expts_tot, data.n_expts_act,
        gather.src_indx.tolist(), gather.dst_indx.tolist(), scatter.src_indx.tolist(),
        again.gate_scal.tolist(), again.expt_hist.tolist(),
        schedule.block_offs_data.tolist(), exact_div(8, 2), width(8, 12),
    ]
'''  # fmt: skip


def test_a_program_does_on_the_release_what_it_did_on_the_old_module(tmp_path, monkeypatch):
    """Before: on our facade, which a test of its own holds to the old module.  After: in a package,
    on the stand-in for the release, with the helper that the run wrote."""
    plant(tmp_path, {"before.py": PROGRAM, "tree/prog/__init__.py": "", "tree/prog/a.py": PROGRAM})
    before = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import before; print(before.main())"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    outcome = run([str(tmp_path / "tree")], RunOptions(target="upstream-3.6"))
    assert not [f for file in outcome.files for f in file.findings if f.left_for_a_person]
    assert set(contents(tmp_path / "tree")) == {"prog/__init__.py", "prog/a.py", f"prog/{FILE}"}
    monkeypatch.syspath_prepend(str(tmp_path / "tree"))
    with release_3_6.installed():
        after = importlib.import_module("prog.a").main()
    for name in ("prog.a", "prog._triton_kernels_legacy", "prog"):
        sys.modules.pop(name)
    assert str(after) == before.stdout.strip()


def test_the_stand_in_offers_nothing_that_the_release_has_not():
    release = target_for("upstream-3.6")
    for module, members in release_3_6.RELEASE.items():
        assert all(release.exists(f"triton_kernels.{module}.{name}") for name in members)
    with release_3_6.installed(), pytest.raises(ImportError):
        importlib.import_module("triton_kernels.routing")
