"""Viewers: who asks, in which role, and for whom."""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import ClassVar
from uuid import UUID


class Role(StrEnum):
    """What somebody is to a business; OPERATOR stands above all of them and makes businesses, PUBLIC is whoever gives no name."""

    OPERATOR = "OPERATOR"
    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    FRONT_DESK = "FRONT_DESK"
    PROVIDER = "PROVIDER"
    CLIENT = "CLIENT"
    PUBLIC = "PUBLIC"


class Sight(Enum):
    """Whose rows somebody sees, of those that are about persons."""

    ALL = "all"
    PROVIDER = "those of one provider"
    CLIENT = "those of one client"
    NONE = "none"


_SIGHT = {
    Role.ADMIN: Sight.ALL,
    Role.MANAGER: Sight.ALL,
    Role.FRONT_DESK: Sight.ALL,
    Role.PROVIDER: Sight.PROVIDER,
    Role.CLIENT: Sight.CLIENT,
}
# Roles that are bound to one person: the type of thing that person is.
PERSON_OF = {Role.PROVIDER: "Provider", Role.CLIENT: "Client"}


@dataclass(frozen=True)
class Viewer:
    """Whoever asks: the business whose rows they see, the name that events and keys know them by, and their role.

    `person_id` is the provider or the client they are, `told_role` the role where a compiler leaves it open; only a reader may query, and only a writer change anything; the public is admitted by
    businesses that are open to it. A compiler puts holes in the place of the ids.
    """

    fixed: ClassVar[tuple[str, ...]] = ("role", "is_reader", "is_writer", "is_admitted")

    business_id: UUID
    principal: str
    role: Role
    person_id: UUID | None = None
    is_reader: bool = True
    is_writer: bool = True
    is_admitted: bool = True
    told_role: str | None = None

    @property
    def role_name(self) -> str:
        """What statements write and compare of the role: they may be compiled for all roles of one sight."""
        return self.role.value if self.told_role is None else self.told_role

    @property
    def sight(self) -> Sight:
        return _SIGHT.get(self.role, Sight.NONE)
