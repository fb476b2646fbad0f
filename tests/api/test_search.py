"""Search: by service, skill, resource, dates and time of day, in the caller's zone; and the first free time of all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from models.node_id import encode
from tests.conftest import Api, serving
from tests.supply import HOUR, Supply, soon, starts

Sql = Callable[..., list[tuple[Any, ...]]]
BERLIN = {"x-time-zone": "Europe/Berlin"}
NOBODY = UUID("0190ffff-ffff-7fff-8fff-ffffffffffff")


@pytest.fixture
def supply(sql: Sql) -> Supply:
    return Supply(sql)


def written(*instants: Any) -> list[str]:
    return [f"{instant:%Y-%m-%dT%H:%M:%SZ}" for instant in instants]


async def test_a_service_is_found_where_its_provider_gives_it(api: Api, supply: Supply) -> None:
    cut, dye = supply.service("Cut"), supply.service("Dye")
    here, there = supply.location("Here"), supply.location("There")
    giver, elsewhere, other, any_place = (supply.provider() for _ in range(4))
    supply.offer(giver, cut, here)
    supply.offer(elsewhere, cut, there)
    supply.offer(other, dye)
    supply.offer(any_place, cut)
    start = soon()
    for n, provider in enumerate((giver, elsewhere, other, any_place)):
        supply.appointment(provider, start + n * HOUR, location_id=here)
    supply.appointment(giver, start + 4 * HOUR, location_id=there)
    supply.appointment(giver, start + 5 * HOUR)  # nowhere in particular
    supply.appointment(other, start + 6 * HOUR, service_id=cut)  # published for it: nobody asks who offers it
    supply.appointment(giver, start + 7 * HOUR, service_id=dye)

    found = await starts(api, {"serviceId": cut})

    assert found == written(start, start + 3 * HOUR, start + 6 * HOUR)


async def test_a_service_is_found_only_in_times_that_are_long_enough(api: Api, supply: Supply) -> None:
    service, provider = supply.service(duration=timedelta(minutes=60)), supply.provider()
    supply.offer(provider, service)
    start = soon()
    for n, minutes in enumerate((59, 60, 90)):
        supply.appointment(provider, start + 2 * n * HOUR, minutes)

    assert await starts(api, {"serviceId": service}) == written(start + 2 * HOUR, start + 4 * HOUR)


async def test_a_service_that_needs_a_skill_is_found_with_whoever_has_it(api: Api, supply: Supply) -> None:
    service, able, unable = supply.service(), supply.provider(), supply.provider()
    for provider in (able, unable):
        supply.offer(provider, service)
    supply.skill("Colour", able, needed_by=service)
    supply.skill("Perm", able, unable, needed_by=service)
    start = soon()
    supply.appointment(unable, start)
    supply.appointment(able, start + HOUR)

    assert await starts(api, {"serviceId": service}) == written(start + HOUR)
    assert await starts(api, {}) == written(start, start + HOUR)


async def test_a_service_is_looked_for_with_its_own_policies(api: Api, supply: Supply) -> None:
    provider, start = supply.provider(), soon(10)
    kept = supply.service("Kept", lead_time=timedelta(days=12))
    off = supply.service("Off", active=False)
    far = supply.service("Far", maximum_horizon=timedelta(days=9))
    for service in (kept, off, far):
        supply.offer(provider, service)
    supply.appointment(provider, start)

    found = [await starts(api, wanted) for wanted in ({}, *({"serviceId": each} for each in (kept, off, far)))]

    assert found == [written(start), [], [], []]


async def test_all_skills_that_are_named_are_asked_for(api: Api, supply: Supply) -> None:
    both, one, none = (supply.provider() for _ in range(3))
    colour, perm = supply.skill("Colour", both, one), supply.skill("Perm", both)
    start = soon()
    for n, provider in enumerate((both, one, none)):
        supply.appointment(provider, start + n * HOUR)

    found = [
        await starts(api, {"skillIds": skills})
        for skills in ([colour], [perm], [colour, perm], [perm, perm], [], None, [encode("Skill", NOBODY)])
    ]

    everything = written(start, start + HOUR, start + 2 * HOUR)
    assert found == [everything[:2], everything[:1], everything[:1], everything[:1], everything, everything, []]


async def test_a_resource_is_found_with_what_needs_it(api: Api, supply: Supply) -> None:
    cut, dye, provider = supply.service("Cut"), supply.service("Dye"), supply.provider()
    chair, basin = supply.resource("Chair", cut), supply.resource("Basin", dye)
    for service in (cut, dye):
        supply.offer(provider, service)
    start = soon()
    supply.appointment(provider, start, service_id=cut)
    supply.appointment(provider, start + HOUR, service_id=dye)
    supply.appointment(provider, start + 2 * HOUR)

    found = [
        await starts(api, wanted)
        for wanted in (
            {"resourceId": chair},
            {"resourceId": basin},
            {"resourceId": chair, "serviceId": cut},
            {"resourceId": chair, "serviceId": dye},
        )
    ]

    assert found == [
        written(start),
        written(start + HOUR),
        written(start, start + 2 * HOUR),
        [],
    ]


PUBLISH = """INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
SELECT business_id, id, at, at + interval '30 minutes'
  FROM providers, generate_series(%s::timestamptz - %s, %s::timestamptz + %s, '30 minutes') at"""


async def days(api: Api, sql: Sql, first: str, last: str, around: timedelta = timedelta()) -> None:
    """Publish a time each half hour of some dates, in UTC, and around them."""
    await api.provider()
    sql(PUBLISH, f"{first}T00:00:00Z", around, f"{last}T23:30:00Z", around)


# Zone, local date, and the first and last half hour of it in UTC (the table of the design).
DATES = [
    ("Europe/Berlin", "2027-03-28", "2027-03-27T23:00:00Z", "2027-03-28T21:30:00Z", 46),
    ("Europe/Berlin", "2027-10-31", "2027-10-30T22:00:00Z", "2027-10-31T22:30:00Z", 50),
    ("America/New_York", "2027-11-07", "2027-11-07T04:00:00Z", "2027-11-08T04:30:00Z", 50),
    ("Australia/Lord_Howe", "2027-04-04", "2027-04-03T13:00:00Z", "2027-04-04T13:00:00Z", 49),
    ("Asia/Kathmandu", "2027-05-03", "2027-05-02T18:30:00Z", "2027-05-03T18:00:00Z", 48),
    ("Africa/Cairo", "2027-04-30", "2027-04-29T22:00:00Z", "2027-04-30T20:30:00Z", 46),
    ("Pacific/Kiritimati", "2027-01-01", "2026-12-31T10:00:00Z", "2027-01-01T09:30:00Z", 48),
]


@pytest.mark.parametrize(("zone", "date", "first", "last", "count"), DATES)
async def test_dates_are_those_of_the_zone(
    api: Api, sql: Sql, zone: str, date: str, first: str, last: str, count: int
) -> None:
    await days(api, sql, date, date, 15 * HOUR)
    end = sql("SELECT (%s::date + 1)::text", date)[0][0]

    found = [
        await starts(api, {"date": date, "timeZone": zone}),
        await starts(api, {"date": date}, {"x-time-zone": zone}),
        await starts(api, {"dates": {"from": date, "until": end}}, {"x-time-zone": zone}),
    ]

    assert found[0] == found[1] == found[2]
    assert (found[0][0], found[0][-1], len(found[0])) == (first, last, count)


async def test_an_argument_s_zone_goes_before_the_header_s(api: Api, sql: Sql) -> None:
    await days(api, sql, "2027-05-03", "2027-05-03")

    found = await starts(api, {"date": "2027-05-03", "timeZone": "UTC"}, BERLIN)

    assert (found[0], len(found)) == ("2027-05-03T00:00:00Z", 48)


async def test_the_dates_of_a_range_are_half_open_and_meet_the_other_bounds(api: Api, sql: Sql) -> None:
    await days(api, sql, "2027-05-03", "2027-05-06")

    async def bounds(**wanted: Any) -> tuple[str, str] | None:
        found = await starts(api, {"timeZone": "UTC", **wanted})
        return (found[0][:13], found[-1][:13]) if found else None

    assert await bounds(dates={"from": "2027-05-04", "until": "2027-05-05"}) == ("2027-05-04T00", "2027-05-04T23")
    assert await bounds(dates={"from": "2027-05-06"}) == ("2027-05-06T00", "2027-05-06T23")
    assert await bounds(dates={"until": "2027-05-04"}) == ("2027-05-03T00", "2027-05-03T23")
    assert await bounds(dates={"from": "2027-05-04", "until": "2027-05-04"}) is None
    assert await bounds(dates={"from": "2027-05-04"}, date="2027-05-03") is None
    until = {"until": "2027-05-04T06:00:00Z"}
    assert await bounds(dates={"from": "2027-05-04"}, startsAt=until) == ("2027-05-04T00", "2027-05-04T05")


HOURS = [
    # In Berlin the clocks go from 02:00 to 03:00 on this day, and from 03:00 back to 02:00 on the other one.
    ("2027-03-28", {"from": "01:30", "until": "03:30"}, ["00:30", "01:00"]),
    ("2027-03-28", {"from": "02:00", "until": "03:00"}, []),
    ("2027-10-31", {"from": "02:00", "until": "03:00"}, ["00:00", "00:30", "01:00", "01:30"]),
    ("2027-05-03", {"from": "22:30", "until": "24:00"}, ["20:30", "21:00", "21:30"]),
    ("2027-05-03", {"from": "23:00"}, ["21:00", "21:30"]),
    ("2027-05-03", {"until": "00:31"}, ["22:00", "22:30"]),
    ("2027-05-03", {"until": "00:30"}, ["22:00"]),
    ("2027-05-03", {"from": "09:15", "until": "09:30"}, []),
]


@pytest.mark.parametrize(("date", "time_of_day", "found"), HOURS)
async def test_a_time_of_day_is_what_a_clock_in_the_zone_shows(
    api: Api, sql: Sql, date: str, time_of_day: dict[str, str], found: list[str]
) -> None:
    await days(api, sql, date, date, 3 * HOUR)
    sql("UPDATE providers SET time_zone = 'Asia/Tokyo'")  # nobody's zone but the caller's counts

    told = await starts(api, {"date": date, "timeOfDay": time_of_day}, BERLIN)

    assert [start[11:16] for start in told] == found


async def test_a_time_of_day_holds_on_every_date(api: Api, sql: Sql) -> None:
    await days(api, sql, "2027-03-25", "2027-03-30")

    told = await starts(api, {"timeOfDay": {"from": "09:00", "until": "09:30"}}, BERLIN)

    assert told == [
        *(f"2027-03-{n}T08:00:00Z" for n in (25, 26, 27)),
        *(f"2027-03-{n}T07:00:00Z" for n in (28, 29, 30)),
    ]


BAD = [
    ({"date": "2027-05-03"}, "INVALID_INPUT", "timeZone"),
    ({"dates": {"from": "2027-05-03"}}, "INVALID_INPUT", "timeZone"),
    ({"timeOfDay": {"from": "09:00"}}, "INVALID_INPUT", "timeZone"),
    ({"timeZone": "UTC", "dates": {"from": "2027-05-04", "until": "2027-05-03"}}, "INVALID_INPUT", "dates.until"),
    ({"timeZone": "UTC", "dates": {"from": "2027-01-01", "until": "2028-01-03"}}, "INVALID_INPUT", "dates.until"),
    ({"timeZone": "UTC", "timeOfDay": {"from": "10:00", "until": "09:00"}}, "INVALID_INPUT", "timeOfDay.until"),
    ({"timeZone": "UTC", "timeOfDay": {"from": "10:00", "until": "10:00"}}, "INVALID_INPUT", "timeOfDay.until"),
    ({"timeZone": "UTC", "timeOfDay": {"from": "24:00"}}, "INVALID_INPUT", "timeOfDay.until"),
    ({"timeZone": "UTC", "timeOfDay": {"until": "00:00"}}, "INVALID_INPUT", "timeOfDay.until"),
    ({"timeZone": "im so wrong"}, "UNKNOWN_TIME_ZONE", "timeZone"),
    ({"timeOfDay": {"from": "24:01"}}, "INVALID_INPUT", "timeOfDay.from"),
    ({"timeOfDay": {"from": "9:00"}}, "INVALID_INPUT", "timeOfDay.from"),
    ({"timeOfDay": {"from": "09:60"}}, "INVALID_INPUT", "timeOfDay.from"),
    ({"timeOfDay": {"from": "09:00:00"}}, "INVALID_INPUT", "timeOfDay.from"),
    ({"timeOfDay": {"from": 540}}, "INVALID_INPUT", "timeOfDay.from"),
    ({"dates": {"from": "2027-02-29"}}, "INVALID_INPUT", "dates.from"),
    ({"skillIds": ["abc"]}, "INVALID_INPUT", "skillIds.0"),
    ({"skillIds": [encode("Provider", NOBODY)]}, "NOT_FOUND", "skillIds.0"),
    ({"skillIds": [encode("Skill", NOBODY)] * 101}, "INVALID_INPUT", "skillIds"),
    ({"resourceId": encode("Service", NOBODY)}, "NOT_FOUND", "resourceId"),
    ({"resourceId": ""}, "INVALID_INPUT", "resourceId"),
]


@pytest.mark.parametrize(("wanted", "code", "field"), BAD)
@pytest.mark.parametrize(
    "name", ["availableAppointments(filter: $f) { totalCount }", "nextAvailableAppointment(filter: $f) { id }"]
)
async def test_a_bad_filter_is_refused_alike_on_both_roads(
    api: Api, database: str, name: str, wanted: dict[str, Any], code: str, field: str
) -> None:
    query = f"query ($f: AvailabilityFilter!) {{ {name} }}"

    async with serving(database, compile=False) as ordinary:
        told = [await each.post(query, {"x-request-id": "x"}, f=wanted) for each in (api, ordinary)]

    assert told[0] == told[1]
    (error,) = told[0]["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == (code, field)
    assert api.statements == []


NEXT = "query ($f: AvailabilityFilter!) { nextAvailableAppointment(filter: $f) { startsAt localStartsAt provider { id } } }"


async def test_the_next_free_time_is_the_first_one_in_one_statement(api: Api, database: str, supply: Supply) -> None:
    late, early = supply.provider(), supply.provider()
    start = soon()
    supply.appointment(late, start + HOUR)
    taken = supply.appointment(early, start)
    supply.appointment(early, start + 2 * HOUR)
    await api.reserve(await api.client(), taken)
    api.statements.clear()
    api.on_lanes.clear()

    async with serving(database, compile=False) as ordinary:
        told = [await each.post(NEXT, BERLIN, f={}) for each in (api, ordinary)]
        assert len(ordinary.statements) == 2
    nobody = await api(NEXT, f={"providerIds": [encode("Provider", NOBODY)]})

    assert told[0] == told[1]
    assert told[0]["data"]["nextAvailableAppointment"]["startsAt"] == written(start + HOUR)[0]
    assert told[0]["data"]["nextAvailableAppointment"]["provider"] == {"id": late}
    assert nobody == {"nextAvailableAppointment": None}
    assert len(api.statements) == len(api.on_lanes) == 2
