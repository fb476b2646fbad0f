"""Mail and SMS of visits and series: what happens to several reservations at once is told once, and all of it."""

import asyncio
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.business import DEFAULT_BUSINESS
from models.viewer import Role
from tests.conftest import ERRORS, Api
from tests.keys import bearer
from tests.mail import Post, Telephone, log, mails, phone, server, told
from tests.receiver import relayed
from tests.server.test_crash import until
from tests.server.test_worker import begun
from tests.supply import Supply, key

__all__ = ["mails", "phone", "server"]  # fixtures

Sql = Callable[..., list[tuple[Any, ...]]]
MONDAY = datetime(2027, 7, 5, 7, tzinfo=UTC)
HALF, WEEK = timedelta(minutes=30), timedelta(weeks=1)
WISH = (
    "INSERT INTO notification_preferences (business_id, {}, channel, topic, enabled) VALUES (%s, %s, %s, 'BOOKING', %s)"
)
ABOUT = """query ($id: ID) { notifications(filter: {reservationId: $id}, last: 100) { nodes {
  template reservation { id } reservations { nodes { id } } } } }"""
MADE = "reservations(first: 60) { nodes { id startsAt } }"


class Salon(Supply):
    """A cut by Ada, and a colouring by Bea, for Charles."""

    def __init__(self, api: Api, sql: Sql) -> None:
        super().__init__(sql)
        self.api = api
        sql("UPDATE businesses SET name = 'Salon'")
        self.cut, self.colour = self.service("Cut"), self.service("Colour")
        self.ada, self.bea = self.person("Provider", "Ada", "Lovelace"), self.person("Provider", "Bea", "Hopper")
        self.charles = self.person("Client", "Charles", "Babbage")

    def person(self, type_name: str, first_name: str, last_name: str) -> str:
        named = {"first_name": first_name, "last_name": last_name, "email": f"{first_name.lower()}@salon.example"}
        return self.add(type_name, f"{type_name.lower()}s", **named)

    async def ask(self, mutation: str, wanted: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
        name = f"{mutation[0].upper()}{mutation[1:]}Input"
        what = "visit" if mutation.startswith("visit") else "series"
        query = f"mutation ($input: {name}!) {{ {mutation}(input: $input) {{ {what} {{ id {MADE} }} {ERRORS} }} }}"
        answer = await self.api.post(query, headers, input=wanted)
        assert answer["data"][mutation]["userErrors"] == []
        return answer["data"][mutation][what]

    async def visit(self, *chosen: tuple[str, str], at: datetime = MONDAY) -> Any:
        """Hold services with their providers, one every half hour."""
        for n, (service, provider) in enumerate(chosen):
            self.appointment(provider, at + n * HALF, 30, service_id=service)
        services = [{"serviceId": service, "providerId": provider} for service, provider in chosen]
        return await self.ask(
            "visitCreate", {"clientId": self.charles, "startsAt": at.isoformat(), "services": services}
        )

    async def series(self, count: int, *, of: int | None = None, at: datetime = MONDAY, **time: Any) -> Any:
        """Hold the cut every week, as often as it can be had."""
        first, *_ = [self.appointment(self.ada, at + n * WEEK, 30, service_id=self.cut, **time) for n in range(count)]
        wanted = {"clientId": self.charles, "appointmentId": first, "count": of or count, "mode": "SKIP_CONFLICTS"}
        return await self.ask("reservationSeriesCreate", wanted)


@pytest.fixture
def salon(api: Api, sql: Sql) -> Salon:
    return Salon(api, sql)


def of(made: Any) -> list[str]:
    return [each["id"] for each in made["reservations"]["nodes"]]


def mail_to(mails: Post, person: str) -> tuple[str, str]:
    """The subject and the text of the one mail that somebody got."""
    (n,) = [n for n, mail in enumerate(mails.mails) if mail["to"] == f"{person}@salon.example"]
    return str(mails.mails[n]["subject"]), mails.text(n)


async def about(api: Api, reservation: str | None = None) -> list[tuple[str, list[str]]]:
    """Which messages there are about a reservation, the oldest first, and all that each of them is about."""
    nodes = (await api(ABOUT, id=reservation))["notifications"]["nodes"]
    return [(node["template"], of(node)) for node in reversed(nodes)]


async def test_a_visit_of_two_providers_is_told_to_each_once(api: Api, salon: Salon, mails: Post) -> None:
    visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.bea))
    await salon.ask("visitConfirm", {"visitId": visit["id"]})

    done = await told(api.database, **mails.settings)

    assert (done["sent"], done["dropped"]) == (3, 0)
    assert mail_to(mails, "charles") == (
        "Confirmed: 2 appointments, from Mon, Jul 5, 2027, 7:00 AM",
        (
            "Hello Charles,\n\nYour 2 appointments are confirmed.\n\n"
            "When: Monday, July 5, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time): Cut · Ada Lovelace\n"
            "When: Monday, July 5, 2027, 7:30 AM – 8:00 AM (Coordinated Universal Time): Colour · Bea Hopper\n"
            "\nSalon · http://localhost:8000\n"
        ),
    )
    assert mail_to(mails, "bea") == (
        "New booking: Colour, Mon, Jul 5, 2027, 7:30 AM",
        (
            "Hello Bea,\n\nCharles Babbage has an appointment with you.\n\n"
            "What: Colour\nWhen: Monday, July 5, 2027, 7:30 AM – 8:00 AM (Coordinated Universal Time)\n"
            "With: Charles Babbage\n\nSalon · http://localhost:8000\n"
        ),
    )
    assert mail_to(mails, "ada")[0] == "New booking: Cut, Mon, Jul 5, 2027, 7:00 AM"
    first, second = of(visit)
    assert await about(api) == [("CONFIRMED", [first, second]), ("BOOKED", [first]), ("BOOKED", [second])]
    assert await about(api, second) == [("CONFIRMED", [first, second]), ("BOOKED", [second])]
    assert [node["reservation"]["id"] for node in await log(api, recipientId=salon.charles)] == [first]


async def test_the_calendar_file_of_a_visit_has_all_of_it(api: Api, salon: Salon, mails: Post) -> None:
    visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.bea))
    for step, status in (("visitConfirm", "CONFIRMED"), ("visitCancel", "CANCELLED")):
        await salon.ask(step, {"visitId": visit["id"]})
        mails.mails.clear()
        await told(api.database, **mails.settings)
        (n,) = [n for n, mail in enumerate(mails.mails) if mail["to"] == "charles@salon.example"]
        calendar = mails.calendar(n)
        assert calendar is not None
        assert re.findall("UID:(.*)@holdfast", calendar) == [str(key(each)) for each in of(visit)]
        assert re.findall("DTSTART:(.*Z)", calendar) == ["20270705T070000Z", "20270705T073000Z"]
        assert re.findall("STATUS:(.*)", calendar.replace("\r", "")) == [status, status]
        assert calendar.count("BEGIN:VCALENDAR") == 1


async def test_a_provider_of_two_services_of_a_visit_is_told_of_both_and_why_they_are_cancelled(
    api: Api, salon: Salon, mails: Post
) -> None:
    visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.ada), (salon.cut, salon.bea))
    await salon.ask("visitConfirm", {"visitId": visit["id"]})
    await told(api.database, **mails.settings)
    mails.mails.clear()
    await salon.ask("visitCancel", {"visitId": visit["id"], "reason": "ill"})

    await told(api.database, **mails.settings)

    assert mail_to(mails, "ada") == (
        "Cancelled: 2 appointments, from Mon, Jul 5, 2027, 7:00 AM",
        (
            "Hello Ada,\n\n2 appointments of Charles Babbage have been cancelled.\n\n"
            "When: Monday, July 5, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time): Cut\n"
            "When: Monday, July 5, 2027, 7:30 AM – 8:00 AM (Coordinated Universal Time): Colour\n"
            "With: Charles Babbage\nReason: ill\n\nSalon · http://localhost:8000\n"
        ),
    )
    assert mail_to(mails, "charles")[1] == (
        "Hello Charles,\n\nYour 3 appointments have been cancelled.\n\n"
        "When: Monday, July 5, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time): Cut · Ada Lovelace\n"
        "When: Monday, July 5, 2027, 7:30 AM – 8:00 AM (Coordinated Universal Time): Colour · Ada Lovelace\n"
        "When: Monday, July 5, 2027, 8:00 AM – 8:30 AM (Coordinated Universal Time): Cut · Bea Hopper\n"
        "Reason: ill\n\nSalon · http://localhost:8000\n"
    )
    assert len(mails.mails) == 3
    assert {template for template, _ in await about(api)} == {"CONFIRMED", "BOOKED", "CANCELLED", "BOOKING_CANCELLED"}


async def test_a_series_is_told_by_the_recipients_clock_before_and_after_it_is_put_back(
    api: Api, salon: Salon, mails: Post, sql: Sql
) -> None:
    sql("UPDATE clients SET locale = 'de-DE', time_zone = 'Europe/Berlin'")
    here = salon.location("Mitte", "UTC")
    series = await salon.series(3, at=datetime(2027, 10, 18, 7, tzinfo=UTC), location_id=here)
    await salon.ask("reservationSeriesConfirm", {"seriesId": series["id"]})

    done = await told(api.database, **mails.settings)

    assert done["sent"] == 2
    assert mail_to(mails, "charles") == (
        "Bestätigt: 3 × Cut, ab Mo., 18. Okt. 2027, 09:00",
        (
            "Guten Tag Charles,\n\nIhre 3 Termine sind bestätigt.\n\nWas: Cut\n"
            "Wann: Montag, 18. Oktober 2027, 09:00 – 09:30 (Mitteleuropäische Sommerzeit)\n"
            "Wann: Montag, 25. Oktober 2027, 09:00 – 09:30 (Mitteleuropäische Sommerzeit)\n"
            "Wann: Montag, 1. November 2027, 08:00 – 08:30 (Mitteleuropäische Normalzeit)\n"
            "Wo: Mitte\nMit: Ada Lovelace\n\nSalon · http://localhost:8000\n"
        ),
    )
    assert mail_to(mails, "ada") == (
        "New booking: 3 × Cut, from Mon, Oct 18, 2027, 7:00 AM",
        (
            "Hello Ada,\n\nCharles Babbage has 3 appointments with you.\n\nWhat: Cut\n"
            "When: Monday, October 18, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time)\n"
            "When: Monday, October 25, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time)\n"
            "When: Monday, November 1, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time)\n"
            "Where: Mitte\nWith: Charles Babbage\n\nSalon · http://localhost:8000\n"
        ),
    )


async def test_of_a_series_with_conflicts_what_is_held_is_told_and_what_changes_alone_is_told_alone(
    api: Api, salon: Salon, mails: Post
) -> None:
    series = await salon.series(4, of=10)
    first, second, third, fourth = of(series)
    await salon.ask("reservationSeriesConfirm", {"seriesId": series["id"]})
    await told(api.database, **mails.settings)
    assert mail_to(mails, "charles")[1].startswith("Hello Charles,\n\nYour 4 appointments are confirmed.\n")
    mails.mails.clear()
    await api.cancel(second)
    await told(api.database, **mails.settings)
    assert mail_to(mails, "charles")[0] == "Cancelled: Cut, Mon, Jul 12, 2027, 7:00 AM"
    mails.mails.clear()

    await salon.ask("reservationSeriesCancel", {"seriesId": series["id"], "from": (MONDAY + 2 * WEEK).isoformat()})
    done = await told(api.database, **mails.settings)

    assert done["sent"] == 2
    assert mail_to(mails, "charles") == (
        "Cancelled: 2 × Cut, from Mon, Jul 19, 2027, 7:00 AM",
        (
            "Hello Charles,\n\nYour 2 appointments have been cancelled.\n\nWhat: Cut\n"
            "When: Monday, July 19, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time)\n"
            "When: Monday, July 26, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time)\n"
            "With: Ada Lovelace\n\nSalon · http://localhost:8000\n"
        ),
    )
    to_client = [(template, ids) for template, ids in await about(api) if not template.startswith("BOOK")]
    assert to_client == [
        ("CONFIRMED", [first, second, third, fourth]),
        ("CANCELLED", [second]),
        ("CANCELLED", [third, fourth]),
    ]


async def test_two_reservations_of_a_visit_that_two_mutations_cancel_are_told_in_two_messages(
    api: Api, salon: Salon, mails: Post
) -> None:
    visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.ada))
    await salon.ask("visitConfirm", {"visitId": visit["id"]})
    await told(api.database, **mails.settings)
    both = " ".join(
        f'c{n}: reservationCancel(input: {{reservationId: "{each}"}}) {{ userErrors {{ code }} }}'
        for n, each in enumerate(of(visit))
    )
    await api(f"mutation {{ {both} }}")

    await told(api.database, **mails.settings)

    first, second = of(visit)
    ends = [each for each in await about(api) if each[0] == "CANCELLED"]
    assert ends == [("CANCELLED", [first]), ("CANCELLED", [second])]


async def test_what_is_moved_before_its_message_is_sent_is_told_as_moved_and_the_rest_as_it_is(
    api: Api, salon: Salon, mails: Post, sql: Sql
) -> None:
    series = await salon.series(3)
    await salon.ask("reservationSeriesConfirm", {"seriesId": series["id"]})
    later = salon.appointment(salon.ada, MONDAY + timedelta(days=8), 30, service_id=salon.cut)
    sql("UPDATE reservations SET appointment_id = %s WHERE id = %s", key(later), key(of(series)[1]))

    done = await told(api.database, **mails.settings)

    assert (done["sent"], done["dropped"]) == (4, 0)
    texts = [mails.text(n) for n, mail in enumerate(mails.mails) if mail["to"] == "charles@salon.example"]
    assert texts == [
        (
            "Hello Charles,\n\nYour 2 appointments are confirmed.\n\nWhat: Cut\n"
            "When: Monday, July 5, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time)\n"
            "When: Monday, July 19, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time)\n"
            "With: Ada Lovelace\n\nSalon · http://localhost:8000\n"
        ),
        (
            "Hello Charles,\n\nYour appointment has been moved. It was on Mon, Jul 12, 2027, 7:00 AM.\n\nWhat: Cut\n"
            "When: Tuesday, July 13, 2027, 7:00 AM – 7:30 AM (Coordinated Universal Time)\n"
            "With: Ada Lovelace\n\nSalon · http://localhost:8000\n"
        ),
    ]


async def test_a_visit_of_which_nothing_is_true_any_more_is_dropped(api: Api, salon: Salon, mails: Post) -> None:
    visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.ada))
    await salon.ask("visitConfirm", {"visitId": visit["id"]})
    await salon.ask("visitCancel", {"visitId": visit["id"]})

    await told(api.database, **mails.settings)

    assert [(node["template"], node["status"], node["problem"]) for node in reversed(await log(api))] == [
        ("CONFIRMED", "DROPPED", "It is no longer true."),
        ("BOOKED", "DROPPED", "It is no longer true."),
        ("CANCELLED", "SENT", None),
        ("BOOKING_CANCELLED", "SENT", None),
    ]


async def test_requests_of_a_visit_are_one_message_and_so_is_what_becomes_of_them(
    api: Api, salon: Salon, mails: Post, sql: Sql
) -> None:
    sql("UPDATE services SET approval_time = '02:00:00'")
    visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.ada))
    client = await bearer(api, Role.CLIENT, person=salon.charles)
    await salon.ask("visitConfirm", {"visitId": visit["id"]}, client)
    await told(api.database, **mails.settings)
    await salon.ask("visitCancel", {"visitId": visit["id"], "reason": "We are closed."})

    await told(api.database, **mails.settings)

    when = [
        f"When: Monday, July 5, 2027, {hours} (Coordinated Universal Time): {what}\n"
        for hours, what in (("7:00 AM – 7:30 AM", "Cut"), ("7:30 AM – 8:00 AM", "Colour"))
    ]
    assert await about(api) == [("REQUESTED", of(visit)), ("DECLINED", of(visit))]
    assert mail_to(mails, "ada") == (
        "Please decide: 2 appointments, from Mon, Jul 5, 2027, 7:00 AM",
        (
            "Hello Ada,\n\nCharles Babbage asks for 2 appointments with you. Please approve or decline the requests.\n\n"
            f"{''.join(when)}With: Charles Babbage\n\nSalon · http://localhost:8000\n"
        ),
    )
    assert mail_to(mails, "charles") == (
        "Not accepted: 2 appointments, from Mon, Jul 5, 2027, 7:00 AM",
        (
            "Hello Charles,\n\nYour requests for 2 appointments could not be accepted. The times are free again.\n\n"
            f"{''.join(when)}With: Ada Lovelace\nReason: We are closed.\n\nSalon · http://localhost:8000\n"
        ),
    )


async def test_an_sms_tells_all_times_and_who_wants_no_mail_gets_none(
    api: Api, salon: Salon, mails: Post, phone: Telephone, sql: Sql
) -> None:
    sql("UPDATE clients SET phone = '+49 170 1'")
    sql(WISH.format("client_id"), DEFAULT_BUSINESS, key(salon.charles), "SMS", True)
    sql(WISH.format("client_id"), DEFAULT_BUSINESS, key(salon.charles), "EMAIL", False)
    sql(WISH.format("provider_id"), DEFAULT_BUSINESS, key(salon.ada), "EMAIL", False)
    visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.bea))
    await salon.ask("visitConfirm", {"visitId": visit["id"]})
    series = await salon.series(2, at=MONDAY + WEEK)
    await salon.ask("reservationSeriesConfirm", {"seriesId": series["id"]})

    await told(api.database, **mails.settings, **phone.settings)

    assert [mail["to"] for mail in mails.mails] == ["bea@salon.example"]
    assert [asked["text"] for asked in phone.asked] == [
        (
            "Salon: Your 2 appointments are confirmed. Mon, Jul 5, 2027, 7:00 AM: Cut; Mon, Jul 5, 2027, 7:30 AM: Colour"
            " (Coordinated Universal Time)"
        ),
        (
            "Salon: Your 2 appointments are confirmed. Cut: Mon, Jul 12, 2027, 7:00 AM; Mon, Jul 19, 2027, 7:00 AM"
            " (Coordinated Universal Time)"
        ),
    ]


@pytest.mark.parametrize("most", [1, 7, 13])
async def test_events_of_a_series_that_are_handed_over_one_by_one_are_one_message(
    api: Api, salon: Salon, mails: Post, sql: Sql, most: int
) -> None:
    series = await salon.series(5)
    await relayed(api.database)
    await salon.ask("reservationSeriesConfirm", {"seriesId": series["id"]})
    sql("SELECT relay_events(1)")
    while sql("SELECT handed FROM hand_over('recipients', %s)", most) != [(0,)]:
        pass
    assert await about(api) == [("CONFIRMED", of(series)), ("BOOKED", of(series))]
    done = await told(api.database, **mails.settings)

    again = await told(api.database, **mails.settings)

    assert (done["sent"], again["sent"]) == (2, 0)
    assert await about(api) == [("CONFIRMED", of(series)), ("BOOKED", of(series))]
    assert sql("SELECT count(*), count(DISTINCT event_id) FROM notification_reservations") == [(10, 5)]


async def test_an_event_that_is_handed_over_late_adds_nothing_to_what_the_others_have_told(
    api: Api, salon: Salon, mails: Post, sql: Sql
) -> None:
    series = await salon.series(3)
    await salon.ask("reservationSeriesConfirm", {"seriesId": series["id"]})
    await told(api.database, **mails.settings)

    sql(
        "SELECT hand_to_recipients(position, position) FROM events"
        " WHERE type = 'scheduling.reservation.confirmed.v1' ORDER BY position DESC"
    )

    assert (await told(api.database, **mails.settings))["sent"] == 0
    assert await about(api) == [("CONFIRMED", of(series)), ("BOOKED", of(series))]


async def test_nobody_else_sees_what_a_message_is_about(api: Api, salon: Salon) -> None:
    visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.bea))
    await salon.ask("visitConfirm", {"visitId": visit["id"]})
    await told(api.database)
    headers = await bearer(api, Role.PROVIDER, person=salon.bea)

    answer = await api.post(ABOUT, headers, id=None)

    first, second = of(visit)
    nodes = answer["data"]["notifications"]["nodes"]
    assert [(node["template"], of(node)) for node in nodes] == [("BOOKED", [second])]
    assert (await api.post(ABOUT, headers, id=first))["data"]["notifications"]["nodes"] == []


async def test_an_erased_client_leaves_no_words_in_what_was_told_of_a_visit(
    api: Api, salon: Salon, mails: Post, sql: Sql
) -> None:
    visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.bea))
    await salon.ask("visitConfirm", {"visitId": visit["id"]})
    await told(api.database, **mails.settings)

    await api("mutation ($c: ID!) { clientErase(input: {clientId: $c}) { userErrors { code } } }", c=salon.charles)

    assert sql("SELECT DISTINCT status, subject, text FROM notifications") == [("SENT", None, None)]


async def test_two_workers_one_of_them_killed_tell_each_visit_once(
    salon: Salon, mails: Post, sql: Sql, database: str
) -> None:
    mails.delay = 0.1
    for n in range(8):
        visit = await salon.visit((salon.cut, salon.ada), (salon.colour, salon.ada), at=MONDAY + n * 4 * HALF)
        await salon.ask("visitConfirm", {"visitId": visit["id"]})
    sent = "SELECT count(*) FROM notifications WHERE status = 'SENT'"
    workers = [begun(database, **mails.settings) for _ in range(2)]
    try:
        until(lambda: len(mails.mails) > 3, within=60)

        workers[0].send_signal(signal.SIGKILL)

        workers[0].wait()
        until(lambda: sql("SELECT count(*) FROM notifications WHERE attempts = 0") == [(0,)], within=60)
        await asyncio.sleep(2.5)  # what the living worker has in hand is done with by then
        sql("UPDATE notifications SET claimed_until = clock_timestamp() WHERE claimed_until IS NOT NULL")
        until(lambda: sql(sent) == [(16,)], within=60)
    finally:
        for worker in workers:
            worker.terminate()
            with suppress(subprocess.TimeoutExpired):
                worker.communicate(timeout=20)

    references = [mail["message-id"] for mail in mails.mails]
    assert len(set(references)) == 16
    assert len(references) <= 17  # the one that was handed over, and not written down
    assert sql("SELECT count(*) FROM notification_reservations") == [(32,)]
    assert {mail["subject"][:26] for mail in mails.mails} == {
        "Confirmed: 2 appointments,",
        "New booking: 2 appointment",
    }
