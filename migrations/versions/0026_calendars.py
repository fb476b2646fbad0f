"""Calendars: feeds that calendar programs read, of which only a hash is kept, and the busy times that are read from others."""

from alembic import op

revision = "0026"
down_revision = "0025"

FEEDS = """
CREATE TABLE calendar_feeds (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    provider_id uuid,                     -- whose calendar it is: one of the two
    client_id   uuid,
    secret_hash bytea       NOT NULL,     -- SHA-256: the secret is 256 random bits, which nobody guesses
    revoked_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     integer     NOT NULL DEFAULT 1,
    CONSTRAINT calendar_feeds_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT feed_of_provider     FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT feed_of_client       FOREIGN KEY (business_id, client_id)   REFERENCES clients (business_id, id),
    CONSTRAINT feed_secret_is_new   UNIQUE (secret_hash),
    CONSTRAINT feed_is_of_one       CHECK (num_nonnulls(provider_id, client_id) = 1),
    CONSTRAINT feed_secret_is_hashed CHECK (length(secret_hash) = 32)
);
CREATE INDEX feeds_of_provider ON calendar_feeds (business_id, provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX feeds_of_client ON calendar_feeds (business_id, client_id) WHERE client_id IS NOT NULL;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON calendar_feeds FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON calendar_feeds
    FOR EACH ROW EXECUTE FUNCTION record_change('calendar_feed');
GRANT SELECT, INSERT, UPDATE (revoked_at) ON calendar_feeds TO holdfast_app;
ALTER TABLE calendar_feeds ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON calendar_feeds TO holdfast_app USING (business_id = (SELECT current_business()));

-- Whoever reads a feed shows a secret and nothing else: this is all that they can learn of businesses by it.
CREATE FUNCTION find_calendar_feed(shown bytea)
RETURNS TABLE (business_id uuid, provider_id uuid, client_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT f.business_id, f.provider_id, f.client_id FROM calendar_feeds f
     WHERE f.secret_hash = shown AND f.revoked_at IS NULL
       AND NOT EXISTS (SELECT FROM providers p
                        WHERE p.business_id = f.business_id AND p.id = f.provider_id AND p.erased_at IS NOT NULL)
       AND NOT EXISTS (SELECT FROM clients c
                        WHERE c.business_id = f.business_id AND c.id = f.client_id AND c.erased_at IS NOT NULL)
$$;
REVOKE EXECUTE ON FUNCTION find_calendar_feed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_calendar_feed TO holdfast_app;
"""

# What is told of an import is that its busy times changed, not each time that it was looked at: see `changed_at`.
IMPORTS = """
CREATE TABLE calendar_imports (
    business_id     uuid        NOT NULL,
    id              uuid        NOT NULL DEFAULT uuidv7(),
    provider_id     uuid        NOT NULL,
    url             text        NOT NULL,    -- may carry a secret of its own, so nobody is shown it
    host            text        NOT NULL,
    busy_count      integer     NOT NULL DEFAULT 0,
    changed_at      timestamptz,             -- when its busy times last became others
    last_fetched_at timestamptz,             -- when it was last there, changed or not
    last_error      text,                    -- why the last try failed; null after a good one
    failures        smallint    NOT NULL DEFAULT 0,
    etag            text,                    -- of what was last read, as its server told them
    last_modified   text,
    content_hash    bytea,
    read_for        text,                    -- which day, zone and database of zones it was read for
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at      timestamptz,             -- when a worker last took it in hand
    claimed_until   timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    version         integer     NOT NULL DEFAULT 1,
    CONSTRAINT calendar_imports_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT import_of_provider    FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT import_is_new         UNIQUE (business_id, provider_id, url),
    CONSTRAINT import_url_is_short   CHECK (length(url) <= 2000 AND length(host) <= 255),
    CONSTRAINT import_error_is_short CHECK (length(last_error) <= 500)
);
CREATE INDEX imports_due ON calendar_imports (due_at);
CREATE INDEX imports_in_turn ON calendar_imports (business_id, claimed_at);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE OF changed_at ON calendar_imports
    FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER record AFTER INSERT OR UPDATE OF changed_at OR DELETE ON calendar_imports
    FOR EACH ROW EXECUTE FUNCTION record_change('calendar_import');
GRANT SELECT, INSERT, DELETE, UPDATE (busy_count, changed_at, last_fetched_at, last_error, failures, etag, last_modified,
    content_hash, read_for, due_at, claimed_until) ON calendar_imports TO holdfast_app;
ALTER TABLE calendar_imports ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON calendar_imports TO holdfast_app USING (business_id = (SELECT current_business()));

-- A worker has no business of its own: it takes what is due, and nobody else does until the lease is over. Businesses take
-- turns: first comes the one that waits for the longest since it last had one, whatever others have waiting.
CREATE FUNCTION claim_calendar_imports(most integer, seconds double precision)
RETURNS TABLE (business_id uuid, id uuid, claimed_until timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH turns AS MATERIALIZED (
        SELECT b.business_id,
               (SELECT max(t.claimed_at) FROM calendar_imports t WHERE t.business_id = b.business_id) AS last
          FROM (SELECT DISTINCT c.business_id FROM calendar_imports c
                 WHERE c.due_at <= clock_timestamp()
                   AND (c.claimed_until IS NULL OR c.claimed_until <= clock_timestamp())) b
         ORDER BY last NULLS FIRST, b.business_id LIMIT most),
    found AS MATERIALIZED (
        SELECT turns.last, due.* FROM turns
         CROSS JOIN LATERAL (
               SELECT c.business_id, c.id, c.due_at FROM calendar_imports c
                WHERE c.business_id = turns.business_id AND c.due_at <= clock_timestamp()
                  AND (c.claimed_until IS NULL OR c.claimed_until <= clock_timestamp())
                ORDER BY c.due_at LIMIT most FOR NO KEY UPDATE SKIP LOCKED) due),
    chosen AS MATERIALIZED (
        SELECT f.business_id, f.id FROM found f
         ORDER BY row_number() OVER (PARTITION BY f.business_id ORDER BY f.due_at, f.id), f.last NULLS FIRST, f.business_id
         LIMIT most)
    UPDATE calendar_imports c
       SET claimed_at = clock_timestamp(), claimed_until = clock_timestamp() + make_interval(secs => seconds)
      FROM chosen WHERE c.business_id = chosen.business_id AND c.id = chosen.id
    RETURNING c.business_id, c.id, c.claimed_until
$$;
REVOKE EXECUTE ON FUNCTION claim_calendar_imports FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_calendar_imports TO holdfast_app;
"""

# The busy times of an import are time off, which every rule about time off then knows. They are told of as one change of
# their import, and not each for itself: a calendar may have thousands.
BUSY = """
ALTER TABLE time_off
    ADD COLUMN import_id uuid,
    ADD CONSTRAINT time_off_of_import FOREIGN KEY (business_id, import_id) REFERENCES calendar_imports (business_id, id);
CREATE UNIQUE INDEX busy_time_is_new ON time_off (business_id, import_id, starts_at, ends_at) WHERE import_id IS NOT NULL;
DROP TRIGGER record ON time_off;
CREATE TRIGGER record AFTER INSERT OR UPDATE ON time_off
    FOR EACH ROW WHEN (NEW.import_id IS NULL) EXECUTE FUNCTION record_change('time_off');
CREATE TRIGGER record_deletion AFTER DELETE ON time_off
    FOR EACH ROW WHEN (OLD.import_id IS NULL) EXECUTE FUNCTION record_change('time_off');
"""


def upgrade() -> None:
    for step in (FEEDS, IMPORTS, BUSY):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP TRIGGER record ON time_off;
    DROP TRIGGER record_deletion ON time_off;
    DELETE FROM time_off WHERE import_id IS NOT NULL;
    ALTER TABLE time_off DROP COLUMN import_id;
    CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON time_off
        FOR EACH ROW EXECUTE FUNCTION record_change('time_off');
    DROP FUNCTION claim_calendar_imports, find_calendar_feed;
    DROP TABLE calendar_imports, calendar_feeds;
    """)
