"""Notifications: whom each event is told, in which language and how; what was sent; and reminders, each of them once."""

from alembic import op

revision = "0025"
down_revision = "0024"

COLUMNS = """
ALTER TABLE businesses
    ADD COLUMN locale           text      NOT NULL DEFAULT 'en',             -- BCP 47
    ADD COLUMN reminder_minutes integer[] NOT NULL DEFAULT '{1440,120}',     -- so long before it begins
    ADD CONSTRAINT locale_is_short    CHECK (length(locale) BETWEEN 2 AND 35),
    ADD CONSTRAINT reminders_are_sane CHECK (cardinality(reminder_minutes) <= 5
                                             AND 15 <= ALL (reminder_minutes) AND 10080 >= ALL (reminder_minutes));
ALTER TABLE clients   ADD COLUMN locale text, ADD CONSTRAINT locale_is_short CHECK (length(locale) BETWEEN 2 AND 35);
ALTER TABLE providers ADD COLUMN locale text, ADD CONSTRAINT locale_is_short CHECK (length(locale) BETWEEN 2 AND 35);
"""

# A person's language is personal, as their zone is: the history says that it changed, and not from what to what. So it is
# of where webhooks go, which may carry a secret, and of what somebody wrote about them.
DIFFERENCE = """
CREATE OR REPLACE FUNCTION difference(old jsonb, new jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT jsonb_object_agg(n.key, CASE WHEN n.key IN ('first_name', 'last_name', 'email', 'phone', 'note', 'cancel_reason',
                                                       'reason'{masked})
                                          OR n.key {personal} AND new ? 'first_name' OR n.key = 'name' AND new ? 'person_id'
                                        THEN 'null'::jsonb ELSE jsonb_build_array(o.value, n.value) END)
      FROM jsonb_each(new) n JOIN jsonb_each(old) o ON o.key = n.key
     WHERE n.value IS DISTINCT FROM o.value AND n.key <> 'version'
);
"""

PREFERENCES = """
CREATE TABLE notification_preferences (      -- what somebody has said; of what they have not, the defaults hold
    business_id uuid    NOT NULL,
    person_id   uuid    NOT NULL GENERATED ALWAYS AS (coalesce(client_id, provider_id)) STORED,
    channel     text    NOT NULL,
    topic       text    NOT NULL,
    client_id   uuid,
    provider_id uuid,
    enabled     boolean NOT NULL,
    CONSTRAINT notification_preferences_pkey PRIMARY KEY (business_id, person_id, channel, topic),
    CONSTRAINT preference_of_client   FOREIGN KEY (business_id, client_id)   REFERENCES clients (business_id, id),
    CONSTRAINT preference_of_provider FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT preference_of_one      CHECK (num_nonnulls(client_id, provider_id) = 1),
    CONSTRAINT preference_is_known    CHECK (channel IN ('EMAIL', 'SMS') AND topic IN ('BOOKING', 'REMINDER', 'WAITLIST'))
);
ALTER TABLE notification_preferences ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notification_preferences TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT, INSERT, UPDATE, DELETE ON notification_preferences TO holdfast_app;

CREATE FUNCTION record_preference() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (business_id, type, aggregate_id, data, diff)
    VALUES (NEW.business_id,
            format('scheduling.%s.preferences_updated.v1', CASE WHEN NEW.client_id IS NULL THEN 'provider' ELSE 'client' END),
            NEW.person_id, jsonb_build_object('id', NEW.person_id),
            jsonb_build_object(lower(NEW.channel || '_' || NEW.topic),
                               jsonb_build_array(CASE TG_OP WHEN 'UPDATE' THEN OLD.enabled END, NEW.enabled)));
    RETURN NULL;
END $$;
CREATE TRIGGER record AFTER INSERT OR UPDATE ON notification_preferences
    FOR EACH ROW EXECUTE FUNCTION record_preference();

-- An email is sent unless somebody said no, an SMS if somebody said yes.
CREATE FUNCTION wants_notification(business uuid, person uuid, the_channel text, the_topic text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT p.enabled FROM notification_preferences p
                      WHERE p.business_id = business AND p.person_id = person
                        AND p.channel = the_channel AND p.topic = the_topic),
                    the_channel = 'EMAIL')
$$;
"""

NOTIFICATIONS = """
CREATE TABLE notifications (                 -- what was sent, and is to be sent: once for each event, recipient and channel
    business_id     uuid        NOT NULL,
    id              uuid        NOT NULL DEFAULT uuidv7(),
    event_id        uuid        NOT NULL,    -- no foreign key: what was told outlives the history of why
    recipient_id    uuid        NOT NULL GENERATED ALWAYS AS (coalesce(client_id, provider_id)) STORED,
    channel         text        NOT NULL,
    topic           text        NOT NULL,
    template        text        NOT NULL,
    client_id       uuid,
    provider_id     uuid,
    reservation_id  uuid        NOT NULL,
    status          text        NOT NULL DEFAULT 'QUEUED',
    attempts        smallint    NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_until   timestamptz,             -- a worker has it in hand
    sent_at         timestamptz,
    problem         text,                    -- why it was not sent; never an address
    subject         text,                    -- personal, as the text is: both are forgotten after 30 days
    text            text,
    CONSTRAINT notifications_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT notified_once      UNIQUE (business_id, event_id, recipient_id, channel),
    CONSTRAINT notification_of_client      FOREIGN KEY (business_id, client_id)      REFERENCES clients (business_id, id),
    CONSTRAINT notification_of_provider    FOREIGN KEY (business_id, provider_id)    REFERENCES providers (business_id, id),
    CONSTRAINT notification_of_reservation FOREIGN KEY (business_id, reservation_id) REFERENCES reservations (business_id, id),
    CONSTRAINT notification_to_one   CHECK (num_nonnulls(client_id, provider_id) = 1),
    CONSTRAINT notification_is_known CHECK (channel IN ('EMAIL', 'SMS') AND topic IN ('BOOKING', 'REMINDER', 'WAITLIST')
                                            AND status IN ('QUEUED', 'SENT', 'FAILED', 'DROPPED', 'LOGGED'))
);
CREATE INDEX notifications_to_recipient ON notifications (business_id, recipient_id, id);
CREATE INDEX notifications_of_reservation ON notifications (business_id, reservation_id, id);
CREATE INDEX notifications_due ON notifications (next_attempt_at) WHERE status = 'QUEUED';
CREATE INDEX notifications_with_text ON notifications (created_at) WHERE text IS NOT NULL;
ALTER TABLE notifications ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notifications TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT, UPDATE ON notifications TO holdfast_app;

CREATE TABLE notification_reservations (     -- what each message is about, and by which event
    business_id     uuid NOT NULL,
    notification_id uuid NOT NULL,
    event_id        uuid NOT NULL,
    reservation_id  uuid NOT NULL,
    CONSTRAINT notification_reservations_pkey PRIMARY KEY (business_id, notification_id, event_id),
    CONSTRAINT told_in_notification FOREIGN KEY (business_id, notification_id) REFERENCES notifications (business_id, id),
    CONSTRAINT told_of_reservation  FOREIGN KEY (business_id, reservation_id)  REFERENCES reservations (business_id, id)
);
CREATE INDEX told_of_reservations ON notification_reservations (business_id, reservation_id, notification_id);
ALTER TABLE notification_reservations ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notification_reservations TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT ON notification_reservations TO holdfast_app;
"""

# Events of one transaction are known by it. Those that were there before are of none that anybody asks for.
TOGETHER = """
ALTER TABLE events ADD COLUMN transaction_id bigint;
ALTER TABLE events ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id()::text::bigint;
"""

# Called as events are numbered, in the same transaction: so each event is handed over once. What is older than a day is
# no news any more, and what has begun is told to nobody. A hold that nobody was told of ends without a word. What happens in
# one transaction to the reservations of a visit or of a series is told in one message, known by the first of its events,
# however the events are divided among hand-overs: whichever comes first looks for the others, the next one finds the message.
HAND = """
CREATE OR REPLACE FUNCTION hand_to_recipients(first bigint, last bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH handed AS (
        SELECT e.business_id, e.id AS event_id, e.type, e.transaction_id, r.id AS reservation_id,
               CASE WHEN e.transaction_id IS NULL THEN NULL
                    WHEN split_part(e.type, '.', 3) IN ('confirmed', 'cancelled', 'expired', 'requested')
                    THEN coalesce(r.visit_id, r.series_id)
                    WHEN split_part(e.type, '.', 3) = 'reminder_due' THEN r.visit_id END AS bundle_id
          FROM events e
          JOIN reservations r
            ON r.business_id = e.business_id
           AND r.id = CASE e.type WHEN 'scheduling.waitlist_entry.offered.v1' THEN (e.data ->> 'reservation_id')::uuid
                                  ELSE e.aggregate_id END
         WHERE e.position BETWEEN first AND last
           AND e.type IN ('scheduling.waitlist_entry.offered.v1', 'scheduling.reservation.confirmed.v1',
                          'scheduling.reservation.cancelled.v1', 'scheduling.reservation.expired.v1',
                          'scheduling.reservation.rescheduled.v1', 'scheduling.reservation.reassigned.v1',
                          'scheduling.reservation.requested.v1', 'scheduling.reservation.reminder_due.v1')
           AND e.occurred_at > clock_timestamp() - interval '24:00:00'),
    together AS (
        SELECT business_id, event_id, reservation_id, event_id AS occasion, transaction_id FROM handed WHERE bundle_id IS NULL
        UNION ALL
        SELECT b.business_id, e.id, m.id, b.bundle_id, b.transaction_id
          FROM (SELECT DISTINCT business_id, bundle_id, type, transaction_id FROM handed WHERE bundle_id IS NOT NULL) b
          JOIN reservations m ON m.business_id = b.business_id AND (m.visit_id = b.bundle_id OR m.series_id = b.bundle_id)
          JOIN events e ON e.business_id = b.business_id AND e.aggregate_id = m.id AND e.type = b.type
                       AND e.transaction_id = b.transaction_id),
    news AS (
        SELECT t.*, e.seq, r.starts_at > clock_timestamp() AS is_ahead, r.client_id,
               coalesce((e.data ->> 'provider_id')::uuid, r.provider_id) AS provider_id,
               (e.data #>> '{from,provider_id}')::uuid AS former_id,
               split_part(e.type, '.', 3) AS what, e.data ->> 'status' = 'CONFIRMED' AS is_booked,
               r.confirmed_at IS NOT NULL AS was_booked, r.requested_at IS NOT NULL AS was_requested,
               r.cancelled_by = 'CLIENT' AS by_client
          FROM together t
          JOIN events e ON e.business_id = t.business_id AND e.id = t.event_id
          JOIN reservations r ON r.business_id = t.business_id AND r.id = t.reservation_id),
    told AS (
        SELECT n.*, CASE n.what
                    WHEN 'confirmed'    THEN 'CONFIRMED'
                    WHEN 'cancelled'    THEN CASE WHEN was_booked THEN 'CANCELLED'
                                                  WHEN was_requested AND by_client IS NOT TRUE THEN 'DECLINED' END
                    WHEN 'expired'      THEN CASE WHEN was_requested THEN 'LAPSED' END
                    WHEN 'rescheduled'  THEN CASE WHEN is_booked THEN 'RESCHEDULED' END
                    WHEN 'reassigned'   THEN CASE WHEN is_booked THEN 'REASSIGNED' END
                    WHEN 'offered'      THEN 'OFFERED'
                    WHEN 'reminder_due' THEN 'REMINDER' END AS template,
               n.client_id AS to_client, NULL::uuid AS to_provider FROM news n
        UNION ALL
        SELECT n.*, CASE n.what
                    WHEN 'confirmed'    THEN 'BOOKED'
                    WHEN 'cancelled'    THEN CASE WHEN was_booked OR was_requested AND by_client THEN 'BOOKING_CANCELLED' END
                    WHEN 'requested'    THEN 'REQUESTED'
                    WHEN 'rescheduled'  THEN CASE WHEN NOT is_booked THEN CASE WHEN was_requested THEN 'REQUESTED' END
                                                  WHEN former_id = n.provider_id THEN 'BOOKING_RESCHEDULED' ELSE 'BOOKED' END
                    WHEN 'reassigned'   THEN CASE WHEN is_booked THEN 'BOOKED' WHEN was_requested THEN 'REQUESTED' END END,
               NULL, n.provider_id FROM news n
        UNION ALL
        SELECT n.*, 'BOOKING_PASSED_ON', NULL, n.former_id FROM news n
         WHERE n.former_id <> n.provider_id AND (is_booked OR was_requested)),
    addressed AS (
        SELECT t.*, way.channel,
               CASE t.template WHEN 'REMINDER' THEN 'REMINDER' WHEN 'OFFERED' THEN 'WAITLIST' ELSE 'BOOKING' END AS topic
          FROM told t
          LEFT JOIN clients c   ON c.business_id = t.business_id AND c.id = t.to_client AND c.erased_at IS NULL
          LEFT JOIN providers p ON p.business_id = t.business_id AND p.id = t.to_provider AND p.erased_at IS NULL
         CROSS JOIN LATERAL (VALUES ('EMAIL', coalesce(c.email, p.email)), ('SMS', coalesce(c.phone, p.phone))) way (channel, address)
         WHERE t.template IS NOT NULL AND way.address IS NOT NULL),
    messages AS (
        SELECT a.*, first_value(a.event_id) OVER (
                   PARTITION BY a.business_id, a.occasion, a.transaction_id, a.what, a.template, a.to_client, a.to_provider, a.channel
                   ORDER BY a.seq) AS first_id
          FROM addressed a),
    written AS (
        INSERT INTO notifications (business_id, event_id, channel, topic, template, client_id, provider_id, reservation_id)
        SELECT DISTINCT ON (m.business_id, m.first_id, m.to_client, m.to_provider, m.channel)
               m.business_id, m.first_id, m.channel, m.topic, m.template, m.to_client, m.to_provider, m.reservation_id
          FROM messages m
         WHERE m.is_ahead AND wants_notification(m.business_id, coalesce(m.to_client, m.to_provider), m.channel, m.topic)
         ORDER BY m.business_id, m.first_id, m.to_client, m.to_provider, m.channel, m.seq
            ON CONFLICT ON CONSTRAINT notified_once DO NOTHING
        RETURNING business_id, id, event_id, recipient_id, channel)
    INSERT INTO notification_reservations (business_id, notification_id, event_id, reservation_id)
    SELECT m.business_id, w.id, m.event_id, m.reservation_id
      FROM written w
      JOIN messages m ON m.business_id = w.business_id AND m.first_id = w.event_id AND m.channel = w.channel
                     AND coalesce(m.to_client, m.to_provider) = w.recipient_id
     WHERE m.is_ahead
$$;
REVOKE EXECUTE ON FUNCTION hand_to_recipients FROM PUBLIC;
"""

# A worker has no business of its own: this is all that it learns of those for which something is to be sent. Claimed is
# claimed: what a worker that was killed had in hand is taken up by another one when the time is over.
CLAIM = """
CREATE FUNCTION claim_notifications(most integer) RETURNS TABLE (business_id uuid, id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE notifications n SET attempts = n.attempts + 1, claimed_until = clock_timestamp() + interval '00:05:00'
     WHERE n.ctid = ANY (ARRAY(
           SELECT q.ctid FROM notifications q
            WHERE q.status = 'QUEUED' AND q.next_attempt_at <= clock_timestamp()
              AND (q.claimed_until IS NULL OR q.claimed_until <= clock_timestamp())
            ORDER BY q.next_attempt_at LIMIT most FOR UPDATE SKIP LOCKED))
    RETURNING n.business_id, n.id
$$;
REVOKE EXECUTE ON FUNCTION claim_notifications FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_notifications TO holdfast_app;

CREATE FUNCTION prune_notifications(most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH forgotten AS (
        UPDATE notifications SET subject = NULL, text = NULL WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM notifications
             WHERE text IS NOT NULL AND created_at < clock_timestamp() - interval '720:00:00'    -- 30 days
             LIMIT most FOR UPDATE SKIP LOCKED))
        RETURNING 1),
    gone AS (
        DELETE FROM reminders WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM reminders WHERE starts_at < clock_timestamp() LIMIT most FOR UPDATE SKIP LOCKED)))
    SELECT count(*) FROM forgotten
$$;
REVOKE EXECUTE ON FUNCTION prune_notifications FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prune_notifications TO holdfast_app;
"""

# Minutes are added, never days: a reminder comes so many elapsed hours before. What was booked, confirmed or moved after
# that instant has none of it; of several that are due at once, as after a standstill, the last one is told. A visit is one
# thing, as long as its reservations are near each other: its first one brings up the others.
REMIND = """
CREATE TABLE reminders (                     -- which reminders are done with
    business_id    uuid        NOT NULL,
    reservation_id uuid        NOT NULL,
    starts_at      timestamptz NOT NULL,
    minutes        integer     NOT NULL,
    CONSTRAINT reminders_pkey PRIMARY KEY (business_id, reservation_id, starts_at, minutes),
    CONSTRAINT reminder_of_reservation FOREIGN KEY (business_id, reservation_id) REFERENCES reservations (business_id, id)
);
CREATE INDEX reminders_by_start ON reminders (starts_at);
ALTER TABLE reminders ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON reminders TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT ON reminders TO holdfast_app;

CREATE FUNCTION remind_due(most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moment  timestamptz := clock_timestamp();
    written bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('remind_due', 0)) THEN     -- another worker is at it
        RETURN 0;
    END IF;
    PERFORM set_config('holdfast.actor', 'worker', true);
    WITH near AS MATERIALIZED (
        SELECT r.*, m.minutes
          FROM businesses b
         CROSS JOIN LATERAL (SELECT DISTINCT unnest(b.reminder_minutes) AS minutes) m
         CROSS JOIN LATERAL (
               SELECT * FROM reservations n
                WHERE n.business_id = b.id AND n.starts_at > moment
                  AND n.starts_at <= moment + make_interval(mins => m.minutes)
                  AND n.status = 'CONFIRMED' AND n.started_at IS NULL
                  AND n.starts_at - greatest(n.scheduled_at, n.confirmed_at) >= make_interval(mins => m.minutes)
                  AND NOT EXISTS (SELECT FROM reminders d
                                   WHERE d.business_id = b.id AND d.reservation_id = n.id AND d.starts_at = n.starts_at
                                     AND d.minutes = m.minutes)) r),
    first AS (
        SELECT * FROM near n
         WHERE n.visit_id IS NULL
            OR NOT EXISTS (SELECT FROM reservations o
                            WHERE o.business_id = n.business_id AND o.visit_id = n.visit_id AND o.status = 'CONFIRMED'
                              AND (o.starts_at, o.id) < (n.starts_at, n.id)
                              AND o.starts_at > n.starts_at - interval '12:00:00')
         LIMIT most),
    due AS (
        SELECT n.business_id, n.id, n.client_id, n.provider_id, n.appointment_id, n.starts_at, n.ends_at, n.status,
               n.version, f.minutes
          FROM first f
          JOIN reservations n ON n.business_id = f.business_id
                             AND (n.id = f.id OR n.visit_id = f.visit_id AND n.id <> f.id AND n.started_at IS NULL
                                  AND n.status = 'CONFIRMED' AND n.starts_at >= f.starts_at
                                  AND n.starts_at < f.starts_at + interval '12:00:00'
                                  AND f.starts_at - greatest(n.scheduled_at, n.confirmed_at) >= make_interval(mins => f.minutes))),
    done AS (
        INSERT INTO reminders SELECT business_id, id, starts_at, minutes FROM due ON CONFLICT DO NOTHING
        RETURNING reservation_id, minutes),
    told AS (
        INSERT INTO events (business_id, type, aggregate_id, data)
        SELECT DISTINCT ON (d.id)
               d.business_id, 'scheduling.reservation.reminder_due.v1', d.id,
               jsonb_build_object('id', d.id, 'client_id', d.client_id, 'provider_id', d.provider_id,
                                  'appointment_id', d.appointment_id, 'starts_at', d.starts_at, 'ends_at', d.ends_at,
                                  'status', d.status, 'version', d.version, 'minutes', d.minutes)
          FROM due d JOIN done ON done.reservation_id = d.id AND done.minutes = d.minutes
         ORDER BY d.id, d.minutes)
    SELECT count(*) INTO written FROM done;
    RETURN written;
END $$;
REVOKE EXECUTE ON FUNCTION remind_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION remind_due TO holdfast_app;
"""


def upgrade() -> None:
    for step in (COLUMNS, PREFERENCES, NOTIFICATIONS, TOGETHER, HAND, REMIND, CLAIM):
        op.execute(step)
    op.execute(
        DIFFERENCE.replace("{personal}", "IN ('time_zone', 'locale')").replace("{masked}", ", 'url', 'description'")
    )


def downgrade() -> None:
    op.execute(DIFFERENCE.replace("{personal}", "= 'time_zone'").replace("{masked}", ""))
    op.execute("""
    CREATE OR REPLACE FUNCTION hand_to_recipients(first bigint, last bigint) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
    END $$;
    DROP FUNCTION prune_notifications, claim_notifications, remind_due;
    DROP TABLE reminders, notification_reservations, notifications, notification_preferences;
    ALTER TABLE events DROP COLUMN transaction_id;
    DROP FUNCTION record_preference, wants_notification;
    ALTER TABLE providers DROP COLUMN locale;
    ALTER TABLE clients DROP COLUMN locale;
    ALTER TABLE businesses DROP COLUMN locale, DROP COLUMN reminder_minutes;
    """)
