"""A bad setting is one clear sentence, all of them are told at once, and nothing starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
        pool_size=8,
        lanes=4,
        compile=True,
        log_level="info",
    )


def test_every_setting_is_read() -> None:
    settings = Settings.read(
        {
            "HOST": "::1",
            "PORT": "0",
            "DATA_DIR": "/var/lib/holdfast",
            "DATABASE_URL": "postgres://db/holdfast",
            "WORKERS": "64",
            "POOL_SIZE": "100",
            "LANES": "64",
            "COMPILE": "Off",
            "LOG_LEVEL": "WARNING",
        }
    )

    assert settings == Settings(
        host="::1",
        port=0,
        data_dir=Path("/var/lib/holdfast"),
        database_url="postgres://db/holdfast",
        workers=64,
        pool_size=100,
        lanes=64,
        compile=False,
        log_level="warning",
    )


@pytest.mark.parametrize(("value", "compiles"), [("on", True), ("ON", True), ("off", False), ("OFF", False)])
def test_compiling_is_switched_on_or_off(value: str, *, compiles: bool) -> None:
    assert Settings.read({"COMPILE": value}).compile is compiles


def test_an_empty_address_of_the_database_means_the_embedded_one() -> None:
    assert Settings.read({"DATABASE_URL": ""}).database_url is None


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
    ],
    ids=lambda value: value[:20],
)
def test_a_bad_value_is_one_sentence(name: str, value: str, must: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.read({name: value})

    # An address may carry a password; another value is repeated as far as it takes to find it.
    shown = "cannot be read" if name == "DATABASE_URL" else f"is {value[:40]!r}"
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


def test_a_password_of_the_database_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as told:
        Settings.read({"DATABASE_URL": "mysql://holdfast:secret-4711@db/holdfast"})

    assert "secret-4711" not in str(told.value)


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("serve", "DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x"),
        ("serve", "DATABASE_URL", "postgresql://nobody:secret-4711@127.0.0.1:1/x"),
        ("migrate", "DATABASE_URL", "postgresql://nobody:secret-4711@127.0.0.1:1/x"),
        ("seed", "DATABASE_URL", "postgresql://nobody:secret-4711@127.0.0.1:1/x"),
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
