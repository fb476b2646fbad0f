"""What is sent wrong to the mutations of a reservation's life gets one clear sentence, and changes nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api
from tests.keys import OTHER, another_business
from tests.life import OF_APPOINTMENTS, as_client, as_provider, document, done, refused, send
from tests.supply import Supply, soon
from tests.tokens import Headers, bearer, token

Sql = Callable[..., list[tuple[Any, ...]]]
HOUR = timedelta(hours=1)
NINE = soon(days=10)
OF_RESERVATIONS = (
    *("reservationConfirm", "reservationCancel", "reservationRelease", "reservationRenew", "reservationReschedule"),
    *("reservationApprove", "reservationDecline", "reservationMarkNoShow"),
)
FOR_CLIENTS = OF_RESERVATIONS[:5]
MUTATIONS = (*OF_RESERVATIONS, *OF_APPOINTMENTS)
UNKNOWN = UUID("0190ffff-ffff-7fff-8fff-ffffffffffff")


class World:
    """A provider with two times, the first of them booked."""

    def __init__(self, api: Api, sql: Sql) -> None:
        self.api, self.sql = api, sql
        supply = Supply(sql)
        self.provider = supply.provider()
        self.times = [supply.appointment(self.provider, NINE + n * HOUR) for n in range(2)]
        self.client = supply.add("Client", "clients", first_name="Charles", last_name="Babbage")
        self.booking = ""

    async def begin(self) -> "World":
        self.booking = (await self.api.reserve(self.client, self.times[0]))["reservation"]["id"]
        await self.api.confirm(self.booking)
        return self

    def given(self, name: str, **more: Any) -> dict[str, Any]:
        """The input of a mutation about the booking."""
        if name in OF_APPOINTMENTS:
            return {"appointmentId": self.times[0], **more}
        target = {"appointmentId": self.times[1]} if name == "reservationReschedule" else {}
        return {"reservationId": self.booking, **target, **more}

    def about(self, name: str, identity: str) -> dict[str, Any]:
        return self.given(name, **{"appointmentId" if name in OF_APPOINTMENTS else "reservationId": identity})

    def rows(self) -> list[tuple[Any, ...]]:
        events = "SELECT count(*) FROM events WHERE type LIKE 'scheduling.reservation.%%'"
        return [*self.sql("SELECT r::text FROM reservations r ORDER BY id"), *self.sql(events)]


@pytest.fixture
async def world(api: Api, sql: Sql) -> World:
    return await World(api, sql).begin()


@pytest.mark.parametrize("name", MUTATIONS)
async def test_an_id_that_is_none_or_of_nothing_is_refused(world: World, api: Api, name: str) -> None:
    before = world.rows()
    noun = "Appointment" if name in OF_APPOINTMENTS else "Reservation"
    field = [f"{noun.lower()}Id"]

    for identity, code in (
        ("", "INVALID_INPUT"),
        ("x" * 5_000, "INVALID_INPUT"),
        ("\0", "INVALID_INPUT"),
        (encode("Client", UNKNOWN), "NOT_FOUND"),
        (encode(noun, UNKNOWN), "NOT_FOUND"),
    ):
        error = await refused(api, name, **world.about(name, identity))
        assert (error["code"], error["field"], error["retryable"]) == (code, field, False)

    assert world.rows() == before


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_key_that_is_none_is_refused(world: World, api: Api, name: str) -> None:
    before = world.rows()

    for key in ("", "x" * 256, "a\nb", "a\0b"):
        error = await refused(api, name, **world.given(name, idempotencyKey=key))
        assert (error["code"], error["field"]) == ("INVALID_INPUT", ["idempotencyKey"])

    assert world.rows() == before


@pytest.mark.parametrize("name", MUTATIONS)
async def test_another_business_does_not_find_it(world: World, api: Api, sql: Sql, name: str) -> None:
    another_business(sql)
    before = world.rows()

    error = await refused(api, name, bearer(token(sql, Role.ADMIN, business=OTHER)), **world.given(name))

    assert error["code"] == "NOT_FOUND"
    assert world.rows() == before


@pytest.mark.parametrize("name", OF_RESERVATIONS)
async def test_others_do_not_find_a_reservation_that_is_not_theirs(world: World, api: Api, sql: Sql, name: str) -> None:
    supply = Supply(sql)
    stranger = as_client(sql, supply.add("Client", "clients", first_name="No", last_name="Body"))
    before = world.rows()

    provider = await refused(api, name, as_provider(sql, supply.provider()), **world.given(name))
    answer = await api.post(document(name), stranger, input=world.given(name))

    assert provider["code"] == "NOT_FOUND"
    if name in FOR_CLIENTS:
        assert [error["code"] for error in answer["data"][name]["userErrors"]] == ["NOT_FOUND"]
    else:
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    assert world.rows() == before


@pytest.mark.parametrize("name", OF_APPOINTMENTS)
async def test_an_appointment_is_no_clients_and_no_other_providers_affair(
    world: World, api: Api, sql: Sql, name: str
) -> None:
    before = world.rows()
    client, provider = as_client(sql, world.client), as_provider(sql, Supply(sql).provider())

    by_client = await api.post(document(name), client, input=world.given(name))
    by_provider = await api.post(document(name), provider, input=world.given(name))

    told = by_provider.get("errors") or [{"extensions": error} for error in by_provider["data"][name]["userErrors"]]
    assert [error["extensions"]["code"] for error in by_client["errors"]] == ["FORBIDDEN"]
    assert [error["extensions"]["code"] for error in told] == ["FORBIDDEN"]
    assert world.rows() == before


@pytest.mark.parametrize("name", ["reservationCancel", "reservationDecline"])
async def test_a_reason_is_short_and_plain(world: World, api: Api, name: str) -> None:
    before = world.rows()

    for reason in ("x" * 2_001, "a\0b", "\x07"):
        error = await refused(api, name, **world.given(name, reason=reason))
        assert (error["code"], error["field"]) == ("INVALID_INPUT", ["reason"])

    assert world.rows() == before


@pytest.mark.parametrize(("version", "code"), [(-1, "INVALID_INPUT"), (0, "VERSION_CONFLICT"), (7, "VERSION_CONFLICT")])
async def test_a_version_that_it_does_not_have_is_refused(world: World, api: Api, version: int, code: str) -> None:
    before = world.rows()

    error = await refused(api, "reservationReschedule", **world.given("reservationReschedule", expectedVersion=version))

    assert (error["code"], error["field"], error.get("currentVersion", 2)) == (code, ["expectedVersion"], 2)
    assert world.rows() == before


async def test_where_it_is_to_go_is_found_by_its_id(world: World, api: Api) -> None:
    before = world.rows()

    for identity, code in (
        ("", "INVALID_INPUT"),
        (encode("Reservation", UNKNOWN), "NOT_FOUND"),
        (encode("Appointment", UNKNOWN), "NOT_FOUND"),
    ):
        given: dict[str, Any] = {"reservationId": world.booking, "appointmentId": identity}
        error = await refused(api, "reservationReschedule", **given)
        assert (error["code"], error["field"]) == (code, ["appointmentId"])

    assert world.rows() == before


@pytest.mark.parametrize("provider", ["", encode("Client", UNKNOWN), encode("Provider", UNKNOWN), "itself"])
async def test_who_takes_an_appointment_over_is_another_provider(world: World, api: Api, provider: str) -> None:
    wanted = world.provider if provider == "itself" else provider

    error = await refused(api, "appointmentReassign", appointmentId=world.times[0], providerId=wanted)

    code = "INVALID_INPUT" if provider in ("", "itself") else "NOT_FOUND"
    assert (error["code"], error["field"]) == (code, ["providerId"])


# The same key


async def _ready(world: World, sql: Sql, name: str) -> dict[str, Any]:
    """Have the booking be what a mutation changes."""
    change = {
        "reservationConfirm": "status = 'HELD', confirmed_at = NULL",
        "reservationRelease": "status = 'HELD', confirmed_at = NULL",
        "reservationRenew": "status = 'HELD', confirmed_at = NULL",
        "reservationApprove": "status = 'HELD', confirmed_at = NULL, requested_at = created_at, approval_time = '1 hour'",
        "reservationDecline": "status = 'HELD', confirmed_at = NULL, requested_at = created_at, approval_time = '1 hour'",
    }.get(name)
    if change:
        sql("SET session_replication_role = replica")
        sql(f"UPDATE reservations SET {change}")
        sql("SET session_replication_role = DEFAULT")
    if name == "appointmentReassign":
        supply = Supply(sql)
        supply.appointment(supply.provider(), NINE)
    return world.given(name, idempotencyKey="a key")


WRITING = [
    name for name in MUTATIONS if name not in ("reservationMarkNoShow", "appointmentStart", "appointmentComplete")
]


@pytest.mark.parametrize("name", WRITING)
async def test_a_key_that_is_sent_again_changes_nothing_more(world: World, api: Api, sql: Sql, name: str) -> None:
    given = await _ready(world, sql, name)

    first = await done(api, name, **given)
    before = world.rows()
    again = await api.post(document(name), input=given)

    assert again["extensions"] == {"idempotentReplay": True}
    told = again["data"][name]
    if name in OF_APPOINTMENTS:
        assert (told["appointment"], told["reservations"]) == (first["appointment"], first["reservations"])
    else:
        assert told["reservation"] == first
    assert world.rows() == before


@pytest.mark.parametrize("name", WRITING)
async def test_a_key_is_for_one_request_of_one_principal(world: World, api: Api, sql: Sql, name: str) -> None:
    given = await _ready(world, sql, name)
    await done(api, name, **given)
    before = world.rows()

    other = {**given, "reservationId": encode("Reservation", UNKNOWN)}
    if name in OF_APPOINTMENTS:
        other = {**given, "appointmentId": world.times[1]}
    reused = await refused(api, name, **other)
    admin: Headers = bearer(token(sql, Role.ADMIN))
    independent = await send(api, name, admin, **other)

    assert (reused["code"], reused["field"]) == ("IDEMPOTENCY_KEY_REUSED", ["idempotencyKey"])
    assert [error["code"] for error in independent["userErrors"]] != ["IDEMPOTENCY_KEY_REUSED"]
    assert world.rows() == before
