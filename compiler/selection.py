"""Selections: what an operation asks for, as a tree; fragments and directives are gone, each field has its declaration."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSkipDirective,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)
from graphql.execution.values import VariableValues, get_directive_values
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from compiler.arguments import Site, variables_in, walk
from compiler.road import OrdinaryRoad
from schema.declaration import Declared, SameAs
from schema.execution import CONTRACT

MOST_FIELDS, MOST_DEPTH = 400, 40


@dataclass(frozen=True)
class Selected:
    """A field that is asked for under the name `key`; `inside`, by the type of the row, is what is asked of it."""

    key: str
    name: str
    parent: str
    type: GraphQLOutputType
    declared: Declared | None
    site: int | None
    inside: dict[str, "Selection"]

    @property
    def only(self) -> "Selection":
        """What is asked of it, where its type leaves no choice."""
        (selection,) = self.inside.values()
        return selection


Selection = tuple[Selected, ...]
TYPENAME = GraphQLField(CONTRACT.type_map["String"])  # type: ignore[arg-type]


def conditions(document: DocumentNode) -> tuple[str, ...]:
    """Name the variables that decide which fields are included or skipped."""
    return tuple(variables_in(node for node in walk(document.definitions) if isinstance(node, DirectiveNode)))


class Selecting:
    """Makes the selection of an operation, for one outcome of its conditions; numbers the sites on its way."""

    def __init__(self, document: DocumentNode, variables: VariableValues) -> None:
        self.variables = variables
        self.sites: list[Site] = []
        self.fields = self.depth = 0
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }

    def root(self, operation: OperationDefinitionNode) -> Selection:
        type_ = CONTRACT.get_root_type(operation.operation)
        if type_ is None:
            raise OrdinaryRoad("there is no such root type")
        return self.selection(type_, [operation.selection_set])

    def selection(self, type_: GraphQLObjectType, sets: Iterable[SelectionSetNode]) -> Selection:
        """Select from a type; what several places ask for under one name is asked once (GraphQL, 6.3.2)."""
        grouped: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for one in sets:
            for node in self._fields(type_, one, seen):
                grouped.setdefault((node.alias or node.name).value, []).append(node)
        return tuple(self._selected(type_, key, nodes) for key, nodes in grouped.items())

    def _fields(self, type_: GraphQLObjectType, selections: SelectionSetNode, seen: set[str]) -> Iterator[FieldNode]:
        for node in selections.selections:
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                if _fits(type_, node):
                    yield from self._fields(type_, node.selection_set, seen)
            elif (name := node.name.value) not in seen:  # type: ignore[attr-defined]
                seen.add(name)
                if _fits(type_, self.fragments[name]):
                    yield from self._fields(type_, self.fragments[name].selection_set, seen)

    def _is_included(self, node: SelectionNode) -> bool:
        if not node.directives:
            return True
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return not (skip and skip["if"]) and not (include and not include["if"])

    def _selected(self, type_: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> Selected:
        self.fields += 1
        if self.fields > MOST_FIELDS or self.depth > MOST_DEPTH:
            raise OrdinaryRoad(f"it selects more than {MOST_FIELDS} fields, or deeper than {MOST_DEPTH}")
        name = nodes[0].name.value
        if name in ("__schema", "__type"):
            raise OrdinaryRoad("introspection is answered from memory")
        field = TYPENAME if name == "__typename" else type_.fields[name]
        declared = declaration(field)
        site = self._site(field, nodes[0]) if field.args and declared is not None else None
        named = get_named_type(field.type)
        inside = {}
        if is_composite_type(named):
            possible: Any = CONTRACT.get_possible_types(named) if is_abstract_type(named) else [named]
            sets = [node.selection_set for node in nodes if node.selection_set is not None]
            self.depth += 1
            inside = {one.name: self.selection(one, sets) for one in possible}
            self.depth -= 1
        return Selected(key, name, type_.name, field.type, declared, site, inside)

    def _site(self, field: GraphQLField, node: FieldNode) -> int:
        self.sites.append(Site(field, field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF], node))
        return len(self.sites) - 1


def declaration(field: GraphQLField) -> Declared | None:
    """Find how a field is declared to be answered; a plain field is the same as its column."""
    declared: StrawberryField | None = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if declared is None:
        return None
    for extension in declared.extensions:
        if isinstance(extension, Declared):
            return extension
    return SameAs(declared.python_name) if declared.base_resolver is None else None


def _fits(type_: GraphQLObjectType, fragment: InlineFragmentNode | FragmentDefinitionNode) -> bool:
    if fragment.type_condition is None:
        return True
    condition = CONTRACT.type_map[fragment.type_condition.name.value]
    return condition is type_ or (is_abstract_type(condition) and CONTRACT.is_sub_type(condition, type_))
