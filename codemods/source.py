"""ONE file: bytes in, (new bytes, findings) out.  A pure function, the heart, used by all else."""

from __future__ import annotations

from dataclasses import dataclass

from codemods.findings import Finding


@dataclass(frozen=True)
class SourceOptions:
    """What a migration of one file depends on besides its bytes.

    codes: the codes that may be rewritten and reported; the others are left alone in silence.
    """

    codes: frozenset[str]


@dataclass(frozen=True)
class SourceResult:
    """new: the rewritten bytes, or None where nothing changes.  failed: no rewrite was possible."""

    new: bytes | None
    findings: tuple[Finding, ...] = ()
    failed: bool = False


def mentions_library(data: bytes) -> bool:
    """Whether the bytes can concern us at all: False means the file is never parsed."""
    return b"triton_kernels" in data


def migrate_source(data: bytes, options: SourceOptions) -> SourceResult:
    """Migrate one Python file."""
    raise NotImplementedError
