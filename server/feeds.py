"""Feeds: a subscription that is executed once for all who ask the same, however many they are."""

import asyncio
import logging
from collections import Counter, defaultdict
from typing import Any, Protocol

import orjson

from models.refusal import Refusal
from models.viewer import Role
from resolvers.context import Context
from resolvers.database import DatabaseFaultError
from resolvers.stream import Stream
from schema.execution import MASKED, answer, late, listen, long, lost, with_request
from server.answer import RETRYABLE, context_of
from server.gate import Admitted, Gate, payer
from server.request import Asked, BadRequestError, refusal

log = logging.getLogger("holdfast.feeds")
EXECUTIONS = 4  # at once: connections to the database are left for whoever asks
TRIES, PAUSE = 10, 1.0  # while the database is away
MOST_FEEDS = 1000  # of one process
MOST_OF_ONE = 50  # of one viewer, or of one address of those who give no name
COST_OF_AN_ANSWER = 1  # paid by each viewer or address that hears it
TOLD_AT_ONCE = 50  # subscribers, before others have their turn
Errors = list[dict[str, Any]]


class Subscriber(Protocol):
    """Whoever is told. None of this waits: who is slow keeps nobody else waiting."""

    def deliver(self, text: str) -> None:
        """Take an answer, as JSON."""

    def finish(self, errors: Errors) -> None:
        """Take what ended the subscription."""


class Feed:
    """What some subscribers are told, all of them the same; of each is known who pays for it."""

    def __init__(self, feeds: "Feeds", asked: Asked, admitted: Admitted) -> None:
        self.feeds, self.asked, self.admitted = feeds, asked, admitted
        self.gate: Gate = asked.scope["app"].state.gate
        self.key = key_of(admitted)
        self.subscribers: dict[Subscriber, str] = {}
        self.opening = asyncio.create_task(self._open())
        self.running: asyncio.Task[None] | None = None

    def take(self, subscriber: Subscriber, who: str) -> None:
        self.subscribers[subscriber] = who
        self.feeds.heard[who][self] += 1

    def leave(self, subscriber: Subscriber) -> None:
        """Tell somebody no more; the last one takes the feed along."""
        who = self.subscribers.pop(subscriber, None)
        if who is None:
            return
        self.feeds.forget(who, self)
        if not self.subscribers:
            self.feeds.close(self)
            self.opening.cancel()
            if self.running is not None:
                self.running.cancel()

    async def _open(self) -> Errors:
        """Begin; returns what is wrong."""
        context = self._context()
        try:
            begun = await listen(self.admitted.prepared, self.admitted.question, context)
        except BaseException:
            self.feeds.close(self)
            raise
        if isinstance(begun, dict):
            self.feeds.close(self)
            errors: Errors = begun["errors"]
            return errors
        self.running = asyncio.create_task(self._run(begun))
        self.running.add_done_callback(lambda _: begun.close())
        return []

    async def _run(self, stream: Stream) -> None:
        try:
            async for heard in stream:
                await self._tell(await self._answer(heard))
                await self._charge()
        except Refusal as problem:
            self._end(lost(problem, self._context())["errors"])
        except Exception as fault:
            context = self._context()
            log.error("a subscription failed", exc_info=fault, extra={"request_id": context.request_id})  # noqa: TRY400
            self._end([with_request(MASKED, context)])

    async def _tell(self, text: str) -> None:
        for n, each in enumerate(tuple(self.subscribers), 1):
            if each in self.subscribers:
                each.deliver(text)
            if n % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _charge(self) -> None:
        """Have everybody pay for an answer, once for all that they have of this feed; whoever cannot is told no more."""
        is_anonymous = self.admitted.viewer.role is Role.PUBLIC
        for who in set(self.subscribers.values()):
            try:
                await self.gate.pay(who, COST_OF_AN_ANSWER, is_anonymous=is_anonymous)
            except BadRequestError as spent:
                theirs = [each for each, payer in self.subscribers.items() if payer == who]
                self._finish(theirs, refusal(self.asked.request_id, spent.code, str(spent))["errors"])

    def _end(self, errors: Errors) -> None:
        self.feeds.close(self)
        self._finish(list(self.subscribers), errors)

    def _finish(self, subscribers: list[Subscriber], errors: Errors) -> None:
        for each in subscribers:
            each.finish(errors)
            self.leave(each)

    async def _answer(self, heard: Any) -> str:
        """Execute the operation for what was heard; again, while the database is away: nobody would ask for it again."""
        for _ in range(TRIES):
            body = await self._executed(heard)
            errors = body.get("errors")
            if not errors or not all(error["extensions"]["code"] in RETRYABLE for error in errors):
                break
            await asyncio.sleep(PAUSE)
        return orjson.dumps(body).decode()

    async def _executed(self, heard: Any) -> dict[str, Any]:
        context = self._context()
        async with self.feeds.turn:
            try:
                async with asyncio.timeout(self.gate.deadline):
                    body = await answer(self.admitted.prepared, self.admitted.question, context, heard)
            except TimeoutError:
                return late(context)
            except DatabaseFaultError:
                return {"data": None, "errors": [with_request(MASKED, context)]}
        return long(len(orjson.dumps(body)), context, self.gate.limits) or body

    def _context(self) -> Context:
        """What was loaded for one answer is outdated in the next one."""
        return context_of(self.asked, self.admitted)


class Feeds:
    """The feeds of a server process."""

    def __init__(self) -> None:
        self.open: dict[Any, Feed] = {}
        self.heard: defaultdict[str, Counter[Feed]] = defaultdict(Counter)
        self.turn = asyncio.Semaphore(EXECUTIONS)

    async def join(
        self, asked: Asked, admitted: Admitted, subscriber: Subscriber, until: float
    ) -> tuple[Feed | None, Errors]:
        """Tell a subscriber what is heard from now on; or say why not."""
        key, who = key_of(admitted), payer(asked.scope, admitted.viewer)
        feed = self.open.get(key)
        if problem := self._refused(who, feed):
            return None, refusal(asked.request_id, *problem)["errors"]
        if feed is None:
            feed = self.open[key] = Feed(self, asked, admitted)
        feed.take(subscriber, who)
        try:
            async with asyncio.timeout_at(until):
                errors = await asyncio.shield(feed.opening)
        except TimeoutError:
            errors = late(context_of(asked, admitted))["errors"]
        except BaseException:
            feed.leave(subscriber)
            raise
        if not errors:
            return feed, []
        feed.leave(subscriber)
        return None, errors

    def _refused(self, who: str, feed: Feed | None) -> tuple[str, str] | None:
        """Why somebody may not hear a feed, or have one begun."""
        if who in self.heard and feed not in self.heard[who] and len(self.heard[who]) >= MOST_OF_ONE:
            sentence = f"You have {MOST_OF_ONE} different subscriptions already; complete one first."
            return "TOO_MANY_SUBSCRIPTIONS", sentence
        if feed is None and len(self.open) >= MOST_FEEDS:
            return "UNAVAILABLE", "Too many different subscriptions are under way here; try again."
        return None

    def forget(self, who: str, feed: Feed) -> None:
        """Note that somebody hears a feed once less."""
        theirs = self.heard[who]
        theirs[feed] -= 1
        if not theirs[feed]:
            del theirs[feed]
        if not theirs:
            del self.heard[who]

    def close(self, feed: Feed) -> None:
        """Have whoever asks the same from now on begin a new one."""
        if self.open.get(feed.key) is feed:
            del self.open[feed.key]


def key_of(admitted: Admitted) -> Any:
    """What makes two subscriptions the same: whoever asks, and for what."""
    question = admitted.question
    variables = orjson.dumps(question.variables, option=orjson.OPT_SORT_KEYS)
    return admitted.viewer, question.document, question.operation_name, variables, admitted.time_zone
