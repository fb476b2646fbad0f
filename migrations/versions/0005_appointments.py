"""Appointments: the times that providers publish, and the events of publishing and withdrawing them."""

from alembic import op

revision = "0005"
down_revision = "0004"

TABLE = """
-- A published time never changes: it is withdrawn (deleted), and another one is published.
CREATE TABLE appointments (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    provider_id uuid        NOT NULL,
    service_id  uuid,
    location_id uuid,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    capacity    smallint    NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT appointments_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT appointment_is_new      UNIQUE (business_id, provider_id, starts_at),
    CONSTRAINT appointment_of_provider FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT appointment_of_service  FOREIGN KEY (business_id, service_id)  REFERENCES services (business_id, id),
    CONSTRAINT appointment_at_location FOREIGN KEY (business_id, location_id) REFERENCES locations (business_id, id),
    CONSTRAINT appointment_runs_forward CHECK (starts_at < ends_at AND ends_at - starts_at <= '24:00:00'),
    CONSTRAINT appointment_is_bounded   CHECK (starts_at >= '2000-01-01Z' AND ends_at <= '2200-01-01Z'),
    CONSTRAINT capacity_is_sane         CHECK (capacity BETWEEN 1 AND 1000)
);
CREATE INDEX appointments_by_start ON appointments (business_id, starts_at, id);
CREATE INDEX appointments_of_location ON appointments (business_id, location_id, starts_at, id)
    WHERE location_id IS NOT NULL;
"""

RECORD = """
-- One event for each provider, however many times were published: a consumer reads the span again.
CREATE FUNCTION record_published() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data)
    SELECT business_id, 'scheduling.appointment.created.v1', provider_id,
           jsonb_build_object('provider_id', provider_id, 'count', count(*),
                              'starts_at', min(starts_at), 'ends_at', max(ends_at))
      FROM published GROUP BY business_id, provider_id;
    RETURN NULL;
END $$;
CREATE TRIGGER record_published AFTER INSERT ON appointments
    REFERENCING NEW TABLE AS published FOR EACH STATEMENT EXECUTE FUNCTION record_published();

-- One event for each withdrawn time: it is the trace by which a client who still holds its id is answered.
CREATE FUNCTION record_withdrawn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data)
    SELECT business_id, 'scheduling.appointment.withdrawn.v1', id,
           jsonb_build_object('id', id, 'provider_id', provider_id, 'starts_at', starts_at, 'ends_at', ends_at)
      FROM withdrawn;
    RETURN NULL;
END $$;
CREATE TRIGGER record_withdrawn AFTER DELETE ON appointments
    REFERENCING OLD TABLE AS withdrawn FOR EACH STATEMENT EXECUTE FUNCTION record_withdrawn();
"""

STAMP = """
-- A chosen id could pass for the session of somebody's reservation.
CREATE FUNCTION stamp_appointment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.id         := uuidv7();
    NEW.created_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE INSERT ON appointments FOR EACH ROW EXECUTE FUNCTION stamp_appointment();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a published appointment never changes'
          USING ERRCODE = 'check_violation', CONSTRAINT = 'appointment_never_changes';
END $$;
CREATE TRIGGER refuse_change BEFORE UPDATE ON appointments FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    for step in (TABLE, RECORD, STAMP):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP TABLE appointments;
    DROP FUNCTION record_published, record_withdrawn, stamp_appointment, refuse_change;
    """)
