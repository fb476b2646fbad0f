"""Walls: what a clock shows at an instant, by a table of offsets that Python has made from its database of zones."""

from alembic import op

revision = "0017"
down_revision = "0016"

# Stable, as extract of an instant is, so that it can be put in the place where it is called.
WALL = """
CREATE FUNCTION wall_time(at timestamptz, jumps integer[], offsets integer[]) RETURNS timestamp
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT timezone('UTC', at)
           + make_interval(mins => offsets[width_bucket(floor(date_part('epoch', at) / 60)::integer, jumps)])
$$;
"""


def upgrade() -> None:
    op.execute(WALL)


def downgrade() -> None:
    op.execute("DROP FUNCTION wall_time")
