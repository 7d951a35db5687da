"""README, .ci/run and the documents beside them say what is true of this tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from codemods.source import SourceOptions, migrate_source
from triton_kernels import moves

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^```bash\n(.*?)\n```$", README, re.DOTALL | re.MULTILINE)
BEFORE, AFTER, LAYER = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
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


def test_the_layer_of_readme_is_a_mixture_of_experts():
    """Each token's experts, one after the other, in float64."""
    namespace: dict[str, Any] = {}
    exec(LAYER, namespace)
    n_tokens, hidden, inner, n_experts, k = 9, 8, 6, 5, 2
    x, logits = torch.randn(n_tokens, hidden), torch.randn(n_tokens, n_experts)
    w1, b1 = torch.randn(n_experts, hidden, 2 * inner), torch.randn(n_experts, 2 * inner)
    w2, b2 = torch.randn(n_experts, inner, hidden), torch.randn(n_experts, hidden)
    expected = torch.zeros(n_tokens, hidden, dtype=torch.float64)
    for token in range(n_tokens):
        values, experts = logits[token].double().topk(k)
        for weight, expert in zip(values.softmax(0), experts.tolist(), strict=True):
            pre = x[token].double() @ w1[expert].double() + b1[expert].double()
            gate, linear = pre[0::2].clamp(max=7.0), pre[1::2].clamp(-7.0, 7.0)
            h = gate * torch.sigmoid(1.702 * gate) * (linear + 1.0)
            expected[token] += weight * (h @ w2[expert].double() + b2[expert].double())
    got = namespace["layer"](x, logits, w1, b1, w2, b2, k)
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-4)


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
