"""Holds are few: hoarding times without meaning to come is an attack (OWASP API6), so a client has only so many at once."""

from alembic import op

revision = "0010"
down_revision = "0009"

LIMIT = """
ALTER TABLE businesses
    ADD COLUMN hold_limit smallint DEFAULT 3,       -- null: as many as they like
    ADD CONSTRAINT hold_limit_is_sane CHECK (hold_limit BETWEEN 1 AND 1000);

-- No index may name `status`, so that confirming stays a heap-only update; what is held is among the few found here.
CREATE INDEX holds_of_client ON reservations (business_id, client_id, expires_at) WHERE live;

-- One client's wishes take turns before anything else is locked, so that two at once cannot both be the last one allowed.
CREATE FUNCTION limit_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.client_id::text, 0));
    IF (SELECT count(*) FROM reservations
         WHERE business_id = NEW.business_id AND client_id = NEW.client_id AND live
           AND expires_at > clock_timestamp() AND status = 'HELD')
       >= (SELECT hold_limit FROM businesses WHERE id = NEW.business_id) THEN
        RAISE EXCEPTION 'the client holds as many appointments as allowed'
              USING ERRCODE = 'check_violation', CONSTRAINT = 'holds_are_few';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER limit_holds BEFORE INSERT ON reservations
    FOR EACH ROW WHEN (NEW.status = 'HELD') EXECUTE FUNCTION limit_holds();
"""


def upgrade() -> None:
    op.execute(LIMIT)


def downgrade() -> None:
    op.execute("""
    DROP FUNCTION limit_holds CASCADE;
    DROP INDEX holds_of_client;
    ALTER TABLE businesses DROP COLUMN hold_limit;
    """)
