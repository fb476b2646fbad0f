"""Metrics: every request is counted once, whichever worker answers it, and nobody is named."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from compiler.plan import Plans
from server.metrics import BUCKETS, MESSAGES, WORK, Metrics
from tests.conftest import Running, running
from tests.server.test_crash import runs, until, workers

COMPILED = {"query": "query Compiled { viewer { principal } }"}
ORDINARY = {"query": "query Ordinary { __schema { queryType { name } } }"}
INVALID = {"query": 'query Invalid { nobody(name: "Ada Lovelace") }'}
NO_QUERY = {"question": "Ada Lovelace"}
CREATE = {
    "query": 'mutation { clientCreate(input: {firstName: "Ada", lastName: "Lovelace"}) { client { firstName } } }',
}

Told = dict[tuple[str, ...], float]


def told(text: str) -> Told:
    """Read what is told: by name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def asked(url: str) -> Told:
    return told(httpx2.get(f"{url}/metrics").text)


def requests(found: Told) -> tuple[float, float, float]:
    return tuple(found["holdfast_requests_total", road] for road in ("compiled", "ordinary", "refused"))  # type: ignore[return-value]


def plans(found: Told) -> tuple[float, float, float]:
    """How many were found, were made, and are kept."""
    counted = (found["holdfast_plans_total", outcome] for outcome in ("found", "made"))
    return *counted, found["holdfast_plans_kept",]  # type: ignore[return-value]


@pytest.fixture
def pair(database: str, tmp_path: Path) -> Iterator[Running]:
    """A server of two workers, whose temporary files are in a folder of the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    with running(tmp_path / "server.log", DATABASE_URL=database, WORKERS="2", TMPDIR=str(folder)) as server:
        until(lambda: asked(server.url)["holdfast_workers",] == 2, within=30)
        yield server


@contextmanager
def only(server: Running, worker: int) -> Iterator[httpx2.Client]:
    """A client of one worker: it connects while the others are stopped."""
    others = [each for each in workers(server) if each != worker]
    try:
        for each in others:
            os.kill(each, signal.SIGSTOP)
        with httpx2.Client(base_url=server.url) as client:
            yield client
    finally:
        for each in others:
            os.kill(each, signal.SIGCONT)


def test_requests_of_two_workers_are_counted_exactly(pair: Running) -> None:
    for worker in workers(pair):
        with only(pair, worker) as client:
            sent = [COMPILED] * 5 + [ORDINARY] * 3 + [INVALID] * 2 + [NO_QUERY]
            statuses = [client.post("/graphql", json=body).status_code for body in sent]
            assert statuses == [200] * 10 + [400]

    found = asked(pair.url)

    assert requests(found) == (10, 6, 6)
    assert plans(found) == (12, 4, 4)  # each worker makes a plan of a valid document once
    assert found["holdfast_request_seconds_count",] == found["holdfast_request_seconds_bucket", "+Inf"] == 22
    assert 0 < found["holdfast_request_seconds_sum",] < 60
    assert found["holdfast_workers",] == 2
    assert 2 * 20_000_000 < found["holdfast_resident_memory_bytes",] < 2 * 200_000_000


def test_either_worker_tells_the_same(pair: Running) -> None:
    texts = []
    httpx2.post(f"{pair.url}/graphql", json=COMPILED)

    for worker in workers(pair):
        with only(pair, worker) as client:
            texts.append(client.get("/metrics").text)
    first, second = ({name: n for name, n in told(text).items() if "memory" not in name[0]} for text in texts)

    assert first == second
    assert requests(first) == (1, 0, 0)


def test_what_a_killed_worker_has_counted_still_counts(pair: Running) -> None:
    victim, survivor = workers(pair)
    for worker in (victim, survivor):
        with only(pair, worker) as client:
            assert [client.post("/graphql", json=COMPILED).status_code for _ in range(3)] == [200] * 3

    os.kill(victim, signal.SIGKILL)
    until(lambda: not runs(victim) and len(workers(pair)) == 2, within=30)
    until(lambda: asked(pair.url)["holdfast_workers",] == 2, within=30)
    after = asked(pair.url)
    with only(pair, next(each for each in workers(pair) if each != survivor)) as client:
        client.post("/graphql", json=COMPILED)
    again = asked(pair.url)

    assert requests(after) == (6, 0, 0)
    assert plans(after) == (4, 2, 1)  # what it kept is gone
    assert requests(again) == (7, 0, 0)
    assert plans(again) == (4, 3, 2)


def test_what_is_no_question_is_not_counted(server: Running) -> None:
    statuses = [
        httpx2.get(f"{server.url}/graphql", headers={"accept": "text/html"}).status_code,
        *(httpx2.get(server.url + path).status_code for path in ("/livez", "/readyz", "/metrics", "/nowhere")),
    ]

    assert statuses == [200, 200, 200, 200, 404]
    assert requests(asked(server.url)) == (0, 0, 0)


def test_nobody_and_no_document_is_named(database: str, tmp_path: Path) -> None:
    with running(tmp_path / "server.log", DATABASE_URL=database, BACKGROUND="on") as server:
        until(lambda: "holdfast_publication_total" in httpx2.get(f"{server.url}/metrics").text, within=30)
        for body in (COMPILED, ORDINARY, INVALID, NO_QUERY, CREATE):
            httpx2.post(f"{server.url}/graphql", json={**body, "extensions": {"for": "Ada"}})

        answer = httpx2.get(f"{server.url}/metrics")

    labels = {label for family in text_string_to_metric_families(answer.text) for sample in family.samples for label in sample.labels.items()}  # fmt: skip
    assert labels == {
        *(("road", road) for road in ("compiled", "ordinary", "refused")),
        *(("outcome", outcome) for outcome in ("found", "made", *WORK, *MESSAGES)),
        *(("le", bound) for bound in (*map(str, BUCKETS), "+Inf")),
    }
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert [
        word for word in ("Ada", "Lovelace", "Compiled", "Invalid", "viewer", "client") if word in answer.text
    ] == []


def test_the_files_of_the_counts_go_with_the_server(database: str, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()

    with running(tmp_path / "server.log", DATABASE_URL=database, TMPDIR=str(folder), BACKGROUND="on"):
        until(lambda: {path.name for path in folder.glob("holdfast-metrics-*/*")} == {"0", "background"}, within=30)

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "first"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (5.0, "5.0"), (5.1, "+Inf")]
)
def test_a_bucket_holds_what_took_no_longer_than_its_bound(seconds: float, first: str) -> None:
    metrics = Metrics(None)

    metrics.count("compiled", seconds)

    found = told(metrics.text())
    bounds = [*map(str, BUCKETS), "+Inf"]
    reached = [bound for bound in bounds if found["holdfast_request_seconds_bucket", bound] == 1]
    assert reached == bounds[bounds.index(first) :]
    assert found["holdfast_request_seconds_sum",] == seconds


def test_a_worker_carries_on_what_a_dead_one_counted_and_no_living_ones(tmp_path: Path) -> None:
    dying, living = (Metrics(Plans(), tmp_path) for _ in range(2))
    for metrics in (dying, living, living):
        metrics.count("ordinary", 0.5)
    mapped = dying.cells.obj
    dying.cells.release()
    mapped.close()  # type: ignore[attr-defined]

    third, fourth = (Metrics(Plans(), tmp_path) for _ in range(2))
    third.count("ordinary", 0.5)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
    assert requests(told(fourth.text())) == (0, 4, 0)
    assert (third.cells[1], living.cells[1], fourth.cells[1]) == (2, 2, 0)


def test_a_folder_that_is_swept_away_ends_neither_the_numbers_nor_a_new_worker(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    first = Metrics(None, folder)
    first.count("refused", 0.5)
    (folder / "0").unlink()
    folder.rmdir()

    alone = told(first.text())
    second = Metrics(None, folder)
    second.count("compiled", 0.5)

    assert requests(alone) == (0, 0, 1)
    assert requests(told(second.text())) == (1, 0, 0)
