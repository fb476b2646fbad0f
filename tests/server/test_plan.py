"""The command `plan`: which road a document takes, why, and with which statements; without a database."""

import re
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from strawberry.schema.schema_converter import GraphQLCoreConverter

from models.node_id import encode
from schema.execution import CONTRACT
from schema.supply import Supplying
from server.plan import told
from tests.api.test_examples import EXAMPLES, FOLDER, read, root_fields
from tests.conftest import ROOT

BACKREF = GraphQLCoreConverter.DEFINITION_BACKREF
KEY = UUID("0190a000-0000-7000-8000-000000000001")
TYPES = (
    *("Provider", "Client", "Appointment", "Reservation", "ApiKey", "Location", "Service", "Skill", "Resource"),
    *("Holiday", "TimeOff", "Visit", "Proposal", "CalendarImport", "WebhookEndpoint"),
)
PLACES = {f"${name.upper()}": encode(name, KEY) for name in TYPES} | {
    "$RULE": encode("AvailabilityRule", KEY),
    "$EXCEPTION": encode("AvailabilityException", KEY),
    "$SERIES": encode("ReservationSeries", KEY),
    "$ENTRY": encode("WaitlistEntry", KEY),
}
SUPPLIES = {
    name
    for name, field in CONTRACT.mutation_type.fields.items()  # type: ignore[union-attr]
    if any(isinstance(each, Supplying) for each in field.extensions[BACKREF].extensions)
}
# Where Python does more than a statement can; of the audit, what it makes of the stored columns.
BY_PYTHON = {
    "apiKeyCreate": "Mutation.apiKeyCreate",
    "apiKeyRevoke": "Mutation.apiKeyRevoke",
    "apiKeys": "Query.apiKeys",
    "appointmentBulkCreate": "Mutation.appointmentBulkCreate",
    "auditEntries": "AuditEntry.nodeId",
    "businessCreate": "Mutation.businessCreate",
    "businessUpdate": "Mutation.businessUpdate",
    "clientErase": "Mutation.clientErase",
    "clientExport": "Mutation.clientExport",
    "availabilityException": "AvailabilityException.windows",
    "availabilityExceptions": "AvailabilityException.windows",
    **{name: f"Query.{name}" for name in ("explainAvailability", "exposedAppointments", "exposureReport")},
    **{name: f"Mutation.{name}" for name in (*sorted(SUPPLIES), "appointmentsGenerate")},
    **{name: f"Subscription.{name}" for name in ("availabilityChanged", "reservationChanged")},
    **{name: f"Query.{name}" for name in ("events", "notificationPreferences")},
    **{name: f"Mutation.{name}" for name in ("calendarFeedCreate", "calendarFeedRevoke", "calendarImportCreate")},
    **{name: f"Mutation.{name}" for name in ("calendarImportDelete", "notificationPreferencesSet")},
    **{f"appointment{what}": f"Mutation.appointment{what}" for what in ("Start", "Complete", "Reassign")},
    **{f"visit{what}": f"Mutation.visit{what}" for what in ("Create", "Confirm", "Renew", "Cancel")},
    **{f"reservationSeries{what}": f"Mutation.reservationSeries{what}" for what in ("Create", "Confirm", "Cancel")},
    **{name: f"Mutation.{name}" for name in ("waitlistEntryCancel", "proposalAccept", "proposalDecline")},
    **{f"webhookEndpoint{what}": f"Mutation.webhookEndpoint{what}" for what in ("Create", "Update", "Delete")},
    **{name: f"Mutation.{name}" for name in ("webhookDeliveryRetry", "webhookDryRun", "webhookSecretRotate")},
}
COMPILED = [name for name in EXAMPLES if name not in BY_PYTHON]

NO_ID = "This is not an id; use one that an earlier answer contained."


def plan(*given: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command where no database is in reach."""
    command = [sys.executable, "-m", "server", "plan", *map(str, given)]
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing", "DATA_DIR": "/nonexistent"}
    return subprocess.run(command, cwd=ROOT, env=nowhere, capture_output=True, text=True, check=False)


def refused(*given: str | Path) -> str:
    """What it says of what it cannot tell of."""
    done = plan(*given)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return tmp_path / "document.graphql"


@pytest.fixture
def variables(tmp_path: Path) -> Path:
    return tmp_path / "variables.json"


@pytest.mark.parametrize("name", COMPILED)
def test_an_example_is_compiled_to_one_statement_for_each_root_field(name: str, variables: Path) -> None:
    text, values = read(name)
    for place, value in PLACES.items():
        values = values.replace(place, value)
    variables.write_text(values)

    first, empty, *rest = told(FOLDER / f"{name}.graphql", variables, None).splitlines()

    assert empty == ""
    assert re.fullmatch(r"(query|mutation) \w+: the compiled road\.", first)
    assert [line for line in rest if line.endswith(": one statement")] == [f"{name}: one statement"]
    assert root_fields(text) == [name]
    assert re.match(r"SELECT |WITH |INSERT |UPDATE ", rest[1])
    statement = "\n".join(line for line in rest if not line.startswith("  $"))
    sources = [line.split()[0] for line in rest if line.startswith("  $")]
    assert sources == [f"${n}" for n in range(1, len(sources) + 1)]
    assert set(re.findall(r"\$\d+", statement)) == set(sources)


@pytest.mark.parametrize("name", BY_PYTHON)
def test_what_python_answers_takes_the_ordinary_road_and_is_told_why(name: str, variables: Path) -> None:
    text, values = read(name)
    for place, value in PLACES.items():
        values = values.replace(place, value)
    variables.write_text(values.replace('"$VERSION"', "1"))

    said = told(FOLDER / f"{name}.graphql", variables, None)

    kind = BY_PYTHON[name].partition(".")[0].lower()
    kind = kind if kind in ("mutation", "subscription") else "query"
    why = f"{BY_PYTHON[name]} is answered by Python"
    assert root_fields(text) == [name]
    assert said == f"{kind} {name[0].upper()}{name[1:]}: the ordinary road, because {why}."


def test_each_operation_is_told_of_and_asks_for_what_it_needs(document: Path) -> None:
    document.write_text("""
    query Inside { __schema { queryType { name } } }
    query One($id: ID!, $first: Int! = 3) { client(id: $id) { reservations(first: $first) { totalCount } } }
    query Several { __typename now: serverTime viewer { principal } }
    query Wrong { client(id: "nobody") { id } }
    """)

    done = plan(document)

    lines = [line for line in done.stdout.splitlines() if re.match(r"query|\w+: ", line)]
    assert (done.returncode, done.stderr) == (0, "")
    assert lines == [
        "query Inside: the ordinary road, because introspection is answered from memory.",
        "query One: give the variables $id: ID! as a JSON file; which road it takes depends on them.",
        "query Several: the compiled road.",
        "__typename: no statement",
        "now: one statement",
        "viewer: one statement",
        f"query Wrong: the ordinary road, because its arguments are refused ({NO_ID}).",
    ]
    assert done.stdout.count("clock_timestamp()") == 1


def test_a_parameter_says_where_it_comes_from(document: Path, variables: Path) -> None:
    document.write_text("""
    query Found($search: String) { a: clients(search: $search) { nodes { providers(after: null) { totalCount } } } }
    """)
    variables.write_text('{"search": "O\'Hara"}')

    done = plan(document, variables)

    parameters = [line for line in done.stdout.splitlines() if line.startswith("  $")]
    assert "\na: one statement\n" in done.stdout
    assert "  $1 the business of whoever asks" in parameters
    assert [line for line in parameters if "what clients asks with, here" in line and "O'Hara" in line] != []
    assert "O'Hara" not in "".join(line for line in done.stdout.splitlines() if line not in parameters)


def test_one_operation_of_many_can_be_named(document: Path) -> None:
    document.write_text("query A { __schema { queryType { name } } } query B { __typename }")

    done = plan(document, "--operation", "B")

    assert done.stdout == "query B: the compiled road.\n\n__typename: no statement\n"
    assert refused(document, "--operation", "C") == f"{document} The document has no operation 'C'.\n"


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("{ clients(", [":1:11 Syntax Error: Expected Name, found <EOF>."]),
        ("{ a b }", [":1:3 Cannot query field 'a' on type 'Query'.", ":1:5 Cannot query field 'b' on type 'Query'."]),
        ("", [":1:1 Syntax Error: Unexpected <EOF>."]),
    ],
)
def test_an_invalid_document_is_told_its_errors(document: Path, text: str, errors: list[str]) -> None:
    document.write_text(text)

    assert refused(document).splitlines() == [f"{document}{error}" for error in errors]


def test_files_that_cannot_be_used_are_one_sentence(document: Path, variables: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.graphql"
    document.write_text("{ __typename }")

    assert refused(missing) == f"{missing} cannot be read (No such file or directory).\n"
    assert refused(document, missing) == f"{missing} cannot be read (No such file or directory).\n"
    variables.write_bytes(b"\xff")
    assert refused(variables) == f"{variables} is no text in UTF-8.\n"
    variables.write_text("{")
    assert re.fullmatch(rf"{variables} is not valid JSON \(.+\)\.\n", refused(document, variables))
    variables.write_text("[]")
    assert refused(document, variables) == f"{variables} must be a JSON object, with a value for each variable.\n"
