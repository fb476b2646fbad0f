"""Visits and series: reservations of one client that were made together, are held together, and lapse together."""

from alembic import op

revision = "0020"
down_revision = "0019"

TABLES = """
CREATE TABLE visits (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    client_id   uuid        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     integer     NOT NULL DEFAULT 1,
    CONSTRAINT visits_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT visit_by_client UNIQUE (business_id, id, client_id),
    CONSTRAINT visit_of_client FOREIGN KEY (business_id, client_id) REFERENCES clients (business_id, id)
);
CREATE INDEX visits_of_client ON visits (business_id, client_id);
CREATE TABLE reservation_series (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    client_id   uuid        NOT NULL,
    provider_id uuid,                       -- null: with anybody who gives the service
    service_id  uuid,
    every_weeks smallint    NOT NULL,
    count       smallint    NOT NULL,       -- as many as were asked for
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     integer     NOT NULL DEFAULT 1,
    CONSTRAINT reservation_series_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT series_by_client UNIQUE (business_id, id, client_id),
    CONSTRAINT series_of_client   FOREIGN KEY (business_id, client_id)   REFERENCES clients (business_id, id),
    CONSTRAINT series_of_provider FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT series_of_service  FOREIGN KEY (business_id, service_id)  REFERENCES services (business_id, id),
    CONSTRAINT series_is_sane     CHECK (every_weeks BETWEEN 1 AND 8 AND count BETWEEN 2 AND 52)
);
CREATE INDEX series_of_clients ON reservation_series (business_id, client_id);
-- Of the same client: nobody makes more of another's visit.
ALTER TABLE reservations
    ADD CONSTRAINT reservation_of_visit FOREIGN KEY (business_id, visit_id, client_id)
        REFERENCES visits (business_id, id, client_id),
    ADD CONSTRAINT reservation_of_series FOREIGN KEY (business_id, series_id, client_id)
        REFERENCES reservation_series (business_id, id, client_id);
"""

# Nobody changes them: what becomes of a visit is what becomes of its reservations.
GUARDED = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT, INSERT ON {table} TO holdfast_app;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION record_change('{noun}');
"""
NOUNS = {"visits": "visit", "reservation_series": "reservation_series"}

# What is held together lapses together: with the first, which is the one that is held the shortest. Fired after `place`
# and `keep`, by their names.
TOGETHER = """
CREATE FUNCTION hold_together() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    first record;
BEGIN
    SELECT o.hold_time, o.expires_at INTO first FROM reservations o
     WHERE o.business_id = NEW.business_id AND (o.visit_id = NEW.visit_id OR o.series_id = NEW.series_id)
       AND o.status = 'HELD' AND o.id <> NEW.id AND o.renewals = NEW.renewals AND o.requested_at IS NULL
       AND o.expires_at > clock_timestamp() AND o.expires_at < NEW.expires_at
       AND (TG_OP = 'INSERT' OR NEW.expires_at - o.expires_at < '00:00:10')   -- renewed at this moment, not long ago
     ORDER BY o.expires_at LIMIT 1;
    IF FOUND THEN
        NEW.hold_time  := least(NEW.hold_time, first.hold_time);
        NEW.expires_at := first.expires_at;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER together_held BEFORE INSERT ON reservations
    FOR EACH ROW WHEN (NEW.visit_id IS NOT NULL OR NEW.series_id IS NOT NULL) EXECUTE FUNCTION hold_together();
CREATE TRIGGER together_renewed BEFORE UPDATE ON reservations
    FOR EACH ROW WHEN ((NEW.visit_id IS NOT NULL OR NEW.series_id IS NOT NULL) AND NEW.renewals <> OLD.renewals)
    EXECUTE FUNCTION hold_together();
"""

# Whoever reserves several appointments locks first what all of them will meet, in the order in which everybody does: the
# client, providers, appointments, the resources of whatever is chosen for them, and the lapsed holds that are in the way.
LOCK = """
CREATE FUNCTION lock_places(business uuid, the_client uuid, the_appointments uuid[], the_services uuid[])
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    involved uuid[];
    needed   uuid[];
    reach    tstzrange;
BEGIN
    IF business IS DISTINCT FROM current_business() AND current_business() IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM FROM clients WHERE business_id = business AND id = the_client FOR NO KEY UPDATE;
    SELECT array_agg(DISTINCT provider_id), tstzrange(min(starts_at) - interval '24:00:00', max(ends_at) + interval '24:00:00')
      INTO involved, reach FROM appointments WHERE business_id = business AND id = ANY (the_appointments);
    PERFORM FROM providers WHERE business_id = business AND id = ANY (involved) ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM appointments WHERE business_id = business AND id = ANY (the_appointments) AND capacity > 1
      ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM appointments WHERE business_id = business AND id = ANY (the_appointments) AND capacity = 1
      ORDER BY id FOR KEY SHARE;
    needed := ARRAY(
        SELECT q.resource_id FROM requirements q
         WHERE q.business_id = business AND (q.service_id = ANY (the_services) OR q.service_id IN (
               SELECT service_id FROM appointments WHERE business_id = business AND id = ANY (the_appointments))));
    PERFORM FROM resources WHERE business_id = business AND id = ANY (needed) ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM reservations o
      WHERE o.business_id = business AND o.live AND o.status = 'HELD' AND o.expires_at <= clock_timestamp()
        AND tstzrange(o.busy_from, o.busy_until) && reach
        AND (o.provider_id = ANY (involved) OR o.resource_id = ANY (needed)
             OR EXISTS (SELECT FROM resource_claims c WHERE c.business_id = business AND c.reservation_id = o.id
                                                        AND c.resource_id = ANY (needed)))
      ORDER BY o.id FOR UPDATE;
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION lock_places FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_places TO holdfast_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table, noun in NOUNS.items():
        op.execute(GUARDED.format(table=table, noun=noun))
    op.execute(TOGETHER)
    op.execute(LOCK)


def downgrade() -> None:
    op.execute("""
    DROP FUNCTION lock_places;
    DROP FUNCTION hold_together CASCADE;
    ALTER TABLE reservations DROP CONSTRAINT reservation_of_visit, DROP CONSTRAINT reservation_of_series;
    DROP TABLE visits, reservation_series;
    """)
