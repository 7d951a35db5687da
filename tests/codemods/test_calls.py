"""Calls whose arguments change with their function."""

from __future__ import annotations

import pytest
from rewriting import check_transformed

CALLS = {
    "simulated_ep of 1 goes": (
        """
        from triton_kernels.routing import routing

        rdata, gather, scatter = routing(logits, k, simulated_ep=1)
        """,
        """
        from triton_kernels.legacy import legacy_routing as routing

        rdata, gather, scatter = routing(logits, k)
        """,
    ),
    "simulated_ep of 1 goes by position too": (
        """
        from triton_kernels.routing import routing

        out = routing(logits, k, sm_first, expt_indx, 1, n_rows)
        """,
        """
        from triton_kernels.legacy import legacy_routing as routing

        out = routing(logits, k, sm_first, expt_indx, n_rows)
        """,
    ),
    "an argument goes, the comments around it stay": (
        """
        from triton_kernels.routing import routing

        out = routing(
            logits,
            k,  # choices
            # one rank
            simulated_ep=1,  # always
            n_rows=n,
        )
        """,
        """
        from triton_kernels.legacy import legacy_routing as routing

        out = routing(
            logits,
            k,  # choices
            # one rank
            # always
            n_rows=n,
        )
        """,
    ),
    "a call inside a call": (
        """
        from triton_kernels.routing import routing

        out = routing(routing(a, 1, simulated_ep=1)[0].gate_scal, 2, simulated_ep=1)
        """,
        """
        from triton_kernels.legacy import legacy_routing as routing

        out = routing(routing(a, 1)[0].gate_scal, 2)
        """,
    ),
    "a placeholder for a failed import cannot be called": (
        """
        try:
            from triton_kernels.routing import routing
        except ImportError:
            routing = None

        out = routing(logits, k, simulated_ep=1)
        """,
        """
        try:
            from triton_kernels.legacy import legacy_routing as routing
        except ImportError:
            routing = None

        out = routing(logits, k)
        """,
    ),
    "compute_expt_data, call and import together": (
        """
        from triton_kernels.routing import compute_expt_data

        data = compute_expt_data(hist, n_expts_tot, n_gates)
        """,
        """
        from triton_kernels.tensor import make_ragged_tensor_metadata

        data = make_ragged_tensor_metadata(hist, n_gates)
        """,
    ),
    "compute_expt_data by keywords": (
        """
        from triton_kernels.routing import compute_expt_data

        data = compute_expt_data(n_gates=n, n_expts_tot=hist.shape[0], expt_hist=hist)
        """,
        """
        from triton_kernels.tensor import make_ragged_tensor_metadata

        data = make_ragged_tensor_metadata(n_gates=n, batch_sizes=hist)
        """,
    ),
    "compute_expt_data_torch under an alias keeps it": (
        """
        from triton_kernels.routing import compute_expt_data_torch as ced

        data = ced(hist, n_expts_tot, n_gates)
        """,
        """
        from triton_kernels.tensor import make_ragged_tensor_metadata_torch as ced

        data = ced(hist, n_gates)
        """,
    ),
    "compute_expt_data handed on goes to legacy": (
        """
        from triton_kernels.routing import compute_expt_data

        data = compute_expt_data(hist, n_expts_tot, n_gates)
        register(compute_expt_data)
        """,
        """
        from triton_kernels.legacy import compute_expt_data

        data = compute_expt_data(hist, n_expts_tot, n_gates)
        register(compute_expt_data)
        """,
    ),
    "compute_expt_data exported goes to legacy": (
        """
        from triton_kernels.routing import compute_expt_data

        __all__ = ["compute_expt_data"]
        """,
        """
        from triton_kernels.legacy import compute_expt_data

        __all__ = ["compute_expt_data"]
        """,
    ),
    "compute_expt_data with an argument whose evaluation may matter goes to legacy": (
        """
        from triton_kernels.routing import compute_expt_data

        data = compute_expt_data(hist, count(), n_gates)
        """,
        """
        from triton_kernels.legacy import compute_expt_data

        data = compute_expt_data(hist, count(), n_gates)
        """,
    ),
    "compute_expt_data in a file whose new name is taken keeps its own": (
        """
        from triton_kernels.routing import compute_expt_data

        def make_ragged_tensor_metadata(): ...

        data = compute_expt_data(hist, n_expts_tot, n_gates)
        """,
        """
        from triton_kernels.tensor import make_ragged_tensor_metadata as compute_expt_data

        def make_ragged_tensor_metadata(): ...

        data = compute_expt_data(hist, n_gates)
        """,
    ),
}


@pytest.mark.parametrize(("before", "after"), CALLS.values(), ids=CALLS.keys())
def test_calls(before: str, after: str) -> None:
    check_transformed(before, after)
