"""What a migration holds on any file: programs put together at random from what people write."""

from __future__ import annotations

import ast
import re
import textwrap

from hypothesis import given, settings
from hypothesis import strategies as st
from rewriting import ALL

from codemods.findings import Bucket
from codemods.source import SourceOptions, migrate_source

MOVED = ["RoutingData", "GatherIndx", "ScatterIndx", "routing", "routing_from_bitmatrix"]
STAYING = ["ExptData", "sort_tokens", "topk_torch", "_combined_routing_compute"]

aliased = st.tuples(
    st.sampled_from(MOVED + STAYING + ["compute_expt_data"]),
    st.sampled_from(["", "", "", " as other", "  as  another"]),
).map("".join)


@st.composite
def from_imports(draw: st.DrawFn) -> tuple[str, int]:
    """A `from` import of the old module in some layout, and how many names it mentions."""
    names = draw(st.lists(aliased, min_size=1, max_size=4, unique_by=lambda text: text.split()[0]))
    comment = draw(st.sampled_from(["", "  # noqa: F401", " # why"]))
    style = draw(st.sampled_from(["flat", "one a line", "packed", "backslash"]))
    head = "from triton_kernels.routing import "
    if style == "flat":
        text = head + ", ".join(names) + comment
    elif style == "backslash":
        text = head + ", \\\n    ".join(names)
    elif style == "packed":
        text = head + "(" + ",\n        ".join(names) + ")" + comment
    else:
        lines = []
        for name in names:
            if draw(st.booleans()):
                lines.append("    # above " + name.split()[0])
            behind = draw(st.sampled_from(["", "  # behind " + name.split()[0]]))
            lines.append(f"    {name},{behind}")
        text = head + "(" + comment + "\n" + "\n".join(lines) + "\n)"
    return text, len(names)


CHAINS = [
    ("import triton_kernels.routing\ndata = triton_kernels.routing.RoutingData", 2),
    (
        "import triton_kernels.routing as r\nout = r.routing(x, 2, simulated_ep=1); d = r.ExptData",
        3,
    ),
    ("from triton_kernels import routing as rr\ng = rr.GatherIndx", 2),
    ("# triton_kernels.routing is old", 1),
    ("name = 'triton_kernels.routing.routing'", 1),
    ("'''Uses triton_kernels.routing and triton_kernels.routing_details.'''", 2),
    ("from .triton_kernels.routing import routing as mine", 0),
    ("from vllm.third_party.triton_kernels.routing import RoutingData as theirs", 0),
    ("import triton_kernels.matmul_ogs", 0),
    ("from triton_kernels.matmul_ogs import matmul_ogs", 0),
    ("d: 'tuple[triton_kernels.routing.RoutingData, int]'", 1),
    ("import triton_kernels.routing as q\nk: 'q.RoutingData | None' = getattr(q, 'is_hip')", 3),
    ("m = import_module('triton_kernels.routing').RoutingData", 2),
    ("with patch('triton_kernels.routing.routing'): pass", 1),
    ("import triton_kernels.routing as p\np.sort_tokens = p.is_hip", 3),
    ("from triton_kernels.topk import topk as tk\nvals, indx, mask = tk(x, 4)", 1),
    ("from triton_kernels.tensor import Bitmatrix as B\nb = B(w, [1, 2], scratchpad=None)", 1),
    ("hub = get_kernel('kernels-community/triton_kernels')\nhub.routing.RoutingData", 0),
    ("# from triton_kernels.matmul_ogs import x  # triton-kernels: ignore", 0),
    ("if triton_kernels_version < '3.6':\n    from triton_kernels.routing import is_hip", 1),
]

WRAPPERS = [
    "{}",
    "def f{n}(x):\n{i}\n    return x",
    "try:\n{i}\nexcept ImportError:\n    pass",
    "if TYPE_CHECKING:\n{i}",
    "class C{n}:\n{i}",
    "with open('x') as h{n}:\n    if h{n}:\n{ii}",
]


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, int]:
    """A program whose lines `mark = n` stand between its parts, and its number of mentions."""
    parts, mentions = [], 0
    count = draw(st.integers(1, 5))
    for number in range(count):
        text, found = draw(st.one_of(from_imports(), st.sampled_from(CHAINS)))
        wrapper = draw(st.sampled_from(WRAPPERS))
        if text.lstrip().startswith("#"):
            text += "\npass"
        mentions += found
        parts.append(f"mark = {number}  # keep {number}")
        parts.append(
            wrapper.format(
                text,
                n=number,
                i=textwrap.indent(text, "    "),
                ii=textwrap.indent(text, "        "),
            )
        )
        if draw(st.booleans()):
            parts.append("")
    text = "\n".join([*parts, "mark = -1"])
    text = draw(st.sampled_from(["", "import os\n"])) + text
    if draw(st.booleans()):
        text = text.replace("    ", "\t")
    if draw(st.integers(0, 3)) == 0:
        text = "\f" + text.replace("\nmark", "\n\f\nmark")
    newline = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    return (text + draw(st.sampled_from(["", "\n"]))).replace("\n", newline), mentions


@settings(max_examples=300, deadline=None)
@given(programs())
def test_a_migrated_program_parses_keeps_its_other_lines_and_does_not_change_again(
    program: tuple[str, int],
) -> None:
    text, _ = program
    ast.parse(text)
    result = migrate_source(text.encode(), ALL)
    assert not result.failed, result.findings
    after = text if result.new is None else result.new.decode()
    ast.parse(after)
    assert migrate_source(after.encode(), ALL).new is None
    kept = re.compile(r"mark = .*|def .*|class .*|try:.*|except.*|.*return.*|with .*|if .*:")
    lines = [line.strip() for line in text.splitlines()]
    kept_after = [line.strip() for line in after.splitlines()]
    assert list(filter(kept.fullmatch, lines)) == list(filter(kept.fullmatch, kept_after))
    for comment in re.findall(r"# (?:above|behind|why|keep)[^\r\n]*", text):
        assert after.count(comment) >= text.count(comment)


@settings(max_examples=300, deadline=None)
@given(programs())
def test_every_mention_of_an_old_name_ends_in_exactly_one_bucket(
    program: tuple[str, int],
) -> None:
    text, mentions = program
    result = migrate_source(text.encode(), ALL)
    assert not result.failed, result.findings
    # A call whose argument goes is said on its own, beside the name that is called.
    found = [
        finding
        for finding in result.findings
        if finding.bucket is not None and not re.search(r": argument \w+ dropped$", finding.message)
    ]
    assert len(found) == mentions
    places = [(finding.line, finding.column) for finding in found]
    assert len(set(places)) == len(places) or "'''" in text


ENCODINGS = [
    ("utf-8", ""),
    ("utf-8-sig", ""),
    ("latin-1", "# -*- coding: latin-1 -*-\n"),
    ("cp1252", "#!python\n# vim: set fileencoding=cp1252 :\n"),
]


@settings(max_examples=100, deadline=None)
@given(programs(), st.sampled_from(ENCODINGS))
def test_the_encoding_of_a_program_changes_nothing(
    program: tuple[str, int], encoding: tuple[str, str]
) -> None:
    text, _ = program
    name, cookie = encoding
    text = cookie + text + "  # é"
    plain = migrate_source(text.removeprefix(cookie).encode(), ALL)
    result = migrate_source(text.encode(name), ALL)
    assert not result.failed, result.findings
    assert len(result.findings) == len(plain.findings)
    if plain.new is None:
        assert result.new is None
    else:
        assert result.new is not None
        assert result.new == (cookie + plain.new.decode()).encode(name)


WHOLE = (
    "# see triton_kernels.routing\nfrom triton_kernels.routing import (\n    RoutingData,  # é\n"
    "    routing as r,\n)\n\nd, g, s = r(x, 4, simulated_ep=1)\n"
    "v: 'triton_kernels.routing.RoutingData' = d.expt_data.token_offs_pad[2]\n"
)


def test_every_beginning_of_a_file_is_handled() -> None:
    data = WHOLE.encode()
    for end in range(len(data)):
        result = migrate_source(data[:end], ALL)
        assert all("given up" not in found.message for found in result.findings), data[:end]
        if result.new is not None:
            ast.parse(result.new)
            assert migrate_source(result.new, ALL).new is None


@settings(max_examples=60, deadline=None)
@given(programs(), st.data())
def test_a_truncated_file_is_handled(program: tuple[str, int], data: st.DataObject) -> None:
    text, _ = program
    cut = text[: data.draw(st.integers(0, len(text)))]
    result = migrate_source(cut.encode(), ALL)
    if result.failed:
        assert result.new is None
        assert len(result.findings) == 1
        assert "given up" not in result.findings[0].message
    elif result.new is not None:
        ast.parse(result.new)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-8-sig"]))
def test_any_bytes_are_handled(text: str, encoding: str) -> None:
    data = ("import triton_kernels.routing\n" + text).encode(encoding, "replace")
    result = migrate_source(data, ALL)
    assert result.new is None
    assert all("given up" not in finding.message for finding in result.findings)


@settings(max_examples=100, deadline=None)
@given(programs())
def test_nothing_is_changed_that_was_not_selected(program: tuple[str, int]) -> None:
    result = migrate_source(program[0].encode(), SourceOptions(frozenset()))
    assert result.new is None
    assert result.findings == ()


def test_the_buckets_are_those_of_the_design() -> None:
    assert {bucket.value for bucket in Bucket} == {
        "changed",
        "already new",
        "guarded",
        "for a person",
        "comment or docstring",
    }
