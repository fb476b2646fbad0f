"""Series: the same appointment every so many weeks, reserved in one hold."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKeyConstraint, Index, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.bundle import is_seen
from models.record import Record, generated_id, stamped, versioned
from models.viewer import Viewer


class ReservationSeries(Record):
    """What a client comes for again and again. `count` is how often they wished to, not how often they got it."""

    __tablename__ = "reservation_series"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "client_id"], ["clients.business_id", "clients.id"], name="series_of_client"
        ),
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="series_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "service_id"], ["services.business_id", "services.id"], name="series_of_service"
        ),
        CheckConstraint("every_weeks BETWEEN 1 AND 8 AND count BETWEEN 2 AND 52", name="series_is_sane"),
        UniqueConstraint("business_id", "id", "client_id", name="series_by_client"),
        Index("series_of_clients", "business_id", "client_id"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    client_id: Mapped[UUID]
    provider_id: Mapped[UUID | None]
    service_id: Mapped[UUID | None]
    every_weeks: Mapped[int] = mapped_column(SmallInteger)
    count: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A client sees their own, a provider those of which a reservation is with them, the rest of a team all."""
        return is_seen(cls, super().visible_to(viewer), viewer)
