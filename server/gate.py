"""The gate in front of both roads: who asks, what it costs them, and whether they may."""

import asyncio
from dataclasses import dataclass
from typing import Any

from models.refusal import Refusal, Timeout
from models.viewer import Role, Viewer
from schema.execution import Documents, Prepared, Question, unknown_zone
from schema.limits import Limits
from server.identity import RETRY, Identity
from server.persisted import persisted
from server.rate import Allowance, Rate, address_of, cost
from server.request import LARGEST_QUERY, Asked, BadRequestError, Headers
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
        self.documents = Documents(self.limits, introspection=settings.introspection)
        self.persisted = persisted(settings.trusted_documents, self.documents)
        self.identity = Identity(settings, _tokens(settings))
        self.rate = _rate(settings)
        self.limited = {True: settings.rate_limit_anonymous > 0, False: settings.rate_limit > 0}  # by: is anonymous
        self._begun = 0

    async def admit(self, asked: Asked, question: Question, until: float) -> Admitted:
        """Say who asks, have them pay, and find out whether they may ask for this."""
        await self._begin()
        viewer = await self._viewer(asked, until)
        if not self.documents.has(question):  # to parse and check one costs more, before its price is known
            await self._spend(asked, viewer, COST_OF_A_NEW_DOCUMENT)
        prepared = self.documents.prepare(question)
        if not asked.is_post and prepared.operation and not prepared.is_query:
            raise BadRequestError(405, "METHOD_NOT_ALLOWED", "Send a mutation by POST.", ((b"allow", b"POST"),))
        if prepared.is_query and question.size > LARGEST_QUERY:
            sentence = f"The body has {question.size} bytes; a query may have {LARGEST_QUERY}."
            raise BadRequestError(413, "BODY_TOO_LARGE", sentence)
        if prepared.operation and question.sha256:
            self.persisted.keep(question)
        price = prepared.cost(question.variables)
        allowance = await self._spend(asked, viewer, min(price, self.limits.cost))
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

    async def _viewer(self, asked: Asked, until: float) -> Viewer:
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

    async def _spend(self, asked: Asked, viewer: Viewer, points: int) -> Allowance | None:
        if viewer.role is Role.PUBLIC:
            return await self._charge(asked, points)
        return await self._pay(viewer.principal, points, is_anonymous=False)

    async def _charge(self, asked: Asked, points: int) -> Allowance | None:
        """Have the address pay, of whoever has no name."""
        return await self._pay(f"address:{address_of(asked.scope)}", points, is_anonymous=True)

    async def _pay(self, who: str, points: int, *, is_anonymous: bool) -> Allowance | None:
        if self.rate is None or not self.limited[is_anonymous]:
            return None
        allowance = await self.rate.spend(who, points, is_anonymous=is_anonymous)
        if not allowance.is_within:
            sentence = f"You have asked for too much; try again in {allowance.seconds} seconds."
            raise BadRequestError(429, "RATE_LIMITED", sentence, allowance.headers())
        return allowance


def _tokens(settings: Settings) -> Tokens | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return Tokens(settings.oidc_issuer, settings.oidc_audience, settings.oidc_token_types)


def _rate(settings: Settings) -> Rate | None:
    if settings.is_development or not (settings.rate_limit or settings.rate_limit_anonymous):
        return None
    return Rate(settings.rate_limit, settings.rate_limit_anonymous, store=settings.rate_store)
