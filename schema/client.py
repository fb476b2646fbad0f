"""The type Client."""

from typing import Any

import strawberry

from models import relations
from schema.access import MEMBERS
from schema.connection import many
from schema.person import Person


@strawberry.type(description="Whoever takes appointments.", directives=[MEMBERS])
class Client(Person):
    providers: Any = many(relations.CLIENT_PROVIDERS, "Everybody they ever reserved with, by name.")
    reservations: Any = many(relations.CLIENT_RESERVATIONS, "All their reservations, by start.")
    active_reservations: Any = many(
        relations.CLIENT_ACTIVE_RESERVATIONS, "Those that hold a time now: confirmed, or held and not lapsed."
    )
    confirmed_reservations: Any = many(relations.CLIENT_CONFIRMED_RESERVATIONS, "Those that are confirmed.")
    expired_reservations: Any = many(
        relations.CLIENT_EXPIRED_RESERVATIONS, "Holds that lapsed before they were confirmed."
    )
