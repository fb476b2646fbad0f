"""Events: history and outbox in one; and the keys that make a repeated request answer once."""

from alembic import op

revision = "0004"
down_revision = "0003"

EVENTS = """
CREATE TABLE events (
    business_id    uuid        NOT NULL,
    id             uuid        NOT NULL DEFAULT uuidv7(),
    seq            bigint      GENERATED ALWAYS AS IDENTITY,
    type           text        NOT NULL,
    aggregate_id   uuid        NOT NULL,
    occurred_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor          text        DEFAULT nullif(current_setting('holdfast.actor', true), ''),
    correlation_id text        DEFAULT nullif(current_setting('holdfast.correlation_id', true), ''),
    data           jsonb       NOT NULL,  -- ids and times, never personal data
    relayed_at     timestamptz,
    CONSTRAINT events_pkey PRIMARY KEY (business_id, id)
);
CREATE INDEX events_to_relay ON events (seq) WHERE relayed_at IS NULL;
CREATE INDEX events_of_aggregate ON events (business_id, aggregate_id, seq);
"""

RECORD = """
-- No change without its event, no event without its change.
CREATE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data)
    VALUES (NEW.business_id,
            'scheduling.' || TG_ARGV[0] || CASE TG_OP WHEN 'INSERT' THEN '.created.v1' ELSE '.updated.v1' END,
            NEW.id, jsonb_build_object('id', NEW.id, 'version', NEW.version));
    RETURN NULL;
END $$;
CREATE TRIGGER record AFTER INSERT OR UPDATE ON locations FOR EACH ROW EXECUTE FUNCTION record_change('location');
CREATE TRIGGER record AFTER INSERT OR UPDATE ON providers FOR EACH ROW EXECUTE FUNCTION record_change('provider');
CREATE TRIGGER record AFTER INSERT OR UPDATE ON services FOR EACH ROW EXECUTE FUNCTION record_change('service');
CREATE TRIGGER record AFTER INSERT OR UPDATE ON resources FOR EACH ROW EXECUTE FUNCTION record_change('resource');
CREATE TRIGGER record AFTER INSERT OR UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION record_change('client');
"""

KEYS = """
CREATE TABLE idempotency_keys (
    business_id  uuid        NOT NULL,
    principal    text        NOT NULL,    -- who asked: a key is never shared between callers
    key          text        NOT NULL,
    request_hash bytea       NOT NULL,
    result_id    uuid        NOT NULL,    -- the row that the request made or changed
    result       jsonb,                   -- what cannot be read again from that row
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (business_id, principal, key),
    CONSTRAINT key_is_short          CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT request_is_hashed     CHECK (length(request_hash) = 32)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- A key is kept for 24 hours; then its next use is a first use.
CREATE FUNCTION forget_old_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM idempotency_keys
     WHERE business_id = NEW.business_id AND principal = NEW.principal AND key = NEW.key
       AND clock_timestamp() - created_at >= '24:00:00';
    RETURN NEW;
END $$;
CREATE TRIGGER forget_old BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION forget_old_key();
"""


def upgrade() -> None:
    for step in (EVENTS, RECORD, KEYS):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP FUNCTION record_change CASCADE;
    DROP TABLE idempotency_keys, events;
    DROP FUNCTION forget_old_key;
    """)
