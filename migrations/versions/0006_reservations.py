"""Reservations: one client's claim on an appointment, and every rule that keeps it honest."""

from alembic import op

revision = "0006"
down_revision = "0005"

TABLE = """
CREATE TABLE reservations (
    business_id    uuid        NOT NULL,
    id             uuid        NOT NULL DEFAULT uuidv7(),
    client_id      uuid        NOT NULL,
    appointment_id uuid        NOT NULL,      -- no foreign key: a closed reservation outlives a withdrawn appointment
    resource_id    uuid,
    note           text,
    status         text        NOT NULL DEFAULT 'HELD',
    cancel_reason  text,
    lead_waived_by uuid,                      -- staff may book at short notice; it is on record
    -- copied from the appointment and stamped by place_reservation(), whatever the caller sends
    provider_id    uuid        NOT NULL,
    service_id     uuid,
    capacity       smallint    NOT NULL,
    seat           smallint    NOT NULL,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    busy_from      timestamptz NOT NULL,      -- with the service's buffers
    busy_until     timestamptz NOT NULL,
    lead_time      interval    NOT NULL,      -- the policy in force when the time was chosen
    created_at     timestamptz NOT NULL,
    scheduled_at   timestamptz NOT NULL,      -- when this time was chosen
    expires_at     timestamptz NOT NULL,
    confirmed_at   timestamptz,
    cancelled_at   timestamptz,
    version        integer     NOT NULL DEFAULT 1,
    -- derived; no index may name `status`, so that confirming stays a heap-only update
    live                boolean GENERATED ALWAYS AS (status IN ('HELD', 'CONFIRMED')) STORED,
    session_id          uuid    GENERATED ALWAYS AS (CASE WHEN capacity > 1 THEN appointment_id ELSE id END) STORED,
    live_appointment_id uuid    GENERATED ALWAYS AS (CASE WHEN status IN ('HELD', 'CONFIRMED') THEN appointment_id END) STORED,

    CONSTRAINT reservations_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT reservation_of_client    FOREIGN KEY (business_id, client_id)   REFERENCES clients (business_id, id),
    CONSTRAINT reservation_of_provider  FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT reservation_of_service   FOREIGN KEY (business_id, service_id)  REFERENCES services (business_id, id),
    CONSTRAINT reservation_of_resource  FOREIGN KEY (business_id, resource_id) REFERENCES resources (business_id, id),
    -- a booked appointment cannot be withdrawn; a closed reservation pins nothing
    CONSTRAINT appointment_is_published FOREIGN KEY (business_id, live_appointment_id) REFERENCES appointments (business_id, id),

    CONSTRAINT status_is_known   CHECK (status IN ('HELD', 'CONFIRMED', 'COMPLETED', 'NO_SHOW', 'CANCELLED', 'EXPIRED')),
    CONSTRAINT runs_forward      CHECK (busy_from <= starts_at AND starts_at < ends_at AND ends_at <= busy_until),
    CONSTRAINT seat_exists       CHECK (seat BETWEEN 1 AND capacity),
    CONSTRAINT booked_ahead      CHECK (lead_waived_by IS NOT NULL OR starts_at - scheduled_at >= lead_time),
    CONSTRAINT hold_ends         CHECK (expires_at > created_at),
    CONSTRAINT confirmed_in_time CHECK (confirmed_at >= created_at AND confirmed_at < expires_at),
    CONSTRAINT confirmed_or_not  CHECK (status NOT IN ('CONFIRMED', 'COMPLETED', 'NO_SHOW') OR confirmed_at IS NOT NULL),
    CONSTRAINT note_is_short     CHECK (length(note) <= 2000 AND length(cancel_reason) <= 2000),

    -- No double booking: two live reservations of one provider (or resource) never overlap,
    -- unless they are seats of the same group session.
    CONSTRAINT provider_is_free EXCLUDE USING gist (
        provider_id WITH =, tstzrange(busy_from, busy_until) WITH &&, session_id WITH <>, business_id WITH =
    ) WHERE (live),
    CONSTRAINT resource_is_free EXCLUDE USING gist (
        resource_id WITH =, tstzrange(busy_from, busy_until) WITH &&, session_id WITH <>, business_id WITH =
    ) WHERE (live AND resource_id IS NOT NULL)
) WITH (fillfactor = 85);

CREATE UNIQUE INDEX seat_is_free ON reservations (business_id, session_id, seat) WHERE live AND capacity > 1;
CREATE INDEX reservations_by_start ON reservations (business_id, starts_at, id);
CREATE INDEX reservations_of_client ON reservations (business_id, client_id, starts_at, id);
CREATE INDEX reservations_of_provider ON reservations (business_id, provider_id, starts_at, id);
CREATE INDEX claims_of_provider ON reservations (business_id, provider_id, busy_from) WHERE live;
CREATE INDEX reservations_of_appointment ON reservations (business_id, appointment_id);
CREATE INDEX reservations_on_appointment ON reservations (business_id, live_appointment_id)
    WHERE live_appointment_id IS NOT NULL;
"""

# From expires_at on a hold is free at once, with no job running: whoever wants its time flips it first.
EXPIRE = """
CREATE FUNCTION expire_lapsed_holds(business uuid, provider uuid, resource uuid, busy tstzrange) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    lapsed uuid;
BEGIN
    FOR lapsed IN
        SELECT o.id FROM reservations o
         WHERE o.business_id = business AND (o.provider_id = provider OR o.resource_id = resource) AND o.live
           AND tstzrange(o.busy_from, o.busy_until) && busy
           AND o.status = 'HELD' AND o.expires_at <= clock_timestamp()
         ORDER BY o.id FOR UPDATE
    LOOP
        UPDATE reservations SET status = 'EXPIRED' WHERE business_id = business AND id = lapsed;
    END LOOP;
END $$;
"""

PLACE = """
CREATE FUNCTION place_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    place record;
    clock timestamptz;
BEGIN
    -- Locked before any reservation, as wherever both are taken: the time stays published until we commit.
    SELECT a.provider_id, a.service_id, a.capacity, a.starts_at, a.ends_at,
           a.starts_at - coalesce(s.buffer_before, '0') AS busy_from,
           a.ends_at + coalesce(s.buffer_after, '0') AS busy_until,
           coalesce(s.lead_time, b.lead_time) AS lead_time, coalesce(s.hold_time, b.hold_time) AS hold_time
      INTO place
      FROM appointments a
      JOIN businesses b ON b.id = a.business_id
      LEFT JOIN services s ON s.business_id = a.business_id AND s.id = a.service_id
     WHERE a.business_id = NEW.business_id AND a.id = NEW.appointment_id
       FOR KEY SHARE OF a;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such appointment is published'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'appointment_is_published';
    END IF;
    NEW.seat := 1;
    IF place.capacity > 1 THEN      -- seats of a group are handed out one by one
        PERFORM FROM appointments WHERE business_id = NEW.business_id AND id = NEW.appointment_id FOR NO KEY UPDATE;
    END IF;
    PERFORM expire_lapsed_holds(NEW.business_id, place.provider_id, NEW.resource_id,
                                tstzrange(place.busy_from, place.busy_until));
    IF place.capacity > 1 THEN
        SELECT min(n) INTO NEW.seat FROM generate_series(1, place.capacity) n
         WHERE NOT EXISTS (SELECT FROM reservations r
                            WHERE r.business_id = NEW.business_id AND r.session_id = NEW.appointment_id AND r.seat = n
                              AND r.live AND r.capacity > 1);
        IF NEW.seat IS NULL THEN
            RETURN NULL;
        END IF;
        -- All seats of a session keep its provider busy for the same time, whatever became of the buffers since.
        SELECT coalesce(min(r.busy_from), place.busy_from), coalesce(max(r.busy_until), place.busy_until)
          INTO place.busy_from, place.busy_until
          FROM reservations r
         WHERE r.business_id = NEW.business_id AND r.session_id = NEW.appointment_id AND r.live AND r.capacity > 1;
    END IF;
    clock := clock_timestamp();     -- now() would be stale after a lock wait
    NEW.id           := uuidv7();    -- a chosen id could pass for somebody's session
    NEW.provider_id  := place.provider_id;
    NEW.service_id   := place.service_id;
    NEW.capacity     := place.capacity;
    NEW.starts_at    := place.starts_at;
    NEW.ends_at      := place.ends_at;
    NEW.busy_from    := place.busy_from;
    NEW.busy_until   := place.busy_until;
    NEW.lead_time    := place.lead_time;
    NEW.created_at   := clock;
    NEW.scheduled_at := clock;
    NEW.expires_at   := clock + make_interval(secs => extract(epoch FROM place.hold_time)::float8);
    NEW.confirmed_at := CASE WHEN NEW.status = 'CONFIRMED' THEN clock END;
    NEW.cancelled_at := NULL;
    NEW.version      := 1;
    IF NEW.status NOT IN ('HELD', 'CONFIRMED') THEN
        RAISE EXCEPTION 'a reservation begins held or confirmed'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_is_final';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER place BEFORE INSERT ON reservations FOR EACH ROW EXECUTE FUNCTION place_reservation();
"""

# HELD -> CONFIRMED -> COMPLETED | NO_SHOW; HELD -> EXPIRED; HELD | CONFIRMED -> CANCELLED; a closed one stays closed.
KEEP = """
CREATE FUNCTION keep_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    clock  timestamptz := clock_timestamp();
    lapsed boolean := OLD.status = 'HELD' AND OLD.expires_at <= clock;
BEGIN
    IF NEW.status <> OLD.status THEN
        IF lapsed AND NEW.status = 'CONFIRMED' THEN
            RAISE EXCEPTION 'the hold has lapsed' USING ERRCODE = 'check_violation', CONSTRAINT = 'confirmed_in_time';
        ELSIF NOT (OLD.status = 'HELD' AND lapsed AND NEW.status = 'EXPIRED'
                OR OLD.status = 'HELD' AND NOT lapsed AND NEW.status IN ('CONFIRMED', 'CANCELLED')
                OR OLD.status = 'CONFIRMED' AND NEW.status IN ('COMPLETED', 'NO_SHOW', 'CANCELLED')) THEN
            RAISE EXCEPTION 'a reservation that is % cannot become %', OLD.status, NEW.status
                  USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_is_final';
        END IF;
    END IF;
    -- What was stamped stays as it was stamped.
    NEW.business_id  := OLD.business_id;   NEW.id             := OLD.id;
    NEW.client_id    := OLD.client_id;     NEW.appointment_id := OLD.appointment_id;
    NEW.provider_id  := OLD.provider_id;   NEW.service_id     := OLD.service_id;
    NEW.resource_id  := OLD.resource_id;
    NEW.capacity     := OLD.capacity;      NEW.seat           := OLD.seat;
    NEW.starts_at    := OLD.starts_at;     NEW.ends_at        := OLD.ends_at;
    NEW.busy_from    := OLD.busy_from;     NEW.busy_until     := OLD.busy_until;
    NEW.lead_time    := OLD.lead_time;     NEW.lead_waived_by := OLD.lead_waived_by;
    NEW.created_at   := OLD.created_at;    NEW.scheduled_at   := OLD.scheduled_at;
    NEW.expires_at   := OLD.expires_at;
    NEW.confirmed_at := CASE WHEN OLD.status = 'HELD' AND NEW.status = 'CONFIRMED'
                             THEN greatest(clock, OLD.created_at) ELSE OLD.confirmed_at END;  -- a clock may step back
    NEW.cancelled_at := CASE WHEN OLD.live AND NEW.status = 'CANCELLED' THEN clock ELSE OLD.cancelled_at END;
    NEW.version      := OLD.version;
    IF (NEW.status, NEW.note, NEW.cancel_reason) IS DISTINCT FROM (OLD.status, OLD.note, OLD.cancel_reason) THEN
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep BEFORE UPDATE ON reservations FOR EACH ROW EXECUTE FUNCTION keep_reservation();
"""

# No change without its event, no event without its change; and none goes without a trace.
RECORD = """
CREATE FUNCTION record_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := lower(NEW.status);
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = NEW.status THEN
        changed := 'updated';
    END IF;
    INSERT INTO events (business_id, type, aggregate_id, data)
    VALUES (NEW.business_id, 'scheduling.reservation.' || changed || '.v1', NEW.id,
            jsonb_build_object('id', NEW.id, 'client_id', NEW.client_id, 'provider_id', NEW.provider_id,
                               'appointment_id', NEW.appointment_id, 'starts_at', NEW.starts_at, 'ends_at', NEW.ends_at,
                               'status', NEW.status, 'version', NEW.version));
    RETURN NULL;
END $$;
CREATE TRIGGER record_insert AFTER INSERT ON reservations FOR EACH ROW EXECUTE FUNCTION record_reservation();
CREATE TRIGGER record_update AFTER UPDATE ON reservations
    FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION record_reservation();

CREATE FUNCTION refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a reservation is cancelled, never deleted'
          USING ERRCODE = 'check_violation', CONSTRAINT = 'reservation_is_history';
END $$;
CREATE TRIGGER refuse_removal BEFORE DELETE ON reservations FOR EACH ROW EXECUTE FUNCTION refuse_removal();
CREATE TRIGGER refuse_truncation BEFORE TRUNCATE ON reservations EXECUTE FUNCTION refuse_removal();
"""


def upgrade() -> None:
    for step in (TABLE, EXPIRE, PLACE, KEEP, RECORD):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP TABLE reservations;
    DROP FUNCTION expire_lapsed_holds, place_reservation, keep_reservation, record_reservation, refuse_removal;
    """)
