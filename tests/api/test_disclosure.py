"""Disclosure: what nobody may read they cannot find out by a way round either, and what was read is on record."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import ForeignKeyViolation

from models.business import DEFAULT_BUSINESS
from models.node_id import decode, encode
from models.viewer import Role
from tests.conftest import GENEROUS, Api, serving
from tests.keys import data
from tests.tokens import Headers, bearer, token

Sql = Callable[..., list[tuple[Any, ...]]]
READS = "SELECT aggregate_id, data->'fields' FROM events WHERE type LIKE 'audit.%%.read.v1' ORDER BY seq"


@pytest.fixture(params=[True, False], ids=["compiled", "ordinary"])
async def api(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Either road."""
    async with serving(database, compile=request.param, limits=GENEROUS) as client:
        yield client


@dataclass
class Practice:
    """Two providers, and a client who reserved with both of them; what a request of each carries."""

    ada: str
    grace: str
    client: str
    booked: list[str]
    as_ada: Headers
    as_client: Headers
    as_admin: Headers


def key(identity: str) -> UUID:
    return decode(identity)[1]


@pytest.fixture
async def practice(api: Api, sql: Sql) -> Practice:
    ada, grace = await api.provider("Ada", "Lovelace"), await api.provider("Grace", "Hopper")
    client = await api.client("Mary", "Shelley")
    booked = []
    for provider, hour in ((ada, 9), (grace, 10)):
        hours = (f"2027-05-03T{hour:02}:00:00Z", f"2027-05-03T{hour:02}:15:00Z")
        (appointment,) = await api.publish(provider, *hours)
        booked.append((await api.reserve(client, appointment))["reservation"]["id"])
    sql("UPDATE providers SET email = 'ada@secret.example' WHERE first_name = 'Ada'")
    sql("UPDATE clients SET email = 'mary@hidden.example'")
    sql("UPDATE businesses SET is_public = true")
    tokens = (
        token(sql, Role.PROVIDER, key(ada)),
        token(sql, Role.CLIENT, key(client)),
        token(sql, Role.ADMIN),
    )
    return Practice(ada, grace, client, booked, *map(bearer, tokens))


OF_WHOM = "providers(first: 5) { totalCount nodes { id } pageInfo { hasNextPage } } one: providers(first: 1) { edges { node { id } } pageInfo { hasNextPage } }"
LISTED = f"{{ clients {{ nodes {{ id {OF_WHOM} }} }} }}"
BY_ID = f"query ($id: ID!) {{ client(id: $id) {{ id {OF_WHOM} }} }}"


async def providers_of(api: Api, headers: Headers, client: str) -> list[str]:
    """With whom a client reserved, as it is told to somebody."""
    told = (await data(api, BY_ID, headers, id=client))["client"]
    whole, one = told["providers"], told["one"]
    ids = [node["id"] for node in whole["nodes"]]
    assert (whole["totalCount"], whole["pageInfo"]["hasNextPage"]) == (len(ids), False)
    assert ([edge["node"]["id"] for edge in one["edges"]], one["pageInfo"]["hasNextPage"]) == (ids[:1], len(ids) > 1)
    return ids


async def test_a_provider_is_not_told_with_whom_else_their_client_reserved(api: Api, practice: Practice) -> None:
    by_ada, by_client, by_admin = [
        await providers_of(api, headers, practice.client)
        for headers in (practice.as_ada, practice.as_client, practice.as_admin)
    ]

    listed = (await data(api, LISTED, practice.as_ada))["clients"]["nodes"]
    assert by_ada == [practice.ada]
    assert [[node["id"] for node in each["providers"]["nodes"]] for each in listed] == [[practice.ada]]
    assert by_client == by_admin == [practice.grace, practice.ada]


FOUND = """query ($search: String!) {
  providers(search: $search) { totalCount nodes { firstName } }
  clients(search: $search) { totalCount nodes { firstName } }
}"""
PUBLIC = "query ($search: String!) { providers(search: $search) { totalCount nodes { firstName } } }"


async def names(api: Api, headers: Headers, search: str, query: str = FOUND) -> list[str]:
    """Whom somebody finds who looks for a word."""
    told = (await data(api, query, headers, search=search)).values()
    assert [each["totalCount"] for each in told] == [len(each["nodes"]) for each in told]
    return [node["firstName"] for each in told for node in each["nodes"]]


async def test_who_may_not_read_email_addresses_does_not_find_them_either(api: Api, practice: Practice) -> None:
    nobody = {"via": "1.1 a-proxy", "x-business": encode("Business", DEFAULT_BUSINESS)}

    for word in ("secret", "ada@", "@", "hidden.example"):
        assert await names(api, nobody, word, PUBLIC) == []
        assert await names(api, practice.as_client, word, PUBLIC) == []
    assert await names(api, nobody, "love", PUBLIC) == ["Ada"]
    assert await names(api, practice.as_client, "love", PUBLIC) == ["Ada"]


async def test_who_may_read_email_addresses_finds_them(api: Api, practice: Practice) -> None:
    for headers in (practice.as_admin, practice.as_ada):
        assert await names(api, headers, "SECRET.ex") == ["Ada"]
        assert await names(api, headers, "hidden.ex") == ["Mary"]
        assert await names(api, headers, "nowhere.ex") == []


async def test_why_something_was_given_back_is_read_on_record(api: Api, sql: Sql, practice: Practice) -> None:
    with_ada, with_grace = practice.booked
    await api.cancel(with_ada, "ill")
    query = "{ reservations { nodes { id cancelReason } } }"
    assert sql(READS) == []

    told = await data(api, query, practice.as_ada)
    own = await data(api, query, practice.as_client)

    assert told["reservations"]["nodes"] == [{"id": with_ada, "cancelReason": "ill"}]
    assert {"id": with_grace, "cancelReason": None} in own["reservations"]["nodes"]
    assert sql(READS) == [(key(with_ada), ["cancelReason"])]


@pytest.mark.parametrize("status", ["HELD", "CONFIRMED"])
async def test_the_database_admits_no_erased_client(api: Api, sql: Sql, practice: Practice, status: str) -> None:
    (free,) = await api.publish(practice.ada, "2027-05-04T09:00:00Z", "2027-05-04T09:15:00Z")
    sql("UPDATE clients SET erased_at = clock_timestamp()")
    insert = "INSERT INTO reservations (business_id, client_id, appointment_id, status) VALUES (%s, %s, %s, %s)"

    with pytest.raises(ForeignKeyViolation) as refused:
        sql(insert, DEFAULT_BUSINESS, key(practice.client), key(free), status)
    answered = await api.reserve(practice.client, free)

    assert refused.value.diag.constraint_name == "reservation_of_client"
    assert [(error["code"], error["field"]) for error in answered["userErrors"]] == [("NOT_FOUND", ["clientId"])]
    assert sql("SELECT count(*) FROM reservations WHERE appointment_id = %s", key(free)) == [(0,)]


def test_one_function_admits_a_client_who_holds_and_who_requests(sql: Sql) -> None:
    triggers = (
        "SELECT tgname, proname FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid"
        " WHERE tgrelid = 'reservations'::regclass AND p.prosrc LIKE '%clients%' ORDER BY 1"
    )

    assert sql(triggers) == [("admit", "admit_client"), ("admit_request", "admit_client")]


CROWD = """
INSERT INTO clients (business_id, first_name, last_name) SELECT id, 'First', 'Last' FROM businesses, generate_series(1, 100);
INSERT INTO providers (business_id, first_name, last_name)
SELECT id, 'First', 'Last' FROM businesses, generate_series(1, 95);
INSERT INTO appointments (business_id, provider_id, starts_at, ends_at, capacity)
SELECT p.business_id, p.id, '2027-05-03 09:00Z', '2027-05-03 09:15Z', 100 FROM providers p;
INSERT INTO reservations (business_id, client_id, appointment_id, seat, note)
SELECT c.business_id, c.id, a.id, c.n, 'a note'
  FROM (SELECT *, row_number() OVER (ORDER BY id) n FROM clients) c, appointments a
"""


@pytest.mark.parametrize("twice", [False, True])
async def test_however_many_things_are_read_each_is_on_record_once(
    api: Api, sql: Sql, request: pytest.FixtureRequest, *, twice: bool
) -> None:
    for statement in CROWD.split(";"):
        sql(statement)
    again = "again: reservations(first: 95) { nodes { note } }" if twice else ""
    api.statements.clear()

    told = await api(
        f"{{ clients(first: 100) {{ nodes {{ reservations(first: 95) {{ nodes {{ note }} }} {again} }} }} }}"
    )

    notes = [each["note"] for node in told["clients"]["nodes"] for each in node["reservations"]["nodes"]]
    assert notes == ["a note"] * 9_500
    assert sql(
        "SELECT count(*), count(DISTINCT aggregate_id) FROM events WHERE type = 'audit.reservation.read.v1'"
    ) == [(9_500, 9_500)]
    assert len(api.statements) <= (1 if "compiled" in request.node.callspec.id else 4 if twice else 3)
