"""The type Provider."""

from typing import Any

import strawberry

from models import relations
from schema.connection import many
from schema.person import Person


@strawberry.type(description="Whoever offers appointments: a stylist, a doctor, a team member.")
class Provider(Person):
    clients: Any = many(relations.PROVIDER_CLIENTS, "Everybody who ever reserved with them, by name.")
    appointments: Any = many(relations.PROVIDER_APPOINTMENTS, "All their published appointments, by start.")
    available_appointments: Any = many(
        relations.PROVIDER_AVAILABLE_APPOINTMENTS, "Those that can be reserved now, by start."
    )
    confirmed_appointments: Any = many(
        relations.PROVIDER_CONFIRMED_APPOINTMENTS, "Those with a confirmed reservation, by start."
    )
    reserved_appointments: Any = many(
        relations.PROVIDER_RESERVED_APPOINTMENTS, "Those that somebody holds now without having confirmed, by start."
    )
