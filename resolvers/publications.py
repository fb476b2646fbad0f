"""Publishing: writing the appointments of a provider's windows, all of them or none, and telling what became of each."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import Appointment
from models.idempotency_key import Key
from models.page import Listed, Page
from models.publication import BulkMode, ErrorPolicy, Publication, check, inside, lock_inside, lock_provider, publish
from models.refusal import Forbidden, NotFound, OverlappingRows, Refusal, Refusals
from models.relations import BY_START
from models.viewer import Sight
from resolvers.connections import Connection, selected
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.idempotency import keep, read_key, replayed

MOST_TOLD = 100
APPOINTMENTS = Listed("AppointmentBulkCreatePayload.appointments", Appointment, BY_START)


@dataclass
class WindowOutcome:
    """What became of one window."""

    index: int
    created: int = 0
    kept: int = 0
    removed: int = 0
    booked: list[UUID] = field(default_factory=list)
    refusal: Refusal | None = None

    @property
    def is_written(self) -> bool:
        """Whether anything of the window stands: a bad window has no appointments to show."""
        return bool(self.created or self.kept or self.removed or self.booked)


@dataclass(frozen=True)
class Published:
    """What became of a submission; nothing was written in a dry run."""

    publication: Publication
    outcomes: list[WindowOutcome]

    def total(self, name: str) -> int:
        return sum(getattr(outcome, name) for outcome in self.outcomes)

    @property
    def refusals(self) -> list[Refusal]:
        """Why windows were left out: the first so many, since each is a sentence."""
        return [outcome.refusal for outcome in self.outcomes if outcome.refusal][:MOST_TOLD]


async def publish_windows(context: Context, publication: Publication, idempotency_key: str | None) -> Published:
    """Write the appointments of a provider's windows, all in one transaction."""
    key = read_key(context, "appointmentBulkCreate", publication, idempotency_key)

    async def work(statements: Statements) -> Published:
        return await _publish(context, statements, publication, key)

    published = await context.database.transaction(work, keep=not publication.dry_run)
    context.loaders.forget()
    return published


def published_in(context: Context, published: Published, page: Page) -> Connection | None:
    """List what the windows of a submission now contain; nothing after a dry run."""
    publication = published.publication
    windows = [publication.windows[outcome.index] for outcome in published.outcomes if outcome.is_written]
    if publication.dry_run or not windows:
        return None
    statement = inside(context.business, publication.provider_id, windows)
    return selected(context, statement, page)


async def _publish(context: Context, statements: Statements, publication: Publication, key: Key | None) -> Published:
    provider = await statements.row(lock_provider(publication, context.viewer, context.authored()))
    if provider is None:
        raise NotFound("providerId", noun="provider")
    if context.viewer.sight is Sight.PROVIDER and publication.provider_id != context.viewer.person_id:
        raise Forbidden("providerId", problem="These are another provider's times; a PROVIDER publishes their own.")
    if key is not None and (first := await replayed(context, statements, key)):
        return Published(publication, [_from_json(outcome) for outcome in first.result])
    for name in ("service", "location"):
        if not getattr(provider, f"{name}_exists"):
            raise NotFound(f"{name}Id", noun=name)
    outcomes = [WindowOutcome(n) for n in range(len(publication.windows))]
    for n, refusal in check(publication, provider.clock).items():
        outcomes[n].refusal = refusal
    good = [outcome for outcome in outcomes if outcome.refusal is None]
    if good:
        windows = [publication.windows[outcome.index] for outcome in good]
        if publication.mode is BulkMode.REPLACE_WINDOW:
            await statements.rows(lock_inside(context.business, publication, windows))
        _tally(publication, good, await statements.rows(publish(context.business, publication, windows)))
    published = Published(publication, outcomes)
    if publication.error_policy is ErrorPolicy.REJECT_EVERYTHING and published.refusals:
        raise Refusals(published.refusals)
    if key is not None:
        await keep(context, statements, key, publication.provider_id, [_to_json(outcome) for outcome in outcomes])
    return published


def _tally(publication: Publication, good: Sequence[WindowOutcome], written: Sequence[Row[Any]]) -> None:
    """Write into each window's outcome what the statement answered of it."""
    in_order = sorted(good, key=lambda outcome: publication.windows[outcome.index].starts_at)
    starts = [publication.windows[outcome.index].starts_at for outcome in in_order]
    others: dict[int, list[UUID]] = {}
    for row in written:
        if row.kind == "window":
            outcome = good[row.n]
            outcome.created, outcome.kept = row.created, row.kept
            continue
        # Windows do not overlap: the last one to begin before the appointment ends is one it reaches into.
        outcome = in_order[bisect_left(starts, row.ends_at) - 1]
        if row.kind == "removed":
            outcome.removed += 1
        elif row.kind == "booked":
            outcome.booked.append(row.id)
        else:
            others.setdefault(outcome.index, []).append(row.id)
    for row in written:
        if row.kind == "window" and row.blocked and publication.mode is BulkMode.ADD:
            outcome = good[row.n]
            problem = f"Window {outcome.index} overlaps appointments that are already published."
            outcome.refusal = OverlappingRows(
                *publication.windows[outcome.index].field,
                problem=problem,
                rows=[outcome.index],
                appointment_ids=[str(key) for key in others.get(outcome.index, [])[:10]],
            )


def _to_json(outcome: WindowOutcome) -> dict[str, Any]:
    booked, refusal = [str(key) for key in outcome.booked], outcome.refusal
    return {**vars(outcome), "booked": booked, "refusal": refusal and refusal.to_json()}


def _from_json(kept: dict[str, Any]) -> WindowOutcome:
    booked, refusal = [UUID(key) for key in kept["booked"]], kept["refusal"]
    return WindowOutcome(**{**kept, "booked": booked, "refusal": refusal and Refusal.from_json(refusal)})
