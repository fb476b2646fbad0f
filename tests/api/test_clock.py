"""To the microsecond: a real PostgreSQL whose clock stands still until a test moves it."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from server.migration import migrate
from server.postgres import embedded
from tests.conftest import CARELESS, RESERVE, Api

Sql = Callable[..., list[tuple[Any, ...]]]

START = datetime(2027, 5, 3, 9, tzinfo=UTC)  # of the appointment that most tests are about
DAY, SECOND, MICROSECOND = timedelta(hours=24), timedelta(seconds=1), timedelta(microseconds=1)
HOLD = timedelta(minutes=30)
FREE = "{ availableAppointments { nodes { id } } }"
STATUS = "query ($id: ID!) { node(id: $id) { ... on Reservation { status expired confirmed expiresAt } } }"


class Clock:
    """What PostgreSQL takes for the time: a file that libfaketime reads each time it is asked."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        self.time = START

    def set(self, time: datetime) -> None:
        self.time = time
        draft = self.file.with_suffix(".new")
        # Half a microsecond more, so that what libfaketime computes in floating point is cut off at the right place.
        draft.write_text(f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}5")
        draft.chmod(0o644)
        draft.replace(self.file)

    def move(self, by: timedelta) -> None:
        self.set(self.time + by)


def library() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found and "CI" in os.environ:
        pytest.fail("libfaketime is not installed: .ci/run does that")
    return found[0] if found else pytest.skip("libfaketime is not installed: apt-get install libfaketime")


@pytest.fixture(scope="module")
def clockwork() -> Iterator[tuple[Clock, str]]:
    """A PostgreSQL that believes the clock."""
    with TemporaryDirectory(prefix="holdfast-clock-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        clock = Clock(folder)
        clock.set(START - 2 * DAY)
        environment = {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(clock.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }
        with embedded(folder / "postgres", settings=CARELESS, environment=environment) as url:
            migrate(url)
            yield clock, url


@pytest.fixture
def clock(clockwork: tuple[Clock, str]) -> Clock:
    """The clock, two days before the appointment."""
    clock, _ = clockwork
    clock.set(START - 2 * DAY)
    return clock


@pytest.fixture
def database(clock: Clock, clockwork: tuple[Clock, str]) -> Iterator[str]:
    """A database of this test, beside the clock: it takes the place of the ordinary one."""
    _, template = clockwork
    url = make_url(template).set(database="clocked")
    administration = make_url(template).set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(administration, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE clocked TEMPLATE {make_url(template).database} STRATEGY file_copy".encode())
        yield url.render_as_string(hide_password=False)
        admin.execute("DROP DATABASE clocked WITH (FORCE)")


@pytest.fixture
async def nine(api: Api) -> str:
    """An appointment of 15 minutes, alone in its provider's day."""
    (nine,) = await api.publish(await api.provider(), *window(START))
    return nine


def window(start: datetime) -> tuple[str, str]:
    return written(start), written(start + timedelta(minutes=15))


def written(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def free(api: Api) -> list[str]:
    return [node["id"] for node in (await api(FREE))["availableAppointments"]["nodes"]]


@pytest.mark.parametrize("earlier", [timedelta(0), MICROSECOND, SECOND])
async def test_24_hours_ahead_to_the_microsecond_is_allowed(
    api: Api, clock: Clock, nine: str, earlier: timedelta
) -> None:
    charles = await api.client()
    clock.set(START - DAY - earlier)

    offered = await free(api)
    held = await api.reserve(charles, nine)

    assert offered == [nine]
    assert held["userErrors"] == []
    assert held["reservation"]["status"] == "HELD"
    assert held["reservation"]["createdAt"] == written(clock.time)
    assert held["reservation"]["expiresAt"] == written(clock.time + HOLD)


@pytest.mark.parametrize("late", [MICROSECOND, SECOND, timedelta(hours=1), DAY, DAY + SECOND])
async def test_one_microsecond_less_than_24_hours_is_refused(
    api: Api, clock: Clock, sql: Sql, nine: str, late: timedelta
) -> None:
    charles = await api.client()
    clock.set(START - DAY + late)

    offered = await free(api)
    refused = await api.reserve(charles, nine)

    assert offered == []
    assert refused["reservation"] is None
    (error,) = refused["userErrors"]
    assert error["code"] == "LEAD_TIME"
    assert error["field"] == ["appointmentId"]
    assert error["earliestStart"] == written(START + late)
    assert error["leadTimeMinutes"] == 1440
    assert sql("SELECT count(*) FROM reservations") == [(0,)]


@pytest.mark.parametrize("early", [SECOND, MICROSECOND])
async def test_a_hold_is_confirmed_until_the_30_minutes_are_over(
    api: Api, clock: Clock, nine: str, early: timedelta
) -> None:
    held = (await api.reserve(await api.client(), nine))["reservation"]
    clock.move(HOLD - early)

    offered = await free(api)
    confirmed = await api.confirm(held["id"])

    assert offered == []
    assert confirmed["userErrors"] == []
    assert confirmed["reservation"]["status"] == "CONFIRMED"
    assert confirmed["reservation"]["confirmedAt"] == written(clock.time)


@pytest.mark.parametrize("late", [timedelta(0), MICROSECOND, SECOND])
async def test_from_30_minutes_on_a_hold_has_expired_though_nobody_took_it(
    api: Api, clock: Clock, sql: Sql, nine: str, late: timedelta
) -> None:
    held = (await api.reserve(await api.client(), nine))["reservation"]
    clock.move(HOLD + late)

    refused = await api.confirm(held["id"])

    assert refused["reservation"] is None
    (error,) = refused["userErrors"]
    assert error["code"] == "HOLD_EXPIRED"
    assert error["expiredAt"] == held["expiresAt"] == written(START - 2 * DAY + HOLD)
    assert sql("SELECT status, confirmed_at FROM reservations") == [("HELD", None)]


async def test_at_that_very_instant_another_client_takes_it_with_no_job_running(
    api: Api, clock: Clock, sql: Sql, nine: str
) -> None:
    held = (await api.reserve(await api.client(), nine))["reservation"]
    mary = await api.client("Mary")
    clock.move(HOLD - MICROSECOND)
    too_early = await api.reserve(mary, nine)
    clock.move(MICROSECOND)

    before = (await api(STATUS, id=held["id"]))["node"]
    stored_before = sql("SELECT status FROM reservations")
    offered = await free(api)
    taken = await api.reserve(mary, nine)
    after = (await api(STATUS, id=held["id"]))["node"]
    refused = await api.confirm(held["id"])

    assert [error["code"] for error in too_early["userErrors"]] == ["SLOT_UNAVAILABLE"]
    expired = {"status": "EXPIRED", "expired": True, "confirmed": False, "expiresAt": held["expiresAt"]}
    assert before == after == expired
    assert stored_before == [("HELD",)]
    assert offered == [nine]
    assert taken["reservation"]["status"] == "HELD"
    assert taken["reservation"]["createdAt"] == held["expiresAt"]
    assert [(e["code"], e["expiredAt"]) for e in refused["userErrors"]] == [("HOLD_EXPIRED", held["expiresAt"])]
    assert sql("SELECT status FROM reservations ORDER BY created_at") == [("EXPIRED",), ("HELD",)]
    assert sql("SELECT type FROM events WHERE type LIKE '%%reservation%%' ORDER BY seq") == [
        ("scheduling.reservation.held.v1",),
        ("scheduling.reservation.expired.v1",),
        ("scheduling.reservation.held.v1",),
    ]


async def test_a_confirmed_one_never_expires(api: Api, clock: Clock, nine: str) -> None:
    held = (await api.reserve(await api.client(), nine))["reservation"]
    await api.confirm(held["id"])
    clock.move(HOLD)

    taken = await api.reserve(await api.client("Mary"), nine)

    assert [error["code"] for error in taken["userErrors"]] == ["SLOT_UNAVAILABLE"]
    seen = (await api(STATUS, id=held["id"]))["node"]
    assert (seen["status"], seen["expired"], seen["confirmed"]) == ("CONFIRMED", False, True)


# Berlin: the clocks go forward on 2027-03-28 at 02:00 and back on 2027-10-31 at 03:00.
@pytest.mark.parametrize(
    ("now", "start", "hours", "allowed"),
    [
        ("2027-03-27T12:00:00+01:00", "2027-03-28T12:30:00+02:00", 23.5, False),
        ("2027-03-27T12:00:00+01:00", "2027-03-28T13:00:00+02:00", 24, True),
        ("2027-03-27T12:00:01+01:00", "2027-03-28T13:00:00+02:00", 24, False),
        ("2027-10-30T12:00:00+02:00", "2027-10-31T11:00:00+01:00", 24, True),
        ("2027-10-30T12:00:01+02:00", "2027-10-31T11:00:00+01:00", 24, False),
    ],
)
async def test_lead_time_is_elapsed_time_when_the_clocks_change(
    api: Api, clock: Clock, now: str, start: str, hours: float, allowed: bool
) -> None:
    starts_at = datetime.fromisoformat(start)
    clock.set(datetime.fromisoformat(now).replace(second=0))
    charles = await api.client()
    (appointment,) = await api.publish(await api.provider(), *window(starts_at))
    assert starts_at - clock.time == timedelta(hours=hours)
    clock.set(datetime.fromisoformat(now))

    answer = await api.reserve(charles, appointment)

    assert [error["code"] for error in answer["userErrors"]] == ([] if allowed else ["LEAD_TIME"])
    if not allowed:
        assert answer["userErrors"][0]["earliestStart"] == written(clock.time + DAY)


@pytest.mark.parametrize("allowed", [True, False])
async def test_the_zone_of_a_session_changes_neither_lead_time_nor_hold(
    api: Api, clock: Clock, sql: Sql, allowed: bool
) -> None:
    start = datetime.fromisoformat("2027-03-28T13:00:00+02:00")
    clock.set(start - DAY)
    await api.client()
    await api.publish(await api.provider(), *window(start))
    clock.move(timedelta(0) if allowed else MICROSECOND)
    sql("SET timezone = 'Europe/Berlin'")

    reserve = """INSERT INTO reservations (business_id, client_id, appointment_id)
        SELECT a.business_id, c.id, a.id FROM appointments a, clients c RETURNING expires_at - created_at"""
    if allowed:
        assert sql(reserve) == [(HOLD,)]
    else:
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            sql(reserve)
        assert refused.value.diag.constraint_name == "booked_ahead"


async def test_a_hold_over_the_change_of_clocks_lasts_30_minutes(api: Api, clock: Clock) -> None:
    clock.set(datetime.fromisoformat("2027-03-28T01:45:00+01:00"))
    (appointment,) = await api.publish(await api.provider(), *window(START))

    held = (await api.reserve(await api.client(), appointment))["reservation"]

    assert held["expiresAt"] == "2027-03-28T01:15:00Z"  # 03:15 in Berlin


@pytest.mark.parametrize("back", [MICROSECOND, timedelta(minutes=5), timedelta(days=30)])
async def test_a_clock_that_steps_back_breaks_neither_confirm_nor_cancel(
    api: Api, clock: Clock, nine: str, back: timedelta
) -> None:
    held = (await api.reserve(await api.client(), nine))["reservation"]
    clock.move(-back)

    confirmed = await api.confirm(held["id"])
    cancelled = await api.cancel(held["id"])

    assert confirmed["userErrors"] == cancelled["userErrors"] == []
    assert confirmed["reservation"]["confirmedAt"] == held["createdAt"]
    assert cancelled["reservation"]["status"] == "CANCELLED"


@pytest.mark.parametrize("late", [timedelta(0), SECOND])
async def test_a_key_is_forgotten_after_24_hours(api: Api, clock: Clock, sql: Sql, late: timedelta) -> None:
    charles = await api.client()
    (appointment,) = await api.publish(await api.provider(), *window(START + 7 * DAY))
    wish = {"clientId": charles, "appointmentId": appointment, "idempotencyKey": "once"}
    first = await api.post(RESERVE, input=wish)
    clock.move(DAY - SECOND)
    replayed = await api.post(RESERVE, input=wish)
    clock.move(SECOND + late)

    new = await api.post(RESERVE, input=wish)

    ids = [answer["data"]["reservationCreate"]["reservation"]["id"] for answer in (first, replayed, new)]
    assert ids[0] == ids[1] != ids[2]
    assert [answer.get("extensions") for answer in (first, replayed, new)] == [None, {"idempotentReplay": True}, None]
    assert replayed["data"]["reservationCreate"]["reservation"]["status"] == "EXPIRED"
    assert new["data"]["reservationCreate"]["reservation"]["status"] == "HELD"
    assert sql("SELECT key, created_at FROM idempotency_keys") == [("once", clock.time)]
