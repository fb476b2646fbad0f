"""Tenancy: which business is asked for without a token, by its id or by the host at which it is asked."""

from uuid import UUID

from sqlalchemy import Boolean, Select, Text, Uuid, column, func, select

from models.record import bound


def chosen(business: UUID | None, host: str | None) -> Select[tuple[UUID, bool]]:
    """Find the business with this id, or at this host, and whether anybody may browse it."""
    found = func.find_business(bound(business, Uuid), bound(host, Text)).table_valued(
        column("id", Uuid), column("is_public", Boolean), name="found"
    )
    return select(found.c.id, found.c.is_public)
