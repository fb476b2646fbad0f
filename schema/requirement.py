"""The type Requirement."""

from typing import Any

import strawberry

from models import catalogue
from schema.access import TEAM
from schema.connection import one
from schema.node import Node


@strawberry.type(description="How many of a resource a service needs, for as long as it takes.", directives=[TEAM])
class Requirement(Node):
    quantity: int = strawberry.field(description="So many at once.")
    version: int = strawberry.field(description="Grows by one with each change.")
    service: Any = one(catalogue.REQUIREMENT_SERVICE, "What needs it.")
    resource: Any = one(catalogue.REQUIREMENT_RESOURCE, "What is needed.")
