"""Tenants kept apart by the database itself: the application's role sees one business at a time; and who may browse it."""

from alembic import op

revision = "0007"
down_revision = "0006"

COLUMNS = """
ALTER TABLE businesses
    ADD COLUMN host      text,                                -- whoever asks there without a token browses this business
    ADD COLUMN is_public boolean NOT NULL DEFAULT false,      -- whether anybody may browse it without a token
    ADD CONSTRAINT host_is_free   UNIQUE (host),
    ADD CONSTRAINT host_is_a_name CHECK (host = lower(host) AND length(host) BETWEEN 1 AND 253);
"""

# Who asks without a token has no business yet: this is all they can learn of those that are not theirs.
FIND = """
CREATE FUNCTION find_business(wanted_id uuid, wanted_host text) RETURNS TABLE (id uuid, is_public boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT b.id, b.is_public FROM businesses b WHERE b.id = wanted_id OR b.host = wanted_host
$$;
"""

# A key is forgotten by its own business only: nobody sees another one's, nor searches through them.
KEYS = """
DROP INDEX idempotency_keys_by_age;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (business_id, created_at);

CREATE OR REPLACE FUNCTION forget_old_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := clock_timestamp();
    DELETE FROM idempotency_keys
     WHERE business_id = NEW.business_id AND principal = NEW.principal AND key = NEW.key
       AND NEW.created_at - created_at >= '24:00:00';
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys
         WHERE business_id = NEW.business_id AND created_at <= NEW.created_at - interval '24:00:00'
         ORDER BY created_at LIMIT 4 FOR UPDATE SKIP LOCKED));
    RETURN NEW;
END $$;
"""

# A role belongs to the whole cluster, and so may be there already: made by another database's migrations, or by hand.
ROLE = """
DO $$
BEGIN
    IF to_regrole('holdfast_app') IS NULL THEN
        BEGIN
            CREATE ROLE holdfast_app NOLOGIN NOBYPASSRLS;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'holdfast_app', 'SET') THEN
        EXECUTE format('GRANT holdfast_app TO %I WITH SET TRUE', current_user);
    END IF;
END $$;
GRANT USAGE ON SCHEMA public TO holdfast_app;
"""

# What the application may do; a right to update one column is what locking a row takes.
GRANTS = {
    "alembic_version": "SELECT",
    "businesses": "SELECT, INSERT, UPDATE",
    "locations": "SELECT, INSERT, UPDATE",
    "providers": "SELECT, INSERT, UPDATE",
    "services": "SELECT, INSERT, UPDATE",
    "resources": "SELECT, INSERT, UPDATE",
    "clients": "SELECT, INSERT, UPDATE",
    "appointments": "SELECT, INSERT, UPDATE (capacity), DELETE",
    "reservations": "SELECT, INSERT, UPDATE",
    "events": "SELECT, INSERT, UPDATE (relayed_at)",
    "idempotency_keys": "SELECT, INSERT, UPDATE (created_at), DELETE",
}

TENANT = """
CREATE FUNCTION current_business() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('holdfast.business_id', true), '')::uuid;
"""

# In a sub-query, which is read once in a statement, not once in a row.
POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} TO holdfast_app USING ({key} = (SELECT current_business()));
"""


# What the guard looks at is of the business of the row that is placed, and that row is checked. The policies would only
# keep it from its index: an overlap of ranges might tell of a row that is hidden.
GUARD = """
ALTER FUNCTION place_reservation() SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION expire_lapsed_holds FROM PUBLIC;
"""


def upgrade() -> None:
    for step in (COLUMNS, FIND, KEYS, ROLE, TENANT, GUARD):
        op.execute(step)
    for table, rights in GRANTS.items():
        op.execute(f"GRANT {rights} ON {table} TO holdfast_app")
        if table != "alembic_version":
            op.execute(POLICY.format(table=table, key="id" if table == "businesses" else "business_id"))


def downgrade() -> None:
    for table in GRANTS:
        if table != "alembic_version":
            op.execute(f"DROP POLICY tenant ON {table}; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.execute("""
    DROP OWNED BY holdfast_app;
    GRANT EXECUTE ON FUNCTION expire_lapsed_holds TO PUBLIC;
    ALTER FUNCTION place_reservation() SECURITY INVOKER RESET search_path;
    DROP FUNCTION current_business, find_business;
    ALTER TABLE businesses DROP COLUMN host, DROP COLUMN is_public;
    DROP INDEX idempotency_keys_by_age;
    CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
    """)
