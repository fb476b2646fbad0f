"""What is done with the catalogue: making, changing and deleting what a business has, and publishing what follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import Location, Provider, ProviderSkill, Record, Resource, Service, ServiceSkill, Skill, catalogue, parts
from models.given import Creation, Deletion, Edition
from models.node_id import noun
from models.parts import NewService, Offered, OfferingSet, ServiceEdition, ServiceParts, SkillSet
from models.refusal import InvalidInput, NotFound, VersionConflict
from resolvers.supply import Change, Session, Written

# What of a service decides which times rules make for it; the rest is for the search to see.
SHAPES_TIMES = {"duration"}


async def _create(record: type[Record], session: Session, wanted: Creation) -> Written:
    await session.need(Location, wanted.values.get("location_id"), "locationId")
    row = await session.create(record, wanted.values)
    return Written(row, row.id)


async def _change(record: type[Record], session: Session, wanted: Edition) -> Written:
    await session.need(Location, wanted.values.get("location_id"), "locationId")
    row = await session.change(record, wanted.key, wanted.expected_version, wanted.values)
    return Written(row, row.id)


async def _remove(record: type[Record], session: Session, wanted: Deletion) -> Written:
    row = await session.remove(record, wanted.key, wanted.expected_version)
    return Written(None, row.id)


async def _change_location(session: Session, wanted: Edition) -> Written:
    """In another zone the same local times are other instants."""
    written = await _change(Location, session, wanted)
    if "time_zone" not in wanted.values:
        return written
    return Written(written.row, written.key, await _scheduled(session, "location_id", wanted.key))


async def _change_provider(session: Session, wanted: Edition) -> Written:
    written = await _change(Provider, session, wanted)
    return Written(written.row, written.key, [wanted.key] if "time_zone" in wanted.values else ())


async def _change_resource(session: Session, wanted: Edition) -> Written:
    """There are never fewer than a service needs."""
    written = await _change(Resource, session, wanted)
    if "quantity" in wanted.values:
        need = await session.statements.row(parts.largest_need(session.context.business, wanted.key))
        if need is not None and need.quantity > wanted.values["quantity"]:
            raise InvalidInput("quantity", problem=f"{need.service} needs {need.quantity} of this resource.")
    return written


async def _create_service(session: Session, wanted: NewService) -> Written:
    await _find_parts(session, wanted.parts)
    row = await session.create(Service, wanted.values)
    await _replace_parts(session, row.id, wanted.parts)
    return Written(row, row.id)


async def _change_service(session: Session, wanted: ServiceEdition) -> Written:
    await _find_parts(session, wanted.parts)
    row = await session.change(Service, wanted.key, wanted.expected_version, wanted.values)
    await _replace_parts(session, row.id, wanted.parts)
    if wanted.parts.skill_ids is None and not SHAPES_TIMES & wanted.values.keys():
        return Written(row, row.id)
    givers = await session.statements.rows(catalogue.givers(session.viewer, row.id))
    return Written(
        row, row.id, [*await _scheduled(session, "service_id", row.id), *[each.provider_id for each in givers]]
    )


async def _find_parts(session: Session, wanted: ServiceParts) -> None:
    skills, needs = wanted.skill_ids or (), wanted.resources or ()
    await _need_all(session, Skill, {key: ("skillIds", n) for n, key in enumerate(skills)})
    found = await _need_all(
        session, Resource, {key: ("resources", n, "resourceId") for n, (key, _) in enumerate(needs)}
    )
    for n, (key, quantity) in enumerate(needs):
        if quantity > (there := found[key].quantity):
            raise InvalidInput(
                "resources", n, "quantity", problem=f"There are no {quantity} of this resource, but {there}."
            )


async def _replace_parts(session: Session, key: UUID, wanted: ServiceParts) -> None:
    service = {"business_id": session.context.business, "service_id": key}
    if wanted.skill_ids is not None:
        await _replace_skills(session, await _difference(session, ServiceSkill, service, wanted.skill_ids))
    if wanted.resources is not None:
        needed = dict(wanted.resources)
        there = {row.resource_id: row.quantity for row in await session.statements.rows(parts.needs_of(service))}
        if removed := [each for each in there if each not in needed]:
            await session.statements.rows(parts.without_needs(service, removed))
        if changed := {each: quantity for each, quantity in needed.items() if there.get(each) != quantity}:
            await session.statements.rows(parts.with_needs(service, changed))


@dataclass(frozen=True)
class _Difference:
    """Which skills are to come and to go."""

    pair: type[Record]
    owner: dict[str, UUID]
    added: list[UUID]
    removed: list[UUID]


async def _difference(session: Session, pair: Any, owner: dict[str, UUID], wanted: Sequence[UUID]) -> _Difference:
    there = {row.skill_id for row in await session.statements.rows(parts.skills_of(pair, owner))}
    return _Difference(pair, owner, [each for each in wanted if each not in there], sorted(there - set(wanted)))


async def _replace_skills(session: Session, difference: _Difference) -> None:
    if difference.removed:
        await session.statements.rows(parts.without_skills(difference.pair, difference.owner, difference.removed))
    if difference.added:
        await session.statements.rows(parts.with_skills(difference.pair, difference.owner, difference.added))


async def _set_skills(session: Session, wanted: SkillSet) -> Written:
    """Replace the skills of a provider, who has another version then, if any comes or goes."""
    row = await _lock_provider(session, wanted.provider_id, wanted.expected_version)
    await _need_all(session, Skill, {key: ("skillIds", n) for n, key in enumerate(wanted.skill_ids)})
    owner = {"business_id": session.context.business, "provider_id": row.id}
    difference = await _difference(session, ProviderSkill, owner, wanted.skill_ids)
    if not (difference.added or difference.removed):
        return Written(row, row.id)
    row = await session.change(Provider, row.id, row.version, {})
    await _replace_skills(session, difference)
    return Written(row, row.id, [row.id])


async def _set_services(session: Session, wanted: OfferingSet) -> Written:
    """Replace what a provider offers; what is offered as before stays the same offering."""
    row = await _lock_provider(session, wanted.provider_id, wanted.expected_version)
    await _find_offered(session, wanted.services)
    owner = {"business_id": session.context.business, "provider_id": row.id}
    offerings = await session.statements.rows(parts.offerings_of(owner))
    there = {Offered(each.service_id, each.location_id): each.id for each in offerings}
    added = [each for each in wanted.services if each not in there]
    removed = [key for each, key in there.items() if each not in wanted.services]
    if not (added or removed):
        return Written(row, row.id)
    row = await session.change(Provider, row.id, row.version, {})
    if removed:
        await session.statements.rows(parts.without_offerings(session.context.business, removed))
    if added:
        await session.statements.rows(parts.with_offerings(owner, added))
    return Written(row, row.id, [row.id])


async def _find_offered(session: Session, services: Sequence[Offered]) -> None:
    places = {
        each.location_id: ("services", n, "locationId")
        for n, each in enumerate(services)
        if each.location_id is not None
    }
    await _need_all(
        session, Service, {each.service_id: ("services", n, "serviceId") for n, each in enumerate(services)}
    )
    await _need_all(session, Location, places)


async def _lock_provider(session: Session, key: UUID, expected_version: int | None) -> Row[Any]:
    row = await session.statements.row(parts.locked(Provider, session.viewer, key))
    if row is None:
        raise NotFound("providerId", noun="provider")
    if expected_version is not None and row.version != expected_version:
        raise VersionConflict("expectedVersion", current_version=row.version)
    return row


async def _need_all(
    session: Session, record: Any, wanted: Mapping[UUID, tuple[str | int, ...]]
) -> dict[UUID, Row[Any]]:
    """Find all things that are referred to, so that they stay; or tell where one is named that is not there."""
    if not wanted:
        return {}
    found = {row.id: row for row in await session.statements.rows(parts.pinned_all(record, session.viewer, [*wanted]))}
    for key, path in wanted.items():
        if key not in found:
            raise NotFound(*path, noun=noun(record.__name__))
    return found


async def _scheduled(session: Session, column: str, key: UUID) -> list[UUID]:
    rules = await session.statements.rows(catalogue.scheduled(session.viewer, column, key))
    return [row.provider_id for row in rules]


LOCATION_CREATE = Change("locationCreate", Location, partial(_create, Location))
LOCATION_UPDATE = Change("locationUpdate", Location, _change_location, wide=True)
LOCATION_DELETE = Change("locationDelete", Location, partial(_remove, Location))
SERVICE_CREATE = Change("serviceCreate", Service, _create_service)
SERVICE_UPDATE = Change("serviceUpdate", Service, _change_service, wide=True)
SERVICE_DELETE = Change("serviceDelete", Service, partial(_remove, Service))
SKILL_CREATE = Change("skillCreate", Skill, partial(_create, Skill), unique="name")
SKILL_UPDATE = Change("skillUpdate", Skill, partial(_change, Skill), unique="name")
SKILL_DELETE = Change("skillDelete", Skill, partial(_remove, Skill))
RESOURCE_CREATE = Change("resourceCreate", Resource, partial(_create, Resource))
RESOURCE_UPDATE = Change("resourceUpdate", Resource, _change_resource)
RESOURCE_DELETE = Change("resourceDelete", Resource, partial(_remove, Resource))
PROVIDER_UPDATE = Change("providerUpdate", Provider, _change_provider)
PROVIDER_SKILLS_SET = Change("providerSkillsSet", Provider, _set_skills)
PROVIDER_SERVICES_SET = Change("providerServicesSet", Provider, _set_services)
