"""The state of migrating one file: what is known of it, and what the transforms decided."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from codemods.document import Document
from codemods.edits import Edit, put
from codemods.findings import Bucket, Finding, Severity
from codemods.guards import Guard, Guards
from codemods.references import ImportedName, References
from codemods.scopes import Scopes
from triton_kernels import moves
from triton_kernels.moves import Move


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


@dataclass(eq=False)
class Migration:
    """One file on its way.

    codes: the rows of the table that may be acted on.
    imports: for each imported name that changes, what stands for it (the old import included,
        where it must stay).
    introduced: dotted paths that the rewritten code relies on.
    settled_calls: calls whose form has been dealt with.
    spans: the spans of the text whose mentions of old names have their findings.
    """

    document: Document
    tree: ast.Module
    scopes: Scopes
    references: References
    guards: Guards
    codes: frozenset[str]
    findings: list[Finding] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    imports: dict[ImportedName, list[NewImport]] = field(default_factory=dict)
    introduced: set[str] = field(default_factory=set)
    settled_calls: set[ast.Call] = field(default_factory=set)
    spans: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, document: Document, codes: frozenset[str]) -> Migration:
        tree = document.parse()
        scopes = Scopes.of(tree)
        return cls(document, tree, scopes, References(tree, scopes), Guards(scopes), codes)

    def row(self, path: str) -> Move | None:
        """The row of an old name, unless its code is not to be acted on."""
        move = moves.BY_OLD_NAME.get(path)
        return move if move is not None and move.code in self.codes else None

    def module_row(self, path: str) -> Move | None:
        """The row of the removed module that `path` is or lies in, unless not to be acted on."""
        while path:
            move = moves.BY_OLD_MODULE.get(path)
            if move is not None:
                return move if move.code in self.codes else None
            path = path.rpartition(".")[0]
        return None

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
        return isinstance(node, ast.Name) and self.token_span(node) is not None

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
        self.findings.append(
            Finding(line, column, move.code, Severity.INFO, message, move.advice, Bucket.PROSE)
        )

    def _say(
        self, node: ast.AST, move: Move, bucket: Bucket, severity: Severity, message: str
    ) -> None:
        assert isinstance(node, (ast.expr, ast.stmt, ast.alias))
        start, end = self.document.span(node)
        self.spans.append((start, end))
        line, column = self.document.position(start)
        self.findings.append(
            Finding(line, column, move.code, severity, message, move.advice, bucket)
        )
