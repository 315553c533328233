"""gunicorn.conf.py on a real server: the metrics of all workers, one log, limits, and an end that loses nothing."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from bench.faults.server import ROOT
from pieces.models import Component, Piece
from pieces.tests.factories import ComponentFactory
from ractory.tests.live import sync_bytes, until
from ractory.tests.served import Served, served
from sync.tests.batches import piece_item
from tenants.models import Company
from tenants.tests.factories import issue_key

UNKNOWN = "ractory_http_requests_total{method=GET,route=unknown,status=404}"
IN_PROGRESS = "ractory_http_requests_in_progress{}"
ENDED = "ractory_workers_ended_total{}"


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "log") as made:
        yield made


@pytest.fixture(scope="module")
def shared(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For tests that leave it running: what it has counted before is theirs to take off."""
    with served(tmp_path_factory.mktemp("shared") / "log") as made:
        yield made


@pytest.fixture
def component(transactional_db: None) -> Component:
    return ComponentFactory.create()


def batch(component: Component) -> dict[str, Any]:
    return {"pieces": [{name: str(value) for name, value in piece_item(component, piece_id="a").items()}]}


def key_of(component: Component) -> str:
    return issue_key(Company.objects.get(guid=component.company_guid))


class Waiting:
    """A sync that waits for the database: a request in progress, for as long as the test wants."""

    def __init__(self, server: Served, key: str, batch: dict[str, Any]) -> None:
        self.lock = transaction.atomic()
        self.lock.__enter__()  # on SQLite this is the one write lock
        if connection.vendor == "postgresql":
            connection.cursor().execute("LOCK TABLE pieces_piece")
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.socket.sendall(sync_bytes("pieces", key, json.dumps(batch).encode(), "Connection: close"))
        until(lambda: server.metrics()[IN_PROGRESS] == 2)  # this one, and the scrape

    def finish(self) -> bytes:
        """The whole answer, nothing if there is none."""
        self.lock.__exit__(None, None, None)
        with self.socket, suppress(ConnectionResetError):
            return b"".join(iter(lambda: self.socket.recv(65536), b""))
        return b""


def metric_files(server: Served) -> set[Path]:
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in server.workers()]
    mapped = {Path(line.split()[-1]) for text in maps for line in text.splitlines() if "ractory-metrics-" in line}
    return {file for path in mapped for file in path.parent.iterdir()}


def replaced(server: Served, how: signal.Signals) -> None:
    """Kills all workers, or has the server reload, and waits until every worker is another one and answers. The
    workers are looked at once: one that was not signalled would be waited for in vain."""
    before = server.workers()
    for pid in before if how == signal.SIGKILL else [server.process.pid]:
        os.kill(pid, how)
    until(lambda: set(before).isdisjoint(server.workers()) and server.is_up())


def test_counters_outlive_workers_and_gauges_do_not(shared: Served, component: Component) -> None:
    before = shared.metrics()
    for _ in range(20):
        shared.call("GET", "/nope")
    waiting = Waiting(shared, key_of(component), batch(component))
    replaced(shared, signal.SIGKILL)
    assert waiting.finish() == b""
    for _ in range(20):
        shared.call("GET", "/nope")
    found = shared.metrics()
    assert (found[UNKNOWN] - before.get(UNKNOWN, 0), found[IN_PROGRESS]) == (40, 1)
    assert found[ENDED] - before.get(ENDED, 0) == 2


def test_counters_go_on_after_a_reload(shared: Served) -> None:
    before = shared.metrics()
    for _ in range(2):
        for _ in range(20):
            shared.call("GET", "/nope")
        replaced(shared, signal.SIGHUP)
    found = shared.metrics()
    assert (found[UNKNOWN] - before.get(UNKNOWN, 0), found[IN_PROGRESS]) == (40, 1)


def test_replaced_workers_leave_no_files_behind(server: Served) -> None:
    def busy() -> set[Path]:
        for _ in range(30):
            server.call("GET", "/nope")
        return metric_files(server)

    names = {path.name for path in until(busy)}
    for _ in range(3):
        replaced(server, signal.SIGKILL)
        files = until(busy)
    assert len(files) <= 3 * 3  # three kinds of two workers and of their parent
    assert {name for name in names if name.startswith("counter")} <= {path.name for path in files}
    assert server.stop() == 0
    assert not any(path.exists() or path.parent.exists() for path in files)


def test_a_stop_lets_a_running_sync_end(server: Served, component: Component) -> None:
    waiting = Waiting(server, key_of(component), batch(component))
    server.process.send_signal(signal.SIGTERM)
    until(lambda: any("Handling signal: term" in line["message"] for line in server.lines()))
    answer = waiting.finish()
    assert answer.startswith(b"HTTP/1.1 200 OK"), answer
    assert server.process.wait(timeout=60) == 0
    assert Piece.across_companies.get().piece_id == "a"


def test_a_request_that_takes_long_does_not_end_its_worker(transactional_db: None, tmp_path: Path) -> None:
    with served(tmp_path / "log", "--timeout", "4", WEB_CONCURRENCY="1") as server:
        component, before = ComponentFactory.create(), server.workers()
        waiting = Waiting(server, key_of(component), batch(component))
        time.sleep(6)  # longer than a worker lives without a sign of life
        assert waiting.finish().startswith(b"HTTP/1.1 200 OK")
        assert server.workers() == before


def test_a_client_that_keeps_its_connection_is_told_of_a_reload(shared: Served) -> None:
    with closing(HTTPConnection("127.0.0.1", shared.port, timeout=60)) as client:
        before = set(shared.workers())
        os.kill(shared.process.pid, signal.SIGHUP)
        while before & set(shared.workers()):
            client.request("GET", "/health")
            with client.getresponse() as answer:
                assert (answer.status, bool(answer.read())) == (200, True)


def test_workers_end_with_their_master_and_an_idle_client_does_not_keep_the_port(
    transactional_db: None, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(served(tmp_path / "log", "--graceful-timeout", "600"))
        client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        time.sleep(1)  # the client is idle: a request that ends as the master dies would be given its time
        server.process.kill()
        server.process.wait()
        until(lambda: is_free(server.port))


def is_free(port: int) -> bool:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def test_what_gunicorn_and_the_application_say_is_one_stream_of_objects(component: Component, tmp_path: Path) -> None:
    """And gunicorn's own access log, if there is one, has the same form, and no query either."""
    key, access = key_of(component), tmp_path / "access"
    with served(tmp_path / "log", "--access-logfile", str(access)) as server:
        for number in range(30):
            sent = {"X_API_Key": key, "Content_Type": "application/json"}
            server.call("POST", "/api/v1/sync/pieces?in-the-query", batch(component), **sent)
            server.call("GET", f"/nope/{number}?in-the-query")
        server.stop()
    lines, text = server.lines(), server.log.read_text()
    assert {line["logger"] for line in lines} == {"gunicorn.error", "ractory.access"}
    sync = [line for line in lines if line.get("route") == "/api/v1/sync/pieces"]
    assert {(line["status"], line["company"]) for line in sync} == {
        (200, str(component.company_guid)),
        (422, str(component.company_guid)),
    }
    ids = [line["request_id"] for line in lines if "request_id" in line]
    assert len(set(ids)) == len(ids) == 60  # no two workers give the same
    own = [line for line in map(json.loads, access.read_text().splitlines()) if "/health" not in line["message"]]
    assert {(line["logger"], line["level"]) for line in own} == {("gunicorn.access", "INFO")}
    assert sum('"GET /nope/7 HTTP/1.1" 404 ' in line["message"] for line in own) == 1
    for secret in ("in-the-query", key):
        assert secret not in text + access.read_text()


def test_the_log_can_be_for_people_and_quiet(transactional_db: None, tmp_path: Path) -> None:
    with served(tmp_path / "log", LOG_FORMAT="line") as server:
        server.call("GET", "/nope", X_Request_ID="r-1")
    text = (tmp_path / "log").read_text()
    assert " INFO gunicorn.error [-] Starting gunicorn " in text
    assert " INFO ractory.access [r-1] GET /nope 404 " in text
    with served(tmp_path / "log", "--log-level", "error", LOG_LEVEL="ERROR") as server:
        server.call("GET", "/nope")
    assert (tmp_path / "log").read_text() == ""


def test_long_paths_and_many_headers_are_refused(shared: Served) -> None:
    assert shared.call("GET", "/api/v1/pieces?cursor=" + "x" * 8000).status == 401  # as long as a next link may be
    assert shared.call("GET", "/api/v1/pieces?cursor=" + "x" * 9000).status == 414
    assert shared.call("GET", "/health", None, **{f"X-{number}": "x" for number in range(70)}).status == 431


def test_unless_told_otherwise_it_listens_for_this_machine_only() -> None:
    command = [sys.executable, "-m", "gunicorn", "--print-config", "ractory.wsgi"]
    unset = {name: value for name, value in os.environ.items() if name not in ("PORT", "GUNICORN_CMD_ARGS")}
    printed = subprocess.run(command, cwd=ROOT, env=unset, capture_output=True, text=True, check=True).stdout  # noqa: S603  # our own command
    assert re.search(r"^bind +=.*127\.0\.0\.1:8000", printed, re.MULTILINE), printed


def test_a_wrong_setting_ends_the_start_in_words(tmp_path: Path) -> None:
    for wrong in ({"DEBUG": "yes"}, {"LOG_FORMAT": "xml"}, {"LOG_LEVEL": "loud"}):
        (name, value), *_ = wrong.items()
        command = [sys.executable, "-m", "gunicorn", "ractory.wsgi", "--bind", f"unix:{tmp_path}/socket"]
        ended = subprocess.run(  # noqa: S603  # our own command
            command, cwd=ROOT, env={**os.environ, **wrong}, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode != 0
        assert ended.stderr.splitlines()[-1].endswith(f"ImproperlyConfigured: {name}={value!r} is not understood")
