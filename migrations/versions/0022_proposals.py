"""Proposals: who is away leaves clients behind, for whom a time of somebody else's is held until they have decided."""

from alembic import context, op

revision = "0022"
down_revision = "0021"

TABLE = """
CREATE TABLE proposals (
    business_id      uuid        NOT NULL,
    id               uuid        NOT NULL DEFAULT uuidv7(),
    reservation_id   uuid        NOT NULL,      -- what would be moved
    hold_id          uuid        NOT NULL,      -- by which the other time is kept meanwhile
    appointment_id   uuid        NOT NULL,      -- no foreign key: once it is decided, the time may be withdrawn
    client_id        uuid        NOT NULL,
    from_provider_id uuid        NOT NULL,
    provider_id      uuid        NOT NULL,
    time_off_id      uuid        NOT NULL,      -- no foreign key: whoever was away may be back
    status           text        NOT NULL DEFAULT 'PROPOSED',
    reason           text,
    expires_at       timestamptz NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    version          integer     NOT NULL DEFAULT 1,
    CONSTRAINT proposals_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT proposal_for_reservation FOREIGN KEY (business_id, reservation_id)   REFERENCES reservations (business_id, id),
    CONSTRAINT proposal_is_held         FOREIGN KEY (business_id, hold_id)          REFERENCES reservations (business_id, id),
    CONSTRAINT proposal_to_client       FOREIGN KEY (business_id, client_id)        REFERENCES clients (business_id, id),
    CONSTRAINT proposal_from_provider   FOREIGN KEY (business_id, from_provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT proposal_of_provider     FOREIGN KEY (business_id, provider_id)      REFERENCES providers (business_id, id),
    CONSTRAINT proposal_of_hold         UNIQUE (business_id, hold_id),
    CONSTRAINT proposal_status_is_known CHECK (status IN ('PROPOSED', 'ACCEPTED', 'DECLINED', 'EXPIRED')),
    CONSTRAINT proposal_reason_is_short CHECK (length(reason) <= 2000)
);
CREATE UNIQUE INDEX proposal_is_alone ON proposals (business_id, reservation_id) WHERE status = 'PROPOSED';
CREATE INDEX proposals_by_end ON proposals (expires_at) WHERE status = 'PROPOSED';
CREATE INDEX proposals_for_reservation ON proposals (business_id, reservation_id, id);
CREATE INDEX proposals_to_client ON proposals (business_id, client_id, id);
CREATE INDEX proposals_of_time_off ON proposals (business_id, time_off_id);
ALTER TABLE proposals ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON proposals TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT, UPDATE (status, reason) ON proposals TO holdfast_app;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON proposals FOR EACH ROW EXECUTE FUNCTION stamp_change();
"""

RECORD = """
CREATE FUNCTION record_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := CASE WHEN TG_OP = 'INSERT' THEN 'created' WHEN NEW.status <> OLD.status THEN lower(NEW.status)
                         ELSE 'updated' END;
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data, diff)
    VALUES (NEW.business_id, 'scheduling.proposal.' || changed || '.v1', NEW.id,
            jsonb_build_object('id', NEW.id, 'reservation_id', NEW.reservation_id, 'hold_id', NEW.hold_id,
                               'client_id', NEW.client_id, 'provider_id', NEW.provider_id,
                               'appointment_id', NEW.appointment_id, 'time_off_id', NEW.time_off_id,
                               'expires_at', NEW.expires_at, 'version', NEW.version),
            CASE TG_OP WHEN 'UPDATE' THEN coalesce(difference(to_jsonb(OLD) - 'reason', to_jsonb(NEW) - 'reason'), '{}')
                || CASE WHEN OLD.reason IS DISTINCT FROM NEW.reason THEN '{"reason": null}'::jsonb ELSE '{}' END END);
    RETURN NULL;
END $$;
CREATE TRIGGER record AFTER INSERT OR UPDATE ON proposals FOR EACH ROW EXECUTE FUNCTION record_proposal();
"""

# What a reservation uses is not in the way of the time that would take its place: both use it until one of them ends, under
# the session of the reservation, which nobody else can join. A group's could be joined; so with one, each has its own.
BESIDE = """
CREATE FUNCTION hold_beside(r reservations, place appointments, proposal uuid, until timestamptz) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    used resource_claims[];
    hold uuid;
BEGIN
    IF r.capacity = 1 AND place.capacity = 1 THEN
        WITH aside AS (DELETE FROM resource_claims c WHERE c.business_id = r.business_id AND c.reservation_id = r.id RETURNING c)
        SELECT array_agg(aside.c) INTO used FROM aside;
    END IF;
    INSERT INTO reservations (business_id, client_id, appointment_id, service_id, offered, lead_waived_by, expires_at)
    VALUES (r.business_id, r.client_id, place.id, r.service_id, true, proposal, until)
    ON CONFLICT DO NOTHING RETURNING id INTO hold;
    IF used IS NOT NULL THEN
        UPDATE resource_claims SET session_id = r.session_id WHERE business_id = r.business_id AND reservation_id = hold;
        INSERT INTO resource_claims SELECT * FROM unnest(used);
    END IF;
    RETURN hold;
END $$;
"""

# The first of some times that can be held for the client of a reservation, and is proposed to them; the one that was
# proposed to them before for the same absence. Null, if none can. They have a day to decide, but no longer than until an
# hour before the earlier of both times. The lead time is not theirs to keep: the proposal stands for whoever waives it.
PROPOSE = """
CREATE FUNCTION propose(business uuid, booking uuid, places uuid[], away uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    r     reservations;
    place appointments;
    clock timestamptz;
    until timestamptz;
    hold  uuid;
    made  uuid;
BEGIN
    SELECT o.* INTO r FROM reservations o WHERE o.business_id = business AND o.id = booking;
    IF NOT FOUND OR NOT lock_booking(business, ARRAY[r.client_id], ARRAY[booking], places) THEN
        RETURN NULL;
    END IF;
    SELECT p.id INTO made FROM proposals p
     WHERE p.business_id = business AND p.reservation_id = booking AND p.time_off_id = away ORDER BY p.id DESC LIMIT 1;
    IF FOUND THEN
        RETURN made;
    END IF;
    SELECT o.* INTO r FROM reservations o WHERE o.business_id = business AND o.id = booking;
    clock := clock_timestamp();
    IF NOT r.live OR r.status = 'HELD' AND r.expires_at <= clock OR r.started_at IS NOT NULL OR r.starts_at <= clock THEN
        RETURN NULL;
    END IF;
    UPDATE proposals SET status = 'EXPIRED'
     WHERE business_id = business AND reservation_id = booking AND status = 'PROPOSED' AND expires_at <= clock;
    FOR place IN SELECT a.* FROM unnest(places) WITH ORDINALITY w (id, turn)
                   JOIN appointments a ON a.business_id = business AND a.id = w.id ORDER BY w.turn
    LOOP
        until := least(clock + interval '24:00:00', place.starts_at - interval '01:00:00', r.starts_at - interval '01:00:00');
        CONTINUE WHEN until <= clock OR place.provider_id = r.provider_id;
        made := uuidv7();
        BEGIN
            hold := hold_beside(r, place, made, until);
            CONTINUE WHEN hold IS NULL;
            INSERT INTO proposals (business_id, id, reservation_id, hold_id, appointment_id, client_id, from_provider_id,
                                   provider_id, time_off_id, expires_at)
            SELECT business, made, booking, h.id, place.id, r.client_id, r.provider_id, place.provider_id, away, h.expires_at
              FROM reservations h WHERE h.business_id = business AND h.id = hold;
            RETURN made;
        EXCEPTION
            WHEN check_violation OR exclusion_violation OR unique_violation OR foreign_key_violation THEN
                hold := NULL;
        END;
    END LOOP;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION propose, hold_beside FROM PUBLIC;
GRANT EXECUTE ON FUNCTION propose TO holdfast_app;
"""

# A hold that was proposed never becomes a booking of its own, whatever became of the proposal: it gives way to the
# reservation that is moved, or it ends. So what both of them use is used once.
KEEP = """
CREATE FUNCTION keep_proposed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM proposals p WHERE p.business_id = OLD.business_id AND p.hold_id = OLD.id) THEN
        RAISE EXCEPTION 'a proposal is accepted, not what it holds'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_is_final';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_proposed BEFORE UPDATE ON reservations
    FOR EACH ROW WHEN (OLD.offered AND (NEW.status = 'CONFIRMED' AND OLD.status = 'HELD'
                                        OR NEW.appointment_id IS DISTINCT FROM OLD.appointment_id
                                        OR NEW.renewals IS DISTINCT FROM OLD.renewals
                                        OR NEW.requested_at IS DISTINCT FROM OLD.requested_at))
    EXECUTE FUNCTION keep_proposed();
"""

# A proposal ends with its hold, and the hold with what was to be moved: in that order they are locked, too.
SETTLE = """
CREATE FUNCTION settle_proposals() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    held uuid;
BEGIN
    IF NEW.offered AND NOT NEW.live THEN
        UPDATE proposals p SET status = CASE NEW.status WHEN 'EXPIRED' THEN 'EXPIRED' ELSE 'DECLINED' END
         WHERE p.business_id = NEW.business_id AND p.hold_id = NEW.id AND p.status = 'PROPOSED';
    END IF;
    FOR held IN
        SELECT p.hold_id FROM proposals p
         WHERE p.business_id = NEW.business_id AND p.reservation_id = NEW.id AND p.status = 'PROPOSED'
    LOOP
        BEGIN
            UPDATE reservations r SET status = 'CANCELLED', cancelled_by = NEW.cancelled_by
             WHERE r.business_id = NEW.business_id AND r.id = held AND r.status = 'HELD';
        EXCEPTION
            WHEN check_violation THEN      -- it has lapsed
                UPDATE reservations r SET status = 'EXPIRED'
                 WHERE r.business_id = NEW.business_id AND r.id = held AND r.status = 'HELD';
        END;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER settle_proposals AFTER UPDATE ON reservations
    FOR EACH ROW WHEN (OLD.live AND NOT NEW.live OR OLD.appointment_id IS DISTINCT FROM NEW.appointment_id)
    EXECUTE FUNCTION settle_proposals();

CREATE FUNCTION expire_proposals(most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH ended AS (
        UPDATE proposals p SET status = 'EXPIRED'
          FROM (SELECT business_id, id FROM proposals WHERE status = 'PROPOSED' AND expires_at <= clock_timestamp()
                 ORDER BY expires_at LIMIT most FOR NO KEY UPDATE SKIP LOCKED) old
         WHERE p.business_id = old.business_id AND p.id = old.id
        RETURNING 1)
    SELECT count(*) FROM ended
$$;
REVOKE EXECUTE ON FUNCTION expire_proposals FROM PUBLIC;
GRANT EXECUTE ON FUNCTION expire_proposals TO holdfast_app;
"""


def upgrade() -> None:
    life, waitlist = (context.script.get_revision(number).module for number in ("0019", "0021"))
    for step in (TABLE, RECORD, KEEP, SETTLE, BESIDE, PROPOSE):
        op.execute(step)
    op.execute(_with(life.PLACE, LONGER))
    op.execute(_with(_function(life.MOVE), WAIVED))
    op.execute(_with(_function(waitlist.FREED), TAKEN))
    op.execute(_with(_function(waitlist.FIRST), AGREED))


def downgrade() -> None:
    life, waitlist = (context.script.get_revision(number).module for number in ("0019", "0021"))
    op.execute(life.PLACE)
    for made in (life.MOVE, waitlist.FREED, waitlist.FIRST):
        op.execute(_with(_function(made), {}))
    op.execute(ENDED)
    op.execute("""
    DROP FUNCTION expire_proposals, propose, hold_beside;
    DROP FUNCTION settle_proposals, keep_proposed CASCADE;
    DROP TABLE proposals;
    DROP FUNCTION record_proposal;
    """)


# What nobody would keep from becoming a booking of its own.
ENDED = """
UPDATE reservations r SET status = CASE WHEN r.expires_at <= clock_timestamp() THEN 'EXPIRED' ELSE 'CANCELLED' END
  FROM proposals p WHERE p.business_id = r.business_id AND p.hold_id = r.id AND r.live
"""
# What is held for a client who did not ask for it may be held longer than what they would hold themselves.
LONGER = {
    "AS $$\nBEGIN": "AS $$\nDECLARE\n    until timestamptz := NEW.expires_at;\nBEGIN",
    "    NEW.confirmed_at := CASE": (
        "    IF NEW.offered AND until > NEW.scheduled_at THEN\n"
        "        NEW.expires_at := least(until, NEW.starts_at);\n"
        "    END IF;\n"
        "    NEW.confirmed_at := CASE"
    ),
}
# A waiver is for one time: the one that was proposed, once that is accepted.
WAIVED = {
    "    NEW.lead_waived_by := NULL;": (
        "    IF NOT EXISTS (SELECT FROM proposals p\n"
        "                    WHERE p.business_id = NEW.business_id AND p.id = NEW.lead_waived_by AND p.status = 'ACCEPTED'\n"
        "                      AND p.reservation_id = NEW.id AND p.appointment_id = NEW.appointment_id) THEN\n"
        "        NEW.lead_waived_by := NULL;\n"
        "    END IF;"
    ),
}
# The hold of a proposal that is accepted frees nothing: what is moved takes its place in the same transaction.
TAKEN = {
    "       AND EXISTS (SELECT FROM waitlist_entries": (
        "       AND NOT (NEW.offered AND EXISTS (SELECT FROM proposals p WHERE p.business_id = NEW.business_id\n"
        "                                           AND p.hold_id = NEW.id AND p.status = 'ACCEPTED'))\n"
        "       AND EXISTS (SELECT FROM waitlist_entries"
    ),
}
AGREED = {
    "    IF EXISTS (SELECT FROM waitlist_entries": (
        "    IF NEW.id IS NOT NULL AND EXISTS (SELECT FROM proposals p WHERE p.business_id = NEW.business_id\n"
        "                                         AND p.id = NEW.lead_waived_by AND p.reservation_id = NEW.id\n"
        "                                         AND p.status = 'ACCEPTED') THEN\n"
        "        RETURN NEW;\n"
        "    END IF;\n"
        "    IF EXISTS (SELECT FROM waitlist_entries"
    ),
}


def _function(step: str) -> str:
    """The function of a step, without the triggers that call it."""
    return step.partition("-- After `")[0].partition("CREATE TRIGGER")[0]


def _with(made: str, changes: dict[str, str]) -> str:
    """A function as an earlier migration made it, with changes."""
    for old, new in changes.items():
        assert made.count(old) == 1
        made = made.replace(old, new)
    return made.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
