"""Local time becomes an instant in one place: first occurrence, moment of the jump, first instant of a date."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.refusal import UnknownTimeZone
from models.zone import day, instant, names, near, zone

# Zone, local start and end, the same in UTC, and the minutes between.
WINDOWS = [
    ("Europe/Berlin", "2027-03-28 01:00", "2027-03-28 04:00", "2027-03-28 00:00", "2027-03-28 02:00", 120),
    ("Europe/Berlin", "2027-03-28 02:30", "2027-03-28 03:30", "2027-03-28 01:00", "2027-03-28 01:30", 30),
    ("Europe/Berlin", "2027-10-31 01:00", "2027-10-31 04:00", "2027-10-30 23:00", "2027-10-31 03:00", 240),
    ("Europe/Berlin", "2027-10-31 02:15", "2027-10-31 02:45", "2027-10-31 00:15", "2027-10-31 00:45", 30),
    ("America/New_York", "2027-11-07 01:00", "2027-11-07 02:00", "2027-11-07 05:00", "2027-11-07 07:00", 120),
    ("Australia/Lord_Howe", "2027-04-04 01:00", "2027-04-04 03:00", "2027-04-03 14:00", "2027-04-03 16:30", 150),
    ("Asia/Kathmandu", "2027-05-03 09:00", "2027-05-03 17:00", "2027-05-03 03:15", "2027-05-03 11:15", 480),
    ("Africa/Cairo", "2027-04-30 00:00", "2027-05-01 00:00", "2027-04-29 22:00", "2027-04-30 21:00", 1380),
    ("Pacific/Kiritimati", "2027-01-01 00:00", "2027-01-02 00:00", "2026-12-31 10:00", "2027-01-01 10:00", 1440),
    ("Europe/Berlin", "2027-03-22 09:00", "2027-03-22 17:00", "2027-03-22 08:00", "2027-03-22 16:00", 480),
    ("Europe/Berlin", "2027-03-29 09:00", "2027-03-29 17:00", "2027-03-29 07:00", "2027-03-29 15:00", 480),
]
DATES = [
    ("Europe/Berlin", "2027-03-28", "2027-03-27 23:00", 23 * 60),
    ("Europe/Berlin", "2027-10-31", "2027-10-30 22:00", 25 * 60),
    ("America/New_York", "2027-11-07", "2027-11-07 04:00", 25 * 60),
    ("Australia/Lord_Howe", "2027-04-04", "2027-04-03 13:00", 24 * 60 + 30),
    ("Africa/Cairo", "2027-04-30", "2027-04-29 22:00", 23 * 60),
    ("Asia/Kathmandu", "2027-05-03", "2027-05-02 18:15", 24 * 60),
    ("Pacific/Kiritimati", "2027-01-01", "2026-12-31 10:00", 24 * 60),
    # Samoa went to bed on the 29th and woke on the 31st: the 30th has no instants at all.
    ("Pacific/Apia", "2011-12-29", "2011-12-29 10:00", 24 * 60),
    ("Pacific/Apia", "2011-12-30", "2011-12-30 10:00", 0),
    ("Pacific/Apia", "2011-12-31", "2011-12-30 10:00", 24 * 60),
    ("UTC", "2027-05-03", "2027-05-03 00:00", 24 * 60),
]


def utc(value: str) -> datetime:
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


@pytest.mark.parametrize(("name", "start", "end", "starts_at", "ends_at", "minutes"), WINDOWS)
def test_a_window_of_local_time_is_this_long(
    name: str, start: str, end: str, starts_at: str, ends_at: str, minutes: int
) -> None:
    where = zone(name)

    found = instant(datetime.fromisoformat(start), where), instant(datetime.fromisoformat(end), where)

    assert found == (utc(starts_at), utc(ends_at))
    assert found[1] - found[0] == timedelta(minutes=minutes)


@pytest.mark.parametrize(("name", "which", "first", "minutes"), DATES)
def test_a_date_is_from_its_first_instant_to_that_of_the_next(name: str, which: str, first: str, minutes: int) -> None:
    begins, ends = day(date.fromisoformat(which), zone(name))

    assert begins == utc(first)
    assert ends - begins == timedelta(minutes=minutes)


def test_lead_time_over_a_change_of_the_clock_is_elapsed_time() -> None:
    berlin = zone("Europe/Berlin")

    ahead = instant(datetime(2027, 3, 28, 12, 30), berlin) - instant(datetime(2027, 3, 27, 12), berlin)  # noqa: DTZ001

    assert ahead == timedelta(hours=23, minutes=30)


local_times = st.datetimes(datetime(2000, 1, 1), datetime(2199, 12, 30))  # noqa: DTZ001
zones = st.sampled_from(sorted(names())).map(ZoneInfo)


@settings(deadline=None)
@given(local_times, zones)
def test_a_wall_time_that_exists_is_its_first_occurrence(local: datetime, where: ZoneInfo) -> None:
    found = instant(local, where)

    shown = found.astimezone(where).replace(tzinfo=None)
    if shown == local:
        assert found.astimezone(where).fold == 0
        return
    # It lies in a gap: one second earlier the clock had not come so far, now it is beyond.
    earlier = (found - timedelta(seconds=1)).astimezone(where).replace(tzinfo=None)
    assert earlier < local < shown


@settings(deadline=None)
@given(st.dates(date(2000, 1, 1), date(2199, 12, 29)), zones)
def test_dates_follow_each_other_without_gap_or_overlap(which: date, where: ZoneInfo) -> None:
    begins, ends = day(which, where)

    assert ends == day(which + timedelta(days=1), where)[0]
    assert begins <= ends
    if begins < ends:
        assert begins.astimezone(where).date() == which
        assert (ends - timedelta(microseconds=1)).astimezone(where).date() == which


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kathmandu"])
def test_a_name_of_the_database_is_known(name: str) -> None:
    assert zone(name).key == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "XXX5", "localtime", "posixrules", "Factory", "posix/Europe/Berlin", "europe/berlin", "Europe/Berlin ",
     "../../etc/passwd", "/etc/localtime", "tzdata.zi", "CEST", "+02:00", "Europe/Berlin\0", "Mars/Olympus", "x" * 5000],
)  # fmt: skip
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownTimeZone) as refused:
        zone(name, "timeZone")

    assert refused.value.field == ["timeZone"]
    assert len(refused.value.sentence) < 300
    assert len(refused.value.details["suggestions"]) <= 3
    assert set(refused.value.details["suggestions"]) <= names()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("Europe/Zürich", "Europe/Zurich"),
        ("America/Sao Paulo", "America/Sao_Paulo"),
        ("Kathmandoo", "Asia/Kathmandu"),
    ],
)
def test_a_near_name_is_suggested_first(written: str, meant: str) -> None:
    with pytest.raises(UnknownTimeZone) as refused:
        zone(written)

    assert refused.value.details["suggestions"][0] == meant
    assert f"did you mean {meant}" in refused.value.sentence


def test_near_names_are_three_at_most_and_never_twice() -> None:
    known = ["Here/Aaaa", "There/Aaaa", "Where/Aaab", "Where/Aaac", "Where/Aaad"]

    found = near("aaaa", known)

    assert len(found) == len(set(found)) == 3
    assert near("zzzz", known) == []


def test_a_name_that_looks_like_nothing_has_no_suggestion() -> None:
    with pytest.raises(UnknownTimeZone) as refused:
        zone("0123456789")

    assert refused.value.sentence == "'0123456789' is not a time zone of the IANA database."
