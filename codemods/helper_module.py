"""The helper that migrated code imports where its target has no home for an old function.

Release 3.6.0 of triton_kernels removed `routing` and left nothing in its place, so code that is to
run on it brings the few lines itself: one module `_triton_kernels_legacy.py` for each top-level
package, in its outermost folder, imported absolutely (`package._triton_kernels_legacy`).  A file
outside any package gets it beside itself, imported by its bare name, as a script finds it.

The text is the same everywhere, whichever of its functions a package uses.  Where the file stands
already it is left as it is, for it belongs to the project from then on.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from keyword import iskeyword

MODULE = "_triton_kernels_legacy"
FILE = f"{MODULE}.py"

TEXT = '''\
"""Routing on triton_kernels 3.6.0 as the module that the release removed did it.

Written by `python -m codemods.migrate --target upstream-3.6`.

Vocabulary: of n_rows * k slots, slot i is choice i % k of token i // k.  `combine`
lists the slots in the order of their experts, `dispatch` is its inverse; both are
padded with -1.
"""

from __future__ import annotations

import torch
from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
from triton_kernels.tensor import (
    Bitmatrix,
    RaggedTensorMetadata,
    SparseMatrix,
    make_ragged_tensor_metadata,
    make_ragged_tensor_metadata_torch,
)
from triton_kernels.topk import topk


def legacy_routing(
    logits: torch.Tensor,
    n_expts_act: int,
    sm_first: bool = False,
    expt_indx: torch.Tensor | None = None,
    n_rows: int | torch.Tensor | None = None,
) -> tuple[RoutingData, GatherIndx, ScatterIndx]:
    """Send each row of `logits` to its `n_expts_act` best experts.

    sm_first: softmax over all experts before choosing, not over the chosen ones after.
    expt_indx: the experts to take instead of choosing.
    n_rows: only the first ones are routed.
    """
    if sm_first:
        logits = torch.softmax(logits, dim=-1)
    chosen = topk(
        logits, n_expts_act, apply_softmax=not sm_first, y_indx=expt_indx, n_rows=n_rows
    )
    return _routing_of(chosen, logits.shape[-1], n_expts_act)


def legacy_routing_from_bitmatrix(
    bitmatrix: Bitmatrix,
    expt_scal: torch.Tensor,
    expt_indx: torch.Tensor,
    n_expts_tot: int,
    n_expts_act: int,
) -> tuple[RoutingData, GatherIndx, ScatterIndx]:
    """`legacy_routing` for experts that are already chosen."""
    chosen = SparseMatrix(indx=expt_indx, vals=expt_scal, mask=bitmatrix)
    return _routing_of(chosen, n_expts_tot, n_expts_act)


def _routing_of(
    chosen: SparseMatrix, n_expts_tot: int, n_expts_act: int
) -> tuple[RoutingData, GatherIndx, ScatterIndx]:
    metadata = chosen.mask_metadata
    combine, dispatch = metadata.col_sorted_indx, metadata.row_sorted_indx
    # A bitmatrix made by hand may have its columns rounded up to whole words.
    counts = metadata.col_sum[:n_expts_tot]
    ragged = make_ragged_tensor_metadata(counts, dispatch.shape[0])
    # -1 would take the value of the last slot, and hand that slot the gradient.
    filled = combine >= 0
    slots = torch.where(filled, combine, 0).long()
    gate_scal = torch.where(filled, chosen.vals.flatten()[slots], 0)
    return (
        RoutingData(gate_scal, ragged.slice_sizes, n_expts_tot, n_expts_act, ragged),
        GatherIndx(combine, dispatch),
        ScatterIndx(dispatch, combine),
    )


def compute_expt_data(
    expt_hist: torch.Tensor | None, n_expts_tot: int, n_gates: int
) -> RaggedTensorMetadata | None:
    """The block schedule of a histogram of experts; None for None."""
    if expt_hist is None:
        return None
    return make_ragged_tensor_metadata(expt_hist[:n_expts_tot], n_gates)


def compute_expt_data_torch(
    hist: torch.Tensor | None, n_expts_tot: int, n_gates: int
) -> RaggedTensorMetadata | None:
    """`compute_expt_data` in plain torch."""
    if hist is None:
        return None
    return make_ragged_tensor_metadata_torch(hist[:n_expts_tot], n_gates)


def max_n_tiles(n_batches: int, n_gates: int) -> int:
    """The width of a block schedule."""
    return RaggedTensorMetadata.max_n_tiles(n_batches, n_gates)
'''


def names_in(data: bytes) -> frozenset[str]:
    """The functions that a helper defines; none where it does not parse."""
    try:
        body = ast.parse(data).body
    except (SyntaxError, ValueError):
        return frozenset()
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef))


NAMES = frozenset(name for name in names_in(TEXT.encode()) if not name.startswith("_"))
"""What migrated code may import from the helper."""


class HelperTaken(Exception):
    """Another file stands where the helper belongs; the text says which, and what it lacks."""


@dataclass(frozen=True)
class Place:
    """Where the helper of a file lies, and the dotted path by which the file imports it."""

    location: str
    module: str


def is_missing(place: Place) -> bool:
    """Whether the helper has yet to be written.  Raises HelperTaken."""
    try:
        with open(place.location, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise HelperTaken(f"{place.location} cannot be read: {error.strerror}") from error
    absent = sorted(NAMES - names_in(data))
    if absent:
        raise HelperTaken(f"{place.location} is there and has no {', '.join(absent)}")
    return False


def place_for(location: str, work_tree: str | None, searched: str) -> Place:
    """The place of the helper for the file at an absolute location.

    work_tree: the root of the git work tree around the file, which is no package itself.
    searched: the folder that the run was started on.

    The package is the outermost folder that has an `__init__.py`.  Folders without one between it
    and the file are namespace packages, as far as work tree or search reach.
    """
    folder = os.path.dirname(location)
    root, package = folder, ""
    while folder not in (work_tree, os.path.dirname(folder)):
        name = os.path.basename(folder)
        if not name.isidentifier() or iskeyword(name):
            break
        if os.path.exists(os.path.join(folder, "__init__.py")):
            root, package = folder, name
        elif work_tree is None and not folder.startswith(searched + os.sep):
            break
        folder = os.path.dirname(folder)
    module = f"{package}.{MODULE}" if package else MODULE
    return Place(os.path.join(root, FILE), module)
