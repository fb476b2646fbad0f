"""API keys: what a program names itself with; only their hash is kept."""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLE = """
CREATE TABLE api_keys (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    name        text        NOT NULL,
    role        text        NOT NULL,
    person_id   uuid,                     -- the provider or the client whom it acts for
    scopes      text[]      NOT NULL,
    secret_hash bytea       NOT NULL,     -- SHA-256: the secret is 256 random bits, which nobody guesses
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     integer     NOT NULL DEFAULT 1,
    CONSTRAINT api_keys_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT api_key_of_business  FOREIGN KEY (business_id) REFERENCES businesses (id),
    CONSTRAINT api_key_has_a_name   CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT role_is_known        CHECK (role IN ('OPERATOR', 'ADMIN', 'MANAGER', 'FRONT_DESK', 'PROVIDER', 'CLIENT')),
    CONSTRAINT person_fits_the_role CHECK ((role IN ('PROVIDER', 'CLIENT')) = (person_id IS NOT NULL)),
    CONSTRAINT scopes_are_known     CHECK (scopes <@ ARRAY['READ', 'WRITE'] AND cardinality(scopes) > 0),
    CONSTRAINT secret_is_hashed     CHECK (length(secret_hash) = 32)
);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION record_change('api_key');

GRANT SELECT, INSERT, UPDATE (name, revoked_at) ON api_keys TO holdfast_app;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys TO holdfast_app USING (business_id = (SELECT current_business()));
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE api_keys")
