"""Local time: an answer shows what a clock in the caller's zone shows, whichever way they tell it, on both roads."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from models.node_id import encode
from models.wall import wall
from tests.conftest import Api, serving

Sql = Callable[..., list[tuple[Any, ...]]]

LOCAL = """query ($id: ID!, $zone: TimeZone) {
  appointment(id: $id) { localStartsAt(timeZone: $zone) localEndsAt(timeZone: $zone) startsAt } }"""
PLAIN = "query ($id: ID!) { appointment(id: $id) { localStartsAt localEndsAt } }"
FREE = "query ($f: AvailabilityFilter) { availableAppointments(filter: $f) { nodes { startsAt localStartsAt } } }"
# Zone, start and end in UTC, and what a clock shows then (the table of the design, read backwards).
SHOWN = [
    ("Europe/Berlin", "2027-03-28T00:59:00Z", "2027-03-28T01:00:00Z", "2027-03-28T01:59:00", "2027-03-28T03:00:00"),
    ("Europe/Berlin", "2027-10-31T00:15:00Z", "2027-10-31T01:15:00Z", "2027-10-31T02:15:00", "2027-10-31T02:15:00"),
    ("America/New_York", "2027-11-07T05:00:00Z", "2027-11-07T07:00:00Z", "2027-11-07T01:00:00", "2027-11-07T02:00:00"),
    (
        *("Australia/Lord_Howe", "2027-04-03T14:00:00Z", "2027-04-03T16:30:00Z"),
        *("2027-04-04T01:00:00", "2027-04-04T03:00:00"),
    ),
    ("Asia/Kathmandu", "2027-05-03T03:15:00Z", "2027-05-03T11:15:00Z", "2027-05-03T09:00:00", "2027-05-03T17:00:00"),
    ("Africa/Cairo", "2027-04-29T22:00:00Z", "2027-04-30T21:00:00Z", "2027-04-30T01:00:00", "2027-05-01T00:00:00"),
    (
        *("Pacific/Kiritimati", "2027-01-01T10:00:00Z", "2027-01-02T10:00:00Z"),
        *("2027-01-02T00:00:00", "2027-01-03T00:00:00"),
    ),
    (
        *("UTC", "2027-05-03T09:00:00.5Z", "2027-05-03T10:00:00.000001Z"),
        *("2027-05-03T09:00:00.5", "2027-05-03T10:00:00.000001"),
    ),
]


async def on_both(api: Api, database: str, query: str, headers: dict[str, str] | None = None, **variables: Any) -> Any:
    """Ask both roads, which must say the same to the byte; the answer, without its cost."""
    sent = {"x-request-id": "local-time", **(headers or {})}
    body = {"query": query, "variables": variables}
    async with serving(database, compile=False) as ordinary:
        api.on_lanes.clear()
        told = [(await each.http.post("/graphql", json=body, headers=sent)).content for each in (api, ordinary)]
        assert ordinary.on_lanes == []
    assert told[0] == told[1]
    answer = orjson.loads(told[0])
    del answer["extensions"]
    return answer


INSERT = """INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
SELECT business_id, id, %s, %s FROM providers RETURNING id"""


async def published(api: Api, sql: Sql, start: str = "2027-05-03T09:00:00Z", end: str = "2027-05-03T10:00:00Z") -> str:
    """Publish one appointment, of any length; its id."""
    await api.provider()
    return encode("Appointment", sql(INSERT, start, end)[0][0])


@pytest.mark.parametrize(("zone", "start", "end", "starts_at", "ends_at"), SHOWN)
async def test_an_appointment_is_shown_in_the_zone_that_is_asked_for(
    api: Api, database: str, sql: Sql, zone: str, start: str, end: str, starts_at: str, ends_at: str
) -> None:
    appointment = await published(api, sql, start, end)

    told = await on_both(api, database, LOCAL, id=appointment, zone=zone)
    by_header = await on_both(api, database, PLAIN, {"x-time-zone": zone}, id=appointment)

    assert len(api.on_lanes) == 1
    assert told["data"]["appointment"] == {"localStartsAt": starts_at, "localEndsAt": ends_at, "startsAt": start}
    assert by_header["data"]["appointment"] == {"localStartsAt": starts_at, "localEndsAt": ends_at}


async def test_an_argument_goes_before_the_header_and_utc_is_meant_where_nobody_says_a_zone(
    api: Api, database: str, sql: Sql
) -> None:
    appointment = await published(api, sql)
    header = {"x-time-zone": "Asia/Tokyo"}

    told = [
        (await on_both(api, database, LOCAL, headers, id=appointment, zone=zone))["data"]["appointment"][
            "localStartsAt"
        ]
        for headers, zone in ((header, "Europe/Berlin"), (header, None), (None, "Europe/Berlin"), (None, None))
    ]

    assert told == ["2027-05-03T11:00:00", "2027-05-03T18:00:00", "2027-05-03T11:00:00", "2027-05-03T09:00:00"]


async def test_what_was_asked_in_one_zone_is_not_answered_in_another(api: Api, database: str, sql: Sql) -> None:
    appointment = await published(api, sql)
    zones = ["Europe/Berlin", "Asia/Tokyo", "Europe/Berlin", "UTC", "Asia/Tokyo"]

    told = [
        (await api.post(query, {"x-time-zone": zone}, **variables))["data"]["appointment"]["localStartsAt"]
        for zone in zones
        for query, variables in (
            (PLAIN, {"id": appointment}),
            (f'{{ appointment(id: "{appointment}") {{ localStartsAt }} }}', {}),
        )
    ]

    hours = {"Europe/Berlin": 11, "Asia/Tokyo": 18, "UTC": 9}
    assert told == [f"2027-05-03T{hours[zone]:02}:00:00" for zone in zones for _ in range(2)]


async def test_a_reservation_is_shown_in_local_time(api: Api, database: str, sql: Sql) -> None:
    appointment = await published(api, sql)
    held = await api.reserve(await api.client(), appointment)

    told = await on_both(
        api,
        database,
        'query ($id: ID!) { reservation(id: $id) { localStartsAt(timeZone: "Asia/Kathmandu") localEndsAt } }',
        {"x-time-zone": "America/New_York"},
        id=held["reservation"]["id"],
    )

    assert told["data"]["reservation"] == {
        "localStartsAt": "2027-05-03T14:45:00",
        "localEndsAt": "2027-05-03T06:00:00",
    }


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("im so wrong", None),
        ("", None),
        ("Europe/berlin", ["Europe/Berlin"]),
        ("XXX5", None),
        ("localtime", None),
        ("right/UTC", None),
        ("../../etc/passwd", None),
        ("+25", None),
        ("x" * 300, None),
        ("Zürich", ["Europe/Zurich"]),
    ],
)
async def test_an_unknown_zone_in_the_header_is_refused_with_near_names(
    api: Api, zone: str, near: list[str] | None
) -> None:
    answer = await api.http.post(
        "/graphql", json={"query": "{ serverTime }"}, headers={b"x-time-zone": zone.encode("latin-1")}
    )

    (error,) = answer.json()["errors"]
    assert answer.status_code == 200
    assert "data" not in answer.json()
    assert error["extensions"]["code"] == "UNKNOWN_TIME_ZONE"
    assert error["extensions"]["field"] == "X-Time-Zone"
    assert len(error["extensions"]["suggestions"]) <= 3
    assert near is None or error["extensions"]["suggestions"][0] in near
    assert len(error["message"]) < 300
    assert api.statements == []


async def test_a_client_of_the_modern_media_type_is_told_so_by_the_status(api: Api) -> None:
    headers = {"accept": "application/graphql-response+json", "x-time-zone": "Europe"}

    answer = await api.http.post("/graphql", json={"query": "{ serverTime }"}, headers=headers)

    assert answer.status_code == 400


async def test_an_unknown_zone_in_an_argument_is_refused_alike_on_both_roads(api: Api, database: str, sql: Sql) -> None:
    appointment = await published(api, sql)

    told = await on_both(api, database, LOCAL, id=appointment, zone="im so wrong")

    (error,) = told["errors"]
    assert "data" not in told
    assert error["extensions"]["code"] == "UNKNOWN_TIME_ZONE"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Africa/Casablanca", "Asia/Gaza", "Pacific/Apia", "UTC"])
async def test_postgresql_shows_what_python_shows_at_any_instant(sql: Sql, zone: str) -> None:
    table = wall(zone)
    asked = "SELECT at, wall_time(at, %s, %s) FROM generate_series('2000-01-01Z'::timestamptz, '2200-01-01Z', '37:13:07.5') at"

    told = sql(asked, list(table.jumps), list(table.offsets))

    assert len(told) > 45_000
    assert [shown for _, shown in told] == [table.shown(at) for at, _ in told]


async def test_a_page_in_local_time_is_one_statement(api: Api) -> None:
    provider = await api.provider()
    await api.publish(provider, "2027-05-03T09:00:00Z", "2027-05-03T17:00:00Z", slotMinutes=60)
    api.statements.clear()
    api.on_lanes.clear()

    told = await api.post(FREE, {"x-time-zone": "Europe/Berlin"}, f={"date": "2027-05-03"})

    assert len(api.statements) == len(api.on_lanes) == 1
    nodes = told["data"]["availableAppointments"]["nodes"]
    assert [node["localStartsAt"] for node in nodes] == [f"2027-05-03T{hour}:00:00" for hour in range(11, 19)]
