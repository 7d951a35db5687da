"""Calls of the library whose form changed: what is rewritten, and what is left."""

from __future__ import annotations

import pytest
from rewriting import check_noop, check_transformed, codes

from codemods.findings import Bucket

ACTIVATION = "from triton_kernels.matmul_ogs import FnSpecs, FusedActivation\n"

REDUCTION_N = {
    "inline": (
        'a = FusedActivation(FnSpecs("swiglu", f, ("alpha",)), (1.7, None), 2)',
        'a = FusedActivation(FnSpecs("swiglu", f, ("alpha",), reduction_n=2), (1.7, None))',
    ),
    "inline, by keyword": (
        'a = FusedActivation(FnSpecs("swiglu", f), reduction_n=n, fn_args=(1,))',
        'a = FusedActivation(FnSpecs("swiglu", f, reduction_n=n), fn_args=(1,))',
    ),
    "one argument a line, with comments": (
        "a = FusedActivation(\n"
        "    FnSpecs(\n"
        '        "swiglu",\n'
        "        f,  # the function\n"
        '        ("alpha", "limit"),  # its names\n'
        "    ),\n"
        "    (alpha, limit),\n"
        "    2,\n"
        ")",
        "a = FusedActivation(\n"
        "    FnSpecs(\n"
        '        "swiglu",\n'
        "        f,  # the function\n"
        '        ("alpha", "limit"),  # its names\n'
        "        reduction_n=2,\n"
        "    ),\n"
        "    (alpha, limit),\n"
        ")",
    ),
    "one argument a line, no comma at the end": (
        'a = FusedActivation(\n    FnSpecs(\n        "swiglu",\n        f  # last\n    ),\n'
        "    args, 2)",
        'a = FusedActivation(\n    FnSpecs(\n        "swiglu",\n        f,  # last\n'
        "        reduction_n=2\n    ),\n    args)",
    ),
    "assigned once and read once": (
        's = FnSpecs("swiglu", f, ("alpha",))\na = FusedActivation(s, args, 2)',
        's = FnSpecs("swiglu", f, ("alpha",), reduction_n=2)\na = FusedActivation(s, args)',
    ),
    "in a function": (
        'def g():\n    s = FnSpecs("x", f,)\n    return FusedActivation(s, (), reduction_n=2)',
        'def g():\n    s = FnSpecs("x", f, reduction_n=2,)\n    return FusedActivation(s, ())',
    ),
}


@pytest.mark.parametrize(("before", "after"), REDUCTION_N.values(), ids=REDUCTION_N.keys())
def test_reduction_n_goes_to_the_specs(before: str, after: str) -> None:
    check_transformed(f"{ACTIVATION}{before}\n", f"{ACTIVATION}{after}\n")


REDUCTION_N_STAYS = {
    "specs from elsewhere": "a = FusedActivation(specs, args, 2)",
    "specs of a parameter": "def g(specs):\n    return FusedActivation(specs, args, 2)",
    "specs that are used twice": 's = FnSpecs("x", f)\na = FusedActivation(s, x, 2)\nb = s',
    "specs that are assigned twice": (
        's = FnSpecs("x", f)\ns = FnSpecs("y", f)\na = FusedActivation(s, x, 2)'
    ),
    "specs of an outer scope": 's = FnSpecs("x", f)\ndef g(): return FusedActivation(s, x, 2)',
    "specs that are handed on": (
        '__all__ = ["s"]\ns = FnSpecs("x", f)\na = FusedActivation(s, x, 2)'
    ),
    "specs of several targets": 's = t = FnSpecs("x", f)\na = FusedActivation(s, x, 2)',
    "a number that is computed later": (
        's = FnSpecs("x", f)\nn = 2\na = FusedActivation(s, args, n)'
    ),
    "a call as number": 'a = FusedActivation(FnSpecs("x", f), args, count())',
    "specs with one already": 'a = FusedActivation(FnSpecs("x", f, reduction_n=2), args, 2)',
    "specs with all positions": 'a = FusedActivation(FnSpecs("x", f, (), (), 2), args, 2)',
    "starred specs": "a = FusedActivation(FnSpecs(*spec), args, 2)",
    "starred arguments": "a = FusedActivation(*args, reduction_n=2)",
    "specs of another package": (
        'from other import FnSpecs as F\na = FusedActivation(F("x", f), args, 2)'
    ),
    "too many arguments": 'a = FusedActivation(FnSpecs("x", f), args, 2, 3, reduction_n=4)',
}


@pytest.mark.parametrize("text", REDUCTION_N_STAYS.values(), ids=REDUCTION_N_STAYS.keys())
def test_reduction_n_stays(text: str) -> None:
    findings = check_noop(f"{ACTIVATION}{text}\n")
    assert {found.code for found in findings} <= {"TKM320", "TKM321"}
    assert findings == [] or codes(findings, Bucket.FOR_A_PERSON)
    assert findings or "specs with one already" in text


NEW_ACTIVATION = [
    'a = FusedActivation(FnSpecs("swiglu", f, ("alpha",), reduction_n=2), (1.7, None))',
    "a = FusedActivation(specs, (1, 2))",
    "a = FusedActivation()",
    "def FusedActivation(*a): ...\na = FusedActivation(specs, args, 2)",
]


@pytest.mark.parametrize("text", NEW_ACTIVATION)
def test_the_new_form_of_an_activation_is_left_without_a_word(text: str) -> None:
    assert check_noop(f"{ACTIVATION}{text}\n") == []


BITMATRIX = {
    "scratchpad of None": (
        "from triton_kernels.tensor import Bitmatrix\n"
        "b = Bitmatrix(x, shape=[m, n], shape_max=[mm, None], scratchpad=None)\n",
        "from triton_kernels.tensor import BIT, Bitmatrix\n"
        "b = Bitmatrix(x, dtype=BIT, shape=[m, n], shape_max=[mm, None])\n",
    ),
    "all by position": (
        "from triton_kernels.tensor import Bitmatrix\nb = Bitmatrix(x, [m, n], [mm, None], s)\n",
        "from triton_kernels.tensor import BIT, Bitmatrix\n"
        "b = Bitmatrix(x, dtype=BIT, shape=[m, n], shape_max=[mm, None])\n",
    ),
    "one argument a line": (
        "from triton_kernels.tensor import Bitmatrix, SparseMatrix\n"
        "b = Bitmatrix(\n    x,  # words\n    shape=[m, n],\n    scratchpad=s,  # gone\n)\n",
        "from triton_kernels.tensor import BIT, Bitmatrix, SparseMatrix\n"
        "b = Bitmatrix(\n    x,  # words\n    dtype=BIT,\n    shape=[m, n],\n    # gone\n)\n",
    ),
    "BIT is imported already": (
        "from triton_kernels.tensor import BIT as B, Bitmatrix\n"
        "b = Bitmatrix(x, shape=[m, n], scratchpad=None)\n",
        "from triton_kernels.tensor import BIT as B, Bitmatrix\n"
        "b = Bitmatrix(x, dtype=B, shape=[m, n])\n",
    ),
    "a dtype is there already": (
        "from triton_kernels.tensor import BIT, Bitmatrix\n"
        "b = Bitmatrix(x, dtype=BIT, shape=[m, n], scratchpad=None)\n",
        "from triton_kernels.tensor import BIT, Bitmatrix\n"
        "b = Bitmatrix(x, dtype=BIT, shape=[m, n])\n",
    ),
    "through the module": (
        "import triton_kernels.tensor as tkt\nb = tkt.Bitmatrix(x, [m, n], scratchpad=s)\n",
        "import triton_kernels.tensor as tkt\nb = tkt.Bitmatrix(x, dtype=tkt.BIT, shape=[m, n])\n",
    ),
    "in a function, with the import": (
        "def f(x):\n    from triton_kernels.tensor import Bitmatrix\n"
        "    return Bitmatrix(x, shape=[m, n], scratchpad=None)\n",
        "def f(x):\n    from triton_kernels.tensor import BIT, Bitmatrix\n"
        "    return Bitmatrix(x, dtype=BIT, shape=[m, n])\n",
    ),
    "the import is of the old module, too": (
        "from triton_kernels.routing import RoutingData\n"
        "from triton_kernels.tensor import Bitmatrix\n"
        "b = Bitmatrix(x, shape=[m, n])\n",
        "from triton_kernels.matmul_ogs import RoutingData\n"
        "from triton_kernels.tensor import BIT, Bitmatrix\n"
        "b = Bitmatrix(x, dtype=BIT, shape=[m, n])\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), BITMATRIX.values(), ids=BITMATRIX.keys())
def test_bitmatrix(before: str, after: str) -> None:
    findings = check_transformed(before, after)
    assert not codes(findings, Bucket.FOR_A_PERSON)


def test_a_statement_that_gets_bit_takes_other_names_too() -> None:
    check_transformed(
        "from triton_kernels.routing import compute_expt_data\n"
        "from triton_kernels.tensor import Bitmatrix, SparseMatrix\n"
        "compute_expt_data(h, e, n), Bitmatrix(x, shape=[m, n], scratchpad=None)\n",
        "from triton_kernels.tensor import (\n"
        "    BIT,\n    Bitmatrix,\n    SparseMatrix,\n    make_ragged_tensor_metadata,\n)\n"
        "make_ragged_tensor_metadata(h, n), Bitmatrix(x, dtype=BIT, shape=[m, n])\n",
    )


BITMATRIX_STAYS = {
    "a scratchpad whose making may matter": (
        "from triton_kernels.tensor import Bitmatrix\nBitmatrix(x, shape=s, scratchpad=make())\n"
    ),
    "BIT means something else": (
        "from triton_kernels.tensor import Bitmatrix\nBIT = 1\n"
        "Bitmatrix(x, shape=s, scratchpad=None)\n"
    ),
    "starred": ("from triton_kernels.tensor import Bitmatrix\nBitmatrix(*x, scratchpad=None)\n"),
    "a star import": (
        "from triton_kernels.tensor import *\nBitmatrix(x, shape=s, scratchpad=None)\n"
    ),
    "an import for another release": (
        "if triton_kernels_version < '3.6':\n    from triton_kernels.tensor import Bitmatrix\n"
        "Bitmatrix(x, shape=s, scratchpad=None)\n"
    ),
    "dtype and shape by position": (
        "from triton_kernels.tensor import Bitmatrix\nBitmatrix(x, s, dtype=B, scratchpad=None)\n"
    ),
}


@pytest.mark.parametrize("text", BITMATRIX_STAYS.values(), ids=BITMATRIX_STAYS.keys())
def test_bitmatrix_stays(text: str) -> None:
    assert codes(check_noop(text), Bucket.FOR_A_PERSON)


@pytest.mark.parametrize(
    "call",
    [
        "Bitmatrix(x, dtype=BIT, shape=s)",
        "Bitmatrix(x, BIT, s, m)",
        "Bitmatrix(x, dtype, shape=s)",
        "Bitmatrix(x, **kwargs)",
        "wrap(Bitmatrix)",
    ],
)
def test_the_new_form_of_a_bitmatrix_is_left_without_a_word(call: str) -> None:
    assert check_noop(f"from triton_kernels.tensor import BIT, Bitmatrix\n{call}\n") == []


TOPK = "from triton_kernels.topk import topk\n"
TOPK_CALLS = {
    "unpacked": (
        "vals, indx, mask = topk(logits, k)  # best\n",
        "sparse = topk(logits, k)  # best\n"
        "vals, indx, mask = sparse.vals, sparse.indx, sparse.mask\n",
    ),
    "unpacked to other targets": (
        "def f(self):\n\tself.v, indx[0], _ = topk(\n\t\tx, k\n\t)\n\treturn indx\n",
        "def f(self):\n\tsparse = topk(\n\t\tx, k\n\t)\n"
        "\tself.v, indx[0], _ = sparse.vals, sparse.indx, sparse.mask\n\treturn indx\n",
    ),
    "unpacked on one line with others": (
        "if x: (a, b, c) = topk(x, k); print(a)\n",
        "if x: sparse = topk(x, k); (a, b, c) = sparse.vals, sparse.indx, sparse.mask; print(a)\n",
    ),
    "unpacked at the end of the file": (
        "a, b, c = (topk(x, k))",
        "sparse = (topk(x, k))\na, b, c = sparse.vals, sparse.indx, sparse.mask",
    ),
    "unpacked where the name is taken": (
        "sparse = 1\na, b, c = topk(x, k)\nd, e, f = topk(x, k)\n",
        "sparse = 1\nsparse_2 = topk(x, k)\na, b, c = sparse_2.vals, sparse_2.indx, sparse_2.mask\n"
        "sparse_3 = topk(x, k)\nd, e, f = sparse_3.vals, sparse_3.indx, sparse_3.mask\n",
    ),
    "return_bitmatrix goes": (
        "s = topk(x, k, return_bitmatrix=True, n_rows=n)\n",
        "s = topk(x, k, n_rows=n)\n",
    ),
    "return_bitmatrix goes by position, what is behind it gets its name": (
        "s = topk(x, k, True, 1, True, y_indx, n)\n",
        "s = topk(x, k, True, 1, y_indx=y_indx, n_rows=n)\n",
    ),
    "both": (
        "a, b, c = topk(x, k, True, 1, True)\n",
        "sparse = topk(x, k, True, 1)\na, b, c = sparse.vals, sparse.indx, sparse.mask\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), TOPK_CALLS.values(), ids=TOPK_CALLS.keys())
def test_topk(before: str, after: str) -> None:
    findings = check_transformed(TOPK + before, TOPK + after)
    assert not codes(findings, Bucket.FOR_A_PERSON)


TOPK_STAYS = {
    "several targets": "x = a, b, c = topk(y, k)\n",
    "in a class": "class C:\n    a, b, c = topk(y, k)\n",
    "targets over lines": "(a,\n b, c) = topk(y, k)\n",
    "no bitmatrix wanted": "a, b, c = topk(y, k, return_bitmatrix=False)\n",
    "a bitmatrix on demand": "s = topk(y, k, return_bitmatrix=flag)\n",
    "a fifth argument that may be either": "s = topk(y, k, True, 1, z)\n",
}


@pytest.mark.parametrize("text", TOPK_STAYS.values(), ids=TOPK_STAYS.keys())
def test_topk_stays(text: str) -> None:
    assert codes(check_noop(TOPK + text), Bucket.FOR_A_PERSON)


@pytest.mark.parametrize(
    "text",
    [
        "s = topk(x, k, apply_softmax=False, n_rows=n)\n",
        "a, b = topk(x, k)\n",
        "a, *b = topk(x, k)\n",
        "for a, b, c in topk(x, k): pass\n",
        "def topk(*a): ...\na, b, c = topk(x, k)\n",
        "a, b, c = self.topk(x, k)\n",
    ],
)
def test_other_calls_of_topk_are_left_without_a_word(text: str) -> None:
    assert check_noop(TOPK + text) == []


def test_a_constant_of_an_enumeration_gets_its_new_name() -> None:
    check_transformed(
        "from triton_kernels.matmul_ogs import FnName as N\nx = N.DEQUANTIZE_MXFP8.name\n",
        "from triton_kernels.matmul_ogs import FnName as N\nx = N.QUANTIZE_MXFP8.name\n",
    )
