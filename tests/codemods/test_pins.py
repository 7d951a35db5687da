"""Pins of the library: found in the files in which projects pin dependencies, and only reported."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rewriting import ALL

from codemods import targets
from codemods.findings import PIN
from codemods.pins import is_pin_file, report_pins
from codemods.source import SourceResult, migrate_file

PIN_FILES = [
    "requirements.txt",
    "requirements-dev.txt",
    "dev_requirements.in",
    "requirements/cuda.txt",
    "constraints.txt",
    "pyproject.toml",
    "setup.cfg",
    "Dockerfile",
    "Dockerfile.rocm",
    "docker/Dockerfile",
    "rocm.Dockerfile",
    "Containerfile",
    "CMakeLists.txt",
    "cmake/external_projects/triton_kernels.cmake",
]


@pytest.mark.parametrize("name", PIN_FILES)
def test_files_in_which_projects_pin(name: str) -> None:
    assert is_pin_file(name)


@pytest.mark.parametrize(
    "name", ["notes.txt", "x.py", "requirements.md", "Dockerfiles", "setup.py", "x.toml", "docs/x"]
)
def test_other_files(name: str) -> None:
    assert not is_pin_file(name)


GIT = "git+https://github.com/triton-lang/triton.git"
FORMS = {
    "a release": (f"triton_kernels @ {GIT}@v3.5.0#subdirectory=python/triton_kernels", "v3.5.0"),
    "a commit": (
        '    "triton-kernels @ git+https://github.com/triton-lang/triton'
        '@0add68262ab0a2e33b84524346cb27cbb2787356#subdirectory=python/triton_kernels",',
        "0add68262ab0a2e33b84524346cb27cbb2787356",
    ),
    "a branch, without the name": (
        f"{GIT}@release/3.6.x#subdirectory=python/triton_kernels",
        "release/3.6.x",
    ),
    "no release, that is, main": (
        f"triton_kernels @ {GIT}#subdirectory=python/triton_kernels",
        "no release",
    ),
    "an egg": (f"-e {GIT}@main#egg=triton_kernels&subdirectory=python/triton_kernels", "main"),
    "in a table": (
        'triton_kernels = { git = "https://x/triton", tag = "v3.5.1", subdirectory = "python" }',
        "v3.5.1",
    ),
    "a tag in CMake": ('set(DEFAULT_TRITON_KERNELS_TAG "v3.6.0")', "v3.6.0"),
    "an argument of a Dockerfile": ("ARG TRITON_KERNELS_REF=v3.5.0", "v3.5.0"),
    "a checkout": ("RUN pip install ./python/triton_kernels", "no release"),
    "a version on an index": ("triton-kernels==0.1.0  # not upstream's", "0.1.0"),
}


@pytest.mark.parametrize(("line", "ref"), FORMS.values(), ids=FORMS.keys())
def test_a_pin_is_reported_with_what_it_pins(line: str, ref: str) -> None:
    text = f"torch>=2.10\n# triton_kernels is below\n{line}\nnumpy\n"
    [found] = report_pins(text.encode(), "requirements.txt")
    assert (found.line, found.code) == (3, PIN.code)
    assert found.left_for_a_person
    assert f"pinned to {ref};" in found.message


SILENT = f"triton_kernels @ {GIT}@v3.5.0#subdirectory=python/triton_kernels"


def test_a_comment_silences_a_pin() -> None:
    line = f"{SILENT}  # triton-kernels: ignore[TKM911]\n"
    assert report_pins(line.encode(), "requirements.txt") == ()


PINS_IN_PYTHON = {
    "a list of requirements": f'install_requires = ["torch", "{SILENT}"]\n',
    "a command": f'run(["pip", "install", "{GIT}@main#subdirectory=python/triton_kernels"])\n',
}


@pytest.mark.parametrize("text", PINS_IN_PYTHON.values(), ids=PINS_IN_PYTHON.keys())
def test_a_pin_in_python_code_is_reported(text: str) -> None:
    [found] = migrate_file(text.encode(), "setup.py", ALL).findings
    assert found.code == PIN.code
    assert migrate_file(text.strip().encode() + b"  # triton-kernels: ignore\n", "x.py", ALL) == (
        SourceResult(None)
    )


def test_a_docstring_that_tells_how_to_install_is_no_pin() -> None:
    assert migrate_file(f'"""Install {SILENT}."""\n'.encode(), "x.py", ALL).findings == ()


def test_a_repository_that_cmake_fetches() -> None:
    text = (
        "FetchContent_Declare(\n  repo-triton\n"
        '  GIT_REPOSITORY "https://github.com/triton-lang/triton"\n  GIT_TAG v3.5.0\n)\n'
    )
    [found] = report_pins(text.encode(), "CMakeLists.txt")
    assert (found.line, found.column) == (3, 3)
    assert "v3.5.0" in found.message


NO_PINS = {
    "a comment": f"# triton_kernels @ {GIT}@v3.5.0#subdirectory=python/triton_kernels",
    "another package": "my_triton_kernels==1.0\ntriton-kernels-extra>=2\nx/triton_kernels==1",
    "a mention": "description = the triton_kernels of our time",
    "triton itself": "triton==3.5.0",
    "a folder of somebody": "COPY vllm/third_party/triton_kernels /x",
}


@pytest.mark.parametrize("text", NO_PINS.values(), ids=NO_PINS.keys())
def test_no_pins(text: str) -> None:
    assert report_pins(text.encode(), "requirements.txt") == ()


def test_on_upstream_its_release_is_right() -> None:
    data = f"triton_kernels @ {GIT}@v3.6.0#subdirectory=python/triton_kernels\n".encode()
    [found] = report_pins(data, "requirements.txt", targets.UPSTREAM_3_6)
    assert not found.left_for_a_person
    data = data.replace(b"v3.6.0", b"v3.5.0")
    [found] = report_pins(data, "requirements.txt", targets.UPSTREAM_3_6)
    assert found.left_for_a_person


def test_a_pin_file_is_never_rewritten_and_needs_no_encoding() -> None:
    data = b"\xff\xfe triton_kernels==1.0\n"
    result = migrate_file(data, "requirements.txt", ALL)
    assert result.new is None
    assert not result.failed
    assert [found.code for found in result.findings] == [PIN.code]


def test_pins_are_not_reported_where_they_are_not_selected() -> None:
    options = replace(ALL, codes=ALL.codes - {PIN.code})
    assert migrate_file(b"triton-kernels==1.0\n", "requirements.txt", options).findings == ()
