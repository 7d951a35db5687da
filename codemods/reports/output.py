"""How finished text leaves the process: the one place that writes to streams and report files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from codemods.reports.lines import Line, plain


class OutputLost(Exception):
    """Text could not be written; the message names where it was to go, and why it did not."""


def write_text(stream: TextIO, text: str) -> None:
    """Text to a stream; characters that its encoding lacks as escapes."""
    encoding = stream.encoding or "utf-8"
    _deliver(stream, text.encode(encoding, "backslashreplace"))


def write_bytes(stream: TextIO, data: bytes) -> None:
    """Bytes to a stream as they are."""
    _deliver(stream, data)


def write_lines(stream: TextIO, lines: Iterable[Line]) -> None:
    """Lines to a stream: coloured on a terminal, plain elsewhere, never wrapped."""
    if not stream.isatty():
        write_text(stream, plain(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    for pieces in lines:
        console.print(Text.assemble(*pieces))


def write_file(path: str, data: bytes) -> None:
    """Bytes to a file, as they are."""
    try:
        with open(path, "wb") as stream:
            stream.write(data)
    except OSError as error:
        raise OutputLost(f"{path} cannot be written: {error.strerror}") from error


def complain(text: str) -> None:
    """One line on standard error, where nothing more can be done if that fails."""
    try:
        write_text(sys.stderr, text + "\n")
    except OutputLost:
        pass


def _deliver(stream: TextIO, data: bytes) -> None:
    try:
        below = getattr(stream, "buffer", None)
        if below is None:
            stream.write(data.decode(stream.encoding or "utf-8", "backslashreplace"))
        else:
            stream.flush()
            below.write(data)
        stream.flush()
    except BrokenPipeError:
        _close(stream)  # the reader (`| head`) has seen enough
    except OSError as error:
        _close(stream)
        raise OutputLost(f"output was lost: {error.strerror}") from error


def _close(stream: TextIO) -> None:
    """What is still buffered must not fail again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
