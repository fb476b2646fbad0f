"""Exposures: which times were shown to whom, for the report of how fairly; what is shown next does not depend on it."""

from alembic import op

revision = "0016"
down_revision = "0015"

TABLE = """
CREATE TABLE exposures (
    business_id    uuid        NOT NULL,
    seed           text        NOT NULL,      -- of one viewer's choice: within it a time is shown once
    appointment_id uuid        NOT NULL,      -- no foreign key: a time that was shown may be withdrawn
    provider_id    uuid        NOT NULL,
    location_id    uuid,
    shown_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT exposures_pkey PRIMARY KEY (business_id, seed, appointment_id),
    CONSTRAINT seed_is_short CHECK (length(seed) BETWEEN 1 AND 64)
);
CREATE INDEX exposures_by_time ON exposures (business_id, shown_at, provider_id);
ALTER TABLE exposures ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON exposures TO holdfast_app USING (business_id = (SELECT current_business()));
GRANT SELECT, INSERT ON exposures TO holdfast_app;
"""

# What is old is of no report; nobody has to look at each business for it.
PRUNE = """
CREATE INDEX exposures_by_age ON exposures USING brin (shown_at);
CREATE FUNCTION prune_exposures(most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH pruned AS (
        DELETE FROM exposures WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM exposures WHERE shown_at < clock_timestamp() - interval '2160:00:00'     -- 90 days
             LIMIT most FOR UPDATE SKIP LOCKED))
        RETURNING 1)
    SELECT count(*) FROM pruned
$$;
REVOKE EXECUTE ON FUNCTION prune_exposures FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prune_exposures TO holdfast_app;
"""


def upgrade() -> None:
    for step in (TABLE, PRUNE):
        op.execute(step)


def downgrade() -> None:
    op.execute("DROP FUNCTION prune_exposures; DROP TABLE exposures")
