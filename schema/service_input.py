"""Services: the inputs and the payloads of their mutations."""

from typing import Any

import strawberry

from models.given import read, something
from models.node_id import key_of
from models.parts import MOST_PARTS, NewService, ServiceEdition, ServiceParts, distinct
from models.resource import units
from models.service import FIELDS
from resolvers.writes import Request
from schema.access import EVERYBODY
from schema.connection import maybe
from schema.edit_input import NAME, CreateInput, DeleteInput, UpdateInput, deletion, given, unchanged
from schema.error import thing
from schema.money import MoneyInput
from schema.service import ServicePriority
from schema.supply import DeletePayload, SupplyPayload

OR_OURS = "null for the business's policy."
DURATION = "How long it takes, 1 to 1440."
BUFFER_BEFORE = "Time the provider needs before, 0 to 1440."
BUFFER_AFTER = "Time the provider needs after, 0 to 1440."
PRICE = "Null for a service that has no price."
ACTIVE = "Whether it is offered."
LEAD_TIME = f"How far ahead an appointment is reserved at least, 0 to 527040; {OR_OURS}"
HOLD_TIME = f"How long a hold lasts, 1 to 1440; {OR_OURS}"
MINIMUM_HORIZON = f"What starts sooner is reserved by nobody, whatever the lead time, 0 to 527040; {OR_OURS}"
MAXIMUM_HORIZON = f"What starts later is reserved by nobody, 1 to 527040 and more than the minimum; {OR_OURS}"
CANCEL_CUTOFF = f"How long before its start a client may cancel at the latest, 0 to 527040; {OR_OURS}"
APPROVAL = (
    "How long its provider has to approve what a client confirmed, in minutes, 1 to 527040; nobody need unless told. Until "
    "then the reservation is PENDING and keeps its time, and lapses like a hold."
)
SKILLS = "What its provider has to be able to do: all of it, at most 100."
RESOURCES = "Which resources it needs: all of them, at most 100."


@strawberry.input(description="How many of a resource a service needs.")
class RequirementInput:
    resource_id: strawberry.ID
    quantity: int = strawberry.field(default=1, description="So many at once, 1 to 1000.")


def _parts(sent: Any) -> ServiceParts:
    """Read what belongs to a service; null is an empty list."""
    skills, needs = sent.skill_ids, sent.resources
    if skills is not strawberry.UNSET:
        skills = tuple(key_of("Skill", each, "skillIds", n) for n, each in enumerate(skills or ()))
        distinct(skills, MOST_PARTS, "skillIds")
    if needs is not strawberry.UNSET:
        needs = tuple(_need(each, n) for n, each in enumerate(needs or ()))
        distinct([key for key, _ in needs], MOST_PARTS, "resources")
    return ServiceParts(None if skills is strawberry.UNSET else skills, None if needs is strawberry.UNSET else needs)


def _need(sent: RequirementInput, n: int) -> tuple[Any, int]:
    quantity = units(sent.quantity, "resources", n, "quantity")
    return key_of("Resource", sent.resource_id, "resources", n, "resourceId"), quantity


@strawberry.input(description="A new service.")
class ServiceCreateInput(CreateInput):
    name: str = strawberry.field(description=NAME)
    duration_minutes: int = strawberry.field(description=DURATION)
    buffer_before_minutes: int = strawberry.field(default=0, description=BUFFER_BEFORE)
    buffer_after_minutes: int = strawberry.field(default=0, description=BUFFER_AFTER)
    price: MoneyInput | None = strawberry.field(default=None, description=PRICE)
    active: bool = strawberry.field(default=True, description=ACTIVE)
    priority: ServicePriority = ServicePriority.MEDIUM
    lead_time_minutes: int | None = strawberry.field(default=None, description=LEAD_TIME)
    hold_time_minutes: int | None = strawberry.field(default=None, description=HOLD_TIME)
    minimum_horizon_minutes: int | None = strawberry.field(default=None, description=MINIMUM_HORIZON)
    maximum_horizon_minutes: int | None = strawberry.field(default=None, description=MAXIMUM_HORIZON)
    cancel_cutoff_minutes: int | None = strawberry.field(default=None, description=CANCEL_CUTOFF)
    approval_minutes: int | None = strawberry.field(default=None, description=APPROVAL)
    skill_ids: list[strawberry.ID] | None = unchanged(SKILLS)
    resources: list[RequirementInput] | None = unchanged(RESOURCES)

    def wanted(self) -> Request:
        values = read(given(self, "skill_ids", "resources"), FIELDS)
        return Request(NewService(values, _parts(self)), self.idempotency_key)


@strawberry.type(directives=[EVERYBODY])
class ServiceCreatePayload(SupplyPayload):
    service: Any = thing(maybe("Service"))


@strawberry.input(
    description="What is to change of a service. What is left out stays as it is. "
    "Reservations that were made keep their price, their length and their cut-off."
)
class ServiceUpdateInput(UpdateInput):
    name: str | None = unchanged(NAME)
    duration_minutes: int | None = unchanged(DURATION)
    buffer_before_minutes: int | None = unchanged(BUFFER_BEFORE)
    buffer_after_minutes: int | None = unchanged(BUFFER_AFTER)
    price: MoneyInput | None = unchanged(PRICE)
    active: bool | None = unchanged(ACTIVE)
    priority: ServicePriority | None = unchanged()
    lead_time_minutes: int | None = unchanged(LEAD_TIME)
    hold_time_minutes: int | None = unchanged(HOLD_TIME)
    minimum_horizon_minutes: int | None = unchanged(MINIMUM_HORIZON)
    maximum_horizon_minutes: int | None = unchanged(MAXIMUM_HORIZON)
    cancel_cutoff_minutes: int | None = unchanged(CANCEL_CUTOFF)
    approval_minutes: int | None = unchanged(APPROVAL)
    skill_ids: list[strawberry.ID] | None = unchanged(f"{SKILLS} What it needed before and is not here goes.")
    resources: list[RequirementInput] | None = unchanged(f"{RESOURCES} What it needed before and is not here goes.")

    def wanted(self) -> Request:
        key, parts = key_of("Service", self.id, "id"), _parts(self)
        values = read(given(self, "skill_ids", "resources"), FIELDS)
        return Request(
            ServiceEdition(key, self.expected_version, values if parts else something(values), parts),
            self.idempotency_key,
        )


@strawberry.type(directives=[EVERYBODY])
class ServiceUpdatePayload(SupplyPayload):
    service: Any = thing(maybe("Service"))


@strawberry.input(
    description="A service that nobody offers and nobody ever reserved; what was reserved is made inactive instead."
)
class ServiceDeleteInput(DeleteInput):
    def wanted(self) -> Request:
        return deletion("Service", self)


@strawberry.type(directives=[EVERYBODY])
class ServiceDeletePayload(DeletePayload):
    pass
