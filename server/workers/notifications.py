"""Messages are sent: each is claimed, written, handed over while nothing is locked, and what came of it is recorded."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import letter
from models.calendar_file import Entry, invitation, summary
from models.notification import RETRIES, NotificationStatus, Outcome
from resolvers.database import Database
from resolvers.notifications import claimed, details, record
from server.channels.delivery import PostponedError, UndeliverableError
from server.channels.email import Mail, Mailer, mailer
from server.channels.sms import Gateway, Sms, gateway
from server.message import Message, message, one_line
from server.settings import Settings, current

log = logging.getLogger("holdfast.notifications")
COUNTED = {
    NotificationStatus.QUEUED: "postponed",
    NotificationStatus.SENT: "sent",
    NotificationStatus.LOGGED: "logged",
    NotificationStatus.FAILED: "refused",
    NotificationStatus.DROPPED: "dropped",
}
INVITED = {"CONFIRMED": "CONFIRMED", "RESCHEDULED": "CONFIRMED", "REASSIGNED": "CONFIRMED", "CANCELLED": "CANCELLED"}
"""Which messages bring a calendar file, and what it says of the appointment."""


@dataclass
class Channels:
    """The ways out that are set; `down` tells why one of them takes nothing at the moment, `told` what was sent just now."""

    link: str
    mailer: Mailer | None = None
    gateway: Gateway | None = None
    down: dict[str, str] = field(default_factory=dict)
    told: letter.Told = field(default_factory=letter.Told)


@asynccontextmanager
async def channels(settings: Settings) -> AsyncIterator[Channels]:
    """Open what the settings name; nothing is connected before it is used."""
    async with AsyncExitStack() as stack:
        opened = Channels(settings.public_url)
        if settings.smtp_url is not None and settings.mail_from is not None:
            opened.mailer = await stack.enter_async_context(mailer(settings.smtp_url, settings.mail_from))
        if settings.sms_url is not None:
            opened.gateway = await stack.enter_async_context(gateway(settings.sms_url, settings.sms_token))
        yield opened


async def run_once(database: Database, stopping: asyncio.Event) -> dict[str, int]:
    """Send what is due by the channels of this process."""
    return await send(database, current(), stopping)


async def send(database: Database, settings: Settings, stopping: asyncio.Event) -> dict[str, int]:
    """Send what is due, one batch after the other, until nothing is left that no other worker has in hand."""
    done: Counter[str] = Counter(dict.fromkeys(COUNTED.values(), 0))
    async with channels(settings) as opened:
        while not stopping.is_set() and (batch := await claimed(database)):
            opened.down.clear()
            opened.told = letter.Told()
            for business, ids in batch.items():
                await _send_all(database, business, await details(database, business, ids), opened, done)
    return dict(done)


async def _send_all(
    database: Database, business: UUID, rows: Sequence[Row[Any]], opened: Channels, done: Counter[str]
) -> None:
    for one in letter.letters(rows):
        outcome = await _tried(one, opened)
        await record(database, business, one[0], outcome)
        done[COUNTED[outcome.status]] += 1


async def _tried(rows: Sequence[Row[Any]], opened: Channels) -> Outcome:
    """Try to send what of a message is still wanted and true. One that cannot be written keeps no other waiting."""
    row, (left, obstacle) = rows[0], letter.still_told(rows, opened.told)
    if not left:
        return Outcome(NotificationStatus.DROPPED, obstacle)
    try:
        written = message(left, opened.link)
        status = await _sent(left, written, opened)
    except PostponedError as problem:
        if problem.is_down:
            opened.down[row.channel] = str(problem)
        status = NotificationStatus.QUEUED if row.attempts <= len(RETRIES) else NotificationStatus.FAILED
        return Outcome(status, str(problem))
    except UndeliverableError as refusal:
        return Outcome(NotificationStatus.FAILED, str(refusal))
    except Exception as fault:
        log.exception("a message cannot be written", extra={"notification": row.id, "problem": type(fault).__name__})
        return Outcome(NotificationStatus.FAILED, "It could not be written.")
    opened.told.add(row)
    return Outcome(status, None, written.subject, written.text if row.channel == "EMAIL" else written.sms)


async def _sent(rows: Sequence[Row[Any]], written: Message, opened: Channels) -> NotificationStatus:
    """Send it by its channel; without one, whoever develops reads it in the log and in `notifications`."""
    row = rows[0]
    if row.channel in opened.down:
        raise PostponedError(opened.down[row.channel])
    reference, address = f"{row.event_id}.{row.recipient_id}", letter.address(row) or ""
    if row.channel == "EMAIL" and opened.mailer is not None:
        await opened.mailer.send(_mail(rows, written, reference, address))
        return NotificationStatus.SENT
    if row.channel == "SMS" and opened.gateway is not None:
        await opened.gateway.send(Sms(reference, address, written.sms))
        return NotificationStatus.SENT
    told = {"notification": row.id, "channel": row.channel, "template": row.template, "recipient": row.recipient_id}
    log.info("a message is logged, not sent", extra={**told, "subject": written.subject})
    return NotificationStatus.LOGGED


def _mail(rows: Sequence[Row[Any]], written: Message, reference: str, address: str) -> Mail:
    return Mail(
        reference=reference,
        sender=one_line(rows[0].business_name),
        address=address,
        subject=written.subject,
        text=written.text,
        html=written.html,
        language=written.language,
        calendar=_calendar(rows),
    )


def _calendar(rows: Sequence[Row[Any]]) -> bytes | None:
    """The appointments as a calendar file, in which each change replaces what was there before."""
    status = INVITED.get(rows[0].template)
    return None if status is None else invitation(*(_entry(row, status) for row in rows)).encode()


def _entry(row: Row[Any], status: str) -> Entry:
    whom = f"{row.provider_first_name} {row.provider_last_name}"
    return Entry(
        row.reservation_id,
        row.reservation_version - 1,
        status,
        row.reservation_starts_at,
        row.reservation_ends_at,
        row.event_occurred_at,
        summary(row.service, whom),
        row.location_name,
    )
