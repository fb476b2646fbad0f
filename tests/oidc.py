"""A real OpenID provider, in a process of its own: it gives tokens that claim whatever a test has them claim."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.ports import free_port

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "tests" / "server" / "oidc_provider"
AUDIENCE = "https://holdfast.example.com"
CLIENT = ("practice", "not-a-secret-of-anybody")


def installed() -> Path:
    """The folder that has the provider's packages, installed once and kept."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        _unavailable(f"{' and '.join(missing)} missing: the OpenID provider runs in Node.js")
    ((name, version),) = json.loads((PROGRAM / "package.json").read_text())["dependencies"].items()
    folder = ROOT / ".data" / "npm" / f"{name}-{version}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as fresh:
        shutil.copy(PROGRAM / "package.json", fresh)
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", fresh]
        done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            _unavailable(f"npm could not install the OpenID provider: {done.stderr[-500:]}")
        try:
            Path(fresh).rename(folder)
        except OSError:  # another process was faster
            assert folder.exists()
    return folder


def _unavailable(reason: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


class OidcProvider:
    """The provider: its issuer, its keys, and the tokens that it gives."""

    def __init__(self, folder: Path) -> None:
        self.packages = installed()
        self.keys_file, self.log = folder / "keys.json", folder / "provider.log"
        self.port = free_port()
        self.issuer = f"http://localhost:{self.port}"
        self.private: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it with new keys."""
        self.private = {
            "RS256": rsa.generate_private_key(65537, 2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }
        keys = [jwt.get_algorithm_by_name(name).to_jwk(key, as_dict=True) for name, key in self.private.items()]
        for key in keys:
            key.pop("key_ops", None)  # "sign": the provider would say so of the public half too
        self.keys_file.write_text(json.dumps({"keys": keys}))
        command = ["node", str(PROGRAM / "server.mjs"), str(self.packages), str(self.port), str(self.keys_file)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        for _ in range(600):
            if f"serves {self.issuer}" in self.log.read_text():
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def rotate(self) -> None:
        """Start it again, with other keys."""
        self.stop()
        self.start()

    def token(self, audience: str | None = AUDIENCE, algorithm: str = "RS256", **said: Any) -> str:
        """Get a token by HTTP: of a `subject`, with `claims`, in a `format`."""
        form = {"grant_type": "client_credentials", "said": json.dumps({"algorithm": algorithm, **said})}
        if audience is not None:
            form["resource"] = audience
        answer = httpx2.post(f"{self.issuer}/token", data=form, auth=CLIENT)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token


@contextmanager
def providing(folder: Path) -> Iterator[OidcProvider]:
    """An OpenID provider that runs, and writes into a folder."""
    provider = OidcProvider(folder)
    try:
        provider.start()
        yield provider
    finally:
        provider.stop()
