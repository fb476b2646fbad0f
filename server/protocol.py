"""HTTP on a connection, as uvicorn speaks it, but with the head and the body of an answer in one packet."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Gathering:
    """A transport that writes once in a turn of the event loop: each write would be a packet, and wake the client."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            asyncio.get_running_loop().call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._transport.write(data)


class Protocol(HttpToolsProtocol):
    """What each connection is given. An answer may leave word, in the state of its request, to be told when it has to end."""

    def connection_made(self, transport: Any) -> None:
        self.app_state = {**self.app_state, "abort": transport.abort}
        super().connection_made(Gathering(transport))  # type: ignore[arg-type]

    def shutdown(self) -> None:
        super().shutdown()
        if self.cycle is not None and (end := self.cycle.scope["state"].get("ending")):
            end()
