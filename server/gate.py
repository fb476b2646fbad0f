"""The gate in front of both roads: who asks, what it costs them, and whether they may."""

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from models.refusal import Refusal, Timeout
from models.viewer import Role, Viewer
from resolvers.database import DatabaseFaultError
from schema.execution import Documents, Prepared, Question, unknown_zone
from schema.limits import Limits
from server.identity import RETRY, Identity
from server.persisted import persisted
from server.rate import Allowance, Rate, address_of, cost
from server.request import LARGEST_QUERY, Asked, BadRequestError, Headers
from server.seats import Seats
from server.settings import Settings
from server.token import Tokens

COST_OF_A_NEW_DOCUMENT = 20
COST_OF_A_BAD_TOKEN = 100  # so that guessing is soon over
BEGUN_AT_ONCE = 16  # questions in one turn of the event loop: others, who ask whether we are alive, wait for no more


@dataclass(frozen=True)
class Admitted:
    """A question that may be answered, or `refused` in its sender's words."""

    question: Question
    prepared: Prepared
    viewer: Viewer
    cost: int
    allowance: Allowance | None
    refused: dict[str, Any] | None
    time_zone: str | None = None

    def headers(self) -> Headers:
        return () if self.allowance is None else self.allowance.headers()

    def told(self) -> bytes:
        """What the answer's `extensions.cost` says, as Shopify shapes it."""
        return cost(self.cost, None if self.refused else self.cost, self.allowance)


class Gate:
    """What every question passes. One for each worker."""

    def __init__(self, settings: Settings, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.deadline = settings.deadline
        self.public_url = settings.public_url
        self.allowed_networks = settings.allowed_networks
        self.documents = Documents(self.limits, introspection=settings.introspection)
        self.persisted = persisted(settings.trusted_documents, self.documents)
        self.identity = Identity(settings, _tokens(settings))
        self.rate = _rate(settings)
        self.limited = {True: settings.rate_limit_anonymous > 0, False: settings.rate_limit > 0}  # by: is anonymous
        self.allowed_origins = settings.allowed_origins
        self.seats = Seats()
        self._begun = 0

    async def admit(self, asked: Asked, question: Question, until: float) -> Admitted:
        """Say who asks, have them pay, and find out whether they may ask for this."""
        await self._begin()
        viewer = await self.viewer(asked, until)
        if not self.documents.has(question):  # to parse and check one costs more, before its price is known
            await self.spend(asked.scope, viewer, COST_OF_A_NEW_DOCUMENT)
        prepared = self.documents.prepare(question)
        if not asked.is_post and prepared.is_mutation:
            raise BadRequestError(405, "METHOD_NOT_ALLOWED", "Send a mutation by POST.", ((b"allow", b"POST"),))
        if not prepared.is_mutation and prepared.operation and question.size > LARGEST_QUERY:
            sentence = f"The body has {question.size} bytes; a query may have {LARGEST_QUERY}."
            raise BadRequestError(413, "BODY_TOO_LARGE", sentence)
        if prepared.operation and question.sha256:
            self.persisted.keep(question)
        price = prepared.cost(question.variables)
        allowance = await self.spend(asked.scope, viewer, min(price, self.limits.cost))
        time_zone = asked.header(b"x-time-zone", None)
        refused = prepared.refused(price, viewer, self.limits) or unknown_zone(time_zone)
        return Admitted(question, prepared, viewer, price, allowance, refused, time_zone)

    async def _begin(self) -> None:
        """Wait for the next turn of the event loop, if many have begun in this one."""
        while self._begun >= BEGUN_AT_ONCE:  # noqa: ASYNC110 -- a turn is what is waited for
            await asyncio.sleep(0)
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._turn)
        self._begun += 1

    def _turn(self) -> None:
        self._begun = 0

    async def close(self) -> None:
        if self.rate is not None:
            await self.rate.close()

    async def viewer(self, asked: Asked, until: float) -> Viewer:
        """Say who asks; a bad token costs."""
        price = COST_OF_A_BAD_TOKEN
        if self.identity.is_unheard(asked):  # to look for a key costs the database, whether there is one or not
            allowance = await self._charge(asked, 1)
            price = min(price, allowance.remaining) if allowance else price  # or whoever has less could go on looking
        try:
            async with asyncio.timeout_at(until):
                return await self.identity.viewer(asked, asked.scope["app"].state.database)
        except BadRequestError as refused:
            if refused.status == 401:
                await self._charge(asked, price)
            raise
        except (Refusal, TimeoutError) as lost:  # the database did not say who asks
            refusal = lost if isinstance(lost, Refusal) else Timeout()
            raise BadRequestError(503, refusal.code, refusal.sentence, RETRY) from None

    async def is_still(self, asked: Asked, viewer: Viewer) -> bool:
        """Whether somebody who listens is still whom they were; while nobody can tell, they are."""
        try:
            return await self.identity.viewer(asked, asked.scope["app"].state.database) == viewer
        except BadRequestError as refused:
            return refused.status == 503
        except (Refusal, DatabaseFaultError):
            return True

    async def takes(self, asked: Asked, viewer: Viewer, points: int) -> bool:
        """Have somebody pay for what turned up while it was executed; false if they have not so much."""
        try:
            await self.spend(asked.scope, viewer, min(points, self.limits.cost))
        except BadRequestError:
            return False
        return True

    async def spend(self, scope: Scope, viewer: Viewer, points: int) -> Allowance | None:
        """Have a viewer pay; whoever has no name by their address."""
        return await self.pay(payer(scope, viewer), points, is_anonymous=viewer.role is Role.PUBLIC)

    async def _charge(self, asked: Asked, points: int) -> Allowance | None:
        return await self.charge(asked.scope, points)

    async def charge(self, scope: Scope, points: int) -> Allowance | None:
        """Have the address pay, of whoever has no name."""
        return await self.pay(f"address:{address_of(scope)}", points, is_anonymous=True)

    async def pay(self, who: str, points: int, *, is_anonymous: bool) -> Allowance | None:
        """Spend all the points of a viewer or an address, or refuse."""
        if self.rate is None or not self.limited[is_anonymous]:
            return None
        allowance = await self.rate.spend(who, points, is_anonymous=is_anonymous)
        if not allowance.is_within:
            sentence = f"You have asked for too much; try again in {allowance.seconds} seconds."
            raise BadRequestError(429, "RATE_LIMITED", sentence, allowance.headers())
        return allowance


def payer(scope: Scope, viewer: Viewer) -> str:
    """Name who pays."""
    return f"address:{address_of(scope)}" if viewer.role is Role.PUBLIC else viewer.principal


def _tokens(settings: Settings) -> Tokens | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return Tokens(settings.oidc_issuer, settings.oidc_audience, settings.oidc_token_types)


def _rate(settings: Settings) -> Rate | None:
    if settings.is_development or not (settings.rate_limit or settings.rate_limit_anonymous):
        return None
    return Rate(settings.rate_limit, settings.rate_limit_anonymous, store=settings.rate_store)
