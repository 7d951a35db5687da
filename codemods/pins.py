"""Where a project says which release of the library it depends on: reported, never rewritten.

A pin must move together with the code that runs on it.  Which release, from which index, and when
is for a person to decide; that a file pins one is easily overlooked, since no Python says so.
"""

from __future__ import annotations

import re
from dataclasses import replace

from codemods import targets
from codemods.file_kinds import is_pin_file as is_pin_file
from codemods.file_kinds import mentions_pin as mentions_pin
from codemods.findings import PIN, Finding, Severity
from codemods.ignores import is_ignored

_REF = r"(?P<ref>[\w./+-]*[\w])"
_GIT = (
    rf"git\+[\w+:/@.~-]*?/triton(?:\.git)?(?:@{_REF})?"
    r"[#?][^\s\"']*subdirectory=python/triton_kernels"
)

# The forms of a pin, as they stand in a line; `ref` is what is pinned.
_FORMS = tuple(
    re.compile(form, re.I)
    for form in (
        # triton_kernels @ git+https://github.com/triton-lang/triton.git@REF#subdirectory=...
        rf"(?<![\w./-])triton[_-]kernels\s*(?:\[[^\]]*\])?\s*@\s*(?:{_GIT}|\S+)",
        _GIT,
        # set(DEFAULT_TRITON_KERNELS_TAG "v3.5.0"), ARG TRITON_KERNELS_REF=v3.5.0
        rf"\b\w*TRITON_KERNELS_(?:GIT_)?(?:TAG|REF|VERSION|COMMIT|BRANCH|SHA)\b[\s\"'=:]+{_REF}",
        # triton_kernels = {{ git = "...", rev = "REF" }}
        r"(?<![\w./-])[\"']?triton[_-]kernels[\"']?\s*=\s*\{.*?\}",
        # triton-kernels==0.1.0
        r"(?<![\w./-])triton[_-]kernels\s*(?:[=~!<>]=|<|>)\s*(?P<ref>[\w.*+!-]+)",
        # pip install ./python/triton_kernels
        r"(?<=\binstall )[^\n]*\bpython/triton_kernels(?![\w-])",
    )
)
_REV = re.compile(rf"\b(?:rev|tag|branch)\s*=\s*[\"']{_REF}[\"']")
# A CMake file that fetches the whole of triton: the tag stands in a line of its own.
_FETCH = re.compile(
    r"GIT_REPOSITORY\s+[\"']?\S*?/triton-lang/triton(?:\.git)?[\"']?\s+"
    rf"(?:#[^\n]*\s+)*GIT_TAG\s+[\"']?{_REF}",
    re.I,
)
_COMMENT = re.compile(r"^\s*(?:#|//)")
_RELEASE_36 = re.compile(r"^(?:release/)?v?3\.6(?:\.|$)")


def report_pins(data: bytes, name: str, target: str = targets.BUNDLED) -> tuple[Finding, ...]:
    """A finding for each pin of the library in the file, in the order of the lines."""
    if not mentions_pin(data):
        return ()
    text = data.decode("utf-8", "replace")
    found: list[tuple[int, str]] = []
    start = 0
    for line in text.splitlines(keepends=True):
        if not _COMMENT.match(line) and not is_ignored(line, PIN.code):
            match = next((match for form in _FORMS if (match := form.search(line))), None)
            if match is not None:
                found.append((start + match.start(), _ref_of(match)))
        start += len(line)
    if name.endswith((".cmake", ".txt")):
        found += [(match.start(), match["ref"]) for match in _FETCH.finditer(text)]
    return tuple(_finding(text, offset, ref, target) for offset, ref in sorted(found))


def _ref_of(match: re.Match[str]) -> str:
    ref = match.groupdict().get("ref")
    if ref is None and (rev := _REV.search(match.group())):
        ref = rev["ref"]
    return ref or ""


def pin_in(text: str, target: str) -> tuple[Severity, str] | None:
    """What is to be said of a pin in a string of Python code, if there is one."""
    match = next((match for form in _FORMS if (match := form.search(text))), None)
    return None if match is None else _verdict(_ref_of(match), target)


def _finding(text: str, offset: int, ref: str, target: str) -> Finding:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    severity, message = _verdict(ref, target)
    return replace(PIN.finding(message, line, column), severity=severity)


def _verdict(ref: str, target: str) -> tuple[Severity, str]:
    what = f"triton_kernels is pinned to {ref}" if ref else "triton_kernels is pinned to no release"
    if target == targets.BUNDLED:
        return PIN.severity, f"{what}; the migrated code runs on this library"
    if _RELEASE_36.match(ref):
        return Severity.INFO, f"{what}, which is what the migrated code runs on"
    return PIN.severity, f"{what}; the migrated code runs on release 3.6.0"
