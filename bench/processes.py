"""Processes: starting what is measured, and reading what it costs."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg

ROOT = Path(__file__).parent.parent
TICK = os.sysconf("SC_CLK_TCK")


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def cpu(processes: list[int]) -> float:
    """The seconds of CPU that processes, and their children that ended, have used."""
    total = 0
    for process in processes:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICK


def children(parent: int) -> list[int]:
    """The processes that a process has started, directly or not."""
    found = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    parents = {int(pid): int(ppid) for pid, ppid in (line.split() for line in found.splitlines())}
    below = {parent}
    while more := {pid for pid, ppid in parents.items() if ppid in below} - below:
        below |= more
    return sorted(below - {parent})


def postgres_processes(url: str) -> list[int]:
    """The postmaster and its backends."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_setting('data_directory')").fetchone()
    assert row is not None
    postmaster = int(Path(row[0], "postmaster.pid").read_text().split()[0])
    return [postmaster, *children(postmaster)]


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def started(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, until it is no longer measured."""
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def wait(url: str) -> None:
    for _ in range(200):
        try:
            if httpx2.get(url).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)
    raise TimeoutError(url)
