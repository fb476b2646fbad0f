"""Requirements: how many of which resource a service needs."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.record import OfBusiness, Record


class Requirement(OfBusiness, Record):
    """So many units of a resource, for as long as the service keeps its provider busy."""

    __tablename__ = "requirements"
    __table_args__ = (
        UniqueConstraint("business_id", "service_id", "resource_id", name="requirement_is_new"),
        ForeignKeyConstraint(
            ["business_id", "service_id"],
            ["services.business_id", "services.id"],
            name="requirement_of_service",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["business_id", "resource_id"], ["resources.business_id", "resources.id"], name="requirement_is_there"
        ),
        CheckConstraint("quantity BETWEEN 1 AND 1000", name="requirement_is_sane"),
        Index("services_of_resource", "business_id", "resource_id"),
    )

    service_id: Mapped[UUID]
    resource_id: Mapped[UUID]
    quantity: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
