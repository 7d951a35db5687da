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

    from codemods.outcomes import RunOutcome, Texts
    from codemods.pool import Transform
    from codemods.reports.text import Verbosity
    from codemods.run import RunOptions

NOTHING_LEFT, SOMETHING_LEFT, TROUBLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes.  SOMETHING_LEFT: for a person, or, in a run that does not write, to be rewritten."""

FORMATS = ("text", "json", "sarif", "github", "html")
"""Of reports."""

_PROGRAM = "triton-kernels-migrate"
_DESCRIPTION = """\
Carry code from `triton_kernels.routing`, which is gone, to the new homes of its names.

Every Python file, stub and notebook below PATH that mentions the library is rewritten where that
is certain; what is left for a person is listed, with what to do, and so is each pin of the library
in a requirements file. Files that git ignores, hidden folders, virtual environments, repositories
inside PATH and links that lead out of it are skipped. A file with changes that are not committed
is not rewritten, unless --allow-dirty is given. All files are written, or none.
"""
_EPILOG = """\
exit codes:
  0  nothing is left for a person
  1  something is, or (--check, --diff) something would be rewritten
  2  wrong arguments or settings, or a file could not be read or written

examples:
  %(prog)s --diff src/           look at the changes
  %(prog)s .                     make them
  %(prog)s --check .             in continuous integration
  %(prog)s --explain TKM001      all about one code

Options may also stand in [tool.triton-kernels-migrate] of the project's pyproject.toml, by their
names without dashes in front: select, ignore, exclude, vendored (lists), target, from, unsafe,
verify-imports, gitignore, jobs. The command line goes first.
"""


def main(argv: Sequence[str] | None = None, *, transform: Transform | None = None) -> int:
    """Run the command with these arguments (those of the process by default); the exit code.

    transform: instead of `codemods.source.migrate_file`.
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
    _add_writing_options(parser)
    _add_meaning_options(parser)
    _add_file_options(parser)
    group = parser.add_argument_group("what is said")
    group.add_argument(
        "--report",
        action="append",
        type=_report,
        default=[],
        metavar="FORMAT[:FILE]",
        help=f"{', '.join(FORMATS)}; text is the default; to standard output or to a file (may be "
        "repeated)",
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


def _add_writing_options(parser: ArgumentParser) -> None:
    from argparse import BooleanOptionalAction

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
        "--save-patch",
        metavar="FILE",
        help="keep the changes as a patch too: `git apply -R FILE` takes them back",
    )
    group.add_argument(
        "--allow-dirty",
        action="store_true",
        help="also rewrite files with changes that are not committed",
    )
    group.add_argument(
        "--keep-going",
        action="store_true",
        help="if a file cannot be written, write the others all the same",
    )
    group.add_argument(
        "--verify-imports",
        action=BooleanOptionalAction,
        help="try each new import in a process; a file with one that fails is not rewritten",
    )


def _add_meaning_options(parser: ArgumentParser) -> None:
    from argparse import BooleanOptionalAction

    group = parser.add_argument_group("what is rewritten")
    group.add_argument(
        "--target",
        metavar="NAME",
        help="what the code will run on: bundled (this library, the default), or upstream-3.6 "
        "(that release, with nothing of this distribution)",
    )
    group.add_argument(
        "--from",
        dest="written_for",
        metavar="RELEASE",
        help="what the code was written for, where releases contradict each other: pr8375 or 3.6",
    )
    group.add_argument(
        "--unsafe",
        action=BooleanOptionalAction,
        help="also make the rewrites that are right in all likelihood",
    )
    group.add_argument(
        "--vendored",
        action="append",
        metavar="PREFIX",
        help="treat this dotted prefix as the library, too (may be repeated)",
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


def _add_file_options(parser: ArgumentParser) -> None:
    from argparse import BooleanOptionalAction

    group = parser.add_argument_group("which files")
    group.add_argument(
        "--exclude",
        action="append",
        metavar="PATTERN",
        help="skip what this pattern matches, as in .gitignore (may be repeated)",
    )
    group.add_argument(
        "--gitignore",
        action=BooleanOptionalAction,
        help="leave out files that git ignores (the default)",
    )
    group.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="processes at most (default: one a core)",
    )
    group.add_argument(
        "--no-config",
        action="store_true",
        help="do not look for settings in pyproject.toml",
    )


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
    if form not in FORMATS:
        expected = ", ".join(FORMATS)
        raise argparse.ArgumentTypeError(f"one of {expected} was expected, not {form!r}")
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


def _check_codes(parser: ArgumentParser, codes: Sequence[str], where: str = "") -> None:
    from codemods import guide

    known = dict(guide.codes())
    for code in codes:
        if code not in known:
            near = guide.closest(code)
            hint = f"did you mean {near[0]}?" if near else "--list-codes lists them"
            parser.error(f"{where}unknown code {code!r}: {hint}")


def _settled(parser: ArgumentParser, arguments: Namespace) -> Namespace:
    """The arguments, with the project's settings for what they leave open."""
    from codemods.config import RELEASES, BadConfig, Settings, closest, load
    from codemods.targets import NAMES

    for option, known in (("target", NAMES), ("written_for", RELEASES)):
        given = getattr(arguments, option)
        if given is not None and given not in known:
            name = "from" if option == "written_for" else option
            parser.error(f"--{name}: unknown {name} {given!r}: {closest(given, known)}")
    settings = Settings()
    if not arguments.no_config:
        try:
            settings = load(arguments.paths)
        except BadConfig as error:
            parser.error(str(error))
    arguments.origins = {}
    for name in _SETTABLE:
        value = getattr(settings, name)
        if getattr(arguments, name) is None and value is not None:
            setattr(arguments, name, value)
            arguments.origins[name] = f"{settings.origin}: "
    return arguments


_SETTABLE = (
    "select",
    "ignore",
    "exclude",
    "vendored",
    "target",
    "written_for",
    "unsafe",
    "verify_imports",
    "gitignore",
    "jobs",
)


def _selected(parser: ArgumentParser, arguments: Namespace) -> frozenset[str] | None:
    """The codes to be treated; those that say that a file could not be, unless ignored by name.

    None: all.  Then the table is not needed before the first file is.
    """
    if arguments.select is None and arguments.ignore is None:
        return None
    from codemods.findings import PROBLEMS
    from triton_kernels.moves import BY_CODE

    problems = {problem.code for problem in PROBLEMS}
    every = problems | BY_CODE.keys()
    chosen: dict[str, list[str] | None] = {}
    for option in ("select", "ignore"):
        given = getattr(arguments, option)
        where = arguments.origins.get(option, "")
        if given == [] and not where:
            parser.error(f"--{option} names no code")
        chosen[option] = None if given is None else [code.strip().upper() for code in given]
        if not every.issuperset(chosen[option] or ()):
            _check_codes(parser, chosen[option] or (), where)
    select = chosen["select"]
    taken = every if select is None else problems.union(select)
    return frozenset(taken).difference(chosen["ignore"] or ())


def _migrate(parser: ArgumentParser, arguments: Namespace, transform: Transform | None) -> int:
    from codemods.discovery import BadPattern, MissingPath
    from codemods.progress import NoProgress
    from codemods.reports.output import complain
    from codemods.reports.progress_bar import ProgressBar
    from codemods.run import Interrupted, run

    if not arguments.paths:
        parser.error("name at least one PATH: a file or a folder")
    reports = _reports(parser, arguments)
    options = _run_options(parser, _settled(parser, arguments), reports)
    bar = ProgressBar(sys.stderr) if sys.stderr.isatty() else None
    try:
        outcome = run(
            arguments.paths,
            options,
            transform=transform,
            progress=bar or NoProgress(),
            before_writing=lambda texts: _save_patch(arguments, texts),
        )
    except (MissingPath, BadPattern) as error:
        parser.error(str(error))
    except Interrupted as error:
        complain(f"{parser.prog}: {error}")
        return INTERRUPTED
    finally:
        if bar is not None:
            bar.close()
    _save_patch(arguments, [file.texts for file in outcome.files if file.texts])
    _write_reports(arguments, reports, outcome)
    return _exit_code(outcome)


def _run_options(
    parser: ArgumentParser, arguments: Namespace, reports: Sequence[tuple[str, str]]
) -> RunOptions:
    from codemods.run import RunOptions
    from codemods.targets import BUNDLED

    shows_changes = any(form == "html" for form, _ in reports)
    return RunOptions(
        codes=_selected(parser, arguments),
        target=arguments.target or BUNDLED,
        unsafe=bool(arguments.unsafe),
        written_for=arguments.written_for or "",
        vendored=tuple(arguments.vendored or ()),
        exclude=tuple(arguments.exclude or ()),
        gitignore=arguments.gitignore is not False,
        allow_dirty=arguments.allow_dirty,
        keep_going=arguments.keep_going,
        verify_imports=bool(arguments.verify_imports),
        write=not (arguments.check or arguments.diff),
        keep_texts=arguments.diff or arguments.save_patch is not None or shows_changes,
        jobs=arguments.jobs or 0,
    )


def _reports(parser: ArgumentParser, arguments: Namespace) -> list[tuple[str, str]]:
    """What to write where; a plain text report is added where standard output would stay empty."""
    reports: list[tuple[str, str]] = arguments.report
    to_output = [form for form, file in reports if not file]
    # Annotations are lines of a log, which may hold other lines.
    documents = [form for form in to_output if form != "github"]
    if len(documents) > 1 or (arguments.diff and set(documents) - {"text"}):
        parser.error(
            "standard output takes one document: give the report a file, --report json:FILE"
        )
    if documents and "github" in to_output and documents != ["text"]:
        parser.error(
            "standard output takes one document: give the report a file, --report json:FILE"
        )
    for _, file in reports:
        _check_place(parser, "report", file)
    _check_place(parser, "patch", arguments.save_patch or "")
    return reports if to_output else [*reports, ("text", "")]


def _check_place(parser: ArgumentParser, what: str, file: str) -> None:
    import os

    folder = os.path.dirname(os.path.abspath(file))
    if file and (os.path.isdir(file) or not os.path.isdir(folder)):
        parser.error(f"the {what} cannot be written to {file}: no such folder, or it is one")


def _save_patch(arguments: Namespace, texts: Sequence[Texts]) -> None:
    from codemods.reports import diff, output

    if arguments.save_patch is not None:
        output.write_file(arguments.save_patch, diff.patch(texts))


def _write_reports(
    arguments: Namespace, reports: Sequence[tuple[str, str]], outcome: RunOutcome
) -> None:
    from codemods.reports import diff, output, text

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
        if form == "text" and not file:
            output.write_lines(stream, text.render(outcome, verbosity))
            continue
        document = _document(form, outcome, verbosity)
        if file:
            output.write_file(file, document.encode("utf-8", "backslashreplace"))
        else:
            output.write_text(stream, document)


def _document(form: str, outcome: RunOutcome, verbosity: Verbosity) -> str:
    from codemods.reports import github, html_report, json_report, sarif, text
    from codemods.reports.lines import plain

    if form == "text":
        return plain(text.render(outcome, verbosity))
    renderers = {
        "json": json_report.render,
        "sarif": sarif.render,
        "github": github.render,
        "html": html_report.render,
    }
    return renderers[form](outcome)


def _exit_code(outcome: RunOutcome) -> int:
    from codemods.outcomes import INPUT_OUTPUT

    findings = [finding for file in outcome.files for finding in file.findings]
    if any(finding.code in INPUT_OUTPUT for finding in findings):
        return TROUBLE
    if any(finding.left_for_a_person for finding in findings):
        return SOMETHING_LEFT
    changed = outcome.summary.rewritten + outcome.summary.created
    return SOMETHING_LEFT if changed and not outcome.written else NOTHING_LEFT


if __name__ == "__main__":
    console()
