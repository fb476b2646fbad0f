"""Exceptions and holidays: single dates on which rules do not hold."""

import asyncio
from typing import Any

import pytest

from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api, serving
from tests.keys import another_business, bearer, send
from tests.schedules import NOTHING, REPLAYED, Sql, change, document, interval, key, location, made, refusals, service

CREATE, UPDATE, DELETE = (f"availabilityException{verb}" for verb in ("Create", "Update", "Delete"))
INVALID = "INVALID_INPUT"
MORNING, EVENING = interval("09:00", "12:00"), interval("13:00", "17:30")
DAY = {"date": "2027-05-03", "slotMinutes": 30, "windows": [EVENING, MORNING]}
CLOSED = {"date": "2027-05-03", "windows": []}
STORED = "SELECT id, version, date::text, windows::text FROM availability_exceptions ORDER BY id"
HOLIDAY = {"date": "2027-05-01", "name": "Labour Day"}
HOLIDAYS = "SELECT id, version, date::text, name FROM holidays ORDER BY id"


async def create(api: Api, provider: str, **wanted: Any) -> Any:
    """An exception that is made."""
    return await made(api, CREATE, providerId=provider, **wanted)


async def test_a_day_has_other_hours(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    place, visit = location(sql), service(sql, 30, of=ada)
    night = interval("22:00", "02:00", next_day=True)
    terms = {"locationId": place, "serviceId": visit, "timeZone": "Asia/Tokyo", "gridMinutes": 45, "capacity": 3}

    exception = await create(api, ada, **DAY | {"windows": [night, EVENING, MORNING]}, **terms)

    assert exception | {"id": ""} == {
        "id": "",
        "date": "2027-05-03",
        "windows": [each | {"endsNextDay": False} for each in (MORNING, EVENING)] + [night],
        "timeZone": "Asia/Tokyo",
        "slotMinutes": 30,
        "gridMinutes": 45,
        "capacity": 3,
        "version": 1,
        "provider": {"id": ada},
        "service": {"id": visit},
        "location": {"id": place},
    }
    assert sql(STORED)[0][1:] == (1, "2027-05-03", "{[540,720),[780,1050),[1320,1560)}")


async def test_a_closed_day_needs_nothing_more(api: Api, sql: Sql) -> None:
    ada = await api.provider()

    exception = await create(api, ada, **CLOSED)

    assert (exception["windows"], exception["slotMinutes"]) == ([], None)
    assert sql(STORED)[0][1:] == (1, "2027-05-03", "{}")


def windows(*several: dict[str, Any]) -> dict[str, Any]:
    return {"windows": list(several)}


BAD_DAYS: list[Any] = [
    pytest.param(windows(interval("12:00", "09:00")), (INVALID, "windows.0.end"), id="reversed"),
    pytest.param(windows(MORNING, interval("13:00", "13:00")), (INVALID, "windows.1.end"), id="no-length"),
    pytest.param(windows(interval("24:00", "24:00")), (INVALID, "windows.0.start"), id="24-as-start"),
    pytest.param(windows(MORNING, interval("11:00", "13:00")), ("OVERLAPPING_ROWS", "windows.1"), id="overlap"),
    pytest.param(windows(MORNING, interval("12:00", "13:00")), ("OVERLAPPING_ROWS", "windows.1"), id="touching"),
    pytest.param(windows(MORNING, MORNING), ("DUPLICATE_ROWS", "windows.1"), id="twice"),
    pytest.param(windows(*[MORNING] * 51), (INVALID, "windows"), id="51-windows"),
    pytest.param({"slotMinutes": None}, (INVALID, "slotMinutes"), id="no-slot"),
    pytest.param({"slotMinutes": 181}, (INVALID, "windows.1.end"), id="slot-longer-than-its-window"),
    pytest.param({"gridMinutes": 20}, (INVALID, "gridMinutes"), id="grid-shorter-than-a-slot"),
    pytest.param({"capacity": 0}, (INVALID, "capacity"), id="capacity-0"),
    pytest.param({"providerId": encode("Provider", NOTHING)}, ("NOT_FOUND", "providerId"), id="nobody"),
    pytest.param({"locationId": encode("Location", NOTHING)}, ("NOT_FOUND", "locationId"), id="nowhere"),
    pytest.param({"serviceId": encode("Service", NOTHING)}, ("NOT_FOUND", "serviceId"), id="no-service"),
]


@pytest.mark.parametrize(("wanted", "refused"), BAD_DAYS)
async def test_a_day_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], refused: tuple[str, str]
) -> None:
    ada = await api.provider()

    done = await change(api, CREATE, **{"providerId": ada} | DAY | wanted)

    assert refusals(done) == [refused]
    assert (done["availabilityException"], done["published"]) == (None, None)
    assert sql(STORED) == []


@pytest.mark.parametrize("date", ["2027-02-29", "2027-13-01", "03.05.2027", "1999-12-31", "2200-01-01", 20270503, ""])
@pytest.mark.parametrize("mutation", [CREATE, "holidayCreate"])
async def test_what_no_calendar_shows_is_refused(api: Api, sql: Sql, mutation: str, date: Any) -> None:
    wanted = HOLIDAY if mutation == "holidayCreate" else CLOSED | {"providerId": await api.provider()}

    answer = await api.post(document(mutation), input=wanted | {"date": date})

    assert [(e["extensions"]["code"], e["extensions"]["field"]) for e in answer["errors"]] == [(INVALID, "date")]
    assert sql(STORED) == sql(HOLIDAYS) == []


async def test_a_provider_has_one_exception_a_date(api: Api, sql: Sql) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    await create(api, ada, **DAY)
    other = await create(api, ada, **DAY | {"date": "2027-05-04"})

    again = await change(api, CREATE, providerId=ada, **CLOSED)
    moved = await change(api, UPDATE, id=other["id"], expectedVersion=1, date="2027-05-03")
    await create(api, grace, **DAY)

    assert refusals(again) == refusals(moved) == [("ALREADY_EXISTS", "date")]
    assert again["userErrors"][0]["message"] == "There is one like this already; change that one instead."
    assert len(sql(STORED)) == 3


async def test_what_is_left_out_of_an_update_stays_and_null_takes_away(api: Api) -> None:
    ada = await api.provider()
    before = await create(api, ada, **DAY, timeZone="Asia/Tokyo", gridMinutes=60)

    first = await made(api, UPDATE, id=before["id"], expectedVersion=1, capacity=2, gridMinutes=None)
    second = await made(api, UPDATE, id=before["id"], expectedVersion=2, windows=[MORNING], date="2027-05-04")
    third = await made(api, UPDATE, id=before["id"], expectedVersion=3, windows=[], slotMinutes=None, timeZone=None)

    assert first == before | {"capacity": 2, "gridMinutes": None, "version": 2}
    assert second == first | {"windows": [MORNING | {"endsNextDay": False}], "date": "2027-05-04", "version": 3}
    assert third == second | {"windows": [], "slotMinutes": None, "timeZone": None, "version": 4}


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        ({}, (INVALID, None)),
        ({"date": None}, (INVALID, "date")),
        ({"windows": None}, (INVALID, "windows")),
        ({"windows": [MORNING, MORNING]}, ("DUPLICATE_ROWS", "windows.1")),
        ({"slotMinutes": None}, (INVALID, "slotMinutes")),
        ({"slotMinutes": 200}, (INVALID, "windows.0.end")),
        ({"expectedVersion": 0, "windows": []}, ("VERSION_CONFLICT", "expectedVersion")),
        ({"id": encode("AvailabilityException", NOTHING), "windows": []}, ("NOT_FOUND", "id")),
        ({"id": "?", "windows": []}, (INVALID, "id")),
    ],
)
async def test_a_change_of_a_day_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], refused: tuple[str, str | None]
) -> None:
    exception = await create(api, await api.provider(), **DAY)
    before = sql(STORED)

    done = await change(api, UPDATE, **{"id": exception["id"], "expectedVersion": 1} | wanted)

    assert refusals(done) == [refused]
    assert sql(STORED) == before


async def test_twins_at_once_make_one_exception_and_others_are_told(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    wanted = {"providerId": ada, **DAY, "idempotencyKey": "once"}

    answers = await asyncio.gather(*(api.post(document(CREATE), input=wanted) for _ in range(5)))
    others = await asyncio.gather(*(change(api, CREATE, providerId=ada, **CLOSED) for _ in range(3)))

    assert sorted("extensions" in answer for answer in answers) == [False, *[True] * 4]
    assert all(answer["data"] == answers[0]["data"] for answer in answers)
    assert all(answer.get("extensions", REPLAYED) == REPLAYED for answer in answers)
    assert [refusals(each) for each in others] == [[("ALREADY_EXISTS", "date")]] * 3
    assert len(sql(STORED)) == 1


async def test_a_provider_changes_their_own_days_and_no_others(api: Api, sql: Sql) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    as_ada = await bearer(api, Role.PROVIDER, person=ada)
    theirs = await create(api, grace, **DAY)
    before = sql(STORED)

    added = await change(api, CREATE, as_ada, providerId=grace, **CLOSED | {"date": "2027-05-05"})
    changed = await change(api, UPDATE, as_ada, id=theirs["id"], expectedVersion=1, windows=[])
    deleted = await change(api, DELETE, as_ada, id=theirs["id"])
    kept = sql(STORED)
    own = (await change(api, CREATE, as_ada, providerId=ada, **CLOSED))["availabilityException"]
    gone = await change(api, DELETE, as_ada, id=own["id"], expectedVersion=1)

    assert refusals(added) == [("FORBIDDEN", "providerId")]
    assert refusals(changed) == refusals(deleted) == [("FORBIDDEN", "id")]
    assert kept == before == sql(STORED)
    assert gone["deletedId"] == own["id"]


async def test_exceptions_are_listed_by_provider_and_dates(api: Api) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    for provider, date in ((ada, "2027-05-05"), (ada, "2027-05-03"), (grace, "2027-05-04")):
        await create(api, provider, date=date, windows=[])
    query = """query ($f: AvailabilityExceptionFilter, $o: [AvailabilityExceptionOrder!], $n: Int, $a: String) {
      availabilityExceptions(filter: $f, orderBy: $o, first: $n, after: $a) {
        totalCount nodes { date } pageInfo { endCursor }
      } }"""

    async def found(wanted: dict[str, Any] | None, **more: Any) -> list[str]:
        answer = (await api(query, f=wanted, **more))["availabilityExceptions"]
        return [node["date"][-2:] for node in answer["nodes"]]

    first = (await api(query, n=1))["availabilityExceptions"]
    assert (first["totalCount"], first["nodes"]) == (3, [{"date": "2027-05-03"}])
    assert await found(None, a=first["pageInfo"]["endCursor"]) == ["04", "05"]
    assert await found(None, o=[{"field": "DATE", "direction": "DESC"}]) == ["05", "04", "03"]
    assert await found({"providerId": ada}) == ["03", "05"]
    assert await found({"dates": {"from": "2027-05-04"}}) == ["04", "05"]
    assert await found({"dates": {"from": "2027-05-04", "until": "2027-05-05"}}) == ["04"]
    assert await found({"dates": {"until": "2027-05-04"}, "providerId": grace}) == []
    assert len(api.on_lanes) >= 7


@pytest.mark.parametrize(("first", "until"), [("2027-05-04", "2027-05-03"), ("2027-05-03", "2028-05-04")])
@pytest.mark.parametrize("name", ["availabilityExceptions", "holidays"])
async def test_a_range_that_is_reversed_or_too_long_is_refused(api: Api, name: str, first: str, until: str) -> None:
    query = f'{{ {name}(filter: {{ dates: {{ from: "{first}", until: "{until}" }} }}) {{ totalCount }} }}'

    answer = await api.post(query)

    (error,) = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == (INVALID, "dates.until")


# Holidays


async def test_a_holiday_closes_a_location_or_the_whole_business(api: Api, sql: Sql) -> None:
    place = location(sql)

    ours = await made(api, "holidayCreate", **HOLIDAY)
    there = await made(api, "holidayCreate", **HOLIDAY, locationId=place)
    again = await change(api, "holidayCreate", **HOLIDAY, locationId=place)
    and_again = await change(api, "holidayCreate", **HOLIDAY)

    assert ours | {"id": ""} == {"id": "", **HOLIDAY, "version": 1, "location": None}
    assert there["location"] == {"id": place}
    assert refusals(again) == refusals(and_again) == [("ALREADY_EXISTS", "date")]
    assert len(sql(HOLIDAYS)) == 2


async def test_a_holiday_is_changed_and_deleted(api: Api, sql: Sql) -> None:
    place = location(sql)
    before = await made(api, "holidayCreate", **HOLIDAY, locationId=place)

    renamed = await made(api, "holidayUpdate", id=before["id"], expectedVersion=1, name="May Day")
    moved = await made(api, "holidayUpdate", id=before["id"], expectedVersion=2, locationId=None, date="2027-05-02")
    late = await change(api, "holidayDelete", id=before["id"], expectedVersion=2)
    kept = len(sql(HOLIDAYS))
    gone = await change(api, "holidayDelete", id=before["id"], expectedVersion=3)
    again = await change(api, "holidayDelete", id=before["id"])

    assert renamed == before | {"name": "May Day", "version": 2}
    assert moved == renamed | {"location": None, "date": "2027-05-02", "version": 3}
    assert (refusals(late), kept) == ([("VERSION_CONFLICT", "expectedVersion")], 1)
    assert (gone["deletedId"], refusals(again)) == (before["id"], [("NOT_FOUND", "id")])
    assert sql(HOLIDAYS) == []


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        ({"name": ""}, (INVALID, "name")),
        ({"name": " \u200b"}, (INVALID, "name")),
        ({"name": "x" * 201}, (INVALID, "name")),
        ({"name": "\x00"}, (INVALID, "name")),
        ({"locationId": encode("Location", NOTHING)}, ("NOT_FOUND", "locationId")),
        ({"locationId": encode("Service", NOTHING)}, ("NOT_FOUND", "locationId")),
    ],
)
async def test_a_holiday_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], refused: tuple[str, str]
) -> None:
    done = await change(api, "holidayCreate", **HOLIDAY | wanted)

    assert refusals(done) == [refused]
    assert (done["holiday"], sql(HOLIDAYS)) == (None, [])


@pytest.mark.parametrize("role", [Role.FRONT_DESK, Role.PROVIDER, Role.CLIENT])
async def test_only_managers_change_holidays_and_everybody_sees_them(api: Api, sql: Sql, role: Role) -> None:
    person = {Role.PROVIDER: await api.provider(), Role.CLIENT: await api.client()}.get(role)
    headers = await bearer(api, role, person=person)
    holiday = await made(api, "holidayCreate", **HOLIDAY)
    inputs = {"holidayCreate": HOLIDAY | {"date": "2027-12-25"}, "holidayDelete": {"id": holiday["id"]}}
    inputs["holidayUpdate"] = {"id": holiday["id"], "expectedVersion": 1, "name": "x"}

    refused = [await send(api, document(mutation), headers, input=wanted) for mutation, wanted in inputs.items()]
    seen = await send(api, "{ holidays { nodes { id date name location { id } } } }", headers)

    assert {answer.status_code for answer in refused} == {403}
    assert seen.json()["data"]["holidays"]["nodes"] == [{"id": holiday["id"], **HOLIDAY, "location": None}]
    assert len(sql(HOLIDAYS)) == 1


async def test_holidays_of_a_location_are_listed_with_those_of_the_business(api: Api, sql: Sql) -> None:
    here, there = location(sql), location(sql)
    for day, place in ((3, here), (1, None), (2, there)):
        await made(api, "holidayCreate", date=f"2027-05-0{day}", name=f"Day {day}", locationId=place)
    query = "query ($f: HolidayFilter) { holidays(filter: $f) { totalCount nodes { name } } }"

    whole, some, few = [
        [node["name"] for node in (await api(query, f=wanted))["holidays"]["nodes"]]
        for wanted in (None, {"locationId": here}, {"locationId": here, "dates": {"from": "2027-05-02"}})
    ]

    assert (whole, some, few) == (["Day 1", "Day 2", "Day 3"], ["Day 1", "Day 3"], ["Day 3"])


async def test_a_holiday_takes_the_times_of_whoever_works_there(api: Api, sql: Sql) -> None:
    here, there = location(sql), location(sql)
    ((date,),) = sql("SELECT (current_date + 30)::text")
    counts = []
    for place in (here, there):
        hours = {"start": "09:00", "end": "12:00", "slotMinutes": 60, "validFrom": date, "validUntil": date}
        await made(api, "availabilityRuleCreate", providerId=await api.provider(), locationId=place, **hours)
        counts.append(sql("SELECT count(*) FROM appointments")[0][0])

    closed = await change(api, "holidayCreate", date=date, name="Closed", locationId=here)
    opened = await change(api, "holidayDelete", id=closed["holiday"]["id"])
    all_closed = await change(api, "holidayCreate", date=date, name="Closed")

    assert counts == [3, 6]
    assert [each["published"] for each in (closed, opened, all_closed)] == [
        {"created": 0, "kept": 0, "removed": 3},
        {"created": 3, "kept": 0, "removed": 0},
        {"created": 0, "kept": 0, "removed": 6},
    ]


async def test_what_is_another_business_is_nobodys(api: Api, sql: Sql) -> None:
    another_business(sql)
    exception = (
        "INSERT INTO availability_exceptions (business_id, provider_id, date)"
        " SELECT business_id, id, '2027-05-03' FROM providers WHERE first_name = 'No' RETURNING id, business_id"
    )
    ((theirs, business),) = sql(exception)
    insert = "INSERT INTO holidays (business_id, date, name) VALUES (%s, '2027-05-01', 'x') RETURNING id"
    ids = {"availabilityException": encode("AvailabilityException", theirs)}
    ids["holiday"] = encode("Holiday", sql(insert, business)[0][0])

    for name, identity in ids.items():
        changed = await change(api, f"{name}Update", id=identity, expectedVersion=1, date="2027-05-09")
        deleted = await change(api, f"{name}Delete", id=identity)
        read = await api.post(f'{{ {name}(id: "{identity}") {{ id }} }}')

        assert refusals(changed) == refusals(deleted) == [("NOT_FOUND", "id")]
        assert read["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        assert await api(f"{{ {name}s {{ totalCount }} }}") == {f"{name}s": {"totalCount": 0}}


@pytest.mark.parametrize("providers", [2, 20])
async def test_a_list_is_one_statement_and_each_link_one_more(database: str, sql: Sql, providers: int) -> None:
    links = "provider { id } service { id } location { id }"
    query = f"""{{
      availabilityRules(first: 50) {{ nodes {{ {links} }} }} availabilityExceptions(first: 50) {{ nodes {{ windows {{ start }} {links} }} }}
      holidays {{ nodes {{ name location {{ id }} }} }} timeOffs(first: 50) {{ nodes {{ startsAt provider {{ id }} }} }}
      providers(first: 50) {{ nodes {{
        availabilityRules {{ nodes {{ start }} }} availabilityExceptions {{ nodes {{ date }} }} timeOff {{ nodes {{ endsAt }} }}
      }} }}
    }}"""
    place = location(sql)
    async with serving(database, compile=False) as api:
        await made(api, "holidayCreate", **HOLIDAY, locationId=place)
        for n in range(providers):
            ada = await api.provider(f"Ada {n}")
            visit = service(sql, 30, of=ada)
            where = f"business_id, provider_id, location_id, service_id) SELECT business_id, id, '{key(place)}', '{key(visit)}'"
            of = f"FROM providers WHERE id = '{key(ada)}'"
            sql(
                f"INSERT INTO availability_rules (weekday, starts_minute, ends_minute, {where.replace('SELECT', 'SELECT 1, 540, 600,')} {of}"
            )
            sql(f"INSERT INTO availability_exceptions (date, {where.replace('SELECT', 'SELECT current_date,')} {of}")
            sql(
                f"INSERT INTO time_off (business_id, provider_id, starts_at, ends_at) SELECT business_id, id, now(), now() + '1 hour' {of}"
            )
        api.statements.clear()

        found = await api(query)

    assert len(found["providers"]["nodes"]) == len(found["timeOffs"]["nodes"]) == providers
    assert all(node["service"] and node["location"] for node in found["availabilityRules"]["nodes"])
    # Five lists, three of each provider, and the providers, services and locations that all of them lead to.
    assert len(api.statements) == 5 + 3 + 3
