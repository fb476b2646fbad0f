"""Cost: what a field weighs, declared with the GraphQL Cost Directives, and sums of it that may wait for variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_interface_type,
    is_introspection_type,
    is_list_type,
    is_object_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.schema_directive import Location

ASSUMED_SIZE = 20
"""How long a list is taken to be that nobody declared the size of."""
MOST = 10**15
"""Where counting stops: what is more costs this much. Every reader of JSON keeps such a number as it is."""
DIGITS_READ = 15


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="cost",
    description="What the field itself costs, a whole number; 1 where nothing is said.",
)
class Cost:
    weight: str


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="listSize",
    description="How often what is below a list is paid for: the most that the slicing arguments say, else the assumed size.",
)
class ListSize:
    assumed_size: int | None = strawberry.UNSET
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET


FEW = ListSize(assumed_size=3)
"""The size of a list that seldom has more than one."""


@dataclass(frozen=True)
class Price:
    """What is known of a field before anybody asks for it."""

    weight: int
    type: str
    is_list: bool
    declared: bool
    assumed: int
    arguments: tuple[tuple[str, GraphQLArgument], ...]
    sized: frozenset[str]


Prices = Mapping[str, Mapping[str, Price]]


def prices(schema: GraphQLSchema) -> Prices:
    """Price every field of a schema but those of introspection, by its type and its name."""
    return {
        name: {field: _price(each) for field, each in type_.fields.items()}
        for name, type_ in schema.type_map.items()
        if (is_object_type(type_) or is_interface_type(type_)) and not is_introspection_type(type_)
    }


def _price(field: GraphQLField) -> Price:
    told = getattr(field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF), "directives", ())
    weight = next((int(each.weight) for each in told if isinstance(each, Cost)), 1)
    size = next((each for each in told if isinstance(each, ListSize)), None)
    slicing = size.slicing_arguments or () if size else ()
    return Price(
        weight,
        get_named_type(field.type).name,
        is_list_type(get_nullable_type(field.type)),
        size is not None,
        (size and size.assumed_size) or ASSUMED_SIZE,
        tuple((name, field.args[name]) for name in slicing if name in field.args),
        frozenset((size and size.sized_fields) or ()),
    )


@dataclass(frozen=True)
class Page:
    """How many rows a field reads: the most that its arguments say, be it literally (`said`) or by variables."""

    assumed: int
    said: int | None
    variables: tuple[tuple[str, bool, int | None], ...]

    def size(self, given: Mapping[str, Any]) -> int:
        """Tell the size; one row at least, since what is below is read and checked in any case."""
        most = self.said
        for name, is_list, default in self.variables:
            size = _measured(given[name], is_list, self.assumed) if name in given else default
            if size is not None and (most is None or size > most):
                most = size
        return min(max(self.assumed if most is None else most, 1), MOST)


def page(price: Price, node: FieldNode, defaults: Mapping[str, ValueNode | None]) -> Page:
    """Read the page of a field off its arguments."""
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    said, variables, assumed = None, [], price.assumed
    for name, argument in price.arguments:
        is_list = is_list_type(get_nullable_type(argument.type))
        if isinstance(argument.default_value, int | list):
            assumed = _measured(argument.default_value, is_list, assumed) or assumed
        value = given.get(name)
        if isinstance(value, VariableNode):
            default = defaults.get(value.name.value)
            variables.append((value.name.value, is_list, _literal(default, is_list, assumed)))
        elif (size := _literal(value, is_list, assumed)) is not None:
            said = size if said is None else max(said, size)
    return Page(assumed, said, tuple(variables))


def _literal(node: ValueNode | None, is_list: bool, assumed: int) -> int | None:
    if node is None or node.kind == "null_value":
        return None
    if is_list:
        return len(node.values) if isinstance(node, ListValueNode) else 1
    if not isinstance(node, IntValueNode):
        return assumed
    # Python refuses to read a number of some thousand digits.
    return int(node.value) if len(node.value) <= DIGITS_READ else 0 if node.value.startswith("-") else MOST


def _measured(value: Any, is_list: bool, assumed: int) -> int | None:
    """Measure the value of a variable; what does not fit is refused later, where variables are checked."""
    if value is None:
        return None
    if is_list:
        return len(value) if isinstance(value, list) else assumed
    if isinstance(value, bool):
        return assumed
    # GraphQL takes 100.0 for 100.
    return int(value) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else assumed


Amount = tuple[int, int]
"""So many times the outcome of a step; step 0 is 1."""


class Sum(dict[tuple[int, int], int]):
    """A sum under way: by page and step (0 for none), how often their product is taken."""

    def add(self, amount: Amount, times: int = 1, page: int = 0) -> None:
        factor, step = amount
        if factor:
            self[page, step] = min(self.get((page, step), 0) + factor * times, MOST)


@dataclass(frozen=True)
class Formula:
    """A cost that depends on variables. Each step is a sum of products of a page with an earlier step."""

    pages: tuple[Page, ...]
    steps: tuple[tuple[tuple[int, int, int], ...], ...]

    def cost(self, variables: Mapping[str, Any]) -> int:
        pages = [1, *[page.size(variables) for page in self.pages]]
        steps = [1]
        for terms in self.steps:
            total = 0
            for page, step, factor in terms:
                total += pages[page] * steps[step] * factor
            steps.append(min(total, MOST))
        return steps[-1]


class Sums:
    """The steps of one operation, as they are found. What no variable changes takes none."""

    def __init__(self) -> None:
        self.pages: dict[Page, int] = {}
        self.steps: list[tuple[tuple[int, int, int], ...]] = []

    def place(self, page: Page) -> tuple[int, int]:
        """Tell what a page multiplies by: a number, and a page of the formula."""
        if not page.variables:
            return page.size({}), 0
        return 1, self.pages.setdefault(page, len(self.pages) + 1)

    def close(self, terms: Sum) -> Amount:
        match list(terms.items()):
            case []:
                return 0, 0
            case [((0, step), factor)]:
                return factor, step
        self.steps.append(tuple((page, step, factor) for (page, step), factor in terms.items()))
        return 1, len(self.steps)

    def cost(self, whole: Amount) -> int | Formula:
        factor, step = whole
        if step == 0:
            return factor
        return Formula(tuple(self.pages), (*self.steps[:step], ((0, step, factor),)))
