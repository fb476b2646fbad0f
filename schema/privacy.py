"""Privacy: the inputs and payloads of clientExport and clientErase, and how an export is written."""

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import Row
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_camel_case

from models.node_id import encode, key_of
from models.privacy import Erasure
from models.viewer import Role
from models.zone import written
from resolvers.privacy import Export
from schema.access import EVERYBODY, allowed
from schema.audit_entry import difference, type_of
from schema.connection import maybe
from schema.error import UserError, user_errors
from schema.root import KEY

MANAGERS_OR_CLIENT = allowed(Role.ADMIN, Role.MANAGER, Role.CLIENT)
PERSON = ("id", "first_name", "last_name", "email", "phone", "time_zone", "locale", "created_at", "version")
RESERVATION = (
    *("id", "status", "starts_at", "ends_at", "seat", "note", "cancel_reason", "provider_id", "provider", "service_id"),
    *("service", "appointment_id", "created_at", "expires_at", "confirmed_at", "cancelled_at", "version"),
)
API_KEY = ("id", "name", "role", "scopes", "created_at", "expires_at", "revoked_at")
NOTIFICATION = (
    *("id", "channel", "topic", "template", "status", "reservation_id", "created_at", "sent_at", "subject", "text"),
)
THINGS = {
    "proposals": (
        "Proposal",
        (
            *(
                "id",
                "status",
                "reason",
                "reservation_id",
                "hold_id",
                "appointment_id",
                "from_provider_id",
                "provider_id",
            ),
            *("expires_at", "created_at", "version"),
        ),
    ),
    "waitlistEntries": (
        "WaitlistEntry",
        (
            *("id", "status", "service_id", "provider_id", "location_id", "starts_from", "starts_until", "offer_id"),
            *("created_at", "version"),
        ),
    ),
    "visits": ("Visit", ("id", "status", "starts_at", "ends_at", "created_at", "version")),
    "reservationSeries": (
        "ReservationSeries",
        ("id", "provider_id", "service_id", "every_weeks", "count", "created_at", "version"),
    ),
    "calendarFeeds": ("CalendarFeed", ("id", "revoked_at", "created_at", "version")),
}
"""Of what else there is: its type, and what is told of it; of a feed never its secret."""
PREFERENCE = ("channel", "topic", "enabled")
ENTRY = ("id", "occurred_at", "actor", "action", "request_id")
TYPE_OF = {
    "provider_id": "Provider",
    "reservation_id": "Reservation",
    "service_id": "Service",
    "appointment_id": "Appointment",
    "from_provider_id": "Provider",
    "location_id": "Location",
    "hold_id": "Reservation",
    "offer_id": "Reservation",
}


@strawberry.input(description="A client, all of whose data is wanted.")
class ClientExportInput:
    client_id: strawberry.ID


@strawberry.type(directives=[EVERYBODY])
class ClientExportPayload:
    export: JSON | None = strawberry.field(
        default=None,
        description="All that is kept: the client, their reservations, visits and series, what they wait for and what was "
        "proposed to them, their calendar feeds and API keys (never a secret), what they were told and wish to be told, and "
        "the history of all of these with everybody who read it. Null when nothing was told.",
    )
    user_errors: list[UserError] = user_errors("Why nothing was told; empty when all went well.")

    @classmethod
    def of(cls, export: Export) -> "ClientExportPayload":
        """Write an export with the names, ids and instants of the API."""
        told = {
            "client": _told("Client", export.client, PERSON),
            "reservations": [_told("Reservation", row, RESERVATION) for row in export.reservations],
            "apiKeys": [_told("ApiKey", row, API_KEY) for row in export.api_keys],
            "history": [_entry(row) for row in export.history],
            "notifications": [_told("Notification", row, NOTIFICATION) for row in export.notifications],
            "notificationPreferences": [_told("", row, PREFERENCE) for row in export.preferences],
            **{
                name: [_told(type_name, row, names) for row in export.things[name]]
                for name, (type_name, names) in THINGS.items()
            },
        }
        return cls(export=JSON(told))


@strawberry.input(description="A client who is to be forgotten.")
class ClientEraseInput:
    client_id: strawberry.ID
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def erasure(self) -> Erasure:
        return Erasure(key_of("Client", self.client_id, "clientId"))


@strawberry.type(directives=[EVERYBODY])
class ClientErasePayload:
    client: Any = strawberry.field(
        graphql_type=maybe("Client"), default=None, description="What is left of them; null when nothing was erased."
    )
    user_errors: list[UserError] = user_errors("Why nothing was erased; empty when all went well.")


def _told(type_name: str, row: Row[Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {to_camel_case(name): _plain(TYPE_OF.get(name, type_name), getattr(row, name)) for name in names}


def _plain(type_name: str, value: Any) -> Any:
    if isinstance(value, UUID):
        return encode(type_name, value)
    return written(value) if isinstance(value, datetime) else value


def _entry(row: Row[Any]) -> dict[str, Any]:
    about = {
        "nodeId": encode(type_of(row.action), row.thing_id),
        "diff": row.diff and difference(row.diff),
        "fields": row.data.get("fields"),
    }
    return _told("AuditEntry", row, ENTRY) | about
