"""Skills: what a provider is able to do, and a service needs."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models import text
from models.given import written
from models.record import OfBusiness, Record


class Skill(OfBusiness, Record):
    """An ability: colouring, Portuguese, paediatrics."""

    __tablename__ = "skills"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="skill_of_business"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="skill_has_a_name"),
        UniqueConstraint("business_id", "name", name="skill_is_new"),
    )

    name: Mapped[str]


class ProviderSkill(Record):
    """That a provider has a skill."""

    __tablename__ = "provider_skills"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="skill_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "skill_id"], ["skills.business_id", "skills.id"], name="provider_has_skill"
        ),
        Index("providers_of_skill", "business_id", "skill_id"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    provider_id: Mapped[UUID] = mapped_column(primary_key=True)
    skill_id: Mapped[UUID] = mapped_column(primary_key=True)


class ServiceSkill(Record):
    """That a service needs a skill."""

    __tablename__ = "service_skills"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "service_id"],
            ["services.business_id", "services.id"],
            name="skill_for_service",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["business_id", "skill_id"], ["skills.business_id", "skills.id"], name="service_needs_skill"
        ),
        Index("services_of_skill", "business_id", "skill_id"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    service_id: Mapped[UUID] = mapped_column(primary_key=True)
    skill_id: Mapped[UUID] = mapped_column(primary_key=True)


FIELDS = {"name": written("name", text.name, is_needed=True)}
"""How what is given of a skill is read."""
