"""The type Skill."""

from datetime import datetime
from typing import Any

import strawberry

from models import catalogue
from schema.access import TEAM
from schema.connection import many
from schema.node import Node


@strawberry.type(description="What a provider is able to do, and a service needs.", directives=[TEAM])
class Skill(Node):
    name: str = strawberry.field(description="No two skills have the same.")
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    providers: Any = many(catalogue.SKILL_PROVIDERS, "Who has it, by name.")
    services: Any = many(catalogue.SKILL_SERVICES, "What needs it, by name.")
