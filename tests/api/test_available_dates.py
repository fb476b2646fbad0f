"""Free dates: how much is free on each local date of a month view, in one statement that reads no more than the month."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from sqlalchemy import make_url

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.relations import AVAILABLE_DATES
from models.search import Availability, Month
from models.viewer import Role, Viewer
from tests.conftest import Api, serving
from tests.supply import HOUR, Supply, soon, starts

Sql = Callable[..., list[tuple[Any, ...]]]
NOBODY = UUID("0190ffff-ffff-7fff-8fff-ffffffffffff")
DATES = """query ($f: AvailabilityFilter!, $from: Date!, $until: Date!, $zone: TimeZone) {
  availableDates(filter: $f, from: $from, until: $until, timeZone: $zone) { date count } }"""
PUBLISH = """INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
SELECT business_id, id, at, at + interval '30 minutes' FROM providers, generate_series(%s::timestamptz, %s, '30 minutes') at"""


@pytest.fixture
def supply(sql: Sql) -> Supply:
    return Supply(sql)


async def counts(api: Api, headers: dict[str, str] | None = None, **variables: Any) -> dict[str, int]:
    answer = await api.post(DATES, headers, **{"f": {}, **variables})
    assert "errors" not in answer, answer["errors"]
    return {each["date"]: each["count"] for each in answer["data"]["availableDates"]}


# Zone, range of dates, and how many half hours each has.
MONTHS = [
    ("Europe/Berlin", "2027-03-27", "2027-03-30", {"2027-03-27": 48, "2027-03-28": 46, "2027-03-29": 48}),
    ("Europe/Berlin", "2027-10-30", "2027-11-02", {"2027-10-30": 48, "2027-10-31": 50, "2027-11-01": 48}),
    ("America/New_York", "2027-11-06", "2027-11-09", {"2027-11-06": 48, "2027-11-07": 50, "2027-11-08": 48}),
    ("Australia/Lord_Howe", "2027-04-03", "2027-04-06", {"2027-04-03": 48, "2027-04-04": 49, "2027-04-05": 48}),
    ("Asia/Kathmandu", "2027-05-03", "2027-05-04", {"2027-05-03": 48}),
    ("Africa/Cairo", "2027-04-30", "2027-05-01", {"2027-04-30": 46}),
    ("UTC", "2027-05-03", "2027-05-03", {}),
]


@pytest.mark.parametrize(("zone", "first", "end", "found"), MONTHS)
async def test_free_times_are_counted_on_the_dates_of_the_zone(
    api: Api, database: str, sql: Sql, zone: str, first: str, end: str, found: dict[str, int]
) -> None:
    await api.provider()
    around = timedelta(days=2)
    sql(
        PUBLISH,
        datetime.fromisoformat(f"{first}T00:00:00Z") - around,
        datetime.fromisoformat(f"{end}T00:00:00Z") + around,
    )
    api.on_lanes.clear()

    async with serving(database, compile=False) as ordinary:
        told = [
            await counts(each, headers, zone=argument, **{"from": first, "until": end})
            for each in (api, ordinary)
            for headers, argument in (
                (None, zone),
                ({"x-time-zone": zone}, None),
                ({"x-time-zone": "Asia/Tokyo"}, zone),
            )
        ]

    assert told == [told[0]] * 6
    assert len(api.on_lanes) == 3
    assert told[0] == found


async def test_only_what_the_filter_finds_and_nobody_has_is_counted(api: Api, supply: Supply) -> None:
    service, giver, other = supply.service(), supply.provider(), supply.provider()
    supply.offer(giver, service)
    start = soon()
    mine = [supply.appointment(giver, start + n * HOUR) for n in range(4)]
    supply.appointment(other, start)
    supply.appointment(giver, start + timedelta(days=1))
    await api.reserve(await api.client(), mine[0])
    span: dict[str, Any] = {
        "from": f"{start:%Y-%m-%d}",
        "until": f"{start + timedelta(days=2):%Y-%m-%d}",
        "zone": "UTC",
    }
    today, tomorrow = span["from"], f"{start + timedelta(days=1):%Y-%m-%d}"

    found = [
        await counts(api, f=wanted, **span)
        for wanted in (
            {},
            {"serviceId": service},
            {"providerIds": [other]},
            {"providerIds": [giver, other]},
            {"timeOfDay": {"from": "11:00", "until": "12:00"}},
            {"date": today},
            {"providerIds": [encode("Provider", NOBODY)]},
        )
    ]

    assert found == [
        {today: 4, tomorrow: 1},
        {today: 3, tomorrow: 1},
        {today: 1},
        {today: 4, tomorrow: 1},
        {today: 1},
        {today: 4},
        {},
    ]


async def test_the_counts_are_those_of_the_free_times_themselves(api: Api, sql: Sql) -> None:
    await api.provider()
    await api.provider("Grace", "Hopper")
    sql(PUBLISH.replace("'30 minutes') at", "'11 hours') at"), "2027-03-20T00:00:00Z", "2027-04-05T00:00:00Z")
    where = ZoneInfo("Europe/Berlin")
    bounds = {"from": "2027-03-20", "until": "2027-04-04"}

    told = await counts(api, {"x-time-zone": where.key}, **bounds)

    listed = await starts(api, {"dates": bounds, "timeZone": where.key})
    assert told == Counter(f"{datetime.fromisoformat(each).astimezone(where):%Y-%m-%d}" for each in listed)
    assert list(told) == sorted(told)


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"zone": None}, "INVALID_INPUT", "timeZone"),
        ({"until": "2027-04-30"}, "INVALID_INPUT", "until"),
        ({"until": "2027-07-03"}, "INVALID_INPUT", "until"),
        ({"until": "2199-12-31"}, "INVALID_INPUT", "until"),
        ({"zone": "im so wrong"}, "UNKNOWN_TIME_ZONE", "zone"),
        ({"until": "2027-02-30"}, "INVALID_INPUT", "until"),
        ({"f": {"providerIds": ["x"]}}, "INVALID_INPUT", "providerIds.0"),
    ],
)
async def test_a_bad_month_is_refused_alike_on_both_roads(
    api: Api, database: str, given: dict[str, Any], code: str, field: str
) -> None:
    variables = {"f": {}, "from": "2027-05-01", "until": "2027-06-01", "zone": "UTC", **given}

    async with serving(database, compile=False) as ordinary:
        told = [await each.post(DATES, {"x-request-id": "x"}, **variables) for each in (api, ordinary)]

    assert told[0] == told[1]
    (error,) = told[0]["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == (code, field)
    assert api.statements == []


async def test_62_dates_are_counted_and_one_more_is_not(api: Api, sql: Sql) -> None:
    await api.provider()
    sql(PUBLISH.replace("'30 minutes') at", "'1 day') at"), "2027-05-01T12:00:00Z", "2027-07-02T12:00:00Z")

    two_months: dict[str, Any] = {"f": {}, "zone": "UTC", "from": "2027-05-01", "until": "2027-07-02"}

    told = await counts(api, **two_months)
    more = await api.post(DATES, **{**two_months, "until": "2027-07-03"})

    assert len(told) == sum(told.values()) == 62
    assert more["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


MANY = (
    "INSERT INTO providers (business_id, first_name, last_name) SELECT id, 'P', 'x' FROM businesses, generate_series(1, 300)",
    """INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
    SELECT p.business_id, p.id, at, at + interval '30 minutes' FROM providers p,
           generate_series(date_trunc('day', now()) + interval '36 hours', now() + interval '92 days', '4 hours') at
     ORDER BY at, p.id""",
    "ANALYZE",
)


def scans(plan: dict[str, Any]) -> list[tuple[str, str, float]]:
    """How each table is read, and how many rows were read of it in all."""
    here = [
        (
            plan["Node Type"],
            plan.get("Relation Name", plan.get("Index Name", "")),
            plan["Actual Rows"] * plan["Actual Loops"],
        )
    ]
    below = [each for inner in plan.get("Plans", ()) for each in scans(inner)]
    return below if here[0][1] == "" else here + below


async def test_a_month_of_50_providers_is_counted_without_reading_the_rest(api: Api, sql: Sql, database: str) -> None:
    for statement in MANY:
        sql(statement)
    keys = [each for (each,) in sql("SELECT id FROM providers ORDER BY id LIMIT 50")]
    first = datetime.now(UTC).date() + timedelta(days=10)
    end = first + timedelta(days=31)
    month = Month.read(Availability.read(provider_ids=tuple(keys)), first, end, "Europe/Berlin")
    counted = AVAILABLE_DATES.select(Viewer(DEFAULT_BUSINESS, "somebody", Role.ADMIN), month)
    compiled = counted.compile(dialect=make_url("postgresql+psycopg://").get_dialect()())
    api.statements.clear()

    wanted = {"f": {"providerIds": [encode("Provider", each) for each in keys]}, "from": f"{first}", "until": f"{end}"}
    told = await counts(api, {"x-time-zone": "Europe/Berlin"}, **wanted)

    assert len(api.statements) == 1
    assert (len(told), sum(told.values())) == (31, 50 * 31 * 6)
    assert sql("SELECT count(*) > 150000 FROM appointments") == [(True,)]
    with psycopg.connect(database) as connection:
        (told_plan,) = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}", compiled.params).fetchone()  # type: ignore[misc]
    read = [(kind, rows) for kind, name, rows in scans(told_plan[0]["Plan"]) if name == "appointments"]
    assert sum(rows for _, rows in read) < 4 * 50 * 31 * 6
    assert "Seq Scan" not in {kind for kind, _ in read}
