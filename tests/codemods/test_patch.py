"""--save-patch: the whole change as one file that takes it back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from trees import ELSEWHERE, LEFT, NEW, OLD, contents, old_to_new, plant, repository

from codemods.helper_module import FILE
from codemods.migrate import main
from codemods.source import SourceResult

TREE = {
    "a.py": OLD + LEFT,
    "pkg/__init__.py": "",
    "pkg/b.py": "x = 1\r\n" + OLD.strip(),
    "pkg/é f.py": b"# coding: latin-1\n" + OLD.encode() + b"y = '\xe9'",
    "c.py": ELSEWHERE,
}


def use_helper(data, name, options):
    new = f"from {options.helper} import legacy_routing".encode()
    return SourceResult(data.replace(OLD.strip().encode(), new))


def apply(root: Path, patch: Path, *options: str) -> None:
    subprocess.run(["git", "apply", *options, str(patch)], cwd=root, check=True)


@pytest.mark.parametrize(
    ("transform", "options"),
    [(old_to_new, []), (use_helper, ["--target", "upstream-3.6"])],
    ids=["bundled", "with new files"],
)
@pytest.mark.parametrize("make", [plant, repository], ids=["outside git", "in git"])
def test_git_takes_the_change_back_and_makes_it_again(tmp_path, make, transform, options, capsys):
    root = make(tmp_path / "tree", TREE)
    patch = tmp_path / "change.patch"
    before = contents(root)
    main([str(root), "--save-patch", str(patch), *options], transform=transform)
    after = contents(root)
    assert after != before
    assert (f"pkg/{FILE}" in after) == (transform is use_helper)
    apply(root, patch, "-R")
    assert contents(root) == before
    apply(root, patch)
    assert contents(root) == after


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_a_preview_saves_what_would_be_changed(tmp_path, option, capsysbinary):
    root = plant(tmp_path / "tree", TREE)
    patch = tmp_path / "change.patch"
    main([str(root), option, "--save-patch", str(patch)], transform=old_to_new)
    if option == "--diff":
        assert capsysbinary.readouterr().out == patch.read_bytes()
    apply(root, patch)
    assert contents(root)["a.py"] == (NEW + LEFT).encode()


def test_the_patch_is_on_the_disk_before_the_first_file_is_written(tmp_path, monkeypatch, capsys):
    root = plant(tmp_path / "tree", {"a.py": OLD, "b.py": OLD})
    patch = tmp_path / "change.patch"
    real = os.replace

    def look(source, target):
        assert patch.read_bytes().count(b"diff --git") == 2
        return real(source, target)

    monkeypatch.setattr(os, "replace", look)
    assert main([str(root), "--save-patch", str(patch)], transform=old_to_new) == 0


def test_without_a_place_for_the_patch_nothing_is_written(tmp_path, capsys):
    root = plant(tmp_path / "tree", {"a.py": OLD})
    assert main([str(root), "--save-patch", "/dev/full"], transform=old_to_new) == 2
    assert "/dev/full cannot be written: No space left on device" in capsys.readouterr().err
    assert contents(root) == {"a.py": OLD.encode()}


def test_the_patch_holds_what_was_written_and_no_more(tmp_path, capsys):
    root = plant(tmp_path / "tree", {"a.py": OLD, "b.py": OLD})
    patch = tmp_path / "change.patch"
    (root / "b.py").chmod(0o444)
    assert main([str(root), "--save-patch", str(patch)], transform=old_to_new) == 2
    assert patch.read_bytes() == b""
    arguments = [str(root), "--keep-going", "--save-patch", str(patch)]
    assert main(arguments, transform=old_to_new) == 2
    assert patch.read_bytes().count(b"diff --git") == 1
    apply(root, patch, "-R")
    assert contents(root) == {"a.py": OLD.encode(), "b.py": OLD.encode()}
