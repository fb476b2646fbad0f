"""Publication: a provider's times, submitted as windows and written as appointments in one set-based statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, TextClause, exists, func, select, text, true

from models.appointment import Appointment
from models.location import Location
from models.provider import Provider
from models.record import columns
from models.refusal import DuplicateRows, InvalidInput, OverlappingRows, Refusal, Refusals, TooManyRows
from models.service import Service
from models.viewer import Viewer

LARGEST_BULK = 10_000
LONGEST_WINDOW = timedelta(days=366)
LONGEST_APPOINTMENT = timedelta(hours=24)


class BulkMode(StrEnum):
    """ADD keeps what is there and adds what is missing; REPLACE_WINDOW makes each window exactly what was sent."""

    ADD = "ADD"
    REPLACE_WINDOW = "REPLACE_WINDOW"


class ErrorPolicy(StrEnum):
    """REJECT_EVERYTHING writes nothing if one window is bad; REJECT_FAILED_ROWS writes the good ones."""

    REJECT_EVERYTHING = "REJECT_EVERYTHING"
    REJECT_FAILED_ROWS = "REJECT_FAILED_ROWS"


@dataclass(frozen=True)
class Window:
    """A stretch of a provider's time, cut into slots from its start; what is left over at its end is not used."""

    starts_at: datetime
    ends_at: datetime
    field: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Publication:
    """What a provider submits."""

    provider_id: UUID
    windows: tuple[Window, ...]
    slot_minutes: int = 15
    capacity: int = 1
    service_id: UUID | None = None
    location_id: UUID | None = None
    mode: BulkMode = BulkMode.ADD
    error_policy: ErrorPolicy = ErrorPolicy.REJECT_EVERYTHING
    dry_run: bool = False

    @property
    def slot(self) -> timedelta:
        return timedelta(minutes=self.slot_minutes)


def check(publication: Publication, clock: datetime) -> dict[int, Refusal]:
    """Find the windows that cannot be published, by index; refuse at once what concerns all of them."""
    if not publication.windows:
        raise InvalidInput("windows", problem="Send one window at least.")
    for field, value, most in (
        ("slotMinutes", publication.slot_minutes, 1440),
        ("capacity", publication.capacity, 1000),
    ):
        if not 1 <= value <= most:
            raise InvalidInput(field, problem=f"{field} must be from 1 to {most}.")
    bad = {
        n: problem for n, window in enumerate(publication.windows) if (problem := _problem(window, publication, clock))
    }
    bad |= _collisions(publication.windows, bad)
    found = sum(
        (w.ends_at - w.starts_at) // publication.slot for n, w in enumerate(publication.windows) if n not in bad
    )
    if found > LARGEST_BULK:
        raise TooManyRows("windows" if publication.windows[0].field else "endTime", found=found, limit=LARGEST_BULK)
    if bad and publication.error_policy is ErrorPolicy.REJECT_EVERYTHING:
        raise Refusals([bad[n] for n in sorted(bad)])
    return bad


def _problem(window: Window, publication: Publication, clock: datetime) -> Refusal | None:
    length = window.ends_at - window.starts_at
    if length <= timedelta(0):
        return InvalidInput(*window.field, "endTime", problem="endTime must be after startTime.")
    if length < publication.slot:
        slot = publication.slot_minutes
        return InvalidInput(*window.field, "endTime", problem=f"The window is shorter than one slot of {slot} minutes.")
    if length > LONGEST_WINDOW:
        return InvalidInput(*window.field, "endTime", problem="A window is at most 366 days long.")
    if window.starts_at < clock:
        return InvalidInput(*window.field, "startTime", problem="startTime lies in the past.")
    return None


def _collisions(windows: Sequence[Window], bad: dict[int, Refusal]) -> dict[int, Refusal]:
    """Find, in one pass over the sorted windows, those that repeat or overlap an earlier one."""
    found: dict[int, Refusal] = {}
    before: int | None = None
    for n in sorted((n for n in range(len(windows)) if n not in bad), key=lambda n: (windows[n].starts_at, n)):
        if before is not None and windows[n].starts_at < windows[before].ends_at:
            rows = sorted((before, n))
            same = (windows[n].starts_at, windows[n].ends_at) == (windows[before].starts_at, windows[before].ends_at)
            problem = f"Windows {rows[0]} and {rows[1]} overlap."
            found[n] = (
                DuplicateRows(*windows[n].field, rows=rows)
                if same
                else OverlappingRows(*windows[n].field, problem=problem, rows=rows, appointment_ids=[])
            )
        else:
            before = n
    return found


def lock_provider(publication: Publication, viewer: Viewer, authored: ColumnElement[bool]) -> Select[Any]:
    """Take turns with other submissions of this provider, and read the clock; reserving goes on meanwhile."""
    return (
        select(
            Provider.id,
            func.clock_timestamp().label("clock"),
            _is_known(Service, viewer, publication.service_id).label("service_exists"),
            _is_known(Location, viewer, publication.location_id).label("location_exists"),
        )
        .where(Provider.visible_to(viewer), Provider.id == publication.provider_id, authored)
        .with_for_update(key_share=True, of=Provider)
    )


def _is_known(record: Any, viewer: Viewer, key: UUID | None) -> ColumnElement[bool]:
    return true() if key is None else exists().where(record.visible_to(viewer), record.id == key)


def inside(business: UUID, provider: UUID, windows: Sequence[Window]) -> Select[Any]:
    """Select the appointments of a provider that lie in, or reach into, any of the windows."""
    starts, ends = _bounds(windows)
    spans = func.unnest(starts, ends).table_valued("starts_at", "ends_at", name="spans").render_derived()
    covered = select(func.range_agg(func.tstzrange(spans.c.starts_at, spans.c.ends_at))).scalar_subquery()
    return select(*columns(Appointment)).where(
        Appointment.business_id == business,
        Appointment.provider_id == provider,
        Appointment.starts_at > min(starts) - LONGEST_APPOINTMENT,
        Appointment.starts_at < max(ends),
        func.tstzrange(Appointment.starts_at, Appointment.ends_at).op("&&")(covered),
    )


def lock_inside(business: UUID, publication: Publication, windows: Sequence[Window]) -> Select[Any]:
    """Wait for those who are just reserving in the windows: from here on nobody can, until we commit."""
    return (
        inside(business, publication.provider_id, windows)
        .with_only_columns(Appointment.id)
        .order_by(Appointment.id)
        .with_for_update(of=Appointment)
    )


PUBLISH = """
WITH clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now
), windows AS MATERIALIZED (
    SELECT n - 1 AS n, starts_at, ends_at
      FROM unnest(CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])) WITH ORDINALITY AS w (starts_at, ends_at, n)
), wanted AS MATERIALIZED (
    SELECT w.n, slot AS starts_at, slot + CAST(:slot AS interval) AS ends_at
      FROM windows w, generate_series(w.starts_at, w.ends_at - CAST(:slot AS interval), CAST(:slot AS interval)) slot
), stored AS MATERIALIZED (
    SELECT a.*, EXISTS (SELECT FROM reservations r
                         WHERE r.business_id = a.business_id AND r.live_appointment_id = a.id
                           AND (r.status = 'CONFIRMED' OR r.expires_at > clock.now)) AS booked
      FROM appointments a, clock
     WHERE a.business_id = :business AND a.provider_id = :provider
       AND a.starts_at > (SELECT min(starts_at) FROM windows) - interval '24:00:00'
       AND a.starts_at < (SELECT max(ends_at) FROM windows)
       AND tstzrange(a.starts_at, a.ends_at) && (SELECT range_agg(tstzrange(starts_at, ends_at)) FROM windows)
), plan AS MATERIALIZED (
    SELECT w.*, s.id AS same
      FROM wanted w
      LEFT JOIN stored s ON s.starts_at = w.starts_at AND s.ends_at = w.ends_at AND s.capacity = :capacity
            AND s.service_id IS NOT DISTINCT FROM :service AND s.location_id IS NOT DISTINCT FROM :location
), rest AS MATERIALIZED (
    SELECT s.* FROM stored s WHERE NOT EXISTS (SELECT FROM plan p WHERE p.same = s.id)
), obstacles AS MATERIALIZED (
    SELECT range_agg(tstzrange(starts_at, ends_at)) AS times FROM rest WHERE booked OR NOT :replace
), off AS MATERIALIZED (       -- offered when the time off is taken back
    SELECT range_agg(tstzrange(t.starts_at, t.ends_at)) AS times
      FROM time_off t
     WHERE t.business_id = :business AND t.provider_id = :provider
       AND t.ends_at > (SELECT min(starts_at) FROM windows) AND t.starts_at < (SELECT max(ends_at) FROM windows)
), lapsed AS (
    UPDATE reservations SET status = 'EXPIRED'
     WHERE :replace AND business_id = :business AND status = 'HELD'
       AND live_appointment_id IN (SELECT id FROM rest WHERE NOT booked)
), removed AS (
    DELETE FROM appointments
     WHERE :replace AND business_id = :business AND id IN (SELECT id FROM rest WHERE NOT booked)
    RETURNING id
), gone AS (     -- counted before anything is inserted, so that a new time may begin where an old one did
    SELECT count(*) AS n FROM removed
), created AS (
    INSERT INTO appointments (business_id, provider_id, service_id, location_id, starts_at, ends_at, capacity, withdrawn_at)
    SELECT :business, :provider, :service, :location, p.starts_at, p.ends_at, :capacity,
           CASE WHEN off.times && tstzrange(p.starts_at, p.ends_at) THEN clock.now END
      FROM plan p, obstacles o, gone, off, clock
     WHERE p.same IS NULL AND (o.times && tstzrange(p.starts_at, p.ends_at)) IS NOT TRUE
    RETURNING starts_at
)
SELECT 'window' AS kind, p.n, NULL AS id, min(p.starts_at) AS starts_at, max(p.ends_at) AS ends_at,
       count(c.starts_at) AS created, count(p.same) AS kept, count(*) - count(c.starts_at) - count(p.same) AS blocked
  FROM plan p LEFT JOIN created c ON c.starts_at = p.starts_at GROUP BY p.n
UNION ALL
SELECT CASE WHEN booked THEN 'booked' WHEN :replace THEN 'removed' ELSE 'obstacle' END,
       NULL, id, starts_at, ends_at, 0, 0, 0 FROM rest
"""


def publish(business: UUID, publication: Publication, windows: Sequence[Window]) -> TextClause:
    """Write the appointments of all windows at once; answers a row a window, and one for each other appointment."""
    starts, ends = _bounds(windows)
    return text(PUBLISH).bindparams(
        starts=starts,
        ends=ends,
        slot=publication.slot,
        business=business,
        provider=publication.provider_id,
        service=publication.service_id,
        location=publication.location_id,
        capacity=publication.capacity,
        replace=publication.mode is BulkMode.REPLACE_WINDOW,
    )


def _bounds(windows: Sequence[Window]) -> tuple[list[datetime], list[datetime]]:
    return [window.starts_at for window in windows], [window.ends_at for window in windows]
