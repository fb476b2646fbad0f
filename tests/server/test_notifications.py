"""Mail and SMS, by real servers: who is told what, in whose language and by whose clock, once; and what goes wrong."""

import asyncio
import re
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import decode
from models.viewer import Role
from tests.conftest import Api
from tests.keys import OTHER, another_business, bearer
from tests.mail import SENDER, Post, Telephone, log, mails, phone, server, told
from tests.server.test_crash import until
from tests.server.test_worker import begun, ended
from tests.supply import Supply, key

__all__ = ["mails", "phone", "server"]  # fixtures

Sql = Callable[..., list[tuple[Any, ...]]]
SUMMER = datetime(2027, 7, 5, 7, tzinfo=UTC)
WINTER = datetime(2027, 12, 6, 7, tzinfo=UTC)
BY_NAME = "UPDATE {} SET {} WHERE id = %s"


def change(sql: Sql, identity: str, **values: Any) -> None:
    """Change a row past the API."""
    type_name, row = decode(identity)
    table = "businesses" if type_name == "Business" else f"{type_name.lower()}s"
    sql(f"UPDATE {table} SET {', '.join(f'{name} = %s' for name in values)} WHERE id = %s", *values.values(), row)


class Practice:
    """A provider and a client with addresses, and reservations between them."""

    def __init__(self, api: Api, sql: Sql) -> None:
        self.api, self.sql = api, sql
        self.supply = Supply(sql)

    async def open(self) -> "Practice":
        self.provider, self.client = await self.api.provider(), await self.api.client()
        change(self.sql, self.provider, email="ada@salon.example", phone="+49 30 1")
        change(self.sql, self.client, email="charles@home.example", phone="+49 170 1")
        self.sql("UPDATE businesses SET name = 'Salon'")
        return self

    async def held(self, at: datetime = SUMMER, **appointment: Any) -> str:
        made = self.supply.appointment(self.provider, at, 30, **appointment)
        done = await self.api.reserve(self.client, made)
        assert done["userErrors"] == []
        identity: str = done["reservation"]["id"]
        return identity

    async def booked(self, at: datetime = SUMMER, **appointment: Any) -> str:
        reservation = await self.held(at, **appointment)
        assert (await self.api.confirm(reservation))["userErrors"] == []
        return reservation

    async def move(self, reservation: str, at: datetime, provider: str | None = None) -> None:
        """Reschedule, past the API."""
        made = self.supply.appointment(provider or self.provider, at, 30)
        self.sql("UPDATE reservations SET appointment_id = %s WHERE id = %s", key(made), key(reservation))


@pytest.fixture
async def practice(api: Api, sql: Sql) -> Practice:
    return await Practice(api, sql).open()


async def templates(api: Api) -> list[tuple[str, str]]:
    """Which messages there are, and to whom, the oldest first."""
    return [(node["template"], "client" if node["client"] else "provider") for node in reversed(await log(api))]


async def test_a_booking_is_told_to_its_client_and_its_provider(api: Api, practice: Practice, mails: Post) -> None:
    service = practice.supply.service("Haircut")
    reservation = await practice.booked(service_id=service)

    done = await told(api.database, **mails.settings)

    assert done == {"postponed": 0, "sent": 2, "logged": 0, "refused": 0, "dropped": 0}
    assert sorted(mails.recipients) == [["ada@salon.example"], ["charles@home.example"]]
    to_client = next(mail for mail in mails.mails if mail["to"] == "charles@home.example")
    n = mails.mails.index(to_client)
    assert to_client["from"] == f"Salon <{SENDER}>"
    assert to_client["subject"] == "Confirmed: Haircut, Mon, Jul 5, 2027, 7:00 AM"
    assert to_client["content-language"] == "en"
    assert to_client["auto-submitted"] == "auto-generated"
    assert mails.text(n) == (
        "Hello Charles,\n\nYour appointment is confirmed.\n\n"
        "What: Haircut\nWhen: Monday, July 5, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time)\n"
        "With: Ada Lovelace\n\nSalon · http://localhost:8000\n"
    )
    assert '<td dir="auto">Ada Lovelace</td>' in mails.html(n)
    calendar = mails.calendar(n)
    assert calendar is not None
    assert f"UID:{key(reservation)}@holdfast" in calendar
    assert "DTSTART:20270705T070000Z" in calendar
    assert mails.mails[1 - n]["subject"] == "New booking: Haircut, Mon, Jul 5, 2027, 7:00 AM"
    assert "Charles Babbage has an appointment with you." in mails.text(1 - n)
    assert mails.calendar(1 - n) is None
    assert len(mails.sessions) == 1


async def test_what_was_sent_stands_in_the_log_and_is_not_sent_again(
    api: Api, practice: Practice, mails: Post, sql: Sql
) -> None:
    reservation = await practice.booked()
    await told(api.database, **mails.settings)

    again = await told(api.database, **mails.settings)

    assert set(again.values()) == {0}
    assert len(mails.mails) == 2
    (to_client,) = await log(api, recipientId=practice.client)
    sent_at = to_client.pop("sentAt")
    assert sent_at is not None
    assert to_client.pop("text").startswith("Hello Charles,")
    assert to_client == {
        "channel": "EMAIL",
        "topic": "BOOKING",
        "template": "CONFIRMED",
        "status": "SENT",
        "attempts": 1,
        "problem": None,
        "subject": "Confirmed: Appointment, Mon, Jul 5, 2027, 7:00 AM",
        "client": {"id": practice.client},
        "provider": None,
        "reservation": {"id": reservation},
    }
    ((event,),) = sql("SELECT id FROM events WHERE type = 'scheduling.reservation.confirmed.v1'")
    expected = {f"<{event}.{key(person)}@salon.example>" for person in (practice.client, practice.provider)}
    assert {mail["message-id"] for mail in mails.mails} == expected
    assert not re.search("charles@|ada@|Charles", str(sql("SELECT data, diff FROM events")))


async def test_a_hold_that_comes_and_goes_is_told_to_nobody(api: Api, practice: Practice, mails: Post) -> None:
    await practice.api.cancel(await practice.held())

    await told(api.database, **mails.settings)

    assert (mails.mails, await log(api)) == ([], [])


async def test_a_cancellation_says_why(api: Api, practice: Practice, mails: Post) -> None:
    reservation = await practice.booked()
    await told(api.database, **mails.settings)
    await api.cancel(reservation, "We are closed.\r\nBcc: all@home.example")

    await told(api.database, **mails.settings)

    assert await templates(api) == [
        ("CONFIRMED", "client"), ("BOOKED", "provider"), ("CANCELLED", "client"), ("BOOKING_CANCELLED", "provider"),
    ]  # fmt: skip
    assert all("Reason: We are closed. Bcc: all@home.example\n" in mails.text(n) for n in (2, 3))
    assert [mail["bcc"] for mail in mails.mails] == [None] * 4


async def test_a_move_tells_both_times_and_takes_the_place_of_what_was_not_sent_yet(
    api: Api, practice: Practice, mails: Post
) -> None:
    reservation = await practice.booked()
    await practice.move(reservation, SUMMER + timedelta(days=1))

    done = await told(api.database, **mails.settings)

    assert (done["sent"], done["dropped"]) == (2, 2)
    assert {(node["template"], node["status"], node["problem"]) for node in await log(api)} == {
        ("CONFIRMED", "DROPPED", "It is no longer true."),
        ("BOOKED", "DROPPED", "It is no longer true."),
        ("RESCHEDULED", "SENT", None),
        ("BOOKING_RESCHEDULED", "SENT", None),
    }
    (n,) = [n for n, mail in enumerate(mails.mails) if mail["to"] == "charles@home.example"]
    assert mails.mails[n]["subject"] == "Moved: Appointment, now Tue, Jul 6, 2027, 7:00 AM"
    assert "It was on Mon, Jul 5, 2027, 7:00 AM." in mails.text(n)


async def test_a_provider_who_is_replaced_hears_of_it_and_the_other_one_too(
    api: Api, practice: Practice, mails: Post, sql: Sql
) -> None:
    grace = await api.provider("Grace", "Hopper")
    change(sql, grace, email="grace@salon.example")
    reservation = await practice.booked()
    await told(api.database, **mails.settings)
    mails.mails.clear()
    await practice.move(reservation, SUMMER, grace)

    await told(api.database, **mails.settings)

    assert {mail["to"]: mail["subject"] for mail in mails.mails} == {
        "charles@home.example": "Appointment, Mon, Jul 5, 2027, 7:00 AM: now with Grace Hopper",
        "grace@salon.example": "New booking: Appointment, Mon, Jul 5, 2027, 7:00 AM",
        "ada@salon.example": "No longer yours: Appointment, Mon, Jul 5, 2027, 7:00 AM",
    }


@pytest.mark.parametrize(
    ("who", "statement", "end"),
    [
        ("provider", "status = 'CANCELLED', cancelled_by = 'PROVIDER'", ("DECLINED", "client")),
        ("client", "status = 'CANCELLED', cancelled_by = 'CLIENT'", ("BOOKING_CANCELLED", "provider")),
    ],
)
async def test_a_request_is_told_to_the_provider_and_its_end_to_the_other_side(
    api: Api, practice: Practice, mails: Post, sql: Sql, who: str, statement: str, end: tuple[str, str]
) -> None:
    service = practice.supply.service("Haircut", approval_time="02:00:00")
    reservation = await practice.held(service_id=service)
    sql("UPDATE reservations SET requested_at = clock_timestamp() WHERE id = %s", key(reservation))
    await told(api.database, **mails.settings)
    sql(f"UPDATE reservations SET {statement} WHERE id = %s", key(reservation))

    await told(api.database, **mails.settings)

    assert await templates(api) == [("REQUESTED", "provider"), end]
    assert mails.mails[0]["subject"] == "Please decide: Haircut, Mon, Jul 5, 2027, 7:00 AM"
    assert "Charles Babbage asks for an appointment with you." in mails.text(0)


async def test_a_time_that_is_offered_to_one_who_waits_is_told(
    api: Api, practice: Practice, mails: Post, sql: Sql
) -> None:
    reservation, client = key(await practice.held()), key(practice.client)
    sql(
        "INSERT INTO events (business_id, type, aggregate_id, data) VALUES"
        " (%s, 'scheduling.waitlist_entry.offered.v1', uuidv7(), jsonb_build_object('id', uuidv7(),"
        " 'client_id', %s::text, 'reservation_id', %s::text))",
        *(DEFAULT_BUSINESS, client, reservation),
    )

    await told(api.database, **mails.settings)

    assert await templates(api) == [("OFFERED", "client")]
    assert mails.mails[0]["subject"] == "Free for you: Appointment, Mon, Jul 5, 2027, 7:00 AM"


@pytest.mark.parametrize(
    ("at", "when"),
    [
        (SUMMER, "Montag, 5. Juli 2027, 09:00 – 09:30 (Mitteleuropäische Sommerzeit)"),
        (WINTER, "Montag, 6. Dezember 2027, 08:00 – 08:30 (Mitteleuropäische Normalzeit)"),
    ],
)
async def test_times_are_told_by_the_recipients_clock_and_in_their_language(
    api: Api, practice: Practice, mails: Post, sql: Sql, at: datetime, when: str
) -> None:
    change(sql, practice.client, locale="de-DE", time_zone="Europe/Berlin")
    await practice.booked(at)

    await told(api.database, **mails.settings)

    texts = {mail["to"]: mails.text(n) for n, mail in enumerate(mails.mails)}
    assert f"Wann: {when}\n" in texts["charles@home.example"]
    assert texts["charles@home.example"].startswith("Guten Tag Charles,\n\nIhr Termin ist bestätigt.\n")
    assert "(Coordinated Universal Time)" in texts["ada@salon.example"]


async def test_the_zone_of_the_location_holds_where_a_recipient_has_none(
    api: Api, practice: Practice, mails: Post, sql: Sql
) -> None:
    sql("UPDATE businesses SET locale = 'pt-BR'")
    place = practice.supply.location("Centro", "America/Sao_Paulo")
    await practice.booked(location_id=place)

    await told(api.database, **mails.settings)

    assert all(
        "segunda-feira, 5 de julho de 2027, 04:00 – 04:30 (Horário Padrão de Brasília)" in mails.text(n) for n in (0, 1)
    )
    assert all("Onde: Centro\n" in mails.text(n) for n in (0, 1))


async def test_names_cannot_add_headers_nor_markup_nor_turn_a_sentence_around(
    api: Api, practice: Practice, mails: Post, sql: Sql
) -> None:
    evil = "X\r\nBcc: all@home.example\r\n\r\n<script>alert(1)</script>"
    sql("UPDATE businesses SET name = %s", evil)
    service = practice.supply.service(f"Cut{evil}")
    change(sql, practice.client, first_name="\u202eשלום\u202c", last_name="</td>&amp;{{ 7*7 }}")
    await practice.booked(service_id=service)

    await told(api.database, **mails.settings)

    assert len(mails.mails) == 2
    assert all(len(each) == 1 for each in mails.recipients)
    for n, mail in enumerate(mails.mails):
        assert mail["bcc"] is None
        assert "\n" not in mail["subject"]
        assert mail["from"].endswith(f"<{SENDER}>")
        assert "<script>" not in mails.html(n)
        assert "&lt;script&gt;" in mails.html(n)
    (n,) = [n for n, mail in enumerate(mails.mails) if mail["to"] == "ada@salon.example"]
    assert "\u2068שלום </td>&amp;{{ 7*7 }}\u2069 has an appointment with you." in mails.text(n)
    assert "\u202e" not in mails.text(n) + mails.html(n)
    assert "&lt;/td&gt;&amp;amp;{{ 7*7 }}" in mails.html(n)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("a,b@home.example", "This is no address that a mail can be sent to."),
        ("<a@home.example>,b@home.example", "This is no address that a mail can be sent to."),
        ("a@home..example", "This is no address that a mail can be sent to."),
    ],
)
async def test_an_address_that_would_be_two_is_none(
    api: Api, practice: Practice, mails: Post, sql: Sql, address: str, problem: str
) -> None:
    change(sql, practice.client, email=address)
    await practice.booked()

    done = await told(api.database, **mails.settings)

    assert (done["sent"], done["refused"]) == (1, 1)
    assert mails.recipients == [["ada@salon.example"]]
    (node,) = await log(api, recipientId=practice.client)
    assert (node["status"], node["problem"], node["attempts"]) == ("FAILED", problem, 1)


async def test_addresses_in_other_scripts_are_written_to(api: Api, practice: Practice, mails: Post, sql: Sql) -> None:
    change(sql, practice.client, email="jürgen@bücher.example")
    await practice.booked()

    await told(api.database, **mails.settings)

    assert ["jürgen@xn--bcher-kva.example"] in mails.recipients


async def test_what_a_server_refuses_for_good_fails_and_what_it_puts_off_is_tried_again(
    api: Api, practice: Practice, mails: Post, sql: Sql
) -> None:
    mails.answers = {"charles@home.example": "550 charles@home.example is unknown", "ada@salon.example": "450 later"}
    await practice.booked()

    done = await told(api.database, **mails.settings)

    assert (done["refused"], done["postponed"], done["sent"]) == (1, 1, 0)
    state = "SELECT status, attempts, problem, text IS NULL, next_attempt_at - clock_timestamp() FROM notifications"
    ((*failed, _),) = sql(f"{state} WHERE client_id IS NOT NULL")
    ((*waiting, wait),) = sql(f"{state} WHERE provider_id IS NOT NULL")
    assert failed == ["FAILED", 1, "The mail server answered 550.", True]
    assert waiting == ["QUEUED", 1, "The mail server answered 450.", True]
    assert timedelta(seconds=50) < wait <= timedelta(minutes=1)
    assert (await told(api.database, **mails.settings))["sent"] == 0
    mails.answers = {}
    sql("UPDATE notifications SET next_attempt_at = clock_timestamp()")
    assert (await told(api.database, **mails.settings))["sent"] == 1
    assert mails.recipients == [["ada@salon.example"]]


async def test_tries_end_after_some_hours(api: Api, practice: Practice, mails: Post, sql: Sql) -> None:
    mails.answers = {"charles@home.example": "451 later"}
    change(sql, practice.provider, email=None)
    await practice.booked()
    waits = []

    for _ in range(6):
        await told(api.database, **mails.settings)
        ((wait,),) = sql(
            "SELECT round(extract(epoch FROM next_attempt_at - clock_timestamp()) / 60) FROM notifications"
        )
        waits.append(int(wait))
        sql("UPDATE notifications SET next_attempt_at = clock_timestamp()")

    assert waits[:5] == [1, 5, 30, 120, 360]
    assert sql("SELECT status, attempts FROM notifications") == [("FAILED", 6)]


async def test_a_server_that_is_away_is_asked_once_for_a_whole_batch(api: Api, practice: Practice, sql: Sql) -> None:
    await practice.booked()
    await practice.booked(SUMMER + timedelta(hours=1))

    done = await told(api.database, SMTP_URL="smtp://127.0.0.1:1", MAIL_FROM=SENDER)

    assert done["postponed"] == 4
    assert sql("SELECT DISTINCT status, problem FROM notifications") == [
        ("QUEUED", "The mail server could not be talked to (SMTPConnectError).")
    ]


async def test_without_settings_messages_are_logged_and_can_be_read(
    api: Api, practice: Practice, caplog: pytest.LogCaptureFixture
) -> None:
    await practice.booked()

    with caplog.at_level("INFO", "holdfast.notifications"):
        done = await told(api.database)

    assert done["logged"] == 2
    (node,) = await log(api, status=["LOGGED"], recipientId=practice.client)
    assert node["text"].startswith("Hello Charles,\n\nYour appointment is confirmed.")
    assert node["sentAt"] is None
    records = [vars(record) for record in caplog.records if record.name == "holdfast.notifications"]
    assert sorted(record["template"] for record in records) == ["BOOKED", "CONFIRMED"]
    assert {str(record["recipient"]) for record in records} == {
        str(key(person)) for person in (practice.client, practice.provider)
    }
    assert "@" not in str([record["msg"] + record["subject"] for record in records])


async def test_an_sms_is_sent_to_those_who_asked_for_it(
    api: Api, practice: Practice, phone: Telephone, mails: Post
) -> None:
    await api(
        "mutation ($p: ID!) { notificationPreferencesSet(input: {personId: $p, preferences: ["
        "{channel: SMS, topic: BOOKING, enabled: true}, {channel: EMAIL, topic: BOOKING, enabled: false}]})"
        " { userErrors { code } } }",
        p=practice.client,
    )
    await practice.booked()

    await told(api.database, **mails.settings, **phone.settings)

    ((asked,), (headers,)) = phone.asked, phone.headers
    assert (asked["to"], asked["text"]) == (
        "+49 170 1",
        "Salon: Confirmed: Appointment, Mon, Jul 5, 2027, 7:00 AM (Coordinated Universal Time)",
    )
    assert headers["authorization"] == "Bearer a-token"
    assert headers["idempotency-key"] == asked["id"]
    assert mails.recipients == [["ada@salon.example"]]


@pytest.mark.parametrize(
    ("status", "becomes"), [(503, "QUEUED"), (429, "QUEUED"), (401, "QUEUED"), (302, "QUEUED"), (422, "FAILED")]
)
async def test_what_a_gateway_answers_decides(
    api: Api, practice: Practice, phone: Telephone, sql: Sql, status: int, becomes: str
) -> None:
    phone.status = status
    change(sql, practice.client, email=None)
    change(sql, practice.provider, email=None)
    sql(
        "INSERT INTO notification_preferences (business_id, client_id, channel, topic, enabled)"
        " VALUES (%s, %s, 'SMS', 'BOOKING', true)",
        *(DEFAULT_BUSINESS, key(practice.client)),
    )
    await practice.booked()

    await told(api.database, **phone.settings)

    assert sql("SELECT status, problem FROM notifications") == [(becomes, f"The gateway answered {status}.")]
    assert len(phone.asked) == 1


async def test_whoever_is_erased_or_takes_their_wish_back_in_between_hears_nothing(
    api: Api, practice: Practice, mails: Post, sql: Sql
) -> None:
    await practice.booked()
    await told(api.database, SMTP_URL="smtp://127.0.0.1:1", MAIL_FROM=SENDER)
    sql("UPDATE notifications SET next_attempt_at = clock_timestamp()")
    await api(
        "mutation ($p: ID!) { notificationPreferencesSet(input: {personId: $p, preferences: ["
        "{channel: EMAIL, topic: BOOKING, enabled: false}]}) { userErrors { code } } }",
        p=practice.provider,
    )
    erased = await api(
        "mutation ($c: ID!) { clientErase(input: {clientId: $c}) { userErrors { code } } }", c=practice.client
    )

    await told(api.database, **mails.settings)

    assert erased["clientErase"]["userErrors"] == []
    assert mails.mails == []
    assert {(node["status"], node["text"], node["problem"]) for node in await log(api)} == {
        ("DROPPED", None, "The client was erased.")
    }


async def test_erasing_takes_the_words_out_of_all_messages_to_and_about_a_client(
    api: Api, practice: Practice, mails: Post, sql: Sql
) -> None:
    await practice.booked()
    await told(api.database, **mails.settings)
    exported = await api(
        "mutation ($c: ID!) { clientExport(input: {clientId: $c}) { export userErrors { code } } }", c=practice.client
    )

    await api("mutation ($c: ID!) { clientErase(input: {clientId: $c}) { userErrors { code } } }", c=practice.client)

    (kept,) = exported["clientExport"]["export"]["notifications"]
    assert (kept["template"], kept["subject"]) == ("CONFIRMED", "Confirmed: Appointment, Mon, Jul 5, 2027, 7:00 AM")
    assert sql("SELECT DISTINCT status, subject, text FROM notifications") == [("SENT", None, None)]
    assert (await told(api.database, **mails.settings))["sent"] == 1  # the provider hears that it is cancelled
    assert mails.mails[-1]["to"] == "ada@salon.example"
    assert "Charles" not in mails.text()
    assert sql("SELECT count(*) FROM notifications WHERE text LIKE '%%Charles%%'") == [(0,)]


async def test_old_words_are_forgotten_and_that_something_was_sent_is_not(
    api: Api, practice: Practice, sql: Sql
) -> None:
    await practice.booked()
    await told(api.database)
    sql("UPDATE notifications SET created_at = created_at - interval '721 hours' WHERE client_id IS NOT NULL")

    ((pruned,),) = sql("SELECT prune_notifications(100)")

    assert pruned == 1
    assert sql("SELECT client_id IS NULL, text IS NULL FROM notifications ORDER BY 1") == [(False, True), (True, False)]


async def test_a_business_sees_and_tells_nothing_of_another(
    api: Api, practice: Practice, mails: Post, sql: Sql
) -> None:
    another_business(sql)
    sql("UPDATE clients SET email = 'no@body.example' WHERE id = %s", OTHER)
    await practice.booked()
    await told(api.database, **mails.settings)
    elsewhere = await bearer(api, Role.ADMIN, business=OTHER)

    assert await log(api, elsewhere) == []
    assert await log(api, elsewhere, recipientId=practice.client) == []
    assert "no@body.example" not in str(mails.recipients)
    with pytest.raises(Exception, match="permission denied"):
        sql("SET ROLE holdfast_app; SELECT hand_to_recipients(1, 2)")


async def test_clients_and_providers_see_what_is_for_themselves(api: Api, practice: Practice) -> None:
    await practice.booked()
    await told(api.database)
    client = await bearer(api, Role.CLIENT, person=practice.client)
    provider = await bearer(api, Role.PROVIDER, person=practice.provider)
    stranger = await bearer(api, Role.CLIENT, person=await api.client())

    assert [node["template"] for node in await log(api, client)] == ["CONFIRMED"]
    assert [node["template"] for node in await log(api, provider)] == ["BOOKED"]
    assert await log(api, stranger) == []
    assert await log(api, stranger, recipientId=practice.client) == []


async def test_what_has_begun_and_what_is_old_is_no_news(api: Api, practice: Practice, mails: Post, sql: Sql) -> None:
    await practice.booked()
    sql("SET session_replication_role = replica")
    sql("UPDATE events SET occurred_at = occurred_at - interval '25 hours'")
    sql("SET session_replication_role = origin")

    await told(api.database, **mails.settings)

    assert (mails.mails, await log(api)) == ([], [])


def silent(mails: Post, seconds: float = 4.0) -> None:
    """Wait until no mail has come for a while."""
    count, since = len(mails.mails), time.monotonic()
    while time.monotonic() < since + seconds:
        time.sleep(0.05)
        if len(mails.mails) > count:
            count, since = len(mails.mails), time.monotonic()


async def test_three_workers_one_of_them_killed_send_each_message_once(
    api: Api, practice: Practice, mails: Post, sql: Sql, database: str
) -> None:
    mails.delay = 0.1
    for n in range(12):
        await practice.booked(SUMMER + n * timedelta(hours=1))
    sent = "SELECT count(*) FROM notifications WHERE status = 'SENT'"
    workers = [begun(database, **mails.settings) for _ in range(3)]
    try:
        until(lambda: len(mails.mails) > 3, within=60)

        workers[0].send_signal(signal.SIGKILL)

        workers[0].wait()
        lease = "UPDATE notifications SET claimed_until = clock_timestamp() WHERE claimed_until IS NOT NULL"
        until(lambda: sql("SELECT count(*) FROM notifications WHERE attempts = 0") == [(0,)], within=60)
        await asyncio.to_thread(silent, mails)  # what living workers had in hand is done with
        sql(lease)  # as if its time were over
        until(lambda: sql(sent) == [(24,)], within=60)
    finally:
        for worker in workers:
            worker.terminate()
            ended(worker)

    references = [mail["message-id"] for mail in mails.mails]
    assert len(set(references)) == 24
    assert len(references) <= 25  # the one that was handed over, and not written down
    assert sql("SELECT count(*), count(DISTINCT (event_id, recipient_id, channel)) FROM notifications") == [(24, 24)]


async def test_a_worker_that_comes_too_late_does_not_overwrite_what_another_has_recorded(
    api: Api, practice: Practice, mails: Post, sql: Sql, database: str
) -> None:
    await practice.booked()
    await told(api.database, SMTP_URL="smtp://127.0.0.1:1", MAIL_FROM=SENDER)
    sql("UPDATE notifications SET next_attempt_at = clock_timestamp(), claimed_until = NULL")
    mine = sql("SELECT id FROM claim_notifications(10)")
    sql("UPDATE notifications SET claimed_until = clock_timestamp()")

    await told(api.database, **mails.settings)

    assert len(mine) == 2
    assert sql("SELECT status, attempts FROM notifications") == [("SENT", 3)] * 2
