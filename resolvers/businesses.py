"""What is done with businesses: making them, and changing their policies."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from models import Business, business
from models.business import NewBusiness, Revision
from models.catalogue import scheduled
from models.idempotency_key import Key, remember
from models.refusal import Busy, Forbidden, HostTaken, NotFound
from models.relation import rows
from models.viewer import Role
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.idempotency import read_key, replayed
from resolvers.supply import Change, Session, Supplied, Written, supplied
from resolvers.writes import Request


async def create_business(context: Context, wanted: NewBusiness, idempotency_key: str | None) -> Row[Any]:
    """Make a business, or answer the one that was made when the key was first used."""
    key = read_key(context, "businessCreate", wanted, idempotency_key)

    async def work(statements: Statements) -> Row[Any]:
        return await _create(context, statements, wanted, key)

    try:
        row = await context.database.transaction(work)
    except HostTaken:
        raise HostTaken("host") from None
    context.loaders.forget()
    return row


async def _create(context: Context, statements: Statements, wanted: NewBusiness, key: Key | None) -> Row[Any]:
    """The key comes first: of two twins at once, the later one waits there, and then makes nothing.

    It belongs to the business of whoever asks, which the transaction leaves for the new one, never to come back.
    """
    made = await statements.row(business.new_id())
    assert made is not None
    if key is not None and await statements.row(remember(key, made.id, None)) is None:
        first = await replayed(context, statements, key)
        if first is None:
            raise Busy
        await statements.rows(business.enter(first.result_id))
        row = await statements.row(rows(Business, replace(context.viewer, business_id=first.result_id)))
    else:
        await statements.rows(business.enter(made.id))
        row = await statements.row(business.create(made.id, wanted, context.authored()))
    if row is None:
        raise NotFound(noun="business")
    return row


async def update_business(context: Context, wanted: Revision, idempotency_key: str | None) -> Supplied:
    """Change the policies of the viewer's business, and publish what follows from them."""
    if wanted.host is not None and context.viewer.role is not Role.OPERATOR:
        raise Forbidden("host", problem="Only an OPERATOR gives a host to a business, or takes it away.")
    try:
        done = await supplied(context, UPDATE, Request(wanted, idempotency_key))
    except HostTaken:
        raise HostTaken("host") from None
    context.outdated.append(context.business)
    return done


async def _update(session: Session, wanted: Revision) -> Written:
    """Local times are others in another zone, and there are more of them the farther ahead they are published."""
    values = business.values(wanted)
    row = await session.change(Business, session.context.business, wanted.expected_version, values)
    is_published_anew = values.keys() & {"time_zone", "publication_days"}
    rules = await session.statements.rows(scheduled(session.viewer)) if is_published_anew else ()
    return Written(row, row.id, [rule.provider_id for rule in rules])


UPDATE = Change("businessUpdate", Business, _update, wide=True)
