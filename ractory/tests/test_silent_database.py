"""A PostgreSQL that hangs, a primary or a replica: clients get their 503, or the primary's answer, within seconds."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.faults.database import Database, running_database, running_replica
from bench.faults.server import environment, manage
from ractory.tests.live import Answer, Tenant, call, until
from ractory.tests.served import Served, served

pytestmark = pytest.mark.postgresql


class Site:
    """A server with two workers of two threads each."""

    def __init__(self, server: Served, tenant: Tenant) -> None:
        self.server, self.tenant = server, tenant

    def ask(self, number: int) -> tuple[Answer, float]:
        """One of several kinds of requests, and how long it took."""
        code, started = f"{number} {time.monotonic()}", time.monotonic()
        headers = {"X_API_Key": self.tenant.key}
        if number % 3 == 0:
            body = {"projects": [self.tenant.project(code)]}
            answer = call(self.server.port, "POST", "/api/v1/sync/projects", body, **headers)
        else:
            answer = call(self.server.port, "GET", "/api/v1/projects", **headers)
        return answer, time.monotonic() - started

    def ask_many(self, number: int) -> list[tuple[Answer, float]]:
        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(self.ask, range(number)))


@dataclass(frozen=True, slots=True)
class Databases:
    primary: Database
    replica: Database
    tenant: Tenant

    @contextmanager
    def served(self, log: Path, **more: str) -> Iterator[Site]:
        with served(log, **environment(self.primary.url, **more)) as server:
            yield Site(server, self.tenant)


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    with running_database(durable=False) as primary, running_replica(primary) as replica:
        known = environment(primary.url)
        manage(known, "migrate", "--verbosity=0")
        yield Databases(primary, replica, Tenant.create(known, "Silent Windows"))


def test_while_the_database_hangs_each_request_is_a_503_within_ten_seconds(
    databases: Databases, tmp_path: Path
) -> None:
    with databases.served(tmp_path / "log") as site:
        assert {answer.status for answer, _ in site.ask_many(12)} == {200}  # each thread has its connection now
        before = until(lambda: len(site.server.workers()) == 2 and site.server.workers())
        with databases.primary.frozen():
            for _ in range(2):
                for answer, seconds in site.ask_many(12):
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "5"), answer.body
                    assert seconds < 10
        thawed = time.monotonic()
        until(lambda: {answer.status for answer, _ in site.ask_many(12)} == {200})
        assert time.monotonic() - thawed < 10
        assert site.server.workers() == before


def test_a_frozen_replica_costs_a_read_less_than_three_seconds(databases: Databases, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with databases.served(log, REPLICA_URL=databases.replica.url, LOG_LEVEL="INFO") as site:
        until(lambda: site.ask(1) and log.read_text().count("Reads go to the replica") == 2)
        with databases.replica.frozen():
            for _ in range(3):
                for answer, seconds in site.ask_many(12):
                    assert answer.status == 200, answer.body
                    assert seconds < 3
            assert log.read_text().count("Reads go to the primary, not to the replica: ") >= 2
        until(lambda: site.ask(1) and log.read_text().count("Reads go to the replica") >= 4)
