"""The rules of the database itself: they hold for every caller, and psql is a caller too."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.errors import CheckViolation, ExclusionViolation, ForeignKeyViolation, UniqueViolation

from models.business import DEFAULT_BUSINESS

Sql = Callable[..., list[tuple[Any, ...]]]
NINE = "2027-05-03 09:00Z"
CLOSED = ["EXPIRED", "CANCELLED", "COMPLETED", "NO_SHOW"]
HELD = [("scheduling.reservation.held.v1",)]
UPDATED = [("scheduling.reservation.updated.v1",)]
LONG_AGO = "2001-01-01 00:00Z"
# What belongs to a business and may change, and the least that must be said of it.
NOUNS: dict[str, dict[str, Any]] = {
    "provider": {"first_name": "Bob", "last_name": "Frank"},
    "client": {"first_name": "Bob", "last_name": "Frank"},
    "service": {"name": "Analysis"},
    "location": {"name": "Here", "time_zone": "UTC"},
    "resource": {"name": "Room 1"},
}

BEGUN = """UPDATE reservations SET (starts_at, busy_from, lead_time) = (statement_timestamp() - interval '1 minute',
statement_timestamp() - interval '1 minute', interval '-1000000 hours') WHERE id = %s"""


class Practice:
    """A business, written row by row."""

    def __init__(self, sql: Sql, business: UUID = DEFAULT_BUSINESS) -> None:
        self.sql, self.business = sql, business
        self.provider = self.insert("providers", first_name="Ada", last_name="Lovelace")
        self.client = self.insert("clients", first_name="Charles", last_name="Babbage")

    def insert(self, table: str, **values: Any) -> UUID:
        row = {"business_id": self.business, **values}
        marks = ", ".join(["%s"] * len(row))
        statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) RETURNING id"
        ((key,),) = self.sql(statement, *row.values())
        return UUID(str(key))

    def publish(self, start: str = NINE, minutes: int = 15, **more: Any) -> UUID:
        ((end,),) = self.sql("SELECT %s::timestamptz + %s", start, timedelta(minutes=minutes))
        values = {"provider_id": self.provider, "starts_at": start, "ends_at": end, **more}
        return self.insert("appointments", **values)

    def reserve(self, appointment: UUID, **more: Any) -> UUID:
        return self.insert("reservations", client_id=self.client, appointment_id=appointment, **more)

    def become(self, reservation: UUID, status: str) -> None:
        if status in ("COMPLETED", "NO_SHOW") and self.status(reservation) == "CONFIRMED":
            self.begin(reservation)
        self.sql("UPDATE reservations SET status = %s WHERE id = %s", status, reservation)

    def begin(self, reservation: UUID) -> None:
        """Let its start have come."""
        self.sql("SET session_replication_role = replica")
        self.sql(BEGUN, reservation)
        self.sql("SET session_replication_role = DEFAULT")

    def status(self, reservation: UUID) -> str:
        ((status,),) = self.sql("SELECT status FROM reservations WHERE id = %s", reservation)
        return str(status)

    def lapsed(self, appointment: UUID) -> UUID:
        """A hold whose time is over, though nobody has written so."""
        self.sql("UPDATE businesses SET hold_time = '0.000001' WHERE id = %s", self.business)
        reservation = self.reserve(appointment)
        self.sql("UPDATE businesses SET hold_time = '00:30:00' WHERE id = %s", self.business)
        return reservation

    def reach(self, status: str) -> UUID:
        """A reservation in this state."""
        appointment = self.publish()
        reservation = self.lapsed(appointment) if status == "EXPIRED" else self.reserve(appointment)
        if status in ("COMPLETED", "NO_SHOW"):
            self.become(reservation, "CONFIRMED")
        if status != "HELD":
            self.become(reservation, status)
        return reservation

    def events(self, kind: str) -> list[tuple[Any, ...]]:
        return self.sql("SELECT type FROM events WHERE type LIKE %s ORDER BY seq", f"scheduling.{kind}.%")


@pytest.fixture
def practice(sql: Sql) -> Practice:
    return Practice(sql)


@pytest.fixture
def stranger(sql: Sql) -> Practice:
    """Another business in the same database."""
    ((business,),) = sql("INSERT INTO businesses (name) VALUES ('Elsewhere') RETURNING id")
    return Practice(sql, business)


def rule(refused: pytest.ExceptionInfo[psycopg.Error]) -> tuple[str | None, str | None]:
    return refused.value.sqlstate, refused.value.diag.constraint_name


def test_what_a_caller_says_about_time_is_overwritten(practice: Practice, sql: Sql) -> None:
    long_ago, someday = "2001-01-01 00:00Z", "2099-01-01 00:00Z"
    appointment = practice.publish()

    practice.reserve(
        appointment,
        created_at=long_ago,
        scheduled_at=long_ago,
        expires_at=someday,
        confirmed_at=long_ago,
        cancelled_at=long_ago,
        starts_at=someday,
        ends_at=long_ago,
        busy_from=someday,
        busy_until=long_ago,
        lead_time="0",
        provider_id=uuid4(),
        capacity=900,
        seat=77,
        version=41,
    )

    ((just_now, others),) = sql(
        "SELECT clock_timestamp() - created_at < '5 s' AND created_at <= clock_timestamp(),"
        " (scheduled_at = created_at, expires_at - created_at, confirmed_at, cancelled_at, lead_time)::text"
        " FROM reservations"
    )
    assert just_now is True
    assert others == "(t,00:30:00,,,24:00:00)"
    assert sql(
        "SELECT r.provider_id = a.provider_id, (r.starts_at, r.ends_at) = (a.starts_at, a.ends_at),"
        " (r.busy_from, r.busy_until) = (a.starts_at, a.ends_at), r.capacity, r.seat, r.version"
        " FROM reservations r JOIN appointments a ON a.id = r.appointment_id"
    ) == [(True, True, True, 1, 1, 1)]


def test_what_was_stamped_stays_as_it_was_stamped(practice: Practice, sql: Sql) -> None:
    practice.reserve(practice.publish())
    stamped = "SELECT to_jsonb(r) - 'version' - 'note' FROM reservations r"
    before = sql(stamped)

    sql(
        "UPDATE reservations SET note = 'hello', created_at = '2001-01-01Z', scheduled_at = '2001-01-01Z',"
        " expires_at = '2099-01-01Z', confirmed_at = '2099-01-01Z', cancelled_at = '2099-01-01Z', seat = 2,"
        " starts_at = '2099-01-01Z', ends_at = '2099-01-02Z', busy_from = '2099-01-01Z', busy_until = '2099-01-02Z',"
        " lead_time = '0', lead_waived_by = uuidv7(), provider_id = uuidv7(), client_id = uuidv7(), capacity = 7,"
        " id = uuidv7(), business_id = uuidv7(), version = 41"
    )

    assert sql(stamped) == before
    assert sql("SELECT note, version FROM reservations") == [("hello", 2)]
    assert practice.events("reservation") == HELD + UPDATED


def is_of_now(sql: Sql, table: str, key: UUID) -> bool:
    """Whether a row was stamped a moment ago."""
    ((stamped,),) = sql(
        f"SELECT clock_timestamp() - created_at < '5 s' AND created_at <= clock_timestamp() FROM {table} WHERE id = %s",
        key,
    )
    return bool(stamped)


@pytest.mark.parametrize("noun", NOUNS)
def test_when_a_row_was_written_is_not_for_its_writer_to_say(practice: Practice, sql: Sql, noun: str) -> None:
    key = practice.insert(f"{noun}s", **NOUNS[noun], created_at=LONG_AGO, version=41)

    assert is_of_now(sql, f"{noun}s", key)
    assert sql(f"SELECT version FROM {noun}s WHERE id = %s", key) == [(1,)]


def test_when_an_appointment_was_published_is_not_for_its_publisher_to_say(practice: Practice, sql: Sql) -> None:
    key = practice.publish(created_at=LONG_AGO)

    assert is_of_now(sql, "appointments", key)


@pytest.mark.parametrize("noun", [*NOUNS, "business"])
def test_each_update_is_the_next_version_of_the_same_row(practice: Practice, sql: Sql, noun: str) -> None:
    table = "businesses" if noun == "business" else f"{noun}s"
    name = "first_name" if "first_name" in NOUNS.get(noun, {}) else "name"
    key = practice.business if noun == "business" else practice.insert(table, **NOUNS[noun])
    ((stamped,),) = sql(f"SELECT created_at::text FROM {table} WHERE id = %s", key)
    others = sql(f"SELECT * FROM {table} WHERE id <> %s ORDER BY id", key)

    for change in (f"{name} = 'Eve'", f"created_at = '{LONG_AGO}', version = 41", "id = uuidv7()"):
        sql(f"UPDATE {table} SET {change} WHERE id = %s", key)

    found = sql(f"SELECT {name}, version, created_at::text FROM {table} WHERE id = %s", key)
    assert found == [("Eve", 4, stamped)]
    assert sql(f"SELECT * FROM {table} WHERE id <> %s ORDER BY id", key) == others


@pytest.mark.parametrize(
    ("closed", "wanted"),
    [(closed, wanted) for closed in CLOSED for wanted in ["HELD", "CONFIRMED", *CLOSED] if wanted != closed],
)
def test_a_closed_reservation_never_changes_its_state(practice: Practice, closed: str, wanted: str) -> None:
    reservation = practice.reach(closed)
    told = practice.events("reservation")

    with pytest.raises(CheckViolation) as refused:
        practice.become(reservation, wanted)

    assert rule(refused) == ("23514", "closed_is_final")
    assert practice.status(reservation) == closed
    assert practice.events("reservation") == told


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ("CONFIRMED", "HELD"),
        ("CONFIRMED", "EXPIRED"),
        ("HELD", "EXPIRED"),
        ("HELD", "COMPLETED"),
        ("HELD", "NO_SHOW"),
    ],
)
def test_a_live_reservation_takes_no_way_that_is_not_one(practice: Practice, status: str, wanted: str) -> None:
    reservation = practice.reach(status)
    told = practice.events("reservation")

    with pytest.raises(CheckViolation) as refused:
        practice.become(reservation, wanted)

    assert rule(refused) == ("23514", "closed_is_final")
    assert practice.status(reservation) == status
    assert practice.events("reservation") == told


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("CONFIRMED", "confirmed_in_time"), ("CANCELLED", "closed_is_final"), ("COMPLETED", "closed_is_final")],
)
def test_a_lapsed_hold_can_only_expire(practice: Practice, wanted: str, name: str) -> None:
    reservation = practice.lapsed(practice.publish())

    with pytest.raises(CheckViolation) as refused:
        practice.become(reservation, wanted)

    assert rule(refused) == ("23514", name)
    practice.become(reservation, "EXPIRED")
    assert practice.status(reservation) == "EXPIRED"


@pytest.mark.parametrize("status", ["EXPIRED", "CANCELLED", "COMPLETED", "NO_SHOW", "MAYBE"])
def test_a_reservation_begins_held_or_confirmed(practice: Practice, sql: Sql, status: str) -> None:
    appointment = practice.publish()

    with pytest.raises(CheckViolation):
        practice.reserve(appointment, status=status)

    assert sql("SELECT count(*) FROM reservations") == [(0,)]
    assert practice.events("reservation") == []


def test_24_hours_ahead_or_not_at_all(practice: Practice, sql: Sql) -> None:
    ((soon, later),) = sql("SELECT (now() + '24:00:00')::text, (now() + '24:01:00')::text")
    too_soon, in_time = practice.publish(soon, minutes=1), practice.publish(later)

    with pytest.raises(CheckViolation) as refused:
        practice.reserve(too_soon)

    assert rule(refused) == ("23514", "booked_ahead")
    assert practice.status(practice.reserve(in_time)) == "HELD"
    assert practice.status(practice.reserve(too_soon, lead_waived_by=uuid4())) == "HELD"


@pytest.mark.parametrize(("gap", "free"), [(44, False), (45, True)])
def test_the_buffers_of_both_services_keep_a_provider_busy(practice: Practice, sql: Sql, gap: int, free: bool) -> None:
    buffers = {"buffer_before": timedelta(minutes=10), "buffer_after": timedelta(minutes=20)}
    analysis = practice.insert("services", name="Analysis", **buffers)
    practice.reserve(practice.publish(service_id=analysis))
    ((start,),) = sql("SELECT (%s::timestamptz + %s)::text", NINE, timedelta(minutes=gap))
    next_one = practice.publish(start, service_id=analysis)

    if free:
        practice.reserve(next_one)
        assert practice.events("reservation") == HELD * 2
        return
    with pytest.raises(ExclusionViolation) as refused:
        practice.reserve(next_one)

    assert rule(refused) == ("23P01", "provider_is_free")
    assert practice.events("reservation") == HELD


def test_a_reservation_cannot_pass_for_a_seat_of_a_group(practice: Practice, sql: Sql) -> None:
    group, single = practice.publish(capacity=2), practice.publish("2027-05-03 09:05Z")

    disguised = practice.reserve(single, id=group)

    assert disguised != group
    with pytest.raises(ExclusionViolation) as refused:
        practice.reserve(group)
    assert rule(refused) == ("23P01", "provider_is_free")
    assert sql("SELECT appointment_id FROM reservations") == [(single,)]
    assert practice.events("reservation") == HELD


def test_a_group_cannot_pass_for_the_session_of_somebodys_reservation(practice: Practice, sql: Sql) -> None:
    single = practice.publish()
    taken = practice.reserve(single)

    disguised = practice.publish("2027-05-03 09:05Z", id=taken, capacity=2)

    assert disguised != taken
    with pytest.raises(ExclusionViolation) as refused:
        practice.reserve(disguised)
    assert rule(refused) == ("23P01", "provider_is_free")
    assert sql("SELECT id, appointment_id FROM reservations") == [(taken, single)]
    assert practice.events("reservation") == HELD


def test_no_two_appointments_or_reservations_can_be_given_one_id(practice: Practice, sql: Sql) -> None:
    chosen = uuid4()
    nine, ten = practice.publish(id=chosen), practice.publish("2027-05-03 10:00Z", id=chosen)

    first, second = practice.reserve(nine, id=chosen), practice.reserve(ten, id=chosen)

    assert len({chosen, nine, ten, first, second}) == 5
    assert sql(
        "SELECT DISTINCT uuid_extract_version(id) FROM (SELECT id FROM appointments UNION SELECT id FROM reservations) x"
    ) == [(7,)]


@pytest.mark.parametrize("status", ["HELD", "CONFIRMED"])
def test_one_provider_is_never_booked_twice(practice: Practice, status: str) -> None:
    nine, ten_past = practice.publish(), practice.publish("2027-05-03 09:10Z")
    practice.reserve(nine, status=status)

    for appointment in (nine, ten_past):
        with pytest.raises(ExclusionViolation) as refused:
            practice.reserve(appointment, status="CONFIRMED")

        assert rule(refused) == ("23P01", "provider_is_free")
    assert len(practice.events("reservation")) == 1


def test_a_closed_reservation_and_a_lapsed_hold_take_no_time(practice: Practice) -> None:
    nine = practice.publish()
    practice.become(practice.reserve(nine), "CANCELLED")
    lapsed = practice.lapsed(nine)

    taken = practice.reserve(nine)

    assert practice.status(lapsed) == "EXPIRED"
    assert practice.status(taken) == "HELD"


def test_one_room_is_never_booked_twice(practice: Practice) -> None:
    room, other_room = (practice.insert("resources", name=name) for name in ("Room 1", "Room 2"))
    bob = practice.insert("providers", first_name="Bob", last_name="Frank")
    eve = practice.insert("providers", first_name="Eve", last_name="Frank")
    practice.reserve(practice.publish(), resource_id=room)
    of_bob, of_eve = practice.publish(provider_id=bob), practice.publish(provider_id=eve)

    with pytest.raises(ExclusionViolation) as refused:
        practice.reserve(of_bob, resource_id=room)

    assert rule(refused) == ("23P01", "resource_is_free")
    practice.reserve(of_bob, resource_id=other_room)
    practice.reserve(of_eve)
    assert practice.events("reservation") == HELD * 3


def test_a_lapsed_hold_of_a_room_gives_it_back(practice: Practice) -> None:
    room = practice.insert("resources", name="Room 1")
    bob = practice.insert("providers", first_name="Bob", last_name="Frank")
    practice.sql("UPDATE businesses SET hold_time = '0.000001'")
    lapsed = practice.reserve(practice.publish(), resource_id=room)
    practice.sql("UPDATE businesses SET hold_time = '00:30:00'")

    practice.reserve(practice.publish(provider_id=bob), resource_id=room)

    assert practice.status(lapsed) == "EXPIRED"


def test_seats_of_a_group_overlap_each_other_and_nothing_else(practice: Practice, sql: Sql) -> None:
    group = practice.publish(capacity=2)
    single, other_group = practice.publish("2027-05-03 09:05Z"), practice.publish("2027-05-03 09:10Z", capacity=2)
    first, _ = practice.reserve(group), practice.reserve(group)

    for appointment in (single, other_group):
        with pytest.raises(ExclusionViolation) as refused:
            practice.reserve(appointment)

        assert rule(refused) == ("23P01", "provider_is_free")
    assert sql("SELECT seat FROM reservations ORDER BY seat") == [(1,), (2,)]
    with pytest.raises(ValueError, match="not enough values"):
        practice.reserve(group)  # no row: the group is full

    practice.become(first, "CANCELLED")
    practice.reserve(group)

    assert sql("SELECT seat FROM reservations WHERE live ORDER BY seat") == [(1,), (2,)]
    assert practice.events("reservation").count(HELD[0]) == 3


@pytest.mark.parametrize(("before", "after"), [("00:00:00", "00:30:00"), ("00:30:00", "00:00:00")])
def test_all_seats_of_a_group_are_busy_for_the_same_time(practice: Practice, sql: Sql, before: str, after: str) -> None:
    analysis = practice.insert("services", name="Analysis", buffer_before=before, buffer_after=before)
    group = practice.publish(capacity=3, service_id=analysis)
    first = practice.reserve(group)
    busy = "SELECT DISTINCT (starts_at - busy_from)::text, (busy_until - ends_at)::text FROM reservations WHERE live"
    sql("UPDATE services SET buffer_before = %s, buffer_after = %s", after, after)

    practice.reserve(group)

    assert sql(busy) == [(before, before)]
    practice.become(first, "CANCELLED")
    practice.reserve(group)
    assert sql(busy) == [(before, before)]
    assert sql("SELECT seat FROM reservations WHERE live ORDER BY seat") == [(1,), (2,)]
    sql("UPDATE reservations SET status = 'CANCELLED' WHERE live")
    practice.reserve(group)
    assert sql(busy) == [(after, after)]  # whoever comes first again finds the buffers as they are now


def test_a_seat_is_taken_once(practice: Practice, sql: Sql) -> None:
    group = practice.publish(capacity=2)
    practice.reserve(group)
    practice.reserve(group)
    sql("SET session_replication_role = replica")  # whoever switches the triggers off still meets the index

    with pytest.raises(UniqueViolation) as refused:
        sql("UPDATE reservations SET seat = 1 WHERE seat = 2")

    assert rule(refused) == ("23505", "seat_is_free")


@pytest.mark.parametrize(
    ("column", "table", "values", "name"),
    [
        ("provider_id", "providers", {"first_name": "Bob", "last_name": "Frank"}, "appointment_of_provider"),
        ("service_id", "services", {"name": "Analysis"}, "appointment_of_service"),
        ("location_id", "locations", {"name": "Here", "time_zone": "UTC"}, "appointment_at_location"),
    ],
)
def test_no_appointment_points_into_another_business(
    practice: Practice, stranger: Practice, column: str, table: str, values: dict[str, Any], name: str
) -> None:
    foreign = stranger.insert(table, **values)
    nine = {"starts_at": NINE, "ends_at": "2027-05-03 09:15Z"}

    with pytest.raises(ForeignKeyViolation) as refused:
        practice.insert("appointments", **{"provider_id": practice.provider, **nine, column: foreign})

    assert rule(refused) == ("23503", name)
    assert practice.events("appointment") == []


def test_no_reservation_points_into_another_business(practice: Practice, stranger: Practice, sql: Sql) -> None:
    nine, foreign = practice.publish(), stranger.publish()
    room = stranger.insert("resources", name="Room 1")

    refusals = []
    for appointment, more in (
        (nine, {"client_id": stranger.client}),
        (nine, {"resource_id": room}),
        (foreign, {}),
    ):
        with pytest.raises(ForeignKeyViolation) as refused:
            practice.insert("reservations", **{"client_id": practice.client, "appointment_id": appointment, **more})
        refusals.append(rule(refused)[1])

    assert refusals == ["reservation_of_client", "reservation_of_resource", "appointment_is_published"]
    assert sql("SELECT count(*) FROM reservations") == [(0,)]
    assert practice.events("reservation") == []


@pytest.mark.parametrize("status", ["HELD", "CONFIRMED"])
def test_a_booked_appointment_cannot_be_deleted(practice: Practice, sql: Sql, status: str) -> None:
    practice.reach(status)

    with pytest.raises(ForeignKeyViolation) as refused:
        sql("DELETE FROM appointments")

    assert rule(refused) == ("23503", "appointment_is_published")
    assert sql("SELECT count(*) FROM appointments") == [(1,)]
    assert practice.events("appointment") == [("scheduling.appointment.created.v1",)]


@pytest.mark.parametrize("status", ["CANCELLED", "EXPIRED", "COMPLETED", "NO_SHOW"])
def test_a_closed_reservation_outlives_its_appointment(practice: Practice, sql: Sql, status: str) -> None:
    reservation = practice.reach(status)

    sql("DELETE FROM appointments")

    assert practice.status(reservation) == status
    assert practice.events("appointment") == [
        ("scheduling.appointment.created.v1",),
        ("scheduling.appointment.withdrawn.v1",),
    ]


@pytest.mark.parametrize(
    "change", ["starts_at = starts_at - interval '1 minute'", "capacity = 2", "capacity = capacity"]
)
def test_an_appointment_is_never_updated(practice: Practice, sql: Sql, change: str) -> None:
    practice.publish()

    with pytest.raises(CheckViolation) as refused:
        sql(f"UPDATE appointments SET {change}")

    assert rule(refused) == ("23514", "appointment_never_changes")
    assert practice.events("appointment") == [("scheduling.appointment.created.v1",)]


@pytest.mark.parametrize("statuses", [["CONFIRMED", "COMPLETED"], ["CONFIRMED", "NO_SHOW"], ["CANCELLED"]])
def test_each_change_writes_one_event_and_no_change_writes_none(
    practice: Practice, sql: Sql, statuses: list[str]
) -> None:
    reservation = practice.reserve(practice.publish())

    for status in statuses:
        practice.become(reservation, status)
        practice.become(reservation, status)
    sql("UPDATE reservations SET note = 'hello'")
    sql("UPDATE reservations SET note = 'hello', seat = 7")

    told = sql(
        "SELECT type, data->>'status', (data->>'version')::int FROM events WHERE aggregate_id = %s ORDER BY seq",
        reservation,
    )
    names = ["HELD", *statuses]
    assert told == [
        *((f"scheduling.reservation.{status.lower()}.v1", status, n) for n, status in enumerate(names, 1)),
        (*UPDATED[0], names[-1], len(names) + 1),
    ]
    assert sql("SELECT version FROM reservations") == [(len(names) + 1,)]


@pytest.mark.parametrize("status", ["HELD", "CONFIRMED", *CLOSED])
def test_a_reservation_is_history_and_never_deleted(practice: Practice, sql: Sql, status: str) -> None:
    reservation = practice.reach(status)
    told = practice.events("reservation")

    with pytest.raises(CheckViolation) as refused:
        sql("DELETE FROM reservations")

    assert rule(refused) == ("23514", "reservation_is_history")
    assert practice.status(reservation) == status
    assert practice.events("reservation") == told


@pytest.mark.parametrize("noun", NOUNS)
def test_what_comes_changes_and_goes_leaves_one_event_each_time(practice: Practice, sql: Sql, noun: str) -> None:
    key = practice.insert(f"{noun}s", **NOUNS[noun])
    name = next(iter(NOUNS[noun]))

    sql(f"UPDATE {noun}s SET {name} = 'Eve' WHERE id = %s", key)
    sql(f"DELETE FROM {noun}s WHERE id = %s", key)

    assert sql("SELECT business_id, type, data FROM events WHERE aggregate_id = %s ORDER BY seq", key) == [
        (practice.business, f"scheduling.{noun}.{change}.v1", {"id": str(key), "version": version})
        for change, version in (("created", 1), ("updated", 2), ("deleted", 2))
    ]
    assert sql(f"SELECT count(*) FROM {noun}s WHERE id = %s", key) == [(0,)]


def test_who_has_a_reservation_stays_and_no_event_says_otherwise(practice: Practice, sql: Sql) -> None:
    practice.become(practice.reserve(practice.publish()), "CANCELLED")

    for table in ("clients", "providers"):
        with pytest.raises(ForeignKeyViolation):
            sql(f"DELETE FROM {table}")

    assert sql("SELECT count(*) FROM events WHERE type LIKE '%%.deleted.%%'") == [(0,)]


def test_a_change_of_a_business_is_told(practice: Practice, sql: Sql) -> None:
    sql("UPDATE businesses SET lead_time = '12:00:00'")

    assert sql("SELECT business_id, type, aggregate_id, data FROM events WHERE type LIKE '%%business%%'") == [
        (
            practice.business,
            "scheduling.business.updated.v1",
            practice.business,
            {"id": str(practice.business), "version": 2},
        )
    ]


def test_events_tell_ids_and_times_and_nothing_personal(practice: Practice, sql: Sql) -> None:
    practice.become(practice.reserve(practice.publish(), note="It hurts"), "CANCELLED")

    ((told,),) = sql("SELECT string_agg(data::text, ' ') FROM events")

    assert not [word for word in ("Charles", "Babbage", "Ada", "hurts") if word in told]


def test_what_is_agreed_on_is_stamped_and_frozen(practice: Practice, sql: Sql) -> None:
    service = practice.insert(
        "services", name="Analysis", duration="00:10:00", price=40, currency="EUR", cancel_cutoff="02:00:00"
    )
    terms = "SELECT price, currency, duration, cancel_cutoff FROM reservations"
    agreed = [(40, "EUR", timedelta(minutes=10), timedelta(hours=2))]

    reservation = practice.reserve(
        practice.publish(service_id=service), price=1, currency="USD", duration="01:00:00", cancel_cutoff="0"
    )

    assert sql(terms) == agreed
    sql("UPDATE services SET price = 90, currency = 'CHF', duration = '00:15:00', cancel_cutoff = '0'")
    practice.become(reservation, "CONFIRMED")
    sql(
        "UPDATE reservations SET price = NULL, currency = NULL, duration = NULL, cancel_cutoff = '9 days', note = 'new'"
    )
    assert sql(terms) == agreed


def test_without_a_service_the_appointment_is_as_long_as_it_is_and_costs_nothing(practice: Practice, sql: Sql) -> None:
    practice.reserve(practice.publish())

    assert sql("SELECT service_id, price, currency, duration, cancel_cutoff FROM reservations") == [
        (None, None, None, timedelta(minutes=15), timedelta(0))
    ]


@pytest.mark.parametrize("is_published_for_another", [True, False])
def test_a_service_is_chosen_only_of_those_that_the_provider_gives(
    practice: Practice, *, is_published_for_another: bool
) -> None:
    chosen, other = (practice.insert("services", name=name) for name in ("Analysis", "Another"))
    appointment = practice.publish(service_id=other if is_published_for_another else None)

    with pytest.raises(CheckViolation) as refused:
        practice.reserve(appointment, service_id=chosen)

    assert rule(refused) == ("23514", "service_is_offered")


def test_nothing_is_reserved_beyond_the_horizon(practice: Practice, sql: Sql) -> None:
    sql("UPDATE businesses SET maximum_horizon = '7 days'")

    with pytest.raises(CheckViolation) as refused:
        practice.reserve(practice.publish())

    assert rule(refused) == ("23514", "booked_within_horizon")


def test_claims_on_one_unit_never_overlap(practice: Practice, sql: Sql) -> None:
    room = practice.insert("resources", name="Room 1")
    first = practice.reserve(practice.publish(), resource_id=room)

    with pytest.raises(ExclusionViolation) as refused:
        sql(
            "INSERT INTO resource_claims SELECT business_id, %s, resource_id, unit, uuidv7(), busy_from, busy_until"
            " FROM resource_claims WHERE reservation_id = %s",
            practice.reserve(practice.publish("2027-05-03 10:00Z")),
            first,
        )

    assert rule(refused) == ("23P01", "unit_is_free")
