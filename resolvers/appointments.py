"""What is done with appointments: finding the free ones and listing all of them."""

from models import Appointment, availability
from models.availability import Availability
from models.page import Order, Page
from models.relation import rows
from models.relations import BY_START
from resolvers.connections import Connection, Listing, listed
from resolvers.context import Context


def free(context: Context, wanted: Availability, page: Page) -> Connection:
    """List what can be reserved now."""
    statement = availability.narrow(availability.available(context.business), wanted)
    return listed(context, Listing("availableAppointments", Appointment, statement, BY_START), page)


def listing(context: Context, wanted: Availability, order: Order, page: Page) -> Connection:
    """List every appointment, free or not."""
    statement = availability.narrow(rows(Appointment, context.business), wanted)
    return listed(context, Listing("appointments", Appointment, statement, order), page)
