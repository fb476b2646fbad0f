"""The type Resource."""

from datetime import datetime
from typing import Any

import strawberry

from models import catalogue
from models.resource import ResourceKind
from schema.access import TEAM
from schema.connection import one
from schema.node import Node

__all__ = ["Resource", "ResourceKind"]

strawberry.enum(ResourceKind, description=ResourceKind.__doc__)


@strawberry.type(
    description="A room or a piece of equipment that services need beside their provider.", directives=[TEAM]
)
class Resource(Node):
    name: str
    kind: ResourceKind
    quantity: int = strawberry.field(description="How many there are, all alike; one reservation uses each at a time.")
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    location: Any = one(catalogue.RESOURCE_LOCATION, "Where it is; null for wherever it is needed.", optional=True)
