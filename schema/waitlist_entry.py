"""The type WaitlistEntry."""

from datetime import datetime
from typing import Any

import strawberry

from models import waitlist_relations as relations
from models.waitlist_entry import WaitlistEntryStatus
from schema.access import DESK_OR_CLIENT
from schema.connection import one
from schema.node import Node

__all__ = ["WaitlistEntry", "WaitlistEntryStatus"]

strawberry.enum(WaitlistEntryStatus, description=WaitlistEntryStatus.__doc__)


@strawberry.type(
    description="What a client waits for. As soon as such a time is free, it is held for whoever has waited for it the longest, "
    "before anybody else can take it. Who does not accept it keeps their place, and is not offered that time again.",
    directives=[DESK_OR_CLIENT],
)
class WaitlistEntry(Node):
    status: WaitlistEntryStatus = strawberry.field(
        description="Where it stands now: WAITING again as soon as an offer has lapsed, EXPIRED once startsUntil has come."
    )
    starts_from: datetime = strawberry.field(description="The earliest start that is wished for.")
    starts_until: datetime = strawberry.field(description="What is wished for starts before this instant.")
    position: int | None = strawberry.field(
        description="Its place among all who wait and might be offered the same time: 1 is next. Null unless it is WAITING."
    )
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    client: Any = one(relations.ENTRY_CLIENT, "Who waits.")
    service: Any = one(relations.ENTRY_SERVICE, "For what; null for anything that the provider gives.", optional=True)
    provider: Any = one(relations.ENTRY_PROVIDER, "For whom; null for anybody who gives the service.", optional=True)
    location: Any = one(relations.ENTRY_LOCATION, "Where; null for anywhere.", optional=True)
    offer: Any = one(
        relations.ENTRY_OFFER,
        "The hold that is offered now: `reservationConfirm` accepts it, `reservationRelease` declines it, and it lapses like "
        "any other. Once it is accepted, the booking that it became.",
        optional=True,
    )
