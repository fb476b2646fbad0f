"""Both roads answer alike where they are most likely to part: keys, variables, sizes, and a database that is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import orjson
import psycopg
import pytest

from compiler.plan import Plans
from resolvers.lane import Lane
from schema.execution import DOCUMENTS_KEPT, LARGEST_DOCUMENT_KEPT
from schema.limits import Limits
from tests.conftest import GENEROUS, Api, serving
from tests.links import ids

Sql = Callable[..., list[tuple[Any, ...]]]
HEADERS = {"x-request-id": "both-roads"}
REPLAYED = {"idempotentReplay": True}
MARY = {"firstName": "Mary", "lastName": "Shelley"}


@pytest.fixture
def template(filled: str) -> str:
    return filled


@pytest.fixture
def limits() -> Limits:
    """Larger ones than a server has: both roads are asked for what it would refuse before either."""
    return GENEROUS


@dataclass
class Both:
    """The compiled road and the ordinary one, over one database."""

    compiled: Api
    ordinary: Api

    async def ask(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask both; the one answer that they give, to the byte."""
        self.compiled.on_lanes.clear()
        told = [await send(api, query, variables or {}) for api in (self.compiled, self.ordinary)]
        assert told[0] == told[1]
        assert self.ordinary.on_lanes == [], "a road compared with itself proves nothing"
        status, content = told[0]
        assert status < 500
        body: dict[str, Any] = orjson.loads(content)
        assert "INTERNAL" not in codes(body)
        return body

    @property
    def is_compiled(self) -> bool:
        """Whether the last question was answered on lanes alone."""
        return self.compiled.on_lanes != []


async def send(api: Api, query: str, variables: dict[str, Any], **headers: str) -> tuple[int, bytes]:
    body = {"query": query, "variables": variables}
    answered = await api.http.post("/graphql", json=body, headers={**HEADERS, **headers})
    return answered.status_code, answered.content


def codes(body: dict[str, Any]) -> list[str]:
    """The codes of the errors at the top of an answer."""
    return [error["extensions"]["code"] for error in body.get("errors", ())]


@pytest.fixture
async def both(api: Api, database: str) -> AsyncIterator[Both]:
    async with serving(database, compile=False, limits=GENEROUS) as ordinary:
        yield Both(api, ordinary)


CREATE = "mutation ($i: ClientCreateInput!) { clientCreate(input: $i) { client { id } } }"
# Each is one client, however it is written.
FORMS = {
    "plain": CREATE,
    "aliased": CREATE.replace("clientCreate(", "made: clientCreate("),
    "spread": """mutation ($i: ClientCreateInput!) { ...F }
        fragment F on Mutation { clientCreate(input: $i) { client { id } } }""",
    "inline": "mutation ($i: ClientCreateInput!) { ... { clientCreate(input: $i) { client { id } } } }",
    "inline on": "mutation ($i: ClientCreateInput!) { ... on Mutation { clientCreate(input: $i) { client { id } } } }",
    "skipped": """mutation ($i: ClientCreateInput!) {
        a: clientCreate(input: $i) { client { id } } b: clientCreate(input: $i) @skip(if: true) { client { id } } }""",
    "merged": """mutation ($i: ClientCreateInput!) {
        clientCreate(input: $i) { client { id } } clientCreate(input: $i) { client { firstName } } }""",
}
WAYS = ["compiled compiled", "ordinary ordinary", "compiled ordinary", "ordinary compiled"]
EITHER = """mutation ($i: ClientCreateInput!, $x: Boolean!) {
    a: clientCreate(input: $i) @include(if: $x) { client { id } } b: clientCreate(input: $i) @skip(if: $x) { client { id } } }"""
MARYS = "SELECT count(*) FROM clients WHERE first_name = 'Mary'"
MADE = "SELECT count(*) FROM events WHERE type = 'scheduling.client.created.v1'"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
async def test_a_mutation_sent_twice_under_one_header_is_done_once(both: Both, sql: Sql, form: str, way: str) -> None:
    roads: list[Api] = [getattr(both, road) for road in way.split()]
    events = sql(MADE)[0][0]

    first, second = [await api.post(FORMS[form], {"idempotency-key": "once"}, i=MARY) for api in roads]

    assert "errors" not in first
    assert "extensions" not in first
    assert second == {"data": first["data"], "extensions": REPLAYED}
    assert sql(MARYS) == [(1,)]
    assert sql(MADE) == [(events + 1,)]
    assert sql("SELECT count(*) FROM idempotency_keys") == [(1,)]


@pytest.mark.parametrize("form", FORMS)
async def test_only_what_can_be_one_mutation_alone_is_compiled(api: Api, form: str) -> None:
    await api(FORMS[form], i=MARY)

    assert len(api.on_lanes) == (form in ("plain", "aliased"))


@pytest.mark.parametrize("way", WAYS)
async def test_a_mutation_that_is_chosen_by_a_variable_has_its_own_share_of_the_header(
    both: Both, sql: Sql, way: str
) -> None:
    one, other = [getattr(both, road) for road in way.split()]
    key = {"idempotency-key": "once"}

    done = [await api.post(EITHER, key, i=MARY, x=x) for api, x in ((one, True), (other, False), (one, True), (other, True), (other, False))]  # fmt: skip

    assert [[*answer["data"]] for answer in done] == [["a"], ["b"], ["a"], ["a"], ["b"]]
    assert [answer.get("extensions") for answer in done] == [None, None, REPLAYED, REPLAYED, REPLAYED]
    assert done[0]["data"] == done[2]["data"] == done[3]["data"]
    assert done[1]["data"] == done[4]["data"]
    assert sql(MARYS) == sql("SELECT count(*) FROM idempotency_keys") == [(2,)]


CHOSEN = """query ($x: Boolean = true, $y: Int = 2) {
    viewer @include(if: $x) { principal } providers(first: $y) { nodes { id } } }"""
DEFAULTED = 'query ($x: ID = "a") { provider(id: $x) { id } }'


@pytest.mark.parametrize(
    ("query", "variables", "is_refused"),
    [
        (CHOSEN, {}, False),
        (CHOSEN, {"x": False}, False),
        (CHOSEN, {"y": 3}, False),
        (CHOSEN, {"y": None}, False),
        (CHOSEN, {"x": None}, True),
        (DEFAULTED, {}, True),
        (DEFAULTED, {"x": "b"}, True),
        (DEFAULTED, {"x": None}, True),
        ("query ($x: Boolean = true) { viewer { principal @skip(if: $x) __typename } }", {"x": None}, True),
        ('query ($n: [ID!] = ["a"]) { nodes(ids: $n) { id } }', {"n": None}, True),
    ],
)  # fmt: skip
async def test_null_in_the_place_of_a_default_is_told_alike(
    both: Both, query: str, variables: dict[str, Any], is_refused: bool
) -> None:
    body = await both.ask(query, variables)

    assert codes(body) == ["INVALID_INPUT"] * is_refused
    assert both.is_compiled != is_refused


NULLED = [
    ("query ($a: String) { NAME(after: $a) INSIDE }", {"a": None}, ""),
    ("query ($n: Int) { NAME(first: $n) INSIDE }", {"n": None}, ""),
    ("query ($n: Int, $a: String) { NAME(first: $n, after: $a) INSIDE }", {"n": 2, "a": None}, "(first: 2)"),
    ("query ($n: Int, $b: String) { NAME(last: $n, before: $b) INSIDE }", {"n": 2, "b": None}, "(last: 2)"),
]


@pytest.mark.parametrize(("query", "variables", "literally"), NULLED)
@pytest.mark.parametrize("name", ["providers", "appointments", "availableAppointments"])
async def test_null_for_what_may_be_left_out_is_compiled(
    both: Both, name: str, query: str, variables: dict[str, Any], literally: str
) -> None:
    inside = "{ nodes { id } totalCount }"

    body = await both.ask(query.replace("NAME", name).replace("INSIDE", inside), variables)

    assert both.is_compiled
    assert len(body["data"][name]["nodes"]) == (2 if literally else 20)
    assert body == await both.ask(f"{{ {name}{literally} {inside} }}")


@pytest.mark.parametrize(("name", "of"), [("appointments", "Availability"), ("availableAppointments", "Availability"), ("reservations", "Reservation")])  # fmt: skip
async def test_a_filter_that_is_null_is_no_filter(both: Both, name: str, of: str) -> None:
    query = f"query ($f: {of}Filter) {{ {name}(first: 3, filter: $f) {{ nodes {{ id }} totalCount }} }}"

    body = await both.ask(query, {"f": None})

    assert both.is_compiled
    assert len(body["data"][name]["nodes"]) == 3
    assert body == await both.ask(query)


def deep(links: int) -> str:
    """A document of so many links, one inside the other."""
    inside = "id"
    for n in range(links):
        inside = f"appointments(first: 1) {{ nodes {{ {inside} }} }}" if n % 2 else f"provider {{ {inside} }}"
    return f"{{ {'providers' if links % 2 == 0 else 'appointments'}(first: 1) {{ nodes {{ {inside} }} }} }}"


@pytest.mark.parametrize(("links", "road"), [(1, "compiled"), (10, "compiled"), (20, "compiled"), (60, "ordinary"), (100, "ordinary"), (150, "refused")])  # fmt: skip
async def test_a_deep_document_is_answered_or_refused_alike(both: Both, links: int, road: str) -> None:
    body = await both.ask(deep(links))

    assert codes(body) == ["GRAPHQL_PARSE_FAILED"] * (road == "refused")
    assert ("data" in body) != (road == "refused")
    assert both.is_compiled == (road == "compiled")


WIDE = {
    "200 links": "{{ appointments(first: 2) {{ nodes {{ {} }} }} }}".format(" ".join(f"p{n}: provider {{ id }}" for n in range(200))),
    "200 lists": "{{ appointments(first: 2) {{ nodes {{ {} }} }} }}".format(" ".join(f"r{n}: reservations(first: 1) {{ nodes {{ id }} }}" for n in range(200))),
    "500 fields": "{{ appointments(first: 2) {{ nodes {{ {} }} }} }}".format(" ".join(f"f{n}: id" for n in range(500))),
    "a long text": "{{ appointments(first: 2) {{ nodes {{ id }} }} }} # {}".format("x" * LARGEST_DOCUMENT_KEPT),
    "a long alias": "{{ appointments(first: 2) {{ {}: nodes {{ id }} }} }}".format("x" * LARGEST_DOCUMENT_KEPT),
}  # fmt: skip


@pytest.mark.parametrize("name", WIDE)
async def test_a_wide_document_is_answered_on_the_ordinary_road(both: Both, name: str) -> None:
    body = await both.ask(WIDE[name])

    assert "errors" not in body
    assert both.compiled.on_lanes == []


@pytest.mark.parametrize("wanted", [[], [0], [0, 0], [0, 1], [1, 0], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("name", ["appointments", "availableAppointments"])
async def test_only_one_provider_is_looked_for_by_one_plan(both: Both, sql: Sql, name: str, wanted: list[int]) -> None:
    query = f"query ($f: AvailabilityFilter) {{ {name}(filter: $f) {{ nodes {{ provider {{ id }} }} totalCount }} }}"
    providers = ids(sql, "Provider", 3)

    body = await both.ask(query, {"f": {"providerIds": [providers[n] for n in wanted]}})

    found = [node["provider"]["id"] for node in body["data"][name]["nodes"]]
    assert sorted(found) == sorted(providers[n] for n in set(wanted))
    assert body["data"][name]["totalCount"] == len(found)
    assert both.is_compiled == (len(wanted) == 1)


def plans(api: Api) -> Plans:
    """What the compiled road of this application keeps."""
    transport: Any = api.http._transport
    return cast("Plans", transport.app.state.plans)


async def test_a_hundred_page_sizes_do_not_fill_the_memory(both: Both) -> None:
    long = " ".join(f"{'x' * 100}{n}: firstName" for n in range(50))
    roots = " ".join(f"p{n}: providers(first: $n) {{ nodes {{ ...F }} }}" for n in range(4))
    query = f"query ($n: Int!) {{ {roots} }} fragment F on Provider {{ {long} }}"
    made, asked = plans(both.compiled).memory.statements, plans(both.compiled).memory.asked
    first = await both.ask(query, {"n": 1})

    for size in range(2, 101):
        await both.compiled(query, n=size)

    assert len(both.compiled.on_lanes) == 400
    assert made.weight <= made.most
    assert made.misses == 100 > len(made) > 30
    assert await both.ask(query, {"n": 1}) == first
    assert (made.hits, made.misses) == (0, 100)  # what was asked with the same variables is not even looked for
    assert 0 < asked.weight <= asked.most


async def test_outcomes_of_conditions_do_not_fill_the_memory(both: Both) -> None:
    names = [f"x{n}" for n in range(7)]
    chosen = " ".join(f"{name}: __typename @include(if: ${name})" for name in names)
    plain = " ".join(f"f{n}: __typename" for n in range(390))
    query = f"query ({', '.join(f'${name}: Boolean!' for name in names)}) {{ {chosen} {plain} }}"
    memory = plans(both.compiled).memory

    answers = [
        await both.ask(query, {name: bool(outcome >> n & 1) for n, name in enumerate(names)}) for outcome in range(128)
    ]

    assert [len(answer["data"]) - 390 for answer in answers] == [outcome.bit_count() for outcome in range(128)]
    assert memory.trees.weight <= memory.trees.most
    assert memory.statements.weight <= memory.statements.most
    assert memory.trees.misses == 128 > len(memory.trees)


async def test_documents_do_not_fill_the_memory(both: Both) -> None:
    kept = plans(both.compiled).kept

    for n in range(DOCUMENTS_KEPT + 20):
        await both.compiled(f"{{ f{n}: __typename }}")

    assert len(kept) == DOCUMENTS_KEPT
    assert kept.misses == DOCUMENTS_KEPT + 20


PROVIDERS = "{ before: __typename providers(first: 1) { nodes { id } } }"
TOLD = CREATE.replace("{ id } }", "{ id } userErrors { code field retryable message } }")
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing?sslmode=disable"


@pytest.fixture
async def gone() -> AsyncIterator[Both]:
    """Both roads over a database that is out of reach."""
    async with serving(NOWHERE) as compiled, serving(NOWHERE, compile=False) as ordinary:
        yield Both(compiled, ordinary)


@pytest.mark.parametrize(
    ("query", "variables", "path"),
    [
        (PROVIDERS, {}, ["providers", "nodes"]),
        ("{ p: providers(first: 1) { totalCount } }", {}, ["p", "totalCount"]),
        ('{ provider(id: "UHJvdmlkZXI6MDE5MDAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw") { id } }', {}, ["provider"]),
        (CREATE, {"i": MARY}, ["clientCreate"]),
        (CREATE, {"i": {**MARY, "idempotencyKey": "once"}}, ["clientCreate"]),
    ],
)
async def test_a_database_out_of_reach_is_told_alike(
    gone: Both, query: str, variables: dict[str, Any], path: list[str]
) -> None:
    body = await gone.ask(query, variables)

    (error,) = body["errors"]
    assert len(gone.compiled.on_lanes) == 1
    assert error["path"] == path
    assert error["extensions"] == {"code": "UNAVAILABLE", "retryable": True, "requestId": "both-roads"}


async def test_a_database_out_of_reach_is_told_in_a_payload_alike(gone: Both) -> None:
    body = await gone.ask(TOLD, {"i": MARY})

    (error,) = body["data"]["clientCreate"]["userErrors"]
    assert len(gone.compiled.on_lanes) == 1
    assert body["data"]["clientCreate"]["client"] is None
    assert (error["code"], error["field"], error["retryable"]) == ("UNAVAILABLE", None, True)
    assert "errors" not in body


@pytest.mark.parametrize("query", [CREATE, TOLD], ids=["at the top", "in the payload"])
async def test_what_a_lane_could_not_do_is_done_once_when_it_is_asked_again(api: Api, sql: Sql, query: str) -> None:
    lanes, key = api.database.lanes._lanes, {"idempotency-key": "once"}
    events = sql(MADE)[0][0]
    lost, api.database.lanes._lanes = lanes, [Lane("host=127.0.0.1 port=1")]

    refused = await api.post(query, key, i=MARY)
    written = sql(MARYS)
    api.database.lanes._lanes = lost
    done, again = await api.post(query, key, i=MARY), await api.post(query, key, i=MARY)

    assert "UNAVAILABLE" in str(refused)
    assert written == [(0,)]
    assert ("errors" in done, done.get("extensions"), again["extensions"]) == (False, None, REPLAYED)
    assert again["data"] == done["data"]
    assert sql(MARYS) == [(1,)]
    assert sql(MADE) == [(events + 1,)]


WAITING = """SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'holdfast' AND wait_event_type = 'Lock'"""
TABLES = ("clients", "providers", "reservations")


async def waiting(sql: Sql) -> int:
    """The one session of the server that waits for a lock."""
    async with asyncio.timeout(5):
        while not (found := sql(WAITING)):  # noqa: ASYNC110 -- it is PostgreSQL that we wait for
            await asyncio.sleep(0.01)
    ((pid,),) = found
    return int(pid)


def written(sql: Sql) -> list[tuple[Any, ...]]:
    """How much there is of everything that a mutation writes."""
    return [sql(f"SELECT count(*) FROM {table}")[0] for table in (*TABLES, "events", "idempotency_keys")]


@pytest.mark.parametrize("told", ["", "userErrors { code retryable }"], ids=["at the top", "in the payload"])
@pytest.mark.parametrize("noun", ["client", "provider", "reservation"])
async def test_a_mutation_whose_connection_is_lost_is_not_sent_again(
    api: Api, sql: Sql, database: str, noun: str, told: str
) -> None:
    wish = {"clientId": ids(sql, "Client", 1)[0], "appointmentId": ids(sql, "Appointment", 1)[0]}
    name, of = f"{noun}Create", f"{noun.title()}CreateInput"
    query = f"mutation ($i: {of}!) {{ {name}(input: $i) {{ {noun} {{ id }} {told} }} }}"
    before = written(sql)

    with psycopg.connect(database) as guard:
        guard.execute(f"LOCK TABLE {noun}s IN SHARE MODE")
        asked = asyncio.create_task(api.post(query, i=wish if noun == "reservation" else MARY))
        sql("SELECT pg_terminate_backend(%s)", await waiting(sql))
        answer = await asked

        assert sql(WAITING) == []

    payload = answer["data"] and answer["data"][name]
    assert codes(answer) == ([] if told else ["UNAVAILABLE"])
    assert payload == ({noun: None, "userErrors": [{"code": "UNAVAILABLE", "retryable": True}]} if told else None)
    assert len(api.on_lanes) == len(api.statements) == 1
    assert written(sql) == before
