"""Providers: the people (or teams) whose time is booked."""

from models import text, zone
from models.given import written
from models.locale import locale
from models.person import Person
from models.record import Record


class Provider(Person, Record):
    """Whoever offers appointments: a stylist, a doctor, a team member. Without a zone, the business's holds."""

    __tablename__ = "providers"


FIELDS = {
    "first_name": written("first_name", text.name, is_needed=True),
    "last_name": written("last_name", text.name, is_needed=True),
    "email": written("email", text.email),
    "phone": written("phone", text.phone),
    "locale": written("locale", locale),
    "time_zone": written("time_zone", lambda value, field: zone.zone(value, field).key),
}
"""How what is given of a provider is read."""
