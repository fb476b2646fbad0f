"""Publication: which appointments rules have made, which of them no longer fit, and how far each provider is published."""

from alembic import op

revision = "0014"
down_revision = "0013"

COLUMNS = """
ALTER TABLE appointments
    ADD COLUMN is_generated boolean NOT NULL DEFAULT false,  -- made from a rule, which may take it back
    ADD COLUMN withdrawn_at timestamptz;                     -- booked, and no longer offered: it goes when nobody has it
CREATE INDEX appointments_generated ON appointments (business_id, provider_id, starts_at) WHERE is_generated;
GRANT UPDATE (withdrawn_at) ON appointments TO holdfast_app;
GRANT UPDATE (result_id, result) ON idempotency_keys TO holdfast_app;
"""

# Whether it is offered is all of it that may change.
CHANGE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.withdrawn_at IS DISTINCT FROM OLD.withdrawn_at
       AND to_jsonb(NEW) - 'withdrawn_at' = to_jsonb(OLD) - 'withdrawn_at' THEN
        NEW.withdrawn_at := CASE WHEN NEW.withdrawn_at IS NOT NULL THEN coalesce(OLD.withdrawn_at, clock_timestamp()) END;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a published appointment never changes'
          USING ERRCODE = 'check_violation', CONSTRAINT = 'appointment_never_changes';
END $$;

-- Somebody has reserved it: whoever cares for them is told.
CREATE FUNCTION record_outdated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data)
    SELECT n.business_id, 'scheduling.appointment.outdated.v1', n.id,
           jsonb_build_object('id', n.id, 'provider_id', n.provider_id, 'starts_at', n.starts_at, 'ends_at', n.ends_at)
      FROM changed n JOIN unchanged o ON o.business_id = n.business_id AND o.id = n.id
     WHERE n.withdrawn_at IS NOT NULL AND o.withdrawn_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER record_outdated AFTER UPDATE ON appointments
    REFERENCING OLD TABLE AS unchanged NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_outdated();
"""

PUBLICATIONS = """
CREATE TABLE publications (                  -- of every provider who has a rule or an exception
    business_id     uuid        NOT NULL,
    provider_id     uuid        NOT NULL,
    published_until timestamptz NOT NULL,
    published_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    zones           text        NOT NULL,    -- of which database of time zones the instants are
    CONSTRAINT publications_pkey PRIMARY KEY (business_id, provider_id),
    CONSTRAINT publication_of_provider FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id)
);
ALTER TABLE publications ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON publications TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT, INSERT, UPDATE, DELETE ON publications TO holdfast_app;

-- A worker has no business of its own: this is all that it learns of those that have something to be done.
CREATE FUNCTION businesses_to_publish(now_zones text, most integer) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.business_id FROM publications p JOIN businesses b ON b.id = p.business_id
     WHERE p.zones <> now_zones
        OR p.published_until < date_trunc('day', clock_timestamp(), 'UTC') + make_interval(hours => 24 * (b.publication_days + 1))
     GROUP BY p.business_id ORDER BY min(p.published_until) LIMIT most
$$;
REVOKE EXECUTE ON FUNCTION businesses_to_publish FROM PUBLIC;
GRANT EXECUTE ON FUNCTION businesses_to_publish TO holdfast_app;
"""


def upgrade() -> None:
    for step in (COLUMNS, CHANGE, PUBLICATIONS):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP FUNCTION businesses_to_publish;
    DROP TABLE publications;
    DROP TRIGGER record_outdated ON appointments;
    DROP FUNCTION record_outdated;
    REVOKE UPDATE (withdrawn_at) ON appointments FROM holdfast_app;
    REVOKE UPDATE (result_id, result) ON idempotency_keys FROM holdfast_app;
    DROP INDEX appointments_generated;
    CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a published appointment never changes'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'appointment_never_changes';
    END $$;
    ALTER TABLE appointments DROP COLUMN is_generated, DROP COLUMN withdrawn_at;
    """)
