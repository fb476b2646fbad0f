"""Filters and orders of the catalogue: how its lists are narrowed and sorted."""

from enum import Enum
from typing import Annotated, Any

import strawberry

from models import text
from models.catalogue import SoughtLocation, SoughtResource, SoughtService, SoughtSkill
from models.location import LONGEST_POSTAL_CODE
from models.money import checked_currency
from models.node_id import key_if_given
from models.refusal import InvalidInput
from schema.filter import STEP, OrderDirection
from schema.money import PriceRange
from schema.resource import ResourceKind
from schema.service import ServicePriority

NameSearch = Annotated[
    str | None, strawberry.argument(description="Looked for in names, as it is, in capital letters or small ones.")
]


@strawberry.input(description="What a list of locations is narrowed to.")
class LocationFilter:
    postal_code: str | None = strawberry.field(default=None, description="With this postal code.")


@strawberry.input(description="What a list of services is narrowed to. All that is given must hold.")
class ServiceFilter:
    active: bool | None = strawberry.field(default=None, description="Offered now, or not: these only the team sees.")
    priority: list[ServicePriority] | None = strawberry.field(default=None, description="Of one of these priorities.")
    skill_id: strawberry.ID | None = strawberry.field(default=None, description="Needing this skill.")
    resource_id: strawberry.ID | None = strawberry.field(default=None, description="Needing this resource.")
    location_id: strawberry.ID | None = strawberry.field(
        default=None, description="Given at this location, or wherever its provider works."
    )
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="Given by this provider.")
    price: PriceRange | None = strawberry.field(default=None, description="Costing something in this range.")


@strawberry.input(description="What a list of resources is narrowed to. All that is given must hold.")
class ResourceFilter:
    kind: ResourceKind | None = strawberry.field(default=None, description="Of this kind.")
    location_id: strawberry.ID | None = strawberry.field(default=None, description="Only at this location.")


@strawberry.enum(description="What locations are sorted by.")
class LocationOrderField(Enum):
    NAME = "name"
    CREATED_AT = "id"  # ids are made in the order of creation


@strawberry.enum(description="What services are sorted by; one without a duration comes before every other.")
class ServiceOrderField(Enum):
    NAME = "name"
    CREATED_AT = "id"
    PRIORITY = "priority_rank"
    DURATION = "duration_rank"


@strawberry.enum(description="What skills are sorted by.")
class SkillOrderField(Enum):
    NAME = "name"
    CREATED_AT = "id"


@strawberry.enum(description="What resources are sorted by.")
class ResourceOrderField(Enum):
    NAME = "name"
    CREATED_AT = "id"


@strawberry.input(description=STEP)
class LocationOrder:
    field: LocationOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description=STEP)
class ServiceOrder:
    field: ServiceOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description=STEP)
class SkillOrder:
    field: SkillOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description=STEP)
class ResourceOrder:
    field: ResourceOrderField
    direction: OrderDirection = OrderDirection.ASC


def locations(filter_: LocationFilter | None, search: str | None) -> SoughtLocation:
    """Read what a list of locations is narrowed to."""
    code = filter_.postal_code if filter_ else None
    return SoughtLocation(
        _search(search), None if code is None else text.name(code, "postalCode", longest=LONGEST_POSTAL_CODE)
    )


def services(filter_: ServiceFilter | None, search: str | None) -> SoughtService:
    """Read what a list of services is narrowed to."""
    wanted = filter_ or ServiceFilter()
    return SoughtService(
        search=_search(search),
        active=wanted.active,
        priority=None if wanted.priority is None else tuple(dict.fromkeys(wanted.priority)),
        skill_id=key_if_given("Skill", wanted.skill_id, "skillId"),
        resource_id=key_if_given("Resource", wanted.resource_id, "resourceId"),
        location_id=key_if_given("Location", wanted.location_id, "locationId"),
        provider_id=key_if_given("Provider", wanted.provider_id, "providerId"),
        **_prices(wanted.price),
    )


def _prices(wanted: PriceRange | None) -> dict[str, Any]:
    if wanted is None:
        return {}
    currency = checked_currency(wanted.currency, "price", "currency")
    if wanted.minimum is not None and wanted.maximum is not None and wanted.minimum > wanted.maximum:
        raise InvalidInput("price", "maximum", problem="maximum must not be less than minimum.")
    return {"currency": currency, "least": wanted.minimum, "most": wanted.maximum}


def skills(search: str | None) -> SoughtSkill:
    """Read what a list of skills is narrowed to."""
    return SoughtSkill(_search(search))


def resources(filter_: ResourceFilter | None, search: str | None) -> SoughtResource:
    """Read what a list of resources is narrowed to."""
    wanted = filter_ or ResourceFilter()
    return SoughtResource(_search(search), wanted.kind, key_if_given("Location", wanted.location_id, "locationId"))


def _search(value: str | None) -> str | None:
    return None if value is None else text.name(value, "search")
