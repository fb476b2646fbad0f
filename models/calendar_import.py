"""Calendar imports: when providers are busy elsewhere, by calendars of theirs that are read again and again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Select,
    SmallInteger,
    UniqueConstraint,
    Uuid,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningDelete

from models.node_id import key_of
from models.outbound import Networks, public_url
from models.record import OfBusiness, Record, bound, of_persons
from models.relation import rows
from models.time_off import TimeOff
from models.viewer import Viewer

MOST_IMPORTS = 5  # of one provider
LARGEST = 2_000_000  # bytes


class CalendarImport(OfBusiness, Record):
    """A calendar of a provider that somebody else keeps; its busy times are time off."""

    __tablename__ = "calendar_imports"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="import_of_provider"
        ),
        UniqueConstraint("business_id", "provider_id", "url", name="import_is_new"),
        CheckConstraint("length(url) <= 2000 AND length(host) <= 255", name="import_url_is_short"),
        CheckConstraint("length(last_error) <= 500", name="import_error_is_short"),
        Index("imports_due", "due_at"),
        Index("imports_in_turn", "business_id", "claimed_at"),
    )

    provider_id: Mapped[UUID]
    url: Mapped[str] = mapped_column(deferred=True)
    host: Mapped[str]
    busy_count: Mapped[int] = mapped_column(server_default=text("0"))
    changed_at: Mapped[datetime | None]
    last_fetched_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    failures: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"), deferred=True)
    etag: Mapped[str | None] = mapped_column(deferred=True)
    last_modified: Mapped[str | None] = mapped_column(deferred=True)
    content_hash: Mapped[bytes | None] = mapped_column(deferred=True)
    read_for: Mapped[str | None] = mapped_column(deferred=True)
    due_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"), deferred=True)
    claimed_at: Mapped[datetime | None] = mapped_column(deferred=True)
    claimed_until: Mapped[datetime | None] = mapped_column(deferred=True)

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A provider sees their own, the rest of a team all, others none."""
        return of_persons(super().visible_to(viewer), viewer, provider=cls.provider_id == viewer.person_id)


@dataclass(frozen=True)
class NewImport:
    """A calendar that is to be read."""

    provider_id: UUID
    url: str

    @classmethod
    def read(cls, provider: str, url: str, allowed: Networks) -> "NewImport":
        """Check what was sent; calendars are often handed out as webcal, which is https."""
        scheme, mark, rest = url.partition("://")
        called = f"https://{rest}" if mark and scheme.lower() == "webcal" else url
        return cls(key_of("Provider", provider, "providerId"), public_url(called, "url", allowed=allowed))

    def columns(self) -> dict[str, Any]:
        return {"provider_id": self.provider_id, "url": self.url, "host": (urlsplit(self.url).hostname or "")[:255]}


@dataclass(frozen=True)
class Wanted:
    """What a list of imports is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ()

    provider_id: UUID | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the imports that are wanted."""
    statement = rows(CalendarImport, viewer)
    if wanted.provider_id is not None:
        statement = statement.where(CalendarImport.provider_id == wanted.provider_id)
    return statement


def count(viewer: Viewer, provider: UUID) -> Select[Any]:
    """Count the imports of a provider."""
    return select(func.count().label("total")).where(
        CalendarImport.business_id == viewer.business_id, CalendarImport.provider_id == bound(provider, Uuid)
    )


def free(viewer: Viewer, key: UUID) -> ReturningDelete[Any]:
    """Give back all the busy times of an import."""
    mine = TimeOff.business_id == viewer.business_id, TimeOff.import_id == bound(key, Uuid)
    return delete(TimeOff).where(*mine).returning(TimeOff.id)
