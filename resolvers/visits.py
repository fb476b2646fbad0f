"""What is done with visits: holding several services, one after the other, or none of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import Visit, chain
from models.bundle import Booking
from models.chain import Chain, Sought, VisitWish
from models.idempotency_key import Key
from models.refusal import Busy, InvalidInput, NobodyAvailable, NotFound, NotOffered, Refusal
from resolvers.bundles import LostError, held, refused, too_soon_or_far
from resolvers.context import Context
from resolvers.idempotency import read_key, replayed
from resolvers.prepared import prepared
from resolvers.writes import Request

MOST_LOOKS = 10


async def create_visit(context: Context, request: Request) -> Row[Any]:
    """Look for a chain of free appointments and hold all of it; look again, if somebody was faster."""
    wish: VisitWish = request.wanted
    key = read_key(context, "visitCreate", wish, request.idempotency_key)
    lost: set[UUID] = set()
    for _ in range(MOST_LOOKS):
        made = await _replayed(context, key) or await _held(context, wish, key, lost)
        if made is not None:
            row = await context.loaders.one(Visit, made)
            if row is None:
                raise NotFound(noun="visit")
            return row
    raise Busy


async def _replayed(context: Context, key: Key | None) -> UUID | None:
    first = None if key is None else await replayed(context, context.database, key)
    return None if first is None else first.result_id


async def _held(context: Context, wish: VisitWish, key: Key | None, lost: set[UUID]) -> UUID | None:
    """Hold a chain; nothing, if it is worth another look."""
    found = await context.database.rows(*prepared(chain.candidates, context.viewer, Sought.read(wish)))
    chosen = chain.choose(found, wish, lost)
    if not chosen.chosen:
        raise await _obstacle(context, wish, chosen, found)
    try:
        rows = await held(context, _booking(wish, chosen), key)
    except LostError as error:
        lost.update(error.places)
        rows = []
    if rows:
        made: UUID = rows[0].made_id
        return made
    if refusal := await _refusal(context, wish, chosen.chosen):
        raise refusal
    return None


def _booking(wish: VisitWish, found: Chain) -> Booking:
    """Write down what is to be held; what is held the shortest comes first, so that the rest lapses with it."""
    pairs = sorted(zip(found.chosen, wish.steps, strict=True), key=lambda pair: pair[0].hold_time)
    appointments, services = (each.id for each, _ in pairs), (step.service_id for _, step in pairs)
    return Booking(Visit, wish.client_id, tuple(appointments), tuple(services), wish.note)


async def _refusal(context: Context, wish: VisitWish, chosen: Sequence[Any] = ()) -> Refusal | None:
    """Tell what is wrong with a wish, whatever is free."""
    found = await context.database.rows(chain.why_not(context.viewer, wish))
    if not found:
        return NotFound("clientId", noun="client")
    if not found[0].client_exists:
        return NotFound("clientId", noun="client")
    if wish.location_id is not None and not found[0].location_exists:
        return NotFound("locationId", noun="location")
    problems = [_misfit(row, turn) for turn, row in enumerate(found)]
    starts = [each.starts_at for each in chosen] or [wish.starts_at]
    problems += [_outside(row, at, turn) for turn, (row, at) in enumerate(zip(found, starts, strict=False))]
    return next(filter(None, problems), None) or refused(found[0])


def _misfit(row: Row[Any], turn: int) -> Refusal | None:
    if row.service_id is None:
        return NotFound("services", turn, "serviceId", noun="service")
    if not row.active:
        return NotOffered("services", turn, "serviceId")
    if row.is_nobody:
        return NotFound("services", turn, "providerId", noun="provider")
    if row.is_not_given:
        return InvalidInput("services", turn, "providerId", problem="This provider does not give this service.")
    return None


def _outside(row: Row[Any], starts_at: datetime, turn: int) -> Refusal | None:
    field = ("startsAt",) if turn == 0 else ("services", turn, "serviceId")
    return too_soon_or_far(row, starts_at, *field)


async def _obstacle(context: Context, wish: VisitWish, found: Chain, candidates: Sequence[Any]) -> Refusal:
    """Tell what is wrong with a wish; or else which service of it nobody gives then, and when somebody does."""
    if refusal := await _refusal(context, wish):
        return refusal
    failed = found.failed
    before = [each.ends_at for each in candidates if each.step == failed - 1]
    wanted = min(before, default=wish.starts_at)
    near = await context.database.rows(
        *prepared(chain.near, context.viewer, wish.steps[failed], wish.location_id, wanted)
    )
    return NobodyAvailable("services", failed, "serviceId", alternatives=near)
