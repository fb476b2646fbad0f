"""Ports for servers that have to be told theirs before they begin, or that come back to it."""

import socket
from contextlib import suppress
from random import SystemRandom


def free_port() -> int:
    """A port on loopback that is nobody's, and that no connection of others gets by chance: theirs are higher."""
    while True:
        port = SystemRandom().randrange(10_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
