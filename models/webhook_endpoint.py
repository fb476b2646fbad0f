"""Webhook endpoints: where a business wants its events sent, which of them, and the secrets that sign what is sent."""

import base64
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Insert,
    Select,
    Text,
    Update,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.given import as_it_is, written
from models.outbound import Networks, public_url
from models.record import OfBusiness, Record, generated_id, stamped
from models.refusal import InvalidInput
from models.relation import rows
from models.text import BREAKS, name
from models.viewer import Viewer

OVERLAP = timedelta(hours=24)
"""For how long what a secret was replaced by signs beside it."""
MOST_TYPES, LONGEST_TYPE, LONGEST_DOCUMENT = 100, 100, 8000
_TYPE = re.compile(r"[a-z][a-z_]*(?:\.[a-z][a-z_]*)*(?:\.v[0-9]{1,3}|\.\*)|\*")
_SECRET_BYTES = 32


class DisabledReason(StrEnum):
    """Why nothing is sent: somebody ASKED; it answered 410, GONE; FAILING for 5 days; OVERFLOWING, as 100,000 waited."""

    ASKED = "ASKED"
    GONE = "GONE"
    FAILING = "FAILING"
    OVERFLOWING = "OVERFLOWING"


class WebhookEndpoint(OfBusiness, Record):
    """An address that events are sent to, and which ones."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="endpoint_of_business"),
        CheckConstraint("length(url) BETWEEN 1 AND 2001", name="endpoint_has_an_address"),
        CheckConstraint("cardinality(event_types) BETWEEN 1 AND 100", name="event_types_are_few"),
        CheckConstraint("length(document) BETWEEN 1 AND 8000", name="document_is_short"),
        CheckConstraint(
            "enabled = (disabled_reason IS NULL) AND disabled_reason IN ('ASKED', 'GONE', 'FAILING', 'OVERFLOWING')",
            name="disabled_for_a_reason",
        ),
    )

    url: Mapped[str]
    description: Mapped[str | None]
    event_types: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    document: Mapped[str | None]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    disabled_reason: Mapped[str | None]
    rotated_at: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]


class WebhookSecret(Record):
    """What an endpoint's messages are signed with; the one without an end is the current one."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "endpoint_id"],
            ["webhook_endpoints.business_id", "webhook_endpoints.id"],
            name="secret_of_endpoint",
            ondelete="CASCADE",
        ),
        CheckConstraint("secret ~ '^whsec_[A-Za-z0-9+/]{43}=$'", name="secret_is_long"),
        Index("secrets_of_endpoint", "business_id", "endpoint_id"),
        Index(
            "one_secret_is_current",
            "business_id",
            "endpoint_id",
            unique=True,
            postgresql_where=text("expires_at IS NULL"),
        ),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    endpoint_id: Mapped[UUID]
    secret: Mapped[str]
    created_at: Mapped[datetime] = stamped()
    expires_at: Mapped[datetime | None]


@dataclass(frozen=True)
class Wanted:
    """What a list of endpoints is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ("enabled",)

    enabled: bool | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the endpoints that are wanted."""
    statement = rows(WebhookEndpoint, viewer)
    if wanted.enabled is None:
        return statement
    return statement.where(WebhookEndpoint.enabled if wanted.enabled else ~WebhookEndpoint.enabled)


def event_types(value: Sequence[str], field: str) -> list[str]:
    """Check which events are wanted: their types, or how they begin, with a star for the rest."""
    if not 1 <= len(value) <= MOST_TYPES:
        raise InvalidInput(field, problem=f"Name 1 to {MOST_TYPES} types of events; leave them out for all.")
    for n, each in enumerate(value):
        if len(each) > LONGEST_TYPE or not _TYPE.fullmatch(each):
            like = "scheduling.reservation.confirmed.v1 or scheduling.reservation.*"
            raise InvalidInput(field, n, problem=f"This is no type of an event; write it like {like}.")
    return list(dict.fromkeys(value))


def description(value: str, field: str) -> str:
    return name(value, field, allowed=BREAKS)


def url_within(value: str, allowed: Networks) -> str:
    """Check the address, once it is known which private networks the operator allows."""
    return public_url(value, "url", allowed=allowed)


FIELDS = {
    "url": written("url", as_it_is, is_needed=True),
    "description": written("description", description),
    "event_types": written("event_types", event_types),
    "document": written("document", as_it_is),
    "enabled": written("enabled", as_it_is, is_needed=True),
}
"""How what is given of an endpoint is read; its address and its document are checked by whoever knows more."""


def new_secret() -> str:
    """Make a secret as the Standard Webhooks write it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


def keep_secret(business: UUID, endpoint: UUID, secret: str) -> Insert:
    """Write the current secret of an endpoint, which has none."""
    return insert(WebhookSecret).values(business_id=business, endpoint_id=endpoint, secret=secret)


def retire_secret(business: UUID, endpoint: UUID) -> Update:
    """Let the current secret end, a while from now, and those before it at once: two sign at most."""
    of_endpoint = (WebhookSecret.business_id == business, WebhookSecret.endpoint_id == endpoint)
    ends = func.clock_timestamp()
    return (
        update(WebhookSecret)
        .values(
            expires_at=text(
                "CASE WHEN expires_at IS NULL THEN clock_timestamp() + :overlap ELSE least(expires_at, clock_timestamp()) END"
            ).bindparams(overlap=OVERLAP)
        )
        .where(*of_endpoint, or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > ends))
    )


def current_secret(business: UUID, endpoint: UUID) -> Select[Any]:
    shown: list[Any] = [WebhookSecret.secret]
    return select(*shown).where(
        WebhookSecret.business_id == business,
        WebhookSecret.endpoint_id == endpoint,
        WebhookSecret.expires_at.is_(None),
    )


def secrets_of(business: UUID, endpoints: Sequence[UUID]) -> Select[Any]:
    """Select what signs the messages of endpoints now, the current secret of each first."""
    shown: list[Any] = [WebhookSecret.endpoint_id, WebhookSecret.secret]
    return (
        select(*shown)
        .where(
            WebhookSecret.business_id == business,
            WebhookSecret.endpoint_id.in_(endpoints),
            or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > func.clock_timestamp()),
        )
        .order_by(WebhookSecret.endpoint_id, WebhookSecret.expires_at.desc().nulls_first())
    )
