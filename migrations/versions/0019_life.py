"""The life of a reservation: it is moved, renewed, requested, approved, begun and completed, by rules that hold for all."""

from alembic import context, op

revision = "0019"
down_revision = "0018"

COLUMNS = """
ALTER TABLE businesses
    ADD COLUMN renewal_limit smallint NOT NULL DEFAULT 2,   -- how often a hold may be renewed
    ADD CONSTRAINT renewal_limit_is_sane CHECK (renewal_limit BETWEEN 0 AND 100);
ALTER TABLE services
    ADD COLUMN approval_time interval,                      -- how long the provider has to approve; null: nobody need
    ADD CONSTRAINT approval_time_is_sane CHECK (approval_time > '0' AND approval_time <= '366 days');
ALTER TABLE reservations
    ADD COLUMN hold_time     interval,                      -- frozen with the other policies; a renewal lasts as long
    ADD COLUMN renewals      smallint NOT NULL DEFAULT 0,
    ADD COLUMN approval_time interval,                      -- frozen; null: no approval is needed
    ADD COLUMN requested_at  timestamptz,                   -- confirmed by the client; from then on it waits for approval
    ADD COLUMN approved_by   text,
    ADD COLUMN started_at    timestamptz,
    ADD COLUMN completed_at  timestamptz,
    ADD COLUMN cancelled_by  text,                          -- the role of whoever gave it back
    ADD COLUMN offered       boolean NOT NULL DEFAULT false,  -- held for the client, who did not ask for it now
    ADD COLUMN visit_id      uuid,
    ADD COLUMN series_id     uuid,
    ADD CONSTRAINT approved_first CHECK (approval_time IS NULL OR approved_by IS NOT NULL
                                         OR status NOT IN ('CONFIRMED', 'COMPLETED', 'NO_SHOW'));
CREATE INDEX reservations_of_visit ON reservations (business_id, visit_id, starts_at) WHERE visit_id IS NOT NULL;
CREATE INDEX reservations_of_series ON reservations (business_id, series_id, starts_at) WHERE series_id IS NOT NULL;
"""

# What is held for the client by others is no hoarding; requests are counted on their own, when they are made. A visit or a
# series is one wish. Only functions of ours offer anything, or waive a lead time: whoever is bound by row security does not.
ADMIT = """
CREATE OR REPLACE FUNCTION admit_client() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    most     smallint;
    held     bigint;
    requests bigint;
BEGIN
    IF TG_OP = 'INSERT' AND row_security_active('reservations') THEN
        NEW.offered        := false;
        NEW.lead_waived_by := NULL;
    END IF;
    SELECT b.hold_limit INTO most FROM clients c JOIN businesses b ON b.id = c.business_id
     WHERE c.business_id = NEW.business_id AND c.id = NEW.client_id AND c.erased_at IS NULL
       FOR NO KEY UPDATE OF c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such client, or an erased one'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'reservation_of_client';
    ELSIF NEW.status = 'HELD' AND (NEW.requested_at IS NOT NULL OR NOT NEW.offered) AND most IS NOT NULL THEN
        SELECT count(DISTINCT coalesce(visit_id, series_id, id)) FILTER (WHERE requested_at IS NULL AND NOT offered),
               count(DISTINCT coalesce(visit_id, series_id, id)) FILTER (WHERE requested_at IS NOT NULL)
          INTO held, requests
          FROM reservations
         WHERE business_id = NEW.business_id AND client_id = NEW.client_id AND live
           AND expires_at > clock_timestamp() AND status = 'HELD'
           AND coalesce(visit_id, series_id, id) IS DISTINCT FROM coalesce(NEW.visit_id, NEW.series_id, NEW.id);
        IF TG_OP = 'INSERT' AND most <= held THEN
            RAISE EXCEPTION 'as much as allowed is held' USING ERRCODE = 'check_violation', CONSTRAINT = 'holds_are_few';
        ELSIF most <= requests THEN
            RAISE EXCEPTION 'as much as allowed waits' USING ERRCODE = 'check_violation', CONSTRAINT = 'requests_are_few';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER admit_request BEFORE UPDATE ON reservations
    FOR EACH ROW WHEN (NEW.status = 'HELD' AND OLD.approval_time IS NOT NULL
                       AND OLD.requested_at IS NULL AND NEW.requested_at IS NOT NULL) EXECUTE FUNCTION admit_client();
"""

# Where a reservation goes, be it new or moved: the appointment's provider, time, buffers and seat, as the database knows
# them. Null, if a group has no seat left. Of a moved one, its own claim is in nobody's way.
PLACED = """
CREATE FUNCTION placed(r reservations) RETURNS reservations LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    place  record;
    needed uuid[] := '{}';
BEGIN
    -- Locked before any reservation, as wherever both are taken: the time stays published until we commit.
    SELECT a.provider_id, a.service_id AS published_for, s.id AS service_id, a.location_id, a.capacity,
           a.starts_at, a.ends_at,
           a.starts_at - coalesce(s.buffer_before, '0') AS busy_from,
           a.ends_at + coalesce(s.buffer_after, '0') AS busy_until,
           greatest(coalesce(s.lead_time, b.lead_time), coalesce(s.minimum_horizon, b.minimum_horizon)) AS lead_time,
           coalesce(s.maximum_horizon, b.maximum_horizon) AS maximum_horizon,
           coalesce(s.hold_time, b.hold_time) AS hold_time, coalesce(s.cancel_cutoff, b.cancel_cutoff) AS cancel_cutoff,
           s.approval_time, s.price, s.currency, s.active, s.duration
      INTO place
      FROM appointments a
      JOIN businesses b ON b.id = a.business_id
      LEFT JOIN services s ON s.business_id = a.business_id AND s.id = coalesce(a.service_id, r.service_id)
     WHERE a.business_id = r.business_id AND a.id = r.appointment_id AND a.withdrawn_at IS NULL
       FOR KEY SHARE OF a;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such appointment is published'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'appointment_is_published';
    END IF;
    IF r.service_id IS DISTINCT FROM place.published_for AND (
           r.service_id IS NULL AND r.created_at IS NOT NULL     -- what was reserved for nothing stays for nothing
           OR r.service_id IS NOT NULL AND (
               place.published_for IS NOT NULL
               OR NOT EXISTS (SELECT FROM offerings o
                               WHERE o.business_id = r.business_id AND o.provider_id = place.provider_id
                                 AND o.service_id = r.service_id
                                 AND (o.location_id IS NULL OR o.location_id = place.location_id))
               OR EXISTS (SELECT FROM service_skills n
                           WHERE n.business_id = r.business_id AND n.service_id = r.service_id
                             AND NOT EXISTS (SELECT FROM provider_skills h
                                              WHERE h.business_id = r.business_id AND h.provider_id = place.provider_id
                                                AND h.skill_id = n.skill_id))))
       OR NOT place.active OR place.duration > place.ends_at - place.starts_at THEN
        RAISE EXCEPTION 'the provider does not give this service'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'service_is_offered';
    END IF;
    r.seat := 1;
    IF place.capacity > 1 THEN      -- seats of a group are handed out one by one
        PERFORM FROM appointments WHERE business_id = r.business_id AND id = r.appointment_id FOR NO KEY UPDATE;
    END IF;
    -- Those who reserve go side by side; whoever moves reservations of the provider (lock_booking) goes alone. One of each
    -- could wait for the other inside the exclusion constraint, where there is no order.
    PERFORM pg_advisory_xact_lock_shared(uuid_hash_extended(place.provider_id, 18));
    IF place.capacity > 1 THEN
        -- All seats of a session keep its provider busy for the same time, whatever became of the buffers since.
        SELECT coalesce(min(o.busy_from), place.busy_from), coalesce(max(o.busy_until), place.busy_until)
          INTO place.busy_from, place.busy_until
          FROM reservations o
         WHERE o.business_id = r.business_id AND o.session_id = r.appointment_id AND o.live AND o.capacity > 1
           AND (o.status <> 'HELD' OR o.expires_at > clock_timestamp());
    END IF;
    IF place.service_id IS NOT NULL OR r.resource_id IS NOT NULL THEN     -- after providers, by id, as everywhere
        needed := array_remove(ARRAY(SELECT n.resource_id
                                       FROM needed_resources(r.business_id, place.service_id, place.location_id) n)
                               || r.resource_id, NULL);
        PERFORM FROM resources m WHERE m.business_id = r.business_id AND m.id = ANY (needed) ORDER BY m.id FOR NO KEY UPDATE;
    END IF;
    PERFORM expire_lapsed_holds(r.business_id, place.provider_id, needed, tstzrange(place.busy_from, place.busy_until));
    IF place.capacity > 1 THEN
        SELECT min(n) INTO r.seat FROM generate_series(1, place.capacity) n
         WHERE NOT EXISTS (SELECT FROM reservations o
                            WHERE o.business_id = r.business_id AND o.session_id = r.appointment_id AND o.seat = n
                              AND o.live AND o.capacity > 1);
        IF r.seat IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    IF r.starts_at IS DISTINCT FROM place.starts_at THEN     -- the time is chosen now; now() would be stale after a lock wait
        r.scheduled_at := clock_timestamp();
        r.lead_time    := place.lead_time;
        IF place.starts_at - r.scheduled_at > place.maximum_horizon AND r.lead_waived_by IS NULL THEN
            RAISE EXCEPTION 'the appointment is farther ahead than is reserved'
                  USING ERRCODE = 'check_violation', CONSTRAINT = 'booked_within_horizon';
        END IF;
    END IF;
    IF r.created_at IS NULL THEN                 -- what is agreed on is agreed on once
        r.service_id    := place.service_id;
        r.price         := place.price;
        r.currency      := place.currency;
        r.duration      := coalesce(place.duration, place.ends_at - place.starts_at);
        r.cancel_cutoff := place.cancel_cutoff;
        r.hold_time     := place.hold_time;
        r.approval_time := place.approval_time;
    END IF;
    r.provider_id := place.provider_id;
    r.capacity    := place.capacity;
    r.starts_at   := place.starts_at;
    r.ends_at     := place.ends_at;
    r.busy_from   := place.busy_from;
    r.busy_until  := place.busy_until;
    RETURN r;
END $$;
REVOKE EXECUTE ON FUNCTION placed FROM PUBLIC;
"""

PLACE = """
CREATE OR REPLACE FUNCTION place_reservation() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.status NOT IN ('HELD', 'CONFIRMED') THEN
        RAISE EXCEPTION 'a reservation begins held or confirmed'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_is_final';
    END IF;
    NEW.id         := uuidv7();    -- a chosen id could pass for somebody's session
    NEW.created_at := NULL;
    NEW.starts_at  := NULL;
    DECLARE
        place reservations := placed(NEW);
    BEGIN
        IF place.id IS NULL THEN
            RETURN NULL;
        END IF;
        NEW := place;
    END;
    NEW.created_at   := NEW.scheduled_at;
    -- A hold ends when its time begins, at the latest; and it is held for a moment.
    NEW.expires_at   := greatest(NEW.scheduled_at + interval '1 microsecond', least(NEW.starts_at,
        NEW.scheduled_at + make_interval(secs => extract(epoch FROM NEW.hold_time)::float8)));
    NEW.confirmed_at := CASE WHEN NEW.status = 'CONFIRMED' THEN NEW.scheduled_at END;
    NEW.cancelled_at := NULL;
    NEW.requested_at := NULL;
    NEW.started_at   := NULL;
    NEW.completed_at := NULL;
    NEW.renewals     := 0;
    NEW.version      := 1;
    RETURN NEW;
END $$;
"""

# HELD -> CONFIRMED -> COMPLETED | NO_SHOW; HELD -> EXPIRED; HELD | CONFIRMED -> CANCELLED; a closed one stays closed.
KEEP = """
CREATE OR REPLACE FUNCTION keep_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    clock  timestamptz := clock_timestamp();
    lapsed boolean := OLD.status = 'HELD' AND OLD.expires_at <= clock;
BEGIN
    IF NEW.status <> OLD.status THEN
        IF lapsed AND NEW.status = 'CONFIRMED' THEN
            RAISE EXCEPTION 'the hold has lapsed' USING ERRCODE = 'check_violation', CONSTRAINT = 'confirmed_in_time';
        ELSIF NOT (OLD.status = 'HELD' AND lapsed AND NEW.status = 'EXPIRED'
                OR OLD.status = 'HELD' AND NOT lapsed AND NEW.status IN ('CONFIRMED', 'CANCELLED')
                OR OLD.status = 'CONFIRMED' AND (
                       NEW.status = 'COMPLETED'
                    OR NEW.status IN ('NO_SHOW', 'CANCELLED') AND OLD.started_at IS NULL)) THEN
            RAISE EXCEPTION 'a reservation that is % cannot become %', OLD.status, NEW.status
                  USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_is_final';
        ELSIF NEW.status IN ('COMPLETED', 'NO_SHOW') AND clock < OLD.starts_at AND OLD.started_at IS NULL THEN
            RAISE EXCEPTION 'it has not begun' USING ERRCODE = 'check_violation', CONSTRAINT = 'not_before_its_start';
        END IF;
    END IF;
    -- What was stamped stays as it was stamped.
    NEW.business_id   := OLD.business_id;    NEW.id             := OLD.id;
    NEW.client_id     := OLD.client_id;      NEW.provider_id    := OLD.provider_id;
    NEW.service_id    := OLD.service_id;     NEW.resource_id    := OLD.resource_id;
    NEW.capacity      := OLD.capacity;       NEW.seat           := OLD.seat;
    NEW.starts_at     := OLD.starts_at;      NEW.ends_at        := OLD.ends_at;
    NEW.busy_from     := OLD.busy_from;      NEW.busy_until     := OLD.busy_until;
    NEW.lead_time     := OLD.lead_time;      NEW.created_at     := OLD.created_at;
    NEW.scheduled_at  := OLD.scheduled_at;   NEW.expires_at     := OLD.expires_at;
    NEW.hold_time     := OLD.hold_time;      NEW.approval_time  := OLD.approval_time;
    NEW.offered       := OLD.offered;        NEW.visit_id       := OLD.visit_id;
    NEW.series_id     := OLD.series_id;
    IF NEW.appointment_id = OLD.appointment_id THEN
        NEW.lead_waived_by := OLD.lead_waived_by;
    END IF;
    NEW.confirmed_at := CASE WHEN OLD.status = 'HELD' AND NEW.status = 'CONFIRMED'
                             THEN greatest(clock, OLD.created_at) ELSE OLD.confirmed_at END;  -- a clock may step back
    NEW.cancelled_at := CASE WHEN OLD.live AND NEW.status = 'CANCELLED' THEN clock ELSE OLD.cancelled_at END;
    NEW.cancelled_by := CASE WHEN OLD.live AND NEW.status = 'CANCELLED' THEN NEW.cancelled_by ELSE OLD.cancelled_by END;
    NEW.completed_at := CASE WHEN OLD.live AND NEW.status = 'COMPLETED' THEN clock ELSE OLD.completed_at END;
    NEW.approved_by  := CASE WHEN OLD.status = 'HELD' AND NEW.status = 'CONFIRMED' THEN NEW.approved_by ELSE OLD.approved_by END;
    IF OLD.requested_at IS NOT NULL OR NEW.status <> 'HELD' OR lapsed OR OLD.approval_time IS NULL THEN
        NEW.requested_at := OLD.requested_at;
    ELSIF NEW.requested_at IS NOT NULL THEN      -- the seat is kept until the provider has decided, or the time has come
        NEW.requested_at := clock;
        NEW.expires_at   := least(OLD.starts_at, clock + make_interval(secs => extract(epoch FROM OLD.approval_time)::float8));
    END IF;
    IF NEW.renewals = OLD.renewals + 1 AND NEW.status = 'HELD' AND NOT lapsed AND NEW.requested_at IS NULL
       AND NOT OLD.offered THEN        -- others wait for what is offered
        IF NEW.renewals > (SELECT b.renewal_limit FROM businesses b WHERE b.id = OLD.business_id) THEN
            RAISE EXCEPTION 'the hold was renewed as often as allowed'
                  USING ERRCODE = 'check_violation', CONSTRAINT = 'renewals_are_few';
        END IF;
        NEW.expires_at := greatest(OLD.expires_at, least(OLD.starts_at, clock + make_interval(
            secs => extract(epoch FROM coalesce(OLD.hold_time, OLD.expires_at - OLD.created_at))::float8)));
    ELSE
        NEW.renewals := OLD.renewals;
    END IF;
    IF OLD.started_at IS NULL AND NEW.started_at IS NOT NULL AND (OLD.status, NEW.status) = ('CONFIRMED', 'CONFIRMED') THEN
        IF OLD.starts_at - clock > '01:00:00' THEN
            RAISE EXCEPTION 'it does not begin within the hour'
                  USING ERRCODE = 'check_violation', CONSTRAINT = 'not_before_its_start';
        END IF;
        NEW.started_at := clock;
    ELSE
        NEW.started_at := OLD.started_at;
    END IF;
    NEW.version := OLD.version;
    IF (NEW.status, NEW.note, NEW.cancel_reason, NEW.appointment_id, NEW.requested_at, NEW.renewals, NEW.started_at)
       IS DISTINCT FROM
       (OLD.status, OLD.note, OLD.cancel_reason, OLD.appointment_id, OLD.requested_at, OLD.renewals, OLD.started_at) THEN
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END $$;
"""

# A move keeps the reservation: its id, what was agreed on, and for how long it is held. Its own time is in nobody's way.
MOVE = """
CREATE FUNCTION move_reservation() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    clock timestamptz := clock_timestamp();
    place reservations;
BEGIN
    IF OLD.status = 'HELD' AND OLD.expires_at <= clock THEN
        RAISE EXCEPTION 'the hold has lapsed' USING ERRCODE = 'check_violation', CONSTRAINT = 'confirmed_in_time';
    ELSIF NOT OLD.live OR NEW.status <> OLD.status OR NEW.started_at IS NOT NULL OR OLD.starts_at <= clock THEN
        RAISE EXCEPTION 'a reservation that has begun or is closed is not moved'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_is_final';
    ELSIF OLD.offered AND OLD.status = 'HELD' AND OLD.requested_at IS NULL THEN     -- that time is offered, and no other
        RAISE EXCEPTION 'what is offered is confirmed first'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_is_final';
    END IF;
    NEW.lead_waived_by := NULL;      -- a waiver is for one time
    place := placed(NEW);
    IF place.id IS NULL THEN
        RETURN NULL;
    END IF;
    NEW := place;
    IF NEW.starts_at = OLD.starts_at THEN
        NEW.lead_waived_by := coalesce(NEW.lead_waived_by, OLD.lead_waived_by);
    END IF;
    IF NEW.status = 'HELD' THEN
        NEW.expires_at := least(NEW.expires_at, NEW.starts_at);
    END IF;
    -- Now, and not afterwards: of a group that moves, none may be in the way of another, who claims before it lets go.
    DELETE FROM resource_claims WHERE business_id = NEW.business_id AND reservation_id = NEW.id;
    RETURN NEW;
END $$;
CREATE TRIGGER move BEFORE UPDATE ON reservations
    FOR EACH ROW WHEN (OLD.appointment_id IS DISTINCT FROM NEW.appointment_id) EXECUTE FUNCTION move_reservation();
CREATE TRIGGER move_claim AFTER UPDATE ON reservations
    FOR EACH ROW WHEN (OLD.appointment_id IS DISTINCT FROM NEW.appointment_id
                       AND (NEW.service_id IS NOT NULL OR NEW.resource_id IS NOT NULL)) EXECUTE FUNCTION claim_resources();
"""

RECORD = """
CREATE OR REPLACE FUNCTION record_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := lower(NEW.status);
    derived text[] := '{live,session_id,live_appointment_id,busy_from,busy_until,lead_time,scheduled_at,note,cancel_reason}';
    was     jsonb := '{}';
    diff    jsonb;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.status <> NEW.status THEN
            diff := jsonb_build_object('status', jsonb_build_array(OLD.status, NEW.status));
        ELSE
            changed := CASE WHEN NEW.appointment_id <> OLD.appointment_id THEN
                                 CASE WHEN NEW.starts_at = OLD.starts_at AND NEW.provider_id <> OLD.provider_id
                                      THEN 'reassigned' ELSE 'rescheduled' END
                            WHEN NEW.requested_at IS DISTINCT FROM OLD.requested_at THEN 'requested'
                            WHEN NEW.renewals <> OLD.renewals                       THEN 'renewed'
                            WHEN NEW.started_at IS DISTINCT FROM OLD.started_at     THEN 'started'
                            ELSE 'updated' END;
            diff := difference(to_jsonb(OLD) - derived, to_jsonb(NEW) - derived);
        END IF;
        IF NEW.appointment_id <> OLD.appointment_id THEN
            was := jsonb_build_object('from', jsonb_build_object(
                'provider_id', OLD.provider_id, 'appointment_id', OLD.appointment_id,
                'starts_at', OLD.starts_at, 'ends_at', OLD.ends_at));
        END IF;
        IF OLD.note IS DISTINCT FROM NEW.note THEN
            diff := coalesce(diff, '{}') || '{"note": null}';
        END IF;
        IF OLD.cancel_reason IS DISTINCT FROM NEW.cancel_reason THEN
            diff := coalesce(diff, '{}') || '{"cancel_reason": null}';
        END IF;
    END IF;
    INSERT INTO events (business_id, type, aggregate_id, data, diff)
    VALUES (NEW.business_id, 'scheduling.reservation.' || changed || '.v1', NEW.id,
            jsonb_build_object('id', NEW.id, 'client_id', NEW.client_id, 'provider_id', NEW.provider_id,
                               'appointment_id', NEW.appointment_id, 'starts_at', NEW.starts_at, 'ends_at', NEW.ends_at,
                               'status', NEW.status, 'version', NEW.version) || was, diff);
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    for step in (COLUMNS, ADMIT, PLACED, PLACE, KEEP, MOVE, RECORD):
        op.execute(step)


def downgrade() -> None:
    bookings, history, holds, guard = (
        context.script.get_revision(number).module for number in ("0006", "0009", "0011", "0015")
    )
    op.execute("DROP FUNCTION move_reservation CASCADE")
    op.execute("DROP TRIGGER move_claim ON reservations; DROP TRIGGER admit_request ON reservations")
    op.execute(guard.PLACE)
    op.execute(_again(bookings.KEEP))
    op.execute(history.CHANGE)
    op.execute(_again(holds.LIMIT[holds.LIMIT.index("CREATE FUNCTION") :]))
    op.execute("""
    DROP FUNCTION placed;
    ALTER TABLE reservations
        DROP COLUMN hold_time, DROP COLUMN renewals, DROP COLUMN approval_time, DROP COLUMN requested_at,
        DROP COLUMN approved_by, DROP COLUMN started_at, DROP COLUMN completed_at, DROP COLUMN cancelled_by,
        DROP COLUMN offered, DROP COLUMN visit_id, DROP COLUMN series_id;
    ALTER TABLE services DROP COLUMN approval_time;
    ALTER TABLE businesses DROP COLUMN renewal_limit;
    """)


def _again(made: str) -> str:
    """A function as an earlier migration made it, without its trigger, which is there."""
    return made.partition("CREATE TRIGGER")[0].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
