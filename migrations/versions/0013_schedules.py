"""Schedules: when somebody works, as local wall time; and when they do not."""

from alembic import op

revision = "0013"
down_revision = "0012"

TABLES = """
-- A weekly rule has a weekday; a dated one has the dates of its range, or of its recurrence, and goes before weekly ones.
CREATE TABLE availability_rules (
    business_id   uuid        NOT NULL,
    id            uuid        NOT NULL DEFAULT uuidv7(),
    provider_id   uuid        NOT NULL,
    location_id   uuid,
    service_id    uuid,                      -- null: any that the provider gives
    weekday       smallint,                  -- ISO 8601: 1 is Monday
    starts_minute smallint    NOT NULL,      -- of the local day, in wall time
    ends_minute   smallint    NOT NULL,      -- up to 2880: a window may end on the next day
    valid_from    date,
    valid_until   date,                      -- the last day
    recurrence    text,                      -- RFC 5545, section 3.3.10
    dates         datemultirange,
    time_zone     text,                      -- null: that of the location, else of the provider, else of the business
    slot_minutes  smallint,                  -- null: as long as the service
    grid_minutes  smallint,                  -- from one start to the next; null: one slot after the other
    capacity      smallint    NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    version       integer     NOT NULL DEFAULT 1,
    -- a window over midnight reaches into the next weekday, and that of a Sunday into Monday
    week_minutes  int4multirange GENERATED ALWAYS AS (CASE WHEN weekday IS NOT NULL THEN int4multirange(
        int4range((weekday - 1) * 1440 + starts_minute, least((weekday - 1) * 1440 + ends_minute, 10080)),
        int4range(0, greatest((weekday - 1) * 1440 + ends_minute, 10080) - 10080)) END) STORED,
    CONSTRAINT availability_rules_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT rule_of_provider FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT rule_at_location FOREIGN KEY (business_id, location_id) REFERENCES locations (business_id, id),
    CONSTRAINT rule_for_service FOREIGN KEY (business_id, service_id)  REFERENCES services (business_id, id),
    CONSTRAINT rule_is_weekly_or_dated CHECK ((weekday IS NULL) = (dates IS NOT NULL) AND weekday BETWEEN 1 AND 7
                                              AND (weekday IS NULL OR recurrence IS NULL)),
    CONSTRAINT rule_runs_forward CHECK (starts_minute >= 0 AND starts_minute < 1440 AND ends_minute > starts_minute
                                        AND ends_minute - starts_minute <= 1440),
    CONSTRAINT rule_is_cut_into_slots CHECK (slot_minutes BETWEEN 1 AND ends_minute - starts_minute
                                             AND grid_minutes BETWEEN coalesce(slot_minutes, 1) AND 1440
                                             AND (slot_minutes IS NOT NULL OR service_id IS NOT NULL)),
    CONSTRAINT rule_is_valid CHECK (valid_from <= valid_until),
    CONSTRAINT rule_capacity_is_sane CHECK (capacity BETWEEN 1 AND 1000),
    CONSTRAINT recurrence_is_short CHECK (length(recurrence) <= 500),
    -- Nobody can be told two things for the same minute.
    CONSTRAINT weekly_rules_agree EXCLUDE USING gist (
        provider_id WITH =, week_minutes WITH &&, daterange(valid_from, valid_until, '[]') WITH &&, business_id WITH =
    ) WHERE (weekday IS NOT NULL),
    CONSTRAINT dated_rules_agree EXCLUDE USING gist (
        provider_id WITH =, dates WITH &&, int4range(starts_minute, ends_minute) WITH &&, business_id WITH =
    ) WHERE (weekday IS NULL)
);
CREATE INDEX rules_of_provider ON availability_rules (business_id, provider_id, weekday, starts_minute, id);
CREATE INDEX rules_of_service ON availability_rules (business_id, service_id);
CREATE INDEX rules_at_location ON availability_rules (business_id, location_id);

-- One local date of one provider: closed, or with other hours.
CREATE TABLE availability_exceptions (
    business_id  uuid        NOT NULL,
    id           uuid        NOT NULL DEFAULT uuidv7(),
    provider_id  uuid        NOT NULL,
    date         date        NOT NULL,
    windows      int4multirange NOT NULL DEFAULT '{}',   -- minutes of the local day; none: closed
    location_id  uuid,
    service_id   uuid,
    time_zone    text,
    slot_minutes smallint,
    grid_minutes smallint,
    capacity     smallint    NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    version      integer     NOT NULL DEFAULT 1,
    CONSTRAINT availability_exceptions_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT exception_is_new      UNIQUE (business_id, provider_id, date),
    CONSTRAINT exception_of_provider FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT exception_at_location FOREIGN KEY (business_id, location_id) REFERENCES locations (business_id, id),
    CONSTRAINT exception_for_service FOREIGN KEY (business_id, service_id)  REFERENCES services (business_id, id),
    CONSTRAINT exception_is_of_a_day CHECK (windows <@ int4range(0, 2880)),
    CONSTRAINT exception_is_cut_into_slots CHECK (slot_minutes BETWEEN 1 AND 1440
        AND grid_minutes BETWEEN coalesce(slot_minutes, 1) AND 1440
        AND (isempty(windows) OR slot_minutes IS NOT NULL OR service_id IS NOT NULL)),
    CONSTRAINT exception_capacity_is_sane CHECK (capacity BETWEEN 1 AND 1000)
);

CREATE TABLE holidays (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    location_id uuid,                        -- null: the whole business
    date        date        NOT NULL,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     integer     NOT NULL DEFAULT 1,
    CONSTRAINT holidays_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT holiday_is_new      UNIQUE NULLS NOT DISTINCT (business_id, date, location_id),
    CONSTRAINT holiday_of_business FOREIGN KEY (business_id) REFERENCES businesses (id),
    CONSTRAINT holiday_at_location FOREIGN KEY (business_id, location_id) REFERENCES locations (business_id, id),
    CONSTRAINT holiday_has_a_name  CHECK (length(name) BETWEEN 1 AND 200)
);

CREATE TABLE time_off (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    provider_id uuid        NOT NULL,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    reason      text,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     integer     NOT NULL DEFAULT 1,
    CONSTRAINT time_off_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT time_off_of_provider  FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT time_off_runs_forward CHECK (starts_at < ends_at AND ends_at - starts_at <= '366 days'),
    CONSTRAINT time_off_is_bounded   CHECK (starts_at >= '2000-01-01Z' AND ends_at <= '2200-01-01Z'),
    CONSTRAINT reason_is_short       CHECK (length(reason) <= 2000)
);
CREATE INDEX time_off_of_provider ON time_off (business_id, provider_id, starts_at, id);
"""

# Why somebody is away concerns nobody who reads what was changed.
DIFFERENCE = """
CREATE OR REPLACE FUNCTION difference(old jsonb, new jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT jsonb_object_agg(n.key, CASE WHEN n.key IN ('first_name', 'last_name', 'email', 'phone', 'note', 'cancel_reason',
                                                       'reason')
                                          OR n.key = 'time_zone' AND new ? 'first_name' OR n.key = 'name' AND new ? 'person_id'
                                        THEN 'null'::jsonb ELSE jsonb_build_array(o.value, n.value) END)
      FROM jsonb_each(new) n JOIN jsonb_each(old) o ON o.key = n.key
     WHERE n.value IS DISTINCT FROM o.value AND n.key <> 'version'
);
"""

TENANT = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO holdfast_app;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION record_change('{noun}');
"""

NOUNS = {
    "availability_rules": "availability_rule",
    "availability_exceptions": "availability_exception",
    "holidays": "holiday",
    "time_off": "time_off",
}


def upgrade() -> None:
    for step in (TABLES, DIFFERENCE):
        op.execute(step)
    for table, noun in NOUNS.items():
        op.execute(TENANT.format(table=table, noun=noun))


def downgrade() -> None:
    op.execute(DIFFERENCE.replace(",\n                                                       'reason'", ""))
    op.execute("DROP TABLE time_off, holidays, availability_exceptions, availability_rules")
