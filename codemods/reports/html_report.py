"""The report to look at: one page with the sums, what is left, and the changes side by side.

The page needs nothing but itself.  Its policy allows no script and no style but its own two, so a
line of code shown in it can do nothing, whatever it says.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from codemods import guide
from codemods.findings import Bucket, Finding, Severity
from codemods.outcomes import FileOutcome, RunOutcome, Texts
from codemods.reports.lines import printable

OPEN_FILES = 20
"""Files whose changes are open from the start; more would be slow to lay out.  New files, which
hold nothing of the user's, come last and closed."""

_CONTEXT = 3
_WORDS = re.compile(r"\w+|\s+|.")
_TITLES = dict(guide.codes())


def render(outcome: RunOutcome) -> str:
    """The page.  It is the same for the same outcome, save the seconds that the run took."""
    style, script = (_asset(name) for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    title = "Migration of triton_kernels.routing"
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>",
        '<a class="skip" href="#left">Skip to what is left</a>',
        '<a class="skip" href="#changes">Skip to the changes</a>',
        "<header>",
        f"<h1>{title}</h1>",
        f'<p class="quiet">{_what_was_done(outcome)}</p>',
        "</header>\n<main>",
        *_summary(outcome),
        *_tools(),
        *_left(outcome),
        *_changes(outcome),
        "</main>",
        '<p id="said" class="hidden" role="status"></p>',
        f"<script>{script}</script>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _what_was_done(outcome: RunOutcome) -> str:
    where = ", ".join(f"<code>{_text(printable(each))}</code>" for each in outcome.arguments)
    did = "The changes were written" if outcome.written else "A preview: nothing was written"
    return f"{did}. Searched: {where}. Target: <code>{_text(outcome.target)}</code>."


def _summary(outcome: RunOutcome) -> Iterator[str]:
    summary = outcome.summary
    done = "" if outcome.written else "to be "
    figures = [
        (summary.searched, "files searched"),
        (summary.rewritten, f"files {done}rewritten"),
        (summary.created, f"files {done}created"),
        (summary.failed + summary.skipped, "files failed"),
        (sum(len(file.left) for file in outcome.files), "places left for a person"),
    ]
    yield '<section aria-labelledby="sums"><h2 id="sums" class="hidden">The sums</h2>'
    yield '<dl class="figures">'
    for count, what in figures:
        if count or not what.endswith(("created", "failed")):
            yield f"<div><dt>{what}</dt><dd>{count:,}</dd></div>"
    yield "</dl>"
    words = {bucket: bucket.value for bucket in summary.buckets}
    if not outcome.written:
        words[Bucket.CHANGED] = "would change"
    parts = [f"{n:,} {words[bucket]}" for bucket, n in summary.buckets.items() if n]
    if parts:
        yield f'<p class="quiet">{_count(summary.mentions, "mention")} of old names: '
        yield f"{', '.join(parts)}. {summary.seconds:.2f} s.</p>"
    if outcome.nested:
        names = ", ".join(f"<code>{_text(printable(name))}</code>" for name in outcome.nested)
        yield f"<p>Not entered, for they are repositories of their own: {names}.</p>"
    yield "</section>"


def _tools() -> Iterator[str]:
    """For both lists of files below; the script shows them."""
    yield '<div class="tools" hidden><label for="filter">Files with</label>'
    yield '<input id="filter" type="search" autocomplete="off">'
    for key, what in (("n", "Next"), ("p", "Previous"), ("o", "Open all"), ("c", "Close all")):
        yield f'<button type="button" data-key="{key}">{what} <kbd>{key}</kbd></button>'
    yield "</div>"


def _left(outcome: RunOutcome) -> Iterator[str]:
    yield '<section aria-labelledby="left"><h2 id="left" tabindex="-1">What is left</h2>'
    files = [file for file in outcome.files if file.left]
    files.sort(key=lambda file: file.status not in ("failed", "skipped"))
    if not files:
        yield '<p class="good">Nothing is left for a person.</p></section>'
        return
    places = Counter((f.code, f.severity) for file in files for f in file.left)
    in_files = Counter(key for file in files for key in {(f.code, f.severity) for f in file.left})
    yield '<div class="scroll" tabindex="0" role="region" aria-label="By code">'
    yield '<table class="plain"><thead><tr><th scope="col">Code</th><th scope="col">Severity</th>'
    yield '<th scope="col" class="count">Places</th><th scope="col" class="count">Files</th>'
    yield '<th scope="col">What</th></tr></thead><tbody>'
    for key in sorted(places):
        code, severity = key
        yield f'<tr><th scope="row"><code>{code}</code></th><td>{_severity(severity)}</td>'
        yield f'<td class="count">{places[key]:,}</td><td class="count">{in_files[key]:,}</td>'
        yield f"<td>{_text(_TITLES.get(code, ''))}</td></tr>"
    yield "</tbody></table></div>"
    yield f"<h3>By file</h3>{''.join(map(_left_of_file, files))}</section>"


def _left_of_file(file: FileOutcome) -> str:
    name = _text(printable(file.shown))
    items = "".join(_place(finding) for finding in file.left)
    return (
        f'<details class="file" data-path="{name}" open><summary><span class="path">{name}</span> '
        f'<span class="quiet">{_count(len(file.left), "place")}</span></summary>'
        f'<ul class="places">{items}</ul></details>\n'
    )


def _place(finding: Finding) -> str:
    where = f"line {finding.line}" if finding.line else "the file"
    remedy = f'<p class="quiet">{_text(finding.remedy)}</p>' if finding.remedy else ""
    return (
        f'<li><p><span class="where quiet">{where}</span> <code>{finding.code}</code> '
        f"{_severity(finding.severity)} {_text(finding.message)}</p>{remedy}</li>"
    )


def _changes(outcome: RunOutcome) -> Iterator[str]:
    yield '<section aria-labelledby="changes"><h2 id="changes" tabindex="-1">The changes</h2>'
    files = [(file, file.texts) for file in outcome.files if file.texts is not None]
    files.sort(key=lambda pair: pair[1].before is None)
    if not files:
        yield "<p>No file changes.</p>"
    for number, (file, texts) in enumerate(files):
        is_open = number < OPEN_FILES and texts.before is not None
        yield _changed_file(file, texts, is_open=is_open)
    yield "</section>"


def _changed_file(file: FileOutcome, texts: Texts, *, is_open: bool) -> str:
    name = _text(printable(file.shown))
    count = _count(sum(finding.rewritten for finding in file.findings), "place")
    what = "a new file" if texts.before is None else count
    rows = "".join(_rows(_lines(texts.before or b""), _lines(texts.after)))
    return (
        f'<details class="file" data-path="{name}"{" open" if is_open else ""}>'
        f'<summary><span class="path">{name}</span> <span class="quiet">{what}</span></summary>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Changes of {name}">'
        f'<table class="diff"><caption class="hidden">{name}, before and after</caption>'
        '<colgroup><col class="no"><col><col class="no"><col></colgroup><thead><tr>'
        '<th scope="col">Old line</th><th scope="col">Before</th>'
        '<th scope="col">New line</th><th scope="col">After</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>\n"
    )


def _rows(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """The rows of a diff: what changed, and three lines around it."""
    matcher = difflib.SequenceMatcher(None, before, after)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        old_at, new_at = group[0][1], group[0][3]
        if old_at or new_at:
            text = f"from line {old_at + 1}, now line {new_at + 1}"
            yield f'<tr class="gap"><td colspan="4">{text}</td></tr>\n'
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                for old, new in zip(range(old_from, old_to), range(new_from, new_to), strict=True):
                    text = _text(before[old])
                    yield _row(_cell("", old, text), _cell("", new, text))
                continue
            for step in range(max(old_to - old_from, new_to - new_from)):
                old, new = old_from + step, new_from + step
                old_text, new_text = _marked(
                    before[old] if old < old_to else None, after[new] if new < new_to else None
                )
                yield _row(_cell("old", old, old_text), _cell("new", new, new_text))


def _row(old: str, new: str) -> str:
    return f"<tr>{old}{new}</tr>\n"


def _cell(kind: str, index: int, text: str | None) -> str:
    if text is None:
        return '<td class="no void"></td><td class="text void"></td>'
    sign = {"old": "\N{MINUS SIGN}", "new": "+"}.get(kind, "")
    return (
        f'<td class="no {kind}">{index + 1}</td><td class="text {kind}" data-sign="{sign}">'
        f"{text}</td>"
    )


def _marked(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    """Both lines with the words that differ marked, where enough of them do not."""
    if old is None or new is None:
        return (old if old is None else _text(old)), (new if new is None else _text(new))
    olds, news = _WORDS.findall(old), _WORDS.findall(new)
    matcher = difflib.SequenceMatcher(None, olds, news, autojunk=False)
    if len(olds) + len(news) > 2000 or matcher.ratio() < 0.4:
        return _text(old), _text(new)
    left, right = "", ""
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        was, now = _text("".join(olds[old_from:old_to])), _text("".join(news[new_from:new_to]))
        if tag == "equal":
            left, right = left + was, right + now
            continue
        left += f"<del>{was}</del>" if was else ""
        right += f"<ins>{now}</ins>" if now else ""
    return left, right


def _lines(data: bytes) -> list[str]:
    """The lines to show; what is no UTF-8 and what is no character as escapes."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return ["".join(c if c.isprintable() or c == "\t" else _escaped(c) for c in s) for s in lines]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _severity(severity: Severity) -> str:
    return f'<span class="tag {severity.value}">{severity.value}</span>'


def _text(text: str) -> str:
    return escape(text)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
