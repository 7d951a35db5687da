"""A file gets new bytes whole or not at all, and stays what it is otherwise."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trees import OLD, PROJECT, contents, git, migrate, plant, repository

from codemods.writing import Change, ChangedMeanwhile, NotWritten, Writer, write_all


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(b"old\n")
    return path


def write(path: Path, before: bytes = b"old\n", after: bytes = b"new\n") -> None:
    Writer().write(Change(str(path), before, after))


def test_the_new_bytes_take_the_place_of_the_old(file):
    write(file, after=b"new\r\n\x00\xff" * 100_000)
    assert file.read_bytes() == b"new\r\n\x00\xff" * 100_000
    assert os.listdir(file.parent) == ["a.py"]


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o4755, 0o664])
def test_the_mode_stays(file, mode):
    file.chmod(mode)
    write(file)
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_the_owner_stays(file):
    os.chown(file, 1234, 4321)
    file.chmod(0o640)
    write(file)
    facts = file.stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (1234, 4321, 0o640)


def test_the_time_of_writing_is_now_so_that_builds_see_it(file):
    os.utime(file, (1, 1))
    write(file)
    assert time.time() - file.stat().st_mtime < 60


def test_a_file_that_somebody_else_wrote_meanwhile_keeps_their_bytes(file):
    file.write_bytes(b"theirs\n")
    with pytest.raises(ChangedMeanwhile):
        write(file)
    assert contents(file.parent) == {"a.py": b"theirs\n"}


def test_a_read_only_file_stays_even_for_those_who_could_write_it(file):
    file.chmod(0o444)
    with pytest.raises(NotWritten, match=r"read-only \(mode 0444\)"):
        write(file)
    assert contents(file.parent) == {"a.py": b"old\n"}


def test_a_file_that_is_gone_is_not_brought_back(file):
    file.unlink()
    with pytest.raises(NotWritten, match="No such file"):
        write(file)
    assert contents(file.parent) == {}


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "utime"])
@pytest.mark.parametrize(
    "trouble", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_whatever_breaks_off_a_write_leaves_old_bytes_and_no_temporary(
    file, monkeypatch, call, trouble
):
    def fail(*arguments, **options):
        raise trouble

    monkeypatch.setattr(os, call, fail)
    with pytest.raises((NotWritten, KeyboardInterrupt)) as caught:
        write(file)
    monkeypatch.undo()
    assert isinstance(trouble, KeyboardInterrupt) or "No space left" in str(caught.value)
    assert contents(file.parent) == {"a.py": b"old\n"}


def test_a_write_that_takes_less_than_all_goes_on(file, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:3]))
    write(file, after=b"0123456789")
    monkeypatch.undo()
    assert file.read_bytes() == b"0123456789"


def test_two_names_of_one_file_stay_two_names_of_one_file(file):
    twin = file.parent / "b.py"
    os.link(file, twin)
    writer = Writer()
    writer.write(Change(str(file), b"old\n", b"new\n"))
    assert twin.read_bytes() == b"old\n"  # a name outside the run keeps what it had
    writer.write(Change(str(twin), b"old\n", b"new\n"))
    assert file.stat().st_ino == twin.stat().st_ino
    assert contents(file.parent) == {"a.py": b"new\n", "b.py": b"new\n"}


def test_where_links_are_not_to_be_had_both_names_get_the_new_bytes(file, monkeypatch):
    twin = file.parent / "b.py"
    os.link(file, twin)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no")))
    writer = Writer()
    writer.write(Change(str(file), b"old\n", b"new\n"))
    writer.write(Change(str(twin), b"old\n", b"new\n"))
    assert contents(file.parent) == {"a.py": b"new\n", "b.py": b"new\n"}


def test_a_linked_file_is_written_where_it_really_is(tmp_path):
    plant(tmp_path, {".real/x.py": OLD})
    (tmp_path / "x.py").symlink_to(".real/x.py")
    assert migrate(tmp_path, cwd=tmp_path).returncode == 0
    assert (tmp_path / "x.py").is_symlink()
    assert b"matmul_ogs" in (tmp_path / ".real/x.py").read_bytes()


@pytest.mark.parametrize("options", [[], ["--keep-going"]])
def test_a_full_disk_leaves_all_as_it_was_or_costs_only_what_does_not_fit(tmp_path, options):
    """A limit on the size of files stands in for the disk; the kernel refuses just as it does."""
    repository(tmp_path, {"a.py": OLD, "large.py": OLD + "# filler\n" * 20_000, "z.py": OLD})
    done = subprocess.run(
        [sys.executable, "-m", "codemods.migrate", str(tmp_path), "--jobs", "1", *options],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"{tmp_path}/large.py TKM904 cannot be written: File too large" in done.stdout
    changed = git(tmp_path, "status", "--porcelain").split()
    assert changed == (["M", "a.py", "M", "z.py"] if options else [])


def test_a_new_file_gets_the_mode_that_the_user_gives_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        Writer().write(Change(str(tmp_path / "new.py"), None, b"new\n"))
    finally:
        os.umask(before)
    assert contents(tmp_path) == {"new.py": b"new\n"}
    assert stat.S_IMODE((tmp_path / "new.py").stat().st_mode) == 0o640


def test_a_new_file_takes_nobodys_place(file):
    with pytest.raises(ChangedMeanwhile):
        Writer().write(Change(str(file), None, b"new\n"))
    assert contents(file.parent) == {"a.py": b"old\n"}


@pytest.mark.parametrize("number", range(12))
def test_all_changes_are_made_or_none_whichever_step_fails(tmp_path, monkeypatch, number):
    """Two names of one file, a new file and a plain one; every write, link and rename in turn."""
    plant(tmp_path, {"a.py": b"old\n", "c.py": b"old\n"})
    os.link(tmp_path / "a.py", tmp_path / "b.py")
    changes = [
        Change(str(tmp_path / "helper.py"), None, b"helper\n"),
        *(Change(str(tmp_path / name), b"old\n", b"new\n") for name in ("a.py", "b.py", "c.py")),
    ]
    steps = 0

    def failing(real):
        def step(*arguments, **options):
            nonlocal steps
            steps += 1
            if steps - 1 == number:
                raise OSError(errno.EIO, "Input/output error")
            return real(*arguments, **options)

        return step

    for name in ("write", "link", "replace"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    result = write_all(changes)
    monkeypatch.undo()
    if result.failures:
        assert contents(tmp_path) == dict.fromkeys(("a.py", "b.py", "c.py"), b"old\n")
        assert len(result.failures) + len(result.withheld) == len(changes)
    else:
        assert number == 4 or number >= steps  # a link that fails has a substitute
        expected = dict.fromkeys(("a.py", "b.py", "c.py"), b"new\n") | {"helper.py": b"helper\n"}
        assert contents(tmp_path) == expected
    assert result.stuck == {}


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_killed_at_any_moment_leaves_every_file_old_or_new(tmp_path, signum):
    names = [f"p{number % 7}/m{number}.py" for number in range(400)]
    plant(tmp_path, dict.fromkeys(names, OLD))
    new = OLD.replace("routing", "matmul_ogs").encode()
    for attempt in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "codemods.migrate", str(tmp_path), "-q"],
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_new = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < wait_for_new:
            done = sum((tmp_path / name).read_bytes() == new for name in names)
            if done > 80 * attempt:  # in the middle of the writing, a little later each time
                break
        process.send_signal(signum)
        said = process.communicate(timeout=30)[1]
        assert {(tmp_path / name).read_bytes() for name in names} <= {OLD.encode(), new}
        beside = set(contents(tmp_path)) - set(names)
        assert all(name.endswith(".tmp") for name in beside)
        if process.returncode in (0, 1):
            break  # it was quicker than the signal
        assert process.returncode in (-signum, 130)
        if signum != signal.SIGKILL:
            assert not beside
            assert "interrupted: " in said
            assert "written" in said
    done = migrate(tmp_path, cwd=tmp_path)
    assert done.returncode == 0
    assert {(tmp_path / name).read_bytes() for name in names} == {new}


@pytest.mark.parametrize("part", range(10))
def test_a_run_killed_at_any_moment_of_its_life_leaves_every_file_old_or_new(tmp_path, part):
    """From before the first import to after the last rename, a tenth of the way each time."""
    names = [f"m{number}.py" for number in range(60)]
    plant(tmp_path, dict.fromkeys(names, OLD))
    new = OLD.replace("routing", "matmul_ogs").encode()
    process = subprocess.Popen(
        [sys.executable, "-m", "codemods.migrate", str(tmp_path), "-q"],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(0.06 * part)
    process.kill()
    process.wait(timeout=30)
    assert {(tmp_path / name).read_bytes() for name in names} <= {OLD.encode(), new}
    assert migrate(tmp_path, cwd=tmp_path).returncode == 0
    assert {(tmp_path / name).read_bytes() for name in names} == {new}
