"""The type Location."""

import strawberry

from schema.access import EVERYBODY
from schema.node import Node
from schema.scalars import TimeZone


@strawberry.type(description="A place where appointments are kept.", directives=[EVERYBODY])
class Location(Node):
    name: str
    time_zone: TimeZone
