"""The state of migrating one file: what is known of it, and what the transforms decided."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field, replace
from functools import cached_property

from codemods import targets
from codemods.annotations import commented_types
from codemods.document import Document
from codemods.edits import Edit, put
from codemods.findings import Bucket, Finding, Problem, Severity
from codemods.guards import Guard, Guards
from codemods.ignores import Ignores
from codemods.old_names import old_path_pattern
from codemods.options import SourceOptions
from codemods.references import ImportedName, References
from codemods.scopes import Scopes
from codemods.targets import HELPER, Target
from triton_kernels import moves
from triton_kernels.moves import Codemod, Move

_PLAIN_STRING = re.compile(r"""[rRuU]?(?P<quote>'{3}|"{3}|'|")(?P<body>[^'"\\\r\n]*)(?P=quote)""")


@dataclass(frozen=True)
class NewImport:
    """What stands for an imported name from now on.

    name: the name to import from `module`, or None for the module itself (`import module`).
    asname: the local name where it differs.
    """

    module: str
    name: str | None
    asname: str | None = None

    @property
    def path(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"


@dataclass
class Patches:
    """What of the old module a file replaces, so that uses of it must stay there.

    module: the line of the first place that patches the module as an object, 0 = none.
    names: old dotted paths that are patched by a string, and the line of the first place.
    """

    module: int = 0
    names: dict[str, int] = field(default_factory=dict)

    def line_for(self, path: str) -> int:
        """The line of a patch that a use of the old path has to go through; 0 = none."""
        return self.module or self.names.get(path, 0)


@dataclass(eq=False)
class Migration:
    """One file on its way.

    imports: for each imported name that changes, what stands for it (the old import included,
        where it must stay).
    additions: names to import beside an imported one, from the same module, by its statement.
    introduced: dotted paths that the rewritten code relies on.
    new_names: names that rewritten code binds beside imports.
    settled_calls: calls whose form has been dealt with.
    spans: the spans of the text whose mentions of old names have their findings.
    patches: what of the old module the file replaces.
    """

    document: Document
    options: SourceOptions
    target: Target
    tree: ast.Module
    scopes: Scopes
    references: References
    guards: Guards
    ignores: Ignores
    findings: list[Finding] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    imports: dict[ImportedName, list[NewImport]] = field(default_factory=dict)
    additions: dict[ast.ImportFrom, set[str]] = field(default_factory=dict)
    introduced: set[str] = field(default_factory=set)
    new_names: set[str] = field(default_factory=set)
    settled_calls: set[ast.Call] = field(default_factory=set)
    spans: list[tuple[int, int]] = field(default_factory=list)
    patches: Patches = field(default_factory=Patches)

    @classmethod
    def of(cls, document: Document, tree: ast.Module, options: SourceOptions) -> Migration:
        scopes = Scopes.of(tree)
        for line, expression in commented_types(document):
            scopes.add_comment(line, expression)
        references = References(tree, scopes, options.vendored)
        return cls(
            document,
            options,
            targets.target_for(options.target, options.helper),
            tree,
            scopes,
            references,
            Guards(scopes, references),
            Ignores(document),
        )

    @cached_property
    def old_paths(self) -> list[re.Match[str]]:
        """Where the text mentions a removed module or a name in one, in whatever way."""
        pattern = old_path_pattern(self.options.vendored)
        return list(pattern.finditer(self.document.text))

    @cached_property
    def old_strings(self) -> list[ast.Constant]:
        """The strings that are such a path and nothing else, in the order of the file."""
        pattern = old_path_pattern(self.options.vendored)
        found = [node for node in self.strings if pattern.fullmatch(str(node.value))]
        return sorted(found, key=lambda node: (node.lineno, node.col_offset))

    @cached_property
    def strings(self) -> list[ast.Constant]:
        """The string literals, and the plain parts of f-strings."""
        return [
            node
            for node in self.scopes.parents
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]

    @property
    def changes(self) -> bool:
        return bool(self.imports or self.edits or self.additions)

    def row(self, path: str) -> Move | None:
        """The row of an old name, unless its code is not to be acted on."""
        return self.selected(moves.BY_OLD_NAME.get(path))

    def module_row(self, path: str) -> Move | None:
        """The row of the removed module that `path` is or lies in, unless not to be acted on."""
        while path:
            move = moves.BY_OLD_MODULE.get(path)
            if move is not None:
                return self.selected(move)
            path = path.rpartition(".")[0]
        return None

    def selected(self, move: Move | None) -> Move | None:
        """A row as it is for the target, unless its code is not to be acted on."""
        if move is None or move.code not in self.options.codes:
            return None
        adapted = self.target.adapt(move)
        if HELPER in adapted.new or HELPER in adapted.fallback:
            # The helper module of the file's package is not known, so nothing can go there.
            return replace(adapted, codemod=Codemod.REPORTS)
        return adapted

    def rewrites(self, move: Move) -> bool:
        """Whether a row's old form is rewritten in this run."""
        if move.codemod is Codemod.REWRITES_UNSAFE:
            return self.options.unsafe
        return move.codemod is Codemod.REWRITES

    def why_not(self, move: Move) -> str:
        """Why a row's old form is not rewritten in this run."""
        unsafe = move.codemod is Codemod.REWRITES_UNSAFE
        return f"{move.why} (--unsafe rewrites it)" if unsafe else move.why

    def is_silenced(self, node: ast.AST, code: str) -> bool:
        """Whether an ignore comment stands where the node, or the import it is of, begins or ends.

        Such a place is left as it is, and nothing is said of it.
        """
        if not self.ignores:
            return False
        assert isinstance(node, (ast.expr, ast.stmt, ast.alias))
        lines = [node.lineno, node.end_lineno or node.lineno]
        if isinstance(node, ast.alias):
            statement = self.scopes.parents.get(node)
            assert isinstance(statement, (ast.Import, ast.ImportFrom))
            lines += [statement.lineno, statement.end_lineno or statement.lineno]
        return self.ignores.silence(code, *lines)

    def token_span(self, node: ast.Name | ast.Attribute) -> tuple[int, int] | None:
        """The span of a name, or of an attribute's own word.

        None where the parser's positions are not those of the text: inside f-strings, before
        Python 3.12.
        """
        word = node.id if isinstance(node, ast.Name) else node.attr
        start, end = self.document.span(node)
        start = end - len(word)
        return (start, end) if self.document.text[start:end] == word else None

    def retoken(self, node: ast.Name | ast.Attribute, word: str) -> None:
        """Replace a name, or an attribute's own word."""
        span = self.token_span(node)
        assert span is not None, "callers ask `can_edit` first"
        if self.document.text[slice(*span)] != word:
            self.edits.append(put(*span, word))

    def can_edit(self, node: ast.expr) -> bool:
        """Whether every word of a dotted expression stands where the parser says."""
        while isinstance(node, ast.Attribute):
            if self.token_span(node) is None:
                return False
            node = node.value
        return not isinstance(node, ast.Name) or self.token_span(node) is not None

    def string_span(self, node: ast.Constant) -> tuple[int, int] | None:
        """The span of what stands between the quotes of a plain string; None where it is not so."""
        assert isinstance(node.value, str)
        start, end = self.document.span(node)
        match = _PLAIN_STRING.fullmatch(self.document.text, start, end)
        if match is None or match["body"] != node.value:
            return None
        return match.span("body")

    def respell(self, node: ast.Constant, value: str) -> None:
        """Replace what a plain string says."""
        span = self.string_span(node)
        assert span is not None, "callers ask `string_span` first"
        self.edits.append(put(*span, value))

    def note(
        self, node: ast.AST, problem: Problem, message: str, severity: Severity | None = None
    ) -> None:
        """Say something of a place that is no row of the table."""
        assert isinstance(node, (ast.expr, ast.stmt))
        if problem.code in self.options.codes and not self.is_silenced(node, problem.code):
            line, column = self.document.position(self.document.span(node)[0])
            found = problem.finding(message, line, column)
            self.findings.append(replace(found, severity=severity or problem.severity))

    def changed(self, node: ast.AST, move: Move, message: str) -> None:
        self._say(node, move, Bucket.CHANGED, Severity.INFO, message)

    def left(self, node: ast.AST, move: Move, message: str) -> None:
        """Leave a place to a person.  It breaks when the facade goes, hence a warning."""
        self._say(node, move, Bucket.FOR_A_PERSON, Severity.WARNING, message)

    def guarded(self, node: ast.AST, move: Move, guard: Guard) -> None:
        message = f"{move.old_text} left alone: {guard.reason} (line {guard.line})"
        self._say(node, move, Bucket.GUARDED, Severity.INFO, message)

    def already_new(self, node: ast.AST, move: Move, message: str) -> None:
        self._say(node, move, Bucket.ALREADY_NEW, Severity.INFO, message)

    def prose(self, offset: int, move: Move, message: str) -> None:
        line, column = self.document.position(offset)
        if self.ignores.silence(move.code, line):
            return
        self.findings.append(
            Finding(line, column, move.code, Severity.INFO, message, move.advice, Bucket.PROSE)
        )

    def _say(
        self, node: ast.AST, move: Move, bucket: Bucket, severity: Severity, message: str
    ) -> None:
        assert isinstance(node, (ast.expr, ast.stmt, ast.alias))
        start, end = self.document.span(node)
        self.spans.append((start, end))
        if self.is_silenced(node, move.code):
            return
        line, column = self.document.position(start)
        self.findings.append(
            Finding(line, column, move.code, severity, message, move.advice, bucket)
        )
