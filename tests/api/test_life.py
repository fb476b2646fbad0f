"""The life of a reservation: it is moved, requested, approved, renewed, begun, completed, missed and given back."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from models.node_id import decode
from models.viewer import Role
from tests.conftest import Api, serving
from tests.life import as_client, as_provider, done, events, later, refused
from tests.supply import Supply, key, soon
from tests.tokens import Headers, bearer, token

Sql = Callable[..., list[tuple[Any, ...]]]
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
NINE = soon(days=10)


@pytest.fixture(params=[True, False], ids=["compiled", "ordinary"])
async def api(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Either road."""
    async with serving(database, compile=request.param) as client:
        yield client


@dataclass
class Day:
    """A provider's day of free hours from nine o'clock on, and a client."""

    supply: Supply
    provider: str
    client: str
    hours: list[str]


@pytest.fixture
async def day(api: Api, sql: Sql) -> Day:
    supply = Supply(sql)
    provider = supply.provider()
    return Day(supply, provider, await api.client(), [supply.appointment(provider, NINE + n * HOUR) for n in range(4)])


async def held(api: Api, day: Day, hour: int = 0, **more: Any) -> str:
    payload = await api.reserve(day.client, day.hours[hour], **more)
    assert payload["userErrors"] == []
    identity: str = payload["reservation"]["id"]
    return identity


async def booked(api: Api, day: Day, hour: int = 0, **more: Any) -> str:
    identity = await held(api, day, hour, **more)
    assert (await api.confirm(identity))["userErrors"] == []
    return identity


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Moving


async def test_a_booking_is_moved_in_place(api: Api, day: Day, sql: Sql) -> None:
    booking = await booked(api, day)

    moved = await done(
        api, "reservationReschedule", reservationId=booking, appointmentId=day.hours[2], expectedVersion=2
    )

    assert (moved["id"], moved["status"], moved["version"]) == (booking, "CONFIRMED", 3)
    assert (moved["appointment"]["id"], instant(moved["startsAt"])) == (day.hours[2], NINE + 2 * HOUR)
    assert events(sql, booking) == ["held", "confirmed", "rescheduled"]
    ((data,),) = sql("SELECT data -> 'from' FROM events WHERE type LIKE '%%rescheduled%%'")
    assert data["appointment_id"] == str(key(day.hours[0]))
    assert (await api.reserve(day.client, day.hours[0]))["userErrors"] == []
    (error,) = (await api.reserve(day.client, day.hours[2]))["userErrors"]
    assert error["code"] == "SLOT_UNAVAILABLE"


async def test_its_own_time_is_in_nobodys_way(api: Api, day: Day, sql: Sql) -> None:
    booking = await booked(api, day)
    quarter_past = day.supply.appointment(day.provider, NINE + 15 * MINUTE)

    moved = await done(api, "reservationReschedule", reservationId=booking, appointmentId=quarter_past)

    assert instant(moved["startsAt"]) == NINE + 15 * MINUTE
    assert sql("SELECT count(*) FROM reservations WHERE live") == [(1,)]


async def test_where_it_is_already_it_stays(api: Api, day: Day, sql: Sql) -> None:
    booking = await booked(api, day)

    same = await done(api, "reservationReschedule", reservationId=booking, appointmentId=day.hours[0])
    again = await done(
        api, "reservationReschedule", reservationId=booking, appointmentId=day.hours[0], idempotencyKey="k"
    )

    assert (same, same["version"]) == (again, 2)
    assert events(sql, booking) == ["held", "confirmed"]
    assert sql("SELECT count(*) FROM idempotency_keys WHERE key = 'k'") == [(1,)]


async def test_a_move_is_checked_as_if_it_were_reserved(api: Api, day: Day, sql: Sql) -> None:
    booking, other = await booked(api, day), await held(api, day, 1)
    near = day.supply.appointment(day.provider, soon(days=1, hour=0))
    gone = day.supply.appointment(day.provider, NINE + 8 * HOUR)
    sql("UPDATE appointments SET withdrawn_at = now() WHERE id = %s", key(gone))
    sql("UPDATE businesses SET maximum_horizon = '20 days'")
    far = day.supply.appointment(day.provider, NINE + 20 * DAY)
    colouring = day.supply.service("Colouring")
    elsewhere = day.supply.appointment(day.provider, NINE + 9 * HOUR, service_id=colouring)
    found = {
        name: await refused(api, "reservationReschedule", reservationId=booking, appointmentId=appointment)
        for name, appointment in {
            "taken": day.hours[1],
            "near": near,
            "far": far,
            "gone": gone,
            "of another service": elsewhere,
            "unknown": day.hours[0][:-4] + "MDA=",
        }.items()
        if name != "unknown"
    }

    assert {name: error["code"] for name, error in found.items()} == {
        "taken": "SLOT_UNAVAILABLE",
        "near": "LEAD_TIME",
        "far": "HORIZON",
        "gone": "APPOINTMENT_WITHDRAWN",
        "of another service": "INVALID_INPUT",
    }
    assert {tuple(error["field"]) for error in found.values()} == {("appointmentId",)}
    assert [each["id"] for each in found["taken"]["alternatives"]] == [day.hours[2], day.hours[3]]
    assert abs(instant(found["near"]["earliestStart"]) - datetime.now(NINE.tzinfo) - DAY) < MINUTE
    assert events(sql, booking) == ["held", "confirmed"]
    assert events(sql, other) == ["held"]


async def test_a_stale_version_is_refused(api: Api, day: Day, sql: Sql) -> None:
    booking = await booked(api, day)

    error = await refused(
        api, "reservationReschedule", reservationId=booking, appointmentId=day.hours[1], expectedVersion=1
    )

    assert (error["code"], error["currentVersion"]) == ("VERSION_CONFLICT", 2)
    assert events(sql, booking) == ["held", "confirmed"]


async def test_what_has_begun_or_lapsed_is_not_moved(api: Api, day: Day, sql: Sql) -> None:
    booking, hold = await booked(api, day), await held(api, day, 1)
    later(sql, NINE - datetime.now(NINE.tzinfo) + MINUTE)

    past = await refused(api, "reservationReschedule", reservationId=booking, appointmentId=day.hours[3])
    lapsed = await refused(api, "reservationReschedule", reservationId=hold, appointmentId=day.hours[3])

    assert (past["code"], past["state"]) == ("ILLEGAL_STATE", "CONFIRMED")
    assert lapsed["code"] == "HOLD_EXPIRED"


async def test_a_client_moves_a_booking_until_the_cut_off_and_a_hold_after_it(api: Api, day: Day, sql: Sql) -> None:
    sql("UPDATE businesses SET cancel_cutoff = '20 days'")
    booking, hold, mine = await booked(api, day), await held(api, day, 1), as_client(sql, day.client)

    error = await refused(api, "reservationReschedule", mine, reservationId=booking, appointmentId=day.hours[2])
    moved = await done(api, "reservationReschedule", mine, reservationId=hold, appointmentId=day.hours[2])
    by_desk = await done(api, "reservationReschedule", reservationId=booking, appointmentId=day.hours[3])

    assert (error["code"], instant(error["deadline"])) == ("CANCELLATION_WINDOW", NINE - 20 * DAY)
    assert (moved["status"], by_desk["status"]) == ("HELD", "CONFIRMED")


async def test_a_provider_moves_to_their_own_times(api: Api, day: Day, sql: Sql) -> None:
    booking, me = await booked(api, day), as_provider(sql, day.provider)
    other = day.supply.provider()
    theirs = day.supply.appointment(other, NINE + 5 * HOUR)

    error = await refused(api, "reservationReschedule", me, reservationId=booking, appointmentId=theirs)
    moved = await done(api, "reservationReschedule", me, reservationId=booking, appointmentId=day.hours[1])
    strange = await refused(
        api, "reservationReschedule", as_provider(sql, other), reservationId=booking, appointmentId=theirs
    )

    assert (error["code"], moved["version"], strange["code"]) == ("FORBIDDEN", 3, "NOT_FOUND")


async def test_what_it_needs_moves_along(api: Api, day: Day, sql: Sql) -> None:
    service = day.supply.service(duration="01:00:00")
    day.supply.offer(day.provider, service)
    day.supply.resource("the room", service)
    booking = await booked(api, day, serviceId=service)
    quarter_past = day.supply.appointment(day.provider, NINE + 15 * MINUTE)
    claims = "SELECT reservation_id, unit, busy_from FROM resource_claims"

    for appointment, starts_at in ((quarter_past, NINE + 15 * MINUTE), (day.hours[2], NINE + 2 * HOUR)):
        await done(api, "reservationReschedule", reservationId=booking, appointmentId=appointment)

        assert sql(claims) == [(key(booking), 1, starts_at)]


async def test_a_seat_of_a_group_is_moved_to_a_seat_that_is_left(api: Api, day: Day, sql: Sql) -> None:
    group, full = (day.supply.appointment(day.provider, NINE + n * HOUR, capacity=2) for n in (6, 8))
    day.hours += [group, full]
    mine, first, *_ = [await booked(api, day, hour) for hour in (4, 4, 5, 5)]

    error = await refused(api, "reservationReschedule", reservationId=mine, appointmentId=full)
    await api.cancel(first)
    assert error["code"] == "SLOT_UNAVAILABLE"
    ((gone,),) = sql(
        "UPDATE reservations SET status = 'CANCELLED' WHERE appointment_id = %s AND seat = 1 RETURNING id", key(full)
    )
    await done(api, "reservationReschedule", reservationId=mine, appointmentId=full)

    assert sql("SELECT id, seat FROM reservations WHERE live ORDER BY seat")[0] == (key(mine), 1)
    assert gone != key(mine)


# Requests


@pytest.fixture
async def request_(api: Api, day: Day, sql: Sql) -> tuple[str, Headers]:
    """What a client has confirmed and a provider has to approve within an hour; and what the client sends."""
    service = day.supply.service("Tattoo", approval_time="01:00:00")
    day.supply.offer(day.provider, service)
    mine = as_client(sql, day.client)
    hold = await held(api, day, serviceId=service)
    asked = await done(api, "reservationConfirm", mine, reservationId=hold)
    assert (asked["status"], asked["needsApproval"], asked["confirmedAt"]) == ("PENDING", True, None)
    assert instant(asked["expiresAt"]) - instant(asked["requestedAt"]) == HOUR
    return hold, mine


async def test_a_request_keeps_its_seat_until_it_is_approved(
    api: Api, day: Day, request_: tuple[str, Headers], sql: Sql
) -> None:
    request, mine = request_

    again = await done(api, "reservationConfirm", mine, reservationId=request)
    (taken,) = (await api.reserve(day.client, day.hours[0]))["userErrors"]
    pending = await api("{ reservations(filter: { status: [PENDING] }) { nodes { id status } } }")
    approved = await done(api, "reservationApprove", as_provider(sql, day.provider), reservationId=request)
    twice = await done(api, "reservationApprove", reservationId=request)

    assert (again["status"], again["version"], taken["code"]) == ("PENDING", 2, "SLOT_UNAVAILABLE")
    assert pending["reservations"]["nodes"] == [{"id": request, "status": "PENDING"}]
    assert (approved["status"], approved) == ("CONFIRMED", twice)
    assert events(sql, request) == ["held", "requested", "confirmed"]
    assert sql("SELECT approved_by IS NOT NULL FROM reservations") == [(True,)]


async def test_a_request_is_declined(api: Api, day: Day, request_: tuple[str, Headers], sql: Sql) -> None:
    request, _ = request_

    declined = await done(api, "reservationDecline", reservationId=request, reason="not that one")
    twice = await done(api, "reservationDecline", reservationId=request, reason="not that one")
    late = await refused(api, "reservationApprove", reservationId=request)

    assert (declined["status"], declined["cancelReason"], declined["cancelledBy"]) == (
        "CANCELLED",
        "not that one",
        "ADMIN",
    )
    assert (twice, late["code"]) == (declined, "ILLEGAL_STATE")
    assert events(sql, request) == ["held", "requested", "cancelled"]


async def test_a_request_lapses(api: Api, day: Day, request_: tuple[str, Headers], sql: Sql) -> None:
    request, mine = request_
    later(sql, 61 * MINUTE)

    found = [
        (await refused(api, name, headers, reservationId=request))["code"]
        for name, headers in (
            ("reservationApprove", None),
            ("reservationDecline", None),
            ("reservationConfirm", mine),
            ("reservationConfirm", None),
        )
    ]

    assert found == ["HOLD_EXPIRED"] * 4
    assert (await api.reserve(day.client, day.hours[0]))["userErrors"] == []
    assert events(sql, request) == ["held", "requested", "expired"]


async def test_whoever_is_not_the_client_approves_by_confirming(api: Api, day: Day, sql: Sql) -> None:
    service = day.supply.service("Tattoo", approval_time="01:00:00")
    day.supply.offer(day.provider, service)

    confirmed = await done(api, "reservationConfirm", reservationId=await held(api, day, serviceId=service))
    released = await held(api, day, 1, serviceId=service)
    await done(api, "reservationConfirm", as_client(sql, day.client), reservationId=released)
    given_back = await done(api, "reservationRelease", as_client(sql, day.client), reservationId=released)

    assert (confirmed["status"], confirmed["requestedAt"]) == ("CONFIRMED", None)
    assert (given_back["status"], given_back["cancelledBy"]) == ("CANCELLED", "CLIENT")
    assert events(sql, released) == ["held", "requested", "cancelled"]


async def test_only_a_request_is_approved_or_declined(api: Api, day: Day) -> None:
    hold = await held(api, day)

    found = [await refused(api, name, reservationId=hold) for name in ("reservationApprove", "reservationDecline")]

    assert [(error["code"], error["state"]) for error in found] == [("ILLEGAL_STATE", "HELD")] * 2


# Holds


async def test_a_hold_is_renewed_as_often_as_allowed(api: Api, day: Day, sql: Sql) -> None:
    hold = await held(api, day)
    for turn in (1, 2):
        later(sql, 20 * MINUTE)
        renewed = await done(api, "reservationRenew", reservationId=hold)
        assert (renewed["renewals"], renewed["version"]) == (turn, turn + 1)
        left = instant(renewed["expiresAt"]) - datetime.now(NINE.tzinfo)
        assert 29 * MINUTE < left <= 30 * MINUTE

    error = await refused(api, "reservationRenew", reservationId=hold)
    later(sql, 31 * MINUTE)
    lapsed = await refused(api, "reservationRenew", reservationId=hold)

    assert (error["code"], error["limit"]) == ("TOO_MANY_RENEWALS", 2)
    assert lapsed["code"] == "HOLD_EXPIRED"
    assert events(sql, hold) == ["held", "renewed", "renewed"]


async def test_only_a_hold_is_released_or_renewed(api: Api, day: Day, sql: Sql) -> None:
    booking, hold = await booked(api, day), await held(api, day, 1)

    found = [await refused(api, name, reservationId=booking) for name in ("reservationRelease", "reservationRenew")]
    released = await done(api, "reservationRelease", reservationId=hold)
    again = await done(api, "reservationRelease", reservationId=hold)

    assert [(error["code"], error["state"]) for error in found] == [("ILLEGAL_STATE", "CONFIRMED")] * 2
    assert (released["status"], released) == ("CANCELLED", again)
    assert events(sql, hold) == ["held", "cancelled"]


async def test_what_is_offered_while_others_wait_is_not_renewed(api: Api, day: Day, sql: Sql) -> None:
    hold = await held(api, day)
    sql("SET session_replication_role = replica")
    sql("UPDATE reservations SET offered = true")
    sql("SET session_replication_role = DEFAULT")

    error = await refused(api, "reservationRenew", reservationId=hold)
    sql("UPDATE reservations SET renewals = renewals + 1")

    assert (error["code"], error["state"]) == ("ILLEGAL_STATE", "HELD")
    assert sql("SELECT renewals, version FROM reservations") == [(0, 1)]


# Giving back


async def test_who_gave_it_back_why_and_when_is_on_record(api: Api, day: Day, sql: Sql) -> None:
    booking = await booked(api, day)

    cancelled = await done(
        api, "reservationCancel", as_client(sql, day.client), reservationId=booking, reason="I am ill"
    )
    again = await done(api, "reservationCancel", reservationId=booking, reason="another one")

    assert (cancelled["status"], cancelled["cancelledBy"], cancelled["cancelReason"]) == (
        "CANCELLED",
        "CLIENT",
        "I am ill",
    )
    assert cancelled["cancelledAt"] is not None
    assert again == cancelled
    assert events(sql, booking) == ["held", "confirmed", "cancelled"]


@pytest.mark.parametrize("role", ["MANAGER", "FRONT_DESK"])
async def test_the_very_role_is_on_record(api: Api, day: Day, sql: Sql, role: str) -> None:

    cancelled = await done(
        api, "reservationCancel", bearer(token(sql, Role[role])), reservationId=await booked(api, day)
    )

    assert cancelled["cancelledBy"] == role


async def test_past_the_cut_off_others_tell_a_reason(api: Api, day: Day, sql: Sql) -> None:
    sql("UPDATE businesses SET cancel_cutoff = '20 days'")
    booking = await booked(api, day)

    for reason in (None, " "):
        error = await refused(api, "reservationCancel", reservationId=booking, reason=reason)
        assert (error["code"], error["field"]) == ("CANCELLATION_WINDOW", ["reason"])
        assert instant(error["deadline"]) == NINE - 20 * DAY
    cancelled = await done(api, "reservationCancel", reservationId=booking, reason="a burst pipe")

    assert (cancelled["cancelReason"], cancelled["cancelledBy"]) == ("a burst pipe", "ADMIN")


async def test_what_is_past_is_not_cancelled(api: Api, day: Day, sql: Sql) -> None:
    booking = await booked(api, day)
    later(sql, 11 * DAY)

    error = await refused(api, "reservationCancel", reservationId=booking, reason="x")

    assert (error["code"], error["state"]) == ("ILLEGAL_STATE", "CONFIRMED")


# The day itself


async def test_nobody_is_missed_before_the_start(api: Api, day: Day, sql: Sql) -> None:
    booking = await booked(api, day)

    early = await refused(api, "reservationMarkNoShow", reservationId=booking)
    later(sql, NINE - datetime.now(NINE.tzinfo) + MINUTE)
    missed = await done(api, "reservationMarkNoShow", reservationId=booking)
    again = await done(api, "reservationMarkNoShow", reservationId=booking)
    late = await refused(api, "reservationCancel", reservationId=booking)

    assert (early["code"], early["state"], instant(early["possibleAt"])) == ("ILLEGAL_STATE", "CONFIRMED", NINE)
    assert (missed["status"], missed, late["state"]) == ("NO_SHOW", again, "NO_SHOW")
    assert events(sql, booking) == ["held", "confirmed", "no_show"]


async def test_an_appointment_begins_and_is_completed_for_all_its_seats(api: Api, day: Day, sql: Sql) -> None:
    day.hours.append(day.supply.appointment(day.provider, NINE + 6 * HOUR, capacity=3))
    one, other, hold = await booked(api, day, 4), await booked(api, day, 4), await held(api, day, 4)
    group: dict[str, Any] = {"appointmentId": day.hours[4]}

    early = await refused(api, "appointmentStart", **group)
    later(sql, NINE + 5 * HOUR - datetime.now(NINE.tzinfo) + MINUTE)
    too_early = await refused(api, "appointmentComplete", **group)
    begun = await done(api, "appointmentStart", as_provider(sql, day.provider), **group)
    again = await done(api, "appointmentStart", **group)
    no = [
        await refused(api, name, reservationId=one, **dict[str, Any](more))
        for name, more in (
            ("reservationCancel", {"reason": "x"}),
            ("reservationMarkNoShow", {}),
            ("reservationReschedule", {"appointmentId": day.hours[1]}),
        )
    ]
    over = await done(api, "appointmentComplete", **group)
    over_again = await done(api, "appointmentComplete", **group)
    closed = await refused(api, "appointmentStart", **group)

    assert (early["code"], instant(early["possibleAt"])) == ("ILLEGAL_STATE", NINE + 5 * HOUR)
    assert (too_early["code"], too_early["state"]) == ("ILLEGAL_STATE", "CONFIRMED")
    assert [seat["id"] for seat in begun["reservations"]] == [one, other]
    assert all(seat["startedAt"] for seat in begun["reservations"])
    assert (again, over_again) == (begun, over)
    assert [(error["code"], error["state"]) for error in no] == [("ILLEGAL_STATE", "CONFIRMED")] * 3
    assert [(seat["status"], seat["version"]) for seat in over["reservations"]] == [("COMPLETED", 4)] * 2
    assert (closed["code"], closed["state"]) == ("ILLEGAL_STATE", "COMPLETED")
    assert events(sql, one) == events(sql, other) == ["held", "confirmed", "started", "completed"]
    assert events(sql, hold) == ["held"]


async def test_what_was_never_started_is_completed_from_its_start_on(api: Api, day: Day, sql: Sql) -> None:
    booking = await booked(api, day)
    later(sql, NINE - datetime.now(NINE.tzinfo) + MINUTE)

    over = await done(api, "appointmentComplete", appointmentId=day.hours[0])

    assert [seat["id"] for seat in over["reservations"]] == [booking]
    assert (over["reservations"][0]["startedAt"], events(sql, booking)[-1]) == (None, "completed")


async def test_what_nobody_has_does_not_begin(api: Api, day: Day, sql: Sql) -> None:
    hold = await held(api, day, 1)
    free, waiting = [await refused(api, "appointmentStart", appointmentId=day.hours[hour]) for hour in (0, 1)]
    other = as_provider(sql, day.supply.provider())
    strange = await refused(api, "appointmentStart", other, appointmentId=day.hours[0])

    assert (free["code"], free["__typename"]) == ("ILLEGAL_STATE", "RefusedError")
    assert (waiting["code"], waiting["state"]) == ("ILLEGAL_STATE", "HELD")
    assert strange["code"] == "FORBIDDEN"
    assert events(sql, hold) == ["held"]


# History


HISTORY = "query ($id: ID!) { reservation(id: $id) { note history { nodes { action nodeId diff } } } }"
WHO = "query ($id: ID!) { reservation(id: $id) { history { nodes { actor } } } }"


async def test_whoever_sees_a_reservation_sees_its_history_and_not_who_read_it(api: Api, day: Day, sql: Sql) -> None:
    booking = await booked(api, day, note="a scar")
    for _ in range(2):
        await api(HISTORY, id=booking)
    changes = ["scheduling.reservation.confirmed.v1", "scheduling.reservation.held.v1"]

    async def seen(headers: Headers | None) -> list[str]:
        answer = await api.post(HISTORY, headers, id=booking)
        return [node["action"] for node in answer["data"]["reservation"]["history"]["nodes"]]

    assert await seen(as_client(sql, day.client)) == changes
    assert await seen(as_provider(sql, day.provider)) == changes
    assert set(await seen(None)) == {*changes, "audit.reservation.read.v1"}
    answer = await api.post(WHO, as_client(sql, day.client), id=booking)
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert decode(booking)[0] == "Reservation"


# Another provider


@pytest.fixture
async def substitutes(day: Day, api: Api, sql: Sql) -> dict[str, tuple[str, str]]:
    """Providers who are free at nine: how they stand, and their appointment."""
    here, elsewhere = day.supply.location("Here"), day.supply.location("Elsewhere")
    sql("SET session_replication_role = replica")
    sql("UPDATE appointments SET location_id = %s", key(here))
    sql("SET session_replication_role = DEFAULT")
    found = {}
    for name, where in (("busy", here), ("idle", here), ("elsewhere", elsewhere), ("taken", here)):
        provider = day.supply.provider()
        found[name] = (provider, day.supply.appointment(provider, NINE, location_id=where))
    other = await api.client("Grace")
    for name, start in (("busy", NINE + 3 * HOUR), ("taken", NINE)):
        provider, appointment = found[name]
        if start != NINE:
            appointment = day.supply.appointment(provider, start)
        hold = (await api.reserve(other, appointment))["reservation"]
        assert (await api.confirm(hold["id"]))["userErrors"] == []
    return found


async def test_an_appointment_goes_to_whoever_has_the_least_to_do(
    api: Api, day: Day, substitutes: dict[str, tuple[str, str]], sql: Sql
) -> None:
    booking = await booked(api, day)
    later(sql, NINE - datetime.now(NINE.tzinfo) - HOUR)  # too late for anybody to reserve

    looked = await done(api, "appointmentReassign", appointmentId=day.hours[0], dryRun=True)
    moved = await done(api, "appointmentReassign", appointmentId=day.hours[0])
    nobody = await refused(api, "appointmentReassign", appointmentId=day.hours[0])

    best = [substitutes[name][1] for name in ("idle", "busy", "elsewhere")]
    assert [each["id"] for each in looked["candidates"]] == best
    assert (looked["appointment"]["id"], [seat["id"] for seat in looked["reservations"]]) == (day.hours[0], [booking])
    assert [each["id"] for each in moved["candidates"]] == best
    (seat,) = moved["reservations"]
    assert (seat["id"], seat["status"], seat["provider"]["id"]) == (booking, "CONFIRMED", substitutes["idle"][0])
    assert moved["appointment"]["id"] == seat["appointment"]["id"] == substitutes["idle"][1]
    assert (nobody["code"], events(sql, booking)) == ("ILLEGAL_STATE", ["held", "confirmed", "reassigned"])


async def test_an_appointment_goes_to_whoever_is_named_if_they_are_free(
    api: Api, day: Day, substitutes: dict[str, tuple[str, str]], sql: Sql
) -> None:
    booking = await booked(api, day)

    taken = await refused(api, "appointmentReassign", appointmentId=day.hours[0], providerId=substitutes["taken"][0])
    moved = await done(api, "appointmentReassign", appointmentId=day.hours[0], providerId=substitutes["busy"][0])

    assert (taken["code"], taken["field"], taken["alternatives"]) == ("SLOT_UNAVAILABLE", ["providerId"], [])
    assert [seat["provider"]["id"] for seat in moved["reservations"]] == [substitutes["busy"][0]]
    assert events(sql, booking) == ["held", "confirmed", "reassigned"]


async def test_a_group_goes_as_a_whole_with_the_room_that_it_has(api: Api, day: Day, sql: Sql) -> None:
    service = day.supply.service("Yoga", duration="01:00:00")
    day.supply.resource("the room", service)
    small, large = day.supply.provider(), day.supply.provider()
    for provider in (day.provider, small, large):
        day.supply.offer(provider, service)
    start = NINE + 6 * HOUR
    day.hours.append(day.supply.appointment(day.provider, start, capacity=3, service_id=service))
    day.supply.appointment(small, start, capacity=1, service_id=service)
    hall = day.supply.appointment(large, start, capacity=2, service_id=service)
    seats = [await booked(api, day, 4), await held(api, day, 4)]

    moved = await done(api, "appointmentReassign", appointmentId=day.hours[4])

    assert [each["id"] for each in moved["candidates"]] == [hall]
    assert [seat["id"] for seat in moved["reservations"]] == seats
    assert [seat["status"] for seat in moved["reservations"]] == ["CONFIRMED", "HELD"]
    assert sql("SELECT DISTINCT session_id, unit FROM resource_claims") == [(key(hall), 1)]
    assert [events(sql, seat)[-1] for seat in seats] == ["reassigned"] * 2


async def test_what_has_begun_stays_with_its_provider(
    api: Api, day: Day, substitutes: dict[str, tuple[str, str]], sql: Sql
) -> None:
    booking = await booked(api, day)
    later(sql, NINE - datetime.now(NINE.tzinfo) - HOUR / 2)
    await done(api, "appointmentStart", appointmentId=day.hours[0])

    error = await refused(api, "appointmentReassign", appointmentId=day.hours[0])

    assert (error["code"], error["state"]) == ("ILLEGAL_STATE", "CONFIRMED")
    assert events(sql, booking)[-1] == "started"
    assert len(substitutes) == 4
