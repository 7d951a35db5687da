"""The command as a person or a script meets it: arguments in, text and exit code out."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest
from trees import (
    ELSEWHERE,
    LEFT,
    NEW,
    OLD,
    PROJECT,
    contents,
    migrate,
    old_to_new,
    plant,
    repository,
)

import triton_kernels
from codemods.migrate import main
from triton_kernels.moves import BY_CODE


@pytest.fixture
def tree(tmp_path):
    return plant(tmp_path / "tree", {"a.py": OLD, "sub/b.py": ELSEWHERE})


# Exit codes, in a process of its own and with the real transform


@pytest.mark.parametrize(
    ("files", "options", "code"),
    [
        ({}, [], 0),
        ({"a.py": ELSEWHERE}, [], 0),
        ({"a.py": OLD}, [], 0),
        ({"a.py": NEW}, ["--check"], 0),
        ({"a.py": OLD}, ["--check"], 1),
        ({"a.py": OLD}, ["--diff"], 1),
        ({"a.py": NEW}, ["--diff"], 0),
        ({"a.py": OLD + LEFT}, [], 1),
        ({"a.py": LEFT}, [], 1),
        ({"a.py": "import triton_kernels.routing (\n", "b.py": OLD}, [], 1),
    ],
)
def test_the_exit_code_says_whether_something_is_left(tmp_path, files, options, code):
    plant(tmp_path, files)
    done = migrate(*options, tmp_path, cwd=tmp_path)
    assert done.returncode == code, done
    assert (done.stderr if "--diff" in options else done.stdout).strip()


def test_a_file_is_migrated_end_to_end(tmp_path):
    repository(tmp_path, {"a.py": OLD, "b.py": LEFT})
    done = migrate(".", cwd=tmp_path)
    assert contents(tmp_path) == {"a.py": NEW.encode(), "b.py": LEFT.encode()}
    assert "b.py:1:" in done.stdout
    assert "1 file rewritten, 1 place in 1 file left for a person" in done.stdout
    again = migrate("--check", ".", cwd=tmp_path)
    assert "would be rewritten" not in again.stdout


def test_uncommitted_work_is_an_error_that_names_the_file(tmp_path):
    repository(tmp_path, {"a.py": OLD, "b.py": OLD})
    plant(tmp_path, {"b.py": OLD + "# work\n"})
    done = migrate(tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path}/b.py TKM905" in done.stdout
    assert "--allow-dirty" in done.stdout
    assert contents(tmp_path) == {"a.py": NEW.encode(), "b.py": (OLD + "# work\n").encode()}
    assert migrate(tmp_path, "--allow-dirty", cwd=tmp_path).returncode == 0
    assert contents(tmp_path)["b.py"] == (NEW + "# work\n").encode()


# What the current folder holds must not run


SHADOWS = (
    "string",
    "logging",
    "argparse",
    "subprocess",
    "dataclasses",
    "rich",
    "pathspec",
    "libcst",
)


def test_modules_of_the_code_to_be_migrated_are_not_imported(tmp_path):
    """Enough work for a pool, whose processes start in the same folder."""
    bomb = "raise SystemExit('imported from the current folder')\n"
    plant(tmp_path, {f"{name}.py": bomb for name in SHADOWS})
    plant(tmp_path, {"triton_kernels/__init__.py": bomb, "concurrent/__init__.py": bomb})
    plant(tmp_path, {f"m{n}.py": OLD + "# filler\n" * 20_000 for n in range(6)})
    done = migrate(".", "--jobs", "2", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "m5.py").read_text().startswith(NEW)


def test_the_command_runs_in_an_uninstalled_checkout_of_its_own(tmp_path):
    """The current folder is then the only way to its packages."""
    for package in ("codemods", "triton_kernels"):
        (tmp_path / package).symlink_to(PROJECT / package)
    plant(tmp_path, {"x/a.py": OLD})
    for checkout in (PROJECT, tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "codemods.migrate", str(tmp_path / "x"), "--check", "-q"],
            cwd=checkout,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, done
        assert done.stdout.startswith("1 file would be rewritten")


# Wrong arguments: one line that names what is wrong, and nothing is written


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name at least one PATH"),
        (["nope"], "nope: No such file"),
        (["a.py", "nope"], "nope: No such file"),
        (["a.py", "--select", "TKM0001"], "unknown code 'TKM0001': did you mean TKM001?"),
        (["a.py", "--ignore", "TKM001,quatsch"], "unknown code 'QUATSCH': --list-codes"),
        (["a.py", "--select", ","], "--select names no code"),
        (["--explain", "TKM01"], "did you mean TKM001?"),
        (["--explain", ""], "unknown code ''"),
        (["a.py", "--jobs", "0"], "a whole number from 1"),
        (["a.py", "--jobs", "two"], "not 'two'"),
        (["a.py", "--report", "xml"], "json, sarif, github, html was expected, not 'xml'"),
        (["a.py", "--report", "json:no/such/x.json"], "no/such/x.json"),
        (["a.py", "--report", "json", "--report", "text"], "one document"),
        (["a.py", "--report", "json", "--diff"], "--report json:FILE"),
        (["a.py", "--report", "sarif", "--report", "github"], "one document"),
        (["a.py", "--report", "html:no/such/x.html"], "no/such/x.html"),
        (["a.py", "--save-patch", "no/such/x.patch"], "the patch cannot be written to no/such"),
        (["a.py", "--save-patch", "."], "the patch cannot be written to ."),
        (["a.py", "--target", "bundeld"], "unknown target 'bundeld': did you mean bundled?"),
        (["a.py", "--target", "x"], "unknown target 'x': known are bundled, upstream-3.6"),
        (["a.py", "--from", "3.7"], "unknown from '3.7': did you mean 3.6?"),
        (["a.py", "--check", "--diff"], "not allowed with"),
        (["a.py", "-q", "-v"], "not allowed with"),
        (["a.py", "--exclude", "!"], "'!'"),
        (["a.py", "--chekc"], "--chekc"),
        (["a.py\0b"], "null"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, arguments, said
):
    monkeypatch.chdir(plant(tmp_path, {"a.py": OLD}))
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert contents(tmp_path) == {"a.py": OLD.encode()}


# What is asked for instead of a run


def test_the_help_names_every_option_and_exit_code(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    options = (
        "--check --diff --save-patch --allow-dirty --keep-going --verify-imports --target --from "
        "--unsafe --vendored --select --ignore --exclude --no-gitignore --jobs --no-config "
        "--report --explain --list-codes --version -q -v"
    )
    for option in options.split():
        assert option in said
    assert "\n  2  wrong arguments" in said


def test_the_version_is_that_of_the_distribution(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"triton-kernels-migrate {triton_kernels.__version__}\n"


def test_codes_are_listed_and_explained(capsys):
    assert main(["--list-codes"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert {text.split()[0] for text in listed} >= set(BY_CODE)
    assert main(["--explain", "tkm001"]) == 0
    assert "TKM001" in capsys.readouterr().out


# Options


def test_select_and_ignore_choose_the_codes(tmp_path, capsys):
    seen = []

    def watch(data, name, options):
        seen.append(options.codes)
        return old_to_new(data, name, options)

    plant(tmp_path, {"a.py": OLD})
    for options in ([], ["--select", "tkm001, TKM002"], ["--ignore", "TKM001"],
                    ["--select", "TKM001,TKM002", "--ignore", "TKM002"]):  # fmt: skip
        main([str(tmp_path), "--check", *options], transform=watch)
    rows = [codes & BY_CODE.keys() for codes in seen]
    everything = set(BY_CODE)
    assert rows == [everything, {"TKM001", "TKM002"}, everything - {"TKM001"}, {"TKM001"}]
    assert all("TKM900" in codes for codes in seen)  # a file that does not parse is always said


def test_exclude_and_gitignore(tmp_path, capsys):
    repository(tmp_path, {".gitignore": "gen/\n", "a.py": OLD, "b.py": OLD, "gen/c.py": OLD})
    options = ["--no-gitignore", "--exclude", "/a.py", "--exclude", "x", "--allow-dirty"]
    assert main([str(tmp_path), *options], transform=old_to_new) == 0
    changed = {name for name, data in contents(tmp_path).items() if data == NEW.encode()}
    assert changed == {"b.py", "gen/c.py"}


def test_the_report_goes_where_it_is_sent(tree, tmp_path, capsys):
    file = tmp_path / "out.json"
    assert main([str(tree), "--check", "--report", f"json:{file}"], transform=old_to_new) == 1
    assert "1 file would be rewritten" in capsys.readouterr().out
    document = json.loads(file.read_text())
    assert main([str(tree), "--check", "--report", "json"], transform=old_to_new) == 1
    assert json.loads(capsys.readouterr().out) == document
    for form in ("sarif", "github", "html"):
        assert main([str(tree), "--check", "--report", form], transform=old_to_new) == 1
        said = capsys.readouterr().out
        assert main([str(tree), "--check", "--report", f"{form}:{file}"], transform=old_to_new) == 1
        assert "1 file would be rewritten" in capsys.readouterr().out
        assert without_time(file.read_text()) == without_time(said)
    assert (document["written"], document["summary"]["rewritten"]) == (False, 1)
    assert [entry["path"] for entry in document["files"]] == ["a.py"]
    text = tmp_path / "out.txt"
    options = ["--report", f"text:{text}", "--report", "json"]
    assert main([str(tree), "--check", *options], transform=old_to_new) == 1
    assert json.loads(capsys.readouterr().out) == document
    assert "1 file would be rewritten" in text.read_text()


def without_time(text: str) -> str:
    return re.sub(r"[0-9.]+ s\b", "", text)


def test_a_report_that_cannot_be_written_is_trouble(tree, capsys, monkeypatch):
    assert main([str(tree), "--report", "json:/dev/full"], transform=old_to_new) == 2
    assert "/dev/full cannot be written: No space left on device" in capsys.readouterr().err
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "codemods.migrate", str(tree)],
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert (
        done.stderr == "triton-kernels-migrate: error: output was lost: No space left on device\n"
    )


def test_the_diff_is_all_of_standard_output(tmp_path):
    repository(tmp_path, {"a.py": OLD + LEFT, "sub/b.py": "x = 1\r\n" + OLD.strip()})
    done = migrate("--diff", "sub", "a.py", cwd=tmp_path, text=False)
    assert done.returncode == 1
    assert b"2 files would be rewritten" in done.stderr
    assert contents(tmp_path)["a.py"] == (OLD + LEFT).encode()
    subprocess.run(["git", "apply"], cwd=tmp_path, input=done.stdout, check=True)
    assert contents(tmp_path) == {
        "a.py": (NEW + LEFT).encode(),
        "sub/b.py": b"x = 1\r\n" + NEW.strip().encode(),
    }
    assert migrate("--diff", ".", cwd=tmp_path).stdout == ""


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    plant(tmp_path, {f"m{n}.py": "".join([LEFT] * 300) for n in range(10)})
    command = (
        f"{sys.executable} -m codemods.migrate {tmp_path} -v | head -1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "1"
    assert done.stderr == ""


def test_an_interruption_ends_with_a_message_and_130(tree, capsys):
    def stop(data, name, options):
        raise KeyboardInterrupt

    assert main([str(tree)], transform=stop) == 130
    assert capsys.readouterr().err == "triton-kernels-migrate: interrupted: no file was written\n"


def test_an_unreadable_file_is_exit_code_2(tmp_path, monkeypatch, capsys):
    plant(tmp_path, {"a.py": OLD, "b.py": OLD})
    real = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("a.py"):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert main([str(tmp_path)], transform=old_to_new) == 2
    monkeypatch.undo()
    assert f"{tmp_path}/a.py TKM903 cannot be read: Input/output error" in capsys.readouterr().out
    assert contents(tmp_path) == {"a.py": OLD.encode(), "b.py": NEW.encode()}


@pytest.mark.parametrize("options", [["--check"], ["--diff"]])
def test_a_terminal_gets_colours(tree, options):
    """A real terminal device, of 40 columns."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "codemods.migrate", str(tree), *options],
        env={k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
        | {"PYTHONPATH": str(PROJECT), "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    said = b""
    try:
        while piece := os.read(parent, 4096):
            said += piece
    except OSError:  # the other end was closed
        pass
    os.close(parent)
    assert process.wait() == 1
    assert b"\x1b[1m" in said
    if options == ["--diff"]:
        assert b"\x1b[32m+from triton_kernels.matmul_ogs import RoutingData\x1b[0m" in said


# What it costs


def test_importing_the_command_imports_almost_nothing(tmp_path):
    code = (
        "import sys, time; before = set(sys.modules); start = time.perf_counter();"
        "import codemods.migrate; print(time.perf_counter() - start);"
        "print(*sorted(set(sys.modules) - before))"
    )
    times = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, modules = done.stdout.splitlines()
        times.append(float(seconds))
    assert min(times) < 0.060
    heavy = {"rich", "pathspec", "libcst", "concurrent", "argparse", "torch", "triton"}
    assert not heavy & set(modules.split())


def test_a_tree_with_nothing_to_do_needs_neither_table_nor_transforms(tmp_path):
    plant(tmp_path, {"a.py": ELSEWHERE, "pyproject.toml": "[project]\nname = 'x'\n"})
    code = (
        "import sys; from codemods.migrate import main;"
        f"assert main([{str(tmp_path)!r}]) == 0; print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Nothing to do" in done.stdout
    needless = {"triton_kernels.moves", "codemods.engine", "codemods.source", "libcst", "rich"}
    assert not needless & set(done.stderr.split())


def test_a_large_tree_with_nothing_to_do_costs_little_more_than_reading_it(tmp_path):
    """2,000 files; the bound is 20 times what it takes on an idle core of 2020."""
    plant(tmp_path, {f"p{n % 50}/m{n}.py": ELSEWHERE * 500 for n in range(2000)})
    start = time.perf_counter()
    done = migrate(tmp_path, cwd=tmp_path)
    assert done.returncode == 0
    assert time.perf_counter() - start < 4
    assert "2,000 files searched" in done.stdout
