"""Outages that kill nothing: a database that hangs, or has no connections left; a replica that hangs; restarts.

While one lasts each request is answered within 10 seconds, by a 503 with Retry-After or as always; within 10 seconds
after its end all is as before; nothing that was acknowledged is lost, and nothing that was refused is there.
"""

import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg

from bench.faults.database import Database, running_replica
from bench.faults.restarts import Host, rolling, traffic
from bench.faults.server import Server
from bench.faults.siege import Siege
from bench.faults.workload import Batch, Item
from client.ractory_client import Answer, Client

BOUND, OF_REPLICA = 10.0, 3.0  # seconds
TRIES = 4


@contextmanager
def exhausted(database: Database) -> Iterator[None]:
    """All connections that the application may have are somebody else's."""
    ours: list[psycopg.Connection] = []
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ractory' AND application_name <> 'us'"
    )
    dsn = f"host={database.host} user=ractory dbname=ractory application_name=us"
    try:
        for _ in range(3):
            database.rows(others)
            with suppress(psycopg.OperationalError):
                while True:
                    ours.append(psycopg.connect(dsn))
        yield
    finally:
        for connection in ours:
            connection.close()


def outages(siege: Siege, folder: Path) -> None:
    outage: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "a database that hangs": siege.database.frozen,
        "no connections": lambda: exhausted(siege.database),
    }
    above = siege.component("outages")
    with siege.client() as client:
        for name, begin in outage.items():
            batches = [_batch(siege, above, f"r{siege.seed}-{name.replace(' ', '-')}-{n}") for n in range(TRIES)]
            with begin():
                for batch in batches:
                    _expect(siege, name, partial(_post, client, batch), {503})
            deadline = time.monotonic() + BOUND
            for batch in batches:
                siege.ledger.append(batch)
                siege.figures.count("batches")
                while (status := _post(client, batch).status) != 200 and time.monotonic() < deadline:
                    time.sleep(0.1)
                if status != 200:
                    siege.figures.complain(f"{name} is not over after {BOUND} s", str(status))
    _frozen_replica(siege)
    _restarts(siege, folder)
    siege.audit()


def _post(client: Client, batch: Batch) -> Answer:
    return client.post(batch.path, batch.body, batch.key)


def _expect(siege: Siege, name: str, ask: Callable[[], Answer], statuses: set[int], bound: float = BOUND) -> None:
    started = time.monotonic()
    answer = ask()
    took = time.monotonic() - started
    siege.figures.count(f"{name}: answered {answer.status}")
    if answer.status not in statuses or (answer.status == 503 and not answer.retry_after):
        siege.figures.complain(f"{name}: another answer", f"{answer.status} {answer.body!r}")
    if took > bound:
        siege.figures.complain(f"{name}: an answer after {bound} s", f"{took:.1f} s")


def _frozen_replica(siege: Siege) -> None:
    with running_replica(siege.database) as replica:
        known = {**siege.environment, "REPLICA_URL": replica.url, "REPLICA_MAX_LAG": "3600"}
        with Server(known, workers=1, application="ractory.wsgi") as server, siege.client(server.url) as client:
            for _ in range(TRIES):
                client.attempt("GET", "/api/v1/projects?limit=1")
                time.sleep(0.6)
            with replica.frozen():
                read = partial(client.attempt, "GET", "/api/v1/projects")
                for _ in range(TRIES):
                    _expect(siege, "a replica that hangs", read, {200}, OF_REPLICA)


def _restarts(siege: Siege, folder: Path) -> None:
    """Behind nginx, where there is one."""
    from ractory.tests.proxies.through_nginx import two_hosts
    from ractory.tests.served import free_port

    if shutil.which("nginx", path="/usr/sbin:/usr/bin") is None:
        siege.figures.count("rolling restarts: no nginx here")
        return
    known = {**siege.environment, "BEHIND_TLS": "true", "TRUSTED_PROXIES": "1", "ALLOWED_HOSTS": "ractory.example.com"}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ExitStack() as stack:
        hosts = [stack.enter_context(Host(known, free_port(), folder / name)) for name in ("one", "two")]
        port = stack.enter_context(two_hosts(list(hosts)))
        with traffic(port, siege.company, siege.key, context) as seen:
            rolling(hosts, rounds=2)
    for what, number in seen.answers.items():
        siege.figures.count(f"rolling restarts: {what}", number)
        if what != "200":
            siege.figures.complain("a rolling restart was noticed", f"{what}: {number}")


def _batch(siege: Siege, above: Item, tag: str) -> Batch:
    item = {**above, "guid": siege.guid("outages", tag), "piece_id": tag, "barcode": tag}
    probe = "SELECT count(*) FROM pieces_piece WHERE barcode = %s"
    return Batch("one in an outage", "pieces", tag, [item], probe, [tag])
