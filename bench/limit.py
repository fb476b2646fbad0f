"""The physical limit: pgbench, running the very statements that the server sends."""

import re
import resource
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bench.load import Figures
from bench.processes import environment
from bench.statements import Sent
from bench.world import CLIENTS, EACH, ID, STRIDE, World
from server.postgres import binaries

# A session as the server's own are.
SESSION = "-c timezone=UTC -c jit=off"
# A random provider; a client; and an appointment that no other transaction asks for, as `World.free_appointment` counts.
NUMBERS = f"""\\set p random(0, :providers - 1)
\\set k (:i * :connections + :client_id) * {STRIDE} % :unclaimed
\\set i :i + 1
\\set slot :k / :providers
\\set a :k % :providers * {EACH} + :slot / 9 * 10 + :slot % 9 + 1
\\set c :a % {CLIENTS}
"""
SECONDS_TO_PREPARE = 0.3
VARIABLE_OF_KIND = {"1": "p", "2": "c", "3": "a"}


@dataclass(frozen=True)
class Scripts:
    """What pgbench runs, in sessions that are set up like this, and the variables that it begins with."""

    texts: Sequence[str]
    session: str
    defined: Mapping[str, int | str]
    mode: str = "prepared"


def pgbench(world: World, sent: Sent, *, connections: int, seconds: float) -> Figures:
    """Run a statement as fast as PostgreSQL can; what the request asked for becomes random, the rest stays a parameter."""
    defined: dict[str, int | str] = {
        "i": 0,
        "connections": connections,
        "providers": world.providers,
        "unclaimed": world.unclaimed,
        **{f"v{n}": value for n, value in enumerate(sent.values, 1) if isinstance(value, str)},
    }
    script = f"{NUMBERS}{_filled(sent)};\n"
    return run(world.url, Scripts([script], SESSION, defined), connections=connections, seconds=seconds)


def run(url: str, scripts: Scripts, *, connections: int, seconds: float) -> Figures:
    """Run any one of some scripts, again and again; if there are several, what they need to begin with is not counted."""
    whole = int(max(1, seconds))
    counted = whole if len(scripts.texts) == 1 else whole - SECONDS_TO_PREPARE
    with tempfile.TemporaryDirectory() as folder:
        files = [f"script{n}.sql" for n in range(len(scripts.texts))]
        for file, script in zip(files, scripts.texts, strict=True):
            Path(folder, file).write_text(script)
        options = ["-n", "-M", scripts.mode, "-c", connections, "-j", 1, "-T", whole, "-l"]
        options += [part for file in files for part in ("-f", file)]
        definitions = [f"-D{name}={value}" for name, value in scripts.defined.items()]
        command = [str(binaries() / "pgbench"), url, *map(str, options), *definitions]
        used = _cpu_of_children()
        done = subprocess.run(
            command, cwd=folder, env=environment(PGOPTIONS=scripts.session), check=False, capture_output=True
        )
        used = _cpu_of_children() - used
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace")[:1000])
        lines = [line.split() for log in Path(folder).glob("pgbench_log.*") for line in log.read_text().splitlines()]
    ended = [int(line[4]) + int(line[5]) / 1e6 for line in lines]
    last = max(ended)
    took = [
        int(line[2]) / 1e6 for line, end in zip(lines, ended, strict=True) if counted == whole or end > last - counted
    ]
    figures = Figures.of(took, counted)
    figures.generator_us = round(used / len(took) * 1e6, 2)
    return figures


def _filled(sent: Sent) -> str:
    def place(found: re.Match[str]) -> str:
        value = sent.values[int(found[1]) - 1]
        if isinstance(value, UUID):
            kind = str(value)[0]
            return ID.format(kind=kind, n=f":{VARIABLE_OF_KIND[kind]}::bigint")
        return "NULL" if value is None else f":v{found[1]}"

    return re.sub(r"\$(\d+)", place, sent.sql)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
