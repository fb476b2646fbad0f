"""The map of the schema: every relation between two types, and every order that a list can have."""

from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists

from models import audit_entry, person, reservation, search
from models.appointment import Appointment
from models.audit_entry import AuditEntry
from models.availability import available
from models.business import Business
from models.client import Client
from models.location import Location
from models.page import Sort
from models.provider import Provider
from models.relation import Listing, Many, One, Tally, rows
from models.reservation import CONFIRMED, HELD, Reservation, Wanted, is_claim
from models.reservation_series import ReservationSeries
from models.search import Availability, Month
from models.service import Service
from models.viewer import Sight, Viewer
from models.visit import Visit

BY_START = (Sort("starts_at"), Sort("id"))
BY_NAME = (Sort("last_name"), Sort("first_name"), Sort("id"))
NEWEST_FIRST = (Sort("id", descending=True),)  # ids are made in the order of creation


def _is_claimed(status: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether somebody has this appointment, as held or as confirmed."""
    return exists().where(
        Reservation.business_id == Appointment.business_id,
        Reservation.live_appointment_id == Appointment.id,
        Reservation.stored_status == status,
        is_claim(),
    )


def _free(viewer: Viewer) -> Select[Any]:
    return available(viewer.business_id)


def _available(viewer: Viewer, wanted: Availability) -> Select[Any]:
    return search.free(viewer.business_id, wanted)


def _dates(viewer: Viewer, month: Month) -> Select[Any]:
    return search.per_date(viewer.business_id, month)


def _calendar(viewer: Viewer) -> Select[Any]:
    """What is booked of a provider's time is shown to that provider, and to whoever sees everybody's."""
    appointments = rows(Appointment, viewer)
    return (
        appointments.where(Appointment.provider_id == viewer.person_id)
        if viewer.sight is Sight.PROVIDER
        else appointments
    )


def _reserved_with(viewer: Viewer) -> Select[Any]:
    """With whom else a client reserved is told to no provider, just as those reservations are not."""
    providers = rows(Provider, viewer)
    return providers.where(Provider.id == viewer.person_id) if viewer.sight is Sight.PROVIDER else providers


def _reservations(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    return reservation.narrow(rows(Reservation, viewer), wanted)


# Lists at the root
AVAILABLE_APPOINTMENTS = Listing("availableAppointments", Appointment, _available)
AVAILABLE_DATES = Tally("availableDates", "date", _dates)
APPOINTMENTS = Listing("appointments", Appointment, search.published)
RESERVATIONS = Listing("reservations", Reservation, _reservations)
PROVIDERS = Listing("providers", Provider, partial(person.found, Provider))
CLIENTS = Listing("clients", Client, partial(person.found, Client))
AUDIT_ENTRIES = Listing("auditEntries", AuditEntry, audit_entry.found)

# Links to one
VIEWER_BUSINESS = One("Viewer.business", Business, "business_id")
EXPLANATION_APPOINTMENT = One("AvailabilityExplanation.appointment", Appointment, "appointment_id")
APPOINTMENT_PROVIDER = One("Appointment.provider", Provider, "provider_id")
APPOINTMENT_SERVICE = One("Appointment.service", Service, "service_id")
APPOINTMENT_LOCATION = One("Appointment.location", Location, "location_id")
RESERVATION_CLIENT = One("Reservation.client", Client, "client_id")
RESERVATION_PROVIDER = One("Reservation.provider", Provider, "provider_id")
RESERVATION_SERVICE = One("Reservation.service", Service, "service_id")
RESERVATION_APPOINTMENT = One("Reservation.appointment", Appointment, "appointment_id")
RESERVATION_VISIT = One("Reservation.visit", Visit, "visit_id")
RESERVATION_SERIES = One("Reservation.series", ReservationSeries, "series_id")
VISIT_CLIENT = One("Visit.client", Client, "client_id")
SERIES_CLIENT = One("ReservationSeries.client", Client, "client_id")
SERIES_PROVIDER = One("ReservationSeries.provider", Provider, "provider_id")
SERIES_SERVICE = One("ReservationSeries.service", Service, "service_id")

# Links to many
NODE_HISTORY = Many("Node.history", AuditEntry, lambda node: AuditEntry.thing_id == node, NEWEST_FIRST)
RESERVATION_HISTORY = Many(
    "Reservation.history",
    AuditEntry,
    lambda reservation: AuditEntry.thing_id == reservation,
    NEWEST_FIRST,
    base=audit_entry.told,
)
PROVIDER_APPOINTMENTS = Many(
    "Provider.appointments", Appointment, lambda provider: Appointment.provider_id == provider, BY_START
)
PROVIDER_AVAILABLE_APPOINTMENTS = Many(
    "Provider.availableAppointments",
    Appointment,
    lambda provider: Appointment.provider_id == provider,
    BY_START,
    base=_free,
)
PROVIDER_CONFIRMED_APPOINTMENTS = Many(
    "Provider.confirmedAppointments",
    Appointment,
    lambda provider: and_(Appointment.provider_id == provider, _is_claimed(CONFIRMED)),
    BY_START,
    base=_calendar,
)
PROVIDER_RESERVED_APPOINTMENTS = Many(
    "Provider.reservedAppointments",
    Appointment,
    lambda provider: and_(Appointment.provider_id == provider, _is_claimed(HELD)),
    BY_START,
    base=_calendar,
)
PROVIDER_CLIENTS = Many(
    "Provider.clients",
    Client,
    lambda provider: exists().where(
        Reservation.business_id == Client.business_id,
        Reservation.client_id == Client.id,
        Reservation.provider_id == provider,
    ),
    BY_NAME,
)
CLIENT_PROVIDERS = Many(
    "Client.providers",
    Provider,
    lambda client: exists().where(
        Reservation.business_id == Provider.business_id,
        Reservation.provider_id == Provider.id,
        Reservation.client_id == client,
    ),
    BY_NAME,
    base=_reserved_with,
)
VISIT_RESERVATIONS = Many("Visit.reservations", Reservation, lambda visit: Reservation.visit_id == visit, BY_START)
SERIES_RESERVATIONS = Many(
    "ReservationSeries.reservations", Reservation, lambda series: Reservation.series_id == series, BY_START
)
CLIENT_RESERVATIONS = Many("Client.reservations", Reservation, lambda client: Reservation.client_id == client, BY_START)
CLIENT_ACTIVE_RESERVATIONS = Many(
    "Client.activeReservations",
    Reservation,
    lambda client: and_(Reservation.client_id == client, is_claim()),
    BY_START,
)
CLIENT_CONFIRMED_RESERVATIONS = Many(
    "Client.confirmedReservations",
    Reservation,
    lambda client: and_(Reservation.client_id == client, Reservation.stored_status == CONFIRMED),
    BY_START,
)
CLIENT_EXPIRED_RESERVATIONS = Many(
    "Client.expiredReservations",
    Reservation,
    lambda client: and_(Reservation.client_id == client, Reservation.expired),
    BY_START,
)
APPOINTMENT_RESERVATIONS = Many(
    "Appointment.reservations",
    Reservation,
    lambda appointment: Reservation.appointment_id == appointment,
    BY_START,
)
APPOINTMENT_CONFIRMED_RESERVATIONS = Many(
    "Appointment.confirmedReservation",
    Reservation,
    lambda appointment: and_(Reservation.appointment_id == appointment, Reservation.stored_status == CONFIRMED),
    BY_START,
)
