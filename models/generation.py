"""Generation: the statements by which rules become appointments, and nothing is touched that already is as it should be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    TextClause,
    Update,
    Uuid,
    and_,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    text,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import QueryableAttribute

from models.availability_exception import AvailabilityException
from models.availability_rule import AvailabilityRule
from models.business import Business, in_minutes
from models.holiday import Holiday
from models.location import Location
from models.offering import is_given
from models.provider import Provider
from models.publication_state import PublicationState
from models.record import array_of, bound
from models.refusal import InvalidInput
from models.service import Service
from models.timetable import Stretch
from models.viewer import Viewer

LONGEST_HORIZON = timedelta(days=366)
MOST_PROVIDERS = 1_000


@dataclass(frozen=True)
class Span:
    """From when to when a provider is published, and of which database of zones all of their future then is."""

    provider_id: UUID
    since: datetime
    until: datetime
    zones: str


@dataclass(frozen=True)
class Generation:
    """What an admin wants to be published from rules."""

    fixed: ClassVar[tuple[str, ...]] = ()

    starts_from: datetime | None = None
    starts_until: datetime | None = None
    provider_ids: tuple[UUID, ...] | None = None
    dry_run: bool = False

    def check(self, clock: datetime) -> None:
        """Refuse a span that lies in the past, runs backwards or reaches too far."""
        since = max(self.starts_from or clock, clock)
        if self.starts_until is not None and self.starts_until <= since:
            problem = "until must lie in the future, and after from."
            raise InvalidInput("until", problem=problem)
        for name, instant in (("from", since), ("until", self.starts_until or since)):
            if instant - clock > LONGEST_HORIZON:
                raise InvalidInput(name, problem=f"{name} lies more than {LONGEST_HORIZON.days} days ahead.")


def target() -> ColumnElement[datetime]:
    """Until when a business publishes: the end of a day, so that asking again on the same day changes nothing."""
    today = func.date_trunc("day", func.clock_timestamp(), "UTC")
    return today + func.make_interval(0, 0, 0, 0, 24 * (cast(Business.publication_days, Integer) + 1))


def _spans(viewer: Viewer) -> Select[Any]:
    """Select providers, and until when they are to be published: as far as ever before, at least."""
    until = func.greatest(PublicationState.published_until, target())
    of_provider = and_(
        PublicationState.business_id == Provider.business_id, PublicationState.provider_id == Provider.id
    )
    return (
        select(
            *(Provider.id, func.clock_timestamp().label("clock"), until.label("until")),
            *(PublicationState.published_until, PublicationState.zones),
        )
        .join(Business, Business.id == Provider.business_id)
        .outerjoin(PublicationState, of_provider)
        .where(Provider.business_id == viewer.business_id)
    )


def lock(viewer: Viewer, providers: Sequence[UUID]) -> Select[Any]:
    """Take turns with whoever else publishes these providers."""
    chosen = _spans(viewer).where(Provider.id == func.any(array_of(providers, Uuid)))
    return chosen.order_by(Provider.id).with_for_update(key_share=True, of=Provider)


def lock_due(viewer: Viewer, zones: str, most: int) -> Select[Any]:
    """Take some of the providers who are not published as far as they should be, and whom nobody else is publishing."""
    is_due = or_(PublicationState.zones != zones, PublicationState.published_until < target())
    chosen = _spans(viewer).where(is_due).order_by(Provider.id).limit(most)
    return chosen.with_for_update(key_share=True, skip_locked=True, of=Provider)


def known(viewer: Viewer, providers: Sequence[UUID]) -> Select[Any]:
    """Select those of some providers whom the business has."""
    return select(Provider.id).where(
        Provider.business_id == viewer.business_id, Provider.id == func.any(array_of(providers, Uuid))
    )


def ruled(viewer: Viewer) -> Select[Any]:
    """Select the providers who have something to be published from, or once had; whose turn was longest ago comes first."""
    sources = (PublicationState, AvailabilityRule, AvailabilityException)
    each = (select(source.provider_id).where(source.business_id == viewer.business_id) for source in sources)
    providers = union(*each).subquery("ruled")
    state = and_(
        PublicationState.business_id == viewer.business_id, PublicationState.provider_id == providers.c.provider_id
    )
    in_turn = PublicationState.published_at.asc().nulls_first()
    return select(providers.c.provider_id).outerjoin(PublicationState, state).order_by(in_turn, providers.c.provider_id)


def postpone(viewer: Viewer, providers: Sequence[UUID]) -> Insert:
    """Leave providers to the worker, as if they were published by another database of zones."""
    clock = func.clock_timestamp()
    each = func.unnest(array_of(providers, Uuid)).table_valued(column("id", Uuid), name="each").render_derived()
    row = select(bound(viewer.business_id, Uuid), each.c.id, clock, clock, literal_column("''", Text))
    names = ["business_id", "provider_id", "published_until", "published_at", "zones"]
    left = insert(PublicationState).from_select(names, row)
    return left.on_conflict_do_update(constraint="publications_pkey", set_={"zones": left.excluded.zones})


def give_up(viewer: Viewer, spans: Sequence[Span], zones: str) -> Update:
    """Leave providers who cannot be published as they are until the next day: others are to have their turn."""
    ids = [span.provider_id for span in spans]
    return (
        update(PublicationState)
        .values(published_until=max(span.until for span in spans), zones=zones)
        .where(PublicationState.business_id == viewer.business_id)
        .where(PublicationState.provider_id == func.any(array_of(ids, Uuid)))
    )


def rules(viewer: Viewer, providers: Sequence[UUID]) -> Select[Any]:
    """Select the rules of providers, with the zone, the slot and the service that they come down to."""
    own: list[QueryableAttribute[Any]] = [
        *(AvailabilityRule.weekday, AvailabilityRule.starts_minute, AvailabilityRule.ends_minute),
        *(AvailabilityRule.valid_from, AvailabilityRule.valid_until, AvailabilityRule.dates),
    ]
    return _sources(AvailabilityRule, own, viewer, providers)


def exceptions(viewer: Viewer, providers: Sequence[UUID]) -> Select[Any]:
    """Select the exceptions of providers that are not long past, in the same way."""
    own: list[QueryableAttribute[Any]] = [AvailabilityException.date, AvailabilityException.windows]
    return _sources(AvailabilityException, own, viewer, providers).where(_is_ahead(AvailabilityException.date))


def holidays(viewer: Viewer) -> Select[Any]:
    """Select the holidays that are not long past."""
    closed: tuple[Any, ...] = (Holiday.date, Holiday.location_id)
    return select(*closed).where(Holiday.business_id == viewer.business_id, _is_ahead(Holiday.date))


def _is_ahead(date: Any) -> ColumnElement[bool]:
    """No zone is more than a day away from UTC."""
    ahead: ColumnElement[bool] = date >= func.date(func.clock_timestamp()) - 2
    return ahead


def _sources(
    record: Any, own: Sequence[QueryableAttribute[Any]], viewer: Viewer, providers: Sequence[UUID]
) -> Select[Any]:
    given = is_given(record.business_id, record.provider_id, record.service_id, record.location_id)
    business = record.business_id
    return (
        select(
            *(record.provider_id, record.service_id, record.location_id, record.capacity, *own),
            func.coalesce(record.time_zone, Location.time_zone, Provider.time_zone, Business.time_zone).label("zone"),
            func.coalesce(record.slot_minutes, in_minutes(Service.duration)).label("slot"),
            record.grid_minutes.label("grid"),
            # Whether it is active now is for the search to see: what is published for it need not be made again then.
            or_(record.service_id.is_(None), given).label("is_offered"),
        )
        .join(Provider, and_(Provider.business_id == business, Provider.id == record.provider_id))
        .join(Business, Business.id == business)
        .outerjoin(Location, and_(Location.business_id == business, Location.id == record.location_id))
        .outerjoin(Service, and_(Service.business_id == business, Service.id == record.service_id))
        .where(business == viewer.business_id, record.provider_id == func.any(array_of(providers, Uuid)))
        .order_by(record.id)  # of two that begin and end together, it is always the same that yields
    )


# What is wanted, beside what is stored of it. A slot that has begun, or that reaches into time off, is not wanted.
PLAN = """
WITH clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now
), scope AS MATERIALIZED (
    SELECT provider_id, greatest(since, now) AS since, until, zones
      FROM unnest(CAST(:providers AS uuid[]), CAST(:sinces AS timestamptz[]), CAST(:untils AS timestamptz[]),
                  CAST(:zones AS text[])) AS s (provider_id, since, until, zones), clock
), off AS MATERIALIZED (
    SELECT t.provider_id, range_agg(tstzrange(t.starts_at, t.ends_at)) AS times
      FROM scope s JOIN time_off t ON t.business_id = :business AND t.provider_id = s.provider_id AND t.ends_at > s.since
     GROUP BY t.provider_id
), wanted AS MATERIALIZED (
    SELECT w.provider_id, starts_at, starts_at + w.slot AS ends_at, w.capacity, w.service_id, w.location_id
      FROM (SELECT w.*, make_interval(mins => slot_minutes) AS slot
              FROM unnest(CAST(:owners AS uuid[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]),
                          CAST(:slots AS integer[]), CAST(:steps AS integer[]), CAST(:capacities AS smallint[]),
                          CAST(:services AS uuid[]), CAST(:locations AS uuid[]))
                   AS w (provider_id, begins, ends, slot_minutes, step, capacity, service_id, location_id)) w
      JOIN scope s ON s.provider_id = w.provider_id
     CROSS JOIN generate_series(w.begins, w.ends - w.slot, make_interval(mins => w.step)) starts_at
      LEFT JOIN off o ON o.provider_id = w.provider_id
     WHERE starts_at >= s.since AND starts_at < s.until AND (o.times && tstzrange(starts_at, starts_at + w.slot)) IS NOT TRUE
), stored AS MATERIALIZED (
    SELECT a.* FROM scope s
      JOIN appointments a ON a.business_id = :business AND a.provider_id = s.provider_id AND a.is_generated
                         AND a.starts_at >= s.since AND a.starts_at < s.until
), plan AS MATERIALIZED (
    SELECT w.*, s.id AS same, s.withdrawn_at
      FROM wanted w
      LEFT JOIN stored s ON s.provider_id = w.provider_id AND s.starts_at = w.starts_at AND s.ends_at = w.ends_at
            AND s.capacity = w.capacity AND s.service_id IS NOT DISTINCT FROM w.service_id
            AND s.location_id IS NOT DISTINCT FROM w.location_id
), submitted AS MATERIALIZED (      -- by hand, however far ahead: they cannot be made again, but time off takes them back as
    SELECT a.*, (o.times && tstzrange(a.starts_at, a.ends_at)) IS TRUE      -- well, and that the provider gives it no more
                OR EXISTS (SELECT FROM offerings f WHERE f.business_id = :business AND f.service_id = a.service_id)
                   AND (NOT EXISTS (SELECT FROM offerings f
                                     WHERE f.business_id = :business AND f.service_id = a.service_id
                                       AND f.provider_id = a.provider_id
                                       AND (f.location_id IS NULL OR f.location_id = a.location_id))
                        OR EXISTS (SELECT FROM service_skills n
                                    WHERE n.business_id = :business AND n.service_id = a.service_id
                                      AND NOT EXISTS (SELECT FROM provider_skills h
                                                       WHERE h.business_id = :business AND h.skill_id = n.skill_id
                                                         AND h.provider_id = a.provider_id))) AS is_away
      FROM scope s
      JOIN appointments a ON a.business_id = :business AND a.provider_id = s.provider_id AND NOT a.is_generated
                         AND a.starts_at >= s.since
      LEFT JOIN off o ON o.provider_id = s.provider_id
), outdated AS MATERIALIZED (
    SELECT s.id, s.provider_id, s.starts_at, s.ends_at, s.withdrawn_at, true AS is_generated
      FROM stored s LEFT JOIN plan p ON p.same = s.id WHERE p.same IS NULL
    UNION ALL
    SELECT id, provider_id, starts_at, ends_at, withdrawn_at, false FROM submitted WHERE is_away
)"""

# From here on nobody can reserve what no longer fits, nor confirm a hold of it that is about to lapse, until we commit.
LOCK = (
    PLAN  # noqa: S608 -- no value stands in it
    + """, locked AS MATERIALIZED (
    SELECT a.id FROM appointments a
     WHERE a.business_id = :business AND a.id IN (SELECT id FROM outdated) ORDER BY a.id FOR UPDATE OF a
), held AS MATERIALIZED (
    SELECT r.id FROM reservations r
     WHERE r.business_id = :business AND r.live_appointment_id IN (SELECT id FROM locked) AND r.status = 'HELD'
     ORDER BY r.id FOR UPDATE OF r
)
SELECT (SELECT count(*) FROM locked) AS times, (SELECT count(*) FROM held) AS holds  -- in this order, and whatever is in them
"""
)

PUBLISH = (
    PLAN  # noqa: S608
    + """, misfit AS MATERIALIZED (
    SELECT o.*, EXISTS (SELECT FROM reservations r
                         WHERE r.business_id = :business AND r.live_appointment_id = o.id
                           AND (r.status = 'CONFIRMED' OR r.expires_at > clock.now)) AS booked
      FROM outdated o, clock
), lapsed AS (
    UPDATE reservations SET status = 'EXPIRED'
     WHERE business_id = :business AND status = 'HELD'
       AND live_appointment_id IN (SELECT id FROM misfit WHERE is_generated AND NOT booked)
), removed AS (
    DELETE FROM appointments
     WHERE business_id = :business AND id IN (SELECT id FROM misfit WHERE is_generated AND NOT booked)
    RETURNING id
), gone AS (     -- counted before anything is inserted, so that a new time may begin where an old one did
    SELECT count(*) AS n FROM removed
), marked AS (
    UPDATE appointments a SET withdrawn_at = clock.now FROM misfit m, clock
     WHERE a.business_id = :business AND a.id = m.id AND m.withdrawn_at IS NULL AND (m.booked OR NOT m.is_generated)
), offered AS (  -- again
    UPDATE appointments a SET withdrawn_at = NULL
     WHERE a.business_id = :business
       AND a.id IN (SELECT same FROM plan WHERE withdrawn_at IS NOT NULL
                    UNION ALL SELECT id FROM submitted WHERE NOT is_away AND withdrawn_at IS NOT NULL)
), obstacles AS MATERIALIZED (
    SELECT provider_id, range_agg(tstzrange(starts_at, ends_at)) AS times
      FROM (SELECT provider_id, starts_at, ends_at FROM submitted
            UNION ALL
            SELECT provider_id, starts_at, ends_at FROM misfit WHERE booked AND is_generated
            UNION ALL
            SELECT a.provider_id, a.starts_at, a.ends_at FROM scope s
              JOIN appointments a ON a.business_id = :business AND a.provider_id = s.provider_id
                                 AND a.starts_at > s.since - interval '24:00:00' AND a.starts_at < s.since
             WHERE a.ends_at > s.since
            UNION ALL
            SELECT a.provider_id, a.starts_at, a.ends_at FROM scope s
              JOIN appointments a ON a.business_id = :business AND a.provider_id = s.provider_id
                                 AND a.starts_at >= s.until AND a.starts_at < s.until + interval '24:00:00') others
     GROUP BY provider_id
), created AS (
    INSERT INTO appointments (business_id, provider_id, service_id, location_id, starts_at, ends_at, capacity, is_generated)
    SELECT :business, p.provider_id, p.service_id, p.location_id, p.starts_at, p.ends_at, p.capacity, true
      FROM gone CROSS JOIN plan p LEFT JOIN obstacles o ON o.provider_id = p.provider_id
     WHERE p.same IS NULL AND (o.times && tstzrange(p.starts_at, p.ends_at)) IS NOT TRUE
    RETURNING id
), state AS (
    INSERT INTO publications (business_id, provider_id, published_until, published_at, zones)
    SELECT :business, s.provider_id, s.until, clock.now, s.zones FROM scope s, clock
        ON CONFLICT (business_id, provider_id) DO UPDATE
       SET published_until = greatest(publications.published_until, excluded.published_until),
           published_at = excluded.published_at, zones = excluded.zones
)
SELECT (SELECT count(*) FROM created) AS created, (SELECT count(same) FROM plan) AS kept, (SELECT n FROM gone) AS removed,
       ARRAY(SELECT r.id FROM clock, misfit m
               JOIN reservations r ON r.business_id = :business AND r.live_appointment_id = m.id
              WHERE m.booked AND (m.withdrawn_at IS NULL OR :tells_all)
                AND (r.status = 'CONFIRMED' OR r.expires_at > clock.now)
              ORDER BY r.starts_at, r.id) AS affected
"""
)


@dataclass(frozen=True)
class Batch:
    """Some providers, when each is published, and the stretches in which they work then."""

    business_id: UUID
    spans: Sequence[Span]
    stretches: Sequence[Stretch]
    tells_all: bool = False  # of the reservations that no longer fit, also those that were told before

    def lock(self) -> TextClause:
        """Wait for those who are just reserving what no longer fits."""
        return text(LOCK).bindparams(**self._planned())

    def publish(self) -> TextClause:
        """Make what is published what is wanted; what is booked stays, and is no longer offered."""
        return text(PUBLISH).bindparams(**self._planned(), tells_all=self.tells_all)

    def _planned(self) -> dict[str, Any]:
        return {
            "business": self.business_id,
            "providers": [span.provider_id for span in self.spans],
            "sinces": [span.since for span in self.spans],
            "untils": [span.until for span in self.spans],
            "zones": [span.zones for span in self.spans],
            "owners": [stretch.provider_id for stretch in self.stretches],
            "starts": [stretch.starts_at for stretch in self.stretches],
            "ends": [stretch.ends_at for stretch in self.stretches],
            "slots": [stretch.slot for stretch in self.stretches],
            "steps": [stretch.step for stretch in self.stretches],
            "capacities": [stretch.capacity for stretch in self.stretches],
            "services": [stretch.service_id for stretch in self.stretches],
            "locations": [stretch.location_id for stretch in self.stretches],
        }
