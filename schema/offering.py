"""The type Offering."""

from typing import Any

import strawberry

from models import catalogue
from schema.access import EVERYBODY, TEAM
from schema.connection import one
from schema.node import Node


@strawberry.type(
    description="That a provider gives a service, at a location or wherever they work.", directives=[EVERYBODY]
)
class Offering(Node):
    version: int = strawberry.field(description="Grows by one with each change.", directives=[TEAM])
    provider: Any = one(catalogue.OFFERING_PROVIDER, "Who gives it.")
    service: Any = one(catalogue.OFFERING_SERVICE, "What is given.")
    location: Any = one(catalogue.OFFERING_LOCATION, "Where; null for wherever the provider works.", optional=True)
