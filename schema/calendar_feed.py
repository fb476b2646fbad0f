"""The type CalendarFeed, and the inputs and payloads of the mutations that make and end feeds."""

from datetime import datetime
from typing import Any

import strawberry

from models import calendar_relations as relations
from models.calendar_feed import NewFeed
from schema.access import EVERYBODY, MEMBERS
from schema.connection import one
from schema.declaration import Identity
from schema.error import UserError, thing, user_errors


@strawberry.type(
    description="A calendar that other programs read: the appointments of a provider, or of a client, from 90 days ago "
    "to 366 days ahead, and for 30 days those that were cancelled. Its address was shown once, and is nowhere to be read.",
    directives=[MEMBERS],
)
class CalendarFeed:
    id: strawberry.ID = strawberry.field(
        description="An opaque id, by which the feed is revoked.", extensions=[Identity()]
    )
    revoked_at: datetime | None = strawberry.field(
        description="Since when nobody can read it; null while nobody revoked it."
    )
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    provider: Any = one(
        relations.FEED_PROVIDER, "Whose appointments it shows, with first names of clients.", optional=True
    )
    client: Any = one(relations.FEED_CLIENT, "Whose appointments it shows, with names of providers.", optional=True)


@strawberry.input(description="A new feed: of a provider or of a client.")
class CalendarFeedCreateInput:
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="A PROVIDER names themselves.")
    client_id: strawberry.ID | None = strawberry.field(default=None, description="A CLIENT names themselves.")

    def wanted(self) -> NewFeed:
        return NewFeed.read(self.provider_id, self.client_id)


@strawberry.type(directives=[EVERYBODY])
class CalendarFeedCreatePayload:
    calendar_feed: Any = thing(CalendarFeed | None)
    url: str | None = strawberry.field(
        default=None,
        description="Where the calendar is read, by whoever knows this. Shown now and never again: keep it secret.",
    )
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A feed to be revoked.")
class CalendarFeedRevokeInput:
    calendar_feed_id: strawberry.ID


@strawberry.type(directives=[EVERYBODY])
class CalendarFeedRevokePayload:
    calendar_feed: Any = thing(CalendarFeed | None)
    user_errors: list[UserError] = user_errors()
