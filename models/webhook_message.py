"""Webhook messages: what is sent, signed after the Standard Webhooks, and when it is sent again."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from standardwebhooks import Webhook

from models.event import envelope
from models.node_id import encode

PAUSES = tuple(
    timedelta(**pause)
    for pause in (
        *({"seconds": 5}, {"minutes": 5}, {"minutes": 30}, {"hours": 2}, {"hours": 5}),
        *({"hours": 10}, {"hours": 14}, {"hours": 20}, {"hours": 24}),
    )
)
"""How long to wait after each attempt that failed, 75 hours and a half in all; after one more there is no other."""
JITTER = 0.2
LONGEST_PAUSE = timedelta(hours=24)
LONGEST_ERROR = 500


def variables(event: Any, type_name: str) -> dict[str, Any]:
    """What a stored document may ask about: the thing that an event is of, and the event."""
    told = envelope(event)
    return {
        "id": encode(type_name, event.aggregate_id),
        "eventId": told["id"],
        "type": told["type"],
        "occurredAt": told["occurred_at"],
    }


def body(event: Any, answered: Mapping[str, Any] | None) -> str:
    """Write a message: the envelope, with the answer to the stored document for data, or with why there is none."""
    told = envelope(event)
    if answered is not None and "errors" in answered:
        told["errors"] = answered["errors"]
    elif answered is not None:
        told["data"] = answered["data"]
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), default=str)


def headers(event: Any, now: datetime, text: str, secrets: Sequence[str]) -> dict[str, str]:
    """Sign a message with each secret that is valid; whoever knows one of them can tell that it is ours."""
    key, at = str(event.id), now.astimezone(UTC)
    told = {
        "content-type": "application/json",
        "webhook-id": key,
        "webhook-timestamp": str(int(at.timestamp())),
    }
    if secrets:
        told["webhook-signature"] = " ".join(Webhook(secret).sign(key, at, text) for secret in secrets)
    return told


def pause_after(attempt: int, chance: float, retry_after: str | None = None) -> timedelta | None:
    """How long to wait after the so-manieth attempt, which failed; nothing, if it was the last one.

    `chance`, from 0 to 1, scatters it by a fifth. A receiver may ask for more time, at most a day.
    """
    if attempt > len(PAUSES):
        return None
    usual = PAUSES[attempt - 1] * (1 - JITTER + 2 * JITTER * chance)
    return max(usual, min(asked_for(retry_after, datetime.now(UTC)), LONGEST_PAUSE))


def asked_for(retry_after: str | None, now: datetime) -> timedelta:
    """Read how long a receiver wants to be left alone (RFC 9110, 10.2.3)."""
    told = (retry_after or "").strip()[:100]
    if told.isascii() and told.isdigit():
        return timedelta(seconds=min(int(told), 10**7))
    try:
        at = parsedate_to_datetime(told)
        return max(timedelta(0), (at if at.tzinfo else at.replace(tzinfo=UTC)) - now)
    except (ValueError, TypeError, ArithmeticError, LookupError):  # what strangers write has no end
        return timedelta(0)
