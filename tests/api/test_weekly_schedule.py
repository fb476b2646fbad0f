"""Weeks: all weekly rules of a provider in one call, of which only what differs is touched."""

import asyncio
from typing import Any

import pytest

from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api
from tests.keys import another_business, bearer
from tests.schedules import NOTHING, REPLAYED, Sql, change, day, document, interval, key, location, refusals, service

MORNING, EVENING = interval("09:00", "12:00"), interval("13:00", "17:30")
RULES = (
    "SELECT id, weekday, starts_minute, ends_minute, version FROM availability_rules ORDER BY weekday, starts_minute"
)


def week(provider: str, *days: Any, **more: Any) -> dict[str, Any]:
    return {"providerId": provider, "slotMinutes": 30, "days": list(days)} | more


async def set_week(api: Api, provider: str, *days: Any, **more: Any) -> Any:
    """The payload of weeklyScheduleSet."""
    return await change(api, "weeklyScheduleSet", **week(provider, *days, **more))


def windows(payload: Any) -> list[tuple[Any, ...]]:
    return [(rule["weekday"], rule["start"], rule["end"], rule["endsNextDay"]) for rule in payload["availabilityRules"]]


async def test_a_week_becomes_weekly_rules(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    place, visit = location(sql), service(sql, 45, of=ada)
    terms = {"locationId": place, "serviceId": visit, "timeZone": "Asia/Kathmandu", "slotMinutes": 60}
    valid = {"gridMinutes": 90, "capacity": 4, "validFrom": "2027-05-03", "validUntil": "2027-12-31"}

    done = await set_week(api, ada, day("SUNDAY", EVENING, MORNING), day("MONDAY", MORNING), **terms, **valid)

    assert done["userErrors"] == []
    assert done["provider"] == {"id": ada}
    assert windows(done) == [
        ("MONDAY", "09:00", "12:00", False),
        ("SUNDAY", "09:00", "12:00", False),
        ("SUNDAY", "13:00", "17:30", False),
    ]
    assert done["availabilityRules"][0] | {"id": ""} == {
        "id": "",
        "weekday": "MONDAY",
        "start": "09:00",
        "end": "12:00",
        "endsNextDay": False,
        "validFrom": "2027-05-03",
        "validUntil": "2027-12-31",
        "recurrence": None,
        "timeZone": "Asia/Kathmandu",
        "slotMinutes": 60,
        "gridMinutes": 90,
        "capacity": 4,
        "version": 1,
        "provider": {"id": ada},
        "service": {"id": visit},
        "location": {"id": place},
    }
    assert [row[1:] for row in sql(RULES)] == [(1, 540, 720, 1), (7, 540, 720, 1), (7, 780, 1050, 1)]


async def test_what_is_right_already_stays_as_it_is(api: Api, sql: Sql) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    await set_week(api, ada, day("MONDAY", MORNING, EVENING), day("FRIDAY", MORNING))
    await set_week(api, grace, day("MONDAY", MORNING))
    before = {row[1:4]: row for row in sql(RULES.replace("ORDER", "WHERE provider_id = %s ORDER"), key(ada))}
    events = sql("SELECT count(*) FROM events WHERE type LIKE '%%availability_rule%%'")

    same = await set_week(api, ada, day("MONDAY", MORNING, EVENING), day("FRIDAY", MORNING))
    unchanged = sql("SELECT count(*) FROM events WHERE type LIKE '%%availability_rule%%'")
    other = await set_week(api, ada, day("MONDAY", MORNING), day("FRIDAY", EVENING))

    after = sql(RULES.replace("ORDER", "WHERE provider_id = %s ORDER"), key(ada))
    assert (same["userErrors"], other["userErrors"], unchanged) == ([], [], events)
    assert (same["published"]["created"], same["published"]["removed"]) == (0, 0)
    assert after[0] == before[1, 540, 720]
    assert [row[1:] for row in after] == [(1, 540, 720, 1), (5, 780, 1050, 1)]
    assert sql("SELECT count(*) FROM availability_rules WHERE provider_id = %s", key(grace)) == [(1,)]


async def test_rules_for_dates_are_not_part_of_the_week(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    dated = {"slotMinutes": 30, "start": "09:00", "end": "10:00", "validFrom": "2027-05-03", "validUntil": "2027-05-03"}
    await change(api, "availabilityRuleCreate", providerId=ada, **dated)

    done = await set_week(api, ada, day("MONDAY", MORNING))
    cleared = await change(api, "weeklyScheduleDelete", providerId=ada)

    assert (windows(done), windows(cleared)) == ([("MONDAY", "09:00", "12:00", False)], [])
    assert sql("SELECT weekday FROM availability_rules") == [(None,)]


async def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(api: Api) -> None:
    ada = await api.provider()

    done = await set_week(
        api,
        ada,
        day("SUNDAY", interval("22:00", "06:00", next_day=True)),
        day("MONDAY", interval("06:00", "24:00")),
        day("TUESDAY", interval("00:00", "00:00", next_day=True)),
    )

    assert windows(done) == [
        ("MONDAY", "06:00", "24:00", False),
        ("TUESDAY", "00:00", "24:00", False),
        ("SUNDAY", "22:00", "06:00", True),
    ]


async def test_a_weekday_that_is_named_twice_has_the_windows_of_both(api: Api) -> None:
    ada = await api.provider()

    done = await set_week(api, ada, day("MONDAY", EVENING), day("MONDAY", MORNING))

    assert windows(done) == [("MONDAY", "09:00", "12:00", False), ("MONDAY", "13:00", "17:30", False)]


LATE = interval("22:00", "02:00", next_day=True)
BAD_WEEKS: list[Any] = [
    pytest.param({"days": []}, ("INVALID_INPUT", "days"), id="empty-week"),
    pytest.param({"days": [day("MONDAY")]}, ("INVALID_INPUT", "days"), id="no-interval"),
    pytest.param({"days": [day("MONDAY", MORNING), day("FRIDAY", interval("17:00", "09:00"))]}, ("INVALID_INPUT", "days.1.intervals.0.end"), id="reversed"),
    pytest.param({"days": [day("MONDAY", interval("09:00", "09:00"))]}, ("INVALID_INPUT", "days.0.intervals.0.end"), id="no-length"),
    pytest.param({"days": [day("MONDAY", interval("24:00", "24:00"))]}, ("INVALID_INPUT", "days.0.intervals.0.start"), id="24-as-start"),
    pytest.param({"days": [day("MONDAY", interval("09:00", "09:01", next_day=True))]}, ("INVALID_INPUT", "days.0.intervals.0.end"), id="longer-than-a-day"),
    pytest.param({"days": [day("MONDAY", interval("09:00", "24:00", next_day=True))]}, ("INVALID_INPUT", "days.0.intervals.0.end"), id="24-of-the-next-day"),
    pytest.param({"days": [day("MONDAY", MORNING, interval("11:59", "13:00"))]}, ("OVERLAPPING_ROWS", "days.0.intervals.1"), id="overlap"),
    pytest.param({"days": [day("MONDAY", MORNING), day("MONDAY", MORNING)]}, ("DUPLICATE_ROWS", "days.1.intervals.0"), id="twice"),
    pytest.param({"days": [day("MONDAY", LATE), day("TUESDAY", interval("01:00", "03:00"))]}, ("OVERLAPPING_ROWS", "days.1.intervals.0"), id="overlap-over-midnight"),
    pytest.param({"days": [day("MONDAY", interval("01:00", "03:00")), day("SUNDAY", LATE)]}, ("OVERLAPPING_ROWS", "days.1.intervals.0"), id="overlap-over-the-week"),
    pytest.param({"days": [day("MONDAY", *[interval("09:00", "10:00")] * 201)]}, ("INVALID_INPUT", "days"), id="201-intervals"),
    pytest.param({"capacity": 0}, ("INVALID_INPUT", "capacity"), id="capacity-0"),
    pytest.param({"capacity": 1001}, ("INVALID_INPUT", "capacity"), id="capacity-1001"),
    pytest.param({"capacity": None}, ("INVALID_INPUT", "capacity"), id="no-capacity"),
    pytest.param({"slotMinutes": 0}, ("INVALID_INPUT", "slotMinutes"), id="slot-0"),
    pytest.param({"slotMinutes": -30}, ("INVALID_INPUT", "slotMinutes"), id="negative-slot"),
    pytest.param({"slotMinutes": 1441}, ("INVALID_INPUT", "slotMinutes"), id="slot-of-more-than-a-day"),
    pytest.param({"slotMinutes": None}, ("INVALID_INPUT", "slotMinutes"), id="no-slot"),
    pytest.param({"slotMinutes": 181}, ("INVALID_INPUT", "days.0.intervals.0.end"), id="slot-longer-than-its-window"),
    pytest.param({"gridMinutes": 29}, ("INVALID_INPUT", "gridMinutes"), id="grid-shorter-than-a-slot"),
    pytest.param({"gridMinutes": 1441}, ("INVALID_INPUT", "gridMinutes"), id="grid-of-more-than-a-day"),
    pytest.param({"validFrom": "2027-05-04", "validUntil": "2027-05-03"}, ("INVALID_INPUT", "validUntil"), id="validity-reversed"),
    pytest.param({"idempotencyKey": ""}, ("INVALID_INPUT", "idempotencyKey"), id="empty-key"),
    pytest.param({"providerId": "abc"}, ("INVALID_INPUT", "providerId"), id="no-id"),
    pytest.param({"providerId": encode("Provider", NOTHING)}, ("NOT_FOUND", "providerId"), id="nobody"),
    pytest.param({"providerId": encode("Client", NOTHING)}, ("NOT_FOUND", "providerId"), id="a-client"),
    pytest.param({"locationId": encode("Location", NOTHING)}, ("NOT_FOUND", "locationId"), id="nowhere"),
    pytest.param({"serviceId": encode("Service", NOTHING)}, ("NOT_FOUND", "serviceId"), id="no-service"),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "refused"), BAD_WEEKS)
async def test_a_week_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], refused: tuple[str, str]
) -> None:
    ada = await api.provider()
    await set_week(api, ada, day("WEDNESDAY", MORNING))
    before = sql(RULES)

    done = await set_week(api, ada, day("MONDAY", MORNING), **wanted)

    assert refusals(done) == [refused]
    assert (done["provider"], done["availabilityRules"], done["published"]) == (None, [], None)
    assert sql(RULES) == before


@pytest.mark.parametrize("time", ["24:01", "24:61", "23:59:60", "09:00:00", "9:00", "25:00", "", "noon", 540, "٠٩:٠٠"])
async def test_what_no_clock_shows_is_refused(api: Api, sql: Sql, time: Any) -> None:
    ada = await api.provider()
    wanted = week(ada, day("MONDAY", {"start": time, "end": "12:00"}))

    answer = await api.post(document("weeklyScheduleSet"), input=wanted)

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert error["extensions"]["field"] == "days.0.intervals.0.start"
    assert "This is not a time of day; write it like 09:00" in error["message"]
    assert sql(RULES) == []


async def test_an_unknown_zone_is_refused_with_near_names(api: Api, sql: Sql) -> None:
    ada = await api.provider()

    answer = await api.post(document("weeklyScheduleSet"), input=week(ada, day("MONDAY", MORNING), timeZone="Berlin"))

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "UNKNOWN_TIME_ZONE"
    assert error["extensions"]["suggestions"][0] == "Europe/Berlin"
    assert sql(RULES) == []


async def test_overlapping_windows_are_named(api: Api) -> None:
    ada = await api.provider()

    done = await set_week(api, ada, day("FRIDAY", EVENING), day("MONDAY", MORNING, interval("11:00", "12:30")))

    assert done["userErrors"] == [
        {
            "code": "OVERLAPPING_ROWS",
            "field": ["days", "1", "intervals", "1"],
            "message": "days.1.intervals.0 and days.1.intervals.1 overlap.",
            "rows": [1, 2],
        }
    ]


async def test_an_empty_week_is_told_the_way_out(api: Api) -> None:
    ada = await api.provider()

    done = await set_week(api, ada)

    assert "weeklyScheduleDelete" in done["userErrors"][0]["message"]


async def test_a_service_that_the_provider_does_not_give_is_refused(api: Api, sql: Sql) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    visit, place = service(sql, 60, of=grace), location(sql)
    sql("UPDATE offerings SET location_id = %s", key(place))

    done = [
        await set_week(api, provider, day("MONDAY", MORNING), slotMinutes=None, serviceId=visit, locationId=at)
        for provider, at in ((ada, place), (grace, None), (grace, place))
    ]

    assert [refusals(each) for each in done] == [[("INVALID_INPUT", "serviceId")]] * 2 + [[]]


@pytest.mark.parametrize(
    ("minutes", "slot", "refused"),
    [
        (60, None, []),
        (180, 180, []),
        (181, None, [("INVALID_INPUT", "days.0.intervals.0.end")]),
        (60, 59, [("INVALID_INPUT", "slotMinutes")]),
        (None, None, [("INVALID_INPUT", "slotMinutes")]),
        (None, 30, []),
    ],
)
async def test_a_window_takes_the_service_that_it_is_for(
    api: Api, sql: Sql, minutes: int | None, slot: int | None, refused: list[Any]
) -> None:
    ada = await api.provider()
    visit = service(sql, minutes, of=ada)

    done = await set_week(api, ada, day("MONDAY", MORNING), slotMinutes=slot, serviceId=visit)

    assert refusals(done) == refused
    assert len(sql(RULES)) == (0 if refused else 1)


async def test_a_week_that_is_sent_twice_is_set_once(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    query, wanted = document("weeklyScheduleSet"), week(ada, day("MONDAY", MORNING), idempotencyKey="once")

    first, second = [await api.post(query, input=wanted) for _ in range(2)]
    other = await api.post(query, input=wanted | {"slotMinutes": 45})

    assert first["data"]["weeklyScheduleSet"]["userErrors"] == []
    assert (second["data"], second["extensions"]) == (first["data"], REPLAYED)
    assert refusals(other["data"]["weeklyScheduleSet"]) == [("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")]
    assert [row[1:] for row in sql(RULES)] == [(1, 540, 720, 1)]


@pytest.mark.parametrize("named", ["once", None])
async def test_twins_at_once_set_one_week(api: Api, sql: Sql, named: str | None) -> None:
    ada = await api.provider()
    wanted = week(ada, day("MONDAY", MORNING), day("FRIDAY", EVENING), idempotencyKey=named)

    answers = await asyncio.gather(*(api.post(document("weeklyScheduleSet"), input=wanted) for _ in range(6)))

    done = [answer["data"]["weeklyScheduleSet"] for answer in answers]
    assert [refusals(each) for each in done] == [[]] * 6
    assert [each["availabilityRules"] for each in done] == [done[0]["availabilityRules"]] * 6
    assert len(sql(RULES)) == 2
    assert sql("SELECT count(*) FROM events WHERE type = 'scheduling.availability_rule.created.v1'") == [(2,)]


async def test_a_provider_sets_their_own_week_and_no_others(api: Api, sql: Sql) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    as_ada = await bearer(api, Role.PROVIDER, person=ada)
    await set_week(api, grace, day("MONDAY", MORNING))
    before = sql(RULES)

    theirs = await change(api, "weeklyScheduleSet", as_ada, **week(grace, day("FRIDAY", MORNING)))
    cleared = await change(api, "weeklyScheduleDelete", as_ada, providerId=grace)
    kept = sql(RULES)
    own = await change(api, "weeklyScheduleSet", as_ada, **week(ada, day("FRIDAY", MORNING)))

    assert refusals(theirs) == refusals(cleared) == [("FORBIDDEN", "providerId")]
    assert kept == before
    assert (refusals(own), windows(own)) == ([], [("FRIDAY", "09:00", "12:00", False)])


async def test_a_week_of_another_business_is_nobodys(api: Api, sql: Sql) -> None:
    another_business(sql)
    ((stranger, business),) = sql("SELECT id, business_id FROM providers WHERE first_name = 'No'")
    there, theirs = location(sql, business), service(sql, 30, business)
    ada = await api.provider()

    of_stranger = await set_week(api, encode("Provider", stranger), day("MONDAY", MORNING))
    at_theirs = await set_week(api, ada, day("MONDAY", MORNING), locationId=there)
    for_theirs = await set_week(api, ada, day("MONDAY", MORNING), serviceId=theirs)

    assert [refusals(each) for each in (of_stranger, at_theirs, for_theirs)] == [
        [("NOT_FOUND", field)] for field in ("providerId", "locationId", "serviceId")
    ]
    assert sql(RULES) == []


async def test_a_week_is_as_many_statements_whatever_its_length(api: Api) -> None:
    ada, counts = await api.provider(), []
    hours = [interval(f"{hour:02}:00", f"{hour:02}:45") for hour in range(24)]
    for several in (1, 20):
        api.statements.clear()

        done = await set_week(api, ada, day("MONDAY", *hours[:several]), day("FRIDAY", *hours[:several]))

        assert done["userErrors"] == []
        counts.append(len(api.statements))
    assert counts[0] == counts[1]
