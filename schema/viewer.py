"""The type Viewer: who asks, and the business they ask of."""

from typing import Any

import strawberry

from models.business import minutes
from resolvers import nodes
from schema.connection import Info
from schema.scalars import TimeZone


@strawberry.type(description="A tenant, with its policies.")
class Business:
    name: str
    time_zone: TimeZone

    @strawberry.field(description="How far ahead an appointment is reserved at least, in minutes.")
    def lead_time_minutes(root: strawberry.Parent[Any]) -> int:  # noqa: N805
        return minutes(root.lead_time)

    @strawberry.field(description="How long a hold lasts, in minutes.")
    def hold_time_minutes(root: strawberry.Parent[Any]) -> int:  # noqa: N805
        return minutes(root.hold_time)


@strawberry.type(description="Whoever sends this request.")
class Viewer:
    principal: str = strawberry.field(description="The name that events and idempotency keys know them by.")

    @strawberry.field(graphql_type=Business, description="The business whose rows they see.")
    async def business(self, info: Info) -> Any:
        return await nodes.find_business(info.context)
