"""Webhooks: where a business wants its events sent, what was sent there, and what was answered."""

from alembic import op

revision = "0024"
down_revision = "0023"

ENDPOINTS = """
CREATE TABLE webhook_endpoints (
    business_id     uuid        NOT NULL,
    id              uuid        NOT NULL DEFAULT uuidv7(),
    url             text        NOT NULL,
    description     text,
    event_types     text[],                   -- null: all; the last one of a name may be a star
    document        text,                     -- a query whose answer is sent in the place of an event's data
    enabled         boolean     NOT NULL DEFAULT true,
    disabled_reason text,
    rotated_at      timestamptz,              -- when its secret was last replaced
    failing_since   timestamptz,              -- since when nothing could be delivered; no change that anybody made
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    version         integer     NOT NULL DEFAULT 1,
    CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT endpoint_of_business FOREIGN KEY (business_id) REFERENCES businesses (id),
    CONSTRAINT endpoint_has_an_address CHECK (length(url) BETWEEN 1 AND 2001),
    CONSTRAINT event_types_are_few     CHECK (cardinality(event_types) BETWEEN 1 AND 100),
    CONSTRAINT document_is_short       CHECK (length(document) BETWEEN 1 AND 8000),
    CONSTRAINT disabled_for_a_reason   CHECK (enabled = (disabled_reason IS NULL)
                                              AND disabled_reason IN ('ASKED', 'GONE', 'FAILING', 'OVERFLOWING'))
);

-- Apart, so that no history of an endpoint can tell them.
CREATE TABLE webhook_secrets (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    endpoint_id uuid        NOT NULL,
    secret      text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz,                  -- of one that was replaced: until then both sign
    CONSTRAINT webhook_secrets_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT secret_of_endpoint FOREIGN KEY (business_id, endpoint_id)
        REFERENCES webhook_endpoints (business_id, id) ON DELETE CASCADE,
    CONSTRAINT secret_is_long CHECK (secret ~ '^whsec_[A-Za-z0-9+/]{43}=$')
);
CREATE INDEX secrets_of_endpoint ON webhook_secrets (business_id, endpoint_id);
CREATE UNIQUE INDEX one_secret_is_current ON webhook_secrets (business_id, endpoint_id) WHERE expires_at IS NULL;

CREATE TABLE webhook_deliveries (
    business_id     uuid        NOT NULL,
    id              uuid        NOT NULL DEFAULT uuidv7(),
    endpoint_id     uuid        NOT NULL,
    event_id        uuid        NOT NULL,
    event_type      text        NOT NULL,
    aggregate_id    uuid        NOT NULL,
    position        bigint      NOT NULL,     -- of the event: of one thing, events are sent in this order
    status          text        NOT NULL DEFAULT 'PENDING',
    attempts        integer     NOT NULL DEFAULT 0,
    attempts_before integer     NOT NULL DEFAULT 0,   -- those before somebody had it begin again
    next_attempt_at timestamptz DEFAULT clock_timestamp(),  -- while it is being sent: when it is taken for lost;
                                              -- null while something about the same thing is to be delivered first
    is_repeat       boolean     NOT NULL DEFAULT false,     -- somebody asked for it again: it waits for nothing, nor others for it
    last_status     integer,
    last_error      text,
    delivered_at    timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT delivery_is_new      UNIQUE (business_id, endpoint_id, event_id),
    CONSTRAINT delivery_to_endpoint FOREIGN KEY (business_id, endpoint_id)
        REFERENCES webhook_endpoints (business_id, id) ON DELETE CASCADE,
    CONSTRAINT delivery_of_event    FOREIGN KEY (business_id, event_id) REFERENCES events (business_id, id),
    CONSTRAINT delivery_status_is_known CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED')),
    CONSTRAINT only_pending_is_due      CHECK (status = 'PENDING' OR next_attempt_at IS NULL),
    CONSTRAINT repeat_is_due_sometime   CHECK (NOT is_repeat OR status <> 'PENDING' OR next_attempt_at IS NOT NULL),
    CONSTRAINT delivered_at_some_time   CHECK ((status = 'DELIVERED') = (delivered_at IS NOT NULL)),
    CONSTRAINT error_is_short           CHECK (length(last_error) <= 500)
);
CREATE INDEX deliveries_due ON webhook_deliveries (business_id, endpoint_id, next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_in_order ON webhook_deliveries (business_id, endpoint_id, aggregate_id, position)
    WHERE status = 'PENDING';
CREATE INDEX deliveries_of_event ON webhook_deliveries (business_id, event_id);
CREATE INDEX deliveries_by_age ON webhook_deliveries USING brin (created_at);

CREATE TABLE webhook_attempts (
    business_id  uuid        NOT NULL,
    id           uuid        NOT NULL DEFAULT uuidv7(),
    delivery_id  uuid        NOT NULL,
    number       integer     NOT NULL,
    attempted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status       integer,                     -- that was answered, if anything was
    error        text,
    milliseconds integer     NOT NULL,
    CONSTRAINT webhook_attempts_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT attempt_is_new      UNIQUE (business_id, delivery_id, number),
    CONSTRAINT attempt_of_delivery FOREIGN KEY (business_id, delivery_id)
        REFERENCES webhook_deliveries (business_id, id) ON DELETE CASCADE,
    CONSTRAINT attempt_error_is_short CHECK (length(error) <= 500)
);
"""

TENANT = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT {rights} ON {table} TO holdfast_app;
"""

RIGHTS = {
    "webhook_endpoints": "SELECT, INSERT, UPDATE, DELETE",
    "webhook_secrets": "SELECT, INSERT, UPDATE (expires_at)",
    "webhook_deliveries": "SELECT, UPDATE",
    "webhook_attempts": "SELECT, INSERT",
}

# What the worker notes of an endpoint's health is no change of it: it has the same version, and no event tells of it.
TRIGGERS = """
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE OF url, description, event_types, document, enabled, disabled_reason, rotated_at, version
    ON webhook_endpoints FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER record AFTER INSERT OR UPDATE OF url, description, event_types, document, enabled, disabled_reason, rotated_at, version OR DELETE
    ON webhook_endpoints FOR EACH ROW EXECUTE FUNCTION record_change('webhook_endpoint');

-- Nothing waits for an endpoint that is switched off. Of very many, the rest is left to the worker.
CREATE FUNCTION abandon_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_deliveries
       SET status = 'FAILED', next_attempt_at = NULL, last_error = 'The endpoint was switched off before this was delivered.'
     WHERE business_id = NEW.business_id AND id = ANY (ARRAY(
           SELECT d.id FROM webhook_deliveries d
            WHERE d.business_id = NEW.business_id AND d.endpoint_id = NEW.id AND d.status = 'PENDING' LIMIT 1000));
    RETURN NULL;
END $$;
CREATE TRIGGER abandon AFTER UPDATE OF enabled ON webhook_endpoints
    FOR EACH ROW WHEN (OLD.enabled AND NOT NEW.enabled) EXECUTE FUNCTION abandon_deliveries();

-- Lets the first about each thing be due.
CREATE FUNCTION wake_deliveries(business uuid, endpoint uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE webhook_deliveries d SET next_attempt_at = clock_timestamp()
      FROM (SELECT DISTINCT ON (p.aggregate_id) p.id FROM webhook_deliveries p
             WHERE p.business_id = business AND p.endpoint_id = endpoint AND p.status = 'PENDING' AND NOT p.is_repeat
             ORDER BY p.aggregate_id, p.position) head
     WHERE d.business_id = business AND d.id = head.id AND d.next_attempt_at IS NULL
$$;

-- What the worker had not failed yet when an endpoint is switched on again is sent after all.
CREATE FUNCTION resume_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wake_deliveries(NEW.business_id, NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER resume AFTER UPDATE OF enabled ON webhook_endpoints
    FOR EACH ROW WHEN (NOT OLD.enabled AND NEW.enabled) EXECUTE FUNCTION resume_deliveries();
"""

# Called step by step, in the transaction that moves its position. Only the first about a thing is due; what follows has no
# time, until that one is settled. The endpoints are locked meanwhile: who settles, or switches one off, misses none of them.
HAND = """
CREATE FUNCTION wants_event(wanted text[], type text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN wanted IS NULL OR EXISTS (
    SELECT FROM unnest(wanted) AS w (name)
     WHERE CASE WHEN w.name LIKE '%*' THEN starts_with(type, left(w.name, -1)) ELSE w.name = type END);

CREATE OR REPLACE FUNCTION hand_to_webhooks(first bigint, last bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM webhook_endpoints w
      WHERE w.enabled AND w.business_id IN (SELECT e.business_id FROM events e WHERE e.position BETWEEN first AND last)
      ORDER BY w.business_id, w.id FOR SHARE;
    INSERT INTO webhook_deliveries (business_id, endpoint_id, event_id, event_type, aggregate_id, position, next_attempt_at)
    SELECT e.business_id, w.id, e.id, e.type, e.aggregate_id, e.position,
           CASE WHEN row_number() OVER (PARTITION BY e.business_id, w.id, e.aggregate_id ORDER BY e.position) = 1
                 AND NOT EXISTS (SELECT FROM webhook_deliveries d
                                  WHERE d.business_id = e.business_id AND d.endpoint_id = w.id
                                    AND d.aggregate_id = e.aggregate_id AND d.status = 'PENDING' AND NOT d.is_repeat)
                THEN clock_timestamp() END
      FROM events e
      JOIN webhook_endpoints w ON w.business_id = e.business_id AND w.enabled AND wants_event(w.event_types, e.type)
     WHERE e.position BETWEEN first AND last AND e.occurred_at >= w.created_at
     ORDER BY e.position
        ON CONFLICT DO NOTHING;
END $$;

CREATE OR REPLACE FUNCTION weight_of_event(consumer text, business uuid) RETURNS bigint LANGUAGE sql STABLE
RETURN CASE consumer WHEN 'webhooks' THEN (SELECT count(*) FROM webhook_endpoints w WHERE w.business_id = business AND w.enabled)
                     ELSE 6 END;
"""

# A few of each endpoint and of each business at a time, with those that are being sent (`busy`: the endpoint of each of
# them); of several businesses, each has its turn. Whoever claims one has it until the lease is over: then it is due again.
CLAIM = """
CREATE FUNCTION claim_deliveries(most integer, each integer, busy uuid[], lease interval, of_business integer DEFAULT 8)
RETURNS TABLE (business_id uuid, delivery_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH sending AS MATERIALIZED (
        SELECT w.business_id, w.id, count(*) AS number
          FROM unnest(busy) AS b (id) JOIN webhook_endpoints w ON w.id = b.id GROUP BY 1, 2),
    due AS MATERIALIZED (
        SELECT d.business_id, d.id, d.next_attempt_at,
               row_number() OVER (PARTITION BY d.business_id ORDER BY d.turn, d.next_attempt_at) AS turn
          FROM webhook_endpoints w LEFT JOIN sending s ON s.business_id = w.business_id AND s.id = w.id
         CROSS JOIN LATERAL (
               SELECT p.business_id, p.id, p.next_attempt_at, row_number() OVER (ORDER BY p.next_attempt_at) AS turn
                 FROM webhook_deliveries p
                WHERE p.business_id = w.business_id AND p.endpoint_id = w.id AND p.next_attempt_at <= clock_timestamp()
                ORDER BY p.next_attempt_at LIMIT greatest(each - coalesce(s.number, 0), 0)) d
         WHERE w.enabled),
    chosen AS MATERIALIZED (
        SELECT d.business_id, d.id FROM due d
         WHERE d.turn <= of_business - (SELECT coalesce(sum(s.number), 0) FROM sending s WHERE s.business_id = d.business_id)
         ORDER BY d.turn, d.next_attempt_at LIMIT most),
    locked AS MATERIALIZED (
        SELECT p.business_id, p.id FROM webhook_deliveries p JOIN chosen USING (business_id, id)
         WHERE p.next_attempt_at <= clock_timestamp()
           FOR UPDATE OF p SKIP LOCKED)
    UPDATE webhook_deliveries p
       SET attempts = p.attempts + 1, next_attempt_at = clock_timestamp() + lease
      FROM locked l WHERE p.business_id = l.business_id AND p.id = l.id
    RETURNING p.business_id, p.id
$$;
REVOKE EXECUTE ON FUNCTION claim_deliveries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_deliveries TO holdfast_app;
"""

# What came of an attempt, all at once. Of an attempt whose lease was over, and that somebody else made anew, only the log
# tells. The endpoint is locked first, by whoever may switch it off as well.
SETTLE = """
-- Lets what follows be due: the next one, or, if there is none, one that was handed over late.
CREATE FUNCTION wake_delivery(settled webhook_deliveries) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    beyond bigint;
BEGIN
    FOREACH beyond IN ARRAY ARRAY[settled.position, 0] LOOP
        UPDATE webhook_deliveries w SET next_attempt_at = coalesce(w.next_attempt_at, clock_timestamp())
         WHERE w.business_id = settled.business_id AND w.id = (
               SELECT d.id FROM webhook_deliveries d
                WHERE d.business_id = settled.business_id AND d.endpoint_id = settled.endpoint_id
                  AND d.aggregate_id = settled.aggregate_id AND d.position > beyond AND d.status = 'PENDING' AND NOT d.is_repeat
                ORDER BY d.position LIMIT 1);
        EXIT WHEN FOUND;
    END LOOP;
END $$;

CREATE FUNCTION settle_delivery(business uuid, delivery uuid, try integer, answered jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    came    text := answered ->> 'outcome';   -- DELIVERED, AGAIN, FAILED or GONE; LATER: it was not sent at all
    sent    webhook_deliveries;
    target  webhook_endpoints;
    due_at  timestamptz := clock_timestamp() + make_interval(secs => (answered ->> 'pause')::double precision);
BEGIN
    SELECT w.* INTO target FROM webhook_endpoints w JOIN webhook_deliveries d ON d.business_id = w.business_id AND d.endpoint_id = w.id
     WHERE d.business_id = business AND d.id = delivery FOR NO KEY UPDATE OF w;
    IF NOT FOUND THEN
        RETURN 'DELETED';
    END IF;
    IF came = 'LATER' THEN
        UPDATE webhook_deliveries d SET next_attempt_at = due_at, attempts_before = d.attempts_before + 1
         WHERE d.business_id = business AND d.id = delivery AND d.attempts = try AND d.status = 'PENDING';
        RETURN came;
    END IF;
    INSERT INTO webhook_attempts (business_id, delivery_id, number, status, error, milliseconds)
    VALUES (business, delivery, try, (answered ->> 'status')::integer, answered ->> 'error', (answered ->> 'milliseconds')::integer)
        ON CONFLICT DO NOTHING;
    UPDATE webhook_deliveries d
       SET status = CASE came WHEN 'DELIVERED' THEN came WHEN 'AGAIN' THEN 'PENDING' ELSE 'FAILED' END,
           next_attempt_at = CASE came WHEN 'AGAIN' THEN due_at END,
           delivered_at = CASE came WHEN 'DELIVERED' THEN clock_timestamp() END,
           last_status = (answered ->> 'status')::integer, last_error = answered ->> 'error'
     WHERE d.business_id = business AND d.id = delivery AND d.attempts = try AND d.status = 'PENDING'
    RETURNING d.* INTO sent;
    IF NOT FOUND THEN
        RETURN 'LATE';
    END IF;
    IF came <> 'AGAIN' AND NOT sent.is_repeat THEN
        PERFORM wake_delivery(sent);
    END IF;
    IF came = 'DELIVERED' AND target.failing_since IS NOT NULL THEN
        UPDATE webhook_endpoints w SET failing_since = NULL WHERE w.business_id = business AND w.id = target.id;
    ELSIF came <> 'DELIVERED' AND target.failing_since IS NULL THEN
        UPDATE webhook_endpoints w SET failing_since = clock_timestamp() WHERE w.business_id = business AND w.id = target.id;
    END IF;
    IF target.enabled AND (came = 'GONE' OR came <> 'DELIVERED' AND clock_timestamp() - target.failing_since >= '120:00:00') THEN
        PERFORM set_config('holdfast.actor', 'worker', true), set_config('holdfast.correlation_id', '', true);
        UPDATE webhook_endpoints w SET enabled = false, disabled_reason = CASE came WHEN 'GONE' THEN 'GONE' ELSE 'FAILING' END
         WHERE w.business_id = business AND w.id = target.id;
        RETURN 'DISABLED';
    END IF;
    RETURN came;
END $$;
"""

# The log is kept for 30 days; what is not delivered yet stays.
PRUNE = """
-- Switches endpoints off that more than so many deliveries wait for, and then fails some of what waits for one that is off,
-- which can be very many. Tells how many those were.
CREATE FUNCTION tidy_deliveries(most integer, longest integer DEFAULT 100000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    failed bigint;
BEGIN
    PERFORM set_config('holdfast.actor', 'worker', true), set_config('holdfast.correlation_id', '', true);
    UPDATE webhook_endpoints w SET enabled = false, disabled_reason = 'OVERFLOWING'
     WHERE w.enabled AND longest < (SELECT count(*) FROM (
           SELECT FROM webhook_deliveries d
            WHERE d.business_id = w.business_id AND d.endpoint_id = w.id AND d.status = 'PENDING' LIMIT longest + 1) waiting);
    UPDATE webhook_deliveries d
       SET status = 'FAILED', next_attempt_at = NULL, last_error = 'The endpoint was switched off before this was delivered.'
     WHERE d.ctid = ANY (ARRAY(
           SELECT p.ctid FROM webhook_endpoints w JOIN webhook_deliveries p ON p.business_id = w.business_id AND p.endpoint_id = w.id
            WHERE NOT w.enabled AND p.status = 'PENDING'
            LIMIT most FOR UPDATE OF p SKIP LOCKED FOR SHARE OF w SKIP LOCKED));
    GET DIAGNOSTICS failed = ROW_COUNT;
    RETURN failed;
END $$;
REVOKE EXECUTE ON FUNCTION tidy_deliveries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tidy_deliveries TO holdfast_app;

-- For whoever operates this: has an endpoint sent again what it missed, in order. Tells how much that was.
CREATE FUNCTION redeliver(endpoint uuid, since timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    missed bigint;
BEGIN
    PERFORM FROM webhook_endpoints w WHERE w.id = endpoint FOR NO KEY UPDATE;
    UPDATE webhook_deliveries d SET status = 'PENDING', next_attempt_at = NULL, attempts_before = d.attempts, is_repeat = false
     WHERE d.endpoint_id = endpoint AND d.status = 'FAILED' AND d.created_at > since;
    GET DIAGNOSTICS missed = ROW_COUNT;
    PERFORM wake_deliveries(w.business_id, w.id) FROM webhook_endpoints w WHERE w.id = endpoint;
    RETURN missed;
END $$;
REVOKE EXECUTE ON FUNCTION redeliver FROM PUBLIC;

CREATE FUNCTION prune_deliveries(most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH pruned AS (
        DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM webhook_deliveries
             WHERE created_at < clock_timestamp() - interval '720:00:00' AND status <> 'PENDING'
             LIMIT most FOR UPDATE SKIP LOCKED))
        RETURNING 1)
    SELECT count(*) FROM pruned
$$;
REVOKE EXECUTE ON FUNCTION prune_deliveries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prune_deliveries TO holdfast_app;

-- How many deliveries wait, at most 100,000, for how many seconds the oldest has been due, and how many have failed for good
-- of those made in the last day.
CREATE FUNCTION webhook_state(OUT pending bigint, OUT age double precision, OUT failed bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*), coalesce(extract(epoch FROM greatest(clock_timestamp() - min(next_attempt_at), '0')), 0),
           (SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE status = 'FAILED'
                                    AND created_at > clock_timestamp() - interval '24:00:00' LIMIT 100000) dead)
      FROM (SELECT next_attempt_at FROM webhook_deliveries WHERE status = 'PENDING' LIMIT 100000) waiting
$$;
REVOKE EXECUTE ON FUNCTION webhook_state FROM PUBLIC;
GRANT EXECUTE ON FUNCTION webhook_state TO holdfast_app;
"""


def upgrade() -> None:
    op.execute(ENDPOINTS)
    for table, rights in RIGHTS.items():
        op.execute(TENANT.format(table=table, rights=rights))
    for step in (TRIGGERS, HAND, CLAIM, SETTLE, PRUNE):
        op.execute(step)


def downgrade() -> None:
    op.execute("""
    DROP FUNCTION webhook_state, prune_deliveries, tidy_deliveries, redeliver, settle_delivery, wake_delivery, claim_deliveries;
    CREATE OR REPLACE FUNCTION weight_of_event(consumer text, business uuid) RETURNS bigint LANGUAGE sql STABLE RETURN 6;
    CREATE OR REPLACE FUNCTION hand_to_webhooks(first bigint, last bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$ BEGIN END $$;
    DROP FUNCTION wants_event;
    DROP TABLE webhook_attempts, webhook_deliveries, webhook_secrets, webhook_endpoints;
    DROP FUNCTION abandon_deliveries, resume_deliveries, wake_deliveries;
    """)
