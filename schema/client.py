"""The type Client."""

from datetime import datetime
from typing import Any

import strawberry

from models import relations
from schema.connection import many
from schema.node import Node
from schema.scalars import TimeZone


@strawberry.type(description="Whoever takes appointments.")
class Client(Node):
    first_name: str
    last_name: str
    email: str | None
    time_zone: TimeZone | None = strawberry.field(description="Their own zone; null where the business's holds.")
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    providers: Any = many(relations.CLIENT_PROVIDERS, "Everybody they ever reserved with, by name.")
    reservations: Any = many(relations.CLIENT_RESERVATIONS, "All their reservations, by start.")
    active_reservations: Any = many(
        relations.CLIENT_ACTIVE_RESERVATIONS, "Those that hold a time now: confirmed, or held and not lapsed."
    )
    confirmed_reservations: Any = many(relations.CLIENT_CONFIRMED_RESERVATIONS, "Those that are confirmed.")
    expired_reservations: Any = many(
        relations.CLIENT_EXPIRED_RESERVATIONS, "Holds that lapsed before they were confirmed."
    )
