"""Neighbours: whoever listens hears of the other times that a reservation takes along, and of those that it gives back."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from models import neighbour
from models.business import DEFAULT_BUSINESS
from models.zone import written
from tests.conftest import Api, fresh_database, serving
from tests.keys import OTHER, another_business
from tests.listening import WITHIN, Line, relaying
from tests.supply import MINUTE, Supply, key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
Quiet = Callable[[], Awaitable[None]]
LISTEN = """subscription ($f: AvailabilityFilter) { availabilityChanged(filter: $f) {
  reason available startsAt endsAt provider { id } appointment { id } } }"""
COUNTED = "subscription ($f: AvailabilityFilter) { availabilityChanged(filter: $f) { available appointment { id } } }"
FREE = "query ($f: AvailabilityFilter) { availableAppointments(first: 100, filter: $f) { nodes { id } } }"
RESCHEDULE = """mutation ($input: ReservationRescheduleInput!) {
  reservationReschedule(input: $input) { reservation { version } userErrors { code } } }"""
BUFFERS: dict[str, Any] = {"buffer_before": 15 * MINUTE, "buffer_after": 15 * MINUTE}
HELD, CANCELLED = ("HELD", False), ("CANCELLED", True)
DAY = soon(6, 9)
SILENCE = 1.5  # seconds, after which nothing more is told: many tests share a machine


@pytest.fixture(scope="module")
def database(cluster: str, migrated: str) -> Iterator[str]:
    with fresh_database(cluster, migrated) as url, relaying(url):
        yield url


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as client:
        yield client


@dataclass
class Ear:
    """Somebody who listens to what a filter finds."""

    api: Api
    line: Line
    filter: dict[str, Any]
    quiet: Quiet

    async def free(self) -> set[str]:
        nodes = (await self.api(FREE, f=self.filter))["availableAppointments"]["nodes"]
        return {node["id"] for node in nodes}

    async def told(self) -> list[tuple[str, str, bool]]:
        """Of which appointments is told what, until nothing is for a while; each is as a search shows it then."""
        await self.quiet()
        found = []
        with suppress(TimeoutError):
            while True:
                found.append(
                    (await asyncio.wait_for(self.line.hear(), SILENCE))["payload"]["data"]["availabilityChanged"]
                )
        free = await self.free()
        last = {each["appointment"]["id"]: each["available"] for each in found}
        assert last == {each: each in free for each in last}
        return [(each["appointment"]["id"], each["reason"], each["available"]) for each in found]


async def begun(api: Api) -> Line:
    line = Line(api)
    line.say("connection_init")
    assert await line.hear() == {"type": "connection_ack"}
    return line


async def subscribe(line: Line, query: str, wanted: dict[str, Any]) -> None:
    """Subscribe, and wait until that is done: a query that is asked later is answered later."""
    line.say("subscribe", id="1", payload={"query": query, "variables": {"f": wanted}})
    line.say("subscribe", id="2", payload={"query": "{ serverTime }"})
    assert [(await line.hear())["type"] for _ in range(2)] == ["next", "complete"]
    await asyncio.sleep(0.2)


Listen = Callable[..., Awaitable[Ear]]


@pytest.fixture
def quiet(sql: Sql) -> Quiet:
    """Wait until everything that has happened was relayed."""

    async def wait() -> None:
        async with asyncio.timeout(WITHIN):
            while sql("SELECT 1 FROM events WHERE relayed_at IS NULL LIMIT 1"):  # noqa: ASYNC110 -- another thread relays
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)

    return wait


@pytest.fixture
def listen(api: Api, quiet: Quiet) -> Listen:
    """Listen, once everything that has happened was told."""

    async def begin(**filters: Any) -> Ear:
        await quiet()
        line = await begun(api)
        await subscribe(line, LISTEN, filters)
        return Ear(api, line, filters, quiet)

    return begin


@pytest.fixture
def supply(sql: Sql) -> Supply:
    return Supply(sql)


def hours(supply: Supply, provider: str, *starts: int, **more: Any) -> list[str]:
    """Appointments of an hour, each of which begins so many minutes after nine."""
    return [supply.appointment(provider, DAY + n * MINUTE, **more) for n in starts]


async def held(api: Api, appointment: str, **more: Any) -> str:
    answer = await api.reserve(await api.client(), appointment, **more)
    assert answer["userErrors"] == []
    reservation: str = answer["reservation"]["id"]
    return reservation


async def all_told(*ears: Ear) -> list[list[tuple[str, str, bool]]]:
    return await asyncio.gather(*(ear.told() for ear in ears))


def each(change: tuple[str, bool], *appointments: str) -> list[tuple[str, str, bool]]:
    return [(appointment, *change) for appointment in appointments]


async def test_times_that_overlap_are_told_when_one_is_taken_and_when_it_is_given_back(
    api: Api, supply: Supply, listen: Listen
) -> None:
    ada = supply.provider()
    before, earlier, taken, later, after = hours(supply, ada, -60, -30, 0, 30, 60)
    ear = await listen(providerIds=[ada])

    reservation = await held(api, taken)
    told = [await ear.told()]
    await api.confirm(reservation)
    told.append(await ear.told())
    await api.cancel(reservation)
    told.append(await ear.told())

    assert told[0] == each(HELD, taken, earlier, later)
    assert told[1] == [(taken, "CONFIRMED", False)]
    assert told[2] == each(CANCELLED, taken, earlier, later)
    assert not {before, after} & {appointment for one in told for appointment, *_ in one}


async def test_times_within_the_buffers_are_told_to_whoever_asks_for_the_service(
    api: Api, supply: Supply, listen: Listen
) -> None:
    ada = supply.provider()
    cut, talk = supply.service(**BUFFERS), supply.service("Talk")
    for service in (cut, talk):
        supply.offer(ada, service)
    far, near, taken, next_to_it = hours(supply, ada, -75, -60, 0, 60)
    for_a_cut, for_a_talk, for_anything = [
        await listen(providerIds=[ada], **more) for more in ({"serviceId": cut}, {"serviceId": talk}, {})
    ]

    reservation = await held(api, taken, serviceId=talk)
    told = await all_told(for_a_cut, for_a_talk, for_anything)
    await api.cancel(reservation)
    told.append(await for_a_cut.told())
    reservation = await held(api, taken, serviceId=cut)
    told += await all_told(for_a_cut, for_anything)

    assert told[0] == each(HELD, taken, near, next_to_it)  # the buffers of the cut that is wanted
    assert told[1] == each(HELD, taken)
    assert told[2] == each(HELD, taken)
    assert told[3] == each(CANCELLED, taken, near, next_to_it)
    assert told[4] == each(HELD, taken, far, near, next_to_it)  # buffers of both
    assert told[5][-3:] == each(HELD, taken, near, next_to_it)  # of what is taken


async def test_others_who_need_the_same_room_are_told(api: Api, supply: Supply, listen: Listen) -> None:
    ada, bob, eve = (supply.provider() for _ in range(3))
    cut, talk = supply.service(), supply.service("Talk")
    supply.resource("Room", cut)
    for who in (ada, bob, eve):
        supply.offer(who, cut)
        supply.offer(who, talk)
    (taken,) = hours(supply, ada, 0)
    of_bob, of_eve = hours(supply, bob, 30, 60), hours(supply, eve, -60, 0, service_id=talk)
    wanted: dict[str, Any] = {"startsAt": {"from": written(DAY - 60 * MINUTE), "until": written(DAY + 90 * MINUTE)}}
    for_a_cut, of_bobs, for_a_talk = [
        await listen(**more)
        for more in (
            {"serviceId": cut, **wanted},
            {"serviceId": cut, "providerIds": [bob]},
            {"serviceId": talk, **wanted},
        )
    ]

    reservation = await held(api, taken, serviceId=cut)
    told = await all_told(for_a_cut, of_bobs, for_a_talk)
    await api.cancel(reservation)
    given_back = await all_told(for_a_cut, of_bobs, for_a_talk)

    assert told == [each(HELD, taken, of_bob[0]), each(HELD, of_bob[0]), each(HELD, taken)]
    assert given_back == [each(CANCELLED, taken, of_bob[0]), each(CANCELLED, of_bob[0]), each(CANCELLED, taken)]
    assert len(of_eve) == 2


async def test_of_a_pool_only_the_last_unit_is_told(api: Api, supply: Supply, listen: Listen) -> None:
    chairs = [supply.provider() for _ in range(3)]
    cut = supply.service()
    supply.resource("Chair", cut, quantity=2)
    for who in chairs:
        supply.offer(who, cut)
    first, second, third = (hours(supply, who, 0)[0] for who in chairs)
    ear = await listen(serviceId=cut)

    one = await held(api, first, serviceId=cut)
    told = [await ear.told()]
    two = await held(api, second, serviceId=cut)
    told.append(await ear.told())
    await api.cancel(one)
    told.append(await ear.told())
    await api.cancel(two)
    told.append(await ear.told())

    assert told[0] == each(HELD, first)
    assert told[1] == each(HELD, second, third)  # the first is taken itself
    assert told[2] == each(CANCELLED, first, third)
    assert told[3] == each(CANCELLED, second)


async def test_units_that_are_given_back_at_once_free_what_neither_would_alone(
    api: Api, supply: Supply, listen: Listen, sql: Sql
) -> None:
    chairs = [supply.provider() for _ in range(3)]
    cut, both = supply.service(), supply.service("Both")
    pool = supply.resource("Chair", cut, quantity=2)
    supply.add("Requirement", "requirements", service_id=key(both), resource_id=key(pool), quantity=1)
    for who in chairs:
        supply.offer(who, cut)
        supply.offer(who, both)
    first, second, third = (hours(supply, who, 0)[0] for who in chairs)
    held_both = [await held(api, first, serviceId=cut), await held(api, second, serviceId=cut)]
    ear = await listen(serviceId=both, providerIds=[chairs[2]])

    sql(
        "UPDATE reservations SET status = 'CANCELLED' WHERE business_id = %s AND id = ANY (%s)",
        DEFAULT_BUSINESS,
        [key(reservation) for reservation in held_both],
    )
    told = await ear.told()

    assert set(told) == {(third, *CANCELLED)}


async def test_a_hold_that_lapses_gives_its_neighbours_back(api: Api, supply: Supply, listen: Listen, sql: Sql) -> None:
    ada, bob = supply.provider(), supply.provider()
    cut = supply.service(hold_time=timedelta(seconds=1.5))
    supply.resource("Room", cut)
    for who in (ada, bob):
        supply.offer(who, cut)
    taken, later = hours(supply, ada, 0, 30)
    (of_bob,) = hours(supply, bob, 45)
    ear = await listen(serviceId=cut)

    reservation = await held(api, taken, serviceId=cut)
    async with asyncio.timeout(WITHIN):
        while sql("SELECT 1 FROM reservations WHERE id = %s AND live", key(reservation)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    told = await ear.told()

    assert told == [*each(HELD, taken, later, of_bob), *each(("EXPIRED", True), taken, later, of_bob)]


async def test_of_what_is_moved_the_neighbours_of_both_places_are_told(
    api: Api, supply: Supply, listen: Listen
) -> None:
    ada, bob = supply.provider(), supply.provider()
    cut = supply.service(**BUFFERS)
    supply.resource("Room", cut)
    for who in (ada, bob):
        supply.offer(who, cut)
    old, near_old, new, near_new = hours(supply, ada, 0, 60, 300, 360)
    by_old, by_new = hours(supply, bob, 10, 310)
    reservation = await held(api, old, serviceId=cut)
    ear = await listen(serviceId=cut)

    await api(RESCHEDULE, input={"reservationId": reservation, "appointmentId": new})
    told = await ear.told()

    freed, taken = ("RESCHEDULED", True), ("RESCHEDULED", False)
    assert told == [
        *(*each(freed, old), *each(taken, new)),
        *each(freed, by_old, near_old),
        *each(taken, by_new, near_new),
    ]


async def test_what_a_room_of_yesterday_freed_is_told_though_its_service_needs_it_no_longer(
    api: Api, supply: Supply, listen: Listen, sql: Sql
) -> None:
    ada, bob = supply.provider(), supply.provider()
    cut, perm = supply.service(), supply.service("Perm")
    room = supply.resource("Room", cut)
    supply.add("Requirement", "requirements", service_id=key(perm), resource_id=key(room))
    supply.offer(ada, cut)
    supply.offer(bob, perm)
    taken, elsewhere = hours(supply, ada, 0, 300)
    (of_bob,) = hours(supply, bob, 0)
    reservation = await held(api, taken, serviceId=cut)
    sql("DELETE FROM requirements WHERE service_id = %s", key(cut))
    ear = await listen(serviceId=perm)

    await api(RESCHEDULE, input={"reservationId": reservation, "appointmentId": elsewhere})

    assert await ear.told() == each(("RESCHEDULED", True), of_bob)


async def test_what_was_not_free_before_is_not_told_again(api: Api, supply: Supply, listen: Listen, sql: Sql) -> None:
    ada = supply.provider()
    first, between, second = hours(supply, ada, 0, 30, 60)
    (withdrawn,) = hours(supply, ada, 15)
    await held(api, first)
    sql("UPDATE appointments SET withdrawn_at = now() WHERE id = %s", key(withdrawn))
    ear = await listen(providerIds=[ada])

    reservation = await held(api, second)
    told = [await ear.told()]
    await api.cancel(reservation)
    told.append(await ear.told())

    assert told == [each(HELD, second), each(CANCELLED, second)]
    assert between not in {appointment for one in told for appointment, *_ in one}


async def test_what_ends_early_frees_what_overlaps_it(api: Api, supply: Supply, listen: Listen, sql: Sql) -> None:
    sql("UPDATE businesses SET lead_time = '0'")
    try:
        ada = supply.provider()
        now: datetime = sql("SELECT now()")[0][0]
        taken = supply.appointment(ada, now + timedelta(minutes=5))
        later = supply.appointment(ada, now + timedelta(minutes=35))
        reservation = await held(api, taken)
        await api.confirm(reservation)
        sql("UPDATE reservations SET started_at = now() WHERE id = %s", key(reservation))
        ear = await listen(providerIds=[ada])

        sql("UPDATE reservations SET status = 'COMPLETED' WHERE id = %s", key(reservation))
        told = await ear.told()
    finally:
        sql("UPDATE businesses SET lead_time = '24:00:00'")

    assert told == each(("ENDED", True), taken, later)


async def test_only_those_that_the_filter_could_find_are_told(api: Api, supply: Supply, listen: Listen) -> None:
    ada, here, there = supply.provider(), supply.location(), supply.location("There")
    taken = supply.appointment(ada, DAY, 120, location_id=here)
    at_the_same_place = supply.appointment(ada, DAY + 30 * MINUTE, location_id=here)
    at_another, long = (supply.appointment(ada, DAY + n * MINUTE, n, location_id=there) for n in (60, 90))
    filters: dict[str, dict[str, Any]] = {
        "here": {"locationId": here},
        "long": {"minimumMinutes": 90},
        "late": {"providerIds": [ada], "startsAt": {"from": written(DAY + 60 * MINUTE)}},
        "at ten": {"providerIds": [ada], "timeOfDay": {"from": "10:00", "until": "10:01"}, "timeZone": "UTC"},
    }
    ears = {name: await listen(**wanted) for name, wanted in filters.items()}

    await held(api, taken)

    assert dict(zip(ears, await all_told(*ears.values()), strict=True)) == {
        "here": each(HELD, taken, at_the_same_place),
        "long": each(HELD, taken, long),
        "late": each(HELD, at_another, long),
        "at ten": each(HELD, at_another),
    }


async def test_so_many_are_told_by_start(
    api: Api, supply: Supply, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour, "MOST_TOLD", 2)
    ada = supply.provider()
    taken, third, first, second = hours(supply, ada, 0, 30, 10, 20)
    ear = await listen(providerIds=[ada])

    await held(api, taken)

    assert await ear.told() == each(HELD, taken, first, second)
    assert third


async def test_twenty_who_listen_cost_no_more_statements_than_one(api: Api, supply: Supply, quiet: Quiet) -> None:
    counts = []
    for listeners in (1, 20):
        ada, client = supply.provider(), await api.client()
        cut = supply.service(**BUFFERS)
        supply.offer(ada, cut)
        taken, *others = hours(supply, ada, 0, 20, 40, 60, 70)
        await quiet()
        lines = [await begun(api) for _ in range(listeners)]
        for n, line in enumerate(lines):  # each asks for something else, of one kind
            wanted = {"serviceId": cut, "startsAt": {"from": written(DAY - n * MINUTE)}}
            await subscribe(line, COUNTED, wanted)
        api.statements.clear()

        await api.reserve(client, taken, serviceId=cut)

        told = [[(await line.hear())["payload"]["data"]["availabilityChanged"] for _ in range(5)] for line in lines]
        counts.append(len(api.statements))
        assert told == [[{"available": False, "appointment": {"id": one}} for one in (taken, *others)]] * listeners
        for line in lines:
            line.task.cancel()
    assert counts[0] == counts[1]


async def test_whatever_happens_at_once_the_last_that_is_told_of_each_time_is_so(
    api: Api, supply: Supply, listen: Listen
) -> None:
    providers = [supply.provider() for _ in range(3)]
    cut = supply.service(buffer_after=5 * MINUTE)
    supply.resource("Chair", cut, quantity=2)
    for who in providers:
        supply.offer(who, cut)
    times = [one for who in providers for one in hours(supply, who, *range(0, 360, 30))]
    clients, chance = [await api.client() for _ in range(6)], Random(7)
    ear = await listen(serviceId=cut)

    async def wander(client: str) -> None:
        for _ in range(6):
            answer = await api.reserve(client, chance.choice(times), serviceId=cut)
            if answer["reservation"] is None:
                continue
            reservation = answer["reservation"]["id"]
            await api(RESCHEDULE, input={"reservationId": reservation, "appointmentId": chance.choice(times)})
            if chance.random() < 0.8:
                await api.cancel(reservation)

    before = await ear.free()
    await asyncio.gather(*(wander(client) for client in clients))
    told = {appointment: available for appointment, _, available in await ear.told()}

    after = await ear.free()
    assert before == set(times)
    assert before - after
    assert {appointment for appointment in before - after if told.get(appointment) is not False} == set()


async def test_nothing_of_another_business_is_told(api: Api, supply: Supply, listen: Listen, sql: Sql) -> None:
    another_business(sql)
    ada = supply.provider()
    taken, later = hours(supply, ada, 0, 30)
    for n in (0, 30):
        sql(
            "INSERT INTO appointments (business_id, provider_id, starts_at, ends_at) VALUES (%s, %s, %s, %s)",
            *(OTHER, OTHER, DAY + n * MINUTE, DAY + (n + 60) * MINUTE),
        )
    ear = await listen()

    await held(api, taken)

    assert await ear.told() == each(HELD, taken, later)


async def test_what_is_told_of_a_neighbour_names_nobody(api: Api, supply: Supply, listen: Listen) -> None:
    ada = supply.provider()
    taken, _ = hours(supply, ada, 0, 30)
    client = await api.client()
    ear = await listen(providerIds=[ada])

    answer = await api.reserve(client, taken)

    told = json.dumps([(await ear.line.hear())["payload"] for _ in range(2)])
    assert ada in told
    assert client not in told
    assert answer["reservation"]["id"] not in told
