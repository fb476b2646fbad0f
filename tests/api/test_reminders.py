"""Reminders, to the minute: so many elapsed hours before, once for each time, and never of what is not to be."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.business import DEFAULT_BUSINESS
from resolvers.notifications import remind
from tests.api.test_clock import START, Clock, clock, clockwork, database, window
from tests.conftest import Api
from tests.mail import log, told
from tests.supply import Supply, key

__all__ = ["clock", "clockwork", "database"]

Sql = Callable[..., list[tuple[Any, ...]]]
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(hours=24)
DUE = """SELECT data ->> 'minutes', (data ->> 'starts_at')::timestamptz FROM events
 WHERE type = 'scheduling.reservation.reminder_due.v1' ORDER BY seq"""


async def booked(api: Api, sql: Sql, at: datetime = START) -> str:
    provider, client = await api.provider(), await api.client()
    sql("UPDATE clients SET email = 'charles@home.example'")
    (nine,) = await api.publish(provider, *window(at))
    reservation: str = (await api.reserve(client, nine))["reservation"]["id"]
    assert (await api.confirm(reservation))["userErrors"] == []
    return reservation


async def reminded(api: Api) -> list[str]:
    """Remind whoever is due, and tell all; the subjects of the reminders by now."""
    await remind(api.database)
    await told(api.database)
    return [node["subject"] for node in reversed(await log(api)) if node["template"] == "REMINDER"]


async def test_a_client_is_reminded_a_day_and_two_hours_before(api: Api, sql: Sql, clock: Clock) -> None:
    await booked(api, sql)
    clock.set(START - DAY - timedelta(microseconds=1))
    assert await reminded(api) == []

    clock.set(START - DAY)
    assert await reminded(api) == ["Reminder: Appointment, Mon, May 3, 2027, 9:00 AM"]
    assert await remind(api.database) == 0
    clock.set(START - 2 * HOUR - MINUTE)
    assert len(await reminded(api)) == 1
    clock.set(START - 2 * HOUR)
    assert len(await reminded(api)) == 2
    clock.set(START + HOUR)
    assert len(await reminded(api)) == 2
    assert sql(DUE) == [("1440", START), ("120", START)]


async def test_a_day_is_24_hours_where_clocks_are_put_forward(api: Api, sql: Sql, clock: Clock) -> None:
    sql("UPDATE businesses SET time_zone = 'Europe/Berlin'")
    start = datetime(2027, 3, 28, 10, tzinfo=UTC)  # noon in Berlin, on the day that has 23 hours
    clock.set(start - 3 * DAY)
    await booked(api, sql, start)

    clock.set(start - 23 * HOUR - 59 * MINUTE - MINUTE - timedelta(microseconds=1))
    assert await reminded(api) == []
    clock.set(start - DAY)
    assert await reminded(api) == ["Reminder: Appointment, Sun, Mar 28, 2027, 12:00 PM"]


@pytest.mark.parametrize("move", [1 * MINUTE, 3 * HOUR, 23 * HOUR])
async def test_after_a_standstill_the_last_reminder_alone_is_told(
    api: Api, sql: Sql, clock: Clock, move: timedelta
) -> None:
    await booked(api, sql)

    clock.set(START - DAY + move)

    assert len(await reminded(api)) == 1
    assert sql(DUE) == [("120" if move == 23 * HOUR else "1440", START)]
    assert len(await reminded(api)) == 1


async def test_what_is_booked_later_than_a_reminder_has_none_of_it(api: Api, sql: Sql, clock: Clock) -> None:
    sql("UPDATE businesses SET lead_time = '01:00:00'")
    clock.set(START - 23 * HOUR)
    await booked(api, sql)

    assert await reminded(api) == []
    clock.set(START - 2 * HOUR)
    await reminded(api)

    assert sql(DUE) == [("120", START)]


async def test_a_cancelled_reservation_is_reminded_of_nothing(api: Api, sql: Sql, clock: Clock) -> None:
    reservation = await booked(api, sql)
    await told(api.database)
    clock.set(START - DAY)
    await remind(api.database)
    await api.cancel(reservation)

    assert await reminded(api) == [None]
    assert [node["status"] for node in await log(api) if node["template"] == "REMINDER"] == ["DROPPED"]
    clock.set(START - 2 * HOUR)
    assert await reminded(api) == [None]


async def test_a_moved_reservation_is_reminded_of_its_new_time(api: Api, sql: Sql, clock: Clock) -> None:
    reservation = await booked(api, sql)
    clock.set(START - DAY - MINUTE)
    later = START + 2 * DAY
    provider = sql("SELECT id FROM providers")[0][0]
    made = Supply(sql).add("Appointment", "appointments", provider_id=provider, starts_at=later, ends_at=later + HOUR)
    sql("UPDATE reservations SET appointment_id = %s WHERE id = %s", key(made), key(reservation))

    clock.set(START - DAY)
    assert await reminded(api) == []
    clock.set(later - DAY)
    assert await reminded(api) == ["Reminder: Appointment, Wed, May 5, 2027, 9:00 AM"]
    assert sql(DUE) == [("1440", later)]


async def test_a_reminder_that_could_not_be_sent_before_it_began_is_dropped(api: Api, sql: Sql, clock: Clock) -> None:
    await booked(api, sql)
    clock.set(START - 2 * HOUR)
    await remind(api.database)
    await told(api.database, SMTP_URL="smtp://127.0.0.1:1", MAIL_FROM="a@b.example")
    clock.set(START)

    await told(api.database)

    assert [node["status"] for node in await log(api) if node["template"] == "REMINDER"] == ["DROPPED"]


async def test_a_business_that_reminds_nobody_reminds_nobody(api: Api, sql: Sql, clock: Clock) -> None:
    sql("UPDATE businesses SET reminder_minutes = '{}'")
    await booked(api, sql)
    clock.set(START - 2 * HOUR)

    assert await reminded(api) == []


async def bundled(api: Api, sql: Sql, link: str, *starts: datetime) -> list[UUID]:
    """Book what begins at these times, in one visit or one series."""
    provider, client = await api.provider(), await api.client()
    sql("UPDATE clients SET email = 'charles@home.example'")
    more = {"series_id": ("reservation_series", ", every_weeks, count", ", 1, 2"), "visit_id": ("visits", "", "")}
    table, names, values = more[link]
    made = f"INSERT INTO {table} (business_id, client_id{names}) VALUES (%s, %s{values}) RETURNING id"
    ((bundle,),) = sql(made, DEFAULT_BUSINESS, key(client))
    held = f"INSERT INTO reservations (business_id, client_id, appointment_id, {link}) VALUES (%s, %s, %s, %s) RETURNING id"
    times = [Supply(sql).appointment(provider, at, 30) for at in starts]
    ids = [sql(held, DEFAULT_BUSINESS, key(client), key(time), bundle)[0][0] for time in times]
    sql(f"UPDATE reservations SET status = 'CONFIRMED' WHERE {link} = %s", bundle)
    return ids


async def test_a_visit_is_reminded_of_once_before_its_first_reservation(api: Api, sql: Sql, clock: Clock) -> None:
    await bundled(api, sql, "visit_id", START, START + HOUR, START + 2 * HOUR)
    clock.set(START - DAY - timedelta(microseconds=1))
    assert await reminded(api) == []

    clock.set(START - DAY)
    assert await reminded(api) == ["Reminder: 3 appointments, from Mon, May 3, 2027, 9:00 AM"]
    clock.set(START - DAY + 2 * HOUR)
    assert len(await reminded(api)) == 1
    clock.set(START - 2 * HOUR)
    assert len(await reminded(api)) == 2
    clock.set(START + HOUR)
    assert len(await reminded(api)) == 2

    assert sorted(sql(DUE)) == sorted((minutes, START + n * HOUR) for minutes in ("1440", "120") for n in range(3))
    assert (await log(api))[0]["text"].startswith(
        "Hello Charles,\n\nThis is a reminder of your 3 appointments.\n\nWhat: Appointment\n"
        "When: Monday, May 3, 2027, 9:00 AM – 9:30 AM (Coordinated Universal Time)\n"
        "When: Monday, May 3, 2027, 10:00 AM – 10:30 AM (Coordinated Universal Time)\n"
        "When: Monday, May 3, 2027, 11:00 AM – 11:30 AM (Coordinated Universal Time)\n"
        "With: Ada Lovelace\n"
    )


async def test_of_a_visit_whose_first_reservation_is_cancelled_the_next_one_is_reminded_of(
    api: Api, sql: Sql, clock: Clock
) -> None:
    first, _, _ = await bundled(api, sql, "visit_id", START, START + HOUR, START + 2 * HOUR)
    sql("UPDATE reservations SET status = 'CANCELLED' WHERE id = %s", first)

    clock.set(START - DAY)
    assert await reminded(api) == []
    clock.set(START - DAY + HOUR)
    assert await reminded(api) == ["Reminder: 2 appointments, from Mon, May 3, 2027, 10:00 AM"]


async def test_what_was_moved_out_of_a_visit_to_another_day_is_reminded_of_on_its_own(
    api: Api, sql: Sql, clock: Clock
) -> None:
    await bundled(api, sql, "visit_id", START, START + HOUR, START + DAY)

    clock.set(START - DAY)
    assert await reminded(api) == ["Reminder: 2 appointments, from Mon, May 3, 2027, 9:00 AM"]
    clock.set(START - HOUR)
    assert len(await reminded(api)) == 2
    clock.set(START)
    assert (await reminded(api))[2:] == ["Reminder: Appointment, Tue, May 4, 2027, 9:00 AM"]


async def test_of_a_visit_that_is_booked_too_late_for_a_reminder_nothing_is_reminded_of(
    api: Api, sql: Sql, clock: Clock
) -> None:
    sql("UPDATE businesses SET lead_time = '01:00:00'")
    clock.set(START - DAY + MINUTE)
    await bundled(api, sql, "visit_id", START, START + HOUR)

    clock.set(START - DAY + HOUR)
    assert await reminded(api) == []
    clock.set(START - 2 * HOUR)
    assert await reminded(api) == ["Reminder: 2 appointments, from Mon, May 3, 2027, 9:00 AM"]


async def test_each_date_of_a_series_has_reminders_of_its_own_though_two_are_due_at_once(
    api: Api, sql: Sql, clock: Clock
) -> None:
    await bundled(api, sql, "series_id", START, START + HOUR)

    clock.set(START - DAY + HOUR)

    assert sorted(await reminded(api)) == [
        "Reminder: Appointment, Mon, May 3, 2027, 10:00 AM",
        "Reminder: Appointment, Mon, May 3, 2027, 9:00 AM",
    ]
