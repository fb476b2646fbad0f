"""The type Viewer: who asks, and the business they ask of."""

from typing import Any

import strawberry

from models import relations
from schema.declaration import Linked
from schema.scalars import TimeZone


@strawberry.type(description="A tenant, with its policies.")
class Business:
    name: str
    time_zone: TimeZone
    lead_time_minutes: int = strawberry.field(
        description="How far ahead an appointment is reserved at least, in minutes."
    )
    hold_time_minutes: int = strawberry.field(description="How long a hold lasts, in minutes.")


@strawberry.type(description="Whoever sends this request.")
class Viewer:
    principal: str = strawberry.field(description="The name that events and idempotency keys know them by.")
    business: Any = strawberry.field(
        graphql_type=Business,
        description="The business whose rows they see.",
        extensions=[Linked(relations.VIEWER_BUSINESS)],
    )
