"""Messages: every template in every language says what it has to, and values say nothing but themselves."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from babel import Locale

from models.locale import locale
from models.notification import NotificationTemplate
from models.refusal import InvalidInput
from server.channels.delivery import UndeliverableError
from server.channels.email import Mail, write
from server.mail_server import MailServer, mail_address, mail_server
from server.message import FOLDER, chosen, languages, message, moment, one_line, quoted

STARTS, ENDS = datetime(2027, 5, 3, 9, tzinfo=UTC), datetime(2027, 5, 3, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOBODY = UUID(int=0)
TO_PROVIDER = ("BOOKED", "BOOKING_CANCELLED", "BOOKING_RESCHEDULED", "BOOKING_PASSED_ON", "REQUESTED")


def row(template: str = "CONFIRMED", **changed: Any) -> Any:
    """What the worker reads of a message."""
    person = {"first_name": "Ada", "locale": None, "time_zone": None}
    values = {
        "template": template,
        "client_id": None if template in TO_PROVIDER else NOBODY,
        **{f"client_{name}": value for name, value in person.items()},
        **{f"reader_{name}": value for name, value in person.items()},
        "client_first_name": "Charles",
        "client_last_name": "Babbage",
        "provider_first_name": "Ada",
        "provider_last_name": "Lovelace",
        "business_name": "Salon",
        "business_locale": "en",
        "business_time_zone": "Europe/Berlin",
        "location_name": "Here",
        "location_address": "Street 1\n10117 Berlin",
        "location_time_zone": None,
        "service": "Haircut",
        "reservation_starts_at": STARTS,
        "reservation_ends_at": ENDS,
        "reservation_cancel_reason": "Ill",
        "event_data": {"from": {"starts_at": "2027-05-02T09:00:00+00:00"}},
    }
    return SimpleNamespace(**{**values, **changed})


@pytest.mark.parametrize("language", sorted(languages()))
@pytest.mark.parametrize("template", NotificationTemplate)
def test_every_template_is_written_in_every_language(template: str, language: str) -> None:
    written = message([row(template, business_locale=language)], "https://salon.example")

    whole = written.subject + written.text + written.html + written.sms
    assert written.language == language
    assert "Haircut" in written.subject
    assert "\n" not in written.subject + written.sms
    assert not re.search(r"[{}]|%\}|None", whole.replace("font-family", ""))
    assert "Here, Street 1 10117 Berlin" in written.text
    assert "https://salon.example" in written.html
    assert ("Ill" in written.text) == ("CANCELLED" in template or template == "DECLINED")


def test_every_language_has_its_own_words() -> None:
    names = {path.stem: re.findall(r"block (\w+)", path.read_text()) for path in FOLDER.glob("??.txt")}

    assert set(names) == {"de", "en", "es", "pt"}
    assert len({tuple(each) for each in names.values()}) == 1
    assert {each for each in names["en"] if each.isupper()} == {template.value for template in NotificationTemplate}
    subjects = [message([row(business_locale=each)], "").subject for each in sorted(names)]
    assert subjects == [
        "Bestätigt: Haircut, Mo., 3. Mai 2027, 11:00",
        "Confirmed: Haircut, Mon, May 3, 2027, 11:00 AM",
        "Confirmada: Haircut, lun, 3 may 2027, 11:00",
        "Confirmado: Haircut, seg., 3 de mai. de 2027, 11:00",
    ]


SEVERAL = ("CONFIRMED", "CANCELLED", "DECLINED", "LAPSED", "REMINDER", "BOOKED", "BOOKING_CANCELLED", "REQUESTED")


@pytest.mark.parametrize("language", sorted(languages()))
@pytest.mark.parametrize("template", SEVERAL)
def test_several_are_told_in_every_language(template: str, language: str) -> None:
    later = {"reservation_starts_at": STARTS + HOUR, "reservation_ends_at": ENDS + HOUR, "service": "Colour"}
    rows = [row(template, business_locale=language, **more) for more in ({}, later)]

    written = message(rows, "https://salon.example")

    assert "2 " in written.subject
    assert re.search(r"11[:.]00", written.subject)
    for line in ("Haircut", "Colour"):
        assert len(re.findall(rf"\): {line}$", written.text, re.MULTILINE)) == 1
        assert written.html.count(line) == written.sms.count(line) == 1
    assert not re.search(
        r"[{}]|%\}|None", (written.subject + written.text + written.sms + written.html).replace("font-family", "")
    )
    assert "\n" not in written.subject + written.sms
    assert written.text.count("Here, Street 1 10117 Berlin") == 1


def test_several_are_told_in_the_words_of_each_language() -> None:
    rows = {
        each: [row(business_locale=each, reservation_starts_at=STARTS + n * HOUR) for n in range(2)]
        for each in ("de", "es", "pt")
    }
    written = {each: message(of, "") for each, of in rows.items()}

    assert {each: one.subject for each, one in written.items()} == {
        "de": "Bestätigt: 2 × Haircut, ab Mo., 3. Mai 2027, 11:00",
        "es": "Confirmada: 2 × Haircut, desde el lun, 3 may 2027, 11:00",
        "pt": "Confirmado: 2 × Haircut, a partir de seg., 3 de mai. de 2027, 11:00",
    }
    assert {each: one.text.splitlines()[2] for each, one in written.items()} == {
        "de": "Ihre 2 Termine sind bestätigt.",
        "es": "Sus 2 citas están confirmadas.",
        "pt": "Os seus 2 atendimentos estão confirmados.",
    }


def test_what_each_of_several_has_for_itself_stands_beside_its_time() -> None:
    there = {"location_name": "There", "location_address": None, "provider_first_name": "<b>"}
    rows = [
        row("CANCELLED"),
        row("CANCELLED", **there, reservation_starts_at=STARTS + HOUR, reservation_ends_at=ENDS + HOUR),
    ]

    written = message(rows, "https://salon.example")

    zone = "Central European Summer Time"
    assert written.text == (
        "Hello Charles,\n\nYour 2 appointments have been cancelled.\n\nWhat: Haircut\n"
        f"When: Monday, May 3, 2027, 11:00 AM – 11:30 AM ({zone}): Here, Street 1 10117 Berlin · Ada Lovelace\n"
        f"When: Monday, May 3, 2027, 12:00 PM – 12:30 PM ({zone}): There · <b> Lovelace\n"
        "Reason: Ill\n\nSalon · https://salon.example\n"
    )
    assert "There · &lt;b&gt; Lovelace" in written.html
    assert written.sms == (
        f"Salon: Your 2 appointments have been cancelled. Haircut: Mon, May 3, 2027, 11:00 AM; Mon, May 3, 2027, 12:00 PM ({zone})"
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (("pt-BR", "de"), "pt_BR"),
        ((None, "de-AT"), "de_AT"),
        (("fr", "es"), "es"),
        (("fr", "ja"), "en"),
        ((None, None), "en"),
    ],
)
def test_a_language_without_templates_gives_way_to_the_next(wanted: tuple[str | None, ...], found: str) -> None:
    assert str(chosen(*wanted)) == found


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("Ada", "Ada"),
        ("שלום", "\u2068שלום\u2069"),
        ("\u202eevil\u202c", "evil"),
        ("عمر\u2069 x", "\u2068عمر x\u2069"),
        ("a\r\nBcc: b\x00\x85c\td", "a Bcc: b c d"),
        (None, ""),
    ],
)
def test_a_value_stays_on_its_line_and_in_its_direction(value: str | None, told: str) -> None:
    assert quoted(value) == told


def test_a_time_is_told_by_the_clock_of_a_zone() -> None:
    berlin, english = ZoneInfo("Europe/Berlin"), Locale.parse("en_GB")

    assert moment(datetime(2027, 3, 28, 0, 59, tzinfo=UTC), berlin, english) == "Sun, 28 Mar 2027, 01:59"
    assert moment(datetime(2027, 3, 28, 1, 0, tzinfo=UTC), berlin, english) == "Sun, 28 Mar 2027, 03:00"
    assert moment(datetime(2027, 10, 31, 0, 30, tzinfo=UTC), berlin, english) == "Sun, 31 Oct 2027, 02:30"
    assert moment(datetime(2027, 10, 31, 1, 30, tzinfo=UTC), berlin, english) == "Sun, 31 Oct 2027, 02:30"


@pytest.mark.parametrize(("given", "kept"), [("EN-gb", "en-GB"), ("pt-BR", "pt-BR"), ("zh-Hant-TW", "zh-Hant-TW")])
def test_a_tag_is_written_as_usual(given: str, kept: str) -> None:
    assert locale(given, "locale") == kept


@pytest.mark.parametrize(
    "given", ["", "e", "xx", "en_GB", "en-", "-en", "en\0", "../etc", "e" * 40, "de-XX-YY-ZZ-AA", "ẞẞ"]
)
def test_what_is_no_tag_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="must be the tag of a known language"):
        locale(given, "locale")


MAIL = Mail("ref", "Salon", "ada@home.example", "Hello", "text", "<p>text</p>", "en")


def changed(**values: Any) -> Mail:
    return Mail(**{**vars(MAIL), **values})


@pytest.mark.parametrize(
    "value", ["x\r\nBcc: all@home.example", "x\nBcc: all@home.example", "x\rBcc: all@home.example"]
)
@pytest.mark.parametrize("name", ["address", "sender", "subject"])
def test_no_value_of_a_mail_adds_a_header(name: str, value: str) -> None:
    with pytest.raises(UndeliverableError):
        write(changed(**{name: value}), "no-reply@salon.example")


def test_a_mail_has_its_parts_and_a_reference_of_its_own() -> None:
    mail = write(changed(calendar=b"BEGIN:VCALENDAR\r\n", sender='Sälon, "A" <b@c.example>'), "no-reply@salon.example")

    assert [part.get_content_type() for part in mail.walk()] == [
        *("multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/calendar"),
    ]
    assert mail["Message-ID"] == "<ref@salon.example>"
    assert [each.addr_spec for each in mail["From"].addresses] == ["no-reply@salon.example"]
    assert [each.addr_spec for each in mail["To"].addresses] == ["ada@home.example"]


@pytest.mark.parametrize(
    ("value", "server"),
    [
        ("smtp://127.0.0.1:2525", MailServer("127.0.0.1", 2525)),
        ("smtp://mail.example", MailServer("mail.example", 25)),
        ("smtp://u%40x:p%2Fw@mail.example:587", MailServer("mail.example", 587, "u@x", "p/w", start_tls=True)),
        ("smtp://u:p@localhost", MailServer("localhost", 25, "u", "p")),
        ("smtp://u:p@mail.example?starttls=0", MailServer("mail.example", 25, "u", "p", start_tls=False)),
        ("smtps://u:p@mail.example", MailServer("mail.example", 465, "u", "p", use_tls=True, start_tls=False)),
        ("", None),
    ],
)
def test_the_address_of_a_mail_server_is_read(value: str, server: MailServer | None) -> None:
    assert mail_server(value) == server
    assert "p/w" not in repr(mail_server(value))


@pytest.mark.parametrize(
    "value",
    [
        *("mail.example", "http://mail.example", "smtp://", "smtp://mail.example:0", "smtp://mail.example:99999"),
        *("smtp://mail.example/path", "smtp://mail.example?tls=1", "smtp://mail.example?starttls=yes", "smtp://h?x"),
        "smtps://mail.example?starttls=1",
    ],
)
def test_what_is_no_address_of_a_mail_server_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="an address like smtp://"):
        mail_server(value)


@pytest.mark.parametrize("value", ["a", "a@", "@b", "a@b, c@d", "A <a@b>", "a@b\r\nBcc: c@d", "ä@b.example"])
def test_a_sender_is_one_plain_address(value: str) -> None:
    with pytest.raises(ValueError, match="an email address like"):
        mail_address(value)


def test_one_line_is_one_line() -> None:
    assert one_line(" a\n\tb\x1fc ") == "a b c"
