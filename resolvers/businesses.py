"""What is done with businesses: making them, and changing their policies."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from models import Business, business, tenancy
from models.business import NewBusiness, Revision
from models.idempotency_key import Key, remember
from models.refusal import Busy, Forbidden, HostTaken, NotFound, VersionConflict
from models.relation import rows
from models.viewer import Role
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.idempotency import read_key, replayed
from resolvers.writes import Request, Write, written


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


async def update_business(context: Context, wanted: Revision, idempotency_key: str | None) -> Row[Any] | None:
    """Change the policies of the viewer's business."""
    if wanted.host is not None and context.viewer.role is not Role.OPERATOR:
        raise Forbidden("host", problem="Only an OPERATOR gives a host to a business, or takes it away.")
    row = await written(context, UPDATE, Request(wanted, idempotency_key))
    context.outdated.append(context.business)
    return row


async def _why_not_changed(context: Context, wanted: Revision, _key: Key | None) -> Row[Any]:
    found = await context.database.row(rows(Business, context.viewer))
    if found is None:
        raise NotFound(noun="business")
    if found.version != wanted.expected_version:
        raise VersionConflict("expectedVersion", current_version=found.version)
    if wanted.host:
        owner = await context.database.row(tenancy.chosen(None, business.host_name(wanted.host, "host")))
        if owner is not None and owner.id != found.id:
            raise HostTaken("host")
    raise Busy


UPDATE = Write("businessUpdate", Business, business.revise, _why_not_changed)
