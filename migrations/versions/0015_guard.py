"""The guard minds what is supplied: the service that is chosen, its horizon and its price, and the resources it needs."""

from alembic import context, op

revision = "0015"
down_revision = "0014"

CLAIMS = """
-- Which unit of which resource a live reservation uses. Seats of a group session use the same ones.
CREATE TABLE resource_claims (
    business_id    uuid        NOT NULL,
    reservation_id uuid        NOT NULL,
    resource_id    uuid        NOT NULL,
    unit           smallint    NOT NULL,
    session_id     uuid        NOT NULL,
    busy_from      timestamptz NOT NULL,
    busy_until     timestamptz NOT NULL,
    CONSTRAINT resource_claims_pkey PRIMARY KEY (business_id, reservation_id, resource_id, unit),
    CONSTRAINT claim_of_reservation FOREIGN KEY (business_id, reservation_id) REFERENCES reservations (business_id, id),
    CONSTRAINT claim_on_resource    FOREIGN KEY (business_id, resource_id)    REFERENCES resources (business_id, id),
    CONSTRAINT unit_is_free EXCLUDE USING gist (
        resource_id WITH =, unit WITH =, tstzrange(busy_from, busy_until) WITH &&, session_id WITH <>, business_id WITH =
    )
);
CREATE INDEX claims_on_resource ON resource_claims (business_id, resource_id, busy_from);
CREATE INDEX claims_of_session ON resource_claims (business_id, session_id);
ALTER TABLE resource_claims ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON resource_claims TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT ON resource_claims TO holdfast_app;
"""

# From expires_at on a hold is free at once, with no job running: whoever wants its time, or its means, flips it first.
EXPIRE = """
DROP FUNCTION expire_lapsed_holds;
CREATE FUNCTION expire_lapsed_holds(business uuid, provider uuid, resources uuid[], busy tstzrange) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    lapsed uuid;
BEGIN
    IF cardinality(resources) = 0 THEN
        FOR lapsed IN
            SELECT o.id FROM reservations o
             WHERE o.business_id = business AND o.provider_id = provider AND o.live
               AND tstzrange(o.busy_from, o.busy_until) && busy
               AND o.status = 'HELD' AND o.expires_at <= clock_timestamp()
             ORDER BY o.id FOR UPDATE
        LOOP
            UPDATE reservations SET status = 'EXPIRED' WHERE business_id = business AND id = lapsed;
        END LOOP;
        RETURN;
    END IF;
    FOR lapsed IN
        SELECT o.id FROM reservations o
         WHERE o.business_id = business AND o.live AND o.status = 'HELD' AND o.expires_at <= clock_timestamp()
           AND o.id IN (SELECT p.id FROM reservations p
                         WHERE p.business_id = business AND p.provider_id = provider AND p.live
                           AND tstzrange(p.busy_from, p.busy_until) && busy
                        UNION ALL
                        SELECT p.id FROM reservations p
                         WHERE p.business_id = business AND p.resource_id = ANY (resources) AND p.live
                           AND tstzrange(p.busy_from, p.busy_until) && busy
                        UNION ALL
                        SELECT c.reservation_id FROM resource_claims c
                         WHERE c.business_id = business AND c.resource_id = ANY (resources)
                           AND tstzrange(c.busy_from, c.busy_until) && busy)
         ORDER BY o.id FOR UPDATE
    LOOP
        UPDATE reservations SET status = 'EXPIRED' WHERE business_id = business AND id = lapsed;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION expire_lapsed_holds FROM PUBLIC;
"""

# What a service needs at a location: a resource of another location is not meant there.
NEEDED = """
CREATE FUNCTION needed_resources(business uuid, service uuid, location uuid)
RETURNS TABLE (resource_id uuid, there smallint, wanted smallint) LANGUAGE sql STABLE AS $$
    SELECT r.id, r.quantity, q.quantity
      FROM requirements q JOIN resources r ON r.business_id = q.business_id AND r.id = q.resource_id
     WHERE q.business_id = business AND q.service_id = service
       AND (r.location_id IS NULL OR location IS NULL OR r.location_id = location)
$$;
"""

# What a search asks of every appointment it meets. As functions they cost nothing where there is no group and no service;
# they see what their caller sees. Their costs are those of the probes that they make, as the planner counts them.
TELL = """
CREATE FUNCTION claimed_seats(business uuid, appointment uuid) RETURNS bigint LANGUAGE plpgsql STABLE COST 3000 AS $$
BEGIN
    RETURN (SELECT count(*) FROM reservations r
             WHERE r.business_id = business AND r.live_appointment_id = appointment AND r.live
               AND (r.status = 'CONFIRMED' OR r.expires_at > statement_timestamp()));
END $$;

-- A resource of which too few are free for the service at that time, or null. Seats of one group use the same units,
-- for the time of the first one.
CREATE FUNCTION missing_resource(business uuid, appointment uuid, service uuid) RETURNS text LANGUAGE plpgsql STABLE COST 10000 AS $$
DECLARE
    place record;
BEGIN
    IF NOT EXISTS (SELECT FROM requirements q WHERE q.business_id = business AND q.service_id = service) THEN
        RETURN NULL;
    END IF;
    SELECT a.location_id, a.capacity, a.starts_at - s.buffer_before AS busy_from, a.ends_at + s.buffer_after AS busy_until
      INTO place
      FROM appointments a JOIN services s ON s.business_id = a.business_id AND s.id = service
     WHERE a.business_id = business AND a.id = appointment;
    IF place.capacity > 1 THEN
        SELECT coalesce(min(r.busy_from), place.busy_from), coalesce(max(r.busy_until), place.busy_until)
          INTO place.busy_from, place.busy_until
          FROM reservations r
         WHERE r.business_id = business AND r.live_appointment_id = appointment AND r.live
           AND (r.status = 'CONFIRMED' OR r.expires_at > statement_timestamp());
    END IF;
    RETURN (
        SELECT min(w.name)
          FROM needed_resources(business, service, place.location_id) n
          JOIN resources w ON w.business_id = business AND w.id = n.resource_id
         WHERE n.there - n.wanted < (      -- no claim is longer than an appointment of a day, with a day before and after
            SELECT count(DISTINCT c.unit)
              FROM resource_claims c JOIN reservations r ON r.business_id = c.business_id AND r.id = c.reservation_id
             WHERE c.business_id = business AND c.resource_id = n.resource_id
               AND c.busy_from > place.busy_from - interval '96:00:00' AND c.busy_from < place.busy_until
               AND c.busy_until > place.busy_from AND c.session_id <> appointment
               AND r.live AND (r.status = 'CONFIRMED' OR r.expires_at > statement_timestamp())));
END $$;
"""

PLACE = """
CREATE OR REPLACE FUNCTION place_reservation() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    place  record;
    clock  timestamptz;
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
           s.price, s.currency, s.active, s.duration
      INTO place
      FROM appointments a
      JOIN businesses b ON b.id = a.business_id
      LEFT JOIN services s ON s.business_id = a.business_id AND s.id = coalesce(a.service_id, NEW.service_id)
     WHERE a.business_id = NEW.business_id AND a.id = NEW.appointment_id AND a.withdrawn_at IS NULL
       FOR KEY SHARE OF a;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such appointment is published'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'appointment_is_published';
    END IF;
    IF NEW.service_id IS DISTINCT FROM place.published_for AND NEW.service_id IS NOT NULL AND (
           place.published_for IS NOT NULL
           OR NOT EXISTS (SELECT FROM offerings o
                           WHERE o.business_id = NEW.business_id AND o.provider_id = place.provider_id
                             AND o.service_id = NEW.service_id
                             AND (o.location_id IS NULL OR o.location_id = place.location_id))
           OR EXISTS (SELECT FROM service_skills n
                       WHERE n.business_id = NEW.business_id AND n.service_id = NEW.service_id
                         AND NOT EXISTS (SELECT FROM provider_skills h
                                          WHERE h.business_id = NEW.business_id AND h.provider_id = place.provider_id
                                            AND h.skill_id = n.skill_id)))
       OR NOT place.active OR place.duration > place.ends_at - place.starts_at THEN
        RAISE EXCEPTION 'the provider does not give this service'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'service_is_offered';
    END IF;
    NEW.seat := 1;
    IF place.capacity > 1 THEN      -- seats of a group are handed out one by one
        PERFORM FROM appointments WHERE business_id = NEW.business_id AND id = NEW.appointment_id FOR NO KEY UPDATE;
        -- All seats of a session keep its provider busy for the same time, whatever became of the buffers since.
        SELECT coalesce(min(r.busy_from), place.busy_from), coalesce(max(r.busy_until), place.busy_until)
          INTO place.busy_from, place.busy_until
          FROM reservations r
         WHERE r.business_id = NEW.business_id AND r.session_id = NEW.appointment_id AND r.live AND r.capacity > 1
           AND (r.status <> 'HELD' OR r.expires_at > clock_timestamp());
    END IF;
    IF place.service_id IS NOT NULL OR NEW.resource_id IS NOT NULL THEN     -- after providers, by id, as everywhere
        needed := array_remove(ARRAY(SELECT n.resource_id
                                       FROM needed_resources(NEW.business_id, place.service_id, place.location_id) n)
                               || NEW.resource_id, NULL);
        PERFORM FROM resources r WHERE r.business_id = NEW.business_id AND r.id = ANY (needed) ORDER BY r.id FOR NO KEY UPDATE;
    END IF;
    PERFORM expire_lapsed_holds(NEW.business_id, place.provider_id, needed, tstzrange(place.busy_from, place.busy_until));
    IF place.capacity > 1 THEN
        SELECT min(n) INTO NEW.seat FROM generate_series(1, place.capacity) n
         WHERE NOT EXISTS (SELECT FROM reservations r
                            WHERE r.business_id = NEW.business_id AND r.session_id = NEW.appointment_id AND r.seat = n
                              AND r.live AND r.capacity > 1);
        IF NEW.seat IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;
    clock := clock_timestamp();     -- now() would be stale after a lock wait
    IF place.starts_at - clock > place.maximum_horizon THEN
        RAISE EXCEPTION 'the appointment is farther ahead than is reserved'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'booked_within_horizon';
    END IF;
    NEW.id            := uuidv7();    -- a chosen id could pass for somebody's session
    NEW.provider_id   := place.provider_id;
    NEW.service_id    := place.service_id;
    NEW.capacity      := place.capacity;
    NEW.starts_at     := place.starts_at;
    NEW.ends_at       := place.ends_at;
    NEW.busy_from     := place.busy_from;
    NEW.busy_until    := place.busy_until;
    NEW.lead_time     := place.lead_time;
    NEW.price         := place.price;
    NEW.currency      := place.currency;
    NEW.duration      := coalesce(place.duration, place.ends_at - place.starts_at);
    NEW.cancel_cutoff := place.cancel_cutoff;
    NEW.created_at    := clock;
    NEW.scheduled_at  := clock;
    NEW.expires_at    := clock + make_interval(secs => extract(epoch FROM place.hold_time)::float8);
    NEW.confirmed_at  := CASE WHEN NEW.status = 'CONFIRMED' THEN clock END;
    NEW.cancelled_at  := NULL;
    NEW.version       := 1;
    IF NEW.status NOT IN ('HELD', 'CONFIRMED') THEN
        RAISE EXCEPTION 'a reservation begins held or confirmed'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_is_final';
    END IF;
    RETURN NEW;
END $$;
"""

CLAIM = """
CREATE FUNCTION claim_resources() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    need   record;
    others smallint[];
    ours   smallint[];
BEGIN
    FOR need IN
        SELECT n.resource_id, n.there, max(n.wanted) AS wanted
          FROM (SELECT * FROM needed_resources(NEW.business_id, NEW.service_id,
                                               (SELECT a.location_id FROM appointments a
                                                 WHERE a.business_id = NEW.business_id AND a.id = NEW.appointment_id))
                UNION ALL
                SELECT r.id, r.quantity, 1::smallint FROM resources r
                 WHERE r.business_id = NEW.business_id AND r.id = NEW.resource_id) n
         GROUP BY n.resource_id, n.there ORDER BY n.resource_id
    LOOP
        SELECT coalesce(array_agg(DISTINCT c.unit) FILTER (WHERE c.session_id <> NEW.session_id), '{}'),
               coalesce(array_agg(DISTINCT c.unit) FILTER (WHERE c.session_id = NEW.session_id), '{}')
          INTO others, ours
          FROM resource_claims c
         WHERE c.business_id = NEW.business_id AND c.resource_id = need.resource_id
           AND tstzrange(c.busy_from, c.busy_until) && tstzrange(NEW.busy_from, NEW.busy_until);
        IF cardinality(others) + need.wanted > need.there THEN      -- a unit that is there no longer is in use all the same
            RAISE EXCEPTION 'a resource that the service needs is in use'
                  USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'unit_is_free';
        END IF;
        INSERT INTO resource_claims
        SELECT NEW.business_id, NEW.id, need.resource_id, each.n, NEW.session_id, NEW.busy_from, NEW.busy_until
          FROM (SELECT unnest(ours) UNION SELECT generate_series(1, need.there)) AS each (n)
         WHERE each.n <> ALL (others)
         ORDER BY each.n = ANY (ours) DESC, each.n LIMIT need.wanted;   -- what an earlier seat has is had already
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER claim AFTER INSERT ON reservations
    FOR EACH ROW WHEN (NEW.service_id IS NOT NULL OR NEW.resource_id IS NOT NULL) EXECUTE FUNCTION claim_resources();

CREATE FUNCTION release_resources() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM resource_claims WHERE business_id = NEW.business_id AND reservation_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER release AFTER UPDATE ON reservations
    FOR EACH ROW WHEN (OLD.live AND NOT NEW.live) EXECUTE FUNCTION release_resources();

-- What was agreed on stays as it was agreed on.
CREATE FUNCTION keep_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.price    := OLD.price;      NEW.currency      := OLD.currency;
    NEW.duration := OLD.duration;   NEW.cancel_cutoff := OLD.cancel_cutoff;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_terms BEFORE UPDATE ON reservations
    FOR EACH ROW WHEN ((OLD.price, OLD.currency, OLD.duration, OLD.cancel_cutoff)
                       IS DISTINCT FROM (NEW.price, NEW.currency, NEW.duration, NEW.cancel_cutoff))
    EXECUTE FUNCTION keep_terms();
"""

WITHOUT = """
DROP TRIGGER claim ON reservations;
DROP TRIGGER release ON reservations;
DROP TRIGGER keep_terms ON reservations;
DROP FUNCTION claim_resources, release_resources, keep_terms, missing_resource, claimed_seats,
              needed_resources, expire_lapsed_holds;
DROP TABLE resource_claims;
"""


def upgrade() -> None:
    for step in (CLAIMS, EXPIRE, NEEDED, TELL, PLACE, CLAIM):
        op.execute(step)


def downgrade() -> None:
    op.execute(WITHOUT)
    bookings, tenants = (context.script.get_revision(revision).module for revision in ("0006", "0007"))
    op.execute(bookings.EXPIRE)
    op.execute(bookings.PLACE.partition("CREATE TRIGGER")[0].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.execute(tenants.GUARD)
