"""The changes as one patch that `git apply` and `patch -p1` take."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from codemods.outcomes import RunOutcome, Texts
from codemods.reports.lines import Line, line

_NO_NEWLINE = b"\n\\ No newline at end of file\n"
_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}


def render(outcome: RunOutcome) -> bytes:
    """The patch; its text has the bytes of the files, whatever their encoding."""
    return patch(file.texts for file in outcome.files if file.texts)


def patch(changes: Iterable[Texts]) -> bytes:
    """The patch of these changes, in their order."""
    return b"".join(map(_of_file, changes))


def coloured(text: bytes) -> Iterator[Line]:
    """The patch for a terminal.  Bytes that are no UTF-8 are shown as escapes."""
    for row in text.decode("utf-8", "backslashreplace").split("\n")[:-1]:
        yield line((_without_controls(row), _style(row)))


def _of_file(texts: Texts) -> bytes:
    old, new = _quoted(f"a/{texts.patch_path}"), _quoted(f"b/{texts.patch_path}")
    head = f"diff --git {old} {new}\n"
    if texts.before is None:
        head += "new file mode 100644\n"
        old = "/dev/null"
    pieces = [f"{head}--- {_ended(old)}\n+++ {_ended(new)}\n".encode()]
    before, after = _lines(texts.before or b""), _lines(texts.after)
    matcher = difflib.SequenceMatcher(None, before, after)
    for group in matcher.get_grouped_opcodes(3):
        (_, old_start, *_), (_, _, old_stop, _, new_stop) = group[0], group[-1]
        new_start = group[0][3]
        ranges = f"-{_range(old_start, old_stop)} +{_range(new_start, new_stop)}"
        pieces.append(f"@@ {ranges} @@\n".encode())
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                pieces += [_row(b" ", text) for text in before[old_from:old_to]]
                continue
            pieces += [_row(b"-", text) for text in before[old_from:old_to]]
            pieces += [_row(b"+", text) for text in after[new_from:new_to]]
    return b"".join(pieces)


def _lines(data: bytes) -> list[bytes]:
    r"""Lines as `git` and `patch` count them: ended by `\n` and by nothing else."""
    return [text + b"\n" for text in data.split(b"\n")[:-1]] + (
        [data.rpartition(b"\n")[2]] if not data.endswith(b"\n") and data else []
    )


def _row(sign: bytes, text: bytes) -> bytes:
    return sign + (text if text.endswith(b"\n") else text + _NO_NEWLINE)


def _range(start: int, stop: int) -> str:
    count = stop - start
    if count == 1:
        return str(start + 1)
    return f"{start + 1 if count else start},{count}"


def _quoted(path: str) -> str:
    """A path as git writes it: in quotes where a byte is no printable ASCII."""
    data = path.encode("utf-8", "surrogateescape")
    quoted = "".join(
        f"\\{_ESCAPES[byte]}"
        if byte in _ESCAPES
        else chr(byte)
        if 32 <= byte < 127
        else f"\\{byte:03o}"
        for byte in data
    )
    return path if quoted == path else f'"{quoted}"'


def _ended(path: str) -> str:
    """`patch` takes a name with a space to end at the space unless a tab follows, as git writes."""
    return f"{path}\t" if " " in path and not path.startswith('"') else path


def _without_controls(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)


def _style(text: str) -> str:
    if text.startswith(("diff --git", "--- ", "+++ ")):
        return "bold"
    return {"@": "cyan", "-": "red", "+": "green", "\\": "dim"}.get(text[:1], "")
