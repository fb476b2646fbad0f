"""GraphQL over HTTP to the letter, what clients ask for first, and what operators look at: health, ids and logs."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from graphql import build_client_schema, get_introspection_query, print_schema
from sqlalchemy.engine import make_url

from models.node_id import encode
from schema import schema
from tests.conftest import Api
from tests.npm import installed

Sql = Callable[..., list[tuple[Any, ...]]]

# The audits, and the GraphQL library that they are written against.
PACKAGES = ("graphql-http@1.23.1", "graphql@16.11.0")
AUDITS = 61
JSON, MODERN = "application/json", "application/graphql-response+json"
MUTATION = 'mutation { clientCreate(input: {firstName: "Mary", lastName: "Shelley"}) { client { id } } }'
FULL_INTROSPECTION = get_introspection_query(
    descriptions=True,
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    experimental_directive_deprecation=True,
    one_of=True,
)


@pytest.fixture(scope="session")
def audits() -> Path:
    """The folder that has the audits, installed once and kept."""
    return installed(PACKAGES, "the audits of GraphQL over HTTP run")


def test_every_audit_of_graphql_over_http_is_ok(audits: Path, server: Any) -> None:
    command = ["node", str(Path(__file__).parent / "audits.mjs"), str(audits), f"{server.url}/graphql"]

    asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    results = json.loads(asked.stdout)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDITS


@pytest.mark.parametrize("query", [FULL_INTROSPECTION, get_introspection_query()], ids=["everything", "default"])
async def test_the_introspection_of_graphiql_and_postman_builds_a_client_schema(api: Api, query: str) -> None:
    answer = await api(query)

    built = build_client_schema(answer)
    assert {"Query", "Mutation", "Appointment", "UserErrorCode"} <= built.type_map.keys()
    if query == FULL_INTROSPECTION:
        assert print_schema(built) == print_schema(schema._schema)


async def test_introspection_asks_the_database_nothing(api: Api, statements: Callable[[], list[str]]) -> None:
    await api(FULL_INTROSPECTION)

    assert statements() == []


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (MODERN, MODERN),
        (f"{MODERN}, {JSON};q=0.9", MODERN),
        (f"{JSON};q=0.9, {MODERN}", MODERN),
        (f"{MODERN};q=0.1, {JSON}", JSON),
        (f"{MODERN};q=0, {JSON};q=0.1", JSON),
        (f"{JSON}, {MODERN}", JSON),
        (f"{MODERN}, {JSON}", MODERN),
        (f"text/html, {MODERN.upper()}; charset=utf-8", MODERN),
        (f"{MODERN};q=rubbish", JSON),
    ],
)
async def test_the_media_type_is_the_one_that_the_client_likes_best(
    api: Api, accept: str | None, media_type: str
) -> None:
    if accept is None:
        del api.http.headers["accept"]
    headers = {} if accept is None else {"accept": accept}

    good = await api.http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    bad = await api.http.post("/graphql", json={"query": "{ nothing }"}, headers=headers)

    assert good.headers["content-type"] == bad.headers["content-type"] == f"{media_type}; charset=utf-8"
    cost = {"requestedQueryCost": 1, "actualQueryCost": 1}
    assert (good.status_code, good.json()) == (200, {"data": {"__typename": "Query"}, "extensions": {"cost": cost}})
    # To a client of the older media type a status other than 200 would say that a proxy answered.
    assert bad.status_code == (400 if media_type == MODERN else 200)
    assert "data" not in bad.json()


async def test_an_error_of_a_field_is_no_error_of_the_request(api: Api) -> None:
    question = {
        "query": '{ serverTime node(id: "UHJvdmlkZXI6MDE5M2I1ZjAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAx") { id } }'
    }

    answer = await api.http.post("/graphql", json=question, headers={"accept": MODERN})

    assert answer.status_code == 200
    assert answer.json()["data"]["node"] is None
    assert answer.json()["data"]["serverTime"]


async def test_a_query_may_be_sent_by_get(api: Api) -> None:
    parameters = {
        "query": "query Other { viewer { principal } } query Meant($first: Int) { providers(first: $first) { totalCount } }",
        "operationName": "Meant",
        "variables": '{"first": 3}',
    }

    answer = await api.http.get("/graphql", params=parameters)

    told = answer.json()
    assert (answer.status_code, told["data"]) == (200, {"providers": {"totalCount": 0}})
    assert told.keys() == {"data", "extensions"}


async def test_a_mutation_sent_by_get_is_refused_and_writes_nothing(api: Api, sql: Sql) -> None:
    named = {
        "query": "query Harmless { serverTime } " + MUTATION.replace("{", "Harmful {", 1),
        "operationName": "Harmful",
    }

    for parameters in ({"query": MUTATION}, named):
        for accept in (JSON, MODERN):
            answer = await api.http.get("/graphql", params=parameters, headers={"accept": accept})

            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
            assert answer.headers["content-type"] == f"{accept}; charset=utf-8"
            assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["METHOD_NOT_ALLOWED"]
    assert sql("SELECT count(*) FROM clients") == [(0,)]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_another_method_is_refused(api: Api, method: str) -> None:
    answer = await api.http.request(method, "/graphql", json={"query": "{ __typename }"})

    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("harmless", ["a", "0193b5f0-0000-7000-8000-000000000001", "Z" * 64, "_-_"])
async def test_a_harmless_request_id_is_kept(api: Api, harmless: str) -> None:
    answer = await api.http.post("/graphql", json={"query": "{ nothing }"}, headers={"x-request-id": harmless})

    assert answer.headers.get_list("x-request-id") == [harmless]
    assert answer.json()["errors"][0]["extensions"]["requestId"] == harmless


@pytest.mark.parametrize(
    "harmful", ["", "Z" * 65, "two words", 'quote"', "a,b", "<b>", "\N{LATIN SMALL LETTER E WITH ACUTE}", "a;b"]
)
async def test_another_request_id_is_replaced(api: Api, harmful: str) -> None:
    headers = {"x-request-id": harmful.encode("latin-1")}

    answer = await api.http.post("/graphql", json={"query": "{ nothing }"}, headers=headers)  # type: ignore[arg-type]

    (identity,) = answer.headers.get_list("x-request-id")
    assert re.fullmatch("[0-9a-f]{32}", identity)
    assert answer.json()["errors"][0]["extensions"]["requestId"] == identity


async def test_no_two_requests_are_given_the_same_id(api: Api) -> None:
    answers = [await api.http.get("/livez") for _ in range(20)]

    assert len({answer.headers["x-request-id"] for answer in answers}) == 20


async def test_alive_and_ready_are_answered(api: Api) -> None:
    alive, ready = await api.http.get("/livez"), await api.http.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE alembic_version",
        "DELETE FROM alembic_version",
        "UPDATE alembic_version SET version_num = '0001'",
    ],
)
async def test_a_database_that_is_not_migrated_is_not_ready(api: Api, sql: Sql, damage: str) -> None:
    sql(damage)

    ready, alive = await api.http.get("/readyz"), await api.http.get("/livez")

    assert (ready.status_code, ready.json()["status"]) == (503, "unready")
    assert ready.json()["problem"].endswith(".")
    assert alive.status_code == 200


@contextmanager
def gone(database: str, cluster: str) -> Iterator[None]:
    """Close a database to everybody, and throw out who is inside."""
    name = make_url(database).database
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        try:
            admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))
            yield
        finally:
            admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


async def test_a_database_that_is_gone_is_not_ready_and_one_that_is_back_is(
    api: Api, database: str, cluster: str
) -> None:
    await api("{ serverTime }")

    with gone(database, cluster):
        ready, alive = await api.http.get("/readyz"), await api.http.get("/livez")
        refused = await api.post("{ serverTime }")

    assert (ready.status_code, ready.json()["status"]) == (503, "unready")
    assert alive.status_code == 200
    (error,) = refused["errors"]
    assert error["extensions"]["code"] == "UNAVAILABLE"
    assert str(make_url(database).database) not in json.dumps([ready.json(), refused])
    assert (await api.http.get("/readyz")).status_code == 200
    assert (await api("{ serverTime }"))["serverTime"]


def lines_of(log: Path, request_id: str) -> list[dict[str, Any]]:
    """The lines of a log that carry a request's id; the last one is written after the answer was sent."""
    for _ in range(100):
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        found = [line for line in lines if line.get("request_id") == request_id]
        if any(line["event"] == "request" for line in found):
            return found
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def test_a_request_is_one_line_of_the_log_and_nothing_personal(server: Any) -> None:
    create = """
    mutation Arrive($provider: ProviderCreateInput!, $client: ClientCreateInput!) {
      providerCreate(input: $provider) { provider { id } }
      clientCreate(input: $client) { client { id } }
    }"""
    publish = """
    mutation Publish($input: AppointmentBulkCreateInput!) {
      appointmentBulkCreate(input: $input) { appointments { nodes { id } } userErrors { message } }
    }"""
    reserve = """
    mutation Reserve($input: ReservationCreateInput!) {
      reservationCreate(input: $input) { reservation { id note } userErrors { message } }
    }"""
    secrets = [
        f"secret-{what}-4711" for what in ("first", "last", "mail", "note", "key", "search", "cursor", "literal")
    ]
    first, last, mail, note, key, search, cursor, literal = secrets

    def post(identity: str, query: str, **variables: Any) -> Any:
        question = {
            "query": query,
            "variables": variables,
            "operationName": re.findall(r"(?:mutation|query) (\w+)", query)[0],
        }
        answer = httpx2.post(f"{server.url}/graphql", json=question, headers={"x-request-id": identity})
        assert answer.headers["x-request-id"] == identity
        return answer.json().get("data")

    person = {"firstName": first, "lastName": last, "email": f"{mail}@example.com"}
    made = post("arrive", create, provider=person, client=person)
    window = {"startTime": "2027-05-03T09:00:00Z", "endTime": "2027-05-03T09:15:00Z"}
    provider, client = made["providerCreate"]["provider"]["id"], made["clientCreate"]["client"]["id"]
    published = post("publish", publish, input={"providerId": provider, **window})
    (appointment,) = [node["id"] for node in published["appointmentBulkCreate"]["appointments"]["nodes"]]
    wish = {"clientId": client, "appointmentId": appointment, "note": note, "idempotencyKey": key}
    held = post("reserve", reserve, input=wish)
    assert held["reservationCreate"]["reservation"]["note"] == note
    refused = post("refused", reserve, input={**wish, "idempotencyKey": None})
    assert refused["reservationCreate"]["userErrors"]
    post("search", "query Search($for: String) { clients(search: $for) { nodes { email } } }", **{"for": search})
    post("cursor", "query Cursor($after: String) { clients(after: $after) { nodes { id } } }", after=cursor)
    post("literal", f'query Literal {{ clients(search: "{literal}", first: 0) {{ nodes {{ id }} }} }}')
    httpx2.get(f"{server.url}/graphql", params={"query": f'{{ clients(search: "{literal}") {{ nodes {{ id }} }} }}'})

    (line,) = lines_of(server.log, "reserve")
    assert line.pop("ms") > 0
    assert line.pop("timestamp")
    assert line == {
        "event": "request",
        "request_id": "reserve",
        "method": "POST",
        "path": "/graphql",
        "status": 200,
        "road": "compiled",
        "operation": "Reserve",
        "errors": [],
        "level": "info",
        "logger": "holdfast.http",
    }
    named = {"arrive": "Arrive", "publish": "Publish", "refused": "Reserve", "search": "Search", "literal": "Literal"}
    assert {name: [line["operation"] for line in lines_of(server.log, name)] for name in named} == {
        name: [operation] for name, operation in named.items()
    }
    (line,) = lines_of(server.log, "cursor")
    assert line["errors"] == ["INVALID_INPUT"]
    log = server.log.read_text()
    assert [secret for secret in secrets if secret in log] == []
    assert "Traceback" not in log


def test_what_a_client_calls_its_operation_fits_the_line(server: Any) -> None:
    unknown, long = "mary.shelley@example.com", "O" * 5_000
    for identity, name in (("unknown", unknown), ("long", long)):
        question = {"query": f"query {long} {{ __typename }}", "operationName": name}

        httpx2.post(f"{server.url}/graphql", json=question, headers={"x-request-id": identity})

    (line,) = lines_of(server.log, "unknown")
    assert line["operation"] is None
    (line,) = lines_of(server.log, "long")
    assert line["operation"] == long[:100]
    assert unknown not in server.log.read_text()


def test_a_request_that_is_none_is_one_line_too(server: Any) -> None:
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/graphql", {"content": b"{", "headers": {"content-type": JSON}}),
        ("GET", "/nowhere", {}),
        ("GET", "/livez", {}),
    ]

    for n, (method, path, more) in enumerate(asked):
        more["headers"] = {**more.get("headers", {}), "x-request-id": f"none-{n}"}
        httpx2.request(method, f"{server.url}{path}", **more)

    told = [
        (line["method"], line["path"], line["status"]) for n in range(3) for line in lines_of(server.log, f"none-{n}")
    ]
    assert told == [("POST", "/graphql", 400), ("GET", "/nowhere", 404), ("GET", "/livez", 200)]


def test_a_fault_of_ours_is_one_line_that_quotes_nobody(server: Any, sql: Sql) -> None:
    sql("ALTER TABLE providers ADD CONSTRAINT nobody CHECK (first_name <> 'Secretname')")
    secrets = ["Secretname", "Secretsurname", "secret-4711@example.com", "secret-key-4711"]
    first, last, mail, key = secrets
    query = "mutation Add($input: ProviderCreateInput!) { providerCreate(input: $input) { provider { id } } }"
    person = {"firstName": first, "lastName": last, "email": mail, "idempotencyKey": key}

    answer = httpx2.post(
        f"{server.url}/graphql",
        json={"query": query, "variables": {"input": person}},
        headers={"x-request-id": "fault"},
    )

    (error,) = answer.json()["errors"]
    assert (error["message"], error["extensions"]) == ("Internal error", {"code": "INTERNAL", "requestId": "fault"})
    assert [secret for secret in [*secrets, "nobody", "providers", "INSERT"] if secret in answer.text] == []
    compiled, fault, line = lines_of(server.log, "fault")
    assert (compiled["level"], line["road"]) == ("warning", "ordinary")
    assert (fault["level"], line["event"], line["errors"]) == ("error", "request", ["INTERNAL"])
    assert "23514" in json.dumps(fault)  # enough for an operator to find the rule
    log = server.log.read_text()
    assert [secret for secret in [*secrets, "parameters: ", "Failing row"] if secret in log] == []
    told = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [line["request_id"] for line in told if line["level"] == "error"] == ["fault"]
    assert sql("SELECT count(*) FROM providers") == [(0,)]


def test_a_refusal_that_a_payload_tells_is_told_to_the_operator_too(server: Any, sql: Sql) -> None:
    ((provider, client),) = sql(
        "WITH p AS (INSERT INTO providers (business_id, first_name, last_name) SELECT id, 'A', 'B' FROM businesses RETURNING id),"
        " c AS (INSERT INTO clients (business_id, first_name, last_name) SELECT id, 'C', 'D' FROM businesses RETURNING id)"
        " SELECT p.id, c.id FROM p, c"
    )
    ((appointment,),) = sql(
        "INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)"
        " SELECT id, %s, '2027-05-03 09:00Z', '2027-05-03 09:15Z' FROM businesses RETURNING id",
        provider,
    )
    wish = f'input: {{clientId: "{encode("Client", client)}", appointmentId: "{encode("Appointment", appointment)}"}}'
    reserve = f"reservationCreate({wish}) {{ reservation {{ id }} userErrors {{ code }} }}"
    add = 'clientCreate(input: {firstName: "", lastName: "D"}) { userErrors { code } }'
    silent = f"reservationCreate({wish}) {{ reservation {{ id }} }}"
    documents = {"first": reserve, "second": reserve, "both": f"{add} {reserve}", "silent": silent}

    answers = {
        name: httpx2.post(
            f"{server.url}/graphql", json={"query": f"mutation {{ {document} }}"}, headers={"x-request-id": name}
        ).json()
        for name, document in documents.items()
    }

    assert ["errors" in answer for answer in answers.values()] == [False, False, False, True]
    lines = {name: [line["errors"] for line in lines_of(server.log, name)] for name in documents}
    assert lines == {
        "first": [[]],
        "second": [["SLOT_UNAVAILABLE"]],
        "both": [["INVALID_INPUT", "SLOT_UNAVAILABLE"]],
        "silent": [["SLOT_UNAVAILABLE"]],
    }
