"""Providers, and what they work with: services and resources."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
    CREATE TABLE providers (
        business_id uuid        NOT NULL,
        id          uuid        NOT NULL DEFAULT uuidv7(),
        first_name  text        NOT NULL,
        last_name   text        NOT NULL,
        email       text,
        time_zone   text,
        created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        version     integer     NOT NULL DEFAULT 1,
        CONSTRAINT providers_pkey PRIMARY KEY (business_id, id),
        CONSTRAINT provider_of_business FOREIGN KEY (business_id) REFERENCES businesses (id),
        CONSTRAINT provider_has_a_name  CHECK (length(first_name) BETWEEN 1 AND 200 AND length(last_name) BETWEEN 1 AND 200)
    );
    CREATE INDEX providers_by_name ON providers (business_id, last_name, first_name, id);

    CREATE TABLE services (
        business_id   uuid        NOT NULL,
        id            uuid        NOT NULL DEFAULT uuidv7(),
        name          text        NOT NULL,
        buffer_before interval    NOT NULL DEFAULT '0',
        buffer_after  interval    NOT NULL DEFAULT '0',
        lead_time     interval,
        hold_time     interval,
        created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        version       integer     NOT NULL DEFAULT 1,
        CONSTRAINT services_pkey PRIMARY KEY (business_id, id),
        CONSTRAINT service_of_business FOREIGN KEY (business_id) REFERENCES businesses (id),
        CONSTRAINT service_has_a_name  CHECK (length(name) BETWEEN 1 AND 200),
        CONSTRAINT buffers_are_sane    CHECK (buffer_before >= '0' AND buffer_before <= '24:00:00'
                                              AND buffer_after >= '0' AND buffer_after <= '24:00:00'),
        CONSTRAINT lead_time_is_sane   CHECK (lead_time >= '0' AND lead_time <= '366 days'),
        CONSTRAINT hold_time_is_sane   CHECK (hold_time > '0' AND hold_time <= '24:00:00')
    );

    CREATE TABLE resources (
        business_id uuid        NOT NULL,
        id          uuid        NOT NULL DEFAULT uuidv7(),
        name        text        NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        version     integer     NOT NULL DEFAULT 1,
        CONSTRAINT resources_pkey PRIMARY KEY (business_id, id),
        CONSTRAINT resource_of_business FOREIGN KEY (business_id) REFERENCES businesses (id),
        CONSTRAINT resource_has_a_name  CHECK (length(name) BETWEEN 1 AND 200)
    );
    """)


def downgrade() -> None:
    op.execute("DROP TABLE resources, services, providers")
