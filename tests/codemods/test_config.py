"""Settings in pyproject.toml: where they are found, what they mean, what is wrong with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from trees import OLD, git, old_to_new, plant, repository

from codemods.config import BadConfig, Settings, keys, load
from codemods.migrate import main
from codemods.source import SourceOptions
from triton_kernels.moves import BY_CODE

TABLE = "[tool.triton-kernels-migrate]\n"


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """The options that the transform gets from a run of the command in the folder."""
    monkeypatch.chdir(tmp_path)
    options: list[SourceOptions] = []

    def watch(data, name, given):
        options.append(given)
        return old_to_new(data, name, given)

    def go(text: str, *arguments: str) -> SourceOptions:
        plant(tmp_path, {"pyproject.toml": text, "a.py": OLD})
        assert main([".", "--check", *arguments], transform=watch) == 1
        return options[-1]

    return go


def test_settings_say_what_the_command_line_leaves_open(seen, capsys):
    text = TABLE + (
        'select = ["tkm001", "TKM002", "TKM003"]\nignore = ["TKM002"]\ntarget = "upstream-3.6"\n'
        'from = "3.6"\nunsafe = true\nvendored = ["vllm.third_party.triton_kernels"]\njobs = 1\n'
        'verify-imports = false\ngitignore = false\nexclude = ["gen/"]\n'
    )
    options = seen(text)
    assert options.codes & BY_CODE.keys() == {"TKM001", "TKM003"}
    assert (options.target, options.written_for, options.unsafe) == ("upstream-3.6", "3.6", True)
    assert options.vendored == ("vllm.third_party.triton_kernels",)


def test_the_command_line_goes_first(seen, capsys):
    text = TABLE + 'select = ["TKM001"]\ntarget = "upstream-3.6"\nunsafe = true\nvendored = ["x"]\n'
    options = seen(
        text, "--select", "TKM002", "--target", "bundled", "--no-unsafe", "--vendored", "y"
    )
    assert options.codes & BY_CODE.keys() == {"TKM002"}
    assert (options.target, options.unsafe, options.vendored) == ("bundled", False, ("y",))


def test_settings_can_be_passed_over(seen, capsys):
    assert seen(TABLE + "unsafe = true\n", "--no-config").unsafe is False
    assert seen(TABLE + "nonsense = [\n", "--no-config").unsafe is False


def test_which_files_is_a_setting_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = {".gitignore": "gen/\n", "gen/a.py": OLD, "b.py": OLD}
    repository(
        tmp_path, files | {"pyproject.toml": TABLE + 'gitignore = false\nexclude = ["b.*"]\n'}
    )
    assert main([".", "--check"], transform=old_to_new) == 1
    assert "gen/a.py: 1 place" in capsys.readouterr().out
    assert main([".", "--check", "--gitignore"], transform=old_to_new) == 0
    assert "b.py" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "argument", "found"),
    [
        ({"pyproject.toml": TABLE + "jobs = 3"}, ".", 3),
        ({"pyproject.toml": TABLE + "jobs = 3"}, "a/b", 3),
        ({"pyproject.toml": TABLE + "jobs = 3"}, "a/b/x.py", 3),
        ({"pyproject.toml": TABLE + "jobs = 3", "a/pyproject.toml": TABLE + "jobs = 2"}, "a/b", 2),
        ({"pyproject.toml": TABLE + "jobs = 3", "a/pyproject.toml": "[project]"}, "a/b", 3),
        ({"pyproject.toml": "[tool.other]\njobs = 3"}, ".", None),
        ({"pyproject.toml": "# triton-kernels-migrate\n[tool]"}, ".", None),
        ({"pyproject.toml": "not = [toml"}, ".", None),  # not our business
        ({"pyproject.toml/x": ""}, ".", None),
        ({}, ".", None),
    ],
)
def test_settings_are_those_of_the_nearest_file_that_has_any(tmp_path, files, argument, found):
    plant(tmp_path, {"a/b/x.py": OLD} | files)
    assert load([str(tmp_path / argument)]).jobs == found


def test_settings_of_several_paths_are_those_of_the_folder_of_all(tmp_path):
    plant(tmp_path, {"a/pyproject.toml": TABLE + "jobs = 2", "a/x.py": OLD, "b/y.py": OLD})
    assert load([str(tmp_path / "a/x.py"), str(tmp_path / "b")]).jobs is None
    assert load([str(tmp_path / "a/x.py"), str(tmp_path / "a")]).jobs == 2


def test_nothing_above_the_work_tree_is_a_setting(tmp_path):
    plant(tmp_path, {"pyproject.toml": TABLE + "jobs = 2", "tree/x.py": OLD})
    assert load([str(tmp_path / "tree")]).jobs == 2
    git(tmp_path / "tree", "init", "-q")
    assert load([str(tmp_path / "tree")]) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TABLE + "jobs = [\n", r"^pyproject\.toml:\d: "),
        (TABLE + "jobs 3\n", r"^pyproject\.toml:2: "),
        ("[project]\n\n" + TABLE + 'target = "x"\n\nunsafe = true\ntarget = "y"\n', r"toml:7: "),
        (TABLE.encode() + b"# \xff\n", r"^pyproject\.toml:2: it is not UTF-8"),
        ('tool.triton-kernels-migrate = "x"', "tool.triton-kernels-migrate is no table"),
        (TABLE + "\ntaget = 1", r"toml:3: unknown key 'taget': did you mean target\?"),
        (TABLE + "verify_imports = true", "unknown key 'verify_imports': did you mean verify-imp"),
        (TABLE + "x = 1", "unknown key 'x': known are select, ignore, exclude, vendored, target"),
        (TABLE + 'target = "upstream"', r"toml:2: unknown target 'upstream': did you mean upst"),
        (TABLE + 'from = "3.7"', r"unknown from '3.7': did you mean 3\.6\?"),
        (TABLE + "target = 3", "target: a string was expected, not 3"),
        (TABLE + 'select = "TKM001"', "select: a list of strings was expected, not 'TKM001'"),
        (TABLE + "exclude = [1]", "exclude: a list of strings was expected"),
        (TABLE + 'unsafe = "yes"', "unsafe: true or false was expected, not 'yes'"),
        (TABLE + "jobs = 0", "jobs: a whole number from 1 was expected, not 0"),
        (TABLE + "jobs = true", "jobs: a whole number from 1 was expected, not True"),
        ("[project]\nunsafe = 1\n" + TABLE + "unsafe = 1\n", r"toml:4: unsafe"),
        (TABLE + 'select = ["TKM0001"]', r"toml: unknown code 'TKM0001': did you mean TKM001\?"),
        (TABLE + 'ignore = ["nope"]', "pyproject.toml: unknown code 'NOPE': --list-codes"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, text, said
):
    monkeypatch.chdir(plant(tmp_path, {"pyproject.toml": text, "a.py": OLD}))
    assert main(["."], transform=old_to_new) == 2
    captured = capsys.readouterr()
    message = captured.err.removeprefix("triton-kernels-migrate: error: ")
    assert re.search(said, message), message
    assert captured.err.count("\n") == 1
    assert (tmp_path / "a.py").read_text() == OLD


def test_a_message_names_the_file_from_where_the_command_runs(tmp_path, monkeypatch):
    plant(tmp_path, {"x/pyproject.toml": TABLE + "jobs = 0", "y/a.py": OLD})
    monkeypatch.chdir(tmp_path / "y")
    with pytest.raises(BadConfig, match=r"^\.\./x/pyproject\.toml:2: jobs"):
        load([str(tmp_path / "x")])


def test_the_help_names_every_key(capsys):
    assert main(["--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    listed = said[said.index("[tool.triton-kernels-migrate]") :]
    assert all(key in listed for key in keys())


def test_no_setting_can_switch_the_guards_off():
    assert not {"allow-dirty", "keep-going", "check", "diff", "report", "save-patch"} & set(keys())


def test_a_path_that_is_not_there_has_no_settings():
    assert load(["nope\0", "x"]) == Settings()
    assert load([str(Path("/nope/nope"))]) == Settings()
