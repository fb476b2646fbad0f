"""Schedules: how rules, weeks, exceptions, holidays and time off are changed, and whose future follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, Uuid, select

from models import Record, availability_exception, availability_rule, holiday, time_off, week
from models.availability_exception import AvailabilityException, OtherHours
from models.availability_rule import AvailabilityRule, Rule, contradicting, weekly
from models.given import Deletion, Edition
from models.holiday import Closing, Holiday
from models.local_time import Interval
from models.location import Location
from models.node_id import encode, noun
from models.offering import is_given
from models.provider import Provider
from models.record import bound
from models.refusal import AlreadyExists, Forbidden, InvalidInput, NotFound, OverlappingRules, VersionConflict
from models.relation import rows
from models.service import Service
from models.terms import Terms
from models.time_off import Absence, TimeOff
from models.week import EmptyWeek, Week
from resolvers import proposals
from resolvers.context import Context
from resolvers.supply import Change, Session, Written

NOT_GIVEN = "The provider does not give this service there: an offering is missing, or a skill that the service needs."


@dataclass(frozen=True)
class Addition:
    """Something that is to be added to a provider's schedule."""

    provider_id: UUID
    said: Rule | OtherHours | Absence
    reassign: bool = False  # of an absence: whether those whom it leaves behind are proposed somebody else


# Taking turns: two changes of one provider's schedule never run at once


async def turn(session: Session, provider_id: UUID) -> Row[Any]:
    """Wait for whoever changes the schedule of a provider, and make sure that the viewer may."""
    row = await session.statements.row(_locked(session, Provider.id == bound(provider_id, Uuid)))
    if row is None:
        raise NotFound("providerId", noun="provider")
    session.own(row.id, "providerId")
    return row


async def turn_of(session: Session, record: Any, key: UUID) -> UUID:
    """The same for the provider whom something belongs to."""
    owner = select(record.provider_id).where(record.visible_to(session.viewer), record.id == bound(key, Uuid))
    row = await session.statements.row(_locked(session, Provider.id == owner.scalar_subquery()))
    if row is None:
        raise NotFound("id", noun=noun(record.__name__))
    session.own(row.id, "id")
    provider_id: UUID = row.id
    return provider_id


def _locked(session: Session, which: Any) -> Select[Any]:
    found = rows(Provider, session.viewer).where(which, session.context.authored())
    return found.with_for_update(key_share=True, of=Provider)


async def _stored(session: Session, record: Any, edition: Edition) -> Row[Any]:
    """Read a thing that is to be changed, at the version that is expected."""
    row = await session.statements.row(rows(record, session.viewer).where(record.id == bound(edition.key, Uuid)))
    if row is None:
        raise NotFound("id", noun=noun(record.__name__))
    if row.version != edition.expected_version:
        raise VersionConflict("expectedVersion", current_version=row.version)
    return row


def _merged(row: Any, names: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """What a thing would say after a change."""
    return {name: getattr(row, name) for name in names} | dict(values)


async def _remove(session: Session, record: type[Record], deletion: Deletion) -> Written:
    """Delete what belongs to a provider."""
    provider_id = await turn_of(session, record, deletion.key)
    await session.remove(record, deletion.key, deletion.expected_version)
    return Written(None, deletion.key, [provider_id])


async def _fit(session: Session, provider_id: UUID, terms: Terms, windows: Sequence[Interval]) -> None:
    """Check what is offered in a provider's windows: the service is theirs to give there, and each window has room for it."""
    await session.need(Location, terms.location_id, "locationId")
    service = await session.need(Service, terms.service_id, "serviceId")
    if service is not None:
        keys = (session.viewer.business_id, provider_id, service.id, terms.location_id)
        given = is_given(*(None if key is None else bound(key, Uuid) for key in keys))
        row = await session.statements.row(select(given.label("given")))
        if row is None or not row.given:
            raise InvalidInput("serviceId", problem=NOT_GIVEN)
    terms.fit(service and service.duration_minutes, windows)


# Rules


async def _agrees(session: Session, provider_id: UUID, rule: Rule, but: UUID | None = None) -> None:
    """Name the rules that a rule would contradict; the database alone would only say that there are some."""
    others = contradicting(session.viewer, provider_id, rule, but).order_by(AvailabilityRule.id).limit(10)
    if found := await session.statements.rows(others):
        raise OverlappingRules(rule_ids=[encode("AvailabilityRule", other.id) for other in found])


async def _create_rule(session: Session, wanted: Addition) -> Written:
    rule = wanted.said
    assert isinstance(rule, Rule)
    await turn(session, wanted.provider_id)
    await _fit(session, wanted.provider_id, rule.terms, [rule.window])
    await _agrees(session, wanted.provider_id, rule)
    row = await session.create(AvailabilityRule, {"provider_id": wanted.provider_id, **rule.columns()})
    return Written(row, row.id, [wanted.provider_id])


async def _update_rule(session: Session, wanted: Edition) -> Written:
    provider_id = await turn_of(session, AvailabilityRule, wanted.key)
    stored = await _stored(session, AvailabilityRule, wanted)
    rule = Rule.read(_merged(stored, availability_rule.NAMES, wanted.values))
    await _fit(session, provider_id, rule.terms, [rule.window])
    await _agrees(session, provider_id, rule, wanted.key)
    row = await session.change(AvailabilityRule, wanted.key, wanted.expected_version, rule.columns())
    return Written(row, row.id, [provider_id])


async def _delete_rule(session: Session, wanted: Deletion) -> Written:
    return await _remove(session, AvailabilityRule, wanted)


# Weeks


async def _set_week(session: Session, wanted: Week) -> Written:
    """Replace the weekly rules of a provider; those that are right already stay as they are."""
    provider = await turn(session, wanted.provider_id)
    await _fit(session, provider.id, wanted.terms, [window for _, window in wanted.windows])
    stored = await session.statements.rows(weekly(session.viewer, provider.id))
    superfluous, missing = week.difference(stored, wanted.rules())
    if superfluous:
        await session.statements.rows(week.remove(session.viewer, superfluous))
    if missing:
        await session.statements.rows(week.add(session.viewer, provider.id, missing))
    return Written(provider, provider.id, [provider.id])


async def _clear_week(session: Session, wanted: EmptyWeek) -> Written:
    provider = await turn(session, wanted.provider_id)
    stored = await session.statements.rows(weekly(session.viewer, provider.id))
    if stored:
        await session.statements.rows(week.remove(session.viewer, [row.id for row in stored]))
    return Written(provider, provider.id, [provider.id])


async def weekly_rules(context: Context, provider_id: UUID) -> Sequence[Row[Any]]:
    """Read the weekly rules of a provider, from Monday on."""
    found = weekly(context.viewer, provider_id).order_by(AvailabilityRule.place, AvailabilityRule.id)
    return await context.database.rows(found)


# Exceptions


async def _is_new(session: Session, same: Select[Any], field: str = "date") -> None:
    if await session.statements.row(same.limit(1)) is not None:
        raise AlreadyExists(field)


async def _create_exception(session: Session, wanted: Addition) -> Written:
    hours = wanted.said
    assert isinstance(hours, OtherHours)
    provider = await turn(session, wanted.provider_id)
    await _fit(session, provider.id, hours.terms, hours.windows)
    await _is_new(session, availability_exception.same_date(session.viewer, provider.id, hours.date, None))
    row = await session.create(AvailabilityException, {"provider_id": provider.id, **hours.columns()})
    return Written(row, row.id, [provider.id])


async def _update_exception(session: Session, wanted: Edition) -> Written:
    provider_id = await turn_of(session, AvailabilityException, wanted.key)
    stored = await _stored(session, AvailabilityException, wanted)
    before = {"windows": availability_exception.windows_of(stored)}
    names = [name for name in availability_exception.NAMES if name not in before]
    hours = OtherHours.read(_merged(stored, names, before | wanted.values))
    await _fit(session, provider_id, hours.terms, hours.windows)
    await _is_new(session, availability_exception.same_date(session.viewer, provider_id, hours.date, wanted.key))
    row = await session.change(AvailabilityException, wanted.key, wanted.expected_version, hours.columns())
    return Written(row, row.id, [provider_id])


async def _delete_exception(session: Session, wanted: Deletion) -> Written:
    return await _remove(session, AvailabilityException, wanted)


# Holidays


async def _affected(session: Session, *locations: UUID | None) -> list[UUID]:
    """Wait for whoever changes the schedule of somebody who works where a holiday is or was."""
    locked = holiday.lock_affected(session.viewer, locations, session.context.authored())
    return [row.id for row in await session.statements.rows(locked)]


async def _create_holiday(session: Session, wanted: Closing) -> Written:
    await session.need(Location, wanted.location_id, "locationId")
    providers = await _affected(session, wanted.location_id)
    await _is_new(session, holiday.same_date(session.viewer, wanted, None))
    row = await session.create(Holiday, wanted.columns())
    return Written(row, row.id, providers, (row.date, row.date))


async def _update_holiday(session: Session, wanted: Edition) -> Written:
    stored = await _stored(session, Holiday, wanted)
    closing = Closing.read(_merged(stored, holiday.NAMES, wanted.values))
    await session.need(Location, closing.location_id, "locationId")
    providers = await _affected(session, stored.location_id, closing.location_id)
    await _is_new(session, holiday.same_date(session.viewer, closing, wanted.key))
    row = await session.change(Holiday, wanted.key, wanted.expected_version, closing.columns())
    return Written(row, row.id, providers, (min(stored.date, row.date), max(stored.date, row.date)))


async def _delete_holiday(session: Session, wanted: Deletion) -> Written:
    row = await session.statements.row(rows(Holiday, session.viewer).where(Holiday.id == bound(wanted.key, Uuid)))
    if row is None:
        raise NotFound("id", noun="holiday")
    providers = await _affected(session, row.location_id)
    removed = await session.remove(Holiday, wanted.key, wanted.expected_version)
    if removed.location_id != row.location_id:  # somebody moved it meanwhile: it closed somebody else
        providers += await _affected(session, removed.location_id)
    return Written(None, wanted.key, providers, (min(row.date, removed.date), max(row.date, removed.date)))


# Time off


async def _create_time_off(session: Session, wanted: Addition) -> Written:
    provider = await turn(session, wanted.provider_id)
    row = await session.create(TimeOff, {"provider_id": provider.id, **wanted.said.columns()})
    return Written(row, row.id, [provider.id])


async def _update_time_off(session: Session, wanted: Edition) -> Written:
    provider_id = await turn_of(session, TimeOff, wanted.key)
    stored = await _stored(session, TimeOff, wanted)
    _is_ours(stored)
    absence = Absence.read(_merged(stored, time_off.NAMES, wanted.values))
    row = await session.change(TimeOff, wanted.key, wanted.expected_version, absence.columns())
    return Written(row, row.id, [provider_id])


async def _delete_time_off(session: Session, wanted: Deletion) -> Written:
    provider_id = await turn_of(session, TimeOff, wanted.key)
    stored = await session.statements.row(rows(TimeOff, session.viewer).where(TimeOff.id == bound(wanted.key, Uuid)))
    _is_ours(stored)
    await session.remove(TimeOff, wanted.key, wanted.expected_version)
    return Written(None, wanted.key, [provider_id])


def _is_ours(stored: Row[Any] | None) -> None:
    """Refuse to change what would be as it was when its calendar is read next."""
    if stored is not None and stored.import_id is not None:
        problem = "This is the busy time of an imported calendar: change it there, or delete the import."
        raise Forbidden("id", problem=problem)


class ClearWeek(Change):
    """A deletion of rules that is answered by their provider, who stays."""

    @property
    def deletes(self) -> bool:
        return False


CREATE_RULE = Change("availabilityRuleCreate", AvailabilityRule, _create_rule)
UPDATE_RULE = Change("availabilityRuleUpdate", AvailabilityRule, _update_rule)
DELETE_RULE = Change("availabilityRuleDelete", AvailabilityRule, _delete_rule)
SET_WEEK = Change("weeklyScheduleSet", Provider, _set_week)
CLEAR_WEEK = ClearWeek("weeklyScheduleDelete", Provider, _clear_week)
CREATE_EXCEPTION = Change("availabilityExceptionCreate", AvailabilityException, _create_exception)
UPDATE_EXCEPTION = Change("availabilityExceptionUpdate", AvailabilityException, _update_exception)
DELETE_EXCEPTION = Change("availabilityExceptionDelete", AvailabilityException, _delete_exception)
CREATE_HOLIDAY = Change("holidayCreate", Holiday, _create_holiday, wide=True)
UPDATE_HOLIDAY = Change("holidayUpdate", Holiday, _update_holiday, wide=True)
DELETE_HOLIDAY = Change("holidayDelete", Holiday, _delete_holiday, wide=True)
CREATE_TIME_OFF = Change("timeOffCreate", TimeOff, _create_time_off, after=proposals.reassign)
UPDATE_TIME_OFF = Change("timeOffUpdate", TimeOff, _update_time_off)
DELETE_TIME_OFF = Change("timeOffDelete", TimeOff, _delete_time_off)
