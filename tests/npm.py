"""Packages of npm that tests run in Node.js: installed once, and kept."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT


def installed(packages: Sequence[str], what: str) -> Path:
    """The folder that has the packages; without Node.js a test is skipped, and fails where CI is set."""
    folder = ROOT / ".data" / "npm" / "-".join(package.replace("@", "-").replace("/", "-") for package in packages)
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        _do_without(f"{' and '.join(missing)} missing: {what} in Node.js")
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            _do_without(f"npm could not install it: {done.stderr[-500:]}")
        (folder / "installed").touch()
    return folder


def _do_without(reason: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
