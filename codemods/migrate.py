"""The command line, nothing else: arguments in, exit code out."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # `python -m` puts the current folder first on the path.  It is where the code to be migrated
    # lies, which may hold a `string.py` or a `logging.py` of its own: those are not ours to run.
    # In an uninstalled checkout of this project the folder is our own, and has to stay.
    import os  # loaded long before, whatever lies in the current folder

    _here = os.getcwd()
    _home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.realpath(_here) != os.path.realpath(_home):
        sys.path[:] = [entry for entry in sys.path if entry not in ("", ".", _here)]

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from codemods.pool import Transform
    from codemods.run import RunOutcome

NOTHING_LEFT, SOMETHING_LEFT, TROUBLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes.  SOMETHING_LEFT: for a person, or, in a run that does not write, to be rewritten."""

_PROGRAM = "triton-kernels-migrate"
_DESCRIPTION = """\
Carry code from `triton_kernels.routing`, which is gone, to the new homes of its names.

Every Python file below PATH that mentions the library is rewritten where that is certain; what is
left for a person is listed, with what to do. Files that git ignores, hidden folders, virtual
environments, repositories inside PATH and links that lead out of it are skipped. A file with
changes that are not committed is not rewritten, unless --allow-dirty is given.
"""
_EPILOG = """\
exit codes:
  0  nothing is left for a person
  1  something is, or (--check, --diff) something would be rewritten
  2  wrong arguments, or a file could not be read or written

examples:
  %(prog)s --diff src/           look at the changes
  %(prog)s .                     make them
  %(prog)s --check .             in continuous integration
  %(prog)s --explain TKM001      all about one code
"""


def main(argv: Sequence[str] | None = None, *, transform: Transform | None = None) -> int:
    """Run the command with these arguments (those of the process by default); the exit code.

    transform: instead of `codemods.source.migrate_source`.
    """
    from codemods.reports.output import OutputLost, complain, write_text

    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
        answer = _answer(parser, arguments)
        if answer is None:
            return _migrate(parser, arguments, transform)
        write_text(sys.stdout, answer)
        return NOTHING_LEFT
    except SystemExit as stop:  # after --help, or after a message
        return stop.code if isinstance(stop.code, int) else TROUBLE
    except OutputLost as error:
        complain(f"{parser.prog}: error: {error}")
        return TROUBLE


def console() -> NoReturn:
    """What the installed script and `python -m codemods.migrate` run."""
    import signal

    from codemods.reports.output import complain

    # A polite request to stop is treated as Ctrl-C: no temporary file stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = main()
    except KeyboardInterrupt:  # before the first file was looked at, or while reports are written
        complain(f"{_PROGRAM}: interrupted")
        code = INTERRUPTED
    sys.exit(code)


def _parser() -> ArgumentParser:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            self.exit(TROUBLE, f"{self.prog}: error: {message} (--help lists the options)\n")

    parser = Parser(
        prog=_PROGRAM,
        usage="%(prog)s [options] PATH...",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="a folder to search, or a file, which is taken whatever its name",
    )
    group = parser.add_argument_group("what is written")
    preview = group.add_mutually_exclusive_group()
    preview.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 1 if anything would be rewritten",
    )
    preview.add_argument(
        "--diff",
        action="store_true",
        help="write nothing; print the changes as a patch (the report goes to standard error)",
    )
    group.add_argument(
        "--allow-dirty",
        action="store_true",
        help="also rewrite files with changes that are not committed",
    )
    group.add_argument(
        "--select",
        type=_comma_separated,
        metavar="CODES",
        help="treat only these codes (TKM001,TKM002)",
    )
    group.add_argument(
        "--ignore",
        type=_comma_separated,
        metavar="CODES",
        help="treat all codes but these",
    )
    group = parser.add_argument_group("which files")
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="skip what this pattern matches, as in .gitignore (may be repeated)",
    )
    group.add_argument(
        "--no-gitignore",
        action="store_true",
        help="also take files that git ignores",
    )
    group.add_argument(
        "--jobs",
        type=_positive,
        default=0,
        metavar="N",
        help="processes at most (default: one a core)",
    )
    group = parser.add_argument_group("what is said")
    group.add_argument(
        "--report",
        action="append",
        type=_report,
        default=[],
        metavar="FORMAT[:FILE]",
        help="text (the default) or json, to standard output or to a file (may be repeated)",
    )
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="only errors and the last line",
    )
    loudness.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="also each place that was rewritten or is right as it is",
    )
    group = parser.add_argument_group("instead of a run")
    group.add_argument("--explain", metavar="CODE", help="say all about a code")
    group.add_argument("--list-codes", action="store_true", help="list all codes")
    group.add_argument("--version", action="store_true", help="print the version")
    return parser


def _comma_separated(text: str) -> list[str]:
    return [code.strip().upper() for code in text.split(",") if code.strip()]


def _positive(text: str) -> int:
    import argparse

    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 was expected, not {text!r}")
    return int(text)


def _report(text: str) -> tuple[str, str]:
    """Format and file; "" is standard output."""
    import argparse

    form, _, file = text.partition(":")
    if form not in ("text", "json"):
        raise argparse.ArgumentTypeError(f"text or json was expected, not {form!r}")
    return form, "" if file == "-" else file


def _answer(parser: ArgumentParser, arguments: Namespace) -> str | None:
    """The text that was asked for instead of a run; None where a run was asked for."""
    if arguments.version:
        import triton_kernels

        return f"{parser.prog} {triton_kernels.__version__}\n"
    if arguments.explain is None and not arguments.list_codes:
        return None
    from codemods import guide

    if arguments.list_codes:
        return "".join(f"{code}  {title}\n" for code, title in guide.codes())
    code = arguments.explain.strip().upper()
    _check_codes(parser, [code])
    return guide.page(code)


def _check_codes(parser: ArgumentParser, codes: Sequence[str]) -> None:
    from codemods import guide

    known = dict(guide.codes())
    for code in codes:
        if code not in known:
            near = guide.closest(code)
            hint = f"did you mean {near[0]}?" if near else "--list-codes lists them"
            parser.error(f"unknown code {code!r}: {hint}")


def _selected(parser: ArgumentParser, arguments: Namespace) -> frozenset[str]:
    """The codes to be treated; those that say that a file could not be, unless ignored by name."""
    from codemods.findings import PROBLEMS
    from triton_kernels.moves import BY_CODE

    problems = {problem.code for problem in PROBLEMS}
    every = problems | BY_CODE.keys()
    for option in ("select", "ignore"):
        given = getattr(arguments, option)
        if given == []:
            parser.error(f"--{option} names no code")
        if not every.issuperset(given or ()):
            _check_codes(parser, given)
    chosen = every if arguments.select is None else problems.union(arguments.select)
    return frozenset(chosen).difference(arguments.ignore or ())


def _migrate(parser: ArgumentParser, arguments: Namespace, transform: Transform | None) -> int:
    from codemods.discovery import BadPattern, MissingPath
    from codemods.progress import NoProgress
    from codemods.reports.output import complain
    from codemods.reports.progress_bar import ProgressBar
    from codemods.run import Interrupted, RunOptions, run
    from codemods.source import migrate_source

    if not arguments.paths:
        parser.error("name at least one PATH: a file or a folder")
    reports = _reports(parser, arguments)
    options = RunOptions(
        codes=_selected(parser, arguments),
        exclude=tuple(arguments.exclude),
        gitignore=not arguments.no_gitignore,
        allow_dirty=arguments.allow_dirty,
        write=not (arguments.check or arguments.diff),
        keep_texts=arguments.diff,
        jobs=arguments.jobs,
    )
    bar = ProgressBar(sys.stderr) if sys.stderr.isatty() else None
    try:
        outcome = run(
            arguments.paths,
            options,
            transform=transform or migrate_source,
            progress=bar or NoProgress(),
        )
    except (MissingPath, BadPattern) as error:
        parser.error(str(error))
    except Interrupted as error:
        complain(f"{parser.prog}: {error}")
        return INTERRUPTED
    finally:
        if bar is not None:
            bar.close()
    _write_reports(arguments, reports, outcome)
    return _exit_code(outcome)


def _reports(parser: ArgumentParser, arguments: Namespace) -> list[tuple[str, str]]:
    """What to write where; a plain text report is added where standard output would stay empty."""
    import os

    reports: list[tuple[str, str]] = arguments.report
    to_output = [form for form, file in reports if not file]
    if len(to_output) > 1 or (arguments.diff and "json" in to_output):
        parser.error(
            "standard output takes one document: give the report a file, --report json:FILE"
        )
    for _, file in reports:
        folder = os.path.dirname(os.path.abspath(file))
        if file and (os.path.isdir(file) or not os.path.isdir(folder)):
            parser.error(f"the report cannot be written to {file}: no such folder, or it is one")
    return reports if to_output else [*reports, ("text", "")]


def _write_reports(
    arguments: Namespace, reports: Sequence[tuple[str, str]], outcome: RunOutcome
) -> None:
    from codemods.reports import diff, json_report, output, text
    from codemods.reports.lines import plain

    verbosity = text.Verbosity(arguments.verbose - arguments.quiet)
    stream = sys.stdout
    if arguments.diff:
        patch = diff.render(outcome)
        if stream.isatty():
            output.write_lines(stream, diff.coloured(patch))
        else:
            output.write_bytes(stream, patch)
        stream = sys.stderr
    for form, file in reports:
        if form == "json" and file:
            output.write_file(file, json_report.render(outcome))
        elif form == "json":
            output.write_text(stream, json_report.render(outcome))
        elif file:
            output.write_file(file, plain(text.render(outcome, verbosity)))
        else:
            output.write_lines(stream, text.render(outcome, verbosity))


def _exit_code(outcome: RunOutcome) -> int:
    from codemods.run import INPUT_OUTPUT

    findings = [finding for file in outcome.files for finding in file.findings]
    if any(finding.code in INPUT_OUTPUT for finding in findings):
        return TROUBLE
    if any(finding.left_for_a_person for finding in findings):
        return SOMETHING_LEFT
    return SOMETHING_LEFT if outcome.summary.rewritten and not outcome.written else NOTHING_LEFT


if __name__ == "__main__":
    console()
