"""A tree in, outcomes out: what is done to which file, what is left alone, and how it adds up."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import CODES, ELSEWHERE, LEFT, NEW, OLD, contents, git, old_to_new, plant, repository

from codemods.findings import (
    CHANGED_MEANWHILE,
    CRASHED,
    STUCK,
    TOO_LARGE,
    UNCOMMITTED,
    UNREADABLE,
    UNWRITABLE,
    WITHHELD,
    Bucket,
    Finding,
    Severity,
)
from codemods.outcomes import RunOutcome
from codemods.pool import Task, migrate_all
from codemods.progress import NoProgress
from codemods.run import Interrupted, RunOptions, run
from codemods.source import SourceOptions, SourceResult
from codemods.worktree import uncommitted

OPTIONS = RunOptions(codes=CODES, jobs=1)


def go(root: Path, options: RunOptions = OPTIONS, transform=old_to_new) -> RunOutcome:
    return run([str(root)], options, transform=transform)


def statuses(outcome: RunOutcome) -> dict[str, str]:
    return {file.path: file.status for file in outcome.files}


def codes(outcome: RunOutcome) -> dict[str, list[str]]:
    return {
        file.path: [f.code for f in file.findings if f.code[3] == "9"] for file in outcome.files
    }


def test_a_tree_is_rewritten_and_every_file_that_mentions_the_library_has_its_outcome(tmp_path):
    repository(
        tmp_path, {"b.py": OLD, "a.py": LEFT, "c.py": ELSEWHERE, "d.py": NEW, "e/f.py": OLD + LEFT}
    )
    outcome = go(tmp_path)
    assert statuses(outcome) == {
        "a.py": "unchanged",
        "b.py": "rewritten",
        "d.py": "unchanged",
        "e/f.py": "rewritten",
    }
    assert list(statuses(outcome)) == sorted(statuses(outcome))
    assert contents(tmp_path) == {
        "a.py": LEFT.encode(),
        "b.py": NEW.encode(),
        "c.py": ELSEWHERE.encode(),
        "d.py": NEW.encode(),
        "e/f.py": (NEW + LEFT).encode(),
    }
    summary = outcome.summary
    assert (summary.seen, summary.searched, summary.mentioning) == (5, 5, 4)
    assert (summary.rewritten, summary.unchanged, summary.failed, summary.skipped) == (2, 2, 0, 0)
    assert (
        summary.mentions,
        summary.buckets[Bucket.CHANGED],
        summary.buckets[Bucket.FOR_A_PERSON],
    ) == (4, 2, 2)


def test_a_second_run_does_nothing(tmp_path):
    plant(tmp_path, {"a.py": OLD, "b.py": OLD + LEFT})
    go(tmp_path)
    before = contents(tmp_path)
    assert set(statuses(go(tmp_path)).values()) == {"unchanged"}
    assert contents(tmp_path) == before


def test_a_run_that_does_not_write_says_what_would_be(tmp_path):
    repository(tmp_path, {"a.py": OLD})
    plant(tmp_path, {"a.py": OLD + "\n"})  # uncommitted: nothing is at stake
    outcome = go(tmp_path, replace(OPTIONS, write=False))
    assert statuses(outcome) == {"a.py": "rewritten"}
    assert not outcome.written
    assert contents(tmp_path) == {"a.py": (OLD + "\n").encode()}


def test_texts_are_kept_for_a_diff_and_only_for_it(tmp_path):
    plant(tmp_path, {"a.py": OLD, "b.py": LEFT})
    (a, b) = go(tmp_path, replace(OPTIONS, write=False, keep_texts=True)).files
    assert (a.texts.patch_path, a.texts.before, a.texts.after) == (
        "a.py",
        OLD.encode(),
        NEW.encode(),
    )
    assert b.texts is None
    assert all(file.texts is None for file in go(tmp_path).files)


def test_a_patch_names_files_from_the_root_of_the_work_tree(tmp_path):
    repository(tmp_path, {"sub/a.py": OLD})
    (file,) = go(tmp_path / "sub", replace(OPTIONS, write=False, keep_texts=True)).files
    assert (file.path, file.texts.patch_path) == ("a.py", "sub/a.py")


# Files that git could not give back.


def modified(root: Path) -> None:
    plant(root, {"dirty.py": OLD + ELSEWHERE})


def staged(root: Path) -> None:
    modified(root)
    git(root, "add", "-A")


def untracked(root: Path) -> None:
    git(root, "rm", "-q", "--cached", "dirty.py")
    git(root, "commit", "-qm", "gone")


def ignored(root: Path) -> None:
    untracked(root)
    plant(root, {".git/info/exclude": "dirty.py\n"})


def unwatched(root: Path) -> None:
    modified(root)
    git(root, "update-index", "--assume-unchanged", "dirty.py")


def first_time(root: Path) -> None:
    git(root, "update-ref", "-d", "HEAD")
    git(root, "rm", "-q", "--cached", "clean.py", "left.py", "other.py")
    (root / "clean.py").unlink()


@pytest.mark.parametrize("state", [modified, staged, untracked, ignored, unwatched, first_time])
def test_a_file_with_uncommitted_work_is_named_and_keeps_its_bytes(tmp_path, state):
    files = {"dirty.py": OLD, "clean.py": OLD, "left.py": LEFT, "other.py": ELSEWHERE}
    repository(tmp_path, files)
    state(tmp_path)
    plant(tmp_path, {"left.py": LEFT + "#\n", "other.py": ELSEWHERE + "#\n"})  # dirty, untouched
    before = contents(tmp_path)
    options = replace(OPTIONS, gitignore=state is not ignored)
    outcome = go(tmp_path, options)
    assert codes(outcome)["dirty.py"] == [UNCOMMITTED.code]
    assert statuses(outcome)["dirty.py"] == "failed"
    assert outcome.summary.failed == 1
    after = contents(tmp_path)
    assert {name for name in before if before[name] != after[name]} <= {"clean.py"}
    assert outcome.summary.buckets[Bucket.CHANGED] == (0 if state is first_time else 1)
    assert not any(
        f.rewritten for file in outcome.files if file.status == "failed" for f in file.findings
    )

    assert go(tmp_path, replace(options, allow_dirty=True)).summary.failed == 0
    assert NEW.encode() in contents(tmp_path)["dirty.py"]


def test_where_git_cannot_say_a_file_counts_as_uncommitted(tmp_path, monkeypatch):
    repository(tmp_path, {"a.py": OLD})
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    (file,) = go(tmp_path).files
    assert [f.code for f in file.findings[:1]] == [UNCOMMITTED.code]
    assert "git cannot be run" in file.findings[0].message
    assert contents(tmp_path) == {"a.py": OLD.encode()}


def test_outside_git_nothing_is_asked(tmp_path):
    plant(tmp_path, {"a.py": OLD})
    assert statuses(go(tmp_path)) == {"a.py": "rewritten"}


def test_an_empty_folder_called_git_is_no_repository(tmp_path):
    plant(tmp_path, {"a.py": OLD, ".git/x": ""})
    assert statuses(go(tmp_path)) == {"a.py": "rewritten"}


def test_names_that_git_would_take_for_patterns_are_names(tmp_path):
    repository(
        tmp_path, {"[ab].py": OLD, "a.py": OLD, "*.py": OLD, ":(top)x.py": OLD, "s p\té.py": OLD}
    )
    plant(tmp_path, {"a.py": OLD + "\n"})
    failed = {path for path, status in statuses(go(tmp_path)).items() if status == "failed"}
    assert failed == {"a.py"}


def test_more_files_than_a_command_line_holds(tmp_path):
    """3,000 paths of 60 characters, of which one is dirty."""
    names = [f"{'package_with_a_long_name/' * 2}m{number:04}.py" for number in range(3000)]
    repository(tmp_path, dict.fromkeys(names, OLD))
    plant(tmp_path, {names[1700]: OLD + "\n"})
    assert uncommitted(str(tmp_path), names) == {names[1700]: "it is modified"}


# Troubles of the operating system.


def test_an_unreadable_file_is_named_and_the_others_are_done(tmp_path, monkeypatch):
    plant(tmp_path, {"a.py": OLD, "b.py": OLD})
    refuse_open(monkeypatch, "a.py")
    outcome = go(tmp_path)
    assert codes(outcome) == {"a.py": [UNREADABLE.code], "b.py": []}
    assert outcome.files[0].findings[0].message == "cannot be read: Permission denied"
    assert statuses(outcome) == {"a.py": "failed", "b.py": "rewritten"}
    assert (outcome.summary.seen, outcome.summary.searched) == (2, 1)


def refuse_open(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Permissions do not stop root, who may well run the tests."""
    real = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith(name):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("keep_going", [False, True])
def test_if_a_file_cannot_be_written_none_is_unless_asked_for(tmp_path, keep_going):
    plant(tmp_path, {"a.py": OLD, "b.py": OLD})
    (tmp_path / "b.py").chmod(0o444)
    outcome = go(tmp_path, replace(OPTIONS, keep_going=keep_going))
    a = NEW if keep_going else OLD
    assert contents(tmp_path) == {"a.py": a.encode(), "b.py": OLD.encode()}
    assert codes(outcome) == {
        "a.py": [] if keep_going else [WITHHELD.code],
        "b.py": [UNWRITABLE.code],
    }
    assert statuses(outcome) == {"a.py": "rewritten" if keep_going else "skipped", "b.py": "failed"}
    assert outcome.summary.buckets[Bucket.CHANGED] == keep_going
    assert outcome.summary.mentions == 2
    if not keep_going:
        cause = f"not written, since {tmp_path}/b.py could not be"
        assert outcome.files[0].findings[0].message == cause


def test_what_was_written_is_put_back_when_a_later_file_fails(tmp_path, monkeypatch):
    """The failure shows only while the third file is written: no check beforehand sees it."""
    plant(tmp_path, {f"{name}.py": OLD for name in "abcd"})
    (tmp_path / "a.py").chmod(0o750)
    real = os.replace
    seen = []

    def refuse(source, target):
        seen.append((Path(target).name, Path(source).read_bytes()))
        if target.endswith("c.py"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    outcome = go(tmp_path)
    monkeypatch.undo()
    assert [name for name, _ in seen] == ["a.py", "b.py", "c.py", "b.py", "a.py"]
    assert contents(tmp_path) == {f"{name}.py": OLD.encode() for name in "abcd"}
    assert (tmp_path / "a.py").stat().st_mode & 0o777 == 0o750
    assert codes(outcome) == {
        "a.py": [WITHHELD.code],
        "b.py": [WITHHELD.code],
        "c.py": [UNWRITABLE.code],
        "d.py": [WITHHELD.code],
    }
    assert (outcome.summary.rewritten, outcome.summary.skipped) == (0, 3)


def test_a_file_that_cannot_be_put_back_is_said(tmp_path, monkeypatch):
    plant(tmp_path, {"a.py": OLD, "b.py": OLD})
    real = os.replace

    def refuse(source, target):
        if target.endswith("b.py"):
            (tmp_path / "a.py").write_text("theirs\n")
            raise OSError(errno.EIO, "Input/output error")
        return real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    outcome = go(tmp_path)
    assert codes(outcome) == {"a.py": [STUCK.code], "b.py": [UNWRITABLE.code]}
    assert contents(tmp_path) == {"a.py": b"theirs\n", "b.py": OLD.encode()}


def test_a_file_with_uncommitted_work_does_not_hold_the_others_up(tmp_path):
    repository(tmp_path, {"a.py": OLD, "b.py": OLD})
    modified(tmp_path)
    plant(tmp_path, {"b.py": OLD + "\n"})
    assert statuses(go(tmp_path))["a.py"] == "rewritten"


def test_a_file_that_changes_during_the_run_keeps_its_new_owners_bytes(tmp_path):
    plant(tmp_path, {"a.py": OLD, "b.py": OLD})

    def slow(data, name, options):
        (tmp_path / "b.py").write_text(OLD + "# theirs\n")
        return old_to_new(data, name, options)

    outcome = go(tmp_path, transform=slow)
    assert codes(outcome) == {"a.py": [WITHHELD.code], "b.py": [CHANGED_MEANWHILE.code]}
    assert contents(tmp_path) == {"a.py": OLD.encode(), "b.py": (OLD + "# theirs\n").encode()}


def test_a_gigantic_file_is_one_finding_and_only_if_it_mentions_the_library(tmp_path):
    filler = b"# filler\n" * 1_200_000
    plant(tmp_path, {"a.py": OLD, "data.py": filler, "large.py": filler + OLD.encode()})
    outcome = go(tmp_path)
    assert codes(outcome) == {"a.py": [], "large.py": [TOO_LARGE.code]}
    (large,) = outcome.files[1].findings
    assert large.message == "not looked at: it holds 10.8 MB, and the limit is 10 MB"
    assert (outcome.summary.seen, outcome.summary.rewritten, outcome.summary.failed) == (3, 1, 1)


def test_the_name_of_the_library_is_seen_across_two_pieces_of_a_gigantic_file(tmp_path):
    data = b"#" * ((1 << 20) - 6) + b"triton_kernels" + b"\n#" * 5_000_000
    plant(tmp_path, {"a.py": data})
    assert codes(go(tmp_path)) == {"a.py": [TOO_LARGE.code]}


def test_nothing_is_written_before_all_is_computed(tmp_path):
    plant(tmp_path, {f"{name}.py": OLD for name in "abcd"})

    def watch(data, name, options):
        assert set(contents(tmp_path).values()) == {OLD.encode()}
        return old_to_new(data, name, options)

    assert go(tmp_path, transform=watch).summary.rewritten == 4


class StopAtTheThird(NoProgress):
    def begin(self, what, total):
        self.what, self.done = what, 0

    def advance(self, count):
        self.done += count
        if self.what == "writing" and self.done == 3:
            raise KeyboardInterrupt


def test_an_interruption_while_files_are_written_puts_them_back(tmp_path):
    plant(tmp_path, {f"{name}.py": OLD for name in "abcd"})
    with pytest.raises(Interrupted, match="no file was written"):
        run([str(tmp_path)], OPTIONS, transform=old_to_new, progress=StopAtTheThird())
    assert set(contents(tmp_path).values()) == {OLD.encode()}


def test_an_interruption_that_may_leave_files_says_how_many_were_written(tmp_path):
    plant(tmp_path, {f"{name}.py": OLD for name in "abcd"})
    options = replace(OPTIONS, keep_going=True)
    with pytest.raises(Interrupted, match="3 of 4 files were written"):
        run([str(tmp_path)], options, transform=old_to_new, progress=StopAtTheThird())
    assert Counter(contents(tmp_path).values()) == {NEW.encode(): 3, OLD.encode(): 1}


def test_an_interruption_before_the_writing_says_so(tmp_path):
    plant(tmp_path, {"a.py": OLD})

    def stop(data, name, options):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="no file was written"):
        go(tmp_path, transform=stop)


# Defects of the transform, and processes.


def faulty(data: bytes, name: str, options: SourceOptions) -> SourceResult:
    """Raises on one file, takes its process down on another."""
    if b"# raise" in data:
        raise ZeroDivisionError("division by zero")
    if b"# die" in data:
        os.kill(os.getpid(), signal.SIGKILL)
    return old_to_new(data, name, options)


def test_a_defect_of_the_tool_costs_only_the_file_that_shows_it(tmp_path):
    plant(tmp_path, {"a.py": OLD, "b.py": OLD + "# raise\n", "c.py": OLD})
    outcome = go(tmp_path, transform=faulty)
    assert codes(outcome) == {"a.py": [], "b.py": [CRASHED.code], "c.py": []}
    assert "ZeroDivisionError: division by zero" in outcome.files[1].findings[0].message


@pytest.fixture(params=["fork", "spawn"])
def start_method(request):
    if request.param not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this system")
    return request.param


def large_sources(count: int) -> list[bytes]:
    """Sources large enough that a pool is used for them."""
    return [OLD.encode() + b"# %d\n" % number * 40_000 for number in range(count)]


def tasks(sources: list[bytes]) -> list[Task]:
    return [Task(data, "a.py", SourceOptions(codes=CODES)) for data in sources]


def test_a_pool_gives_what_one_process_gives(start_method):
    sources = [*large_sources(9), b"", OLD.encode()]
    steps: list[int] = []
    alone = migrate_all(tasks(sources), old_to_new, jobs=1)
    together = migrate_all(
        tasks(sources), old_to_new, jobs=2, on_done=steps.append, start_method=start_method
    )
    assert together == alone
    assert sum(steps) == len(sources)


def test_a_process_that_dies_costs_only_the_file_it_died_of(start_method):
    sources = large_sources(5)
    sources[3] += b"# die\n"
    sources[1] += b"# raise\n"
    results = migrate_all(tasks(sources), faulty, jobs=2, start_method=start_method)
    crashed = [[f.code for f in r.findings if f.code == CRASHED.code] for r in results]
    assert crashed == [[], [CRASHED.code], [], [CRASHED.code], []]
    assert [result.failed for result in results] == [False, True, False, True, False]


def processes_used(data: bytes, name: str, options: SourceOptions) -> SourceResult:
    said = Finding(0, 0, str(os.getpid()), Severity.INFO, "", "")
    return SourceResult(None, (said,))


@pytest.mark.parametrize(
    ("sources", "jobs", "in_a_pool"),
    [
        ([b"x" * 1000] * 50, 2, False),  # 50 KB are done before a pool has started
        ([b"x" * 300_000] * 3, 2, False),
        (large_sources(8), 1, False),
        (large_sources(8), 2, True),
    ],
)
def test_processes_are_started_only_where_they_pay(sources, jobs, in_a_pool):
    results = migrate_all(tasks(sources), processes_used, jobs=jobs)
    pids = {result.findings[0].code for result in results}
    assert (str(os.getpid()) not in pids) is in_a_pool


# The sums.

PLACES = st.lists(
    st.tuples(st.sampled_from([*Bucket, None]), st.sampled_from(list(Severity))), max_size=6
)


@settings(deadline=None, max_examples=40)
@given(files=st.lists(st.tuples(PLACES, st.booleans(), st.booleans(), st.booleans()), max_size=6))
def test_every_mention_ends_in_one_bucket_and_every_file_in_one_status(tmp_path_factory, files):
    """Whatever the transform says of a file, and whether or not it can be written."""
    keep_going = replace(OPTIONS, keep_going=True)
    root = tmp_path_factory.mktemp("tree")
    results = {}
    for number, (places, changes, fails, read_only) in enumerate(files):
        name = f"f{number}.py"
        plant(root, {name: f"# triton_kernels {number}\n"})
        (root / name).chmod(0o444 if read_only else 0o644)
        findings = tuple(
            Finding(line, 1, "TKM001", severity, "", "", bucket)
            for line, (bucket, severity) in enumerate(places, 1)
        )
        new = b"new %d\n" % number if changes and not fails else None
        results[(root / name).read_bytes()] = SourceResult(new, findings, fails)
    outcome = go(root, keep_going, lambda data, name, options: results[data])
    summary = outcome.summary
    said = sum(bucket is not None for places, *_ in files for bucket, _ in places)
    assert summary.mentions == said == sum(summary.buckets.values())
    assert len(outcome.files) == len(files) == summary.mentioning
    assert Counter(statuses(outcome).values()) == +Counter(
        rewritten=summary.rewritten, unchanged=summary.unchanged, failed=summary.failed
    )
    for number, file in enumerate(outcome.files):
        on_disk = (root / file.path).read_bytes()
        assert (file.status == "rewritten") == (on_disk == b"new %d\n" % number)
        if file.status == "failed" and files[number][1] and not files[number][2]:
            assert not any(finding.rewritten for finding in file.findings)
