"""What a worker does with calendar imports: it takes what is due in hand, and keeps what it has read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, SmallInteger, Text, TextClause, Update, and_, func, select, text, update

from models import zone
from models.business import Business
from models.calendar_import import CalendarImport
from models.provider import Provider
from models.record import bound
from models.viewer import Viewer

EVERY_SECONDS, LEASE_SECONDS = 300, 120
SLOW_SECONDS, SLOW_EVERY_SECONDS = 3.0, 3600
"""What takes the processor longer than this is read once an hour: it is not to keep others waiting."""
LONGEST_ERROR = 500


@dataclass(frozen=True)
class Claim:
    """An import that one worker has in hand, until the lease is over."""

    business_id: UUID
    id: UUID
    claimed_until: datetime


def claim(most: int) -> TextClause:
    """Take what is due, of any business."""
    taken = text("SELECT business_id, id, claimed_until FROM claim_calendar_imports(:most, :seconds)")
    return taken.bindparams(most=most, seconds=float(LEASE_SECONDS))


def claimed(viewer: Viewer, mine: Claim) -> Select[Any]:
    """Read what is to be fetched, for whom, and what is known of it from the last time."""
    known: tuple[Any, ...] = (
        *(CalendarImport.id, CalendarImport.provider_id, CalendarImport.url, CalendarImport.etag),
        *(CalendarImport.last_modified, CalendarImport.content_hash, CalendarImport.read_for),
    )
    called = func.coalesce(Provider.time_zone, Business.time_zone).label("zone")
    today = func.date(func.timezone("UTC", func.clock_timestamp())).label("today")
    return (
        select(*known, called, today)
        .join(Business, Business.id == CalendarImport.business_id)
        .join(Provider, and_(Provider.business_id == Business.id, Provider.id == CalendarImport.provider_id))
        .where(_is(viewer, mine))
    )


def kept(viewer: Viewer, mine: Claim) -> Select[Any]:
    """Make sure that nobody has deleted it, or taken it over, and that nobody will until we commit."""
    return select(CalendarImport.id).where(_is(viewer, mine)).with_for_update(key_share=True, of=CalendarImport)


def _is(viewer: Viewer, mine: Claim) -> ColumnElement[bool]:
    return and_(
        CalendarImport.business_id == viewer.business_id,
        CalendarImport.id == mine.id,
        CalendarImport.claimed_until == mine.claimed_until,
    )


def read_for(today: date, called: str) -> str:
    """Name what a calendar was read for: on another day it reaches farther, and in another zone it means other times."""
    return f"{today} {called} {zone.fingerprint()}"


# Only what differs is touched; what is over is history, and no reason to publish anything anew.
APPLY = """
WITH clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now
), wanted AS MATERIALIZED (
    SELECT starts_at, ends_at
      FROM unnest(CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])) AS w (starts_at, ends_at), clock
     WHERE ends_at > clock.now
), removed AS (
    DELETE FROM time_off t USING clock
     WHERE t.business_id = :business AND t.import_id = :import AND t.ends_at > clock.now
       AND NOT EXISTS (SELECT FROM wanted w WHERE w.starts_at = t.starts_at AND w.ends_at = t.ends_at)
    RETURNING 1
), added AS (
    INSERT INTO time_off (business_id, provider_id, import_id, starts_at, ends_at)
    SELECT :business, :provider, :import, w.starts_at, w.ends_at FROM wanted w
     WHERE NOT EXISTS (SELECT FROM time_off t
                        WHERE t.business_id = :business AND t.import_id = :import
                          AND t.starts_at = w.starts_at AND t.ends_at = w.ends_at)
    RETURNING 1
), pruned AS (
    DELETE FROM time_off t USING clock
     WHERE t.business_id = :business AND t.import_id = :import AND t.ends_at < clock.now - interval '720:00:00'  -- 30 days
)
SELECT (SELECT count(*) FROM wanted) AS busy, (SELECT count(*) FROM added) AS added,
       (SELECT count(*) FROM removed) AS removed
"""


def apply(viewer: Viewer, mine: Claim, provider: UUID, spans: Sequence[tuple[datetime, datetime]]) -> TextClause:
    """Make the busy times of an import what they are now."""
    return text(APPLY).bindparams(
        **{"business": viewer.business_id, "import": mine.id, "provider": provider},
        starts=[start for start, _ in spans],
        ends=[end for _, end in spans],
    )


def changed(viewer: Viewer, mine: Claim, busy: int, authored: ColumnElement[bool]) -> Update:
    """Tell, once for all of them, that the busy times are others now."""
    told = {"busy_count": busy, "changed_at": func.clock_timestamp()}
    return update(CalendarImport).values(told).where(_is(viewer, mine), authored)


def _every(seconds: float) -> int:
    """After how many seconds a calendar is due again, by how long it took to be read."""
    return SLOW_EVERY_SECONDS if seconds > SLOW_SECONDS else EVERY_SECONDS


def fetched(viewer: Viewer, mine: Claim, known: dict[str, Any], seconds: float) -> Update:
    """Note that a calendar was there, and what is known of it for the next time; it is due again a little later."""
    told = {**known, "last_fetched_at": func.clock_timestamp(), "last_error": None, "failures": 0}
    return _done(viewer, mine, told, bound(_every(seconds), SmallInteger))


def failed(viewer: Viewer, mine: Claim, problem: str, seconds: float) -> Update:
    """Note why a calendar could not be read: its busy times stay as they were, and it is due again ever later."""
    told = {
        "last_error": bound(problem[:LONGEST_ERROR], Text),
        "failures": func.least(CalendarImport.failures + 1, 7),
        **dict.fromkeys(("etag", "last_modified", "content_hash", "read_for")),
    }
    ever_later = EVERY_SECONDS * func.power(2, func.least(CalendarImport.failures, 6))
    return _done(viewer, mine, told, func.greatest(ever_later, bound(_every(seconds), SmallInteger)))


def _done(viewer: Viewer, mine: Claim, told: dict[str, Any], seconds: Any) -> Update:
    scattered = seconds * (1 + func.random() / 5)  # many that were made at once are not due at once for ever
    due = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, scattered)
    return update(CalendarImport).values(**told, due_at=due, claimed_until=None).where(_is(viewer, mine))
