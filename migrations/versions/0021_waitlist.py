"""The waiting list: time that becomes free is held, in order, for those who wait for it, before anybody else can take it."""

from alembic import op

revision = "0021"
down_revision = "0020"

TABLES = """
CREATE TABLE waitlist_entries (
    business_id    uuid        NOT NULL,
    id             uuid        NOT NULL DEFAULT uuidv7(),
    client_id      uuid        NOT NULL,
    service_id     uuid,                      -- null: whatever the provider gives then
    provider_id    uuid,                      -- null: anybody who gives the service
    location_id    uuid,                      -- null: anywhere
    starts_from    timestamptz NOT NULL,
    starts_until   timestamptz NOT NULL,
    status         text        NOT NULL DEFAULT 'WAITING',
    reservation_id uuid,                      -- what is offered now, or what became of it
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    version        integer     NOT NULL DEFAULT 1,
    CONSTRAINT waitlist_entries_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT entry_of_client      FOREIGN KEY (business_id, client_id)      REFERENCES clients (business_id, id),
    CONSTRAINT entry_for_service    FOREIGN KEY (business_id, service_id)     REFERENCES services (business_id, id),
    CONSTRAINT entry_with_provider  FOREIGN KEY (business_id, provider_id)    REFERENCES providers (business_id, id),
    CONSTRAINT entry_at_location    FOREIGN KEY (business_id, location_id)    REFERENCES locations (business_id, id),
    CONSTRAINT entry_is_offered     FOREIGN KEY (business_id, reservation_id) REFERENCES reservations (business_id, id),
    CONSTRAINT entry_names_a_wish   CHECK (service_id IS NOT NULL OR provider_id IS NOT NULL),
    CONSTRAINT entry_runs_forward   CHECK (starts_from < starts_until AND starts_until - starts_from <= '366 days'),
    CONSTRAINT entry_is_bounded     CHECK (starts_from >= '2000-01-01Z' AND starts_until <= '2200-01-01Z'),
    CONSTRAINT entry_status_is_known CHECK (status IN ('WAITING', 'OFFERED', 'ACCEPTED', 'CANCELLED', 'EXPIRED')),
    CONSTRAINT offer_is_there        CHECK (status NOT IN ('OFFERED', 'ACCEPTED') OR reservation_id IS NOT NULL)
);
-- In order. Where nobody waits, to look here is all that it costs to free or to reserve a time.
CREATE INDEX waitlist_in_order ON waitlist_entries (business_id, created_at, id) WHERE status = 'WAITING';
CREATE INDEX waitlist_by_end ON waitlist_entries (starts_until) WHERE status = 'WAITING';
CREATE INDEX waitlist_of_client ON waitlist_entries (business_id, client_id, created_at, id);
CREATE INDEX waitlist_of_reservation ON waitlist_entries (business_id, reservation_id) WHERE reservation_id IS NOT NULL;

-- What was offered to whom: nobody is offered the same time twice.
CREATE TABLE waitlist_offers (
    business_id    uuid        NOT NULL,
    entry_id       uuid        NOT NULL,
    appointment_id uuid        NOT NULL,      -- no foreign key: a time that was offered may be withdrawn
    reservation_id uuid        NOT NULL,
    offered_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT waitlist_offers_pkey PRIMARY KEY (business_id, entry_id, appointment_id),
    CONSTRAINT offer_to_entry FOREIGN KEY (business_id, entry_id)       REFERENCES waitlist_entries (business_id, id),
    CONSTRAINT offer_is_hold  FOREIGN KEY (business_id, reservation_id) REFERENCES reservations (business_id, id)
);
ALTER TABLE waitlist_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE waitlist_offers ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON waitlist_entries TO holdfast_app USING (business_id = (SELECT current_business()));
CREATE POLICY tenant ON waitlist_offers TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT, INSERT, UPDATE (status) ON waitlist_entries TO holdfast_app;
GRANT SELECT ON waitlist_offers TO holdfast_app;
"""

# The client is locked, as when they reserve: of two wishes at once both would be the last one allowed.
ADMIT = """
CREATE FUNCTION admit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased timestamptz;
BEGIN
    SELECT c.erased_at INTO erased FROM clients c
     WHERE c.business_id = NEW.business_id AND c.id = NEW.client_id FOR NO KEY UPDATE;
    IF erased IS NOT NULL THEN
        RAISE EXCEPTION 'an erased client'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'entry_of_client';
    ELSIF 10 <= (SELECT count(*) FROM waitlist_entries e
                  WHERE e.business_id = NEW.business_id AND e.client_id = NEW.client_id
                    AND (e.status = 'OFFERED' OR e.status = 'WAITING' AND e.starts_until > clock_timestamp())) THEN
        RAISE EXCEPTION 'the client waits for as much as allowed'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_are_few';
    END IF;
    NEW.status         := 'WAITING';
    NEW.reservation_id := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER admit BEFORE INSERT ON waitlist_entries FOR EACH ROW EXECUTE FUNCTION admit_entry();

-- Whoever is forgotten waits for nothing.
CREATE FUNCTION forget_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE waitlist_entries SET status = 'CANCELLED'
     WHERE business_id = NEW.business_id AND client_id = NEW.id AND status IN ('WAITING', 'OFFERED');
    RETURN NULL;
END $$;
CREATE TRIGGER forget_entries AFTER UPDATE ON clients
    FOR EACH ROW WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL) EXECUTE FUNCTION forget_entries();
"""

RECORD = """
CREATE FUNCTION record_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told    jsonb := jsonb_build_object('id', NEW.id, 'client_id', NEW.client_id, 'version', NEW.version);
    changed text := 'created';
    hold    record;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        changed := CASE WHEN NEW.status = OLD.status THEN 'updated' ELSE lower(NEW.status) END;
    END IF;
    IF changed = 'offered' THEN
        SELECT r.* INTO hold FROM reservations r WHERE r.business_id = NEW.business_id AND r.id = NEW.reservation_id;
        told := told || jsonb_build_object(
            'reservation_id', hold.id, 'appointment_id', hold.appointment_id, 'provider_id', hold.provider_id,
            'starts_at', hold.starts_at, 'ends_at', hold.ends_at, 'expires_at', hold.expires_at);
    END IF;
    INSERT INTO events (business_id, type, aggregate_id, data, diff)
    VALUES (NEW.business_id, 'scheduling.waitlist_entry.' || changed || '.v1', NEW.id, told,
            CASE TG_OP WHEN 'UPDATE' THEN difference(to_jsonb(OLD), to_jsonb(NEW)) END);
    RETURN NULL;
END $$;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON waitlist_entries FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER record AFTER INSERT OR UPDATE ON waitlist_entries FOR EACH ROW EXECUTE FUNCTION record_entry();
"""

# Whether a time suits somebody who waits, as the guard will judge it. Whoever had this very time before, or was offered it,
# is not asked again; nor whoever is elsewhere then.
SUITS = """
CREATE FUNCTION suited_in_waitlist(business uuid, place appointments, entry uuid)
RETURNS TABLE (entry_id uuid, client_id uuid, service_id uuid) LANGUAGE sql VOLATILE AS $$
    SELECT e.id, e.client_id, coalesce(place.service_id, e.service_id)
      FROM waitlist_entries e
      JOIN clients c ON c.business_id = e.business_id AND c.id = e.client_id AND c.erased_at IS NULL
      JOIN businesses b ON b.id = e.business_id
      LEFT JOIN services s ON s.business_id = e.business_id AND s.id = coalesce(place.service_id, e.service_id)
     WHERE e.business_id = business AND e.id = entry AND e.status = 'WAITING'
       AND (e.service_id IS NULL OR e.service_id = place.service_id
            OR place.service_id IS NULL
               AND EXISTS (SELECT FROM offerings o
                            WHERE o.business_id = e.business_id AND o.provider_id = place.provider_id
                              AND o.service_id = e.service_id
                              AND (o.location_id IS NULL OR o.location_id = place.location_id))
               AND NOT EXISTS (SELECT FROM service_skills n
                                WHERE n.business_id = e.business_id AND n.service_id = e.service_id
                                  AND NOT EXISTS (SELECT FROM provider_skills h
                                                   WHERE h.business_id = e.business_id AND h.skill_id = n.skill_id
                                                     AND h.provider_id = place.provider_id)))
       AND s.active IS NOT false AND (s.duration <= place.ends_at - place.starts_at) IS NOT false
       AND place.starts_at - clock_timestamp()
           >= greatest(coalesce(s.lead_time, b.lead_time), coalesce(s.minimum_horizon, b.minimum_horizon))
       AND (place.starts_at - clock_timestamp() <= coalesce(s.maximum_horizon, b.maximum_horizon)) IS NOT false
       AND NOT EXISTS (SELECT FROM waitlist_offers o
                        WHERE o.business_id = e.business_id AND o.entry_id = e.id AND o.appointment_id = place.id)
       AND NOT EXISTS (SELECT FROM reservations r
                        WHERE r.business_id = e.business_id AND r.client_id = e.client_id
                          AND r.starts_at > place.starts_at - interval '24:00:00' AND r.starts_at < place.ends_at
                          AND (r.appointment_id = place.id
                               OR r.live AND r.ends_at > place.starts_at
                                  AND (r.status <> 'HELD' OR r.expires_at > clock_timestamp())))
$$;
"""

# Whose turn it is, of those who wait: the first whom this time suits. They are locked as everybody locks, the client first;
# whoever is being served at this moment is passed over, and nothing of theirs is kept: others would wait for it in a ring.
NEXT = """
CREATE FUNCTION next_in_waitlist(business uuid, place appointments, passed uuid[])
RETURNS TABLE (entry_id uuid, client_id uuid, service_id uuid) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    candidate uuid;
    suited    record;
BEGIN
    -- One after the other, in order: to ask all of this of everybody who waits would take long.
    FOR candidate IN
        SELECT e.id FROM waitlist_entries e
         WHERE e.business_id = business AND e.status = 'WAITING' AND e.id <> ALL (passed)
           AND e.starts_from <= place.starts_at AND e.starts_until > place.starts_at
           AND (e.provider_id IS NULL OR e.provider_id = place.provider_id)
           AND (e.location_id IS NULL OR e.location_id = place.location_id)
           AND (e.service_id IS NULL OR place.service_id IS NULL OR e.service_id = place.service_id)
         ORDER BY e.created_at, e.id
    LOOP
        SELECT w.* INTO suited FROM suited_in_waitlist(business, place, candidate) w;
        CONTINUE WHEN NOT FOUND;
        BEGIN
            PERFORM FROM clients c WHERE c.business_id = business AND c.id = suited.client_id FOR NO KEY UPDATE SKIP LOCKED;
            IF FOUND THEN
                PERFORM FROM waitlist_entries e
                  WHERE e.business_id = business AND e.id = candidate FOR NO KEY UPDATE SKIP LOCKED;
            END IF;
            IF FOUND THEN       -- now that nothing of theirs changes
                RETURN QUERY SELECT w.* FROM suited_in_waitlist(business, place, candidate) w;
            END IF;
            EXIT WHEN FOUND;
            RAISE EXCEPTION 'nothing is kept' USING ERRCODE = 'HFOFF';
        EXCEPTION WHEN SQLSTATE 'HFOFF' THEN NULL;
        END;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION next_in_waitlist, suited_in_waitlist FROM PUBLIC;
"""

# Which place somebody has among those who wait and might be offered the same time. By the values of the entry: it may have
# been written by this very statement.
POSITION = """
CREATE FUNCTION waitlist_position(business uuid, entry uuid, since timestamptz, service uuid, provider uuid, location uuid,
                                  earliest timestamptz, latest timestamptz)
RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE COST 1000 AS $$
    SELECT 1 + count(*)::integer FROM waitlist_entries e
     WHERE e.business_id = business AND e.status = 'WAITING' AND (e.created_at, e.id) < (since, entry)
       AND e.starts_from < latest AND e.starts_until > earliest AND e.starts_until > statement_timestamp()
       AND (e.service_id = service OR e.service_id IS NULL OR service IS NULL)
       AND (e.provider_id = provider OR e.provider_id IS NULL OR provider IS NULL)
       AND (e.location_id = location OR e.location_id IS NULL OR location IS NULL)
$$;
"""

# Whether somebody has a time, once nobody is just changing that: a reservation that is being given back is waited for, and
# its lock not kept. Of groups, whether all seats are taken.
TAKEN = """
CREATE FUNCTION is_taken(business uuid, place appointments, booking uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    BEGIN
        PERFORM FROM reservations r
          WHERE r.business_id = business AND r.provider_id = place.provider_id AND r.live AND r.id IS DISTINCT FROM booking
            AND tstzrange(r.busy_from, r.busy_until) && tstzrange(place.starts_at, place.ends_at)
          ORDER BY r.id FOR SHARE;
        RAISE EXCEPTION 'nothing is kept' USING ERRCODE = 'HFOFF';
    EXCEPTION
        WHEN SQLSTATE 'HFOFF' THEN NULL;
    END;
    RETURN place.capacity <= (
        SELECT count(*) FILTER (WHERE r.session_id = place.id AND r.capacity > 1)
               + place.capacity * count(*) FILTER (WHERE r.session_id <> place.id)
          FROM reservations r
         WHERE r.business_id = business AND r.provider_id = place.provider_id AND r.live AND r.id IS DISTINCT FROM booking
           AND tstzrange(r.busy_from, r.busy_until) && tstzrange(place.starts_at, place.ends_at)
           AND (r.status <> 'HELD' OR r.expires_at > clock_timestamp()));
END $$;
REVOKE EXECUTE ON FUNCTION is_taken FROM PUBLIC;
"""

# A hold for whoever is next: with all that a reservation is checked for. Null, if nobody waits for it, or it is not free.
# Whoever is chosen is locked only until that is known: what is tried in vain is taken back.
OFFER = """
CREATE FUNCTION turn_of_appointment(appointment uuid) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('holdfast.waitlist.' || appointment::text, 0);

CREATE FUNCTION offer_appointment(business uuid, appointment uuid, comer uuid, booking uuid, patient boolean) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    place  appointments;
    next   record;
    hold   uuid;
    passed uuid[] := '{}';
BEGIN
    IF business IS DISTINCT FROM current_business() AND current_business() IS NOT NULL
       OR NOT EXISTS (SELECT FROM waitlist_entries e WHERE e.business_id = business AND e.status = 'WAITING') THEN
        RETURN NULL;
    END IF;
    SELECT a.* INTO place FROM appointments a
     WHERE a.business_id = business AND a.id = appointment AND a.withdrawn_at IS NULL
       AND a.starts_at > clock_timestamp() FOR KEY SHARE;
    IF NOT FOUND OR patient AND is_taken(business, place, booking) THEN
        RETURN NULL;
    END IF;
    -- Of two who offer the same time at once, one would pass over whom the other has just chosen.
    PERFORM pg_advisory_xact_lock(turn_of_appointment(appointment));
    IF patient AND is_taken(business, place, booking) THEN
        RETURN NULL;
    END IF;
    FOR n IN 1..20 LOOP
        BEGIN
            SELECT w.* INTO next FROM next_in_waitlist(business, place, passed) w;
            IF NOT FOUND THEN
                RETURN NULL;
            ELSIF next.client_id = comer THEN     -- whose turn it is takes it as they wish
                RAISE EXCEPTION 'it is theirs' USING ERRCODE = 'HFOFF';
            END IF;
            INSERT INTO reservations (business_id, client_id, appointment_id, service_id, offered)
            VALUES (business, next.client_id, appointment, next.service_id, true)
            ON CONFLICT DO NOTHING RETURNING id INTO hold;
            IF hold IS NULL THEN
                RAISE EXCEPTION 'it is not free' USING ERRCODE = 'HFOFF';
            END IF;
            UPDATE waitlist_entries SET status = 'OFFERED', reservation_id = hold
             WHERE business_id = business AND id = next.entry_id;
            INSERT INTO waitlist_offers (business_id, entry_id, appointment_id, reservation_id)
            VALUES (business, next.entry_id, appointment, hold);
            RETURN hold;
        EXCEPTION
            WHEN check_violation OR exclusion_violation OR unique_violation OR foreign_key_violation THEN
                passed := passed || next.entry_id;       -- not for them; perhaps for the next one
            WHEN SQLSTATE 'HFOFF' THEN RETURN NULL;
        END;
    END LOOP;
    RETURN NULL;
END $$;

-- Whoever frees a time, moves, or takes several at once has locked what comes last in the order of locks: they wait for
-- others too short to stand in a ring. What is freed is offered by whoever comes for it then.
CREATE FUNCTION offer_quickly(business uuid, appointment uuid, comer uuid, booking uuid, patient boolean) RETURNS uuid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms'
RETURN offer_appointment(business, appointment, comer, booking, patient);
REVOKE EXECUTE ON FUNCTION offer_appointment, offer_quickly FROM PUBLIC;
GRANT EXECUTE ON FUNCTION offer_appointment TO holdfast_app;
"""

# The statement that frees a time offers it: when it commits, the time is free for nobody but whoever was next. What lapsed
# and is flipped by whoever wants a time is left to them: each of them holds one time, and so nobody waits in a ring.
FREED = """
CREATE FUNCTION offer_freed_time() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.offered AND NEW.status <> OLD.status THEN    -- who did not take it keeps their place, but not for this time
        UPDATE waitlist_entries e
           SET status = CASE WHEN NEW.live THEN 'ACCEPTED' ELSE 'WAITING' END,
               reservation_id = CASE WHEN NEW.live THEN NEW.id END
         WHERE e.business_id = NEW.business_id AND e.reservation_id = NEW.id AND e.status = 'OFFERED';
    END IF;
    IF (NOT NEW.live OR NEW.appointment_id <> OLD.appointment_id) AND (NEW.status <> 'EXPIRED' OR pg_trigger_depth() = 1)
       AND EXISTS (SELECT FROM waitlist_entries e WHERE e.business_id = NEW.business_id AND e.status = 'WAITING') THEN
        BEGIN
            PERFORM offer_quickly(OLD.business_id, OLD.appointment_id, NULL, NULL, false);
        EXCEPTION
            WHEN lock_not_available THEN NULL;
        END;
    END IF;
    RETURN NULL;
END $$;
-- After `release`, which gives back what the service needed.
CREATE TRIGGER release_to_waitlist AFTER UPDATE ON reservations
    FOR EACH ROW WHEN (OLD.live AND NEW.status IN ('CANCELLED', 'EXPIRED')
                       OR OLD.appointment_id IS DISTINCT FROM NEW.appointment_id
                       OR NEW.offered AND NEW.status <> OLD.status) EXECUTE FUNCTION offer_freed_time();
"""

# Nobody gets past those who wait, however a time has become free: whoever comes for one lets them have it first.
FIRST = """
CREATE FUNCTION let_waitlist_pass() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    hold uuid;
BEGIN
    IF EXISTS (SELECT FROM waitlist_entries e WHERE e.business_id = NEW.business_id AND e.status = 'WAITING') THEN
        -- Who moves, or takes several times at once, has locked more than one time: they do not wait for who offers this one.
        IF TG_OP = 'INSERT' AND NEW.visit_id IS NULL AND NEW.series_id IS NULL THEN
            hold := offer_appointment(NEW.business_id, NEW.appointment_id, NEW.client_id, NEW.id, true);
        ELSIF NOT pg_try_advisory_xact_lock(turn_of_appointment(NEW.appointment_id)) THEN
            RETURN NULL;
        ELSE
            BEGIN
                hold := offer_quickly(NEW.business_id, NEW.appointment_id, NEW.client_id, NEW.id, true);
            EXCEPTION
                WHEN lock_not_available THEN RETURN NULL;      -- perhaps it is for somebody who waits
            END;
        END IF;
        IF hold IS NOT NULL AND EXISTS (SELECT FROM reservations r WHERE r.business_id = NEW.business_id
                                              AND r.id = hold AND r.capacity = 1) THEN
            RETURN NULL;
        END IF;
    END IF;
    RETURN NEW;
END $$;
-- After `admit`, which locks the client, and before `place`; after `keep`, and before `move`.
CREATE TRIGGER let_waitlist_pass BEFORE INSERT ON reservations
    FOR EACH ROW WHEN (NOT NEW.offered) EXECUTE FUNCTION let_waitlist_pass();
CREATE TRIGGER let_waitlist_pass_moved BEFORE UPDATE ON reservations
    FOR EACH ROW WHEN (OLD.appointment_id IS DISTINCT FROM NEW.appointment_id) EXECUTE FUNCTION let_waitlist_pass();
"""

# A worker has no business of its own: this is all that it learns of those where somebody waits.
WORK = """
CREATE FUNCTION businesses_with_waitlist(most integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT b.id FROM businesses b
     WHERE EXISTS (SELECT FROM waitlist_entries e
                    WHERE e.business_id = b.id AND e.status = 'WAITING' AND e.starts_until > clock_timestamp())
     ORDER BY b.id LIMIT most
$$;

CREATE FUNCTION expire_waitlist(most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH ended AS (
        UPDATE waitlist_entries e SET status = 'EXPIRED'
          FROM (SELECT business_id, id FROM waitlist_entries
                 WHERE status = 'WAITING' AND starts_until <= clock_timestamp()
                 ORDER BY starts_until LIMIT most FOR NO KEY UPDATE SKIP LOCKED) old
         WHERE e.business_id = old.business_id AND e.id = old.id
        RETURNING 1)
    SELECT count(*) FROM ended
$$;
REVOKE EXECUTE ON FUNCTION businesses_with_waitlist, expire_waitlist FROM PUBLIC;
GRANT EXECUTE ON FUNCTION businesses_with_waitlist, expire_waitlist TO holdfast_app;
"""


def upgrade() -> None:
    for step in (TABLES, ADMIT, RECORD, SUITS, NEXT, POSITION, TAKEN, OFFER, FREED, FIRST, WORK):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP FUNCTION let_waitlist_pass, offer_freed_time, forget_entries CASCADE;
    DROP FUNCTION offer_quickly, offer_appointment, turn_of_appointment, is_taken, next_in_waitlist, suited_in_waitlist;
    DROP TABLE waitlist_offers, waitlist_entries;
    DROP FUNCTION businesses_with_waitlist, expire_waitlist, waitlist_position, record_entry, admit_entry;
    """)
