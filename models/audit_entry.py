"""Audit entries: the events as whoever answers for a business reads them: who did what to which thing, and who read it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Select, Text, func, literal_column, or_
from sqlalchemy.orm import Mapped, column_property

from models.event import Event
from models.record import Record, bound
from models.relation import rows
from models.viewer import Role, Viewer

ANSWERING = (Role.ADMIN, Role.MANAGER)


class AuditEntry(Record):
    """An event, read as history."""

    __table__ = Event.__table__

    business_id: Mapped[UUID]
    id: Mapped[UUID]
    occurred_at: Mapped[datetime]
    actor: Mapped[str | None]
    action: Mapped[str] = column_property(Event.__table__.c.type)
    thing_id: Mapped[UUID] = column_property(Event.__table__.c.aggregate_id)
    request_id: Mapped[str | None] = column_property(Event.__table__.c.correlation_id)
    diff: Mapped[dict[str, Any] | None]
    data: Mapped[dict[str, Any]]


def told(viewer: Viewer) -> Select[Any]:
    """Select what was done; who read it is for those who answer for the business."""
    answers_for_it = bound(viewer.role_name, Text).in_([literal_column(f"'{role}'") for role in ANSWERING])
    return rows(AuditEntry, viewer).where(or_(~func.starts_with(AuditEntry.action, "audit."), answers_for_it))


@dataclass(frozen=True)
class Wanted:
    """What the audit is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ()

    thing_id: UUID | None = None
    actor: str | None = None
    action: str | None = None
    occurred_from: datetime | None = None
    occurred_until: datetime | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select what was done, and read, in a business."""
    statement = rows(AuditEntry, viewer)
    if wanted.thing_id is not None:
        statement = statement.where(AuditEntry.thing_id == wanted.thing_id)
    if wanted.actor is not None:
        statement = statement.where(AuditEntry.actor == wanted.actor)
    if wanted.action is not None:
        statement = statement.where(func.starts_with(AuditEntry.action, wanted.action))
    if wanted.occurred_from is not None:
        statement = statement.where(AuditEntry.occurred_at >= wanted.occurred_from)
    if wanted.occurred_until is not None:
        statement = statement.where(AuditEntry.occurred_at < wanted.occurred_until)
    return statement
