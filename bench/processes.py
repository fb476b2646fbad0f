"""Processes: starting what is measured, where it runs, and reading what it costs."""

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg

ROOT = Path(__file__).parent.parent
TICK = os.sysconf("SC_CLK_TCK")
# Enough for everybody's connections at once, and for the table to stay in memory.
POSTGRES = {"shared_buffers": "1GB", "max_wal_size": "8GB", "max_connections": "400"}
Cores = frozenset[int]


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "BACKGROUND": "off", **more}


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


def family(parent: int) -> list[int]:
    """A process and those that it has started, directly or not."""
    found = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    parents = {int(pid): int(ppid) for pid, ppid in (line.split() for line in found.splitlines())}
    below = {parent}
    while more := {pid for pid, ppid in parents.items() if ppid in below} - below:
        below |= more
    return sorted(below)


def postgres_processes(url: str) -> list[int]:
    """The postmaster and its backends."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_setting('data_directory')").fetchone()
    assert row is not None
    return family(int(Path(row[0], "postmaster.pid").read_text().split()[0]))


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def all_cores() -> Cores:
    return frozenset(os.sched_getaffinity(0))


def pin(processes: list[int], cores: Cores) -> None:
    """Move running processes to these cores; what they start later stays there too."""
    for process in processes:
        try:
            os.sched_setaffinity(process, cores)
        except ProcessLookupError:
            continue


def machine(url: str) -> dict[str, Any]:
    """Tell on what all of it runs."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    return {"cores": len(all_cores()), "python": platform.python_version(), "postgres": row[0]}


@contextmanager
def on(cores: Cores) -> Iterator[None]:
    """Start processes that stay on these cores: they inherit ours."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def started(command: list[str], **more: str) -> Iterator[int]:
    """A server process, until it is no longer measured."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=environment(**more), stdout=quiet, stderr=quiet)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def wait(port: int) -> None:
    """Wait until somebody answers there, whatever the answer."""
    for _ in range(600):
        try:
            httpx2.get(f"http://127.0.0.1:{port}/")
        except httpx2.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"Nobody listens on port {port}.")
