"""The type Service."""

from datetime import datetime
from typing import Any

import strawberry

from models import catalogue
from models.service import ServicePriority
from schema.access import EVERYBODY, TEAM
from schema.connection import many
from schema.money import price
from schema.node import Node

__all__ = ["Service", "ServicePriority"]

strawberry.enum(ServicePriority, description=ServicePriority.__doc__)

OR_OURS = "in minutes; null where the business's policy holds."


@strawberry.type(description="What a provider does in an appointment.", directives=[EVERYBODY])
class Service(Node):
    name: str
    duration_minutes: int | None = strawberry.field(
        description="How long it takes, in minutes; null for as long as its appointments are."
    )
    buffer_before_minutes: int = strawberry.field(description="Time the provider needs before, in minutes.")
    buffer_after_minutes: int = strawberry.field(description="Time the provider needs after, in minutes.")
    price: Any = price("What it costs now; null where nothing is said. A reservation keeps the price it was made at.")
    active: bool = strawberry.field(description="Whether it is offered; what is not is shown to the team alone.")
    priority: ServicePriority
    lead_time_minutes: int | None = strawberry.field(
        description=f"How far ahead an appointment is reserved at least, {OR_OURS}"
    )
    hold_time_minutes: int | None = strawberry.field(description=f"How long a hold lasts, {OR_OURS}")
    minimum_horizon_minutes: int | None = strawberry.field(
        description=f"What starts sooner is reserved by nobody, whatever the lead time, {OR_OURS}"
    )
    maximum_horizon_minutes: int | None = strawberry.field(
        description=f"What starts later is reserved by nobody, {OR_OURS}"
    )
    cancel_cutoff_minutes: int | None = strawberry.field(
        description=f"How long before its start a client may cancel at the latest, {OR_OURS}"
    )
    approval_minutes: int | None = strawberry.field(
        description="How long its provider has to approve what a client confirmed, in minutes; null where nobody need."
    )
    created_at: datetime = strawberry.field(directives=[TEAM])
    version: int = strawberry.field(description="Grows by one with each change.", directives=[TEAM])
    skills: Any = many(catalogue.SERVICE_SKILLS, "What its provider has to be able to do, by name.", TEAM)
    requirements: Any = many(catalogue.SERVICE_REQUIREMENTS, "Which resources it needs, the oldest first.", TEAM)
    offerings: Any = many(catalogue.SERVICE_OFFERINGS, "Who gives it where, the oldest first.")
    providers: Any = many(catalogue.SERVICE_PROVIDERS, "Who gives it, by name.")
