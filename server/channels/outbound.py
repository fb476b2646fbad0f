"""What this server asks of addresses that others gave it: over HTTP, of public hosts only, in good time and size."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import TypedDict, Unpack
from urllib.parse import urlsplit

import httpcore2

from models.outbound import Networks, is_callable

MOST_CONNECTIONS = 100
SECONDS_TO_CONNECT = 5.0  # to each of the addresses of a host
SECONDS_TO_RESOLVE = 5.0
# A thread whose name server is silent is held for longer than anybody waits for it. These are for nothing else, and more
# than those can hold whom a few slots are given.
RESOLVING = ThreadPoolExecutor(64, "resolving")
AGENT = "Holdfast"

Resolve = Callable[[str, int], Awaitable[list[str]]]


class BlockedError(Exception):
    """Why an address is not called at all."""


class UnreachableError(Exception):
    """Why nothing was answered."""


class Bounds(TypedDict, total=False):
    """How long a request may take from beginning to end, and how many bytes of the answer are read."""

    seconds: float
    largest: int


@dataclass(frozen=True)
class Reply:
    """What was answered: the names of headers are lower case, and a longer body is cut off where our patience ends."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool = True


async def resolved(host: str, port: int) -> list[str]:
    """Ask the system which addresses a name has, in its order of preference."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        async with asyncio.timeout(SECONDS_TO_RESOLVE):
            found = await asyncio.get_running_loop().run_in_executor(RESOLVING, ask)
    except TimeoutError:
        raise OSError("the name servers do not answer") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Outbound:
    """A client that can be told by anybody whom to call.

    It follows no redirect, knows no proxy, keeps no cookie and no connection. A name is resolved once for each
    connection, all its addresses are checked, and a checked address itself is connected to, so that a name that
    means another host a moment later gains nothing; TLS still verifies the name.
    """

    def __init__(
        self, allowed: Networks = (), *, resolve: Resolve = resolved, tls: ssl.SSLContext | None = None
    ) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or httpcore2.default_ssl_context(),
            network_backend=_Guarded(allowed, resolve),
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=0,
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        **bounds: Unpack[Bounds],
    ) -> Reply:
        """Ask once; whatever is answered is an answer, a redirect too."""
        seconds = bounds.get("seconds", 10.0)
        told = {"user-agent": AGENT, "accept-encoding": "identity", **(headers or {})}
        host = _host(url)
        try:
            async with asyncio.timeout(seconds):
                return await self._answered(method, url, list(told.items()), content, bounds.get("largest", 100_000))
        except (TimeoutError, httpcore2.TimeoutException):
            raise UnreachableError(f"{host} did not answer within {seconds:g} seconds.") from None
        except httpcore2.ConnectError as problem:
            raise UnreachableError(_connecting(host, problem)) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError):
            raise UnreachableError(f"{host} broke off, or does not speak HTTP.") from None

    async def _answered(
        self, method: str, url: str, headers: list[tuple[str, str]], content: bytes, largest: int
    ) -> Reply:
        async with self._pool.stream(method, url, headers=headers, content=content) as response:
            body = await _read(response, largest)
            named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            return Reply(response.status, named, body[:largest], len(body) <= largest)


async def _read(response: httpcore2.Response, largest: int) -> bytes:
    """Read an answer until it is over, or longer than it may be."""
    body = bytearray()
    async with aclosing(response.aiter_stream()) as parts:
        async for part in parts:
            body += part
            if len(body) > largest:
                break
    return bytes(body)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or not url.isascii() or parts.scheme not in ("http", "https"):
        raise BlockedError("This is not an address of http or https.")
    return host


def _connecting(host: str, problem: BaseException) -> str:
    causes = [problem]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes):
        return f"{host} shows a certificate that is not valid for it."
    if any(isinstance(each, ssl.SSLError) for each in causes):
        return f"{host} does not speak TLS as we do."
    return f"{host} cannot be connected to."


class _Guarded(httpcore2.AnyIOBackend):
    """Connects to what has been checked, and to nothing else."""

    def __init__(self, allowed: Networks, resolve: Resolve) -> None:
        self._allowed, self._resolve = allowed, resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 -- as the library calls it
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failed: Exception = httpcore2.ConnectError("no address")
        for address in await self._checked(host, port):
            try:
                return await super().connect_tcp(address, port, SECONDS_TO_CONNECT, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as problem:
                failed = problem
        raise failed

    async def connect_unix_socket(self, *_given: object, **_more: object) -> httpcore2.AsyncNetworkStream:
        raise BlockedError("Only other hosts are called.")

    async def _checked(self, host: str, port: int) -> list[str]:
        """Refuse a host if any of its addresses is not for us: which one it would be is not a matter of luck."""
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise httpcore2.ConnectError("the name is not known") from None
        for address in addresses:
            if not is_callable(ip_address(address.partition("%")[0]), self._allowed):
                raise BlockedError(f"{host} is an address of a private network, which is not called.")
        return addresses
