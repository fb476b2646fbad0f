"""Proposals: what is held for clients whose provider will be away, and what they decide about it."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from models import proposal, proposal_choice
from models.idempotency_key import Key
from models.proposal import Decision, Proposal, ProposalStatus, Wanted
from models.refusal import IllegalState, NotFound, ProposalDecided
from models.relation import rows
from models.reservation import Reservation
from models.zone import day, zone
from resolvers.context import Context
from resolvers.database import Database, Statements
from resolvers.idempotency import keep, read_key, replayed
from resolvers.supply import Supplied

MOST_PROPOSED = 100  # of one absence
MOST_ENDED = 1000


async def reassign(context: Context, wanted: Any, done: Supplied) -> Supplied:
    """Propose another time for each reservation that an absence leaves behind; each for itself, once the absence stands.

    Asked again, those who got none are tried again, and nobody is proposed a second one. Who was proposed a time that this
    absence takes away is proposed another one.
    """
    if not wanted.reassign or done.row is None:
        return done
    again = await _overtaken(context, done.row)
    known = await context.database.rows(proposal.found(context.viewer, Wanted(time_off_id=done.key)))
    has_one = {row.reservation_id for row in known}
    made = [row.id for row in known]
    found = await context.database.rows(proposal_choice.affected(context.viewer, done.row, again))
    bookings = [row for row in found if row.id not in has_one]
    missing = max(len(bookings) - MOST_PROPOSED, 0)
    for booking in bookings[:MOST_PROPOSED]:
        key = await _propose(context, booking, done.key)
        if key is None:
            missing += 1
        else:
            made.append(key)
    context.loaders.forget()
    return replace(done, proposals=tuple(made), without_proposal=missing)


async def _overtaken(context: Context, away: Row[Any]) -> list[UUID]:
    """End the proposals whose time an absence takes away, each for itself; whose reservation then needs another one."""
    again = []
    for row in await context.database.rows(proposal_choice.overtaken(context.viewer, away)):

        async def end(statements: Statements, row: Row[Any] = row) -> bool:
            await statements.rows(proposal.locked(context.viewer, row, context.authored()))
            is_open = bool(await statements.rows(proposal.overtake(context.viewer, row.id)))
            if is_open:
                await statements.rows(proposal.end_hold(context.viewer, row.hold_id))
            return is_open

        if await context.database.transaction(end):
            again.append(row.reservation_id)
    return again


async def _propose(context: Context, booking: Row[Any], away: UUID) -> UUID | None:
    where = zone(booking.time_zone)
    local_day = day(booking.starts_at.astimezone(where).date(), where)
    for choices in (
        proposal_choice.at_the_same_time(context.viewer, booking),
        proposal_choice.on_the_same_day(context.viewer, booking, local_day),
    ):
        places = [row.id for row in await context.database.rows(choices)]
        if not places:
            continue
        made = proposal_choice.propose(context.viewer, booking.id, places, away, context.authored())
        row = await context.database.row(made)
        if row is not None and row.id is not None:
            key: UUID = row.id
            return key
    return None


@dataclass(frozen=True)
class _Deciding:
    """A decision under way, in its transaction."""

    context: Context
    statements: Statements
    decision: Decision
    key: Key | None

    async def row(self) -> Row[Any]:
        """Read the proposal, if the viewer sees it."""
        mine = rows(Proposal, self.context.viewer).where(Proposal.id == self.decision.proposal_id)
        row = await self.statements.row(mine)
        if row is None:
            raise NotFound("proposalId", noun="proposal")
        return row

    async def answered(self) -> Row[Any]:
        """Keep the key, and answer the proposal as it is now."""
        if self.key is not None:
            await keep(self.context, self.statements, self.key, self.decision.proposal_id)
        return await self.row()


async def accept(context: Context, decision: Decision, idempotency_key: str | None) -> Row[Any]:
    """Move a reservation to the time that was proposed, whose hold ends in the same transaction: nobody comes between."""
    return await _decided(context, "proposalAccept", decision, idempotency_key)


async def decline(context: Context, decision: Decision, idempotency_key: str | None) -> Row[Any]:
    """Give back the time that was proposed; the reservation stays as it is."""
    return await _decided(context, "proposalDecline", decision, idempotency_key)


async def _decided(context: Context, name: str, decision: Decision, idempotency_key: str | None) -> Row[Any]:
    key = read_key(context, name, decision, idempotency_key)
    decide, wanted = {
        "proposalAccept": (_accept, ProposalStatus.ACCEPTED),
        "proposalDecline": (_decline, ProposalStatus.DECLINED),
    }[name]

    async def work(statements: Statements) -> Row[Any]:
        deciding = _Deciding(context, statements, decision, key)
        if key is not None and await replayed(context, statements, key):
            return await deciding.row()
        row = await deciding.row()
        await statements.rows(proposal.locked(context.viewer, row, context.authored()))
        row = await deciding.row()
        if row.status == ProposalStatus.PROPOSED:
            await decide(deciding, row)
        elif row.status != wanted:
            raise ProposalDecided("proposalId")
        return await deciding.answered()

    row = await context.database.transaction(work)
    context.loaders.forget()
    return row


async def _accept(deciding: _Deciding, row: Row[Any]) -> None:
    viewer, statements = deciding.context.viewer, deciding.statements
    if not await statements.rows(proposal.accept(viewer, deciding.decision)):
        raise ProposalDecided("proposalId")
    if not await statements.rows(proposal.end_hold(viewer, row.hold_id)):
        raise ProposalDecided("proposalId")
    if not await statements.rows(proposal.move(viewer, row)):
        booking = await statements.row(rows(Reservation, viewer).where(Reservation.id == row.reservation_id))
        if booking is None:
            raise ProposalDecided("proposalId")
        raise IllegalState("proposalId", state=booking.status, change="moved")


async def _decline(deciding: _Deciding, row: Row[Any]) -> None:
    viewer, statements = deciding.context.viewer, deciding.statements
    if not await statements.rows(proposal.end_hold(viewer, row.hold_id)):
        raise ProposalDecided("proposalId")
    if deciding.decision.reason is not None:
        await statements.rows(proposal.explain(viewer, deciding.decision))


async def expire(database: Database) -> int:
    """Note of proposals whose time is over that they are."""
    row = await database.row(text("SELECT expire_proposals(:most) AS ended").bindparams(most=MOST_ENDED))
    return 0 if row is None else int(row.ended)
