"""The type Provider."""

from typing import Any

import strawberry

from models import catalogue, relations, schedule_relations
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
    availability_rules: Any = many(
        schedule_relations.PROVIDER_RULES,
        "The rules by which they work: the week from Monday on, then those for dates.",
    )
    availability_exceptions: Any = many(
        schedule_relations.PROVIDER_EXCEPTIONS, "The dates on which they are away, or work other hours, by date."
    )
    time_off: Any = many(
        schedule_relations.PROVIDER_TIME_OFF, "When they are away, by start; a PROVIDER sees their own."
    )
    reserved_appointments: Any = many(
        relations.PROVIDER_RESERVED_APPOINTMENTS, "Those that somebody holds now without having confirmed, by start."
    )
    skills: Any = many(catalogue.PROVIDER_SKILLS, "What they are able to do, by name.")
    services: Any = many(catalogue.PROVIDER_SERVICES, "What they give, by name, wherever that is.", EVERYBODY)
    offerings: Any = many(catalogue.PROVIDER_OFFERINGS, "What they give where, the oldest first.", EVERYBODY)
