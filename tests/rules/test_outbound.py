"""Only public hosts are called, whatever somebody gives as an address, and whatever a name means by the time it is called."""

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from models.outbound import Networks, is_callable, public_url
from models.refusal import InvalidInput
from server.channels import outbound
from server.channels.outbound import BlockedError, Outbound, UnreachableError
from tests.ports import free_port
from tests.receiver import Message, receiving

LOOPBACK: Networks = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data", "https://169.254.169.254", "https://localhost", "https://a.localhost",
    "https://10.0.0.1", "https://192.168.1.1", "https://172.16.0.1", "https://[::1]", "https://[::ffff:10.0.0.1]",
    "https://[fd00::1]", "https://[fe80::1%25eth0]", "https://2130706433", "https://0177.0.0.1", "https://0x7f.0.0.1",
    "https://0x7f000001", "https://127.1", "https://127.0.0.1", "https://100.64.0.1", "https://8.8.8.8",
    "http://example.com", "https://user:secret@example.com", "https://example.com#x", "https://intranet",
    "https://printer.local", "https://metadata.google.internal", "https://example.com:22", "https://example.com:0",
    "https://example.com:99999", "ftp://example.com", "file:///etc/passwd", "javascript:alert(1)", "example.com", "",
    "https://", "https:///x", "https://exa mple.com", "https://example.com\n", "https://１２７.0.0.1", "https://ex\u2024ample.com",
    "https://example.com\\@10.0.0.1", "https://%31%30.0.0.1", "https://-a.com", "https://a..com", "https://[::1",
    "https://[example.com]", "https://example.com/" + "x" * 2000,
]  # fmt: skip
PRIVATE = (  # noqa: SIM905 -- it is read as a list
    "10.0.0.1 127.0.0.1 169.254.169.254 100.64.0.1 172.31.255.255 192.168.0.1 192.0.0.192 198.18.0.1 203.0.113.1 224.0.0.1"
    " 240.0.0.1 255.255.255.255 0.0.0.0 168.63.129.16 192.88.99.1 ::1 :: fe80::1 fd00:ec2::254 fec0::1 ff02::1 2001:db8::1"
    " 2002:a00:1:: 2001:0:a00::1 3fff::1 64:ff9b::a00:1 64:ff9b:1::808:808 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::127.0.0.1"
).split()
PUBLIC = "8.8.8.8 1.1.1.1 172.32.0.1 100.128.0.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808".split()  # noqa: SIM905


def resolving(*answers: list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    """A resolver that answers differently each time it is asked."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@pytest.mark.parametrize("url", FORBIDDEN, ids=lambda url: url[:40] or "nothing")
def test_what_everybody_cannot_reach_is_no_public_address(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        public_url(url, "input", "url")

    assert refused.value.field == ["input", "url"]
    assert refused.value.sentence.startswith("url must ")
    assert "secret" not in refused.value.sentence


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("http://127.0.0.1:9000/x", True),
        ("http://127.8.9.10/x", True),
        ("http://localhost:9000/", True),
        ("http://[::1]:9000/", True),
        ("https://hooks.corp:9443/", True),
        ("https://hooks.example.com:9443/", True),
        ("http://hooks.corp/", False),
        ("http://10.0.0.1/", False),
        ("https://10.0.0.1/", False),
        ("https://127.1/", False),
        ("https://2130706433/", False),
        ("http://user@127.0.0.1/", False),
    ],
)
def test_the_operator_may_allow_networks(url: str, *, is_fine: bool) -> None:
    if is_fine:
        assert public_url(url, "url", allowed=LOOPBACK) == url
    else:
        with pytest.raises(InvalidInput):
            public_url(url, "url", allowed=LOOPBACK)


def test_no_address_of_a_private_network_is_called() -> None:
    assert [address for address in PRIVATE if is_callable(ip_address(address))] == []
    assert [address for address in PUBLIC if not is_callable(ip_address(address))] == []


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_means_a_private_host_is_not_called(address: str) -> None:
    outbound = Outbound(resolve=resolving([address]))

    with pytest.raises(BlockedError) as blocked:
        await outbound.request("GET", "https://hooks.example.com/")

    assert str(blocked.value) == "hooks.example.com is an address of a private network, which is not called."


async def test_a_name_that_means_a_private_host_too_is_not_called_at_all() -> None:
    async with receiving() as receiver:
        outbound = Outbound(LOOPBACK, resolve=resolving(["127.0.0.1", "10.0.0.1"]))

        with pytest.raises(BlockedError):
            await outbound.request("GET", f"http://hooks.example.com:{receiver.port}/")

        assert receiver.messages == []


async def test_a_name_that_changes_its_meaning_gains_nothing() -> None:
    """It was public when it was looked at first; what is connected to is what was looked at last."""
    async with receiving() as receiver:
        outbound = Outbound(resolve=resolving(["93.184.216.34"], ["127.0.0.1"]))
        guarded = outbound._pool._network_backend

        assert await guarded._checked("hooks.example.com", 80) == ["93.184.216.34"]  # type: ignore[attr-defined]
        with pytest.raises(BlockedError):
            await outbound.request("GET", f"http://hooks.example.com:{receiver.port}/")

        assert receiver.messages == []


async def test_a_name_is_resolved_once_for_a_connection() -> None:
    asked = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async with receiving() as receiver:
        reply = await Outbound(LOOPBACK, resolve=resolve).request("GET", f"http://hooks.example.com:{receiver.port}/")

    assert reply.status == 200
    assert asked == ["hooks.example.com"]
    assert receiver.messages[0].headers["host"] == f"hooks.example.com:{receiver.port}"


@pytest.mark.parametrize(
    "url", ["http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://localhost/", "http://[::1]/"]
)
async def test_a_number_in_disguise_is_not_called(url: str) -> None:
    with pytest.raises(BlockedError):
        await Outbound().request("GET", url)


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async with receiving() as inside, receiving() as receiver:
        receiver.answer = lambda _: (302, {"location": inside.url})

        reply = await Outbound(LOOPBACK).request("GET", receiver.url)

        assert (reply.status, reply.headers["location"]) == (302, inside.url)
        assert inside.messages == []


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")

        reply = await Outbound(LOOPBACK).request("POST", receiver.url, headers={"x-a": "b"}, content=b"ab")

        assert (reply.status, reply.body, reply.is_whole) == (200, b"ok", True)
        (message,) = receiver.messages
        assert (message.path, message.headers["x-a"], message.body) == ("/hook", "b", b"ab")
        assert proxy.messages == []


async def test_who_does_not_answer_in_time_is_not_waited_for() -> None:
    async def never(_: Message) -> int:
        await asyncio.sleep(5)
        return 200

    async with receiving(never) as receiver:
        with pytest.raises(UnreachableError) as told:
            await Outbound(LOOPBACK).request("GET", receiver.url, seconds=0.2)

    assert str(told.value) == "127.0.0.1 did not answer within 0.2 seconds."


async def _raw(port_of: Callable[[int], Awaitable[None]], *parts: bytes, pause: float = 0.0) -> None:
    """Answer these bytes, one after the other, to whoever connects."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        await port_of(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def test_who_sends_byte_by_byte_is_cut_off() -> None:
    async def ask(port: int) -> None:
        with pytest.raises(UnreachableError):
            await Outbound(LOOPBACK).request("GET", f"http://127.0.0.1:{port}/", seconds=0.3)

    await _raw(ask, b"HTTP/1.1 200 x\r\ncontent-length: 1000\r\n\r\n", *([b"x"] * 100), pause=0.05)


async def test_a_long_answer_is_cut_off() -> None:
    async def ask(port: int) -> None:
        reply = await Outbound(LOOPBACK).request("GET", f"http://127.0.0.1:{port}/", largest=10)
        assert (reply.status, reply.body, reply.is_whole) == (200, b"x" * 10, False)

    await _raw(ask, b"HTTP/1.1 200 x\r\ncontent-length: 100000000\r\n\r\n", *([b"x" * 10_000] * 10))


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 x\r\ncontent-length: 10\r\n\r\nab"])
async def test_who_breaks_off_is_told_so(said: bytes) -> None:
    async def ask(port: int) -> None:
        with pytest.raises(UnreachableError) as told:
            await Outbound(LOOPBACK).request("GET", f"http://127.0.0.1:{port}/")
        assert str(told.value) == "127.0.0.1 broke off, or does not speak HTTP."

    await _raw(ask, said)


async def test_who_is_not_there_is_told_so() -> None:
    with pytest.raises(UnreachableError) as told:
        await Outbound(LOOPBACK).request("GET", f"http://127.0.0.1:{free_port()}/")

    assert str(told.value) == "127.0.0.1 cannot be connected to."
    with pytest.raises(UnreachableError) as unknown:
        await Outbound().request("GET", "https://nobody.invalid/")
    assert str(unknown.value) == "nobody.invalid cannot be connected to."


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.com/", "//example.com", "http://[::1", "http://ex\u00e4mple/"]
)
async def test_what_is_no_address_of_http_is_not_called(url: str) -> None:
    with pytest.raises(BlockedError) as told:
        await Outbound(LOOPBACK).request("GET", url)

    assert str(told.value) == "This is not an address of http or https."


def _certified(name: str, folder: Path) -> ssl.SSLContext:
    """A server's TLS, with a certificate of its own for this name, which is written to a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*secret))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def test_the_name_is_verified_though_its_address_is_connected_to(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=_certified("hooks.example.com", tmp_path))
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    outbound = Outbound(LOOPBACK, resolve=resolving(["127.0.0.1"]), tls=trusting)

    assert (await outbound.request("GET", f"https://hooks.example.com:{port}/")).body == b"ok"
    with pytest.raises(UnreachableError) as other:
        await outbound.request("GET", f"https://other.example.com:{port}/")
    with pytest.raises(UnreachableError) as unknown:
        await Outbound(LOOPBACK, resolve=resolving(["127.0.0.1"])).request("GET", f"https://hooks.example.com:{port}/")
    server.close()

    assert str(other.value) == "other.example.com shows a certificate that is not valid for it."
    assert str(unknown.value) == "hooks.example.com shows a certificate that is not valid for it."


async def test_silent_name_servers_hold_up_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, silent = socket.getaddrinfo, Event()

    def ask(host: str, port: int, **more: Any) -> Any:
        if host.startswith("silent"):
            silent.wait(10)
        return asked("127.0.0.1", port, **more)

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    monkeypatch.setattr(outbound, "SECONDS_TO_RESOLVE", 1.0)
    async with receiving() as receiver:
        client = Outbound(LOOPBACK)
        waiting = [client.request("POST", f"http://silent{n}.example:{receiver.port}/") for n in range(20)]
        tasks = [asyncio.create_task(each) for each in waiting]
        await asyncio.sleep(0.05)
        try:
            reply = await client.request("POST", f"http://good.example:{receiver.port}/")
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            silent.set()

    assert reply.status == 200
    assert {type(each) for each in ended} == {UnreachableError}
    assert str(ended[0]) == "silent0.example cannot be connected to."
