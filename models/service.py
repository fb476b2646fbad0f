"""Services: what a provider does in an appointment, with its buffers and its own policies."""

from datetime import timedelta

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, text
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models.business import in_minutes
from models.record import OfBusiness, Record


class Service(OfBusiness, Record):
    """A treatment, a visit, a lesson. Where a policy is null, the business's holds."""

    __tablename__ = "services"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="service_of_business"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="service_has_a_name"),
        CheckConstraint(
            "buffer_before >= '0' AND buffer_before <= '24:00:00' AND buffer_after >= '0' AND buffer_after <= '24:00:00'",
            name="buffers_are_sane",
        ),
        CheckConstraint("lead_time >= '0' AND lead_time <= '366 days'", name="lead_time_is_sane"),
        CheckConstraint("hold_time > '0' AND hold_time <= '24:00:00'", name="hold_time_is_sane"),
    )

    name: Mapped[str]
    buffer_before: Mapped[timedelta] = mapped_column(server_default=text("'0'"))
    buffer_after: Mapped[timedelta] = mapped_column(server_default=text("'0'"))
    lead_time: Mapped[timedelta | None]
    hold_time: Mapped[timedelta | None]

    buffer_before_minutes: Mapped[int] = column_property(in_minutes(buffer_before))
    buffer_after_minutes: Mapped[int] = column_property(in_minutes(buffer_after))
