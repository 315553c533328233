"""A rolling restart of two hosts behind docs/nginx.conf, by the recipe of docs/operations.md: clients that keep their
connections notice nothing."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPSConnection
from pathlib import Path

from bench.faults.server import ROOT, Server, environment, manage
from ractory.tests.live import Tenant, call, until
from ractory.tests.proxies.through_nginx import UNVERIFIED, two_hosts
from ractory.tests.served import free_port

CLIENTS, ROUNDS = 6, 3


class Host(Server):
    """A gunicorn that is started again on its port, as an operator does it."""

    def __init__(self, known: dict[str, str], log: Path) -> None:
        super().__init__(known | {"PORT": str(free_port()), "WEB_CONCURRENCY": "2"}, workers=2, log=log)
        self.port = int(self.environment["PORT"])

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "ractory.wsgi"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log, env=dict(self.environment))  # noqa: S603  # our own command
        self._wait_until_up()

    def restart(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0
        self.start()
        until(lambda: call(self.port, "GET", "/api/v1/health").status == 200)


class Client(threading.Thread):
    """Lists and syncs in turn on a connection that it keeps for as long as the proxy does."""

    def __init__(self, port: int, tenant: Tenant, stopping: threading.Event) -> None:
        super().__init__()
        self.port, self.tenant, self.stopping = port, tenant, stopping
        self.answers: Counter[str] = Counter()
        self.slowest = 0.0

    def run(self) -> None:
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=60, context=UNVERIFIED)
        headers = {"Host": "ractory.example.com", "Content-Type": "application/json", "X-API-Key": self.tenant.key}
        number = 0
        while not self.stopping.wait(0.02):
            number += 1
            started = time.monotonic()
            try:
                if number % 2:
                    connection.request("GET", "/api/v1/projects?limit=1", headers=headers)
                else:
                    body = json.dumps({"projects": [self.tenant.project(str(number))]})
                    connection.request("POST", "/api/v1/sync/projects", body, headers)
                response = connection.getresponse()
                response.read()
                self.answers[str(response.status)] += 1
            except OSError as error:
                self.answers[f"{type(error).__name__} {number % 2}"] += 1
                connection.close()
            self.slowest = max(self.slowest, time.monotonic() - started)
        connection.close()


@contextmanager
def clients(port: int, tenant: Tenant) -> Iterator[list[Client]]:
    stopping = threading.Event()
    started = [Client(port, tenant, stopping) for _ in range(CLIENTS)]
    for client in started:
        client.start()
    try:
        yield started
    finally:
        stopping.set()
        for client in started:
            client.join()


def test_two_hosts_that_are_restarted_one_after_the_other_lose_no_request(tmp_path: Path) -> None:
    known = environment(
        f"sqlite:///{tmp_path / 'db.sqlite3'}",
        BEHIND_TLS="true",
        TRUSTED_PROXIES="1",
        ALLOWED_HOSTS="ractory.example.com",
    )
    manage(known, "migrate", "--verbosity=0")
    tenant = Tenant.create(known, "Rolling Windows")
    with ExitStack() as stack:
        hosts = [Host(known, tmp_path / name) for name in ("one", "two")]
        for host in hosts:
            host.start()
            stack.callback(host.__exit__)
        port = stack.enter_context(two_hosts(list(hosts)))
        with clients(port, tenant) as running:
            for _ in range(ROUNDS):
                for host in hosts:
                    host.restart()
                    time.sleep(3)  # longer than fail_timeout
        answers = sum((client.answers for client in running), Counter[str]())
        assert set(answers) == {"200"}, answers
        assert answers["200"] > 100 * ROUNDS
        assert max(client.slowest for client in running) < 5
