"""What kind of record of the library an expression is, where the file itself proves it.

The result of a call (unpacked or not), a constructor, an annotation, a field of a known record, and
names that are only ever assigned such.  Whatever else it may be, it is not known.
"""

from __future__ import annotations

import ast

from codemods.migration import Migration
from codemods.scopes import Scope
from codemods.transforms.modules import asked_for

Kind = str | tuple["Kind", ...]
"""The name of a record, or the kinds of a tuple's elements; "" = anything else."""

ROUTING_DATA = "RoutingData"
RAGGED = "RaggedTensorMetadata"
SPARSE = "SparseMatrix"
BITMATRIX = "Bitmatrix"
BITMATRIX_METADATA = "BitmatrixMetadata"

_ROUTED: Kind = (ROUTING_DATA, "GatherIndx", "ScatterIndx")
_TENSOR = "triton_kernels.tensor"
_DETAILS = "triton_kernels.tensor_details"

_CLASSES: dict[str, Kind] = {
    "triton_kernels.routing.RoutingData": ROUTING_DATA,
    "triton_kernels.matmul_ogs.RoutingData": ROUTING_DATA,
    "triton_kernels.routing.ExptData": RAGGED,
    "triton_kernels.legacy.ExptData": RAGGED,
    "triton_kernels.matmul_ogs.RaggedTensorMetadata": RAGGED,
    f"{_TENSOR}.RaggedTensorMetadata": RAGGED,
    f"{_DETAILS}.ragged_tensor.RaggedTensorMetadata": RAGGED,
    f"{_TENSOR}.SparseMatrix": SPARSE,
    f"{_TENSOR}.Bitmatrix": BITMATRIX,
    f"{_TENSOR}.BitmatrixMetadata": BITMATRIX_METADATA,
    f"{_DETAILS}.bitmatrix.BitmatrixMetadata": BITMATRIX_METADATA,
}
_RESULTS: dict[str, Kind] = {
    **_CLASSES,
    **{
        f"triton_kernels.{module}.{name}": kind
        for module, names, kind in (
            ("routing", "routing routing_torch routing_from_bitmatrix", _ROUTED),
            ("legacy", "routing routing_torch routing_from_bitmatrix legacy_routing", _ROUTED),
            ("legacy", "legacy_routing_from_bitmatrix", _ROUTED),
            ("routing", "compute_expt_data compute_expt_data_torch", RAGGED),
            ("legacy", "compute_expt_data compute_expt_data_torch", RAGGED),
            ("tensor", "make_ragged_tensor_metadata make_ragged_tensor_metadata_torch", RAGGED),
            ("topk", "topk topk_torch", SPARSE),
            ("tensor", "make_bitmatrix_metadata", BITMATRIX_METADATA),
        )
        for name in names.split()
    },
}
_FIELDS: dict[tuple[Kind, str], Kind] = {
    (ROUTING_DATA, "expt_data"): RAGGED,
    (SPARSE, "mask"): BITMATRIX,
    (SPARSE, "mask_metadata"): BITMATRIX_METADATA,
}
_TUPLES = frozenset({"tuple", "Tuple"})
_OPTIONAL = frozenset({"Optional", "Final", "ClassVar", "Annotated"})


class Provenance:
    """Finds the kinds of one file's expressions."""

    def __init__(self, migration: Migration) -> None:
        self._migration = migration
        self._references = migration.references
        self._scopes = migration.scopes
        self._names: dict[tuple[Scope, str], Kind] = {}

    def kind_of(self, node: ast.AST | None) -> Kind:
        """The kind of what an expression evaluates to."""
        if isinstance(node, ast.Call):
            return self._result(node)
        if isinstance(node, ast.Attribute):
            return _FIELDS.get((self.kind_of(node.value), node.attr), "")
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            return _element(self.kind_of(node.value), node.slice.value)
        if isinstance(node, ast.Name):
            owner = self._scopes.resolve(node.id, self._scopes.scope_of[node])
            return "" if owner is None else self._of_name(owner, node.id)
        if isinstance(node, ast.NamedExpr):
            return self.kind_of(node.value)
        if isinstance(node, ast.IfExp):
            kinds = {self.kind_of(part) for part in (node.body, node.orelse) if not _is_none(part)}
            return kinds.pop() if len(kinds) == 1 else ""
        return ""

    def _result(self, call: ast.Call) -> Kind:
        use = self._references.use_at(call.func)
        if use is not None:
            return _RESULTS.get(use.path, "") if use.certain else ""
        if isinstance(call.func, ast.Call) and call.func.args:
            # `getattr(module, "name")(...)`
            use = self._references.use_at(call.func.args[0])
            literal = asked_for(self._migration, use) if use is not None else None
            if use is not None and use.certain and literal is not None:
                return _RESULTS.get(f"{use.path}.{literal.value!s}", "")
        if isinstance(call.func, ast.Name):
            # A function of the file that says what it returns.
            owner = self._scopes.resolve(call.func.id, self._scopes.scope_of[call.func])
            bindings = owner.bindings[call.func.id] if owner is not None else []
            if len(bindings) == 1 and isinstance(bindings[0], ast.FunctionDef):
                return self._annotated(bindings[0].returns)
        return ""

    def _of_name(self, owner: Scope, name: str) -> Kind:
        known = self._names.get((owner, name))
        if known is not None:
            return known
        self._names[owner, name] = ""  # ends `a = a`
        kinds = {
            self._of_binding(binding)
            for binding in owner.bindings[name]
            if not self._references.is_placeholder(binding)
        }
        kind = kinds.pop() if len(kinds) == 1 else ""
        self._names[owner, name] = kind
        return kind

    def _of_binding(self, binding: ast.AST) -> Kind:
        if isinstance(binding, ast.arg):
            return self._annotated(binding.annotation)
        parent = self._scopes.parents.get(binding)
        if isinstance(parent, ast.Assign):
            return self.kind_of(parent.value)
        if isinstance(parent, ast.AnnAssign):
            return self._annotated(parent.annotation)
        if isinstance(parent, ast.NamedExpr):
            return self.kind_of(parent.value)
        if isinstance(parent, (ast.Tuple, ast.List)):
            statement = self._scopes.parents.get(parent)
            if isinstance(statement, ast.Assign) and not _has_star(parent):
                assert isinstance(binding, ast.expr)
                position = parent.elts.index(binding)
                if isinstance(statement.value, ast.Tuple) and not _has_star(statement.value):
                    parts = statement.value.elts
                    return self.kind_of(parts[position]) if position < len(parts) else ""
                return _element(self.kind_of(statement.value), position)
        return ""

    def _annotated(self, annotation: ast.AST | None) -> Kind:
        """The kind that an annotation promises; None beside it counts for nothing."""
        if isinstance(annotation, ast.Constant):
            quoted = self._scopes.quoted.get(annotation)
            return self._annotated(quoted) if quoted is not None else ""
        if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
            parts = [part for part in (annotation.left, annotation.right) if not _is_none(part)]
            return self._annotated(parts[0]) if len(parts) == 1 else ""
        if isinstance(annotation, ast.Subscript):
            word = annotation.value
            name = word.attr if isinstance(word, ast.Attribute) else getattr(word, "id", "")
            parts = (
                annotation.slice.elts
                if isinstance(annotation.slice, ast.Tuple)
                else [annotation.slice]
            )
            if name in _TUPLES:
                return tuple(self._annotated(part) for part in parts)
            return self._annotated(parts[0]) if name in _OPTIONAL and parts else ""
        use = self._references.use_at(annotation) if annotation is not None else None
        return _CLASSES.get(use.path, "") if use is not None and use.certain else ""


def _element(kind: Kind, position: object) -> Kind:
    if isinstance(kind, tuple) and isinstance(position, int) and 0 <= position < len(kind):
        return kind[position]
    return ""


def _has_star(node: ast.Tuple | ast.List) -> bool:
    return any(isinstance(element, ast.Starred) for element in node.elts)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
