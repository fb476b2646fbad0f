"""Foreign calendars: events of every kind become the right instants, in any zone, and what cannot be read says why."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from models.foreign_calendar import MOST_BUSY, busy_times
from models.foreign_event import Reading, UnreadableError

BERLIN = ZoneInfo("Europe/Berlin")
TODAY = date(2027, 3, 1)
VTIMEZONE = """BEGIN:VTIMEZONE
TZID:Our Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
"""


def calendar(*events: str, beside: str = "") -> bytes:
    """A calendar of events, each of which is told by its lines."""
    told = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Elsewhere//EN\n{beside}{told}END:VCALENDAR\n"
    return text.replace("\n", "\r\n").encode()


def read(*events: str, beside: str = "", zone: ZoneInfo = BERLIN, today: date = TODAY) -> list[str]:
    """The busy times, as `03-02 09:00 - 03-02 10:00` in UTC."""
    spans = busy_times(calendar(*events, beside=beside), Reading.on(today, zone))
    return [" - ".join(f"{instant:%m-%d %H:%M}" for instant in span) for span in spans]


@pytest.mark.parametrize(
    ("event", "busy"),
    [
        ("DTSTART:20270302T090000Z\nDTEND:20270302T100000Z", ["03-02 09:00 - 03-02 10:00"]),
        ("DTSTART:20270302T090000Z\nDURATION:PT90M", ["03-02 09:00 - 03-02 10:30"]),
        ("DTSTART;TZID=America/New_York:20270302T090000\nDURATION:PT1H", ["03-02 14:00 - 03-02 15:00"]),
        ("DTSTART;TZID=W. Europe Standard Time:20270302T090000\nDURATION:PT1H", ["03-02 08:00 - 03-02 09:00"]),
        # Floating: whatever the provider's clock shows. All day: the provider's own date.
        ("DTSTART:20270302T090000\nDTEND:20270302T100000", ["03-02 08:00 - 03-02 09:00"]),
        ("DTSTART;VALUE=DATE:20270302", ["03-01 23:00 - 03-02 23:00"]),
        ("DTSTART;VALUE=DATE:20270302\nDTEND;VALUE=DATE:20270304", ["03-01 23:00 - 03-03 23:00"]),
        # The clocks go forward on 28 March and back on 31 October: dates of 23 and of 25 hours.
        ("DTSTART;VALUE=DATE:20270328", ["03-27 23:00 - 03-28 22:00"]),
        ("DTSTART;VALUE=DATE:20271031", ["10-30 22:00 - 10-31 23:00"]),
        ("DTSTART;TZID=Europe/Berlin:20270328T023000\nDURATION:PT1H", ["03-28 01:00 - 03-28 02:00"]),
        ("DTSTART;TZID=Europe/Berlin:20271031T023000\nDURATION:PT1H", ["10-31 00:30 - 10-31 01:30"]),
        # What takes no time
        ("DTSTART:20270302T090000Z", []),
        ("DTSTART:20270302T090000Z\nDTEND:20270302T080000Z", []),
        ("DTSTART:20270302T090000Z\nDURATION:PT1H\nTRANSP:TRANSPARENT", []),
        ("DTSTART:20270302T090000Z\nDURATION:PT1H\nSTATUS:CANCELLED", []),
        ("DTSTART:20270302T090000Z\nDURATION:PT1H\nSTATUS:TENTATIVE\nTRANSP:OPAQUE", ["03-02 09:00 - 03-02 10:00"]),
        # What is over, and what is too far ahead
        ("DTSTART:20270228T230000Z\nDURATION:PT1H", []),
        ("DTSTART:20270228T233000Z\nDURATION:PT1H", ["02-28 23:30 - 03-01 00:30"]),
        ("DTSTART:20280229T235900Z\nDURATION:PT1H", ["02-29 23:59 - 03-01 00:59"]),
        ("DTSTART:20280301T000000Z\nDURATION:PT1H", []),
    ],
)
def test_an_event_is_busy_when_it_takes_time(event: str, busy: list[str]) -> None:
    assert read(f"UID:1\n{event}") == busy


@pytest.mark.parametrize(
    ("event", "busy"),
    [
        ("RRULE:FREQ=DAILY;COUNT=3", ["03-26 08:00", "03-27 08:00", "03-28 07:00"]),
        ("RRULE:FREQ=DAILY;INTERVAL=2;UNTIL=20270330T070000Z", ["03-26 08:00", "03-28 07:00", "03-30 07:00"]),
        ("RRULE:FREQ=DAILY;UNTIL=20270327", ["03-26 08:00", "03-27 08:00"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=FR,SU;COUNT=4", ["03-26 08:00", "03-28 07:00", "04-02 07:00", "04-04 07:00"]),
        ("RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=3", ["03-26 08:00", "04-30 07:00", "05-28 07:00"]),
        ("RRULE:FREQ=YEARLY;COUNT=5", ["03-26 08:00"]),
        ("RRULE:FREQ=DAILY;COUNT=3\nEXDATE;TZID=Europe/Berlin:20270327T090000", ["03-26 08:00", "03-28 07:00"]),
        ("RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20270326T080000Z\nEXDATE:20270328T070000Z", ["03-27 08:00"]),
        ("RDATE;TZID=Europe/Berlin:20270328T090000,20270401T120000", ["03-26 08:00", "03-28 07:00", "04-01 10:00"]),
        ("RDATE:20270326T080000Z", ["03-26 08:00"]),
        ("RDATE;VALUE=PERIOD:20270401T080000Z/PT2H", ["03-26 08:00", "04-01 08:00 - 10:00"]),
        ("RDATE;VALUE=PERIOD:20270401T080000Z/20270401T083000Z", ["03-26 08:00", "04-01 08:00 - 08:30"]),
    ],
)
def test_an_event_repeats_on_the_clock_of_its_zone(event: str, busy: list[str]) -> None:
    expected = [f"{each[:11]} - {each[:6]}{each[14:] or f'{int(each[6:8]) + 1:02}{each[8:11]}'}" for each in busy]

    assert read(f"UID:1\nDTSTART;TZID=Europe/Berlin:20270326T090000\nDURATION:PT1H\n{event}") == expected


def test_a_series_that_began_long_ago_goes_on() -> None:
    spans = read("UID:1\nDTSTART;TZID=Europe/Berlin:20010101T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=MO")

    assert (len(spans), spans[0], spans[-1]) == (53, "03-01 08:00 - 03-01 09:00", "02-28 08:00 - 02-28 09:00")


def test_an_event_of_a_series_that_was_moved_is_busy_where_it_is_now() -> None:
    series = "UID:1\nDTSTART;TZID=Europe/Berlin:20270302T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=4"
    later = "UID:1\nRECURRENCE-ID;TZID=Europe/Berlin:20270303T090000\nDTSTART:20270310T120000Z\nDURATION:PT2H"
    gone = "UID:1\nRECURRENCE-ID:20270304T080000Z\nDTSTART:20270304T080000Z\nDURATION:PT1H\nSTATUS:CANCELLED"

    assert read(later, gone, series) == [
        "03-02 08:00 - 03-02 09:00",
        "03-05 08:00 - 03-05 09:00",
        "03-10 12:00 - 03-10 14:00",
    ]


def test_a_day_of_a_series_of_days_can_be_moved() -> None:
    series = "UID:1\nDTSTART;VALUE=DATE:20270302\nRRULE:FREQ=WEEKLY;COUNT=2"
    moved = "UID:1\nRECURRENCE-ID;VALUE=DATE:20270309\nDTSTART;VALUE=DATE:20270310"

    assert read(series, moved) == ["03-01 23:00 - 03-02 23:00", "03-09 23:00 - 03-10 23:00"]


@pytest.mark.parametrize(
    "place", ["RECURRENCE-ID;VALUE=DATE:20270303", "RECURRENCE-ID;TZID=Europe/Berlin:20270303T003000"]
)
def test_an_event_of_a_series_of_times_may_be_named_by_its_date(place: str) -> None:
    series = "UID:1\nDTSTART;TZID=Europe/Berlin:20270302T003000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3"
    moved = f"UID:1\n{place}\nDTSTART:20270310T120000Z\nDURATION:PT2H"

    assert read(series, moved) == read(f"{series}\nEXDATE;VALUE=DATE:20270303", moved.replace("UID:1", "UID:2"))
    assert read(series, moved) == [
        "03-01 23:30 - 03-02 00:30",
        "03-03 23:30 - 03-04 00:30",
        "03-10 12:00 - 03-10 14:00",
    ]


def test_a_calendar_may_tell_when_somebody_is_busy_and_no_more() -> None:
    told = (
        "BEGIN:VFREEBUSY\nUID:1\nDTSTART:20270301T000000Z\nDTEND:20270401T000000Z\n"
        "FREEBUSY;FBTYPE=BUSY:20270302T090000Z/PT1H,20270303T090000Z/20270303T103000Z\n"
        "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20270304T090000Z/PT1H\n"
        "FREEBUSY;FBTYPE=FREE:20270305T090000Z/PT1H\n"
        "FREEBUSY:20270306T090000Z/PT1H\nEND:VFREEBUSY\n"
    )

    assert read(beside=told) == [
        "03-02 09:00 - 03-02 10:00",
        "03-03 09:00 - 03-03 10:30",
        "03-04 09:00 - 03-04 10:00",
        "03-06 09:00 - 03-06 10:00",
    ]


def test_of_an_event_that_is_there_twice_the_newer_one_counts() -> None:
    old = "UID:1\nSEQUENCE:1\nDTSTART:20270302T090000Z\nDURATION:PT1H"
    new = "UID:1\nSEQUENCE:2\nDTSTART:20270303T090000Z\nDURATION:PT1H"

    assert read(old, new) == read(new, old) == ["03-03 09:00 - 03-03 10:00"]


def test_two_events_at_the_same_time_are_one_busy_time() -> None:
    same = "DTSTART:20270302T090000Z\nDURATION:PT1H"

    assert read(f"UID:1\n{same}", f"UID:2\n{same}", same) == ["03-02 09:00 - 03-02 10:00"]


def test_a_zone_that_the_calendar_describes_itself_is_known_wherever_it_stands() -> None:
    events = (
        "UID:1\nDTSTART;TZID=Our Time:20270326T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3",
        "UID:2\nDTSTART;TZID=Our Time:20271030T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=2",
    )

    assert read(*events, beside=VTIMEZONE) == [
        "03-26 08:00 - 03-26 09:00",
        "03-27 08:00 - 03-27 09:00",
        "03-28 07:00 - 03-28 08:00",
        "10-30 07:00 - 10-30 08:00",
        "10-31 08:00 - 10-31 09:00",
    ]


def test_what_is_longer_than_a_year_is_cut_always_at_the_same_places() -> None:
    endless = "UID:1\nDTSTART:20260101T000000Z\nDTEND:20360101T000000Z"
    pieces = [start - timedelta(days=366) * n for n, (start, _) in enumerate(_spans(endless, TODAY))]

    spans = _spans(endless, TODAY)

    assert [end - start for start, end in spans] == [timedelta(days=366)] * 2
    assert pieces == [datetime(2027, 1, 2, tzinfo=UTC)] * 2
    assert _spans(endless, TODAY + timedelta(days=1)) == spans


def _spans(event: str, today: date) -> list[tuple[datetime, datetime]]:
    return busy_times(calendar(event), Reading.on(today, BERLIN))


MOMENT = "UID:1\nDTSTART:20270302T090000Z\nDURATION:PT1H\n"
BROKEN = "An event of the calendar is not written as RFC 5545 says."
NOT_A_CALENDAR = "This is not a calendar (RFC 5545)."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", NOT_A_CALENDAR),
        (b"\x00\x01", NOT_A_CALENDAR),
        (b"<html><body>Sign in</body></html>", NOT_A_CALENDAR),
        (b'{"busy": []}', NOT_A_CALENDAR),
        (b"BEGIN:VCALENDAR\r\n", NOT_A_CALENDAR),
        (b"BEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\n", NOT_A_CALENDAR),
        ("BEGIN:VCALENDAR\r\nX:\u00fc\r\nEND:VCALENDAR\r\n".encode("latin-1"), "The calendar is not written in UTF-8."),
        (calendar("UID:1"), BROKEN),
        (calendar("UID:1\nDTSTART:2027-03-02"), BROKEN),
        (calendar("UID:1\nDTSTART:20270230T090000Z\nDURATION:PT1H"), BROKEN),
        (calendar("UID:1\nDTSTART:PT1H\nDURATION:PT1H"), BROKEN),
        (calendar(f"{MOMENT}RRULE:FREQ=DAILY;BYDAY=XX"), BROKEN),
        (
            calendar("UID:1\nDTSTART;TZID=Mars/Olympus:20270302T090000\nDURATION:PT1H"),
            "The calendar does not tell what its time zone 'Mars/Olympus' is.",
        ),
        (
            calendar(f"{MOMENT}EXDATE;TZID=Mars/Olympus:20270302T090000"),
            "The calendar does not tell what its time zone 'Mars/Olympus' is.",
        ),
        (
            calendar(f"{MOMENT}RRULE:FREQ=SECONDLY"),
            "The calendar repeats an event otherwise than DAILY, WEEKLY, MONTHLY, YEARLY.",
        ),
        (
            calendar(f"{MOMENT}RECURRENCE-ID;RANGE=THISANDFUTURE:20270302T090000Z"),
            "The calendar moves all later events of a series at once (RANGE), which is not read.",
        ),
        (
            calendar("UID:1\nDTSTART:18000101T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY"),
            "The calendar repeats an event more than 40000 times.",
        ),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, sentence: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        busy_times(content, Reading.on(TODAY, BERLIN))

    assert str(refused.value) == sentence


def test_a_calendar_may_have_so_many_busy_times_and_no_more() -> None:
    def many(count: int) -> bytes:
        start = datetime(2027, 3, 2, tzinfo=UTC)
        return calendar(
            *(f"UID:{n}\nDTSTART:{start + n * timedelta(hours=1):%Y%m%dT%H%M%SZ}\nDURATION:PT30M" for n in range(count))
        )

    assert len(busy_times(many(MOST_BUSY), Reading.on(TODAY, BERLIN))) == MOST_BUSY
    with pytest.raises(UnreadableError, match="more than 2000 busy times"):
        busy_times(many(MOST_BUSY + 1), Reading.on(TODAY, BERLIN))
