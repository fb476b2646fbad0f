"""Metrics: what all workers have done so far, in the text format of Prometheus.

Each worker counts in a file of its own, which is mapped into its memory, so that to count costs no more than to add.
Prometheus' own library would cost every worker 3 MB, and each request six times as long.
"""

import fcntl
import os
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from mmap import mmap
from pathlib import Path
from typing import IO

from compiler.plan import Plans

# Where each number stands.
ROADS = {"compiled": 0, "ordinary": 1, "refused": 2}
FOUND, MADE, KEPT, LISTENING, WORKER, SECONDS, FIRST_BUCKET = range(3, 10)
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
CELLS = FIRST_BUCKET + len(BUCKETS) + 1
SIZE = CELLS * 8
SECONDS_SAID = "Seconds from the arrival of a GraphQL request to its answer."
Numbers = list[float]

BACKGROUND = "background"  # the file of the one background worker that a server has
WORK = ("published", "removed", "affected")
FINISHED = len(WORK)
MESSAGES = ("sent", "logged", "postponed", "refused", "dropped")  # by what became of a try
CELLS_OF_WORK = FINISHED + 1 + len(MESSAGES)
MESSAGES_SAID = "What the background worker has tried to tell people by mail or SMS, by what became of it."
WORK_SAID = "Appointments that the background worker published and removed, and reservations that no longer fit."
OUTBOX = (  # as the database tells it, whoever relays
    ("holdfast_outbox_backlog", "gauge", "Events that wait to be relayed, at most 100,000."),
    ("holdfast_outbox_age_seconds", "gauge", "How long the oldest of them has waited."),
    ("holdfast_outbox_unhanded", "gauge", "Relayed events that somebody who sends them on was not handed yet."),
    ("holdfast_outbox_passed_over", "gauge", "Events that could not be handed over, and are tried again."),
    ("holdfast_webhook_backlog", "gauge", "Webhook deliveries that are not delivered yet, at most 100,000."),
    ("holdfast_webhook_age_seconds", "gauge", "How long the oldest of them has been due."),
    ("holdfast_webhook_failed", "gauge", "Webhook deliveries of the last 24 hours that have failed for good."),
)
FINISHED_SAID = "When the background worker had last published whoever was due, in seconds since 1970."


class Metrics:
    """Counts for one worker, and tells of all: of those in `folder`, or of this one alone."""

    def __init__(self, plans: Plans | None, folder: Path | None = None) -> None:
        self.plans = plans
        self.folder = folder
        self.cells = memoryview(mmap(-1, SIZE) if folder is None else _taken(folder)).cast("d")
        self.cells[WORKER], self.cells[KEPT], self.cells[LISTENING] = os.getpid(), 0, 0
        self.found, self.made = self.cells[FOUND], self.cells[MADE]  # by whom this worker has replaced

    def count(self, road: str, seconds: float) -> None:
        """Count a request that was answered."""
        cells, plans = self.cells, self.plans
        cells[ROADS[road]] += 1
        cells[FIRST_BUCKET + bisect_left(BUCKETS, seconds)] += 1
        cells[SECONDS] += seconds
        if plans is not None:
            cells[FOUND], cells[MADE] = self.found + plans.found, self.made + plans.made
            cells[KEPT] = len(plans.kept)

    def listening(self, number: int) -> None:
        """Note how many listen: on WebSockets, and on streams of events."""
        self.cells[LISTENING] = number

    def text(self, outbox: Sequence[float] = ()) -> str:
        """Write the numbers of all workers down. What the dead have counted still counts; what they kept is gone."""
        told = list(_read(self.folder)) if self.folder else []
        told = told or [(list(self.cells), True)]  # the folder of a long-lived server may have been swept away
        total = [sum(numbers) for numbers in zip(*(numbers for numbers, _ in told), strict=True)]
        living = [numbers for numbers, is_alive in told if is_alive]
        roads = {f'_total{{road="{road}"}}': total[place] for road, place in ROADS.items()}
        outcomes = {'_total{outcome="found"}': total[FOUND], '_total{outcome="made"}': total[MADE]}
        kept = sum(numbers[KEPT] for numbers in living)
        listening = {"": sum(numbers[LISTENING] for numbers in living)}
        resident = sum(_resident(int(numbers[WORKER])) for numbers in living)
        return "".join(
            [
                _family("holdfast_requests", "counter", "GraphQL requests, by the road they took.", roads),
                _family("holdfast_plans", "counter", "Plans that were asked for.", outcomes),
                _family("holdfast_request_seconds", "histogram", SECONDS_SAID, _buckets(total)),
                _family("holdfast_workers", "gauge", "Workers that run.", {"": len(living)}),
                _family("holdfast_listeners", "gauge", "WebSockets and streams that are open.", listening),
                _family("holdfast_plans_kept", "gauge", "Plans that are kept, by all workers together.", {"": kept}),
                _family("holdfast_resident_memory_bytes", "gauge", "Memory of all workers (on Linux).", {"": resident}),
                _worked(self.folder),
                *(_family(*told, {"": number}) for told, number in zip(OUTBOX, outbox, strict=False)),
            ]
        )


class Worked:
    """Counts for the background worker, in a file beside those of the others; where there is no folder, for nobody."""

    def __init__(self, folder: Path | None = None) -> None:
        size = CELLS_OF_WORK * 8
        self.cells = memoryview(mmap(-1, size) if folder is None else _mapped(folder / BACKGROUND, size)).cast("d")

    def count(self, done: dict[str, int]) -> None:
        """Count what a pass has done; one of publication that left nobody out tells when it ended."""
        for place, what in enumerate(WORK):
            self.cells[place] += done.get(what, 0)
        for place, what in enumerate(MESSAGES, FINISHED + 1):
            self.cells[place] += done.get(what, 0)
        if done.get("failed") == 0:
            self.cells[FINISHED] = time.time()


def _worked(folder: Path | None) -> str:
    """Write down what the background worker has done; nothing, where it is somebody else's."""
    try:
        numbers = array("d", (folder / BACKGROUND).read_bytes() if folder else b"").tolist()
    except FileNotFoundError:
        return ""
    if len(numbers) < CELLS_OF_WORK:
        return ""
    outcomes = {f'_total{{outcome="{what}"}}': numbers[place] for place, what in enumerate(WORK)}
    told = {f'_total{{outcome="{what}"}}': numbers[place] for place, what in enumerate(MESSAGES, FINISHED + 1)}
    return "".join(
        [
            _family("holdfast_notifications", "counter", MESSAGES_SAID, told),
            _family("holdfast_publication", "counter", WORK_SAID, outcomes),
            _family("holdfast_publication_timestamp_seconds", "gauge", FINISHED_SAID, {"": numbers[FINISHED]}),
        ]
    )


def _family(name: str, kind: str, said: str, samples: dict[str, float]) -> str:
    """Write what is told of one thing (Prometheus, text exposition format 0.0.4)."""
    full = f"{name}_total" if kind == "counter" else name
    lines = [f"# HELP {full} {said}", f"# TYPE {full} {kind}"]
    return "\n".join([*lines, *(f"{name}{suffix} {value}" for suffix, value in samples.items()), ""])


def _buckets(total: Numbers) -> dict[str, float]:
    bounds = [*map(str, BUCKETS), "+Inf"]
    counted = list(accumulate(total[FIRST_BUCKET:]))
    buckets = {f'_bucket{{le="{bound}"}}': count for bound, count in zip(bounds, counted, strict=True)}
    return {**buckets, "_count": counted[-1], "_sum": total[SECONDS]}


def _taken(folder: Path) -> mmap:
    """Take the first file that no living worker counts in: that of a dead one, which is carried on, or a new one."""
    folder.mkdir(exist_ok=True)
    n = 0
    while True:
        with (folder / str(n)).open("a+b") as file:
            if _is_free(file):
                file.write(bytes(SIZE - file.tell()))  # not a hole: where a disk is full, those kill who fills them
                file.flush()
                return mmap(file.fileno(), SIZE)  # it keeps the file open, and so locked
        n += 1


def _mapped(path: Path, size: int) -> mmap:
    with path.open("a+b") as file:
        file.write(bytes(size - file.tell()))  # nothing, if an earlier one has
        file.flush()
        return mmap(file.fileno(), size)


def _read(folder: Path) -> Iterator[tuple[Numbers, bool]]:
    """Read the numbers of each worker, and whether it is alive."""
    for path in folder.glob("*"):
        with path.open("rb") as file:
            numbers = array("d", file.read()).tolist()
            if len(numbers) == CELLS:  # else its worker is just beginning
                yield numbers, not _is_free(file)


def _is_free(file: IO[bytes]) -> bool:
    """Lock a file, unless a process has locked it that is alive."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _resident(process: int) -> int:
    """How much memory a process has; 0 where the system does not tell it in this way."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
