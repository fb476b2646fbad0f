"""Series: the same time by the clock on the wall every so many weeks, all of it or what can be had."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.series import repeated
from tests.conftest import ERRORS, Api, serving
from tests.supply import Supply, key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
MINUTE, WEEK = timedelta(minutes=1), timedelta(weeks=1)
BERLIN = ZoneInfo("Europe/Berlin")
# Three Mondays, the last of them after the clocks have been put forward (2027-03-28).
MONDAYS = [datetime(2027, 3, day, hour, tzinfo=UTC) for day, hour in ((15, 8), (22, 8), (29, 7))]
CREATE = (
    "mutation ($input: ReservationSeriesCreateInput!) { reservationSeriesCreate(input: $input) {"
    " series { id everyWeeks count client { id } provider { id } service { id } reservations { totalCount } }"
    " reservations { id status startsAt expiresAt provider { id } series { id } }"
    " conflicts { index startsAt reason alternatives { id startsAt } } " + ERRORS + " } }"
)


async def create(api: Api, **wanted: Any) -> Any:
    answer = await api.post(CREATE, input=wanted)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]["reservationSeriesCreate"]


async def change(api: Api, verb: str, **wanted: Any) -> Any:
    name = f"ReservationSeries{verb}"
    query = (
        f"mutation ($input: {name}Input!) {{ reservationSeries{verb}(input: $input) {{"
        f" series {{ id reservations {{ nodes {{ status startsAt }} }} }} {ERRORS} }} }}"
    )
    return (await api(query, input=wanted))[f"reservationSeries{verb}"]


class Practice(Supply):
    """A physiotherapist in Berlin, who works at nine on Mondays."""

    def __init__(self, sql: Sql) -> None:
        super().__init__(sql)
        self.massage = self.service("Massage")
        self.berlin = self.location("Berlin", "Europe/Berlin")
        self.ada, self.bea = self.provider(), self.provider()
        self.charles = self.add("Client", "clients", first_name="Charles", last_name="Babbage")

    def time(self, at: datetime, provider: str | None = None, **more: Any) -> str:
        more = {"service_id": self.massage, "location_id": self.berlin, **more}
        return self.appointment(provider or self.ada, at, 30, **more)

    def wish(self, **more: Any) -> dict[str, Any]:
        return {"clientId": self.charles, "count": 3, **more}

    def take(self, appointment: str) -> None:
        taken = "INSERT INTO reservations (business_id, client_id, appointment_id) VALUES (%s, %s, %s)"
        self.sql(taken, DEFAULT_BUSINESS, key(self.charles), key(appointment))


@pytest.fixture
def practice(sql: Sql) -> Practice:
    return Practice(sql)


def shown(payload: Any) -> list[datetime]:
    return [datetime.fromisoformat(each["startsAt"]) for each in payload["reservations"]]


def conflicts(payload: Any) -> list[tuple[int, str, list[str]]]:
    return [
        (each["index"], each["reason"], [near["id"] for near in each["alternatives"]]) for each in payload["conflicts"]
    ]


def errors(payload: Any) -> list[tuple[str, str]]:
    return [(error["code"], ".".join(error["field"] or ())) for error in payload["userErrors"]]


@pytest.mark.parametrize("by", ["appointment", "service"])
async def test_a_series_stays_at_nine_when_clocks_are_put_forward(
    api: Api, practice: Practice, sql: Sql, by: str
) -> None:
    first, *_ = [practice.time(at) for at in MONDAYS]
    practice.time(MONDAYS[2] + 60 * MINUTE)  # nine by the clock before: not meant
    named = {"serviceId": practice.massage, "providerId": practice.ada, "startsAt": MONDAYS[0].isoformat()}

    made = await create(api, **practice.wish(**({"appointmentId": first} if by == "appointment" else named)))

    assert (errors(made), made["conflicts"]) == ([], [])
    assert shown(made) == MONDAYS
    assert [at.astimezone(BERLIN).hour for at in shown(made)] == [9, 9, 9]
    series = made["series"]
    assert (series["everyWeeks"], series["count"], series["reservations"]["totalCount"]) == (1, 3, 3)
    assert (series["client"]["id"], series["provider"]["id"], series["service"]["id"]) == (
        practice.charles,
        practice.ada,
        practice.massage,
    )
    assert {(each["status"], each["provider"]["id"], each["series"]["id"]) for each in made["reservations"]} == {
        ("HELD", practice.ada, series["id"])
    }
    assert sql("SELECT count(DISTINCT expires_at) FROM reservations") == [(1,)]


async def test_without_a_place_the_zone_of_the_provider_holds_and_then_that_of_the_business(
    api: Api, practice: Practice, sql: Sql
) -> None:
    sql("UPDATE businesses SET time_zone = 'Europe/Berlin'")
    new_york = practice.provider(time_zone="America/New_York")
    for provider, hours in ((new_york, (8, 8, 8)), (practice.ada, (8, 8, 7))):
        for at, hour in zip(MONDAYS, hours, strict=True):
            practice.time(at.replace(hour=hour), provider, location_id=None)
    start = {"serviceId": practice.massage, "startsAt": MONDAYS[0].isoformat()}
    for provider in (new_york, practice.ada):
        practice.offer(provider, practice.massage)

    there = await create(api, **practice.wish(providerId=new_york, **start))
    here = await create(api, **practice.wish(providerId=practice.ada, **start))

    assert [at.hour for at in shown(there)] == [8, 8, 8]
    assert [at.hour for at in shown(here)] == [8, 8, 7]


def test_a_time_that_a_clock_shows_twice_means_the_first_and_one_that_it_skips_the_jump() -> None:
    twice = repeated(datetime(2026, 10, 11, 0, 30, tzinfo=UTC), BERLIN, 4, 2)
    skipped = repeated(datetime(2027, 3, 14, 1, 30, tzinfo=UTC), BERLIN, 3, 2)

    assert [f"{at:%m-%d %H:%M}" for at in twice] == ["10-11 00:30", "10-25 00:30", "11-08 01:30", "11-22 01:30"]
    assert [f"{at:%m-%d %H:%M}" for at in skipped] == ["03-14 01:30", "03-28 01:00", "04-11 00:30"]


async def test_one_conflict_of_all_or_nothing_writes_nothing_and_all_are_told(
    api: Api, practice: Practice, sql: Sql
) -> None:
    first, second, _ = [practice.time(at) for at in MONDAYS]
    near = practice.time(MONDAYS[1] + 30 * MINUTE)
    sql("UPDATE appointments SET withdrawn_at = clock_timestamp() WHERE starts_at = %s", MONDAYS[2])
    practice.take(second)

    made = await create(api, **practice.wish(appointmentId=first))

    assert (made["series"], made["reservations"]) == (None, [])
    assert errors(made) == [("SLOT_UNAVAILABLE", "appointmentId")]
    assert made["userErrors"][0]["message"] == "2 of the 3 appointments of this series cannot be had; see conflicts."
    assert [each["id"] for each in made["userErrors"][0]["alternatives"]] == [near]
    assert conflicts(made) == [(1, "SLOT_UNAVAILABLE", [near]), (2, "NOT_OFFERED", [near])]
    assert [datetime.fromisoformat(each["startsAt"]) for each in made["conflicts"]] == MONDAYS[1:]
    assert sql("SELECT (SELECT count(*) FROM reservation_series), (SELECT count(*) FROM reservations)") == [(0, 1)]


async def test_conflicts_are_skipped_if_that_is_wished_and_told_again_to_whoever_repeats_the_request(
    api: Api, practice: Practice, sql: Sql
) -> None:
    first, second, _ = [practice.time(at) for at in MONDAYS]
    practice.take(second)
    wish = practice.wish(appointmentId=first, mode="SKIP_CONFLICTS", idempotencyKey="once")

    made, again = [await api.post(CREATE, input=wish) for _ in range(2)]

    assert again.pop("extensions") == {"idempotentReplay": True}
    assert made == again
    payload = made["data"]["reservationSeriesCreate"]
    assert shown(payload) == [MONDAYS[0], MONDAYS[2]]
    assert (payload["series"]["count"], conflicts(payload)) == (3, [(1, "SLOT_UNAVAILABLE", [])])
    assert sql("SELECT (SELECT count(*) FROM reservation_series), (SELECT count(*) FROM reservations)") == [(1, 3)]
    assert errors(await create(api, **{**wish, "count": 4})) == [("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")]


async def test_if_nothing_can_be_had_skipping_writes_nothing_either(api: Api, practice: Practice, sql: Sql) -> None:
    practice.take(practice.time(MONDAYS[0]))
    wish = {"serviceId": practice.massage, "startsAt": MONDAYS[0].isoformat(), "mode": "SKIP_CONFLICTS"}

    made = await create(api, **practice.wish(**wish))

    assert (made["series"], errors(made)) == (None, [("SLOT_UNAVAILABLE", "startsAt")])
    assert [reason for _, reason, _ in conflicts(made)] == ["SLOT_UNAVAILABLE", "NOT_OFFERED", "NOT_OFFERED"]
    assert sql("SELECT count(*) FROM reservation_series") == [(0,)]


async def test_any_provider_means_as_few_as_can_be(api: Api, practice: Practice) -> None:
    for provider, ats in ((practice.ada, MONDAYS[:1]), (practice.bea, MONDAYS[:2])):
        for at in ats:
            practice.time(at, provider)
    practice.time(MONDAYS[2], practice.ada)
    start = {"serviceId": practice.massage, "startsAt": MONDAYS[0].isoformat()}

    made = await create(api, **practice.wish(**start))

    assert made["series"]["provider"] is None
    assert len({each["provider"]["id"] for each in made["reservations"]}) == 2
    assert shown(made) == MONDAYS


async def test_policies_make_conflicts_of_what_is_too_soon_or_too_far(api: Api, practice: Practice, sql: Sql) -> None:
    sql("UPDATE services SET maximum_horizon = '10 days' WHERE id = %s", key(practice.massage))
    near, starts = datetime.now(UTC) + timedelta(hours=5), []
    for turn in range(3):
        starts.append(near.replace(minute=0, second=0, microsecond=0) + turn * WEEK)
        practice.time(starts[-1], location_id=None)
    start = {"serviceId": practice.massage, "startsAt": starts[0].isoformat(), "mode": "SKIP_CONFLICTS"}

    made = await create(api, **practice.wish(**start))

    assert shown(made) == [starts[1]]
    assert [(index, reason) for index, reason, _ in conflicts(made)] == [(0, "LEAD_TIME"), (2, "HORIZON")]


async def test_a_series_is_confirmed_as_one_and_the_rest_of_it_is_given_back(
    api: Api, practice: Practice, sql: Sql
) -> None:
    first, *_ = [practice.time(at) for at in MONDAYS]
    series = (await create(api, **practice.wish(appointmentId=first)))["series"]["id"]

    confirmed = await change(api, "Confirm", seriesId=series)
    rest = [
        await change(api, "Cancel", **{"seriesId": series, "from": MONDAYS[1].isoformat(), "reason": "moved"})
        for _ in range(2)
    ]
    done = await change(api, "Cancel", seriesId=series)
    beyond = await change(api, "Cancel", **{"seriesId": series, "from": "2028-01-01T00:00:00Z"})

    def states(payload: Any) -> list[str]:
        return [node["status"] for node in payload["series"]["reservations"]["nodes"]]

    assert states(confirmed) == ["CONFIRMED"] * 3
    assert [states(each) for each in rest] == [["CONFIRMED", "CANCELLED", "CANCELLED"]] * 2
    assert states(done) == ["CANCELLED"] * 3
    assert errors(beyond) == [("ILLEGAL_STATE", "seriesId")]
    assert errors(await change(api, "Confirm", seriesId=series)) == [("ILLEGAL_STATE", "seriesId")]
    told = "SELECT count(*) FROM events WHERE type = 'scheduling.reservation.cancelled.v1'"
    assert sql(told) == [(3,)]


async def test_a_series_is_one_hold_against_the_limit(api: Api, practice: Practice, sql: Sql) -> None:
    sql("UPDATE businesses SET hold_limit = 1")
    first, *_ = [practice.time(at) for at in MONDAYS]
    spare = practice.time(MONDAYS[0] + 60 * MINUTE)

    made = await create(api, **practice.wish(appointmentId=first))
    second = await create(api, **practice.wish(appointmentId=spare))

    assert len(made["reservations"]) == 3
    assert errors(second) == [("TOO_MANY_HOLDS", "clientId")]


@pytest.mark.parametrize("count", [2, 52])
async def test_a_series_takes_as_many_statements_however_long_it_is(
    api: Api, practice: Practice, statements: Callable[[], list[str]], count: int
) -> None:
    starts = soon(days=10)
    for turn in range(count - 1):
        practice.time(starts + turn * WEEK, location_id=None)
    bare = (
        "mutation ($input: ReservationSeriesCreateInput!) { reservationSeriesCreate(input: $input) {"
        " series { id } reservations { id } conflicts { index alternatives { id } } userErrors { code } } }"
    )
    wish = {"serviceId": practice.massage, "startsAt": starts.isoformat(), "mode": "SKIP_CONFLICTS"}
    statements()

    done = await api(bare, input={**practice.wish(**wish), "count": count, "idempotencyKey": "once"})

    payload = done["reservationSeriesCreate"]
    assert (len(payload["reservations"]), len(payload["conflicts"])) == (count - 1, 1)
    assert len(statements()) == 6


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({"count": 1}, "INVALID_INPUT", "count"),
        ({"count": 53}, "INVALID_INPUT", "count"),
        ({"everyWeeks": 0}, "INVALID_INPUT", "everyWeeks"),
        ({"everyWeeks": 9}, "INVALID_INPUT", "everyWeeks"),
        ({"appointmentId": None}, "INVALID_INPUT", "serviceId"),
        ({"startsAt": "2027-03-15T08:00:00Z"}, "INVALID_INPUT", "startsAt"),
        ({"appointmentId": "Appointment"}, "NOT_FOUND", "appointmentId"),
        ({"appointmentId": "Provider"}, "NOT_FOUND", "appointmentId"),
        ({"clientId": "Client"}, "NOT_FOUND", "clientId"),
        ({"serviceId": "other"}, "INVALID_INPUT", "serviceId"),
        ({"note": "x" * 2001}, "INVALID_INPUT", "note"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_field(
    api: Api, practice: Practice, sql: Sql, wanted: dict[str, Any], code: str, field: str
) -> None:
    first, *_ = [practice.time(at) for at in MONDAYS]
    named = {name: encode(name, key(practice.charles)) for name in ("Appointment", "Provider")}
    named |= {"Client": encode("Client", key(practice.ada)), "other": practice.service("Other")}
    change = {name: named.get(value, value) if isinstance(value, str) else value for name, value in wanted.items()}

    made = await create(api, **practice.wish(appointmentId=first) | change)

    assert (made["series"], errors(made)) == (None, [(code, field)])
    assert sql("SELECT (SELECT count(*) FROM reservation_series), (SELECT count(*) FROM reservations)") == [(0, 0)]


async def test_a_withdrawn_first_appointment_is_refused(api: Api, practice: Practice, sql: Sql) -> None:
    first = practice.time(MONDAYS[0])
    sql("UPDATE appointments SET withdrawn_at = clock_timestamp()")

    assert errors(await create(api, **practice.wish(appointmentId=first))) == [
        ("APPOINTMENT_WITHDRAWN", "appointmentId")
    ]


async def test_of_12_clients_who_want_the_same_series_one_gets_it_and_nobody_a_part(
    database: str, practice: Practice, sql: Sql
) -> None:
    first, *_ = [practice.time(at) for at in MONDAYS]
    clients = [practice.add("Client", "clients", first_name=f"C{n}", last_name="Client") for n in range(12)]
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = sql(deadlocks)

    async with serving(database, pool_size=12) as api:
        wishes = [{**practice.wish(appointmentId=first), "clientId": client} for client in clients]
        answers = await asyncio.gather(*(create(api, **wish) for wish in wishes))

    assert sorted(len(each["reservations"]) for each in answers) == [0] * 11 + [3]
    assert sql("SELECT count(*), count(DISTINCT series_id) FROM reservations") == [(3, 1)]
    sql("SELECT pg_stat_clear_snapshot()")
    assert sql(deadlocks) == before
