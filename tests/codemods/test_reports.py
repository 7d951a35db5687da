"""What is said: for programs, for people, and as a patch."""

from __future__ import annotations

import io
import json
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import CODES, ELSEWHERE, LEFT, OLD, contents, git, old_to_new, plant, repository

from codemods.findings import UNREADABLE, Bucket, Finding, Severity
from codemods.outcomes import FileOutcome, RunOutcome, Summary, Texts
from codemods.reports import diff, json_report, output, progress_bar, text
from codemods.reports.lines import line, plain, printable
from codemods.run import RunOptions, run

VERBOSE, NORMAL, QUIET = text.Verbosity.VERBOSE, text.Verbosity.NORMAL, text.Verbosity.QUIET

CHANGED = Finding(2, 1, "TKM001", Severity.INFO, "moved", "", Bucket.CHANGED)
LEFT_HERE = Finding(3, 5, "TKM004", Severity.WARNING, "stays", "Do it.", Bucket.FOR_A_PERSON)
PROSE = Finding(9, 3, "TKM001", Severity.INFO, "only prose", "", Bucket.PROSE)


def outcome_of(
    *files: FileOutcome, written: bool = True, nested: tuple[str, ...] = ()
) -> RunOutcome:
    findings = [finding for file in files for finding in file.findings]
    count = [file.status for file in files].count
    summary = Summary(
        seen=10,
        searched=10,
        mentioning=len(files),
        rewritten=count("rewritten"),
        created=count("created"),
        unchanged=count("unchanged"),
        failed=count("failed"),
        skipped=count("skipped"),
        buckets={b: sum(f.bucket is b for f in findings) for b in Bucket},
        seconds=0.25,
    )
    return RunOutcome(("src",), files, summary, written, nested)


def file_of(path: str, status: str, *findings: Finding) -> FileOutcome:
    return FileOutcome(path, "src", f"src/{path}", status, findings)


MIXED = outcome_of(
    file_of("a.py", "rewritten", CHANGED, LEFT_HERE, PROSE),
    file_of("b.py", "failed", UNREADABLE.finding("cannot be read: Permission denied")),
    file_of("c.py", "unchanged", PROSE),
)


def said(outcome: RunOutcome, verbosity: text.Verbosity = NORMAL) -> str:
    return plain(text.render(outcome, verbosity))


# JSON


def test_the_json_report_has_this_shape():
    assert json.loads(json_report.render(MIXED)) == {
        "version": 1,
        "target": "bundled",
        "written": True,
        "files": [
            {
                "path": "a.py",
                "argument": "src",
                "status": "rewritten",
                "findings": [
                    {
                        "code": "TKM001",
                        "severity": "info",
                        "line": 2,
                        "column": 1,
                        "message": "moved",
                        "remedy": "",
                        "rewritten": True,
                        "bucket": "changed",
                    },
                    {
                        "code": "TKM004",
                        "severity": "warning",
                        "line": 3,
                        "column": 5,
                        "message": "stays",
                        "remedy": "Do it.",
                        "rewritten": False,
                        "bucket": "for a person",
                    },
                    {
                        "code": "TKM001",
                        "severity": "info",
                        "line": 9,
                        "column": 3,
                        "message": "only prose",
                        "remedy": "",
                        "rewritten": False,
                        "bucket": "comment or docstring",
                    },
                ],
            },
            {
                "path": "b.py",
                "argument": "src",
                "status": "failed",
                "findings": [
                    {
                        "code": "TKM903",
                        "severity": "error",
                        "line": 0,
                        "column": 0,
                        "message": "cannot be read: Permission denied",
                        "remedy": UNREADABLE.remedy,
                        "rewritten": False,
                        "bucket": None,
                    }
                ],
            },
            {
                "path": "c.py",
                "argument": "src",
                "status": "unchanged",
                "findings": [
                    {
                        "code": "TKM001",
                        "severity": "info",
                        "line": 9,
                        "column": 3,
                        "message": "only prose",
                        "remedy": "",
                        "rewritten": False,
                        "bucket": "comment or docstring",
                    }
                ],
            },
        ],
        "summary": {
            "seen": 10,
            "searched": 10,
            "mentioning": 3,
            "rewritten": 1,
            "created": 0,
            "unchanged": 1,
            "failed": 1,
            "skipped": 0,
            "mentions": 4,
            "buckets": {
                "changed": 1,
                "already new": 0,
                "guarded": 0,
                "for a person": 1,
                "comment or docstring": 2,
            },
            "nested": [],
        },
    }


def test_the_json_report_of_one_tree_is_the_same_every_time(tmp_path):
    plant(tmp_path, {"b.py": OLD + LEFT, "a/c.py": LEFT, "a.py": OLD})
    options = RunOptions(codes=CODES, write=False)
    first, second = (
        json_report.render(run([str(tmp_path)], options, transform=old_to_new)) for _ in range(2)
    )
    assert first == second
    assert [file["path"] for file in json.loads(first)["files"]] == ["a.py", "a/c.py", "b.py"]


# Text


def test_the_text_report_groups_by_file_troubles_first_and_ends_with_the_sums():
    assert said(MIXED) == (
        "src/b.py TKM903 cannot be read: Permission denied\n"
        f"    {UNREADABLE.remedy}\n"
        "\n"
        "src/a.py:3:5 TKM004 stays\n"
        "    Do it.\n"
        "\n"
        "Rewritten\n"
        "  src/a.py: 1 place\n"
        "\n"
        "Left for a person (--explain CODE says more)\n"
        "  TKM004  warning  1 place in 1 file  triton_kernels.routing.ExptData\n"
        "  TKM903  error    1 place in 1 file  file cannot be read\n"
        "\n"
        "4 mentions of old names: 1 changed, 1 for a person, 2 comment or docstring.\n"
        "1 file rewritten, 1 file failed, 1 place in 1 file left for a person"
        " (10 files searched in 0.25 s).\n"
    )


def test_the_verbose_report_also_has_the_places_that_are_right():
    report = said(MIXED, VERBOSE)
    assert "src/a.py:2:1 TKM001 moved\n" in report
    assert "src/c.py:9:3 TKM001 only prose\n" in report


def test_the_quiet_report_has_errors_and_the_last_line():
    lines = said(MIXED, QUIET).splitlines()
    assert [text.split()[0] for text in lines] == ["src/b.py", "Mend", "1"]


def test_a_preview_says_what_would_be():
    report = said(outcome_of(file_of("a.py", "rewritten", CHANGED), written=False))
    assert "Would be rewritten\n  src/a.py: 1 place\n" in report
    assert "1 mention of old names: 1 would change.\n" in report
    assert "1 file would be rewritten (10 files" in report


def test_a_file_that_failed_is_one_thing_to_do_whatever_was_found_in_it():
    failure = UNREADABLE.finding("cannot be written")
    report = said(outcome_of(file_of("a.py", "failed", failure, *[LEFT_HERE] * 30)))
    assert report.count("src/a.py") == 1
    assert "TKM004" not in report


def test_nothing_to_do_is_said():
    nothing = outcome_of()
    assert (
        said(nothing)
        == "Nothing to do: no file mentions triton_kernels (10 files searched in 0.25 s).\n"
    )


def test_an_empty_tree_is_said(tmp_path):
    outcome = run([str(tmp_path)], RunOptions(codes=CODES), transform=old_to_new)
    assert said(outcome) == f"No Python files in {tmp_path}.\n"


def test_a_repository_that_was_not_entered_is_said():
    assert "src/clone/ is a repository of its own and was not entered" in said(
        outcome_of(nested=("src/clone/",))
    )


def test_ten_thousand_findings_make_a_short_report_that_counts_the_rest():
    files = [file_of(f"{n:04}.py", "rewritten", CHANGED, *[LEFT_HERE] * 10) for n in range(1000)]
    error = file_of("z.py", "failed", UNREADABLE.finding("cannot be read"))
    report = said(outcome_of(*files, error))
    assert report.count("\n") < 200
    assert "... and 9,951 more places in 996 files" in report
    assert "... and 970 more files" in report
    assert "TKM004  warning  10,000 places in 1,000 files" in report
    assert report.startswith("src/z.py TKM903")  # never cut off
    assert said(outcome_of(*files, error), VERBOSE).count("\n") > 10_000


def test_piped_lines_are_not_wrapped_nor_coloured():
    stream = io.StringIO()
    output.write_lines(stream, [line(("x" * 500, "bold red"), " [bold]y[/bold]")])
    assert stream.getvalue() == "x" * 500 + " [bold]y[/bold]\n"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours_and_whole_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    output.write_lines(stream, text.render(MIXED))
    assert "\x1b[1;31mTKM903\x1b[0m" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plainer = Terminal()
    output.write_lines(plainer, [line(("word " * 60, "red"))])
    assert plainer.getvalue() == "word " * 60 + "\n"


# Names that are no text


WEIRD = os.fsdecode(b"caf\xe9 \x1b[31m\n\xff\xc3\xa9.py")


@pytest.mark.parametrize("make", [plant, repository])
def test_names_that_are_no_text_crash_no_report(tmp_path, make):
    make(tmp_path, {WEIRD: OLD + LEFT})
    options = RunOptions(codes=CODES, write=False, keep_texts=True)
    outcome = run([str(tmp_path)], options, transform=old_to_new)
    report = said(outcome, VERBOSE)
    assert "caf\\xe9 \\x1b[31m\\n\\xffé.py:1:1 TKM001" in report
    assert json.loads(json_report.render(outcome))["files"][0]["path"] == WEIRD
    assert b'"a/caf\\351 \\033[31m\\n\\377\\303\\251.py"' in diff.render(outcome)
    for encoding in ("ascii", "utf-8"):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding)
        output.write_lines(stream, text.render(outcome, VERBOSE))
        output.write_bytes(stream, diff.render(outcome))
        assert raw.getvalue()
    output.write_lines(Terminal(), diff.coloured(diff.render(outcome)))


@given(name=st.binary().map(os.fsdecode))
def test_any_name_is_printable_on_one_line(name):
    shown = printable(name)
    assert shown.isprintable()
    shown.encode("utf-8")


# The patch


def patched(before: bytes, after: bytes, path: str = "a.py") -> bytes:
    file = FileOutcome(path, ".", path, "rewritten", (), Texts(path, before, after))
    return diff.render(outcome_of(file))


PIECES = st.lists(
    st.sampled_from(
        [b"a", b"b", b"- c", b"+++ d", b"\xff\xe9", b"\t ", b"", b"\x0c", b"e\rf", b"\\ g"]
    ),
    max_size=14,
)
ENDS = st.sampled_from([b"\n", b"\r\n"])


def text_of(pieces: list[bytes], end: bytes, last: bytes) -> bytes:
    return end.join(pieces) + last


TEXTS = st.builds(text_of, PIECES, ENDS, st.sampled_from([b"", b"\n", b"\r\n"]))


@settings(deadline=None, max_examples=40)
@given(before=TEXTS, after=TEXTS)
def test_git_apply_makes_of_the_old_bytes_the_new_ones_and_back(tmp_path_factory, before, after):
    if before == after or not before or not after:  # an empty file is made or removed otherwise
        return
    root = plant(tmp_path_factory.mktemp("tree"), {"a.py": before})
    patch = patched(before, after)
    for arguments, expected in (([], after), (["-R"], before)):
        subprocess.run(["git", "apply", "-p1", *arguments], cwd=root, input=patch, check=True)
        assert (root / "a.py").read_bytes() == expected


@pytest.mark.parametrize(
    "name", ["a b.py", "é.py", 'quo"te.py', "back\\slash.py", "tab\tb.py", "sub/x.py"]
)
@pytest.mark.parametrize("before", [OLD, OLD.rstrip(), OLD.replace("\n", "\r\n") + ELSEWHERE])
def test_the_patch_of_a_run_applies_with_git_and_with_patch(tmp_path, name, before):
    plain_copy = plant(tmp_path / "plain", {name: before})
    repo = repository(tmp_path / "repo", {name: before, "other.py": ELSEWHERE})
    options = RunOptions(codes=CODES, write=False, keep_texts=True)
    after = before.replace("routing", "matmul_ogs").encode()

    def rename(data, name, options):
        return old_to_new(data, name, options).__class__(data.replace(b"routing", b"matmul_ogs"))

    patch = diff.render(run([str(repo)], options, transform=rename))
    assert patch == diff.render(run([str(plain_copy)], options, transform=rename))
    subprocess.run(["git", "apply"], cwd=repo, input=patch, check=True)
    assert (repo / name).read_bytes() == after
    assert len(git(repo, "diff", "--name-only", "-z").rstrip("\0").split("\0")) == 1
    subprocess.run(["patch", "-p1", "-s", "--binary"], cwd=plain_copy, input=patch, check=True)
    assert contents(plain_copy) == {name: after}


def test_the_patch_is_what_git_itself_would_say(tmp_path):
    before = "".join(f"line {n}\n" for n in range(40)) + OLD + "x\n" * 20 + OLD + "y\n" * 3
    repository(tmp_path, {"a.py": before})
    options = RunOptions(codes=CODES, keep_texts=True)
    patch = diff.render(run([str(tmp_path)], options, transform=old_to_new)).decode()
    theirs = git(tmp_path, "diff", "--no-color", "--no-ext-diff", "-U3")
    without_index = [text for text in theirs.splitlines() if not text.startswith("index ")]
    bare = [
        text.split(" @@")[0] + " @@" if text.startswith("@@") else text for text in without_index
    ]
    assert patch.splitlines() == bare


# The progress bar


def test_the_bar_is_for_those_who_wait(monkeypatch):
    stream = Terminal()
    bar = progress_bar.ProgressBar(stream)
    bar.begin("searching", 3)
    bar.advance(1)
    bar.close()
    assert stream.getvalue() == ""
    monkeypatch.setattr(progress_bar, "_PATIENCE_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    bar = progress_bar.ProgressBar(stream)
    bar.begin("searching", 3)
    bar.advance(1)
    bar.close()
    assert "searching" in stream.getvalue()
