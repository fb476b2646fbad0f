"""Businesses, their locations, and the one business a fresh installation has."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
    CREATE EXTENSION IF NOT EXISTS btree_gist;

    CREATE TABLE businesses (
        id          uuid        NOT NULL DEFAULT uuidv7(),
        name        text        NOT NULL,
        time_zone   text        NOT NULL DEFAULT 'UTC',
        lead_time   interval    NOT NULL DEFAULT '24:00:00',
        hold_time   interval    NOT NULL DEFAULT '00:30:00',
        created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        version     integer     NOT NULL DEFAULT 1,
        CONSTRAINT businesses_pkey PRIMARY KEY (id),
        CONSTRAINT business_has_a_name CHECK (length(name) BETWEEN 1 AND 200),
        CONSTRAINT lead_time_is_sane   CHECK (lead_time >= '0' AND lead_time <= '366 days'),
        CONSTRAINT hold_time_is_sane   CHECK (hold_time > '0' AND hold_time <= '24:00:00')
    );

    CREATE TABLE locations (
        business_id uuid        NOT NULL,
        id          uuid        NOT NULL DEFAULT uuidv7(),
        name        text        NOT NULL,
        time_zone   text        NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        version     integer     NOT NULL DEFAULT 1,
        CONSTRAINT locations_pkey PRIMARY KEY (business_id, id),
        CONSTRAINT location_of_business FOREIGN KEY (business_id) REFERENCES businesses (id),
        CONSTRAINT location_has_a_name  CHECK (length(name) BETWEEN 1 AND 200)
    );

    INSERT INTO businesses (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'Holdfast');
    """)


def downgrade() -> None:
    op.execute("DROP TABLE locations, businesses")
