"""Tables, constraints, rules and statements. Nothing here does I/O or knows GraphQL."""

from models.api_key import ApiKey
from models.appointment import Appointment
from models.audit_entry import AuditEntry
from models.availability_exception import AvailabilityException
from models.availability_rule import AvailabilityRule
from models.business import Business
from models.calendar_feed import CalendarFeed
from models.calendar_import import CalendarImport
from models.client import Client
from models.event import Event
from models.exposure import Exposure
from models.holiday import Holiday
from models.idempotency_key import IdempotencyKey
from models.location import Location
from models.notification import Notification
from models.notification_preference import NotificationPreference
from models.notification_reservation import NotificationReservation
from models.offering import Offering
from models.outbox import OutletPosition
from models.proposal import Proposal
from models.provider import Provider
from models.publication_state import PublicationState
from models.record import Record
from models.reminder import Reminder
from models.requirement import Requirement
from models.reservation import Reservation
from models.reservation_series import ReservationSeries
from models.resource import Resource, ResourceClaim
from models.service import Service
from models.skill import ProviderSkill, ServiceSkill, Skill
from models.time_off import TimeOff
from models.visit import Visit
from models.waitlist_entry import WaitlistEntry, WaitlistOffer
from models.webhook_delivery import WebhookAttempt, WebhookDelivery
from models.webhook_endpoint import WebhookEndpoint, WebhookSecret

__all__ = [
    "ApiKey",
    "Appointment",
    "AuditEntry",
    "AvailabilityException",
    "AvailabilityRule",
    "Business",
    "CalendarFeed",
    "CalendarImport",
    "Client",
    "Event",
    "Exposure",
    "Holiday",
    "IdempotencyKey",
    "Location",
    "Notification",
    "NotificationPreference",
    "NotificationReservation",
    "Offering",
    "OutletPosition",
    "Proposal",
    "Provider",
    "ProviderSkill",
    "PublicationState",
    "Record",
    "Reminder",
    "Requirement",
    "Reservation",
    "ReservationSeries",
    "Resource",
    "ResourceClaim",
    "Service",
    "ServiceSkill",
    "Skill",
    "TimeOff",
    "Visit",
    "WaitlistEntry",
    "WaitlistOffer",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookSecret",
]
