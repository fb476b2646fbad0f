"""Persons can be called, and forgotten: an erased one keeps the place that statistics need, and no personal word."""

from alembic import op

revision = "0010"
down_revision = "0009"

COLUMNS = """
ALTER TABLE {table}
    ADD COLUMN phone     text,
    ADD COLUMN erased_at timestamptz,
    ADD CONSTRAINT phone_is_short CHECK (length(phone) BETWEEN 3 AND 32);
"""


def upgrade() -> None:
    for table in ("providers", "clients"):
        op.execute(COLUMNS.format(table=table))


def downgrade() -> None:
    for table in ("providers", "clients"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN phone, DROP COLUMN erased_at")
