"""Events: the type Event, and the feed of them."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from sqlalchemy import Row
from strawberry.scalars import JSON

from models import event
from resolvers.events import list_events
from schema.access import MANAGERS
from schema.connection import PAGED, After, Connection, First, Info


@strawberry.type(
    description="A change that was made, as webhooks and NATS tell it, too. It carries ids and times, and never what is "
    "personal; whoever may read more asks for it by the ids.",
    directives=[MANAGERS],
)
class Event:
    @strawberry.field(
        description="A UUID, the same wherever the event is told: who hears of it twice knows it by this. It is no node."
    )
    def id(root: strawberry.Parent[Row[Any]]) -> strawberry.ID:  # noqa: N805
        return strawberry.ID(str(root.id))

    type: str = strawberry.field(
        description="What was done, with the version of its data: `scheduling.reservation.confirmed.v1`."
    )

    @strawberry.field(description="The business: `/businesses/` and its UUID.")
    def source(root: strawberry.Parent[Row[Any]]) -> str:  # noqa: N805
        return event.source(root.business_id)

    occurred_at: datetime = strawberry.field(description="When, by the database's clock.")
    correlation_id: str | None = strawberry.field(
        description="In which request; its answer had it as X-Request-Id. Null for what no request did."
    )

    @strawberry.field(description="The ids, as UUIDs, and the times that it is about; in snake case, as it is stored.")
    def data(root: strawberry.Parent[Row[Any]]) -> JSON:  # noqa: N805
        return JSON(root.data)


@strawberry.type
class EventQuery:
    @strawberry.field(
        graphql_type=Connection[Event],
        description="The events of the business, the oldest first, a moment after their change was committed. Ask again "
        "with the last `endCursor` as `after`, also where a page was empty: it misses nothing and repeats nothing, whatever "
        "is written meanwhile. Changes of one thing come in the order in which they were made. "
        "Who read what is no event; see `auditEntries`.",
        directives=[PAGED, MANAGERS],
    )
    def events(
        self,
        info: Info,
        after: After = None,
        first: First = None,
        types: Annotated[
            list[str] | None,
            strawberry.argument(description="Only events of exactly these types, at most 50; of all, unless told."),
        ] = None,
    ) -> Any:
        return list_events(info.context, event.Wanted.read(types), first, after)
