"""Exposures: showing a viewer a few of the free times, keeping a record of it, and reporting what was shown of whom."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row

from models import Location, exposure, exposure_report, search
from models.business import ExposureVariant
from models.candidate import NAMED, Exhibition, candidates
from models.exposure import Candidate, Shown, choose, part_of_day, size
from models.exposure_report import Span
from models.node_id import noun
from models.page import Page, select_page
from models.refusal import NotFound
from models.relation import count, rows
from resolvers.context import Context
from resolvers.database import Database
from resolvers.prepared import prepared

PRUNED_AT_ONCE = 10_000


@dataclass
class Exhibited:
    """What a viewer is shown. Only if they see the times, it is put on record, and only if they ask, all are counted."""

    context: Context
    asked: Exhibition
    window: Row[Any]
    variant: ExposureVariant
    shown: Sequence[Row[Any]]
    spare: bool
    is_recorded: bool = field(default=False, init=False)

    @property
    def seed(self) -> Any:
        return self.window.seed

    @property
    def valid_until(self) -> Any:
        return self.window.valid_until

    async def appointments(self) -> Sequence[Row[Any]]:
        if self.shown and not self.is_recorded:
            self.is_recorded = True
            shown = Shown(
                self.seed,
                tuple(row.id for row in self.shown),
                tuple(row.provider_id for row in self.shown),
                tuple(row.location_id for row in self.shown),
            )
            await self.context.database.rows(*prepared(exposure.record, self.context.viewer, shown))
        return self.shown

    async def total(self) -> int:
        row = await self.context.database.row(count(search.free(self.context.business, self.asked.wanted)))
        return 0 if row is None else int(row.total)

    async def has_more(self) -> bool:
        """Nearly always what was read tells it."""
        return self.spare or await self.total() > len(self.shown)


async def exhibit(context: Context, asked: Exhibition) -> Exhibited:
    """Choose what a viewer is shown."""
    found = await context.database.rows(*prepared(candidates, context.viewer, asked.among))
    window = found[0]
    if window.missing is not None:
        record = dict(NAMED.values())[window.missing]
        raise NotFound(window.missing, noun=noun(record.__name__))
    variant = asked.variant or ExposureVariant(window.policy)
    times = {row.id: row for row in found if row.id is not None}
    most = size(window.seed, variant, is_one_provider=asked.wanted.provider_id is not None)
    chosen = choose([_candidate(row, asked) for row in times.values()], window.seed, most)
    shown = [times[each.id] for each in chosen]
    spare = {row.id for row in times.values() if row.is_free} - {row.id for row in shown}
    return Exhibited(context, asked, window, variant, shown, bool(spare))


def _candidate(row: Row[Any], asked: Exhibition) -> Candidate:
    part = part_of_day(row.starts_at, row.zone or asked.time_zone)
    return Candidate(row.id, row.provider_id, part, row.taken_at, row.is_late)


async def report(context: Context, span: Span, page: Page) -> Sequence[Row[Any]]:
    """Read how often each provider was shown and reserved; a location that is not there has no report."""
    if span.location_id is not None:
        located = rows(Location, context.viewer).where(Location.id == span.location_id)
        if await context.database.row(located) is None:
            raise NotFound("locationId", noun="location")
    return await context.database.rows(select_page(exposure_report.report(context.viewer, span), page, more=0))


async def prune(database: Database) -> int:
    """Delete what is too old for any report, of every business; tells how much it was."""
    pruned, last = 0, PRUNED_AT_ONCE
    while last == PRUNED_AT_ONCE:
        row = await database.row(exposure.prune(PRUNED_AT_ONCE))
        last = 0 if row is None else int(row.pruned)
        pruned += last
    return pruned
