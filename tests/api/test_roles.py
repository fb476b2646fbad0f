"""Roles: who may ask for what, asked over HTTP for every field and every role."""

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from graphql import (
    ConstDirectiveNode,
    GraphQLInterfaceType,
    InterfaceTypeDefinitionNode,
    ObjectTypeDefinitionNode,
    parse,
    value_from_ast_untyped,
)

from models.business import DEFAULT_BUSINESS
from models.viewer import Role
from schema.execution import CONTRACT
from tests.access import ROLES, Coordinate, Roles
from tests.conftest import GENEROUS, Api, serving
from tests.practices import Practices, dump, practices
from tests.tokens import Headers
from tests.ways import HARMLESS, Way, way_to, written

SDL = Path(__file__).parents[2] / "docs/schema.graphql"
CELLS = len(ROLES)  # of each role
FIELDS = sorted(ROLES)
REFUSAL = dict.fromkeys(Role, ("FORBIDDEN", 403)) | {Role.PUBLIC: ("UNAUTHENTICATED", 401)}
MODERN = {"accept": "application/graphql-response+json"}
INTROSPECTION = "{ __schema { types { kind name fields(includeDeprecated: true) { name } } } }"
# What runs to find out who asks; nothing else may run for whoever is refused.
IDENTITY = ("api_keys.secret_hash", "find_business")
# What reading leaves behind, and asking twice.
TRACES = ("events", "idempotency_keys", "exposures")
# How a field can be selected, so that a rule might overlook it: in its place, and in what follows the operation.
DISGUISES = {
    "under another name": ("innocent: {field} {inside}", ""),
    "beside what everybody may": ("__typename {field} {inside} ... {{ __typename }}", ""),
    "in a named fragment": ("...F", "fragment F on {type} {{ {field} {inside} }}"),
    "in a fragment of a fragment": (
        "...F",
        "fragment F on {type} {{ ...G }} fragment G on {type} {{ {field} {inside} }}",
    ),
    "in a fragment on its interface": ("... on {interface} {{ ... on {type} {{ {field} {inside} }} }}", ""),
    "in a fragment on no type": ("... {{ {field} {inside} }}", ""),
    "where @include leaves it out": ("{field} @include(if: false) {inside}", ""),
    "where @skip leaves it out": ("... on {type} @skip(if: true) {{ {field} {inside} }}", ""),
    "where a fragment is left out": ("...F @include(if: false)", "fragment F on {type} {{ {field} {inside} }}"),
}

roles = pytest.mark.parametrize("role", Role, ids=lambda role: f"{role.value}-{CELLS}-cells")


@pytest.fixture(scope="module")
def both(cluster: str, migrated: str) -> Iterator[Practices]:
    with practices(cluster, migrated) as made:
        yield made


@pytest.fixture(params=[True, False], ids=["compiled", "ordinary"])
async def api(both: Practices, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Either road; whoever has no token is the public."""
    async with serving(
        both.url, compile=request.param, limits=GENEROUS, API_KEYS="on", RATE_LIMIT="0", RATE_LIMIT_ANONYMOUS="0"
    ) as client:
        yield client


async def ask(api: Api, document: str, headers: Headers) -> httpx2.Response:
    api.statements.clear()
    return await api.http.post("/graphql", json={"query": document}, headers={**MODERN, **headers})


def executed(api: Api) -> list[str]:
    """The statements that ran since the last question, but for those that tell who asks."""
    return [each for each in api.statements if not any(mark in each for mark in IDENTITY)]


def is_reached(value: Any, names: list[str]) -> bool:
    """Whether a field stands in an answer: in any row of each list on the way."""
    if not names:
        return True
    if isinstance(value, list):
        return any(is_reached(each, names) for each in value)
    return value is not None and names[0] in value and is_reached(value[names[0]], names[1:])


def wrong(api: Api, way: Way, role: Role, response: httpx2.Response) -> Any:
    """What is wrong with an answer, if anything is."""
    body = response.json()
    errors = body.get("errors", [])
    codes = [error["extensions"]["code"] for error in errors]
    if way.is_open_to(role):
        is_right = not set(codes) & {"FORBIDDEN", "UNAUTHENTICATED"}
        is_there = not way.is_certain or (codes == [] and is_reached(body.get("data"), way.names))
        return None if is_right and is_there else body
    code, status = REFUSAL[role]
    is_named = not way.is_last_alone(role) or errors[0]["extensions"]["field"] == ".".join(way.steps[-1].coordinate)
    is_right = codes == [code] and "data" not in body and response.status_code == status and is_named
    return None if is_right and executed(api) == [] else (body, executed(api))


async def fields_of(api: Api, headers: Headers) -> set[Coordinate]:
    """Every field, as the API itself tells them."""
    types = (await ask(api, INTROSPECTION, headers)).json()["data"]["__schema"]["types"]
    owners = [type_ for type_ in types if type_["kind"] in ("OBJECT", "INTERFACE") and type_["name"][:2] != "__"]
    return {(type_["name"], field["name"]) for type_ in owners for field in type_["fields"]}


async def test_every_field_of_the_contract_is_in_the_table_and_nothing_else(api: Api, both: Practices) -> None:
    found = await fields_of(api, both.ours.headers[Role.PUBLIC])

    assert (sorted(found - ROLES.keys()), sorted(ROLES.keys() - found)) == ([], [])


def _told(directives: Iterable[ConstDirectiveNode] | None) -> Roles | None:
    for directive in directives or ():
        if directive.name.value == "allowed":
            (argument,) = directive.arguments or ()
            named = frozenset(Role(name) for name in value_from_ast_untyped(argument.value))
            return frozenset(Role) if Role.PUBLIC in named else named
    return None


def test_the_printed_contract_tells_of_each_field_the_roles_of_the_table() -> None:
    told = {
        (type_.name.value, field.name.value): _told(field.directives) or _told(type_.directives)
        for type_ in parse(SDL.read_text()).definitions
        if isinstance(type_, (ObjectTypeDefinitionNode, InterfaceTypeDefinitionNode))
        for field in type_.fields or ()
    }

    assert told == ROLES


def test_no_field_is_more_open_by_its_interface_than_by_its_type() -> None:
    pairs = [
        ((interface.name, name), (type_.name, name))
        for interface in CONTRACT.type_map.values()
        if isinstance(interface, GraphQLInterfaceType)
        for type_ in CONTRACT.get_possible_types(interface)
        for name in interface.fields
    ]

    assert [pair for pair in pairs if not ROLES[pair[0]] <= ROLES[pair[1]]] == []
    assert len(pairs) >= 60


@roles
async def test_each_role_is_answered_what_it_may_ask_for_and_refused_all_else(
    api: Api, both: Practices, role: Role
) -> None:
    before = dump(both.url, DEFAULT_BUSINESS, *TRACES)
    headers, found = both.ours.headers[role], {}

    for coordinate in FIELDS:
        way = way_to(coordinate, role)
        document = way.document(both.ours)
        if problem := wrong(api, way, role, await ask(api, document, headers)):
            found[coordinate] = (document, problem)

    assert found == {}
    assert dump(both.url, DEFAULT_BUSINESS, *TRACES) == before


@roles
@pytest.mark.parametrize("disguise", DISGUISES)
async def test_what_a_role_may_not_ask_for_is_refused_however_it_is_selected(
    both: Practices, role: Role, disguise: str
) -> None:
    # A subscription has one field, which no directive may leave out: such a document is not valid, for whomever it is.
    fields = [each for each in FIELDS if each[0] != "Subscription"]
    refused = {each: way for each in fields if not (way := way_to(each, role)).is_open_to(role)}
    headers, found = both.ours.headers[role], {}

    async with serving(both.url, limits=GENEROUS, API_KEYS="on", RATE_LIMIT="0", RATE_LIMIT_ANONYMOUS="0") as api:
        for coordinate, way in refused.items():
            document = way.document(both.ours, *DISGUISES[disguise])
            if problem := wrong(api, way, role, await ask(api, document, headers)):
                found[coordinate] = (document, problem)

    assert found == {}
    assert ("BusinessCreatePayload", "business") in refused or role is Role.OPERATOR


@roles
async def test_a_mutation_that_is_refused_takes_along_the_one_before_it(api: Api, both: Practices, role: Role) -> None:
    mine = [name for name in HARMLESS if role in ROLES["Mutation", name]]
    others = [name for name in HARMLESS if name not in mine]
    first = f"first: {mine[0]}(input: {written(HARMLESS[mine[0]], both.ours)}) {{ __typename }}" if mine else ""

    for name in others:
        second = f"{name}(input: {written(HARMLESS[name], both.ours)}) {{ __typename }}"
        response = await ask(api, f"mutation {{ {first} {second} }}", both.ours.headers[role])

        assert response.status_code == REFUSAL[role][1]
        assert response.json()["errors"][0]["extensions"]["field"] == f"Mutation.{name}"
        assert ("data" in response.json(), executed(api)) == (False, [])


async def test_a_business_that_is_not_open_to_the_public_tells_it_nothing(api: Api, both: Practices) -> None:
    closed = {"x-business": both.theirs["business"]}

    for coordinate in FIELDS:
        response = await ask(api, way_to(coordinate, Role.PUBLIC).document(both.ours), closed)

        assert (response.status_code, "data" in response.json()) == (401, False)
        assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["UNAUTHENTICATED"]
        assert executed(api) == []
