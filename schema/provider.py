"""The type Provider."""

from typing import Any

import strawberry

from models import relations
from schema.access import DESK, EVERYBODY, TEAM
from schema.connection import many
from schema.person import Person
from schema.scalars import TimeZone


@strawberry.type(description="Whoever offers appointments: a stylist, a doctor, a team member.", directives=[TEAM])
class Provider(Person):
    first_name: str = strawberry.field(directives=[EVERYBODY])
    last_name: str = strawberry.field(directives=[EVERYBODY])
    time_zone: TimeZone | None = strawberry.field(
        description="Their own zone; null where the business's holds.", directives=[EVERYBODY]
    )
    clients: Any = many(relations.PROVIDER_CLIENTS, "Everybody who ever reserved with them, by name.", DESK)
    appointments: Any = many(relations.PROVIDER_APPOINTMENTS, "All their published appointments, by start.")
    available_appointments: Any = many(
        relations.PROVIDER_AVAILABLE_APPOINTMENTS, "Those that can be reserved now, by start.", EVERYBODY
    )
    confirmed_appointments: Any = many(
        relations.PROVIDER_CONFIRMED_APPOINTMENTS, "Those with a confirmed reservation, by start."
    )
    reserved_appointments: Any = many(
        relations.PROVIDER_RESERVED_APPOINTMENTS, "Those that somebody holds now without having confirmed, by start."
    )
