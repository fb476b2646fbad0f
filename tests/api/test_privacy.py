"""Privacy: clients get all that is kept about them, and whoever is erased has left no word in the whole database."""

import asyncio
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from psycopg import connect
from psycopg.errors import ForeignKeyViolation

from models import api_key, privacy
from models.business import DEFAULT_BUSINESS
from models.node_id import decode, encode
from server.postgres import binaries
from tests.conftest import ERRORS, Api, serving

Sql = Callable[..., list[tuple[Any, ...]]]
ERASE = (
    "mutation ($input: ClientEraseInput!) { clientErase(input: $input) {"
    " client { id firstName lastName email phone timeZone version } " + ERRORS + " } }"
)
EXPORT = "mutation ($input: ClientExportInput!) { clientExport(input: $input) { export " + ERRORS + " } }"
CREATE = "mutation ($input: ClientCreateInput!) { clientCreate(input: $input) { client { id } userErrors { code } } }"
PLANTED = {
    "firstName": "Zebulonquirk",
    "lastName": "Vantablackwood",
    "email": "xylo.grapefruit@quokkamail.example",
    "phone": "+49 30 77665544332",
}
WORDS = (*PLANTED.values(), "Limpingnarwhal", "Sneezingaardvark", "Phonelatchkey")


@pytest.fixture(params=[True, False], ids=["compiled", "ordinary"])
async def api(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Either road."""
    async with serving(database, compile=request.param) as client:
        yield client


def dump(database: str) -> str:
    """All that a backup of the database would contain."""
    done = subprocess.run([binaries() / "pg_dump", database], capture_output=True, text=True, check=True)
    return done.stdout


def hits(dumped: str) -> Counter[str]:
    """How often each planted word stands in a dump; in any spelling that differs by case alone."""
    return Counter({word: len(re.findall(re.escape(word), dumped, re.IGNORECASE)) for word in WORDS})


def token(sql: Sql, role: str, person: str | None = None, name: str = "a key") -> str:
    """The token of a new API key."""
    secret = api_key.secret()
    ((key,),) = sql(
        "INSERT INTO api_keys (business_id, name, role, person_id, scopes, secret_hash, expires_at)"
        " VALUES (%s, %s, %s, %s, '{READ,WRITE}', %s, clock_timestamp() + interval '1 day') RETURNING id",
        DEFAULT_BUSINESS,
        name,
        role,
        None if person is None else decode(person)[1],
        api_key.hash_of(secret),
    )
    return api_key.token(DEFAULT_BUSINESS, key, secret)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@dataclass
class Known:
    """A client about whom much is kept, and another one with the same providers."""

    client: str
    other: str
    providers: list[str]
    token: str
    free: str
    booked: dict[str, str] = field(default_factory=dict)


async def known(api: Api, sql: Sql) -> Known:
    """Plant words wherever the API takes any of a client."""
    sql("UPDATE businesses SET hold_limit = NULL")
    made = (await api(CREATE, input={**PLANTED, "timeZone": "Australia/Lord_Howe", "idempotencyKey": "made"}))[
        "clientCreate"
    ]
    client, other = made["client"]["id"], await api.client("Somebody", "Else")
    providers = [await api.provider("Ada", "Lovelace"), await api.provider("Grace", "Hopper")]
    times = [await api.publish(each, "2027-05-03T09:00:00Z", "2027-05-03T11:00:00Z") for each in providers]
    key = token(sql, "CLIENT", client, "Phonelatchkey of Zebulonquirk")
    whole = Known(client, other, providers, key, times[0].pop())
    for name, provider in (
        ("HELD", 0),
        ("CONFIRMED", 1),
        ("CANCELLED", 0),
        ("COMPLETED", 1),
        ("NO_SHOW", 0),
        ("LAPSED", 1),
    ):
        whole.booked[name] = await reserved(api, client, times[provider].pop(), "Limpingnarwhal")
    await reserved(api, other, times[0].pop(), "nothing special")
    for name in ("CONFIRMED", "COMPLETED", "NO_SHOW"):
        await api.confirm(whole.booked[name])
    await api.cancel(whole.booked["CANCELLED"], "Sneezingaardvark")
    sql("ALTER TABLE reservations DISABLE TRIGGER keep")  # neither has begun yet
    for name in ("COMPLETED", "NO_SHOW"):
        sql("UPDATE reservations SET status = %s WHERE id = %s", name, decode(whole.booked[name])[1])
    sql("ALTER TABLE reservations ENABLE TRIGGER keep")
    lapse(sql, whole.booked["LAPSED"])
    return whole


async def reserved(api: Api, client: str, appointment: str, note: str) -> str:
    identity: str = (await api.reserve(client, appointment, note=note))["reservation"]["id"]
    return identity


def lapse(sql: Sql, reservation: str) -> None:
    """Let a hold's time be over; the rule that keeps what was stamped is put aside for a moment."""
    sql("ALTER TABLE reservations DISABLE TRIGGER keep")
    sql(
        "UPDATE reservations SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'"
        " WHERE id = %s",
        decode(reservation)[1],
    )
    sql("ALTER TABLE reservations ENABLE TRIGGER keep")


def statistics(sql: Sql) -> dict[str, Any]:
    """What a business counts: how many reservations there are in each state, with whom, of how many clients, and when."""
    of_providers = "SELECT provider_id, count(*), count(DISTINCT client_id) FROM reservations GROUP BY 1 ORDER BY 1"
    times = "SELECT id, provider_id, client_id, starts_at, ends_at, created_at, confirmed_at, seat FROM reservations"
    return {
        "by status": dict(sql("SELECT status, count(*) FROM reservations GROUP BY 1")),
        "by provider": sql(of_providers),
        "times": sql(f"{times} ORDER BY id"),
        "clients": sql("SELECT count(*) FROM clients"),
    }


async def erase(api: Api, client: str, **more: Any) -> Any:
    return (await api(ERASE, input={"clientId": client, **more}))["clientErase"]


async def export(api: Api, client: str, headers: dict[str, str] | None = None) -> Any:
    answer = await api.post(EXPORT, headers, input={"clientId": client})
    assert "errors" not in answer, answer
    return answer["data"]["clientExport"]


async def test_no_word_of_an_erased_client_is_left_in_the_whole_database(api: Api, sql: Sql, database: str) -> None:
    whole = await known(api, sql)
    await api("{ clients { nodes { email phone } } reservations { nodes { note cancelReason } } }")
    await export(api, whole.client)
    await export(api, whole.client, bearer(whole.token))
    planted, counted = hits(dump(database)), statistics(sql)

    done = await erase(api, whole.client, idempotencyKey="erased")

    left, remaining = hits(dump(database)), statistics(sql)
    assert min(planted.values()) > 0, planted
    assert left == Counter(dict.fromkeys(WORDS, 0))
    assert done["userErrors"] == []
    assert "Australia/Lord_Howe" not in dump(database)
    assert counted.pop("by status") == {"HELD": 3, "CONFIRMED": 1, "CANCELLED": 1, "COMPLETED": 1, "NO_SHOW": 1}
    assert remaining.pop("by status") == {"HELD": 2, "CANCELLED": 3, "COMPLETED": 1, "NO_SHOW": 1}
    assert remaining == counted


async def test_an_erased_client_has_a_placeholder_for_a_name_and_nothing_else(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)

    done = await erase(api, whole.client)

    assert done["client"] == {
        "id": whole.client,
        "firstName": "Erased",
        "lastName": "Client",
        "email": None,
        "phone": None,
        "timeZone": None,
        "version": 2,
    }
    assert sql("SELECT count(*) FROM clients WHERE erased_at IS NOT NULL") == [(1,)]
    told = await api(
        "query ($id: ID!) { client(id: $id) { lastName reservations { nodes { note cancelReason } } } }",
        id=whole.client,
    )
    assert told["client"]["lastName"] == "Client"
    assert told["client"]["reservations"]["nodes"] == [{"note": None, "cancelReason": None}] * 6


async def test_nobody_else_is_erased(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    others = "SELECT * FROM clients WHERE id = %s"
    reservations = "SELECT * FROM reservations WHERE client_id = %s"
    mine = token(sql, "CLIENT", whole.other)
    theirs = decode(whole.other)[1]
    before = sql(others, theirs), sql(reservations, theirs), sql("SELECT * FROM api_keys WHERE person_id = %s", theirs)

    await erase(api, whole.client)

    assert (
        sql(others, theirs),
        sql(reservations, theirs),
        sql("SELECT * FROM api_keys WHERE person_id = %s", theirs),
    ) == before
    answer = await api.post("{ reservations { nodes { note } } }", bearer(mine))
    assert answer["data"]["reservations"]["nodes"] == [{"note": "nothing special"}]


async def test_the_times_that_an_erased_client_claimed_are_free_again(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    claimed = [
        sql("SELECT appointment_id FROM reservations WHERE id = %s", decode(whole.booked[name])[1])[0][0]
        for name in ("HELD", "CONFIRMED")
    ]
    events = "SELECT type, actor, diff FROM events WHERE aggregate_id = %s ORDER BY seq DESC LIMIT 1"

    await erase(api, whole.client)

    for name, appointment in zip(("HELD", "CONFIRMED"), claimed, strict=True):
        assert sql(events, decode(whole.booked[name])[1]) == [
            ("scheduling.reservation.cancelled.v1", "anonymous", {"status": [name, "CANCELLED"], "note": None})
        ]
        again = await api.reserve(whole.other, encode("Appointment", appointment))
        assert again["userErrors"] == []


async def test_what_has_begun_is_counted_as_before(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    sql("ALTER TABLE reservations DISABLE TRIGGER keep")
    sql(
        "UPDATE reservations SET starts_at = '2020-05-03 09:00Z', busy_from = '2020-05-03 09:00Z',"
        " ends_at = '2020-05-03 09:15Z', busy_until = '2020-05-03 09:15Z', lead_time = '0',"
        " scheduled_at = '2020-05-01Z' WHERE id = %s",
        decode(whole.booked["CONFIRMED"])[1],
    )
    sql("ALTER TABLE reservations ENABLE TRIGGER keep")

    await erase(api, whole.client)

    statuses: dict[Any, str] = dict(
        sql("SELECT id, status FROM reservations WHERE client_id = %s", decode(whole.client)[1])
    )
    assert {name: statuses[decode(identity)[1]] for name, identity in whole.booked.items()} == {
        "HELD": "CANCELLED",
        "CONFIRMED": "CONFIRMED",
        "CANCELLED": "CANCELLED",
        "COMPLETED": "COMPLETED",
        "NO_SHOW": "NO_SHOW",
        "LAPSED": "HELD",
    }


async def test_the_history_says_that_a_client_was_erased_and_not_who_they_were(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)

    await erase(api, whole.client)

    ((kind, actor, diff),) = sql(
        "SELECT type, actor, diff FROM events WHERE aggregate_id = %s AND type LIKE 'scheduling.%%' ORDER BY seq DESC LIMIT 1",
        decode(whole.client)[1],
    )
    erased_at = diff.pop("erased_at")
    assert (kind, actor) == ("scheduling.client.updated.v1", "anonymous")
    assert diff == dict.fromkeys(("first_name", "last_name", "email", "phone", "time_zone"))
    assert erased_at[0] is None
    assert erased_at[1]


async def test_a_client_is_erased_once_however_often_it_is_asked_for(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    count = "SELECT count(*) FROM events"

    first = await erase(api, whole.client, idempotencyKey="once")
    events = sql(count)
    replayed = await api.post(ERASE, input={"clientId": whole.client, "idempotencyKey": "once"})
    second = await erase(api, whole.client)

    assert replayed["data"]["clientErase"] == first == second
    assert replayed["extensions"]["idempotentReplay"] is True
    assert sql(count) == events


async def test_a_key_that_was_used_for_another_client_is_refused(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    await erase(api, whole.client, idempotencyKey="once")

    done = await erase(api, whole.other, idempotencyKey="once")

    assert [error["code"] for error in done["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]
    assert sql("SELECT first_name FROM clients WHERE id = %s", decode(whole.other)[1]) == [("Somebody",)]


async def test_the_keys_of_an_erased_client_end_at_once(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    asked = "{ viewer { role } }"
    before = await api.post(asked, bearer(whole.token))

    await erase(api, whole.client)
    after = await api.post(asked, bearer(whole.token))

    assert before["data"] == {"viewer": {"role": "CLIENT"}}
    assert [error["extensions"]["code"] for error in after["errors"]] == ["UNAUTHENTICATED"]
    assert sql("SELECT name, revoked_at IS NOT NULL FROM api_keys") == [("Erased client", True)]


async def test_nothing_is_reserved_for_an_erased_client(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    await erase(api, whole.client)
    before = sql("SELECT count(*) FROM reservations")

    refused = await api.reserve(whole.client, whole.free)

    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("NOT_FOUND", ["clientId"])]
    assert sql("SELECT count(*) FROM reservations") == before
    assert (await api.reserve(whole.other, whole.free))["userErrors"] == []


async def test_the_database_itself_reserves_nothing_for_an_erased_client(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    await erase(api, whole.client)

    with pytest.raises(ForeignKeyViolation) as refused:
        sql(
            "INSERT INTO reservations (business_id, client_id, appointment_id) VALUES (%s, %s, %s)",
            DEFAULT_BUSINESS,
            decode(whole.client)[1],
            decode(whole.free)[1],
        )

    assert refused.value.diag.constraint_name == "reservation_of_client"


async def test_erasing_waits_for_whoever_reserves_and_cancels_that_too(api: Api, sql: Sql, database: str) -> None:
    whole = await known(api, sql)
    with connect(database) as reserving:
        reserving.execute(
            "INSERT INTO reservations (business_id, client_id, appointment_id, note) VALUES (%s, %s, %s, 'Limpingnarwhal')",
            (DEFAULT_BUSINESS, decode(whole.client)[1], decode(whole.free)[1]),
        )

        refused = await erase(api, whole.client)
        reserving.commit()
    done = await erase(api, whole.client)

    assert [error["code"] for error in refused["userErrors"]] == ["BUSY"]
    assert done["userErrors"] == []
    assert sql("SELECT status, note FROM reservations WHERE appointment_id = %s", decode(whole.free)[1]) == [
        ("CANCELLED", None)
    ]


async def test_whoever_reserves_while_a_client_is_erased_finds_nobody(api: Api, sql: Sql, database: str) -> None:
    whole = await known(api, sql)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with connect(database) as erasing:
        erasing.execute("SELECT FROM clients WHERE id = %s FOR UPDATE", [decode(whole.client)[1]])
        erasing.execute("UPDATE clients SET erased_at = clock_timestamp() WHERE id = %s", [decode(whole.client)[1]])

        reserving = asyncio.create_task(api.reserve(whole.client, whole.free))
        while sql(waiting) == [(0,)]:  # noqa: ASYNC110 -- it is PostgreSQL that we wait for
            await asyncio.sleep(0.01)
        erasing.commit()
        refused = await reserving

    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("NOT_FOUND", ["clientId"])]
    assert sql("SELECT count(*) FROM reservations WHERE appointment_id = %s", decode(whole.free)[1]) == [(0,)]


async def test_an_export_is_all_that_is_kept_about_a_client(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    await api("{ clients { nodes { email } } }")

    told = (await export(api, whole.client))["export"]

    assert set(told) == {
        *("client", "reservations", "apiKeys", "history", "notifications", "notificationPreferences", "proposals"),
        *("waitlistEntries", "visits", "reservationSeries", "calendarFeeds"),
    }
    created = sql("SELECT created_at FROM clients WHERE id = %s", decode(whole.client)[1])[0][0]
    assert told["client"] == {
        "id": whole.client,
        **PLANTED,
        "timeZone": "Australia/Lord_Howe",
        "locale": None,
        "createdAt": _written(created),
        "version": 1,
    }
    statuses = {each["id"]: each["status"] for each in told["reservations"]}
    assert statuses == {whole.booked[name]: {"LAPSED": "EXPIRED"}.get(name, name) for name in whole.booked}
    (cancelled,) = (each for each in told["reservations"] if each["status"] == "CANCELLED")
    ((appointment, created, expires, ended),) = sql(
        "SELECT appointment_id, created_at, expires_at, cancelled_at FROM reservations WHERE status = 'CANCELLED'"
    )
    assert cancelled == {
        "id": whole.booked["CANCELLED"],
        "status": "CANCELLED",
        "startsAt": cancelled["startsAt"],
        "endsAt": cancelled["endsAt"],
        "seat": 1,
        "note": "Limpingnarwhal",
        "cancelReason": "Sneezingaardvark",
        "providerId": whole.providers[0],
        "provider": "Ada Lovelace",
        "serviceId": None,
        "service": None,
        "appointmentId": encode("Appointment", appointment),
        "createdAt": _written(created),
        "expiresAt": _written(expires),
        "confirmedAt": None,
        "cancelledAt": _written(ended),
        "version": 2,
    }
    assert re.fullmatch(r"2027-05-03T\d\d:\d\d:00Z", cancelled["startsAt"])
    assert [(each["name"], each["role"]) for each in told["apiKeys"]] == [("Phonelatchkey of Zebulonquirk", "CLIENT")]
    assert "secretHash" not in told["apiKeys"][0]


def _written(instant: Any) -> str:
    text: str = instant.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text.rstrip("0").rstrip(".") + "Z"


async def test_an_export_tells_who_read_the_client_and_is_itself_on_record(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    await api("{ clients { nodes { email } } }")

    await export(api, whole.client)
    told = (await export(api, whole.client, bearer(whole.token)))["export"]["history"]

    ((key,),) = sql("SELECT id FROM api_keys")
    of_client = [(each["action"], each["actor"], each["fields"]) for each in told if each["nodeId"] == whole.client]
    assert of_client == [
        ("audit.client.exported.v1", f"key:{key}", None),
        ("audit.client.exported.v1", "anonymous", None),
        ("audit.client.read.v1", "anonymous", ["email"]),
        ("scheduling.client.created.v1", "anonymous", None),
    ]
    things = {each["nodeId"] for each in told}
    assert things == {whole.client, encode("ApiKey", key), *whole.booked.values()}
    assert whole.other not in str(told)
    assert {each["diff"] and tuple(each["diff"]) for each in told} >= {None, ("status",)}


async def test_an_export_tells_the_newest_of_a_long_history(
    api: Api, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await api.client()
    for _ in range(3):
        await export(api, client)
    whole = (await export(api, client))["export"]["history"]
    monkeypatch.setattr(privacy, "MOST_ENTRIES", 3)

    cut = (await export(api, client))["export"]["history"]

    assert [each["action"] for each in whole] == [
        *["audit.client.exported.v1"] * 4,
        "scheduling.client.created.v1",
    ]
    assert [each["action"] for each in cut] == ["audit.client.exported.v1"] * 3
    assert [each["occurredAt"] for each in cut[1:]] == [each["occurredAt"] for each in whole[:2]]
    assert sql("SELECT count(*) FROM events WHERE type = 'audit.client.exported.v1'") == [(5,)]


def test_an_export_tells_ten_thousand_entries_at_most() -> None:
    assert privacy.MOST_ENTRIES == 10_000


async def test_an_export_costs_as_much_as_it_may_have_to_read(api: Api) -> None:
    client = await api.client()

    await api.post("mutation ($id: ID!) { clientExport(input: {clientId: $id}) { export } }", id=client)

    assert api.cost == {"requestedQueryCost": 501, "actualQueryCost": 501}


async def test_a_key_that_only_writes_exports_nothing(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    sql("UPDATE api_keys SET scopes = '{WRITE}'")

    refused = await export(api, whole.client, bearer(whole.token))

    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("FORBIDDEN", None)]
    assert refused["userErrors"][0]["message"] == "This key's scopes do not contain READ, which an export needs."
    assert refused["export"] is None
    assert sql("SELECT count(*) FROM events WHERE type = 'audit.client.exported.v1'") == [(0,)]


async def test_an_export_that_cannot_be_put_on_record_is_not_given(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    sql("ALTER TABLE events ADD CONSTRAINT full_up CHECK (type <> 'audit.client.exported.v1')")

    answer = await api.post(EXPORT, input={"clientId": whole.client})

    assert answer["data"] is None
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INTERNAL"]
    assert hits(str(answer)) == Counter(dict.fromkeys(WORDS, 0))


async def test_clients_get_their_own_data_and_nobody_elses(api: Api, sql: Sql) -> None:
    whole = await known(api, sql)
    mine = bearer(whole.token)

    own, other = await export(api, whole.client, mine), await export(api, whole.other, mine)

    assert own["export"]["client"]["email"] == PLANTED["email"]
    assert other["export"] is None
    assert [(error["code"], error["field"]) for error in other["userErrors"]] == [("NOT_FOUND", ["clientId"])]
    assert sql("SELECT count(*) FROM events WHERE type = 'audit.client.exported.v1'") == [(1,)]


@pytest.mark.parametrize("operation", ["clientErase", "clientExport"])
async def test_who_is_not_there_is_neither_erased_nor_exported(api: Api, sql: Sql, operation: str) -> None:
    ((business,),) = sql("INSERT INTO businesses (name) VALUES ('Elsewhere') RETURNING id")
    ((stranger,),) = sql(
        "INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, 'A', 'B') RETURNING id", business
    )
    provider = await api.provider()
    document = {"clientErase": ERASE, "clientExport": EXPORT}[operation]
    before = sql("SELECT count(*) FROM events")

    for identity in (encode("Client", stranger), encode("Client", decode(provider)[1]), provider):
        done = (await api(document, input={"clientId": identity}))[operation]
        assert [(error["code"], error["field"]) for error in done["userErrors"]] == [("NOT_FOUND", ["clientId"])]

    assert sql("SELECT first_name FROM clients") == [("A",)]
    assert sql("SELECT count(*) FROM events") == before


@pytest.mark.parametrize(
    ("role", "document"),
    [
        ("MANAGER", ERASE),
        ("FRONT_DESK", ERASE),
        ("PROVIDER", ERASE),
        ("CLIENT", ERASE),
        ("FRONT_DESK", EXPORT),
        ("PROVIDER", EXPORT),
    ],
    ids=lambda value: value if value.isupper() else value[44:56].strip("(:! "),
)
async def test_who_may_neither_erase_nor_export(api: Api, sql: Sql, role: str, document: str) -> None:
    client, provider = await api.client(), await api.provider()
    person = {"PROVIDER": provider, "CLIENT": client}.get(role)

    answer = await api.post(document, bearer(token(sql, role, person)), input={"clientId": client})

    assert "data" not in answer
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    assert sql("SELECT erased_at FROM clients") == [(None,)]


async def test_an_erasure_takes_as_many_statements_for_many_reservations_as_for_few(api: Api, sql: Sql) -> None:
    few, many, provider = await api.client(), await api.client(), await api.provider()
    sql("UPDATE businesses SET hold_limit = NULL")
    place = (
        "WITH a AS (INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)"
        " VALUES (%s, %s, %s::timestamptz, %s::timestamptz + %s) RETURNING id)"
        " SELECT id FROM a"
    )
    for n in range(22):
        start = f"2027-05-{n + 1:02} 09:00Z"
        ((key,),) = sql(place, DEFAULT_BUSINESS, decode(provider)[1], start, start, timedelta(minutes=15))
        client = few if n < 2 else many
        sql(
            "INSERT INTO reservations (business_id, client_id, appointment_id, note) VALUES (%s, %s, %s, 'a note')",
            DEFAULT_BUSINESS,
            decode(client)[1],
            key,
        )
    counts = []

    for client in (few, many):
        for document in (EXPORT, ERASE):
            api.statements.clear()
            await api.post(document, input={"clientId": client})
            counts.append(len(api.statements))

    assert counts[:2] == counts[2:] == [12, 11]
    assert sql("SELECT status, count(*) FROM reservations GROUP BY 1") == [("CANCELLED", 22)]
