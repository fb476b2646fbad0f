"""Balance: whose connection it is, so that every worker of a server gets its share, as a load balancer would see to.

Workers that share a listening socket take what they can get: with few connections, one of them may get all.
"""

import os
import socket
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

TRIES = 40
SECONDS_TO_ACCEPT = 5
ESTABLISHED = "01"


def connections(port: int, count: int, share: int, processes: list[int]) -> list[socket.socket]:
    """Open connections to a server, of which each of its processes accepts no more than its share, if it can be."""
    opened: list[socket.socket] = []
    owned: Counter[int] = Counter()
    refused = 0
    while len(opened) < count:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        owner = _owner(connection, processes) if share < count else 0
        if owned[owner] >= share and refused < TRIES * count:
            refused += 1
            connection.close()
            continue
        owned[owner] += 1
        opened.append(connection)
    return opened


def _owner(connection: socket.socket, processes: list[int]) -> int:
    """The process that has accepted a connection."""
    ends = [f"0100007F:{end[1]:04X}" for end in (connection.getpeername(), connection.getsockname())]
    until = time.monotonic() + SECONDS_TO_ACCEPT
    while time.monotonic() < until:
        for line in Path("/proc/net/tcp").read_text().splitlines():
            fields = line.split()
            if fields[1:3] == ends and fields[3] == ESTABLISHED and fields[9] != "0":
                return _holder(f"socket:[{fields[9]}]", processes)
        time.sleep(0.001)
    raise TimeoutError("The server accepts no connection.")


def _holder(name: str, processes: list[int]) -> int:
    for process in processes:
        with suppress(OSError):
            for file in os.scandir(f"/proc/{process}/fd"):
                with suppress(OSError):
                    if os.readlink(file) == name:  # noqa: PTH115 -- a Path for each file would cost ten times as much
                        return process
    return 0
