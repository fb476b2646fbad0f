"""How far each provider's rules have become appointments."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.record import Record, stamped


class PublicationState(Record):
    """Of every provider who has a rule or an exception: until when they are published, by which database of zones."""

    __tablename__ = "publications"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="publication_of_provider"
        ),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    provider_id: Mapped[UUID] = mapped_column(primary_key=True)
    published_until: Mapped[datetime]
    published_at: Mapped[datetime] = stamped()
    zones: Mapped[str]
