"""Resources: what a service needs beside its provider is claimed with it, and given back with it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from models.node_id import encode
from tests.api.test_any_provider import NINE, Supply
from tests.conftest import RESERVE, Api, serving

Sql = Callable[..., list[tuple[Any, ...]]]
HOUR = timedelta(hours=1)


# It is completed, or missed, once its time has come.
BEGUN = """UPDATE reservations SET lead_waived_by = id, starts_at = statement_timestamp() - interval '1 hour',
busy_from = statement_timestamp() - interval '1 hour' WHERE id = %s"""


class Rooms(Supply):
    """A service that needs a room, of which there are some; and times of providers of their own."""

    def __init__(self, sql: Sql, quantity: int = 1) -> None:
        super().__init__(sql)
        self.room = self.insert("resources", name="The bright room", quantity=quantity)
        self.insert("requirements", service_id=self.service, resource_id=self.room)

    def times(self, count: int, **more: Any) -> list[UUID]:
        """So many times at the same instant, each of another provider."""
        more = {"service_id": self.service, **more}
        providers = [self.insert("providers", first_name="Ada", last_name="Lovelace") for _ in range(count)]
        return [self.publish(provider, NINE, **more) for provider in providers]

    def claim(self, appointment: UUID, **more: Any) -> UUID:
        client = self.insert("clients", first_name="Charles", last_name="Babbage")
        return self.insert("reservations", client_id=client, appointment_id=appointment, **more)


async def code(api: Api, rooms: Supply, appointment: UUID) -> str:
    done = await api.reserve(rooms.client(), encode("Appointment", appointment))
    return done["reservation"]["status"] if done["reservation"] else str(done["userErrors"][0]["code"])


async def test_a_room_in_use_is_named(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql)
    first, second = rooms.times(2)
    assert await code(api, rooms, first) == "HELD"

    done = await api.reserve(rooms.client(), encode("Appointment", second))

    (error,) = done["userErrors"]
    assert (error["__typename"], error["code"]) == ("SlotUnavailableError", "SLOT_UNAVAILABLE")
    assert error["message"] == (
        "The service needs The bright room, which is not free at that time; choose another appointment."
    )
    assert sql("SELECT count(*) FROM reservations") == [(1,)]


@pytest.mark.parametrize("quantity", [1, 2, 3])
async def test_as_many_as_there_are_can_be_used_at_once(api: Api, sql: Sql, quantity: int) -> None:
    rooms = Rooms(sql, quantity)

    told = [await code(api, rooms, time) for time in rooms.times(4)]

    assert told == ["HELD"] * quantity + ["SLOT_UNAVAILABLE"] * (4 - quantity)
    assert sql("SELECT unit FROM resource_claims ORDER BY unit") == [(n,) for n in range(1, quantity + 1)]


async def test_two_services_share_a_room(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql)
    other = rooms.insert("services", name="Another")
    rooms.insert("requirements", service_id=other, resource_id=rooms.room)
    (first,), (second,) = rooms.times(1), rooms.times(1, service_id=other)

    assert [await code(api, rooms, time) for time in (first, second)] == ["HELD", "SLOT_UNAVAILABLE"]


async def test_the_seats_of_a_group_share_its_room(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql)
    (group,), (alone,) = rooms.times(1, capacity=3), rooms.times(1)

    assert [await code(api, rooms, time) for time in (group, group, alone, group, group)] == [
        *("HELD", "HELD", "SLOT_UNAVAILABLE", "HELD", "SLOT_UNAVAILABLE")
    ]
    assert sql("SELECT count(*), count(DISTINCT unit) FROM resource_claims") == [(3, 1)]


async def test_a_room_of_another_location_is_not_needed(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql)
    here, there = (rooms.insert("locations", name=name, time_zone="UTC") for name in ("Here", "There"))
    sql("UPDATE resources SET location_id = %s", here)

    assert [await code(api, rooms, time) for time in rooms.times(2, location_id=there)] == ["HELD", "HELD"]
    assert [await code(api, rooms, time) for time in rooms.times(2, location_id=here)] == ["HELD", "SLOT_UNAVAILABLE"]


async def test_a_lapsed_hold_gives_its_room_back_at_once(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql)
    first, second = rooms.times(2)
    sql("UPDATE businesses SET hold_time = '0.000001'")
    lapsed = rooms.claim(first)
    sql("UPDATE businesses SET hold_time = '00:30:00'")
    assert sql("SELECT status FROM reservations") == [("HELD",)]

    assert await code(api, rooms, second) == "HELD"

    assert sql("SELECT status FROM reservations WHERE id = %s", lapsed) == [("EXPIRED",)]
    assert sql("SELECT count(*) FROM resource_claims WHERE reservation_id = %s", lapsed) == [(0,)]


@pytest.mark.parametrize("status", ["CANCELLED", "COMPLETED", "NO_SHOW"])
async def test_whoever_is_done_gives_the_room_back(api: Api, sql: Sql, status: str) -> None:
    rooms = Rooms(sql)
    first, second = rooms.times(2)
    claim = rooms.claim(first, status="CONFIRMED")
    sql("SET session_replication_role = replica")
    sql(BEGUN, claim)
    sql("SET session_replication_role = origin")

    sql("UPDATE reservations SET status = %s WHERE id = %s", status, claim)

    assert await code(api, rooms, second) == "HELD"


async def test_a_room_that_is_claimed_by_hand_is_in_use(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql)
    first, second = rooms.times(2)
    plain = rooms.publish(rooms.insert("providers", first_name="Bob", last_name="Frank"), NINE)
    rooms.claim(plain, resource_id=rooms.room)

    assert [await code(api, rooms, time) for time in (first, second)] == ["SLOT_UNAVAILABLE"] * 2


async def test_of_20_providers_who_want_one_room_at_once_one_gets_it(database: str, sql: Sql) -> None:
    rooms = Rooms(sql)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = sql(deadlocks)
    wishes = [{"clientId": rooms.client(), "appointmentId": encode("Appointment", time)} for time in rooms.times(20)]

    async with serving(database, pool_size=20) as api:
        answers = await asyncio.gather(*(api(RESERVE, input=wish) for wish in wishes))

    payloads = [answer["reservationCreate"] for answer in answers]
    assert Counter(each["userErrors"][0]["code"] if each["userErrors"] else "HELD" for each in payloads) == {
        "HELD": 1,
        "SLOT_UNAVAILABLE": 19,
    }
    assert sql("SELECT count(*) FROM resource_claims") == [(1,)]
    sql("SELECT pg_stat_clear_snapshot()")
    assert sql(deadlocks) == before
