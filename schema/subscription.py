"""What can be listened to."""

from typing import Any

import strawberry

from models.node_id import key_of
from resolvers import signals
from schema.access import EVERYBODY, MEMBERS
from schema.availability_change import AvailabilityChange
from schema.connection import Info, lazy
from schema.cost import Cost
from schema.filter import AvailabilityFilter, availability

LISTENS = Cost(weight="10")


@strawberry.type
class Subscription:
    @strawberry.subscription(
        graphql_type=AvailabilityChange,
        description="Each time that may be free now, or no longer, of those that the filter could find: it was held, "
        "confirmed, cancelled, rescheduled (both times are told) or reassigned, a hold on it lapsed, what it was reserved "
        "for ended early, or its provider published or withdrew it. After it come the other times that are free by that, "
        "or no longer, with the same reason: of the same provider, by overlap or buffers, and of any provider who needs "
        "the same resource; the first 50 by start. None of those 50 is missed; one may be told though it has not changed, "
        "where several such changes come together. Policies and catalogues that change are not told: search again. Begins "
        "with the first change after it was asked for.",
        directives=[LISTENS, EVERYBODY],
    )
    async def availability_changed(
        self,
        info: Info,
        filter: AvailabilityFilter | None = None,  # noqa: A002
    ) -> Any:
        return await signals.availability_changes(info.context, availability(filter, info.context.time_zone))

    @strawberry.subscription(
        graphql_type=lazy("Reservation"),
        description="The reservation with this id as it is now, after each change of it, closed or not, for as long as "
        "you see it; NOT_FOUND, and the end, once you do not. Begins with the first change after it was asked for.",
        directives=[LISTENS, MEMBERS],
    )
    async def reservation_changed(self, info: Info, id: strawberry.ID) -> Any:  # noqa: A002
        return await signals.reservation_changes(info.context, key_of("Reservation", id, "id"))
