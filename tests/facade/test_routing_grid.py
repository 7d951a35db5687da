"""The facade on the grid by which upstream tested the old module, against an oracle in numpy.

Where upstream compared with its own torch reference, the expectation here is made from scratch.
On a GPU the kernels are tested, in Triton's interpreter (TRITON_INTERPRET=1) the small shapes.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from triton_kernels import TritonKernelsDeprecationWarning

with pytest.warns(TritonKernelsDeprecationWarning):
    from triton_kernels.routing import routing, routing_torch

ROWS = [(371, None), (255, None), (256, None), (4096, None), (1023, None), (1024, None)]
ROWS += [(1152, 911)]
EXPERTS = [(128, 32), (1500, 8)]
BLOCKS = (16, 32, 64, 128)
INTERPRETED = bool(os.environ.get("TRITON_INTERPRET"))

pytestmark = pytest.mark.filterwarnings("ignore::triton_kernels.TritonKernelsDeprecationWarning")

DEVICES = ["cpu"]
if torch.cuda.is_available():
    DEVICES.append(pytest.param("cuda", marks=pytest.mark.gpu))

# The reference of the old module cuts what it returns to the valid rows: two shapes show that.
CASES = [(routing, *rows) for rows in ROWS] + [
    (routing_torch, 371, None),
    (routing_torch, 1152, 911),
]


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class Expected:
    """What the old module made of `logits`, in float64, by its definition."""

    def __init__(self, logits: np.ndarray, k: int, sm_first: bool, given: np.ndarray | None):
        self.scores = softmax(logits) if sm_first else logits
        if given is None:
            # The k largest, of equal ones the lower column; then ascending by expert.
            best = np.argsort(-self.scores, axis=1, kind="stable")[:, :k]
            self.chosen = np.sort(best, axis=1)
        else:
            self.chosen = given
        picked = np.take_along_axis(self.scores, self.chosen, axis=1)
        self.gates = picked if sm_first else softmax(picked)
        flat = self.chosen.reshape(-1)
        self.combine = np.argsort(flat, kind="stable")
        self.dispatch = np.empty_like(self.combine)
        self.dispatch[self.combine] = np.arange(flat.size)
        self.hist = np.bincount(flat, minlength=logits.shape[1])
        self.sm_first = sm_first

    def gradient(self, by_position: np.ndarray) -> np.ndarray:
        """Gradient of the logits for a gradient of the sorted gates."""
        dgates = by_position[self.dispatch].reshape(self.gates.shape)
        dscores = np.zeros_like(self.scores)
        if not self.sm_first:
            inner = (dgates * self.gates).sum(axis=1, keepdims=True)
            np.put_along_axis(dscores, self.chosen, self.gates * (dgates - inner), axis=1)
            return dscores
        np.put_along_axis(dscores, self.chosen, dgates, axis=1)
        inner = (dscores * self.scores).sum(axis=1, keepdims=True)
        return self.scores * (dscores - inner)


def expected_schedule(hist: np.ndarray, block: int, n_slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Block offsets and schedule of one block size."""
    n_blocks = -(-hist // block)
    width = len(hist) - 1 - ((len(hist) - n_slots - 1) // 16)
    schedule = np.full(n_slots if n_slots <= len(hist) else width, -1)
    entries = [(b << 16) | e for e, n in enumerate(n_blocks) for b in range(n)]
    schedule[: len(entries)] = entries
    return np.concatenate([[0], np.cumsum(n_blocks)]), schedule


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("sm_first", [True, False])
@pytest.mark.parametrize("provided", [False, True])
@pytest.mark.parametrize(("n_experts", "k"), EXPERTS)
@pytest.mark.parametrize(("function", "n_rows_pad", "n_rows"), CASES)
def test_routing_on_upstreams_grid(
    function, n_rows_pad, n_rows, n_experts, k, provided, sm_first, device
) -> None:
    if INTERPRETED and device == "cpu" and n_rows_pad * n_experts > 371 * 128:
        pytest.skip("takes long in the interpreter")
    n_valid, n_slots = n_rows or n_rows_pad, n_rows_pad * k
    random = torch.Generator().manual_seed(2)
    # In steps of 1/64: equal ones are equal after a softmax too, others are far enough apart, so
    # that the choice does not depend on how a device rounds.
    logits = (torch.randn(n_rows_pad, n_experts, generator=random) * 64).round() / 64
    logits[n_valid:] = float("inf")
    given = expt_indx = None
    if provided:
        expt_indx = torch.rand(n_rows_pad, n_experts, generator=random).argsort(1)[:, :k]
        expt_indx = expt_indx.sort(1).values
        given = expt_indx[:n_valid].numpy()
        expt_indx[n_valid:] = -99999
        expt_indx = expt_indx.to(device)
    count = None if n_rows is None else torch.tensor([n_rows], dtype=torch.int32, device=device)
    x = logits.to(device, copy=True).requires_grad_()

    data, gather, scatter = function(x, k, sm_first, expt_indx, n_rows=count)
    expected = Expected(logits[:n_valid].double().numpy(), k, sm_first, given)

    n_filled = n_valid * k
    length = n_filled if function is routing_torch else n_slots
    for vector, want in (
        (gather.src_indx, expected.combine),
        (gather.dst_indx, expected.dispatch),
        (scatter.src_indx, expected.dispatch),
        (scatter.dst_indx, expected.combine),
    ):
        assert (vector.dtype, vector.shape) == (torch.int32, (length,))
        assert np.array_equal(vector[:n_filled].cpu().numpy(), want)
        assert (vector[n_filled:] == -1).all()
    assert (data.n_expts_tot, data.n_expts_act) == (n_experts, k)
    assert np.array_equal(data.expt_hist.cpu().numpy(), expected.hist)

    schedule = data.expt_data
    assert np.array_equal(schedule.hist.cpu().numpy(), expected.hist)
    offsets = np.concatenate([[0], np.cumsum(expected.hist)])
    assert np.array_equal(schedule.token_offs_raw.cpu().numpy(), offsets)
    for block in BLOCKS:
        block_offsets, blocks = expected_schedule(expected.hist, block, n_slots)
        assert np.array_equal(schedule.token_offs_pad[block].cpu().numpy(), block_offsets)
        assert np.array_equal(schedule.block_pid_map[block].cpu().numpy(), blocks)

    gates = torch.from_numpy(expected.gates.reshape(-1)[expected.combine]).float()
    torch.testing.assert_close(data.gate_scal[:n_filled].cpu(), gates, rtol=1e-4, atol=1e-6)
    assert not data.gate_scal[n_filled:].any()

    weights = torch.randn(length, generator=random)
    data.gate_scal.backward(weights.to(device))
    want = torch.from_numpy(expected.gradient(weights[:n_filled].double().numpy())).float()
    torch.testing.assert_close(x.grad[:n_valid].cpu(), want, rtol=1e-4, atol=1e-5)
    assert not x.grad[n_valid:].any()
