"""Complaints: what is said of an input value that does not fit its type, and which field it stands in."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from graphql import (
    SKIP,
    ArgumentNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    VisitorAction,
    get_nullable_type,
    is_input_object_type,
)
from graphql.utilities.validate_input_value import validate_input_literal, validate_input_value

from models.refusal import Refusal
from schema.error import extensions

# How graphql-core words what is wrong with the shape of a value; everything else concerns the value itself.
_MISSING = re.compile(r"Expected value of type '(\w+)' to include required field '(\w+)'", re.DOTALL)
_UNKNOWN = re.compile(
    r"Expected value of type '(\w+)' not to include unknown field '(\w+)'\.?( Did you mean [^?]*\?)?", re.DOTALL
)
_ENCOUNTERED = re.compile(r"Expected value of type '([^']+)', but encountered error", re.DOTALL)
_NULL = re.compile(r"Expected (?:a )?value of non-null type")
_ENUM = re.compile(r"Enum '(\w+)' cannot|in '(\w+)' enum", re.DOTALL)

Path = Sequence[str | int]
MOST_SAID = 10


def of_variable(
    schema: GraphQLSchema, name: str, type_: GraphQLInputType, value: Any, *, hide_suggestions: bool = False
) -> list[GraphQLError]:
    """Say what is wrong with the value of a variable; nothing, if nothing is."""
    said: list[GraphQLError] = []
    root, known = _root(name, type_), None if hide_suggestions else schema

    def report(error: GraphQLError, path: Path) -> None:
        said.append(_complaint(known, error, [*root, *path]))
        if len(said) == MOST_SAID:
            raise _EnoughError

    with suppress(_EnoughError):
        validate_input_value(value, type_, report, hide_suggestions)
    return said


class _EnoughError(Exception):
    """Enough was said: each complaint looks at the whole value again."""


class LiteralsOfCorrectType(ValuesOfCorrectTypeRule):
    """The rule of the GraphQL specification (5.6.1), in the words of this API."""

    given = ""

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        self.given = node.variable.name.value

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        self.given = node.name.value

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        def report(error: GraphQLError, path: Path) -> None:
            known = None if self.context.hide_suggestions else self.context.schema
            said = _complaint(known, error, [*_root(self.given, input_type), *path])
            self.report_error(GraphQLError(said.message, error.nodes, extensions=said.extensions))

        if input_type:
            validate_input_literal(node, input_type, report, None, None, hide_suggestions=self.context.hide_suggestions)
        return SKIP


def _root(name: str, type_: GraphQLInputType | None) -> Path:
    """Begin a path: whatever an input or a filter is called, its fields are named from inside, as rules name them."""
    return [] if is_input_object_type(get_nullable_type(type_)) else [name]


def _complaint(schema: GraphQLSchema | None, error: GraphQLError, path: Path) -> GraphQLError:
    """Say it in our words; without a schema, no value of an enum is told."""
    refusal = error.original_error
    if isinstance(refusal, Refusal):
        return GraphQLError(refusal.sentence, extensions={**extensions(refusal), **_field(path)})
    text, invalid = error.message, "GRAPHQL_VALIDATION_FAILED"
    if found := _MISSING.match(text):
        path = [*path, found[2]]
        text = f"{_named(path)} is required."
    elif found := _UNKNOWN.match(text):
        text = f"{found[1]} has no field {found[2]}.{found[3] or ''}"
        path = [*path, found[2]]
    elif _NULL.match(text):
        text = f"{_named(path)} must not be null."
    elif found := _ENCOUNTERED.match(text):
        text, invalid = f"{_named(path)} is not a value of type {found[1]}.", "INVALID_INPUT"
    elif not text.startswith("Expected "):
        invalid = "INVALID_INPUT"
        if found := _ENUM.search(text):
            allowed = schema and schema.get_type(found[1] or found[2])
            if isinstance(allowed, GraphQLEnumType):
                text = f"{_named(path)} must be one of {', '.join(allowed.values)}."
            else:
                text = f"{_named(path)} is no value of {found[1] or found[2]}."
        else:
            text = text if len(text) <= 300 else f"{text[:300]}…"
    return GraphQLError(text if len(text) <= 500 else f"{text[:500]}…", extensions={"code": invalid, **_field(path)})


def _named(path: Path) -> str:
    return ".".join(str(step) for step in path) or "The value"


def _field(path: Path) -> dict[str, str]:
    return {"field": _named(path)} if path else {}
