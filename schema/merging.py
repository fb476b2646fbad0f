"""Merging: whether fields that answer under one name can be merged (GraphQL, 5.3.2), without comparing every pair.

What answers under one name is one set. All of a set must have one shape; those of it that can meet in one object must
be the same field with the same arguments. Then their selections are merged, and each name of those is a set again.
After Simon Adameit, "GraphQL: overlapping fields can be merged, fast".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLOutputType,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    StringValueNode,
    TypeMetaFieldDef,
    ValidationContext,
    ValidationRule,
    ValueNode,
    VariableNode,
    get_named_type,
    is_interface_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

MOST_VISITS = 20_000
"""How many fields and spreads may be visited. No honest document comes near; some hostile ones have exponentially many sets."""
LONGEST_REASON = 1_000
_META = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


@dataclass(frozen=True, eq=False, slots=True)
class _Asked:
    """A field where it is asked for."""

    node: FieldNode
    parent: GraphQLNamedType | None
    definition: GraphQLField | None

    @property
    def name(self) -> str:
        return self.node.name.value

    @property
    def type(self) -> GraphQLOutputType | None:
        return self.definition.type if self.definition else None


@dataclass(frozen=True, eq=False, slots=True)
class _Selection:
    """A selection set as it stands: what it asks for by name, those of its inline fragments too, and what it spreads."""

    fields: dict[str, list[_Asked]]
    spreads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """Selections that are merged, and which fields lead to them since more than one field did."""

    selections: dict[int, _Selection]
    path: tuple[str, ...] = ()
    is_shape_only: bool = False


class Merging:
    """The search for conflicts in one document; counts the fields and spreads it visits."""

    def __init__(self, context: ValidationContext) -> None:
        self.context = context
        self.visits = 0
        self.definitions = {
            node.name.value: node for node in context.document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.fragments: dict[str, _Selection] = {}
        self.selections: dict[int, _Selection] = {}
        self.seen: set[tuple[frozenset[int], bool]] = set()
        self.told: set[tuple[int, int]] = set()
        self.arguments: dict[int, Any] = {}

    def conflicts(self) -> Iterator[GraphQLError]:
        """Find what cannot be merged: in the operations, then in fragments that none of them uses."""
        for node in self.context.document.definitions:
            if isinstance(node, OperationDefinitionNode):
                root = self.context.schema.get_root_type(node.operation)
                yield from self._below(self._selection(node.selection_set, root))
        for name in self.definitions:
            if name not in self.fragments:
                yield from self._below(self._fragment(name))

    def _below(self, selection: _Selection) -> Iterator[GraphQLError]:
        waiting = [_Place({id(selection): selection})]
        while waiting and not self.is_exhausted:
            place = waiting.pop()
            key = frozenset(place.selections), place.is_shape_only
            if key in self.seen:
                continue
            self.seen.add(key)
            for name, asked in self._merged(place.selections.values()).items():
                groups = [asked] if place.is_shape_only or len(asked) == 1 else _meeting(asked)
                problem = None if len(asked) == 1 else self._problem(asked, [] if place.is_shape_only else groups)
                if problem is None:
                    waiting += self._next(name, asked, groups, place)
                elif (pair := (id(problem[1].node), id(problem[2].node))) not in self.told:
                    self.told.add(pair)
                    yield _error((*place.path, name), *problem)

    @property
    def is_exhausted(self) -> bool:
        return self.visits > MOST_VISITS

    def _merged(self, selections: Iterable[_Selection]) -> dict[str, list[_Asked]]:
        merged: dict[str, list[_Asked]] = {}
        waiting, spread = list(selections), set[str]()
        for selection in waiting:  # which grows meanwhile
            for name, asked in selection.fields.items():
                self.visits += len(asked)
                merged.setdefault(name, []).extend(asked)
            self.visits += len(selection.spreads)
            for fragment in selection.spreads:
                if fragment not in spread and fragment in self.definitions:
                    spread.add(fragment)
                    waiting.append(self._fragment(fragment))
        return merged

    def _next(self, name: str, asked: list[_Asked], groups: list[list[_Asked]], place: _Place) -> Iterator[_Place]:
        """Lead on to what is selected of a name: once for the shape of all, and once for each group that can meet."""
        path = () if len(asked) == 1 else (*place.path, name)
        if place.is_shape_only or len(groups) > 1:
            yield from self._inside(asked, path, is_shape_only=True)
        for group in [] if place.is_shape_only else groups:
            yield from self._inside(group, path, is_shape_only=False)

    def _inside(self, asked: list[_Asked], path: tuple[str, ...], *, is_shape_only: bool) -> Iterator[_Place]:
        selections = [
            self._selection(each.node.selection_set, get_named_type(each.type))
            for each in asked
            if each.node.selection_set is not None
        ]
        if selections:
            yield _Place({id(each): each for each in selections}, path, is_shape_only)

    def _problem(self, asked: list[_Asked], groups: list[list[_Asked]]) -> tuple[str, _Asked, _Asked] | None:
        """Find what two fields of one name differ in: whatever equals the first, equals one another."""
        for first, *others in groups:
            for other in others:
                if other.name != first.name:
                    return f"{first.name!r} and {other.name!r} are different fields", first, other
                if self._arguments(other.node) != self._arguments(first.node):
                    return "they have differing arguments", first, other
        first, *others = [each for each in asked if each.definition is not None] or asked[:1]
        for other in others:
            if other.definition is not first.definition and _shape(other.type) != _shape(first.type):
                return f"they return conflicting types '{first.type}' and '{other.type}'", first, other
        return None

    def _fragment(self, name: str) -> _Selection:
        if name not in self.fragments:
            definition = self.definitions[name]
            type_ = self.context.schema.get_type(definition.type_condition.name.value)
            self.fragments[name] = self._selection(definition.selection_set, type_)
        return self.fragments[name]

    def _selection(self, node: SelectionSetNode, type_: GraphQLNamedType | None) -> _Selection:
        if id(node) not in self.selections:
            self.selections[id(node)] = self._collected(node, type_)
        return self.selections[id(node)]

    def _collected(self, node: SelectionSetNode, type_: GraphQLNamedType | None) -> _Selection:
        fields: dict[str, list[_Asked]] = {}
        spreads: dict[str, None] = {}
        plain: set[tuple[str, str, int]] = set()
        for each, parent in self._flat(node, type_):
            if isinstance(each, FragmentSpreadNode):
                spreads[each.name.value] = None
                continue
            answered = (each.alias or each.name).value
            if not each.arguments and not each.selection_set:
                same = answered, each.name.value, id(parent)
                if same in plain:
                    continue
                plain.add(same)
            fields.setdefault(answered, []).append(_Asked(each, parent, _definition(parent, each.name.value)))
        return _Selection(fields, tuple(spreads))

    def _flat(
        self, node: SelectionSetNode, type_: GraphQLNamedType | None
    ) -> Iterator[tuple[FieldNode | FragmentSpreadNode, GraphQLNamedType | None]]:
        waiting = [(node, type_)]
        for selections, parent in waiting:  # which grows meanwhile
            for each in selections.selections:
                if isinstance(each, InlineFragmentNode):
                    condition = each.type_condition
                    inner = self.context.schema.get_type(condition.name.value) if condition else parent
                    waiting.append((each.selection_set, inner))
                elif isinstance(each, (FieldNode, FragmentSpreadNode)):
                    yield each, parent

    def _arguments(self, node: FieldNode) -> Any:
        if not node.arguments:
            return ()
        if id(node) not in self.arguments:
            given = sorted((argument.name.value, _value(argument.value)) for argument in node.arguments)
            self.arguments[id(node)] = given
        return self.arguments[id(node)]


class FieldsCanBeMerged(ValidationRule):
    """The rule of the GraphQL specification (5.3.2), in time that grows as the document does."""

    def leave_document(self, *_: Any) -> None:
        merging = Merging(self.context)
        for error in merging.conflicts():
            self.report_error(error)
        if merging.is_exhausted:
            self.report_error(GraphQLError("The fields of the document overlap in too many ways to be checked."))


def _meeting(asked: list[_Asked]) -> list[list[_Asked]]:
    """Group what can meet in one object: fields of one object type, each time with those of all other types."""
    objects: dict[int, list[_Asked]] = {}
    anywhere: list[_Asked] = []
    for each in asked:
        if is_object_type(each.parent):
            objects.setdefault(id(each.parent), []).append(each)
        else:
            anywhere.append(each)
    return [[*group, *anywhere] for group in objects.values()] or [anywhere]


def _definition(parent: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    if is_object_type(parent) or is_interface_type(parent):
        return parent.fields.get(name) or _META.get(name)
    return None


def _shape(type_: GraphQLOutputType | None) -> str:
    """Name what two answers must have in common: lists, what is never null, and which leaf; objects are merged."""
    if is_list_type(type_):
        return f"[{_shape(type_.of_type)}]"
    if is_non_null_type(type_):
        return f"{_shape(type_.of_type)}!"
    return str(type_) if is_leaf_type(type_) else "{}"


def _value(node: ValueNode) -> Any:
    """Make two values comparable: equal when written alike, but for the order of an object's fields."""
    if isinstance(node, ListValueNode):
        return node.kind, [_value(each) for each in node.values]
    if isinstance(node, ObjectValueNode):
        return node.kind, sorted((each.name.value, _value(each.value)) for each in node.fields)
    if isinstance(node, VariableNode):
        return node.kind, node.name.value
    if isinstance(node, StringValueNode):
        return node.kind, node.value, bool(node.block)
    return node.kind, str(getattr(node, "value", None))


def _error(path: tuple[str, ...], reason: str, first: _Asked, other: _Asked) -> GraphQLError:
    steps = "".join(f"subfields '{step}' conflict because " for step in path[1:])
    why = f"{steps}{reason}"
    why = why if len(why) <= LONGEST_REASON else f"{why[:LONGEST_REASON]}…"
    text = f"Fields '{path[0][:LONGEST_REASON]}' conflict because {why}."
    hint = "Use different aliases on the fields to fetch both if this was intentional."
    return GraphQLError(f"{text} {hint}", [first.node, other.node])
