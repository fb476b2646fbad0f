"""The physical limit: pgbench, running the very statements that the server sends."""

import re
import resource
import subprocess
import tempfile
from pathlib import Path
from uuid import UUID

from bench.load import Figures
from bench.processes import environment
from bench.statements import Sent
from bench.world import CLIENTS, EACH, ID, STRIDE, World
from server.postgres import binaries

# A session as the server's own are.
SESSION = {"PGOPTIONS": "-c timezone=UTC -c jit=off"}
# A random provider; a client; and an appointment that no other transaction asks for, as `World.free_appointment` counts.
NUMBERS = f"""\\set p random(0, :providers - 1)
\\set k (:i * :connections + :client_id) * {STRIDE} % :unclaimed
\\set i :i + 1
\\set slot :k / :providers
\\set a :k % :providers * {EACH} + :slot / 9 * 10 + :slot % 9 + 1
\\set c :a % {CLIENTS}
"""
VARIABLE_OF_KIND = {"1": "p", "2": "c", "3": "a"}


def pgbench(world: World, sent: Sent, *, connections: int, seconds: float) -> Figures:
    """Run a statement as fast as PostgreSQL can; what the request asked for becomes random, the rest stays a parameter."""
    constants = {f"v{n}": value for n, value in enumerate(sent.values, 1) if isinstance(value, str)}
    whole = int(max(1, seconds))
    defined: dict[str, int | str] = {
        "i": 0,
        "connections": connections,
        "providers": world.providers,
        "unclaimed": world.unclaimed,
        **constants,
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "script.sql").write_text(f"{NUMBERS}{_filled(sent)};\n")
        options = ["-n", "-M", "prepared", "-c", connections, "-j", 1, "-T", whole, "-f", "script.sql", "-l"]
        definitions = [f"-D{name}={value}" for name, value in defined.items()]
        command = [str(binaries() / "pgbench"), world.url, *map(str, options), *definitions]
        used = _cpu_of_children()
        subprocess.run(command, cwd=folder, env=environment(**SESSION), check=True, capture_output=True)
        used = _cpu_of_children() - used
        took = [
            int(line.split()[2]) / 1e6
            for log in Path(folder).glob("pgbench_log.*")
            for line in log.read_text().splitlines()
        ]
    figures = Figures.of(took, whole)
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
