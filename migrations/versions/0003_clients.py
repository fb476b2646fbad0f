"""Clients: the people who reserve."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
    CREATE TABLE clients (
        business_id uuid        NOT NULL,
        id          uuid        NOT NULL DEFAULT uuidv7(),
        first_name  text        NOT NULL,
        last_name   text        NOT NULL,
        email       text,
        time_zone   text,
        created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        version     integer     NOT NULL DEFAULT 1,
        CONSTRAINT clients_pkey PRIMARY KEY (business_id, id),
        CONSTRAINT client_of_business FOREIGN KEY (business_id) REFERENCES businesses (id),
        CONSTRAINT client_has_a_name  CHECK (length(first_name) BETWEEN 1 AND 200 AND length(last_name) BETWEEN 1 AND 200)
    );
    CREATE INDEX clients_by_name ON clients (business_id, last_name, first_name, id);
    """)


def downgrade() -> None:
    op.execute("DROP TABLE clients")
