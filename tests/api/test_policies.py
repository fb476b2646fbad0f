"""Policies: the service that is chosen, its horizons, and until when a client may cancel; on both roads."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.node_id import encode
from models.viewer import Role
from tests.api.test_any_provider import NINE, UNKNOWN, Supply
from tests.conftest import CANCEL, RESERVE, Api, serving
from tests.tokens import Headers, bearer, token

Sql = Callable[..., list[tuple[Any, ...]]]
WINDOW = RESERVE.replace("... on LeadTimeError", "... on HorizonError { latestStart } ... on LeadTimeError")
TOO_LATE = CANCEL.replace("... on LeadTimeError", "... on CancellationWindowError { deadline } ... on LeadTimeError")
AFFECTED = "query ($affected: Boolean) { reservations(filter: { affected: $affected }) { nodes { id } totalCount } }"
OFFERED = "query ($id: ID!) { appointment(id: $id) { isOffered withdrawnAt } }"


@pytest.fixture(params=[True, False], ids=["compiled", "ordinary"])
async def api(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Either road."""
    async with serving(database, compile=request.param) as client:
        yield client


@pytest.fixture
def supply(sql: Sql) -> Supply:
    return Supply(sql)


@pytest.fixture
def provider(supply: Supply, sql: Sql) -> UUID:
    supply.provider()
    ((key,),) = sql("SELECT id FROM providers")
    return UUID(str(key))


async def refusal(api: Api, appointment: UUID, client: str, **more: Any) -> dict[str, Any]:
    done = await api(WINDOW, input={"clientId": client, "appointmentId": encode("Appointment", appointment), **more})
    assert done["reservationCreate"]["reservation"] is None
    (error,) = done["reservationCreate"]["userErrors"]
    return dict(error)


async def test_a_service_is_chosen_for_an_appointment_that_is_for_anything(
    api: Api, supply: Supply, provider: UUID, sql: Sql
) -> None:
    sql("UPDATE services SET price = 40, currency = 'EUR', buffer_after = '00:10:00', cancel_cutoff = '02:00:00'")
    nine = encode("Appointment", supply.publish(provider, NINE))

    done = await api.reserve(supply.client(), nine, serviceId=encode("Service", supply.service))

    assert done["userErrors"] == []
    assert sql(
        "SELECT service_id, price, currency, duration, busy_until - ends_at, cancel_cutoff FROM reservations"
    ) == [(supply.service, 40, "EUR", timedelta(hours=1), timedelta(minutes=10), timedelta(hours=2))]


async def test_a_service_that_does_not_fit_is_refused(api: Api, supply: Supply, provider: UUID, sql: Sql) -> None:
    client, nine = supply.client(), supply.publish(provider, NINE)
    long = supply.insert("services", name="Long", duration=timedelta(minutes=90))
    supply.insert("offerings", provider_id=provider, service_id=long)
    strange = supply.insert("services", name="Strange")
    fixed = supply.publish(provider, NINE + timedelta(hours=2), service_id=supply.service)

    async def told(appointment: UUID, service: UUID) -> tuple[str, list[str], str]:
        error = await refusal(api, appointment, client, serviceId=encode("Service", service))
        return error["code"], error["field"], error["message"]

    invalid = ("INVALID_INPUT", ["serviceId"])
    assert await told(nine, strange) == (*invalid, "The provider does not give this service there.")
    assert await told(nine, long) == (*invalid, "The service takes 90 minutes; this appointment has 60.")
    assert await told(fixed, strange) == (*invalid, "This appointment was published for another service.")
    assert await told(nine, UNKNOWN) == ("NOT_FOUND", ["serviceId"], "No service has this id.")
    sql("UPDATE services SET active = false")
    assert (await told(nine, supply.service))[:2] == ("NOT_OFFERED", ["serviceId"])
    assert (await refusal(api, fixed, client))["code"] == "NOT_OFFERED"
    assert sql("SELECT count(*) FROM reservations") == [(0,)]


async def test_what_lies_beyond_the_horizon_is_told_with_the_latest_start(
    api: Api, supply: Supply, provider: UUID, sql: Sql
) -> None:
    nine = supply.publish(provider, NINE)
    sql("UPDATE businesses SET maximum_horizon = '7 days'")

    error = await refusal(api, nine, supply.client())

    assert (error["code"], error["field"], error["__typename"]) == ("HORIZON", ["appointmentId"], "HorizonError")
    latest = datetime.fromisoformat(error["latestStart"])
    assert timedelta(days=7) - timedelta(minutes=1) < latest - datetime.now(UTC) < timedelta(days=7)
    sql("UPDATE services SET maximum_horizon = '30 days'")
    held = await api.reserve(supply.client(), encode("Appointment", nine), serviceId=encode("Service", supply.service))
    assert held["userErrors"] == []


async def test_nothing_nearer_than_the_minimum_horizon_is_reserved(
    api: Api, supply: Supply, provider: UUID, sql: Sql
) -> None:
    nine = supply.publish(provider, NINE)
    sql("UPDATE businesses SET minimum_horizon = '20 days'")

    error = await refusal(api, nine, supply.client())

    assert (error["code"], error["leadTimeMinutes"]) == ("LEAD_TIME", 20 * 24 * 60)
    assert sql("SELECT count(*) FROM reservations") == [(0,)]


async def test_a_withdrawn_appointment_stays_for_whoever_has_it_and_for_nobody_else(
    api: Api, supply: Supply, provider: UUID, sql: Sql
) -> None:
    nine, ten = (supply.publish(provider, NINE + timedelta(hours=n)) for n in range(2))
    mine = (await api.reserve(supply.client(), encode("Appointment", nine)))["reservation"]["id"]
    await api.reserve(supply.client(), encode("Appointment", ten))
    assert await api(OFFERED, id=encode("Appointment", nine)) == {
        "appointment": {"isOffered": True, "withdrawnAt": None}
    }

    sql("UPDATE appointments SET withdrawn_at = now() WHERE id = %s", nine)

    seen = (await api(OFFERED, id=encode("Appointment", nine)))["appointment"]
    assert (seen["isOffered"], seen["withdrawnAt"] is None) == (False, False)
    assert (await refusal(api, nine, supply.client()))["code"] == "APPOINTMENT_WITHDRAWN"
    affected = (await api(AFFECTED, affected=True))["reservations"]
    assert affected == {"nodes": [{"id": mine}], "totalCount": 1}
    assert (await api(AFFECTED, affected=False))["reservations"]["totalCount"] == 1
    assert (await api(AFFECTED, affected=None))["reservations"]["totalCount"] == 2
    assert (await api.confirm(mine))["reservation"]["status"] == "CONFIRMED"


@pytest.fixture
def booked(supply: Supply, provider: UUID, sql: Sql) -> tuple[str, Headers]:
    """A booking in ten days, which its client may cancel until twenty days before; and what that client sends."""
    sql("UPDATE businesses SET cancel_cutoff = '20 days'")
    client = supply.insert("clients", first_name="Charles", last_name="Babbage")
    values = {"client_id": client, "appointment_id": supply.publish(provider, NINE), "status": "CONFIRMED"}
    key = supply.insert("reservations", **values)
    sql("UPDATE businesses SET cancel_cutoff = '0'")
    return encode("Reservation", key), bearer(token(sql, Role.CLIENT, client))


async def cancelled(api: Api, reservation: str, headers: Headers | None = None) -> Any:
    answer = await api.post(TOO_LATE, headers, input={"reservationId": reservation})
    return answer["data"]["reservationCancel"]


async def test_a_client_cancels_until_the_cut_off_that_was_agreed_on(
    api: Api, booked: tuple[str, Headers], sql: Sql
) -> None:
    reservation, headers = booked

    refused = await cancelled(api, reservation, headers)

    (error,) = refused["userErrors"]
    assert refused["reservation"] is None
    assert (error["code"], error["field"]) == ("CANCELLATION_WINDOW", ["reservationId"])
    assert datetime.fromisoformat(error["deadline"]) == NINE - timedelta(days=20)
    assert sql("SELECT status FROM reservations") == [("CONFIRMED",)]


async def test_the_cut_off_binds_no_desk(api: Api, booked: tuple[str, Headers]) -> None:
    done = await api.cancel(booked[0], "the roof leaks")

    assert done["reservation"]["status"] == "CANCELLED"


async def test_the_cut_off_binds_no_hold_and_nobody_before_it(
    api: Api, supply: Supply, provider: UUID, booked: tuple[str, Headers], sql: Sql
) -> None:
    _, headers = booked
    ((client,),) = sql("SELECT client_id FROM reservations")
    for cutoff, status, hours in (("20 days", "HELD", 2), ("2 days", "CONFIRMED", 4)):
        sql("UPDATE businesses SET cancel_cutoff = %s", cutoff)
        appointment = supply.publish(provider, NINE + timedelta(hours=hours))
        key = supply.insert("reservations", client_id=client, appointment_id=appointment, status=status)

        done = await cancelled(api, encode("Reservation", key), headers)

        assert (done["userErrors"], done["reservation"]["status"]) == ([], "CANCELLED")
