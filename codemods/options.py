"""What a migration of one file depends on besides its bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceOptions:
    """What a migration of one file depends on besides its bytes.

    codes: the codes that may be rewritten and reported; the others are left alone in silence.
    target: what the rewritten code will run on, see `codemods.targets`.
    unsafe: make the rewrites that are right in all likelihood, too.
    written_for: the release that the code was written for where names of two releases mean
        opposite things, "pr8375" or "3.6"; "" = unknown.
    vendored: dotted prefixes of copies of the library that are treated as the library.
    helper: dotted path by which the file would import the target's helper module, see
        `codemods.helper_module` ("" = not known).
    """

    codes: frozenset[str]
    target: str = "bundled"
    unsafe: bool = False
    written_for: str = ""
    vendored: tuple[str, ...] = ()
    helper: str = ""
