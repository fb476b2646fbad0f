"""Tables, constraints, rules and statements. Nothing here does I/O or knows GraphQL."""

from models.api_key import ApiKey
from models.appointment import Appointment
from models.audit_entry import AuditEntry
from models.business import Business
from models.client import Client
from models.event import Event
from models.idempotency_key import IdempotencyKey
from models.location import Location
from models.provider import Provider
from models.record import Record
from models.reservation import Reservation
from models.resource import Resource
from models.service import Service

__all__ = [
    "ApiKey",
    "Appointment",
    "AuditEntry",
    "Business",
    "Client",
    "Event",
    "IdempotencyKey",
    "Location",
    "Provider",
    "Record",
    "Reservation",
    "Resource",
    "Service",
]
