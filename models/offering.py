"""Offerings: which provider gives which service where."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ForeignKeyConstraint, Index, UniqueConstraint, and_, exists, or_
from sqlalchemy.orm import Mapped, aliased

from models.record import OfBusiness, Record
from models.service import Service
from models.skill import ProviderSkill, ServiceSkill
from models.viewer import Sight, Viewer


class Offering(OfBusiness, Record):
    """That a provider gives a service, at one location or wherever they work."""

    __tablename__ = "offerings"
    __table_args__ = (
        UniqueConstraint(
            "business_id",
            "provider_id",
            "service_id",
            "location_id",
            name="offering_is_new",
            postgresql_nulls_not_distinct=True,
        ),
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="offering_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "service_id"], ["services.business_id", "services.id"], name="offering_of_service"
        ),
        ForeignKeyConstraint(
            ["business_id", "location_id"], ["locations.business_id", "locations.id"], name="offering_at_location"
        ),
        Index("offerings_of_service", "business_id", "service_id"),
    )

    provider_id: Mapped[UUID]
    service_id: Mapped[UUID]
    location_id: Mapped[UUID | None]

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """The public sees those whose service it sees."""
        of_business = super().visible_to(viewer)
        return and_(of_business, of_active_service()) if viewer.sight is Sight.NONE else of_business


def of_active_service() -> ColumnElement[bool]:
    """Whether what is offered is offered now."""
    service = aliased(Service)
    is_it = and_(service.business_id == Offering.business_id, service.id == Offering.service_id)
    return exists().where(is_it, service.active).correlate_except(service)


def is_given(business: Any, provider: Any, service: Any, location: Any) -> ColumnElement[bool]:
    """Whether a provider gives a service at a location: they offer it there, and have every skill that it needs."""
    offering, needed, had = aliased(Offering), aliased(ServiceSkill), aliased(ProviderSkill)
    has_it = exists().where(
        had.business_id == needed.business_id, had.provider_id == provider, had.skill_id == needed.skill_id
    )
    return and_(
        exists()
        .where(
            offering.business_id == business,
            offering.provider_id == provider,
            offering.service_id == service,
            or_(offering.location_id.is_(None), offering.location_id == location),
        )
        .correlate_except(offering),
        ~exists()
        .where(needed.business_id == business, needed.service_id == service, ~has_it.correlate_except(had))
        .correlate_except(needed),
    )
