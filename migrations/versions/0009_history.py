"""History: what each change made different, and who read what is personal; nobody can take it back."""

from alembic import op

revision = "0009"
down_revision = "0008"

# Of personal values the history says that they changed, and not from what to what; a person's zone tells where they live,
# and the name of a key whose it is.
DIFFERENCE = """
ALTER TABLE events ADD COLUMN diff jsonb;

CREATE FUNCTION difference(old jsonb, new jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT jsonb_object_agg(n.key, CASE WHEN n.key IN ('first_name', 'last_name', 'email', 'phone', 'note', 'cancel_reason')
                                          OR n.key = 'time_zone' AND new ? 'first_name' OR n.key = 'name' AND new ? 'person_id'
                                        THEN 'null'::jsonb ELSE jsonb_build_array(o.value, n.value) END)
      FROM jsonb_each(new) n JOIN jsonb_each(old) o ON o.key = n.key
     WHERE n.value IS DISTINCT FROM o.value AND n.key <> 'version'
);

-- History is read from its newest entry, by the ids, which are made in order.
DROP INDEX events_of_aggregate;
CREATE INDEX events_of_aggregate ON events (business_id, aggregate_id, id);
"""

CHANGE = """
CREATE OR REPLACE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    thing   jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
    changed text  := CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END;
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data, diff)
    VALUES (coalesce(thing ->> 'business_id', thing ->> 'id')::uuid, format('scheduling.%s.%s.v1', TG_ARGV[0], changed),
            (thing ->> 'id')::uuid, jsonb_build_object('id', thing -> 'id', 'version', thing -> 'version'),
            CASE TG_OP WHEN 'UPDATE' THEN difference(to_jsonb(OLD), thing) END);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION record_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := lower(NEW.status);
    diff    jsonb;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.status = NEW.status THEN
            changed := 'updated';
        ELSE
            diff := jsonb_build_object('status', jsonb_build_array(OLD.status, NEW.status));
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
                               'status', NEW.status, 'version', NEW.version), diff);
    RETURN NULL;
END $$;
"""

# That somebody read is no message to anybody: it is born relayed. A power cut may take it along with its answer, but not
# along with what else the transaction wrote. Within one transaction the same is read once, however often it is shown.
READ = """
CREATE FUNCTION record_read(business uuid, noun text, thing uuid, fields text[], actor text, request text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    fields := array_remove(fields, NULL);
    IF cardinality(fields) = 0 OR EXISTS (      -- there was nothing to be read, or this transaction has it on record
        SELECT FROM events e
         WHERE e.business_id = business AND e.aggregate_id = thing
           AND e.id >= uuidv7(now() - clock_timestamp() - interval '1 second')
           AND e.xmin = pg_current_xact_id_if_assigned()::xid
           AND e.data = jsonb_build_object('id', thing, 'fields', to_jsonb(fields))) THEN
        RETURN '';
    END IF;
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    INSERT INTO events (business_id, type, aggregate_id, actor, correlation_id, data, relayed_at)
    VALUES (business, format('audit.%s.read.v1', noun), thing, actor, request,
            jsonb_build_object('id', thing, 'fields', to_jsonb(fields)), clock_timestamp());
    RETURN '';
END $$;
"""

KEEP = """
CREATE FUNCTION keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'relayed_at' = to_jsonb(OLD) - 'relayed_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'history is added to, never changed'
          USING ERRCODE = 'check_violation', CONSTRAINT = 'history_is_final';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep_history();
CREATE TRIGGER refuse_truncation BEFORE TRUNCATE ON events EXECUTE FUNCTION keep_history();
"""


def upgrade() -> None:
    for step in (DIFFERENCE, CHANGE, READ, KEEP):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP FUNCTION keep_history CASCADE;
    DROP FUNCTION record_read;
    """)
    op.execute(BEFORE)
    op.execute("""
    DROP INDEX events_of_aggregate;
    CREATE INDEX events_of_aggregate ON events (business_id, aggregate_id, seq);
    DROP FUNCTION difference;
    ALTER TABLE events DROP COLUMN diff;
    """)


# As 0004 and 0006 made them.
BEFORE = """
CREATE OR REPLACE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    thing   jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
    changed text  := CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END;
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data)
    VALUES (coalesce(thing ->> 'business_id', thing ->> 'id')::uuid, format('scheduling.%s.%s.v1', TG_ARGV[0], changed),
            (thing ->> 'id')::uuid, jsonb_build_object('id', thing -> 'id', 'version', thing -> 'version'));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION record_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""
