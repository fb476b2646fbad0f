"""Generation: publishing what the rules of providers say, set-based and only where it differs from what is published."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic as time_now
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select, text

from models import event, generation, zone
from models.generation import Batch, Generation, Span
from models.node_id import encode
from models.refusal import NotFound, TooManyAppointments
from models.timetable import Stretch, Timetable
from models.viewer import Role, Viewer
from resolvers.context import Context
from resolvers.database import Database, Statements

MOST_TOLD = 100
MOST_OF_PROVIDER, MOST_AT_ONCE = 20_000, 25_000  # appointments
MOST_IN_A_CHANGE = 100  # providers: what more would take too long, the worker does
SECONDS_AT_ONCE = 2.5
PROVIDERS_AT_ONCE = 50
BUSINESSES_AT_ONCE = 100
log = logging.getLogger("holdfast.generation")
WORKER = "worker"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Outcome:
    """What was published: appointments created, kept and removed, and the reservations whose time no longer fits."""

    created: int = 0
    kept: int = 0
    removed: int = 0
    affected: tuple[UUID, ...] = ()
    providers: int = 0
    pending: int = 0  # providers who are still to be published
    failed: int = 0  # providers who cannot be

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "affected": [str(key) for key in self.affected]}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Outcome":
        return cls(**{**kept, "affected": tuple(UUID(key) for key in kept["affected"])})


@dataclass(frozen=True)
class Changed:
    """Between which instants something has changed; what lies beyond is left as it is."""

    since: datetime
    until: datetime

    @classmethod
    def on(cls, first: date, last: date) -> "Changed":
        """From the first local date to the last, wherever: a window ends at most a day after the date it belongs to."""
        starts, ends = (datetime.combine(day, time.min, UTC) for day in (first, last))
        return cls(starts - DAY, ends + 3 * DAY)

    def span(self, row: Row[Any], clock: datetime) -> Span:
        """Tell which part of a provider's published future that is."""
        published = max(row.published_until, clock)
        since = min(max(self.since, clock), published)
        return Span(row.id, since, max(min(self.until, published), since), row.zones)


@dataclass(frozen=True)
class Expanded:
    """What a provider's rules say for a span, and into how many slots of it that is cut."""

    span: Span
    stretches: Sequence[Stretch]
    slots: int

    @classmethod
    def of(cls, span: Span, timetable: Timetable) -> "Expanded":
        """Expand it: no zone is more than a day from UTC, and a window ends at most a day later."""
        dates = (span.since - 2 * DAY).date(), (span.until + DAY).date()
        stretches = timetable.stretches(span.provider_id, *dates)
        return cls(span, stretches, sum(stretch.within(span.since, span.until) for stretch in stretches))


async def republish(
    context: Context, statements: Statements, providers: Sequence[UUID], dates: tuple[date, date] | None = None
) -> Outcome:
    """Publish the future of providers anew, within a transaction that has changed what they supply.

    If only what begins on certain local dates has changed, nothing else of what is published is looked at.
    """
    if not providers:
        return Outcome()
    if len(set(providers)) > MOST_IN_A_CHANGE and dates is None:
        await statements.rows(generation.postpone(context.viewer, sorted(set(providers))))
        return Outcome(pending=len(set(providers)))
    lock = generation.lock(context.viewer, sorted(set(providers)))
    return await _published(context.viewer, statements, lock, dates and Changed.on(*dates))


async def generate(context: Context, wanted: Generation) -> Outcome:
    """Publish a span from the rules of some providers, or of all who have rules: some at once, each lot for itself.

    It ends before it takes too long; whose turn was longest ago comes first, so that to send it again goes on.
    """
    done, began, keys = Outcome(), time_now(), await _keys(context, wanted.provider_ids)
    for n in range(0, max(len(keys), 1), PROVIDERS_AT_ONCE):
        if time_now() - began > SECONDS_AT_ONCE:
            return replace(done, pending=len(keys) - n)
        some = keys[n : n + PROVIDERS_AT_ONCE]

        async def work(statements: Statements, some: Sequence[UUID] = some) -> Outcome:
            lock = generation.lock(context.viewer, some).where(context.authored())
            return await _published(context.viewer, statements, lock, wanted)

        done += await context.database.transaction(work, keep=not wanted.dry_run)
        context.loaders.forget()
    return done


async def _keys(context: Context, wanted: Sequence[UUID] | None) -> Sequence[UUID]:
    """Name the providers that were asked for, if the business has them; or all who have rules."""
    if wanted is None:
        return [row.provider_id for row in await context.database.rows(generation.ruled(context.viewer))]
    found = {row.id for row in await context.database.rows(generation.known(context.viewer, wanted))}
    for n, key in enumerate(wanted):
        if key not in found:
            raise NotFound("providerIds", n, noun="provider")
    return list(dict.fromkeys(wanted))


async def due_businesses(database: Database) -> list[UUID]:
    """Find businesses of which some provider is not published as far as they should be, or by another database of zones."""
    asked = text("SELECT id FROM businesses_to_publish(:zones, :most) AS b (id)")
    found = await database.rows(asked.bindparams(zones=zone.fingerprint(), most=BUSINESSES_AT_ONCE))
    return [row.id for row in found]


async def extend(database: Database, business: UUID) -> Outcome:
    """Publish some of the providers of a business who are due, unless somebody else is at it."""
    viewer = Viewer(business, WORKER, Role.ADMIN)

    async def work(statements: Statements) -> Outcome:
        due = generation.lock_due(viewer, zone.fingerprint(), PROVIDERS_AT_ONCE)
        return await _published(viewer, statements, due.where(event.authored(WORKER, "")))

    return await database.of(business).transaction(work)


async def _published(
    viewer: Viewer, statements: Statements, lock: Select[Any], wanted: Generation | Changed | None = None
) -> Outcome:
    """Publish whoever is locked by a statement, in one transaction."""
    locked = await statements.rows(lock)
    if not locked:
        (clock,) = await statements.rows(select(func.clock_timestamp()))
        if isinstance(wanted, Generation):
            wanted.check(clock[0])
        return Outcome()
    spans = _spans(locked, wanted)
    keys = [span.provider_id for span in spans]
    timetable = Timetable(
        await statements.rows(generation.rules(viewer, keys)),
        await statements.rows(generation.exceptions(viewer, keys)),
        await statements.rows(generation.holidays(viewer)),
    )
    expanded = [Expanded.of(span, timetable) for span in spans]
    excessive = [each for each in expanded if each.slots > MOST_OF_PROVIDER]
    if excessive:
        await _refuse(viewer, statements, excessive)
    kept = [each for each in expanded if each.slots <= MOST_OF_PROVIDER]
    done = Outcome(providers=len(excessive), failed=len(excessive))
    for batch in _batches(viewer, kept, tells_all=isinstance(wanted, Generation)):
        await statements.rows(batch.lock())
        row = await statements.row(batch.publish())
        assert row is not None
        done += Outcome(row.created, row.kept, row.removed, tuple(row.affected), len(batch.spans))
    return done


async def _refuse(viewer: Viewer, statements: Statements, excessive: Sequence[Expanded]) -> None:
    """Refuse to publish too much of one provider; whoever saved that is gone when the worker finds it, and others wait."""
    first, found = excessive[0].span.provider_id, excessive[0].slots
    if viewer.principal != WORKER:
        raise TooManyAppointments(provider=encode("Provider", first), found=found, limit=MOST_OF_PROVIDER)
    extra = {"business": viewer.business_id, "provider": first, "found": found}
    log.error("rules make too many appointments", extra=extra)
    await statements.rows(generation.give_up(viewer, [each.span for each in excessive], zone.fingerprint()))


def _spans(locked: Sequence[Row[Any]], wanted: Generation | Changed | None) -> list[Span]:
    """Tell from when to when each provider is published."""
    clock = max(row.clock for row in locked)
    if isinstance(wanted, Changed):
        return [_span(row, clock, Generation()) if row.zones is None else wanted.span(row, clock) for row in locked]
    if wanted is not None:
        wanted.check(clock)
    return [_span(row, clock, wanted or Generation()) for row in locked]


def _span(row: Row[Any], clock: datetime, wanted: Generation) -> Span:
    """Tell it of one provider: what is published has no gaps, else nobody would know later which of it is to be kept up."""
    published = row.published_until or clock
    since = max(min(wanted.starts_from or clock, published), clock)
    until = max(wanted.starts_until or row.until, since)
    is_whole = since == clock and until >= published
    return Span(row.id, since, until, zone.fingerprint() if is_whole else row.zones)


def _batches(viewer: Viewer, expanded: Sequence[Expanded], *, tells_all: bool) -> Iterator[Batch]:
    """Gather so many providers as one statement writes in a moment."""
    some: list[Expanded] = []
    size = 0

    def gathered() -> Batch:
        stretches = [stretch for each in some for stretch in each.stretches]
        return Batch(viewer.business_id, [each.span for each in some], stretches, tells_all=tells_all)

    for each in expanded:
        if some and size + each.slots > MOST_AT_ONCE:
            yield gathered()
            some, size = [], 0
        some, size = [*some, each], size + each.slots
    if some:
        yield gathered()
