"""The report for people: grouped by file, short however long the list, the sum at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import IntEnum

from codemods.findings import Bucket, Finding, Severity
from codemods.outcomes import FileOutcome, RunOutcome
from codemods.reports.lines import Line, line, printable

SHOWN_PLACES = 50
SHOWN_FILES = 30
"""More than a few screens hold are counted, not shown, unless all are asked for."""

_URGENCY = {"failed": 0, "skipped": 1}
"""Of a file's status: the cause first, then what followed from it."""
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


class Verbosity(IntEnum):
    QUIET = -1
    """Errors and the last line."""
    NORMAL = 0
    """What was rewritten by file, what is left by place, the sums."""
    VERBOSE = 1
    """Every place, also those that were rewritten or are right as they are; no bound."""


def render(outcome: RunOutcome, verbosity: Verbosity = Verbosity.NORMAL) -> Iterator[Line]:
    yield from _places(outcome, verbosity)
    if verbosity > Verbosity.QUIET:
        yield from _rewritten(outcome, verbosity)
        yield from _table(outcome)
        yield from _nested(outcome)
        yield from _mentions(outcome)
    yield line((_last_line(outcome), "bold"))


def _places(outcome: RunOutcome, verbosity: Verbosity) -> Iterator[Line]:
    """Places grouped by file, those of files that failed first."""
    shown = [(file, _shown(file, verbosity)) for file in outcome.files]
    shown.sort(key=lambda pair: _URGENCY.get(pair[0].status, 2))
    room = sum(len(findings) for _, findings in shown)
    if verbosity < Verbosity.VERBOSE:
        room = min(room, SHOWN_PLACES)
    hidden = Counter[str]()
    for file, findings in shown:
        for finding in findings[:room]:
            yield from _place(file, finding)
        if findings[:room] and verbosity > Verbosity.QUIET:
            yield line()
        if findings[room:]:
            hidden[file.shown] += len(findings[room:])
        room -= len(findings[:room])
    if hidden:
        places, files = _count(hidden.total(), "more place"), _count(len(hidden), "file")
        yield _and_more(f"{places} in {files}")
        yield line()


def _and_more(what: str) -> Line:
    return line((f"... and {what}: -v shows all, --report json:FILE keeps all", "dim"))


def _shown(file: FileOutcome, verbosity: Verbosity) -> list[Finding]:
    if verbosity is Verbosity.VERBOSE:
        return list(file.findings)
    if verbosity is Verbosity.QUIET:
        return [finding for finding in file.left if finding.severity is Severity.ERROR]
    return list(file.left)


def _place(file: FileOutcome, finding: Finding) -> Iterator[Line]:
    where = printable(file.shown)
    if finding.line:
        where += f":{finding.line}:{finding.column}"
    code = (finding.code, _STYLES[finding.severity])
    yield line((where, "bold"), " ", code, " ", printable(finding.message))
    if finding.left_for_a_person and finding.remedy:
        yield line("    ", (printable(finding.remedy), "dim"))


def _rewritten(outcome: RunOutcome, verbosity: Verbosity) -> Iterator[Line]:
    files = [file for file in outcome.files if file.status in ("rewritten", "created")]
    if not files:
        return
    room = len(files) if verbosity is Verbosity.VERBOSE else SHOWN_FILES
    yield line(("Rewritten" if outcome.written else "Would be rewritten", "bold"))
    for file in files[:room]:
        places = _count(sum(finding.rewritten for finding in file.findings), "place")
        what = "a new file" if file.status == "created" else places
        yield line(f"  {printable(file.shown)}: {what}")
    if files[room:]:
        yield _and_more(_count(len(files[room:]), "more file"))
    yield line()


def _table(outcome: RunOutcome) -> Iterator[Line]:
    places: Counter[tuple[str, Severity]] = Counter()
    files: Counter[tuple[str, Severity]] = Counter()
    for file in outcome.files:
        codes = [(finding.code, finding.severity) for finding in file.left]
        places.update(codes)
        files.update(set(codes))
    if not places:
        return
    from codemods import guide  # with the whole table, which a tree with nothing to do never needs

    titles = dict(guide.codes())
    rows = [
        (key, _count(places[key], "place"), _count(files[key], "file")) for key in sorted(places)
    ]
    widths = [
        max(len(key[1].value) for key in places),
        *(max(len(row[column]) for row in rows) for column in (1, 2)),
    ]
    yield line(("Left for a person (--explain CODE says more)", "bold"))
    for (code, severity), in_places, in_files in rows:
        kind = (f"{severity.value:<{widths[0]}}", _STYLES[severity])
        counts = f"{in_places:>{widths[1]}} in {in_files:<{widths[2]}}"
        yield line(f"  {code}  ", kind, f"  {counts}  {titles.get(code, '')}")
    yield line()


def _nested(outcome: RunOutcome) -> Iterator[Line]:
    for name in outcome.nested:
        text = f"{printable(name)} is a repository of its own and was not entered: name it to."
        yield line((text, "dim"))


def _mentions(outcome: RunOutcome) -> Iterator[Line]:
    summary = outcome.summary
    if summary.mentions:
        words = {} if outcome.written else {Bucket.CHANGED: "would change"}
        parts = [
            f"{count:,} {words.get(bucket, bucket.value)}"
            for bucket, count in summary.buckets.items()
            if count
        ]
        yield line(f"{_count(summary.mentions, 'mention')} of old names: {', '.join(parts)}.")


def _last_line(outcome: RunOutcome) -> str:
    summary = outcome.summary
    if not summary.seen and not outcome.files:
        return f"No Python files in {', '.join(map(printable, outcome.arguments))}."
    searched = f"{_count(summary.searched, 'file')} searched in {summary.seconds:.2f} s"
    if not outcome.files:
        return f"Nothing to do: no file mentions triton_kernels ({searched})."
    parts = []
    if summary.rewritten:
        what = "rewritten" if outcome.written else "would be rewritten"
        parts.append(f"{_count(summary.rewritten, 'file')} {what}")
    if summary.created:
        parts.append(f"{summary.created:,} {'created' if outcome.written else 'would be created'}")
    if summary.failed:
        parts.append(f"{_count(summary.failed, 'file')} failed")
    if summary.skipped:
        parts.append(f"{_count(summary.skipped, 'file')} not written because of that")
    left = [len(file.left) for file in outcome.files if file.status not in _URGENCY]
    if any(left):
        in_files = _count(sum(map(bool, left)), "file")
        parts.append(f"{_count(sum(left), 'place')} in {in_files} left for a person")
    if not parts:
        parts.append("Nothing to do")
    return f"{', '.join(parts)} ({searched})."


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
