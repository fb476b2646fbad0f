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

RECORDED = ("business", "location", "provider", "service", "resource", "client")

# No change without its event, no event without its change; and what the database stamps, nobody else writes.
RECORD = """
CREATE FUNCTION stamp_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.created_at := clock_timestamp();
        NEW.version    := 1;
    ELSE
        NEW.id         := OLD.id;
        NEW.created_at := OLD.created_at;
        NEW.version    := OLD.version + 1;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    thing   jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
    changed text  := CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END;
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data)
    VALUES (coalesce(thing ->> 'business_id', thing ->> 'id')::uuid, format('scheduling.%s.%s.v1', TG_ARGV[0], changed),
            (thing ->> 'id')::uuid, jsonb_build_object('id', thing -> 'id', 'version', thing -> 'version'));
    RETURN NULL;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION record_change('{noun}');
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

-- A key is kept for 24 hours; then its next use is a first use. Each new key takes a few old ones with it.
CREATE FUNCTION forget_old_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := clock_timestamp();
    DELETE FROM idempotency_keys
     WHERE business_id = NEW.business_id AND principal = NEW.principal AND key = NEW.key
       AND NEW.created_at - created_at >= '24:00:00';
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys WHERE created_at <= NEW.created_at - interval '24:00:00'
         ORDER BY created_at LIMIT 4 FOR UPDATE SKIP LOCKED));
    RETURN NEW;
END $$;
CREATE TRIGGER forget_old BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION forget_old_keys();
"""


def upgrade() -> None:
    for step in (EVENTS, RECORD, KEYS):
        op.execute(step)
    for noun in RECORDED:
        op.execute(TRIGGERS.format(noun=noun, table="businesses" if noun == "business" else f"{noun}s"))


def downgrade() -> None:
    op.execute("""
    DROP FUNCTION record_change, stamp_change CASCADE;
    DROP TABLE idempotency_keys, events;
    DROP FUNCTION forget_old_keys;
    """)
