"""Locks: whoever moves reservations locks first what they will meet; and what they use already is in nobody's way."""

from types import ModuleType

from alembic import context, op

revision = "0018"
down_revision = "0017"

# Whoever moves reservations, or makes several at once, locks first what they will meet, in the order in which everybody
# does: clients, providers, appointments, the claims on the providers' time, resources, reservations, each by id. Two that
# swap their times then wait for each other, and not in a ring.
LOCK = """
CREATE FUNCTION lock_booking(business uuid, the_clients uuid[], the_reservations uuid[], the_appointments uuid[])
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    involved  uuid[];
    staff     uuid[];
    services  uuid[];
    means     uuid[];
    one       uuid;
BEGIN
    IF business IS DISTINCT FROM current_business() AND current_business() IS NOT NULL THEN
        RETURN false;
    END IF;
    SELECT the_clients || coalesce(array_agg(client_id), '{}'), the_appointments || coalesce(array_agg(appointment_id), '{}'),
           coalesce(array_agg(provider_id), '{}'), coalesce(array_agg(service_id), '{}'), coalesce(array_agg(resource_id), '{}')
      INTO the_clients, involved, staff, services, means
      FROM reservations WHERE business_id = business AND id = ANY (the_reservations);
    SELECT staff || coalesce(array_agg(provider_id), '{}'), services || coalesce(array_agg(service_id), '{}')
      INTO staff, services
      FROM appointments WHERE business_id = business AND id = ANY (involved);
    PERFORM FROM clients WHERE business_id = business AND id = ANY (the_clients) ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM providers WHERE business_id = business AND id = ANY (staff) ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM appointments WHERE business_id = business AND id = ANY (involved) AND capacity > 1
      ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM appointments WHERE business_id = business AND id = ANY (involved) AND capacity = 1
      ORDER BY id FOR KEY SHARE;
    FOR one IN SELECT DISTINCT n FROM unnest(staff) n ORDER BY n LOOP
        PERFORM pg_advisory_xact_lock(uuid_hash_extended(one, 18));
    END LOOP;
    PERFORM FROM resources
      WHERE business_id = business AND (id = ANY (means) OR id IN (
            SELECT q.resource_id FROM requirements q WHERE q.business_id = business AND q.service_id = ANY (services)))
      ORDER BY id FOR NO KEY UPDATE;
    PERFORM FROM reservations WHERE business_id = business AND id = ANY (the_reservations) ORDER BY id FOR NO KEY UPDATE;
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION lock_booking FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_booking TO holdfast_app;
"""


def upgrade() -> None:
    op.execute(LOCK)
    op.execute(_leaving())


def downgrade() -> None:
    op.execute("DROP FUNCTION lock_booking; DROP FUNCTION missing_resource")
    op.execute(_made(context.script.get_revision("0015").module))


def _made(guard: ModuleType) -> str:
    """The function that names a missing resource, as 0015 made it."""
    tell: str = guard.TELL
    return tell[tell.index("CREATE FUNCTION missing_resource") :]


def _leaving() -> str:
    """The same, but that a session may be named that is to leave its provider: it takes its means along."""
    made = _made(context.script.get_revision("0015").module)
    for old, new in (
        ("service uuid)", "service uuid, leaving uuid DEFAULT NULL)"),
        ("c.session_id <> appointment", "c.session_id <> appointment AND c.session_id IS DISTINCT FROM leaving"),
    ):
        assert old in made
        made = made.replace(old, new)
    return f"DROP FUNCTION missing_resource; {made}"
