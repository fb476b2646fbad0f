"""Peers from npm: installed into a temporary folder, once for a run of the bench, if this machine has node."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bench.processes import say

PEERS = Path(__file__).parent / "peers"
MINUTES = 3


@contextmanager
def cleaned() -> Iterator[None]:
    """Remove what was installed."""
    try:
        yield
    finally:
        if _home.cache_info().currsize:
            shutil.rmtree(_home(), ignore_errors=True)


@cache
def _home() -> Path:
    return Path(tempfile.mkdtemp(prefix="holdfast-peers-"))


@cache
def installed(name: str) -> Path | None:
    """Install a peer; None, after a sentence, if that cannot be done here."""
    if not (shutil.which("node") and shutil.which("npm")):
        say(f"{name} is left out: this machine has no node and npm.")
        return None
    folder = _home() / name
    shutil.copytree(PEERS / name, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=MINUTES * 60)
    except (subprocess.SubprocessError, OSError):
        say(f"{name} is left out: npm could not install it.")
        return None
    return folder
