"""The catalogue: its lists and links, what its lists are narrowed to, and whose times follow from a change of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, exists, or_, select, union

from models.availability_exception import AvailabilityException
from models.availability_rule import AvailabilityRule
from models.location import Location
from models.offering import Offering, of_active_service
from models.page import Sort
from models.person import contains
from models.provider import Provider
from models.relation import Listing, Many, One, rows
from models.relations import BY_NAME
from models.requirement import Requirement
from models.resource import Resource, ResourceKind
from models.service import Service, ServicePriority
from models.skill import ProviderSkill, ServiceSkill, Skill
from models.viewer import Sight, Viewer

NAMED = (Sort("name"), Sort("id"))
OLDEST_FIRST = (Sort("id"),)  # ids are made in the order of creation


@dataclass(frozen=True)
class SoughtLocation:
    """What a list of locations is narrowed to."""

    fixed: ClassVar[tuple[str, ...]] = ()

    search: str | None = None
    postal_code: str | None = None


@dataclass(frozen=True)
class SoughtService:
    """What a list of services is narrowed to; an offering has to be of the provider and at the location at once."""

    fixed: ClassVar[tuple[str, ...]] = ("active", "priority")

    search: str | None = None
    active: bool | None = None
    priority: tuple[ServicePriority, ...] | None = None
    skill_id: UUID | None = None
    resource_id: UUID | None = None
    location_id: UUID | None = None
    provider_id: UUID | None = None
    currency: str | None = None
    least: Decimal | None = None
    most: Decimal | None = None


@dataclass(frozen=True)
class SoughtSkill:
    """What a list of skills is narrowed to."""

    fixed: ClassVar[tuple[str, ...]] = ()

    search: str | None = None


@dataclass(frozen=True)
class SoughtResource:
    """What a list of resources is narrowed to."""

    fixed: ClassVar[tuple[str, ...]] = ("kind",)

    search: str | None = None
    kind: ResourceKind | None = None
    location_id: UUID | None = None


def _named(record: Any, viewer: Viewer, search: str | None) -> Select[Any]:
    statement = rows(record, viewer)
    return statement if search is None else statement.where(contains(record.name, search))


def _locations(viewer: Viewer, sought: SoughtLocation) -> Select[Any]:
    statement = _named(Location, viewer, sought.search)
    if sought.postal_code is not None:
        statement = statement.where(Location.postal_code == sought.postal_code)
    return statement


def _shown(viewer: Viewer) -> Select[Any]:
    """Select services: what is no longer offered is browsed by the team alone."""
    statement = rows(Service, viewer)
    return statement if _is_of_team(viewer) else statement.where(Service.active)


def _is_of_team(viewer: Viewer) -> bool:
    return viewer.sight in (Sight.ALL, Sight.PROVIDER)


def _services(viewer: Viewer, sought: SoughtService) -> Select[Any]:
    statement = _shown(viewer)
    if sought.search is not None:
        statement = statement.where(contains(Service.name, sought.search))
    if sought.active is not None:
        statement = statement.where(Service.active if sought.active else ~Service.active)
    if sought.priority is not None:
        statement = statement.where(Service.priority.in_([each.value for each in sought.priority]))
    if sought.skill_id is not None:
        statement = statement.where(_pairs(ServiceSkill, Service, ServiceSkill.skill_id == sought.skill_id))
    if sought.resource_id is not None:
        statement = statement.where(_pairs(Requirement, Service, Requirement.resource_id == sought.resource_id))
    offered = _offered(sought)
    if offered:
        statement = statement.where(_pairs(Offering, Service, *offered))
    return statement.where(*_priced(sought))


def _offered(sought: SoughtService) -> Sequence[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if sought.provider_id is not None:
        conditions.append(Offering.provider_id == sought.provider_id)
    if sought.location_id is not None:
        conditions.append(or_(Offering.location_id.is_(None), Offering.location_id == sought.location_id))
    return conditions


def _priced(sought: SoughtService) -> Sequence[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if sought.currency is not None:
        conditions.append(Service.currency == sought.currency)
    if sought.least is not None:
        conditions.append(Service.price >= sought.least)
    if sought.most is not None:
        conditions.append(Service.price <= sought.most)
    return conditions


def _skills(viewer: Viewer, sought: SoughtSkill) -> Select[Any]:
    return _named(Skill, viewer, sought.search)


def _resources(viewer: Viewer, sought: SoughtResource) -> Select[Any]:
    statement = _named(Resource, viewer, sought.search)
    if sought.kind is not None:
        statement = statement.where(Resource.kind == sought.kind.value)
    if sought.location_id is not None:
        statement = statement.where(Resource.location_id == sought.location_id)
    return statement


def _offerings(viewer: Viewer) -> Select[Any]:
    statement = rows(Offering, viewer)
    return statement if _is_of_team(viewer) else statement.where(of_active_service())


def _pairs(pair: Any, record: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a table that pairs things has a pair of a row, such as is meant."""
    of_record = getattr(pair, f"{record.__name__.lower()}_id") == record.id
    return exists().where(pair.business_id == record.business_id, of_record, *conditions)


# Lists at the root
LOCATIONS = Listing("locations", Location, _locations)
SERVICES = Listing("services", Service, _services)
SKILLS = Listing("skills", Skill, _skills)
RESOURCES = Listing("resources", Resource, _resources)

# Links to one
OFFERING_PROVIDER = One("Offering.provider", Provider, "provider_id")
OFFERING_SERVICE = One("Offering.service", Service, "service_id")
OFFERING_LOCATION = One("Offering.location", Location, "location_id")
REQUIREMENT_SERVICE = One("Requirement.service", Service, "service_id")
REQUIREMENT_RESOURCE = One("Requirement.resource", Resource, "resource_id")
RESOURCE_LOCATION = One("Resource.location", Location, "location_id")

# Links to many
PROVIDER_SKILLS = Many(
    "Provider.skills",
    Skill,
    lambda provider: _pairs(ProviderSkill, Skill, ProviderSkill.provider_id == provider),
    NAMED,
)
PROVIDER_SERVICES = Many(
    "Provider.services",
    Service,
    lambda provider: _pairs(Offering, Service, Offering.provider_id == provider),
    NAMED,
    base=_shown,
)
PROVIDER_OFFERINGS = Many(
    "Provider.offerings", Offering, lambda provider: Offering.provider_id == provider, OLDEST_FIRST, base=_offerings
)
SERVICE_SKILLS = Many(
    "Service.skills", Skill, lambda service: _pairs(ServiceSkill, Skill, ServiceSkill.service_id == service), NAMED
)
SERVICE_REQUIREMENTS = Many(
    "Service.requirements", Requirement, lambda service: Requirement.service_id == service, OLDEST_FIRST
)
SERVICE_OFFERINGS = Many(
    "Service.offerings", Offering, lambda service: Offering.service_id == service, OLDEST_FIRST, base=_offerings
)
SERVICE_PROVIDERS = Many(
    "Service.providers", Provider, lambda service: _pairs(Offering, Provider, Offering.service_id == service), BY_NAME
)
LOCATION_RESOURCES = Many("Location.resources", Resource, lambda location: Resource.location_id == location, NAMED)
SKILL_PROVIDERS = Many(
    "Skill.providers", Provider, lambda skill: _pairs(ProviderSkill, Provider, ProviderSkill.skill_id == skill), BY_NAME
)
SKILL_SERVICES = Many(
    "Skill.services", Service, lambda skill: _pairs(ServiceSkill, Service, ServiceSkill.skill_id == skill), NAMED
)


def scheduled(viewer: Viewer, column: str | None = None, key: UUID | None = None) -> CompoundSelect[Any]:
    """Select the providers who have a rule or an exception; one that names a service or a location, if one is meant."""
    halves = []
    for record in (AvailabilityRule, AvailabilityException):
        meant = () if column is None else (getattr(record, column) == key,)
        halves.append(select(record.provider_id).where(and_(record.business_id == viewer.business_id, *meant)))
    return union(*halves)


def givers(viewer: Viewer, service: UUID) -> Select[Any]:
    """Select the providers who offer a service: they may have submitted times for it."""
    providers: tuple[Any, ...] = (Offering.provider_id,)
    return (
        select(*providers).distinct().where(Offering.business_id == viewer.business_id, Offering.service_id == service)
    )
