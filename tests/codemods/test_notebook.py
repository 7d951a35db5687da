"""Notebooks: code cells are migrated as one module, and every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewriting import ALL, dedent

from codemods.findings import Bucket
from codemods.json_spans import strings_of_cells
from codemods.notebook import migrate_notebook
from codemods.source import migrate_file

OLD = "from triton_kernels.routing import RoutingData"
NEW = "from triton_kernels.matmul_ogs import RoutingData"


def notebook(*cells: str | list[str], language: str = "python") -> dict[str, Any]:
    return {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": 3,
                "metadata": {"source": [OLD]},
                "outputs": [{"text": [OLD, "\u00e9"], "data": {"image/png": "A" * 99}}],
                "source": cell.splitlines(keepends=True) if isinstance(cell, str) else cell,
            }
            for cell in cells
        ],
        "metadata": {"kernelspec": {"language": language}, "source": OLD},
        "nbformat": 4,
    }


def sources(data: bytes) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(data)["cells"]]


def migrated(*cells: str) -> list[str]:
    data = json.dumps(notebook(*cells), indent=1).encode()
    result = migrate_notebook(data, ALL)
    assert not result.failed, result.findings
    if result.new is None:
        return list(cells)
    assert migrate_notebook(result.new, ALL).new is None
    return sources(result.new)


LAYOUTS = {
    "as Jupyter writes it": {"indent": 1, "ensure_ascii": False},
    "escaped": {"indent": 1},
    "wide": {"indent": 4},
    "tabs": {"indent": "\t"},
    "on one line": {},
    "without blanks": {"separators": (",", ":")},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("as_list", [True, False], ids=["lines", "one string"])
def test_only_the_lines_that_change_are_written_anew(
    layout: dict[str, Any], mark: bytes, as_list: bool
) -> None:
    book = notebook(f"x = 'ä\\u00e9'\n{OLD}, routing\ny = 2", "z = 3", "routing(q, 4)")
    if not as_list:
        for cell in book["cells"]:
            cell["source"] = "".join(cell["source"])
    text = json.dumps(book, **layout)
    result = migrate_notebook(mark + text.encode() + b"\n", ALL)
    assert result.new is not None, result.findings
    old = json.dumps(f"{OLD}, routing\n")[1:-1]
    new = json.dumps(f"from triton_kernels.legacy import legacy_routing as routing\n{NEW}\n")[1:-1]
    if as_list:
        # One line became two, in a list whose separator is that of the notebook.
        before, after = text.split(f'"{old}"')
        first, second = (json.dumps(line + "\n") for line in new.split("\\n")[:-1])
        got = result.new.decode().removeprefix("\ufeff")
        assert got.startswith(before + first)
        assert got.endswith(second + after + "\n")
        between = got[len(before + first) : len(got) - len(second + after) - 1]
        assert between.strip() == ","
    else:
        assert result.new == mark + text.replace(old, new).encode() + b"\n"


def test_the_cells_are_one_module() -> None:
    assert migrated(
        "import triton_kernels.routing as r", "a = r.RoutingData", "b = r.routing(x, 4)"
    ) == [
        "from triton_kernels import legacy, matmul_ogs",
        "a = matmul_ogs.RoutingData",
        "b = legacy.legacy_routing(x, 4)",
    ]


def test_names_do_not_move_from_cell_to_cell() -> None:
    assert migrated("from triton_kernels.matmul_ogs import matmul_ogs", OLD) == [
        "from triton_kernels.matmul_ogs import matmul_ogs",
        NEW,
    ]


def test_a_statement_that_goes_into_another_of_its_cell_leaves_no_empty_line() -> None:
    assert migrated(f"from triton_kernels.matmul_ogs import matmul_ogs\n{OLD}") == [
        "from triton_kernels.matmul_ogs import RoutingData, matmul_ogs\n",
    ]


MAGICS = [
    "%matplotlib inline",
    "!pip install triton_kernels",
    "!pip install \\\n    torch \\\n  numpy",
    "help?",
    "r.routing??",
    "?help",
    "files = !ls",
    "a, b = %sql select 1",
    "if x:\n    %time f()\nelse:\n    !ls",
    "%%time\nx = 1",
    "text = '''\n%not magic\n!nor this\n'''",
    "await f()",
    "!",
    "%",
]


@pytest.mark.parametrize("magic", MAGICS)
def test_lines_for_ipython_stay(magic: str) -> None:
    assert migrated(f"{magic}\n{OLD}\n{magic}") == [f"{magic}\n{NEW}\n{magic}"]


OTHERS = [
    "%%bash\nfrom triton_kernels.routing import RoutingData",
    "%%writefile x.py\nfrom triton_kernels.routing import RoutingData",
    "<<<<<<< HEAD\nfrom triton_kernels.routing import RoutingData",
]


@pytest.mark.parametrize("cell", OTHERS)
def test_a_cell_that_is_not_python_stays_and_the_others_go(cell: str) -> None:
    assert migrated(cell, OLD) == [cell, NEW]


def test_a_finding_points_into_the_file_and_names_the_cell() -> None:
    text = json.dumps(
        notebook("x = 1", "y = 1\n  \nz = '\\t'; import triton_kernels.routing"), indent=1
    )
    [found] = migrate_notebook(text.encode(), ALL).findings
    line = text.splitlines()[found.line - 1]
    assert line[found.column - 1 :].startswith("triton_kernels.routing")
    assert found.message.startswith("cell 2: ")


def test_a_cell_that_does_not_parse_is_one_finding_if_it_mentions_the_library() -> None:
    data = json.dumps(notebook("x = = 1", "import triton_kernels.tensor\nx = = 2"), indent=1)
    result = migrate_notebook(data.encode(), ALL)
    assert [(found.code, found.message[:7]) for found in result.findings] == [("TKM900", "cell 2:")]
    assert "x = = 2" in data.splitlines()[result.findings[0].line - 1]
    assert not result.failed


def test_comments_in_a_cell_silence() -> None:
    cell = f"{OLD}  # triton-kernels: ignore"
    assert migrate_notebook(json.dumps(notebook(cell)).encode(), ALL).findings == ()


def test_notebooks_of_other_languages_are_left() -> None:
    data = json.dumps(notebook(OLD, language="R")).encode()
    assert migrate_notebook(data, ALL).findings == ()


def test_only_code_cells_count() -> None:
    book = notebook(OLD)
    book["cells"][0]["cell_type"] = "markdown"
    assert migrate_notebook(json.dumps(book).encode(), ALL).new is None


NO_NOTEBOOKS = {
    "nothing": b"",
    "not JSON": b"import triton_kernels.routing\n",
    "cut off": b'{"cells": [{"cell_type": "code", "source": ["import triton_kernels.rou',
    "no cells": b'{"worksheets": []}',
    "a list": b"[]",
    "cells of another kind": b'{"cells": {"a": 1}}',
    "a source of another kind": b'{"cells": [{"cell_type": "code", "source": 3}]}',
    "a line of another kind": b'{"cells": [{"cell_type": "code", "source": ["a", 3]}]}',
    "not UTF-8": b'{"cells": [{"cell_type": "code", "source": "\xff"}]}',
    "nested too deeply": b"[" * 100_000,
}


@pytest.mark.parametrize("data", NO_NOTEBOOKS.values(), ids=NO_NOTEBOOKS.keys())
def test_what_is_no_notebook_is_one_finding(data: bytes) -> None:
    result = migrate_file(data, "x.ipynb", ALL)
    assert result.failed
    assert result.new is None
    assert [found.code for found in result.findings] == ["TKM910"]


def test_a_lone_surrogate_breaks_its_cell_alone() -> None:
    data = b'{"cells":[{"cell_type":"code","source":"x = \'\\ud800\' # triton_kernels"},'
    data += b'{"cell_type":"code","source":"' + OLD.encode() + b'"}]}'
    result = migrate_notebook(data, ALL)
    assert result.new == data.replace(OLD.encode(), NEW.encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["source", "cells", "a", '"\\']), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.text(max_size=8), max_size=3) | st.text(max_size=8), max_size=4),
    json_values,
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_the_strings_of_the_cells_are_found_among_anything(
    cells: list[list[str] | str], junk: Any, indent: int | str | None, ascii_only: bool
) -> None:
    book = {
        "before": junk,
        "cells": [{"outputs": junk, "source": cell, "metadata": junk} for cell in cells],
        "after": junk,
    }
    text = json.dumps(book, indent=indent, ensure_ascii=ascii_only)
    found = strings_of_cells(text)
    assert [[span.value for span in spans] for spans in found] == [
        [cell] if isinstance(cell, str) else cell for cell in cells
    ]
    assert all(
        json.loads(text[span.start : span.end]) == span.value for spans in found for span in spans
    )


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_beginning_of_a_notebook_is_handled(data: st.DataObject) -> None:
    whole = json.dumps(notebook(OLD, "routing"), indent=1).encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    result = migrate_notebook(cut, ALL)
    assert result.failed
    assert result.new is None


def test_findings_of_a_cell_keep_their_bucket() -> None:
    result = migrate_notebook(
        json.dumps(
            notebook(
                dedent("""
        # see triton_kernels.routing
        from triton_kernels.routing import ExptData
    """)
            )
        ).encode(),
        ALL,
    )
    assert [found.bucket for found in result.findings] == [Bucket.PROSE, Bucket.FOR_A_PERSON]
