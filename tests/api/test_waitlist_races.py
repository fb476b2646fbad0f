"""Waiters and walk-ins at once: whoever is next gets what is freed, nobody comes between, and nobody waits in a ring."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from resolvers.waitlist import offer_all
from tests.conftest import RESERVE, Api, serving
from tests.queue import ENTER, Queue
from tests.supply import key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
WAITERS = WALK_INS = 250
WAVE = 50
SWEEP = "SELECT sweep_lapsed_holds(100, interval '10 minutes')"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
BUSINESS = text("SELECT set_config('holdfast.business_id', :business, true)")
WEEK = timedelta(days=7)
SERIES = (
    "mutation ($input: ReservationSeriesCreateInput!) { reservationSeriesCreate(input: $input)"
    " { series { id } userErrors { code } } }"
)
ANY = (
    "mutation ($input: ReservationCreateAnyProviderInput!) { reservationCreateAnyProvider(input: $input)"
    " { reservation { id } userErrors { code } } }"
)


@pytest.fixture
async def many(database: str) -> AsyncIterator[Api]:
    """The API with as many connections as a busy server has."""
    async with serving(database, pool_size=32, LANES="4") as api:
        yield api


def people(sql: Sql, count: int) -> list[UUID]:
    insert = "INSERT INTO clients (business_id, first_name, last_name) SELECT %s, 'Walk', 'In' FROM generate_series(1, %s) RETURNING id"
    return [key for (key,) in sql(insert, DEFAULT_BUSINESS, count)]


def waiters(sql: Sql, queue: Queue, count: int) -> list[UUID]:
    """The clients who wait, in order."""
    clients = people(sql, count)
    for client in clients:
        sql(
            "INSERT INTO waitlist_entries (business_id, client_id, provider_id, starts_from, starts_until)"
            " VALUES (%s, %s, %s, now(), now() + '14 days')",
            *(DEFAULT_BUSINESS, client, key(queue.ada)),
        )
    return clients


@asynccontextmanager
async def transaction(api: Api) -> AsyncIterator[AsyncConnection]:
    """A transaction beside those of the API."""
    async with api.database.engine.connect() as pooled:
        connection = await pooled.execution_options(isolation_level="READ COMMITTED")
        async with connection.begin():
            await connection.execute(BUSINESS, {"business": str(DEFAULT_BUSINESS)})
            yield connection


async def walk_in(api: Api, client: UUID, appointment: str) -> str:
    wish = {"clientId": encode("Client", client), "appointmentId": appointment}
    answer = await api.post(RESERVE, input=wish)
    if "errors" in answer:
        return str(answer["errors"][0]["extensions"]["code"])
    payload = answer["data"]["reservationCreate"]
    return "HELD" if payload["reservation"] else str(payload["userErrors"][0]["code"])


async def walk_ins(api: Api, clients: list[UUID], appointment: str) -> Counter[str]:
    """All of them come, in waves."""
    told: Counter[str] = Counter()
    for n in range(0, len(clients), WAVE):
        told += Counter(await asyncio.gather(*(walk_in(api, each, appointment) for each in clients[n : n + WAVE])))
    return told


@pytest.mark.parametrize("how", ["cancelled", "lapsed"])
async def test_one_freed_seat_goes_to_the_first_of_250_waiters_past_250_walk_ins(many: Api, sql: Sql, how: str) -> None:
    queue = Queue(sql)
    held = queue.hold(lapsed=how == "lapsed")
    waiting, walking = waiters(sql, queue, WAITERS), people(sql, WALK_INS)
    seen: list[list[tuple[UUID, bool]]] = []

    async def watch() -> None:
        while True:
            seen.append(queue.live())
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    freeing = asyncio.create_task(_freed(many, encode("Reservation", held), how))
    told = await walk_ins(many, walking, queue.time)
    await freeing
    first = queue.live()
    sql("UPDATE businesses SET hold_time = '2 s'")
    sql("UPDATE reservations SET status = 'CANCELLED' WHERE live")
    second = queue.live()
    sql("UPDATE businesses SET hold_time = '00:30:00'")
    again = await asyncio.gather(_lapsing(many), walk_ins(many, walking, queue.time))
    third = queue.live()
    watching.cancel()

    assert told == again[1] | told == Counter({"SLOT_UNAVAILABLE": told["SLOT_UNAVAILABLE"]})
    assert first == [(waiting[0], True)]
    assert second == [(waiting[1], True)]
    assert third == [(waiting[2], True)]
    assert all(len(each) <= 1 for each in seen)
    assert {client for each in seen for client, offered in each if offered} <= set(waiting[:3])
    assert sql("SELECT count(*) FROM reservations WHERE NOT offered") == [(1,)]
    assert sql(DEADLOCKS) == [(0,)]


async def _freed(api: Api, reservation: str, how: str) -> None:
    await asyncio.sleep(0.05)
    if how == "cancelled":
        await api.cancel(reservation)


async def _lapsing(api: Api) -> None:
    """What the worker does each second."""
    for _ in range(12):
        await asyncio.sleep(0.2)
        await api.database.row(text(SWEEP))


async def test_a_storm_of_all_who_take_and_free_times_ends_in_no_ring(many: Api, sql: Sql) -> None:
    queue = Queue(sql)
    services = [queue.service(name, buffer_before=f"{n * 20} min") for n, name in enumerate(("cut", "dye", "wash"))]
    for service in services:
        queue.offer(queue.ada, service)
    queue.resource("chair", needed_by=services[0])
    times = [queue.appointment(queue.ada, soon(7, hour), 60) for hour in range(6, 18)]
    walking, choice = people(sql, 40), random.Random(7)
    for client in waiters(sql, queue, 60)[::2]:
        sql("UPDATE waitlist_entries SET service_id = %s WHERE client_id = %s", key(choice.choice(services)), client)
    sql("UPDATE businesses SET hold_time = '0.15 s'")

    async def act(turn: int) -> str:
        client = encode("Client", choice.choice(walking))
        match turn % 5:
            case 0 | 1:
                wish = {"clientId": client, "appointmentId": choice.choice(times), "serviceId": choice.choice(services)}
                return _code(await many.post(RESERVE, input=wish))
            case 2:
                starts_at = soon(7, choice.randrange(6, 18)).isoformat()
                wish = {"clientId": client, "serviceId": choice.choice(services), "startsAt": starts_at}
                return _code(await many.post(ANY, input=wish))
            case 3:
                found = sql("SELECT id FROM reservations WHERE live ORDER BY random() LIMIT 1")
                return (
                    _code({"data": {"x": await many.cancel(encode("Reservation", found[0][0]))}}) if found else "none"
                )
        await many.database.row(text(SWEEP))
        return "swept"

    told: Counter[str] = Counter()
    for _ in range(12):
        told.update(await asyncio.gather(*(act(turn) for turn in range(40))))
        await asyncio.sleep(0.05)
    await offer_all(many.database, DEFAULT_BUSINESS)

    assert sql(DEADLOCKS) == [(0,)], told
    assert {"INTERNAL", "UNAVAILABLE", "TIMEOUT"} & set(told) == set(), told
    assert told["done"] > 0
    assert sql(
        "SELECT count(*) FROM waitlist_entries e LEFT JOIN reservations r ON r.id = e.reservation_id"
        " WHERE e.status = 'OFFERED' AND (r.id IS NULL OR r.status <> 'HELD' OR r.client_id <> e.client_id)"
        "    OR e.status = 'WAITING' AND e.reservation_id IS NOT NULL"
    ) == [(0,)]
    assert sql(
        "SELECT count(*) FROM reservations r WHERE offered AND NOT EXISTS (SELECT FROM waitlist_offers o WHERE o.reservation_id = r.id)"
    ) == [(0,)]


def _code(answer: Any) -> str:
    if "errors" in answer:
        return str(answer["errors"][0]["extensions"]["code"])
    (payload,) = answer["data"].values()
    return "done" if payload["reservation"] else str(payload["userErrors"][0]["code"])


async def test_whoever_is_being_served_is_passed_over_and_nothing_of_theirs_is_kept(many: Api, sql: Sql) -> None:
    queue = Queue(sql)
    client, other = waiters(sql, queue, 2)
    entry = "SELECT FROM waitlist_entries WHERE client_id = :client FOR UPDATE NOWAIT"
    offer = text("SELECT offer_appointment(:business, :appointment, NULL, NULL, true)")
    place = {"business": DEFAULT_BUSINESS, "appointment": key(queue.time)}

    async with transaction(many) as one, transaction(many) as two:
        await one.execute(text("SELECT FROM clients WHERE id = :client FOR UPDATE"), {"client": client})
        await two.execute(offer, place)
        await one.execute(text(entry), {"client": client})  # fails at once, if it is kept

    assert sql("SELECT client_id FROM waitlist_entries WHERE status = 'OFFERED'") == [(other,)]


async def test_a_series_does_not_wait_for_what_somebody_who_waits_would_need(many: Api, sql: Sql) -> None:
    queue = Queue(sql)
    massage = queue.service()
    queue.offer(queue.ada, massage)
    room = queue.resource("Room", massage)
    queue.appointment(queue.ada, queue.start + WEEK)
    await many(ENTER, input={**queue.wish(serviceId=massage)})
    wish = {"clientId": queue.client(), "appointmentId": queue.time, "count": 2}

    async with transaction(many) as other:
        await other.execute(text("SELECT FROM resources WHERE id = :room FOR UPDATE"), {"room": key(room)})
        async with asyncio.timeout(4):  # no longer than they wait for a lock
            done = (await many(SERIES, input=wish))["reservationSeriesCreate"]

    assert (done["series"], [error["code"] for error in done["userErrors"]]) == (None, ["SLOT_UNAVAILABLE"])
    assert sql("SELECT count(*) FROM reservations") == [(0,)]
