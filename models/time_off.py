"""Time off: when a provider is away, from one instant to another."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Select,
    Text,
    case,
    literal_column,
)
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models import text
from models.record import OfBusiness, Record, of_persons
from models.refusal import InvalidInput
from models.relation import rows
from models.viewer import Viewer

LONGEST_ABSENCE = timedelta(days=366)


class TimeOffSource(StrEnum):
    """Who says that a provider is away: somebody of the team (MANUAL), or a calendar that is imported (IMPORTED)."""

    MANUAL = "MANUAL"
    IMPORTED = "IMPORTED"


class TimeOff(OfBusiness, Record):
    """A vacation, an illness, a training: no rule makes a time that reaches into it."""

    __tablename__ = "time_off"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="time_off_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "import_id"],
            ["calendar_imports.business_id", "calendar_imports.id"],
            name="time_off_of_import",
        ),
        CheckConstraint("starts_at < ends_at AND ends_at - starts_at <= '366 days'", name="time_off_runs_forward"),
        CheckConstraint("starts_at >= '2000-01-01Z' AND ends_at <= '2200-01-01Z'", name="time_off_is_bounded"),
        CheckConstraint("length(reason) <= 2000", name="reason_is_short"),
        Index("time_off_of_provider", "business_id", "provider_id", "starts_at", "id"),
        Index(
            "busy_time_is_new",
            "business_id",
            "import_id",
            "starts_at",
            "ends_at",
            unique=True,
            postgresql_where=sql("import_id IS NOT NULL"),
        ),
    )

    provider_id: Mapped[UUID]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    reason: Mapped[str | None]
    import_id: Mapped[UUID | None] = mapped_column()

    source: Mapped[str] = column_property(
        case((import_id.is_(None), literal_column("'MANUAL'", Text)), else_=literal_column("'IMPORTED'", Text))
    )

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A provider sees their own, the rest of a team all, others none: why somebody is away is personal."""
        return of_persons(super().visible_to(viewer), viewer, provider=cls.provider_id == viewer.person_id)


# The fields of an input that tell of time off, and the attributes of a row that has them.
NAMES = ("starts_at", "ends_at", "reason")


@dataclass(frozen=True)
class Absence:
    """When and why somebody is away."""

    starts_at: datetime
    ends_at: datetime
    reason: str | None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Absence":
        """Check what was sent, or what time off would be after a change."""
        starts_at, ends_at = values["starts_at"], values["ends_at"]
        for name, value in (("startsAt", starts_at), ("endsAt", ends_at)):
            if value is None:
                raise InvalidInput(name, problem=f"{name} must not be null.")
        if ends_at <= starts_at:
            raise InvalidInput("endsAt", problem="endsAt must be after startsAt.")
        if ends_at - starts_at > LONGEST_ABSENCE:
            raise InvalidInput("endsAt", problem="Time off is at most 366 days long.")
        return cls(starts_at, ends_at, text.reason(values["reason"], "reason"))

    def columns(self) -> dict[str, Any]:
        """Write it as the columns of a row."""
        return asdict(self)


@dataclass(frozen=True)
class Wanted:
    """What a list of time off is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ()

    provider_id: UUID | None = None
    starts_from: datetime | None = None
    starts_until: datetime | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the time off that is wanted."""
    statement = rows(TimeOff, viewer)
    if wanted.provider_id is not None:
        statement = statement.where(TimeOff.provider_id == wanted.provider_id)
    if wanted.starts_from is not None:
        statement = statement.where(TimeOff.starts_at >= wanted.starts_from)
    if wanted.starts_until is not None:
        statement = statement.where(TimeOff.starts_at < wanted.starts_until)
    return statement
