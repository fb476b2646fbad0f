"""What a signal means for free times, and for whom, as far as no row is needed to tell."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from models.neighbour import Claim
from models.search import Availability
from models.signal import REASONS, AvailabilityChangeReason, Signal
from models.wall import wall

ADA, GRACE, APPOINTMENT = (UUID(int=n) for n in (1, 2, 3))
START, END = datetime(2027, 5, 3, 7, tzinfo=UTC), datetime(2027, 5, 3, 7, 30, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
PLACE = {"provider_id": str(ADA), "starts_at": START.isoformat(), "ends_at": END.isoformat()}
TOLD = {
    "position": 7,
    "business_id": str(UUID(int=8)),
    "id": str(UUID(int=9)),
    "aggregate_id": str(UUID(int=10)),
    "occurred_at": "2027-05-01T07:00:00.123456+00:00",
}


def signal(kind: str, **data: Any) -> Signal:
    return Signal.read(orjson.dumps({**TOLD, "type": kind, "data": {**PLACE, **data}}).decode())


HELD = signal("scheduling.reservation.held.v1", appointment_id=str(APPOINTMENT), version=1).changes[0]
SPAN = signal("scheduling.appointment.created.v1", count=2).changes[0]


def test_a_signal_is_read_as_the_relay_wrote_it() -> None:
    read = signal("scheduling.reservation.held.v1", appointment_id=str(APPOINTMENT), version=1)

    assert (read.position, read.id, read.aggregate_id) == (7, UUID(int=9), UUID(int=10))
    assert read.occurred_at == datetime(2027, 5, 1, 7, 0, 0, 123456, tzinfo=UTC)
    (change,) = read.changes
    assert (change.reason, change.provider_id, change.appointment_id) == ("HELD", ADA, APPOINTMENT)
    assert (change.starts_at, change.ends_at, change.occurred_at) == (START, END, read.occurred_at)


def test_of_what_was_moved_both_times_are_told() -> None:
    before = {**PLACE, "provider_id": str(GRACE), "appointment_id": str(UUID(int=4))}
    moved = signal(
        "scheduling.reservation.rescheduled.v1", appointment_id=str(APPOINTMENT), version=2, **{"from": before}
    )

    assert [(each.reason, each.provider_id, each.appointment_id) for each in moved.changes] == [
        ("RESCHEDULED", GRACE, UUID(int=4)),
        ("RESCHEDULED", ADA, APPOINTMENT),
    ]


@pytest.mark.parametrize(
    "kind",
    [
        *("scheduling.reservation.started.v1", "scheduling.reservation.updated.v1", "scheduling.client.created.v1"),
        *("scheduling.reservation.renewed.v1", "user.team_member.availability.changed.v1", "audit.client.read.v1"),
    ],
)
def test_what_frees_and_takes_no_time_is_no_change(kind: str) -> None:
    assert signal(kind).changes == ()


@pytest.mark.parametrize(
    ("kind", "version", "is_taken"),
    [
        ("held", 1, True),
        ("confirmed", 1, True),
        ("confirmed", 2, None),
        ("requested", 2, None),
        ("cancelled", 2, False),
        ("expired", 2, False),
        ("completed", 4, False),
        ("no_show", 3, False),
    ],
)
def test_a_reservation_claims_once_and_lets_go_once(kind: str, version: int, is_taken: bool | None) -> None:
    read = signal(f"scheduling.reservation.{kind}.v1", appointment_id=str(APPOINTMENT), version=version)

    (change,) = read.changes
    assert (None if change.claim is None else change.claim.is_taken) is is_taken


def test_what_is_claimed_is_told_by_the_event_with_its_buffers_and_units() -> None:
    told = {"busy_from": (START - QUARTER).isoformat(), "busy_until": END.isoformat(), "resource_ids": [str(ADA)] * 2}
    before = {**PLACE, "provider_id": str(GRACE), "appointment_id": str(UUID(int=4)), **told}
    moved = signal(
        "scheduling.reservation.rescheduled.v1", appointment_id=str(APPOINTMENT), version=2, **{"from": before}
    )

    old, new = [change.claim for change in moved.changes]
    assert old is not None
    assert new is not None
    assert old == Claim(False, moved.id, moved.aggregate_id, GRACE, START - QUARTER, END, old.own, (ADA, ADA))
    assert new == Claim(True, moved.id, moved.aggregate_id, ADA, START, END, old.own, None)
    assert old.own == (UUID(int=4), APPOINTMENT)


@pytest.mark.parametrize(
    ("wanted", "of_time", "of_resource"),
    [
        (Availability(), True, True),
        (Availability(provider_id=GRACE), False, True),
        (Availability(provider_ids=(GRACE,)), False, True),
        (Availability(provider_ids=(GRACE, ADA)), True, True),
        (Availability(starts_from=END + timedelta(hours=23)), True, True),
        (Availability(starts_from=END + timedelta(hours=24)), False, False),
        (Availability(starts_until=START - timedelta(hours=47)), True, True),
        (Availability(starts_until=START - timedelta(hours=48)), False, False),
    ],
)
def test_a_claim_reaches_whoever_could_find_a_neighbour(wanted: Availability, of_time: bool, of_resource: bool) -> None:
    claim = HELD.claim
    assert claim is not None
    assert claim.may_reach(wanted) is of_time
    assert replace(claim, resource_ids=(ADA,)).may_reach(wanted) is of_resource


def test_what_ends_after_its_start_is_told_of_its_neighbours_alone() -> None:
    late, early = (
        replace(
            signal("scheduling.reservation.completed.v1", appointment_id=str(APPOINTMENT), version=4), occurred_at=at
        )
        for at in (START, START - QUARTER)
    )

    assert [each.changes[0].may_concern(Availability()) for each in (late, early)] == [False, True]


def test_an_event_too_long_to_be_told_says_nothing_before_it_is_read() -> None:
    assert replace(signal("scheduling.reservation.held.v1", version=1), data=None).changes == ()


def test_every_reason_has_its_event() -> None:
    assert set(REASONS.values()) == set(AvailabilityChangeReason)


@pytest.mark.parametrize(
    ("wanted", "of_one", "of_span"),
    [
        (Availability(), True, True),
        (Availability(provider_id=ADA), True, True),
        (Availability(provider_id=GRACE), False, False),
        (Availability(provider_ids=(GRACE, ADA)), True, True),
        (Availability(provider_ids=()), False, False),
        (Availability(starts_from=START), True, True),
        (Availability(starts_from=START + QUARTER), False, True),
        (Availability(starts_from=END), False, False),
        (Availability(starts_until=START), False, False),
        (Availability(starts_until=START + timedelta(microseconds=1)), True, True),
        (Availability(late_from=timedelta(hours=9), wall=wall("Europe/Berlin")), True, True),
        (Availability(late_from=timedelta(hours=9, minutes=1), wall=wall("Europe/Berlin")), False, True),
        (Availability(late_until=timedelta(hours=9), wall=wall("Europe/Berlin")), False, True),
        (Availability(late_until=timedelta(hours=9), wall=wall("UTC")), True, True),
        (Availability(location_id=ADA), True, True),
    ],
)
def test_a_change_concerns_whoever_could_find_it(wanted: Availability, of_one: bool, of_span: bool) -> None:
    assert (HELD.may_concern(wanted), SPAN.may_concern(wanted)) == (of_one, of_span)


def test_rows_are_read_only_where_nothing_else_can_tell() -> None:
    withdrawn = signal("scheduling.appointment.withdrawn.v1").changes[0]
    at_a_location, in_the_morning = Availability(location_id=ADA), Availability(wall=wall("UTC"))

    assert [each.needs_rows(at_a_location) for each in (HELD, SPAN, withdrawn)] == [True, True, False]
    assert [each.needs_rows(in_the_morning) for each in (HELD, SPAN, withdrawn)] == [False, True, False]
    assert not HELD.needs_rows(Availability(provider_id=ADA, starts_from=START))
