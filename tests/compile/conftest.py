"""What the kernels compile to, on every GPU that the library promises to compile for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import triton

from tests.support.child_pytest import hooks

pytest_pycollect_makemodule, pytest_runtest_protocol = hooks(
    Path(__file__).parent, {"TRITON_INTERPRET": None}
)


@pytest.fixture(scope="session", autouse=True)
def _compiler(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Triton's settings: what it compiled is kept in pytest's cache, apart from that of real GPUs.

    Fusion of products and sums is the default up to 3.9, which warns that 3.10 will change it.
    """
    cache = getattr(pytestconfig, "cache", None)  # absent with -p no:cacheprovider
    folder = cache.mkdir("triton") if cache else tmp_path_factory.mktemp("triton")
    with triton.knobs.cache.scope(), triton.knobs.language.scope():
        triton.knobs.cache.dir = str(folder)
        triton.knobs.language.default_fp_fusion = True
        yield
