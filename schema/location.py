"""The type Location."""

from datetime import datetime
from typing import Any

import strawberry

from models import catalogue
from schema.access import EVERYBODY, TEAM
from schema.connection import many
from schema.node import Node
from schema.scalars import TimeZone


@strawberry.type(description="A place where appointments are kept.", directives=[EVERYBODY])
class Location(Node):
    name: str
    address: str | None = strawberry.field(description="Where it is, in lines as on a letter.")
    postal_code: str | None
    time_zone: TimeZone = strawberry.field(description="The zone that local times are meant in here.")
    created_at: datetime = strawberry.field(directives=[TEAM])
    version: int = strawberry.field(description="Grows by one with each change.", directives=[TEAM])
    resources: Any = many(
        catalogue.LOCATION_RESOURCES, "The rooms and the equipment that are only here, by name.", TEAM
    )
