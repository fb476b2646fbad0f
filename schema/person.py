"""What the types Provider and Client have in common."""

from datetime import datetime

import strawberry

from schema.connection import personal
from schema.node import Node
from schema.scalars import LOCALE, TimeZone


@strawberry.type
class Person(Node):
    first_name: str
    last_name: str
    email: str | None = personal("email", "Their email address.")
    phone: str | None = personal("phone", "Their telephone number, as it was given.")
    time_zone: TimeZone | None = strawberry.field(description="Their own zone; null where the business's holds.")
    locale: str | None = strawberry.field(description=f"{LOCALE} Null where the business's holds.")
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
