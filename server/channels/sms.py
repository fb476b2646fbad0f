"""SMS: a message is handed to the gateway of the settings, as JSON over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from server.channels.delivery import PostponedError, UndeliverableError

PATIENCE = 15.0
LATER = (408, 425, 429)  # it may be taken the next time
OURS = (401, 403, 404)  # the setting is wrong, not the message


@dataclass(frozen=True)
class Sms:
    """What is sent, and to whom; `reference` tells a message that came twice from two messages."""

    reference: str
    number: str
    text: str


class Gateway:
    """The gateway at an address of the operator's; it follows no redirect."""

    def __init__(self, client: httpx2.AsyncClient, address: str) -> None:
        self._client, self._address = client, address

    async def send(self, sms: Sms) -> None:
        """Hand a message over; or say whether it may be another time, or never."""
        body = {"id": sms.reference, "to": sms.number, "text": sms.text}
        try:
            answer = await self._client.post(self._address, json=body, headers={"idempotency-key": sms.reference})
        except httpx2.HTTPError as problem:
            told = f"The gateway could not be talked to ({type(problem).__name__})."
            raise PostponedError(told, is_down=isinstance(problem, httpx2.ConnectError)) from None
        status, told = answer.status_code, f"The gateway answered {answer.status_code}."
        if status in OURS or 300 <= status < 400:
            raise PostponedError(told, is_down=True)
        if status in LATER or status >= 500:
            raise PostponedError(told)
        if status >= 400:
            raise UndeliverableError(told)


@asynccontextmanager
async def gateway(address: str, token: str | None) -> AsyncIterator[Gateway]:
    """Send messages by one client."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE, follow_redirects=False, trust_env=False) as client:
        yield Gateway(client, address)
