"""Signals: a change as the relay tells it to every process that listens, and what it may mean for free times."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Self
from uuid import UUID

import orjson
from sqlalchemy import Select, func, select

from models.event import Event
from models.neighbour import Claim
from models.search import Availability, free
from models.wall import Wall

CHANNEL = "holdfast_events"
AN_INSTANT = timedelta(microseconds=1)


class AvailabilityChangeReason(StrEnum):
    """What was done to a time: HELD and so on, ENDED if completed or missed; its provider has PUBLISHED or WITHDRAWN it."""

    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    RESCHEDULED = "RESCHEDULED"
    REASSIGNED = "REASSIGNED"
    PUBLISHED = "PUBLISHED"
    WITHDRAWN = "WITHDRAWN"
    ENDED = "ENDED"


_Reason = AvailabilityChangeReason
REASONS = {
    **{f"scheduling.reservation.{reason.lower()}.v1": reason for reason in list(_Reason)[:6]},
    "scheduling.reservation.requested.v1": _Reason.HELD,
    "scheduling.reservation.completed.v1": _Reason.ENDED,
    "scheduling.reservation.no_show.v1": _Reason.ENDED,
    "scheduling.appointment.created.v1": _Reason.PUBLISHED,
    "scheduling.appointment.withdrawn.v1": _Reason.WITHDRAWN,
    "scheduling.appointment.outdated.v1": _Reason.WITHDRAWN,
}


@dataclass(frozen=True)
class AvailabilityChange:
    """A time of a provider that may be free now, or no longer; a span of several where `appointment_id` is missing.

    `claim` is what a reservation has claimed or let go by it, of which its neighbours are told. `answers` is what was found
    out about it, for everybody who hears of it.
    """

    reason: AvailabilityChangeReason
    provider_id: UUID
    starts_at: datetime
    ends_at: datetime
    occurred_at: datetime
    appointment_id: UUID | None = None
    service_id: UUID | None = None  # that it is wanted for, by whoever hears of it
    claim: Claim | None = None
    answers: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def may_concern(self, wanted: Availability) -> bool:
        """Whether a search could find it, as far as is known without reading any row."""
        if self.reason is AvailabilityChangeReason.ENDED and self.starts_at <= self.occurred_at:
            return False
        if wanted.provider_id not in (None, self.provider_id):
            return False
        if wanted.provider_ids is not None and self.provider_id not in wanted.provider_ids:
            return False
        last = self.ends_at - AN_INSTANT if self.is_span else self.starts_at
        if wanted.starts_from is not None and last < wanted.starts_from:
            return False
        if wanted.starts_until is not None and self.starts_at >= wanted.starts_until:
            return False
        return self.is_span or wanted.wall is None or _is_in_time(self.starts_at, wanted)

    def beside(self, row: Any) -> Self:
        """The change of another appointment that it may have brought."""
        times = {"starts_at": row.starts_at, "ends_at": row.ends_at, "provider_id": row.provider_id}
        return replace(self, **times, appointment_id=row.id, claim=None, answers={})

    @property
    def is_span(self) -> bool:
        return self.reason is AvailabilityChangeReason.PUBLISHED

    def needs_rows(self, wanted: Availability) -> bool:
        """Whether only rows can tell if it concerns a search; of what is withdrawn there may be none."""
        if self.reason is AvailabilityChangeReason.WITHDRAWN:
            return False
        asked = (wanted.location_id, wanted.service_id, wanted.skill_ids, wanted.resource_id, wanted.minimum)
        return any(each is not None for each in asked) or (self.is_span and wanted.wall is not None)

    @property
    def reservable(self) -> Availability:
        """The search for what of it can be reserved now."""
        end = self.ends_at if self.is_span else self.starts_at + AN_INSTANT
        return Availability(provider_id=self.provider_id, service_id=self.service_id).within(self.starts_at, end)


def since_midnight(wall: Wall, at: datetime) -> timedelta:
    """How late it is by the clocks of a zone."""
    shown = wall.shown(at)
    return timedelta(hours=shown.hour, minutes=shown.minute, seconds=shown.second, microseconds=shown.microsecond)


def _is_in_time(at: datetime, wanted: Availability) -> bool:
    assert wanted.wall is not None
    late = since_midnight(wanted.wall, at)
    return (wanted.late_from or timedelta()) <= late and (wanted.late_until is None or late < wanted.late_until)


@dataclass(frozen=True)
class Signal:
    """An event that was relayed. `data` is missing where it was too long to be told."""

    position: int
    business_id: UUID
    id: UUID
    type: str
    aggregate_id: UUID
    occurred_at: datetime
    data: Mapping[str, Any] | None

    @classmethod
    def read(cls, payload: str) -> Self:
        told = orjson.loads(payload)
        return cls(
            position=told["position"],
            business_id=UUID(told["business_id"]),
            id=UUID(told["id"]),
            type=told["type"],
            aggregate_id=UUID(told["aggregate_id"]),
            occurred_at=datetime.fromisoformat(told["occurred_at"]),
            data=told.get("data"),
        )

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls(row.position, row.business_id, row.id, row.type, row.aggregate_id, row.occurred_at, row.data)

    @cached_property
    def changes(self) -> tuple[AvailabilityChange, ...]:
        """The times that may be free now, or no longer: of what was moved, both of them."""
        reason = REASONS.get(self.type)
        if reason is None or self.data is None:
            return ()
        places = [self.data["from"], self.data] if self.data.get("from") else [self.data]
        own = tuple(UUID(place["appointment_id"]) for place in places if "appointment_id" in place)
        return tuple(self._change(reason, place, own) for place in places)

    def _change(
        self, reason: AvailabilityChangeReason, place: Mapping[str, Any], own: tuple[UUID, ...]
    ) -> AvailabilityChange:
        return AvailabilityChange(
            reason,
            UUID(place["provider_id"]),
            datetime.fromisoformat(place["starts_at"]),
            datetime.fromisoformat(place["ends_at"]),
            self.occurred_at,
            UUID(place["appointment_id"]) if own else None,
            claim=self._claim(reason, place, own) if own else None,
        )

    def _claim(self, reason: AvailabilityChangeReason, place: Mapping[str, Any], own: tuple[UUID, ...]) -> Claim | None:
        """What was claimed there, or let go; nothing, where it was claimed before and still is."""
        assert self.data is not None
        is_first = reason in (_Reason.HELD, _Reason.CONFIRMED)
        if is_first and self.data["version"] > 1:
            return None
        is_taken = is_first or (place is self.data and reason in (_Reason.RESCHEDULED, _Reason.REASSIGNED))
        resources = place.get("resource_ids")
        return Claim(
            is_taken,
            self.id,
            self.aggregate_id,
            UUID(place["provider_id"]),
            datetime.fromisoformat(place.get("busy_from", place["starts_at"])),
            datetime.fromisoformat(place.get("busy_until", place["ends_at"])),
            own,
            tuple(UUID(each) for each in resources) if resources else None,
        )


_TOLD = (Event.position, Event.business_id, Event.id, Event.type, Event.aggregate_id, Event.occurred_at, Event.data)


def newest(business: UUID) -> Select[Any]:
    """Find how far the relay has come with the events of a business."""
    return select(func.coalesce(func.max(Event.position), 0).label("position")).where(Event.business_id == business)


def after(business: UUID, position: int, most: int) -> Select[Any]:
    """Read the events of a business that were relayed after a position, in order."""
    later = select(*_TOLD).where(Event.business_id == business, Event.position > position)
    return later.order_by(Event.position).limit(most)


def whole(signal: Signal) -> Select[Any]:
    """Read the event of a signal, with its data."""
    return select(*_TOLD).where(Event.business_id == signal.business_id, Event.id == signal.id)


def some_free(business: UUID, wanted: Availability) -> Select[Any]:
    """Select an appointment that can be reserved now, of those that are asked for; no row, if there is none."""
    return free(business, wanted).limit(1)
