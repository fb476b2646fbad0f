"""When webhooks are sent, to the second: by a real PostgreSQL whose clock stands still until a test moves it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from standardwebhooks import Webhook

from models.webhook_message import PAUSES
from tests.api.test_clock import Clock, clock, clockwork, database
from tests.api.test_webhooks import ROTATE, endpoint, log, work
from tests.conftest import Api
from tests.receiver import Receiver, api, reachable, receiver

__all__ = ["api", "clock", "clockwork", "database", "reachable", "receiver"]  # fixtures

Sql = Callable[..., list[tuple[Any, ...]]]

SECOND, DAY = timedelta(seconds=1), timedelta(hours=24)
NOTHING = {"delivered": 0, "repeated": 0, "abandoned": 0}


def timestamp(receiver: Receiver) -> int:
    return int(receiver.messages[-1].headers["webhook-timestamp"])


async def test_what_is_not_accepted_is_tried_for_75_hours_and_then_never_again(
    api: Api, receiver: Receiver, clock: Clock, sql: Sql
) -> None:
    receiver.answer = lambda _: 500
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()
    began = clock.time
    assert await work(api) == {**NOTHING, "repeated": 1}

    for number, usual in enumerate(PAUSES, start=2):
        ((due,),) = sql("SELECT next_attempt_at FROM webhook_deliveries")
        assert 0.8 <= (due - clock.time) / usual <= 1.2
        clock.set(due - SECOND)
        assert await work(api) == NOTHING
        clock.set(due + SECOND)
        done = await work(api)
        assert done == ({**NOTHING, "abandoned": 1} if number == 10 else {**NOTHING, "repeated": 1})
        assert len(receiver.messages) == number
        assert timestamp(receiver) == int(clock.time.timestamp())

    assert timedelta(hours=60) < clock.time - began < timedelta(hours=91)
    (delivery,) = await log(api)
    assert (delivery["status"], delivery["attempts"], len(delivery["log"]["nodes"])) == ("FAILED", 10, 10)
    clock.move(30 * DAY)
    assert await work(api) == NOTHING


async def test_a_replaced_secret_signs_for_24_hours_more(api: Api, receiver: Receiver, clock: Clock) -> None:
    key, old = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    new = (await api(ROTATE, input={"id": key}))["webhookSecretRotate"]["secret"]

    signed = []
    for by in (DAY - SECOND, SECOND):
        clock.move(by)
        await api.client()
        await work(api)
        signed.append(receiver.messages[-1].headers["webhook-signature"].split(" "))

    both, alone = signed
    message = receiver.messages[-1]
    at = datetime.fromtimestamp(timestamp(receiver), clock.time.tzinfo)
    assert len(both) == 2
    assert alone == [Webhook(new).sign(message.id, at, message.body.decode())]
    assert alone != [Webhook(old).sign(message.id, at, message.body.decode())]


async def test_what_was_in_the_hand_of_a_dead_worker_is_sent_after_a_minute(
    api: Api, receiver: Receiver, clock: Clock, sql: Sql
) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()
    sql("SELECT relay_events(100), hand_over('webhooks', 100)")
    assert len(sql("SELECT delivery_id FROM claim_deliveries(10, 4, '{}', '00:01:00')")) == 1

    clock.move(59 * SECOND)
    before = await work(api)
    clock.move(SECOND)
    after = await work(api)

    assert (before, after) == (NOTHING, {**NOTHING, "delivered": 1})
    assert len(receiver.messages) == 1
