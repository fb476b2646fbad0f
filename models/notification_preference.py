"""Notification preferences: by which channels somebody wants to be told of what; where they have not said, the usual."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Computed,
    Delete,
    ForeignKeyConstraint,
    Select,
    delete,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningInsert, Update

from models.record import Record
from models.refusal import InvalidInput
from models.relation import rows
from models.viewer import Viewer


class NotificationChannel(StrEnum):
    """How somebody is told: by EMAIL, unless they said no, or by SMS, if they said yes."""

    EMAIL = "EMAIL"
    SMS = "SMS"


class NotificationTopic(StrEnum):
    """What somebody is told of: BOOKING, what becomes of reservations; REMINDER, that one is near; WAITLIST, that a time is offered."""

    BOOKING = "BOOKING"
    REMINDER = "REMINDER"
    WAITLIST = "WAITLIST"


TOPICS = {"Client": tuple(NotificationTopic), "Provider": (NotificationTopic.BOOKING,)}
"""What there is to tell, by what somebody is."""


class NotificationPreference(Record):
    """What a client or a provider has said of one channel and one topic."""

    __tablename__ = "notification_preferences"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "client_id"], ["clients.business_id", "clients.id"], name="preference_of_client"
        ),
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="preference_of_provider"
        ),
        CheckConstraint("num_nonnulls(client_id, provider_id) = 1", name="preference_of_one"),
        CheckConstraint(
            "channel IN ('EMAIL', 'SMS') AND topic IN ('BOOKING', 'REMINDER', 'WAITLIST')", name="preference_is_known"
        ),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(
        Computed("coalesce(client_id, provider_id)", persisted=True), primary_key=True
    )
    channel: Mapped[str] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[UUID | None]
    provider_id: Mapped[UUID | None]
    enabled: Mapped[bool]


@dataclass(frozen=True)
class Preference:
    """Whether somebody is to be told of a topic by a channel."""

    channel: NotificationChannel
    topic: NotificationTopic
    enabled: bool


@dataclass(frozen=True)
class Preferring:
    """What is to be known of a person's preferences; and in which language they are told, if that is to change."""

    type_name: str
    person_id: UUID
    preferences: tuple[Preference, ...]
    locale: str | None = None

    fixed: ClassVar[tuple[str, ...]] = ()

    def check(self) -> None:
        """Refuse what says nothing, what says a thing twice, and what there is nothing of to tell."""
        if not self.preferences and self.locale is None:
            raise InvalidInput("preferences", problem="Send what is to change, one value at least.")
        seen = set()
        for n, each in enumerate(self.preferences):
            if each.topic not in TOPICS[self.type_name]:
                raise InvalidInput("preferences", n, "topic", problem=f"A provider is told of no {each.topic}.")
            if (each.channel, each.topic) in seen:
                raise InvalidInput("preferences", n, problem="This channel and topic are named twice.")
            seen.add((each.channel, each.topic))


def complete(type_name: str, said: Iterable[Any]) -> list[Preference]:
    """All preferences of a person, from what they have said."""
    known = {(row.channel, row.topic): row.enabled for row in said}
    return [
        Preference(channel, topic, known.get((channel, topic), channel is NotificationChannel.EMAIL))
        for topic in TOPICS[type_name]
        for channel in NotificationChannel
    ]


def lock(record: Any, viewer: Viewer, person_id: UUID, authored: ColumnElement[bool]) -> Select[Any]:
    """Find a person who says what they want to be told, and let nobody forget them meanwhile."""
    found = rows(record, viewer).where(record.id == person_id, record.erased_at.is_(None), authored)
    return found.with_for_update(key_share=True, of=record)


def speak(record: Any, viewer: Viewer, wanted: Preferring) -> Update:
    """Change in which language a person is told, if it is another one."""
    mine = record.visible_to(viewer), record.id == wanted.person_id
    return update(record).values(locale=wanted.locale).where(*mine, record.locale.is_distinct_from(wanted.locale))


def of(viewer: Viewer, person_id: UUID) -> Select[Any]:
    """Select what a person has said, whom the viewer was found to see."""
    preference = NotificationPreference
    said: list[Any] = [preference.channel, preference.topic, preference.enabled]
    return select(*said).where(preference.visible_to(viewer), preference.person_id == person_id)


def prefer(viewer: Viewer, wanted: Preferring) -> ReturningInsert[Any]:
    """Write what a person says; what they said before is changed only where it was otherwise, so that the history is true."""
    owner = "client_id" if wanted.type_name == "Client" else "provider_id"
    rows = [
        {
            "business_id": viewer.business_id,
            owner: wanted.person_id,
            "channel": each.channel.value,
            "topic": each.topic.value,
            "enabled": each.enabled,
        }
        for each in sorted(wanted.preferences, key=lambda each: (each.channel, each.topic))
    ]
    written = insert(NotificationPreference).values(rows)
    said = written.on_conflict_do_update(
        constraint="notification_preferences_pkey",
        set_={"enabled": written.excluded.enabled},
        where=NotificationPreference.enabled != written.excluded.enabled,
    )
    return said.returning(NotificationPreference.channel)


def forget(viewer: Viewer, client_id: UUID) -> Delete:
    """Forget what a client has said."""
    preference = NotificationPreference
    return delete(preference).where(preference.visible_to(viewer), preference.client_id == client_id)
