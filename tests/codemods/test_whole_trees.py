"""Code that nobody wrote for us: the whole standard library, and all that is installed here."""

from __future__ import annotations

import json
import random
import sysconfig
from pathlib import Path

import pytest
from rewriting import ALL
from trees import NEW, OLD, migrate

from codemods.findings import UNDECODABLE, UNPARSABLE
from codemods.source import migrate_source

STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
INSTALLED = Path(sysconfig.get_path("purelib"))


@pytest.mark.parametrize("tree", [STANDARD_LIBRARY, INSTALLED], ids=["stdlib", "site-packages"])
def test_nothing_crashes_and_nothing_would_change(tree, tmp_path):
    done = migrate("--check", "--report", "json", "--no-gitignore", tree, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(done.stdout)
    assert document["summary"]["searched"] > 100
    assert document["summary"]["rewritten"] == document["summary"]["failed"] == 0


def sample(count: int) -> list[Path]:
    """Files of the standard library, the same ones on every run, tests of the parser included."""
    files = sorted(STANDARD_LIBRARY.rglob("*.py"))
    files = [file for file in files if "site-packages" not in file.parts]
    return random.Random(0).sample(files, min(count, len(files)))


@pytest.mark.parametrize("part", range(4))
def test_in_any_file_an_old_import_at_its_end_is_rewritten_and_nothing_else(part):
    """The whole way, as no file of the standard library would go by itself."""
    treated = 0
    for file in sample(160)[part::4]:
        before = file.read_bytes() + b"\n"
        result = migrate_source(before + OLD.encode(), ALL)
        codes = [finding.code for finding in result.findings]
        if result.failed:
            assert set(codes) <= {UNPARSABLE.code, UNDECODABLE.code}, (file, result.findings)
            continue
        assert result.new == before + NEW.encode(), (file, result.findings)
        assert codes == ["TKM003"], (file, result.findings)
        treated += 1
    assert treated > 30
