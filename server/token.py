"""Bearer tokens of an OpenID Connect issuer: whose signature counts, and what a token must say (RFC 8725, RFC 9068)."""

import asyncio
import json
import logging
import re
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from hashlib import sha256
from math import inf
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from jwt import PyJWK, PyJWS, PyJWTError

from server.channels.issuer import FetchError, fetched

Clock = Callable[[], float]
Fetch = Callable[[str], Mapping[str, Any]]

# What may sign: an algorithm, and the only kind of key that it takes.
KINDS = {"RS256": ("RSA", None), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
PARTS = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
LONGEST_TOKEN, LONGEST_KID, LONGEST_SUBJECT = 8_000, 200, 255
LEEWAY = 10
LATEST_TIME = 1e12  # no date is later: what is larger is a mistake

# Seconds: for how long keys are as good as new, and good for want of newer ones; how soon the issuer is asked again
# after it failed to answer, or for the sake of a key that it did not know.
FRESH, STALE = 600, 86_400
RETRIED, ASKED_ANEW = 5, 30

REMEMBERED, REMEMBERED_FOR = 4_096, 60

log = logging.getLogger("holdfast.token")


class TokenRefusedError(Exception):
    """Why a token is refused: for the log, so it quotes nothing of the token, and never for the client."""


class IssuerUnreachableError(Exception):
    """Why nobody can say whether a token is good: there are no keys to tell it by."""


class Verified(NamedTuple):
    """What a token says, and from when until when it need not be verified again."""

    since: float
    until: float
    claims: Mapping[str, Any]


class Tokens:
    """Verifies tokens of one issuer that are meant for us."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        types: Collection[str] = ("at+jwt",),
        fetch: Fetch = fetched,
        clock: Clock = time.time,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.types = {_short(kind) for kind in types}
        self.clock = clock
        self.keys = Keys(issuer, fetch, clock)
        self._signatures = PyJWS(algorithms=[*KINDS])
        self._remembered: OrderedDict[bytes, Verified] = OrderedDict()

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Tell what a good token says, and refuse any other."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise TokenRefusedError("it is too long, or not of ASCII")
        digest, now = sha256(token.encode()).digest(), self.clock()
        known = self._remembered.get(digest)
        if known is None or not known.since <= now < known.until:
            known = await self._verified(token)
            self._remembered[digest] = known
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(digest)
        return known.claims

    async def _verified(self, token: str) -> Verified:
        parts = PARTS.fullmatch(token)
        if parts is None:
            raise TokenRefusedError("it is not a signed JSON Web Token")
        algorithm, kid = self._heading(_object(_decoded(parts[1])))
        key = await self.keys.find(algorithm, kid)
        try:
            signed = self._signatures.decode_complete(token, key, [algorithm])
        except PyJWTError:
            raise TokenRefusedError("its signature is not one of the issuer") from None
        claims, now = _object(signed["payload"]), self.clock()
        for fault in self._faults(claims, now):
            raise TokenRefusedError(fault)
        return Verified(now, min(claims["exp"], now + REMEMBERED_FOR), MappingProxyType(claims))

    def _heading(self, header: dict[str, Any]) -> tuple[str, str | None]:
        """The algorithm and the key's name; where a header carries or names a key itself, nobody looks at it."""
        algorithm, kind, kid = header.get("alg"), header.get("typ"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in KINDS:
            raise TokenRefusedError("its algorithm is not allowed")
        if not isinstance(kind, str) or _short(kind) not in self.types:
            raise TokenRefusedError("it is of another type")
        if "crit" in header or "b64" in header:
            raise TokenRefusedError("it demands an extension")
        if "kid" in header and not (isinstance(kid, str) and len(kid) <= LONGEST_KID):
            raise TokenRefusedError("the name of its key is not one")
        return algorithm, kid

    def _faults(self, claims: dict[str, Any], now: float) -> Iterator[str]:
        if claims.get("iss") != self.issuer:
            yield "it is of another issuer"
        if not _is_for(self.audience, claims.get("aud")):
            yield "it is for another audience"
        if not _is_subject(claims.get("sub")):
            yield "it has no good subject"
        if not _is_time(claims.get("exp")) or claims["exp"] + LEEWAY <= now:
            yield "it has expired, or never does"
        for name in ("nbf", "iat"):
            if name in claims and not (_is_time(claims[name]) and claims[name] <= now + LEEWAY):
                yield f"its {name} is not a time that has come"


class Keys:
    """The keys of an issuer: found by discovery, kept for a while, and asked for again when one is missing."""

    def __init__(self, issuer: str, fetch: Fetch, clock: Clock) -> None:
        self.issuer = issuer
        self.fetch = fetch
        self.clock = clock
        self._known: tuple[PyJWK, ...] = ()
        self._fetched = self._tried = self._asked_anew = -inf
        self._problem: str | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, kid: str | None) -> PyJWK:
        """Find the one key that fits; without a name, there must be no other."""
        await self._refresh()
        found = self._fitting(algorithm, kid)
        if not found and self._is_worth_asking_anew():
            await asyncio.shield(self._fetch_once())
            found = self._fitting(algorithm, kid)
        if len(found) != 1:
            raise TokenRefusedError("no key of the issuer fits it, or more than one does")
        return found[0]

    def _is_worth_asking_anew(self) -> bool:
        """Whether an unknown key is to be fetched: anybody can make up names of keys, and must not tire the issuer."""
        if self._fetching is not None:
            return True
        if self._is_within(ASKED_ANEW, self._asked_anew):
            return False
        self._asked_anew = self.clock()
        return True

    def _fitting(self, algorithm: str, kid: str | None) -> list[PyJWK]:
        return [key for key in self._known if key.algorithm_name == algorithm and kid in (None, key.key_id)]

    async def _refresh(self) -> None:
        """See to it that keys are known, new ones if possible; once the issuer is known to be down, nobody waits for it."""
        if self._is_within(FRESH, self._fetched):
            return
        is_waiting = self._problem is None or not self._is_within(STALE, self._fetched)
        if self._problem is None or self._fetching is not None or not self._is_within(RETRIED, self._tried):
            fetching = self._fetch_once()
            if is_waiting:
                await asyncio.shield(fetching)
        if not self._is_within(STALE, self._fetched):
            raise IssuerUnreachableError(self._problem)

    def _is_within(self, seconds: float, moment: float) -> bool:
        return abs(self.clock() - moment) < seconds  # a clock that was set back makes nothing last for ever

    def _fetch_once(self) -> asyncio.Task[None]:
        """The fetch that is under way: one for all who need it, and it goes on when the first of them gives up."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        self._tried = began = self.clock()
        try:
            self._known = await asyncio.to_thread(self._published)
            self._fetched, self._problem = began, None
        except FetchError as problem:
            self._problem = str(problem)
            log.warning("The keys of the issuer are out of reach.", extra={"problem": self._problem})
        finally:
            self._fetching = None

    def _published(self) -> tuple[PyJWK, ...]:
        """Every key that the issuer publishes for what we need one for (OpenID Connect Discovery 1.0)."""
        discovered = self.fetch(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if discovered.get("issuer") != self.issuer:
            raise FetchError("what was discovered is of another issuer")
        address = discovered.get("jwks_uri")
        keys = self.fetch(address).get("keys") if isinstance(address, str) else None
        if not isinstance(keys, list):
            raise FetchError("it publishes no keys")
        return tuple(key for published in keys if (key := _key(published)))


def _key(published: Any) -> PyJWK | None:
    """A key that may sign tokens, if it is one; whose private half is published too signs for everybody."""
    if not isinstance(published, dict) or "d" in published:
        return None
    kind = (published.get("kty"), published.get("crv"))
    algorithm = next((name for name, taken in KINDS.items() if taken == kind), None)
    operations = published.get("key_ops", ["verify"])
    is_for_signing = published.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    if algorithm is None or published.get("alg", algorithm) != algorithm or not is_for_signing:
        return None
    try:
        key = PyJWK(published, algorithm)
    except PyJWTError:
        return None
    return None if key.Algorithm.check_key_length(key.key) else key


def _short(kind: str) -> str:
    """A media type as tokens write it (RFC 7515, 4.1.9)."""
    return kind.lower().removeprefix("application/")


def _decoded(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise TokenRefusedError("it is not written in base64url") from None


def _object(text: bytes) -> dict[str, Any]:
    """Read a JSON object with valid text and no name twice: readers disagree which of the two would count."""
    try:
        value = orjson.loads(text)
        json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise TokenRefusedError("it is not written in good JSON") from None
    if not isinstance(value, dict):
        raise TokenRefusedError("it holds no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _is_for(audience: str, named: Any) -> bool:
    everyone = [named] if isinstance(named, str) else named
    return isinstance(everyone, list) and all(isinstance(one, str) for one in everyone) and audience in everyone


def _is_subject(value: Any) -> bool:
    is_short = isinstance(value, str) and 0 < len(value) <= LONGEST_SUBJECT
    return is_short and value.isprintable() and not value.isspace()


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LATEST_TIME
