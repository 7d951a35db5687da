"""From a profile to a picture; and whether the profiler may wait for the GPU."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from triton_kernels import roofline
from triton_kernels.roofline import (
    PerfRecord,
    compute_roofline,
    get_cublas_tflops,
    get_memset_tbps,
    load_perf_csv,
    parse_profile,
    plot_roofline,
    validate_perfs,
    write_csv,
)


def node(name, children=(), **metrics):
    frame = {"name": name, "type": "function"}
    return {"frame": frame, "metrics": metrics, "children": list(children)}


def profile(tmp_path, *roots):
    """A file of proton's: trees, then what it says of the devices."""
    path = tmp_path / "run.hatchet"
    path.write_text(json.dumps([*roots, {"CUDA": {"0": {"arch": "90", "num_sms": 132}}}]))
    return path


def test_useful_kernels_give_work_and_all_kernels_time(tmp_path):
    matmul = node("_matmul_ogs_bf16", bytes=100, flops16=7, flops8=30, **{"time (ns)": 5})
    other = node("vectorized_fill", bytes=1000, flops16=1, **{"time (ns)": 11})
    # What is no leaf sums what is below it, and must not be counted again.
    scope = node("layer_matmul", [matmul, other], bytes=1, flops16=1, **{"time (ns)": 16})
    again = node("_p_matmul_ogs", bytes=3, flops8=4, **{"time (ns)": 2})
    path = profile(tmp_path, node("ROOT", [scope, again]))
    assert parse_profile(path, "matmul") == PerfRecord(time_ns=18, flops=41, bytes=103)
    assert parse_profile(str(path), "^_p_") == PerfRecord(time_ns=18, flops=4, bytes=3)


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"children": []}]', "3"])
def test_a_file_that_is_no_profile_is_refused(tmp_path, text):
    path = tmp_path / "x.hatchet"
    path.write_text(text)
    with pytest.raises(ValueError, match="profile_path: expected a file of proton"):
        parse_profile(path, "")


def test_rates_are_per_second():
    perf = PerfRecord(time_ns=2.0, flops=8000.0, bytes=4000.0)
    assert perf.tflops == 4.0 and perf.tbps == 2.0


def test_a_table_is_read_as_it_was_written(tmp_path):
    perfs = [PerfRecord(1.5, 2, 3), PerfRecord(4, 5e12, 6)]
    path = write_csv([1, 32], perfs, tmp_path / "new" / "run.bin")
    assert path == tmp_path / "new" / "run.csv"
    assert path.read_text().splitlines()[0] == "x,flops,bytes,time_ns"
    assert load_perf_csv(path) == ([1, 32], [2, 5e12], [3, 6], [1.5, 4])


def test_the_time_may_be_called_time_and_columns_stand_in_any_order(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,bytes,x,flops\n4,3,1,2\n")
    assert load_perf_csv(path) == ([1], [2], [3], [4])
    path.write_text("x,flops,bytes\n1,2,3\n")
    with pytest.raises(ValueError, match="path: expected a file with columns x, flops, bytes, tim"):
        load_perf_csv(path)


def test_a_line_needs_a_record():
    with pytest.raises(ValueError, match="perfs: expected 2 records"):
        write_csv([1, 2], [PerfRecord(1, 1, 1)], "never")


def test_series_of_the_same_work_differ_in_time_only():
    series = ([1.0], [2.0], [3.0], [4.0])
    validate_perfs([series, ([1.0], [2.0], [3.0], [9.0])])
    for column in range(3):
        other = [list(values) for values in series]
        other[column] = [7.0]
        with pytest.raises(ValueError, match=r"perfs\[1\]: expected the (x|flops|bytes) of perfs"):
            validate_perfs([series, tuple(other)])


@pytest.mark.parametrize(
    ("args", "kwargs"), [((10, 20), {}), ((10,), {"c": 20}), ((), {"a": 10, "c": 20})]
)
def test_the_value_takes_the_place_of_its_parameter(tmp_path, args, kwargs):
    def bench(a, batch, c):
        assert (a, c) == (10, 20)
        return PerfRecord(batch, batch * 2, batch * 3)

    path = compute_roofline(
        *args,
        bench_fn=bench,
        intensity_proxy_name="batch",
        intensity_proxy_values=[1, 8],
        out_path=tmp_path / "out.csv",
        verbose=False,
        **kwargs,
    )
    assert load_perf_csv(path) == ([1, 8], [2, 16], [3, 24], [1, 8])


def test_a_parameter_can_be_given_by_name_only(tmp_path, capsys):
    def bench(a, *, batch):
        return PerfRecord(1, a, batch)

    path = compute_roofline(
        5,
        bench_fn=bench,
        intensity_proxy_name="batch",
        intensity_proxy_values=[3],
        out_path=tmp_path / "out",
        verbose=True,
    )
    assert load_perf_csv(path) == ([3], [5], [3], [1])
    assert capsys.readouterr().out == "batch = 3: 0.005 TFLOP/s, 0.003 TB/s\n"


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        (1, TypeError, "intensity_proxy_name: expected a str, got 1"),
        ("c", ValueError, "intensity_proxy_name: expected one of a, b, got 'c'"),
    ],
)
def test_a_wrong_parameter_is_named(name, error, text):
    with pytest.raises(error, match=text):
        compute_roofline(
            bench_fn=lambda a, b: PerfRecord(1, 1, 1),
            intensity_proxy_name=name,
            intensity_proxy_values=[1],
            out_path="never",
            verbose=False,
        )


def two_series(tmp_path):
    xs = [1, 16, 256]
    work = [(2e9 * x, 1e9 + 1e6 * x) for x in xs]
    return [
        write_csv(xs, [PerfRecord(slow * (1e6 + x), *w) for x, w in zip(xs, work, strict=True)], p)
        for slow, p in ((1, tmp_path / "fast"), (2, tmp_path / "slow"))
    ]


def test_the_command_line_draws_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra bench is not installed")
    series = list(map(str, two_series(tmp_path)))
    limits = ["--max_tbps", "3.35", "--max_tflops", "989", "--dtype", "bf16"]
    picture = str(tmp_path / "out.png")
    roofline.main(["--series", *series, *limits, "--out_path", picture, "--labels", "a", "b"])
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_says_what_was_reached(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra bench is not installed")
    picture = tmp_path / "out.svg"
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):  # text as text
        plot_roofline(
            two_series(tmp_path),
            "bf16",
            picture,
            max_tbps=2.0,
            max_tflops=1e9,
            title="A title",
            xlabel="tokens",
            points_of_interest=[15],
        )
    text = picture.read_text()
    for said in ("A title", "tokens", "fast", "slow", "TFLOP/s (bf16)", "2.00 TB/s"):
        assert said in text
    # 1.016 GB in 1.000016 ms, of 2 TB/s: 51 %; in twice the time, 25 %.
    assert "51%" in text and "25%" in text


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'triton-kernels-bridge\[bench\]'"):
        plot_roofline(two_series(tmp_path), "bf16", "never", max_tbps=1, max_tflops=1)


@pytest.mark.parametrize(
    ("change", "text"),
    [({"series": []}, "series: expected one file"), ({"labels": ["a"]}, "labels: expected 2, one")],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, change, text):
    arguments = {"series": two_series(tmp_path), "flops_dtype": "bf16", "out_path": "never"}
    with pytest.raises(ValueError, match=text):
        plot_roofline(**{**arguments, **change}, max_tbps=1, max_tflops=1)


def test_matplotlib_is_imported_only_to_plot():
    program = "import sys, triton_kernels.roofline; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_limits_are_of_dtypes_that_exist():
    with pytest.raises(ValueError, match="dtype: expected one of fp16, bf16, fp8, got 'fp4'"):
        get_cublas_tflops("fp4")


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what is said without a GPU")
def test_limits_are_not_measured_without_a_gpu():
    for measure in (get_memset_tbps, lambda: get_cublas_tflops("bf16")):
        with pytest.raises(RuntimeError, match="give max_tbps and max_tflops as numbers"):
            measure()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_limits_of_a_gpu_are_plausible():
    # From an A10 to twice a B200, to see a wrong unit.
    assert 0.2 < get_memset_tbps() < 16
    assert 50 < get_cublas_tflops("bf16") < 4500
    assert 50 < get_cublas_tflops("fp16") < 4500
    if torch.version.cuda and torch.cuda.get_device_capability() >= (8, 9):
        assert get_cublas_tflops("fp8") > get_cublas_tflops("bf16")


# proton_opts


@pytest.mark.parametrize(("value", "expected"), [(None, True), ("0", True), ("1", False)])
def test_the_profiler_may_wait_unless_the_environment_forbids_it(value, expected, monkeypatch):
    if value is None:
        monkeypatch.delenv("PROTON_LAUNCH_METADATA_NOSYNC", raising=False)
    else:
        monkeypatch.setenv("PROTON_LAUNCH_METADATA_NOSYNC", value)
    program = """if True:
        import os, sys
        from triton_kernels import proton_opts
        answers = [proton_opts.launch_metadata_allow_sync()]
        os.environ["PROTON_LAUNCH_METADATA_NOSYNC"] = "1" if answers[0] else "0"
        answers.append(proton_opts.launch_metadata_allow_sync())
        for said in (True, False):
            proton_opts.set_launch_metadata_allow_sync(said)
            answers.append(proton_opts.launch_metadata_allow_sync())
        print(answers, "torch" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{[expected, expected, True, False]} False"
