"""Letters: all that a message to somebody is written from, and whether it is still true, still news, and not one too many."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Interval, ScalarSelect, Select, and_, case, exists, func, literal, select
from sqlalchemy.orm import aliased

from models.appointment import Appointment
from models.business import Business
from models.client import Client
from models.event import Event
from models.location import Location
from models.notification import FINAL, Notification, NotificationStatus
from models.notification_reservation import NotificationReservation
from models.provider import Provider
from models.reservation import Reservation
from models.service import Service

GONE = "There is nobody and no address any more to send it to."
UNWANTED = "It is no longer wanted."
UNTRUE = "It is no longer true."
TOLD_ANEW = "A newer message tells what has become of it."
TOO_MANY = "Too much was sent there within an hour."
MOST_PER_HOUR = {"EMAIL": 20, "SMS": 5}
"""How much one recipient is sent within an hour because of one client: who moves a booking to and fro floods nobody."""
MOST_AT_ALL = 60
"""The same, where visits and series count as many: a whole series may be changed, one date after the other."""
ONCE = ("scheduling.reservation.confirmed.v1", "scheduling.reservation.cancelled.v1")
"""What happens once to each reservation: of a visit, or of a series, it counts as one thing."""
PERSON = ("first_name", "last_name")
_TOLD = (NotificationStatus.SENT.value, NotificationStatus.LOGGED.value)
REACHED = ("email", "phone", "locale", "time_zone", "erased_at")


def details(business: UUID, ids: Sequence[UUID]) -> Select[Any]:
    """Select messages that a worker has in hand, with all that is told in them: a row for each reservation."""
    reader = aliased(Provider)
    told = [
        *(
            Notification.id,
            Notification.event_id,
            Notification.recipient_id,
            Notification.channel,
            Notification.template,
        ),
        *(Notification.client_id, Notification.attempts, Notification.topic),
        Reservation.id.label("reservation_id"),
        Reservation.client_id.label("cause_id"),
        _occasion(Notification, Event, Reservation).label("occasion"),
        _is_told_anew().label("is_told_anew"),
        _told_lately().label("told_lately"),
        *_named("client", Client, PERSON + REACHED),
        *_named("provider", Provider, PERSON),
        *_named("reader", reader, PERSON + REACHED),
        *_named("business", Business, ("name", "locale", "time_zone")),
        *_named("location", Location, ("name", "address", "time_zone")),
        Service.name.label("service"),
        *_named(
            "reservation", Reservation, ("provider_id", "status", "version", "starts_at", "ends_at", "cancel_reason")
        ),
        *_named("event", Event, ("data", "occurred_at")),
        func.wants_notification(
            Notification.business_id, Notification.recipient_id, Notification.channel, Notification.topic
        ).label("is_wanted"),
        func.clock_timestamp().label("now"),
    ]
    mine, about = Notification.business_id, NotificationReservation
    return (
        select(*told)
        .join(Business, Business.id == mine)
        .join(about, and_(about.business_id == mine, about.notification_id == Notification.id))
        .join(Event, and_(Event.business_id == mine, Event.id == about.event_id))
        .join(Reservation, and_(Reservation.business_id == mine, Reservation.id == about.reservation_id))
        .join(Client, and_(Client.business_id == mine, Client.id == Reservation.client_id))
        .join(Provider, and_(Provider.business_id == mine, Provider.id == Reservation.provider_id))
        .outerjoin(reader, and_(reader.business_id == mine, reader.id == Notification.provider_id))
        .outerjoin(Appointment, and_(Appointment.business_id == mine, Appointment.id == Reservation.appointment_id))
        .outerjoin(Location, and_(Location.business_id == mine, Location.id == Appointment.location_id))
        .outerjoin(Service, and_(Service.business_id == mine, Service.id == Reservation.service_id))
        .where(mine == business, Notification.id.in_(ids))
        .order_by(Notification.id, Reservation.starts_at, Reservation.id)
    )


def _occasion(notification: Any, event: Any, reservation: Any) -> ColumnElement[Any]:
    """What a message is about: its event, or all that happens once to what was reserved at once."""
    bundle = func.coalesce(reservation.visit_id, reservation.series_id, notification.event_id)
    return case((event.type.in_(ONCE), bundle), else_=notification.event_id)


def _is_told_anew() -> ColumnElement[bool]:
    """Whether the same recipient is told something newer of the same reservation in the same way."""
    newer, event, about = aliased(Notification), aliased(Event), aliased(NotificationReservation)
    return (
        exists()
        .where(
            about.business_id == Notification.business_id,
            about.reservation_id == Reservation.id,
            newer.business_id == Notification.business_id,
            newer.id == about.notification_id,
            newer.recipient_id == Notification.recipient_id,
            newer.channel == Notification.channel,
            newer.topic == Notification.topic,
            newer.status.in_([NotificationStatus.QUEUED.value, *_TOLD]),
            event.business_id == newer.business_id,
            event.id == about.event_id,
            event.position > Event.position,
        )
        .correlate(Notification, Event, Reservation)
    )


def _told_lately() -> ScalarSelect[Any]:
    """What the same recipient was told in the same way, because of the same client, in the last hour."""
    told, event, reservation = aliased(Notification), aliased(Event), aliased(Reservation)
    hour, yesterday = (literal(timedelta(hours=hours), Interval) for hours in (1, -24))
    return (
        select(func.array_agg(_occasion(told, event, reservation)))
        .where(
            told.business_id == Notification.business_id,
            told.recipient_id == Notification.recipient_id,
            told.channel == Notification.channel,
            told.topic != "REMINDER",
            told.status.in_(_TOLD),
            told.id > func.uuidv7(yesterday),  # by the index: nothing waits for longer
            func.coalesce(told.sent_at, told.created_at) > func.clock_timestamp() - hour,
            event.business_id == told.business_id,
            event.id == told.event_id,
            reservation.business_id == told.business_id,
            reservation.id == told.reservation_id,
            reservation.client_id == Reservation.client_id,
        )
        .correlate(Notification, Reservation)
        .scalar_subquery()
    )


def _named(prefix: str, record: Any, names: Sequence[str]) -> list[Any]:
    return [getattr(record, name).label(f"{prefix}_{name}") for name in names]


def letters(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """Divide what was selected into messages."""
    for _, group in groupby(rows, lambda row: row.id):
        yield list(group)


def recipient(row: Any, name: str) -> Any:
    """A value of whoever the message is for."""
    return getattr(row, f"{'reader' if row.client_id is None else 'client'}_{name}")


def address(row: Any) -> str | None:
    """Where the message goes, if its recipient can still be reached."""
    found: str | None = recipient(row, "email" if row.channel == "EMAIL" else "phone")
    return None if recipient(row, "erased_at") else found


class Told:
    """What was told while a batch is sent, to whom and because of whom."""

    def __init__(self) -> None:
        self._occasions: defaultdict[tuple[Any, ...], list[UUID]] = defaultdict(list)

    def add(self, row: Any) -> None:
        self._of(row).append(row.occasion)

    def is_too_much(self, row: Any) -> bool:
        """Whether a message would be one too many; a reminder never is, as each comes once."""
        if row.topic == "REMINDER":
            return False
        told = [*self._of(row), *(row.told_lately or ())]
        occasions = set(told)
        is_new = row.occasion not in occasions
        return len(told) >= MOST_AT_ALL or (is_new and len(occasions) >= MOST_PER_HOUR[row.channel])

    def _of(self, row: Any) -> list[UUID]:
        return self._occasions[row.recipient_id, row.channel, row.cause_id]


def still_told(rows: Sequence[Any], told: Told) -> tuple[list[Any], str]:
    """What of a message is still to be told; if nothing is, why."""
    if address(rows[0]) is None:
        return [], GONE
    if not rows[0].is_wanted:
        return [], UNWANTED
    left = [row for row in rows if not _outdated(row)]
    if not left:
        return [], _outdated(rows[0])
    return ([], TOO_MANY) if told.is_too_much(rows[0]) else (left, "")


def _outdated(row: Any) -> str:
    """Why a reservation is not to be told of any more, if it is not."""
    if row.template not in FINAL and not _is_true(row):
        return UNTRUE
    return TOLD_ANEW if row.topic == "BOOKING" and row.is_told_anew else ""


def _is_true(row: Any) -> bool:
    """What is ahead is told as it is told; whatever came in between has a message of its own."""
    if row.template == "BOOKING_PASSED_ON":
        return bool(row.reservation_provider_id != row.recipient_id)
    if row.reservation_starts_at <= row.now:
        return False
    if row.template == "OFFERED":
        return bool(row.reservation_status == "HELD")
    if datetime.fromisoformat(row.event_data["starts_at"]) != row.reservation_starts_at:
        return False
    if row.client_id is None and row.reservation_provider_id != row.recipient_id:
        return False
    if row.template == "REQUESTED":
        return bool(row.reservation_status == "PENDING")
    return bool(row.reservation_status == "CONFIRMED")
