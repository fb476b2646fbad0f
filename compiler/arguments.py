"""Arguments: from the variables of a request to what a field is asked for, by the field's own function."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLID,
    GraphQLInt,
    GraphQLString,
    Node,
    NonNullTypeNode,
    OperationDefinitionNode,
    Undefined,
    VariableNode,
    get_nullable_type,
    type_from_ast,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from graphql.utilities import coerce_input_value
from strawberry.types.base import StrawberryList, StrawberryOptional, has_object_definition
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType

from compiler.road import OrdinaryRoad
from schema import schema
from schema.execution import CONTRACT

Convert = Callable[[Any], Any]
# What JSON says of these is what they are.
PLAIN: dict[Any, type] = {GraphQLID: str, GraphQLString: str, GraphQLInt: int}
LARGEST_INT = 2**31 - 1


class Variables:
    """The variables of an operation, read without a look at the document where a request leaves none to its default."""

    def __init__(self, operation: OperationDefinitionNode) -> None:
        self.definitions = operation.variable_definitions or ()
        self.types: list[tuple[str, Any]] = [
            (one.variable.name.value, type_from_ast(CONTRACT, one.type)) for one in self.definitions
        ]
        self.plain = {name: PLAIN.get(get_nullable_type(type_)) for name, type_ in self.types}
        self.needed = {
            one.variable.name.value
            for one in self.definitions
            if one.default_value is not None or isinstance(one.type, NonNullTypeNode)
        }

    def read(self, given: dict[str, Any]) -> VariableValues:
        """Check the values that were sent; what is wrong with them, the ordinary road tells."""
        if not self.needed <= given.keys():
            values = get_variable_values(CONTRACT, self.definitions, given, max_errors=1)
            if not isinstance(values, VariableValues):
                raise OrdinaryRoad("its variables are refused")
            return values
        coerced: dict[str, Any] = {}
        for name, type_ in self.types:
            if name in given:
                value = given[name]
                is_plain = type(value) is self.plain[name] and (type(value) is not int or abs(value) < LARGEST_INT)
                coerced[name] = value if is_plain else coerce_input_value(value, type_)
        if any(value is Undefined for value in coerced.values()):
            raise OrdinaryRoad("its variables are refused")
        return VariableValues({}, coerced)


class Site:
    """Where a field is given arguments, which its own function reads: to what is asked for, or to a refusal."""

    def __init__(self, field: GraphQLField, declared: StrawberryField, node: FieldNode) -> None:
        resolver = declared.base_resolver
        if resolver is None:
            raise OrdinaryRoad("a field with arguments has no function to read them")
        name = schema.config.name_converter.from_argument
        self.field, self.node = field, node
        self.converters = [(name(one), one.python_name, converter(one.type)) for one in declared.arguments]
        function: Any = resolver.wrapped_func
        self.function = partial(function, None) if resolver.self_parameter else function
        self.is_constant = not variables_in(node.arguments or ())
        self.constant: Any = None

    def read(self, variables: VariableValues) -> Any:
        """Read what is asked for; once only, where no variable has a say."""
        if self.constant is not None:
            return self.constant
        given = get_argument_values(self.field, self.node, variables)
        asked = self.function(**{key: convert(given[name]) for name, key, convert in self.converters if name in given})
        if self.is_constant:
            self.constant = asked
        return asked


@cache
def converter(type_: Any) -> Convert:
    """Make what turns a checked value into the value of a Strawberry type: input objects have classes of their own."""
    if isinstance(type_, StrawberryOptional):
        inner = converter(type_.of_type)
        return lambda value: None if value is None else inner(value)
    if isinstance(type_, StrawberryList):
        item = converter(type_.of_type)
        return lambda value: [item(one) for one in value]
    if isinstance(type_, LazyType):
        resolved: Any = type_.resolve_type()
        return converter(resolved)
    return partial(_object, type_) if has_object_definition(type_) else _itself


def _itself(value: Any) -> Any:
    return value


def _object(type_: Any, value: dict[str, Any]) -> Any:
    fields = _fields(type_)
    return type_(**{python: convert(value[name]) for name, python, convert in fields if name in value})


@cache
def _fields(type_: Any) -> list[tuple[str, str, Convert]]:
    definition = type_.__strawberry_definition__
    name = schema.config.name_converter.from_field
    return [
        (name(field), field.python_name, converter(field.resolve_type(type_definition=definition)))
        for field in definition.fields
    ]


def walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """Every node of a document that is one of these, or below one, in no order."""
    ahead = list(nodes)
    while ahead:
        node = ahead.pop()
        yield node
        for part in (getattr(node, name, None) for name in node.keys):
            ahead += part if isinstance(part, (tuple, list)) else (part,) if isinstance(part, Node) else ()


def variables_in(nodes: Iterable[Node]) -> set[str]:
    """Name the variables that stand anywhere in these nodes."""
    return {node.name.value for node in walk(nodes) if isinstance(node, VariableNode)}
