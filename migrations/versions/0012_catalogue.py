"""The catalogue: where, what, by whom and with which means; and the policies that a business and a service have."""

from alembic import op

revision = "0012"
down_revision = "0011"

COLUMNS = """
ALTER TABLE locations
    ADD COLUMN address     text,
    ADD COLUMN postal_code text,
    ADD CONSTRAINT address_is_short CHECK (length(address) <= 500 AND length(postal_code) BETWEEN 1 AND 20);
CREATE INDEX locations_by_name ON locations (business_id, name, id);

ALTER TABLE businesses
    ADD COLUMN minimum_horizon  interval NOT NULL DEFAULT '0',      -- nothing nearer is reserved, whatever the lead time
    ADD COLUMN maximum_horizon  interval,                           -- nothing farther; null: however far it is published
    ADD COLUMN cancel_cutoff    interval NOT NULL DEFAULT '0',      -- how long before its start a client may cancel
    ADD COLUMN publication_days smallint NOT NULL DEFAULT 90,       -- how far ahead rules become appointments
    ADD COLUMN exposure_variant text     NOT NULL DEFAULT 'STANDARD',
    ADD CONSTRAINT horizon_is_sane CHECK (minimum_horizon >= '0' AND minimum_horizon <= '366 days'
                                          AND maximum_horizon > '0' AND maximum_horizon <= '366 days'
                                          AND maximum_horizon > minimum_horizon),
    ADD CONSTRAINT cutoff_is_sane CHECK (cancel_cutoff >= '0' AND cancel_cutoff <= '366 days'),
    ADD CONSTRAINT publication_is_sane CHECK (publication_days BETWEEN 1 AND 366),
    ADD CONSTRAINT variant_is_known CHECK (exposure_variant IN ('STANDARD', 'STYLIST'));

ALTER TABLE services
    ADD COLUMN duration        interval,                            -- null: as long as its appointments
    ADD COLUMN price           numeric,
    ADD COLUMN currency        text,
    ADD COLUMN active          boolean  NOT NULL DEFAULT true,
    ADD COLUMN priority        text     NOT NULL DEFAULT 'MEDIUM',
    ADD COLUMN minimum_horizon interval,
    ADD COLUMN maximum_horizon interval,
    ADD COLUMN cancel_cutoff   interval,
    ADD CONSTRAINT duration_is_sane CHECK (duration >= '00:01:00' AND duration <= '24:00:00'),
    ADD CONSTRAINT price_is_money   CHECK ((price IS NULL) = (currency IS NULL) AND price >= 0 AND price < 1000000000
                                           AND scale(price) <= 4 AND currency ~ '^[A-Z]{3}$'),
    ADD CONSTRAINT priority_is_known CHECK (priority IN ('LOW', 'MEDIUM', 'HIGH')),
    ADD CONSTRAINT horizon_is_sane  CHECK (minimum_horizon >= '0' AND minimum_horizon <= '366 days'
                                           AND maximum_horizon > '0' AND maximum_horizon <= '366 days'
                                           AND maximum_horizon > minimum_horizon),
    ADD CONSTRAINT cutoff_is_sane   CHECK (cancel_cutoff >= '0' AND cancel_cutoff <= '366 days');
CREATE INDEX services_by_name ON services (business_id, name, id);

ALTER TABLE resources
    ADD COLUMN kind        text     NOT NULL DEFAULT 'ROOM',
    ADD COLUMN quantity    smallint NOT NULL DEFAULT 1,              -- how many of it there are, all alike
    ADD COLUMN location_id uuid,                                     -- null: wherever it is needed
    ADD CONSTRAINT kind_is_known      CHECK (kind IN ('ROOM', 'EQUIPMENT')),
    ADD CONSTRAINT quantity_is_sane   CHECK (quantity BETWEEN 1 AND 1000),
    ADD CONSTRAINT resource_at_location FOREIGN KEY (business_id, location_id) REFERENCES locations (business_id, id);
CREATE INDEX resources_by_name ON resources (business_id, name, id);

ALTER TABLE reservations                    -- what was agreed on, as the service was when the time was chosen
    ADD COLUMN price         numeric,
    ADD COLUMN currency      text,
    ADD COLUMN duration      interval,
    ADD COLUMN cancel_cutoff interval NOT NULL DEFAULT '0';
"""

TABLES = """
CREATE TABLE skills (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     integer     NOT NULL DEFAULT 1,
    CONSTRAINT skills_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT skill_of_business FOREIGN KEY (business_id) REFERENCES businesses (id),
    CONSTRAINT skill_has_a_name  CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT skill_is_new      UNIQUE (business_id, name)
);

CREATE TABLE provider_skills (
    business_id uuid NOT NULL,
    provider_id uuid NOT NULL,
    skill_id    uuid NOT NULL,
    CONSTRAINT provider_skills_pkey PRIMARY KEY (business_id, provider_id, skill_id),
    CONSTRAINT skill_of_provider     FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT provider_has_skill    FOREIGN KEY (business_id, skill_id)    REFERENCES skills (business_id, id)
);
CREATE INDEX providers_of_skill ON provider_skills (business_id, skill_id);

CREATE TABLE service_skills (
    business_id uuid NOT NULL,
    service_id  uuid NOT NULL,
    skill_id    uuid NOT NULL,
    CONSTRAINT service_skills_pkey PRIMARY KEY (business_id, service_id, skill_id),
    CONSTRAINT skill_for_service   FOREIGN KEY (business_id, service_id)
        REFERENCES services (business_id, id) ON DELETE CASCADE,
    CONSTRAINT service_needs_skill FOREIGN KEY (business_id, skill_id) REFERENCES skills (business_id, id)
);
CREATE INDEX services_of_skill ON service_skills (business_id, skill_id);

CREATE TABLE requirements (
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    service_id  uuid        NOT NULL,
    resource_id uuid        NOT NULL,
    quantity    smallint    NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     integer     NOT NULL DEFAULT 1,
    CONSTRAINT requirements_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT requirement_is_new     UNIQUE (business_id, service_id, resource_id),
    CONSTRAINT requirement_of_service FOREIGN KEY (business_id, service_id)
        REFERENCES services (business_id, id) ON DELETE CASCADE,
    CONSTRAINT requirement_is_there   FOREIGN KEY (business_id, resource_id) REFERENCES resources (business_id, id),
    CONSTRAINT requirement_is_sane    CHECK (quantity BETWEEN 1 AND 1000)
);
CREATE INDEX services_of_resource ON requirements (business_id, resource_id);

CREATE TABLE offerings (                     -- which provider gives which service where
    business_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    provider_id uuid        NOT NULL,
    service_id  uuid        NOT NULL,
    location_id uuid,                        -- null: wherever they work
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    version     integer     NOT NULL DEFAULT 1,
    CONSTRAINT offerings_pkey PRIMARY KEY (business_id, id),
    CONSTRAINT offering_is_new      UNIQUE NULLS NOT DISTINCT (business_id, provider_id, service_id, location_id),
    CONSTRAINT offering_of_provider FOREIGN KEY (business_id, provider_id) REFERENCES providers (business_id, id),
    CONSTRAINT offering_of_service  FOREIGN KEY (business_id, service_id)  REFERENCES services (business_id, id),
    CONSTRAINT offering_at_location FOREIGN KEY (business_id, location_id) REFERENCES locations (business_id, id)
);
CREATE INDEX offerings_of_service ON offerings (business_id, service_id);
"""

TENANT = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO holdfast_app;
"""

TRIGGERS = """
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION record_change('{noun}');
"""

NOUNS = {"skills": "skill", "requirements": "requirement", "offerings": "offering"}
PAIRS = ("provider_skills", "service_skills")


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(TABLES)
    for table in (*NOUNS, *PAIRS):
        op.execute(TENANT.format(table=table))
    for table, noun in NOUNS.items():
        op.execute(TRIGGERS.format(table=table, noun=noun))
    op.execute("GRANT DELETE ON locations, services, resources TO holdfast_app")


def downgrade() -> None:
    op.execute("""
    REVOKE DELETE ON locations, services, resources FROM holdfast_app;
    DROP TABLE offerings, requirements, service_skills, provider_skills, skills;
    DROP INDEX locations_by_name, services_by_name, resources_by_name;
    ALTER TABLE reservations DROP COLUMN price, DROP COLUMN currency, DROP COLUMN duration, DROP COLUMN cancel_cutoff;
    ALTER TABLE resources DROP COLUMN kind, DROP COLUMN quantity, DROP COLUMN location_id;
    ALTER TABLE services DROP COLUMN duration, DROP COLUMN price, DROP COLUMN currency, DROP COLUMN active,
        DROP COLUMN priority, DROP COLUMN minimum_horizon, DROP COLUMN maximum_horizon, DROP COLUMN cancel_cutoff;
    ALTER TABLE businesses DROP COLUMN minimum_horizon, DROP COLUMN maximum_horizon, DROP COLUMN cancel_cutoff,
        DROP COLUMN publication_days, DROP COLUMN exposure_variant;
    ALTER TABLE locations DROP COLUMN address, DROP COLUMN postal_code;
    """)
