"""Edits: how a thing is made, changed from the version at which it was read, and deleted; each by one statement."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, Uuid, cast, delete, func, insert, select, update

from models.record import bound, columns
from models.relation import rows
from models.viewer import Viewer

Values = Mapping[str, Any]
"""Columns, by the name of their attribute."""


def take_turns(viewer: Viewer, *, wide: bool) -> Select[Any]:
    """Let changes of a schedule run beside each other, and one of the whole business alone, until the transaction ends."""
    lock = func.pg_advisory_xact_lock if wide else func.pg_advisory_xact_lock_shared
    return select(lock(func.hashtextextended(cast(bound(viewer.business_id, Uuid), Text), 0), type_=Text))


def create(
    record: Any, viewer: Viewer, values: Values, authored: ColumnElement[bool], made: UUID | None = None
) -> Select[Any]:
    """Write a new thing, with the id that was made for it, if one was."""
    given: dict[str, Any] = {"business_id": viewer.business_id, **values, **({"id": made} if made else {})}
    row = select(*(bound(value, getattr(record, name).type).label(name) for name, value in given.items()))
    written = insert(record).from_select(list(given), row.where(authored)).returning(*columns(record))
    return select(*written.cte("written").c)


def change(
    record: Any, viewer: Viewer, which: tuple[UUID, int], values: Values, authored: ColumnElement[bool]
) -> Select[Any]:
    """Change a thing that still has the version at which it was read; no row means no."""
    key, expected_version = which
    changed = (
        update(record)
        .values(dict(values) or {"version": record.version})  # a change of what belongs to it counts as well
        .where(record.visible_to(viewer), record.id == key, record.version == expected_version, authored)
        .returning(*columns(record))
    )
    return select(*changed.cte("changed").c)


def remove(record: Any, viewer: Viewer, which: tuple[UUID, int | None], authored: ColumnElement[bool]) -> Select[Any]:
    """Delete a thing, if it still has the version at which it was read, where one is told; no row means no."""
    key, expected_version = which
    removed = delete(record).where(record.visible_to(viewer), record.id == key, authored)
    if expected_version is not None:
        removed = removed.where(record.version == expected_version)
    return select(*removed.returning(*columns(record)).cte("removed").c)


def pinned(record: Any, viewer: Viewer, key: UUID) -> Select[Any]:
    """Find a thing that something is going to refer to, and let nobody delete it meanwhile."""
    return (
        rows(record, viewer).where(record.id == bound(key, Uuid)).with_for_update(read=True, key_share=True, of=record)
    )
