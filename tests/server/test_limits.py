"""How much anybody may ask for: of a document, of an answer, of the database, of a business's times, and in a minute.

The ids of the cases begin with the row of the table of bad inputs that they come from.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLObjectType,
    get_introspection_query,
    get_named_type,
    is_required_argument,
)
from sqlalchemy.engine import make_url

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.viewer import Role
from schema.execution import CONTRACT
from schema.limits import Limits
from server import rate
from tests.attacks import ATTACKS, nested, times
from tests.conftest import RESERVE, Api, Running, fresh_database, running, serving
from tests.keys import OTHER, Headers, another_business, bearer, data, send

Sql = Callable[..., list[tuple[Any, ...]]]
case = pytest.param
BOTH_ROADS = pytest.mark.parametrize("compile", [True, False], ids=["compiled", "ordinary"])
PARSE, VALIDATION = "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"
MAKE = 'mutation { clientCreate(input: {firstName: "Mary", lastName: "Shelley"}) { client { id } } }'
PEOPLE = "SELECT count(*) FROM clients"
BUSY = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast' AND state <> 'idle' AND datname = %s"


@pytest.fixture(scope="module")
def read(cluster: str, filled: str) -> Iterator[str]:
    """A database in which no list is empty, and which only keys are added to."""
    with fresh_database(cluster, filled) as url:
        yield url


@pytest.fixture(scope="module")
async def guarded(read: str) -> AsyncIterator[tuple[Api, Headers]]:
    """The API where everybody has to say who they are, and who an ADMIN is."""
    async with serving(read, API_KEYS="on", RATE_LIMIT="0") as api:
        yield api, await bearer(api, Role.ADMIN)


async def refusal(guarded: tuple[Api, Headers], document: str, **variables: Any) -> tuple[int, dict[str, Any]]:
    """The status of a refusal and its one error, for which no statement was run."""
    api, admin = guarded
    await send(api, "{ __typename }", admin)  # who asks is known now
    api.statements.clear()
    response = await send(api, document, admin, **variables)
    body = response.json()
    assert "data" not in body
    assert api.statements == []
    (error,) = body["errors"]
    assert error["extensions"]["requestId"] == response.headers["x-request-id"]
    return response.status_code, error


def counted(error: dict[str, Any]) -> tuple[str, int, int]:
    told = error["extensions"]
    return told["code"], told["found"], told["limit"]


@pytest.mark.parametrize(
    ("document", "code", "found", "limit"),
    [
        case("{" + times(101, "a#: serverTime") + "}", "TOO_MANY_ALIASES", 101, 30, id="22 101 aliases"),
        case(ATTACKS["mutations by the dozen"], "TOO_MANY_FIELDS", 21, 20, id="23 21 mutations"),
        case(ATTACKS["mutations by a fragment"], "TOO_MANY_FIELDS", 24, 20, id="23 24 by a fragment"),
        case("{serverTime" + "@include(if:true)" * 51 + "}", "TOO_MANY_DIRECTIVES", 51, 50, id="26 51 directives"),
        case(
            '{appointment(id:"a"){' + nested(5, "confirmedReservation{appointment{", "provider{id}") + "}" * 7,
            *("TOO_DEEP", 13, 12),
            id="27 13 levels",
        ),
        case(ATTACKS["deep nesting"], "TOO_DEEP", 121, 12, id="27 121 levels"),
        case("{providers(first:59989075){nodes{id}}}", "TOO_COSTLY", 59_989_077, 20_000, id="28 a huge page"),
        case(ATTACKS["a huge page"], "TOO_COSTLY", 10**15, 20_000, id="28 huge pages nested"),
        case("{" + times(3, "__schema{types{name}}") + "}", "TOO_MANY_FIELDS", 3, 2, id="29 three times"),
        case(times(300, "query Q#{serverTime}"), "TOO_MANY_OPERATIONS", 300, 10, id="30 300 operations"),
    ],
)
async def test_a_document_that_asks_for_too_much_is_refused_with_the_figure(
    guarded: tuple[Api, Headers], document: str, code: str, found: int, limit: int
) -> None:
    status, error = await refusal(guarded, document)

    assert (status, counted(error)) == (400, (code, found, limit))
    assert f"{found} " in error["message"]
    assert f"{limit} are allowed." in error["message"]


@pytest.mark.parametrize("n", [59_989_075, 20_000], ids=["28 a huge page", "28 one point too many"])
async def test_a_page_is_as_costly_when_a_variable_says_its_size(guarded: tuple[Api, Headers], n: int) -> None:
    status, error = await refusal(guarded, "query($n:Int){providers(first:$n){nodes{id}}}", n=n)

    assert (status, counted(error)) == (400, ("TOO_COSTLY", n + 2, 20_000))
    assert error["message"] == f"The operation costs {n + 2} points; 20000 are allowed."


@pytest.mark.parametrize(
    ("document", "status", "code", "said"),
    [
        case("{serverTime}" + "#" * 19_989, 413, "DOCUMENT_TOO_LARGE", "20001 bytes; 20000 are", id="15 one byte more"),
        case("{serverTime}" + "\n#" * 500_000, 413, "DOCUMENT_TOO_LARGE", "1000012 bytes", id="15 1 MB of comments"),
        case("{" + "a " * 1_999 + "}", 400, PARSE, "2000 tokens", id="16 2 001 tokens"),
        case("{" * 50_000, 413, "DOCUMENT_TOO_LARGE", "50000 bytes", id="17 opened 50 000 times"),
        case("{" * 11_000, 400, PARSE, "Syntax Error", id="17 opened 11 000 times"),
        case(
            "{nodes(ids:" + "[" * 5_000 + "]" * 5_000 + "){id}}", 400, PARSE, "nested too deeply", id="17 5 000 lists"
        ),
        case(ATTACKS["introspection in circles"], 400, VALIDATION, "introspection depth", id="29 in circles"),
        case("{serverTime" + "@a" * 2_000 + "}", 400, PARSE, "2000 tokens", id="26 2 000 directives"),
        case("{a}" * 1_000, 400, PARSE, "2000 tokens", id="30 1 000 operations"),
        case("{ serverTime ) }", 400, PARSE, "Expected Name", id="18 a bracket"),
        case("{...A} fragment A on Query{serverTime ...A}", 400, VALIDATION, "within itself", id="20 within itself"),
        case("{serverTime" + times(10, "@a#") + "}", 400, VALIDATION, "and 5 more", id="25 ten unknown directives"),
        case("query A{serverTime} query B{serverTime}", 400, VALIDATION, "operationName", id="31 two operations"),
        case("subscription{availabilityChanged{reason}}", 400, VALIDATION, "text/event-stream", id="32 a subscription"),
    ],
)
async def test_a_document_that_cannot_be_executed_is_refused_by_one_sentence(
    guarded: tuple[Api, Headers], document: str, status: int, code: str, said: str
) -> None:
    found, error = await refusal(guarded, document)

    assert (found, error["extensions"]["code"]) == (status, code)
    assert said in error["message"]
    assert len(error["message"]) < 500
    if code == PARSE:
        assert error["locations"][0].keys() == {"line", "column"}


async def test_the_same_field_500_times_is_answered_once(guarded: tuple[Api, Headers]) -> None:
    api, admin = guarded

    answer = await data(api, "{" + times(500, "__typename") + "}", admin)

    assert answer == {"__typename": "Query"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"descriptions": False},
        {"specified_by_url": True, "directive_is_repeatable": True, "schema_description": True},
        {"specified_by_url": True, "directive_is_repeatable": True, "input_value_deprecation": True},
    ],
    ids=["29 as specified", "29 bare", "29 of GraphiQL", "29 of Postman"],
)
async def test_what_tools_ask_the_schema_with_is_answered(guarded: tuple[Api, Headers], more: dict[str, bool]) -> None:
    api, admin = guarded

    answer = await api.post(get_introspection_query(**more), admin)

    assert len(answer["data"]["__schema"]["types"]) == len(CONTRACT.type_map)
    assert api.cost == {"requestedQueryCost": 1000, "actualQueryCost": 1000}


PRICES = [
    ("{ __typename }", {}, 1),
    ("{ serverTime viewer { role principal } }", {}, 4),
    ("{ providers { totalCount } }", {}, 101),
    ("{ providers { nodes { id } } }", {}, 22),
    ("{ providers(first: 7) { nodes { id version } pageInfo { hasNextPage } } }", {}, 18),
    ("{ providers(last: 100) { edges { cursor node { id } } } }", {}, 302),
    ("query($n: Int) { providers(first: $n) { nodes { id } } }", {"n": 50}, 52),
    ("query($n: Int) { providers(first: $n) { nodes { id } } }", {"n": 3}, 5),
    ("query($n: Int) { providers(first: $n) { nodes { id } } }", {}, 22),
    ("query($n: Int = 4) { providers(first: $n) { nodes { id } } }", {}, 6),
    (
        "query($n: Int, $m: Int) { clients(first: $n) { nodes { reservations(first: $m) { nodes { id } } } } }",
        {"n": 5, "m": 6},
        42,
    ),
    ("{ providers(limit: 9, offset: 3) { nodes { id } } }", {}, 11),
    ("{ reservations(first: 2) { nodes { client { id } provider { ...F } } } } fragment F on Provider { id version }", {}, 12),
]  # fmt: skip


@BOTH_ROADS
async def test_every_answer_says_what_it_cost(read: str, compile: bool) -> None:  # noqa: A002
    async with serving(read, compile=compile, API_KEYS="on", RATE_LIMIT="0") as api:
        admin = await bearer(api, Role.ADMIN)

        told = []
        for document, variables, _ in PRICES:
            await data(api, document, admin, **variables)
            told.append(api.cost)

        assert told == [{"requestedQueryCost": cost, "actualQueryCost": cost} for *_, cost in PRICES]
        assert (api.on_lanes != []) is compile


@BOTH_ROADS
@pytest.mark.parametrize(
    ("role", "document", "cost", "actual", "code"),
    [
        (Role.ADMIN, "query($n: Int) { providers(first: $n) { nodes { id } } }", 30_002, None, "TOO_COSTLY"),
        (Role.FRONT_DESK, "query($n: Int) { auditEntries(first: 1) { nodes { id } } providers(first: $n) { pageInfo { hasNextPage } } }", 6, None, "FORBIDDEN"),
        (Role.ADMIN, "{ nothing }", 100, 100, VALIDATION),
        (Role.ADMIN, "{", 100, 100, PARSE),
    ],
)  # fmt: skip
async def test_a_refusal_says_what_it_would_have_cost(
    read: str, compile: bool, role: Role, document: str, cost: int, actual: int | None, code: str  # noqa: A002
) -> None:  # fmt: skip
    async with serving(read, compile=compile, API_KEYS="on", RATE_LIMIT="0") as api:
        answer = await api.post(document, await bearer(api, role), n=30_000)

    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
    assert api.cost == {"requestedQueryCost": cost, "actualQueryCost": actual}


SUGGESTS = re.compile("did you mean|must be one of", re.IGNORECASE)
NOTES = "{ reservations(first: 100) { nodes { " + times(28, "n#: note") + " } } }"


@BOTH_ROADS
async def test_an_answer_of_more_than_a_megabyte_is_not_sent(
    api: Api,
    database: str,
    sql: Sql,
    compile: bool,  # noqa: A002
) -> None:
    charles, hour = await api.client(), "2027-05-03T{:02}:00:00Z"
    for appointment in await api.publish(await api.provider(), hour.format(9), hour.format(14)):
        assert (await api.reserve(charles, appointment, note="n" * 2_000))["userErrors"] == []

    async with serving(database, compile=compile) as asked:
        longer = await asked.post(NOTES)
        costs = asked.cost
        shorter = await asked.post(NOTES.replace("100", "10"))

    (error,) = longer["errors"]
    assert "data" not in longer
    assert counted(error) == ("TOO_COSTLY", 1_124_917, 1_000_000)
    assert error["message"] == "The answer has 1124917 bytes; 1000000 are allowed. Ask for less."
    assert costs["requestedQueryCost"] == costs["actualQueryCost"] < 20_000
    assert len(shorter["data"]["reservations"]["nodes"]) == 10


@BOTH_ROADS
async def test_an_answer_may_have_so_many_bytes_and_not_one_more_unless_it_tells_of_a_change(
    database: str,
    sql: Sql,
    compile: bool,  # noqa: A002
) -> None:
    whole = len(b'{"data":{"viewer":{"role":"ADMIN"}}}')
    allowed, narrow = Limits(answer=whole), Limits(answer=whole - 1)
    query = "{ viewer { role } }"

    async with serving(database, compile=compile, limits=allowed) as api:
        answered = await api.post(query)
    async with serving(database, compile=compile, limits=narrow) as api:
        refused = await api.post(query)
        changed = await api.post(MAKE)

    assert answered == {"data": {"viewer": {"role": "ADMIN"}}}
    assert "data" not in refused
    assert counted(refused["errors"][0]) == ("TOO_COSTLY", whole, whole - 1)
    assert changed["data"]["clientCreate"]["client"]["id"]
    assert sql(PEOPLE) == [(1,)]


def misspelt() -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents that miss a type, a field, an argument, an input or an enum's value of the schema by a letter."""
    for type_ in CONTRACT.type_map.values():
        if not isinstance(type_, GraphQLObjectType) or type_.name.startswith("__"):
            continue
        yield f"{{ ...F }} fragment F on {type_.name}x {{ id }}", {}
        for field, each in type_.fields.items():
            yield f"{{ ...F }} fragment F on {type_.name} {{ {field}xx }}", {}
            if isinstance(get_named_type(each.type), GraphQLObjectType):
                yield f"{{ ...F }} fragment F on {type_.name} {{ {field} }}", {}
            for argument in each.args:
                yield f"{{ ...F }} fragment F on {type_.name} {{ {field}({argument}x: 1) }}", {}
    for kind, root in (("query", CONTRACT.query_type), ("mutation", CONTRACT.mutation_type)):
        assert root is not None
        for field, each in root.fields.items():
            for argument, given in each.args.items():
                others = [f", {name}: {RIGHT[str(one.type)]}" for name, one in each.args.items() if needs(one, given)]
                for value in wrong(get_named_type(given.type)):
                    asked = f"{field}({argument}: {{}}{''.join(others)}) {{{{ __typename }}}}"
                    yield f"{kind} {{ {asked.format(literal(value))} }}", {}
                    yield f"{kind}($v: {given.type}) {{ {asked.format('$v')} }}", {"v": value}


# What stands in a required argument that is not misspelt.
RIGHT = {"Date!": '"2027-05-03"', "DateTime!": '"2027-05-03T09:00:00Z"', "ID!": '"x"', "String!": '"x"'}
RIGHT["AvailabilityFilter!"] = "{{}}"


def needs(argument: GraphQLArgument, instead_of: GraphQLArgument) -> bool:
    return argument is not instead_of and is_required_argument(argument)


def wrong(type_: Any) -> Iterator[Any]:
    """Values of an input type, each of which misses one name by a letter."""
    if isinstance(type_, GraphQLEnumType):
        yield from (Name(f"{value}X") for value in type_.values)
    if isinstance(type_, GraphQLInputObjectType):
        for field, each in type_.fields.items():
            yield {f"{field}x": 1}
            yield from ({field: value} for value in wrong(get_named_type(each.type)))


class Name(str):
    """The name of an enum's value, which a document writes without quotes."""

    __slots__ = ()


def literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {literal(each)}" for name, each in value.items()) + "}"
    return value if isinstance(value, Name) else json.dumps(value)


async def test_no_error_suggests_what_the_schema_has_where_it_is_not_told(read: str) -> None:
    documents = list(misspelt())
    enums = [each for each in CONTRACT.type_map.values() if isinstance(each, GraphQLEnumType)]
    values = {f" {value}{end}" for enum in enums for value in enum.values for end in ",."}

    async with serving(read) as api:
        told = [json.dumps((await api.post(document, **variables))["errors"]) for document, variables in documents]
    async with serving(read, INTROSPECTION="off") as api:
        hidden = [json.dumps((await api.post(document, **variables))["errors"]) for document, variables in documents]

    silent = [document for (document, _), each in zip(documents, told, strict=True) if not SUGGESTS.search(each)]
    assert len(documents) > 800
    assert [document for document in silent if "businessCreate" not in document] == []  # which only an OPERATOR may ask
    assert [each for each in hidden if SUGGESTS.search(each)] == []
    by_role = [each for each in hidden if '"FORBIDDEN"' not in each]  # which says what role one has
    assert [each for each in by_role if any(value in each for value in values)] == []


@pytest.mark.parametrize(
    "document",
    [
        "{ __schema { types { name } } }",
        '{ __type(name: "Client") { name } }',
        "{ ...F } fragment F on Query { a: __schema { queryType { name } } }",
        "query Meant { serverTime } query Other { __schema { types { name } } }",
        get_introspection_query(),
    ],
)
async def test_the_schema_is_not_told_where_introspection_is_off(read: str, document: str) -> None:
    async with serving(read, INTROSPECTION="off") as api:
        answer = await api.post(document)
        named = await api.post("{ __typename viewer { __typename } }")

    (error,) = answer["errors"]
    assert "data" not in answer
    assert (error["message"], error["extensions"]["code"]) == ("Introspection is switched off here.", VALIDATION)
    assert named == {"data": {"__typename": "Query", "viewer": {"__typename": "Viewer"}}}


async def held(api: Api, by: Headers, client: str, appointment: str) -> list[str]:
    """Reserve; the codes of what was refused."""
    wish = {"clientId": client, "appointmentId": appointment}
    done = await data(api, RESERVE, by, input=wish)
    return [error["code"] for error in done["reservationCreate"]["userErrors"]]


@dataclass
class Booking:
    """A client, somebody at the desk, and twelve free appointments."""

    api: Api
    client: str
    by_client: Headers
    by_desk: Headers
    free: list[str]

    async def hold(self, by: Headers) -> list[str]:
        return await held(self.api, by, self.client, self.free.pop())


@pytest.fixture(params=[True, False], ids=["compiled", "ordinary"])
async def booking(database: str, sql: Sql, request: pytest.FixtureRequest) -> AsyncIterator[Booking]:
    sql("UPDATE businesses SET hold_limit = 3")
    async with serving(database, compile=request.param, API_KEYS="on") as api:
        desk = await bearer(api, Role.FRONT_DESK)
        ((provider,),) = sql(PROVIDER, DEFAULT_BUSINESS)
        appointments = sql(TIMES, DEFAULT_BUSINESS, provider)
        ((client,),) = sql(CLIENT, DEFAULT_BUSINESS)
        charles = encode("Client", client)
        by_charles = await bearer(api, Role.CLIENT, person=charles)
        yield Booking(api, charles, by_charles, desk, [encode("Appointment", key) for (key,) in appointments])


PROVIDER = "INSERT INTO providers (business_id, first_name, last_name) VALUES (%s, 'Ada', 'Lovelace') RETURNING id"
CLIENT = "INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, 'Charles', 'Babbage') RETURNING id"
TIMES = """INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
SELECT %s, %s, '2027-05-03 09:00Z'::timestamptz + n * interval '15 min', '2027-05-03 09:15Z'::timestamptz + n * interval '15 min'
  FROM generate_series(1, 12) n RETURNING id"""
HELD = "SELECT count(*) FROM reservations WHERE status = 'HELD' AND expires_at > clock_timestamp()"


async def test_a_client_holds_three_at_once_whoever_reserves_for_them(booking: Booking, sql: Sql) -> None:
    who = [booking.by_client, booking.by_desk, booking.by_client, booking.by_client, booking.by_desk]

    told = [await booking.hold(by) for by in who]

    assert told == [[], [], [], ["TOO_MANY_HOLDS"], ["TOO_MANY_HOLDS"]]
    assert sql(HELD) == [(3,)]


async def test_of_ten_holds_at_once_exactly_three_are_granted(booking: Booking, sql: Sql) -> None:
    told = await asyncio.gather(*(booking.hold(booking.by_client if n % 2 else booking.by_desk) for n in range(10)))

    assert Counter(map(tuple, told)) == {(): 3, ("TOO_MANY_HOLDS",): 7}
    assert sql("SELECT status, count(*) FROM reservations GROUP BY status") == [("HELD", 3)]


async def test_what_is_confirmed_cancelled_or_lapsed_is_no_hold(booking: Booking, sql: Sql) -> None:
    sql("UPDATE businesses SET hold_time = '1 ms'")
    lapsed = [await booking.hold(booking.by_client) for _ in range(4)]
    sql("UPDATE businesses SET hold_time = '00:30:00'")
    three = [await booking.hold(booking.by_client) for _ in range(3)]

    full = await booking.hold(booking.by_client)
    sql(CHANGE_FIRST, "CONFIRMED")
    sql(CHANGE_FIRST, "CANCELLED")
    more = [await booking.hold(booking.by_client) for _ in range(3)]

    assert (lapsed, three, full) == ([[]] * 4, [[]] * 3, ["TOO_MANY_HOLDS"])
    assert more == [[], [], ["TOO_MANY_HOLDS"]]


CHANGE_FIRST = """UPDATE reservations SET status = %s WHERE id =
(SELECT id FROM reservations WHERE status = 'HELD' AND expires_at > clock_timestamp() LIMIT 1)"""


async def test_another_client_is_not_concerned(booking: Booking, sql: Sql) -> None:
    for _ in range(3):
        await booking.hold(booking.by_client)
    ((other,),) = sql(CLIENT, DEFAULT_BUSINESS)

    told = await held(booking.api, booking.by_desk, encode("Client", other), booking.free.pop())

    assert told == []


async def test_each_business_says_how_many_or_none(booking: Booking, sql: Sql) -> None:
    another_business(sql)
    sql("UPDATE businesses SET hold_limit = 1 WHERE id = %s", OTHER)
    sql("UPDATE businesses SET hold_limit = NULL WHERE id <> %s", OTHER)
    appointments = [encode("Appointment", key) for (key,) in sql(TIMES, OTHER, OTHER)]
    elsewhere = await bearer(booking.api, Role.ADMIN, business=OTHER)

    here = [await booking.hold(booking.by_client) for _ in range(6)]
    there = [await held(booking.api, elsewhere, encode("Client", OTHER), appointments.pop()) for _ in range(2)]

    assert here == [[]] * 6
    assert there == [[], ["TOO_MANY_HOLDS"]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate limit's clock stands still, at the beginning of a window."""
    monkeypatch.setattr(rate, "monotonic", lambda: 120_000.0)


ENOUGH = 2.5  # a second until the deadline, and what a machine that does other things besides may add
DEAR = "{ __schema { queryType { name } } }"


def told_of(response: httpx2.Response) -> tuple[int, dict[str, str]]:
    """The status, and the headers that tell of the rate limit."""
    limits = ("ratelimit", "ratelimit-policy", "retry-after")
    return response.status_code, {name: response.headers[name] for name in limits if name in response.headers}


@pytest.mark.usefixtures("clock")
async def test_who_has_spent_all_is_refused_and_nobody_else(database: str, sql: Sql) -> None:
    policy = '"default";q=20000;w=60'
    async with serving(database, API_KEYS="on", RATE_LIMIT="20000") as api:
        first, admin, other = [await bearer(api, Role.ADMIN) for _ in range(3)]
        for known in (DEAR, "{ __typename }"):  # a document that was not asked before costs more
            await send(api, known, first)

        spent = [await send(api, DEAR, admin) for _ in range(20)]
        api.statements.clear()
        refused = await send(api, MAKE, admin)
        ran = list(api.statements)
        others = [await send(api, "{ __typename }", by) for by in (other, {})]
        made = await send(api, MAKE, other)

    assert told_of(spent[0]) == (200, {"ratelimit": '"default";r=19000;t=60', "ratelimit-policy": policy})
    assert told_of(spent[-1]) == (200, {"ratelimit": '"default";r=0;t=60', "ratelimit-policy": policy})
    assert spent[-1].json()["extensions"]["cost"] == {
        "requestedQueryCost": 1_000,
        "actualQueryCost": 1_000,
        "throttleStatus": {"maximumAvailable": 20_000, "currentlyAvailable": 0, "restoreRate": 20_000 / 60},
    }
    assert told_of(refused) == (
        429,
        {"ratelimit": '"default";r=0;t=61', "ratelimit-policy": policy, "retry-after": "61"},
    )
    (error,) = refused.json().pop("errors")
    assert error == {
        "message": "You have asked for too much; try again in 61 seconds.",
        "extensions": {"code": "RATE_LIMITED", "requestId": refused.headers["x-request-id"]},
    }
    assert ran == []
    assert told_of(others[0])[1]["ratelimit"] == '"default";r=19999;t=60'
    assert others[1].status_code == 200
    assert made.json()["data"]["clientCreate"]["client"]["id"]
    assert sql(PEOPLE) == [(1,)]


@pytest.mark.usefixtures("clock")
async def test_guessing_tokens_from_one_address_is_soon_over(database: str) -> None:
    async with serving(database, API_KEYS="on", RATE_LIMIT_ANONYMOUS="20000") as api:
        admin = await bearer(api, Role.ADMIN)
        guess = {"authorization": admin["authorization"][:-6] + "Guess0"}
        halves = [
            [await send(api, "{ __typename }", headers) for headers in [guess, {"authorization": "Bearer x"}] * times]
            for times in (80, 21)
            if await send(api, "{ __typename }", admin)  # a key that is not heard of pays one point to be looked for
        ]
        told = halves[0] + halves[1]

        right = await send(api, "{ __typename }", admin)

    granted = [response for response in told if response.status_code == 401]
    assert 190 <= len(granted) <= 200  # 100 points each, and one for looking
    assert {response.status_code for response in told[len(granted) :]} == {429}
    assert len({response.text.replace(response.headers["x-request-id"], "") for response in granted}) == 1
    assert int(told[-1].headers["retry-after"]) in range(60, 62)
    assert right.status_code == 200


@pytest.mark.usefixtures("clock")
async def test_a_forged_address_is_the_same_address(database: str) -> None:
    async with serving(database, API_KEYS="on") as api:
        remaining = []
        for n in range(3):
            forged = dict.fromkeys(("x-forwarded-for", "x-real-ip", "client-ip"), f"203.0.113.{n}")
            forged["forwarded"] = f"for=203.0.113.{n}"
            remaining.append(told_of(await send(api, "{ __typename }", forged))[1]["ratelimit"])

    # A document that was not asked before costs 20 points more.
    assert remaining == [f'"default";r={left};t=60' for left in (19_979, 19_978, 19_977)]


def remaining(server: Running, *forwarded: str) -> list[int]:
    """What an anonymous caller is told to have left, once for each way in which a proxy names them."""
    told = []
    for named in forwarded:
        answer = httpx2.get(f"{server.url}/graphql?query={{__typename}}", headers={"x-forwarded-for": named})
        told.append(int(re.findall("r=([0-9]+)", answer.headers["ratelimit"])[0]))
    return told


def test_a_proxy_is_believed_only_where_it_is_trusted(database: str, tmp_path: Path) -> None:
    one, other = "203.0.113.1", "203.0.113.2"
    with running(tmp_path / "trusting", DATABASE_URL=database, API_KEYS="on") as server:
        believed = remaining(server, one, one, other, f"{other}, {one}", f"198.51.100.7, {one}", f"{one}, {other}")
    with running(tmp_path / "wary", DATABASE_URL=database, API_KEYS="on", FORWARDED_ALLOW_IPS="192.0.2.1") as server:
        ignored = remaining(server, one, other, f"{other}, {one}", "")

    # A document that was not asked before costs 20 points more.
    assert believed == [19_979, 19_978, 19_999, 19_977, 19_976, 19_998]
    assert ignored == [19_979, 19_978, 19_977, 19_976]


def busy(database: str) -> int:
    """How many sessions of the application are at work."""
    with psycopg.connect(database, autocommit=True) as admin:
        ((count,),) = admin.execute(BUSY, [make_url(database).database]).fetchall()
        return int(count)


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Others have locked what is read."""
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE providers, clients IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def sleeping(database: str) -> Iterator[None]:
    """Whatever is read takes half a minute."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("""CREATE FUNCTION slowly() RETURNS boolean LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep(30); RETURN true; END $$;
            CREATE POLICY slow ON providers AS RESTRICTIVE TO holdfast_app USING (slowly());
            CREATE POLICY slow ON clients AS RESTRICTIVE TO holdfast_app USING (slowly()) WITH CHECK (slowly());
        """)
    yield


@BOTH_ROADS
@pytest.mark.parametrize("slow", [locked, sleeping])
@pytest.mark.parametrize("document", ["{ providers { totalCount nodes { id } } }", MAKE], ids=["a query", "a mutation"])
async def test_who_waits_longer_than_the_deadline_is_told_and_nothing_goes_on(
    database: str,
    sql: Sql,
    compile: bool,  # noqa: A002
    slow: Callable[[str], AbstractContextManager[None]],
    document: str,
) -> None:
    with ExitStack() as stack:
        async with serving(database, compile=compile, API_KEYS="on", DEADLINE="1") as api:
            admin = await bearer(api, Role.ADMIN)
            await data(api, ADD_PROVIDER, admin)  # the policy is asked for rows only
            stack.enter_context(slow(database))
            began = time.monotonic()
            answers = await asyncio.gather(*(send(api, document, admin) for _ in range(5)))
            took = time.monotonic() - began
            await asyncio.sleep(1)
            after = busy(database)

    assert took < ENOUGH
    assert after == 0
    assert sql(PEOPLE) == [(0,)]
    assert [response.headers["retry-after"] for response in answers] == ["1"] * 5
    for response in answers:
        (error,) = response.json()["errors"]
        assert (response.status_code, response.json()["data"]) == (200, None)
        assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("TIMEOUT", True)


ADD_PROVIDER = 'mutation { providerCreate(input: {firstName: "Ada", lastName: "Lovelace"}) { provider { id } } }'


async def test_who_cannot_be_recognised_in_time_is_told_so(database: str) -> None:
    async with serving(database, API_KEYS="on", DEADLINE="1") as api:
        admin = await bearer(api, Role.ADMIN)
        with psycopg.connect(database) as other:
            other.execute("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            response = await send(api, "{ serverTime }", admin)
            took = time.monotonic() - began

    assert took < ENOUGH
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["TIMEOUT"]


@BOTH_ROADS
async def test_without_a_database_everybody_is_told_to_try_again(database: str, compile: bool) -> None:  # noqa: A002
    async with serving(database) as api:
        admin = await bearer(api, Role.ADMIN)
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"

    async with serving(nowhere, compile=compile, API_KEYS="on") as api:
        strangers = [await send(api, document, by) for document in (MAKE, "{ serverTime }") for by in (admin, {})]
    async with serving(nowhere, compile=compile) as api:
        known = [await send(api, document, {}) for document in (MAKE, "{ serverTime }")]

    for response in (*strangers, *known):
        assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["UNAVAILABLE"]
        assert response.headers["retry-after"] == "1"
        assert not response.json().get("data")
    assert [response.status_code for response in strangers] == [503] * 4
    assert [response.status_code for response in known] == [200] * 2


SECRETS = {
    "token": "hf_" + "c2VjcmV0" * 10,
    "jwt": "eyJhbGciOiJub25lIn0.eyJzZWNyZXQiOiJwbGFudGVkIn0.c2VjcmV0",
    "key": "planted-idempotency-key",
    "email": "planted@example.com",
    "phone": "+49 170 5550199",
    "name": "Plantagenet",
    "note": "planted allergy to penicillin",
}
CREATE = "mutation($input: ClientCreateInput!) { clientCreate(input: $input) { client { id email phone } userErrors { message } } }"


def planted(**wrong: Any) -> dict[str, Any]:
    """A client with every secret, and perhaps with something wrong."""
    names = {"firstName": SECRETS["name"], "lastName": SECRETS["name"]}
    more = {"email": SECRETS["email"], "phone": SECRETS["phone"], "idempotencyKey": SECRETS["key"]}
    return {"query": CREATE, "variables": {"input": {**names, **more, **wrong}}}


def bodies() -> list[bytes]:
    """Good requests and bad ones, each with a secret somewhere."""
    note, email = SECRETS["note"], SECRETS["email"]
    reserve = {"clientId": note, "appointmentId": note, "note": note}
    good = [planted(), planted(), {"query": f'{{ clients(search: "{email}") {{ nodes {{ id email phone }} }} }}'}]
    bad: list[Any] = [
        planted(idempotencyKey=SECRETS["key"], email="another@example.com"),
        planted(email=f"{email} {note}"),
        planted(firstName=[SECRETS["name"]], timeZone=note),
        planted(nothing=note),
        {"query": RESERVE, "variables": {"input": reserve}, "operationName": note},
        {"query": RESERVE, "variables": {"input": reserve}},
        {"query": f'{{ clients(serch: "{email}") {{ nodes {{ {SECRETS["name"]} }} }} }}'},
        {"query": f'{{ client(id: "{email}") {{ id }} }}'},
        {"query": f"{{ a # {note}", "variables": {"a": note}},
        {"query": f'query {{ viewer {{ role @include(if: "{note}") }} }}'},
        {"query": 5, "variables": {"a": note}},
        {"query": "{ viewer { role } }", "variables": [note], "extensions": {"a": email}},
        {"query": "{ viewer { role } }", "documentId": note},
        [note, email],
    ]
    broken = [note.encode(), f'{{"query": "{email}", "query": "{note}"}}'.encode(), email.encode() + b"\xff", b""]
    return [*(json.dumps(body).encode() for body in (*good, *bad)), *broken]


def test_no_log_line_tells_a_secret_and_each_request_is_one_line(database: str, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    kind = {"content-type": "application/json", "idempotency-key": SECRETS["key"]}
    spoken = [{"authorization": f"Bearer {SECRETS[which]}"} for which in ("token", "jwt")]
    spoken.append({"authorization": f"Basic {SECRETS['token']}", "cookie": f"a={SECRETS['token']}"})

    with running(log, DATABASE_URL=database, LOG_LEVEL="info") as server, httpx2.Client(base_url=server.url) as client:
        before = len(log.read_text().splitlines())
        statuses = [client.post("/graphql", content=body, headers=kind).status_code for body in bodies()]
        statuses += [client.post("/graphql", content=bodies()[0], headers=kind | by).status_code for by in spoken]
        statuses.append(client.get("/graphql", params={"query": f"{{ a }} # {SECRETS['note']}"}).status_code)
        statuses.append(client.get("/", params={"access_token": SECRETS["jwt"]}).status_code)
        lines = [json.loads(line) for line in log.read_text().splitlines()[before:]]

    whole = log.read_text()
    assert [name for name, secret in SECRETS.items() if secret in whole] == []
    assert [secret for secret in SECRETS.values() if secret.split()[0] in whole] == []
    assert [line["status"] for line in lines if line["event"] == "request"] == statuses
    assert [line["event"] for line in lines if line["event"] != "request"] == []
    assert len([line for line in lines if line["status"] == 401 and "why" in line]) == 3
    assert {line["level"] for line in lines} == {"info"}
    assert Counter(statuses) == Counter({200: 14, 400: 8, 401: 3, 307: 1})
