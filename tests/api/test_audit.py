"""The audit: every reading of what is personal is on record before it is answered, and history cannot be changed."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.errors import CheckViolation

from models import api_key
from models.business import DEFAULT_BUSINESS
from models.node_id import decode, encode
from tests.conftest import Api, serving

Sql = Callable[..., list[tuple[Any, ...]]]
REQUEST = "one-request"
READS = "SELECT type, aggregate_id, data->'fields', actor, correlation_id FROM events WHERE type LIKE 'audit.%%' ORDER BY seq"
CLIENTS = """INSERT INTO clients (business_id, first_name, last_name, email, phone)
SELECT id, 'First', 'Last ' || lpad(n::text, 3, '0'), 'c' || n || '@example.org', '555 000' || n
  FROM businesses, generate_series(1, %s) n RETURNING id"""


@pytest.fixture(params=[True, False], ids=["compiled", "ordinary"])
async def api(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Either road."""
    async with serving(database, compile=request.param) as client:
        yield client


def token(sql: Sql, role: str, person: UUID | None = None) -> str:
    """The token of a new API key."""
    secret = api_key.secret()
    ((key,),) = sql(
        "INSERT INTO api_keys (business_id, name, role, person_id, scopes, secret_hash, expires_at)"
        " VALUES (%s, 'a key', %s, %s, '{READ,WRITE}', %s, clock_timestamp() + interval '1 day') RETURNING id",
        DEFAULT_BUSINESS,
        role,
        person,
        api_key.hash_of(secret),
    )
    return api_key.token(DEFAULT_BUSINESS, key, secret)


def clients(sql: Sql, count: int) -> list[UUID]:
    return [key for (key,) in sql(CLIENTS, count)]


def person(sql: Sql, table: str, **values: Any) -> UUID:
    row = {"business_id": DEFAULT_BUSINESS, "first_name": "Ada", "last_name": "Lovelace", **values}
    marks = ", ".join(["%s"] * len(row))
    ((key,),) = sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) RETURNING id", *row.values())
    return UUID(str(key))


def reserved(sql: Sql, provider: UUID, client: UUID, day: int, note: str | None = None) -> UUID:
    """A reservation at nine o'clock of a day in May."""
    start = f"2027-05-{day:02} 09:00Z"
    ((appointment,),) = sql(
        "INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)"
        " VALUES (%s, %s, %s::timestamptz, %s::timestamptz + %s) RETURNING id",
        DEFAULT_BUSINESS,
        provider,
        start,
        start,
        timedelta(minutes=15),
    )
    ((key,),) = sql(
        "INSERT INTO reservations (business_id, client_id, appointment_id, note, status)"
        " VALUES (%s, %s, %s, %s, 'CONFIRMED') RETURNING id",
        DEFAULT_BUSINESS,
        client,
        appointment,
        note,
    )
    return UUID(str(key))


async def ask(api: Api, query: str, token: str | None = None, **variables: Any) -> Any:
    """The data of an answer, which the road that is meant has given."""
    api.on_lanes.clear()
    api.statements.clear()
    headers = {"x-request-id": REQUEST, **({"authorization": f"Bearer {token}"} if token else {})}
    answer = await api.post(query, headers, **variables)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def is_compiled(request: pytest.FixtureRequest) -> bool:
    return "compiled" in request.node.callspec.id


async def test_a_reading_is_on_record_with_who_read_which_fields_of_what_and_in_which_request(
    api: Api, sql: Sql, request: pytest.FixtureRequest
) -> None:
    one, other, provider = (
        person(sql, "clients", email="a@b.c", phone="555"),
        *clients(sql, 1),
        person(sql, "providers", email="p@b.c"),
    )
    booked = reserved(sql, provider, one, 3, "She limps.")

    data = await ask(
        api,
        "query ($client: ID!, $booked: ID!) {"
        " client(id: $client) { firstName phone email }"
        " reservation(id: $booked) { note provider { email phone } } }",
        client=encode("Client", one),
        booked=encode("Reservation", booked),
    )

    assert data == {
        "client": {"firstName": "Ada", "phone": "555", "email": "a@b.c"},
        "reservation": {"note": "She limps.", "provider": {"email": "p@b.c", "phone": None}},
    }
    assert sorted(sql(READS)) == sorted(
        [
            ("audit.client.read.v1", one, ["email", "phone"], "anonymous", REQUEST),
            ("audit.reservation.read.v1", booked, ["note"], "anonymous", REQUEST),
            ("audit.provider.read.v1", provider, ["email"], "anonymous", REQUEST),
        ]
    )
    assert other not in {row[1] for row in sql(READS)}
    assert bool(api.on_lanes) == is_compiled(request)


@pytest.mark.parametrize(
    "selection",
    ["id firstName lastName timeZone createdAt", "id email @skip(if: true)", "id reservations { totalCount }"],
)
async def test_what_is_not_selected_is_not_read(api: Api, sql: Sql, selection: str) -> None:
    clients(sql, 2)

    await ask(api, f"{{ clients {{ nodes {{ {selection} }} }} }}")

    assert sql(READS) == []


async def test_where_there_is_nothing_nothing_was_read(api: Api, sql: Sql) -> None:
    client, provider = person(sql, "clients"), person(sql, "providers")
    reserved(sql, provider, client, 3)

    data = await ask(api, "{ clients { nodes { email phone } } reservations { nodes { note } } }")

    assert data["clients"] == {"nodes": [{"email": None, "phone": None}]}
    assert sql(READS) == []


async def test_two_names_for_one_field_are_one_reading(api: Api, sql: Sql) -> None:
    (client,) = clients(sql, 1)

    await ask(api, "{ clients { nodes { a: email b: email email } } }")

    assert sql(READS) == [("audit.client.read.v1", client, ["email"], "anonymous", REQUEST)]


async def test_one_thing_in_many_places_of_an_answer_is_read_once(api: Api, sql: Sql) -> None:
    client, provider = person(sql, "clients", email="a@b.c"), person(sql, "providers")
    for day in (3, 4, 5):
        reserved(sql, provider, client, day)

    data = await ask(
        api,
        "{ reservations { nodes { client { email } } edges { node { client { email providers { nodes { clients"
        " { nodes { email } } } } } } } } }",
    )

    assert [node["client"]["email"] for node in data["reservations"]["nodes"]] == ["a@b.c"] * 3
    assert sql(READS) == [("audit.client.read.v1", client, ["email"], "anonymous", REQUEST)]


async def test_a_second_request_is_a_second_reading(api: Api, sql: Sql) -> None:
    clients(sql, 1)

    for _ in range(2):
        await ask(api, "{ clients { nodes { email } } }")

    assert len(sql(READS)) == 2


async def test_beyond_the_page_nothing_is_read(api: Api, sql: Sql) -> None:
    first, second, *_ = clients(sql, 4)

    data = await ask(api, "{ clients(first: 2) { nodes { email } pageInfo { hasNextPage } totalCount } }")

    assert data["clients"]["pageInfo"] == {"hasNextPage": True}
    assert [row[1] for row in sql(READS)] == [first, second]


async def test_beyond_the_page_nothing_is_read_of_what_is_linked(api: Api, sql: Sql) -> None:
    one, other = clients(sql, 2)
    provider = person(sql, "providers")
    booked = [reserved(sql, provider, client, day, "a note") for day, client in ((3, one), (4, one), (5, other))]

    data = await ask(
        api,
        "{ reservations(first: 1) { nodes { client { phone reservations(first: 1) { nodes { note }"
        " pageInfo { hasNextPage } } } } pageInfo { hasNextPage } } }",
    )

    assert data["reservations"]["pageInfo"] == {"hasNextPage": True}
    assert data["reservations"]["nodes"][0]["client"]["reservations"]["pageInfo"] == {"hasNextPage": True}
    assert {row[:3] for row in map(_hashable, sql(READS))} == {
        ("audit.client.read.v1", one, ("phone",)),
        ("audit.reservation.read.v1", booked[0], ("note",)),
    }


def _hashable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)


async def test_what_clients_read_of_themselves_is_nobodys_concern(api: Api, sql: Sql) -> None:
    client, provider = person(sql, "clients", email="a@b.c"), person(sql, "providers")
    reserved(sql, provider, client, 3, "a note")

    data = await ask(
        api,
        "query ($id: ID!) { client(id: $id) { email } reservations { nodes { note client { email } } } }",
        token(sql, "CLIENT", client),
        id=encode("Client", client),
    )

    assert data["client"] == {"email": "a@b.c"}
    assert data["reservations"]["nodes"] == [{"note": "a note", "client": {"email": "a@b.c"}}]
    assert sql(READS) == []


async def test_what_a_provider_reads_is_on_record_under_their_key(api: Api, sql: Sql) -> None:
    (client, stranger), provider = clients(sql, 2), person(sql, "providers")
    reserved(sql, provider, client, 3)

    await ask(api, "{ clients { nodes { email } } }", token(sql, "PROVIDER", provider))

    ((key,),) = sql("SELECT id FROM api_keys")
    assert sql(READS) == [("audit.client.read.v1", client, ["email"], f"key:{key}", REQUEST)]
    assert stranger != client


async def test_a_page_of_a_hundred_is_put_on_record_by_one_statement(
    api: Api, sql: Sql, request: pytest.FixtureRequest
) -> None:
    keys = clients(sql, 101)

    await ask(api, "{ clients(first: 100) { nodes { email phone } pageInfo { hasNextPage } } }")

    assert [row[1:3] for row in sql(READS)] == [(key, ["email", "phone"]) for key in keys[:100]]
    assert len(api.statements) == (1 if is_compiled(request) else 2)


@pytest.mark.parametrize("problem", ["RAISE EXCEPTION 'full'", "RAISE EXCEPTION 'full' USING ERRCODE = '53100'"])
async def test_what_cannot_be_put_on_record_is_not_answered(api: Api, sql: Sql, problem: str) -> None:
    clients(sql, 1)
    sql(
        "CREATE OR REPLACE FUNCTION record_read(business uuid, noun text, thing uuid, fields text[], actor text, request text)"
        f" RETURNS text LANGUAGE plpgsql AS $$ BEGIN {problem}; END $$"
    )

    answer = await api.post("{ clients { nodes { email } } }")
    other = await api.post("{ clients { nodes { firstName } } }")

    assert answer["data"] is None
    assert [error["extensions"]["code"] for error in answer["errors"]] in (["INTERNAL"], ["UNAVAILABLE"])
    assert "example.org" not in str(answer)
    assert other["data"] == {"clients": {"nodes": [{"firstName": "First"}]}}


async def test_a_mutation_puts_on_record_what_its_answer_shows(api: Api, sql: Sql) -> None:
    data = await ask(
        api,
        'mutation { clientCreate(input: { firstName: "A", lastName: "B", email: "a@b.cd" }) { client { id email } } }',
    )

    key = decode(data["clientCreate"]["client"]["id"])[1]
    assert sql(READS) == [("audit.client.read.v1", key, ["email"], "anonymous", REQUEST)]


def test_only_a_reading_may_be_lost_in_a_power_cut_not_what_was_written_beside_it(database: str) -> None:
    read = "SELECT record_read(%s, 'client', uuidv7(), '{email}', 'somebody', 'a request')"
    with psycopg.connect(database, options="-c synchronous_commit=on") as connection:
        connection.execute(read, [DEFAULT_BUSINESS])
        reading = connection.execute("SHOW synchronous_commit").fetchone()
        connection.commit()
        connection.execute(
            "INSERT INTO locations (business_id, name, time_zone) SELECT id, 'Here', 'UTC' FROM businesses"
        )
        connection.execute(read, [DEFAULT_BUSINESS])
        writing = connection.execute("SHOW synchronous_commit").fetchone()

    assert (reading, writing) == (("off",), ("on",))


def test_of_one_transaction_a_reading_is_on_record_once_and_of_the_next_again(database: str, sql: Sql) -> None:
    read = "SELECT record_read(%s, 'client', %s, %s, 'somebody', 'a request') FROM generate_series(1, 3)"
    one, other = clients(sql, 2)

    for _ in range(2):
        with psycopg.connect(database) as connection:
            for thing, fields in ((one, ["email"]), (other, ["email"]), (one, ["email", "phone"]), (one, ["email"])):
                connection.execute(read, [DEFAULT_BUSINESS, thing, fields])

    assert [(row[1], row[2]) for row in sql(READS)] == [
        (one, ["email"]),
        (other, ["email"]),
        (one, ["email", "phone"]),
    ] * 2


def test_what_was_read_before_it_was_rolled_back_is_not_on_record_and_read_again_it_is(database: str, sql: Sql) -> None:
    (client,) = clients(sql, 1)
    read = "SELECT record_read(%s, 'client', %s, '{email}', 'somebody', 'a request')"
    with psycopg.connect(database) as connection:
        connection.execute(read, [DEFAULT_BUSINESS, client])
        connection.rollback()

        connection.execute(read, [DEFAULT_BUSINESS, client])
        connection.execute(read, [DEFAULT_BUSINESS, client])

    assert [row[1:3] for row in sql(READS)] == [(client, ["email"])]


def test_a_reading_is_no_message(sql: Sql) -> None:
    sql("SELECT record_read(%s, 'client', uuidv7(), '{email,NULL}', 'somebody', 'a request')", DEFAULT_BUSINESS)

    read = "SELECT data->'fields', relayed_at IS NOT NULL FROM events WHERE type = 'audit.client.read.v1'"
    assert sql(read) == [(["email"], True)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = 'nobody'",
        "UPDATE events SET diff = '{}', relayed_at = NULL",
        "DELETE FROM events",
        "DELETE FROM events WHERE occurred_at < 'infinity'",
        "TRUNCATE events, webhook_deliveries, webhook_attempts",
        "TRUNCATE events CASCADE",
    ],
)
def test_history_cannot_be_taken_back_not_even_by_its_owner(sql: Sql, statement: str) -> None:
    person(sql, "clients")
    before = sql("SELECT * FROM events ORDER BY seq")

    with pytest.raises(CheckViolation) as refused:
        sql(statement)

    assert refused.value.diag.constraint_name == "history_is_final"
    assert sql("SELECT * FROM events ORDER BY seq") == before != []


def test_that_a_message_was_relayed_can_be_noted(sql: Sql) -> None:
    person(sql, "clients")

    sql("UPDATE events SET relayed_at = '2027-05-03 09:00Z', position = seq")

    assert sql("SELECT DISTINCT relayed_at = '2027-05-03 09:00Z' FROM events") == [(True,)]
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        sql("UPDATE events SET position = position + 1")
    assert refused.value.diag.constraint_name == "history_is_final"


def test_a_change_tells_what_it_made_different_and_of_what_is_personal_only_that_it_did(sql: Sql) -> None:
    client = person(sql, "clients", email="a@b.c", time_zone="Europe/Berlin")
    ((key,),) = sql(
        "INSERT INTO api_keys (business_id, name, role, person_id, scopes, secret_hash, expires_at)"
        " VALUES (%s, 'Ada''s', 'CLIENT', %s, '{READ}', sha256(''), '2030-01-01Z') RETURNING id",
        DEFAULT_BUSINESS,
        client,
    )

    sql("UPDATE clients SET first_name = 'Grace', email = NULL, time_zone = 'UTC', phone = '555'")
    sql("UPDATE clients SET last_name = last_name")
    sql("UPDATE api_keys SET name = 'Grace''s'")
    sql("UPDATE businesses SET name = 'Practice', time_zone = 'Europe/Berlin', lead_time = '1 hour'")

    assert sql("SELECT diff FROM events WHERE aggregate_id = %s ORDER BY seq", client) == [
        (None,),
        ({"first_name": None, "email": None, "time_zone": None, "phone": None},),
        (None,),
    ]
    assert sql("SELECT diff FROM events WHERE aggregate_id = %s ORDER BY seq", key) == [(None,), ({"name": None},)]
    assert sql("SELECT diff FROM events WHERE diff ? 'lead_time'") == [
        (
            {
                "name": ["Holdfast", "Practice"],
                "time_zone": ["UTC", "Europe/Berlin"],
                "lead_time": ["24:00:00", "01:00:00"],
            },
        )
    ]


ENTRIES = (
    "query ($filter: AuditFilter, $first: Int, $after: String) { auditEntries(filter: $filter, first: $first, after: $after)"
    " { totalCount nodes { id occurredAt actor action nodeId requestId diff fields }"
    " pageInfo { hasNextPage endCursor } } }"
)


async def entries(api: Api, **variables: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api(ENTRIES, **variables))["auditEntries"]["nodes"]
    return found


async def test_the_audit_tells_the_newest_first_who_did_what_to_which_thing(api: Api, sql: Sql) -> None:
    provider, client = await api.provider(), await api.client()
    (appointment,) = await api.publish(provider, "2027-05-03T09:00:00Z", "2027-05-03T09:15:00Z")
    booked = (await api.reserve(client, appointment, note="a note"))["reservation"]["id"]
    await api.cancel(booked, "a reason")
    await api("query ($id: ID!) { reservation(id: $id) { note cancelReason } }", id=booked)

    told = await entries(api)

    assert [(each["action"], each["nodeId"], each["diff"], each["fields"]) for each in told[:6]] == [
        ("audit.reservation.read.v1", booked, None, ["cancelReason", "note"]),
        (
            "scheduling.reservation.cancelled.v1",
            booked,
            {"status": ["HELD", "CANCELLED"], "cancelReason": None},
            None,
        ),
        ("scheduling.reservation.held.v1", booked, None, None),
        ("scheduling.appointment.created.v1", provider, None, None),
        ("scheduling.client.created.v1", client, None, None),
        ("scheduling.provider.created.v1", provider, None, None),
    ]
    assert {each["actor"] for each in told[:6]} == {"anonymous"}
    requests = [each["requestId"] for each in told[:6]]
    assert len(set(requests)) == 6
    assert [each["id"] for each in told] == [
        encode("AuditEntry", key) for (key,) in sql("SELECT id FROM events ORDER BY seq DESC")
    ]
    assert "a note" not in str(told)
    assert "a reason" not in str(told)


async def test_the_audit_names_the_type_of_whatever_a_thing_is(api: Api, sql: Sql) -> None:
    values = {
        "locations": "(business_id, name, time_zone) SELECT id, 'Here', 'UTC'",
        "services": "(business_id, name) SELECT id, 'Analysis'",
        "resources": "(business_id, name) SELECT id, 'Room'",
        "api_keys": "(business_id, name, role, scopes, secret_hash, expires_at)"
        " SELECT id, 'Key', 'ADMIN', '{READ}', sha256(''), '2030-01-01Z'",
    }
    keys = {
        table: sql(f"INSERT INTO {table} {row} FROM businesses RETURNING id")[0][0] for table, row in values.items()
    }
    provider = person(sql, "providers")
    sql(
        "WITH a AS (INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)"
        " VALUES (%s, %s, '2027-05-03 09:00Z', '2027-05-03 09:15Z') RETURNING id) SELECT id FROM a",
        DEFAULT_BUSINESS,
        provider,
    )
    ((appointment,),) = sql("DELETE FROM appointments RETURNING id")
    sql("UPDATE businesses SET name = 'Practice'")
    sql("UPDATE api_keys SET revoked_at = '2027-05-03 09:00:00.5Z'")

    told = await entries(api, first=9)

    assert [(each["action"], each["nodeId"]) for each in told] == [
        ("scheduling.api_key.updated.v1", encode("ApiKey", keys["api_keys"])),
        ("scheduling.business.updated.v1", encode("Business", DEFAULT_BUSINESS)),
        ("scheduling.appointment.withdrawn.v1", encode("Appointment", appointment)),
        ("scheduling.appointment.created.v1", encode("Provider", provider)),
        ("scheduling.provider.created.v1", encode("Provider", provider)),
        ("scheduling.api_key.created.v1", encode("ApiKey", keys["api_keys"])),
        ("scheduling.resource.created.v1", encode("Resource", keys["resources"])),
        ("scheduling.service.created.v1", encode("Service", keys["services"])),
        ("scheduling.location.created.v1", encode("Location", keys["locations"])),
    ]
    assert told[0]["diff"] == {"revokedAt": [None, "2027-05-03T09:00:00.5Z"]}
    assert {each["actor"] for each in told} == {None}


async def test_the_audit_is_narrowed_to_what_is_asked_for(api: Api, sql: Sql) -> None:
    one, other = clients(sql, 2)
    manager = token(sql, "MANAGER")
    await api("query ($id: ID!) { client(id: $id) { email } }", id=encode("Client", one))
    middle = sql('SELECT to_char(clock_timestamp(), \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')')[0][0]
    await ask(api, "query ($id: ID!) { client(id: $id) { email } }", manager, id=encode("Client", other))
    ((key,),) = sql("SELECT id FROM api_keys")

    async def found(**wanted: Any) -> list[tuple[str, str | None]]:
        wanted.setdefault("action", "audit.client.")
        return [(each["nodeId"], each["actor"]) for each in await entries(api, filter=wanted)]

    by_anonymous, by_manager = (encode("Client", one), "anonymous"), (encode("Client", other), f"key:{key}")
    assert await found() == [by_manager, by_anonymous]
    assert await found(nodeId=encode("Client", one)) == [by_anonymous]
    assert await found(actor=f"key:{key}") == [by_manager]
    assert await found(occurredAt={"from": middle}) == [by_manager]
    assert await found(occurredAt={"until": middle}) == [by_anonymous]
    assert await found(occurredAt={"from": middle, "until": middle}) == []
    assert await found(action="client") == []
    assert await found(action="audit.%") == []
    assert await found(actor="nobody") == []
    assert await found(action="scheduling.client.created.v1", nodeId=encode("Client", one)) == [
        (encode("Client", one), None)
    ]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"nodeId": "x"}, "nodeId"),
        ({"actor": ""}, "actor"),
        ({"action": "\x00"}, "action"),
        ({"occurredAt": {"from": "2027-05-03T09:00:00Z", "until": "2027-05-03T08:00:00Z"}}, "occurredAt.until"),
    ],
)
async def test_a_filter_that_means_nothing_is_refused(api: Api, wanted: Any, field: str) -> None:
    answer = await api.post(ENTRIES, filter=wanted)

    assert [(error["extensions"]["code"], error["extensions"]["field"]) for error in answer["errors"]] == [
        ("INVALID_INPUT", field)
    ]


async def test_the_audit_is_read_page_by_page_to_its_beginning(api: Api, sql: Sql) -> None:
    clients(sql, 7)
    whole = [each["id"] for each in await entries(api)]
    cursor, seen = None, []

    for _ in range(20):
        page = (await api(ENTRIES, first=3, after=cursor))["auditEntries"]
        seen += [each["id"] for each in page["nodes"]]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert seen == whole
    assert page["totalCount"] == len(whole) >= 7


async def test_the_history_of_a_thing_is_its_part_of_the_audit(api: Api, sql: Sql) -> None:
    one, other = person(sql, "clients", email="a@b.c"), person(sql, "clients", email="d@e.f")
    history = "history { totalCount nodes { action nodeId actor diff fields } }"
    identity = encode("Client", one)
    await api("{ clients { nodes { email } } }")
    sql("UPDATE clients SET phone = '555' WHERE id = %s", one)

    data = await api(
        f"query ($id: ID!) {{ client(id: $id) {{ {history} }} node(id: $id) {{ {history} }} }}", id=identity
    )

    assert data["client"] == data["node"]
    assert data["client"]["history"] == {
        "totalCount": 3,
        "nodes": [
            {
                "action": action,
                "nodeId": identity,
                "actor": actor,
                "diff": diff,
                "fields": fields,
            }
            for action, actor, diff, fields in (
                ("scheduling.client.updated.v1", None, {"phone": None}, None),
                ("audit.client.read.v1", "anonymous", None, ["email"]),
                ("scheduling.client.created.v1", None, None, None),
            )
        ],
    }
    assert encode("Client", other) not in str(data)


@pytest.mark.parametrize("selection", ["id action actor requestId occurredAt", "action nodeId diff fields"])
async def test_the_histories_of_a_page_of_twenty_are_one_statement(
    api: Api, sql: Sql, request: pytest.FixtureRequest, selection: str
) -> None:
    clients(sql, 25)
    sql("UPDATE clients SET phone = '555'")
    is_fast = is_compiled(request) and "diff" not in selection

    data = await ask(
        api,
        f"{{ clients(first: 20) {{ nodes {{ history(first: 1) {{ nodes {{ {selection} }} pageInfo {{ hasNextPage }} }} }} }} }}",
    )

    histories = [node["history"] for node in data["clients"]["nodes"]]
    assert [(each["nodes"][0]["action"], each["pageInfo"]["hasNextPage"]) for each in histories] == [
        ("scheduling.client.updated.v1", True)
    ] * 20
    assert len(api.statements) == (1 if is_fast else 2)
    assert bool(api.on_lanes) == is_fast


async def test_the_audit_is_answered_alike_on_both_roads(database: str, sql: Sql) -> None:
    one, *_ = clients(sql, 5)
    sql("UPDATE clients SET phone = '555'")
    document = (
        "query ($filter: AuditFilter) { all: auditEntries(first: 4) {"
        " totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
        " edges { cursor node { id occurredAt actor action requestId } } }"
        " some: auditEntries(filter: $filter) { nodes { action actor } }"
        " clients { nodes { id history(last: 1) { edges { cursor node { id action } } totalCount } } } }"
    )
    day = {"from": "2020-01-01T00:00:00Z", "until": "2199-01-01T00:00:00Z"}
    wanted = {"nodeId": encode("Client", one), "action": "scheduling.client.updated.", "occurredAt": day}

    async with serving(database) as fast, serving(database, compile=False) as slow:
        answer, other = [await ask(api, document, filter=wanted) for api in (fast, slow)]
        nobodys = await ask(fast, document, filter={"actor": "nobody"})

    assert answer == other
    assert fast.on_lanes
    assert not slow.on_lanes
    assert answer["all"]["pageInfo"]["hasNextPage"] is True
    assert answer["some"] == {"nodes": [{"action": "scheduling.client.updated.v1", "actor": None}]}
    assert nobodys["some"] == {"nodes": []}


@pytest.mark.parametrize(
    ("role", "field"),
    [
        ("MANAGER", "auditEntries"),
        ("FRONT_DESK", "auditEntries"),
        ("FRONT_DESK", "history"),
        ("PROVIDER", "history"),
        ("CLIENT", "history"),
    ],
)
async def test_the_audit_is_for_those_who_answer_for_the_business(api: Api, sql: Sql, role: str, field: str) -> None:
    client, provider = person(sql, "clients"), person(sql, "providers")
    mine = {"PROVIDER": provider, "CLIENT": client}.get(role)
    document = {
        "auditEntries": "{ auditEntries { nodes { action } } }",
        "history": f'{{ node(id: "{encode("Provider", provider)}") {{ history {{ nodes {{ action }} }} }} }}',
    }[field]

    answer = await api.post(document, {"authorization": f"Bearer {token(sql, role, mine)}"})

    assert "data" not in answer
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_a_manager_reads_the_history_of_a_thing(api: Api, sql: Sql) -> None:
    client = person(sql, "clients")

    data = await ask(
        api,
        "query ($id: ID!) { client(id: $id) { history { nodes { action } } } }",
        token(sql, "MANAGER"),
        id=encode("Client", client),
    )

    assert data == {"client": {"history": {"nodes": [{"action": "scheduling.client.created.v1"}]}}}


async def test_what_was_done_in_another_business_is_not_told(api: Api, sql: Sql) -> None:
    ((business,),) = sql("INSERT INTO businesses (name) VALUES ('Elsewhere') RETURNING id")
    stranger = person(sql, "clients", business_id=business)

    assert await entries(api, filter={"nodeId": encode("Client", stranger)}) == []
    assert encode("Client", stranger) not in str(await entries(api, first=100))


async def test_where_webhooks_go_and_what_was_written_about_them_is_not_in_the_history(api: Api, sql: Sql) -> None:
    create = "mutation { webhookEndpointCreate(input: {url: %s}) { webhookEndpoint { id } userErrors { code } } }"
    update = (
        "mutation { webhookEndpointUpdate(input: {id: %s, expectedVersion: 1, url: %s, description: %s})"
        " { webhookEndpoint { version } userErrors { code } } }"
    )
    made = (await api(create % '"https://hooks.salon.com/Sneezingaardvark"'))["webhookEndpointCreate"]
    assert made["userErrors"] == []
    values = f'"{made["webhookEndpoint"]["id"]}"', '"https://hooks.salon.com/Limpingnarwhal"', '"Call Zebulonquirk"'

    changed = (await api(update % values))["webhookEndpointUpdate"]

    assert changed == {"webhookEndpoint": {"version": 2}, "userErrors": []}
    ((diff,),) = sql("SELECT diff FROM events WHERE type LIKE '%%webhook_endpoint.updated%%'")
    assert diff == {"url": None, "description": None}
    assert sql("SELECT 1 FROM events WHERE data::text ~ 'narwhal|aardvark|quirk'") == []
