"""The outbox: committed events get positions, in the order in which the world outside hears of them."""

from alembic import context, op

revision = "0023"
down_revision = "0022"

POSITION = """
-- Null until it is relayed; of a reading it stays null, which is no message to anybody.
ALTER TABLE events ADD COLUMN position bigint;
CREATE UNIQUE INDEX events_by_position ON events (position) WHERE position IS NOT NULL;
CREATE INDEX events_of_business ON events (business_id, position) WHERE position IS NOT NULL;
-- What may change is not looked at in an update of the application: it relays nothing by itself. Nor does it choose where
-- an event stands: only of a reading it says that there is nothing to relay.
REVOKE UPDATE (relayed_at), INSERT ON events FROM holdfast_app;
GRANT INSERT (business_id, id, type, aggregate_id, occurred_at, actor, correlation_id, data, diff, relayed_at)
    ON events TO holdfast_app;
ALTER TABLE events
    ADD CONSTRAINT event_type_is_short   CHECK (length(type) <= 200),
    ADD CONSTRAINT relayed_by_the_relay  CHECK (position IS NOT NULL OR relayed_at IS NULL OR starts_with(type, 'audit.'));

CREATE OR REPLACE FUNCTION keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - '{relayed_at,position}'::text[] = to_jsonb(OLD) - '{relayed_at,position}'::text[]
       AND (OLD.position IS NULL OR NEW.position = OLD.position) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'history is added to, never changed'
          USING ERRCODE = 'check_violation', CONSTRAINT = 'history_is_final';
END $$;
"""

# Whoever sends events on is handed them in a step of its own, which moves its position and writes what is to be sent in one
# transaction: exactly once in the books. A step has at most so many rows, so that nobody's many endpoints keep others
# waiting. One that fails is tried again with half as many; an event that fails alone is passed over, kept, and handed over
# later. What is about the same thing waits behind it, kept as well, so that its order holds; but for an hour at most.
HANDING = """
CREATE TABLE hand_overs (
    consumer text   NOT NULL,
    position bigint NOT NULL DEFAULT 0,       -- of the last event that was handed over, or passed over
    CONSTRAINT hand_overs_pkey PRIMARY KEY (consumer),
    CONSTRAINT consumer_is_known CHECK (consumer IN ('webhooks', 'recipients'))
);
INSERT INTO hand_overs (consumer) VALUES ('webhooks'), ('recipients');

CREATE TABLE passed_over (
    consumer        text        NOT NULL,
    position        bigint      NOT NULL,
    aggregate_id    uuid        NOT NULL,     -- what it is about
    problem         text        NOT NULL,     -- the SQLSTATE: what the database says of it may quote a row; 00000: it waits
    attempts        integer     NOT NULL DEFAULT 1,
    passed_over_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '00:01:00',
    CONSTRAINT passed_over_pkey PRIMARY KEY (consumer, position),
    CONSTRAINT passed_over_by_consumer FOREIGN KEY (consumer) REFERENCES hand_overs (consumer)
);
CREATE INDEX passed_over_about ON passed_over (consumer, aggregate_id, position);

CREATE FUNCTION hand_to_webhooks(first bigint, last bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$ BEGIN END $$;
CREATE FUNCTION hand_to_recipients(first bigint, last bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$ BEGIN END $$;
-- How many rows an event of a business may become there.
CREATE FUNCTION weight_of_event(consumer text, business uuid) RETURNS bigint LANGUAGE sql STABLE RETURN 6;

CREATE FUNCTION hand_to(consumer text, first bigint, last bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF consumer = 'webhooks' THEN
        PERFORM hand_to_webhooks(first, last);
    ELSE
        PERFORM hand_to_recipients(first, last);
    END IF;
END $$;

-- How many events were handed over, or the one that has to wait; with a problem, the one that was passed over, or none, and
-- fewer are to be tried.
CREATE FUNCTION hand_over(consumer text, most integer, OUT handed bigint, OUT problem text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    behind bigint;
    reach  bigint;
    waits  boolean;
BEGIN
    handed := 0;
    SELECT h.position INTO behind FROM hand_overs h WHERE h.consumer = hand_over.consumer FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN                         -- another worker is at it
        RETURN;
    END IF;
    SELECT max(n.position), count(*), bool_or(n.waits) INTO reach, handed, waits
      FROM (SELECT e.position, row_number() OVER (ORDER BY e.position) AS place,
                   sum(weight_of_event(consumer, e.business_id)) OVER (ORDER BY e.position) AS weight,
                   bool_or(EXISTS (SELECT FROM passed_over p
                                    WHERE p.consumer = hand_over.consumer AND p.aggregate_id = e.aggregate_id
                                      AND p.passed_over_at > clock_timestamp() - interval '01:00:00'))
                       OVER (ORDER BY e.position) AS waits
              FROM (SELECT position, business_id, aggregate_id FROM events WHERE position > behind
                     ORDER BY position LIMIT 500) e) n
     WHERE n.place = 1 OR n.weight <= most AND NOT n.waits;
    IF handed = 0 THEN
        RETURN;
    ELSIF waits THEN
        INSERT INTO passed_over (consumer, position, aggregate_id, problem, attempts, next_attempt_at)
        SELECT hand_over.consumer, reach, e.aggregate_id, '00000', 0, clock_timestamp() FROM events e WHERE e.position = reach;
    ELSE
        BEGIN
            PERFORM hand_to(consumer, behind + 1, reach);
        EXCEPTION WHEN OTHERS OR query_canceled THEN
            IF SQLSTATE ~ '^(40|53|55)' THEN      -- nobody's fault: another time it works
                RAISE;
            END IF;
            problem := SQLSTATE;
        END;
    END IF;
    IF problem IS NOT NULL AND handed > 1 THEN
        handed := 0;
        RETURN;
    ELSIF problem IS NOT NULL THEN
        INSERT INTO passed_over (consumer, position, aggregate_id, problem)
        SELECT hand_over.consumer, reach, e.aggregate_id, hand_over.problem FROM events e WHERE e.position = reach;
    END IF;
    UPDATE hand_overs h SET position = reach WHERE h.consumer = hand_over.consumer;
END $$;

-- Tries one event again that was passed over and is due; null if there is none.
CREATE FUNCTION hand_over_again(OUT done boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    late passed_over;
BEGIN
    SELECT * INTO late FROM passed_over p
     WHERE p.next_attempt_at <= clock_timestamp()
       AND NOT EXISTS (SELECT FROM passed_over b
                        WHERE b.consumer = p.consumer AND b.aggregate_id = p.aggregate_id AND b.position < p.position
                          AND b.passed_over_at > clock_timestamp() - interval '01:00:00')
     ORDER BY p.position LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM hand_to(late.consumer, late.position, late.position);
        DELETE FROM passed_over p WHERE (p.consumer, p.position) = (late.consumer, late.position);
        done := true;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        done := false;
        UPDATE passed_over p
           SET attempts = p.attempts + 1, problem = SQLSTATE,
               next_attempt_at = clock_timestamp() + least(make_interval(mins => p.attempts + 1), interval '01:00:00')
         WHERE (p.consumer, p.position) = (late.consumer, late.position);
    END;
END $$;
REVOKE EXECUTE ON FUNCTION hand_to_webhooks, hand_to_recipients, weight_of_event, hand_to, hand_over, hand_over_again FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hand_over, hand_over_again TO holdfast_app;
"""

# What nobody else can have: the time with its buffers, and each unit of a resource, named by the resource. Its claims are
# there when a reservation is recorded, save those of the place that it is moved from: these its last event tells.
OCCUPIED = """
CREATE FUNCTION occupied(r reservations, resources jsonb) RETURNS jsonb LANGUAGE sql STABLE RETURN
    jsonb_strip_nulls(jsonb_build_object('busy_from', r.busy_from, 'busy_until', r.busy_until, 'resource_ids', resources));

CREATE FUNCTION claimed_units(r reservations) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_agg(c.resource_id ORDER BY c.resource_id, c.unit) FROM resource_claims c
     WHERE c.business_id = r.business_id AND c.reservation_id = r.id AND (r.service_id IS NOT NULL OR r.resource_id IS NOT NULL)
$$;

CREATE FUNCTION units_before(r reservations) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT e.data -> 'resource_ids' FROM events e
     WHERE e.business_id = r.business_id AND e.aggregate_id = r.id AND starts_with(e.type, 'scheduling.reservation.')
     ORDER BY e.id DESC LIMIT 1
$$;
"""
RECORDED = {
    "'ends_at', OLD.ends_at));": "'ends_at', OLD.ends_at) || occupied(OLD, units_before(OLD)));",
    "'version', NEW.version) || was": "'version', NEW.version) || occupied(NEW, claimed_units(NEW)) || was",
}

# `seq` is taken when an event is written and seen when its transaction commits: whoever reads on from a seq misses what
# commits late. One relay at a time numbers what it sees, so that a position is never seen before a smaller one; of one
# thing the order of seq is that of its changes, each of which waited for the one before.
# No writer notifies: that would let only one of them commit at a time, in the whole database.
RELAY = """
CREATE FUNCTION relay_events(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    behind   bigint;
    how_many bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM events WHERE relayed_at IS NULL)
       OR NOT pg_try_advisory_xact_lock(hashtextextended('holdfast.relay', 0)) THEN
        RETURN 0;
    END IF;
    SELECT coalesce(max(position), 0) INTO behind FROM events;
    UPDATE events e SET position = behind + n.place, relayed_at = clock_timestamp()
      FROM (SELECT o.business_id, o.id, row_number() OVER (ORDER BY o.seq) AS place
              FROM (SELECT business_id, id, seq FROM events WHERE relayed_at IS NULL ORDER BY seq LIMIT most) o) n
     WHERE e.business_id = n.business_id AND e.id = n.id;
    GET DIAGNOSTICS how_many = ROW_COUNT;
    IF how_many > 0 THEN
        PERFORM pg_notify('holdfast_events', (CASE WHEN octet_length(whole.told::text) <= 7500 THEN whole.told
                                                   ELSE whole.told - 'data' END)::text)
           FROM (SELECT position, jsonb_build_object('position', position, 'business_id', business_id, 'id', id,
                        'type', type, 'aggregate_id', aggregate_id, 'occurred_at', occurred_at, 'data', data) AS told
                   FROM events WHERE position BETWEEN behind + 1 AND behind + how_many ORDER BY position) whole;
    END IF;
    RETURN how_many;
END $$;
REVOKE EXECUTE ON FUNCTION relay_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION relay_events TO holdfast_app;

-- How many events wait for the relay, at most 100,000, and for how many seconds the oldest of them does; then how many
-- have a position, but were not handed to all who send them on, and how many were passed over.
CREATE FUNCTION outbox_state(OUT backlog bigint, OUT age double precision, OUT unhanded bigint, OUT passed_over bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*), coalesce(extract(epoch FROM greatest(clock_timestamp() - min(occurred_at), '0')), 0),
           (SELECT coalesce(max(e.position), 0) FROM events e) - (SELECT min(h.position) FROM hand_overs h),
           (SELECT count(*) FROM passed_over)
      FROM (SELECT occurred_at FROM events WHERE relayed_at IS NULL ORDER BY seq LIMIT 100000) waiting
$$;
REVOKE EXECUTE ON FUNCTION outbox_state FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox_state TO holdfast_app;
"""

# A hold that lapsed is free without this; but its event comes only when it is flipped. No index may name `status`, so
# those that lapsed lately are looked for by when they ended.
SWEEP = """
CREATE INDEX reservations_by_expiry ON reservations (expires_at) WHERE live;

CREATE FUNCTION sweep_lapsed_holds(most integer, within interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    lapsed record;
    swept  bigint := 0;
BEGIN
    PERFORM set_config('holdfast.actor', 'worker', true), set_config('holdfast.correlation_id', '', true);
    FOR lapsed IN
        SELECT business_id, id FROM reservations
         WHERE live AND status = 'HELD' AND expires_at <= clock_timestamp() AND expires_at > clock_timestamp() - within
         ORDER BY id LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE reservations SET status = 'EXPIRED' WHERE business_id = lapsed.business_id AND id = lapsed.id;
        swept := swept + 1;
    END LOOP;
    RETURN swept;
END $$;
REVOKE EXECUTE ON FUNCTION sweep_lapsed_holds FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sweep_lapsed_holds TO holdfast_app;
"""

# Of many rows of a provider that one statement changes, a consumer hears once, and reads again.
AVAILABILITY = """
CREATE FUNCTION record_availability() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data)
    SELECT DISTINCT business_id, 'user.team_member.availability.changed.v1', provider_id,
           jsonb_build_object('provider_id', provider_id)
      FROM changed;
    RETURN NULL;
END $$;
"""

SCHEDULES = ("availability_rules", "availability_exceptions", "time_off")
CHANGES = {"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"}

TRIGGER = """
CREATE TRIGGER record_availability_{name} AFTER {change} ON {table}
    REFERENCING {which} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_availability();
"""

# Who tells others of events outside the database, and how far it has come. It is held for a moment by a lease: nothing is
# locked while somebody talks to the outside. It is of no business, and the application reads it by these functions alone.
OUTLETS = """
CREATE TABLE outlet_positions (
    name          text        NOT NULL,
    position      bigint      NOT NULL DEFAULT 0,   -- of the last event that was taken outside
    claimed_by    uuid,
    claimed_until timestamptz,
    CONSTRAINT outlet_positions_pkey PRIMARY KEY (name),
    CONSTRAINT outlet_is_claimed_by_someone CHECK ((claimed_by IS NULL) = (claimed_until IS NULL))
);

-- Nothing, if nothing is to be taken outside, or somebody else is at it.
CREATE FUNCTION claim_outlet(outlet text, claimant uuid, lease interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    reached bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM events e WHERE e.position > coalesce(
                       (SELECT o.position FROM outlet_positions o WHERE o.name = outlet), 0)) THEN
        RETURN NULL;
    END IF;
    INSERT INTO outlet_positions (name) VALUES (outlet) ON CONFLICT DO NOTHING;
    UPDATE outlet_positions o SET claimed_by = claimant, claimed_until = clock_timestamp() + lease
     WHERE o.name = outlet AND (o.claimed_until IS NULL OR o.claimed_until <= clock_timestamp())
    RETURNING o.position INTO reached;
    RETURN reached;
END $$;

CREATE FUNCTION events_for_outlet(outlet text, claimant uuid, most integer) RETURNS SETOF events
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.* FROM events e
     WHERE e.position > (SELECT o.position FROM outlet_positions o
                          WHERE o.name = outlet AND o.claimed_by = claimant AND o.claimed_until > clock_timestamp())
     ORDER BY e.position LIMIT most
$$;

-- Whoever has lost the lease moves nothing.
CREATE FUNCTION advance_outlet(outlet text, claimant uuid, reached bigint, lease interval) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH advanced AS (
        UPDATE outlet_positions o
           SET position = greatest(o.position, reached), claimed_until = clock_timestamp() + lease
         WHERE o.name = outlet AND o.claimed_by = claimant AND o.claimed_until > clock_timestamp()
        RETURNING 1)
    SELECT EXISTS (SELECT FROM advanced)
$$;

CREATE FUNCTION release_outlet(outlet text, claimant uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE outlet_positions o SET claimed_by = NULL, claimed_until = NULL WHERE o.name = outlet AND o.claimed_by = claimant
$$;
REVOKE EXECUTE ON FUNCTION claim_outlet, events_for_outlet, advance_outlet, release_outlet FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_outlet, events_for_outlet, advance_outlet, release_outlet TO holdfast_app;
"""


def upgrade() -> None:
    for step in (POSITION, HANDING, OCCUPIED, RELAY, SWEEP, AVAILABILITY, OUTLETS):
        op.execute(step)
    record = context.script.get_revision("0019").module.RECORD
    for old, new in RECORDED.items():
        record = record.replace(old, new)
    op.execute(record)
    for table in SCHEDULES:
        for change, which in CHANGES.items():
            op.execute(TRIGGER.format(name=change.lower(), change=change, table=table, which=which))


def downgrade() -> None:
    op.execute(context.script.get_revision("0019").module.RECORD)
    op.execute("""
    DROP FUNCTION occupied, claimed_units, units_before;
    DROP FUNCTION claim_outlet, events_for_outlet, advance_outlet, release_outlet;
    DROP TABLE outlet_positions;
    DROP FUNCTION record_availability CASCADE;
    DROP FUNCTION sweep_lapsed_holds;
    DROP INDEX reservations_by_expiry;
    DROP FUNCTION outbox_state, relay_events, hand_over, hand_over_again, hand_to, weight_of_event;
    DROP FUNCTION hand_to_webhooks, hand_to_recipients;
    DROP TABLE passed_over, hand_overs;
    """)
    op.execute(BEFORE)


# As 0009 made it.
BEFORE = """
CREATE OR REPLACE FUNCTION keep_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'relayed_at' = to_jsonb(OLD) - 'relayed_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'history is added to, never changed'
          USING ERRCODE = 'check_violation', CONSTRAINT = 'history_is_final';
END $$;
REVOKE INSERT ON events FROM holdfast_app;
GRANT INSERT, UPDATE (relayed_at) ON events TO holdfast_app;
ALTER TABLE events DROP CONSTRAINT event_type_is_short, DROP CONSTRAINT relayed_by_the_relay, DROP COLUMN position;
"""
