"""Metrics: what all workers have done so far, in the text format of Prometheus.

Each worker counts in a file of its own, which is mapped into its memory, so that to count costs no more than to add.
The library's own way of counting in several processes takes some six times as long.
"""

import fcntl
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from mmap import mmap
from pathlib import Path
from typing import IO

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from compiler.plan import Plans

# Where each number stands.
ROADS = {"compiled": 0, "ordinary": 1, "refused": 2}
FOUND, MADE, KEPT, WORKER, SECONDS, FIRST_BUCKET = range(3, 9)
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
CELLS = FIRST_BUCKET + len(BUCKETS) + 1
SIZE = CELLS * 8
Numbers = list[float]


class Metrics(Collector):
    """Counts for one worker, and tells of all: of those in `folder`, or of this one alone."""

    def __init__(self, plans: Plans | None, folder: Path | None = None) -> None:
        self.plans = plans
        self.folder = folder
        self.cells = memoryview(mmap(-1, SIZE) if folder is None else _taken(folder)).cast("d")
        self.cells[WORKER], self.cells[KEPT] = os.getpid(), 0
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

    def text(self) -> bytes:
        """Write the numbers of all workers down."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Add up. What the dead have counted still counts; what they kept is gone."""
        told = list(_read(self.folder)) if self.folder else []
        told = told or [(list(self.cells), True)]  # the folder of a long-lived server may have been swept away
        total = [sum(numbers) for numbers in zip(*(numbers for numbers, _ in told), strict=True)]
        yield _counter("holdfast_requests", "GraphQL requests, by the road they took.", "road", _by_road(total))
        outcomes = {"found": total[FOUND], "made": total[MADE]}
        yield _counter("holdfast_plans", "Plans that were asked for.", "outcome", outcomes)
        yield _histogram(total)
        living = [numbers for numbers, is_alive in told if is_alive]
        yield GaugeMetricFamily("holdfast_workers", "Workers that run.", len(living))
        kept = sum(numbers[KEPT] for numbers in living)
        yield GaugeMetricFamily("holdfast_plans_kept", "Plans that are kept, by all workers together.", kept)
        resident = sum(_resident(int(numbers[WORKER])) for numbers in living)
        yield GaugeMetricFamily("holdfast_resident_memory_bytes", "Memory of all workers (on Linux).", resident)


def _by_road(total: list[float]) -> dict[str, float]:
    return {road: total[place] for road, place in ROADS.items()}


def _counter(name: str, said: str, label: str, values: dict[str, float]) -> Metric:
    family = CounterMetricFamily(name, said, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _histogram(total: list[float]) -> Metric:
    bounds = [*map(str, BUCKETS), "+Inf"]
    buckets = list(zip(bounds, accumulate(total[FIRST_BUCKET:]), strict=True))
    said = "Seconds from the arrival of a GraphQL request to its answer."
    return HistogramMetricFamily("holdfast_request_seconds", said, buckets=buckets, sum_value=total[SECONDS])


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
