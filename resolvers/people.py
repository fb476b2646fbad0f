"""What is done with providers and clients alike: creating them and listing them."""

from typing import Any

from sqlalchemy import Row

from models.page import Order, Page
from models.person import Details, create, found
from models.text import search
from resolvers.connections import Connection, Listing, listed
from resolvers.context import Context
from resolvers.idempotency import once, read_key


async def created(context: Context, record: Any, person: Details, idempotency_key: str | None) -> Row[Any] | None:
    """Write a person of the viewer's business."""
    key = read_key(context, f"{record.__name__}Create", person, idempotency_key)
    return await once(context, create(record, context.business, person, key, context.authored()), key, record)


def listing(context: Context, record: Any, looked_for: str | None, order: Order, page: Page) -> Connection:
    """List the persons of the viewer's business."""
    name = record.__tablename__
    return listed(context, Listing(name, record, found(record, context.business, search(looked_for)), order), page)
