"""Which files are found: git's rules, our own, links, and what is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from trees import ELSEWHERE, OLD, git, plant, repository

from codemods.discovery import BadPattern, Discovery, MissingPath, discover
from codemods.file_kinds import needles_of
from codemods.progress import NoProgress


def found(*arguments: Path, exclude: tuple[str, ...] = (), gitignore: bool = True) -> list[str]:
    return [
        candidate.name
        for candidate in look(*arguments, exclude=exclude, gitignore=gitignore).candidates
    ]


def look(*arguments: Path, exclude: tuple[str, ...] = (), gitignore: bool = True) -> Discovery:
    return discover([str(path) for path in arguments], exclude, gitignore, NoProgress())


@pytest.fixture(params=["in git", "outside git"])
def make(request: pytest.FixtureRequest):
    return repository if request.param == "in git" else plant


def test_python_files_and_stubs_are_found_in_a_stable_order(make, tmp_path):
    make(tmp_path, {"b/x.py": OLD, "a.py": OLD, "c.pyi": OLD, "d.txt": OLD, "b/a/y.py": OLD})
    assert found(tmp_path) == ["a.py", "b/a/y.py", "b/x.py", "c.pyi"]


def test_notebooks_and_files_that_pin_the_library_are_found(make, tmp_path):
    pin = "triton-kernels==1.0\n"
    names = [
        "n.ipynb",
        "requirements-dev.txt",
        "pyproject.toml",
        "docker/Dockerfile.cuda",
        "x.cmake",
    ]
    make(tmp_path, dict.fromkeys([*names, "notes.txt", "x.toml", "Makefile"], pin + OLD))
    assert found(tmp_path) == sorted(names)
    # A pin is spelled with a dash, too: elsewhere that is no mention.
    make_again = dict.fromkeys(names, pin) | {"a.py": pin}
    plant(tmp_path, make_again)
    assert found(tmp_path) == sorted(set(names) - {"n.ipynb"})


def test_a_vendored_copy_under_another_name_makes_candidates(tmp_path):
    plant(tmp_path, {"a.py": "from x.tk.routing import routing\n", "b.py": OLD, "c.py": ELSEWHERE})
    assert found(tmp_path) == ["b.py"]
    needles = needles_of(["x.tk", "vllm.third_party.triton_kernels"])
    assert needles == (b"triton_kernels", b"tk")
    seen = discover([str(tmp_path)], (), True, NoProgress(), needles)
    assert [candidate.name for candidate in seen.candidates] == ["a.py", "b.py"]


def test_a_file_that_does_not_mention_the_library_is_counted_and_not_kept(make, tmp_path):
    make(tmp_path, {"a.py": OLD, "b.py": ELSEWHERE, "empty.py": ""})
    seen = look(tmp_path)
    assert [c.name for c in seen.candidates] == ["a.py"]
    assert (seen.seen, seen.searched) == (3, 3)


@pytest.mark.parametrize(
    ("rules", "ignored"),
    [
        ({".gitignore": "build/\n"}, ["build/x.py", "sub/build/x.py"]),
        ({".gitignore": "/build/\n"}, ["build/x.py"]),
        ({".gitignore": "*.gen.py\n!keep.gen.py\n"}, ["a.gen.py", "sub/a.gen.py"]),
        ({"sub/.gitignore": "a.gen.py\n"}, ["sub/a.gen.py"]),
        (
            {".gitignore": "*.gen.py\n", "sub/.gitignore": "!a.gen.py\n"},
            ["a.gen.py", "keep.gen.py"],
        ),
        ({".gitignore": "# build\n\\#x.py\nsub/**/x.py\n"}, ["#x.py", "sub/build/x.py"]),
        ({".gitignore": "!\nbuild/\n"}, ["build/x.py", "sub/build/x.py"]),  # a rule git cannot read
    ],
)
def test_what_gitignore_files_name_is_skipped_with_git_and_without(make, tmp_path, rules, ignored):
    names = [
        "a.gen.py",
        "keep.gen.py",
        "#x.py",
        "x.py",
        "build/x.py",
        "sub/build/x.py",
        "sub/a.gen.py",
    ]
    plant(tmp_path, rules)  # before the commit, so that git does not track what is ignored
    make(tmp_path, dict.fromkeys(names, OLD))
    assert found(tmp_path) == sorted(set(names) - set(ignored))
    assert found(tmp_path, gitignore=False) == sorted(names)


def test_files_that_git_tracks_are_taken_though_a_rule_names_them(tmp_path):
    repository(tmp_path, {"a.py": OLD})
    plant(tmp_path, {".gitignore": "a.py\n"})
    assert found(tmp_path) == ["a.py"]


def test_files_new_to_git_are_taken_and_deleted_ones_are_no_trouble(tmp_path):
    repository(tmp_path, {"a.py": OLD, "gone.py": OLD})
    (tmp_path / "gone.py").unlink()
    plant(tmp_path, {"new.py": OLD})
    assert found(tmp_path) == ["a.py", "new.py"]
    assert not look(tmp_path).troubles


def test_a_file_in_conflict_comes_once(tmp_path):
    repository(tmp_path, {"a.py": OLD})
    git(tmp_path, "checkout", "-q", "-b", "side")
    plant(tmp_path, {"a.py": OLD + "1\n"})
    git(tmp_path, "commit", "-qam", "side")
    git(tmp_path, "checkout", "-q", "-")
    plant(tmp_path, {"a.py": OLD + "2\n"})
    git(tmp_path, "commit", "-qam", "main")
    with pytest.raises(Exception, match="merge"):
        git(tmp_path, "merge", "side")
    assert found(tmp_path) == ["a.py"]


def test_hidden_folders_environments_and_other_peoples_packages_are_skipped(make, tmp_path):
    make(
        tmp_path,
        {
            "a.py": OLD,
            ".hidden.py": OLD,
            ".tox/x.py": OLD,
            "sub/.nox/deep/x.py": OLD,
            "env/pyvenv.cfg": "home = /usr/bin\n",
            "env/lib/x.py": OLD,
            "node_modules/gyp/x.py": OLD,
        },
    )
    assert found(tmp_path) == [".hidden.py", "a.py"]
    assert found(tmp_path, gitignore=False) == [".hidden.py", "a.py"]


def test_links_out_of_the_tree_are_not_followed(make, tmp_path):
    outside = plant(tmp_path / "outside", {"x.py": OLD, "folder/y.py": OLD})
    tree = tmp_path / "tree"
    plant(tree, {"a.py": OLD})
    (tree / "x.py").symlink_to(outside / "x.py")
    (tree / "folder").symlink_to(outside / "folder")
    (tree / "nowhere.py").symlink_to(tmp_path / "not there.py")
    (tree / "loop.py").symlink_to("loop.py")
    make(tree, {})
    assert found(tree) == ["a.py"]
    assert not look(tree).troubles


def test_a_tracked_folder_that_became_a_link_is_not_followed(tmp_path):
    outside = plant(tmp_path / "outside", {"x.py": OLD})
    tree = repository(tmp_path / "tree", {"folder/x.py": OLD, "a.py": OLD})
    (tree / "folder/x.py").unlink()
    (tree / "folder").rmdir()
    (tree / "folder").symlink_to(outside)
    assert found(tree) == ["a.py"]


def test_a_link_inside_the_tree_leads_to_the_real_file_once(make, tmp_path):
    plant(tmp_path, {"real.py": OLD, ".hidden/x.py": OLD})
    (tmp_path / "a_link.py").symlink_to("real.py")
    (tmp_path / "b_link.py").symlink_to(".hidden/x.py")
    make(tmp_path, {})
    candidates = look(tmp_path).candidates
    assert {c.name: c.location for c in candidates} == {
        "real.py": str(tmp_path / "real.py"),
        "b_link.py": str(tmp_path / ".hidden/x.py"),
    }


@pytest.mark.parametrize("name", ["plain.txt", ".hidden/x.py", "ignored.py", "env/x.py"])
def test_a_file_named_by_the_user_is_taken_whatever_would_skip_it(make, tmp_path, name):
    plant(tmp_path, {".gitignore": "ignored.py\n", "env/pyvenv.cfg": ""})
    make(tmp_path, {name: OLD})
    assert found(tmp_path / name, exclude=("*",)) == [Path(name).name]


def test_a_folder_that_git_ignores_is_searched_when_the_user_names_it(tmp_path):
    repository(
        tmp_path,
        {
            ".gitignore": "build/\n",
            "build/a.py": OLD,
            "build/.gitignore": "b.py\n",
            "build/b.py": OLD,
        },
    )
    assert found(tmp_path) == []
    assert found(tmp_path / "build") == ["a.py"]


def test_a_folder_below_the_root_of_a_repository_obeys_the_rules_above_it(tmp_path):
    repository(tmp_path, {".gitignore": "*.gen.py\n", "sub/a.py": OLD, "sub/a.gen.py": OLD})
    assert found(tmp_path / "sub") == ["a.py"]


def test_without_git_at_hand_the_rules_of_the_work_tree_hold(tmp_path, monkeypatch):
    repository(
        tmp_path,
        {
            ".gitignore": "*.gen.py\n/sub/top.py\n",
            "sub/a.py": OLD,
            "sub/a.gen.py": OLD,
            "sub/top.py": OLD,
        },
    )
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    assert found(tmp_path) == ["sub/a.py"]
    assert found(tmp_path / "sub") == ["a.py"]


def test_a_git_hook_does_not_lead_us_to_its_own_repository(tmp_path, monkeypatch):
    repository(tmp_path / "hook", {"other.py": OLD})
    tree = repository(tmp_path / "tree", {"a.py": OLD})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "hook/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "hook"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "hook/.git/index"))
    assert found(tree) == ["a.py"]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (("b/",), ["a.py", "c/b.py"]),
        (("*.py", "!a.py"), ["a.py"]),
        (("/b/x.py",), ["a.py", "b/c/z.py", "c/b.py"]),
        (("**/c",), ["a.py", "b/x.py"]),
    ],
)
def test_exclude_reads_patterns_as_gitignore_does(make, tmp_path, patterns, left):
    make(tmp_path, dict.fromkeys(["a.py", "b/x.py", "b/c/z.py", "c/b.py"], OLD))
    assert found(tmp_path, exclude=patterns) == left
    assert found(tmp_path, exclude=patterns, gitignore=False) == left


def test_a_bad_exclude_pattern_is_an_error(tmp_path):
    with pytest.raises(BadPattern, match="!"):
        found(tmp_path, exclude=("!",))


def test_the_same_file_comes_once_under_the_first_argument(make, tmp_path):
    make(tmp_path, {"sub/a.py": OLD, "b.py": OLD})
    seen = look(tmp_path / "sub", tmp_path, tmp_path / "b.py", tmp_path)
    assert [(c.tree.argument, c.name) for c in seen.candidates] == [
        (str(tmp_path / "sub"), "a.py"),
        (str(tmp_path), "b.py"),
    ]
    assert seen.seen == 2


def test_a_missing_path_is_named_before_anything_is_read(tmp_path):
    plant(tmp_path, {"a.py": OLD})
    with pytest.raises(MissingPath, match=r"nope: No such file"):
        look(tmp_path, tmp_path / "nope")
    (tmp_path / "dangling.py").symlink_to("nowhere")
    with pytest.raises(MissingPath, match=r"dangling\.py"):
        look(tmp_path / "dangling.py")


def test_pipes_and_folders_with_the_name_of_a_file_hold_nothing_up(make, tmp_path):
    plant(tmp_path, {"a.py": OLD, "folder.py/b.py": OLD})
    os.mkfifo(tmp_path / "pipe.py")
    make(tmp_path, {})
    assert found(tmp_path) == ["a.py", "folder.py/b.py"]
    with pytest.raises(MissingPath, match="neither"):
        look(tmp_path / "pipe.py")


def test_a_repository_inside_is_not_entered_and_is_named(tmp_path):
    repository(tmp_path, {"a.py": OLD})
    repository(tmp_path / "clone", {"b.py": OLD})
    seen = look(tmp_path)
    assert [c.name for c in seen.candidates] == ["a.py"]
    assert seen.nested == [f"{tmp_path}/clone/"]
    git(
        tmp_path,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        "./clone",
        "clone",
    )
    seen = look(tmp_path)
    assert [c.name for c in seen.candidates] == ["a.py"]
    assert seen.nested == [f"{tmp_path}/clone/"]


def test_names_that_are_no_text_are_found(make, tmp_path):
    name = os.fsdecode(b"caf\xe9 \n\xff.py")
    make(tmp_path, {name: OLD})
    assert found(tmp_path) == [name]


def test_a_folder_that_cannot_be_listed_is_trouble_and_the_others_are_searched(
    tmp_path, monkeypatch
):
    plant(tmp_path, {"a.py": OLD, "closed/b.py": OLD})
    scandir = os.scandir

    def refuse(path):
        if str(path).rstrip("/").endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    seen = look(tmp_path)
    assert [c.name for c in seen.candidates] == ["a.py"]
    assert [(t.name, t.error.strerror) for t in seen.troubles] == [("closed/", "Permission denied")]


def test_a_file_that_grows_while_it_is_read_is_read_whole(tmp_path, monkeypatch):
    plant(tmp_path, {"a.py": OLD})
    read, grown = os.read, []

    def grow(handle, size):
        if not grown:
            grown.append(True)
            with open(tmp_path / "a.py", "a") as file:
                file.write("# more\n" * 1000)
        return read(handle, size)

    monkeypatch.setattr(os, "read", grow)
    (candidate,) = look(tmp_path).candidates
    assert candidate.data == (tmp_path / "a.py").read_bytes()
