"""A document is weighed before it is validated: what it weighs, to the point, and what is refused for its weight."""

from math import inf
from typing import Any

import pytest
import strawberry
from graphql import (
    DocumentNode,
    GraphQLError,
    OperationDefinitionNode,
    get_introspection_query,
    get_operation_ast,
    parse,
    validate,
)

from schema.cost import MOST, Cost, Formula, ListSize
from schema.execution import CONTRACT
from schema.guard import Guard, Weight, crowded, refused, too_costly
from schema.limits import LIMITS, Limits
from schema.rules import RULES
from tests.attacks import ATTACKS, chain, times

PAGED = ListSize(assumed_size=20, slicing_arguments=["first", "last"], sized_fields=["edges", "nodes"])


def page(first: int | None = None, last: int | None = None) -> "Shelves":
    raise NotImplementedError


def page_of_three(first: int = 3) -> "Shelves":
    raise NotImplementedError


def several(ids: list[strawberry.ID]) -> list["Shelf"]:
    raise NotImplementedError


@strawberry.type
class PageInfo:
    has_next_page: bool


@strawberry.type
class Edge:
    node: "Shelf"
    cursor: str


@strawberry.type
class Shelves:
    edges: list[Edge]
    nodes: list["Shelf"]
    page_info: PageInfo
    total_count: int


@strawberry.interface
class Thing:
    name: str


@strawberry.type
class Shelf(Thing):
    up: "Shelf"
    tags: list["Shelf"]
    shelves: Shelves = strawberry.field(resolver=page, directives=[PAGED])


@strawberry.type
class Query:
    shelf: Shelf
    thing: Thing
    tags: list[Shelf]
    dear: int = strawberry.field(directives=[Cost(weight="50")])
    shelves: Shelves = strawberry.field(resolver=page, directives=[PAGED])
    some: Shelves = strawberry.field(resolver=page_of_three, directives=[PAGED])
    several: list[Shelf] = strawberry.field(resolver=several, directives=[ListSize(slicing_arguments=["ids"])])


@strawberry.type
class Mutation:
    put: int


SHOP = strawberry.Schema(Query, Mutation)._schema
GUARD = Guard(SHOP)


def weigh(text: str, name: str | None = None) -> Weight:
    document = parse(text)
    return GUARD.weigh(document, get_operation_ast(document, name))


def cost(text: str, variables: dict[str, Any] | None = None) -> int:
    found = weigh(text).cost
    return found.cost(variables or {}) if isinstance(found, Formula) else found


@pytest.mark.parametrize(
    ("document", "points"),
    [
        ("{ shelf { name } }", 2),
        ("{ shelf { __typename } __typename }", 3),
        ("{ dear }", 50),
        ("{ nothing { more } }", 2),
        ("{ tags { name } }", 1 + 20),
        ("{ shelf { tags { name up { name } } } }", 1 + 1 + 20 * 3),
        ("{ tags { tags { name } } }", 1 + 20 * (1 + 20)),
        ("{ shelves { totalCount } }", 2),
        ("{ shelves { nodes { name } } }", 1 + 1 + 20),
        ("{ shelves(first: null) { nodes { name } } }", 1 + 1 + 20),
        ('{ shelves(first: "many") { nodes { name } } }', 1 + 1 + 20),
        (
            "{ shelves(first: 5) { nodes { name __typename } pageInfo { hasNextPage } totalCount } }",
            1 + (1 + 5 * 2) + 2 + 1,
        ),
        ("{ shelves(first: 3) { edges { node { name } cursor } } }", 1 + 1 + 3 * 3),
        ("{ shelves(first: 10) { nodes { shelves(last: 10) { nodes { name } } } } }", 1 + 1 + 10 * (1 + 1 + 10)),
        ("{ shelves(first: 3, last: 7) { nodes { name } } }", 1 + 1 + 7),
        ("{ shelves(first: 0) { nodes { name } } }", 1 + 1 + 1),
        ("{ shelves(first: -99999999) { nodes { name } } dear }", 1 + 1 + 1 + 50),
        ("{ some { nodes { name } } }", 1 + 1 + 3),
        ('{ several(ids: ["a", "b", "c"]) { name up { name } } }', 1 + 3 * 3),
        ('{ several(ids: "a") { name } }', 1 + 1),
        ("{ several(ids: []) { name } }", 1 + 1),
        ('{ several(ids: ["a", "b"]) { tags { name } } }', 1 + 2 * (1 + 20)),
        ("{ shelves(first: 3) { ...F } } fragment F on Shelves { nodes { name } }", 1 + 1 + 3),
        ("{ shelves(first: 3) { ... { ...F } } } fragment F on Shelves { nodes { name } }", 1 + 1 + 3),
        (
            "{ shelves(first: 3) { ...F } shelf { shelves(first: 7) { ...F } } } fragment F on Shelves { nodes { name } }",
            (1 + 1 + 3) + 1 + (1 + 1 + 7),
        ),
        ("{ __schema { types { name fields { name } } } }", 1_000),
        ('{ __type(name: "Shelf") { ...F } dear } fragment F on __Type { fields { name } }', 1_050),
        ("{ shelves(first: 59989075) { nodes { name } } }", 59_989_077),
        (f"{{ shelves(first: {'9' * 10_000}) {{ nodes {{ name }} }} }}", MOST),
        (f"{{ shelves(first: -{'9' * 10_000}) {{ nodes {{ name }} }} }}", 3),
        ("{ shelves(first: 59989075) { nodes { shelves(first: 59989075) { nodes { name } } } } }", MOST),
    ],
)
def test_what_a_document_costs(document: str, points: int) -> None:
    weight = weigh(document)

    assert weight.cost == points


ONE_PAGE = "query($n: Int) { shelves(first: $n) { nodes { name } } }"
DEFAULT = "query($n: Int = 4) { shelves(first: $n) { nodes { name } } }"
IDS = "query($i: [ID!]!) { several(ids: $i) { name up { name } } }"


@pytest.mark.parametrize(
    ("document", "variables", "points"),
    [
        (ONE_PAGE, {"n": 5}, 1 + 1 + 5),
        (ONE_PAGE, {"n": 5.0}, 1 + 1 + 5),
        (ONE_PAGE, {"n": -5}, 1 + 1 + 1),
        (ONE_PAGE, {"n": 59_989_075}, 59_989_077),
        (ONE_PAGE, {"n": 10**400}, MOST),
        *[(ONE_PAGE, {"n": value}, 1 + 1 + 20) for value in (None, "5", True, inf, [5], {"n": 5})],
        (ONE_PAGE, {}, 1 + 1 + 20),
        (DEFAULT, {}, 1 + 1 + 4),
        (DEFAULT, {"n": 2}, 1 + 1 + 2),
        (DEFAULT, {"n": None}, 1 + 1 + 20),
        ("{ shelves(first: $unknown) { nodes { name } } }", {}, 1 + 1 + 20),
        ("query($n: Int) { shelves(first: 5, last: $n) { nodes { name } } }", {"n": 9}, 1 + 1 + 9),
        ("query($n: Int) { shelves(first: 5, last: $n) { nodes { name } } }", {}, 1 + 1 + 5),
        (
            "query($n: Int, $m: Int) { shelves(first: $n) { nodes { shelves(first: $m) { nodes { name } } } } }",
            {"n": 3, "m": 7},
            1 + 1 + 3 * (1 + 1 + 7),
        ),
        (
            "query($n: Int) { shelf { tags { shelves(first: $n) { nodes { name } } } } }",
            {"n": 3},
            1 + 1 + 20 * (1 + 1 + 3),
        ),
        (IDS, {"i": ["a", "b"]}, 1 + 2 * 3),
        (IDS, {"i": "a"}, 1 + 20 * 3),
        (IDS, {}, 1 + 20 * 3),
        ('query($i: [ID!]! = ["a", "b"]) { several(ids: $i) { name } }', {}, 1 + 2),
    ],
)
def test_what_a_document_costs_with_variables(document: str, variables: dict[str, Any], points: int) -> None:
    weight = weigh(document)

    assert isinstance(weight.cost, Formula)
    assert weight.cost.cost(variables) == points


def test_a_fragment_is_weighed_once_however_often_it_is_used() -> None:
    fragment = "fragment F# on Shelf { shelves(first: $n) { nodes { ...F@ } edges { node { ...F@ } } } }"
    text = chain(25, fragment, "fragment F# on Shelf { name }", "query($n: Int) { shelf { ...F0 } }")

    weight = weigh(text)

    assert isinstance(weight.cost, Formula)
    assert len(weight.cost.steps) <= 3 * 26
    assert sum(len(terms) for terms in weight.cost.steps) <= 7 * 26
    assert weight.cost.cost({"n": 1}) == 1 + sum(4 * 2**level for level in range(25)) + 2**25
    assert weight.cost.cost({"n": 100}) == MOST
    assert weight.depth == 1 + 25 * 3 + 1


def test_uses_are_counted_and_stop_being_counted_somewhere() -> None:
    fragment = "fragment F# on Query { ...F@ %skip(if: true) ...F@ a: dear }"
    last = "fragment F# on Query { b: dear }"

    few = weigh(chain(3, fragment, last, "{ ...F0 }").replace("%", "@"))
    many = weigh(chain(100, fragment, last, "{ ...F0 }").replace("%", "@"))

    assert (few.aliases, few.directives, few.root_fields, few.cost) == (7 + 8, 7, 7 + 8, 50 * 15)
    assert (many.aliases, many.directives, many.root_fields, many.cost) == (MOST, MOST, MOST, MOST)


def test_every_field_that_is_touched_is_told() -> None:
    text = """
        query Meant { shelf { ...F } thing { name ... on Shelf { up { __typename } } } nothing __schema { types { name } } }
        query Other { dear }
        fragment F on Shelf { tags { name } ...G ...G }
        fragment G on Thing { name }
        fragment Unused on Query { several(ids: []) { name } }
    """

    touched = weigh(text, "Meant").touched

    assert touched == {
        ("Query", "shelf"),
        ("Query", "thing"),
        ("Shelf", "tags"),
        ("Shelf", "name"),
        ("Shelf", "up"),
        ("Thing", "name"),
    }
    assert weigh(text, "Other").touched == {("Query", "dear")}


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("{ ...A }", 0),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { dear ...A }", 50),
        ("{ shelf { ...A } } fragment A on Shelf { up { ...A } }", 2),
        ("{ ... on Nothing { a } ... on Int { b } nothing { c } shelf dear { d } shelf {} }", 1 + 1 + 2 + 1 + 51 + 1),
        ("subscription { a }", 1),
        ("fragment A on Query { dear }", 0),
        ("type A { b: Int }", 0),
    ],
)
def test_what_is_not_valid_is_weighed_all_the_same(text: str, points: int) -> None:
    weight = weigh(text)

    assert refused(weight) is None
    assert weight.cost == points


def test_nothing_is_too_deep_to_be_weighed() -> None:
    fragment = "fragment F# on Shelf {" + "up {" * 190 + "...F@" + "}" * 191

    weight = weigh(chain(50, fragment, "fragment F# on Shelf { name }", "{ shelf { ...F0 } }"))

    assert weight.depth == 1 + 50 * 190 + 1


def deep(count: int) -> str:
    return "{ shelf " + "{ up " * (count - 1) + "}" * count


@pytest.mark.parametrize(
    ("document", "limit", "sentence", "code"),
    [
        (
            lambda n: f"mutation {{ {times(n, 'put')} }}",
            20,
            "The operation has 21 mutations; 20 are allowed.",
            "TOO_MANY_FIELDS",
        ),
        (
            lambda n: f"{{ {times(n, '__schema { types { name } }')} }}",
            2,
            "The operation asks for the schema 3 times; 2 are allowed.",
            "TOO_MANY_FIELDS",
        ),
        (deep, 12, "The operation is 13 levels deep; 12 are allowed.", "TOO_DEEP"),
        (
            lambda n: f"{{ {times(n, 'a#: dear')} }}",
            30,
            "The document has 31 aliases; 30 are allowed.",
            "TOO_MANY_ALIASES",
        ),
        (
            lambda n: f"{{ {'a' * n}: dear }}",
            100,
            "An alias has 101 characters; 100 are allowed.",
            "ALIAS_TOO_LONG",
        ),
        (
            lambda n: f"{{ dear {'@skip(if: true)' * n} }}",
            50,
            "The document has 51 directives; 50 are allowed.",
            "TOO_MANY_DIRECTIVES",
        ),
        (
            lambda n: f"query @a {{ ...F @a }} fragment F on Query @a {{ ... @a {{ dear {'@a' * (n - 4)} }} }}",
            50,
            "The document has 51 directives; 50 are allowed.",
            "TOO_MANY_DIRECTIVES",
        ),
    ],
)
def test_a_limit_is_allowed_and_one_more_is_refused(document: Any, limit: int, sentence: str, code: str) -> None:
    allowed, error = refused(weigh(document(limit))), refused(weigh(document(limit + 1)))

    assert allowed is None
    assert error is not None
    assert error.message == sentence
    assert error.extensions == {"code": code, "limit": limit, "found": limit + 1}


def test_ten_operations_are_allowed_and_eleven_are_refused() -> None:
    allowed, error = (crowded(parse(times(count, "query Q# { dear }"))) for count in (10, 11))

    assert allowed is None
    assert error is not None
    assert error.message == "The document has 11 operations; 10 are allowed."
    assert error.extensions == {"code": "TOO_MANY_OPERATIONS", "limit": 10, "found": 11}


@pytest.mark.parametrize(
    ("allowed", "too_much"),
    [
        (("{ shelves(first: 19998) { nodes { name } } }", {}), ("{ shelves(first: 19999) { nodes { name } } }", {})),
        ((ONE_PAGE, {"n": 19_998}), (ONE_PAGE, {"n": 19_999})),
    ],
)
def test_20_000_points_are_allowed_and_one_more_is_refused(allowed: Any, too_much: Any) -> None:
    passed, error = (too_costly(weigh(document).price(variables)) for document, variables in (allowed, too_much))

    assert passed is None
    assert error is not None
    assert error.message == "The operation costs 20001 points; 20000 are allowed."
    assert error.extensions == {"code": "TOO_COSTLY", "limit": 20_000, "found": 20_001}


def test_queries_are_not_counted_as_mutations() -> None:
    assert refused(weigh(f"{{ {times(400, 'dear')} }}")) is None


def test_the_limits_are_those_that_are_promised() -> None:
    assert Limits(20_000, 2_000, 12, 30, 100, 50, 10, 20, 2, 20_000) == LIMITS


POSTMAN = get_introspection_query(descriptions=True, type_depth=7)
COMPLETE = get_introspection_query(
    descriptions=True,
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    experimental_directive_deprecation=True,
    one_of=True,
    type_depth=20,
)


@pytest.mark.parametrize("text", [POSTMAN, COMPLETE, get_introspection_query()])
def test_the_introspection_of_tools_passes(text: str) -> None:
    code, errors = judged(text)

    assert (code, errors) == (None, [])
    assert cost(text) == 1_000
    assert weigh(text).touched == frozenset()


CONTRACTS_GUARD = Guard(CONTRACT)


def judged(text: str, variables: dict[str, Any] | None = None) -> tuple[str | None, list[GraphQLError]]:
    """Judge a document as a request for it is judged; an operation without a name is the first."""
    if len(text.encode()) > LIMITS.bytes:
        return "DOCUMENT_TOO_LARGE", []
    try:
        document = parse(text, max_tokens=LIMITS.tokens)
    except GraphQLError as error:
        return "GRAPHQL_PARSE_FAILED", [error]
    weight = CONTRACTS_GUARD.weigh(document, first(document))
    heavy = crowded(document) or refused(weight) or too_costly(weight.price(variables or {}))
    if heavy is not None:
        assert heavy.extensions is not None
        return heavy.extensions["code"], [heavy]
    errors = validate(CONTRACT, document, RULES, max_errors=10)
    return ("GRAPHQL_VALIDATION_FAILED" if errors else None), errors


def first(document: DocumentNode) -> OperationDefinitionNode | None:
    return next((node for node in document.definitions if isinstance(node, OperationDefinitionNode)), None)


OUTCOMES = {
    "ALIAS_TOO_LONG": {
        "a long alias",
    },
    "DOCUMENT_TOO_LARGE": {
        "comments",
    },
    "GRAPHQL_PARSE_FAILED": {
        "inline fragments, nested too deep",
        "deep nesting of nothing",
        "deep nesting of one name",
        "a text of half characters",
        "texts that do not end",
        "a list in a list, too deep",
        "2,000 directives",
        "operations by the thousand",
        "comments in the limit",
        "spreads of dots",
        "names by the thousand",
        "control characters",
        "characters that are no name",
    },
    "GRAPHQL_VALIDATION_FAILED": {
        "a chain of fragments",
        "a circle of two fragments",
        "a fragment within itself",
        "a circle through a field",
        "a circle of all fragments",
        "unused fragments by the hundred",
        "unknown fragments by the hundred",
        "fragments of one name",
        "fragments on unknown types",
        "a long field",
        "long fields",
        "the same field with other arguments",
        "unknown fields",
        "unknown fields that are nearly known",
        "unknown arguments",
        "a negative page of ten thousand digits",
        "a fraction of ten thousand digits",
        "an exponent of ten thousand digits",
        "a list in a list",
        "an input in an input",
        "an input of unknown fields",
        "an input of one field by the hundred",
        "values of a wrong kind",
        "variables",
        "variables with defaults",
        "variables that nobody declared",
        "directives that nobody knows",
        "a directive that belongs elsewhere",
        "types in place of operations",
        "directives defined in place",
        "a subscription",
        "introspection in circles",
        "introspection in circles of fragments",
        "introspection of fields in fields",
        "introspection in introspection",
    },
    "TOO_COSTLY": {
        "fragments doubling without a level",
        "the same field with other selections",
        "a huge page",
        "a huge page by a variable",
        "a huge page by a default",
        "a huge page as a fraction",
        "a page that takes another's cost away",
        "a page of ten thousand digits",
        "ids by a variable",
    },
    "TOO_DEEP": {
        "fragments doubling",
        "fragments doubling by aliases",
        "fragments doubling with a page",
        "fragments doubling with a page of none",
        "fragments doubling with a negative page",
        "fragments of many subsets",
        "a chain of fragments that goes deep",
        "deep nesting",
        "deep lists",
    },
    "TOO_MANY_ALIASES": {
        "aliases",
        "aliases on every level",
        "aliases of conflicting fields",
        "conflicts in pairs",
    },
    "TOO_MANY_DIRECTIVES": {
        "the same unknown directive",
        "directives on every field",
        "directives on one field",
        "directives doubling",
        "directives on variables",
    },
    "TOO_MANY_FIELDS": {
        "mutations by the dozen",
        "mutations by a fragment",
        "introspection by the hundred",
        "introspection of a type by aliases",
    },
    "TOO_MANY_OPERATIONS": {
        "operations by the hundred",
        "operations without a name",
    },
    "ANSWERED": {
        "fragments of many subsets, in another operation",
        "one fragment spread by the hundred",
        "inline fragments, nested",
        "inline fragments, side by side",
        "inline fragments on every type",
        "a fragment in every field",
        "the same field by the hundred",
        "the same link by the hundred",
        "the name of the type by the hundred",
        "deep lists by edges",
        "empty selections",
        "an id of ten thousand digits",
        "pages in a text",
        "ids by the thousand",
        "a huge text",
        "a huge text of escapes",
        "a text of long escapes",
        "a huge block text",
        "a block text that is indented further and further",
        "a huge list",
        "variables with huge defaults",
        "a variable used by the hundred",
        "operations that share variables",
        "commas",
        "line feeds",
        "introspection doubling",
        "introspection of a type without end",
    },
}


def test_each_attack_has_an_outcome() -> None:
    expected = [name for names in OUTCOMES.values() for name in names]

    assert sorted(expected) == sorted(ATTACKS)
    assert len(ATTACKS) >= 45


@pytest.mark.parametrize(
    ("outcome", "name"), [(code, name) for code, names in OUTCOMES.items() for name in sorted(names)]
)
def test_an_attack_is_answered_or_refused_in_a_sentence(outcome: str, name: str) -> None:
    attack = ATTACKS[name]
    text, variables = attack if isinstance(attack, tuple) else (attack, {})

    code, errors = judged(text, variables)

    assert (code or "ANSWERED") == outcome
    assert len(errors) <= 11
    assert all(error.extensions for error in errors if code.startswith("TOO"))  # type: ignore[union-attr]


def test_ten_unknown_directives_are_one_error() -> None:
    code, errors = judged(ATTACKS["directives that nobody knows"])  # type: ignore[arg-type]

    assert code == "GRAPHQL_VALIDATION_FAILED"
    assert [error.message for error in errors] == ["Unknown directives '@a0', '@a1', '@a2', '@a3', '@a4' and 5 more."]


@pytest.mark.parametrize(
    ("document", "sentences"),
    [
        ("{ serverTime @a }", ["Unknown directive '@a'."]),
        ("{ serverTime @a @b @a }", ["Unknown directives '@a', '@b'."]),
        (f"{{ serverTime @{'a' * 101} }}", [f"Unknown directive '@{'a' * 100}'."]),
        ('{ serverTime @specifiedBy(url: "a") }', ["Directive '@specifiedBy' may not be used on field."]),
        ("{ serverTime @include(if: true) @skip(if: false) }", []),
    ],
)
def test_what_is_said_of_directives(document: str, sentences: list[str]) -> None:
    _, errors = judged(document)

    assert [error.message for error in errors] == sentences


def test_nothing_is_suggested_where_that_is_unwished() -> None:
    document = parse("{ serverTim viewr { a } ... on Clint { id } }")

    told = validate(CONTRACT, document, RULES)
    silent = validate(CONTRACT, document, RULES, hide_suggestions=True)

    assert any("Did you mean" in error.message for error in told)
    assert len(silent) == len(told)
    assert not any("Did you mean" in error.message for error in silent)
