"""Handing over: nobody's many endpoints, and no fault of one who sends events on, keeps the others waiting."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors

from models.business import DEFAULT_BUSINESS
from server.workers import relay
from tests.api.test_webhooks import endpoint, work
from tests.conftest import Api
from tests.keys import OTHER, another_business
from tests.receiver import Receiver, api, reachable, receiver, relayed
from tests.schedules import key

__all__ = ["api", "reachable", "receiver"]  # fixtures

Sql = Callable[..., list[tuple[Any, ...]]]

EVENTS = """INSERT INTO events (business_id, type, aggregate_id, data)
SELECT %s, 'scheduling.client.updated.v1', uuidv7(), '{}' FROM generate_series(1, %s)"""
ENDPOINTS = """INSERT INTO webhook_endpoints (business_id, url, event_types, created_at)
SELECT %s, 'https://hooks.example.com', '{scheduling.client.*}', clock_timestamp() FROM generate_series(1, %s)"""
ABOUT = """INSERT INTO events (business_id, type, aggregate_id, data)
SELECT id, 'scheduling.provider.updated.v1', unnest(ARRAY[%s, %s, %s]::uuid[]), '{}' FROM businesses"""
LATE = "SELECT aggregate_id, problem, attempts FROM passed_over WHERE consumer = 'webhooks' ORDER BY position"
STATE = "SELECT backlog, unhanded, passed_over FROM outbox_state()"
DEFINITION = "SELECT pg_get_functiondef('hand_to_webhooks'::regproc)"
# Does nothing but raise: for all events, or for those of a type.
BROKEN = """CREATE OR REPLACE FUNCTION hand_to_webhooks(first bigint, last bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM events WHERE position BETWEEN first AND last AND type LIKE '{type}') THEN
        RAISE EXCEPTION 'a fault of ours';
    END IF;
    PERFORM whole_hand_to_webhooks(first, last);
END $$"""


def broken(sql: Sql, type_: str) -> str:
    """Let the hook raise, and tell what mends it."""
    ((definition,),) = sql(DEFINITION)
    sql(str(definition).replace("public.hand_to_webhooks", "public.whole_hand_to_webhooks"))
    sql(BROKEN.format(type=type_))
    return str(definition)


async def test_very_many_endpoints_of_one_business_are_handed_over_lot_by_lot(api: Api, sql: Sql) -> None:
    another_business(sql)
    sql(ENDPOINTS, DEFAULT_BUSINESS, 100)
    sql(ENDPOINTS, OTHER, 1)
    sql(EVENTS, DEFAULT_BUSINESS, 150)
    sql(EVENTS, OTHER, 1)

    await relayed(api.database)

    assert sql("SELECT count(*) FROM webhook_deliveries WHERE business_id = %s", DEFAULT_BUSINESS) == [(15_000,)]
    assert sql("SELECT count(*) FROM webhook_deliveries WHERE business_id = %s", OTHER) == [(1,)]
    assert sql(STATE) == [(0, 0, 0)]
    lots = sql("SELECT count(*) FROM webhook_deliveries GROUP BY xmin::text")
    assert max(lots)[0] <= 2000
    assert sql(
        "SELECT count(*) FROM (SELECT FROM webhook_deliveries GROUP BY endpoint_id, event_id HAVING count(*) > 1) d"
    ) == [(0,)]


async def test_one_event_that_fails_is_passed_over_and_handed_over_when_that_is_mended(
    api: Api, receiver: Receiver, sql: Sql
) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*", "scheduling.provider.*"])
    await relayed(api.database)
    definition = broken(sql, "scheduling.provider.created.v1")
    for _ in range(3):
        await api.client()
    await api.provider()
    await api.client()

    done = await work(api)

    assert done["delivered"] == 4
    assert sql(STATE) == [(0, 0, 1)]
    assert sql("SELECT consumer, problem, attempts FROM passed_over") == [("webhooks", "P0001", 1)]
    assert await relay.make_good(api.database, asyncio.Event()) == {"made_good": 0}  # not yet due

    sql("UPDATE passed_over SET next_attempt_at = clock_timestamp()")
    assert await relay.make_good(api.database, asyncio.Event()) == {"made_good": 0}
    assert sql("SELECT problem, attempts, next_attempt_at > clock_timestamp() FROM passed_over") == [("P0001", 2, True)]

    sql(definition)
    sql("UPDATE passed_over SET next_attempt_at = clock_timestamp()")
    assert await relay.make_good(api.database, asyncio.Event()) == {"made_good": 1}
    assert (await work(api))["delivered"] == 1
    assert receiver.messages[-1].json["type"] == "scheduling.provider.created.v1"
    assert sql(STATE) == [(0, 0, 0)]


async def test_where_one_cannot_be_handed_anything_the_others_are(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await relayed(api.database)
    definition = broken(sql, "%")
    sql(EVENTS, DEFAULT_BUSINESS, 20)

    await relayed(api.database)

    assert sql("SELECT count(*) FROM events WHERE position IS NULL") == [(0,)]
    assert sql("SELECT position = (SELECT max(position) FROM events) FROM hand_overs") == [(True,), (True,)]
    assert sql("SELECT consumer, count(*) FROM passed_over GROUP BY 1") == [("webhooks", 20)]

    sql(definition)
    sql("UPDATE passed_over SET next_attempt_at = clock_timestamp()")
    await relay.make_good(api.database, asyncio.Event())
    assert (await work(api))["delivered"] == 20
    assert sql(STATE) == [(0, 0, 0)]


async def test_what_is_about_the_same_thing_waits_behind_what_was_passed_over_and_nothing_else_does(
    api: Api, receiver: Receiver, sql: Sql
) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.provider.*"])
    await relayed(api.database)
    definition = broken(sql, "scheduling.provider.created.v1")
    ada, grace = key(await api.provider("Ada")), key(await api.provider("Grace"))
    sql(ABOUT, ada, ada, grace)

    done = await work(api)

    assert done["delivered"] == 0
    assert sql(LATE) == [
        (ada, "P0001", 1),
        (grace, "P0001", 1),
        *[(ada, "00000", 0)] * 2,
        (grace, "00000", 0),
    ]
    assert await relay.make_good(api.database, asyncio.Event()) == {"made_good": 0}

    sql(definition)
    sql("UPDATE passed_over SET next_attempt_at = clock_timestamp() WHERE aggregate_id = %s", grace)
    assert await relay.make_good(api.database, asyncio.Event()) == {"made_good": 2}
    sql(ABOUT, *2 * (grace,), ada)
    assert (await work(api))["delivered"] == 4
    assert sql(LATE) == [(ada, "P0001", 1), *[(ada, "00000", 0)] * 3]

    sql("UPDATE passed_over SET next_attempt_at = clock_timestamp()")
    assert await relay.make_good(api.database, asyncio.Event()) == {"made_good": 4}
    assert (await work(api))["delivered"] == 4
    assert sql(STATE) == [(0, 0, 0)]
    assert [(each.json["type"].split(".")[2]) for each in receiver.messages] == ["created", *["updated"] * 3] * 2


async def test_nobody_waits_longer_than_an_hour_for_what_was_passed_over(
    api: Api, receiver: Receiver, sql: Sql
) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.provider.*"])
    await relayed(api.database)
    broken(sql, "scheduling.provider.created.v1")
    ada = key(await api.provider("Ada"))
    sql(ABOUT, ada, ada, ada)
    await relayed(api.database)
    hour = "UPDATE passed_over SET passed_over_at = clock_timestamp() - interval '%s' WHERE problem = 'P0001'"

    sql(hour % "00:59:00")
    early = await relay.make_good(api.database, asyncio.Event())
    sql(hour % "01:00:00")
    late = await relay.make_good(api.database, asyncio.Event())

    assert (early, late) == ({"made_good": 0}, {"made_good": 3})
    assert sql(LATE) == [(ada, "P0001", 1)]
    assert (await work(api))["delivered"] == 3


CHOSEN = "INSERT INTO events (business_id, type, aggregate_id, data, {column}) {over} VALUES (%s, %s, uuidv7(), '{{}}', {value})"


@pytest.mark.parametrize(
    ("type_", "column", "value", "refused"),
    [
        ("x.v1", "position", "9223372036854775807", errors.InsufficientPrivilege),
        ("x.v1", "seq", "1", errors.InsufficientPrivilege),
        ("x.v1", "relayed_at", "clock_timestamp()", errors.CheckViolation),
        ("t" * 201, "actor", "'x'", errors.CheckViolation),
    ],
)
def test_nobody_chooses_where_an_event_stands(
    database: str, type_: str, column: str, value: str, refused: type[Exception]
) -> None:
    statement = CHOSEN.format(column=column, value=value, over="OVERRIDING SYSTEM VALUE" if column == "seq" else "")
    with psycopg.connect(database, options="-c role=holdfast_app") as app:
        app.execute("SELECT set_config('holdfast.business_id', %s, false)", [str(DEFAULT_BUSINESS)])
        with pytest.raises(refused):
            app.execute(statement, [DEFAULT_BUSINESS, type_])
