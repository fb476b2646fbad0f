"""What a signal means for free times, and for whom, as far as no row is needed to tell."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

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


HELD = signal("scheduling.reservation.held.v1", appointment_id=str(APPOINTMENT)).changes[0]
SPAN = signal("scheduling.appointment.created.v1", count=2).changes[0]


def test_a_signal_is_read_as_the_relay_wrote_it() -> None:
    read = signal("scheduling.reservation.held.v1", appointment_id=str(APPOINTMENT))

    assert (read.position, read.id, read.aggregate_id) == (7, UUID(int=9), UUID(int=10))
    assert read.occurred_at == datetime(2027, 5, 1, 7, 0, 0, 123456, tzinfo=UTC)
    (change,) = read.changes
    assert (change.reason, change.provider_id, change.appointment_id) == ("HELD", ADA, APPOINTMENT)
    assert (change.starts_at, change.ends_at, change.occurred_at) == (START, END, read.occurred_at)


def test_of_what_was_moved_both_times_are_told() -> None:
    before = {**PLACE, "provider_id": str(GRACE), "appointment_id": str(UUID(int=4))}
    moved = signal("scheduling.reservation.rescheduled.v1", appointment_id=str(APPOINTMENT), **{"from": before})

    assert [(each.reason, each.provider_id, each.appointment_id) for each in moved.changes] == [
        ("RESCHEDULED", GRACE, UUID(int=4)),
        ("RESCHEDULED", ADA, APPOINTMENT),
    ]


@pytest.mark.parametrize(
    "kind",
    [
        *("scheduling.reservation.completed.v1", "scheduling.reservation.no_show.v1", "scheduling.client.created.v1"),
        *("scheduling.reservation.renewed.v1", "user.team_member.availability.changed.v1", "audit.client.read.v1"),
    ],
)
def test_what_frees_and_takes_no_time_is_no_change(kind: str) -> None:
    assert signal(kind).changes == ()


def test_an_event_too_long_to_be_told_says_nothing_before_it_is_read() -> None:
    assert replace(signal("scheduling.reservation.held.v1"), data=None).changes == ()


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
