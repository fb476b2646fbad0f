"""NATS JetStream: events are published to a stream, each once and in order, and acknowledged before anything is recorded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import Header, PubAck, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

SUBJECTS = "holdfast.>"
DUPLICATE_WINDOW = 600.0  # seconds in which the stream drops what it has by its id
SECONDS_TO_CONNECT = 2
SECONDS_TO_ANSWER = 2.0


class NatsError(Exception):
    """One sentence for why events do not reach NATS."""


@dataclass(frozen=True)
class Message:
    """What is published: under an id by which the stream knows it again."""

    id: str
    subject: str
    body: bytes


@dataclass(frozen=True)
class Published:
    """How many messages, from the first on, the stream has; and why it has no more."""

    stored: int
    problem: str | None


class Stream:
    """A stream to which nobody else publishes, and how far it has come."""

    def __init__(self, client: JetStreamContext, name: str) -> None:
        self.client, self.name = client, name
        self.last_sequence, self.last_id = 0, ""

    async def learn(self) -> None:
        """Find out what was published last; where there is no such stream, make it."""
        try:
            found = await self.client.stream_info(self.name)
        except NotFoundError:
            config = StreamConfig(
                self.name, subjects=[SUBJECTS], storage=StorageType.FILE, duplicate_window=DUPLICATE_WINDOW
            )
            found = await self.client.add_stream(config)
        self.last_sequence = found.state.last_seq
        if self.last_sequence:
            with suppress(NotFoundError):  # gone by the limits of the stream
                last = await self.client.get_msg(self.name, self.last_sequence)
                self.last_id = (last.headers or {}).get(Header.MSG_ID.value, "")

    async def publish(self, messages: Sequence[Message]) -> Published:
        """Publish these one after the other, and hear what has become of them.

        Each names the sequence that it follows: what somebody else publishes at the same time, or what is lost on the
        way, keeps back all that come after it, so that nothing is ever out of order.
        """
        ids = [message.id for message in messages]
        stored = ids.index(self.last_id) + 1 if self.last_id in ids else 0  # by one who died before recording it
        answers: list[asyncio.Future[PubAck]] = []
        problem = None
        try:
            for sequence, message in enumerate(messages[stored:], self.last_sequence):
                answers.append(await self._sent(message, sequence))
        except (Error, OSError) as error:
            problem = type(error).__name__
        if answers:
            await asyncio.wait(answers, timeout=SECONDS_TO_ANSWER)
        failures = [_failure(answer) for answer in answers]
        first = next((place for place, failure in enumerate(failures) if failure), len(answers))
        # Of what the stream had before, however long ago, it dropped the repetition.
        if added := sum(not answer.result().duplicate for answer in answers[:first]):
            self.last_sequence, self.last_id = self.last_sequence + added, ids[stored + first - 1]
        return Published(stored + first, failures[first] if first < len(failures) else problem)

    async def _sent(self, message: Message, after: int) -> asyncio.Future[PubAck]:
        headers = {Header.MSG_ID.value: message.id, Header.EXPECTED_LAST_SEQUENCE.value: str(after)}
        return await self.client.publish_async(message.subject, message.body, stream=self.name, headers=headers)


def _failure(answer: asyncio.Future[PubAck]) -> str | None:
    """Say why a message is not known to be stored; only what went wrong is named, never what was sent."""
    if not answer.done():
        return "no answer in time"
    if isinstance(problem := answer.exception(), APIError):
        return str(problem.description)
    return type(problem).__name__ if problem else None


@asynccontextmanager
async def stream(url: str, name: str) -> AsyncIterator[Stream]:
    """Connect to a stream. A lost connection stays lost: what is sent again is decided by what is recorded."""
    client = Client()
    try:
        try:
            async with asyncio.timeout(SECONDS_TO_CONNECT + SECONDS_TO_ANSWER):
                await client.connect(
                    url.split(","),
                    name="holdfast",
                    allow_reconnect=False,
                    connect_timeout=SECONDS_TO_CONNECT,
                    max_reconnect_attempts=1,  # or it would try for ever
                    reconnect_time_wait=0,
                    error_cb=_silent,
                )
                found = Stream(client.jetstream(timeout=SECONDS_TO_ANSWER), name)
                await found.learn()
        except (Error, OSError, TimeoutError) as problem:
            why = str(problem).removeprefix("nats: ") or type(problem).__name__
            raise NatsError(f"NATS cannot be used: {why}.") from None
        yield found
    finally:
        with suppress(Error, OSError):
            await client.close()


async def _silent(_problem: Exception) -> None:
    """Log nothing: what fails is told by whoever waits for it."""
