"""Two businesses of the same shape, with rows of each kind and words of their own: for tests of who sees what of whom."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg

from models.business import DEFAULT_BUSINESS
from models.node_id import encode, term
from models.viewer import Role
from tests.conftest import fresh_database
from tests.tokens import Headers, Sql, bearers, token

# Whatever somebody wrote in a business has its word in it.
OUR_WORD, THEIR_WORD = "ALPHA", "BRAVO"
THEIR_BUSINESS = UUID("00000000-0000-7000-8000-0000000000b2")
THEIR_HOST = "bravo.example"
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
MOST_HOLDS = 3
# A hold of this length has lapsed before anybody can ask for it.
NO_TIME, LONG = timedelta(milliseconds=1), timedelta(hours=24)


@dataclass
class Practice:
    """A business: the keys of its rows by name, the type of each, and what a request of each role carries."""

    business: UUID
    word: str
    noon: datetime
    keys: dict[str, UUID] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    headers: dict[Role, Headers] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        """The id of a row, as the API shows it."""
        return encode(self.types[name], self.keys[name])

    def note(self, name: str, type_name: str, key: UUID) -> UUID:
        self.keys[name], self.types[name] = key, type_name
        return key

    def ids(self) -> dict[str, str]:
        """One id of every type."""
        return {type_name: self[name] for name, type_name in reversed(self.types.items())}


@dataclass(frozen=True)
class Practices:
    """Where both are, and who they are; the first is open to the public, the second is not."""

    url: str
    ours: Practice
    theirs: Practice


@contextmanager
def practices(cluster: str, migrated: str) -> Iterator[Practices]:
    """Write both into a database of their own."""
    with fresh_database(cluster, migrated) as url:
        with psycopg.connect(url, autocommit=True) as owner:

            def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
                done = owner.execute(statement, values or None)
                return done.fetchall() if done.description else []

            sql("INSERT INTO businesses (id, name, host) VALUES (%s, %s, %s)", THEIR_BUSINESS, THEIR_WORD, THEIR_HOST)
            sql("UPDATE businesses SET name = %s, is_public = true WHERE id = %s", OUR_WORD, DEFAULT_BUSINESS)
            noon = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=3)
            ours = _Founder(sql, Practice(DEFAULT_BUSINESS, OUR_WORD, noon)).found()
            # No instant of theirs is one of ours.
            theirs = _Founder(sql, Practice(THEIR_BUSINESS, THEIR_WORD, noon + 5 * timedelta(minutes=1))).found()
            # Numbered as by a relay that hands them to nobody.
            sql("UPDATE events SET position = seq, relayed_at = clock_timestamp() WHERE relayed_at IS NULL")
        yield Practices(url, ours, theirs)


def dump(url: str, business: UUID, *without: str) -> dict[str, list[str]]:
    """Every row of a business, in every table but those that are left out, as text."""
    with psycopg.connect(url, autocommit=True) as owner:
        found = {
            table: owner.execute(f"SELECT t::text FROM {table} t WHERE t.{key} = %s ORDER BY 1", [business]).fetchall()
            for table, key in tables_of_businesses(owner)
            if table not in without
        }
    return {table: [text for (text,) in rows] for table, rows in found.items()}


def tables_of_businesses(owner: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Every table whose rows belong to a business, and the column that says to which."""
    listed = owner.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace"
        " AND a.attname = CASE c.relname WHEN 'businesses' THEN 'id' ELSE 'business_id' END ORDER BY 1"
    )
    return [(table, key) for table, key in listed]


@dataclass
class _Founder:
    """Writes the rows of one business, past the API."""

    sql: Sql
    made: Practice

    def found(self) -> Practice:
        self.made.note("business", "Business", self.made.business)
        self._policy(None, LONG)
        self._things()
        self._people()
        self._pairs()
        self._schedule()
        self._times()
        self._traces()
        self._claims()
        self._policy(MOST_HOLDS, LONG)
        self._message()
        self._keys()
        return self.made

    def _add(self, name: str, type_name: str, /, **values: Any) -> UUID:
        row = {"business_id": self.made.business, **values}
        table = {
            "TimeOff": "time_off",
            "ReservationSeries": "reservation_series",
            "WaitlistEntry": "waitlist_entries",
        }.get(type_name, f"{term(type_name)}s")
        marks = ", ".join(["%s"] * len(row))
        ((key,),) = self.sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) RETURNING id", *row.values())
        return self.made.note(name, type_name, key)

    def _policy(self, holds: int | None, hold_time: timedelta) -> None:
        statement = "UPDATE businesses SET hold_limit = %s, hold_time = %s WHERE id = %s"
        self.sql(statement, holds, hold_time, self.made.business)

    def _things(self) -> None:
        word = self.made.word
        self._add("location", "Location", name=f"{word} Street", time_zone="Europe/Berlin")
        self._add("service", "Service", name=f"{word} haircut", price="45.00", currency="EUR")
        self._add("resource", "Resource", name=f"{word} chair", quantity=1000, location_id=self.made.keys["location"])
        self._add("skill", "Skill", name=f"{word} colouring")

    def _pairs(self) -> None:
        keys = self.made.keys
        provider, service = keys["provider"], keys["service"]
        self._add("requirement", "Requirement", service_id=service, resource_id=keys["resource"])
        self._add("offering", "Offering", provider_id=provider, service_id=service, location_id=keys["location"])
        for table, owner, key in (
            ("provider_skills", "provider_id", provider),
            ("service_skills", "service_id", service),
        ):
            statement = f"INSERT INTO {table} (business_id, {owner}, skill_id) VALUES (%s, %s, %s)"
            self.sql(statement, self.made.business, key, keys["skill"])

    def _schedule(self) -> None:
        word, noon = self.made.word, self.made.noon
        for whose in ("", "other "):
            of = {"provider_id": self.made.keys[f"{whose}provider"]}
            hours = {"weekday": 1, "starts_minute": 9 * 60, "ends_minute": 17 * 60, "slot_minutes": 30}
            self._add(f"{whose}rule", "AvailabilityRule", **of, **hours)
            windows = {"windows": "{[540,720)}", "slot_minutes": 30}
            self._add(f"{whose}exception", "AvailabilityException", **of, **windows, date=noon.date())
            away = {"starts_at": noon + timedelta(days=9), "ends_at": noon + timedelta(days=10)}
            self._add(f"{whose}time off", "TimeOff", **of, **away, reason=f"{word} is away")
        self._add("holiday", "Holiday", name=f"{word} holiday", date=noon.date() + timedelta(days=8))

    def _people(self) -> None:
        word = self.made.word
        for type_name, names in (
            ("Provider", ("provider", "other provider")),
            ("Client", ("client", "other client", "greedy client", "erased client")),
        ):
            for name in names:
                mailbox = f"{name.replace(' ', '.')}@{word.lower()}.example"
                named = {"first_name": f"{word} {name}", "last_name": f"{word} {type_name}", "email": mailbox}
                self._add(name, type_name, **named, phone=f"+49 30 {word}", time_zone="Europe/Berlin")
        self.sql(
            "UPDATE clients SET first_name = 'Erased', last_name = 'Client', email = NULL, phone = NULL, time_zone = NULL,"
            " erased_at = clock_timestamp() WHERE id = %s",
            self.made.keys["erased client"],
        )

    def _times(self) -> None:
        names = ("confirmed", "free", "held", "lapsed", "cancelled", "held by another", "spare")
        for hour, name in enumerate(names):
            self._time(f"{name} time", "provider", self.made.noon + hour * HOUR)
        names = ("strange free", "strange confirmed", "strange held", "elsewhere", "first", "second", "third")
        for hour, name in enumerate(names):
            self._time(f"{name} time", "other provider", self.made.noon + hour * HOUR)
        self._time("soon", "provider", self.made.noon - timedelta(days=3) + 3 * HOUR)

    def _time(self, name: str, provider: str, start: datetime) -> None:
        keys = self.made.keys
        of = {"provider_id": keys[provider], "service_id": keys["service"], "location_id": keys["location"]}
        self._add(name, "Appointment", **of, starts_at=start, ends_at=start + QUARTER)

    def _traces(self) -> None:
        """How far times are published, and who was shown which."""
        keys, business = self.made.keys, self.made.business
        published = (
            "INSERT INTO publications (business_id, provider_id, published_until, zones) VALUES (%s, %s, %s, 'these')"
        )
        self.sql(published, business, keys["provider"], self.made.noon)
        shown = "INSERT INTO exposures (business_id, seed, appointment_id, provider_id) VALUES (%s, %s, %s, %s)"
        self.sql(shown, business, f"{self.made.word} seed", keys["free time"], keys["provider"])
        for whose in ("provider", "client"):
            secret = sha256(f"{self.made.word} {whose}".encode()).digest()
            self._add(f"feed of {whose}", "CalendarFeed", **{f"{whose}_id": keys[whose]}, secret_hash=secret)
        host = f"{self.made.word.lower()}.example"
        read = {"provider_id": keys["provider"], "url": f"https://{host}/", "host": host}
        self._add("import", "CalendarImport", **read, last_error=f"{self.made.word} did not answer.")

    def _claims(self) -> None:
        visit = self._add("visit", "Visit", client_id=self.made.keys["client"])
        terms = {"client_id": self.made.keys["client"], "every_weeks": 1, "count": 2}
        series = self._add("series", "ReservationSeries", **terms)
        self._claim("confirmed", "client", "confirmed time", "CONFIRMED", visit_id=visit)
        self._claim("held", "client", "held time")
        self._claim("held elsewhere", "client", "elsewhere time")
        self._claim("cancelled", "client", "cancelled time", series_id=series)
        self._claim("held by another", "other client", "held by another time")
        self._claim("strange confirmed", "other client", "strange confirmed time", "CONFIRMED")
        self._claim("strange held", "other client", "strange held time")
        for turn in ("first", "second", "third"):
            self._claim(turn, "greedy client", f"{turn} time")
        self._policy(None, NO_TIME)
        self._claim("lapsed", "client", "lapsed time")
        closed = "UPDATE reservations SET status = 'CANCELLED', cancel_reason = %s WHERE id = %s"
        self.sql(closed, f"{self.made.word} was ill", self.made.keys["cancelled"])
        self._waitlist()

    def _waitlist(self) -> None:
        """Who waits for a time that will not come, who waits no more, and what was proposed to somebody and declined."""
        keys, business = self.made.keys, self.made.business
        span = {"starts_from": "2099-05-03T09:00Z", "starts_until": "2099-05-04T09:00Z"}
        of = {"provider_id": keys["provider"], "service_id": keys["service"], "location_id": keys["location"], **span}
        for name, client in (("left entry", "client"), ("entry", "client"), *(("greedy entry", "greedy client"),) * 10):
            self._add(name, "WaitlistEntry", client_id=keys[client], **of)
        left = "UPDATE waitlist_entries SET status = 'CANCELLED' WHERE id = %s"
        self.sql(left, keys["left entry"])
        offered = "INSERT INTO waitlist_offers (business_id, entry_id, appointment_id, reservation_id) VALUES (%s, %s, %s, %s)"
        self.sql(offered, business, keys["left entry"], keys["cancelled time"], keys["cancelled"])
        self._add(
            *("declined proposal", "Proposal"),
            reservation_id=keys["confirmed"],
            hold_id=keys["cancelled"],
            appointment_id=keys["cancelled time"],
            client_id=keys["client"],
            from_provider_id=keys["other provider"],
            provider_id=keys["provider"],
            time_off_id=keys["other time off"],
            status="DECLINED",
            reason=f"{self.made.word} would rather not",
            expires_at=self.made.noon,
        )

    def _claim(self, name: str, client: str, time: str, status: str = "HELD", **more: UUID) -> None:
        keys = self.made.keys
        claim = {"client_id": keys[client], "appointment_id": keys[time], "status": status, **more}
        self._add(name, "Reservation", note=f"{self.made.word} {name} note", **claim)

    def _message(self) -> None:
        keys, business = self.made.keys, self.made.business
        told = (
            "INSERT INTO notifications (business_id, event_id, channel, topic, template, client_id, reservation_id, subject)"
            " VALUES (%s, uuidv7(), 'EMAIL', 'BOOKING', 'CONFIRMED', %s, %s, %s) RETURNING id"
        )
        ((key,),) = self.sql(told, business, keys["client"], keys["confirmed"], f"{self.made.word} subject")
        self.made.note("notification", "Notification", key)
        self.sql(told.replace("client_id", "provider_id"), business, keys["provider"], keys["confirmed"], "A booking")
        self.sql(
            "INSERT INTO notification_reservations (business_id, notification_id, event_id, reservation_id)"
            " SELECT business_id, id, event_id, reservation_id FROM notifications WHERE business_id = %s",
            business,
        )
        said = "INSERT INTO notification_preferences (business_id, client_id, channel, topic, enabled) VALUES (%s, %s, 'SMS', 'WAITLIST', false)"
        self.sql(said, business, keys["client"])
        self.sql(
            "INSERT INTO reminders SELECT business_id, id, starts_at, 120 FROM reservations WHERE id = %s",
            keys["confirmed"],
        )

    def _webhooks(self, event: UUID) -> None:
        word = self.made.word
        endpoint = self._add("webhook", "WebhookEndpoint", url=f"https://{word}.example/", description=f"{word} hooks")
        about = {
            "event_type": f"scheduling.{word}.v1",
            "aggregate_id": event,
            "position": 1,
            "last_error": f"{word} no",
        }
        named = ", ".join(["business_id", "endpoint_id", "event_id", *about])
        written = f"INSERT INTO webhook_deliveries ({named}) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id"
        ((delivery,),) = self.sql(written, self.made.business, endpoint, event, *about.values())
        self.made.note("delivery", "WebhookDelivery", delivery)
        self._add("attempt", "WebhookAttempt", delivery_id=delivery, number=1, milliseconds=1, error=f"{word} failed")
        signed = "INSERT INTO webhook_secrets (business_id, endpoint_id, secret) VALUES (%s, %s, %s)"
        self.sql(signed, self.made.business, endpoint, f"whsec_{'A' * 43}=")

    def _keys(self) -> None:
        keys, business = self.made.keys, self.made.business
        persons = {Role.PROVIDER: keys["provider"], Role.CLIENT: keys["client"]}
        self.made.headers = bearers(self.sql, persons, business=business, name=f"{self.made.word} till")
        token(self.sql, Role.MANAGER, business=business, name=f"{self.made.word} ended")
        ended = "UPDATE api_keys SET revoked_at = clock_timestamp() WHERE business_id = %s AND name LIKE '%%ended' RETURNING id"
        ((key,),) = self.sql(ended, business)
        self.made.note("ended key", "ApiKey", key)
        read = (
            "INSERT INTO events (business_id, type, aggregate_id, actor, data, relayed_at)"
            " VALUES (%s, 'audit.appointment.read.v1', %s, %s, '{}', clock_timestamp()) RETURNING id"
        )
        ((entry,),) = self.sql(read, business, keys["confirmed time"], f"{self.made.word} reader")
        self.made.note("entry", "AuditEntry", entry)
        self._webhooks(entry)
        self.sql(
            "INSERT INTO idempotency_keys (business_id, principal, key, request_hash, result_id, result)"
            " VALUES (%s, 'anonymous', %s, %s, %s, '{}')",
            business,
            f"{self.made.word} key",
            b"\0" * 32,
            keys["confirmed"],
        )
