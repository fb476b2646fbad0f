"""Email: how a message becomes a mail, and how it is handed to the mail server of the settings."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from email.utils import localtime

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from server.channels.delivery import PostponedError, UndeliverableError
from server.mail_server import MailServer

PATIENCE, LONGEST = 10.0, 25.0  # seconds for each answer of the server, and for a mail
_SPECIAL = re.compile(r"[\x00-\x20\x7f<>()\[\],;:@\"\\]")  # what an address of one word has none of
LONGEST_NAME = 60  # of a sender: what is longer, mail programs cut off


@dataclass(frozen=True)
class Mail:
    """What is sent, to whom and as whom; `reference` tells a message that came twice from two messages."""

    reference: str
    sender: str
    address: str
    subject: str
    text: str
    html: str
    language: str
    calendar: bytes | None = None


class Mailer:
    """A connection to a mail server, which is opened when the first mail is sent."""

    def __init__(self, server: MailServer, origin: str) -> None:
        self.origin = origin
        self._server = server
        self._smtp: SMTP | None = None

    async def send(self, mail: Mail) -> None:
        """Hand a mail over; or say whether it may be another time, or never."""
        written = write(mail, self.origin)
        recipient: str = written["To"].addresses[0].addr_spec
        is_plain = recipient.isascii()
        content = written.as_bytes(policy=POLICY.clone(utf8=not is_plain))
        options = () if is_plain else ("SMTPUTF8",)
        try:
            async with asyncio.timeout(LONGEST):
                smtp = await self._opened()
                await smtp.sendmail(self.origin, [recipient], content, mail_options=options)
        except (SMTPConnectError, SMTPAuthenticationError) as problem:
            await self.close()
            raise PostponedError(_told(problem), is_down=True) from None
        except SMTPNotSupported:
            raise UndeliverableError("The mail server takes no such address.") from None
        except (SMTPException, OSError, ValueError) as problem:
            raise await self._failed(problem) from None

    async def _failed(self, problem: Exception) -> Exception:
        if isinstance(problem, SMTPRecipientsRefused):
            problem = problem.recipients[0]
        if not isinstance(problem, SMTPResponseException):
            await self.close()
            return PostponedError(_told(problem))
        if problem.code >= 500:
            return UndeliverableError(_told(problem))
        return PostponedError(_told(problem))

    async def _opened(self) -> SMTP:
        if self._smtp is None or not self._smtp.is_connected:
            server = self._server
            smtp = SMTP(
                hostname=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.use_tls,
                start_tls=server.start_tls,
                timeout=PATIENCE,
            )
            try:
                await smtp.connect()
            except BaseException:
                smtp.close()
                raise
            self._smtp = smtp
        return self._smtp

    async def close(self) -> None:
        """Say goodbye, if the server still listens."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None and smtp.is_connected:
            with suppress(SMTPException, OSError):
                await smtp.quit(timeout=1)
            smtp.close()


@asynccontextmanager
async def mailer(server: MailServer, origin: str) -> AsyncIterator[Mailer]:
    """Send mails by one connection."""
    opened = Mailer(server, origin)
    try:
        yield opened
    finally:
        await opened.close()


def write(mail: Mail, origin: str) -> EmailMessage:
    """Write a mail as text and as HTML; no value can add a header or a recipient."""
    message = EmailMessage(policy=POLICY)
    try:
        message["To"] = _recipient(mail.address)
        message["From"] = Address(display_name=mail.sender[:LONGEST_NAME], addr_spec=origin)
        message["Subject"] = mail.subject
    except (MessageError, ValueError, LookupError):
        raise UndeliverableError("This is no address that a mail can be sent to.") from None
    message["Date"] = localtime()
    message["Message-ID"] = f"<{mail.reference}@{origin.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    if mail.calendar is not None:
        message.add_attachment(mail.calendar, maintype="text", subtype="calendar", filename="appointment.ics")
    message["Content-Language"] = mail.language  # at the end: content that is set takes such headers with it
    return message


def _recipient(address: str) -> Address:
    """One address and nothing else. The name of a host travels in ASCII (RFC 5891), what stands before it as it is."""
    local, _, domain = address.rpartition("@")
    if _SPECIAL.search(local) or not local.strip("."):
        raise ValueError
    host = domain.encode("idna").decode("ascii")
    return Address(username=local, domain=host) if not local.isascii() else Address(addr_spec=f"{local}@{host}")


def _told(problem: Exception) -> str:
    """Say what went wrong without the server's own words, which may name an address."""
    if isinstance(problem, SMTPResponseException):
        return f"The mail server answered {problem.code}."
    return f"The mail server could not be talked to ({type(problem).__name__})."
