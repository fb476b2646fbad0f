"""Identity: from what a request carries to a viewer. Of what is wrong with a token, its sender learns nothing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Generic, TypeVar
from uuid import UUID

from models import tenancy
from models.api_key import PREFIX, Token
from models.business import DEFAULT_BUSINESS, LONGEST_HOST
from models.node_id import key_of
from models.refusal import Refusal
from models.viewer import PERSON_OF, Role, Viewer
from resolvers.api_keys import find_viewer
from resolvers.database import Database
from resolvers.recent import Recent
from server.address import is_loopback
from server.request import Asked, BadRequestError
from server.settings import Settings
from server.token import IssuerUnreachableError, TokenRefusedError, Tokens

V = TypeVar("V")
SECONDS_KNOWN = 5.0
MOST_KNOWN = 4096
LONGEST_KEY = 100
NOBODY = "anonymous"
FORWARDED = (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip")
CHALLENGE = ((b"www-authenticate", b'Bearer realm="holdfast", error="invalid_token"'),)
RETRY = ((b"retry-after", b"1"),)
SENTENCE = "The token cannot be used; send another one, or none."


class Lately(Generic[V]):
    """What was found a few seconds ago, which need not be looked for again."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._kept: Recent[Any, list[Any]] = Recent(MOST_KNOWN)

    def get(self, key: Any) -> V | None:
        """What is known of a key; None, if nothing is, or no longer."""
        kept = self._kept.known(key)
        if kept and self.clock() < kept[1]:
            value: V = kept[0]
            return value
        return None

    def keep(self, key: Any, value: V, seconds: float = SECONDS_KNOWN) -> None:
        self._kept.found(key, list)[:] = [value, self.clock() + min(seconds, SECONDS_KNOWN)]

    def clear(self) -> None:
        self._kept = Recent(MOST_KNOWN)


class Identity:
    """Recognises whoever asks; what it has found in the database it believes for five seconds."""

    def __init__(self, settings: Settings, tokens: Tokens | None) -> None:
        self.is_development = settings.is_development
        self.takes_keys = settings.api_keys or settings.is_development
        self.claim = settings.oidc_claim
        self.tokens = tokens
        self.by_key: Lately[Viewer] = Lately()
        self.businesses: Lately[list[tuple[UUID, bool]]] = Lately()

    async def viewer(self, asked: Asked, database: Database) -> Viewer:
        """Say who asks: by a token, or without one the public, or whoever develops on this machine."""
        authorization = asked.header(b"authorization", "")
        if not authorization:
            return await self._anonymous(asked, database)
        try:
            viewer = await self._of_token(authorization, database)
        except TokenRefusedError as refused:  # why is told to the log, and to nobody else
            asked.note(why=str(refused))
            raise BadRequestError(401, "UNAUTHENTICATED", SENTENCE, CHALLENGE) from None
        return await self._operating(viewer, asked, database) if viewer.role is Role.OPERATOR else viewer

    def is_unheard(self, asked: Asked) -> bool:
        """Whether a request shows an API key that was not seen lately."""
        _, _, token = asked.header(b"authorization", "").partition(" ")
        return token.startswith(PREFIX) and self.by_key.get(token) is None

    def forget(self) -> None:
        """Believe nothing of what was found: a key was revoked, or a business changed."""
        self.by_key.clear()
        self.businesses.clear()

    async def _of_token(self, authorization: str, database: Database) -> Viewer:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenRefusedError("it is no bearer token")
        return await (self._of_key if token.startswith(PREFIX) else self._of_issuer)(token, database)

    async def _of_key(self, shown: str, database: Database) -> Viewer:
        viewer = self.by_key.get(shown)
        if viewer is not None:
            return viewer
        token = Token.read(shown) if self.takes_keys and len(shown) <= LONGEST_KEY else None
        if token is None:
            raise TokenRefusedError("it is none of our API keys, or none are accepted")
        found = await find_viewer(database, token)
        if found is None:
            raise TokenRefusedError("its key is unknown, revoked or expired")
        self.by_key.keep(shown, found.viewer, found.seconds)
        return found.viewer

    async def _of_issuer(self, token: str, database: Database) -> Viewer:
        if self.tokens is None:
            raise TokenRefusedError("no issuer is configured")
        try:
            viewer = _viewer_of(await self.tokens.claims(token), self.claim)
        except IssuerUnreachableError:
            sentence = "Tokens cannot be checked for a moment; try again."
            raise BadRequestError(503, "UNAVAILABLE", sentence, RETRY) from None
        if (await self._business(viewer.business_id, None, database)) is None:
            raise TokenRefusedError("its business is unknown")
        return viewer

    async def _anonymous(self, asked: Asked, database: Database) -> Viewer:
        named = asked.header(b"x-business", None)
        business = None if named is None else _named(named)
        if self.is_development and is_local(asked):
            return Viewer(business or DEFAULT_BUSINESS, NOBODY, Role.ADMIN)
        host = None if business else host_of(asked)[:LONGEST_HOST]
        found = await self._business(business, host, database)
        if found is None and business is None:
            found = await self._business(DEFAULT_BUSINESS, None, database)
        key, is_public = found or (business or DEFAULT_BUSINESS, False)
        return Viewer(key, NOBODY, Role.PUBLIC, is_admitted=is_public)

    async def _operating(self, viewer: Viewer, asked: Asked, database: Database) -> Viewer:
        """An operator stands above the businesses, and chooses one."""
        named = asked.header(b"x-business", None)
        if named is None:
            return viewer
        found = await self._business(_named(named), None, database)
        if found is None:  # to act on another one than is meant would be worse
            raise BadRequestError(400, "NOT_FOUND", "No business has the id that X-Business names.")
        return replace(viewer, business_id=found[0])

    async def _business(self, key: UUID | None, host: str | None, database: Database) -> tuple[UUID, bool] | None:
        wanted = (key, host)
        found = self.businesses.get(wanted)
        if found is None:
            found = [(row.id, row.is_public) for row in await database.rows(tenancy.chosen(key, host))]
            self.businesses.keep(wanted, found)
        return found[0] if found else None


def is_local(asked: Asked) -> bool:
    """Whether a request comes from this machine, by no proxy, and for this machine: a page elsewhere could name another."""
    client = asked.scope.get("client")
    is_forwarded = any(asked.header(header, None) is not None for header in FORWARDED)
    is_foreign = asked.header(b"sec-fetch-site", "") == "cross-site"
    return (
        not is_forwarded
        and not is_foreign
        and client is not None
        and is_loopback(client[0])
        and is_loopback(host_of(asked))
    )


def host_of(asked: Asked) -> str:
    """The host that a request is sent to, without its port."""
    host = asked.header(b"host", "").lower()
    return host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]


def _viewer_of(claims: Mapping[str, Any], claim: str) -> Viewer:
    """Read who a token's owner is to a business, from the claim that the issuer was told to make."""
    told = claims.get(claim)
    if not isinstance(told, dict):
        raise TokenRefusedError(f"it has no claim {claim}")
    try:
        role = Role(str(told.get("role")))
        business = key_of("Business", told["business"]) if "business" in told else DEFAULT_BUSINESS
        kind = PERSON_OF.get(role)
        person = None if kind is None else key_of(kind, told.get("person") or "")
    except (ValueError, TypeError, Refusal):
        raise TokenRefusedError(f"its claim {claim} names no role, business or person as we know them") from None
    if role is Role.PUBLIC:
        raise TokenRefusedError("it names nobody")
    principal = f"{role.lower()}:{person}" if person else f"user:{claims['sub']}"
    if not principal.isprintable() or len(principal) > 260:
        raise TokenRefusedError("its subject cannot be written down")
    return Viewer(business, principal, role, person)


def _named(value: str) -> UUID:
    try:
        return key_of("Business", value)
    except Refusal:
        raise BadRequestError(400, "BAD_REQUEST", "X-Business must be the id of a business.") from None
