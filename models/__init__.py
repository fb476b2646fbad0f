"""Tables, constraints, rules and statements. Nothing here does I/O or knows GraphQL."""

from models.api_key import ApiKey
from models.appointment import Appointment
from models.audit_entry import AuditEntry
from models.availability_exception import AvailabilityException
from models.availability_rule import AvailabilityRule
from models.business import Business
from models.client import Client
from models.event import Event
from models.exposure import Exposure
from models.holiday import Holiday
from models.idempotency_key import IdempotencyKey
from models.location import Location
from models.offering import Offering
from models.provider import Provider
from models.publication_state import PublicationState
from models.record import Record
from models.requirement import Requirement
from models.reservation import Reservation
from models.resource import Resource, ResourceClaim
from models.service import Service
from models.skill import ProviderSkill, ServiceSkill, Skill
from models.time_off import TimeOff

__all__ = [
    "ApiKey",
    "Appointment",
    "AuditEntry",
    "AvailabilityException",
    "AvailabilityRule",
    "Business",
    "Client",
    "Event",
    "Exposure",
    "Holiday",
    "IdempotencyKey",
    "Location",
    "Offering",
    "Provider",
    "ProviderSkill",
    "PublicationState",
    "Record",
    "Requirement",
    "Reservation",
    "Resource",
    "ResourceClaim",
    "Service",
    "ServiceSkill",
    "Skill",
    "TimeOff",
]
