"""Explanations: what stands in the way of a time, in typed reasons; and they say yes exactly where search does."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from typing import Any
from uuid import UUID

import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from tests.conftest import Api
from tests.supply import HOUR, MINUTE, Supply, key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
NOBODY = UUID("0190ffff-ffff-7fff-8fff-ffffffffffff")
EXPLAIN = """query ($p: ID!, $at: DateTime!, $s: ID) { explainAvailability(providerId: $p, startsAt: $at, serviceId: $s) {
  available appointment { id } reasons { code message until earliestStart latestStart } } }"""
FREE = """query ($f: AvailabilityFilter) { availableAppointments(first: 100, filter: $f) { nodes { id startsAt } } }"""


@pytest.fixture
def supply(sql: Sql) -> Supply:
    return Supply(sql)


async def explained(api: Api, provider: str, at: datetime, service: str | None = None) -> dict[str, Any]:
    told: dict[str, Any] = (await api(EXPLAIN, p=provider, at=at.isoformat(), s=service))["explainAvailability"]
    assert told["available"] == (told["reasons"] == [])
    assert all(reason["message"] for reason in told["reasons"])
    return told


async def codes(api: Api, provider: str, at: datetime, service: str | None = None) -> list[str]:
    return [reason["code"] for reason in (await explained(api, provider, at, service))["reasons"]]


async def test_a_free_time_is_available_and_can_be_reserved(api: Api, supply: Supply) -> None:
    provider, start = supply.provider(), soon()
    appointment = supply.appointment(provider, start)
    client = await api.client()
    api.statements.clear()

    told = await explained(api, provider, start)

    assert len(api.statements) == 2  # one for the explanation, one for the appointment
    assert told == {"available": True, "appointment": {"id": appointment}, "reasons": []}
    assert (await api.reserve(client, appointment))["userErrors"] == []


async def test_a_time_that_somebody_holds_is_free_when_the_hold_ends(api: Api, supply: Supply) -> None:
    provider, start = supply.provider(), soon()
    appointment = supply.appointment(provider, start)
    held = (await api.reserve(await api.client(), appointment))["reservation"]
    api.statements.clear()

    told = await explained(api, provider, start)

    assert len(api.statements) == 3
    assert told["appointment"] == {"id": appointment}
    assert [(reason["code"], reason["until"]) for reason in told["reasons"]] == [("HELD_UNTIL", held["expiresAt"])]


async def test_a_time_that_is_booked_is_full(api: Api, supply: Supply) -> None:
    provider, start = supply.provider(), soon()
    held = await api.reserve(await api.client(), supply.appointment(provider, start))
    await api.confirm(held["reservation"]["id"])

    assert await codes(api, provider, start) == ["FULL"]


async def test_a_group_is_full_when_no_seat_is_left(api: Api, supply: Supply) -> None:
    provider, start = supply.provider(), soon()
    group = supply.appointment(provider, start, capacity=2)
    first = await api.reserve(await api.client(), group)
    await api.confirm(first["reservation"]["id"])

    one_left = await codes(api, provider, start)
    second = (await api.reserve(await api.client("Mary", "Shelley"), group))["reservation"]
    none_left = (await explained(api, provider, start))["reasons"]
    await api.confirm(second["id"])
    booked = await codes(api, provider, start)

    assert one_left == []
    assert [(reason["code"], reason["until"]) for reason in none_left] == [("HELD_UNTIL", second["expiresAt"])]
    assert booked == ["FULL"]


async def test_only_the_buffers_of_two_reservations_can_be_in_the_way(api: Api, supply: Supply) -> None:
    provider, start = supply.provider(), soon()
    service = supply.service(buffer_before=10 * MINUTE, buffer_after=10 * MINUTE)
    first = supply.appointment(provider, start, service_id=service)
    supply.appointment(provider, start + HOUR)
    supply.appointment(provider, start + 2 * HOUR)
    await api.reserve(await api.client(), first)

    assert await codes(api, provider, start + HOUR) == ["BUFFER"]
    assert await codes(api, provider, start + 2 * HOUR) == []


async def test_a_policy_says_from_and_until_when_it_lets_reserve(api: Api, supply: Supply, sql: Sql) -> None:
    provider, near, far = supply.provider(), soon(1, 0), soon(40)
    for start in (near, far):
        supply.appointment(provider, start)
    sql("UPDATE businesses SET lead_time = '72:00:00', maximum_horizon = '30 days'")
    before = datetime.now(UTC)

    (early,), (late,) = [(await explained(api, provider, at))["reasons"] for at in (near, far)]

    after = datetime.now(UTC)
    assert (early["code"], late["code"]) == ("LEAD_TIME", "HORIZON")
    assert before + 72 * HOUR <= datetime.fromisoformat(early["earliestStart"]) <= after + 72 * HOUR
    assert before + 720 * HOUR <= datetime.fromisoformat(late["latestStart"]) <= after + 720 * HOUR
    assert (early["latestStart"], late["earliestStart"], early["until"]) == (None, None, None)


async def test_a_service_must_be_given_active_and_fit(api: Api, supply: Supply) -> None:
    provider, start = supply.provider(), soon()
    given, other, idle, long = (supply.service(name) for name in ("Given", "Other", "Idle", "Long"))
    supply.sql(
        "UPDATE services SET active = name <> 'Idle', duration = CASE name WHEN 'Long' THEN interval '2 hours' END"
    )
    for service in (given, idle, long):
        supply.offer(provider, service)
    supply.appointment(provider, start)
    supply.appointment(provider, start + HOUR, service_id=other)

    assert await codes(api, provider, start, given) == []
    assert await codes(api, provider, start, other) == ["SERVICE_NOT_GIVEN"]
    assert await codes(api, provider, start, idle) == ["SERVICE_INACTIVE"]
    assert await codes(api, provider, start, long) == ["SERVICE_NOT_GIVEN"]
    assert await codes(api, provider, start + HOUR, given) == ["SERVICE_NOT_GIVEN"]
    assert await codes(api, provider, start + HOUR, other) == []


async def test_a_resource_that_is_in_use_is_named(api: Api, supply: Supply) -> None:
    one, two, start = supply.provider(), supply.provider(), soon()
    service = supply.service()
    supply.resource("Chair 3", service)
    taken = supply.appointment(one, start, service_id=service)
    supply.appointment(two, start, service_id=service)
    await api.reserve(await api.client(), taken)

    (reason,) = (await explained(api, two, start))["reasons"]

    assert reason["code"] == "NO_RESOURCE"
    assert "Chair 3" in reason["message"]


RULE = """INSERT INTO availability_rules (business_id, provider_id, weekday, starts_minute, ends_minute, slot_minutes, time_zone, location_id)
VALUES (%s, %s, %s, %s, %s, 60, %s, %s)"""


@dataclass
class Rules:
    """A provider who works from 09:00 to 17:00 in Berlin, each day of the week; nothing is published."""

    supply: Supply
    provider: str
    location: str

    def at(self, day: datetime, hour: int) -> datetime:
        return day.replace(hour=hour) - self.offset(day)

    def offset(self, day: datetime) -> timedelta:
        return HOUR * (2 if 4 <= day.month <= 9 else 1)


@pytest.fixture
def rules(supply: Supply) -> Rules:
    provider, location = supply.provider(), supply.location(zone="Europe/Berlin")
    for weekday in range(1, 8):
        supply.sql(RULE, DEFAULT_BUSINESS, key(provider), weekday, 540, 1020, None, key(location))
    return Rules(supply, provider, location)


def tuesday() -> datetime:
    """A day in the deep of a winter or in the high of a summer: no clock is put forward or back near it."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=20)
    while day.month in (3, 4, 10):
        day += timedelta(days=31)
    return day


async def test_what_no_rule_covers_is_closed_and_what_one_covers_is_not_published(api: Api, rules: Rules) -> None:
    day = tuesday()
    api.statements.clear()

    told = [await codes(api, rules.provider, rules.at(day, hour)) for hour in (8, 9, 16, 17)]

    assert told == [["CLOSED_BY_RULE"], ["NOT_PUBLISHED"], ["NOT_PUBLISHED"], ["CLOSED_BY_RULE"]]
    assert len(api.statements) == 4 * 4
    assert await codes(api, rules.supply.provider(), rules.at(day, 9)) == ["CLOSED_BY_RULE"]


async def test_an_exception_and_a_holiday_go_before_the_rules(api: Api, rules: Rules, sql: Sql) -> None:
    day = tuesday()
    sql(
        "INSERT INTO availability_exceptions (business_id, provider_id, date, windows, slot_minutes, time_zone)"
        " VALUES (%s, %s, %s, '{[600,660)}', 60, 'Europe/Berlin')",
        *(DEFAULT_BUSINESS, key(rules.provider), day.date()),
    )
    sql(
        "INSERT INTO holidays (business_id, date, name) VALUES (%s, %s, 'Rest')",
        DEFAULT_BUSINESS,
        day.date() + timedelta(days=1),
    )

    told = [await codes(api, rules.provider, rules.at(day, hour)) for hour in (9, 10, 11)]
    rest = [await codes(api, rules.provider, rules.at(day + timedelta(days=1), hour)) for hour in (9, 20)]
    after = await codes(api, rules.provider, rules.at(day + timedelta(days=2), 9))

    assert told == [["EXCEPTION"], ["NOT_PUBLISHED"], ["EXCEPTION"]]
    assert rest == [["EXCEPTION"], ["CLOSED_BY_RULE"]]
    assert after == ["NOT_PUBLISHED"]


async def test_time_off_is_told_with_its_end(api: Api, rules: Rules, sql: Sql) -> None:
    day = tuesday()
    at = rules.at(day, 10)
    sql(
        "INSERT INTO time_off (business_id, provider_id, starts_at, ends_at, reason) VALUES (%s, %s, %s, %s, 'ill')",
        *(DEFAULT_BUSINESS, key(rules.provider), at, at + 3 * HOUR),
    )

    (reason,) = (await explained(api, rules.provider, at))["reasons"]

    assert (reason["code"], reason["until"]) == ("TIME_OFF", f"{at + 3 * HOUR:%Y-%m-%dT%H:%M:%SZ}")
    assert "ill" not in reason["message"]  # why somebody is away is nobody's business
    assert await codes(api, rules.provider, at + 3 * HOUR) == ["NOT_PUBLISHED"]


async def test_a_window_over_midnight_covers_the_next_morning(api: Api, supply: Supply) -> None:
    provider, day = supply.provider(), tuesday()
    supply.sql(RULE, DEFAULT_BUSINESS, key(provider), day.isoweekday(), 1320, 1560, "UTC", None)

    told = [await codes(api, provider, day + hour * HOUR) for hour in (21, 22, 25, 26)]

    assert told == [["CLOSED_BY_RULE"], ["NOT_PUBLISHED"], ["NOT_PUBLISHED"], ["CLOSED_BY_RULE"]]


async def test_a_time_that_is_withdrawn_is_no_longer_published(api: Api, rules: Rules, sql: Sql) -> None:
    day = tuesday()
    appointment = rules.supply.appointment(rules.provider, rules.at(day, 20))
    sql("UPDATE appointments SET withdrawn_at = now()")

    told = await explained(api, rules.provider, rules.at(day, 20))

    assert told["appointment"] == {"id": appointment}
    assert [reason["code"] for reason in told["reasons"]] == ["CLOSED_BY_RULE"]


@pytest.mark.parametrize(
    ("provider", "service", "field"),
    [
        (encode("Provider", NOBODY), None, "providerId"),
        (encode("Client", NOBODY), None, "providerId"),
        (None, encode("Service", NOBODY), "serviceId"),
        (None, encode("Provider", NOBODY), "serviceId"),
    ],
)
async def test_what_is_not_there_is_not_found(
    api: Api, supply: Supply, provider: str | None, service: str | None, field: str
) -> None:
    asked: dict[str, Any] = {"p": provider or supply.provider(), "at": "2027-05-03T09:00:00Z", "s": service}

    told = await api.post(EXPLAIN, **asked)

    (error,) = told["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("NOT_FOUND", field)


# What one throw of the dice may do to a situation.
POLICIES = (
    "UPDATE businesses SET lead_time = '0'",
    "UPDATE businesses SET lead_time = '72:00:00'",
    "UPDATE businesses SET minimum_horizon = '60:00:00'",
    "UPDATE businesses SET maximum_horizon = '80:00:00'",
    "UPDATE services SET active = false WHERE name = 'Cut'",
    "UPDATE services SET duration = '00:45:00' WHERE name = 'Dye'",
    "UPDATE services SET lead_time = '90:00:00' WHERE name = 'Cut'",
    "UPDATE services SET buffer_before = '00:20:00', buffer_after = '00:10:00'",
    "UPDATE businesses SET hold_time = '00:00:00.001'",
)


@pytest.mark.parametrize("seed", range(6))
async def test_a_time_is_explained_as_available_exactly_where_search_offers_it(
    api: Api, supply: Supply, sql: Sql, seed: int
) -> None:
    dice = Random(seed)
    providers, services = (
        [supply.provider() for _ in range(3)],
        [supply.service(name) for name in ("Cut", "Dye", "Perm")],
    )
    supply.resource("Chair", services[0], dice.randint(1, 2))
    supply.skill("Colour", *dice.sample(providers, 2), needed_by=services[1])
    for provider in providers:
        for service in dice.sample(services, 2):
            supply.offer(provider, service)
    for statement in dice.sample(POLICIES, 3):
        sql(statement)
    times = [
        (provider, soon(days) + n * 30 * MINUTE)
        for provider in providers
        for days in (2, 3, 4)
        for n in range(4)
        if dice.random() < 0.9
    ]
    appointments = [
        supply.appointment(
            *(provider, start, dice.choice((30, 30, 60))),
            capacity=dice.choice((1, 1, 2)),
            service_id=dice.choice((None, None, *services)),
        )
        for provider, start in times
    ]
    clients = [await api.client(f"C{n}") for n in range(8)]
    for appointment in dice.choices(appointments, k=24):
        held = await api.reserve(dice.choice(clients), appointment)
        if held["reservation"] and dice.random() < 0.4:
            await api.confirm(held["reservation"]["id"])
    sql("UPDATE appointments SET withdrawn_at = now() WHERE id = %s", key(dice.choice(appointments)))

    wanted: tuple[str | None, ...] = (None, *services)
    for wish, provider in product(wanted, providers):
        found = await api(FREE, f={"providerIds": [provider], **({"serviceId": wish} if wish else {})})
        free = {node["id"] for node in found["availableAppointments"]["nodes"]}
        for appointment, (whose, start) in zip(appointments, times, strict=True):
            if whose == provider:
                told = await explained(api, provider, start, wish)
                assert told["appointment"] == {"id": appointment}
                assert told["available"] == (appointment in free), told
