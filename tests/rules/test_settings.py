"""A bad setting is one clear sentence, all of them are told at once, and nothing starts."""

import os
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from schema.limits import LIMITS
from server.mail_server import FORM as MAIL_SERVER
from server.mail_server import MailServer
from server.settings import Settings, SettingsError

ROOT = Path(__file__).parents[2]


def test_without_any_setting_there_is_one_of_each() -> None:
    settings = Settings.read({"UNRELATED": "x"})

    assert settings == Settings(
        host="127.0.0.1",
        port=8000,
        data_dir=Path(".data"),
        database_url=None,
        workers=1,
        background=True,
        pool_size=8,
        lanes=4,
        compile=True,
        log_level="info",
        owner_database_url=None,
        oidc_issuer=None,
        oidc_audience=None,
        oidc_token_types=("at+jwt",),
        oidc_claim="holdfast",
        api_keys=False,
        rate_limit=60_000,
        rate_limit_anonymous=20_000,
        rate_store="memory://",
        deadline=5,
        introspection=True,
        trusted_documents=None,
        allowed_networks=(),
        allowed_origins=frozenset(),
        public_url="http://localhost:8000",
        nats_url=None,
        nats_stream="HOLDFAST",
        smtp_url=None,
        mail_from=None,
        sms_url=None,
        sms_token=None,
    )


def test_every_setting_is_read(tmp_path: Path) -> None:
    settings = Settings.read(
        {
            "HOST": "::1",
            "PORT": "0",
            "DATA_DIR": "/var/lib/holdfast",
            "DATABASE_URL": "postgres://db/holdfast",
            "WORKERS": "64",
            "BACKGROUND": "OFF",
            "POOL_SIZE": "100",
            "LANES": "64",
            "COMPILE": "Off",
            "LOG_LEVEL": "WARNING",
            "OWNER_DATABASE_URL": "postgresql://owner@db/holdfast",
            "OIDC_ISSUER": "https://id.example/realms/practice",
            "OIDC_AUDIENCE": "https://holdfast.example",
            "OIDC_TOKEN_TYPES": "at+jwt, JWT",
            "OIDC_CLAIM": "https://example/holdfast",
            "API_KEYS": "ON",
            "RATE_LIMIT": "0",
            "RATE_LIMIT_ANONYMOUS": "999999999",
            "RATE_STORE": "redis://valkey:6379/0",
            "DEADLINE": "60",
            "INTROSPECTION": "off",
            "TRUSTED_DOCUMENTS": str(tmp_path),
            "ALLOWED_NETWORKS": "10.0.0.0/8, fd00::/8",
            "ALLOWED_ORIGINS": "https://book.example, https://desk.example:8443",
            "PUBLIC_URL": "https://holdfast.example",
            "NATS_URL": "nats://holdfast:secret@one:4222,tls://two",
            "NATS_STREAM": "PRACTICE-1",
            "SMTP_URL": "smtps://mail.example",
            "MAIL_FROM": "no-reply@holdfast.example",
            "SMS_URL": "https://sms.example/messages",
            "SMS_TOKEN": "a-token",
        }
    )

    assert settings == Settings(
        host="::1",
        port=0,
        data_dir=Path("/var/lib/holdfast"),
        database_url="postgres://db/holdfast",
        workers=64,
        background=False,
        pool_size=100,
        lanes=64,
        compile=False,
        log_level="warning",
        owner_database_url="postgresql://owner@db/holdfast",
        oidc_issuer="https://id.example/realms/practice",
        oidc_audience="https://holdfast.example",
        oidc_token_types=("at+jwt", "JWT"),
        oidc_claim="https://example/holdfast",
        api_keys=True,
        rate_limit=0,
        rate_limit_anonymous=999_999_999,
        rate_store="redis://valkey:6379/0",
        deadline=60,
        introspection=False,
        trusted_documents=tmp_path,
        allowed_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        allowed_origins=frozenset({"https://book.example", "https://desk.example:8443"}),
        public_url="https://holdfast.example",
        nats_url="nats://holdfast:secret@one:4222,tls://two",
        nats_stream="PRACTICE-1",
        smtp_url=MailServer("mail.example", 465, use_tls=True, start_tls=False),
        mail_from="no-reply@holdfast.example",
        sms_url="https://sms.example/messages",
        sms_token="a-token",
    )


@pytest.mark.parametrize(("value", "compiles"), [("on", True), ("ON", True), ("off", False), ("OFF", False)])
def test_compiling_is_switched_on_or_off(value: str, *, compiles: bool) -> None:
    assert Settings.read({"COMPILE": value}).compile is compiles


@pytest.mark.parametrize("given", [{"SMTP_URL": "smtp://mail.example"}, {"MAIL_FROM": "a@b.example"}])
def test_a_mail_server_and_a_sender_belong_together(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="SMTP_URL and MAIL_FROM belong together; set both, or neither"):
        Settings.read(given)


def test_an_empty_address_of_the_database_means_the_embedded_one() -> None:
    assert Settings.read({"DATABASE_URL": ""}).database_url is None


@pytest.mark.parametrize(
    "name",
    [
        "OWNER_DATABASE_URL",
        "NATS_URL",
        "OIDC_ISSUER",
        "OIDC_AUDIENCE",
        "TRUSTED_DOCUMENTS",
        "ALLOWED_NETWORKS",
        "SMTP_URL",
        "SMS_URL",
    ],
    ids=str.lower,
)
def test_what_may_be_unset_may_be_empty(name: str) -> None:
    assert Settings.read({name: ""}) == Settings.read({})


@pytest.mark.parametrize(
    ("value", "types"), [("JWT", ("JWT",)), ("at+jwt JWT", ("at+jwt", "JWT")), (" a,b , c ", ("a", "b", "c"))]
)
def test_the_types_of_tokens_are_words(value: str, types: tuple[str, ...]) -> None:
    assert Settings.read({"OIDC_TOKEN_TYPES": value}).oidc_token_types == types


@pytest.mark.parametrize(
    "issuer",
    ["https://id.example", "https://id.example:8443/a/", "http://localhost:9", "http://127.0.0.1", "http://[::1]:9"],
)
def test_an_issuer_is_asked_in_secret_unless_it_is_on_this_machine(issuer: str) -> None:
    assert Settings.read({"OIDC_ISSUER": issuer, "OIDC_AUDIENCE": "us"}).oidc_issuer == issuer


@pytest.mark.parametrize(
    "store",
    ["memory://", "redis://h", "rediss://u:p@h:6380/1", "valkey://h:1", "valkeys://h", "unix:///run/valkey.sock"],
)
def test_what_everybody_may_spend_can_be_kept_elsewhere(store: str) -> None:
    assert Settings.read({"RATE_STORE": store}).rate_store == store


@pytest.mark.parametrize(("name", "least"), [("RATE_LIMIT", LIMITS.cost), ("RATE_LIMIT_ANONYMOUS", LIMITS.cost)])
def test_whoever_asks_may_always_ask_for_the_costliest_operation(name: str, least: int) -> None:
    settings = Settings.read({name: str(least)})

    assert least in (settings.rate_limit, settings.rate_limit_anonymous)
    with pytest.raises(SettingsError):
        Settings.read({name: str(least - 1)})


@pytest.mark.parametrize("address", ["localhost:4222", "http://h:4222", "nats://", "nats://u:secret@h:0", "nats://h,"])
def test_a_bad_address_of_nats_is_told_without_its_password(address: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.read({"NATS_URL": address})

    assert str(told.value) == (
        "NATS_URL cannot be read, but it must be unset, or an address like nats://user:password@host:4222."
    )


@pytest.mark.parametrize("stream", ["", "a.b", "A B", "*", "A" * 33])
def test_a_stream_has_a_plain_name(stream: str) -> None:
    with pytest.raises(SettingsError, match="it must be at most 32 letters, digits, - and _"):
        Settings.read({"NATS_STREAM": stream})


@pytest.mark.parametrize("alone", ["OIDC_ISSUER", "OIDC_AUDIENCE"])
def test_an_issuer_and_an_audience_belong_together(alone: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.read({alone: "https://id.example"})

    assert str(told.value) == "OIDC_ISSUER and OIDC_AUDIENCE belong together; set both, or neither."


IDENTIFIED = [{"API_KEYS": "on"}, {"OIDC_ISSUER": "https://id.example", "OIDC_AUDIENCE": "us"}]


@pytest.mark.parametrize("identity", [{}, *IDENTIFIED], ids=["nothing", "keys", "an issuer"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_on_this_machine_nobody_needs_to_be_known(host: str, identity: dict[str, str]) -> None:
    settings = Settings.read({"HOST": host, **identity})

    settings.check_identity()

    assert settings.is_development == (not identity)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "holdfast.example", "localhost.example", "127.0.0.1.example"]
)
def test_other_machines_are_not_served_without_knowing_who_asks(host: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.read({"HOST": host}).check_identity()

    assert str(told.value) == (
        f"HOST is {host!r}, where others can ask, but nothing tells who they are:"
        " set OIDC_ISSUER and OIDC_AUDIENCE, or API_KEYS=on."
    )
    for identity in IDENTIFIED:
        Settings.read({"HOST": host, **identity}).check_identity()


def test_a_server_that_knows_nobody_does_not_start_where_others_can_ask(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OIDC_", "API_KEYS"))}
    here = {"HOST": "0.0.0.0", "PORT": "0", "DATA_DIR": str(tmp_path / "data")}

    done = subprocess.run(
        [sys.executable, "-m", "server", "serve"],
        cwd=ROOT,
        env={**environment, **here},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("HOST is '0.0.0.0', where others can ask, but nothing tells who they are:")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "value", "must"),
    [
        ("HOST", "", "a text that is not empty"),
        ("HOST", "  ", "a text that is not empty"),
        ("DATA_DIR", "", "a text that is not empty"),
        ("DATA_DIR", "a\0b", "a text that is not empty"),
        ("PORT", "", "a whole number from 0 to 65535"),
        ("PORT", "-1", "a whole number from 0 to 65535"),
        ("PORT", "65536", "a whole number from 0 to 65535"),
        ("PORT", "80.0", "a whole number from 0 to 65535"),
        ("PORT", "http", "a whole number from 0 to 65535"),
        ("PORT", " 80", "a whole number from 0 to 65535"),
        ("PORT", "٨٠", "a whole number from 0 to 65535"),
        ("PORT", "²", "a whole number from 0 to 65535"),
        ("PORT", "9" * 5000, "a whole number from 0 to 65535"),
        ("WORKERS", "0", "a whole number from 1 to 64"),
        ("WORKERS", "65", "a whole number from 1 to 64"),
        ("POOL_SIZE", "0", "a whole number from 1 to 100"),
        ("POOL_SIZE", "1e1", "a whole number from 1 to 100"),
        ("LANES", "0", "a whole number from 1 to 64"),
        ("LANES", "65", "a whole number from 1 to 64"),
        ("COMPILE", "", "one of on, off"),
        ("COMPILE", "true", "one of on, off"),
        ("COMPILE", " on", "one of on, off"),
        ("LOG_LEVEL", "", "one of debug, info, warning, error"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("DATABASE_URL", "mysql://db", "unset, or an address like postgresql://user:password@host:5432/database"),
        ("DATABASE_URL", "db.example.com", "unset, or an address like postgresql://user:password@host:5432/database"),
        ("OWNER_DATABASE_URL", "mysql://db", "unset, or an address like postgresql://user:password@host:5432/database"),
        ("OWNER_DATABASE_URL", "db", "unset, or an address like postgresql://user:password@host:5432/database"),
        ("OIDC_ISSUER", "id.example", "the https address of an OpenID Connect issuer"),
        ("OIDC_ISSUER", "http://id.example", "the https address of an OpenID Connect issuer"),
        ("OIDC_ISSUER", "http://localhost.example", "the https address of an OpenID Connect issuer"),
        ("OIDC_ISSUER", "https://", "the https address of an OpenID Connect issuer"),
        ("OIDC_ISSUER", "https://id.example?a=b", "the https address of an OpenID Connect issuer"),
        ("OIDC_ISSUER", "https://id.example#a", "the https address of an OpenID Connect issuer"),
        ("OIDC_AUDIENCE", " ", "a text that is not empty"),
        ("OIDC_TOKEN_TYPES", "", "a text that is not empty"),
        ("OIDC_TOKEN_TYPES", " , ", "a text that is not empty"),
        ("OIDC_CLAIM", "", "a text that is not empty"),
        ("API_KEYS", "yes", "one of on, off"),
        ("RATE_LIMIT", "-1", "a whole number from 0 to 999999999"),
        ("RATE_LIMIT", "1000000000", "a whole number from 0 to 999999999"),
        ("RATE_LIMIT", "19999", "0, for no limit, or at least 20000"),
        ("RATE_LIMIT_ANONYMOUS", "1", "0, for no limit, or at least 20000"),
        ("RATE_LIMIT_ANONYMOUS", "many", "a whole number from 0 to 999999999"),
        *(
            ("RATE_STORE", value, "memory://, or an address like redis://host:6379/0 or valkey://host:6379/0")
            for value in (
                "",
                "memory",
                "redis://",
                "redis://h:0",
                "redis://h:x",
                "http://h",
                "redis://h?db=1",
                "unix://",
            )
        ),
        ("DEADLINE", "0", "a whole number from 1 to 60"),
        ("DEADLINE", "61", "a whole number from 1 to 60"),
        ("DEADLINE", "1.5", "a whole number from 1 to 60"),
        ("INTROSPECTION", "maybe", "one of on, off"),
        ("ALLOWED_NETWORKS", "everything", "unset, or networks like 10.0.0.0/8, fd00::/8, none with bits of a host"),
        ("ALLOWED_NETWORKS", "10.0.0.1/8", "unset, or networks like 10.0.0.0/8, fd00::/8, none with bits of a host"),
        ("TRUSTED_DOCUMENTS", "/nowhere", "unset, or a folder of documents"),
        ("TRUSTED_DOCUMENTS", __file__, "unset, or a folder of documents"),
        ("SMTP_URL", "http://u:p@mail.example", MAIL_SERVER),
        ("SMTP_URL", "smtp://mail.example?starttls=maybe", MAIL_SERVER),
        ("MAIL_FROM", "Salon <a@b.example>", "unset, or an email address like no-reply@example.com"),
        ("SMS_URL", "ftp://sms.example", "unset, or the address of a gateway like https://sms.example.com/messages"),
        ("SMS_TOKEN", "a b", "unset, or a token of printable characters without spaces"),
    ],
    ids=lambda value: value[:20],
)
def test_a_bad_value_is_one_sentence(name: str, value: str, must: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.read({name: value})

    # An address may carry a password; another value is repeated as far as it takes to find it.
    secret = ("DATABASE_URL", "STORE", "SMTP_URL", "SMS_URL", "SMS_TOKEN")
    shown = "cannot be read" if name.endswith(secret) else f"is {value[:40]!r}"
    assert str(told.value) == f"{name} {shown}, but it must be {must}."


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as told:
        Settings.read({"PORT": "x", "HOST": "here", "WORKERS": "none", "LOG_LEVEL": "loud"})

    assert str(told.value).splitlines() == [
        "PORT is 'x', but it must be a whole number from 0 to 65535.",
        "WORKERS is 'none', but it must be a whole number from 1 to 64.",
        "LOG_LEVEL is 'loud', but it must be one of debug, info, warning, error.",
    ]


@pytest.mark.parametrize("command", ["serve", "migrate", "seed"])
def test_a_command_with_a_bad_setting_says_so_and_does_nothing(command: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PORT": "eighty", "POOL_SIZE": "0", "DATA_DIR": str(tmp_path / "data")}

    done = subprocess.run(
        [sys.executable, "-m", "server", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "PORT is 'eighty', but it must be a whole number from 0 to 65535.",
        "POOL_SIZE is '0', but it must be a whole number from 1 to 100.",
    ]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["DATABASE_URL", "OWNER_DATABASE_URL", "RATE_STORE"])
def test_a_password_is_not_repeated(name: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.read({name: "mysql://holdfast:secret-4711@db/holdfast"})

    assert "secret-4711" not in str(told.value)


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("serve", "DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x"),
        ("serve", "DATABASE_URL", "postgresql://nobody:secret-4711@127.0.0.1:1/x"),
        ("migrate", "DATABASE_URL", "postgresql://nobody:secret-4711@127.0.0.1:1/x"),
        ("seed", "DATABASE_URL", "postgresql://nobody:secret-4711@127.0.0.1:1/x"),
        ("serve", "OWNER_DATABASE_URL", "postgresql://nobody:secret-4711@127.0.0.1:1/x"),
        ("migrate", "OWNER_DATABASE_URL", "postgresql://x:secret-4711@host:notaport/x"),
        ("serve", "DATABASE_URL", "postgresql://x@host:notaport/x"),
        ("serve", "DATABASE_URL", "postgresql://x:secret-4711@host:notaport/x"),
        ("serve", "HOST", "nonsense.invalid"),
    ],
)
def test_what_cannot_be_reached_is_one_sentence_and_nothing_starts(
    command: str, name: str, value: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "PORT": "0", "DATA_DIR": str(tmp_path / "data"), name: value}

    done = subprocess.run(
        [sys.executable, "-m", "server", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 2
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith(".")
    assert name in sentence
    assert [harm for harm in ("Traceback", "secret-4711", "Error") if harm in sentence] == []
    assert not (tmp_path / "data").exists()
