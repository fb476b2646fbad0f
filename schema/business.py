"""The type Business."""

import strawberry

from schema.access import EVERYBODY, MANAGERS_OR_OPERATOR
from schema.node import Node
from schema.scalars import TimeZone


@strawberry.type(description="A tenant, with its policies.", directives=[EVERYBODY])
class Business(Node):
    name: str
    time_zone: TimeZone
    lead_time_minutes: int = strawberry.field(
        description="How far ahead an appointment is reserved at least, in minutes."
    )
    hold_time_minutes: int = strawberry.field(description="How long a hold lasts, in minutes.")
    hold_limit: int | None = strawberry.field(
        description="How many appointments a client may hold at once; null for as many as they like."
    )
    is_public: bool = strawberry.field(description="Whether anybody may browse it without a token.")
    host: str | None = strawberry.field(
        description="Whoever asks at this host without a token browses this business.",
        directives=[MANAGERS_OR_OPERATOR],
    )
    version: int = strawberry.field(description="Grows by one with each change.", directives=[MANAGERS_OR_OPERATOR])
