"""Floods: whatever a client does with their bookings, nobody is sent one message after the other."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from models import letter
from models.business import DEFAULT_BUSINESS
from models.viewer import Role
from tests.conftest import Api
from tests.keys import bearer
from tests.mail import log, told
from tests.supply import Supply, key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
MOVE = (
    "mutation ($input: ReservationRescheduleInput!) { reservationReschedule(input: $input)"
    " { reservation { version } userErrors { code } } }"
)
EVERYTHING = "INSERT INTO notification_preferences (business_id, channel, topic, client_id, enabled) VALUES (%s, 'SMS', 'BOOKING', %s, true)"


class Booked:
    """A booking, and a second time to which it can be moved."""

    def __init__(self, api: Api, sql: Sql) -> None:
        self.api, self.sql, self.supply = api, sql, Supply(sql)

    async def open(self) -> "Booked":
        self.provider = self.supply.provider(email="ada@salon.example")
        self.client = await self.api.client()
        self.sql("UPDATE clients SET email = 'charles@home.example', phone = '+49 170 1'")
        self.times = [self.supply.appointment(self.provider, soon(5, hour), 60) for hour in (9, 12)]
        self.reservation = (await self.api.reserve(self.client, self.times[0]))["reservation"]["id"]
        await self.api.confirm(self.reservation)
        self.headers = await bearer(self.api, Role.CLIENT, person=self.client)
        return self

    async def move(self, n: int) -> None:
        wanted = {"reservationId": self.reservation, "appointmentId": self.times[n % 2]}
        answer = await self.api.post(MOVE, self.headers, input=wanted)
        assert answer["data"]["reservationReschedule"]["userErrors"] == []


@pytest.fixture
async def booked(api: Api, sql: Sql) -> Booked:
    return await Booked(api, sql).open()


async def test_who_moves_a_booking_to_and_fro_is_told_where_it_is_in_the_end(api: Api, booked: Booked) -> None:
    for n in range(1, 41):
        await booked.move(n)

    done = await told(api.database)

    assert (done["logged"], done["dropped"]) == (2, 80)
    messages = [(node["template"], node["status"], node["problem"]) for node in await log(api)]
    assert Counter(messages) == {
        ("RESCHEDULED", "LOGGED", None): 1,
        ("BOOKING_RESCHEDULED", "LOGGED", None): 1,
        ("CONFIRMED", "DROPPED", letter.TOLD_ANEW): 1,
        ("BOOKED", "DROPPED", letter.TOLD_ANEW): 1,
        ("RESCHEDULED", "DROPPED", letter.UNTRUE): 20,
        ("BOOKING_RESCHEDULED", "DROPPED", letter.UNTRUE): 20,
        ("RESCHEDULED", "DROPPED", letter.TOLD_ANEW): 19,
        ("BOOKING_RESCHEDULED", "DROPPED", letter.TOLD_ANEW): 19,
    }
    newest = {node["template"]: node["status"] for node in reversed(await log(api))}
    assert (newest["RESCHEDULED"], newest["BOOKING_RESCHEDULED"]) == ("LOGGED", "LOGGED")


async def test_one_client_causes_so_many_messages_within_an_hour_and_no_more(
    api: Api, sql: Sql, booked: Booked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter, "MOST_PER_HOUR", {"EMAIL": 4, "SMS": 2})
    sql(EVERYTHING, DEFAULT_BUSINESS, key(booked.client))
    done = Counter(await told(api.database))
    for n in range(1, 7):
        await booked.move(n)
        done.update(await told(api.database))

    statuses = Counter((node["channel"], node["status"], node["problem"]) for node in await log(api))
    assert statuses == {
        ("EMAIL", "LOGGED", None): 8,
        ("EMAIL", "DROPPED", letter.TOO_MANY): 6,
        ("SMS", "LOGGED", None): 2,
        ("SMS", "DROPPED", letter.TOO_MANY): 5,
    }
    assert (done["logged"], done["dropped"]) == (10, 11)

    somebody = await api.client("Ada", "King")  # another client's booking is told to the provider all the same
    time = booked.supply.appointment(booked.provider, soon(6, 9), 60)
    await api.confirm((await api.reserve(somebody, time))["reservation"]["id"])
    assert (await told(api.database))["logged"] == 1

    sql("UPDATE notifications SET created_at = created_at - interval '61 min'")
    await booked.move(7)
    assert (await told(api.database))["logged"] == 3


async def test_a_whole_series_that_is_changed_one_by_one_counts_as_one_thing(
    api: Api, sql: Sql, booked: Booked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter, "MOST_PER_HOUR", {"EMAIL": 2, "SMS": 1})
    await told(api.database)
    times = [booked.supply.appointment(booked.provider, soon(6, 9) + timedelta(weeks=n), 60) for n in range(3)]
    ((series,),) = sql(
        "INSERT INTO reservation_series (business_id, client_id, every_weeks, count) VALUES (%s, %s, 1, 3) RETURNING id",
        *(DEFAULT_BUSINESS, key(booked.client)),
    )
    for time in times:
        sql(
            "INSERT INTO reservations (business_id, client_id, appointment_id, series_id) VALUES (%s, %s, %s, %s)",
            *(DEFAULT_BUSINESS, key(booked.client), key(time), series),
        )
    each = sql("SELECT id FROM reservations WHERE series_id = %s ORDER BY starts_at", series)
    for (one,) in each:
        sql("UPDATE reservations SET status = 'CONFIRMED' WHERE id = %s", one)

    done = await told(api.database)
    monkeypatch.setattr(letter, "MOST_AT_ALL", 6)
    for (one,) in each:
        sql("UPDATE reservations SET status = 'CANCELLED' WHERE id = %s", one)
    end = await told(api.database)

    assert (done["logged"], done["dropped"]) == (6, 0)
    assert (end["logged"], end["dropped"]) == (4, 2)  # of the client and of the provider: one, three, and two more
