"""Persons can be called, and forgotten: an erased one keeps the place that statistics need, and no personal word."""

from alembic import op

revision = "0011"
down_revision = "0010"

COLUMNS = """
ALTER TABLE {table}
    ADD COLUMN phone     text,
    ADD COLUMN erased_at timestamptz,
    ADD CONSTRAINT phone_is_short CHECK (length(phone) BETWEEN 3 AND 32);
"""

# Locked as the foreign key would lock it, but before anything else is: erasing waits for it, or it for erasing.
REFUSE = """
CREATE FUNCTION refuse_erased_client() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM clients
      WHERE business_id = NEW.business_id AND id = NEW.client_id AND erased_at IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such client, or an erased one'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'reservation_of_client';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER client_is_known BEFORE INSERT ON reservations FOR EACH ROW EXECUTE FUNCTION refuse_erased_client();
"""


def upgrade() -> None:
    for table in ("providers", "clients"):
        op.execute(COLUMNS.format(table=table))
    op.execute(REFUSE)


def downgrade() -> None:
    op.execute("DROP FUNCTION refuse_erased_client CASCADE")
    for table in ("providers", "clients"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN phone, DROP COLUMN erased_at")
