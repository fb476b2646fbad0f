"""Notifications: the type Notification, what a list of them is narrowed to, and what people wish to be told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import strawberry

from models.locale import locale
from models.node_id import decode, key_if_given
from models.notification import (
    NOTIFICATION_CLIENT,
    NOTIFICATION_PROVIDER,
    NOTIFICATION_RESERVATION,
    NOTIFICATION_RESERVATIONS,
    NOTIFICATIONS,
    NotificationStatus,
    NotificationTemplate,
    Wanted,
)
from models.notification_preference import NotificationChannel, NotificationTopic, Preference, Preferring
from models.page import Page
from models.refusal import NotFound
from models.relation import Asked
from models.relations import NEWEST_FIRST
from resolvers import notifications
from schema.access import EVERYBODY, MEMBERS
from schema.connection import PAGED, After, Before, Connection, First, Info, Last, many, one, personal
from schema.cost import ListSize
from schema.declaration import Identity, Listed
from schema.error import UserError, user_errors
from schema.root import KEY, mutation
from schema.scalars import LOCALE

for enum in (NotificationStatus, NotificationTemplate, NotificationChannel, NotificationTopic):
    strawberry.enum(enum, description=" ".join((enum.__doc__ or "").split()))

NEWEST = NOTIFICATIONS.listed(NEWEST_FIRST)
MOST_PREFERENCES = len(NotificationChannel) * len(NotificationTopic)
WHOSE = "Whose: the id of a client or of a provider; your own, if you are one and name nobody."
EACH = ListSize(assumed_size=MOST_PREFERENCES)


@strawberry.type(
    description="A message about a reservation, or several of a visit or a series, to one recipient by one channel: what is to "
    "be sent, and what became of it.",
    directives=[MEMBERS],
)
class Notification:
    id: strawberry.ID = strawberry.field(
        description="Tells it from every other one; it is no node, and not found by `node`.", extensions=[Identity()]
    )
    channel: NotificationChannel = strawberry.field(description="By which way.")
    topic: NotificationTopic = strawberry.field(description="Of what, as its recipient may have wished or not.")
    template: NotificationTemplate = strawberry.field(description="What it says.")
    status: NotificationStatus = strawberry.field(description="Where it stands.")
    attempts: int = strawberry.field(description="How often it was tried to send it.")
    problem: str | None = strawberry.field(
        description="Why it was not sent, the last time; null when nothing was wrong."
    )
    created_at: datetime
    next_attempt_at: datetime = strawberry.field(description="When it is, or was, due to be sent.")
    sent_at: datetime | None = strawberry.field(
        description="When a server took it; null for what was logged only. It may arrive later, or twice."
    )
    subject: str | None = personal("subject", "Its subject; forgotten after 30 days, and when the client is erased.")
    text: str | None = personal("text", "What it says, in plain text; forgotten as the subject is.")
    client: Any = one(NOTIFICATION_CLIENT, "The client it is for; null when it is for a provider.", optional=True)
    provider: Any = one(NOTIFICATION_PROVIDER, "The provider it is for; null when it is for a client.", optional=True)
    reservation: Any = one(
        NOTIFICATION_RESERVATION, "What it is about; the first, if it is about several.", optional=True
    )
    reservations: Any = many(
        NOTIFICATION_RESERVATIONS,
        "All that it is about, by start: those of a visit or of a series to which the same happened at once.",
    )


@strawberry.input(description="What a list of notifications is narrowed to. All that is given must hold.")
class NotificationFilter:
    recipient_id: strawberry.ID | None = strawberry.field(default=None, description="To this client or provider.")
    reservation_id: strawberry.ID | None = strawberry.field(default=None, description="About this reservation.")
    status: list[NotificationStatus] | None = strawberry.field(default=None, description="In one of these states.")

    def wanted(self) -> Wanted:
        recipient = None
        if self.recipient_id is not None:
            type_name, recipient = decode(self.recipient_id, "filter", "recipientId")
            if type_name not in notifications.PERSONS:
                raise NotFound("filter", "recipientId", noun="person")
        reservation = key_if_given("Reservation", self.reservation_id, "filter", "reservationId")
        return Wanted(recipient, reservation, None if self.status is None else tuple(self.status))


@strawberry.type(description="Whether somebody is told of a topic by a channel.", directives=[MEMBERS])
class NotificationPreference:
    channel: NotificationChannel
    topic: NotificationTopic
    enabled: bool = strawberry.field(
        description="Whether they are told, if there is an address for that channel: by EMAIL unless they said no, "
        "by SMS if they said yes."
    )

    @classmethod
    def each(cls, said: Sequence[Preference]) -> "list[NotificationPreference]":
        return [cls(channel=one.channel, topic=one.topic, enabled=one.enabled) for one in said]


@strawberry.input(description="Whether somebody shall be told of a topic by a channel.")
class NotificationPreferenceInput:
    channel: NotificationChannel
    topic: NotificationTopic = strawberry.field(description="A provider is told of BOOKING alone.")
    enabled: bool


@strawberry.input(description="What a client or a provider wishes to be told.")
class NotificationPreferencesSetInput:
    person_id: strawberry.ID | None = strawberry.field(default=None, description=WHOSE)
    preferences: list[NotificationPreferenceInput] = strawberry.field(
        default_factory=list, description="What is to change; whatever is not here stays as it is."
    )
    locale: str | None = strawberry.field(default=None, description=f"{LOCALE} It stays as it is unless told.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type(directives=[EVERYBODY])
class NotificationPreferencesSetPayload:
    preferences: list[NotificationPreference] | None = strawberry.field(
        default=None,
        description="All preferences of the person by now; null when nothing was written.",
        directives=[EACH],
    )
    user_errors: list[UserError] = user_errors()


@strawberry.type
class NotificationQuery:
    @strawberry.field(
        graphql_type=Connection[Notification],
        description="What was told, and is to be, the newest first: a client and a provider see what is for themselves.",
        extensions=[Listed(NOTIFICATIONS)],
        directives=[PAGED, MEMBERS],
    )
    def notifications(
        self,
        filter: NotificationFilter | None = None,  # noqa: A002
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        wanted = Wanted() if filter is None else filter.wanted()
        return Asked(wanted, Page.read(NEWEST, first, after, last, before))

    @strawberry.field(
        description="What a client or a provider wishes to be told: every channel and topic there is for them.",
        directives=[EACH, MEMBERS],
    )
    async def notification_preferences(
        self, info: Info, person_id: Annotated[strawberry.ID | None, strawberry.argument(description=WHOSE)] = None
    ) -> list[NotificationPreference]:
        return NotificationPreference.each(await notifications.preferences(info.context, person_id))


@strawberry.type
class NotificationMutation:
    @mutation(
        "Say what a client or a provider wishes to be told, and in which language. A client and a provider say it for "
        "themselves, the desk for anybody.",
        MEMBERS,
    )
    async def notification_preferences_set(
        self,
        info: Info,
        input: NotificationPreferencesSetInput,  # noqa: A002
    ) -> NotificationPreferencesSetPayload:
        type_name, key = notifications.whose(info.context, input.person_id)
        said = tuple(Preference(each.channel, each.topic, each.enabled) for each in input.preferences)
        wanted = Preferring(type_name, key, said, locale(input.locale, "locale"))
        preferred = await notifications.prefer(info.context, wanted, input.idempotency_key)
        return NotificationPreferencesSetPayload(preferences=NotificationPreference.each(preferred))
