"""Parts: the skills and services of a provider, the skills and resources of a service; each set is replaced as a whole."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Uuid, and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import Delete
from sqlalchemy.sql.dml import Insert as AnyInsert

from models.offering import Offering
from models.record import array_of
from models.refusal import InvalidInput
from models.relation import rows
from models.requirement import Requirement
from models.service import Service
from models.viewer import Viewer

MOST_PARTS, MOST_OFFERINGS = 100, 1000


@dataclass(frozen=True)
class ServiceParts:
    """The skills that a service needs, and how many of each resource; None leaves what there is."""

    skill_ids: tuple[UUID, ...] | None = None
    resources: tuple[tuple[UUID, int], ...] | None = None

    def __bool__(self) -> bool:
        return self.skill_ids is not None or self.resources is not None


@dataclass(frozen=True)
class NewService:
    """A service that is to be made, with what belongs to it."""

    values: dict[str, Any]
    parts: ServiceParts


@dataclass(frozen=True)
class ServiceEdition:
    """What of a service is to change."""

    key: UUID
    expected_version: int
    values: dict[str, Any]
    parts: ServiceParts


@dataclass(frozen=True)
class SkillSet:
    """The skills that a provider is to have."""

    provider_id: UUID
    expected_version: int | None
    skill_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class Offered:
    """A service, and where it is given; None for wherever its provider works."""

    service_id: UUID
    location_id: UUID | None


@dataclass(frozen=True)
class OfferingSet:
    """The services that a provider is to give."""

    provider_id: UUID
    expected_version: int | None
    services: tuple[Offered, ...]


def distinct(values: Sequence[Hashable], most: int, field: str) -> None:
    """Refuse a list that is too long, or that names something twice."""
    if len(values) > most:
        raise InvalidInput(field, problem=f"{field} has {len(values)} members; {most} are allowed.")
    seen: set[Hashable] = set()
    for n, value in enumerate(values):
        if value in seen:
            raise InvalidInput(field, n, problem=f"{field} names the same twice.")
        seen.add(value)


def locked(record: Any, viewer: Viewer, key: UUID) -> Select[Any]:
    """Find a thing whose parts are to be replaced, one writer after the other."""
    return rows(record, viewer).where(record.id == key).with_for_update(key_share=True, of=record)


def pinned_all(record: Any, viewer: Viewer, keys: Sequence[UUID]) -> Select[Any]:
    """Find which of these things there are, and let nobody delete them meanwhile; in one order, lest two wait in a ring."""
    found = rows(record, viewer).where(record.id == func.any(array_of(keys, Uuid))).order_by(record.id)
    return found.with_for_update(read=True, key_share=True, of=record)


def skills_of(pair: Any, owner: Mapping[str, UUID]) -> Select[Any]:
    """Read the skills of a provider or a service, by the key of it in the table that pairs them."""
    return select(pair.skill_id).filter_by(**owner)


def without_skills(pair: Any, owner: Mapping[str, UUID], skills: Sequence[UUID]) -> Delete:
    return delete(pair).filter_by(**owner).where(pair.skill_id == func.any(array_of(skills, Uuid)))


def with_skills(pair: Any, owner: Mapping[str, UUID], skills: Sequence[UUID]) -> AnyInsert:
    return insert(pair).values([{**owner, "skill_id": skill} for skill in skills])


def needs_of(service: Mapping[str, UUID]) -> Select[UUID, int]:
    """Read which resources a service needs."""
    return select(Requirement.resource_id, Requirement.quantity).filter_by(**service)


def largest_need(business: UUID, resource: UUID) -> Select[int, str]:
    """Read how many of a resource a service needs at most, and which service that is."""
    of_service = and_(Service.business_id == Requirement.business_id, Service.id == Requirement.service_id)
    return (
        select(Requirement.quantity, Service.name.label("service"))
        .join(Service, of_service)
        .where(Requirement.business_id == business, Requirement.resource_id == resource)
        .order_by(Requirement.quantity.desc(), Service.name)
        .limit(1)
    )


def without_needs(service: Mapping[str, UUID], resources: Sequence[UUID]) -> Delete:
    return (
        delete(Requirement).filter_by(**service).where(Requirement.resource_id == func.any(array_of(resources, Uuid)))
    )


def with_needs(service: Mapping[str, UUID], needs: Mapping[UUID, int]) -> AnyInsert:
    """Write how many of which resource a service needs; of one that it needs already, only the quantity is changed."""
    values = [{**service, "resource_id": key, "quantity": quantity} for key, quantity in needs.items()]
    written = insert(Requirement).values(values)
    return written.on_conflict_do_update(constraint="requirement_is_new", set_={"quantity": written.excluded.quantity})


def offerings_of(provider: Mapping[str, UUID]) -> Select[UUID, UUID, UUID | None]:
    """Read what a provider offers."""
    return select(Offering.id, Offering.service_id, Offering.location_id).filter_by(**provider)


def without_offerings(business: UUID, keys: Sequence[UUID]) -> Delete:
    return delete(Offering).where(Offering.business_id == business, Offering.id == func.any(array_of(keys, Uuid)))


def with_offerings(provider: Mapping[str, UUID], offered: Sequence[Offered]) -> AnyInsert:
    return insert(Offering).values([{**provider, **vars(each)} for each in offered])
