"""README, .ci/run and the documents beside them say what is true of this tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codemods.source import SourceOptions, migrate_source
from triton_kernels import moves

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^```bash\n(.*?)\n```$", README, re.DOTALL | re.MULTILINE)
BEFORE, AFTER = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
DOCUMENTS = sorted(path.name for path in ROOT.glob("*.md"))


def test_readme_gives_one_command_to_migrate_and_one_to_test():
    migrate, test = COMMANDS
    assert "python -m codemods.migrate" in migrate
    assert "torch" not in migrate
    assert "python -m pytest" in test


@pytest.mark.parametrize("command", COMMANDS)
def test_ci_runs_the_commands_of_readme_verbatim(command):
    assert f"check '{command}'" in (ROOT / ".ci/run").read_text().splitlines()


def test_the_migration_turns_the_first_example_of_readme_into_the_second():
    result = migrate_source(BEFORE.encode(), SourceOptions(codes=frozenset(moves.BY_CODE)))
    assert result.new == AFTER.encode()
    assert not [finding for finding in result.findings if finding.left_for_a_person]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_of_a_document_lead_somewhere(name):
    prose = re.sub(r"^```.*?^```$|`[^`]*`", "", (ROOT / name).read_text(), flags=re.S | re.M)
    targets = re.findall(r"\]\(([^)#]+)", prose)
    missing = [t for t in targets if "://" not in t and not (ROOT / t).exists()]
    assert missing == []


def paths_of_tree() -> set[str]:
    """The paths that CONTRIBUTING's picture of the house names; a line's indent is its folder."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    picture = re.search(r"^```text\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)
    assert picture is not None
    folders: dict[int, str] = {-2: ""}
    paths = set()
    for line in picture[1].splitlines():
        name = line.split()[0]
        indent = len(line) - len(line.lstrip())
        path = folders[indent - 2] + name
        paths.add(path)
        if name.endswith("/"):
            folders[indent] = path
    return paths


def test_the_picture_of_the_house_names_only_what_exists():
    assert [path for path in sorted(paths_of_tree()) if not (ROOT / path).exists()] == []


def test_the_picture_of_the_house_names_every_room():
    named = paths_of_tree() | {"codemods/__init__.py"}
    rooms = {
        path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")
        for package in ("codemods", "triton_kernels")
        for path in (ROOT / package).iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    }
    # `x_details` holds the parts of `x`.
    assert {
        room for room in rooms - named if room.replace("_details/", ".py") not in named
    } == set()
