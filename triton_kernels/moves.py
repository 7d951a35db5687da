"""THE TABLE: every break between the old `routing` module and the refactored library, once.

Pure data on the standard library: the codemods import it on machines that have neither torch nor
triton.  From these rows, and from nothing else, come the facade and its warnings, the codemods'
rules and their pages (`--explain`), MIGRATING.md, and the parametrisation of the tests.

A row is one thing that old code can say (`form`, `old`, `detail`) and what to say instead (`new`,
`after`).  Codes are stable: a code is never reused for another break.  Their first digit is the
chapter (`CHAPTERS`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

OLD_MODULE = "triton_kernels.routing"
REMOVED_IN = "2.0"
"""Version of this distribution in which the facade goes."""

MIGRATE_COMMAND = "python -m codemods.migrate"
BITMATRIX = "triton_kernels.tensor.Bitmatrix"
RAGGED = "triton_kernels.tensor.RaggedTensorMetadata"
SUM_ROWS = "triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows"
LEGACY = "triton_kernels.legacy"
"""Home of what has no new home: the supported bridge, and old behaviour for old code."""

CHAPTERS: dict[str, str] = {
    "TKM0": "The old module: its names when it was removed, and the modules gone with it",
    "TKM1": "Records: fields, methods and arguments",
    "TKM2": "Names of older releases, and private names beside the old module",
    "TKM3": "Calls that changed",
    "TKM4": "Attributes that changed",
}
"""Chapters of the table, by the beginning of their codes."""


class Form(str, Enum):
    """What a row's `old` names, and so what the codemods look for."""

    MODULE = "module"
    """`old` is a dotted module path."""
    NAME = "name"
    """`old` is the dotted path of a module's attribute."""
    CALL = "call"
    """Any call of `old` that the row's `detail` describes in words."""
    KEYWORD = "keyword"
    """A call of `old` with the keyword argument `detail`."""
    POSITION = "position"
    """A call of `old` with more positional arguments than `detail` (a decimal number)."""
    UNPACK = "unpack"
    """The result of calling `old` unpacked to exactly `detail` names."""
    ATTRIBUTE = "attribute"
    """The attribute `detail` of an instance of the class `old`."""


class Kind(str, Enum):
    """What became of the old form."""

    MOVED = "moved"
    RENAMED = "renamed"
    COMPOSED = "composed"
    SIGNATURE_CHANGED = "signature changed"
    REMOVED = "removed"


class Codemod(str, Enum):
    """What `python -m codemods.migrate` does with the old form."""

    REWRITES = "rewrites"
    REWRITES_UNSAFE = "rewrites with --unsafe"
    REPORTS = "reports"
    EXPLAINS = "explains only"
    """The old form reads exactly like right code, so only a page (`--explain`) speaks of it."""


@dataclass(frozen=True)
class CallChange:
    """How the arguments of a call change when its function moves.

    parameters: names of the old function's parameters, in order.
    drop: the parameter that goes away, with the source text its argument must have to be dropped
        silently ("" = any expression without side effects).  ("", "") = none goes away.
    rename: (old keyword, new keyword) pairs.
    refuse: (parameter, source text) of an argument with which the call cannot be rewritten.
    ambiguous_at: a call of exactly this many positional arguments means different things in
        different releases, so it is never rewritten (0 = none).
    """

    parameters: tuple[str, ...]
    drop: tuple[str, str] = ("", "")
    rename: tuple[tuple[str, str], ...] = ()
    refuse: tuple[tuple[str, str], ...] = ()
    ambiguous_at: int = 0


@dataclass(frozen=True)
class Move:
    """One break: what old code says, what it says now, and who carries it over.

    code: stable identifier, `TKM` and three digits.
    form, old, detail: what is looked for (see `Form`).
    new: dotted path of the replacement, or a form in words; "" where nothing replaces it.
    kind: what became of it.
    since: the first upstream release in which the old form no longer works ("" = it never did).
    codemod: what the codemod does with it.
    why: one sentence.
    before, after: an example that the tests run through the codemod.  Where `codemod` is REPORTS,
        `after` is what to write by hand.
    remedy: what to do by hand where the codemod does not do it, one sentence ("" = write `new`).
    facade: dotted path of the object that the facade serves for an old name ("" = it serves none).
    call: how the arguments of a call change, where they do.
    fallback: dotted path to which the import goes when some use in a file is no call that can be
        rewritten ("" = the import then stays as it is).
    waits_for: dotted path of what this library must have before the old form can work here ("" =
        it works, or never will).
    """

    code: str
    form: Form
    old: str
    new: str
    kind: Kind
    since: str
    codemod: Codemod
    why: str
    before: str
    after: str
    remedy: str = ""
    detail: str = ""
    facade: str = ""
    call: CallChange | None = None
    fallback: str = ""
    waits_for: str = ""

    @property
    def old_text(self) -> str:
        """The old form as a person would write it, for messages and pages."""
        name = self.old.rpartition(".")[2]
        return {
            Form.MODULE: self.old,
            Form.NAME: self.old,
            Form.CALL: f"{self.old}(...): {self.detail}",
            Form.KEYWORD: f"{self.old}({self.detail}=)",
            Form.POSITION: f"{self.old}() with more than {self.detail} positional arguments",
            Form.UNPACK: f"{self.old}() unpacked to {self.detail} values",
            Form.ATTRIBUTE: f"{name}.{self.detail}",
        }[self.form]

    @property
    def served(self) -> str:
        """Dotted path of the object that the facade serves for an old name ("" = none)."""
        if self.form is not Form.NAME:
            return ""
        if self.facade or self.codemod is not Codemod.REWRITES:
            return self.facade
        return self.new

    @property
    def advice(self) -> str:
        """What to do by hand, in one sentence."""
        return self.remedy or f"Use {self.new}."


def _code(*lines: str) -> str:
    return "\n".join(lines)


def _moved(code: str, name: str, module: str, why: str, use: str, remedy: str = "") -> Move:
    """A name of the old module that lives unchanged in another one."""
    return Move(
        code,
        Form.NAME,
        f"{OLD_MODULE}.{name}",
        f"{module}.{name}",
        Kind.MOVED,
        "3.6.0",
        Codemod.REWRITES,
        why,
        before=f"from {OLD_MODULE} import {name}\n\n{use}\n",
        after=f"from {module} import {name}\n\n{use}\n",
        remedy=remedy,
    )


def _rewritten(
    code: str,
    name: str,
    new: str,
    kind: Kind,
    why: str,
    before: str,
    after: str,
    *,
    remedy: str = "",
    call: CallChange | None = None,
    fallback: str = "",
) -> Move:
    """A function of the old module whose calls change with its name; `legacy` keeps the old one."""
    return Move(
        code,
        Form.NAME,
        f"{OLD_MODULE}.{name}",
        new,
        kind,
        "3.6.0",
        Codemod.REWRITES,
        why,
        before=f"from {OLD_MODULE} import {name}\n\n{before}\n",
        after=f"{after}\n",
        remedy=remedy,
        facade=f"{LEGACY}.{name}",
        call=call,
        fallback=fallback,
    )


def _composed(
    code: str,
    name: str,
    new: str,
    why: str,
    remedy: str,
    before: str,
    after: str,
    kind: Kind = Kind.COMPOSED,
) -> Move:
    """A name of the old module without a twin: `legacy` keeps it, a person moves its users."""
    return Move(
        code,
        Form.NAME,
        f"{OLD_MODULE}.{name}",
        new,
        kind,
        "3.6.0",
        Codemod.REPORTS,
        why,
        before=f"from {OLD_MODULE} import {name}\n\n{before}\n",
        after=f"{after}\n",
        remedy=remedy,
        facade=f"{LEGACY}.{name}",
    )


def _gone(
    code: str,
    path: str,
    new: str,
    why: str,
    remedy: str,
    after: str = "",
    since: str = "3.6.0",
    facade: str = "",
    waits_for: str = "",
) -> Move:
    """A name that left its module: a private part, or what it only happened to import."""
    module, _, name = path.rpartition(".")
    if not after and new.startswith("triton_kernels."):
        after = "from {0} import {2}".format(*new.rpartition("."))
    return Move(
        code,
        Form.NAME,
        path,
        new,
        Kind.RENAMED if new.startswith("triton_kernels.") else Kind.REMOVED,
        since,
        Codemod.REPORTS,
        why,
        before=f"from {module} import {name}\n",
        after=f"{after or '# No import: see the remedy.'}\n",
        remedy=remedy,
        facade=facade,
        waits_for=waits_for,
    )


def _module(
    code: str, path: str, new: str, why: str, remedy: str, after: str, since: str = "3.6.0"
) -> Move:
    """A module that is no more."""
    return Move(
        code,
        Form.MODULE,
        path,
        new,
        Kind.REMOVED,
        since,
        Codemod.REPORTS,
        why,
        before=f"import {path}\n",
        after=f"{after}\n",
        remedy=remedy,
    )


def _form(
    code: str,
    form: Form,
    old: str,
    detail: str,
    new: str,
    why: str,
    before: str,
    after: str,
    *,
    remedy: str = "",
    kind: Kind = Kind.SIGNATURE_CHANGED,
    since: str = "3.6.0",
    codemod: Codemod = Codemod.REPORTS,
    waits_for: str = "",
) -> Move:
    """A form of a call, a keyword, an unpacking or an attribute."""
    return Move(
        code,
        form,
        old,
        new,
        kind,
        since,
        codemod,
        why,
        before=f"{before}\n",
        after=f"{after}\n",
        remedy=remedy,
        detail=detail,
        waits_for=waits_for,
    )


_ROUTED = f"""\
from {LEGACY} import legacy_routing

routing_data, gather, scatter = legacy_routing(logits, k)
"""
_CHOSEN = """\
from triton_kernels.topk import topk

sparse_logits = topk(logits, k)
"""
_SCHEDULED = """\
from triton_kernels.tensor import make_ragged_tensor_metadata

metadata = make_ragged_tensor_metadata(sizes, n_gates)
"""


def _expt_data(
    code: str, detail: str, new: str, why: str, before: str, after: str, remedy: str = ""
) -> Move:
    """A field, method or static of `ExptData`, on what `RoutingData.expt_data` holds."""
    return _form(
        code,
        Form.ATTRIBUTE,
        f"{OLD_MODULE}.ExptData",
        detail,
        f"RaggedTensorMetadata.{new}",
        why,
        _ROUTED + before,
        _ROUTED + after,
        remedy=remedy,
        kind=Kind.RENAMED,
        codemod=Codemod.REWRITES,
    )


_NAMES: tuple[Move, ...] = (
    _moved(
        "TKM001",
        "GatherIndx",
        "triton_kernels.matmul_ogs",
        "The record belongs to the product that reads it.",
        "gather = GatherIndx(src_indx=combine_indx, dst_indx=dispatch_indx)",
    ),
    _moved(
        "TKM002",
        "ScatterIndx",
        "triton_kernels.matmul_ogs",
        "The record belongs to the product that reads it.",
        "scatter = ScatterIndx(src_indx=dispatch_indx, dst_indx=combine_indx)",
    ),
    _moved(
        "TKM003",
        "RoutingData",
        "triton_kernels.matmul_ogs",
        "The record belongs to the product that reads it; its `expt_data` is now a "
        "`RaggedTensorMetadata`.",
        "routing_data = RoutingData(gate_scal, expt_hist, n_expts_tot, n_expts_act, expt_data)",
    ),
    _composed(
        "TKM004",
        "ExptData",
        "triton_kernels.tensor.RaggedTensorMetadata",
        "The record describes any ragged tensor, not only one of experts, so its class and its "
        "fields have new names in the same order.",
        "Use triton_kernels.tensor.RaggedTensorMetadata; where the record is built from a "
        "histogram, make_ragged_tensor_metadata builds it.",
        "offsets = ExptData(hist, offs, offs_pad, pid_map).token_offs_raw",
        _code(
            "from triton_kernels.tensor import RaggedTensorMetadata",
            "",
            "offsets = RaggedTensorMetadata(hist, offs, offs_pad, pid_map).slice_offs",
        ),
        kind=Kind.RENAMED,
    ),
    _composed(
        "TKM005",
        "SortTokens",
        "triton_kernels.tensor.SparseMatrix and triton_kernels.tensor.make_ragged_tensor_metadata",
        "Sorting and scheduling became two parts that are usable apart, so the one autograd "
        "function for both has no twin.",
        "Build SparseMatrix(indx, vals, mask), index vals.flatten() with its "
        "mask_metadata.combine_indx, and make the schedule with make_ragged_tensor_metadata.",
        _code(
            "hist, combine, dispatch, gate_scal, offs, offs_pad, pid_map = SortTokens.apply(",
            "    expt_scal, expt_indx, n_expts_tot, bitmatrix",
            ")",
        ),
        _code(
            "from triton_kernels.tensor import SparseMatrix, make_ragged_tensor_metadata",
            "",
            "sparse = SparseMatrix(indx=expt_indx, vals=expt_scal, mask=bitmatrix)",
            "sorted_slots = sparse.mask_metadata",
            "gate_scal = expt_scal.flatten()[sorted_slots.combine_indx]",
            "ragged = make_ragged_tensor_metadata(sorted_slots.col_sum, expt_indx.numel())",
        ),
    ),
    _composed(
        "TKM006",
        "sort_tokens",
        "triton_kernels.tensor.SparseMatrix and triton_kernels.tensor.make_ragged_tensor_metadata",
        "Sorting and scheduling became two parts that are usable apart, so the one function for "
        "both has no twin.",
        "Build SparseMatrix(indx, vals, mask), index vals.flatten() with its "
        "mask_metadata.combine_indx, and make the schedule with make_ragged_tensor_metadata.",
        _code(
            "hist, combine, dispatch, gate_scal, offs, offs_pad, pid_map = sort_tokens(",
            "    expt_scal, expt_indx, n_expts_tot, bitmatrix",
            ")",
        ),
        _code(
            "from triton_kernels.tensor import SparseMatrix, make_ragged_tensor_metadata",
            "",
            "sparse = SparseMatrix(indx=expt_indx, vals=expt_scal, mask=bitmatrix)",
            "sorted_slots = sparse.mask_metadata",
            "gate_scal = expt_scal.flatten()[sorted_slots.combine_indx]",
            "ragged = make_ragged_tensor_metadata(sorted_slots.col_sum, expt_indx.numel())",
        ),
    ),
    _moved(
        "TKM007",
        "exact_div",
        "triton_kernels.tensor_details.ragged_tensor",
        "It serves the block schedule, which has a module of its own.",
        "words = exact_div(n_cols, 32)",
    ),
    _moved(
        "TKM008",
        "empty_aligned",
        "triton_kernels.tensor_details.ragged_tensor",
        "It serves the block schedule, which has a module of its own.",
        "view, n_padded = empty_aligned(shape, dtype, device, 512)",
    ),
    replace(
        _moved(
            "TKM009",
            "max_n_tiles",
            "triton_kernels.tensor_details.ragged_tensor",
            "It is the width of the block schedule, which has a module of its own, and its first "
            "parameter is called `n_batches` there.",
            "width = max_n_tiles(n_expts_tot, n_gates)",
        ),
        call=CallChange(
            parameters=("n_expts_tot", "n_gates"), rename=(("n_expts_tot", "n_batches"),)
        ),
    ),
    _rewritten(
        "TKM010",
        "compute_expt_data",
        "triton_kernels.tensor.make_ragged_tensor_metadata",
        Kind.SIGNATURE_CHANGED,
        "The number of experts is the length of the histogram, so the new function does not ask "
        "for it.",
        "expt_data = compute_expt_data(expt_hist, n_expts_tot, n_gates)",
        _code(
            "from triton_kernels.tensor import make_ragged_tensor_metadata",
            "",
            "expt_data = make_ragged_tensor_metadata(expt_hist, n_gates)",
        ),
        remedy="Use triton_kernels.tensor.make_ragged_tensor_metadata(expt_hist, n_gates), without "
        "n_expts_tot.",
        call=CallChange(
            parameters=("expt_hist", "n_expts_tot", "n_gates"),
            drop=("n_expts_tot", ""),
            rename=(("expt_hist", "batch_sizes"),),
            refuse=(("expt_hist", "None"),),
        ),
        fallback=f"{LEGACY}.compute_expt_data",
    ),
    _rewritten(
        "TKM011",
        "compute_expt_data_torch",
        "triton_kernels.tensor.make_ragged_tensor_metadata_torch",
        Kind.SIGNATURE_CHANGED,
        "The number of experts is the length of the histogram, so the new function does not ask "
        "for it.",
        "expt_data = compute_expt_data_torch(hist, n_expts_tot, n_gates)",
        _code(
            "from triton_kernels.tensor import make_ragged_tensor_metadata_torch",
            "",
            "expt_data = make_ragged_tensor_metadata_torch(hist, n_gates)",
        ),
        remedy="Use triton_kernels.tensor.make_ragged_tensor_metadata_torch(hist, n_gates), "
        "without n_expts_tot.",
        call=CallChange(
            parameters=("hist", "n_expts_tot", "n_gates"),
            drop=("n_expts_tot", ""),
            rename=(("hist", "batch_sizes"),),
            refuse=(("hist", "None"),),
        ),
        fallback=f"{LEGACY}.compute_expt_data_torch",
    ),
    _rewritten(
        "TKM012",
        "routing_from_bitmatrix",
        f"{LEGACY}.legacy_routing_from_bitmatrix",
        Kind.RENAMED,
        "The old function is now a composition of SparseMatrix and make_ragged_tensor_metadata, "
        "which the bridge spells out once for everybody.",
        _code(
            "routing_data, gather, scatter = routing_from_bitmatrix(",
            "    bitmatrix, expt_scal, expt_indx, n_expts_tot, n_expts_act",
            ")",
        ),
        _code(
            f"from {LEGACY} import (",
            "    legacy_routing_from_bitmatrix as routing_from_bitmatrix,",
            ")",
            "",
            "routing_data, gather, scatter = routing_from_bitmatrix(",
            "    bitmatrix, expt_scal, expt_indx, n_expts_tot, n_expts_act",
            ")",
        ),
    ),
    _rewritten(
        "TKM013",
        "routing",
        f"{LEGACY}.legacy_routing",
        Kind.RENAMED,
        "The old function is now a composition of topk and make_ragged_tensor_metadata, which the "
        "bridge spells out once for everybody.",
        "routing_data, gather, scatter = routing(logits, n_expts_act, simulated_ep=1)",
        _code(
            f"from {LEGACY} import legacy_routing as routing",
            "",
            "routing_data, gather, scatter = routing(logits, n_expts_act)",
        ),
        call=CallChange(
            parameters=(
                "logits",
                "n_expts_act",
                "sm_first",
                "expt_indx",
                "simulated_ep",
                "n_rows",
            ),
            drop=("simulated_ep", "1"),
            ambiguous_at=5,
        ),
    ),
    _composed(
        "TKM014",
        "routing_torch",
        f"{LEGACY}.legacy_routing",
        "Every operation runs its plain torch reference on CPU tensors by itself, so a reference "
        "of the composition is not needed.",
        "Call legacy_routing with CPU tensors; its index vectors are padded with -1 to all rows, "
        "where routing_torch cut them to n_rows.",
        "routing_data, gather, scatter = routing_torch(logits, n_expts_act)",
        _code(
            f"from {LEGACY} import legacy_routing",
            "",
            "routing_data, gather, scatter = legacy_routing(logits.cpu(), n_expts_act)",
        ),
    ),
    _composed(
        "TKM015",
        "topk",
        "triton_kernels.topk.topk",
        "The old function returned (values, columns, bitmatrix) and took `return_bitmatrix` as "
        "fifth argument, while the new one returns a SparseMatrix and takes `y_indx` there.",
        "Use triton_kernels.topk.topk and read .vals, .indx and .mask of what it returns.",
        "vals, indx, bitmatrix = topk(logits, k)",
        _code(
            "from triton_kernels.topk import topk",
            "",
            "sparse = topk(logits, k)",
            "vals, indx, bitmatrix = sparse.vals, sparse.indx, sparse.mask",
        ),
        kind=Kind.SIGNATURE_CHANGED,
    ),
    _composed(
        "TKM016",
        "topk_torch",
        "triton_kernels.topk.topk_torch",
        "Only the name is the same: the third positional argument was the chosen columns and is "
        "now `apply_softmax`, and a pair of raw values and columns became a SparseMatrix.",
        "Use triton_kernels.topk.topk_torch(x, k, apply_softmax=False, y_indx=y_indx) and read "
        ".vals and .indx; its rows come sorted by column, where the old ones came by value.",
        "vals, indx = topk_torch(x, k, y_indx)",
        _code(
            "from triton_kernels.topk import topk_torch",
            "",
            "sparse = topk_torch(x, k, apply_softmax=False, y_indx=y_indx)",
            "vals, indx = sparse.vals, sparse.indx",
        ),
        kind=Kind.SIGNATURE_CHANGED,
    ),
    _gone(
        "TKM017",
        f"{OLD_MODULE}._combined_routing_compute",
        "make_bitmatrix_metadata and make_ragged_tensor_metadata",
        "The private kernel that sorted and scheduled in one launch was split in two.",
        "Call triton_kernels.tensor.make_bitmatrix_metadata for the sort and "
        "triton_kernels.tensor.make_ragged_tensor_metadata for the schedule.",
        "from triton_kernels.tensor import make_bitmatrix_metadata, make_ragged_tensor_metadata",
    ),
    _gone(
        "TKM018",
        f"{OLD_MODULE}._combined_routing_memset",
        "make_bitmatrix_metadata and make_ragged_tensor_metadata",
        "The private kernel that cleared the buffers of sort and schedule was split in two.",
        "Call triton_kernels.tensor.make_bitmatrix_metadata for the sort and "
        "triton_kernels.tensor.make_ragged_tensor_metadata for the schedule.",
        "from triton_kernels.tensor import make_bitmatrix_metadata, make_ragged_tensor_metadata",
    ),
    _gone(
        "TKM019",
        f"{OLD_MODULE}._expt_data_memset",
        "make_ragged_tensor_metadata",
        "The private kernel's work is part of making the metadata of a ragged tensor.",
        "Call triton_kernels.tensor.make_ragged_tensor_metadata.",
        "from triton_kernels.tensor import make_ragged_tensor_metadata",
    ),
    _gone(
        "TKM020",
        f"{OLD_MODULE}._expt_data_compute",
        "make_ragged_tensor_metadata",
        "The private kernel's work is part of making the metadata of a ragged tensor.",
        "Call triton_kernels.tensor.make_ragged_tensor_metadata.",
        "from triton_kernels.tensor import make_ragged_tensor_metadata",
    ),
    _moved(
        "TKM021",
        "is_hip",
        "triton_kernels.target_info",
        "The old module only happened to import it; questions about the device have one home.",
        "on_amd = is_hip()",
    ),
    _gone(
        "TKM022",
        f"{OLD_MODULE}.dataclass",
        "dataclasses.dataclass",
        "The old module only happened to import it.",
        "Import it from its own package: `from dataclasses import dataclass`.",
        "from dataclasses import dataclass",
    ),
    _gone(
        "TKM023",
        f"{OLD_MODULE}.field",
        "dataclasses.field",
        "The old module only happened to import it.",
        "Import it from its own package: `from dataclasses import field`.",
        "from dataclasses import field",
    ),
    _gone(
        "TKM024",
        f"{OLD_MODULE}.torch",
        "torch",
        "The old module only happened to import it.",
        "Import the package itself: `import torch`.",
        "import torch",
    ),
    _gone(
        "TKM025",
        f"{OLD_MODULE}.triton",
        "triton",
        "The old module only happened to import it.",
        "Import the package itself: `import triton`.",
        "import triton",
    ),
)


_MODULES: tuple[Move, ...] = (
    _module(
        "TKM090",
        OLD_MODULE,
        "triton_kernels.matmul_ogs, triton_kernels.tensor, triton_kernels.topk and "
        "triton_kernels.legacy",
        "Routing, sparse matrices and block schedules were one module and are separate parts now.",
        "Import each name from its new home; `--list-codes` names them all.",
        _code(
            "import triton_kernels.legacy",
            "import triton_kernels.matmul_ogs",
            "import triton_kernels.tensor",
            "import triton_kernels.topk",
        ),
    ),
    _module(
        "TKM091",
        "triton_kernels.routing_details",
        "triton_kernels.tensor_details",
        "The private kernels of the old module went into the two parts that replaced it.",
        "Use the functions of triton_kernels.tensor; their kernels are private.",
        "import triton_kernels.tensor",
    ),
    _module(
        "TKM092",
        "triton_kernels.routing_details._expt_data",
        "triton_kernels.tensor_details.ragged_tensor",
        "The block schedule became the metadata of a ragged tensor.",
        "Use triton_kernels.tensor.make_ragged_tensor_metadata; its kernels are private.",
        "import triton_kernels.tensor_details.ragged_tensor",
    ),
    _module(
        "TKM093",
        "triton_kernels.routing_details._routing_compute",
        "triton_kernels.tensor_details.bitmatrix",
        "The sort by expert became the metadata of a bitmatrix.",
        "Use triton_kernels.tensor.make_bitmatrix_metadata; its kernels are private.",
        "import triton_kernels.tensor_details.bitmatrix",
    ),
    _module(
        "TKM094",
        "triton_kernels.reduction_details.reduce_bitmatrix",
        "triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows",
        "Counting the set bits of each column went to the other parts of the bitmatrix.",
        "Use BitmatrixMetadata.col_sum, or sum_bitmatrix_rows of the new module.",
        "import triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows",
    ),
    _module(
        "TKM095",
        "triton_kernels.reduction",
        "triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows",
        "The module held one function, the column sums of a bitmatrix, and was given up early.",
        "Use BitmatrixMetadata.col_sum, or sum_bitmatrix_rows of the new module.",
        "import triton_kernels.tensor_details.bitmatrix_details.sum_bitmatrix_rows",
        since="3.4.0",
    ),
    _module(
        "TKM096",
        "triton_kernels.datastruct",
        "triton_kernels.tensor",
        "The wrapper classes were redesigned around storages and layouts.",
        "Use Tensor, Bitmatrix and wrap_torch_tensor of triton_kernels.tensor.",
        "import triton_kernels.tensor",
        since="3.5.0",
    ),
    _module(
        "TKM097",
        "triton_kernels.bitmatrix",
        "triton_kernels.tensor",
        "The class joined the other tensor types.",
        "Use triton_kernels.tensor.Bitmatrix.",
        "import triton_kernels.tensor",
        since="3.4.0",
    ),
    _module(
        "TKM098",
        "triton_kernels.matmul_ogs_details.metadata",
        "triton_kernels.tensor",
        "The schedule of a product became the metadata of a ragged tensor.",
        "Use make_ragged_tensor_metadata and RaggedTensorMetadata of triton_kernels.tensor.",
        "import triton_kernels.tensor",
        since="3.4.0",
    ),
)

_RECORDS: tuple[Move, ...] = (
    _expt_data(
        "TKM101",
        "hist",
        "slice_sizes",
        "The lengths belong to the slices of any ragged tensor, not only to experts.",
        "counts = routing_data.expt_data.hist",
        "counts = routing_data.expt_data.slice_sizes",
    ),
    _expt_data(
        "TKM102",
        "token_offs_raw",
        "slice_offs",
        "The offsets belong to the slices of any ragged tensor, not only to tokens.",
        "offsets = routing_data.expt_data.token_offs_raw",
        "offsets = routing_data.expt_data.slice_offs",
    ),
    _expt_data(
        "TKM103",
        "token_offs_pad_data",
        "block_offs_data",
        "The offsets count blocks, which the new name says.",
        "offsets = routing_data.expt_data.token_offs_pad_data",
        "offsets = routing_data.expt_data.block_offs_data",
    ),
    _expt_data(
        "TKM104",
        "block_pid_map_data",
        "block_schedule_data",
        "The map says which block runs in which program: a schedule.",
        "schedule = routing_data.expt_data.block_pid_map_data",
        "schedule = routing_data.expt_data.block_schedule_data",
    ),
    _expt_data(
        "TKM105",
        "token_offs_pad",
        "block_offs(block_size)",
        "A dict by block size (3.4, 3.5) and later a method are now the method `block_offs`.",
        "offsets = routing_data.expt_data.token_offs_pad[block_m]",
        "offsets = routing_data.expt_data.block_offs(block_m)",
        remedy="Call block_offs(block_size); instead of iterating over the dict, iterate over "
        "zip(block_sizes(), block_offs_data), which has the same tensors in the same order.",
    ),
    _expt_data(
        "TKM106",
        "block_pid_map",
        "block_schedule(block_size)",
        "A dict by block size (3.4, 3.5) and later a method are now the method `block_schedule`.",
        "schedule = routing_data.expt_data.block_pid_map[block_m]",
        "schedule = routing_data.expt_data.block_schedule(block_m)",
        remedy="Call block_schedule(block_size); instead of iterating over the dict, iterate over "
        "zip(block_sizes(), block_schedule_data), which has the same tensors in the same order.",
    ),
    _expt_data(
        "TKM107",
        "block_ms",
        "block_sizes()",
        "A block is not always one of rows called M.",
        "sizes = routing_data.expt_data.block_ms()",
        "sizes = routing_data.expt_data.block_sizes()",
    ),
    _expt_data(
        "TKM108",
        "block_ms_log2",
        "block_sizes_log2()",
        "A block is not always one of rows called M.",
        "exponents = routing_data.expt_data.block_ms_log2()",
        "exponents = routing_data.expt_data.block_sizes_log2()",
    ),
    _form(
        "TKM109",
        Form.CALL,
        f"{OLD_MODULE}.ExptData",
        "built by hand from dicts by block size",
        "triton_kernels.tensor.make_ragged_tensor_metadata",
        "The new record holds one stacked tensor for all block sizes, so dicts by block size do "
        "not fit it.",
        _code(
            f"from {OLD_MODULE} import ExptData",
            "",
            "expt_data = ExptData(",
            "    hist=hist,",
            "    token_offs_raw=offs,",
            "    token_offs_pad={block_m: offs_pad},",
            "    block_pid_map={block_m: pid_map},",
            ")",
        ),
        _code(
            "from triton_kernels.tensor import make_ragged_tensor_metadata",
            "",
            "expt_data = make_ragged_tensor_metadata(hist, n_gates)",
        ),
        remedy="Make the record with make_ragged_tensor_metadata(sizes, n_total_rows), or keep "
        "triton_kernels.legacy.ExptData where the tensors must be your own.",
    ),
    _form(
        "TKM111",
        Form.CALL,
        "triton_kernels.matmul_ogs.RoutingData",
        "`block_sizes` passed as `expt_hist`",
        "RaggedTensorMetadata.slice_sizes",
        "`block_sizes` is a function that lists the block sizes, so a migration that reads it as "
        "the tokens of each expert stores a function, and works only while nobody reads it.",
        _code(
            "from triton_kernels.matmul_ogs import RoutingData",
            "",
            "routing_data = RoutingData(gates, ragged.block_sizes, n_expts_tot, k, ragged)",
        ),
        _code(
            "from triton_kernels.matmul_ogs import RoutingData",
            "",
            "routing_data = RoutingData(gates, ragged.slice_sizes, n_expts_tot, k, ragged)",
        ),
        remedy="Pass `slice_sizes` as expt_hist.",
        since="",
    ),
    _form(
        "TKM112",
        Form.ATTRIBUTE,
        f"{OLD_MODULE}.RoutingData",
        "exp_indx",
        "RoutingData.expt_hist or GatherIndx.src_indx",
        "No release ever had this attribute, so code that reads it fails on the first call that "
        "reaches it.",
        _ROUTED + "experts = routing_data.exp_indx",
        _CHOSEN + "experts = sparse_logits.indx",
        remedy="Take the tokens of each expert from expt_hist, the order by expert from "
        "GatherIndx.src_indx, and the chosen experts of each token from topk's result (.indx).",
        kind=Kind.REMOVED,
        since="",
    ),
    _form(
        "TKM120",
        Form.KEYWORD,
        BITMATRIX,
        "scratchpad",
        "Bitmatrix(storage, dtype=BIT, shape=..., shape_max=...)",
        "Column sums allocate what they need, so the matrix carries no scratch memory.",
        _code(
            "from triton_kernels.tensor import Bitmatrix",
            "",
            "bitmatrix = Bitmatrix(words, shape=[n_rows, n_cols], scratchpad=scratch)",
        ),
        _code(
            "from triton_kernels.tensor import BIT, Bitmatrix",
            "",
            "bitmatrix = Bitmatrix(words, dtype=BIT, shape=[n_rows, n_cols])",
        ),
        remedy="Drop scratchpad= and pass dtype=BIT.",
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM121",
        Form.CALL,
        BITMATRIX,
        "the shape in second place, or no dtype",
        "Bitmatrix(storage, dtype=BIT, shape=..., shape_max=...)",
        "The element type came in second place, where the shape was.",
        _code(
            "from triton_kernels.tensor import Bitmatrix",
            "",
            "bitmatrix = Bitmatrix(words, [n_rows, n_cols], [None, n_cols])",
        ),
        _code(
            "from triton_kernels.tensor import BIT, Bitmatrix",
            "",
            "bitmatrix = Bitmatrix(words, dtype=BIT, shape=[n_rows, n_cols], "
            "shape_max=[None, n_cols])",
        ),
        remedy="Pass dtype=BIT, and shape and shape_max by keyword.",
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM122",
        Form.ATTRIBUTE,
        BITMATRIX,
        "sum",
        f"{SUM_ROWS}.sum_bitmatrix_rows",
        "Column sums are part of the metadata of a bitmatrix, or a function of their own.",
        _CHOSEN + "col_sum, partials = sparse_logits.mask.sum(partials_block_size=32)",
        _CHOSEN + "col_sum = sparse_logits.mask_metadata.col_sum",
        remedy="Read col_sum of SparseMatrix.mask_metadata, or call sum_bitmatrix_rows.",
        kind=Kind.REMOVED,
    ),
    _form(
        "TKM123",
        Form.ATTRIBUTE,
        BITMATRIX,
        "scratchpad",
        "",
        "Column sums allocate what they need, so the matrix carries no scratch memory.",
        _CHOSEN + "scratch = sparse_logits.mask.scratchpad",
        _CHOSEN + "scratch = None",
        remedy="Drop it: a bitmatrix can be summed any number of times without it.",
        kind=Kind.REMOVED,
    ),
    _form(
        "TKM124",
        Form.ATTRIBUTE,
        BITMATRIX,
        "shape",
        "Bitmatrix.shape with the true number of columns",
        "The bitmatrix of topk used to report its columns rounded up to whole 32-bit words.",
        _CHOSEN + "n_words = sparse_logits.mask.shape[1] // 32",
        _CHOSEN + "n_words = (sparse_logits.mask.shape[1] + 31) // 32",
        remedy="Expect shape[1] to be the number of columns, and round up where words are meant.",
        codemod=Codemod.EXPLAINS,
    ),
    _form(
        "TKM130",
        Form.ATTRIBUTE,
        RAGGED,
        "batch_sizes",
        "RaggedTensorMetadata.slice_sizes",
        "The name stood on the main branch for nine days and reached no release; here it works "
        "as well.",
        _SCHEDULED + "sizes = metadata.batch_sizes",
        _SCHEDULED + "sizes = metadata.slice_sizes",
        remedy="Prefer slice_sizes, which releases 3.6 and later understand too.",
        kind=Kind.RENAMED,
        codemod=Codemod.EXPLAINS,
    ),
    _form(
        "TKM131",
        Form.ATTRIBUTE,
        RAGGED,
        "batch_offs",
        "RaggedTensorMetadata.slice_offs",
        "The name stood on the main branch for nine days and reached no release; here it works "
        "as well.",
        _SCHEDULED + "offsets = metadata.batch_offs",
        _SCHEDULED + "offsets = metadata.slice_offs",
        remedy="Prefer slice_offs, which releases 3.6 and later understand too.",
        kind=Kind.RENAMED,
        codemod=Codemod.EXPLAINS,
    ),
    _form(
        "TKM132",
        Form.ATTRIBUTE,
        BITMATRIX,
        "metadata",
        "SparseMatrix.mask_metadata",
        "For nine days on the main branch the bitmatrix of topk carried its own metadata, which "
        "the sparse matrix has now.",
        _CHOSEN + "counts = sparse_logits.mask.metadata.col_sum",
        _CHOSEN + "counts = sparse_logits.mask_metadata.col_sum",
        kind=Kind.RENAMED,
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM133",
        Form.ATTRIBUTE,
        "triton_kernels.tensor.RaggedTensor",
        "batch_sizes",
        "RaggedTensor.slice_sizes",
        "The name stood on the main branch for nine days and reached no release; here it works "
        "as well.",
        _code(
            "from triton_kernels.tensor import RaggedTensor",
            "",
            "sizes = RaggedTensor(batch_sizes, data, metadata).batch_sizes",
        ),
        _code(
            "from triton_kernels.tensor import RaggedTensor",
            "",
            "sizes = RaggedTensor(batch_sizes, data, metadata).slice_sizes",
        ),
        remedy="Prefer slice_sizes, which releases 3.6 and later understand too.",
        kind=Kind.RENAMED,
        codemod=Codemod.EXPLAINS,
    ),
)

_MXFP = "triton_kernels.numerics_details.mxfp"
_LAYOUT = "triton_kernels.tensor_details.layout"
_BLACKWELL_SCALE = "triton_kernels.tensor_details.layout_details.blackwell_scale"
_EXPT_KERNELS = "triton_kernels.routing_details._expt_data"
_SORT_KERNELS = "triton_kernels.routing_details._routing_compute"
_SUM_KERNELS = "triton_kernels.reduction_details.reduce_bitmatrix"
_SORT_REMEDY = "Call triton_kernels.tensor.make_bitmatrix_metadata; its kernels are private."
_SORT_AFTER = "from triton_kernels.tensor import make_bitmatrix_metadata"
_SCHEDULE_REMEDY = (
    "Call triton_kernels.tensor.make_ragged_tensor_metadata; its kernels are private."
)
_SCHEDULE_AFTER = "from triton_kernels.tensor import make_ragged_tensor_metadata"
_CLEAR_WHY = "Only prune_routing used this private kernel, which clears the bits from a column on."
_CLEAR_REMEDY = (
    "Call triton_kernels.legacy.prune_routing, which clears and compacts; where the bits alone "
    "must go, write the few lines yourself."
)

_OLDER: tuple[Move, ...] = (
    _composed(
        "TKM201",
        "prune_routing",
        "triton_kernels.compaction.compaction",
        "Pruning to the experts of one simulated rank served benchmarks and left the library.",
        "Keep triton_kernels.legacy.prune_routing, or distribute experts with "
        "triton_kernels.distributed.",
        _code(
            "expt_scal, expt_indx, bitmatrix = prune_routing(",
            "    expt_scal, expt_indx, bitmatrix, n_expts_tot, simulated_ep",
            ")",
        ),
        _code(
            f"from {LEGACY} import prune_routing",
            "",
            "expt_scal, expt_indx, bitmatrix = prune_routing(",
            "    expt_scal, expt_indx, bitmatrix, n_expts_tot, simulated_ep",
            ")",
        ),
        kind=Kind.REMOVED,
    ),
    _composed(
        "TKM202",
        "PruneRouting",
        "triton_kernels.compaction.compaction",
        "Pruning to the experts of one simulated rank served benchmarks and left the library.",
        "Call triton_kernels.legacy.prune_routing, or distribute experts with "
        "triton_kernels.distributed.",
        _code(
            "expt_scal, expt_indx, bitmatrix = PruneRouting.apply(",
            "    expt_scal, expt_indx, bitmatrix, n_expts_tot, simulated_ep",
            ")",
        ),
        _code(
            f"from {LEGACY} import prune_routing",
            "",
            "expt_scal, expt_indx, bitmatrix = prune_routing(",
            "    expt_scal, expt_indx, bitmatrix, n_expts_tot, simulated_ep",
            ")",
        ),
        kind=Kind.REMOVED,
    ),
    _composed(
        "TKM203",
        "log2_power_of_two",
        "int.bit_length",
        "The helper has nothing to do with routing and Python says the same in one expression.",
        "Write x.bit_length() - 1 for a power of two x.",
        "exponent = log2_power_of_two(block_m)",
        "exponent = block_m.bit_length() - 1",
        kind=Kind.REMOVED,
    ),
    _composed(
        "TKM204",
        "block_m_log2_start",
        "RaggedTensorMetadata.block_sizes_log2()[0]",
        "The constant was the exponent of the smallest block size, which the metadata knows.",
        "Write RaggedTensorMetadata.block_sizes_log2()[0].",
        "smallest = 2**block_m_log2_start",
        _code(
            "from triton_kernels.tensor import RaggedTensorMetadata",
            "",
            "smallest = RaggedTensorMetadata.block_sizes()[0]",
        ),
        kind=Kind.REMOVED,
    ),
    _gone(
        "TKM205",
        f"{OLD_MODULE}._compute_expt_data_internal",
        "make_ragged_tensor_metadata",
        "The private function handed out buffers and launch sizes of kernels that are no more.",
        _SCHEDULE_REMEDY,
        _SCHEDULE_AFTER,
    ),
    _gone(
        "TKM206",
        f"{OLD_MODULE}._unpack_into_dict",
        "RaggedTensorMetadata.block_sizes() and the rows of block_offs_data",
        "The new record keeps one stacked tensor, so there is no dict to unpack into.",
        "Write dict(zip(metadata.block_sizes(), metadata.block_offs_data)) where a dict is needed.",
        "from triton_kernels.tensor import RaggedTensorMetadata",
    ),
    _gone(
        "TKM207",
        f"{OLD_MODULE}._routing_clear_bitmatrix",
        "prune_routing of triton_kernels.legacy",
        _CLEAR_WHY,
        _CLEAR_REMEDY,
        f"from {LEGACY} import prune_routing",
    ),
    _gone(
        "TKM208",
        f"{_SORT_KERNELS}._routing_clear_bitmatrix",
        "prune_routing of triton_kernels.legacy",
        _CLEAR_WHY,
        _CLEAR_REMEDY,
        f"from {LEGACY} import prune_routing",
    ),
    *(
        _gone(code, path, "make_bitmatrix_metadata", why, _SORT_REMEDY, _SORT_AFTER, since)
        for code, path, why, since in (
            (
                "TKM209",
                f"{OLD_MODULE}._routing_memset_indx",
                "The private kernel only filled index buffers with -1.",
                "3.4.0",
            ),
            (
                "TKM210",
                f"{OLD_MODULE}._routing_compute_indx_offs",
                "The private kernel's work is part of making the metadata of a bitmatrix.",
                "3.4.0",
            ),
            (
                "TKM211",
                f"{OLD_MODULE}._routing_compute_indx",
                "The private kernel's work is part of making the metadata of a bitmatrix; gates "
                "are no longer gathered there.",
                "3.4.0",
            ),
            (
                "TKM215",
                f"{_SORT_KERNELS}._keyed_add",
                "The private function joins keyed sums in a scan and went with the sort.",
                "3.6.0",
            ),
            (
                "TKM216",
                f"{_SORT_KERNELS}._routing_compute_expt_offs",
                "The private kernel's work is part of making the metadata of a bitmatrix.",
                "3.6.0",
            ),
            (
                "TKM217",
                f"{_SORT_KERNELS}._routing_compute_indx_offs",
                "The private kernel's work is part of making the metadata of a bitmatrix.",
                "3.6.0",
            ),
            (
                "TKM218",
                f"{_SORT_KERNELS}._routing_compute_indx",
                "The private kernel's work is part of making the metadata of a bitmatrix; gates "
                "are no longer gathered there.",
                "3.6.0",
            ),
            (
                "TKM219",
                f"{_SORT_KERNELS}._combined_routing_compute",
                "The private kernel that sorted and scheduled in one launch was split in two.",
                "3.6.0",
            ),
            (
                "TKM220",
                f"{_SORT_KERNELS}._combined_routing_memset",
                "The private kernel that cleared the buffers of sort and schedule was split in "
                "two.",
                "3.6.0",
            ),
        )
    ),
    *(
        _gone(code, f"{_EXPT_KERNELS}.{name}", new, why, _SCHEDULE_REMEDY, _SCHEDULE_AFTER)
        for code, name, new, why in (
            (
                "TKM212",
                "_cdiv_pow2",
                "make_ragged_tensor_metadata",
                "The private function divides by a power of two and went with the schedule.",
            ),
            (
                "TKM213",
                "_expt_data_memset",
                "make_ragged_tensor_metadata",
                "The private kernel's work is part of making the metadata of a ragged tensor.",
            ),
            (
                "TKM214",
                "_expt_data_compute",
                "make_ragged_tensor_metadata",
                "The private kernel's work is part of making the metadata of a ragged tensor.",
            ),
        )
    ),
    _gone(
        "TKM221",
        f"{_SUM_KERNELS}.vpopc",
        f"{SUM_ROWS}.vpopc",
        "The device function went to the other parts of the bitmatrix, unchanged.",
        f"Import it from {SUM_ROWS}.",
        facade=f"{SUM_ROWS}.vpopc",
        waits_for=f"{SUM_ROWS}.vpopc",
    ),
    _gone(
        "TKM222",
        f"{_SUM_KERNELS}._sum_bitmatrix_memset",
        "",
        "Column sums allocate and clear their own output.",
        "Drop it: sum_bitmatrix_rows clears its output itself.",
    ),
    _gone(
        "TKM223",
        f"{_SUM_KERNELS}._sum_bitmatrix_rows",
        "sum_bitmatrix_rows",
        "The private kernel's work is done by sum_bitmatrix_rows, whose kernel is private.",
        f"Call {SUM_ROWS}.sum_bitmatrix_rows.",
        f"from {SUM_ROWS} import sum_bitmatrix_rows",
    ),
    _gone(
        "TKM224",
        f"{_SUM_KERNELS}.clear_sums",
        "",
        "Column sums allocate and clear their own output.",
        "Drop it: sum_bitmatrix_rows clears its output itself.",
        facade=f"{LEGACY}.clear_sums",
    ),
    _gone(
        "TKM225",
        f"{_SUM_KERNELS}.sum_bitmatrix_rows",
        f"{SUM_ROWS}.sum_bitmatrix_rows",
        "The function went to the other parts of the bitmatrix and allocates its own output.",
        f"Import it from {SUM_ROWS} and drop the argument out_ret.",
        facade=f"{LEGACY}.sum_bitmatrix_rows",
    ),
    _gone(
        "TKM226",
        "triton_kernels.tensor.clear_sums",
        "",
        "The tensor module only happened to import it, and column sums clear their own output.",
        "Drop it: sum_bitmatrix_rows clears its output itself.",
        facade=f"{LEGACY}.clear_sums",
    ),
    _gone(
        "TKM227",
        "triton_kernels.tensor.sum_bitmatrix_rows",
        f"{SUM_ROWS}.sum_bitmatrix_rows",
        "The tensor module only happened to import it.",
        f"Import it from {SUM_ROWS} and drop the argument out_ret.",
        facade=f"{LEGACY}.sum_bitmatrix_rows",
    ),
    _gone(
        "TKM228",
        "triton_kernels.reduction.sum",
        f"{SUM_ROWS}.sum_bitmatrix_rows",
        "The function summed the columns of a bitmatrix under a name that said less.",
        f"Import sum_bitmatrix_rows from {SUM_ROWS}; it has no argument dim.",
        since="3.4.0",
        facade=f"{LEGACY}.reduction_sum",
    ),
    _gone(
        "TKM229",
        "triton_kernels.bitmatrix.Bitmatrix",
        BITMATRIX,
        "The class joined the other tensor types, and its arguments changed with it.",
        "Use triton_kernels.tensor.Bitmatrix(storage, dtype=BIT, shape=..., shape_max=...).",
        since="3.4.0",
        facade=BITMATRIX,
    ),
    _gone(
        "TKM230",
        "triton_kernels.datastruct.Tensor",
        "triton_kernels.tensor.Tensor",
        "The class was redesigned around a storage with a layout.",
        "Use triton_kernels.tensor.Tensor(storage, dtype, shape, shape_max): the handle became "
        "the storage, shape_raw the shape and shape_pad the shape_max.",
        since="3.5.0",
        facade=f"{LEGACY}.DatastructTensor",
    ),
    _gone(
        "TKM231",
        "triton_kernels.datastruct.Bitmatrix",
        BITMATRIX,
        "The class was redesigned around a storage with a layout.",
        "Use triton_kernels.tensor.Bitmatrix(storage, dtype=BIT, shape=..., shape_max=...).",
        since="3.5.0",
        facade=BITMATRIX,
    ),
    _gone(
        "TKM232",
        "triton_kernels.matmul_ogs_details.metadata.ExptData",
        RAGGED,
        "The schedule of a product became the metadata of a ragged tensor.",
        "Make the record with triton_kernels.tensor.make_ragged_tensor_metadata.",
        since="3.4.0",
    ),
    _gone(
        "TKM233",
        "triton_kernels.matmul_ogs_details.metadata.compute_metadata",
        "triton_kernels.tensor.make_ragged_tensor_metadata",
        "The schedule of a product became the metadata of a ragged tensor.",
        "Call triton_kernels.tensor.make_ragged_tensor_metadata(sizes, n_total_rows).",
        since="3.4.0",
    ),
    _gone(
        "TKM234",
        "triton_kernels.matmul_ogs.MicroscalingCtx",
        "PrecisionConfig(weight_scale=...)",
        "A scale is an ordinary tensor with a layout, so it needs no context object.",
        "Pass the scale as weight_scale= of PrecisionConfig and its layout to convert_layout.",
        "from triton_kernels.matmul_ogs import PrecisionConfig",
        since="3.5.0",
    ),
    _gone(
        "TKM235",
        "triton_kernels.matmul_ogs.SwizzlingType",
        "triton_kernels.tensor_details.layout",
        "How values and scales lie in memory is said by layout classes.",
        "Use the layout classes of triton_kernels.tensor_details.layout with convert_layout.",
        "from triton_kernels.tensor_details import layout",
        since="3.5.0",
    ),
    _gone(
        "TKM236",
        f"{_MXFP}.dequantize_mxfp8_fn",
        f"{_MXFP}.quantize_mxfp8_fn",
        "The function quantises, so it was named after what it does.",
        f"Import quantize_mxfp8_fn from {_MXFP}.",
        since="3.5.1",
        facade=f"{_MXFP}.quantize_mxfp8_fn",
        waits_for=f"{_MXFP}.quantize_mxfp8_fn",
    ),
    _gone(
        "TKM237",
        f"{_LAYOUT}.GFX950MXScaleLayout",
        f"{_LAYOUT}.CDNA4MXScaleLayout",
        "The layout was named after one chip and is now named after its architecture.",
        f"Import CDNA4MXScaleLayout from {_LAYOUT}.",
        since="3.5.1",
        facade=f"{_LAYOUT}.CDNA4MXScaleLayout",
        waits_for=f"{_LAYOUT}.CDNA4MXScaleLayout",
    ),
    *(
        _gone(
            code,
            f"{_MXFP}.{name}",
            f"{_BLACKWELL_SCALE}.{name}",
            "The constant belongs to the one layout of scales that is tiled by it.",
            f"Import it from {_BLACKWELL_SCALE}.",
            since="3.5.0",
            facade=f"{_BLACKWELL_SCALE}.{name}",
            waits_for=f"{_BLACKWELL_SCALE}.{name}",
        )
        for code, name in (
            ("TKM238", "SWIZZLE_ALIGN_INNER"),
            ("TKM239", "SWIZZLE_SIZE_INNER"),
            ("TKM240", "SWIZZLE_SIZE_OUTER"),
        )
    ),
)

_TOPK = "triton_kernels.topk"
_MATMUL = "triton_kernels.matmul_ogs"

_CALLS: tuple[Move, ...] = (
    _form(
        "TKM301",
        Form.UNPACK,
        f"{_TOPK}.topk",
        "3",
        "SparseMatrix with .vals, .indx and .mask",
        "topk returns one SparseMatrix, whose fields stand in another order than the tuple did; "
        "read by name they are the same three objects, so the rewrite is safe.",
        _code(f"from {_TOPK} import topk", "", "vals, indx, bitmatrix = topk(logits, k)"),
        _code(
            f"from {_TOPK} import topk",
            "",
            "sparse = topk(logits, k)",
            "vals, indx, bitmatrix = sparse.vals, sparse.indx, sparse.mask",
        ),
        remedy="Keep the result whole and read .vals, .indx and .mask.",
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM302",
        Form.KEYWORD,
        f"{_TOPK}.topk",
        "return_bitmatrix",
        "topk(...) without return_bitmatrix",
        "The bitmatrix is always part of the SparseMatrix that topk returns.",
        _code(f"from {_TOPK} import topk", "", "sparse = topk(logits, k, return_bitmatrix=True)"),
        _code(f"from {_TOPK} import topk", "", "sparse = topk(logits, k)"),
        remedy="Drop return_bitmatrix= and read .mask of the result where it was True.",
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM303",
        Form.KEYWORD,
        f"{OLD_MODULE}.routing",
        "simulated_ep",
        "triton_kernels.distributed, or triton_kernels.legacy.prune_routing",
        "Simulating one rank of expert parallelism served benchmarks and left the library, so "
        "only the value 1 can be dropped.",
        _code(
            f"from {OLD_MODULE} import routing",
            "",
            "routing_data, gather, scatter = routing(logits, k, simulated_ep=4)",
        ),
        _code(
            f"from {LEGACY} import routing",
            "",
            "routing_data, gather, scatter = routing(logits, k, simulated_ep=4)",
        ),
        remedy="Keep triton_kernels.legacy.routing, which still simulates, or distribute experts "
        "with triton_kernels.distributed.",
        kind=Kind.REMOVED,
    ),
    _form(
        "TKM304",
        Form.KEYWORD,
        f"{OLD_MODULE}.routing",
        "renormalize",
        "legacy_routing(sm_first=...)",
        "The flag was replaced by its opposite: sm_first=True takes the softmax over all experts "
        "before choosing, and does not normalise the chosen ones again.",
        _code(
            f"from {OLD_MODULE} import routing",
            "",
            "routing_data, gather, scatter = routing(logits, k, renormalize=False)",
        ),
        _code(
            f"from {LEGACY} import legacy_routing",
            "",
            "routing_data, gather, scatter = legacy_routing(logits, k, sm_first=True)",
        ),
        remedy="Drop renormalize=True, and write sm_first=True for renormalize=False.",
        since="3.4.0",
    ),
    _form(
        "TKM305",
        Form.POSITION,
        f"{OLD_MODULE}.routing",
        "4",
        "legacy_routing(..., n_rows=...)",
        "The fifth positional argument is simulated_ep in 3.4 and 3.5, but n_rows just before the "
        "module went, so only a person knows which is meant.",
        _code(
            f"from {OLD_MODULE} import routing",
            "",
            "routing_data, gather, scatter = routing(logits, k, sm_first, expt_indx, n_rows)",
        ),
        _code(
            f"from {LEGACY} import legacy_routing",
            "",
            "routing_data, gather, scatter = legacy_routing(",
            "    logits, k, sm_first, expt_indx, n_rows=n_rows",
            ")",
        ),
        remedy="Pass n_rows= by keyword and drop a simulated_ep of 1.",
    ),
    _form(
        "TKM306",
        Form.UNPACK,
        f"{OLD_MODULE}.sort_tokens",
        "4",
        "sort_tokens(expt_scal, expt_indx, n_expts_tot, bitmatrix), which returns seven values",
        "Until 3.4 the function took no n_expts_tot and returned no schedule.",
        _code(
            f"from {OLD_MODULE} import sort_tokens",
            "",
            "hist, combine, dispatch, gate_scal = sort_tokens(expt_scal, expt_indx, bitmatrix)",
        ),
        _code(
            "from triton_kernels.tensor import SparseMatrix",
            "",
            "sparse = SparseMatrix(indx=expt_indx, vals=expt_scal, mask=bitmatrix)",
            "hist = sparse.mask_metadata.col_sum",
            "combine = sparse.mask_metadata.combine_indx",
            "dispatch = sparse.mask_metadata.dispatch_indx",
            "gate_scal = expt_scal.flatten()[combine]",
        ),
        remedy="Build SparseMatrix(indx, vals, mask) and read its mask_metadata.",
        since="3.5.0",
    ),
    _form(
        "TKM307",
        Form.KEYWORD,
        f"{OLD_MODULE}.topk_torch",
        "has_user_provided_indx",
        "topk_torch(x, k, apply_softmax=False, y_indx=...)",
        "Columns that the caller chose are told by y_indx being there.",
        _code(
            f"from {OLD_MODULE} import topk_torch",
            "",
            "vals, indx = topk_torch(x, k, expt_indx, has_user_provided_indx=True)",
        ),
        _code(
            f"from {_TOPK} import topk_torch",
            "",
            "sparse = topk_torch(x, k, apply_softmax=False, y_indx=expt_indx)",
            "vals, indx = sparse.vals, sparse.indx",
        ),
        remedy="Pass y_indx= where the flag was True, and nothing where it was False.",
    ),
    _form(
        "TKM308",
        Form.CALL,
        f"{OLD_MODULE}.compute_expt_data",
        "None as histogram",
        "None instead of a record",
        "None as histogram made a record of nothing but None, and the new function wants sizes.",
        _code(
            f"from {OLD_MODULE} import compute_expt_data",
            "",
            "expt_data = compute_expt_data(None, n_expts_tot, n_gates)",
        ),
        "expt_data = None",
        remedy="Leave expt_data at None where there is no histogram, or keep "
        "triton_kernels.legacy.compute_expt_data.",
    ),
    _form(
        "TKM309",
        Form.CALL,
        f"{OLD_MODULE}.prune_routing",
        "without n_expts_tot",
        "prune_routing(expt_scal, expt_indx, bitmatrix, n_expts_tot, simulated_ep)",
        "From 3.5 on the number of experts came before simulated_ep.",
        _code(
            f"from {OLD_MODULE} import prune_routing",
            "",
            "vals, indx, mask = prune_routing(expt_scal, expt_indx, bitmatrix, simulated_ep)",
        ),
        _code(
            f"from {LEGACY} import prune_routing",
            "",
            "vals, indx, mask = prune_routing(",
            "    expt_scal, expt_indx, bitmatrix, n_expts_tot, simulated_ep",
            ")",
        ),
        remedy="Pass n_expts_tot before simulated_ep.",
        since="3.5.0",
    ),
    _form(
        "TKM310",
        Form.POSITION,
        f"{_TOPK}.topk",
        "4",
        "topk(x, k, apply_softmax, dim, y_indx=..., n_rows=...)",
        "The fifth positional argument was return_bitmatrix and is y_indx now.",
        _code(
            f"from {_TOPK} import topk",
            "",
            "sparse = topk(logits, k, True, 1, True, expt_indx, n_rows)",
        ),
        _code(
            f"from {_TOPK} import topk",
            "",
            "sparse = topk(logits, k, True, 1, y_indx=expt_indx, n_rows=n_rows)",
        ),
        remedy="Drop return_bitmatrix and pass y_indx= and n_rows= by keyword.",
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM311",
        Form.KEYWORD,
        f"{_TOPK}.topk_forward",
        "return_bitmatrix",
        "topk_forward(...) without return_bitmatrix",
        "The bitmatrix is always the third result.",
        _code(
            f"from {_TOPK} import topk_forward",
            "",
            "vals, indx, bitmatrix = topk_forward(logits, k, return_bitmatrix=True)",
        ),
        _code(
            f"from {_TOPK} import topk_forward",
            "",
            "vals, indx, bitmatrix = topk_forward(logits, k)",
        ),
        remedy="Drop return_bitmatrix=.",
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM312",
        Form.POSITION,
        f"{_TOPK}.topk_forward",
        "4",
        "topk_forward(x, k, apply_softmax, dim, y_indx=..., n_rows=...)",
        "The fifth positional argument was return_bitmatrix and is y_indx now.",
        _code(
            f"from {_TOPK} import topk_forward",
            "",
            "vals, indx, bitmatrix = topk_forward(logits, k, True, 1, True, expt_indx)",
        ),
        _code(
            f"from {_TOPK} import topk_forward",
            "",
            "vals, indx, bitmatrix = topk_forward(logits, k, True, 1, y_indx=expt_indx)",
        ),
        remedy="Drop return_bitmatrix and pass y_indx= and n_rows= by keyword.",
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM313",
        Form.POSITION,
        f"{_TOPK}.TopK.apply",
        "6",
        "triton_kernels.topk.topk",
        "The autograd function lost return_bitmatrix, its fifth argument, and is called by topk "
        "alone.",
        _code(
            f"from {_TOPK} import TopK",
            "",
            "vals, indx, bitmatrix = TopK.apply(x, k, True, 1, True, None, None)",
        ),
        _code(
            f"from {_TOPK} import topk",
            "",
            "sparse = topk(x, k)",
            "vals, indx, bitmatrix = sparse.vals, sparse.indx, sparse.mask",
        ),
        remedy="Call triton_kernels.topk.topk, which is differentiable.",
    ),
    _form(
        "TKM314",
        Form.CALL,
        "triton_kernels.topk_details._topk_forward._topk_forward",
        "launched with S, BLOCK_S and s_blocks",
        "triton_kernels.topk.topk",
        "The private kernel no longer clears a scratchpad on the side.",
        _code(
            "from triton_kernels.topk_details._topk_forward import _topk_forward",
            "",
            "_topk_forward[grid](*pointers, S=scratch, BLOCK_S=512, s_blocks=4)",
        ),
        _code(f"from {_TOPK} import topk", "", "sparse = topk(x, k)"),
        remedy="Call triton_kernels.topk.topk; its kernels are private.",
    ),
    _form(
        "TKM315",
        Form.UNPACK,
        f"{_TOPK}.topk_torch",
        "2",
        "SparseMatrix with .vals and .indx",
        "topk_torch returns one SparseMatrix, as topk does, and softmaxes unless told not to.",
        _code(f"from {_TOPK} import topk_torch", "", "vals, indx = topk_torch(x, k, None)"),
        _code(
            f"from {_TOPK} import topk_torch",
            "",
            "sparse = topk_torch(x, k, apply_softmax=False)",
            "vals, indx = sparse.vals, sparse.indx",
        ),
        remedy="Keep the result whole, read .vals and .indx, and pass apply_softmax=False; its "
        "rows come sorted by column, where the old ones came by value.",
    ),
    _form(
        "TKM316",
        Form.POSITION,
        f"{_TOPK}.topk_torch",
        "2",
        "topk_torch(x, k, apply_softmax=False, y_indx=...)",
        "The third positional argument was the chosen columns and is apply_softmax now, so an old "
        "call may run and mean something else.",
        _code(f"from {_TOPK} import topk_torch", "", "chosen = topk_torch(x, k, expt_indx)"),
        _code(
            f"from {_TOPK} import topk_torch",
            "",
            "chosen = topk_torch(x, k, apply_softmax=False, y_indx=expt_indx)",
        ),
        remedy="Pass y_indx= and apply_softmax= by keyword.",
    ),
    _form(
        "TKM317",
        Form.KEYWORD,
        f"{_SUM_KERNELS}.sum_bitmatrix_rows",
        "out_ret",
        f"{SUM_ROWS}.sum_bitmatrix_rows",
        "The function allocates and clears its own output.",
        _code(
            f"from {_SUM_KERNELS} import sum_bitmatrix_rows",
            "",
            "sums, partials = sum_bitmatrix_rows(bitmatrix, out_ret=out, partials_block_size=32)",
        ),
        _code(
            f"from {SUM_ROWS} import sum_bitmatrix_rows",
            "",
            "sums, partials = sum_bitmatrix_rows(bitmatrix, partials_block_size=32)",
        ),
        remedy="Drop out_ret and use the returned tensor.",
    ),
    _form(
        "TKM318",
        Form.KEYWORD,
        f"{OLD_MODULE}.routing_torch",
        "renormalize",
        "legacy_routing(sm_first=...)",
        "The flag was replaced by its opposite, as in routing.",
        _code(
            f"from {OLD_MODULE} import routing_torch",
            "",
            "routing_data, gather, scatter = routing_torch(logits, k, renormalize=False)",
        ),
        _code(
            f"from {LEGACY} import legacy_routing",
            "",
            "routing_data, gather, scatter = legacy_routing(logits.cpu(), k, sm_first=True)",
        ),
        remedy="Drop renormalize=True, and write sm_first=True for renormalize=False.",
        since="3.4.0",
    ),
    _form(
        "TKM320",
        Form.POSITION,
        f"{_MATMUL}.FusedActivation",
        "2",
        "FnSpecs(..., reduction_n=...)",
        "How many columns the function joins into one is a property of the function, so it went "
        "to FnSpecs; here both places work.",
        _code(
            f"from {_MATMUL} import FnSpecs, FusedActivation",
            "",
            'specs = FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"))',
            "activation = FusedActivation(specs, (1.702, 7.0), 2)",
        ),
        _code(
            f"from {_MATMUL} import FnSpecs, FusedActivation",
            "",
            'specs = FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), reduction_n=2)',
            "activation = FusedActivation(specs, (1.702, 7.0))",
        ),
        remedy="Pass reduction_n= to FnSpecs and drop the third argument.",
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM321",
        Form.KEYWORD,
        f"{_MATMUL}.FusedActivation",
        "reduction_n",
        "FnSpecs(..., reduction_n=...)",
        "How many columns the function joins into one is a property of the function, so it went "
        "to FnSpecs; here both places work.",
        _code(
            f"from {_MATMUL} import FnSpecs, FusedActivation",
            "",
            'specs = FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"))',
            "activation = FusedActivation(specs, (1.702, 7.0), reduction_n=2)",
        ),
        _code(
            f"from {_MATMUL} import FnSpecs, FusedActivation",
            "",
            'specs = FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), reduction_n=2)',
            "activation = FusedActivation(specs, (1.702, 7.0))",
        ),
        remedy="Pass reduction_n= to FnSpecs instead.",
        codemod=Codemod.REWRITES,
    ),
    _form(
        "TKM322",
        Form.POSITION,
        f"{_MATMUL}.matmul_ogs",
        "11",
        "matmul_ogs(..., fused_activation=..., epilogue=...)",
        "`fused_comm` was put before `fused_activation`, so what stood in twelfth place means "
        "something else.",
        _code(
            f"from {_MATMUL} import matmul_ogs",
            "",
            "y = matmul_ogs(",
            "    x, w, b, rdata, gather, scatter, pc, None, None, None, None, activation",
            ")",
        ),
        _code(
            f"from {_MATMUL} import matmul_ogs",
            "",
            "y = matmul_ogs(x, w, b, rdata, gather, scatter, pc, fused_activation=activation)",
        ),
        remedy="Pass everything after `y` by keyword.",
    ),
    _form(
        "TKM324",
        Form.KEYWORD,
        f"{_MATMUL}.PrecisionConfig",
        "mx_ctx",
        "PrecisionConfig(weight_scale=...)",
        "A scale is an ordinary tensor with a layout, so it needs no context object.",
        _code(
            f"from {_MATMUL} import PrecisionConfig",
            "",
            "precision = PrecisionConfig(mx_ctx=MicroscalingCtx(weight_scale=w_scale))",
        ),
        _code(
            f"from {_MATMUL} import PrecisionConfig",
            "",
            "precision = PrecisionConfig(weight_scale=w_scale)",
        ),
        remedy="Pass the scale as weight_scale=, laid out by convert_layout.",
        since="3.5.0",
    ),
    _form(
        "TKM325",
        Form.KEYWORD,
        f"{_MATMUL}.PrecisionConfig",
        "weight_scale",
        "weight_scale= here, b_mx_scale= on upstream 3.7 and later",
        "It is right here and on upstream 3.5 and 3.6; upstream 3.7 renamed it together with "
        "`matmul_ogs`.",
        _code(
            f"from {_MATMUL} import PrecisionConfig",
            "",
            "precision = PrecisionConfig(weight_scale=w_scale)",
        ),
        _code(
            f"from {_MATMUL} import PrecisionConfig",
            "",
            "precision = PrecisionConfig(weight_scale=w_scale)",
        ),
        remedy="Leave it while the code runs on this library.",
        kind=Kind.RENAMED,
        since="3.7.0",
        codemod=Codemod.EXPLAINS,
    ),
    _form(
        "TKM326",
        Form.KEYWORD,
        f"{_MATMUL}.PrecisionConfig",
        "b_mx_scale",
        "PrecisionConfig(weight_scale=...)",
        "The name belongs to upstream 3.7 and later, whose product is called `matmul`, and never "
        "went with `matmul_ogs`.",
        _code(
            f"from {_MATMUL} import PrecisionConfig",
            "",
            "precision = PrecisionConfig(b_mx_scale=w_scale)",
        ),
        _code(
            f"from {_MATMUL} import PrecisionConfig",
            "",
            "precision = PrecisionConfig(weight_scale=w_scale)",
        ),
        remedy="Write weight_scale= where the product is matmul_ogs.",
        kind=Kind.RENAMED,
        since="",
    ),
    _form(
        "TKM327",
        Form.KEYWORD,
        f"{_MATMUL}.PrecisionConfig",
        "b_microblock_size",
        "PrecisionConfig(...) without b_microblock_size",
        "The name belongs to upstream 3.8 and later; with `matmul_ogs` a scale always covers 32 "
        "values.",
        _code(
            f"from {_MATMUL} import PrecisionConfig",
            "",
            "precision = PrecisionConfig(b_mx_scale=w_scale, b_microblock_size=32)",
        ),
        _code(
            f"from {_MATMUL} import PrecisionConfig",
            "",
            "precision = PrecisionConfig(weight_scale=w_scale)",
        ),
        remedy="Drop b_microblock_size= where the product is matmul_ogs.",
        kind=Kind.REMOVED,
        since="",
    ),
    _form(
        "TKM328",
        Form.CALL,
        "triton_kernels.matmul_ogs_details.opt_flags.update_opt_flags_constraints",
        "a split_k above 1 together with a fused scatter",
        "split_k left to the heuristics",
        "Upstream 3.6 scatters inside the product and forbids to split the sum over K there.",
        _code(
            "from triton_kernels.matmul_ogs_details import opt_flags",
            "",
            'opt_flags.update_opt_flags_constraints({"split_k": 4})',
        ),
        _code(
            "from triton_kernels.matmul_ogs_details import opt_flags",
            "",
            "opt_flags.update_opt_flags_constraints({})",
        ),
        remedy="Leave split_k alone, or at 1, where the product scatters.",
        codemod=Codemod.EXPLAINS,
    ),
    _form(
        "TKM329",
        Form.KEYWORD,
        f"{_MXFP}.upcast_from_mxfp",
        "dtype",
        "upcast_from_mxfp(..., target_dtype=...)",
        "The argument says what the values become, which the new name tells apart from what they "
        "are.",
        _code(
            f"from {_MXFP} import upcast_from_mxfp",
            "",
            "w = upcast_from_mxfp(quantised, scale, dtype=dtype, axis=1)",
        ),
        _code(
            f"from {_MXFP} import upcast_from_mxfp",
            "",
            "w = upcast_from_mxfp(quantised, scale, target_dtype=dtype, axis=1)",
        ),
        remedy="Write target_dtype= for dtype=.",
        kind=Kind.RENAMED,
        since="3.5.1",
        waits_for=f"{_MXFP}.upcast_from_mxfp",
    ),
    *(
        _form(
            code,
            Form.KEYWORD,
            f"{_MXFP}.downcast_to_mxfp",
            keyword,
            "downcast_to_mxfp(...) and then convert_layout(...)",
            "Quantising and the order in memory are two steps now, and the second works on any "
            "tensor.",
            _code(
                f"from {_MXFP} import downcast_to_mxfp",
                "",
                f"quantised, scale, shape = downcast_to_mxfp(w, w_dtype, axis=1, {keyword}=given)",
            ),
            _code(
                f"from {_MXFP} import downcast_to_mxfp",
                "from triton_kernels.tensor import convert_layout, wrap_torch_tensor",
                "",
                "quantised, scale = downcast_to_mxfp(w, w_dtype, axis=1)",
                f"{stored} = convert_layout(wrap_torch_tensor({stored}), layout)",
            ),
            remedy=f"Drop {keyword}= and lay the result out with convert_layout.",
            since="3.5.0",
            waits_for=f"{_MXFP}.downcast_to_mxfp",
        )
        for code, keyword, stored in (
            ("TKM330", "swizzle_axis", "quantised"),
            ("TKM331", "swizzle_value", "quantised"),
            ("TKM332", "swizzle_scale", "scale"),
        )
    ),
    *(
        _form(
            code,
            Form.KEYWORD,
            f"{_MATMUL}.PrecisionConfig",
            later,
            f"PrecisionConfig({ours}=...)",
            "The name belongs to upstream 3.7 and later, whose product is called `matmul`, and "
            "never went with `matmul_ogs`.",
            _code(
                f"from {_MATMUL} import PrecisionConfig",
                "",
                f"precision = PrecisionConfig({later}=scale)",
            ),
            _code(
                f"from {_MATMUL} import PrecisionConfig",
                "",
                f"precision = PrecisionConfig({ours}=scale)",
            ),
            remedy=f"Write {ours}= where the product is matmul_ogs.",
            kind=Kind.RENAMED,
            since="",
        )
        for code, later, ours in (
            ("TKM333", "a_mx_scale", "act_scale"),
            ("TKM334", "c_mx_scale", "out_scale"),
        )
    ),
)

_ORDER_WHY = (
    "Upstream swapped the meaning of row_sorted_indx and col_sorted_indx once, both are int32 "
    "vectors of one length, and code for one meaning silently computes garbage with the other."
)

_ATTRIBUTES: tuple[Move, ...] = (
    _form(
        "TKM401",
        Form.ATTRIBUTE,
        "triton_kernels.tensor_details.bitmatrix.BitmatrixMetadata",
        "row_sorted_indx",
        "BitmatrixMetadata.combine_indx or BitmatrixMetadata.dispatch_indx",
        _ORDER_WHY,
        _CHOSEN + "dispatch_indx = sparse_logits.mask_metadata.row_sorted_indx",
        _CHOSEN + "dispatch_indx = sparse_logits.mask_metadata.dispatch_indx",
        remedy="Read dispatch_indx if the code is written for release 3.6 or later (--from 3.6 "
        "rewrites it so), combine_indx if it follows the recipe of pull request 8375 (--from "
        "pr8375); here row_sorted_indx still is the latter.",
        kind=Kind.RENAMED,
    ),
    _form(
        "TKM402",
        Form.ATTRIBUTE,
        "triton_kernels.tensor_details.bitmatrix.BitmatrixMetadata",
        "col_sorted_indx",
        "BitmatrixMetadata.dispatch_indx or BitmatrixMetadata.combine_indx",
        _ORDER_WHY,
        _CHOSEN + "combine_indx = sparse_logits.mask_metadata.col_sorted_indx",
        _CHOSEN + "combine_indx = sparse_logits.mask_metadata.combine_indx",
        remedy="Read combine_indx if the code is written for release 3.6 or later (--from 3.6 "
        "rewrites it so), dispatch_indx if it follows the recipe of pull request 8375 (--from "
        "pr8375); here col_sorted_indx still is the latter.",
        kind=Kind.RENAMED,
    ),
    _form(
        "TKM403",
        Form.ATTRIBUTE,
        f"{_MATMUL}.FnName",
        "DEQUANTIZE_MXFP8",
        "FnName.QUANTIZE_MXFP8",
        "The function quantises, so it was named after what it does.",
        _code(f"from {_MATMUL} import FnName", "", "name = FnName.DEQUANTIZE_MXFP8"),
        _code(f"from {_MATMUL} import FnName", "", "name = FnName.QUANTIZE_MXFP8"),
        kind=Kind.RENAMED,
        since="3.5.1",
        codemod=Codemod.REWRITES,
    ),
)

MOVES: tuple[Move, ...] = tuple(
    sorted(
        (*_NAMES, *_MODULES, *_RECORDS, *_OLDER, *_CALLS, *_ATTRIBUTES),
        key=lambda move: move.code,
    )
)
"""All rows, in the order of their codes."""

BY_CODE: dict[str, Move] = {move.code: move for move in MOVES}

BY_OLD_NAME: dict[str, Move] = {move.old: move for move in MOVES if move.form is Form.NAME}
"""The rows of names, by dotted old path."""

BY_OLD_MODULE: dict[str, Move] = {move.old: move for move in MOVES if move.form is Form.MODULE}
"""The rows of modules, by dotted path."""


def served_names(module: str) -> tuple[str, ...]:
    """The names of an old module that its facade serves."""
    split = ((path.rpartition("."), move) for path, move in BY_OLD_NAME.items())
    return tuple(sorted(name for (of, _, name), move in split if of == module and move.served))


def rows_about(old: str) -> tuple[Move, ...]:
    """All rows whose `old` is this dotted path, whatever their form."""
    return tuple(move for move in MOVES if move.old == old)
