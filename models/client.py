"""Clients: the people who reserve."""

from sqlalchemy import ColumnElement, Uuid, and_, column, exists, false, table

from models.person import Person
from models.record import Record
from models.viewer import Sight, Viewer

# By name: reservations are made of clients, and so are declared after them.
_RESERVATIONS = table(
    "reservations", column("business_id", Uuid), column("client_id", Uuid), column("provider_id", Uuid)
)


class Client(Person, Record):
    """Whoever takes appointments. Without a zone, the business's holds."""

    __tablename__ = "clients"

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A client sees themselves, a provider whoever ever reserved with them, the rest of a team everybody."""
        of_business = super().visible_to(viewer)
        match viewer.sight:
            case Sight.ALL:
                return of_business
            case Sight.PROVIDER:
                reserved = _RESERVATIONS.alias("theirs")
                return and_(
                    of_business,
                    exists()
                    .where(
                        reserved.c.business_id == cls.business_id,
                        reserved.c.client_id == cls.id,
                        reserved.c.provider_id == viewer.person_id,
                    )
                    .correlate_except(reserved),
                )
            case Sight.CLIENT:
                return and_(of_business, cls.id == viewer.person_id)
        return false()
