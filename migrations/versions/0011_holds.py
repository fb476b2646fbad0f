"""Holds are few, and an erased client has none: to hoard times without meaning to come is an attack (OWASP API6)."""

from alembic import op

revision = "0011"
down_revision = "0010"

LIMIT = """
ALTER TABLE businesses
    ADD COLUMN hold_limit smallint DEFAULT 3,       -- null: as many as they like
    ADD CONSTRAINT hold_limit_is_sane CHECK (hold_limit BETWEEN 1 AND 1000);

-- No index may name `status`, so that confirming stays a heap-only update; what is held is among the few found here.
CREATE INDEX holds_of_client ON reservations (business_id, client_id, expires_at) WHERE live;

-- The client is locked before anything else is: of two wishes at once both would be the last one allowed, and one could
-- come while its client is erased. The foreign key would lock the same row, only later, and for less.
CREATE FUNCTION admit_client() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    most smallint;
BEGIN
    SELECT b.hold_limit INTO most
      FROM clients c JOIN businesses b ON b.id = c.business_id
     WHERE c.business_id = NEW.business_id AND c.id = NEW.client_id AND c.erased_at IS NULL
       FOR NO KEY UPDATE OF c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such client, or an erased one'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'reservation_of_client';
    ELSIF NEW.status = 'HELD' AND most <= (
        SELECT count(*) FROM reservations
         WHERE business_id = NEW.business_id AND client_id = NEW.client_id AND live
           AND expires_at > clock_timestamp() AND status = 'HELD') THEN
        RAISE EXCEPTION 'the client holds as many appointments as allowed'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'holds_are_few';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER admit BEFORE INSERT ON reservations FOR EACH ROW EXECUTE FUNCTION admit_client();
"""


def upgrade() -> None:
    op.execute(LIMIT)


def downgrade() -> None:
    op.execute("""
    DROP FUNCTION admit_client CASCADE;
    DROP INDEX holds_of_client;
    ALTER TABLE businesses DROP COLUMN hold_limit;
    """)
