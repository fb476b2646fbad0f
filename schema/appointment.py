"""The type Appointment."""

from datetime import datetime
from typing import Any

import strawberry

from models import relations
from models.page import Page
from resolvers.connections import related
from schema.connection import Info, many, maybe, one
from schema.node import Node


@strawberry.type(description="One place in a provider's time that can be taken. It never changes; it can be withdrawn.")
class Appointment(Node):
    starts_at: datetime
    ends_at: datetime
    capacity: int = strawberry.field(description="How many clients can reserve it; more than one for a group.")
    created_at: datetime = strawberry.field(description="When it was published.")
    provider: Any = one(relations.APPOINTMENT_PROVIDER, "Whose time it is.")
    service: Any = one(relations.APPOINTMENT_SERVICE, "What it was published for; null for anything.", optional=True)
    location: Any = one(relations.APPOINTMENT_LOCATION, "Where it takes place.", optional=True)
    reservations: Any = many(relations.APPOINTMENT_RESERVATIONS, "Every claim on it, closed ones too.")

    @strawberry.field(description="The same as startsAt.")
    def time_slot(root: strawberry.Parent[Any]) -> datetime:  # noqa: N805
        return root.starts_at  # type: ignore[no-any-return]

    @strawberry.field(
        graphql_type=maybe("Reservation"), description="The confirmed reservation; the first one of a group."
    )
    async def confirmed_reservation(root: strawberry.Parent[Any], info: Info) -> Any:  # noqa: N805
        first = related(info.context, relations.APPOINTMENT_CONFIRMED_RESERVATIONS, root.id, Page(1))
        return next(iter(await first.nodes()), None)
