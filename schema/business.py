"""The type Business."""

import strawberry

from models.business import ExposureVariant
from schema.access import EVERYBODY, MANAGERS_OR_OPERATOR
from schema.node import Node
from schema.scalars import TimeZone

strawberry.enum(ExposureVariant, description=ExposureVariant.__doc__)


@strawberry.type(description="A tenant, with its policies.", directives=[EVERYBODY])
class Business(Node):
    name: str
    time_zone: TimeZone
    lead_time_minutes: int = strawberry.field(
        description="How far ahead an appointment is reserved at least, in minutes."
    )
    hold_time_minutes: int = strawberry.field(description="How long a hold lasts, in minutes.")
    hold_limit: int | None = strawberry.field(
        description="How many appointments a client may hold at once, and how many of their requests may wait for an approval; null for as "
        "many as they like."
    )
    minimum_horizon_minutes: int = strawberry.field(
        description="What starts sooner is reserved by nobody, whatever the lead time, in minutes."
    )
    maximum_horizon_minutes: int | None = strawberry.field(
        description="What starts later is reserved by nobody, in minutes; null for as far as there are appointments."
    )
    cancel_cutoff_minutes: int = strawberry.field(
        description="How long before its start a client may cancel at the latest, in minutes."
    )
    renewal_limit: int = strawberry.field(description="How often a hold may be renewed.")
    publication_days: int = strawberry.field(description="How many days ahead rules become appointments.")
    exposure_variant: ExposureVariant = strawberry.field(description="How many times a client is shown at once.")
    locale: str = strawberry.field(
        description="In which language people are written to who have not chosen one (BCP 47); en, where it has no templates."
    )
    reminder_minutes: list[int] = strawberry.field(
        description="How long before an appointment its client is reminded of it, in minutes, the earliest first."
    )
    is_public: bool = strawberry.field(description="Whether anybody may browse it without a token.")
    host: str | None = strawberry.field(
        description="Whoever asks at this host without a token browses this business.",
        directives=[MANAGERS_OR_OPERATOR],
    )
    version: int = strawberry.field(description="Grows by one with each change.", directives=[MANAGERS_OR_OPERATOR])
