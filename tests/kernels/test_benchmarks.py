"""What benchmarks/matmul.py and moe_layer.py compare, count and print; the times are made up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import oracle
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ("measure", "models", "matmul", "matmul_plot", "matmul_rows", "moe_layer")
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def modules() -> Iterator[SimpleNamespace]:
    """The benchmarks, imported as they import each other, and forgotten afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield SimpleNamespace(**{name: __import__(name) for name in NAMES})
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture
def made_up_times(modules, monkeypatch) -> ModuleType:
    """Every call is made once; each takes 20 us in a graph, 50 in eager mode, 40 of the host."""
    for name, us in (("graph_time", 20.0), ("eager_time", 50.0), ("host_time", 40.0)):

        def time(calls: Any, us: float = us) -> float:
            for call in calls:
                call()
            return us

        monkeypatch.setattr(modules.measure, name, time)
    torch.manual_seed(oracle.fresh("benchmarks")[1].initial_seed())
    return modules.measure


@pytest.fixture
def card(modules) -> Any:
    """2 bytes and 100 or 200 operations a microsecond; launches of 3, 1 and 0.5."""
    return modules.measure.Card(2.0, {"bf16": 100.0, "fp8": 200.0}, {1: 3.0, 4: 1.0, 10: 0.5})


@pytest.fixture
def tiny(modules) -> Any:
    return modules.models.Model("tiny", hidden=48, intermediate=32, n_experts=5, k=2)


# --- the floor


@pytest.mark.parametrize(
    ("flops", "bytes_", "dtype", "n_calls", "floor"),
    [
        (1000, 10, "bf16", 1, 10 + 3),
        (1000, 10, "fp8", 1, 5 + 3),
        (1000, 50, "bf16", 10, 25 + 0.5),
        (0, 0, "fp8", 4, 1),
    ],
)
def test_floor_is_the_slower_limit_and_a_launch(
    modules, card, flops, bytes_, dtype, n_calls, floor
):
    assert card.floor_us(modules.measure.Work(flops, bytes_), dtype, n_calls) == floor


def test_small_batches_share_a_graph_and_large_ones_have_their_own(modules):
    calls = {n: modules.measure.n_calls(n) for n in modules.models.TOKENS}
    assert calls == {1: 10, 16: 10, 64: 10, 256: 4, 1024: 1, 8192: 1}


@pytest.mark.parametrize("dtype", ["bf16", "fp8"])
@pytest.mark.parametrize("product", ["first", "second"])
def test_work_counts_what_each_token_and_each_expert_at_work_needs(modules, tiny, dtype, product):
    case = modules.matmul.Case(tiny, dtype, product)
    inputs = modules.matmul.random_inputs(case, 3, "cpu")
    work, weight_bytes = modules.matmul.work_of(case, inputs)
    n_inner, n_columns = (48, 64) if product == "first" else (32, 48)
    itemsize = 2 if dtype == "bf16" else 1
    rows_of_expert = inputs.routing.expt_hist.tolist()
    assert sum(rows_of_expert) == 3 * 2
    assert work.flops == sum(2 * rows * n_inner * n_columns for rows in rows_of_expert)
    experts = [rows for rows in rows_of_expert if rows > 0]
    assert weight_bytes == len(experts) * n_inner * n_columns * itemsize
    # Tokens in and pairs of columns joined, or a row for each choice in and tokens out, in bf16.
    if product == "first":
        in_and_out = 3 * 48 * itemsize + 6 * 32 * 2
    else:
        in_and_out = 6 * 32 * itemsize + 3 * 48 * 2
    assert work.bytes == weight_bytes + in_and_out


def test_work_of_a_layer_is_that_of_both_products_without_what_is_between(modules, tiny):
    layer = modules.moe_layer.random_layer(tiny, "cpu")
    inputs = [modules.moe_layer.random_inputs(tiny, 3, "cpu") for _ in range(2)]
    # Of 5 experts, 2 of each token: 0 and 1 by all tokens, then 3 different pairs.
    inputs[0][1].copy_(torch.tensor([[9.0, 8, 0, 1, 2]] * 3))
    inputs[1][1].copy_(torch.tensor([[9.0, 8, 0, 1, 2], [0, 9, 8, 1, 2], [9, 1, 0, 8, 2]]))
    work = modules.moe_layer.mean_work(tiny, inputs, layer)
    assert work.flops == 3 * 2 * (2 * 48 * 64 + 2 * 32 * 48)
    weights_and_biases = 2 * (48 * 64 + 64 + 32 * 48 + 48)
    tokens_and_logits = 3 * (48 * 2 + 48 * 2 + 5 * 4)
    assert work.bytes == (2 + 4) / 2 * weights_and_biases + tokens_and_logits


# --- what is compared is the same product


@pytest.mark.parametrize("dtype", ["bf16", "fp8"])
def test_compared_products_are_those_of_each_expert(modules, dtype):
    matmul, measure = modules.matmul, modules.measure
    sizes = [3, 0, 4]
    w = measure.random_matrices(3, 32, 16, dtype, "cpu")
    assert (w.stride(1) == 1) == (dtype == "fp8")
    x = measure.random_rows(7, 32, dtype, "cpu")
    parts = zip(x.double().split(sizes), w.double(), strict=True)
    expected = torch.cat([rows @ matrix for rows, matrix in parts])
    dense = matmul.dense_product(x, w[1])()
    assert measure.relative_error(dense.double(), x.double() @ w[1].double()) < 0.005
    if dtype == "bf16":  # torch groups 8-bit floats on a GPU alone
        ends = torch.tensor(sizes).cumsum(0).int()
        grouped = matmul.grouped_product(x, w, ends)()
        assert measure.relative_error(grouped.double(), expected) < 0.005


def test_weights_keep_the_size_of_what_they_multiply(modules):
    w = modules.measure.random_matrices(4, 64, 128, "bf16", "cpu").double()
    assert 0.9 < float(w.std(dim=(1, 2)).min()) * 8 <= float(w.std(dim=(1, 2)).max()) * 8 < 1.1


@pytest.mark.parametrize("dtype", ["bf16", "fp8"])
@pytest.mark.parametrize("product", ["first", "second"])
def test_each_row_is_measured_and_right(modules, made_up_times, card, tiny, dtype, product):
    case, failures = modules.matmul.Case(tiny, dtype, product), made_up_times.Failures()
    rows = list(modules.matmul.measured([case], [1, 40, 256], card, failures, "cpu"))
    assert [row.tokens for row in rows] == [1, 40, 256]
    for row in rows:
        assert (row.graph_us, row.eager_us, row.cublas_us) == (20.0, 50.0, 20.0)
        assert 0 < row.error < 0.02
        assert row.is_right
        assert len(str(row)) == len(row.HEADER)
    launches = [0.5, 0.5, 1.0]  # of 10, 10 and 4 calls in a graph
    for row, launch in zip(rows, launches, strict=True):
        limit = max(row.flops / (100 if dtype == "bf16" else 200), row.bytes / 2)
        assert row.floor_us == pytest.approx(limit + launch)
    assert rows[0].grouped_us == (20.0 if dtype == "bf16" else None)
    assert set(failures.reasons) == (set() if dtype == "bf16" else {f"tiny fp8 {product}, grouped"})


def test_each_row_of_layers_is_measured_and_right(modules, made_up_times, card, tiny):
    failures = made_up_times.Failures()
    rows = list(modules.moe_layer.measured([tiny], [40, 256], card, failures, "cpu"))
    for row in rows:
        assert (row.graph_us, row.eager_us, row.host_us) == ((20.0,) * 2, (50.0,) * 2, (40.0,) * 2)
        assert 0 < row.error < 0.02
        assert row.is_right
        assert [len(line) for line in row.HEADER.splitlines()] == [
            len(str(row)) - len(f"{1:>8}") * 2,  # nothing stands above the last two columns
            len(str(row)),
        ]
    assert failures.reasons == {}


# --- what goes wrong is shown


def test_a_wrong_product_is_not_right(modules, made_up_times, card, tiny, monkeypatch):
    ours = modules.matmul.product

    def doubled(*arguments: Any) -> Any:
        return lambda: 2 * ours(*arguments)()

    monkeypatch.setattr(modules.matmul, "product", doubled)
    case, failures = modules.matmul.Case(tiny, "bf16", "first"), made_up_times.Failures()
    (row,) = modules.matmul.measured([case], [8 * 1024], card, failures, "cpu")
    assert row.error == pytest.approx(1, rel=0.01)
    assert not row.is_right


def test_a_product_that_fails_is_a_dash_and_the_rest_is_measured(
    modules, made_up_times, card, tiny, monkeypatch, capsys
):
    def failing(*_: Any, **__: Any) -> Any:
        raise ValueError("no such tile\nand more")

    monkeypatch.setattr(modules.matmul, "matmul_ogs", failing)
    case, failures = modules.matmul.Case(tiny, "bf16", "first"), made_up_times.Failures()
    (row,) = modules.matmul.measured([case], [1024], card, failures, "cpu")
    assert row.graph_us is row.eager_us is row.error is None
    assert row.grouped_us == row.cublas_us == 20.0
    assert not row.is_right
    assert str(row).split()[4:6] == ["-", "-"]
    failures.tell()
    told = capsys.readouterr().out
    assert "not measured: tiny bf16 first n 1024, graph: ValueError: no such tile\n" in told


# --- the table, the file and the picture


@pytest.fixture
def rows(modules) -> list[Any]:
    """Of two models and one dtype: 5 TB/s and 1000 TFLOP/s, so the ridge is at 200."""
    common = {
        "eager_us": 9.0,
        "grouped_us": 30.0,
        "cublas_us": None,
        "floor_us": 10.0,
        "error": 0.001,
        "peak_tflops": 1000.0,
        "copy_tbps": 5.0,
        "dtype": "bf16",
    }
    return [
        modules.matmul_rows.Row(
            model=model,
            product=product,
            tokens=tokens,
            flops=flops,
            bytes=1e8,
            weight_bytes=6e7,
            graph_us=graph_us,
            **common,
        )
        for model, product, tokens, flops, graph_us in [
            ("a", "first", 8192, 1e12, 2000.0),
            ("a", "first", 1, 1e8, 25.0),
            ("a", "second", 1, 1e8, None),
            ("b", "first", 16, 1e9, 40.0),
        ]
    ]


def test_a_line_of_the_table_says_what_was_reached(rows):
    model, dtype, product, tokens, *numbers = str(rows[0]).split()
    assert [model, dtype, product, tokens] == ["a", "bf16", "first", "8192"]
    times = ["2000.0", "9.0", "30.0", "-", "10.0"]
    rates = ["500.0", "0.03"]  # 1e12 operations and 6e7 bytes in 2 ms
    assert numbers == [*times, *rates, "200.00x", "0.01x", "0.0010"]


def test_rows_are_in_the_file_as_soon_as_they_are_shown(modules, rows, tmp_path):
    path = tmp_path / "rows.csv"
    for n_shown, row in enumerate(modules.matmul_rows.written(iter(rows), path), start=1):
        assert modules.matmul_rows.read(path) == rows[:n_shown]
        assert row is rows[n_shown - 1]


def test_the_roof_bends_where_operations_become_the_limit(modules, rows):
    # From half of the fewest operations a byte to twice the most.
    assert modules.matmul_plot.roof(rows) == [(0.5, 2.5), (200, 1000), (20000, 1000)]


def test_the_lines_of_the_picture_are_what_was_measured(modules, rows):
    assert modules.matmul_plot.lines(rows) == {
        ("a", "first"): [(1, 4), (10000, 500)],
        ("a", "second"): [],
        ("b", "first"): [(10, 25)],
    }


def test_a_picture_is_drawn_without_a_display(modules, rows, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="the extra bench is not installed")
    monkeypatch.delenv("DISPLAY", raising=False)
    for name in ("rows.png", "rows.svg"):
        modules.matmul_plot.draw(rows, tmp_path / name)
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "rows.svg").read_text()


def test_without_matplotlib_the_extra_is_named(modules, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match=r"pip install 'triton-kernels-bridge\[bench\]'"):
        modules.matmul_plot.require_matplotlib()


# --- the command lines


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **NO_GPU}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=BENCHMARKS.parent, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", ["matmul.py", "moe_layer.py"])
def test_without_a_gpu_a_benchmark_says_so(name):
    result = run(f"benchmarks/{name}", "--rows", "1")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == "this benchmark needs a GPU"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("matmul.py", "--model --dtype --rows --compile-first --csv --plot"),
        ("moe_layer.py", "--model --rows --compile-first"),
    ],
)
def test_help_names_every_option(name, options):
    result = run(f"benchmarks/{name}", "--help")
    assert result.returncode == 0
    assert all(option in result.stdout for option in options.split())
