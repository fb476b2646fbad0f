"""The booking core: publish, find, hold, confirm, cancel."""

from collections.abc import Callable
from typing import Any

import pytest

from models.node_id import encode
from tests.conftest import Api

Sql = Callable[..., list[tuple[Any, ...]]]


async def test_a_published_hour_is_four_free_quarters(api: Api) -> None:
    ada = await api.provider()

    await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T10:10:00Z")

    found = await api(
        "{ availableAppointments { totalCount nodes { startsAt endsAt timeSlot capacity provider { id } } } }"
    )
    assert found["availableAppointments"]["totalCount"] == 4
    assert found["availableAppointments"]["nodes"][3] == {
        "startsAt": "2027-05-03T09:45:00Z",
        "endsAt": "2027-05-03T10:00:00Z",
        "timeSlot": "2027-05-03T09:45:00Z",
        "capacity": 1,
        "provider": {"id": ada},
    }


async def test_a_held_appointment_is_not_free_and_a_cancelled_one_is_again(api: Api, sql: Sql) -> None:
    ada, charles = await api.provider(), await api.client()
    nine, quarter_past = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:30:00Z")

    held = await api.reserve(charles, nine)

    assert held["userErrors"] == []
    assert held["reservation"]["status"] == "HELD"
    assert held["reservation"]["version"] == 1
    free = "{ availableAppointments { nodes { id } } }"
    assert (await api(free))["availableAppointments"]["nodes"] == [{"id": quarter_past}]

    cancelled = await api.cancel(held["reservation"]["id"], "ill")

    assert cancelled["reservation"]["status"] == "CANCELLED"
    assert (await api(free))["availableAppointments"]["nodes"] == [{"id": nine}, {"id": quarter_past}]
    assert [row[0] for row in sql("SELECT type FROM events WHERE type LIKE '%%reservation%%' ORDER BY seq")] == [
        "scheduling.reservation.held.v1",
        "scheduling.reservation.cancelled.v1",
    ]


async def test_a_hold_is_confirmed_once_however_often_it_is_asked(api: Api, sql: Sql) -> None:
    ada, charles = await api.provider(), await api.client()
    (nine,) = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:15:00Z")
    held = (await api.reserve(charles, nine))["reservation"]

    first = await api.confirm(held["id"])
    second = await api.confirm(held["id"])

    assert first == second
    assert first["reservation"]["confirmed"] is True
    assert first["reservation"]["version"] == 2
    assert sql("SELECT count(*) FROM events WHERE type = 'scheduling.reservation.confirmed.v1'") == [(1,)]


async def test_a_taken_appointment_is_refused_with_the_three_nearest_free_ones(api: Api, sql: Sql) -> None:
    ada, charles = await api.provider(), await api.client()
    times = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T10:30:00Z")
    await api.reserve(charles, times[1])

    refused = await api.reserve(await api.client("Mary"), times[1])

    assert refused["reservation"] is None
    (error,) = refused["userErrors"]
    assert (error["code"], error["field"]) == ("SLOT_UNAVAILABLE", ["appointmentId"])
    assert [near["id"] for near in error["alternatives"]] == [times[0], times[2], times[3]]
    assert sql("SELECT count(*) FROM reservations") == [(1,)]


async def test_without_user_errors_the_same_refusal_stands_at_the_top(api: Api) -> None:
    ada, charles = await api.provider(), await api.client()
    (nine,) = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:15:00Z")
    await api.reserve(charles, nine)
    silent = "mutation ($input: ReservationCreateInput!) { reservationCreate(input: $input) { reservation { id } } }"

    answer = await api.post(silent, input={"clientId": charles, "appointmentId": nine})

    (error,) = answer["errors"]
    assert answer["data"] is None
    assert error["message"] == "This appointment is taken; choose another one."
    assert error["extensions"]["code"] == "SLOT_UNAVAILABLE"
    assert error["extensions"]["field"] == "appointmentId"
    assert error["extensions"]["requestId"]
    assert error["path"] == ["reservationCreate"]


@pytest.mark.parametrize(
    "selected", ["userErrors @skip(if: true) { code }", "... @include(if: false) { userErrors { code } }"]
)
async def test_user_errors_that_are_skipped_are_not_selected(api: Api, selected: str) -> None:
    query = (
        "mutation ($input: ReservationConfirmInput!) { reservationConfirm(input: $input) { reservation { id } %s } }"
    )

    answer = await api.post(
        query % selected, input={"reservationId": "UmVzZXJ2YXRpb246MDE5M2I1ZjAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAx"}
    )

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["NOT_FOUND"]


async def test_a_reservation_is_one_statement_with_its_event_and_its_key(
    api: Api, statements: Callable[[], list[str]], sql: Sql
) -> None:
    ada, charles = await api.provider(), await api.client()
    (nine,) = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:15:00Z")
    statements()

    await api.reserve(charles, nine, idempotencyKey="once")

    assert len(statements()) == 1
    assert sql("SELECT count(*) FROM events WHERE type = 'scheduling.reservation.held.v1'") == [(1,)]
    assert sql("SELECT key FROM idempotency_keys") == [("once",)]


@pytest.mark.parametrize(
    ("before", "after", "offered"),
    [("0", "30 minutes", ["09:00", "09:15", "09:30", "09:45"]), ("30 minutes", "0", ["09:00", "09:45"])],
)
async def test_seats_of_one_group_share_its_busy_time_and_what_is_offered_beside_it_can_be_reserved(
    api: Api, sql: Sql, before: str, after: str, offered: list[str]
) -> None:
    ada, charles = await api.provider(), await api.client()
    ((service,),) = sql(
        "INSERT INTO services (business_id, name, buffer_after) SELECT id, 'Analysis', %s::interval FROM businesses RETURNING id",
        before,
    )
    analysis = {"serviceId": encode("Service", service)}
    (group,) = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:15:00Z", capacity=3, **analysis)
    await api.publish(ada, "2027-05-03T09:15:00Z", "2027-05-03T10:00:00Z", **analysis)
    await api.reserve(charles, group)
    sql("UPDATE services SET buffer_after = %s::interval", after)

    second = await api.reserve(charles, group)

    assert (second["reservation"]["seat"], second["userErrors"]) == (2, [])
    assert sql(
        "SELECT count(*), count(DISTINCT (busy_from, busy_until)), max(busy_until - ends_at)::text = %s::interval::text FROM reservations",
        before,
    ) == [(2, 1, True)]
    free = "{ availableAppointments { nodes { id startsAt } } }"
    nodes = (await api(free))["availableAppointments"]["nodes"]
    assert [node["startsAt"][11:16] for node in nodes] == offered
    while nodes:
        taken = await api.reserve(charles, nodes[0]["id"])
        assert (taken["userErrors"], taken["reservation"]["status"]) == ([], "HELD")
        nodes = (await api(free))["availableAppointments"]["nodes"]
    assert sql("SELECT count(DISTINCT (busy_from, busy_until)) FROM reservations WHERE capacity = 3") == [(1,)]


async def test_the_state_that_stands_in_the_way_is_one_of_those_of_a_reservation(api: Api) -> None:
    ada, charles = await api.provider(), await api.client()
    (nine,) = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:15:00Z")
    held = (await api.reserve(charles, nine))["reservation"]
    await api.cancel(held["id"])

    refused = await api.confirm(held["id"])
    contract = await api("""{
      __type(name: "IllegalStateError") { fields { name type { kind ofType { kind name enumValues { name } } } } }
    }""")

    (error,) = refused["userErrors"]
    assert (error["__typename"], error["code"], error["state"]) == ("IllegalStateError", "ILLEGAL_STATE", "CANCELLED")
    (state,) = [field["type"] for field in contract["__type"]["fields"] if field["name"] == "state"]
    assert (state["kind"], state["ofType"]["kind"], state["ofType"]["name"]) == (
        "NON_NULL",
        "ENUM",
        "ReservationStatus",
    )
    assert {"name": error["state"]} in state["ofType"]["enumValues"]


async def test_a_refusal_at_the_top_names_the_state_as_well(api: Api) -> None:
    ada, charles = await api.provider(), await api.client()
    (nine,) = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:15:00Z")
    held = (await api.reserve(charles, nine))["reservation"]
    await api.cancel(held["id"])
    silent = "mutation ($input: ReservationConfirmInput!) { reservationConfirm(input: $input) { reservation { id } } }"

    answer = await api.post(silent, input={"reservationId": held["id"]})

    (error,) = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["state"]) == ("ILLEGAL_STATE", "CANCELLED")
